"""Audit of published results: printed averages, repetitions, trials, names and sources checked against one another."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations

from wam_eval.papers.averages import (
    Average,
    Range,
    Row,
    averages,
    decimals,
    mean_of,
    possible_counts,
    row_of,
    rows,
    table_of,
)
from wam_eval.papers.checks import Check, Finding, label, location, shortened
from wam_eval.papers.grouping import Grouping, grouping
from wam_eval.papers.plausibility import (
    check_costs,
    check_failed_cells,
    check_harder_conditions,
    check_more_data,
    check_ties,
)
from wam_eval.papers.provenance import agree, check_provenance
from wam_eval.papers.published import MeasuredBy, Number, Published, Status, convention

SMALLER_TRIALS = (10, 20, 25, 50)
"""Numbers of trials per cell that people use, below the usual 100."""
OTHER_TRIALS = (100, 200, 250, 1000, 1500)
"""Numbers of trials of a condition that people use beside the usual one: fewer per task, or several seeds."""
ENOUGH_CELLS = 20
"""Number of cells that do not all fit fewer trials by chance."""
SMALL_LEAD = Fraction(1, 4)
"""Share of a printed lead below which a recomputed one is worth a finding."""
ENOUGH_VALUES = 3
"""Number of equal values in two rows that is not a coincidence."""


def audit(published: Published) -> list[Check]:
    """All checks of the numbers; :func:`wam_eval.papers.claims.check_claims` checks the claims."""
    checks = (
        check_averages,
        check_ties,
        check_totals,
        check_copies,
        check_agreement,
        check_trials,
        check_harder_conditions,
        check_more_data,
        check_failed_cells,
        check_costs,
        check_names,
        check_provenance,
        check_sources,
    )
    return [check(published) for check in checks]


def check_averages(published: Published) -> Check:
    """Check every printed average against its parts."""
    found = averages(published.numbers)
    findings = [finding for average in found if (finding := _average_finding(average))]
    findings += _averages_with_missing_parts(published.numbers)
    benchmarks = _benchmarks(published.numbers)
    usual = [
        f"{group.title}'s tasks: {trials} trials unless stated"
        for group in benchmarks
        if (trials := convention(group.benchmark).task_trials)
    ]
    both = [
        f" {group.title} totals may be the mean over tasks or over {group.plural}; a mean over its suites cannot be "
        "recomputed, since no source prints these."
        for group in benchmarks
        if _has_two_means(group)
    ]
    usual_trials = f" ({'; '.join(usual)})" if usual else ""
    about = (
        "An average must lie within what its parts allow. Every value stands for all values that round to it; halves "
        "may be rounded up or down. A part with known trials stands for the counts of successes that are printed as it"
        f"{usual_trials}.{''.join(both)}"
    )
    return Check("Averages that do not add up", about, len(found), "averages with printed parts", tuple(findings))


def _benchmarks(numbers: Iterable[Number]) -> list[Grouping]:
    """Groupings of the benchmarks in these numbers that are defined in this package or an installed one."""
    groups = (grouping(name) for name in sorted({number.benchmark for number in numbers}))
    return [group for group in groups if group.conditions]


def _has_two_means(group: Grouping) -> bool:
    return group.averaging.by_task and bool(group.sizes)


def _average_finding(average: Average) -> Finding | None:
    if average.kinds:
        return None
    number = average.printed
    names = {"mean": ""}
    recomputed = ", ".join(
        f"{names.get(name, f'{name} ')}{value} (off by {decimals(Fraction(number.value) - value.middle)})"
        for name, value in average.means.items()
    )
    detail = f"{number.condition or 'overall'} prints {number.value}; {len(average.parts)} parts give {recomputed}"
    return Finding(_deviation(number, list(average.means.values())), label(number), detail)


def _deviation(number: Number, means: Sequence[Range]) -> str:
    shorter = Range.rounded(number.value.normalize())
    if any(value.overlaps(shorter) for value in means):
        return "rounded before the last printed digit"
    if any(value.overlaps(Range.truncated(number.value)) for value in means):
        return "off by rounding of the last digit"
    return "does not add up"


def _averages_with_missing_parts(numbers: Sequence[Number]) -> list[Finding]:
    findings = []
    for row in rows(numbers).values():
        group = grouping(row[0].benchmark)
        whole = [n for n in row if n.task is None and group.conditions and n.condition == group.whole]
        parts = [n for n in row if n.task is None and n not in whole]
        for number in whole if parts else ():
            missing = [c for c in group.conditions if c not in {n.condition for n in row}]
            if missing:
                values = ", ".join(f"{n.condition} {n.value}" for n in parts)
                detail = f"prints {number.value} beside {values}, without {', '.join(missing)}"
                findings.append(Finding("average although a part is missing", label(number), detail))
    return findings


def check_totals(published: Published) -> Check:
    """Determine which mean each total is where tasks and conditions may weigh alike, and find tables that mix them."""
    totals = [average for average in averages(published.numbers) if average.weighted is not None]
    benchmarks = [group for group in _benchmarks(published.numbers) if _has_two_means(group)]
    words = " or ".join(dict.fromkeys(mean_of(group.benchmark) for group in benchmarks)) or "mean"
    listing: list[Row] = [("where", "prints", "task-weighted", words, "is")]
    tables: dict[str, dict[str, list[str]]] = {}
    for average in totals:
        number, kinds = average.printed, average.kinds
        values = (str(number.value), str(average.weighted), str(average.plain))
        listing.append((label(number), *values, " or ".join(kinds) or "neither"))
        kind = kinds[0] if len(kinds) == 1 else "either" if kinds else "neither"
        tables.setdefault(location(number), {}).setdefault(kind, []).append(number.method)
    findings = []
    for where, kinds_of in tables.items():
        means = set(kinds_of) - {"either", "neither"}
        if len(means) > 1 or "neither" in kinds_of:
            kind = "rows of different kinds" if len(means) > 1 else "rows that are no mean"
            detail = "; ".join(f"{name}: {shortened(methods, 12)}" for name, methods in kinds_of.items())
            findings.append(Finding(kind, where, detail))
    by_table: dict[str, list[Average]] = defaultdict(list)
    for average in totals:
        by_table[location(average.printed)].append(average)
    for where, group in by_table.items():
        findings += [Finding("lead that depends on the mean", where, text) for text in _leads(group)]
    sizes = [
        f"{group.title}'s {group.plural} differ in size ({min(group.sizes.values()):,} to "
        f"{max(group.sizes.values()):,} tasks), so the mean over tasks and the mean over {group.plural} differ. "
        for group in benchmarks
    ]
    about = (
        f"{''.join(sizes)}A table whose rows are not all of one kind ranks unlike things; *neither* is a row that is "
        "no mean of its parts. A lead of one row over another depends on the mean if it is less than "
        f"{decimals(100 * SMALL_LEAD)} % of the printed one, or reversed, once both rows use the same mean."
    )
    return Check("Totals of mixed kinds", about, len(totals), "totals", tuple(findings), tuple(listing))


def _leads(group: Sequence[Average]) -> Iterable[str]:
    """Leads in a table that shrink or turn around when both rows use the same mean."""
    for a, b in combinations(group, 2):
        first, second = (a, b) if a.printed.value >= b.printed.value else (b, a)
        printed = Fraction(first.printed.value - second.printed.value)
        leads = {name: value - second.means[name] for name, value in first.means.items() if name in second.means}
        if any(lead.high < SMALL_LEAD * printed for lead in leads.values()):
            recomputed = ", ".join(f"{name} {lead}" for name, lead in leads.items())
            yield f"{first.printed.method} above {second.printed.method}: prints {decimals(printed)}; {recomputed}"


def check_copies(published: Published) -> Check:
    """Find rows of one table that are equal although they are of different methods."""
    tables: dict[Row, list[Row]] = defaultdict(list)
    by_row = rows(published.numbers)
    for key, row in by_row.items():
        tables[table_of(row[0])].append(key)
    findings, pairs = [], 0
    for keys in tables.values():
        for one, other in combinations(keys, 2):
            first, second = by_row[one], by_row[other]
            if first[0].method == second[0].method:
                continue
            pairs += 1
            if len(first) >= ENOUGH_VALUES and _values(first) == _values(second):
                detail = (
                    f"{first[0].method} and {second[0].method}: all {len(first)} values are equal ({_listed(first)})"
                )
                findings.append(Finding("identical rows", location(first[0]), detail))
    about = (
        f"Two methods of one table with the same {ENOUGH_VALUES} or more values and no other: "
        "one of the rows is likely a copy."
    )
    return Check("Identical rows of different methods", about, pairs, "pairs of rows", tuple(findings))


def _values(row: Sequence[Number]) -> dict[tuple[str | None, str | None], object]:
    return {(n.condition, n.task): n.value for n in row}


def _listed(numbers: Sequence[Number]) -> str:
    return shortened((str(n.value) for n in numbers), 8)


def check_agreement(published: Published) -> Check:
    """Find numbers that several tables or sources print with different values."""
    same: dict[Row, list[Number]] = defaultdict(list)
    for n in published.numbers:
        same[n.method, n.benchmark, n.condition or "", n.task or "", n.metric].append(n)
    repeated = {key: group for key, group in same.items() if len({(n.paper, n.table) for n in group}) > 1}
    unlike: dict[Row, list[list[Number]]] = defaultdict(list)
    for key, group in repeated.items():
        setups = _by_training(group)
        for kind, numbers in [(_disagreement(setup), setup) for setup in setups if not _agree(setup)]:
            unlike[kind, *key[:3], _scope(numbers)].append(numbers)
        if any(not _agree([a, b]) for one, other in combinations(setups, 2) for a in one for b in other):
            unlike[DISAGREEMENTS[-1], *key[:3], _scope(group)].append(group)
    findings = [
        Finding(kind, f"{method}: {' '.join(filter(None, (benchmark, condition)))}", _contrast(groups))
        for (kind, method, benchmark, condition, *_), groups in unlike.items()
    ]
    findings.sort(key=lambda finding: DISAGREEMENTS.index(finding.kind))
    about = (
        "The same method, benchmark, condition, task and metric in several tables. Values that round to one another "
        "agree. Values of different training setups do not disagree; they are listed because papers print them "
        "under one name."
    )
    return Check("Numbers printed differently", about, len(repeated), "numbers printed more than once", tuple(findings))


DISAGREEMENTS = (
    "two tables of one source",
    "a source and the method's own paper",
    "two sources about a third's method",
    "not comparable: different training",
)


def _by_training(group: Sequence[Number]) -> list[list[Number]]:
    setups: dict[str, list[Number]] = defaultdict(list)
    for number in group:
        setups[number.training].append(number)
    return list(setups.values())


def _agree(numbers: Sequence[Number]) -> bool:
    """True if every two numbers agree."""
    return all(agree(a, b) for a, b in combinations(numbers, 2))


def _scope(numbers: Sequence[Number]) -> str:
    return "task" if numbers[0].task else "overall"


def _disagreement(numbers: Sequence[Number]) -> str:
    if len({n.paper for n in numbers}) == 1:
        return DISAGREEMENTS[0]
    return DISAGREEMENTS[1] if any(n.measured_by is MeasuredBy.OWN for n in numbers) else DISAGREEMENTS[2]


def _contrast(groups: Sequence[Sequence[Number]]) -> str:
    shown = max(groups, key=lambda group: max(n.value for n in group) - min(n.value for n in group))
    several = len({n.training for n in shown}) > 1
    by_value: dict[str, list[str]] = defaultdict(list)
    for n in shown:
        by_value[f"{n.value} with {n.training}" if several else str(n.value)].append(location(n))
    text = " against ".join(f"{value} ({'; '.join(places)})" for value, places in by_value.items())
    if not shown[0].task:
        return text
    return f"in {len(groups)} task{'s' * (len(groups) > 1)}, most of all {shown[0].task}: {text}"


def check_trials(published: Published) -> Check:
    """Find percentages that the stated number of trials cannot give, and columns that fewer trials explain."""
    rates = [n for n in published.numbers if n.trials and n.unit == "%"]
    findings: list[Finding] = []
    columns: dict[Row, list[Number]] = defaultdict(list)
    for n in rates:
        if n.trials and not possible_counts(n.value, n.trials):
            detail = (
                f"{' '.join(filter(None, (n.condition, n.task)))}: {n.value} % of {n.trials} trials is no whole number"
            )
            findings.append(Finding("impossible", label(n), detail))
        if n.task:
            columns[row_of(n)].append(n)
    unstated = [open_rates for row in rows(published.numbers).values() if (open_rates := _without_trials(row))]
    findings += [finding for open_rates in unstated if (finding := _unusual_trials(open_rates))]
    for column in columns.values():
        fewer = [t for t in SMALLER_TRIALS if all(n.trials and t < n.trials for n in column)]
        fits = [t for t in fewer if all(possible_counts(n.value, t) for n in column)]
        if fits and len(column) >= ENOUGH_CELLS:
            stated = ", ".join(sorted({str(n.trials) for n in column}))
            step = 100 // fits[0]
            detail = (
                f"all {len(column)} values are multiples of {step}: consistent with {fits[0]} trials; {stated} stated"
            )
            findings.append(Finding("fewer trials than stated", label(column[0]), detail))
    about = (
        "A success rate is a count over trials, so value × trials / 100 must be whole, within the rounding. "
        f"Where {ENOUGH_CELLS} or more cells of a method come out whole with fewer trials, fewer were likely played. "
        "Where a source does not state the trials, those that most papers play are tried."
    )
    count, things = len(rates) + sum(map(len, unstated)), "rates with stated or usual trials"
    return Check("Trials that the values contradict", about, count, things, tuple(findings))


def _without_trials(row: Sequence[Number]) -> list[Number]:
    """The rates of a row by condition whose trials are not stated, if the benchmark has a usual number of them."""
    usual, whole = convention(row[0].benchmark).condition_trials, grouping(row[0].benchmark).whole
    return [n for n in row if usual and not (n.trials or n.task) and n.condition != whole and n.unit == "%"]


def _unusual_trials(rates: Sequence[Number]) -> Finding | None:
    """A finding for rates that the benchmark's usual number of trials cannot give."""
    usual = convention(rates[0].benchmark).condition_trials or 0
    bad = [f"{n.condition} {n.value}" for n in rates if not possible_counts(n.value, usual)]
    if not bad:
        return None
    fits = [f"{t:,}" for t in OTHER_TRIALS if all(possible_counts(n.value, t) for n in rates)]
    others = f"the row fits {', '.join(fits)}" if fits else "nor does another usual number fit"
    detail = f"{', '.join(bad)}: no whole number of {usual} trials; {others}"
    return Finding("not from the usual trials", label(rates[0]), detail)


