"""Claims in the texts of papers (results/published/claims.yaml), checked against the numbers in their tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from wam_eval import config
from wam_eval.errors import UserError, unknown
from wam_eval.papers.averages import Range, Row, averages, mean, possible_counts, possible_values
from wam_eval.papers.checks import Check, Finding, shortened
from wam_eval.papers.grouping import grouping
from wam_eval.papers.published import FOLDER, Number, Published

Selection = dict[str, Any]
"""Field of a number -> its value, a list of values, or ``any`` for any value but ``None``.
By default, ``paper`` is the claim's and ``task`` is ``None``."""

Verdict = tuple[bool | None, str]
"""True if a claim holds (``None``: no number can decide it), and the numbers that show it."""


class Claim(BaseModel):
    """A sentence of a paper about its numbers.

    Attributes:
        paper: key of ``papers.yaml``.
        where: section.
        what: the sentence in our words.
        kind: method of the check, a key of :data:`KINDS`.
        of: the numbers that the sentence is about.
        against: the numbers that it compares them with.
        at: the task or condition that it singles out.
        printed: the value, or both ends of a range, that the sentence states.
        at_least: True if the printed value is a lower bound ("over").
        unit: of the printed value, as printed.
        reading: True for our own wider or narrower reading of the claim before it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    paper: str
    where: str
    what: str
    kind: str
    of: Selection = Field(default_factory=dict)
    against: Selection = Field(default_factory=dict)
    at: str | None = None
    printed: tuple[Decimal, ...] = ()
    at_least: bool = False
    unit: str = ""
    reading: bool = False


class _Claims(BaseModel):
    model_config = ConfigDict(extra="forbid")
    claims: list[Claim]


def read_claims(path: Path | None = None) -> list[Claim]:
    """Read a file of claims; the project's own ``claims.yaml`` if ``None``."""
    return config.read_yaml(path or config.folders(FOLDER)[-1] / "claims.yaml", _Claims).claims


class ClaimNumbers:
    """The published numbers as claims select them.

    Args:
        narrowed: True to narrow an average by its printed parts; otherwise it is any value that rounds to it.
    """

    def __init__(self, published: Published, narrowed: bool = True) -> None:
        self._numbers = published.numbers
        found = averages(published.numbers) if narrowed else []
        self._means = {average.printed.cell: average.plain for average in found if average.weighted is None}

    def find(self, claim: Claim, selection: Selection) -> list[Number]:
        """The selected numbers."""
        wanted = {"paper": claim.paper, "task": None, **selection}
        return [n for n in self._numbers if all(_fits(getattr(n, name), value) for name, value in wanted.items())]

    def select(self, claim: Claim, selection: Selection) -> list[Number]:
        """The selected numbers. Raises :class:`UserError` if there is none."""
        found = self.find(claim, selection)
        if not found:
            raise _fault(claim, f"no number has {selection}")
        return found

    def one(self, claim: Claim, selection: Selection) -> Range:
        """The possible values of the only selected number. Raises :class:`UserError` if there is not exactly one."""
        found = self.select(claim, selection)
        if len(found) > 1:
            raise _fault(claim, f"several numbers have {selection}")
        return self.value(found[0])

    def value(self, number: Number) -> Range:
        """The possible values of a number."""
        parts = self._means.get(number.cell)
        return possible_values(number).within(parts) if parts else possible_values(number)

    def cells(self, claim: Claim) -> list[tuple[Number, list[Number]]]:
        """The claim's numbers, each with the numbers of other methods in the same cells of the compared tables."""
        rivals = self.select(claim, claim.against)
        pairs = [
            (n, [r for r in rivals if _cell(r) == _cell(n) and r.method != n.method])
            for n in self.select(claim, claim.of)
        ]
        found = [(n, others) for n, others in pairs if others]
        if not found:
            raise _fault(claim, "nothing to compare with")
        return found


def _fits(value: Any, wanted: Any) -> bool:
    if wanted == "any":
        return value is not None
    return value in wanted if isinstance(wanted, list) else value == wanted


def _cell(n: Number) -> Row:
    """Fields that the numbers of two methods must share to be compared."""
    return n.benchmark, n.condition or "", n.task or "", n.metric


def _fault(claim: Claim, text: str) -> UserError:
    return UserError(f"claim {claim.what!r} ({claim.paper}, {claim.where}): {text}")


# ---------------------------------------------------------------------- checks, one function for each kind of claim


def _name(n: Number) -> str:
    condition = n.condition if not n.task or grouping(n.benchmark).conditions else None
    return " ".join(filter(None, (n.task, condition)))


def _compare(claim: Claim, found: Range) -> Verdict:
    printed = claim.printed[0]
    holds = found.high >= Fraction(printed) if claim.at_least else found.overlaps(Range.rounded(printed))
    return holds, str(found)


def _value(claim: Claim, numbers: ClaimNumbers) -> Verdict:
    return _compare(claim, numbers.one(claim, claim.of))


