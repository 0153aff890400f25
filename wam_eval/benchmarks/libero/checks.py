"""Checks of LIBERO on this machine, for ``wam-eval doctor``.

``fingerprints.json`` contains the fingerprints of all 40 tasks with the default protocol card, and the versions and the
processor with which they were made. They do not depend on the assets: LIBERO's own and the embedded stand-ins give the
same states to the bit.
"""

from __future__ import annotations

import contextlib
import json
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from wam_eval import config
from wam_eval.benchmark import Benchmark, Check, Installation, load_benchmark
from wam_eval.benchmarks.libero import SCENE_CACHE_LIMIT, scene_cache_folder
from wam_eval.benchmarks.libero.assets import VARIABLE, find_assets
from wam_eval.benchmarks.libero.environments import BROKEN_FROM as MUJOCO_BROKEN_FROM
from wam_eval.benchmarks.libero.environments import environments, installed_version
from wam_eval.episode import Episode
from wam_eval.errors import UserError
from wam_eval.hosting.opengl import choose_renderer
from wam_eval.hosting.package_identity import query_packages
from wam_eval.hosting.process import SimulatorError, SimulatorProcess
from wam_eval.hosting.renderer import RendererError
from wam_eval.observation import Request
from wam_eval.places import temporary_log

REINSTALL = "make setup"
TESTED = {
    "mujoco": ("3.3.2",),
    "robosuite": ("1.4.0", "1.4.1"),
    "bddl": ("1.0.1",),
    "hf-libero": ("0.1.4",),
    "numpy": ("2.4.6",),
}
"""Package -> versions that were measured to give the same states and images; the first one is pinned by the locks."""
BROKEN_FROM = {"mujoco": MUJOCO_BROKEN_FROM[:2], "robosuite": (1, 5)}
"""Package -> version from which on LIBERO's scenes do not load."""

FINGERPRINTS = Path(__file__).with_name("fingerprints.json")
PHYSICS_PROBE = ("libero_spatial", 5)
"""A task whose start differs before and after MuJoCo 3.4.0: a bowl stands on a ramekin, or slides off."""
CHUNK_ENDS = (10, 20, 40)
"""Numbers of actions after which the state is fingerprinted."""

_GB = 1e9
_VECTOR_INSTRUCTIONS = {"sse4_2", "avx", "avx2", "fma", "avx512f", "asimd", "sve"}


def all_checks(benchmark: Benchmark, simulate: bool) -> Sequence[Callable[[], Check]]:
    """All checks.

    Args:
        benchmark: LIBERO.
        simulate: True to simulate all 40 tasks and compare them with the stored fingerprints, which takes minutes.
    """
    checks: list[Callable[[], Check]] = [
        *(partial(check_version, name) for name in TESTED),
        check_imported_packages,
        check_renderer,
        partial(check_assets, benchmark),
        partial(check_mujoco_versions, benchmark),
        partial(check_start_state, benchmark),
    ]
    if simulate:
        checks.append(partial(check_fingerprints, benchmark))
    return (*checks, check_scene_cache)


def check_version(name: str) -> Check:
    """Compare the version of a package with the tested ones."""
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name, "fail", "not installed", REINSTALL)
    tested = TESTED[name]
    if found in tested:
        return Check(name, "ok", found)
    numbers = tuple(int(number) for number in re.findall(r"\d+", found)[:2])
    if name in BROKEN_FROM and numbers >= BROKEN_FROM[name]:
        return Check(name, "fail", f"{found}: LIBERO does not load with it", REINSTALL)
    return Check(name, "warn", f"{found}, tested with {' and '.join(tested)}", REINSTALL)


def check_imported_packages() -> Check:
    """Compare the code that simulators import with the installed distributions."""
    report = query_packages(TESTED, sys.executable)
    if report.problems:
        return Check("LIBERO packages", "fail", "\n".join(report.problems))
    if report.notes:
        return Check("LIBERO packages", "warn", "\n".join(report.notes))
    return Check("LIBERO packages", "ok", f"{', '.join(report.versions)}: imported as installed, unmodified")


def check_renderer() -> Check:
    """Find the renderer that MuJoCo will use."""
    try:
        return Check("renderer", "ok", str(choose_renderer()))
    except RendererError as error:
        first, *advice = str(error).splitlines()
        return Check("renderer", "fail", first, "\n".join(line.strip() for line in advice))


