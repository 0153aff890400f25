"""Comparison of a candidate with runs and published methods: better, worse, cannot tell, or the reasons for no verdict.

Two runs are compared episode by episode. A printed number has no episodes to pair, so that a run, or another published
method, is compared with it by tests of independent rates.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wam_eval.analysis import statistics
from wam_eval.analysis.actions import action_data, action_warnings
from wam_eval.analysis.agreement import (
    Agreement,
    Differences,
    agreement,
    agreement_with_paper,
    between_runs,
    check_accepted,
    unknown_fields,
    with_paper,
)
from wam_eval.analysis.estimates import (
    Estimate,
    about_sample,
    condition_left_out,
    estimate,
    mean_in_words,
    plays_sample,
    published_estimate,
    tasks_left_out,
)
from wam_eval.analysis.frame import RunData, coverage_of, read_run
from wam_eval.config import run_names
from wam_eval.errors import UserError, nearest, one_of, unknown
from wam_eval.papers.averages import averages
from wam_eval.papers.grouping import grouping
from wam_eval.papers.published import MeasuredBy, Number, Paper, Published, read_published
from wam_eval.protocol import NOT_STATED, OWN_TASKS
from wam_eval.run.folder import RunFolder, mixed_protocols


@dataclass(frozen=True)
class PrintedRates:
    """Success rates of a method on one benchmark, as one paper printed them under one training setup.

    Attributes:
        title: for people.
        paper: the paper.
        benchmark: name of the benchmark.
        numbers: (condition, task or ``None`` for all tasks) -> number; of several, the one with most decimals.
    """

    title: str
    paper: Paper
    benchmark: str
    numbers: dict[tuple[str, str | None], Number]


@dataclass(frozen=True)
class PublishedMethod:
    """A published method.

    Attributes:
        name: as the user gave it.
        printed: benchmark -> printed rates.
    """

    name: str
    printed: dict[str, PrintedRates]


Entry = RunData | PublishedMethod


def find_entries(names: Sequence[str], published: Callable[[], Published] = read_published) -> list[Entry]:
    """Find runs and published methods by name; a run takes precedence over a method of the same name.

    Args:
        names: names of runs, or ``method``, ``method@paper``, ``method@paper:training``.
        published: returns the published results; only called if a name is not that of a run.

    Raises:
        UserError: an unknown or ambiguous name, or no benchmark in common.
    """
    runs = {name: read_run(name) for name in names if RunFolder(name).exists()}
    played = {
        name: set(runs[name].record.benchmarks) if name in runs else _benchmarks(name, published()) for name in names
    }
    shared = set.intersection(*played.values())
    if not shared:
        listed = "; ".join(f"{name}: {', '.join(sorted(benchmarks))}" for name, benchmarks in played.items())
        raise UserError(f"nothing to compare: they have no benchmark in common ({listed})")
    found: list[Entry] = []
    for name in names:
        if name in runs:
            found.append(runs[name])
        else:
            found.append(PublishedMethod(name, {b: printed_rates(name, b, published()) for b in sorted(shared)}))
    return found


def printed_rates(name: str, benchmark: str, published: Published) -> PrintedRates:
    """Success rates of a method on a benchmark.

    If several papers print it, its authors' own numbers are taken, or any of them if all agree.

    Args:
        name: ``method``, ``method@paper`` or ``method@paper:training``.
        benchmark: name of the benchmark.
        published: the published results.

    Raises:
        UserError: no such method, or an ambiguous name.
    """
    setups: dict[tuple[str, str], list[Number]] = {}
    for number in _numbers(name, published):
        if number.benchmark == benchmark:
            setups.setdefault(number.setup, []).append(number)
    own = [s for s, numbers in setups.items() if any(n.measured_by is MeasuredBy.OWN for n in numbers)]
    candidates = own or list(setups)
    if len(candidates) > 1 and not _agree([_by_cell(setups[setup]) for setup in candidates]):
        method = name.partition("@")[0]
        listed = "\n  ".join(f'"{method}@{paper}:{training}"' for paper, training in sorted(candidates))
        raise UserError(f"{name} has different results on {benchmark}; choose one of:\n  {listed}")
    numbers = _by_cell(setups[candidates[0]])
    first = next(iter(numbers.values()))
    paper, training = candidates[0]
    title = f"{published.methods[first.method].name} ({paper}, {training})"
    return PrintedRates(title, published.papers[paper], benchmark, numbers)


def _benchmarks(name: str, published: Published) -> set[str]:
    return {number.benchmark for number in _numbers(name, published)}


def _numbers(name: str, published: Published) -> list[Number]:
    method, _, rest = name.partition("@")
    paper, _, training = rest.partition(":")
    if method not in published.methods:
        raise unknown("run or published method", method, [*run_names(), *published.methods], published.names)
    if paper and paper not in published.papers:
        raise unknown("paper", paper, published.papers)
    rates = [n for n in published.citable() if n.metric == "success_rate" and n.unit == "%"]
    chosen = [n for n in rates if n.method == method and paper in ("", n.paper) and training in ("", n.training)]
    if not chosen:
        setups = sorted({f"{method}@{n.paper}:{n.training}" for n in rates if n.method == method})
        near = nearest(name, setups) or setups or nearest(method, sorted({n.method for n in rates}))
        hint = (
            f"did you mean {one_of(map(repr, near))}?"
            if near
            else "`wam-eval list methods` lists those with success rates"
        )
        raise UserError(f"no success rate of {name} was published: {hint}")
    return chosen


def _by_cell(numbers: Sequence[Number]) -> dict[tuple[str, str | None], Number]:
    cells: dict[tuple[str, str | None], Number] = {}
    for number in sorted(numbers, key=lambda n: int(n.value.as_tuple().exponent)):
        cells.setdefault((str(number.condition), number.task), number)
    return cells


def _agree(candidates: Sequence[dict[tuple[str, str | None], Number]]) -> bool:
    """True if all candidates print the same numbers, rounded to the smaller number of decimals."""
    first, *others = candidates
    if len({next(iter(c.values())).training for c in candidates}) > 1:
        return False
    for other in others:
        for cell in first.keys() & other.keys():
            a, b = first[cell].value, other[cell].value
            decimals = min(-int(value.as_tuple().exponent) for value in (a, b))
            if round(a, decimals) != round(b, decimals):
                return False
    return True


ALPHA = 0.05
"""Significance level of a verdict, after Holm's correction."""
POWER = 0.8
"""Power of the smallest detectable difference."""


