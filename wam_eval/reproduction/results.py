"""Results of comparisons as files: outcomes of every model by episode, and its costs.

They are read from runs, and hold all that tables and plots need, so that a page can be made again without the runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, ValidationError, model_validator

from wam_eval import config
from wam_eval.episode import Outcome
from wam_eval.errors import UserError
from wam_eval.files import write_atomic
from wam_eval.reproduction.cards import Comparison
from wam_eval.reproduction.playing import Player
from wam_eval.run.folder import RunFolder, RunRecord
from wam_eval.run.ledger import Record, read_ledger

SUCCESS, FAILURE, UNCOUNTED, NOT_PLAYED = "1", "0", "e", "-"
"""Letters of outcomes; an episode that is not counted ended in an error."""
NEVER_PLAYED = "not played yet"


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Cost(_Stored):
    """Costs of a model.

    Attributes:
        parameters: number of parameters; ``None`` if the policy does not state it.
        flops: floating-point operations for one chunk; likewise.
        milliseconds: median time of an answer.
        ratio: time of an answer divided by that of the reference in the same round: median, lower and upper quartile.
    """

    parameters: NonNegativeInt | None
    flops: NonNegativeFloat | None
    milliseconds: NonNegativeFloat
    ratio: tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat]


class EntryResult(_Stored):
    """Results of a model.

    Attributes:
        label: name in tables.
        missing: reason why there are no results; empty if there are.
        run: name of the run.
        weights: SHA-256 of the checkpoint; empty for a policy without one.
        outcomes: a letter for each episode of the comparison.
        steps: control steps of all its episodes, undone ones included.
        rollbacks: returns to a kept state in all its episodes.
        cost: its costs, if they were measured.
    """

    label: str
    missing: str = ""
    run: str = ""
    weights: str = ""
    outcomes: str = ""
    steps: NonNegativeInt = 0
    rollbacks: NonNegativeInt = 0
    cost: Cost | None = None


class ComparisonResult(_Stored):
    """Results of a comparison.

    Attributes:
        comparison: name of the comparison.
        created: day of the last episode or measurement, UTC.
        machine: machine on which the costs were measured; empty if none were.
        assets: kinds of the assets.
        episodes: keys of the episodes that at least one model has played.
        columns: value of each episode in the columns of the table.
        entries: results of the models, in the order of the card.
    """

    comparison: str
    created: str
    machine: str = ""
    assets: tuple[str, ...] = ()
    episodes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    entries: tuple[EntryResult, ...]

    @model_validator(mode="after")
    def _lengths(self) -> ComparisonResult:
        wrong = [one.label for one in self.entries if len(one.outcomes) != len(self.episodes) and not one.missing]
        if wrong or len(self.columns) != len(self.episodes):
            raise ValueError(f"{wrong or 'columns'}: another number of episodes")
        return self


def results_folder() -> Path:
    """Folder of all results, beside that of the runs."""
    return config.runs_folder().parent / "miniatures"


def write_result(result: ComparisonResult, folder: Path) -> None:
    """Write the results of a comparison atomically."""
    text = json.dumps(result.model_dump(mode="json"), indent=1)
    write_atomic(folder / f"{result.comparison}.json", (text + "\n").encode())


def read_results(comparisons: Iterable[Comparison], folder: Path) -> dict[str, ComparisonResult]:
    """Stored results by comparison; comparisons without any are left out.

    Raises:
        UserError: a broken file, or one with other models than its card.
    """
    found = {}
    for comparison in comparisons:
        path = folder / f"{comparison.name}.json"
        if not path.is_file():
            continue
        try:
            result = ComparisonResult.model_validate_json(path.read_bytes())
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"])) or "results"
            raise UserError(f"{path}: {where}: {fault['msg']}; delete it, and play the comparison again") from error
        if [one.label for one in result.entries] != [one.label for one in comparison.entries]:
            raise UserError(f"{path} has other models than the comparison: play it again")
        found[comparison.name] = result
    return found


def collect(
    comparison: Comparison, players: Sequence[Player], costs: Mapping[str, Cost], machine: str
) -> ComparisonResult:
    """The results of a comparison from the runs that exist.

    Args:
        comparison: the comparison.
        players: its models, in order.
        costs: label -> measured costs.
        machine: machine on which they were measured.
    """
    records: dict[str, dict[str, Record]] = {}
    columns: dict[str, str] = {}
    assets: set[str] = set()
    for player in players:
        folder = RunFolder(player.run)
        if player.missing or not folder.exists():
            continue
        run, suites = folder.read(), _suites(comparison, player)
        mine = {one.key: one for one in read_ledger(folder.ledger).records if one.suite in suites}
        if mine:
            records[player.entry.label] = mine
            columns |= {key: _column(comparison, run, one) for key, one in mine.items()}
            assets |= {run.suites[suite].protocol.assets.kind for suite in suites if suite in run.suites}
    episodes = sorted(columns)
    entries = []
    for player in players:
        label = player.entry.label
        if label not in records:
            entries.append(EntryResult(label=label, missing=player.missing or NEVER_PLAYED, cost=costs.get(label)))
            continue
        mine = records[label]
        entries.append(
            EntryResult(
                label=label,
                run=player.run,
                weights=player.weights,
                outcomes="".join(_letter(mine.get(key)) for key in episodes),
                steps=sum(one.steps for one in mine.values()),
                rollbacks=sum(one.rollbacks for one in mine.values()),
                cost=costs.get(label),
            )
        )
    return ComparisonResult(
        comparison=comparison.name,
        created=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=machine if costs else "",
        assets=tuple(sorted(assets)),
        episodes=tuple(episodes),
        columns=tuple(columns[key] for key in episodes),
        entries=tuple(entries),
    )


def _suites(comparison: Comparison, player: Player) -> set[str]:
    return {name for suite in comparison.suites_of(player.entry) for name in config.elementary(suite)}


def _column(comparison: Comparison, run: RunRecord, record: Record) -> str:
    """The value of an episode in the columns of the table; empty if it has none."""
    if comparison.columns in ("", "suite"):
        return record.suite if comparison.columns else ""
    return str(run.suites[record.suite].tasks[record.task].axes.get(comparison.columns, ""))


def _letter(record: Record | None) -> str:
    if record is None:
        return NOT_PLAYED
    if not record.outcome.counts:
        return UNCOUNTED
    return SUCCESS if record.outcome is Outcome.SUCCESS else FAILURE
