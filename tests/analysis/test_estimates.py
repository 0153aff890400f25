"""Estimates: which episodes count, how they are averaged, and that the order of a ledger does not matter."""

import random
from collections.abc import Mapping, Sequence
from decimal import Decimal

import numpy as np
import pytest

from tests.builders.published import number
from tests.builders.runs import (
    LIBERO,
    Axes,
    change_suites,
    draw_outcomes,
    libero_plus_record,
    perturbation,
    planned_episodes,
    records_of,
    run_record,
)
from tests.toy import CATALOG
from wam_eval.analysis.estimates import (
    Estimate,
    Summary,
    counted_estimate,
    estimate,
    estimates,
    mean,
    mean_in_words,
    mean_name,
    overall,
    published_estimate,
    summarize,
)
from wam_eval.analysis.frame import run_data
from wam_eval.analysis.statistics import stratified_bootstrap, wilson
from wam_eval.episode import Outcome
from wam_eval.papers.grouping import grouping
from wam_eval.run.folder import RunRecord
from wam_eval.run.ledger import Record

S, F, E, N = Outcome.SUCCESS, Outcome.FAILURE, Outcome.SIMULATOR_ERROR, Outcome.NOT_RUN


def ended(record: RunRecord, outcomes: Mapping[tuple[str, int], Sequence[Outcome]]) -> list[Record]:
    """The ledger of a run whose episodes ended as told, by suite and task; episodes not run need assets."""
    by_index = {(e.suite, e.task, e.index): e for e in planned_episodes(record)}
    return [
        Record.of(
            by_index[suite, task, index],
            outcome=outcome,
            steps=1,
            attempt=1,
            seconds={},
            error={N: "needs assets", E: "it broke"}.get(outcome),
        )
        for (suite, task), row in outcomes.items()
        for index, outcome in enumerate(row)
    ]


def summary(record: RunRecord, outcomes: Mapping[tuple[str, int], Sequence[Outcome]]) -> Summary:
    return summarize(run_data(record, ended(record, outcomes)))


def test_only_successes_and_failures_count() -> None:
    found = summary(run_record("test", {"a": 1}, 6, "mine"), {("a", 0): [S, S, F, E, N]}).suites[0].estimate
    assert (found.planned, found.n, found.successes) == (6, 3, 2)
    assert found.rate == pytest.approx(2 / 3)
    assert found.coverage == 0.5
    assert found.outcomes == {"failure": 1, "not_run": 1, "simulator_error": 1, "success": 2}
    assert found.reasons == {"needs assets": 1}


def test_a_suite_without_results_has_no_rate() -> None:
    found = summary(run_record("test", {"a": 1}, 2, "mine"), {})
    assert (found.suites[0].estimate.rate, found.suites[0].estimate.low, found.suites[0].estimate.high) == (None, 0, 1)
    assert not found.complete
    assert found.benchmarks[0].overall.estimate is None
    assert found.benchmarks[0].overall.description == "no episode counts yet"


def test_an_estimate_of_nothing_has_no_rate() -> None:
    frame = run_data(run_record("test", {"a": 1}, 2, "mine"), []).frame
    assert estimate(frame.iloc[:0]) == Estimate(None, 0.0, 1.0, successes=0, n=0, planned=0)


def test_the_interval_is_resampled_within_the_tasks() -> None:
    """At least once against the statistics themselves: all tables and plots take their intervals from here."""
    record = run_record("test", {"libero_goal": 2, "libero_10": 1}, 4)
    frame = run_data(record, ended(record, {("libero_goal", 0): [S, S, S, F], ("libero_10", 0): [F, F, S, S]})).frame
    found = estimate(frame)
    assert (found.low, found.high) == stratified_bootstrap([2, 3, 0], [4, 4, 0])
    by_task = estimates(frame, ["suite", "task"])
    assert (by_task["libero_goal", 0].low, by_task["libero_goal", 0].high) == pytest.approx(wilson(3, 4))
    assert list(by_task) == [("libero_10", 0), ("libero_goal", 0), ("libero_goal", 1)]
    assert estimates(frame, "suite")["libero_goal"] == estimate(frame[frame["suite"] == "libero_goal"])
    assert counted_estimate([2, 3], [4, 4]).rate == found.rate


def test_the_average_needs_conditions_of_one_size() -> None:
    record = run_record("test", {"a": 4, "b": 4}, 1, "mine")
    even = {(suite, task): [S if suite == "a" else F] for suite in "ab" for task in range(4)}
    found = overall(run_data(record, ended(record, even)), "mine")
    assert found.estimate is not None and (found.estimate.rate, found.estimate.n) == (0.5, 8)
    assert found.description == "average of 2 suites"
    short = {key: row for key, row in even.items() if key != ("b", 3)}
    uneven = overall(run_data(record, ended(record, short)), "mine")
    assert uneven.estimate is None
    assert uneven.description == "no average: the suites have different numbers of counted episodes (4, 3)"
    alone = run_record("test", {"a": 4}, 1, "mine")
    single = overall(run_data(alone, ended(alone, {key: row for key, row in even.items() if key[0] == "a"})), "mine")
    assert single.estimate is not None and (single.estimate.rate, single.description) == (1.0, "a")


