"""Checks of published numbers for what is not expected: rounding, conditions, training data, failed cells, costs."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations

from wam_eval.papers.averages import Row, averages, decimals, row_of, table_of, unit
from wam_eval.papers.checks import Check, Finding, label, location, shortened
from wam_eval.papers.grouping import grouping
from wam_eval.papers.published import Number, Published, convention

COSTS = "efficiency"
"""Name under which the files keep costs."""
CLEAR = 3
"""Number of standard errors beyond which a difference of two rates is called clear."""
MANY = Fraction(1, 4)
"""Share of the cells of a table that is worth a finding."""
FAILED, SOUND, SOLVED, SOLVERS = 5, 50, 80, 2
"""A cell looks failed at up to 5 % if the method's mean is at least 50 % and two other methods have 80 % there."""


# ---------------------------------------------------------------------- rounding


def check_ties(published: Published) -> Check:
    """Find tables that round some of their ties up and others down."""
    tables: dict[str, dict[str, list[str]]] = defaultdict(lambda: {"up": [], "down": []})
    count = 0
    for average in averages(published.numbers):
        number, parts = average.printed, average.parts
        if grouping(number.benchmark).averaging.by_task:
            continue
        exact = sum((Fraction(part.value) for part in parts), Fraction()) / len(parts)
        step = unit(number.value)
        if (exact / step).denominator != 2:
            continue
        count += 1
        if abs(Fraction(number.value) - exact) == step / 2:
            way = "up" if number.value > exact else "down"
            tables[location(number)][way].append(f"{number.method} {decimals(exact, 3)} → {number.value}")
    findings = tuple(
        Finding("ties rounded both ways", where, f"up: {', '.join(ways['up'])}; down: {', '.join(ways['down'])}")
        for where, ways in tables.items()
        if ways["up"] and ways["down"]
    )
    about = (
        "The mean of the parts as printed may lie exactly between two values that can be printed. A table should round "
        "all such means alike: up, or to the even digit. Otherwise two equal methods differ by a digit."
    )
    return Check("Ties rounded both ways", about, count, "averages that are ties", findings)


# ---------------------------------------------------------------------- rates of one method


def check_harder_conditions(published: Published) -> Check:
    """Find methods with higher rates under the condition that is harder by construction."""
    numbers = {_place(n, n.condition or ""): n for n in published.numbers if _is_rate(n)}
    pairs: dict[Row, list[tuple[Number, Number]]] = defaultdict(list)
    for number in numbers.values():
        easier = convention(number.benchmark).harder.get(number.condition or "")
        other = numbers.get(_place(number, easier)) if easier else None
        if other:
            pairs[location(number), number.method].append((other, number))
    findings = []
    for (where, method), group in pairs.items():
        tasks = [pair for pair in group if pair[0].task]
        above = [(easy, hard) for easy, hard in tasks if hard.value > easy.value]
        clear = [pair for pair in above if _clear(*pair)]
        means = [(easy, hard) for easy, hard in group if not easy.task and hard.value > easy.value]
        if not (clear or means or (tasks and Fraction(len(above), len(tasks)) >= MANY)):
            continue
        conditions = f"{group[0][1].condition} above {group[0][0].condition}"
        detail = [f"in {len(above)} of {len(tasks)} cells"] if tasks else []
        detail += [f"clearly in {_contrasts(clear)}"] if clear else []
        detail += [f"in the mean: {_contrasts(means)}"] if means else []
        findings.append(Finding(conditions, f"{where}: {method}", "; ".join(detail)))
    about = (
        f"The same tasks under a condition with more variation are harder, or equally hard. {_ABOUT_CLEAR} A method "
        "that was trained on such scenes may be better there; one that was not, is not expected to be."
    )
    count = sum(map(len, pairs.values()))
    return Check("Harder conditions with higher rates", about, count, "pairs of rates", tuple(findings))


def check_more_data(published: Published) -> Check:
    """Find methods with higher rates after fewer demonstrations, from trainings such as ``40 tasks, 5-shot``."""
    groups: dict[Row, dict[int, dict[Row, Number]]] = defaultdict(lambda: defaultdict(dict))
    for number in published.numbers:
        if _is_rate(number) and (found := re.fullmatch(r"(.*?)(\d+)-shot", number.training)):
            cell = (number.condition or "", number.task or "")
            groups[location(number), number.method, found[1]][int(found[2])][cell] = number
    findings, count = [], 0
    for (where, method, _), by_shots in groups.items():
        for fewer, more in combinations(sorted(by_shots), 2):
            shared = [(by_shots[fewer][c], by_shots[more][c]) for c in by_shots[fewer] if c in by_shots[more]]
            count += len(shared)
            above = [(few, many) for few, many in shared if few.task and few.value > many.value]
            means = [(few, many) for few, many in shared if not few.task and few.value > many.value]
            clear = [pair for pair in above if _clear(*pair)]
            if clear or means:
                tasks = sum(1 for few, _ in shared if few.task)
                detail = [f"{fewer}-shot above {more}-shot in {len(above)} of {tasks} cells"]
                detail += [f"clearly in {_contrasts(clear)}"] if clear else []
                detail += [f"in the mean: {_contrasts(means)}"] if means else []
                findings.append(Finding("fewer demonstrations are better", f"{where}: {method}", "; ".join(detail)))
    about = f"More demonstrations of a task should not make it worse. {_ABOUT_CLEAR}"
    return Check("More data with lower rates", about, count, "pairs of rates", tuple(findings))


