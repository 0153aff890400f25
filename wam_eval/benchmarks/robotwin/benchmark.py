"""RoboTwin as a benchmark: settings, action spaces, the installation on this machine, checks and setup."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import typer
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from wam_eval.benchmark import (
    NO_RENDERER,
    ActionPart,
    ActionSpace,
    Averaging,
    Axis,
    Benchmark,
    Camera,
    Check,
    Gripper,
    Installation,
)
from wam_eval.benchmarks.robotwin import aloha
from wam_eval.benchmarks.robotwin.checkout import (
    Checkout,
    InvalidCheckout,
    asset_listing,
    changed_objects,
    configs_folder,
    open_checkout,
)
from wam_eval.benchmarks.robotwin.foreign import BOARDS, recognise
from wam_eval.benchmarks.robotwin.foreign import stated as in_words
from wam_eval.benchmarks.robotwin.miniature import TASK_NAMES, VERSION
from wam_eval.benchmarks.robotwin.miniature.arm import SIDES, Side, Vector, forward
from wam_eval.benchmarks.robotwin.seeds import SeedSearch, SimulatorIdentity, ensure_seeds
from wam_eval.benchmarks.robotwin.source import CONDITIONS
from wam_eval.benchmarks.robotwin.standins import FOLDERS, MARKER, read_marker
from wam_eval.config import SuiteConfig
from wam_eval.episode import Episode
from wam_eval.errors import UserError
from wam_eval.foreign import KnownSuite, StatedSuite
from wam_eval.hosting.package_identity import package_versions, query_packages
from wam_eval.hosting.renderer import RendererError
from wam_eval.hosting.upstream import clone, fetch_archive
from wam_eval.hosting.vulkan import choose_device
from wam_eval.protocol import AssetsRecord, Protocol
from wam_eval.simulator import Deadlines, Renderer, SimulatorSpec

ROOT = "WAM_EVAL_ROBOTWIN_ROOT"
"""Environment variable with the path of a checkout; see :class:`RoboTwinEnvironment`."""

REPOSITORY = "https://github.com/RoboTwin-Platform/RoboTwin"
COMMIT = "bf44be51cf5717a5595ce59447f2cf5263d2aa95"
HUB_DATASET = "TianxingChen/RoboTwin2.0"
ARCHIVES = ("background_texture.zip", "embodiments.zip", "objects.zip")

STANDINS = "stand-in tasks"
"""Kind of the assets of a checkout with stand-ins."""

CPU_EXPERT = "inverse kinematics on the CPU"
"""Expert of the official tasks if curobo is not installed."""

TESTED_SAPIEN = ("3.0.3",)
"""Versions of SAPIEN that were measured to give the same states and images; the lock files pin the first one."""

_SIMULATOR = "wam_eval.benchmarks.robotwin.simulator:RoboTwinSimulator"
_SAPIEN = ("3.0.0b1", "3.0.3")  # releases with which the official code was run
_PACKAGES = ("sapien", "numpy", "transforms3d")
_CUROBO = "nvidia_curobo"
_MINIATURE_PACKAGES = ("sapien", "toppra", "numpy")
_DEADLINES = Deadlines(start=300.0, load=300.0, step=20.0, image=60.0)
_DEMONSTRATION_STEPS = 15  # physics steps between two recorded actions of the official demonstrations

CameraName = Literal["head_camera", "left_camera", "right_camera", "front_camera"]


class RoboTwinEnvironment(BaseSettings):
    """Environment variables of RoboTwin.

    Attributes:
        root: ``WAM_EVAL_ROBOTWIN_ROOT``, path of a checkout, or ``miniature`` for the embedded miniature.
    """

    model_config = SettingsConfigDict(env_prefix="WAM_EVAL_ROBOTWIN_", env_ignore_empty=True, extra="ignore")

    root: str = ""


class RoboTwinSettings(BaseModel):
    """Settings of a RoboTwin protocol card; see ``suites/benchmarks/robotwin.yaml``.

    Attributes:
        start_seed: first seed of the search for episodes.
        instruction_type: ``seen`` for the wordings of the training data, ``unseen`` for others.
        action_type: ``qpos`` for joint targets, ``ee`` for hand poses.
        cameras: cameras that policies may request; the first one is used for videos.
        resolution: height and width of the images in pixels; those of RoboTwin's D435 cameras.
        shader: ``rt`` for ray tracing; ``default`` for rasterization, which a CPU can do as well.
        samples, denoiser: options of ``rt``.
        physics_hz: physics steps per simulated second.
    """

    model_config = ConfigDict(extra="forbid")

    start_seed: int = Field(ge=0)
    instruction_type: Literal["seen", "unseen"]
    action_type: Literal["qpos", "ee"]
    cameras: Annotated[list[CameraName], Field(min_length=1)]
    resolution: tuple[Literal[240], Literal[320]]
    shader: Literal["default", "rt"]
    samples: int = Field(ge=1, le=1024)
    denoiser: Literal["none", "oidn", "optix"]
    physics_hz: Literal[250]


class JointTargets(ActionSpace):
    """Joint targets of both arms (action type ``qpos``).

    An action has 14 numbers: for the left and then the right arm six angles in radians and a gripper from 0 (closed) to
    1 (open). The proprioception holds the targets in force in the same order.
    """

    dim = 14
    low = np.array([*[-3.3] * 6, 0.0] * 2, np.float32)
    high = np.array([*[3.3] * 6, 1.0] * 2, np.float32)
    grippers = (Gripper(index=6, open=1.0, closed=0.0), Gripper(index=13, open=1.0, closed=0.0))
    parts = (
        ActionPart("joints of the left arm", first=0, size=6, kind="target", unit="rad"),
        ActionPart("joints of the right arm", first=7, size=6, kind="target", unit="rad"),
    )

    MAX_STEP = 0.05
    """Largest change of a joint in one random action, rad, as in demonstrations."""

    def hold(self, state: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """The targets in force."""
        return np.repeat(np.asarray(state, np.float32)[None], count, axis=0)

    def rest(self, last: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """The last targets."""
        return self.hold(last, count)

    def random(self, state: NDArray[np.float32], count: int, stream: np.random.Generator) -> NDArray[np.float32]:
        """A random walk from the targets in force."""
        steps = stream.uniform(-1.0, 1.0, (count, len(state)))
        chunk = state + self.MAX_STEP * np.cumsum(steps, axis=0)
        grippers = [gripper.index for gripper in self.grippers]
        chunk[:, grippers] = steps[:, grippers] > 0
        return chunk.astype(np.float32)


class HandPoses(ActionSpace):
    """Poses of both hands (action type ``ee``).

    An action has 16 numbers: for the left and then the right arm the position of the last link in metres, its unit
    quaternion w, x, y, z in the world frame, and a gripper from 0 (closed) to 1 (open). The proprioception holds joint
    targets (see :class:`JointTargets`), from which the kinematics of the arms give the present poses.

    Args:
        robot: name of the robot, :data:`wam_eval.benchmarks.robotwin.aloha.NAME`; the miniature's if empty.
    """

    dim = 16
    low = np.array([-1.0, -1.1, 0.2, *[-1.0] * 4, 0.0] * 2, np.float32)
    high = np.array([1.0, 0.6, 1.6, *[1.0] * 4, 1.0] * 2, np.float32)
    grippers = (Gripper(index=7, open=1.0, closed=0.0), Gripper(index=15, open=1.0, closed=0.0))
    parts = (
        ActionPart("position of the left hand", first=0, size=3, kind="target", unit="m"),
        ActionPart("rotation of the left hand", first=3, size=4, kind="quaternion"),
        ActionPart("position of the right hand", first=8, size=3, kind="target", unit="m"),
        ActionPart("rotation of the right hand", first=11, size=4, kind="quaternion"),
    )

    MAX_STEP = 0.01
    """Largest change of a coordinate in one random action, m."""

    def __init__(self, robot: str = "") -> None:
        self._pose = aloha.hand_pose if robot == aloha.NAME else _miniature_pose

    def hold(self, state: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """The poses that follow from the joint targets in force."""
        pose = []
        for side, targets in zip(SIDES, np.split(np.asarray(state, np.float64), 2), strict=True):
            hand = self._pose(side, targets[:6])
            pose += [*hand[:3, 3], *_quaternion(hand[:3, :3]), targets[6]]
        return np.repeat(np.array(pose, np.float32)[None], count, axis=0)

    def rest(self, last: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """The last poses."""
        return np.repeat(np.asarray(last, np.float32)[None], count, axis=0)

    def random(self, state: NDArray[np.float32], count: int, stream: np.random.Generator) -> NDArray[np.float32]:
        """A random walk of the positions from the present poses, without rotation."""
        chunk = self.hold(state, count).astype(np.float64)
        steps = stream.uniform(-1.0, 1.0, (count, 2, 4))
        for arm, gripper in enumerate(self.grippers):
            start = 8 * arm
            chunk[:, start : start + 3] += self.MAX_STEP * np.cumsum(steps[:, arm, :3], axis=0)
            chunk[:, gripper.index] = steps[:, arm, 3] > 0
        return chunk.astype(np.float32)


def _miniature_pose(side: Side, q: ArrayLike) -> Vector:
    """Pose of the last link of an arm of the miniature's robot (4, 4)."""
    return forward(side, q)[0]


