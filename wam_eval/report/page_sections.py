"""Content of the report's sections as plain values: a pure function of runs, without plots and markup."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wam_eval.analysis.actions import action_data, action_warnings
from wam_eval.analysis.comparison import own_tasks
from wam_eval.analysis.estimates import (
    Estimate,
    all_tasks_count,
    counted_estimate,
    estimate,
    estimates,
    mean_name,
    mean_of_conditions,
    overall,
    published_estimate,
    tasks_left_out,
)
from wam_eval.analysis.estimates import suites_of as suites_of_run
from wam_eval.analysis.frame import RunData, axis_column, reasons_not_run
from wam_eval.analysis.statistics import Drop, drop
from wam_eval.benchmark import Axis
from wam_eval.papers.grouping import Grouping, grouping
from wam_eval.papers.published import MeasuredBy, Number, Paper, Published
from wam_eval.protocol import Protocol, classified, differences, flatten
from wam_eval.report.tables import not_comparable

PUBLISHED_SHOWN = 12
"""Number of published methods beside the runs."""
TASKS_DRAWN = 200
"""Number of tasks above which a benchmark is drawn by suite and condition instead of by task."""
STAGES = ("load", "policy", "simulate")
_TRUST = [MeasuredBy.OWN, MeasuredBy.REPRODUCED, MeasuredBy.CITED, MeasuredBy.UNKNOWN]


def labels_of(runs: Sequence[RunData]) -> list[str]:
    """Labels of runs in plots: the titles of their policies if these are unique, else the names of the runs."""
    titles = [run.title for run in runs]
    return titles if len(set(titles)) == len(titles) else [run.name for run in runs]


def benchmarks_of(runs: Iterable[RunData]) -> list[str]:
    """Benchmarks that the runs played, sorted."""
    return sorted({benchmark for run in runs for benchmark in run.record.benchmarks})


def suites_of(runs: Sequence[RunData], benchmark: str | None = None) -> list[str]:
    """Suites of all runs, of one benchmark in the papers' order, or of all in the order of play."""
    if benchmark is None:
        return list(dict.fromkeys(suite for run in runs for suite in run.record.suites))
    found = dict.fromkeys(suite for run in runs for suite in suites_of_run(run, benchmark))
    return grouping(benchmark).ordered(found)


def _counted(frame: pd.DataFrame, by: str | list[str]) -> dict[Any, Estimate]:
    """Estimates of the groups of which episodes count."""
    return {key: found for key, found in estimates(frame, by).items() if found.n}


# ---------------------------------------------------------------------- results


def headline(run: RunData, label: str) -> dict[str, Any]:
    """A run's policy, date, coverage and overall rates, reasons that forbid conclusions, warnings about actions."""
    record, policy = run.record, run.record.policy
    left_out, total = tasks_left_out(record), estimate(run.frame)
    rates = [(benchmark, overall(run, benchmark)) for benchmark in record.benchmarks]
    return {
        "name": run.name,
        "label": label,
        "policy": policy.full_title,
        "created": record.created[:10],
        "checkpoint": policy.checkpoint_sha256,
        "settings": ", ".join(f"{name} {value}" for name, value in sorted(policy.settings.items())),
        "versions": ", ".join(f"{name} {value}" for name, value in sorted(record.versions.items())),
        "command": shlex.join([*(Path(word).name for word in record.command[:1]), *record.command[1:]]),
        "planned": total.planned,
        "n": total.n,
        "coverage": total.coverage,
        "overall": [(benchmark, rate.estimate, rate.description) for benchmark, rate in rates],
        "official": not not_official(run),
        "warnings": [
            *not_official(run),
            *run.problems,
            *run.remarks,
            *reasons_not_run(run.frame),
            *([left_out] if left_out else []),
        ],
        "actions": action_warnings(action_data(run)),
    }


def not_official(run: RunData) -> list[str]:
    """A sentence for each kind of assets that is not the official one."""
    protocols = [suite.protocol for suite in run.record.suites.values()]
    kinds = sorted({protocol.assets.kind for protocol in protocols if not protocol.publishable})
    return [f"Played with {not_comparable(kind)}" for kind in kinds]


