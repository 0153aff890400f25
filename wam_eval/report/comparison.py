"""Comparisons and drops for the terminal, for the HTML report, and as plain data."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from markupsafe import Markup
from rich import box
from rich.table import Table
from rich.text import Text

from wam_eval.analysis.comparison import Comparison, ComparisonRow, Verdict
from wam_eval.analysis.estimates import Estimate
from wam_eval.analysis.robustness import Robustness
from wam_eval.report.formats import render

STYLES = {Verdict.BETTER: "bold green", Verdict.WORSE: "bold red", Verdict.UNSURE: "yellow", Verdict.NONE: "dim"}
HEADINGS = ("", "A %", "B %", "n", "A − B [95 %]", "p", "min. detectable difference", "verdict")
EXPLANATION = (
    "A − B in percentage points; p after Holm's correction over all verdicts of a level (overall, suites, conditions, "
    "tasks); min. detectable difference: the difference that these episodes show with a power of 80 %."
)
DROP_EXPLANATION = (
    "Each base task is its own control: its rate is weighted by its number of perturbed episodes. Drop in percentage "
    "points."
)


@dataclass(frozen=True)
class ComparisonTable:
    """The comparison with one other entry, as text.

    Attributes:
        title: names of A and B.
        lines: cells of each row, see :data:`HEADINGS`; the verdict with the numbers of the notes that explain it.
        verdicts: of each row.
        notes: reasons, accepted differences and notes; their numbers are their positions, from 1.
    """

    title: str
    lines: tuple[tuple[str, ...], ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]


def tables_of(comparison: Comparison) -> list[ComparisonTable]:
    """One table of text for each other entry."""
    return [
        _table(comparison.candidate, other, [row for row in comparison.rows if row.other == other])
        for other in dict.fromkeys(row.other for row in comparison.rows)
    ]


def terminal_of(comparison: Comparison) -> list[Table]:
    """Tables for the terminal."""
    tables = []
    for shown in tables_of(comparison):
        notes = [f"{i}: {note}" for i, note in enumerate(shown.notes, start=1)]
        caption = "\n".join([*notes, *_accepted(comparison), *comparison.warnings, EXPLANATION])
        shape: Any = {"caption_justify": "left", "box": box.SIMPLE_HEAD, "pad_edge": False}
        table = Table(title=Text(shown.title), caption=Text(caption), **shape)
        for number, heading in enumerate(HEADINGS):
            justify: Any = "right" if 0 < number < len(HEADINGS) - 1 else "left"
            table.add_column(textwrap.fill(heading, 15), justify=justify, no_wrap=number < 4)
        for line, verdict in zip(shown.lines, shown.verdicts, strict=True):
            table.add_row(*(Text(cell) for cell in line[:-1]), Text(line[-1], style=STYLES[verdict]))
        tables.append(table)
    return tables


def html_of(comparison: Comparison) -> Markup:
    """The tables as HTML, for the report, which states warnings about actions with each run."""
    text = render(
        "comparison.html.j2",
        tables=tables_of(comparison),
        headings=HEADINGS,
        remarks=[*_accepted(comparison), EXPLANATION],
    )
    return Markup(text)


def plain_of(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain values, for JSON."""
    return {
        "candidate": comparison.candidate,
        "accepted": list(comparison.accepted),
        "notes": list(comparison.notes),
        "warnings": list(comparison.warnings),
        "rows": [
            {
                **{name: getattr(row, name) for name in ComparisonRow.__dataclass_fields__},
                "candidate": _plain(row.candidate),
                "reference": _plain(row.reference),
                "verdict": row.verdict.value,
            }
            for row in comparison.rows
        ],
    }


def _plain(estimate: Estimate) -> dict[str, Any]:
    return {**estimate.as_dict(), "printed": estimate.printed}


def _accepted(comparison: Comparison) -> list[str]:
    """The accepted fields and the names that accept nothing, in words; empty if no field was named."""
    return [*([f"Accepted: {', '.join(comparison.accepted)}."] if comparison.accepted else []), *comparison.notes]


def _notes(row: ComparisonRow) -> list[str]:
    return [*row.reasons, *(f"accepted: {difference}" for difference in row.accepted), *row.notes]


def _table(candidate: str, other: str, rows: Sequence[ComparisonRow]) -> ComparisonTable:
    several = len({row.benchmark for row in rows}) > 1
    notes = list(dict.fromkeys(note for row in rows for note in _notes(row)))
    lines = []
    for row in rows:
        marks = ",".join(str(notes.index(note) + 1) for note in _notes(row))
        lines.append(
            (
                _label(row, several),
                _rate(row.candidate),
                _rate(row.reference),
                _episodes(row),
                _difference(row),
                "–" if row.p_holm is None else _p(row.p_holm),
                "–" if row.detectable is None else f"{100 * row.detectable:.1f}",
                f"{row.verdict.value} ({marks})" if marks else row.verdict.value,
            )
        )
    verdicts = tuple(row.verdict for row in rows)
    return ComparisonTable(f"A {candidate} · B {other}", tuple(lines), verdicts, tuple(notes))


def _label(row: ComparisonRow, several: bool) -> str:
    if row.level == "task":
        return f"  {row.group.rpartition('/')[2]}"
    if row.level == "overall":
        return f"overall {row.benchmark}" if several else "overall"
    return row.group


def _rate(estimate: Estimate) -> str:
    return "–" if estimate.rate is None else estimate.printed or f"{100 * estimate.rate:.1f}"


def _episodes(row: ComparisonRow) -> str:
    a, b = ("?" if side.n is None else str(side.n) for side in (row.candidate, row.reference))
    return a if a == b else f"{a}/{b}"


def _difference(row: ComparisonRow) -> str:
    if row.difference is None or row.low is None or row.high is None:
        return "–"
    return f"{100 * row.difference:+.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}]"


def _p(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.01 else f"{p:.2f}"


# ---------------------------------------------------------------------- drops under perturbations


def drop_terminal_of(found: Robustness) -> Table:
    """The table of drops for the terminal."""
    caption = "\n".join([*found.notes, DROP_EXPLANATION])
    title = Text(f"{found.perturbed} against {found.base}")
    table = Table(title=title, caption=Text(caption), caption_justify="left")
    headings = ("", "n", f"{found.base_group.title} %", f"{found.group.title} %", "drop [95 %]")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    named = ("overall", "suite", "condition")
    for before, one in zip((None, *found.drops), found.drops, strict=False):
        if before and before.level != one.level:
            table.add_section()
        low, high = one.interval
        table.add_row(
            Text(one.group if one.level in named else f"{one.level} {one.group}"),
            str(one.n),
            f"{100 * one.base:.1f}",
            f"{100 * one.perturbed:.1f}",
            f"{100 * one.drop:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
        )
    return table


def drop_plain_of(found: Robustness) -> dict[str, Any]:
    """The drops as plain values, for JSON."""
    return {"drops": [asdict(one) for one in found.drops], "notes": list(found.notes)}