def check_assets(benchmark: Benchmark) -> Check:
    """Find and identify the meshes and textures of LIBERO's scenes."""
    try:
        assets = find_assets(benchmark.config.assets, download=False)
    except UserError as error:
        return Check("LIBERO assets", "fail", str(error), f"unset {VARIABLE}, or correct it")
    if assets.record.kind == "official":
        return Check("LIBERO assets", "ok", assets.record.detail)
    advice = f"{VARIABLE}=/path/to/LIBERO's/assets for results that compare with published ones"
    return Check("LIBERO assets", "warn", assets.record.detail, advice)


def check_mujoco_versions(benchmark: Benchmark) -> Check:
    """List the environments with other MuJoCo versions, and the protocol cards that use them."""
    name = "MuJoCo versions"
    cards: dict[str, list[str]] = {}
    for card, protocol in benchmark.config.protocols.items():
        if wanted := protocol.versions.get("mujoco"):
            cards.setdefault(wanted, []).append(card)
    found = environments()
    available = [installed_version(), *(one.mujoco for one in found if one.complete)]
    listed = [f"{version} for {', '.join(cards.get(str(version), ['no protocol card']))}" for version in available]
    if incomplete := [one for one in found if not one.complete]:
        advice = f"wam-eval setup libero --mujoco {incomplete[0].mujoco}"
        return Check(name, "warn", f"{incomplete[0].folder} is incomplete; usable: {'; '.join(listed)}", advice)
    missing = [f"{version} ({', '.join(users)})" for version, users in cards.items() if version not in available]
    detail = "; ".join(listed) + (f"; not installed: {', '.join(missing)}" if missing else "")
    advice = "for those: wam-eval setup libero --mujoco VERSION" if missing else ""
    return Check(name, "ok", detail, advice)


def check_start_state(benchmark: Benchmark) -> Check:
    """Load an episode whose start depends on the physics; the simulator compares it with the stored start state."""
    name, (suite, task) = "LIBERO start state", PHYSICS_PROBE
    try:
        card = benchmark.card(None)[1]
        installation = benchmark.detect(card.versions)
        with _simulator(installation, card.settings) as simulator:
            simulator.load(_episode(suite, task, 0), Request())
    except UserError as error:  # its text says what to type
        return Check(name, "fail", str(error))
    except SimulatorError as error:
        return Check(name, "fail", str(error), REINSTALL)
    return Check(name, "ok", f"{suite} task {task} starts as stored")


def check_fingerprints(benchmark: Benchmark) -> Check:
    """Simulate two episodes of each task, which takes minutes, and compare them with the stored fingerprints."""
    name = "LIBERO fingerprints"
    try:
        comparison = compare_fingerprints(benchmark)
    except UserError as error:  # such as a missing MuJoCo version; its text says what to type
        return Check(name, "fail", str(error))
    except SimulatorError as error:
        return Check(name, "fail", str(error), REINSTALL)
    if comparison.equal == comparison.total:
        return Check(name, "ok", str(comparison))
    return Check(
        name,
        "warn" if comparison.explained else "fail",
        str(comparison),
        REINSTALL if comparison.versions else "",
    )


def check_scene_cache() -> Check:
    """Measure the cache of compiled scenes, which can be deleted at any time."""
    folder = scene_cache_folder()
    size = sum(file.stat().st_size for file in folder.iterdir()) if folder.is_dir() else 0
    limit = SCENE_CACHE_LIMIT / _GB
    return Check("compiled scenes", "ok", f"{size / _GB:.1f} of at most {limit:.0f} GB in {folder}")