class Verdict(str, Enum):
    """Verdict on the candidate; ``NONE`` if the numbers do not allow one."""

    BETTER = "better"
    WORSE = "worse"
    UNSURE = "cannot tell"
    NONE = "no verdict"


@dataclass(frozen=True)
class ComparisonRow:
    """A comparison of two success rates.

    Attributes:
        benchmark: name of the benchmark.
        level: ``overall``, ``suite``, ``condition`` or ``task``.
        group: name of the suite, condition or task; ``all`` overall.
        other: name of the entry that the candidate is compared with.
        candidate, reference: rates of the candidate and of the other entry.
        difference: candidate minus reference, a fraction; ``None`` without a verdict.
        low, high: ends of its 95 % interval.
        p: two-sided p-value.
        p_holm: p-value after Holm's correction over all verdicts of the same level.
        p_permutation: p-value of a permutation of outcomes within tasks, for two runs.
        test: name of the test.
        detectable: smallest difference that these episodes show with a power of 80 % at a level of 5 %.
        verdict: the verdict.
        reasons: reasons for the lack of a verdict.
        accepted: differences of the protocols that would be reasons, but were accepted by name.
        notes: further information for readers.
    """

    benchmark: str
    level: str
    group: str
    other: str
    candidate: Estimate
    reference: Estimate
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    p_permutation: float | None = None
    test: str = ""
    detectable: float | None = None
    verdict: Verdict = Verdict.NONE
    reasons: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """All comparisons of a candidate.

    Attributes:
        candidate: its name.
        rows: ordered by other entry, benchmark and level.
        accepted: names of fields in which the protocols differ and are allowed to, as the caller gave them.
        notes: a sentence for each name that accepts no difference, and for each run with rollbacks.
        warnings: about the actions of the runs, with the name of the run.
    """

    candidate: str
    rows: tuple[ComparisonRow, ...]
    accepted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def verdicts(self) -> set[Verdict]:
        """The overall verdicts against each entry; those of suites and conditions if it prints no average."""
        found: set[Verdict] = set()
        for other, benchmark in {(row.other, row.benchmark) for row in self.rows}:
            rows = [row for row in self.rows if (row.other, row.benchmark) == (other, benchmark)]
            whole = [row for row in rows if row.level == "overall"]
            found |= {row.verdict for row in whole or rows if row.level != "task"}
        return found or {Verdict.NONE}


