"""Estimates of success rates from the data frame of a run: the only place where averages are defined."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import pandas as pd

from wam_eval import config
from wam_eval.analysis.actions import ActionData, action_data, action_warnings
from wam_eval.analysis.frame import MISSING, RunData, axis_column
from wam_eval.analysis.statistics import Interval, cluster_interval, mean_of_rates, stratified_bootstrap, wilson
from wam_eval.episode import Outcome
from wam_eval.papers.grouping import Grouping, grouping
from wam_eval.papers.published import Number, PaperProtocol
from wam_eval.run.folder import RunRecord
from wam_eval.run.task_selection import draw


def tasks_left_out(record: RunRecord, suites: Collection[str] | None = None) -> str | None:
    """Numbers of planned tasks of the suites that are played in part, in words; ``None`` if none is.

    Args:
        suites: names of suites of the run; all by default.
    """
    mine = {name: suite for name, suite in record.suites.items() if suites is None or name in suites}
    few = {name: suite for name, suite in mine.items() if len(suite.tasks) < suite.size}
    if not few:
        return None
    listed = [f"{len(suite.tasks):,} of {suite.size:,} tasks of {name}" for name, suite in few.items()]
    if len(few) == 1:
        return f"only {listed[0]}"
    planned, size = sum(len(suite.tasks) for suite in mine.values()), sum(suite.size for suite in mine.values())
    return f"only {planned:,} of {size:,} tasks: {', '.join(listed)}"


def condition_left_out(episodes: pd.DataFrame, group: Grouping, condition: str) -> str | None:
    """Number of tasks of a condition, or of the whole benchmark, among episodes, in words; ``None`` for all tasks.

    Args:
        group: grouping of the benchmark, with sizes of its conditions.
        condition: a condition, or the whole.
    """
    played, size = tasks_in(episodes), group.sizes.get(condition, sum(group.sizes.values()))
    of = f" of {condition}" if condition in group.sizes else ""
    return f"only {played:,} of {size:,} tasks{of}" if played < size else None


def tasks_in(episodes: pd.DataFrame) -> int:
    """Number of tasks of these episodes."""
    return int(episodes.groupby(["suite", "task"]).ngroups)


def plays_sample(record: RunRecord, benchmark: str, stated: PaperProtocol | None) -> bool:
    """True if a run plans exactly the tasks that a paper's code draws from a benchmark."""
    return stated is not None and stated.sample is not None and _planned(record, benchmark) == _drawn(benchmark, stated)


def about_sample(record: RunRecord, benchmark: str, stated: PaperProtocol | None) -> str | None:
    """Relation of a run's tasks to those that a paper's code draws, in words; ``None`` if it draws none."""
    if stated is None or stated.sample is None:
        return None
    planned, drawn = _planned(record, benchmark), _drawn(benchmark, stated)
    verb = "are" if planned == drawn else "are some of" if planned < drawn else "are not"
    share = f"{100 * stated.sample:g} % of each suite that the paper's script draws (seed {stated.sample_seed})"
    return f"its tasks {verb} the {share}"


def _planned(record: RunRecord, benchmark: str) -> set[tuple[str, int]]:
    return {(name, task) for name in record.suites_of(benchmark) for task in record.suites[name].tasks}


def _drawn(benchmark: str, stated: PaperProtocol) -> set[tuple[str, int]]:
    """Suite and task of the tasks that a paper's code draws from the suites of a benchmark."""
    drawn: set[tuple[str, int]] = set()
    for name in config.elementary(benchmark):
        suite = config.load_suite(name)
        tasks = draw(list(range(suite.task_count)), stated.sample or 1, f"{stated.sample_seed}:{suite.base or name}")
        drawn |= {(name, task) for task in tasks}
    return drawn


