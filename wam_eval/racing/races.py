"""The Python API of races: several policies or checkpoints play the same episodes until it is known which is best."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wam_eval import config
from wam_eval.analysis.frame import read_run
from wam_eval.analysis.race import Reference, Standing, evidence, judge_of, reference_of, standings
from wam_eval.analysis.sequential import race_order
from wam_eval.config import PolicyConfig
from wam_eval.episode import Episode, Outcome
from wam_eval.errors import UserError
from wam_eval.policy import Policy, policy_arguments
from wam_eval.protocol import differences
from wam_eval.report.tables import write_results
from wam_eval.run.execute import RunRequest, default_name
from wam_eval.run.folder import RunFolder, check_name, made_name
from wam_eval.run.ledger import read_ledger
from wam_eval.run.plan import SuitePlan, plan_run
from wam_eval.run.race import ContestantRecord, RaceRecord, RaceRequest, hold_race, read_race
from wam_eval.run.task_selection import TaskSelection
from wam_eval.signals import interrupting


@dataclass(frozen=True)
class Contestant:
    """A contestant of a race.

    Attributes:
        policy: name of a policy, path of its YAML file, or a policy object that is already loaded.
        checkpoint: path of a checkpoint, or address of a policy server.
        title: title in tables; made from policy and checkpoint if empty.
    """

    policy: str | Policy
    checkpoint: str | None = None
    title: str = ""


@dataclass(frozen=True)
class Race:
    """A race, over or not.

    Attributes:
        record: its ``race.json``.
        standings: in the order of the contestants.
        evidence: of each look, the evidence about each contestant, see :func:`wam_eval.analysis.race.evidence`.
        over: True if it is decided, or if all episodes were played.
    """

    record: RaceRecord
    standings: tuple[Standing, ...]
    evidence: Sequence[Sequence[float]]
    over: bool

    @property
    def played(self) -> int:
        """Number of episodes that its contestants have played, those after their last look included."""
        order = set(self.record.order)
        return sum(
            sum(record.key in order for record in read_ledger(RunFolder(one.run).ledger).records)
            for one in self.record.contestants
        )


def race(
    contestants: Sequence[Contestant],
    *,
    suite: str,
    against: str | None = None,
    margin: float = 0.0,
    seed: int = 0,
    name: str | None = None,
    protocol: str | None = None,
    tasks: str | None = None,
    episodes: int | None = None,
    filters: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    sample: float | None = None,
    sample_seed: int | None = None,
    workers: int | None = None,
    simulators: int | None = None,
    video: str = "none",
    retry_errors: bool = False,
    command: Sequence[str] | None = None,
    changed: Callable[[RaceRecord], None] | None = None,
) -> Race:
    """Race contestants on a suite. The same call continues a race that was stopped.

    Args:
        contestants: at least two, or one against a finished run.
        suite: name of a suite or a group of suites.
        against: name of a finished run; without it, the best of the contestants is looked for.
        margin: difference, a fraction, by which a contestant may be worse than the run in ``against``.
        seed: random seed of the order of the episodes.
        name: name of the race; made from the other arguments if ``None``.
        protocol, tasks, episodes, filters, settings, sample, sample_seed, workers, simulators, video, retry_errors:
            as for :func:`wam_eval.evaluate`.
        command: command line, for the record; that of this process if ``None``.
        changed: called with the race's record after each look.

    Returns:
        The race. Every contestant is a run of its own.

    Raises:
        UserError: something does not exist or does not fit; the text says what to do.
        KeyboardInterrupt: Ctrl-C, or another signal. All finished episodes are kept.
    """
    _check(contestants, against, margin)
    selection = TaskSelection(filters=dict(filters or {}), sample=sample, sample_seed=sample_seed)
    settings = {**_protocol_settings(contestants), **(settings or {})}
    plans = plan_run(suite, protocol, tasks, episodes, selection, settings)
    words = sys.argv if command is None else command
    requests = _requests(contestants, suite, plans, workers, simulators, video, retry_errors, words)
    order = ordered(plans, seed)
    reference = _reference(against, plans, order, seed) if against else None
    if reference:
        order = [episode for episode in order if episode.key in reference.outcomes]
    titles = titles_of(contestants)
    record = RaceRecord(
        name=name or made_name("-".join(["race", suite, *([against] if against else []), *titles])),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=[word.encode("utf-8", "backslashreplace").decode() for word in words],
        suite=suite,
        contestants=[
            ContestantRecord(title=title, run=one.name, policy=one.policy_name, checkpoint=one.checkpoint)
            for title, one in zip(titles, requests, strict=True)
        ],
        against=against,
        paired=reference is None or reference.paired,
        margin=margin,
        seed=seed,
        order=[episode.key for episode in order],
        reference=[reference.outcomes[episode.key] for episode in order] if reference else None,
    )
    check_name(record.name)
    record = _continued(record)
    judge = judge_of(len(requests), record.reference, margin)
    with interrupting():
        try:
            hold_race(RaceRequest(record, requests, order, judge, retry_errors, changed))
        finally:
            for one in requests:
                if RunFolder(one.name).exists():
                    write_results(RunFolder(one.name))
    return _race(record)


def load_race(name: str) -> Race:
    """Load a race by name.

    Raises:
        UserError: no such race, or a broken file.
    """
    record = read_race(name)
    if record is None:
        raise UserError(f"no race {name!r} in {config.runs_folder()}")
    return _race(record)


def titles_of(contestants: Sequence[Contestant]) -> list[str]:
    """Titles that tell contestants apart: policy, and checkpoint without the folders that all have in common."""
    paths = [Path(one.checkpoint).parts if one.checkpoint else () for one in contestants]
    shared = 0
    while len(contestants) > 1 and all(len(path) > shared + 1 and path[shared] == paths[0][shared] for path in paths):
        shared += 1
    policies = [one.policy if isinstance(one.policy, str) else type(one.policy).__name__ for one in contestants]
    titles = []
    for one, policy, path in zip(contestants, policies, paths, strict=True):
        parts = [Path(policy).stem] if len(set(policies)) > 1 or not path else []
        if path:
            parts.append("/".join(path[shared:]) if len(contestants) > 1 else path[-1])
        titles.append(one.title or " ".join(parts))
    return [
        title if titles.count(title) == 1 else f"{title} #{titles[: number + 1].count(title)}"
        for number, title in enumerate(titles)
    ]


def ordered(plans: Sequence[SuitePlan], seed: int) -> list[Episode]:
    """The episodes of a race in its order, without those that cannot be played on this machine."""
    tasks: defaultdict[tuple[str, int], list[Episode]] = defaultdict(list)
    for plan in plans:
        for episode in plan.episodes:
            if episode.key not in plan.not_run:
                tasks[episode.suite, episode.task].append(episode)
    groups = [sorted(tasks[name]) for name in sorted(tasks)]
    if not groups:
        raise UserError("no episode of this selection can be played here: `wam-eval doctor` says what is missing")
    return [groups[task][number] for task, number in race_order([len(group) for group in groups], seed)]


def _check(contestants: Sequence[Contestant], against: str | None, margin: float) -> None:
    if not contestants or (len(contestants) == 1 and not against):
        raise UserError("a race needs at least two contestants, or one and a finished run (--against RUN)")
    if not 0 <= margin < 1:
        raise UserError(f"a margin of {margin:g}: give a fraction from 0 to 1, such as 0.05 for 5 points")
    if margin and not against:
        raise UserError("--margin compares with a reference: add a finished run, --against RUN")


def _protocol_settings(contestants: Sequence[Contestant]) -> dict[str, Any]:
    """Settings of the benchmark that the contestants' cards ask for."""
    cards = [config.load_policy(one.policy) for one in contestants if isinstance(one.policy, str)]
    for card in cards[1:]:
        if card.protocol_settings != cards[0].protocol_settings:
            raise UserError(
                f"{cards[0].title!r} asks for the settings {cards[0].protocol_settings} of the benchmark and "
                f"{card.title!r} for {card.protocol_settings}: they do not play the same episodes"
            )
    return dict(cards[0].protocol_settings) if cards else {}


