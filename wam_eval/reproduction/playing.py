"""The runs of comparisons: the models that can be played, their episodes, and the time that these take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wam_eval import config
from wam_eval.config import PolicyConfig
from wam_eval.errors import UserError, first_line
from wam_eval.policy import checkpoint_digest
from wam_eval.report.tables import write_results
from wam_eval.reproduction.cards import Comparison, Entry
from wam_eval.run.execute import RunRequest, execute
from wam_eval.run.folder import RunFolder, made_name
from wam_eval.run.ledger import read_ledger
from wam_eval.run.plan import SuitePlan, plan_run
from wam_eval.run.task_selection import TaskSelection
from wam_eval.signals import interrupting

TRAININGS = Path("results") / "training"
"""Folder in which ``wam-eval train NAME`` writes ``NAME/model.safetensors``."""
START_SECONDS = 15.0
"""Wall time until the first episode of a run begins on two cores: Ray, the model, the first simulator."""
CORES = 2
"""Cores on which the times in cards and :data:`START_SECONDS` were measured."""


@dataclass(frozen=True)
class Player:
    """A model of a comparison on this machine.

    Attributes:
        entry: the model.
        benchmark: name of its benchmark.
        policy: its policy with the entry's settings; ``None`` if it cannot be played.
        checkpoint: checkpoint that the policy is given; ``None`` for a policy without one.
        weights: SHA-256 of the checkpoint; empty without one.
        run: name of its run, which other comparisons with the same model share; empty if it cannot be played.
        missing: what is missing for it to be played, with a remedy; empty if nothing is.
    """

    entry: Entry
    benchmark: str
    policy: PolicyConfig | None = None
    checkpoint: str | None = None
    weights: str = ""
    run: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Work:
    """Episodes of a model that are to be played.

    Attributes:
        comparison, player: the comparison and the model.
        plans: its suites.
        planned: number of episodes.
        left: keys of those that have not been played.
    """

    comparison: Comparison
    player: Player
    plans: tuple[SuitePlan, ...]
    planned: int
    left: frozenset[str]


@dataclass(frozen=True)
class Estimated:
    """Estimated time of a comparison on this machine.

    Attributes:
        comparison: name of the comparison.
        models: number of models that can be played.
        planned: episodes of all of them.
        left: episodes that neither it nor a comparison before it has played.
        seconds: wall time of the latter.
    """

    comparison: str
    models: int
    planned: int
    left: int
    seconds: float


def find_player(comparison: Comparison, entry: Entry) -> Player:
    """A model as it can be played here.

    Raises:
        UserError: a suite that does not exist, or a faulty file.
    """
    suites = comparison.suites_of(entry)
    benchmark = str(config.load_suite(config.elementary(suites[0])[0]).benchmark)
    if not entry.policy.endswith((".yaml", ".yml")) and entry.policy not in config.names("policies"):
        return Player(entry, benchmark, missing=f"there is no policy {entry.policy}")
    card = config.load_policy(entry.policy)
    policy = card.model_copy(
        update={
            "settings": {**card.settings, **entry.settings},
            "benchmarks": {name: {**settings, **entry.settings} for name, settings in card.benchmarks.items()},
        }
    )
    if card.checkpoint is None:
        return Player(entry, benchmark, policy, run=run_name(suites, entry, entry.policy, ""))
    own = {**card.settings, **card.benchmarks.get(benchmark, {})}
    name = entry.checkpoint or str(own.get("checkpoint") or entry.policy)
    found = find_weights(name)
    if found is None:
        return Player(entry, benchmark, missing=f"not trained yet: wam-eval train {name}")
    checkpoint, path = found
    weights = checkpoint_digest(str(path)) or ""
    return Player(entry, benchmark, policy, checkpoint, weights, run_name(suites, entry, Path(name).stem, weights))


def find_weights(name: str) -> tuple[str, Path] | None:
    """Weights by name: those that come with wam-eval, else those of a training here; or the path of a file.

    Returns:
        The checkpoint as its policy takes it, and its file; ``None`` if there is none.
    """
    from wam_eval.models.small.model import WEIGHTS

    if (shipped := WEIGHTS / f"{name}.safetensors").is_file():
        return name, shipped
    for path in (TRAININGS / name / "model.safetensors", Path(name)):
        if path.is_file():
            return str(path), path
    return None


def run_name(suites: Sequence[str], entry: Entry, model: str, weights: str) -> str:
    """Name of a model's run, which all comparisons share that play it with these settings on these suites."""
    settings = [f"{key}={json.dumps(value, sort_keys=True)}" for key, value in sorted(entry.settings.items())]
    return made_name("-".join(filter(None, ("miniature", *suites, Path(model).stem, *settings, weights[:8]))))


