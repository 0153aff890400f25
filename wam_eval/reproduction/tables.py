"""Tables of comparisons: rates, differences to the reference with verdicts, and costs. Pure.

All models that play the same suites are shown over the same episodes: those that every one of them has finished. The
first model is the reference. A model that played the same episodes is compared with it episode by episode, another one
by a test of independent rates. P-values are corrected by Holm's method within a comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from wam_eval.analysis.comparison import ComparisonRow, Verdict, independent, judged, paired
from wam_eval.analysis.estimates import Estimate, counted_estimate
from wam_eval.report.comparison import STYLES
from wam_eval.report.escaping import escape_markdown
from wam_eval.report.formats import markdown_table
from wam_eval.reproduction.cards import Comparison
from wam_eval.reproduction.results import FAILURE, SUCCESS, UNCOUNTED, ComparisonResult, Cost, EntryResult


@dataclass(frozen=True)
class Row:
    """A model of a comparison.

    Attributes:
        label: its name.
        missing: reason why there is no rate; empty if there is one.
        estimate: success rate.
        columns: rates by the values of the table's columns.
        verdict: comparison with the reference; ``None`` for the reference itself, and without a rate of both.
        cost: costs.
        errors: episodes that ended in an error.
        left_out: episodes that were played and are not shown, because others lack them.
        rollbacks: rollbacks per episode.
    """

    label: str
    missing: str = ""
    estimate: Estimate | None = None
    columns: tuple[Estimate | None, ...] = ()
    verdict: ComparisonRow | None = None
    cost: Cost | None = None
    errors: int = 0
    left_out: int = 0
    rollbacks: float = 0.0


@dataclass(frozen=True)
class Results:
    """The table of a comparison.

    Attributes:
        comparison: the comparison.
        columns: values of the columns, in order of the episodes.
        rows: in order of the card.
        result: the results; ``None`` if nothing was ever played.
    """

    comparison: Comparison
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    result: ComparisonResult | None

    @property
    def compared(self) -> list[tuple[Row, ComparisonRow]]:
        """Rows with a verdict."""
        return [(row, row.verdict) for row in self.rows if row.verdict is not None]


def results_of(comparison: Comparison, result: ComparisonResult | None) -> Results:
    """The table of a comparison.

    Args:
        comparison: the comparison.
        result: its results; ``None`` if nothing was ever played.
    """
    if result is None:
        rows = tuple(Row(entry.label, "not played yet") for entry in comparison.entries)
        return Results(comparison, (), rows, None)
    ordered = comparison.filters.get(comparison.columns, "").split(",")
    known = dict.fromkeys(value for value in result.columns if value)
    columns = tuple(sorted(known, key=lambda value: ordered.index(value) if value in ordered else len(ordered)))
    shown = [_shown(comparison, result, number) for number in range(len(result.entries))]
    verdicts = _verdicts(comparison, result, shown)
    rows = tuple(
        _row(result, one, episodes, columns, verdicts.get(one.label))
        for one, episodes in zip(result.entries, shown, strict=True)
    )
    return Results(comparison, columns, rows, result)


def _shown(comparison: Comparison, result: ComparisonResult, number: int) -> list[int]:
    """Numbers of the episodes over which a model is shown."""
    suites = comparison.suites_of(comparison.entries[number])
    group = [
        one
        for entry, one in zip(comparison.entries, result.entries, strict=True)
        if comparison.suites_of(entry) == suites and not one.missing
    ]
    if result.entries[number].missing:
        return []
    return [i for i in range(len(result.episodes)) if all(one.outcomes[i] in (SUCCESS, FAILURE) for one in group)]


def _verdicts(
    comparison: Comparison, result: ComparisonResult, shown: Sequence[Sequence[int]]
) -> dict[str, ComparisonRow]:
    """Label -> comparison with the reference, after Holm's correction."""
    reference, *others = result.entries
    if not shown[0]:
        return {}
    found = []
    for one, episodes in zip(others, shown[1:], strict=True):
        if not episodes:
            continue
        row = ComparisonRow(
            benchmark="",
            level="overall",
            group=one.label,
            other=reference.label,
            candidate=_estimate(result, one, episodes),
            reference=_estimate(result, reference, shown[0]),
        )
        if list(episodes) == list(shown[0]):
            ours, theirs = (np.array([entry.outcomes[i] == SUCCESS for i in episodes]) for entry in (one, reference))
            tasks = np.unique([_task(result.episodes[i]) for i in episodes], return_inverse=True)[1]
            found.append(paired(row, ours, theirs, tasks))
        else:
            found.append(independent(row))
    return {row.group: row for row in judged(found)}


