"""Comparisons: better, worse or cannot tell if the numbers allow a verdict, and the reasons if they do not."""

import random
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.analysis.test_entries import number
from tests.builders.published import published
from tests.builders.runs import (
    LIBERO,
    LIBERO_PLUS,
    change_suites,
    draw_outcomes,
    libero_plus_record,
    perturbation,
    protocol,
    records_of,
    run_record,
    with_protocols,
)
from wam_eval.analysis import statistics
from wam_eval.analysis.comparison import ALPHA, ComparisonRow, PublishedMethod, Verdict, compare, printed_rates
from wam_eval.analysis.frame import RunData, run_data
from wam_eval.episode import Outcome
from wam_eval.errors import UserError
from wam_eval.papers.grouping import grouping
from wam_eval.papers.published import Paper, PaperProtocol

TASKS = {"libero_object": 10, "libero_goal": 10}


def run(
    name: str, probability: float, draw: int, tasks: dict[str, int] = TASKS, trials: int = 20, **rules: Any
) -> RunData:
    record = run_record(name, tasks, trials, **rules)
    return run_data(record, records_of(record, draw_outcomes(record, probability, draw)))


def pooled(name: str, probability: float, draw: int) -> RunData:
    """A run of as many episodes in few tasks, which takes less time to compare."""
    return run(name, probability, draw, {"libero_object": 2, "libero_goal": 2}, 100)


def overall(*entries: Any) -> ComparisonRow:
    (row,) = [row for row in compare(entries).rows if row.level == "overall"]
    return row


def test_better_worse_and_cannot_tell() -> None:
    good, bad, same = pooled("good", 0.9, 0), pooled("bad", 0.5, 1), pooled("same", 0.9, 2)
    assert overall(good, bad).verdict is Verdict.BETTER
    assert overall(bad, good).verdict is Verdict.WORSE
    unsure = overall(good, same)
    assert unsure.verdict is Verdict.UNSURE
    assert unsure.low < 0 < unsure.high and 0.01 < unsure.detectable < 0.15


def test_a_difference_turns_its_sign_with_the_sides() -> None:
    a, b = pooled("a", 0.8, 0), pooled("b", 0.6, 1)
    there, back = overall(a, b), overall(b, a)
    assert back.difference == pytest.approx(-there.difference)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-9)
    assert back.p == there.p


def test_levels_from_the_whole_to_the_tasks() -> None:
    rows = compare([run("a", 0.8, 0), run("b", 0.6, 1)]).rows
    assert [row.level for row in rows] == ["overall", "suite", *["task"] * 10, "suite", *["task"] * 10]
    assert [row.group for row in rows][:3] == ["all", "libero_goal", "libero_goal/00"]


def test_tasks_of_one_episode_are_compared_by_condition_instead() -> None:
    tasks = [perturbation(*values) for values in (("camera", 1), ("camera", 2), ("light", 1), ("light", 1))]
    record = run_record("a", {"libero_plus_goal": 4}, 1, "libero_plus", {"libero_plus_goal": tasks})
    other = record.model_copy(update={"run": "b"})
    records = records_of(record, np.array([True, True, False, False]))
    rows = compare([run_data(record, records), run_data(other, records)]).rows
    assert rows[0].notes == (
        "overall is task-weighted; a: the mean of 2 of 7 dimensions is 50.0; b: the mean of 2 of 7 dimensions is 50.0",
    )
    assert [(row.level, row.group) for row in rows] == [
        ("overall", "all"),
        ("condition", "camera"),
        ("condition", "light"),
    ]


def test_holm_corrects_over_all_verdicts_of_a_level() -> None:
    candidate = pooled("candidate", 0.60, 0)
    others = [pooled(f"other{i}", 0.53, i) for i in range(1, 6)]
    alone = overall(candidate, others[0])
    rows = [row for row in compare([candidate, *others]).rows if row.level == "overall"]
    assert alone.p_holm == alone.p and rows[0].p == alone.p
    assert all(row.p_holm >= row.p for row in rows)
    assert max(row.p_holm / row.p for row in rows) == pytest.approx(5)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"step_limit": 400}, "protocols differ in step_limit: 280 against 400"),
        ({"versions": {"mujoco": "3.8.1", "numpy": "1.26.4"}}, "differ in versions.numpy: None against '1.26.4'"),
        (
            {"assets": {"kind": "partial", "digest": "x"}},
            "protocols differ in assets.kind: 'official' against 'partial'",
        ),
    ],
)
def test_no_verdict_across_protocols_that_differ(change: dict[str, Any], text: str) -> None:
    row = overall(run("a", 0.9, 0), run("b", 0.1, 1, **change))
    assert row.verdict is Verdict.NONE and row.p is None and row.difference is None
    assert any(text in reason for reason in row.reasons)


