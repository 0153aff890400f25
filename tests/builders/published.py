"""Published numbers for tests of comparisons and of the audit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from wam_eval.papers.checks import Check
from wam_eval.papers.grouping import grouping
from wam_eval.papers.published import Method, Number, Paper, Published

PAPER = Paper(title="A", arxiv=None, url="https://example.org", kind="paper")


def number(value: str, condition: str | None = "average", **fields: Any) -> Number:
    """A success rate on LIBERO in Table 1 of paper ``a``, with other fields as told."""
    defaults: dict[str, Any] = {
        "paper": "a",
        "arxiv": None,
        "table": "Table 1",
        "method": "m",
        "printed_as": fields.get("method", "m").upper(),
        "benchmark": "libero",
        "task": None,
        "metric": "success_rate",
        "unit": "%",
        "trials": None,
        "pretraining": None,
        "training": "LIBERO",
        "measured_by": "cited",
        "status": "primary",
        "note": None,
    }
    values = {**defaults, "value": Decimal(value), "condition": condition, **fields}
    values.setdefault("cited_from", "2401.00001" if values["measured_by"] == "cited" else None)
    return Number(**values)


def published(*numbers: Number, papers: dict[str, Paper] | None = None) -> Published:
    """Published results with these numbers, and entries for their papers and methods."""
    known = {n.paper: PAPER.model_copy(update={"title": n.paper, "arxiv": n.arxiv}) for n in numbers}
    methods = {n.method: Method(name=n.method.upper(), kind="WAM") for n in numbers}
    return Published(tuple(numbers), {**known, **(papers or {})}, methods)


def libero_row(*values: str, **fields: Any) -> list[Number]:
    """A row with one number for each condition of LIBERO, the average last."""
    return [number(v, c, **fields) for v, c in zip(values, grouping("libero").conditions, strict=True)]


def libero_plus_row(*values: str, **fields: Any) -> list[Number]:
    """A row with one number for each dimension of LIBERO-Plus, the total last."""
    conditions = grouping("libero_plus").conditions
    return [number(v, c, benchmark="libero_plus", **fields) for v, c in zip(values, conditions, strict=True)]


def robotwin_column(values: list[int], average: str, **fields: Any) -> list[Number]:
    """A column with one clean rate for each task of RoboTwin and their average."""
    shared = {"benchmark": "robotwin", "trials": 100, **fields}
    each = [number(str(v), "clean", task=f"t{i}", **shared) for i, v in enumerate(values)]
    return [*each, number(average, "clean", **{**shared, "trials": None})]


def kinds(check: Check) -> list[str]:
    """Kinds of a check's findings."""
    return [finding.kind for finding in check.findings]
