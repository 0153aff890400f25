"""Tables of a run: one row per task and suite, as a data frame, as Markdown, as JSON and on the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from wam_eval.analysis.estimates import BenchmarkEstimate, Estimate, GroupEstimate, Summary, mean_name, summarize
from wam_eval.analysis.frame import read_folder
from wam_eval.protocol import NOT_STATED
from wam_eval.report.escaping import escape_markdown, safe_cell
from wam_eval.report.formats import markdown_table
from wam_eval.run.folder import RunFolder

MOST_REASONS = 5
"""Number of reasons for episodes that were not run, and of errors, that notes state."""
HEADINGS = ("task", "success", "rate %", "95 % interval", "coverage %")


def summary_of(folder: RunFolder) -> Summary:
    """All estimates of a run, finished or not.

    Raises:
        UserError: no such run, or a broken file.
    """
    return summarize(read_folder(folder))


def write_results(folder: RunFolder) -> Summary:
    """Write ``summary.json``, ``table.md`` and ``table.csv`` of a run.

    Returns:
        All estimates of the run.

    Raises:
        UserError: no such run, or a broken file.
    """
    summary = summary_of(folder)
    folder.write_text("summary.json", json.dumps(plain_of(summary), indent=1) + "\n")
    folder.write_text("table.md", markdown_of(summary))
    table = frame_of(summary).map(lambda value: safe_cell(value) if isinstance(value, str) else value)
    folder.write_text("table.csv", table.to_csv(index=False))
    return summary


@dataclass(frozen=True)
class Row:
    """A row of a run's table.

    Attributes:
        suite: elementary suite, ``all`` for a group of tasks or an average over several suites, ``average`` for an
            average of conditions.
        task: index of the task, ``None`` for other rows.
        label: for people.
        estimate: the numbers.
        whole: True if it sums up the rows above it.
    """

    suite: str
    task: int | None
    label: str
    estimate: Estimate
    whole: bool = True


def rows_of(summary: Summary) -> list[Row]:
    """Rows of a run's table: for each suite its tasks or conditions, and the suite; then those over all suites."""
    rows: list[Row] = []
    for benchmark in summary.benchmarks:
        for suite in (suite for suite in summary.suites if suite.benchmark == benchmark.group.benchmark):
            if benchmark.by_condition:
                rows += [_group_row(group, benchmark) for group in benchmark.groups if group.suite == suite.suite]
            else:
                tasks = summary.run.record.suites[suite.suite].tasks
                rows += [
                    Row(suite.suite, index, tasks[index].instruction, one, whole=False)
                    for index, one in suite.tasks.items()
                ]
            rows.append(Row(suite.suite, None, suite.suite, suite.estimate))
        rows += _rows_over_suites(benchmark, summary)
    return rows


def _rows_over_suites(benchmark: BenchmarkEstimate, summary: Summary) -> Iterator[Row]:
    group, average = benchmark.group, benchmark.overall.estimate
    suites = [suite for suite in summary.suites if suite.benchmark == group.benchmark]
    for one in benchmark.groups:
        if one.suite is None and (one.axis != group.noun or len(suites) > 1):
            yield _group_row(one, benchmark)
    name = f"{group.title}: " if len(summary.benchmarks) > 1 else ""
    if average is not None and group.averaging.by_task:
        yield Row("all", None, f"{name}{group.whole} (task-weighted)", average)
    elif average is not None and len(suites) > 1:
        yield Row("average", None, f"{name}average of the {group.plural}", average)
    if benchmark.mean:
        yield Row("all", None, f"{name}{mean_name(group, benchmark.mean.groups or 0)}", benchmark.mean)


def _group_row(one: GroupEstimate, benchmark: BenchmarkEstimate) -> Row:
    label = str(one.value) if one.axis == benchmark.group.noun else f"{one.axis} {one.value}"
    return Row(one.suite or "all", None, label, one.estimate, whole=False)


