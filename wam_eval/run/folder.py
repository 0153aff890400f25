"""The folder of a run: its description ``run.json``, ledger, trajectories, videos, imagined frames and tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from wam_eval.config import run_names, runs_folder
from wam_eval.errors import UserError, unknown
from wam_eval.files import write_atomic
from wam_eval.protocol import Protocol, differences
from wam_eval.trajectory import trajectory_name

FORMAT = 2
"""Version of ``run.json`` and of the files beside it. Version 1 is converted by :mod:`wam_eval.run.convert`."""


class PolicyRecord(BaseModel):
    """The policy of a run.

    Attributes:
        name, title: for people; they may change.
        policy: ``module:Class``.
        settings: its settings, the checkpoint included.
        checkpoint_sha256: digest of the checkpoint, if it is a file or a folder.
        cameras: cameras that the policy uses, as it declared once a worker had loaded it; ``None`` before that, and in
            runs older than this field.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    title: str
    policy: str
    settings: dict[str, Any]
    checkpoint_sha256: str | None
    cameras: list[str] | None = None

    def differences(self, other: PolicyRecord) -> list[str]:
        """Fields that make it another policy, with both values."""
        names = ("policy", "settings", "checkpoint_sha256")
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in names]
        return [f"policy.{name}: {then!r} then, {now!r} now" for name, then, now in pairs if then != now]


class TaskRecord(BaseModel):
    """A task of a run.

    Attributes:
        episodes: number of episodes planned so far.
        instruction: title of the task, for tables.
        condition: part of its episodes' keys that names its values on the benchmark's axes.
        axes: these values.
        base: name of the task that it perturbs; empty if it perturbs none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    episodes: int
    instruction: str
    condition: str = ""
    axes: dict[str, str | int] = {}
    base: str = ""


class SuiteRecord(BaseModel):
    """An elementary suite of a run.

    Attributes:
        benchmark: name of its benchmark.
        protocol: protocol by which it is played.
        protocol_sha256: digest of the protocol.
        size: number of tasks of the full suite.
        base: suite whose tasks it perturbs; empty if it perturbs none.
        tasks: task index -> task; those that the run is to play, in part or in full.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    benchmark: str
    protocol: Protocol
    protocol_sha256: str
    size: int
    base: str = ""
    tasks: dict[int, TaskRecord]


class RunRecord(BaseModel):
    """``run.json``: the description of a run.

    Attributes:
        format: version of the format.
        run: name of the run.
        created: time of the first command, ISO 8601.
        policy: its policy.
        suites: name -> elementary suite, in order of play.
        selections: selections of tasks that its commands asked for, in order and without repeats: filters, sample,
            sample_seed; an empty one for all tasks.
        command: the last command line.
        versions: of this package, its code (beginning of its SHA-256), Python, Ray.
        workers: descriptions of the workers of its last part, with the facts that the policy states about itself.
    """

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    run: str
    created: str
    policy: PolicyRecord
    suites: dict[str, SuiteRecord]
    selections: list[dict[str, Any]] = []
    command: list[str]
    versions: dict[str, str]
    workers: list[dict[str, Any]] = []

    def suites_of(self, benchmark: str) -> list[str]:
        """Names of the suites of a benchmark."""
        return [name for name, suite in self.suites.items() if suite.benchmark == benchmark]

    @property
    def benchmarks(self) -> list[str]:
        """Names of its benchmarks, sorted."""
        return sorted({suite.benchmark for suite in self.suites.values()})


