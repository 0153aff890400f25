"""LIBERO-Plus as a benchmark: settings, axes, averages, installation, checks and setup."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from wam_eval.benchmark import Averaging, Axis, Check
from wam_eval.benchmarks.libero.assets import Assets
from wam_eval.benchmarks.libero.assets import find_assets as find_libero_assets
from wam_eval.benchmarks.libero.benchmark import PACKAGES, LiberoFamily, LiberoInstallation
from wam_eval.benchmarks.libero.environments import find_packages
from wam_eval.benchmarks.libero.foreign import recognise
from wam_eval.benchmarks.libero.foreign import stated as in_words
from wam_eval.benchmarks.libero.start_states import reference_for
from wam_eval.benchmarks.libero_plus import LiberoPlusSettings
from wam_eval.benchmarks.libero_plus.data import (
    ARCHIVE,
    ASSET_FOLDERS,
    ASSETS_VARIABLE,
    CLASSIFICATION,
    VARIABLE,
    Archive,
    assets_in,
    data_in,
    find_assets,
    find_data,
    packed_in,
    read_archive,
    unpack_command,
)
from wam_eval.benchmarks.libero_plus.standins import standin_folder, standin_manifest
from wam_eval.benchmarks.libero_plus.tasks import COUNTS, DIMENSIONS, Manifest, PlusTask, read_manifest
from wam_eval.config import SuiteConfig, TaskConfig
from wam_eval.episode import Episode
from wam_eval.errors import UserError
from wam_eval.foreign import Board, KnownSuite, StatedSuite
from wam_eval.hosting.package_identity import package_versions
from wam_eval.hosting.upstream import clone, fetch_archive
from wam_eval.protocol import AssetsRecord, Protocol

REPOSITORY = "https://github.com/sylvestf/LIBERO-plus"
COMMIT = "4976dc30028e805ff8094b55501d532c48fec182"
HUB_DATASET = "Sylvest/LIBERO-plus"
SIZES: dict[str | int, int] = {
    name: sum(counts[index] for counts in COUNTS.values()) for index, name in enumerate(DIMENSIONS)
}
"""Dimension -> number of tasks."""
_PACKAGES = (*PACKAGES, "scipy")  # scipy blurs the images of noise tasks
_STANDINS = "embedded stand-ins of LIBERO-Plus: its numbers, with our own textures, lights, objects and instructions"
NO_ASSETS = "needs LIBERO-Plus assets"
"""Reason why a task is not run without the archive of assets."""


@dataclass(frozen=True)
class LiberoPlusInstallation(LiberoInstallation):
    """A copy of LIBERO-Plus's data, or its stand-ins, beside the installed LIBERO.

    Attributes:
        manifest: its tasks.
        archive: its assets; ``None`` if they are not on this machine, and for the stand-ins, which lack none.
    """

    manifest: Manifest
    archive: Archive | None

    def with_tasks(self, suite: SuiteConfig) -> SuiteConfig:
        """The suite with the tasks of the manifest."""
        tasks = tuple(map(self._task_config, self.manifest.suites[str(suite.base)]))
        return suite.model_copy(update={"tasks": tasks})

    def resolve_episodes(self, episodes: list[Episode], protocol: Protocol) -> list[Episode]:
        """The episodes with the instructions that ``prompt`` of the protocol selects."""
        prompt = protocol.settings["prompt"]
        instructions = {
            task.variation.name: getattr(task.prompts, prompt)
            for tasks in self.manifest.suites.values()
            for task in tasks
        }
        return [replace(episode, instruction=instructions[episode.task_name]) for episode in episodes]

    def _task_config(self, task: PlusTask) -> TaskConfig:
        return TaskConfig.model_construct(  # without validation, which would take a second for all tasks
            name=task.variation.name,
            instruction=task.prompts.base,
            axes=task.axes,
            base=task.variation.base,
            scene=task.scene,
            not_run=self._missing(task),
        )

    def _missing(self, task: PlusTask) -> str:
        """Reason why a task cannot be played here; empty if it can."""
        if self.archive is None:
            return NO_ASSETS if task.needs else ""
        missing = self.archive.first_missing(task.needs)
        return f"needs {missing} of LIBERO-Plus's assets" if missing else ""


class LiberoPlus(LiberoFamily):
    """LIBERO-Plus: LIBERO's 40 tasks under perturbations in seven dimensions and five difficulties."""

    title = "LIBERO-Plus"
    base = "libero"
    Settings = LiberoPlusSettings
    episode_fields = (*LiberoFamily.episode_fields, "rules.robot")
    axes = (
        Axis(
            name="dimension",
            values=DIMENSIONS,
            plural="dimensions",
            sizes=SIZES,
        ),
        Axis(name="difficulty", values=(1, 2, 3, 4, 5), plural="difficulties"),
    )
    averaging = Averaging(over="dimension", groups=DIMENSIONS, label="total", by_task=True)

    boards: ClassVar[Mapping[str, Board]] = {
        "allenai": Board("libero_plus", {name: name for name in DIMENSIONS}, overall="overall_score"),
        "evo-sota": Board("liberoPlus", {name: name for name in DIMENSIONS}, overall="total", mean="tasks"),
    }

    def recognise(self, stated: StatedSuite) -> KnownSuite | None:
        """See :meth:`Benchmark.recognise`."""
        return recognise(stated, plus=True)

    def stated(self, program: str, protocol: Protocol) -> StatedSuite | None:
        """See :meth:`Benchmark.stated`."""
        return in_words(program, protocol, plus=True)

    def detect(self, versions: Mapping[str, str]) -> LiberoPlusInstallation:
        """The user's copy of the data, or the stand-ins if there is none, and the installed LIBERO."""
        data = find_data(self.config.assets)
        libero = find_libero_assets()
        if data is None:
            folder, archive, manifest = standin_folder(libero), None, standin_manifest()
            record = _standin_record(libero, manifest)
            places = {"data": str(folder), "plus_assets": str(folder / "assets"), "stand_ins": True}
        else:
            manifest = read_manifest(data)
            assets = find_assets(data)
            archive = read_archive(assets) if assets else None
            record = _assets_record(libero, data, manifest, archive)
            places = {"data": str(data), "plus_assets": str(assets) if assets else None}
        python, found = find_packages(self.config, versions, _PACKAGES)
        check_driver(python, found)
        return LiberoPlusInstallation(
            simulator="wam_eval.benchmarks.libero_plus.simulator:LiberoPlusSimulator",
            python=python,
            settings={"assets": str(libero.path), **places, "start_states": reference_for(found["mujoco"])},
            versions=found,
            assets=record,
            prepares=True,
            packages=_PACKAGES,
            manifest=manifest,
            archive=archive,
        )

    def checks(self, simulate: bool) -> Sequence[Callable[[], Check]]:
        """The copy of the data and the archive of assets."""
        del simulate
        return (self.check_data,)

    def check_data(self) -> Check:
        """Check the user's copy of LIBERO-Plus."""
        try:
            data = find_data(self.config.assets)
            manifest = read_manifest(data) if data else standin_manifest()
        except UserError as error:
            return Check("LIBERO-Plus", "fail", str(error), f"unset {VARIABLE}, or correct it")
        try:
            check_driver(*find_packages(self.config, self.card(None)[1].versions, _PACKAGES))
        except UserError as error:  # its text says what to do
            return Check("LIBERO-Plus", "fail", str(error))
        if data is None:
            advice = (
                f"wam-eval setup libero_plus, or {VARIABLE}=/path/to/LIBERO-plus, for results that compare with others"
            )
            return Check("LIBERO-Plus", "warn", f"no copy: {_STANDINS}", advice)
        try:
            folder = find_assets(data)
        except UserError as error:
            return Check("LIBERO-Plus", "fail", str(error), f"unset {ASSETS_VARIABLE}, or correct it")
        if not manifest.official:
            detail = f"{data} differs from upstream's data of 2026-01-21"
            return Check("LIBERO-Plus", "warn", detail, "wam-eval setup libero_plus")
        if folder is None:
            detail = f"{data} without its assets: light, background and 829 layout tasks cannot be played"
            packed = packed_in(data)
            advice = unpack_command(packed) if packed else "wam-eval setup libero_plus"
            return Check("LIBERO-Plus", "warn", detail, advice)
        detail = f"{data}, with its archive of assets in {folder}, not verified"
        if missing := manifest.missing_files(read_archive(folder)):
            detail += f": {len(missing)} files that tasks need are missing, such as {missing[0]}"
            return Check("LIBERO-Plus", "warn", detail, "delete it, and unpack the whole archive")
        return Check("LIBERO-Plus", "ok", detail)

    def setup(self, target: Annotated[Path, typer.Option(help="Folder of the checkout.")] = Path("LIBERO-plus")) -> str:
        """Clone LIBERO-Plus's task data and download its assets.

        Only the target folder is used, independently of the environment variables; existing parts are kept.
        """
        target = target.expanduser().resolve()
        data = target / "libero" / "libero"
        if not (data / CLASSIFICATION).is_file():
            if target.is_dir() and any(target.iterdir()):
                raise UserError(
                    f"{target} contains something else than LIBERO-Plus, or a part of it: name another --target"
                )
            clone(REPOSITORY, COMMIT, target, VARIABLE)
        data = data_in(target)
        manifest = read_manifest(data)
        try:
            if assets_in(data) is None:
                packed = packed_in(data)
                folder = packed.parent if packed else data
                fetch_archive(HUB_DATASET, ARCHIVE, folder, folder / "assets", marker=ASSET_FOLDERS)
        except UserError as error:
            raise UserError(
                f"{error}\nThe 6,983 tasks that need no assets can be played: export {VARIABLE}={target}"
            ) from error
        archive = read_archive(assets_in(data) or data / "assets")
        if missing := manifest.missing_files(archive):
            raise UserError(
                f"{archive.folder} is not all of LIBERO-Plus's assets: {len(missing)} files that tasks need are "
                f"missing, such as {missing[0]}. Delete it and the archive from which it was unpacked, and type this "
                "command again"
            )
        return f"LIBERO-Plus is in {target}. Type: export {VARIABLE}={target}"


