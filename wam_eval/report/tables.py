"""Tables of a run: one row per task and suite, as a data frame, Markdown, and on the terminal."""

from __future__ import annotations

import pandas as pd
from rich.table import Table

from wam_eval.analysis.summary import Rate, Summary

COLUMNS = ("suite", "task", "successes", "n", "rate", "interval", "coverage")

NOT_COMPARABLE = {
    "stand-in": "stand-in assets: LIBERO's physics, not its looks. Not comparable with published results.",
    "partial": "partial assets, which differ from the official ones. Not comparable with published results.",
}


def table_of(summary: Summary) -> pd.DataFrame:
    """All rows of a run: per suite its tasks, then the suite; last the average of the suites.

    Columns are those of :data:`COLUMNS`; ``rate`` and ``coverage`` are fractions, ``low`` and ``high`` bound the Wilson
    95 % interval, ``not_counted`` lists the other outcomes.
    """
    rows = []
    for suite in summary.suites:
        for task in suite.tasks:
            rows.append(_row(suite.suite, f"{task.task:02d} {task.name}".strip(), task))
        rows.append(_row(suite.suite, "all tasks", suite))
    if summary.average is not None:
        counted = sum(suite.n for suite in summary.suites)
        planned = sum(suite.planned for suite in summary.suites)
        rows.append(
            {
                "suite": "average",
                "task": "mean of suites",
                "successes": sum(suite.successes for suite in summary.suites),
                "n": counted,
                "rate": summary.average,
                "coverage": counted / planned,
                "not_counted": "",
            }
        )
    return pd.DataFrame(rows)


def notes_of(summary: Summary) -> list[str]:
    """What must be said beside the numbers: protocol, assets, coverage."""
    notes = []
    for kind in sorted({suite.assets for suite in summary.suites} & NOT_COMPARABLE.keys()):
        notes.append(f"Played with {NOT_COMPARABLE[kind]}")
    if not summary.complete:
        missing = sum(suite.planned - suite.n for suite in summary.suites)
        notes.append(f"Incomplete: {missing} planned episodes do not count (not played yet, not run, or errors).")
    protocols = ", ".join(f"{s.suite} {s.protocol} ({s.protocol_sha256:.12})" for s in summary.suites)
    notes.append(f"Protocol: {protocols}. Intervals: Wilson, 95 %.")
    return notes


def markdown_of(summary: Summary) -> str:
    """The table and its notes as Markdown."""
    cells = [_cells(row) for row in table_of(summary).to_dict("records")]
    lines = [f"# {summary.run}", "", f"Policy: {summary.policy}", ""]
    lines += ["| suite | task | success | rate | 95 % interval | coverage |", "|---|---|---:|---:|:---:|---:|"]
    lines += ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes_of(summary)), ""])


def terminal_of(summary: Summary) -> Table:
    """The table for the terminal."""
    caption = "\n".join(notes_of(summary))
    table = Table(title=f"{summary.run} · {summary.policy}", caption=caption, caption_justify="left")
    for column in ("suite", "task"):
        table.add_column(column, overflow="fold")
    for column in ("success", "rate", "95 % interval", "coverage"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in table_of(summary).to_dict("records"):
        total = row["task"] in ("all tasks", "mean of suites")
        table.add_row(*_cells(row), style="bold" if total else None, end_section=total)
    return table


def _row(suite: str, task: str, rate: Rate) -> dict[str, object]:
    others = {name: count for name, count in rate.outcomes.items() if name not in ("success", "failure")}
    return {
        "suite": suite,
        "task": task,
        "successes": rate.successes,
        "n": rate.n,
        "rate": rate.rate,
        "low": rate.low if rate.n else None,
        "high": rate.high if rate.n else None,
        "coverage": rate.coverage,
        "not_counted": ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in others.items()),
    }


def _cells(row: dict[str, object]) -> list[str]:
    def percent(name: str) -> str:
        return "–" if pd.isna(row[name]) else f"{100 * row[name]:.1f}"  # type: ignore[call-overload, operator]

    interval = "" if pd.isna(row["low"]) else f"{percent('low')} – {percent('high')}"  # type: ignore[call-overload]
    coverage = f"{percent('coverage')} %" + (f" ({row['not_counted']})" if row["not_counted"] else "")
    success = f"{row['successes']}/{row['n']}"
    return [str(row["suite"]), str(row["task"]), success, percent("rate"), interval, coverage]
