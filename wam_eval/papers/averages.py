"""Printed numbers as ranges of exact values, and printed averages beside the numbers that they average.

A printed number stands for all values that round to it. An average is recomputed from the ranges of the numbers that
are printed beside it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from wam_eval.papers.grouping import grouping
from wam_eval.papers.published import Number, convention

Row = tuple[str, ...]


@dataclass(frozen=True)
class Range:
    """All values between two ends, both included."""

    low: Fraction
    high: Fraction

    @classmethod
    def rounded(cls, value: Decimal) -> Range:
        """The values that round to a printed value; halves may be rounded up or down."""
        return cls(Fraction(value) - unit(value) / 2, Fraction(value) + unit(value) / 2)

    @classmethod
    def truncated(cls, value: Decimal) -> Range:
        """The values that are printed as this value if digits are cut off, or if all values are rounded up."""
        return cls(Fraction(value) - unit(value), Fraction(value) + unit(value))

    def overlaps(self, other: Range) -> bool:
        """True if the two share a value."""
        return self.low <= other.high and other.low <= self.high

    def within(self, other: Range) -> Range:
        """The part that both share; this range if they share none."""
        return Range(max(self.low, other.low), min(self.high, other.high)) if self.overlaps(other) else self

    @property
    def middle(self) -> Fraction:
        return (self.low + self.high) / 2

    def __sub__(self, other: Range) -> Range:
        return Range(self.low - other.high, self.high - other.low)

    def __truediv__(self, other: Range) -> Range:
        """The quotient by a range of positive numbers."""
        ends = [end / divisor for end in (self.low, self.high) for divisor in (other.low, other.high)]
        return Range(min(ends), max(ends))

    def times(self, factor: Fraction | int) -> Range:
        """Both ends multiplied by a positive number."""
        return Range(self.low * factor, self.high * factor)

    def __str__(self) -> str:
        low, high = decimals(self.low), decimals(self.high)
        return low if low == high else f"{low} to {high}"


def unit(value: Decimal) -> Fraction:
    """The value of one step of the last printed digit."""
    return Fraction(10) ** int(value.as_tuple().exponent)


def decimals(value: Fraction, places: int = 2) -> str:
    """A number with at most so many decimals, and a typographic minus sign."""
    text = f"{float(round(value, places)):.{places}f}".rstrip("0").rstrip(".")
    return text.replace("-", "−")


def possible_counts(value: Decimal, trials: int) -> range:
    """The numbers of successes that are printed as this percentage."""
    printed = Range.rounded(value).times(Fraction(trials, 100))
    return range(max(0, math.ceil(printed.low)), min(trials, math.floor(printed.high)) + 1)


def possible_values(number: Number) -> Range:
    """The values of a number before rounding; its trials narrow them unless they contradict the printed value."""
    printed = Range.rounded(number.value)
    trials = number.trials or (convention(number.benchmark).task_trials if number.task else None)
    if trials and number.unit == "%" and (counts := possible_counts(number.value, trials)):
        return printed.within(Range(Fraction(100 * counts[0], trials), Fraction(100 * counts[-1], trials)))
    return printed


def mean(ranges: Iterable[Range], weights: Iterable[int]) -> Range:
    """The weighted mean of ranges."""
    pairs = list(zip(ranges, weights, strict=True))
    total = sum(weight for _, weight in pairs)
    low = sum((one.low * weight for one, weight in pairs), Fraction())
    high = sum((one.high * weight for one, weight in pairs), Fraction())
    return Range(low / total, high / total)


def table_of(number: Number) -> Row:
    """Fields that the numbers of one table with one metric share."""
    return number.paper, number.table, number.benchmark, number.metric


def row_of(number: Number) -> Row:
    """Fields that the numbers of one row of a table share; in tables of tasks, those of one method's columns."""
    return (*table_of(number), number.method, number.training, str(number.pretraining))


def rows(numbers: Iterable[Number]) -> dict[Row, list[Number]]:
    """Numbers by row, in their order."""
    grouped: dict[Row, list[Number]] = defaultdict(list)
    for number in numbers:
        grouped[row_of(number)].append(number)
    return dict(grouped)


@dataclass(frozen=True)
class Average:
    """A printed average and the printed numbers that it averages."""

    printed: Number
    parts: tuple[Number, ...]

    @property
    def plain(self) -> Range:
        """The mean of the parts, each with the same weight."""
        return mean(map(possible_values, self.parts), [1] * len(self.parts))

    @property
    def weighted(self) -> Range | None:
        """The mean over tasks, from the numbers of tasks of the conditions; ``None`` if conditions weigh alike."""
        group = grouping(self.printed.benchmark)
        conditions = [str(part.condition) for part in self.parts]
        if not group.averaging.by_task or not set(conditions) <= group.sizes.keys():
            return None
        return mean(map(possible_values, self.parts), [group.sizes[condition] for condition in conditions])

    @property
    def means(self) -> dict[str, Range]:
        """The means that the printed value may be, by name."""
        if self.weighted is None:
            return {"mean": self.plain}
        return {"task-weighted": self.weighted, mean_of(self.printed.benchmark): self.plain}

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the means that the printed value agrees with."""
        printed = Range.rounded(self.printed.value)
        return tuple(name for name, value in self.means.items() if value.overlaps(printed))


def mean_of(benchmark: str) -> str:
    """The name of the mean in which every condition of a benchmark weighs alike."""
    return f"mean of the {grouping(benchmark).plural}"


def averages(numbers: Sequence[Number]) -> list[Average]:
    """All printed averages whose parts are printed in the same row."""
    return [
        Average(number, parts)
        for row in rows(numbers).values()
        for number in row
        if number.task is None and (parts := _parts(number, row))
    ]


def _parts(number: Number, row: Sequence[Number]) -> tuple[Number, ...]:
    by_task = tuple(n for n in row if n.task and n.condition == number.condition)
    if by_task:
        sizes = convention(number.benchmark).complete_tables
        return by_task if not sizes or len(by_task) in sizes else ()
    group = grouping(number.benchmark)
    parts = tuple(n for n in row if n.task is None and n.condition != group.whole)
    known = len(group.averaging.groups)
    complete = len(parts) == known if known else len(parts) > 1
    return parts if number.condition == group.whole and complete else ()