def _row(
    result: ComparisonResult,
    one: EntryResult,
    episodes: Sequence[int],
    columns: Sequence[str],
    verdict: ComparisonRow | None,
) -> Row:
    if not episodes:
        missing = one.missing or "no episode that all models have finished"
        return Row(one.label, missing, cost=one.cost, errors=one.outcomes.count(UNCOUNTED))
    by_column = [[i for i in episodes if result.columns[i] == value] for value in columns]
    played = one.outcomes.count(SUCCESS) + one.outcomes.count(FAILURE)
    errors = one.outcomes.count(UNCOUNTED)
    return Row(
        one.label,
        estimate=_estimate(result, one, episodes),
        columns=tuple(_estimate(result, one, mine) if mine else None for mine in by_column),
        verdict=verdict,
        cost=one.cost,
        errors=errors,
        left_out=played - len(episodes),
        rollbacks=one.rollbacks / (played + errors),
    )


def _estimate(result: ComparisonResult, one: EntryResult, episodes: Sequence[int]) -> Estimate:
    """The success rate of a model over some episodes, stratified by task."""
    successes: dict[str, int] = {}
    trials: dict[str, int] = {}
    for i in episodes:
        task = _task(result.episodes[i])
        trials[task] = trials.get(task, 0) + 1
        successes[task] = successes.get(task, 0) + (one.outcomes[i] == SUCCESS)
    return counted_estimate(list(successes.values()), list(trials.values()))


def _task(key: str) -> str:
    """The task of an episode's key, whose last part is the number of the episode."""
    return key.rpartition("/")[0]


# ---------------------------------------------------------------------- text

_Text = Callable[[Row], str]


def headings_of(table: Results) -> list[str]:
    """Headings; a column of costs is there if a model has that cost."""
    reference = table.comparison.entries[0].label
    heads = ["model", *table.columns, "success % [95 %]", "n", f"minus {reference}, points [95 %]"]
    heads += ["p (Holm)", "verdict", "min. detectable"]
    return [*heads, *(name for name, _ in _costs(table))]


def cells_of(table: Results, row: Row) -> list[str]:
    """The cells of a row, one for each heading."""
    costs = [text(row) for _, text in _costs(table)]
    if row.estimate is None:
        return [row.label, *("–" for _ in table.columns), row.missing, "", "", "", "", "", *costs]
    one, found = row.estimate, row.verdict
    cells = [
        row.label,
        *("–" if cell is None or cell.rate is None else f"{100 * cell.rate:.0f}" for cell in row.columns),
        f"{_percent(one.rate)} [{_percent(one.low)}, {_percent(one.high)}]",
        str(one.n),
    ]
    if found is None or found.difference is None or found.p_holm is None or found.detectable is None:
        return [*cells, "", "", "", "", *costs]
    interval = f"[{_signed(found.low)}, {_signed(found.high)}]"
    p = "<0.001" if found.p_holm < 0.001 else f"{found.p_holm:.3f}"
    detectable = f"{100 * found.detectable:.0f}"
    return [*cells, f"{_signed(found.difference)} {interval}", p, found.verdict.value, detectable, *costs]