def test_conditions_of_an_axis_are_averaged_even_within_one_suite() -> None:
    axes = {"robotwin": [{"condition": "clean"}, {"condition": "clean"}, {"condition": "randomized"}]}
    record = run_record("twin", {"robotwin": 3}, 2, "robotwin", axes)
    counted = {("robotwin", 0): [S, S], ("robotwin", 2): [F, F]}
    assert overall(run_data(record, ended(record, counted)), "robotwin").description == "average of 2 conditions"
    more = {**counted, ("robotwin", 1): [S, F]}
    assert overall(run_data(record, ended(record, more)), "robotwin").description == (
        "no average: the conditions have different numbers of counted episodes (4, 2)"
    )


def test_records_outside_the_plan_do_not_count() -> None:
    wider = run_record("test", {"a": 2}, 2, "mine")
    records = ended(wider, {("a", 0): [S, F], ("a", 1): [F]})
    narrow = run_record("test", {"a": 1}, 1, "mine")
    assert summarize(run_data(narrow, records)).suites[0].estimate.n == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_ledger_does_not_matter(seed: int) -> None:
    record = run_record("test", {"a": 3}, 4, "mine")
    records = ended(record, {("a", task): [S, F, E, N] for task in range(3)})
    ordered = summarize(run_data(record, records))
    found = summarize(run_data(record, random.Random(seed).sample(records, len(records))))
    assert (found.suites, found.total, found.benchmarks) == (ordered.suites, ordered.total, ordered.benchmarks)


# ---------------------------------------------------------------------- benchmarks whose tasks differ on axes

PERTURBED = [perturbation("camera", 1), perturbation("camera", 3), perturbation("noise", 1), perturbation("light")]


def perturbed(**outcomes: Sequence[Outcome]) -> Summary:
    """A run of LIBERO-Plus's suites with one task under each of four conditions; of each the outcomes of its tasks."""
    suites = {f"libero_plus_{name}": row for name, row in outcomes.items()}
    record = run_record("plus", dict.fromkeys(suites, 4), 1, "libero_plus", dict.fromkeys(suites, PERTURBED))
    return summary(record, {(suite, task): [o] for suite, row in suites.items() for task, o in enumerate(row)})


def test_perturbed_tasks_are_summed_up_by_suite_condition_and_difficulty() -> None:
    (plus,) = perturbed(goal=[S, F, S, N], object=[S, S, F, N]).benchmarks
    found = {(g.suite, g.axis, g.value): (g.estimate.successes, g.estimate.n, g.estimate.planned) for g in plus.groups}
    goal, objects = "libero_plus_goal", "libero_plus_object"
    assert found == {
        (goal, "dimension", "camera"): (1, 2, 2),
        (goal, "dimension", "light"): (0, 0, 1),
        (goal, "dimension", "noise"): (1, 1, 1),
        (objects, "dimension", "camera"): (2, 2, 2),
        (objects, "dimension", "light"): (0, 0, 1),
        (objects, "dimension", "noise"): (0, 1, 1),
        (None, "dimension", "camera"): (3, 4, 4),
        (None, "dimension", "light"): (0, 0, 2),
        (None, "dimension", "noise"): (1, 2, 2),
        (None, "difficulty", 1): (3, 4, 4),
        (None, "difficulty", 3): (1, 2, 2),
    }
    assert [value for suite, _, value in found if suite == goal] == ["camera", "light", "noise"], "the papers' order"


def test_both_averages_of_perturbed_tasks() -> None:
    (plus,) = perturbed(goal=[S, F, S, F], object=[S, S, F, F]).benchmarks
    assert plus.overall.estimate is not None and plus.overall.estimate.rate == 4 / 8, "task-weighted"
    assert plus.mean is not None and plus.mean.groups == 3
    assert plus.mean.rate == pytest.approx((3 / 4 + 0 / 2 + 1 / 2) / 3)
    assert plus.mean.low < plus.mean.rate < plus.mean.high


def test_the_mean_states_how_many_conditions_count() -> None:
    found = perturbed(goal=[S, F, S, N])
    (plus,) = found.benchmarks
    assert plus.mean is not None and (plus.mean.groups, plus.mean.rate) == (2, (1 / 2 + 1) / 2)
    assert plus.overall.estimate is not None and plus.overall.estimate.n == 3
    assert found.total.reasons == {"needs assets": 1} == found.errors
    assert perturbed(goal=[S, F, N, N]).benchmarks[0].mean is None, "one condition has no mean"
    group = grouping("libero_plus")
    assert mean_name(group, 7) == "mean of the dimensions"
    assert mean_name(group, 2) == "mean of 2 of 7 dimensions"
    assert mean_in_words(found.run.frame, group) == "the mean of 2 of 7 dimensions is 75.0"
    assert mean_in_words(found.run.frame.iloc[:0], group) == "no dimension counts"