def compare(entries: Sequence[Entry], accept: Sequence[str] = ()) -> Comparison:
    """Compare the first entry with each of the others.

    Two runs: exact McNemar test, and the interval of a paired difference. A published number: Newcombe's interval of
    independent rates, and Boschloo's test, Fisher's test or the score test. P-values are corrected by Holm's method
    over all verdicts of one level (``overall``, ``suite``, ...), against all entries together.

    Args:
        entries: the candidate, then the entries to compare it with.
        accept: dotted names of protocol fields, or of groups of them, in which the protocols may differ.

    Raises:
        UserError: fewer than two entries, or one twice; a field that does not exist or cannot be accepted.
    """
    names = [entry.name for entry in entries]
    if len(names) < 2:
        raise UserError("a comparison needs at least two entries: the candidate, then others to compare it with")
    printed = [entry.printed for entry in entries if isinstance(entry, PublishedMethod)]
    if len(set(names)) < len(names) or any(one == other for one, other in combinations(printed, 2)):
        raise UserError(f"an entry is compared with itself: {', '.join(names)}")
    candidate, *others = entries
    runs = [entry for entry in entries if isinstance(entry, RunData)]
    found = (one for other in others for one in _differences(candidate, other))
    accepted, notes = check_accepted(accept, runs, found) if accept else ((), ())
    rows: list[ComparisonRow] = []
    for other in others:
        if isinstance(candidate, RunData):
            rows += (
                _compare_runs(candidate, other, accept)
                if isinstance(other, RunData)
                else _compare_with_printed(candidate, other, accept)
            )
        elif isinstance(other, RunData):
            rows += [_reversed(row, other.name) for row in _compare_with_printed(other, candidate, accept)]
        else:
            rows += _compare_printed(candidate, other)
    warnings = tuple(f"{run.name}: {text}" for run in runs for text in action_warnings(action_data(run)))
    returned = ((run.name, run.about_rollbacks(list(run.counted["key"]))) for run in runs)
    notes += tuple(f"{name}: {text}" for name, text in returned if text)
    return Comparison(candidate.name, tuple(judged(rows)), accepted, notes, warnings)


def _differences(one: Entry, other: Entry) -> Iterator[Differences]:
    """Differences of all protocols of two entries; none between two published methods."""
    if isinstance(one, RunData) and isinstance(other, RunData):
        yield between_runs(one, other, sorted(one.record.suites.keys() & other.record.suites.keys()))
    elif isinstance(one, RunData) and isinstance(other, PublishedMethod):
        for benchmark, printed in other.printed.items():
            if stated := printed.paper.protocols.get(benchmark):
                yield with_paper(one, one.record.suites_of(benchmark), stated)
    elif isinstance(other, RunData):
        yield from _differences(other, one)


def judged(rows: Sequence[ComparisonRow]) -> Iterator[ComparisonRow]:
    """The rows with p-values after Holm's correction over all rows of their level, and verdicts."""
    corrected: dict[int, float] = {}
    for level in {row.level for row in rows}:
        family = [(i, row.p) for i, row in enumerate(rows) if row.level == level and row.p is not None]
        adjusted = statistics.holm([p for _, p in family])
        corrected.update({i: p for (i, _), p in zip(family, adjusted, strict=True)})
    for i, row in enumerate(rows):
        if i not in corrected or row.difference is None:
            yield row
            continue
        sure = corrected[i] < ALPHA and row.difference != 0
        verdict = (Verdict.BETTER if row.difference > 0 else Verdict.WORSE) if sure else Verdict.UNSURE
        yield replace(row, p_holm=corrected[i], verdict=verdict)


def _reversed(row: ComparisonRow, other: str) -> ComparisonRow:
    """The same comparison with the sides exchanged."""
    return replace(
        row,
        other=other,
        candidate=row.reference,
        reference=row.candidate,
        difference=None if row.difference is None else -row.difference,
        low=None if row.high is None else -row.high,
        high=None if row.low is None else -row.low,
    )