def suite_rows(runs: Sequence[RunData]) -> list[dict[str, Any]]:
    """The table of suites: one row per suite, with each run's estimate and coverage."""
    by_suite = [estimates(run.frame, "suite") for run in runs]
    rows = []
    for benchmark in benchmarks_of(runs):
        group, suites = grouping(benchmark), suites_of(runs, benchmark)
        for suite in suites:
            found = [one.get(suite) for one in by_suite]
            cells = [(one if one and one.n else None, one.coverage if one else None) for one in found]
            rows.append({"label": suite, "total": False, "cells": cells})
        if len(suites) > 1:
            name = f"average of the {group.plural}"
            if group.averaging.by_task:
                played = [run for run in runs if benchmark in run.record.benchmarks]
                name = "all tasks" if all(all_tasks_count(run, benchmark) for run in played) else "tasks that count"
            totals = [(overall(run, benchmark).estimate, None) for run in runs]
            rows.append({"label": f"{benchmark}, {name}", "total": True, "cells": totals})
    return rows


# ---------------------------------------------------------------------- published results


@dataclass(frozen=True)
class Line:
    """A run or a published method.

    Attributes:
        label: for the plot.
        values: condition -> estimate.
        run: position of the run among the runs, ``None`` for a published method.
        source, title, url: short name of the paper, its title and its address.
        training, pretraining, measured_by: as the paper states them.
    """

    label: str
    values: dict[str, Estimate]
    run: int | None = None
    source: str = ""
    title: str = ""
    url: str = ""
    training: str = ""
    pretraining: str = ""
    measured_by: str = ""

    @property
    def episodes(self) -> str:
        """Numbers of episodes behind the intervals, for the table."""
        counts = sorted({one.n for one in self.values.values() if one.n is not None and one.low is not None})
        if not counts:
            return "unknown"
        return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,}–{counts[-1]:,}"


@dataclass(frozen=True)
class Baselines:
    """Runs and published methods on one benchmark.

    Attributes:
        benchmark: name of the benchmark.
        conditions: conditions that are shown.
        lines: best first.
        known: number of published methods from which the best ones are shown.
    """

    benchmark: str
    conditions: list[str]
    lines: list[Line]
    known: int


def baselines(runs: Sequence[RunData], labels: Sequence[str], benchmark: str, published: Published) -> Baselines | None:
    """Runs beside the best citable published methods on the conditions that the runs played.

    A method appears once for each way of training it: as its authors measured it, else as reproduced or cited, and
    of these from the paper that reports most conditions. They are ranked by the benchmark's overall rate if the runs
    have one, else by the mean of the conditions shown.

    Returns:
        ``None`` if no episode counts, or if nothing was published on what was played.
    """
    group = grouping(benchmark)
    mine = [
        Line(label, _values(run, group), run=position)
        for position, (run, label) in enumerate(zip(runs, labels, strict=True))
    ]
    mine = [line for line in mine if line.values]
    if any(own_tasks(run, benchmark) for run in runs):
        return None
    conditions = [c for c in group.conditions if any(c in line.values for line in mine)]
    others = _published(benchmark, set(conditions), published)
    if not conditions or not others:
        return None
    whole = group.whole
    if whole in conditions:
        others = [line for line in others if whole in line.values] or others

    def rank(line: Line) -> tuple[bool, float, str]:
        rates = {condition: one.rate or 0.0 for condition, one in line.values.items()}
        best = rates.get(whole, sum(rates.values()) / len(rates))
        return whole in conditions and whole not in rates, -best, f"{line.label} {line.training} {line.source}"

    best = sorted(others, key=rank)[:PUBLISHED_SHOWN]
    twice = {label for label, count in Counter(line.label for line in best).items() if count > 1}
    best = [replace(li, label=f"{li.label} ({li.training})") if li.label in twice else li for li in best]
    return Baselines(benchmark, conditions, sorted([*mine, *best], key=rank), len(others))


def _values(run: RunData, group: Grouping) -> dict[str, Estimate]:
    """A run's rates by condition, and its overall rate if it plays the whole benchmark."""
    frame = run.episodes(group.benchmark)
    if not group.conditions or frame.empty:
        return {}
    values = _counted(frame, "condition")
    whole = overall(run, group.benchmark).estimate
    tasks = frame.drop_duplicates(["suite", "task"])["condition"].value_counts()
    complete = tasks_left_out(run.record, run.record.suites_of(group.benchmark)) is None
    complete = complete and all(tasks.get(name, 0) >= size for name, size in group.sizes.items())
    if whole is not None and complete and set(group.averaging.groups) <= values.keys():
        values[group.whole] = whole
    return values