def check_failed_cells(published: Published) -> Check:
    """Find cells near zero of a method that is good elsewhere, where other methods are good."""
    columns: dict[Row, dict[Row, dict[str, Number]]] = defaultdict(lambda: defaultdict(dict))
    for number in published.numbers:
        if number.task and _is_rate(number):
            key = (*table_of(number), number.condition or "", number.training)
            columns[key][number.method,][number.task] = number
    findings, count = [], 0
    for methods in columns.values():
        for (method,), cells in methods.items():
            count += len(cells)
            if len(cells) < 2 or sum(n.value for n in cells.values()) < SOUND * len(cells):
                continue
            failed = []
            for task, number in cells.items():
                others = {m: c[task].value for (m,), c in methods.items() if m != method and task in c}
                good = [f"{m} {value}" for m, value in others.items() if value >= SOLVED]
                if number.value <= FAILED and len(good) >= SOLVERS:
                    failed.append(f"{task} {number.condition} {number.value} ({shortened(good, 3)})")
            if failed:
                one = next(iter(cells.values()))
                findings.append(Finding("looks like a failed run", label(one), "; ".join(failed)))
    about = (
        f"A cell of at most {FAILED} % of a method whose mean is at least {SOUND} %, while at least {SOLVERS} other "
        f"methods of the table have {SOLVED} % or more there: perhaps a fault of the evaluation, not of the method."
    )
    return Check("Cells that look like failed runs", about, count, "cells of tasks", tuple(findings))


_ABOUT_CLEAR = f"A difference is clear if it is more than {CLEAR} standard errors of the two rates."


def _is_rate(number: Number) -> bool:
    return (number.metric, number.unit) == ("success_rate", "%")


def _place(number: Number, condition: str) -> Row:
    """The place of the same number under a condition."""
    return (*row_of(number), condition, number.task or "")


def _clear(one: Number, other: Number) -> bool:
    """True if two rates differ by more than :data:`CLEAR` standard errors."""
    trials = [n.trials or (convention(n.benchmark).task_trials if n.task else None) for n in (one, other)]
    if not all(trials):
        return False
    pooled = float(one.value + other.value) / 200
    error = 100 * math.sqrt(pooled * (1 - pooled) * sum(1 / n for n in trials if n))
    return abs(float(one.value - other.value)) > CLEAR * error


def _contrasts(pairs: Iterable[tuple[Number, Number]]) -> str:
    """Pairs of rates in words, the largest differences first; the training is named if it is the same."""
    ordered = sorted(pairs, key=lambda pair: -abs(pair[0].value - pair[1].value))
    words = []
    for one, other in ordered:
        what = one.task or ""
        if one.condition == other.condition:
            what = f"{what} {one.condition}".strip()
        elif one.training == other.training and "-shot" in one.training:
            what = f"{what} ({one.training})".strip()
        words.append(f"{what} {one.value} → {other.value}".strip())
    return shortened(words)


# ---------------------------------------------------------------------- costs


def check_costs(published: Published) -> Check:
    """List costs with their conditions, and find metrics that several papers print under different ones."""
    costs = published.select(benchmark=COSTS)
    by_metric: dict[str, dict[str, list[Number]]] = defaultdict(lambda: defaultdict(list))
    for number in costs:
        by_metric[number.metric][number.paper].append(number)
    findings = []
    for metric, papers in by_metric.items():
        if len(papers) > 1:
            detail = "; ".join(
                f"{paper}: {shortened(f'{n.method} {n.value} {n.unit} ({_circumstances(n)})' for n in numbers)}"
                for paper, numbers in papers.items()
            )
            findings.append(Finding("other devices, steps or scopes", metric, detail))
        findings += _unlike_ratios(metric, papers)
    listing: list[Row] = [("metric", "where", "prints", "of, on, with")]
    listing += [(n.metric, label(n), f"{n.value} {n.unit}", _circumstances(n)) for n in costs]
    about = (
        "A latency depends on the device, the number of denoising steps, the compilation and what is timed, a number "
        "of parameters on the parts that are counted. Costs of two papers can be compared only if all of these are "
        "stated and equal. The ratio of two methods differs by paper for the same reason."
    )
    return Check("Costs that cannot be compared", about, len(costs), "costs", tuple(findings), tuple(listing))


def _circumstances(number: Number) -> str:
    return "; ".join(filter(None, (number.condition, number.note))) or "nothing is stated"


def _unlike_ratios(metric: str, papers: Mapping[str, Sequence[Number]]) -> list[Finding]:
    """Findings for pairs of methods whose ratio differs by paper."""
    values: dict[str, dict[str, list[Fraction]]] = {}
    for paper, numbers in papers.items():
        for number in numbers:
            values.setdefault(number.method, {}).setdefault(paper, []).append(Fraction(number.value))
    findings = []
    for one, other in combinations(values, 2):
        shared = [paper for paper in values[one] if paper in values[other]]
        if len(shared) < 2:
            continue
        texts = []
        for paper in shared:
            ratios = sorted({b / a for a in values[one][paper] for b in values[other][paper]})
            ends = dict.fromkeys(decimals(ratio) for ratio in (ratios[0], ratios[-1]))
            texts.append(f"{' to '.join(ends)} ({paper})")
        findings.append(Finding("ratio differs by paper", metric, f"{other} over {one}: {', '.join(texts)}"))
    return findings