def test_no_verdict_below_full_coverage_but_where_it_is_full() -> None:
    whole = run("whole", 0.5, 1)
    record = run_record("part", TASKS, 20)
    records = records_of(record, draw_outcomes(record, 0.99, 0))
    broken = [
        r.model_copy(update={"outcome": Outcome.TIMEOUT}) if r.key == "libero_goal/03/007" else r for r in records
    ]
    rows = {row.group: row for row in compare([run_data(record, broken), whole]).rows}
    assert rows["all"].reasons == ("part: coverage 99.8%: 1 timeout",)
    assert rows["libero_goal"].verdict is Verdict.NONE and rows["libero_goal/03"].verdict is Verdict.NONE
    assert rows["libero_object"].verdict is Verdict.BETTER


def test_runs_of_different_episodes_are_named_not_averaged() -> None:
    row = overall(run("a", 0.9, 0), run("b", 0.1, 1, {"libero_object": 10}))
    assert row.reasons == ("b lacks 200 of the other's episodes",) and row.verdict is Verdict.NONE
    row = overall(run("a", 0.9, 0, {"libero_goal": 10}), run("b", 0.1, 1, {"libero_object": 10}))
    assert "they have no episode in common" in row.reasons


def test_faults_forbid_every_verdict() -> None:
    record = run_record("twice", TASKS, 20)
    records = records_of(record, draw_outcomes(record, 0.9, 0))
    rows = compare([run_data(record, records, ["libero_goal/00/000"]), run("b", 0.1, 1)]).rows
    assert {row.verdict for row in rows} == {Verdict.NONE}
    assert "twice: duplicate episodes in the ledger: 1, such as libero_goal/00/000" in rows[0].reasons


@pytest.mark.parametrize(("field", "value"), [("instruction", "do another thing"), ("seed", 99), ("task_name", "x")])
def test_the_same_key_must_be_the_same_episode(field: str, value: Any) -> None:
    record, other = run_record("a", TASKS, 20), run("b", 0.1, 1)
    records = records_of(record, draw_outcomes(record, 0.9, 0))
    changed = [r.model_copy(update={field: value}) if r.key == "libero_goal/03/007" else r for r in records]
    rows = {row.group: row for row in compare([run_data(record, changed), other]).rows}
    assert rows["all"].reasons == (f"another {field} in 1 episodes, such as libero_goal/03/007",)
    assert rows["libero_object"].verdict is Verdict.BETTER


def test_suites_under_different_settings_have_no_common_verdict() -> None:
    sides = []
    for name, probability in (("a", 0.9), ("b", 0.1)):
        record = run_record(name, TASKS, 20)
        record = with_protocols(record, {"libero_goal": protocol("libero_goal", 20, seed=42)})
        sides.append(run_data(record, records_of(record, draw_outcomes(record, probability, 0))))
    rows = {row.group: row for row in compare(sides).rows}
    assert rows["all"].reasons[0] == "a: mixed seed: libero_goal 42, libero_object 0"
    assert rows["libero_goal"].verdict is rows["libero_object"].verdict is Verdict.BETTER


def test_pooling_suites_of_unequal_size_is_said() -> None:
    tasks = {"libero_goal": 10, "libero_object": 5}
    row = overall(run("a", 0.9, 0, tasks), run("b", 0.1, 1, tasks))
    assert row.verdict is Verdict.BETTER and row.notes == ("overall: all episodes pooled; its suites differ in size",)


def test_an_empty_run_is_named() -> None:
    row = overall(run_data(run_record("empty", TASKS, 20), []), run("b", 0.1, 1))
    assert row.candidate.rate is None and row.reasons == ("empty: empty: no episode counts",)


@pytest.mark.parametrize("names", [("a",), ("a", "a")])
def test_a_comparison_needs_two(names: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"needs at least two|with itself"):
        compare([run(name, 0.5, 0) for name in names])