def check_names(published: Published) -> Check:
    """Find names that several methods share, and names that the text lost."""
    numbers = [n for n in published.numbers if not n.benchmark.endswith("_derived")]
    by_name: dict[str, dict[str, Number]] = defaultdict(dict)
    tables: dict[str, dict[str, Number]] = defaultdict(dict)
    for n in numbers:
        tables[location(n)].setdefault(n.method, n)
        if not _lost(n):
            by_name[_bare(n).casefold()].setdefault(n.method, n)
    findings = [
        Finding("one name, several methods", f"“{_bare(next(iter(named.values())))}”", _uses(named))
        for named in by_name.values()
        if len(named) > 1
    ]
    for where, methods in tables.items():
        if lost := [n for n in methods.values() if _lost(n)]:
            meant = "; ".join(f"“{n.printed_as}” is {n.method}" + (f" ({n.note})" if n.note else "") for n in lost)
            detail = f"{len(methods) - len(lost)} names for {len(methods)} methods: {meant}"
            findings.append(Finding("name lost from the text", where, detail))
    about = (
        "A printed name (without its reference) must stand for one method, and every method of a table must have one."
    )
    return Check("Names", about, len(by_name), "printed names", tuple(findings))


def _bare(n: Number) -> str:
    return re.sub(r"\s*\[\d+\]$|†|\s*\(ours\)", "", n.printed_as, flags=re.IGNORECASE).strip()


def _lost(n: Number) -> bool:
    return not _bare(n) or bool(re.fullmatch(r"\(.*lost.*\)", n.printed_as))


def _uses(named: dict[str, Number]) -> str:
    return "; ".join(f"{method} ({location(n)})" for method, n in named.items())


def check_sources(published: Published) -> Check:
    """List numbers that are not the source's own, and the reasons."""
    groups: dict[Row, list[Number]] = defaultdict(list)
    for n in published.numbers:
        if n.status is not Status.PRIMARY:
            groups[n.status.value, n.paper, n.table, n.method, n.note or ""].append(n)
    findings = []
    for (status, paper, *_, note), numbers in groups.items():
        reason = note or published.papers[paper].note or "no reason is noted"
        findings.append(Finding(status, label(numbers[0]), f"{_listed(numbers)} {numbers[0].unit}: {reason}"))
    about = "Numbers that no table of this project shows or compares with, and the reason that is noted beside them."
    return Check("Secondary and misattributed numbers", about, len(published.numbers), "numbers", tuple(findings))