def _published(benchmark: str, conditions: set[str], published: Published) -> list[Line]:
    setups: dict[tuple[str, str], dict[tuple[int, str], dict[str, Number]]] = {}
    for number in published.citable():
        here = number.benchmark == benchmark and number.condition in conditions
        if here and number.task is None and (number.metric, number.unit) == ("success_rate", "%"):
            by_source = setups.setdefault((number.method, number.training), {})
            source = _TRUST.index(number.measured_by), number.paper
            by_source.setdefault(source, {}).setdefault(str(number.condition), number)
    lines = []
    for (method, training), by_source in setups.items():
        trust, paper = min(by_source, key=lambda source: (source[0], -len(by_source[source]), source[1]))
        numbers = by_source[trust, paper]
        stated = sorted(
            {n.pretraining for values in by_source.values() for n in values.values() if n.pretraining is not None}
        )
        lines.append(
            Line(
                label=published.methods[method].name,
                values={condition: _containing_rate(number) for condition, number in numbers.items()},
                source=_source(published.papers[paper], paper),
                title=published.papers[paper].title,
                url=published.papers[paper].url,
                training=training,
                pretraining={"[True]": "yes", "[False]": "no"}.get(str(stated), "not stated"),
                measured_by=_TRUST[trust].value,
            )
        )
    return lines


def _source(paper: Paper, key: str) -> str:
    return f"arXiv {paper.arxiv}" if paper.arxiv and paper.kind == "paper" else key.replace("_", " ")


def _containing_rate(number: Number) -> Estimate:
    """The estimate of a printed rate with an interval that contains it, although it is printed with few digits."""
    found = published_estimate(number)
    if found.rate is None or found.low is None or found.high is None:
        return found
    return replace(found, low=min(found.rate, found.low), high=max(found.rate, found.high))


# ---------------------------------------------------------------------- tasks


@dataclass(frozen=True)
class TaskGrid:
    """A heat map.

    Attributes:
        groups: heading and labels of its rows.
        columns: run, and condition if the benchmark has any.
        successes, n: successes and counted episodes, int (rows, columns).
        by_suite: True if a row is a suite instead of a task.
    """

    groups: list[tuple[str, list[str]]]
    columns: list[tuple[str, str]]
    successes: NDArray[np.int64]
    n: NDArray[np.int64]
    by_suite: bool = False

    @property
    def labels(self) -> list[str]:
        """Labels of all rows."""
        return [label for _, labels in self.groups for label in labels]


def task_grid(
    runs: Sequence[RunData], labels: Sequence[str], benchmark: str, axis: Axis | None = None
) -> TaskGrid | None:
    """Success by task, run and condition; by suite and condition if there are too many tasks to draw.

    Args:
        runs, labels: the runs, and their labels in the report.
        benchmark: name of the benchmark.
        axis: axis whose values stand in the columns instead of the conditions.

    Returns:
        ``None`` if no run plays the benchmark.
    """
    frame = _rows_of_tasks(runs, labels, benchmark, axis)
    if frame.empty:
        return None
    suites = suites_of(runs, benchmark)
    values = map(str, axis.values) if axis else grouping(benchmark).conditions
    rank = {name: position for position, name in enumerate((*suites, *values))}
    by_suite = len(frame[["suite", "task"]].drop_duplicates()) > TASKS_DRAWN
    if by_suite:
        frame = frame.assign(group=frame["run"], row=frame["suite"], order=frame["suite"].map(rank), run="")
        groups = [label for label in labels if (frame["group"] == label).any()]
    else:
        conditioned = frame["condition"] != frame["suite"]
        frame = frame.assign(group=frame["suite"].where(~conditioned, ""), row=frame["label"], order=frame["task"])
        frame["condition"] = frame["condition"].where(conditioned, "")
        groups = [name for name in ("", *suites) if (frame["group"] == name).any()]
    runs_order = {label: position for position, label in enumerate(("", *labels))}
    columns = sorted(
        set(zip(frame["run"], frame["condition"], strict=True)),
        key=lambda c: (runs_order[c[0]], rank.get(c[1], len(rank)), c[1]),
    )
    parts, layout = [], []
    for name in groups:
        mine = frame[frame["group"] == name]
        first = mine.groupby("row")["order"].min()
        rows = sorted(first.index, key=lambda row: (first[row], row))
        sums = mine.groupby(["row", "run", "condition"])[["successes", "n"]].sum()
        parts.append(np.array([[_cell(sums, (row, *column)) for column in columns] for row in rows]))
        layout.append((name, rows))
    cells = np.concatenate(parts)
    return TaskGrid(layout, columns, cells[..., 0], cells[..., 1], by_suite)


