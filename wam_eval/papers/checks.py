"""Results of a check of published numbers, and the words that all checks share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wam_eval.papers.averages import Row
from wam_eval.papers.published import Number


@dataclass(frozen=True)
class Finding:
    """An inconsistency that a check found.

    Attributes:
        kind: category of the finding.
        where: source, table, method.
        detail: the numbers, and the inconsistency.
    """

    kind: str
    where: str
    detail: str


@dataclass(frozen=True)
class Check:
    """Result of a check.

    Attributes:
        title: name of the check.
        about: description of the check and of its findings.
        count: number of things that were checked.
        things: the word for these, in the plural.
        findings: in the order of the sources.
        listing: heading and rows of a table of everything that was checked; empty if it is not worth reading.
    """

    title: str
    about: str
    count: int
    things: str
    findings: tuple[Finding, ...]
    listing: tuple[Row, ...] = ()


def location(number: Number) -> str:
    """Paper and table of a number."""
    return f"{number.paper}, {number.table}"


def label(number: Number) -> str:
    """Paper, table and method of a number."""
    return f"{location(number)}: {number.method}"


def shortened(words: Iterable[str], most: int = 4) -> str:
    """The first words, and the number of the others."""
    all_words = list(words)
    more = len(all_words) - most
    return ", ".join(all_words[:most]) + (f" and {more} more" if more > 0 else "")