@dataclass(frozen=True)
class Comparison:
    """Fingerprints of this machine compared with the stored ones.

    Attributes:
        equal, total: number of episodes whose states are equal to the bit, and of all episodes.
        versions: package -> (stored version, version here), for those that differ.
        processors: the stored processor and this one.
    """

    equal: int
    total: int
    versions: Mapping[str, tuple[str, str]]
    processors: tuple[str, str]

    def __str__(self) -> str:
        counted = f"{self.equal} of {self.total} episodes equal the stored ones to the bit"
        if self.equal == self.total:
            return counted
        if self.versions:
            changed = ", ".join(f"{name} {here} (stored {stored})" for name, (stored, here) in self.versions.items())
            return f"{counted}; different versions: {changed}"
        if self.processors[0] != self.processors[1]:
            stored, here = self.processors
            return (
                f"{counted}; different processor: {here} (stored {stored}). Every start is within 5 mm: success rates "
                "can be compared, but states differ in their last bits"
            )
        return f"{counted}; versions and processor are the stored ones: another cause changes the simulation"

    @property
    def explained(self) -> bool:
        """True if all are equal, or if other versions or another processor explain the difference."""
        return self.equal == self.total or bool(self.versions) or self.processors[0] != self.processors[1]


def compare_fingerprints(benchmark: Benchmark) -> Comparison:
    """Compare the fingerprints of this machine with the stored ones.

    Raises:
        SimulatorError: the objects of an episode differ from the stored start state.
    """
    stored = json.loads(FINGERPRINTS.read_text())
    here = current_fingerprints(benchmark)
    equal = sum(here["fingerprints"].get(key) == value for key, value in stored["fingerprints"].items())
    versions = {
        name: (version, here["versions"].get(name, "none"))
        for name, version in stored["versions"].items()
        if here["versions"].get(name) != version
    }
    return Comparison(equal, len(stored["fingerprints"]), versions, (stored["processor"], here["processor"]))


def current_fingerprints(benchmark: Benchmark) -> dict[str, Any]:
    """Fingerprints of the first two episodes of all 40 tasks on this machine, in the form of the stored file."""
    card = benchmark.card(None)[1]
    installation = benchmark.detect(card.versions)
    actions = benchmark.action_space(card.settings).probe(
        np.zeros(0, np.float32), CHUNK_ENDS[-1], np.random.default_rng(123)
    )
    prints = {}
    with _simulator(installation, {**card.settings, **benchmark.fingerprint_settings}) as simulator:
        keys = [
            (suite, task, index) for suite in benchmark.averaging.groups for task in range(10) for index in range(2)
        ]
        for suite, task, index in tqdm(keys, desc="fingerprints", unit="episode", leave=False):
            episode = _episode(suite, task, index)
            simulator.load(episode, Request())
            digests = simulator.fingerprint()
            fingerprint = {"fixtures": digests["fixtures"], "settled": digests["state"]}
            for start, end in zip((0, *CHUNK_ENDS), CHUNK_ENDS, strict=False):
                simulator.step(actions[start:end], None)
                fingerprint[str(end)] = simulator.fingerprint()["state"]
            prints[episode.key] = fingerprint
    return {"versions": installation.versions, "processor": processor(), "fingerprints": prints}


def processor() -> str:
    """Name of this processor with its vector instructions, on which the last bits of a result depend."""
    try:
        lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    except OSError:
        lines = []
    about = {name.strip(): value.strip() for name, _, value in reversed(lines)}
    vectors = sorted(_VECTOR_INSTRUCTIONS & set(about.get("flags", about.get("Features", "")).split()))
    name = about.get("model name", platform.processor() or platform.machine())
    numbers = [
        f"{key.removeprefix('cpu ')} {about[key]}" for key in ("cpu family", "model", "stepping") if key in about
    ]
    return f"{name} ({', '.join([*numbers, *vectors])})"


def _episode(suite: str, task: int, index: int) -> Episode:
    """An episode of a LIBERO suite with seed 0, long enough for a fingerprint."""
    described = config.load_suite(suite).tasks[task]
    return Episode(suite, task, "", index, described.name, described.instruction, 0, step_limit=CHUNK_ENDS[-1])


@contextlib.contextmanager
def _simulator(installation: Installation, settings: Mapping[str, Any]) -> Iterator[SimulatorProcess]:
    spec = installation.spec(settings, images=False)
    with temporary_log("doctor.log") as log, SimulatorProcess(spec, log) as simulator:
        yield simulator


def main() -> None:
    """Replace the stored file: ``python -m wam_eval.benchmarks.libero.checks``."""
    FINGERPRINTS.write_text(json.dumps(current_fingerprints(load_benchmark("libero")), indent=1) + "\n")


if __name__ == "__main__":
    main()