def _requests(
    contestants: Sequence[Contestant],
    suite: str,
    plans: Sequence[SuitePlan],
    workers: int | None,
    simulators: int | None,
    video: str,
    retry_errors: bool,
    command: Sequence[str],
) -> list[RunRequest]:
    """A request for each contestant, whose run has the name that ``wam-eval run`` would give it."""
    benchmarks = {plan.benchmark.name for plan in plans}
    requests: list[RunRequest] = []
    titles = titles_of(contestants)
    for one, title in zip(contestants, titles, strict=True):
        if isinstance(one.policy, str):
            policy_name, policy, loaded = one.policy, config.load_policy(one.policy), None
            policy_arguments(policy, one.checkpoint, benchmarks)
        else:
            kind = type(one.policy)
            policy_name, loaded = kind.__name__, one.policy
            policy = PolicyConfig(title=title, policy=f"{kind.__module__}:{kind.__name__}")
        name = default_name(suite, policy_name, plans[0].protocol.card, one.checkpoint)
        requests.append(
            RunRequest(
                name=name,
                plans=plans,
                policy_name=policy_name,
                policy=policy,
                loaded=loaded,
                checkpoint=one.checkpoint,
                workers=workers,
                simulators=simulators,
                video=video,
                retry_errors=retry_errors,
                command=command,
            )
        )
    names = [one.name for one in requests]
    return [
        one if names.count(one.name) == 1 else replace(one, name=made_name(f"{one.name}-{title}"))
        for one, title in zip(requests, titles, strict=True)
    ]


