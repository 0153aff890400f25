"""Resets, the quaternions of privileged poses, and fingerprints of a scene."""

from __future__ import annotations

import re
from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tests.benchmarks.libero.scenes import ACTIONS, ALL, SAMPLE, begin, build, state_bytes
from tests.conftest import REPOSITORY
from wam_eval.benchmarks.libero.package import init_states_file, read_init_states
from wam_eval.benchmarks.libero.scene import Scene, quaternion
from wam_eval.config import load_suite


def states(scene: Scene, suite: str, task: int) -> list[dict[str, bytes]]:
    """Full states after a reset, and after each of some steps."""
    begin(scene, suite, task, 3, 1)
    found = [state_bytes(scene)]
    for action in ACTIONS[:12]:
        scene.step(action)
        found.append(state_bytes(scene))
    return found


def check_contacts_in_a_reset_change_nothing(suite: str, task: int, assets: Path) -> None:
    scene = build(suite, task, assets)
    without = states(scene, suite, task)
    scene._skips_contacts = False
    assert states(scene, suite, task) == without
    scene.close()


@pytest.mark.parametrize(("suite", "task"), SAMPLE)
def test_contacts_in_a_reset_change_nothing(standins: Path, suite: str, task: int) -> None:
    check_contacts_in_a_reset_change_nothing(suite, task, standins)


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "task"), ALL)
def test_contacts_in_a_reset_change_nothing_in_any_task(standins: Path, suite: str, task: int) -> None:
    check_contacts_in_a_reset_change_nothing(suite, task, standins)


def test_contacts_are_enabled_after_a_reset(standins: Path) -> None:
    scene = build("libero_object", 0, standins)
    model = scene.env.sim.model._model
    before = model.opt.disableflags
    scene.reset(0)
    assert model.opt.disableflags == before and not before & int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
    begin(scene, "libero_object", 0, 0, 0)
    scene.step(np.zeros(7))
    assert scene.env.sim.data._data.ncon
    scene.close()


def test_fixtures_are_the_arrays_that_the_documentation_names(standins: Path) -> None:
    (row,) = re.findall(r"\| `fixtures` \|.*", (REPOSITORY / "docs" / "results" / "protocols.md").read_text())
    named = set(re.findall(r"`(\w+)`", row)) - {"fixtures"}
    assert named and all(name in str(Scene.fingerprint.__doc__) for name in named)
    scene = build("libero_spatial", 0, standins)
    scene.reset(0)
    before, model = scene.fingerprint(), scene.env.sim.model
    changing = set()
    for name in (name for name in dir(model) if name.startswith(("body_", "geom_", "site_", "jnt_"))):
        array = getattr(model, name)
        if not (isinstance(array, np.ndarray) and array.size and array.flags.writeable):
            continue
        kept = array.copy()
        array.flat[-1] += 1
        after = scene.fingerprint()
        array[:] = kept
        assert after["state"] == before["state"]
        if after["fixtures"] != before["fixtures"]:
            changing.add(name)
    scene.close()
    assert changing == named


def test_the_privileged_state_is_the_one_that_demonstrations_record(standins: Path) -> None:
    """MuJoCo's flattened state, as in the benchmark's initial states: the time, positions, velocities."""
    scene = build("libero_object", 0, standins)
    begin(scene, "libero_object", 0, 0, 0)
    started = scene.privileged().state
    expected = read_init_states(init_states_file("libero_object", load_suite("libero_object").tasks[0].name))[0]
    scene.step(np.zeros(7))
    stepped = scene.privileged().state
    scene.close()
    assert started is not None and stepped is not None
    assert np.array_equal(started, expected) and stepped[0] - started[0] == pytest.approx(0.05)


@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda numbers: np.linalg.norm(numbers) > 0.1))
def test_quaternions_of_rotation_matrices(numbers: tuple[float, ...]) -> None:
    rotation = Rotation.from_quat(numbers, scalar_first=True)
    found = quaternion(rotation.as_matrix())
    assert found[0] >= 0
    assert Rotation.from_quat(found, scalar_first=True).as_matrix() == pytest.approx(rotation.as_matrix(), abs=1e-9)