def notes_of(table: Results) -> list[str]:
    """Notes below a table."""
    notes = list(table.comparison.notes)
    result = table.result
    if result is None:
        return notes
    if result.assets:
        notes.append(f"Assets: {', '.join(result.assets)}.")
    if result.machine:
        first = next(row.label for row in table.rows if row.cost is not None)
        notes.append(f"Time of an answer: {result.machine}, all models in turn; median ratio to {first}, quartiles.")
    if table.rows[0].estimate is None and any(row.estimate for row in table.rows):
        notes.append(f"No verdict without {table.rows[0].label}, with which the others are compared.")
    for row, verdict in table.compared:
        if not verdict.test.startswith("exact McNemar"):
            notes.append(f"{row.label} played other episodes: compared as independent ({verdict.test}).")
    for row in table.rows:
        if row.errors:
            notes.append(f"{row.label}: {row.errors} episodes ended in an error and do not count.")
        if row.left_out:
            notes.append(f"{row.label}: {row.left_out} further episodes, which not all models have finished.")
    return notes


def answer_of(table: Results) -> str:
    """The verdicts of a comparison in one sentence."""
    if not table.compared:
        return "nothing can be told yet"
    reference = table.comparison.entries[0].label
    words = {Verdict.BETTER: "better than", Verdict.WORSE: "worse than", Verdict.UNSURE: "cannot tell from"}
    groups: dict[Verdict, list[str]] = {}
    for row, found in table.compared:
        groups.setdefault(found.verdict, []).append(row.label)
    return "; ".join(f"{', '.join(labels)}: {words[verdict]} {reference}" for verdict, labels in groups.items())


def markdown_lines(table: Results) -> list[str]:
    """A table as lines of Markdown."""
    heads = headings_of(table)
    cells = [[escape_markdown(cell) for cell in cells_of(table, row)] for row in table.rows]
    align = "".join("l" if head in ("model", "verdict") else "r" for head in heads)
    return markdown_table([escape_markdown(head) for head in heads], cells, align)


def terminal_of(table: Results) -> Table:
    """A table for the terminal."""
    notes = "\n".join([table.comparison.question, *notes_of(table)])
    shown = Table(
        title=Text(table.comparison.title),
        caption=Text(notes),
        caption_justify="left",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for number, head in enumerate(headings_of(table)):
        shown.add_column(head, justify="right" if number else "left", overflow="fold")
    for row in table.rows:
        style = STYLES[row.verdict.verdict] if row.verdict else ""
        shown.add_row(*(Text(cell, style=style if cell in set(Verdict) else "") for cell in cells_of(table, row)))
    return shown


def _costs(table: Results) -> list[tuple[str, _Text]]:
    """Headings of the costs that at least one model has, and the functions that write them."""
    found: list[tuple[str, _Text]] = []
    costs = [row.cost for row in table.rows if row.cost is not None]
    if any(cost.parameters is not None for cost in costs):
        found.append(("parameters, M", lambda row: _in(1e6, row.cost.parameters if row.cost else None)))
    if any(cost.flops is not None for cost in costs):
        found.append(("GFLOPs per chunk", lambda row: _in(1e9, row.cost.flops if row.cost else None)))
    if costs:
        found.append(("time of an answer", lambda row: _time(row.cost)))
    if any(row.rollbacks for row in table.rows):
        found.append(("rollbacks per episode", lambda row: f"{row.rollbacks:.2f}" if row.estimate else ""))
    return found


def _in(unit: float, value: float | None) -> str:
    return "–" if value is None else f"{value / unit:.2f}"


def _time(cost: Cost | None) -> str:
    if cost is None:
        return "–"
    ratio, low, high = cost.ratio
    return f"{ratio:.2f} × ({low:.2f} to {high:.2f}); {cost.milliseconds:.0f} ms"


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{100 * rate:.1f}"


def _signed(difference: float | None) -> str:
    return "–" if difference is None else f"{100 * difference:+.1f}".replace("-", "−")
