"""The LIBERO simulator equals official code to the bit, and an episode depends on its key and its actions only."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.libero.conftest import OFFICIAL, Start, episode
from tests.benchmarks.libero.scenes import ALL, FLOAT32_ACTIONS
from tests.builders.systems import in_private_mounts
from wam_eval.benchmarks.libero.environments import create
from wam_eval.episode import Episode
from wam_eval.errors import UserError
from wam_eval.hosting.process import SimulatorError
from wam_eval.observation import Request, VideoRequest

BOTH = Request(("agentview", "robot0_eye_in_hand"))
NOTHING = Request()
ACTIONS = FLOAT32_ACTIONS

# A plain task, one with a drawer opened by :init (LIBERO's reset history), one with a stove that is turned on.
SAMPLE = [("libero_object", 0), ("libero_spatial", 4), ("libero_10", 8)]
OTHER_VERSIONS = ("2.3.7", "3.2.3", "3.3.7", "3.8.1")


@pytest.fixture(scope="session")
def interpreter() -> Callable[[str], str]:
    """Finds the interpreter with a MuJoCo version; creates its environment if there is a package index."""

    def find(version: str) -> str:
        try:
            return str(create(version).python)
        except UserError as error:
            if "no package index" not in str(error):
                raise
            pytest.skip(str(error).splitlines()[0])

    return find


def check_equal_to_official(
    start: Start, assets: Path, suite: str, task: int, indices: tuple[int, ...] = (0,), python: str = sys.executable
) -> None:
    """Compare official code with both engines, after other episodes, after settle steps and after some actions."""
    official = start(OFFICIAL, assets, python=python)
    engines = [start(assets=assets, python=python, engine=engine) for engine in ("fast", "reference")]
    for ours in engines:  # earlier episodes must not change later ones
        ours.load(episode(suite, task, 3), NOTHING)
        ours.step(ACTIONS, None)
    for index in indices:
        expected = official.load(episode(suite, task, index), BOTH)
        found = [ours.load(episode(suite, task, index), BOTH) for ours in engines]
        for chunk in (ACTIONS[:10], ACTIONS[10:17], ACTIONS[17:18]):
            for ours, seen in zip(engines, found, strict=True):
                assert official.fingerprint() == ours.fingerprint()
                assert np.array_equal(expected.state, seen.state[[0, 1, 2, 6, 7]])
                for camera in BOTH.cameras:
                    assert np.array_equal(expected.images[camera], seen.images[camera]), camera
            _, expected = official.step(chunk, BOTH)
            found = [ours.step(chunk, BOTH)[1] for ours in engines]


@pytest.mark.parametrize(
    ("assets", "suite", "task"),
    [
        ("stand-in", *SAMPLE[0]),
        ("shared", *SAMPLE[2]),
    ],
    indirect=["assets"],
)
def test_state_fixtures_and_pixels_equal_official_code(start: Start, assets: Path, suite: str, task: int) -> None:
    check_equal_to_official(start, assets, suite, task)


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "task"), ALL)
def test_all_tasks_equal_official_code(start: Start, assets: Path, suite: str, task: int) -> None:
    check_equal_to_official(start, assets, suite, task, indices=(0, 1))


@pytest.mark.slow
@pytest.mark.parametrize("version", OTHER_VERSIONS)
@pytest.mark.parametrize(("suite", "task"), [*SAMPLE, ("libero_spatial", 5), ("libero_10", 1)])
def test_other_mujoco_versions_equal_official_code_of_the_same_version(
    start: Start, standins: Path, interpreter: Callable[[str], str], version: str, suite: str, task: int
) -> None:
    check_equal_to_official(start, standins, suite, task, (0, 1), interpreter(version))


def test_rendering_does_not_change_the_state(start: Start) -> None:
    rendering, blind = start(), start()
    for simulator, request in ((rendering, BOTH), (blind, NOTHING)):
        simulator.load(episode("libero_goal", 2), request)
    for step in range(0, 12, 3):
        rendering.step(ACTIONS[step : step + 3], BOTH, VideoRequest("agentview", 2))
        blind.step(ACTIONS[step : step + 3], None)
        assert rendering.fingerprint() == blind.fingerprint()


def test_a_renderer_created_during_an_episode_does_not_change_the_state(start: Start) -> None:
    late, blind = start(), start()
    for simulator in (late, blind):
        simulator.load(episode("libero_object", 1), NOTHING)
        simulator.step(ACTIONS[:5], BOTH if simulator is late else None)
        simulator.step(ACTIONS[5:20], None)
    assert late.fingerprint() == blind.fingerprint()


def test_the_order_of_episodes_does_not_matter(start: Start) -> None:
    episodes = [episode(suite, task, index) for suite, task in SAMPLE[1:] for index in (0, 1, 2)]

    def fingerprints(order: list[Episode]) -> dict[str, dict[str, str]]:
        simulator, prints = start(), {}
        for one in order:
            simulator.load(one, NOTHING)
            simulator.step(ACTIONS[: 5 + one.index], None)
            prints[one.key] = simulator.fingerprint()
        return prints

    first = fingerprints(episodes)
    assert len({digests["state"] for digests in first.values()}) == len(episodes)
    for seed in (1, 2):
        assert fingerprints(random.Random(seed).sample(episodes, len(episodes))) == first


def test_a_snapshot_continues_to_the_bit_in_this_and_in_another_process(start: Start) -> None:
    simulator, other = start(), start()
    simulator.load(episode("libero_spatial", 4), NOTHING)
    _, seen = simulator.step(ACTIONS[:10], BOTH)
    assert seen
    blob = simulator.snapshot()
    simulator.step(ACTIONS[10:], None)
    end = simulator.fingerprint()

    other.load(episode("libero_spatial", 4, 0), NOTHING)
    for one, undone in ((simulator, 30), (other, 0)):
        restored = one.restore(blob)
        assert (restored.step, restored.undone) == (10, undone)
        assert np.array_equal(restored.images["agentview"], seen.images["agentview"])
        progress, _ = one.step(ACTIONS[10:], None)
        assert progress.steps == 40
        assert one.fingerprint() == end


def test_a_snapshot_of_another_episode_is_refused(start: Start) -> None:
    simulator = start()
    simulator.load(episode("libero_object", 0, 0), NOTHING)
    blob = simulator.snapshot()
    simulator.load(episode("libero_object", 0, 1), NOTHING)
    with pytest.raises(SimulatorError, match="a snapshot of libero_object/00/000"):
        simulator.restore(blob)


def test_the_step_limit_ends_an_episode(start: Start) -> None:
    simulator = start()
    simulator.load(episode("libero_object", 0, step_limit=7), NOTHING)
    progress, following = simulator.step(ACTIONS, BOTH)
    assert (progress.steps, progress.success, progress.done, following) == (7, False, True, None)
    simulator.load(episode("libero_object", 0, step_limit=7), NOTHING)
    progress, following = simulator.step(ACTIONS[:7], NOTHING)
    assert progress.done and following and following.step == 7


def test_a_missing_initial_state_is_named(start: Start) -> None:
    with pytest.raises(SimulatorError, match="the task has 50 initial states"):
        start().load(episode("libero_object", 0, 50), NOTHING)


# Places of files

CODE = """
import logging, sys
import wam_eval.benchmarks.libero.scene
print([type(handler).__name__ for handler in logging.getLogger("robosuite_logs").handlers])
"""


def test_robosuite_writes_no_log_that_all_users_share() -> None:
    """The file may belong to another user, and then robosuite could not be imported."""
    done = in_private_mounts("mount -t tmpfs tmpfs /tmp && mkdir /tmp/robosuite.log", [sys.executable, "-c", CODE])
    assert done.returncode == 0 and "FileHandler" not in done.stdout, done.stderr


def test_warnings_of_mujoco_go_to_the_log_and_not_to_the_working_directory(tmp_path: Path) -> None:
    code = """