class RunFolder:
    """Paths and files of a run.

    Args:
        name: name of the run.
        parent: folder that contains it; :func:`runs_folder` by default.
    """

    def __init__(self, name: str, parent: Path | None = None) -> None:
        self.name = name
        self.path = (parent or runs_folder()) / name

    @property
    def ledger(self) -> Path:
        """``episodes.jsonl``."""
        return self.path / "episodes.jsonl"

    def exists(self) -> bool:
        """True if the run was ever started."""
        return is_name(self.name) and (self.path / "run.json").is_file()

    def read(self) -> RunRecord:
        """Read ``run.json``.

        Raises:
            UserError: no such run, a broken file, or one of another format.
        """
        if not self.exists():
            raise unknown("run", self.name, run_names())
        path = self.path / "run.json"
        try:
            content = json.loads(path.read_bytes())
            if not isinstance(content, dict):
                raise ValueError("expected a JSON object")
        except ValueError as error:
            raise UserError(f"{path}: not valid JSON: {error}") from error
        version = content.get("format", 1)
        if version != FORMAT:
            hint = (
                f"convert it first: wam-eval convert {self.name}"
                if version == 1
                else "it was written by a newer version of wam-eval; update this one"
            )
            raise UserError(f"{path} has format {version}, this version of wam-eval reads format {FORMAT}: {hint}")
        try:
            record = RunRecord.model_validate(content)
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"]))
            raise UserError(f"{path}: {where or 'run'}: {fault['msg']}") from error
        return record.model_copy(update={"run": self.name})  # the folder may have been renamed or copied

    def write(self, record: RunRecord) -> None:
        """Write ``run.json`` atomically."""
        self.write_text("run.json", record.model_dump_json(indent=1) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file of the run atomically."""
        write_atomic(self.path / name, text.encode())

    def write_artefacts(self, artefacts: Iterable[tuple[str, bytes]]) -> None:
        """Write files of an episode, given as path inside the folder and content."""
        for name, content in artefacts:
            write_atomic(self.path / name, content)

    def trajectory_file(self, key: str) -> Path:
        """Path of an episode's trajectory; see :func:`wam_eval.trajectory.read_trajectory`."""
        return self.path / trajectory_name(key)

    def note_incident(self, key: str, attempt: int, text: str) -> None:
        """Append to ``incidents.jsonl`` that an attempt was lost to infrastructure and is repeated."""
        line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "key": key, "attempt": attempt, "what": text}
        with (self.path / "incidents.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def video_name(key: str) -> str:
    """Path of an episode's video inside the folder of its run."""
    return f"videos/{key}.mp4"


def imagined_name(key: str, suffix: str) -> str:
    """Path of an episode's imagined frames (``.npz``), or of the video that compares them (``.mp4``)."""
    return f"imagined/{key}{suffix}"


def is_name(name: str) -> bool:
    """True if a name can be that of one folder among the runs."""
    return bool(re.fullmatch(r"[\w.-]+", name) and name.strip("."))


def check_name(name: str) -> None:
    """Refuse a name that cannot be that of one folder among the runs.

    Raises:
        UserError: it has other characters than letters, digits, ``.``, ``_`` and ``-``, or is only dots.
    """
    if not is_name(name):
        raise UserError(f"{name!r} cannot be the name of a run: use letters, digits, '.', '_' and '-'")


OTHER_ASSETS = (
    "The assets changed, or some were added, after the run was started. A run has one set of assets: play the episodes "
    "that did not run for lack of them in a new run. "
)


def continued(old: RunRecord, new: RunRecord) -> RunRecord:
    """The record of a run that ``new`` continues: its tasks grow, the policy and the protocols must be the same.

    Raises:
        UserError: another policy, checkpoint or protocol; every field that differs is named.
    """
    faults, hint = old.policy.differences(new.policy), ""
    for suite in old.suites.keys() & new.suites.keys():
        before, after = old.suites[suite].protocol, new.suites[suite].protocol
        for field, then, now in differences(before, after):
            faults.append(f"{suite}: {field}: {then!r} then, {now!r} now")
        for name in sorted({*before.unhashed, *after.unhashed}):
            then, now = before.settings.get(name), after.settings.get(name)
            if then and now and then != now:  # the results are the same, but the record would be wrong
                faults.append(f"{suite}: settings.{name}: {then!r} then, {now!r} now")
        if before.assets.digest != after.assets.digest:
            faults += [f"{suite}: then {before.assets.detail}", f"{suite}: now {after.assets.detail}"]
            hint = OTHER_ASSETS
    if faults:
        listed = "\n  ".join(faults)
        raise UserError(f"run {old.run!r} was started differently:\n  {listed}\n{hint}Give this one a name: --run NAME")
    suites = dict(old.suites)
    for name, added in new.suites.items():
        tasks = dict(old.suites[name].tasks) if name in old.suites else {}
        for index, task in added.tasks.items():
            planned = tasks[index].episodes if index in tasks else 0
            tasks[index] = task.model_copy(update={"episodes": max(task.episodes, planned)})
        suites[name] = added.model_copy(update={"tasks": tasks})
    cameras = old.policy.cameras if new.policy.cameras is None else new.policy.cameras
    return new.model_copy(
        update={
            "created": old.created,
            "policy": new.policy.model_copy(update={"cameras": cameras}),
            "suites": suites,
            "selections": old.selections + [one for one in new.selections if one not in old.selections],
        }
    )