@dataclass(frozen=True)
class Estimate:
    """A success rate with its interval and the episodes behind it.

    Attributes:
        rate: fraction of the counted episodes; ``None`` if none counts.
        low, high: ends of the 95 % interval; 0 and 1 if no episode counts, ``None`` if it cannot be computed.
        successes: number of successes; ``None`` for a mean of rates, and if a paper's number allows none.
        n: number of episodes that count, successes and failures; ``None`` for a mean of rates, and if a paper does not
            state it.
        planned: number of planned episodes; ``None`` for a mean of rates and for a published number.
        outcomes: outcome -> number of episodes, without those that have no record.
        reasons: reason -> number of episodes that were not run for it, the most frequent first.
        printed: the number as a paper prints it, in %; ``None`` for a run.
        groups: number of rates behind a mean of rates; ``None`` otherwise.
    """

    rate: float | None
    low: float | None = None
    high: float | None = None
    successes: int | None = None
    n: int | None = None
    planned: int | None = None
    outcomes: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    printed: str | None = None
    groups: int | None = None

    @property
    def coverage(self) -> float | None:
        """Share of the planned episodes that count; ``None`` if ``planned`` is."""
        if self.planned is None or self.n is None:
            return None
        return self.n / self.planned if self.planned else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The numbers as plain values, for JSON and CSV."""
        return {
            "planned": self.planned,
            "n": self.n,
            "successes": self.successes,
            "rate": self.rate,
            "low": self.low,
            "high": self.high,
            "coverage": self.coverage,
            "outcomes": dict(self.outcomes),
        }


def estimates(frame: pd.DataFrame, by: str | Sequence[str]) -> dict[Any, Estimate]:
    """The rates of groups of episodes, ordered by the groups' keys.

    Args:
        frame: episodes of a run.
        by: column, or columns, by whose values the episodes are grouped; rows without a value are left out.

    Returns:
        Value of the column, or tuple of the values of the columns, -> estimate.
    """
    if isinstance(by, str):
        return {key: found for (key,), found in _grouped(frame, [by]).items()}
    return _grouped(frame, list(by))


def estimate(frame: pd.DataFrame) -> Estimate:
    """The rate over all of these episodes, each with the same weight.

    The interval is that of :func:`wam_eval.analysis.statistics.stratified_bootstrap` over the tasks; that of a single
    task is Wilson's.
    """
    return _grouped(frame, []).get((), _estimate([], [], [], {}, {}))


def _grouped(frame: pd.DataFrame, columns: Sequence[str]) -> dict[tuple, Estimate]:
    """Values of columns -> estimate, from sums over tasks. One pass for all sums: there may be thousands of groups."""
    ended = frame["outcome"]
    kinds = sorted(set(ended) - {MISSING})
    ones = [frame["success"] & frame["counts"], frame["counts"], ended.notna(), *(ended == kind for kind in kinds)]
    keys = [*columns, *(name for name in ("suite", "task") if name not in columns)]
    sums = pd.concat(ones, axis=1, ignore_index=True).groupby([frame[name] for name in keys], sort=True).sum()
    by_group: dict[tuple, list[list[int]]] = {}
    for key, row in zip(sums.index.tolist(), sums.to_numpy(dtype=int).tolist(), strict=True):
        by_group.setdefault(key[: len(columns)], []).append(row)
    not_run = frame[(ended == Outcome.NOT_RUN.value) & (frame["error"] != "")]
    reasons: dict[tuple, Counter[str]] = defaultdict(Counter)
    for *values, reason in not_run[[*columns, "error"]].itertuples(index=False, name=None):
        reasons[tuple(values)][reason] += 1
    found = {}
    for group, rows in by_group.items():
        successes, n, planned, *ends = zip(*rows, strict=True)
        outcomes = {kind: sum(counts) for kind, counts in zip(kinds, ends, strict=True) if any(counts)}
        found[group] = _estimate(successes, n, planned, outcomes, dict(reasons[group].most_common()))
    return found


def counted_estimate(successes: Sequence[int], n: Sequence[int]) -> Estimate:
    """The rate over all episodes of some tasks, from their successes and counted episodes."""
    return _estimate(successes, n, n, {}, {})


def mean(parts: Sequence[Estimate]) -> Estimate:
    """The unweighted mean of independent rates; parts without counted episodes are left out.

    Raises:
        ValueError: no part has counted episodes.
    """
    known = [
        (part.rate, part.low, part.high)
        for part in parts
        if part.rate is not None and part.low is not None and part.high is not None
    ]
    if not known:
        raise ValueError("a mean needs at least one rate with an interval")
    rate, low, high = mean_of_rates(known)
    return Estimate(rate, low, high, groups=len(known))


def _estimate(
    successes: Sequence[int],
    n: Sequence[int],
    planned: Sequence[int],
    outcomes: Mapping[str, int],
    reasons: Mapping[str, int],
) -> Estimate:
    """The estimate of some tasks."""
    low, high = _of_one_task(successes[0], n[0]) if len(n) == 1 else stratified_bootstrap(successes, n)
    total = sum(n)
    rate = sum(successes) / total if total else None
    return Estimate(rate, low, high, sum(successes), total, sum(planned), outcomes, reasons)


@cache
def _of_one_task(successes: int, n: int) -> Interval:
    """The interval of a single task; cached because thousands of tasks have the same few counts."""
    return stratified_bootstrap([successes], [n])


# ---------------------------------------------------------------------- averages of a benchmark


@dataclass(frozen=True)
class Overall:
    """The overall success rate of a run on a benchmark, as the benchmark defines it.

    Attributes:
        estimate: the rate; ``None`` if it is not defined for these episodes.
        description: the episodes behind the rate, or the reason why it is not defined.
    """

    estimate: Estimate | None
    description: str


def overall(run: RunData, benchmark: str) -> Overall:
    """The overall success rate of a run on a benchmark.

    It is the rate over all episodes. If the benchmark's conditions weigh alike, it is only defined for equal numbers
    of counted episodes in each condition, for which it is the mean of their rates.
    """
    frame, group = run.episodes(benchmark), grouping(benchmark)
    if not frame["counts"].any():
        return Overall(None, "no episode counts yet")
    found = estimate(frame)
    suites = suites_of(run, benchmark)
    if group.averaging.by_task:
        if len(suites) == 1:
            return Overall(found, suites[0])
        size = sum(run.record.suites[suite].size for suite in suites)
        tasks = "all" if all_tasks_count(run, benchmark) else f"{tasks_in(frame[frame['counts']]):,} of {size:,}"
        return Overall(found, f"{tasks} tasks of {len(suites)} suites, each task weighing alike")
    counted = frame.groupby("condition")["counts"].sum().to_dict()
    conditions = group.ordered(frame["condition"].unique()) if group.axis else suites
    if len(conditions) == 1:
        return Overall(found, suites[0] if len(suites) == 1 else conditions[0])
    if len(set(counted.values())) == 1:
        return Overall(found, f"average of {len(conditions)} {group.plural}")
    numbers = ", ".join(str(counted[condition]) for condition in conditions)
    return Overall(None, f"no average: the {group.plural} have different numbers of counted episodes ({numbers})")


def suites_of(run: RunData, benchmark: str) -> list[str]:
    """Suites of a benchmark that a run plays, in the papers' order, else in the order of play."""
    return grouping(benchmark).ordered(run.record.suites_of(benchmark))