# ---------------------------------------------------------------------- two runs


def _compare_runs(candidate: RunData, other: RunData, accept: Collection[str]) -> Iterator[ComparisonRow]:
    """Two runs, paired by the keys of their episodes, if these are known for an imported run."""
    for benchmark in sorted(set(candidate.frame["benchmark"]) & set(other.frame["benchmark"])):
        group = grouping(benchmark)
        frames = [run.episodes(benchmark) for run in (candidate, other)]
        imported = bool(candidate.record.imported or other.record.imported)
        by_seed = imported and group.seeded and all(frame["seed"].notna().all() for frame in frames)
        if by_seed:
            frames = [_keyed_by_seed(frame) for frame in frames]
        left, right = (frame.set_index("key") for frame in frames)
        union = pd.concat(frames).drop_duplicates("key").sort_values(["suite", "task", "index"]).reset_index(drop=True)
        shared = set(candidate.record.suites_of(benchmark)) & set(other.record.suites_of(benchmark))
        differences = between_runs(candidate, other, sorted(shared))
        for level, name, rows in _parts(union):
            keys = rows["key"]
            a = left[left.index.isin(keys)]
            b = right[right.index.isin(keys)]
            row = ComparisonRow(benchmark, level, name, other.name, estimate(a), estimate(b))
            if level == "overall" and group.averaging.by_task:
                means = "; ".join(f"{run.name}: {mean_in_words(s, group)}" for run, s in ((candidate, a), (other, b)))
                row = replace(row, notes=(f"overall is task-weighted; {means}",))
            elif level == "overall" and a.groupby("suite").size().nunique() > 1:
                row = replace(row, notes=("overall: all episodes pooled; its suites differ in size",))
            suites = sorted(set(a["suite"]) & set(b["suite"]))
            protocols = agreement({suite: differences[suite] for suite in suites}, accept)
            row = replace(row, accepted=protocols.accepted, notes=(*row.notes, *protocols.notes))
            unmatched = _unmatched(candidate, other, a, b, by_seed) if imported else []
            row = replace(row, notes=(*row.notes, *unmatched))
            reasons = _reasons_between_runs(candidate, other, a, b, paired=not unmatched)
            reasons += [f"protocols differ in {difference}" for difference in protocols.reasons]
            if reasons:
                yield replace(row, reasons=tuple(reasons))
            else:
                yield independent(row) if unmatched else _paired_frames(row, a, b)


def _keyed_by_seed(frame: pd.DataFrame) -> pd.DataFrame:
    """Episodes with keys that end in their seeds in place of their numbers."""
    return frame.assign(key=frame["key"].str.rpartition("/")[0] + "/" + frame["seed"].astype(str))


def _unmatched(candidate: RunData, other: RunData, a: pd.DataFrame, b: pd.DataFrame, by_seed: bool) -> list[str]:
    """A note that episodes, one side's imported, cannot be matched one by one; empty if they can."""
    suites = sorted(set(a["suite"]) & set(b["suite"]))
    shared = len(a.index.intersection(b.index))
    if by_seed:
        reasons = [f"{shared} of {max(len(a), len(b))} seeds in common"] if not shared == len(a) == len(b) else []
    else:
        reasons = [
            f"{run.name} does not state which initial state or seed a result belongs to"
            for run in (candidate, other)
            if run.unordered.intersection(suites)
        ]
    return [f"compared as independent episodes: {'; '.join(reasons)}"] if reasons else []


def _unlike(a: pd.DataFrame, b: pd.DataFrame, name: str) -> list[str]:
    """The number of episodes of one key in which a column differs, in words; empty if there is none."""
    shared = a.index.intersection(b.index)
    ours, theirs = a.loc[shared, name], b.loc[shared, name]
    played = a.loc[shared, "counts"] & b.loc[shared, "counts"]
    known = ours.notna() & theirs.notna() & (ours.astype(str) != "") & (theirs.astype(str) != "")
    differs = played & known & (ours != theirs).fillna(False)
    return (
        [f"another {name} in {int(differs.sum())} episodes, such as {shared[differs].min()}"] if differs.any() else []
    )