PROTOCOL = PaperProtocol(step_limits=dict.fromkeys(LIBERO, 280), settings={"seed": 0}, trials_per_task=50, source="s")


def method(protocol: PaperProtocol | None = PROTOCOL, **fields: Any) -> PublishedMethod:
    protocols = {"libero": protocol} if protocol else {}
    paper = Paper(title="A", arxiv="2600.00001", url="u", kind="paper", protocols=protocols)
    values = {"libero_object": "60.0", "libero_goal": "60.2", "average": "60.1"}
    numbers = [number("a", "wam", condition, value, **fields) for condition, value in values.items()]
    return PublishedMethod("wam", {"libero": printed_rates("wam", "libero", published(*numbers, papers={"a": paper}))})


def test_a_run_against_a_paper_of_the_same_protocol() -> None:
    comparison = compare([run("mine", 0.9, 0), method(trials=1000)])
    rows = {row.group: row for row in comparison.rows}
    assert [(row.level, row.group) for row in comparison.rows] == [
        ("overall", "all"),
        ("suite", "libero_goal"),
        ("suite", "libero_object"),
    ]
    assert rows["libero_goal"].reference.successes == 602
    assert {row.verdict for row in rows.values()} == {Verdict.BETTER}
    assert rows["all"].test in ("Boschloo", "Fisher", "score") and rows["all"].detectable < 0.15
    assert "episodes per task: 20, the paper 50" in rows["all"].notes
    unstated = "the paper's protocol does not state: settings.cameras, settings.settle_steps, versions.mujoco"
    assert unstated in rows["all"].notes


def test_suites_are_one_family_against_runs_and_papers() -> None:
    rows = compare([run("mine", 0.7, 0), run("other", 0.6, 1), method(trials=1000)]).rows
    family = [row for row in rows if row.level == "suite"]
    assert len(family) == 4
    assert min(row.p_holm / row.p for row in family if row.p == min(r.p for r in family)) == pytest.approx(4)


@pytest.mark.parametrize(
    ("rules", "fields", "paper", "reason"),
    [
        ({}, {}, PROTOCOL, "n unknown"),
        ({}, {"trials": 7}, PROTOCOL, "60.0 % of 7 episodes is no whole number of successes"),
        ({}, {"trials": 500}, None, "the paper's protocol is not known"),
        ({"step_limit": 220}, {"trials": 500}, PROTOCOL, "step_limit: 220, the paper 280"),
        ({"seed": 7}, {"trials": 500}, PROTOCOL, "seed: 7, the paper 0"),
        ({"assets": {"kind": "stand-in", "digest": "1"}}, {"trials": 500}, PROTOCOL, "mine: stand-in assets"),
    ],
)
def test_reasons_for_no_verdict_on_a_paper(
    rules: dict[str, Any], fields: dict[str, Any], paper: PaperProtocol | None, reason: str
) -> None:
    (row,) = [
        row
        for row in compare([run("mine", 0.9, 0, **rules), method(paper, **fields)]).rows
        if row.group == "libero_object"
    ]
    assert row.verdict is Verdict.NONE and row.reasons == (reason,)
    assert row.reference.printed == "60.0"


def test_the_average_of_a_paper_needs_all_its_parts() -> None:
    mine = run("mine", 0.9, 0, {"libero_object": 10})
    rows = {row.group: row for row in compare([mine, method(trials=1000)]).rows}
    assert rows["all"].reasons == ("mine: libero_goal not played",)
    assert rows["libero_object"].verdict is Verdict.BETTER


def test_some_tasks_of_a_suite_are_not_what_a_paper_printed() -> None:
    mine = run("mine", 0.9, 0)
    record = change_suites(mine.record, "libero_goal", size=12)
    rows = {row.group: row for row in compare([replace(mine, record=record), method(trials=1000)]).rows}
    assert rows["libero_goal"].reasons == ("mine: only 10 of 12 tasks of libero_goal",) == rows["all"].reasons
    assert rows["libero_object"].verdict is Verdict.BETTER


def robotwin(name: str, probability: float, tasks: int = 50) -> RunData:
    suites = {"robotwin_clean": tasks, "robotwin_randomized": tasks}
    axes = {suite: [{"condition": suite.removeprefix("robotwin_")}] * tasks for suite in suites}
    record = run_record(name, suites, 10, "robotwin", axes)
    records = records_of(record, draw_outcomes(record, probability, 0))
    return run_data(record, [r.model_copy(update={"task_name": f"task_{r.task}"}) for r in records])