def _reference(against: str, plans: Sequence[SuitePlan], order: Sequence[Episode], seed: int) -> Reference:
    """The reference, if its protocols are those of the plans."""
    run = read_run(against)
    found = []
    for plan in plans:
        if suite := run.record.suites.get(plan.name):
            pairs = [one for one in differences(suite.protocol, plan.protocol) if one[0] != "seed"]
            found += [f"{plan.name}: {field}: {theirs!r} there, {ours!r} here" for field, theirs, ours in pairs]
    return reference_of(run, {plan.name: plan.record() for plan in plans}, order, seed, found)


def _continued(record: RaceRecord) -> RaceRecord:
    """The record of the race that this one continues, or this one."""
    old = read_race(record.name)
    if old is None:
        return record
    for field in ("suite", "contestants", "against", "paired", "margin", "seed", "order", "reference"):
        if getattr(old, field) != getattr(record, field):
            what = f"another {field}" if field in ("order", "reference") else f"{field} {getattr(old, field)!r:.200}"
            raise UserError(
                f"race {record.name!r} was started differently: it has {what}. Give this one another name: --name NAME"
            )
    return record.model_copy(update={"created": old.created, "looks": old.looks, "left": old.left})


def _race(record: RaceRecord) -> Race:
    """The race with its standings, from the ledgers of its runs."""
    gone = {one.contestant: one.look for one in record.left}
    outcomes: list[list[Outcome]] = []
    for number, one in enumerate(record.contestants):
        known = {found.key: found.outcome for found in read_ledger(RunFolder(one.run).ledger).records}
        outcomes.append([known[key] for key in record.order[: gone.get(number, record.looks)]])
    over = record.decided or record.looks == len(record.order) or len(gone) == len(record.contestants)
    found = standings(outcomes, record.left, over, record.reference)
    return Race(record, tuple(found), evidence(outcomes, record.left, record.reference, record.margin), over)
