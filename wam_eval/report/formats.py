"""Writers that all tables share: Markdown tables, and the templates of ``reports/templates`` for HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from wam_eval import config


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """Lines of a pipe table as GitHub shows it.

    Args:
        headings: one per column.
        rows: cells of each row, as Markdown; pipes are escaped here.
        align: one character per column: ``l``, ``r`` or ``c``.
    """
    rule = {"l": ":---", "r": "---:", "c": ":---:"}
    return [_line(headings), _line([rule[one] for one in align]), *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    one_line = (" ".join(cell.split()) for cell in cells)
    escaped = (re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in one_line)
    return f"| {' | '.join(escaped)} |"


def render(template: str, **values: Any) -> str:
    """HTML of a template of ``reports/templates``; all values are escaped unless they are marked as safe."""
    return str(_environment(tuple(config.folders("reports/templates"))).get_template(template).render(**values))


@cache
def _environment(folders: tuple[Any, ...]) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": _percent, "interval": _interval, "duration": _duration}
    return environment


def _percent(rate: float, decimals: int = 1) -> str:
    return f"{100 * rate:.{decimals}f}"


def _interval(bounds: tuple[float, float]) -> str:
    low, high = (f"{100 * bound:.1f}".replace("-", "−") for bound in bounds)
    return f"[{low}, {high}]"


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}" if seconds < 1000 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{1000 * seconds:.2g} ms"