def printed_on_robotwin(tasks: int) -> PublishedMethod:
    protocols = {"robotwin": PaperProtocol(source="s")}
    paper = Paper(title="A", arxiv="2600.00001", url="u", kind="paper", protocols=protocols)
    fields: dict[str, Any] = {"benchmark": "robotwin", "trials": 5000}
    numbers = [number("a", "wam", condition, "84.0", **fields) for condition in ("clean", "randomized")]
    numbers += [
        number("a", "wam", "clean", "84", **fields | {"task": f"task_{t}", "trials": 100}) for t in range(tasks)
    ]
    return PublishedMethod(
        "wam", {"robotwin": printed_rates("wam", "robotwin", published(*numbers, papers={"a": paper}))}
    )


def test_a_paper_without_an_average_is_judged_by_its_conditions() -> None:
    comparison = compare([robotwin("awful", 0.02), printed_on_robotwin(50)])
    assert not any(row.level == "overall" for row in comparison.rows)
    assert comparison.verdicts() == {Verdict.WORSE}


def test_a_paper_that_played_other_tasks_gets_no_verdict() -> None:
    rows = {row.group: row for row in compare([robotwin("mine", 0.5), printed_on_robotwin(10)]).rows}
    assert rows["clean"].reasons == ("mine: 50 tasks, the paper's 10 others",)
    assert rows["clean/task_3"].verdict is Verdict.UNSURE


def perturbed(chosen: dict[str, Collection[int]] | None = None) -> RunData:
    """A run of LIBERO-Plus's 10,030 tasks, or of some of them."""
    record = libero_plus_record("mine", chosen)
    return run_data(record, records_of(record, draw_outcomes(record, 0.8, 0)))


def printed_on_libero_plus(total: str = "50.0", measured_by: str = "own", **protocol: Any) -> PublishedMethod:
    protocols = {"libero_plus": PaperProtocol(source="s", **protocol)}
    paper = Paper(title="A", arxiv="2600.00001", url="u", kind="paper", protocols=protocols)
    printed = ["16.4", "44.5", "68.9", "78.2", "53.7", "37.7", "60.7", total]
    numbers = [
        number("a", "wam", condition, value, benchmark="libero_plus", trials=1000, measured_by=measured_by)
        for condition, value in zip(grouping("libero_plus").conditions, printed, strict=True)
    ]
    known = published(*numbers, papers={"a": paper})
    return PublishedMethod("wam", {"libero_plus": printed_rates("wam", "libero_plus", known)})


def test_a_complete_run_is_judged_by_condition() -> None:
    rows = {row.group: row for row in compare([perturbed(), printed_on_libero_plus()]).rows}
    assert list(rows) == ["all", *sorted(grouping("libero_plus").averaging.groups)]
    assert all(row.reasons == () for row in rows.values())
    assert rows["camera"].candidate.n == 1599
    assert rows["camera"].verdict is Verdict.BETTER
    assert rows["light"].verdict is not Verdict.NONE


def test_a_condition_is_judged_if_all_its_tasks_were_played() -> None:
    """All of camera, which comes first, and some of robot; one suite's share of camera is not enough."""
    camera = {f"libero_plus_{base}": n for base, n in (("spatial", 376), ("object", 396), ("goal", 408), ("10", 419))}
    mine = perturbed({suite: range(count + 10) for suite, count in camera.items()})
    rows = {row.group: row for row in compare([mine, printed_on_libero_plus()]).rows}
    assert rows["camera"].verdict is Verdict.BETTER
    assert rows["robot"].reasons == ("mine: only 40 of 1,550 tasks of robot",)
    assert rows["all"].reasons[0] == "mine: only 1,639 of 10,030 tasks"
    goal = {
        row.group: row for row in compare([perturbed({"libero_plus_goal": range(2591)}), printed_on_libero_plus()]).rows
    }
    assert goal["camera"].reasons == ("mine: only 408 of 1,599 tasks of camera",)


