"""Tables say what the summary says, and what must be said beside it."""

import io

import pytest
from rich.console import Console

from tests.analysis.test_summary import E, F, N, S, card, perturbed, record
from tests.simulated import draw, libero_plus_card, records_of
from wam_eval.analysis.summary import summarize
from wam_eval.report.tables import frame_of, markdown_of, side_by_side, terminal_of

RECORDS = [record("a", t, i, o) for t in (0, 1) for i, o in enumerate([S, S, F])] + [record("b", 0, 0, N)]
SELECTION = {"a": {0: 3, 1: 3}, "b": {0: 1}}


def test_markdown_is_pinned() -> None:
    assert markdown_of(summarize(card(SELECTION), RECORDS)).splitlines()[4:12] == [
        "| task | success | rate % | 95 % interval | coverage % |",
        "|:---|---:|---:|:---:|---:|",
        "| 00 task 0 | 2/3 | 66.7 | 20.8 – 93.9 | 100 |",
        "| 01 task 1 | 2/3 | 66.7 | 20.8 – 93.9 | 100 |",
        "| **a** | **4/6** | **66.7** | **30.0 – 90.3** | **100** |",
        "| 00 task 0 | 0/0 | – | – | 0 (1 not run) |",
        "| **b** | **0/0** | **–** | **–** | **0 (1 not run)** |",
        "",
    ]


def test_the_frame_has_plain_numbers() -> None:
    frame = frame_of(summarize(card(SELECTION), RECORDS))
    assert list(frame["n"]) == [3, 3, 6, 0, 0]
    assert frame["rate"].iloc[2] == pytest.approx(2 / 3)
    assert frame["task"].isna().sum() == 2


@pytest.mark.parametrize(("kind", "said"), [("official", False), ("partial", True), ("stand-in", True)])
def test_assets_that_cannot_be_compared_are_marked_everywhere(kind: str, said: bool) -> None:
    summary = summarize(card(SELECTION, kind), RECORDS)
    assert summary.publishable is not said
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(terminal_of(summary))
    for text in (markdown_of(summary), console.export_text()):
        assert ("Not comparable with published results" in " ".join(text.split())) is said
    assert set(frame_of(summary)["assets"]) == {kind}


def test_incomplete_runs_say_so() -> None:
    assert "Incomplete: 1 planned episodes do not count" in markdown_of(summarize(card(SELECTION), RECORDS))
    errors = [record("a", 0, 0, E)]
    assert "0 (1 simulator error)" in markdown_of(summarize(card({"a": {0: 1}}), errors))
    assert "Incomplete" not in markdown_of(summarize(card({"a": {0: 3}}), RECORDS[:3]))


def test_suites_of_the_same_tasks_stand_side_by_side() -> None:
    rates = [record("clean", t, i, S if t else F) for t in (0, 1) for i in range(2)]
    rates += [record("hard", t, i, F) for t in (0, 1) for i in range(2)]
    table = side_by_side(summarize(card({"clean": {0: 2, 1: 2}, "hard": {0: 2, 1: 2}}), rates))
    assert table is not None
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table)
    lines = [line.strip("│ ").split("│") for line in console.export_text().splitlines() if "│" in line]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["00 task 0", "0.0 (0/2)", "0.0 (0/2)"],
        ["01 task 1", "100.0 (2/2)", "0.0 (0/2)"],
        ["all", "50.0 (2/4)", "0.0 (0/4)"],
    ]


def test_suites_of_other_tasks_do_not() -> None:
    assert side_by_side(summarize(card(SELECTION), RECORDS)) is None
    assert side_by_side(summarize(card({"a": {0: 3}}), RECORDS)) is None


def test_perturbed_tasks_are_not_listed_one_by_one() -> None:
    text = markdown_of(perturbed({"a": [S, F, S, F], "b": [S, S, F, F]}))
    rows = [line.split(" | ")[0].strip("| *") for line in text.splitlines() if line.startswith("|")][2:]
    dimensions = ["camera", "light", "noise"]
    totals = ["total (task-weighted)", "mean of 3 of 7 dimensions"]
    assert rows == [*dimensions, "a", *dimensions, "b", *dimensions, "difficulty 1", "difficulty 3", *totals]


def test_why_episodes_were_not_run_is_said() -> None:
    summary = perturbed({"a": [S, F, S, N]})
    assert "Not run: needs assets (episodes: 1)." in markdown_of(summary)
    assert "| light | 0/0 | – | – | 0 (1 not run) |" in markdown_of(summary)
    assert "mean of the dimensions" not in markdown_of(summary)
    assert set(frame_of(summary)["suite"]) == {"a", "all"}


def test_a_mean_has_no_successes_of_its_own() -> None:
    summary = perturbed({"a": [S, F, S, N]})
    low, high = (f"{100 * end:.1f}" for end in (summary.perturbed.mean.low, summary.perturbed.mean.high))
    assert f"| **mean of 2 of 7 dimensions** | **–** | **75.0** | **{low} – {high}** | **–** |" in markdown_of(summary)
    mean = frame_of(summary).iloc[-1]
    assert mean["rate"] == 0.75 and mean[["planned", "n", "successes"]].isna().all()


def test_seven_dimensions_have_the_mean_of_the_dimensions() -> None:
    plus = libero_plus_card("plus")
    text = markdown_of(summarize(plus, records_of(plus, draw(plus, 0.5, 0))))
    assert "**mean of the dimensions**" in text and "Played only" not in text


def test_a_part_does_not_pass_for_the_whole() -> None:
    plus = libero_plus_card("plus", {"libero_plus_goal": range(0, 500), "libero_plus_10": range(0, 500)})
    text = markdown_of(summarize(plus, records_of(plus, draw(plus, 0.5, 0))))
    assert (
        "- Played only 1,000 of 5,110 tasks: 500 of 2,591 tasks of libero_plus_goal, "
        "500 of 2,519 tasks of libero_plus_10."
    ) in text
    assert "mean of 2 of 7 dimensions" in text