def frame_of(summary: Summary) -> pd.DataFrame:
    """All rows with plain numbers: fractions, and ``low`` and ``high`` of the 95 % interval."""
    names = ("planned", "n", "successes", "rate", "low", "high", "coverage")
    return pd.DataFrame(
        {
            "suite": row.suite,
            "task": row.task,
            "label": row.label,
            **{name: row.estimate.as_dict()[name] for name in names},
            "assets": ", ".join(summary.assets),
        }
        for row in rows_of(summary)
    ).astype(dict.fromkeys(("task", "planned", "n", "successes"), "Int64"))


def plain_of(summary: Summary) -> dict[str, Any]:
    """The content of ``summary.json``: all estimates as plain values."""
    record = summary.run.record
    return {
        "run": summary.run.name,
        "policy": summary.run.title,
        "label": record.policy.label,
        "remarks": [*summary.run.faults, *summary.run.remarks],
        "suites": [
            {
                **suite.estimate.as_dict(),
                "suite": suite.suite,
                "new_tasks": list(suite.new_tasks),
                "protocol": record.suites[suite.suite].protocol.card,
                "protocol_sha256": record.suites[suite.suite].protocol_sha256,
                "assets": record.suites[suite.suite].protocol.assets.kind,
                "tasks": [
                    {
                        **one.as_dict(),
                        "task": index,
                        "instruction": record.suites[suite.suite].tasks[index].instruction,
                    }
                    for index, one in suite.tasks.items()
                ],
            }
            for suite in summary.suites
        ],
        "average": summary.average.as_dict() if summary.average else None,
        "benchmarks": {benchmark.group.benchmark: _plain_benchmark(benchmark) for benchmark in summary.benchmarks},
        "left_out": summary.left_out,
        "not_run": dict(summary.total.reasons),
        "complete": summary.complete,
        "errors": summary.errors,
        "warnings": summary.warnings,
        "actions": [data.as_dict() for data in summary.actions],
        "publishable": summary.publishable,
    }


def _plain_benchmark(benchmark: BenchmarkEstimate) -> dict[str, Any]:
    average, mean = benchmark.overall.estimate, benchmark.mean
    return {
        "average": average.as_dict() if average else None,
        "description": benchmark.overall.description,
        "mean": {"groups": mean.groups, "rate": mean.rate, "low": mean.low, "high": mean.high} if mean else None,
        "groups": [
            {**one.estimate.as_dict(), "suite": one.suite, "axis": one.axis, "value": one.value}
            for one in benchmark.groups
        ],
    }


def not_comparable(kind: str) -> str:
    """The description of assets that are not the official ones."""
    known = {
        "stand-in": "stand-in assets: the benchmark's physics, not its looks",
        "partial": "assets that are not, or not known to be, the official ones",
        "recorded starts": "starts of recorded demonstrations, not of the benchmark",
        "miniature": "the embedded miniature: another robot and other objects",
        "stand-in tasks": "embedded stand-ins: the benchmark's numbers, but our own pictures, objects and instructions",
    }
    if kind == NOT_STATED:
        return "assets that the imported files do not state."
    return f"{known.get(kind, f'{kind} assets')}. Not comparable with published results."