def _values(claim: Claim, numbers: ClaimNumbers) -> Verdict:
    """Check that the printed values are those of the selected numbers, in any order."""
    found = sorted((numbers.value(n) for n in numbers.select(claim, claim.of)), key=lambda value: value.middle)
    if len(found) != len(claim.printed):
        raise _fault(claim, f"{len(found)} numbers have {claim.of}, {len(claim.printed)} values are printed")
    holds = all(v.overlaps(Range.rounded(p)) for v, p in zip(found, sorted(claim.printed), strict=True))
    return holds, ", ".join(map(str, found))


def _sum(claim: Claim, numbers: ClaimNumbers) -> Verdict:
    found = [numbers.value(n) for n in numbers.select(claim, claim.of)]
    return _compare(claim, mean(found, [1] * len(found)).times(len(found)))


def _mean(claim: Claim, numbers: ClaimNumbers) -> Verdict:
    chosen = numbers.select(claim, claim.of)
    return _compare(claim, mean(map(numbers.value, chosen), [1] * len(chosen)))


def _difference(claim: Claim, numbers: ClaimNumbers) -> Verdict:
    base = numbers.one(claim, claim.against)
    found = numbers.one(claim, claim.of) - base
    holds, text = _compare(claim, found)
    if claim.unit == "%":
        text += f" percentage points (relative to the compared value: {(found / base).times(100)} %)"
    return holds, text


def _ratio(claim: Claim, numbers: ClaimNumbers) -> Verdict:
    return _compare(claim, numbers.one(claim, claim.of) / numbers.one(claim, claim.against))


def _relative_drop(claim: Claim, numbers: ClaimNumbers) -> Verdict:
    return _compare(claim, _share_lost(numbers.one(claim, claim.of), numbers.one(claim, claim.against)))


def _share_lost(before: Range, after: Range) -> Range:
    left = (after / before).times(100)
    return Range(100 - left.high, 100 - left.low)


def _range(measure: Callable[[Range, Range], Range] | None) -> Callable[[Claim, ClaimNumbers], Verdict]:
    """Check the lowest and the highest value of a measure over the methods; of the numbers themselves if ``None``."""

    def check(claim: Claim, numbers: ClaimNumbers) -> Verdict:
        found = {n.method: numbers.value(n) for n in numbers.select(claim, claim.of)}
        if measure:
            after = {n.method: numbers.value(n) for n in numbers.select(claim, claim.against)}
            found = {method: measure(before, after[method]) for method, before in found.items()}
        ordered = sorted(found.items(), key=lambda item: item[1].middle)
        ends = zip((ordered[0][1], ordered[-1][1]), claim.printed, strict=True)
        text = ", ".join(f"{method} {value}" for method, value in ordered)
        return all(value.overlaps(Range.rounded(printed)) for value, printed in ends), text

    return check


def _extreme(sign: int, most: bool = False) -> Callable[[Claim, ClaimNumbers], Verdict]:
    """Check that the claim's numbers are the highest (sign 1) or lowest (sign -1) in all, or in most, cells."""

    def check(claim: Claim, numbers: ClaimNumbers) -> Verdict:
        cells, beaten, shared = numbers.cells(claim), [], 0
        for own, rivals in cells:
            best = max(rivals, key=lambda n: sign * n.value)
            shared += best.value == own.value
            if sign * best.value > sign * own.value:
                text = f"{_name(own)} {own.value} against {best.value} ({best.method})"
                beaten.append((-abs(best.value - own.value), text))
        word = "highest" if sign > 0 else "lowest"
        text = f"{word} in {len(cells) - len(beaten)} of {len(cells)}" + (f" ({shared} shared)" if shared else "")
        if beaten:
            text += f"; not in {shortened([t for _, t in sorted(beaten)], 3)}"
        return (2 * len(beaten) < len(cells) if most else not beaten), text

    return check


def _above_all(claim: Claim, numbers: ClaimNumbers) -> Verdict:
    """Check that each of the claim's numbers is above all its rivals."""
    pairs = [(own, rival) for own, rivals in numbers.cells(claim) for rival in rivals]
    pairs.sort(key=lambda pair: pair[0].value - pair[1].value)
    below = sum(own.value <= rival.value for own, rival in pairs)
    own, rival = pairs[0]
    name = f" {_name(own)}" if len(pairs) > 1 else ""
    closest = f"{'worst' if below else 'closest'}:{name} {own.value} against {rival.value} ({rival.method})"
    return not below, f"in {len(pairs) - below} of {len(pairs)} comparisons; {closest}"


def _above_most(claim: Claim, numbers: ClaimNumbers) -> Verdict:
    """Check that each of the claim's numbers is above most of its rivals."""
    found = [
        (own, sum(own.value > rival.value for rival in rivals), len(rivals)) for own, rivals in numbers.cells(claim)
    ]
    text = ", ".join(f"{own.method} above {above} of {total}" for own, above, total in found)
    return all(2 * above > total for _, above, total in found), text


