"""Provenance of published numbers: cited ones are looked up in the sources that are held here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

from wam_eval.papers.averages import Row, unit
from wam_eval.papers.checks import Check, Finding, label, location, shortened
from wam_eval.papers.published import MeasuredBy, Number, Published, convention

ABSENT = "not in the cited source"
OLDER = "the cited source is older than the benchmark"
UNKNOWN = "who measured is not said"
OWNERS = "own, although the method is another paper's"

Cell = tuple[str, str, str, str, str]
"""Method, benchmark, condition, task and metric."""


def check_provenance(published: Published) -> Check:
    """Look up every cited number in its source, and list the numbers of which it is not known who measured them."""
    index: dict[Cell, list[Number]] = defaultdict(list)
    for number in published.numbers:
        index[_cell(number)].append(number)
    others = [n for n in published.numbers if n.measured_by is not MeasuredBy.OWN]
    findings: list[Finding] = []
    listing: list[Row] = [("where", "methods", "provenance", "in the source", "the same is printed by")]
    for group in _grouped(others):
        first = group[0]
        methods = shortened(dict.fromkeys(n.method for n in group), 12)
        found = [_look_up(n, index, published) for n in group]
        result = ", ".join(f"{found.count(text)} {text}" for text in dict.fromkeys(found) if text)
        also = ", ".join(f"{paper} ({count})" for paper, count in _elsewhere(group, index).items())
        listing.append((location(first), methods, first.provenance, result or "–", also or "–"))
        for kind in (ABSENT, OLDER):
            chosen = [n for n, text in zip(group, found, strict=True) if text == kind]
            findings += [Finding(kind, label(numbers[0]), _absence(numbers, index)) for numbers in _by_method(chosen)]
        if first.measured_by is MeasuredBy.UNKNOWN:
            findings += [Finding(UNKNOWN, label(n[0]), _known(n, index, published)) for n in _by_method(group)]
    findings += [
        Finding(OWNERS, label(numbers[0]), f"arXiv {published.methods[numbers[0].method].arxiv}")
        for numbers in _by_method([n for n in published.numbers if _of_another_paper(n, published)])
    ]
    about = (
        "A number is *cited* only if its source is named: one that is held here, in which it is looked up, or another. "
        "A reference beside the name of a method does not say who measured the number: the method's paper may be "
        "older than the benchmark, or have no such number. Such numbers are *unknown*, with what is known about them."
    )
    order = (ABSENT, OLDER, OWNERS, UNKNOWN)
    findings.sort(key=lambda finding: order.index(finding.kind))
    return Check(
        "Provenance", about, len(others), "numbers that are not the source's own", tuple(findings), tuple(listing)
    )


def _cell(n: Number) -> Cell:
    return n.method, n.benchmark, n.condition or "", n.task or "", n.metric


def _grouped(numbers: Sequence[Number]) -> list[list[Number]]:
    groups: dict[Row, list[Number]] = defaultdict(list)
    for n in numbers:
        groups[n.paper, n.table, n.measured_by.value, n.cited_from or ""].append(n)
    return list(groups.values())


def _by_method(numbers: Sequence[Number]) -> list[list[Number]]:
    groups: dict[Row, list[Number]] = defaultdict(list)
    for n in numbers:
        groups[n.paper, n.table, n.method, n.benchmark].append(n)
    return list(groups.values())


def _look_up(number: Number, index: dict[Cell, list[Number]], published: Published) -> str:
    """The result of looking up a number in its source; empty if it is not a citation."""
    source = number.cited_from
    if source is None:
        return ""
    if source in published.papers:
        printed = [n for n in index[_cell(number)] if n.paper == source]
        return "found" if any(agree(number, n) for n in printed) else ABSENT
    introduced = convention(number.benchmark).arxiv
    if introduced and source[:4].isdigit() and source < introduced:
        return OLDER
    return "not held here"


def agree(a: Number, b: Number) -> bool:
    """True if the finer of two numbers rounds to the coarser one."""
    return abs(Fraction(a.value) - Fraction(b.value)) <= max(map(unit, (a.value, b.value))) / 2


def _absence(numbers: Sequence[Number], index: dict[Cell, list[Number]]) -> str:
    words = []
    for number in numbers:
        there = [str(n.value) for n in index[_cell(number)] if n.paper == number.cited_from]
        words.append(f"{_name(number)} {number.value}" + (f" ({', '.join(there)} there)" if there else ""))
    return f"{numbers[0].cited_from}: {shortened(words)}"


def _known(numbers: Sequence[Number], index: dict[Cell, list[Number]], published: Published) -> str:
    """The notes of numbers, and where else they are printed, computed."""
    first = numbers[0]
    notes = dict.fromkeys(text for n in numbers for text in (n.note or "").split("; "))
    words = [text for text in notes if text and text != UNKNOWN]
    own = [
        key
        for key, paper in published.papers.items()
        if paper.arxiv and paper.arxiv == published.methods[first.method].arxiv and key != first.paper
    ]
    for key in own:
        there = sum(any(n.paper == key and agree(n, number) for n in index[_cell(number)]) for number in numbers)
        words.append(f"{there} of {len(numbers)} are in the method's own paper ({key})")
    elsewhere = _elsewhere(numbers, index).items()
    words += [f"{count} of {len(numbers)} are also in {paper}" for paper, count in elsewhere if paper not in own]
    return f"{shortened([f'{_name(n)} {n.value}' for n in numbers], 3)}: {'; '.join(words) or 'nothing is known'}"


def _elsewhere(numbers: Sequence[Number], index: dict[Cell, list[Number]]) -> dict[str, int]:
    """Other sources than the cited ones -> how many of the numbers they print alike."""
    counts: dict[str, int] = defaultdict(int)
    for number in numbers:
        same = {n.paper for n in index[_cell(number)] if agree(n, number)} - {number.paper, number.cited_from}
        for paper in same:
            counts[paper] += 1
    return dict(sorted(counts.items()))


def _name(n: Number) -> str:
    return " ".join(filter(None, (n.condition, n.task)))


def _of_another_paper(number: Number, published: Published) -> bool:
    """True for a rate that is marked as the paper's own although another paper introduced the method."""
    method, paper = published.methods[number.method].arxiv, published.papers[number.paper].arxiv
    mine = number.measured_by is MeasuredBy.OWN and number.metric == "success_rate"
    return bool(mine and method and paper and method != paper)