def all_tasks_count(run: RunData, benchmark: str) -> bool:
    """True if at least one episode of every task of a run's suites counts."""
    frame = run.episodes(benchmark)
    sizes = [run.record.suites[suite].size for suite in run.record.suites_of(benchmark)]
    return tasks_in(frame[frame["counts"]]) == sum(sizes)


def mean_of_conditions(frame: pd.DataFrame, group: Grouping) -> Estimate | None:
    """The unweighted mean of the rates of the conditions with counted episodes; ``None`` if no episode counts."""
    found = {condition: part for condition, part in estimates(frame, "condition").items() if part.n}
    return mean([found[condition] for condition in group.ordered(found)]) if found else None


def mean_name(group: Grouping, count: int) -> str:
    """The name of the mean of so many conditions."""
    every = len(group.averaging.groups)
    return f"mean of the {group.plural}" if count == every else f"mean of {count} of {every} {group.plural}"


def mean_in_words(frame: pd.DataFrame, group: Grouping) -> str:
    """The mean of the rates of the conditions, as a part of a sentence."""
    found = mean_of_conditions(frame, group)
    if found is None or found.rate is None:
        return f"no {group.noun} counts"
    return f"the {mean_name(group, found.groups or 0)} is {100 * found.rate:.1f}"


def published_estimate(number: Number) -> Estimate:
    """A printed rate, with successes and interval if its trials are known and can give this number."""
    rate, trials, printed = float(number.value) / 100, number.trials, str(number.value)
    if trials is None:
        return Estimate(rate, printed=printed)
    successes = round(rate * trials)
    rounding = 0.5 * 10.0 ** int(number.value.as_tuple().exponent) + 1e-9
    if abs(100 * successes / trials - float(number.value)) > rounding:
        return Estimate(rate, n=trials, printed=printed)
    low, high = wilson(successes, trials)
    return Estimate(rate, low, high, successes, trials, printed=printed)


# ---------------------------------------------------------------------- all estimates of a run


@dataclass(frozen=True)
class SuiteEstimate:
    """Estimates of a suite.

    Attributes:
        suite, benchmark: names.
        estimate: over all its planned episodes.
        tasks: task index -> estimate.
        new_tasks: 95 % interval of the rate on further tasks like these, which is the wider one.
    """

    suite: str
    benchmark: str
    estimate: Estimate
    tasks: dict[int, Estimate]
    new_tasks: Interval


@dataclass(frozen=True)
class GroupEstimate:
    """The estimate of the tasks that share a value on an axis.

    Attributes:
        suite: name of the suite; ``None`` for all suites of the benchmark.
        axis: name of the axis.
        value: value of the tasks.
        estimate: over their planned episodes.
    """

    suite: str | None
    axis: str
    value: str | int
    estimate: Estimate