def _quaternion(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit quaternion w, x, y, z of a rotation matrix (3, 3)."""
    # Each row is the quaternion times four times one of its components; the longest row is the most accurate one.
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = matrix
    rows = np.array(
        [
            [1 + xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, 1 + xx - yy - zz, xy + yx, xz + zx],
            [xz - zx, xy + yx, 1 - xx + yy - zz, yz + zy],
            [yx - xy, xz + zx, yz + zy, 1 - xx - yy + zz],
        ]
    )
    lengths = np.linalg.norm(rows, axis=1)
    quaternion: NDArray[np.float64] = rows[lengths.argmax()] / lengths.max()
    return quaternion


@dataclass(frozen=True)
class RoboTwinInstallation(Installation):
    """RoboTwin on this machine.

    Attributes:
        identity: properties on which the verdicts on seeds depend.
        expert: expert that solves the tasks on this machine.
        tasks: names of the tasks that can be played.
    """

    identity: SimulatorIdentity
    expert: str
    tasks: tuple[str, ...]

    @property
    def has_official_assets(self) -> bool:
        """True if robot and objects are the official ones: those of a checkout without stand-ins."""
        return self.identity.source == "official" and self.assets.kind != STANDINS

    def spec(self, settings: Mapping[str, Any], *, images: bool = True) -> SimulatorSpec:
        """See :meth:`Installation.spec`. Without a Vulkan device, policies that request no images can still play."""
        images = images and _vulkan(self.python) is not None
        spec = super().spec({**settings, "cameras": settings["cameras"] if images else []}, images=images)
        return replace(spec, environment={**self._planner_environment(), **spec.environment})

    def renderer(self, *, images: bool = True) -> Renderer:
        """The Vulkan device; no error is raised if there is none, see :meth:`spec`."""
        return (_vulkan(self.python) if images else None) or NO_RENDERER

    def resolve_protocol(self, protocol: Protocol, suite: SuiteConfig) -> Protocol:
        """The protocol with a shader that this machine can render, and the expert that verified the seeds.

        Hand poses also need the robot, whose kinematics give the present ones.
        """
        settings, rules = dict(protocol.settings), dict(protocol.rules)
        if settings["action_type"] == "ee":
            rules["action"] = (
                "poses of the last links in the world (m, quaternion w, x, y, z) and grippers (0 closed, 1 open), left "
                f"then right; planner: {self.expert}"
            )
            if self.has_official_assets:
                settings["robot"] = aloha.NAME
        if self.identity.source != "official" or not self.renderer().gpu:
            settings.update(shader="default", samples=1, denoiser="none")
        search = self.search(str(suite.axes["condition"]), settings["start_seed"])
        settings["expert"] = search.manifest().verified_by
        return protocol.model_copy(update={"settings": settings, "rules": rules})

    def filter_tasks(self, tasks: list[int], suite: SuiteConfig, named: bool) -> list[int]:
        """See :meth:`Installation.filter_tasks`."""
        missing = [suite.tasks[task].name for task in tasks if suite.tasks[task].name not in self.tasks]
        if missing and named:
            raise UserError(
                f"the task {missing[0]} needs the official benchmark; installed here is {self.assets.detail}. "
                f"Tasks without it: {', '.join(self.tasks)}"
            )
        return [task for task in tasks if suite.tasks[task].name in self.tasks]

    def resolve_episodes(self, episodes: list[Episode], protocol: Protocol) -> list[Episode]:
        """The episodes with seeds and instructions of the manifest; seeds that it lacks are searched for first."""
        if not episodes:
            return episodes
        settings = protocol.settings
        tasks = list(dict.fromkeys(episode.task_name for episode in episodes))
        count = 1 + max(episode.index for episode in episodes)
        seeds = ensure_seeds(self.search(episodes[0].condition, settings["start_seed"]), tasks, count).tasks
        resolved = []
        for episode in episodes:
            entry = seeds[episode.task_name][episode.index]
            instruction = entry.seen if settings["instruction_type"] == "seen" else entry.unseen
            resolved.append(replace(episode, seed=entry.seed, instruction=instruction))
        return resolved

    def search(self, condition: str, start_seed: int) -> SeedSearch:
        """The search for the seeds of a condition on this machine."""
        rendering = self.renderer().environment if self.identity.source == "official" else {}
        spec = SimulatorSpec(
            simulator=self.simulator,
            settings={"action_type": "qpos", "cameras": [], **self.settings},
            python=self.python,
            environment={**self._planner_environment(), **rendering},
            packages={name: self.versions[name] for name in self.packages},
            deadlines=self.deadlines,
        )
        return SeedSearch(spec, self.identity, self.expert, condition, start_seed)

    def _planner_environment(self) -> dict[str, str]:
        """Show the GPUs to curobo, which the official code starts in every scene. Simulators see none by default."""
        if self.identity.source != "official":
            return {}
        return {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(16)))}


class RoboTwin(Benchmark):
    """RoboTwin 2.0: fifty tasks for two arms, clean and randomized.

    Without a checkout of the official benchmark, the tasks are played in the embedded miniature.
    """

    title = "RoboTwin"
    Settings = RoboTwinSettings
    episode_fields = ("settings.start_seed", "settings.physics_hz", "rules.success", "rules.episodes")
    axes = (
        Axis(
            "condition",
            CONDITIONS,
            plural="conditions",
            sizes={"clean": 50, "randomized": 50},
            reference="clean",
        ),
    )
    averaging = Averaging(over="condition", groups=CONDITIONS, label="average")
    lists_episodes = False
    commands: ClassVar[Mapping[str, str]] = {"seeds": "wam_eval.benchmarks.robotwin.commands:app"}
    readers = tuple(f"wam_eval.benchmarks.robotwin.foreign:{name}" for name in ("ResultTextReader", "ManagerReader"))
    demonstration_readers = ("wam_eval.benchmarks.robotwin.demonstration_files:DemonstrationFileReader",)
    boards = BOARDS

    def recognise(self, stated: StatedSuite) -> KnownSuite | None:
        """See :meth:`Benchmark.recognise`."""
        return recognise(stated)

    def stated(self, program: str, protocol: Protocol) -> StatedSuite | None:
        """See :meth:`Benchmark.stated`."""
        return in_words(program, protocol)

    def action_space(self, settings: Mapping[str, Any]) -> ActionSpace:
        """See :meth:`Benchmark.action_space`."""
        return HandPoses(settings.get("robot", "")) if settings["action_type"] == "ee" else JointTargets()

    def cameras(self, settings: Mapping[str, Any]) -> tuple[Camera, ...]:
        """See :meth:`Benchmark.cameras`."""
        height, width = settings["resolution"]
        return tuple(Camera(name, height, width) for name in settings["cameras"])

    def control_hz(self, settings: Mapping[str, Any]) -> float:
        """Nominal rate, that of the demonstrations: an action lasts until both arms have reached their targets."""
        return float(settings["physics_hz"]) / _DEMONSTRATION_STEPS

    def state_dim(self, settings: Mapping[str, Any]) -> int:
        """14: joint targets and gripper commands of both arms."""
        return JointTargets.dim

    def detect(self, versions: Mapping[str, str]) -> RoboTwinInstallation:
        """The official benchmark if a checkout is named, else the miniature.

        Raises:
            UserError: the checkout is incomplete, its interpreter lacks packages, or a version differs from the one
                that the protocol card asks for.
        """
        root = self.root()
        found = detect_checkout(root, self.config.python) if root else miniature()
        for package, wanted in versions.items():
            if found.versions.get(package) != wanted:
                raise UserError(
                    f"the protocol card asks for {package} {wanted}; {found.python} has "
                    f"{found.versions.get(package, 'none')}: install it there, or name another interpreter with "
                    f"`python:` in suites/benchmarks/{self.name}.yaml"
                )
        return found

    def root(self) -> Path | None:
        """The checkout that the user names; ``None`` for the miniature."""
        given = (RoboTwinEnvironment().root or self.config.assets or "").strip()
        return None if given in ("", "miniature") else Path(given).expanduser()

    def checks(self, simulate: bool) -> Sequence[Callable[[], Check]]:
        """See :meth:`Benchmark.checks`."""
        return (check_sapien, self._check_vulkan, self._check_installation)

    def setup(
        self,
        target: Annotated[Path, typer.Option(help="Folder of the checkout.")] = Path("RoboTwin"),
        stand_ins: Annotated[
            Path | None, typer.Option(help="Checkout without assets; write our stand-ins into it and download nothing.")
        ] = None,
    ) -> str:
        """Clone the papers' commit of RoboTwin and download its assets (20 GB), or write stand-ins for the assets.

        Args:
            target: folder of the checkout; files that it already contains are kept.
            stand_ins: checkout into which stand-ins are written instead.

        Raises:
            UserError: git is missing, or code or assets cannot be downloaded or written; the text says what to do by
                hand.
        """
        if stand_ins is not None:
            return set_up_standins(stand_ins.expanduser().resolve())
        target = target.expanduser().resolve()
        if read_marker(target) is not None:
            raise UserError(
                f"{target} has stand-in assets: remove {', '.join((*FOLDERS, MARKER))} there, and type this command "
                "again to download the official ones"
            )
        if not (target / "envs" / "_base_task.py").is_file():
            if target.is_dir() and any(target.iterdir()):
                raise UserError(f"{target} is not empty and is no complete checkout of RoboTwin: name another --target")
            clone(REPOSITORY, COMMIT, target, ROOT)
        assets = target / "assets"
        for archive in ARCHIVES:
            folder = assets / archive.removesuffix(".zip")
            if not folder.is_dir():
                fetch_archive(HUB_DATASET, archive, assets, folder)
        # This script writes files for curobo only, so its failure is ignored.
        subprocess.run(
            [sys.executable, str(target / "script/update_embodiment_config_path.py")], cwd=target, check=False
        )
        try:
            open_checkout(target)
        except InvalidCheckout as error:
            raise UserError(f"{error}; remove {target} and run this command again") from error
        return (
            f"The checkout is in {target}. Run: export {ROOT}={target}\n"
            "Its interpreter needs sapien, transforms3d and mplib (or toppra), and curobo for the expert; name it with "
            "`python:` in suites/benchmarks/robotwin.yaml. See docs/benchmarks/robotwin.md"
        )

    def _check_vulkan(self) -> Check:
        """The Vulkan device that renders RoboTwin's images."""
        try:
            device = choose_device(self.config.python or sys.executable)
        except RendererError as error:
            first, *rest = str(error).splitlines()
            detail = f"{first} RoboTwin has no images"
            return Check("Vulkan", "warn", detail, "\n".join(line.strip() for line in rest))
        if not device.gpu and any(Path("/proc/driver/nvidia/gpus").glob("*")):
            fix = "install the NVIDIA driver's Vulkan library; start a container with NVIDIA_DRIVER_CAPABILITIES=all"
            return Check("Vulkan", "warn", f"{device}, not this machine's GPU", fix)
        return Check("Vulkan", "ok", str(device))

    def _check_installation(self) -> Check:
        """The official benchmark in a checkout, or the miniature."""
        root = self.root()
        if root is None:
            try:
                miniature()
            except UserError as error:  # its text says what to do
                return Check("RoboTwin", "fail", str(error))
            fix = f"{ROOT}=/path/to/RoboTwin for results that can be compared with published ones"
            return Check("RoboTwin", "warn", "no checkout: the embedded miniature is played", fix)
        try:
            assets = detect_checkout(root, self.config.python).assets
        except UserError as error:
            return Check("RoboTwin", "fail", str(error), f"unset {ROOT}, or correct it")
        return Check("RoboTwin", "ok" if assets.kind == "official" else "warn", assets.detail)


def set_up_standins(root: Path) -> str:
    """Write stand-in assets into a checkout.

    Returns:
        A message for the user.

    Raises:
        UserError: it is no checkout, or has other assets already, or cannot be written; or SAPIEN is not installed.
    """
    try:
        configs_folder(root)
    except InvalidCheckout as error:
        raise UserError(str(error)) from error
    package_versions(_MINIATURE_PACKAGES, None)
    from wam_eval.benchmarks.robotwin.standins.writing import write_standins

    write_standins(root)
    return (
        f"The stand-in assets are in {root / 'assets'}. Run: export {ROOT}={root}\n"
        "The official task code then plays with our objects and robot. Its results are marked as those of stand-ins, "
        "and never shown beside published ones"
    )


def check_sapien() -> Check:
    """The version of SAPIEN in this interpreter."""
    try:
        found = version("sapien")
    except PackageNotFoundError:
        return Check("sapien", "fail", "not installed", "make setup")
    if found in TESTED_SAPIEN:
        return Check("sapien", "ok", found)
    return Check("sapien", "warn", f"{found}, tested with {' and '.join(TESTED_SAPIEN)}", "make setup")


def miniature() -> RoboTwinInstallation:
    """The embedded miniature.

    Raises:
        UserError: SAPIEN or toppra is not installed.
    """
    versions = package_versions(_MINIATURE_PACKAGES, None)
    assets = AssetsRecord(
        kind="miniature",
        digest=f"miniature-{VERSION}",
        detail=f"RoboTwin's embedded miniature, {len(TASK_NAMES)} of its 50 tasks with a robot and objects of simple "
        f"shapes. For the official benchmark run `wam-eval setup robotwin`, or set {ROOT} to a checkout",
    )
    return RoboTwinInstallation(
        simulator=_SIMULATOR,
        python=sys.executable,
        settings={},
        versions=versions,
        assets=assets,
        identity=SimulatorIdentity(
            source="miniature", version=VERSION, assets="", sapien=versions["sapien"], numpy=versions["numpy"]
        ),
        expert=f"miniature {VERSION}",
        tasks=TASK_NAMES,
        packages=_MINIATURE_PACKAGES,
        deadlines=_DEADLINES,
    )


def detect_checkout(root: Path, python: str | None) -> RoboTwinInstallation:
    """The official benchmark in a user's checkout.

    Args:
        root: folder of the checkout.
        python: its interpreter; this one if ``None``.

    Raises:
        UserError: it is no checkout, lacks assets, or its interpreter lacks packages or would import others.
    """
    try:
        checkout = open_checkout(root)
    except InvalidCheckout as error:
        raise UserError(f"RoboTwin: {error}; or unset {ROOT} to play the embedded miniature") from error
    optional = query_packages(("mplib", _CUROBO), python or sys.executable).versions
    packages = (*_PACKAGES, "mplib") if "mplib" in optional else _PACKAGES
    versions = package_versions(packages, python)
    if versions["sapien"] not in _SAPIEN:
        raise UserError(
            f"{python or sys.executable} has sapien {versions['sapien']}; RoboTwin needs {' or '.join(_SAPIEN)}: "
            "name the interpreter of your RoboTwin with `python:` in suites/benchmarks/robotwin.yaml"
        )
    versions |= {"robotwin": checkout.version, "mplib": versions.get("mplib", "none")}
    curobo = _CUROBO in optional and not checkout.standins
    expert = f"curobo {package_versions((_CUROBO,), python)[_CUROBO]}" if curobo else CPU_EXPERT
    assets = _assets_of(checkout)
    return RoboTwinInstallation(
        simulator=_SIMULATOR,
        python=python or sys.executable,
        settings={"root": str(checkout.root), "version": checkout.version},
        versions=versions,
        assets=assets,
        identity=SimulatorIdentity(
            source="official",
            version=checkout.version,
            assets=assets.digest,
            sapien=versions["sapien"],
            numpy=versions["numpy"],
        ),
        expert=expert,
        tasks=checkout.tasks,
        packages=packages,
        deadlines=_DEADLINES,
    )


def _assets_of(checkout: Checkout) -> AssetsRecord:
    listing = "\n".join(asset_listing(checkout.root))
    code = "" if checkout.known else f"; its code is that of no known commit ({checkout.commit or checkout.version})"
    if checkout.standins:
        marked = f"stand-ins {checkout.standins}\n{listing}"
        return AssetsRecord(
            kind=STANDINS,
            digest=hashlib.sha256(marked.encode()).hexdigest(),
            detail=f"RoboTwin at {checkout.version} in {checkout.root} with stand-in assets, version "
            f"{checkout.standins}{code}",
        )
    changed = changed_objects(checkout.root)
    differing = (
        f"; {len(changed)} object descriptions are not the official ones, such as {changed[0]}" if changed else ""
    )
    return AssetsRecord(
        kind="official" if checkout.known and not changed else "partial",
        digest=hashlib.sha256(listing.encode()).hexdigest(),
        detail=f"RoboTwin at {checkout.version} in {checkout.root}{code}{differing}",
    )


def _vulkan(python: str) -> Renderer | None:
    try:
        return choose_device(python)
    except RendererError:  # `wam-eval doctor` gives the reason
        return None