def _cell(sums: pd.DataFrame, key: tuple[Hashable, ...]) -> tuple[int, int]:
    if key not in sums.index:
        return 0, 0
    successes, n = sums.loc[[key]].to_numpy()[0]
    return int(successes), int(n)


def _rows_of_tasks(runs: Sequence[RunData], labels: Sequence[str], benchmark: str, axis: Axis | None) -> pd.DataFrame:
    """One row per run and task: counts, and a label that a task has under all conditions."""
    parts = []
    for run, label in zip(runs, labels, strict=True):
        rows = run.episodes(benchmark)
        if rows.empty:
            continue
        if axis is not None:
            rows = rows.assign(condition=_values_on(rows, axis, benchmark))
        rows = rows.assign(won=rows["counts"] & rows["success"])
        keys = ["suite", "task", "condition"]
        table = rows.groupby(keys, as_index=False).agg(successes=("won", "sum"), n=("counts", "sum"))
        names = rows[rows["task_name"] != ""].drop_duplicates(keys)[[*keys, "task_name"]]
        table["name"] = table.merge(names, on=keys, how="left")["task_name"].fillna("")
        tasks = run.record.suites
        table["title"] = [tasks[s].tasks[t].instruction for s, t in zip(table["suite"], table["task"], strict=True)]
        parts.append(table.assign(run=label))
    if not parts:
        return pd.DataFrame(columns=["suite", "task"])
    frame = pd.concat(parts, ignore_index=True)
    conditioned = frame["condition"] != frame["suite"]
    frame["label"] = frame["task"].map("{:02d}  ".format) + frame["title"]  # Tasks may share an instruction.
    if conditioned.any():
        named = frame["name"].where(frame["name"] != "", frame["title"])
        if not set.intersection(*named.groupby(frame["condition"]).agg(set)):  # Names differ: tasks pair by index.
            named = frame["task"].map(named.groupby(frame["task"]).first())
        frame["label"] = named.where(conditioned, frame["label"])
    return frame


def _values_on(rows: pd.DataFrame, axis: Axis, benchmark: str) -> pd.Series:
    """Values of rows on an axis as text; the suite for tasks without one."""
    column = "condition" if axis == grouping(benchmark).axis else axis_column(axis)
    return rows[column].astype("string").fillna(rows["suite"]).astype("str")


# ---------------------------------------------------------------------- conditions and drops


@dataclass(frozen=True)
class Conditions:
    """Success rates of runs by condition of a benchmark.

    Attributes:
        group: grouping of the benchmark.
        names: conditions with planned episodes.
        counted: conditions with counted episodes.
        totals: names of the overall rates.
        runs: label of each run, and condition or total -> estimate.
        levels: other axis, conditions with a counted value on it, and for each run (condition, value) -> estimate.
    """

    group: Grouping
    names: list[str]
    counted: list[str]
    totals: list[str]
    runs: list[tuple[str, dict[str, Estimate]]]
    levels: list[tuple[Axis, list[str], list[tuple[str, dict[tuple[str, str | int], Estimate]]]]]


def conditions(runs: Sequence[RunData], labels: Sequence[str], benchmark: str) -> Conditions | None:
    """Success rates by condition, if conditions are values of an axis without a reference; ``None`` otherwise."""
    group = grouping(benchmark)
    if group.axis is None or group.axis.reference is not None:
        return None
    found: list[tuple[str, dict[str, Estimate]]] = []
    frames = []
    totals: dict[str, None] = {}
    for run, label in zip(runs, labels, strict=True):
        frame = run.episodes(benchmark)
        if not frame["counts"].any():
            continue
        rates = {}
        if (total := overall(run, benchmark).estimate) is not None:
            rates[f"{group.whole} (tasks)" if group.averaging.by_task else group.whole] = total
        if group.averaging.by_task and (mean := mean_of_conditions(frame, group)) and (mean.groups or 0) > 1:
            rates[mean_name(group, mean.groups or 0)] = mean
        totals |= dict.fromkeys(rates)
        found.append((label, {**estimates(frame, "condition"), **rates}))
        frames.append((label, frame))
    if not found:
        return None
    counted = [name for name in group.averaging.groups if any(name in of and of[name].n for _, of in found)]
    levels = []
    for axis in group.other_axes:
        by_run = [(label, _counted(frame, ["condition", axis_column(axis)])) for label, frame in frames]
        graded = [name for name in counted if any(name == condition for _, of in by_run for condition, _ in of)]
        if graded:
            levels.append((axis, graded, by_run))
    names = [name for name in group.averaging.groups if any(name in of for _, of in found)]
    return Conditions(group, names, counted, list(totals), found, levels)


