"""Verified seeds: the search for seeds that the benchmark's expert solves, and the manifests that record them.

An episode of RoboTwin is a seed that the expert solves. The official script looks for such seeds while it evaluates:
from the start seed on, it tries one seed after the other. Here each task is searched in the same way, by one simulator
process at a time, so that the list depends on the simulator alone and not on the number of processes.

A manifest is one JSON file for a simulator, a condition and a start seed. Next to it is a log for each task, with one
JSON line per seed tried. A verdict is on disk before the next seed is tried, so that a search can be resumed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator
from tqdm import tqdm

from wam_eval.errors import UserError
from wam_eval.files import FileLock, flush_to_disk, write_atomic
from wam_eval.hosting.process import SimulatorError, SimulatorProcess
from wam_eval.places import portable_folder, unwritable
from wam_eval.simulator import SimulatorSpec

START_SECONDS = 300.0
"""Time limit to import a task, including the warm-up of a planner on a GPU."""

SEED_SECONDS = 300.0
"""Time limit of one seed."""

MAX_REJECTED = 300
"""Rejected seeds in a row after which the search stops. The hardest task needs 19 seeds per episode on average."""

MAX_LOST = 3
"""Seeds in a row, each lost twice to a crash or a timeout, after which the search stops."""

Verdict = dict[str, Any]
"""A line of a log: ``seed``, ``accepted`` and more; see
:meth:`wam_eval.benchmarks.robotwin.simulator.RoboTwinSimulator.try_seed`."""


class SimulatorIdentity(BaseModel):
    """Properties of a simulator on which the verdict on a seed depends.

    Attributes:
        source: ``official`` or ``miniature``.
        version: commit of the checkout, or version of the miniature.
        assets: digest of the checkout's assets; empty for the miniature.
        sapien, numpy: versions; scenes of the same seed differ in the last digits between numpy 1 and 2.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    version: str
    assets: str
    sapien: str
    numpy: str

    @property
    def folder(self) -> str:
        """Name of the folder of its manifests."""
        parts = (self.source, self.version, self.assets[:12], f"sapien{self.sapien}", f"numpy{self.numpy}")
        return "-".join(filter(None, parts))