def notes_of(summary: Summary) -> list[str]:
    """Notes below the numbers: assets, faults, remarks, actions, coverage, errors, protocol, intervals."""
    notes = [f"Played with {not_comparable(kind)}" for kind in summary.assets if kind != "official"]
    notes += [f"No conclusion is possible: {fault}." for fault in summary.run.faults]
    notes += [*summary.run.remarks, *summary.warnings]
    if summary.left_out:
        notes.append(f"Played {summary.left_out}.")
    if not summary.complete:
        missing = (summary.total.planned or 0) - (summary.total.n or 0)
        notes.append(f"Incomplete: {missing} planned episodes do not count (not played yet, not run, or errors).")
    reasons = islice(summary.total.reasons.items(), MOST_REASONS)
    notes += [f"Not run: {reason} (episodes: {count})." for reason, count in reasons]
    errors = ((text, count) for text, count in summary.errors.items() if text not in summary.total.reasons)
    notes += [f"Error: {text} (episodes: {count})." for text, count in islice(errors, MOST_REASONS)]
    suites = summary.run.record.suites.items()
    notes.append(f"Protocol: {', '.join(f'{n} {s.protocol.card} {s.protocol_sha256:.12}' for n, s in suites)}.")
    notes.append("Intervals: Wilson for a task; for a suite, its episodes resampled within tasks.")
    wider = [
        f"{suite.suite} {100 * suite.new_tasks[0]:.1f} – {100 * suite.new_tasks[1]:.1f}"
        for suite in summary.suites
        if len(suite.tasks) > 1
    ]
    if wider:
        notes.append(f"For further tasks like these (cluster over tasks): {', '.join(wider)}.")
    return notes


def markdown_of(summary: Summary) -> str:
    """The table and its notes as Markdown."""
    cells = [
        [f"**{cell}**" if row.whole else cell for cell in map(escape_markdown, _cells(row))] for row in rows_of(summary)
    ]
    table = markdown_table(HEADINGS, cells, "lrrcr")
    head = [f"# {escape_markdown(summary.run.name)}", "", f"Policy: {escape_markdown(summary.run.title)}", ""]
    return "\n".join([*head, *table, "", *(f"- {escape_markdown(note)}" for note in notes_of(summary)), ""])


def terminal_of(summary: Summary) -> Table:
    """The table for the terminal."""
    caption = Text("\n".join(notes_of(summary)))
    table = Table(title=Text(f"{summary.run.name} · {summary.run.title}"), caption=caption, caption_justify="left")
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if number else "left", no_wrap=number in (1, 2, 3))
    for row in rows_of(summary):
        table.add_row(*map(Text, _cells(row)), style="bold" if row.whole else None, end_section=row.whole)
    return table


def side_by_side(summary: Summary) -> Table | None:
    """Suites of the same tasks, such as two conditions, in columns; ``None`` without two such suites."""
    tasks = [
        {index: summary.run.record.suites[suite.suite].tasks[index].instruction for index in suite.tasks}
        for suite in summary.suites
    ]
    if len(tasks) < 2 or any(one != tasks[0] for one in tasks):
        return None
    table = Table(title="success rate in %, successes of counted episodes")
    for number, heading in enumerate(("task", *(suite.suite for suite in summary.suites))):
        table.add_column(heading, justify="right" if number else "left")
    for index, instruction in tasks[0].items():
        table.add_row(Text(f"{index:02d} {instruction}"), *(_short(suite.tasks[index]) for suite in summary.suites))
    table.add_section()
    table.add_row("all", *(_short(suite.estimate) for suite in summary.suites), style="bold")
    return table


def _short(estimate: Estimate) -> str:
    return "–" if estimate.rate is None else f"{100 * estimate.rate:.1f} ({estimate.successes}/{estimate.n})"


def _cells(row: Row) -> list[str]:
    estimate = row.estimate
    label = row.label if row.task is None else f"{row.task:02d} {row.label}"
    rate = "–" if estimate.rate is None else f"{100 * estimate.rate:.1f}"
    interval = "–"
    if estimate.rate is not None and estimate.low is not None and estimate.high is not None:
        interval = f"{100 * estimate.low:.1f} – {100 * estimate.high:.1f}"
    if estimate.coverage is None:
        return [label, "–", rate, interval, "–"]
    others = [
        f"{count} {outcome.replace('_', ' ')}"
        for outcome, count in estimate.outcomes.items()
        if outcome not in ("success", "failure")
    ]
    coverage = f"{100 * estimate.coverage:.0f}" + (f" ({', '.join(others)})" if others else "")
    return [label, f"{estimate.successes}/{estimate.n}", rate, interval, coverage]