def plan_work(comparison: Comparison, quick: bool, retry_errors: bool = False) -> tuple[list[Player], list[Work]]:
    """The models of a comparison, and the episodes of those that can be played.

    Args:
        comparison: the comparison.
        quick: True for the quick extent.
        retry_errors: True if episodes that ended in an error are to be played again.

    Returns:
        All models in order. A model is missing if its benchmark cannot be planned here, for example because it is not
        installed, or if its run was played by another protocol.
    """
    extent = comparison.extent(quick)
    selection = TaskSelection(filters=comparison.filters, sample=extent.sample)
    players, work = [], []
    for entry in comparison.entries:
        player = find_player(comparison, entry)
        plans: list[SuitePlan] = []
        if not player.missing:
            try:
                for suite in comparison.suites_of(entry):
                    plans += plan_run(suite, None, comparison.tasks, extent.episodes, selection)
                _check_protocols(player.run, plans)
            except UserError as error:
                player = Player(entry, player.benchmark, missing=first_line(error))
            else:
                keys = {one.key for plan in plans for one in plan.episodes if one.key not in plan.not_run}
                left = keys - finished_keys(player.run, counted=retry_errors)
                work.append(Work(comparison, player, tuple(plans), len(keys), frozenset(left)))
        players.append(player)
    return players, work


def _check_protocols(run: str, plans: Sequence[SuitePlan]) -> None:
    """Refuse a run whose episodes were played by another protocol than the one that is planned now."""
    folder = RunFolder(run)
    if not folder.exists():
        return
    played = folder.read().suites
    for plan in plans:
        if plan.name in played and played[plan.name].protocol_sha256 != plan.protocol.digest:
            raise UserError(f"run {run} was played by another protocol: delete or rename it to play {plan.name} again")


def estimate(comparisons: Sequence[Sequence[Work]], cores: int) -> list[Estimated]:
    """Estimated times of comparisons, one after the other.

    Args:
        comparisons: what is to be played, by comparison.
        cores: CPU cores.
    """
    planned: dict[str, set[str]] = {}
    found = []
    for works in comparisons:
        left, seconds = 0, 0.0
        for work in works:
            before = planned.setdefault(work.player.run, set())
            new = len(work.left - before)
            before |= work.left
            left += new
            seconds += (START_SECONDS + new * work.comparison.seconds) * CORES / cores if new else 0.0
        if works:
            count = sum(work.planned for work in works)
            found.append(Estimated(works[0].comparison.name, len(works), count, left, seconds))
    return found


def finished_keys(run: str, counted: bool = False) -> set[str]:
    """Keys of the episodes in the ledger of a run, which need not exist.

    Args:
        counted: True to leave out episodes that ended in an error.
    """
    folder = RunFolder(run)
    records = read_ledger(folder.ledger).records if folder.exists() else []
    return {record.key for record in records if record.outcome.counts or not counted}


def play(work: Work, command: Sequence[str], retry_errors: bool = False) -> None:
    """Play the episodes that are left; the same call continues after an interruption.

    Args:
        work: what to play.
        command: command line, for the record.
        retry_errors: play episodes again that ended in an error.

    Raises:
        UserError: the policy gives no usable answer, or the run was started with another protocol.
        KeyboardInterrupt: Ctrl-C, or another signal. Finished episodes are kept.
    """
    one = work.player
    assert one.policy is not None  # the policy of a model that can be played
    request = RunRequest(
        name=one.run,
        plans=work.plans,
        policy_name=one.entry.policy,
        policy=one.policy,
        checkpoint=one.checkpoint,
        retry_errors=retry_errors,
        command=command,
    )
    with interrupting():
        try:
            execute(request)
        finally:
            if RunFolder(one.run).exists():
                write_results(RunFolder(one.run))