class DropRow(NamedTuple):
    """The drop of a run.

    Attributes:
        label: label of the run.
        reference, other: rates under the reference condition and under the other one.
        drop: the drop.
        rates: rates by task, float64 (tasks, 2), NaN if no episode counts.
    """

    label: str
    reference: Estimate
    other: Estimate
    drop: Drop
    rates: NDArray[np.float64]


@dataclass(frozen=True)
class Drops:
    """Drops of runs from the reference value of an axis to another value.

    Attributes:
        group: grouping of the benchmark.
        reference, other: the values.
        tasks: labels of the tasks, ordered by the drop of the first run.
        rows: one per run that played both, with rates in the order of the tasks.
    """

    group: Grouping
    reference: str
    other: str
    tasks: list[str]
    rows: list[DropRow]


def drops(runs: Sequence[RunData], labels: Sequence[str], benchmark: str) -> list[Drops]:
    """The drop from the reference value of each axis to each other value, by run and by task."""
    group = grouping(benchmark)
    found = []
    for axis in group.axes:
        grid = task_grid(runs, labels, benchmark, axis) if axis.reference is not None else None
        if grid is None or grid.by_suite:
            continue
        for other in (str(value) for value in axis.values if value != axis.reference):
            rows = _drop_rows(grid, labels, str(axis.reference), other)
            if rows:
                difference = rows[0].rates[:, 0] - rows[0].rates[:, 1]
                order = np.lexsort((np.array(grid.labels), -np.nan_to_num(difference, nan=-2.0)))
                tasks = [grid.labels[position] for position in order]
                rows = [row._replace(rates=row.rates[order]) for row in rows]
                found.append(Drops(group, str(axis.reference), other, tasks, rows))
    return found


def _drop_rows(grid: TaskGrid, labels: Sequence[str], reference: str, other: str) -> list[DropRow]:
    rows = []
    for label in labels:
        pair = [(label, reference), (label, other)]
        if not set(pair) <= set(grid.columns):
            continue
        columns = [grid.columns.index(column) for column in pair]
        successes, n = grid.successes[:, columns], grid.n[:, columns]
        counts = [(successes[:, side].tolist(), n[:, side].tolist()) for side in (0, 1)]
        found = drop(*counts)
        if found is not None:
            rates = np.where(n > 0, successes / np.maximum(n, 1), np.nan)
            rows.append(DropRow(label, counted_estimate(*counts[0]), counted_estimate(*counts[1]), found, rates))
    return rows


# ---------------------------------------------------------------------- steps, time, episodes


class Curve(NamedTuple):
    """Share of the episodes of a suite that a run has solved by each control step.

    Attributes:
        label: label of the run.
        steps: int64 (k,), from 0 to the longest episode, or to the limit.
        solved: share of the counted episodes, float64 (k,).
        limit: step limit of the protocol; ``None`` if each task has its own.
    """

    label: str
    steps: NDArray[np.int64]
    solved: NDArray[np.float64]
    limit: int | None


def curves(runs: Sequence[RunData], labels: Sequence[str]) -> list[tuple[str, list[Curve]]]:
    """Success over steps, by suite."""
    panels = []
    for suite in suites_of(runs):
        lines = []
        for run, label in zip(runs, labels, strict=True):
            rows = run.counted[run.counted["suite"] == suite]
            if len(rows) and rows["steps"].notna().all():
                protocol = run.record.suites[suite].protocol
                one_limit = protocol.states("step_limit") and not protocol.step_limits
                limit = protocol.step_limit if one_limit else None
                end = max(limit or 0, int(rows["steps"].max()))
                at, count = np.unique(rows.loc[rows["success"], "steps"].to_numpy(np.int64), return_counts=True)
                share = np.concatenate([[0], count.cumsum(), [count.sum()]]) / len(rows)
                lines.append(Curve(label, np.concatenate([[0], at, [end]]), share, limit))
        if lines:
            panels.append((suite, lines))
    return panels