def test_a_papers_own_sample_is_complete_for_its_own_numbers() -> None:
    bases = {f"libero_plus_{base}": f"libero_{base}" for base in ("spatial", "object", "goal", "10")}
    sizes = LIBERO_PLUS
    mine = perturbed(
        {s: random.Random(f"7:{base}").sample(range(sizes[s]), -(-sizes[s] // 10)) for s, base in bases.items()}
    )
    sample: dict[str, Any] = {"sample": 0.1, "sample_seed": 7}
    row = overall(mine, printed_on_libero_plus(**sample))
    assert row.verdict is Verdict.BETTER
    assert "its tasks are the 10 % of each suite that the paper's script draws (seed 7)" in row.notes
    cited = overall(mine, printed_on_libero_plus(measured_by="cited", **sample))
    assert cited.reasons == ("mine: only 1,005 of 10,030 tasks",)


def test_a_total_that_is_no_task_weighted_mean_gets_no_verdict() -> None:
    mine = perturbed()
    reasons = {total: overall(mine, printed_on_libero_plus(total)).reasons for total in ("50.0", "51.4", "60.0")}
    assert reasons == {
        "50.0": (),
        "51.4": ("the paper's total is the mean of the dimensions, not the task-weighted mean",),
        "60.0": ("the paper's total is no mean of its dimensions, not the task-weighted mean",),
    }


def test_a_paper_can_be_the_candidate() -> None:
    row = overall(method(trials=1000), run("mine", 0.9, 0))
    assert (row.verdict, row.other) == (Verdict.WORSE, "mine") and row.high < 0


def test_one_method_by_two_names_is_one() -> None:
    ours = method(trials=500)
    with pytest.raises(UserError, match="compared with itself"):
        compare([ours, PublishedMethod("wam@a", ours.printed)])


def test_two_papers_are_never_judged_against_each_other() -> None:
    ours = method(trials=500)
    theirs = replace(ours.printed["libero"], paper=Paper(title="B", arxiv=None, url="u", kind="paper"))
    rows = compare([ours, PublishedMethod("other", {"libero": theirs})]).rows
    assert {row.verdict for row in rows} == {Verdict.NONE}
    assert "printed by two papers, whose protocols have not been compared" in rows[0].reasons


def test_comparisons_do_not_depend_on_the_order_of_the_ledger() -> None:
    record, other = run_record("a", TASKS, 20), run("b", 0.7, 1)
    records = records_of(record, draw_outcomes(record, 0.8, 0))
    shuffled = [records[i] for i in np.random.default_rng(3).permutation(len(records))]
    assert compare([run_data(record, records), other]) == compare([run_data(record, shuffled), other])


@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_equal_policies_differ_significantly_in_at_most_5_percent(
    shared: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """120 suites of equally likely outcomes in one comparison; ``shared`` of the episodes end alike in both runs.

    More in test_simulated_coverage. What no verdict depends on is replaced, since it takes most of the time.
    """
    monkeypatch.setattr(statistics, "permutation_within_tasks", lambda *_: 1.0)
    monkeypatch.setattr(statistics, "detectable_paired", lambda *_: 1.0)
    pairs, episodes = 120, 100
    suites = {f"suite_{i:03d}": episodes for i in range(pairs)}
    records = [run_record(name, suites, 1, "mine") for name in "ab"]
    rng = np.random.default_rng(7)
    first, second = rng.random(pairs * episodes) < 0.8, rng.random(pairs * episodes) < 0.8
    second = np.where(rng.random(pairs * episodes) < shared, first, second)
    sides = [run_data(r, records_of(r, won)) for r, won in zip(records, (first, second), strict=True)]
    rows = [row for row in compare(sides).rows if row.level == "suite"]
    assert len(rows) == pairs and all(row.p is not None for row in rows)
    wrong = sum(row.p < ALPHA for row in rows)
    assert wrong / pairs <= 0.05 + 3 * (0.05 * 0.95 / pairs) ** 0.5
    assert all((row.p < ALPHA) == (not row.low <= 0 <= row.high) or abs(row.p - ALPHA) < 0.03 for row in rows)


@pytest.mark.parametrize(("kind", "name"), [("miniature", "miniature"), ("stand-in tasks", "stand-ins")])
def test_tasks_of_our_own_are_never_compared_with_papers(kind: str, name: str) -> None:
    mine = run("mine", 0.9, 0, assets={"kind": kind, "digest": "1"})
    with pytest.raises(UserError, match=f"played the embedded {name} of libero; papers played the real one"):
        compare([mine, method(trials=1000)])
    assert overall(mine, run("other", 0.1, 1, assets={"kind": kind, "digest": "1"})).verdict is Verdict.BETTER