def test_one_condition_is_listed_instead_of_its_tasks() -> None:
    """Its tasks may be hundreds."""
    axes = {"libero_plus_goal": [perturbation("camera", 3)] * 2}
    (plus,) = summary(run_record("p", {"libero_plus_goal": 2}, 1, "libero_plus", axes), {}).benchmarks
    assert plus.by_condition
    axes = {"robotwin_clean": [{"condition": "clean"}] * 2}
    (twin,) = summary(run_record("t", {"robotwin_clean": 2}, 1, "robotwin", axes), {}).benchmarks
    assert not twin.by_condition and twin.groups == ()


def test_other_axes_of_a_benchmark_that_averages_suites(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAM_EVAL_PATH", str(CATALOG))
    axes: dict[str, list[Axes]] = {"toy": [{"weather": "windy", "level": 2}, {"weather": "calm", "level": 1}]}
    (toy,) = summary(run_record("mine", {"toy": 2}, 1, "toy", axes), {("toy", 0): [S], ("toy", 1): [F]}).benchmarks
    assert not toy.by_condition
    found = [(group.axis, group.value, group.estimate.rate) for group in toy.groups]
    assert found == [("weather", "calm", 0.0), ("weather", "windy", 1.0), ("level", 1, 0.0), ("level", 2, 1.0)]
    assert toy.overall.description == "toy" and toy.mean is None


def test_some_tasks_are_not_called_all() -> None:
    whole = libero_plus_record("whole")
    part = libero_plus_record("part", dict.fromkeys(whole.suites, range(9)))
    runs = [run_data(record, records_of(record, draw_outcomes(record, 0.7, 0))) for record in (whole, part)]
    assert [overall(run, "libero_plus").description for run in runs] == [
        "all tasks of 4 suites, each task weighing alike",
        "36 of 10,030 tasks of 4 suites, each task weighing alike",
    ]


def test_each_benchmark_of_a_run_has_its_own_average() -> None:
    """Suites of two benchmarks are never averaged, although they have equal numbers of episodes."""
    libero = run_record("both", dict.fromkeys(LIBERO[:2], 1), 2)
    twin = run_record("both", {"robotwin_clean": 1}, 2, "robotwin", {"robotwin_clean": [{"condition": "clean"}]})
    record = libero.model_copy(update={"suites": {**libero.suites, **twin.suites}})
    found = summary(record, {(suite, 0): [S, F] if suite in LIBERO else [S, S] for suite in record.suites})
    rates = {b.group.benchmark: b.overall.estimate.rate for b in found.benchmarks if b.overall.estimate}
    assert rates == {"libero": 0.5, "robotwin": 1.0}
    assert found.average is None and found.total.rate == 4 / 6


def test_tasks_left_out_stand_in_the_summary() -> None:
    whole = run_record("test", {"a": 2}, 1, "mine")
    assert summary(whole, {}).left_out is None
    assert summary(change_suites(whole, size=10_000), {}).left_out == "only 2 of 10,000 tasks of a"


# ---------------------------------------------------------------------- means and published numbers


def test_a_mean_of_rates_weighs_them_alike() -> None:
    found = mean([counted_estimate([90], [100]), counted_estimate([10], [1000])])
    assert found.rate == pytest.approx((0.9 + 0.01) / 2)
    assert found.low < found.rate < found.high
    assert (found.groups, found.n, found.coverage) == (2, None, None)
    alone = counted_estimate([7], [9])
    one = mean([alone])
    assert (one.rate, one.low, one.high) == pytest.approx((alone.rate, alone.low, alone.high))
    with pytest.raises(ValueError, match="at least one rate"):
        mean([counted_estimate([], [])])


@pytest.mark.parametrize(
    ("value", "trials", "successes"), [("60.2", 1000, 602), ("60.0", 7, None), ("60.0", None, None), ("33.3", 3, 1)]
)
def test_a_printed_rate_has_an_interval_if_its_trials_can_give_it(
    value: str, trials: int | None, successes: int | None
) -> None:
    found = published_estimate(number(value, trials=trials))
    assert (found.successes, found.n, found.printed) == (successes, trials, value)
    assert found.rate == float(Decimal(value)) / 100
    interval = wilson(successes, trials) if successes is not None and trials else (None, None)
    assert (found.low, found.high) == interval


def test_many_tasks_of_one_episode_take_little_time() -> None:
    """All 10,030 tasks of LIBERO-Plus: the interval of equal counts is computed once."""
    record = libero_plus_record("plus")
    won = draw_outcomes(record, 0.8, 0)
    found = summarize(run_data(record, records_of(record, won)))
    assert sum(len(suite.tasks) for suite in found.suites) == 10_030
    assert found.total.rate == np.mean(won)