class VerifiedSeed(BaseModel):
    """A seed that the expert solved.

    Attributes:
        seed: seed of the scene.
        seen, unseen: its instruction, in wordings of the training data or in others.
        expert: attributes that the expert set for the success check. They are a record only: simulators compute them
            from the scene.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    seed: int = Field(ge=0, lt=2**32, strict=True)
    seen: str = Field(min_length=1)
    unseen: str = Field(min_length=1)
    expert: dict[str, float | str] = {}


class Manifest(BaseModel):
    """Verified seeds of many tasks.

    Attributes:
        simulator: simulator for which they were verified.
        condition: ``clean`` or ``randomized``.
        start_seed: first seed of the search.
        verified_by: expert that solved them.
        tasks: task -> its seeds in the order of the search.
    """

    model_config = ConfigDict(extra="forbid")

    simulator: SimulatorIdentity = Field(
        validation_alias=AliasChoices("fingerprint", "simulator"), serialization_alias="fingerprint"
    )
    condition: str
    start_seed: int
    verified_by: str
    tasks: dict[str, list[VerifiedSeed]] = {}

    @model_validator(mode="after")
    def _ascending(self) -> Manifest:
        for task, found in self.tasks.items():
            seeds = [entry.seed for entry in found]
            if seeds != sorted(set(seeds)) or (seeds and seeds[0] < self.start_seed):
                raise ValueError(f"{task}: seeds must ascend from {self.start_seed} on")
        return self

    def write(self, path: Path) -> None:
        """Write the manifest atomically."""
        content = self.model_dump(mode="json", by_alias=True)
        write_atomic(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def read_manifest(path: Path, simulator: SimulatorIdentity, condition: str, start_seed: int) -> Manifest | None:
    """Read the manifest of a simulator, a condition and a start seed; ``None`` if the file does not exist.

    Raises:
        UserError: it is broken, or belongs to another simulator, condition or start seed.
    """
    if not path.is_file():
        return None
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fault = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
    recorded, present = manifest.simulator.model_dump(), simulator.model_dump()
    faults = [
        f"{name}: {recorded[name]!r} there, {now!r} here" for name, now in present.items() if recorded[name] != now
    ]
    if faults:
        raise UserError(
            f"{path} holds seeds that were verified on another simulator: {'; '.join(faults)}. Their scenes may differ "
            "here: remove the file, then verify the seeds again with `wam-eval seeds verify`"
        )
    if (manifest.condition, manifest.start_seed) != (condition, start_seed):
        raise UserError(
            f"{path} is for {manifest.condition} scenes from seed {manifest.start_seed} on, and not for {condition} "
            f"scenes from seed {start_seed} on: remove it"
        )
    return manifest


@dataclass(frozen=True)
class SeedSearch:
    """The search for the seeds of a condition on a simulator.

    Attributes:
        spec: instructions to start a simulator process without cameras.
        simulator: identity of the simulator.
        expert: expert that solves the tasks.
        condition: ``clean`` or ``randomized``.
        start_seed: first seed.
    """

    spec: SimulatorSpec
    simulator: SimulatorIdentity
    expert: str
    condition: str
    start_seed: int

    @property
    def path(self) -> Path:
        """Path of the manifest."""
        folder = portable_folder("robotwin") / self.simulator.folder
        return folder / f"{self.condition}-{self.start_seed}.json"

    def log(self, task: str) -> Path:
        """Path of the log of the seeds tried for a task."""
        return self.path.with_suffix("") / f"{task}.jsonl"

    def manifest(self) -> Manifest:
        """The manifest in its present state; an empty one if it does not exist.

        Raises:
            UserError: see :func:`read_manifest`.
        """
        return read_manifest(self.path, self.simulator, self.condition, self.start_seed) or Manifest(
            simulator=self.simulator,
            condition=self.condition,
            start_seed=self.start_seed,
            verified_by=self.expert,
        )


class _Stopped(Exception):
    """The search was stopped by the user, or by an error of another task."""


class Verifier:
    """Runs a search with several processes, each of which searches one task.

    Args:
        search: the search.
        workers: number of simultaneous processes.
        on_verdict: called for each verdict with the task and the verdict.
    """

    def __init__(
        self,
        search: SeedSearch,
        workers: int = 1,
        on_verdict: Callable[[str, Verdict], None] = lambda task, verdict: None,
    ) -> None:
        self._search = search
        self._workers = workers
        self._on_verdict = on_verdict
        self._stopped = threading.Event()
        self._processes: set[SimulatorProcess] = set()

    def verify(self, tasks: Sequence[str], count: int) -> Manifest:
        """Search until each task has ``count`` verified seeds, and write the manifest.

        Raises:
            UserError: the simulator does not start, the expert solves nothing, or the manifest was imported.
        """
        manifest = self._search.manifest()
        missing = [task for task in tasks if len(manifest.tasks.get(task, ())) < count]
        if missing and manifest.verified_by != self._search.expert:
            raise UserError(
                f"{self._search.path} comes from {manifest.verified_by} and has too few seeds of {missing[0]}: "
                "ask for fewer episodes, or remove the file to verify all seeds on this machine"
            )
        for task, verdicts in self._in_parallel(missing, lambda task: self._search_task(task, count)):
            manifest = self._add(task, verdicts)
        return manifest

    def try_seeds(self, seeds: Mapping[str, Sequence[int]]) -> dict[str, list[Verdict]]:
        """Try the given seeds of each task.

        Raises:
            UserError: the simulator does not start, or a seed was lost twice to a crash or a timeout.
        """
        return dict(self._in_parallel(list(seeds), lambda task: self._try_listed(task, seeds[task])))

    def _add(self, task: str, verdicts: Sequence[Verdict]) -> Manifest:
        """Write the seeds of a task into the manifest, to which another search may have added in the meantime."""
        path = self._search.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path.with_suffix(".lock"), "w"):
                manifest = self._search.manifest()
                manifest.tasks[task] = accepted(verdicts)
                manifest.write(path)
        except OSError as error:
            raise unwritable("the folder of the seeds", path.parent, error) from error
        return manifest

    def _in_parallel(
        self, tasks: Sequence[str], work: Callable[[str], list[Verdict]]
    ) -> Iterator[tuple[str, list[Verdict]]]:
        if not tasks:
            return
        self._stopped.clear()
        with ThreadPoolExecutor(max(1, min(self._workers, len(tasks)))) as pool:
            futures = [pool.submit(work, task) for task in tasks]
            try:
                for task, future in zip(tasks, futures, strict=True):
                    yield task, future.result()
            finally:  # also after Ctrl-C, or an error of one task
                self._stopped.set()
                for future in futures:
                    future.cancel()
                for process in list(self._processes):
                    if (pid := process.pid) is not None:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)

    def _search_task(self, task: str, count: int) -> list[Verdict]:
        path = self._search.log(task)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable("the folder of the seeds", path.parent, error) from error
        # Another run may be searching this task; its verdicts are used then.
        with _locked(path, "a+b") as log, self._process(task) as process:
            verdicts = _read_log(log, self._search.start_seed)
            lost = 0
            while sum(verdict["accepted"] for verdict in verdicts) < count:
                seed = verdicts[-1]["seed"] + 1 if verdicts else self._search.start_seed
                try:
                    verdict = self._try_seed(process, task, seed)
                    lost = 0
                except SimulatorError as error:
                    lost += 1
                    if lost == MAX_LOST:
                        raise UserError(
                            f"{task}, {self._search.condition}: {MAX_LOST} seeds in a row were lost: {error}"
                        ) from error
                    verdict = {"seed": seed, "accepted": False, "why": str(error)}
                self._record(task, verdict, verdicts, log)
            return verdicts

    def _try_listed(self, task: str, seeds: Sequence[int]) -> list[Verdict]:
        self._search.log(task).parent.mkdir(parents=True, exist_ok=True)
        verdicts = []
        with self._process(task) as process:
            for seed in seeds:
                try:
                    verdicts.append(self._try_seed(process, task, seed))
                except SimulatorError as error:
                    raise UserError(f"{task}: seed {seed}: {error}") from error
                self._on_verdict(task, verdicts[-1])
        return verdicts

    @contextlib.contextmanager
    def _process(self, task: str) -> Iterator[SimulatorProcess]:
        with SimulatorProcess(self._search.spec, self._search.log(task).with_suffix(".log")) as process:
            self._processes.add(process)
            try:
                yield process
            finally:
                self._processes.discard(process)

    def _try_seed(self, process: SimulatorProcess, task: str, seed: int) -> Verdict:
        """The verdict on a seed. A seed that was lost is tried again once, since the machine may be the cause.

        Raises:
            SimulatorError: the seed was lost twice to a crash or a timeout.
            UserError: the simulator does not start.
        """
        try:
            return self._try_once(process, task, seed)
        except SimulatorError:
            return self._try_once(process, task, seed)

    def _try_once(self, process: SimulatorProcess, task: str, seed: int) -> Verdict:
        if self._stopped.is_set():
            raise _Stopped
        if process.pid is None:
            try:
                process.call("open_task", task, seconds=START_SECONDS)
            except SimulatorError as error:
                python = process.spec.python
                raise UserError(f"{task}: the simulator does not start with {python}: {error}") from error
        verdict: Verdict = process.call("try_seed", task, self._search.condition, seed, seconds=SEED_SECONDS)
        return verdict

    def _record(self, task: str, verdict: Verdict, verdicts: list[Verdict], log: IO[bytes]) -> None:
        verdicts.append(verdict)
        log.write(json.dumps(verdict).encode() + b"\n")
        flush_to_disk(log)
        self._on_verdict(task, verdict)
        if len(verdicts) >= MAX_REJECTED and not any(entry["accepted"] for entry in verdicts[-MAX_REJECTED:]):
            raise UserError(
                f"{task}, {self._search.condition}: the expert ({self._search.expert}) solved none of {MAX_REJECTED} "
                f"seeds in a row; the last one: {verdict['why']}. See {log.name}"
            )


def ensure_seeds(search: SeedSearch, tasks: Sequence[str], count: int, workers: int | None = None) -> Manifest:
    """Search for the seeds that a manifest lacks, with a progress bar on standard error.

    Args:
        tasks: names of tasks.
        count: number of verified seeds that each task needs.
        workers: number of simultaneous processes; one per core if ``None``.

    Returns:
        The manifest, with ``count`` or more seeds of each task.

    Raises:
        UserError: see :meth:`Verifier.verify`.
    """
    manifest = search.manifest()
    found = {task: len(manifest.tasks.get(task, ())) for task in tasks}
    missing = {task: count - known for task, known in found.items() if known < count}
    if not missing:
        return manifest
    total = sum(missing.values())
    print(
        f"RoboTwin, {search.condition}: the expert ({search.expert}) searches for {total} episodes of "
        f"{len(missing)} tasks from seed {search.start_seed} on; they are stored in {search.path}",
        file=sys.stderr,
    )
    with tqdm(total=total, unit="episode", file=sys.stderr, dynamic_ncols=True, leave=False) as bar:

        def show(task: str, verdict: Verdict) -> None:
            bar.set_postfix_str(f"{task} {verdict['seed']}", refresh=False)
            bar.update(int(verdict["accepted"]))

        return Verifier(search, workers or os.cpu_count() or 1, show).verify(list(missing), count)


@contextlib.contextmanager
def _locked(path: Path, mode: str) -> Iterator[IO[Any]]:
    """An open file that is locked until the end of the block."""
    with path.open(mode) as file:
        lock = FileLock(file, path, wait=True)
        try:
            yield file
        finally:
            lock.release()


def accepted(verdicts: Sequence[Verdict]) -> list[VerifiedSeed]:
    """The verified seeds among verdicts."""
    return [VerifiedSeed.model_validate(verdict) for verdict in verdicts if verdict["accepted"]]


def _read_log(log: IO[bytes], start_seed: int) -> list[Verdict]:
    """Verdicts of a log, in the order of the seeds. From the first torn or broken line on, the log is truncated."""
    log.seek(0)
    data = log.read()
    verdicts: list[Verdict] = []
    size = 0
    for text in data.splitlines(keepends=True):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            verdict = json.loads(text)
            expected = start_seed + len(verdicts)
            if text.endswith(b"\n") and verdict["seed"] == expected and type(verdict["accepted"]) is bool:
                accepted([verdict])
                verdicts.append(verdict)
                size += len(text)
                continue
        break
    log.truncate(size)
    return verdicts
