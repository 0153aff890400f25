"""The drop from LIBERO to LIBERO-Plus for the terminal and as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.table import Table

from wam_eval.analysis.robustness import Robustness

HEADINGS = ("", "n", "LIBERO %", "LIBERO-Plus %", "drop [95 %]")
EXPLANATION = "Each base task is its own control: LIBERO weighs it as often as it was perturbed. Drop in points."


def terminal_of(found: Robustness, plus: str, libero: str) -> Table:
    """The table for the terminal."""
    table = Table(
        title=f"{plus} against {libero}", caption="\n".join([*found.notes, EXPLANATION]), caption_justify="left"
    )
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for before, fall in zip((None, *found.falls), found.falls, strict=False):
        if before and before.level != fall.level:
            table.add_section()
        low, high = fall.interval
        table.add_row(
            f"difficulty {fall.group}" if fall.level == "difficulty" else fall.group,
            str(fall.n),
            f"{100 * fall.clean:.1f}",
            f"{100 * fall.perturbed:.1f}",
            f"{100 * fall.drop:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
        )
    return table


def plain_of(found: Robustness) -> dict[str, Any]:
    """The same as plain values, for JSON."""
    return {"drops": [asdict(fall) for fall in found.falls], "notes": list(found.notes)}
