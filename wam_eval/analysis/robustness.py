"""Drop of a policy's success rate from a benchmark to one that perturbs its tasks, paired by base task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from wam_eval.analysis.estimates import tasks_in, tasks_left_out
from wam_eval.analysis.frame import RunData, axis_column
from wam_eval.analysis.statistics import Counts, Interval, difference_of_rates, stratified_bootstrap, weighted_interval
from wam_eval.benchmark import load_benchmark
from wam_eval.errors import UserError
from wam_eval.papers.grouping import Grouping, grouping
from wam_eval.protocol import differences


@dataclass(frozen=True)
class MatchedDrop:
    """A group of perturbed tasks beside their base tasks.

    Attributes:
        level: ``overall``, ``suite``, ``condition``, or the name of another axis of the benchmark.
        group: name of the suite, condition or value.
        n: perturbed episodes that count.
        base: rate on the base tasks, each weighted by its number of perturbed episodes.
        perturbed: rate on the perturbed tasks.
        drop: base minus perturbed.
        interval: 95 % interval of the drop, for these tasks.
    """

    level: str
    group: str
    n: int
    base: float
    perturbed: float
    drop: float
    interval: Interval


@dataclass(frozen=True)
class Robustness:
    """All drops of a run.

    Attributes:
        perturbed, base: names of the runs.
        group, base_group: groupings of their benchmarks.
        drops: overall, by suite, by condition, and by the values of the other axes.
        notes: differences of the two runs apart from the perturbations, and missing tasks.
    """

    perturbed: str
    base: str
    group: Grouping
    base_group: Grouping
    drops: tuple[MatchedDrop, ...]
    notes: tuple[str, ...]


def robustness(perturbed: RunData, base: RunData) -> Robustness:
    """The drop from a policy's run on a base benchmark to its run on the benchmark that perturbs it; pure.

    Each base task is its own control: the difference of its two rates is averaged with the number of perturbed episodes
    that count as weight, so that differences in difficulty between tasks do not widen the interval. The intervals of
    both sides, for these tasks, are combined (Newcombe 1998; Zou & Donner 2008).

    Raises:
        UserError: other benchmarks, another policy, or no task in common.
    """
    group, base_group = _groupings(perturbed, base)
    if differ := perturbed.record.policy.differences(base.record.policy):
        listed = "\n  ".join(f"{name}: {first!r} / {second!r}" for name, first, second in differ)
        raise UserError(f"{perturbed.name} and {base.name} are of different policies:\n  {listed}")
    controls = base.counted.groupby(["suite", "task_name"])["success"].agg(["sum", "size"])
    rows = _with_base(perturbed, controls)
    paired = rows[rows["base"] != ""]
    if paired.empty:
        raise UserError(f"no task of {perturbed.name} perturbs one that counts in {base.name}")
    notes = list(_differences(perturbed, base))
    for run in (perturbed, base):
        notes += [f"{run.name}: {text}" for text in (tasks_left_out(run.record), *run.problems) if text]
    if len(paired) < len(rows):
        notes.append(f"{len(rows) - len(paired)} episodes are left out: {base.name} has none of their base tasks")
    whole = tasks_in(paired) == sum(suite.size for suite in perturbed.record.suites.values())
    drops = _drops(paired, controls, group, "all tasks" if whole else "tasks that count")
    return Robustness(perturbed.name, base.name, group, base_group, tuple(drops), tuple(notes))


def _groupings(perturbed: RunData, base: RunData) -> tuple[Grouping, Grouping]:
    """Groupings of the benchmarks of two runs. Raises :class:`UserError` if one does not perturb the other."""
    played = perturbed.record.benchmarks
    group = grouping(played[0]) if len(played) == 1 else None
    order = "give the run on the perturbed tasks first, then the run on their base benchmark"
    if group is None or group.base is None:
        raise UserError(f"run {perturbed.name} played {', '.join(played)}, which perturbs no other benchmark: {order}")
    if base.record.benchmarks != [group.base]:
        others = ", ".join(base.record.benchmarks)
        raise UserError(f"run {base.name} played {others}, but {group.benchmark} perturbs {group.base}: {order}")
    return group, grouping(group.base)


def _with_base(run: RunData, controls: pd.DataFrame) -> pd.DataFrame:
    """Counted rows with ``base_suite`` and the name of the ``base`` task, empty if that does not count in its run."""
    rows = run.counted
    suites = run.record.suites
    known = set(controls.index)
    pairs = [
        (suites[suite].base, suites[suite].tasks[task].base)
        for suite, task in zip(rows["suite"], rows["task"], strict=True)
    ]
    return rows.assign(
        base_suite=[suite for suite, _ in pairs], base=[pair[1] if pair in known else "" for pair in pairs]
    )


def _drops(rows: pd.DataFrame, controls: pd.DataFrame, group: Grouping, whole: str) -> Iterator[MatchedDrop]:
    yield _drop("overall", whole, rows, controls)
    for suite, mine in rows.groupby("suite", sort=True):
        yield _drop("suite", str(suite), mine, controls)
    by_condition = dict(list(rows.groupby("condition", sort=True))) if group.axis else {}
    for condition in group.ordered(map(str, by_condition)):
        yield _drop("condition", condition, by_condition[condition], controls)
    for axis in group.other_axes:
        for value, mine in rows.groupby(axis_column(axis), sort=True):
            yield _drop(axis.name, str(value), mine, controls)


def _drop(level: str, group: str, rows: pd.DataFrame, controls: pd.DataFrame) -> MatchedDrop:
    counts = rows.groupby(["base_suite", "base"])["success"].agg(["sum", "size"])
    pair = [(side["sum"].tolist(), side["size"].tolist()) for side in (controls.loc[counts.index], counts)]
    rate, perturbed, interval = matched_drop(*pair)
    return MatchedDrop(level, group, int(counts["size"].sum()), rate, perturbed, rate - perturbed, interval)


def matched_drop(base: Counts, perturbed: Counts) -> tuple[float, float, Interval]:
    """Rates on base tasks and on their perturbed versions, and the 95 % interval of the difference, for these tasks.

    Args:
        base: successes and episodes of each base task; its rate is weighted by its number of perturbed episodes.
        perturbed: successes and perturbed episodes of the same base tasks.
    """
    n = sum(perturbed[1])
    weights = [size / n for size in perturbed[1]]
    before = sum(weight * won / size for weight, won, size in zip(weights, *base, strict=True))
    after = sum(perturbed[0]) / n
    intervals = weighted_interval(*base, weights), stratified_bootstrap(*perturbed)
    return before, after, difference_of_rates(before, after, *intervals)


def _differences(perturbed: RunData, base: RunData) -> Iterator[str]:
    """Fields of the protocols that the perturbations do not explain."""
    for name, suite in sorted(perturbed.record.suites.items()):
        counterpart = base.record.suites.get(suite.base)
        if counterpart is None:
            yield f"{base.name} has no counterpart of {name}"
            continue
        ours, theirs = suite.protocol, counterpart.protocol
        for field, one, other in differences(ours, theirs):
            if other is not None and field.partition(".")[0] not in ("suite", "trials", "rules", "assets"):
                yield f"{name}: {field}: {one} here, {other} in {base.name}"
        if ours.assets.kind != theirs.assets.kind:
            yield f"{name}: {ours.assets.kind} assets here, {theirs.assets.kind} in {base.name}"
        defaults = load_benchmark(suite.benchmark).card(None)[1].settings
        for setting in sorted(ours.settings.keys() - theirs.settings.keys()):
            if setting in defaults and ours.settings[setting] != defaults[setting]:
                yield f"{name}: settings.{setting}: {ours.settings[setting]} here, {defaults[setting]} by default"