def _parts(frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Level, name and episodes of all parts of a benchmark that are compared, from the whole to the tasks."""
    yield "overall", "all", frame
    suites = frame.groupby("suite", sort=True)
    for suite, rows in suites:
        if len(suites) > 1:
            yield "suite", str(suite), rows
        tasks = rows.groupby("task", sort=True)
        if tasks.size().max() > 1:  # Rates of single episodes cannot be compared.
            yield from (("task", f"{suite}/{task:02d}", episodes) for task, episodes in tasks)
    if len(frame[["suite", "condition"]].drop_duplicates()) > len(suites):
        yield from (("condition", str(name), rows) for name, rows in frame.groupby("condition", sort=False))


def _reasons_between_runs(
    candidate: RunData, other: RunData, a: pd.DataFrame, b: pd.DataFrame, paired: bool
) -> list[str]:
    """Reasons against comparing these episodes of two runs, apart from their protocols; empty if there is none."""
    found = [f"{run.name}: {fault}" for run in (candidate, other) for fault in run.faults]
    for run, mine, theirs in ((candidate, a, b), (other, b, a)):
        if mine.empty:
            return [*found, f"{run.name} has none of these episodes"]
        if coverage := coverage_of(mine):
            found.append(f"{run.name}: {coverage}")
        if paired and (missing := set(theirs.index) - set(mine.index)):
            found.append(f"{run.name} lacks {len(missing)} of the other's episodes")
        if not paired and (tasks := _tasks(theirs) - _tasks(mine)):
            found.append(f"{run.name} lacks {len(tasks)} of the other's tasks")
    if paired and not set(a.index) & set(b.index):
        found.append("they have no episode in common")
    for name in ("task_name", "instruction", "seed") if paired else ("task_name",):
        found += _unlike(a, b, name)
    suites = sorted(set(a["suite"]) & set(b["suite"]))
    for run in (candidate, other):
        found += [f"{run.name}: {mixture}" for mixture in mixed_protocols(run.record, suites)]
    return found


def _tasks(frame: pd.DataFrame) -> set[tuple[str, int]]:
    return set(zip(frame["suite"], frame["task"], strict=True))


def _paired_frames(row: ComparisonRow, a: pd.DataFrame, b: pd.DataFrame) -> ComparisonRow:
    """The comparison of two runs on the same episodes, all of which count."""
    theirs = b["success"].reindex(a.index).to_numpy(bool)
    tasks = a.groupby(["suite", "task"], sort=True).ngroup().to_numpy()
    return paired(row, a["success"].to_numpy(bool), theirs, tasks)


def paired(
    row: ComparisonRow, ours: NDArray[np.bool_], theirs: NDArray[np.bool_], tasks: NDArray[np.integer[Any]]
) -> ComparisonRow:
    """The comparison of two policies on the same episodes.

    Args:
        row: the comparison without difference and test.
        ours, theirs: bool (n,), True for a success of the candidate and of the reference; n is at least 1.
        tasks: int (n,), number of each episode's task.
    """
    only_a, only_b = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    both, neither = int((ours & theirs).sum()), int((~ours & ~theirs).sum())
    low, high = statistics.paired_difference(both, only_a, only_b, neither)
    return replace(
        row,
        difference=(only_a - only_b) / len(ours),
        low=low,
        high=high,
        p=statistics.mcnemar_exact(only_a, only_b),
        p_permutation=statistics.permutation_within_tasks(ours, theirs, tasks),
        test="exact McNemar",
        detectable=statistics.detectable_paired((only_a + only_b) / len(ours), len(ours), POWER, ALPHA),
    )


# ---------------------------------------------------------------------- printed numbers


def _compare_with_printed(run: RunData, method: PublishedMethod, accept: Collection[str]) -> Iterator[ComparisonRow]:
    """A run against a published method: over everything, by condition, and by task if a paper prints tasks."""
    for benchmark, printed in method.printed.items():
        check_comparable(run, benchmark)
        frame, group = run.episodes(benchmark), grouping(benchmark)
        agreements: dict[tuple[str, ...], Agreement] = {}
        for (condition, task), number in _from_whole_to_part(printed):
            chosen = frame if condition == group.whole else frame[frame["condition"] == condition]
            if task is not None:
                chosen = chosen[chosen["task_name"] == task]
            if chosen.empty:
                continue
            reference = published_estimate(number)
            suites = sorted(set(chosen["suite"]))
            stated = printed.paper.protocols.get(benchmark)
            if (key := tuple(suites)) not in agreements:
                agreements[key] = agreement_with_paper(run, suites, printed.paper, benchmark, accept)
            protocols = agreements[key]
            reasons = [*_reasons(run, printed, chosen, number), *protocols.reasons, *_not_countable(reference)]
            unstated = unknown_fields(run, suites, stated)
            notes = (
                *protocols.notes,
                f"{printed.title}: {number.table}, {number.provenance}",
                episodes_per_task(chosen, printed.paper, benchmark),
                None if task else about_sample(run.record, benchmark, stated),
                f"the paper's protocol does not state: {', '.join(unstated)}" if unstated else None,
                *not_stated(run, suites),
            )
            yield independent(
                ComparisonRow(
                    benchmark,
                    *_level(number, suites),
                    other=method.name,
                    candidate=estimate(chosen),
                    reference=reference,
                    reasons=tuple(reasons),
                    accepted=protocols.accepted,
                    notes=tuple(filter(None, notes)),
                )
            )


def _compare_printed(candidate: PublishedMethod, other: PublishedMethod) -> Iterator[ComparisonRow]:
    """Two published methods: a verdict only within one paper, and only if it states the numbers of episodes."""
    for benchmark in sorted(candidate.printed.keys() & other.printed.keys()):
        ours, theirs = candidate.printed[benchmark], other.printed[benchmark]
        for (condition, task), number in _from_whole_to_part(ours):
            if (condition, task) not in theirs.numbers:
                continue
            counterpart = theirs.numbers[condition, task]
            a, b = published_estimate(number), published_estimate(counterpart)
            reasons = list(dict.fromkeys(_not_countable(a) + _not_countable(b)))
            if ours.paper != theirs.paper:
                reasons.append("printed by two papers, whose protocols have not been compared")
            if number.training != counterpart.training:
                reasons.append(f"trained differently: {number.training} against {counterpart.training}")
            row = ComparisonRow(benchmark, *_level(number, ()), other.name, a, b, reasons=tuple(reasons))
            yield independent(replace(row, notes=(f"{ours.title} against {theirs.title}",)))


def not_stated(run: RunData, suites: Collection[str]) -> list[str]:
    """Notes on the fields that an imported run does not state."""
    unknown = dict.fromkeys(", ".join(run.record.suites[suite].protocol.unknown) for suite in suites)
    return [f"{run.name} does not state: {names}" for names in unknown if names]


def own_tasks(run: RunData, benchmark: str) -> str | None:
    """Our own tasks that a run played in place of the benchmark's, in words; ``None`` if it played none."""
    kinds = (run.record.suites[suite].protocol.assets.kind for suite in run.record.suites_of(benchmark))
    return next((OWN_TASKS[kind] for kind in kinds if kind in OWN_TASKS), None)


def check_comparable(run: RunData, benchmark: str) -> None:
    """Refuse to show a run of our own tasks beside published results.

    Raises:
        UserError: the run played a miniature or stand-in tasks.
    """
    if played := own_tasks(run, benchmark):
        raise UserError(f"run {run.name} played {played} of {benchmark}; papers played the real one")


def episodes_per_task(chosen: pd.DataFrame, paper: Paper, benchmark: str) -> str | None:
    """A run's numbers of episodes per task, in words, if the paper states another number; ``None`` otherwise."""
    stated = paper.protocols.get(benchmark)
    sizes = chosen.groupby(["suite", "task"]).size()
    if stated is None or stated.trials_per_task is None or {stated.trials_per_task} == set(sizes):
        return None
    most = "" if sizes.min() == sizes.max() else f" to {sizes.max()}"
    return f"episodes per task: {sizes.min()}{most}, the paper {stated.trials_per_task}"


def _from_whole_to_part(printed: PrintedRates) -> list[tuple[tuple[str, str | None], Number]]:
    """Printed numbers: the whole first, then each condition and its tasks."""
    whole = grouping(printed.benchmark).whole
    return sorted(printed.numbers.items(), key=lambda item: (item[0][0] != whole, item[0][0], item[0][1] or ""))


def _level(number: Number, suites: Collection[str]) -> tuple[str, str]:
    """Level and name of a number. A condition that is a suite is of one family with the suites of two runs."""
    if number.task is not None:
        return "task", f"{number.condition}/{number.task}"
    if number.condition == grouping(number.benchmark).whole:
        return "overall", "all"
    return "suite" if number.condition in suites else "condition", str(number.condition)


def _not_countable(found: Estimate) -> list[str]:
    if found.successes is not None:
        return []
    if found.n is None:
        return ["n unknown"]
    return [f"{found.printed} % of {found.n} episodes is no whole number of successes"]


def _reasons(run: RunData, printed: PrintedRates, chosen: pd.DataFrame, number: Number) -> Iterator[str]:
    """Reasons against comparing these episodes with a printed number, apart from protocols."""
    suites = sorted(set(chosen["suite"]))
    protocols = [run.record.suites[suite].protocol for suite in suites]
    kinds = sorted({protocol.assets.kind for protocol in protocols if not protocol.publishable} - {NOT_STATED})
    group = grouping(number.benchmark)
    found = [*run.faults, coverage_of(chosen), *mixed_protocols(run.record, suites)]
    if number.task is None:
        found += [_left_out(run, printed, chosen, number), _other_tasks(printed, chosen, number)]
    if number.condition == group.whole:
        found.append(_not_the_whole(printed, chosen))
    found += [f"{', '.join(kinds)} assets"] if kinds else []
    yield from (f"{run.name}: {text}" for text in found if text)
    if number.condition == group.whole and group.averaging.by_task and group.sizes:
        kind = _kind_of_whole(printed)
        if kind != "task-weighted":
            yield f"the paper's {group.whole} is {kind}, not the task-weighted mean"


def _left_out(run: RunData, printed: PrintedRates, chosen: pd.DataFrame, number: Number) -> str | None:
    """Tasks behind the printed rate that the run does not plan. The paper's sample limits only what it measured."""
    own = number.measured_by in (MeasuredBy.OWN, MeasuredBy.REPRODUCED)
    if own and plays_sample(run.record, printed.benchmark, printed.paper.protocols.get(printed.benchmark)):
        return None
    group = grouping(printed.benchmark)
    if group.averaging.by_task and group.sizes:
        return condition_left_out(chosen, group, str(number.condition))
    return tasks_left_out(run.record, set(chosen["suite"]))


def _other_tasks(printed: PrintedRates, chosen: pd.DataFrame, number: Number) -> str | None:
    """Numbers of tasks if the paper lists other tasks behind the printed rate than the run's; ``None`` otherwise."""
    whole = grouping(printed.benchmark).whole
    theirs = {task for condition, task in printed.numbers if task and number.condition in (condition, whole)}
    ours = set(chosen["task_name"])
    return f"{len(ours)} tasks, the paper's {len(theirs)} others" if theirs and theirs != ours else None


def _not_the_whole(printed: PrintedRates, chosen: pd.DataFrame) -> str | None:
    group = grouping(printed.benchmark)
    conditions = {c for c, task in printed.numbers if task is None and c != group.whole}
    if missing := conditions - set(chosen["condition"]):
        return f"{', '.join(sorted(missing))} not played"
    if not group.averaging.by_task and chosen.groupby("condition").size().nunique() > 1:
        return f"its {group.plural} have unequal numbers of episodes"
    return None


def _kind_of_whole(printed: PrintedRates) -> str:
    """The mean of its conditions that a printed overall rate is."""
    numbers = [number for (_, task), number in printed.numbers.items() if task is None]
    kinds = [kind for average in averages(numbers) for kind in average.kinds]
    if "task-weighted" in kinds:
        return "task-weighted"
    return f"the {kinds[0]}" if kinds else f"no mean of its {grouping(printed.benchmark).plural}"


def independent(row: ComparisonRow) -> ComparisonRow:
    """The comparison of two independent rates, if there is no reason against it."""
    a, b = row.candidate, row.reference
    if row.reasons or not (a.n and b.n) or a.successes is None or b.successes is None:
        return row
    low, high = statistics.newcombe(a.successes, a.n, b.successes, b.n)
    p, test = statistics.unpaired_test(a.successes, a.n, b.successes, b.n)
    return replace(
        row,
        difference=a.successes / a.n - b.successes / b.n,
        low=low,
        high=high,
        p=p,
        test=test,
        detectable=statistics.detectable_difference(b.successes / b.n, a.n, b.n, POWER, ALPHA),
    )