def seconds(run: RunData) -> dict[str, NDArray[np.float64]]:
    """Stage -> seconds of every episode that was played; empty arrays for a run without any."""
    played = run.frame[(run.frame["attempt"] > 0) & (run.record.imported is None)]
    return {stage: played[stage].to_numpy() for stage in STAGES}


def episode_columns(runs: Sequence[RunData]) -> dict[str, Any]:
    """All episodes, column by column, with texts as indices into a list of their distinct values."""
    frame = pd.concat([run.frame.assign(run=run.name) for run in runs], ignore_index=True)
    tasks = [
        run.record.suites[s].tasks[t]
        for run in runs
        for s, t in zip(run.frame["suite"], run.frame["task"], strict=True)
    ]
    titles = pd.Series([task.instruction for task in tasks], dtype="str")
    shown = {
        "run": frame["run"],
        "key": frame["key"],
        "suite": frame["suite"],
        "task": frame["instruction"].where(frame["instruction"] != "", titles),
        "condition": pd.Series([task.condition for task in tasks], dtype="str"),
        "outcome": frame["outcome"].str.replace("_", " "),
        "error": frame["error"],
    }
    columns: dict[str, Any] = {}
    for name, values in shown.items():
        codes, distinct = pd.factorize(values)
        columns[name] = {"values": [str(value) for value in distinct], "codes": codes.tolist()}
    total = frame[list(STAGES)].sum(axis=1).round(1)
    return {
        "rows": len(frame),
        "text": columns,
        "numbers": {
            "steps": frame["steps"].astype(object).where(frame["steps"].notna(), None).tolist(),
            "seconds": total.tolist(),
        },
    }


# ---------------------------------------------------------------------- protocols


@dataclass(frozen=True)
class ProtocolTable:
    """Protocols of all runs and suites.

    Attributes:
        columns: suite, digest and labels of the runs, one per distinct protocol.
        shared: name and value of the fields that all protocols share.
        rows: name and values of the other fields.
    """

    columns: list[tuple[str, str, list[str]]]
    shared: list[tuple[str, str]]
    rows: list[tuple[str, list[str]]]


def protocol_table(runs: Sequence[RunData], labels: Sequence[str]) -> ProtocolTable:
    """All distinct protocols side by side."""
    users: dict[tuple[str, str], list[str]] = {}
    protocols: dict[tuple[str, str], Protocol] = {}
    for suite in suites_of(runs):
        for run, label in zip(runs, labels, strict=True):
            if suite in run.record.suites:
                protocol = run.record.suites[suite].protocol
                key = suite, protocol.digest
                users.setdefault(key, []).append(label)
                protocols[key] = protocol
    flat: list[dict[str, Any]] = [
        {"card": p.card, "source": p.source, **flatten(classified(p).canonical())} for p in protocols.values()
    ]
    names = list(dict.fromkeys(name for fields in flat for name in fields if name != "suite"))
    texts = {name: [_text(fields.get(name)) for fields in flat] for name in names}
    return ProtocolTable(
        columns=[(suite, digest, users[suite, digest]) for suite, digest in protocols],
        shared=[(name, values[0]) for name, values in texts.items() if len(set(values)) == 1],
        rows=[(name, values) for name, values in texts.items() if len(set(values)) > 1],
    )


def differences_between(runs: Sequence[RunData], labels: Sequence[str]) -> list[tuple[str, ...]]:
    """Fields in which neighbouring runs differ on a suite that both play: suite, field, labels with values."""
    found: dict[tuple[str, ...], None] = {}
    for (left, one), (right, two) in pairwise(zip(runs, labels, strict=True)):
        for suite in suites_of([left]):
            if suite in right.record.suites:
                pair = (run.record.suites[suite].protocol for run in (left, right))
                for name, first, second in differences(*pair):
                    found[suite, name, f"{one}: {_text(first)}", f"{two}: {_text(second)}"] = None
    return list(found)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