def _above_each(claim: Claim, numbers: ClaimNumbers) -> Verdict:
    """Check that each of the claim's numbers is above all other setups of the same method in the same cell."""
    rivals, below, total = numbers.select(claim, claim.against), [], 0
    for own in numbers.select(claim, claim.of):
        for other in (n for n in rivals if n.method == own.method and _cell(n) == _cell(own)):
            total += 1
            if other.value >= own.value:
                below.append(f"{_name(own)} {own.value} against {other.value} ({other.training})")
    if not total:
        raise _fault(claim, "nothing to compare with")
    text = f"in {total - len(below)} of {total} comparisons"
    return not below, text + (f"; not {shortened(below, 3)}" if below else "")


def _largest_gap(claim: Claim, numbers: ClaimNumbers) -> Verdict:
    """Check that the lead over the best rival is largest at the claimed task or condition."""
    leads = [
        (own.value - max(n.value for n in rivals), own.task or own.condition) for own, rivals in numbers.cells(claim)
    ]
    leads.sort(key=lambda lead: -lead[0])
    return leads[0][1] == claim.at, ", ".join(f"{where} {lead}" for lead, where in leads)


def _trials(claim: Claim, numbers: ClaimNumbers) -> Verdict:
    chosen = numbers.select(claim, claim.of)
    bad = [f"{n.value} ({n.method})" for n in chosen if not possible_counts(n.value, int(claim.printed[0]))]
    text = f"{len(bad)} of {len(chosen)} rates are impossible with {claim.printed[0]}"
    return not bad, text + (f": {shortened(bad)}" if bad else "")


def _printed_there(claim: Claim, numbers: ClaimNumbers) -> Verdict:
    found = numbers.find(claim, claim.of)
    return bool(found), f"{len(found)} such numbers there"


def _stated_twice(claim: Claim, numbers: ClaimNumbers) -> Verdict:
    return len(set(claim.printed)) == 1, " against ".join(str(value) for value in claim.printed)


def _no_table(claim: Claim, numbers: ClaimNumbers) -> Verdict:
    return None, "no table to check it against"


KINDS: dict[str, Callable[[Claim, ClaimNumbers], Verdict]] = {
    "value": _value,
    "values": _values,
    "sum": _sum,
    "mean": _mean,
    "difference": _difference,
    "ratio": _ratio,
    "relative drop": _relative_drop,
    "range of values": _range(None),
    "range of drops": _range(lambda before, after: before - after),
    "range of relative drops": _range(_share_lost),
    "highest": _extreme(1),
    "highest in most": _extreme(1, most=True),
    "lowest": _extreme(-1),
    "above all": _above_all,
    "above most": _above_most,
    "above each": _above_each,
    "largest gap": _largest_gap,
    "trials": _trials,
    "printed there": _printed_there,
    "stated twice": _stated_twice,
    "no table": _no_table,
}
"""Kind of a claim -> its check."""

HOLDS, ROUNDED, FAILS, UNKNOWN = "holds", "holds for the rounded means only", "does not hold", "cannot be checked"
FAILED_READING = "our reading does not hold"


def check_claims(published: Published, claims: Sequence[Claim]) -> Check:
    """Check every claim; those that do not hold are findings."""
    numbers = ClaimNumbers(published), ClaimNumbers(published, narrowed=False)
    listing: list[Row] = [("where", "claim", "printed", "the tables give", "verdict")]
    findings = []
    for claim in claims:
        verdict, text = _verdict(claim, *numbers)
        where = f"{claim.paper}, {claim.where}"
        listing.append((where, f"{'*our reading:* ' * claim.reading}{claim.what}", _printed(claim), text, verdict))
        if verdict in (FAILS, ROUNDED):
            kind = FAILED_READING if claim.reading and verdict == FAILS else verdict
            findings.append(Finding(kind, where, f"{claim.what}: {text}"))
    about = (
        "Sentences of the papers, in our words, against their tables. Differences, ratios and shares are computed from "
        "all values that are printed alike; overall rates are narrowed by their printed tasks. A claim that only the "
        "rounded means support is marked. *Our reading* is a wider or narrower reading of the claim before it."
    )
    return Check("Claims in the text", about, len(claims), "claims", tuple(findings), tuple(listing))


def _verdict(claim: Claim, numbers: ClaimNumbers, rounded: ClaimNumbers) -> tuple[str, str]:
    if claim.kind not in KINDS:
        raise UserError(f"claim {claim.what!r}: {unknown('kind', claim.kind, KINDS)}")
    holds, text = KINDS[claim.kind](claim, numbers)
    if holds is None:
        return UNKNOWN, text
    if not holds and KINDS[claim.kind](claim, rounded)[0]:
        return ROUNDED, text
    return (HOLDS if holds else FAILS), text


def _printed(claim: Claim) -> str:
    between = " to " if claim.kind.startswith("range") else " and "
    text = between.join(str(value) for value in claim.printed)
    return f"{'≥ ' * claim.at_least}{text} {claim.unit}".strip() or "–"