import mujoco
import wam_eval.benchmarks.libero.scene_compiler
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><body><freejoint/><geom size='.1'/></body></worldbody></mujoco>"
)
data = mujoco.MjData(model)
data.qvel[0] = 1e300
mujoco.mj_step(model, data)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "MuJoCo: Nan, Inf or huge value in QVEL" in done.stderr and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_simulator_writes_to_the_cache_and_to_its_temporary_folder_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("no strace")
    monkeypatch.setenv("WAM_EVAL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    code = """
import sys, subprocess
from wam_eval.hosting import process
from wam_eval.run.fingerprint import fingerprint_suite
start = subprocess.Popen
def traced(command, **options):
    if "wam_eval.hosting.child" in command:
        calls = "openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat"
        command = ["strace", "-ff", "-e", f"trace={calls}", "-o", f"{sys.argv[1]}/calls", *command]
    return start(command, **options)
process.subprocess.Popen = traced
fingerprint_suite("libero_object", "0")
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, cwd=tmp_path)
    writes = [
        path
        for log in tmp_path.glob("calls.*")
        for line in log.read_text(errors="replace").splitlines()
        if " = -1 " not in line and (not line.startswith("open") or re.search("O_(WRONLY|RDWR|CREAT)", line))
        for path in re.findall('"(/[^"]*)"', line)
    ]
    allowed = (str(tmp_path / "home"), "/dev/", "/proc/")
    assert writes
    # Python's and Numba's own compiled files beside their sources are the only others.
    assert [path for path in writes if not path.startswith(allowed) and "__pycache__" not in path] == []