def check_driver(python: str, found: Mapping[str, str]) -> None:
    """Refuse a simulator that has another LIBERO than this interpreter, from whose files the tasks are planned."""
    if python == sys.executable:
        return
    here = package_versions(("hf-libero",), None)["hf-libero"]
    if here != found["hf-libero"]:
        raise UserError(
            f"{python} has hf-libero {found['hf-libero']}, and {sys.executable}, which plans the tasks, has {here}: "
            "install the same version in both"
        )


def _standin_record(libero: Assets, manifest: Manifest) -> AssetsRecord:
    """LIBERO's assets and the version of the stand-ins."""
    return AssetsRecord(
        kind="stand-in tasks",
        digest=hashlib.sha256(f"{libero.record.digest}\0stand-ins {manifest.digest}".encode()).hexdigest(),
        detail=f"{libero.record.detail}; {_STANDINS}",
    )


def _assets_record(libero: Assets, data: Path, manifest: Manifest, archive: Archive | None) -> AssetsRecord:
    """LIBERO's assets, LIBERO-Plus's data, and names and sizes of the files of its archive."""
    details = [f"LIBERO-Plus in {data}" + ("" if manifest.official else ", which is not upstream's of 2026-01-21")]
    if archive:
        details.append(f"LIBERO-Plus's archive of assets in {archive.folder} not verified")
    else:
        packed = packed_in(data)
        details.append("without its assets" + (f", which are not unpacked: {unpack_command(packed)}" if packed else ""))
    details += [
        f"{task.variation.suite} id {task.number} has no instruction in its BDDL file and gets its base task's"
        for task in manifest.corrupted
    ]
    parts = [libero.record.digest, manifest.digest, *([archive.digest] if archive else [])]
    verified = manifest.official and archive is None
    return AssetsRecord(
        kind=libero.record.kind if verified or libero.record.kind == "stand-in" else "partial",
        digest=hashlib.sha256("\0".join(parts).encode()).hexdigest(),
        detail=f"{libero.record.detail}; {'; '.join(details)}",
    )
