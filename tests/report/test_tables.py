"""Tables of runs: the numbers of the estimates, and the notes beside them."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.analysis.test_estimates import E, F, N, S, perturbed, summary
from tests.builders.runs import (
    LIBERO,
    Axes,
    change_suites,
    draw_outcomes,
    libero_plus_record,
    records_of,
    run_record,
    write_run,
)
from tests.toy import CATALOG
from wam_eval.analysis.estimates import Summary, summarize
from wam_eval.analysis.frame import run_data
from wam_eval.report.tables import frame_of, markdown_of, plain_of, side_by_side, summary_of, terminal_of, write_results

OUTCOMES = {("a", 0): [S, S, F], ("a", 1): [S, S, F], ("b", 0): [N]}


def two_suites(kind: str = "official") -> Summary:
    """Suite a with two tasks of three episodes, suite b with one task whose only episode was not run."""
    record = run_record("test", {"a": 2, "b": 1}, 3, "mine", assets={"kind": kind, "digest": "x"})
    task = record.suites["b"].tasks[0].model_copy(update={"episodes": 1})
    suites = {**record.suites, "b": record.suites["b"].model_copy(update={"tasks": {0: task}})}
    record = record.model_copy(update={"suites": suites})
    return summary(record, OUTCOMES)


def test_markdown_is_pinned() -> None:
    assert markdown_of(two_suites()).splitlines()[4:12] == [
        "| task | success | rate % | 95 % interval | coverage % |",
        "| :--- | ---: | ---: | :---: | ---: |",
        "| 00 do thing 0 of a | 2/3 | 66.7 | 20.8 – 93.9 | 100 |",
        "| 01 do thing 1 of a | 2/3 | 66.7 | 20.8 – 93.9 | 100 |",
        "| **a** | **4/6** | **66.7** | **30.0 – 90.3** | **100** |",
        "| 00 do thing 0 of b | 0/0 | – | – | 0 (1 not run) |",
        "| **b** | **0/0** | **–** | **–** | **0 (1 not run)** |",
        "",
    ]


def test_the_frame_has_plain_numbers() -> None:
    frame = frame_of(two_suites())
    assert list(frame["n"]) == [3, 3, 6, 0, 0]
    assert frame["rate"].iloc[2] == pytest.approx(2 / 3)
    assert frame["task"].isna().sum() == 2


@pytest.mark.parametrize(("kind", "marked"), [("official", False), ("partial", True), ("stand-in", True)])
def test_assets_that_cannot_be_compared_are_marked_everywhere(kind: str, marked: bool) -> None:
    found = two_suites(kind)
    assert found.publishable is not marked
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(terminal_of(found))
    for text in (markdown_of(found), console.export_text()):
        assert ("Not comparable with published results" in " ".join(text.split())) is marked
    assert set(frame_of(found)["assets"]) == {kind}


def test_incomplete_runs_say_so() -> None:
    assert "Incomplete: 1 planned episodes do not count" in markdown_of(two_suites())
    alone = run_record("test", {"a": 1}, 1, "mine")
    assert "0 (1 simulator error)" in markdown_of(summary(alone, {("a", 0): [E]}))
    assert "Incomplete" not in markdown_of(summary(alone, {("a", 0): [S]}))


def test_suites_of_the_same_tasks_stand_side_by_side() -> None:
    record = run_record("test", {"clean": 2, "hard": 2}, 2, "mine")
    tasks = {i: task.model_copy(update={"instruction": f"task {i}"}) for i, task in record.suites["hard"].tasks.items()}
    record = change_suites(record, tasks=tasks)
    outcomes = {("clean", 0): [F, F], ("clean", 1): [S, S], ("hard", 0): [F, F], ("hard", 1): [F, F]}
    table = side_by_side(summary(record, outcomes))
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
    assert side_by_side(two_suites()) is None
    assert side_by_side(summary(run_record("test", {"a": 1}, 1, "mine"), {})) is None


def test_perturbed_tasks_are_not_listed_one_by_one() -> None:
    text = markdown_of(perturbed(goal=[S, F, S, F], object=[S, S, F, F]))
    rows = [line.split(" | ")[0].strip("| *") for line in text.splitlines() if line.startswith("|")][2:]
    dimensions = ["camera", "light", "noise"]
    suites = [*dimensions, "libero_plus_goal", *dimensions, "libero_plus_object"]
    totals = ["total (task-weighted)", "mean of 3 of 7 dimensions"]
    assert rows == [*suites, *dimensions, "difficulty 1", "difficulty 3", *totals]


def test_values_of_other_axes_stand_below_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAM_EVAL_PATH", str(CATALOG))
    axes: dict[str, list[Axes]] = {"toy": [{"weather": "windy", "level": 2}, {"weather": "calm", "level": 1}]}
    record = run_record("mine", {"toy": 2}, 1, "toy", axes)
    text = markdown_of(summary(record, {("toy", 0): [S], ("toy", 1): [F]}))
    rows = [line.split(" | ")[0].strip("| *") for line in text.splitlines() if line.startswith("|")][2:]
    tasks = ["00 do thing 0 of toy", "01 do thing 1 of toy", "toy"]
    assert rows == [*tasks, "weather calm", "weather windy", "level 1", "level 2"]


def test_the_average_is_named_after_what_it_averages() -> None:
    libero = run_record("mine", dict.fromkeys(LIBERO, 1), 1)
    assert "| **average of the suites** |" in markdown_of(summary(libero, {(suite, 0): [S] for suite in LIBERO}))
    suites = {"robotwin_clean": "clean", "robotwin_randomized": "randomized"}
    axes = {suite: [{"condition": condition}] for suite, condition in suites.items()}
    twin = run_record("mine", dict.fromkeys(suites, 1), 1, "robotwin", axes)
    assert "| **average of the conditions** |" in markdown_of(summary(twin, {(suite, 0): [F] for suite in suites}))


def test_reasons_for_episodes_that_were_not_run_are_stated() -> None:
    found = perturbed(goal=[S, F, S, N])
    assert "Not run: needs assets (episodes: 1)." in markdown_of(found)
    assert "| light | 0/0 | – | – | 0 (1 not run) |" in markdown_of(found)
    assert "mean of the dimensions" not in markdown_of(found)
    assert set(frame_of(found)["suite"]) == {"libero_plus_goal", "all"}


def test_errors_are_stated_apart_from_reasons() -> None:
    found = perturbed(goal=[S, E, E, N])
    text = markdown_of(found)
    assert "Error: it broke (episodes: 2)." in text and "Not run: needs assets (episodes: 1)." in text
    assert text.count("(episodes: ") == 2


def test_a_mean_has_no_successes() -> None:
    found = perturbed(goal=[S, F, S, N])
    mean = found.benchmarks[0].mean
    assert mean is not None and mean.low is not None and mean.high is not None
    low, high = (f"{100 * end:.1f}" for end in (mean.low, mean.high))
    assert f"| **mean of 2 of 7 dimensions** | **–** | **75.0** | **{low} – {high}** | **–** |" in markdown_of(found)
    row = frame_of(found).iloc[-1]
    assert row["rate"] == 0.75 and row[["planned", "n", "successes"]].isna().all()


def simulated(chosen: dict[str, range] | None = None) -> Summary:
    record = libero_plus_record("plus", chosen)
    return summarize(run_data(record, records_of(record, draw_outcomes(record, 0.5, 0))))


def test_all_conditions_have_the_mean_of_the_conditions() -> None:
    text = markdown_of(simulated())
    assert "**mean of the dimensions**" in text and "Played only" not in text


def test_a_part_is_not_taken_for_the_whole() -> None:
    text = markdown_of(simulated({"libero_plus_goal": range(500), "libero_plus_10": range(500)}))
    assert (
        "- Played only 1,000 of 5,110 tasks: 500 of 2,591 tasks of libero_plus_goal, "
        "500 of 2,519 tasks of libero_plus_10."
    ) in text
    assert "mean of 2 of 7 dimensions" in text


def test_results_are_written_beside_the_ledger(runs: Path) -> None:
    record = run_record("mine", {"libero_goal": 2, "libero_10": 2}, 2)
    folder = write_run(record, records_of(record, np.array([True] * 5 + [False] * 3)))
    found = write_results(folder)
    plain = json.loads((folder.path / "summary.json").read_text())
    assert plain == json.loads(json.dumps(plain_of(summary_of(folder))))
    assert plain["average"] == found.average.as_dict() if found.average else False
    assert plain["average"]["rate"] == 5 / 8 and plain["average"]["coverage"] == 1.0
    assert plain["benchmarks"]["libero"]["description"] == "average of 2 suites"
    assert [suite["suite"] for suite in plain["suites"]] == ["libero_goal", "libero_10"]
    assert plain["suites"][1]["tasks"][1] == {
        **plain["suites"][1]["tasks"][1],
        "task": 1,
        "instruction": "do thing 1 of libero_10",
        "successes": 0,
        "outcomes": {"failure": 2},
    }
    assert (folder.path / "table.md").read_text() == markdown_of(found)
    assert len((folder.path / "table.csv").read_text().splitlines()) == 1 + 4 + 2 + 1


def test_a_pipe_in_an_instruction_does_not_break_the_table() -> None:
    record = run_record("mine", {"a": 1}, 1, "mine")
    task = record.suites["a"].tasks[0].model_copy(update={"instruction": "left | right"})
    text = markdown_of(summary(change_suites(record, tasks={0: task}), {}))
    assert "| 00 left \\| right | 0/0 |" in text