@dataclass(frozen=True)
class BenchmarkEstimate:
    """Estimates of a benchmark over the suites of a run.

    Attributes:
        group: grouping of the benchmark.
        overall: its overall success rate.
        mean: mean of the conditions' rates, if the overall rate weighs tasks alike and at least two conditions count.
        groups: estimates by axis: conditions in each suite and over all suites if they differ within a suite, then the
            values of the other axes.
    """

    group: Grouping
    overall: Overall
    mean: Estimate | None
    groups: tuple[GroupEstimate, ...]

    @property
    def by_condition(self) -> bool:
        """True if tables list the conditions of the suites instead of their tasks."""
        return any(group.suite is not None for group in self.groups)


@dataclass(frozen=True)
class Summary:
    """All estimates of a run.

    Attributes:
        run: the run.
        suites: in order of play.
        benchmarks: sorted by name.
        total: over all planned episodes.
    """

    run: RunData
    suites: tuple[SuiteEstimate, ...]
    benchmarks: tuple[BenchmarkEstimate, ...]
    total: Estimate

    @property
    def complete(self) -> bool:
        """True if every planned episode counts."""
        return self.total.n == self.total.planned

    @property
    def publishable(self) -> bool:
        """True if all suites use official assets."""
        return self.assets == ["official"]

    @property
    def assets(self) -> list[str]:
        """Kinds of the assets, sorted."""
        return sorted({suite.protocol.assets.kind for suite in self.run.record.suites.values()})

    @cached_property
    def errors(self) -> dict[str, int]:
        """Text of an error, or reason for not running an episode -> number of episodes, the most frequent first."""
        texts = self.run.frame["error"]
        return dict(Counter(texts[texts != ""].tolist()).most_common())

    @cached_property
    def actions(self) -> list[ActionData]:
        """Statistics of the actions, for each action space."""
        return action_data(self.run)

    @property
    def warnings(self) -> list[str]:
        """Warnings about the actions."""
        return action_warnings(self.actions)

    @property
    def left_out(self) -> str | None:
        """Tasks of its suites that the run does not play, in words; ``None`` if it plays all."""
        return tasks_left_out(self.run.record)

    @property
    def average(self) -> Estimate | None:
        """The overall success rate of the run; ``None`` if it is not defined, and for several benchmarks."""
        return self.benchmarks[0].overall.estimate if len(self.benchmarks) == 1 else None


def summarize(run: RunData) -> Summary:
    """All estimates of a run."""
    tasks = estimates(run.frame, ["suite", "task"])
    by_suite = estimates(run.frame, "suite")
    suites = []
    for suite, record in run.record.suites.items():
        mine = {task: tasks[suite, task] for task in sorted(record.tasks) if (suite, task) in tasks}
        k, n = ([getattr(one, name) for one in mine.values()] for name in ("successes", "n"))
        found = by_suite.get(suite) or _estimate([], [], [], {}, {})
        suites.append(SuiteEstimate(suite, record.benchmark, found, mine, cluster_interval(k, n)))
    benchmarks = tuple(_benchmark(run, name) for name in run.record.benchmarks)
    return Summary(run, tuple(suites), benchmarks, estimate(run.frame))


def _benchmark(run: RunData, benchmark: str) -> BenchmarkEstimate:
    group, frame = grouping(benchmark), run.episodes(benchmark)
    several = len(frame[["suite", "condition"]].drop_duplicates()) > frame["suite"].nunique()
    others = [axis for axis in group.other_axes if frame[axis_column(axis)].notna().any()]
    groups = []
    if group.axis and (several or others):
        by_suite = estimates(frame, ["suite", "condition"])
        for suite in run.record.suites_of(benchmark):
            conditions = group.ordered(condition for name, condition in by_suite if name == suite)
            groups += [GroupEstimate(suite, group.axis.name, name, by_suite[suite, name]) for name in conditions]
        over_all = estimates(frame, "condition")
        groups += [GroupEstimate(None, group.axis.name, name, over_all[name]) for name in group.ordered(over_all)]
    for axis in others:
        levels = estimates(frame, axis_column(axis))
        groups += [GroupEstimate(None, axis.name, value, levels[value]) for value in axis.values if value in levels]
    mean_rate = mean_of_conditions(frame, group) if group.averaging.by_task else None
    if mean_rate is not None and (mean_rate.groups or 0) < 2:
        mean_rate = None
    return BenchmarkEstimate(group, overall(run, benchmark), mean_rate, tuple(groups))
