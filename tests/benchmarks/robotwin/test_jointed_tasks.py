"""Tasks with articulated objects: layouts, success conditions, and demonstrations."""

from __future__ import annotations

import numpy as np
import pytest
import sapien

from tests.builders.miniature import played, set_up
from wam_eval.benchmarks.robotwin.miniature.jointed_tasks import TASKS, swing
from wam_eval.benchmarks.robotwin.miniature.poses import matrix, position

NAMES = [task.name for task in TASKS]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_done_at_the_start(name: str) -> None:
    env = set_up(name, 100001, "randomized")
    assert not env.check_success()
    item = next(value for value in vars(env).values() if hasattr(value, "articulation"))
    x, y = item.get_pose().p[:2]
    assert abs(x) <= 0.25 and -0.1 <= y <= 0.2


def test_a_door_is_open_at_60_percent() -> None:
    env = set_up("open_microwave")
    limit = float(env.microwave.limits[0][1])
    for part, opened in ((0.59, False), (0.61, True)):
        env.microwave.set_qpos([part * limit, *env.microwave.qpos[1:]])
        assert env.check_success() is opened


def test_a_switch_is_turned_at_the_end_of_its_range() -> None:
    env = set_up("turn_switch")
    limit = float(env.switch.limits[0][1])
    for angle, turned in ((limit - 0.06, False), (limit - 0.04, True)):
        env.switch.set_qpos([angle])
        assert env.check_success() is turned


def test_an_open_lid_counts_only_with_the_hand_at_its_edge() -> None:
    env = set_up("open_laptop")
    low, high = env.laptop.limits[0]
    assert float(env.laptop.qpos[0]) == pytest.approx(low + 0.2 * (high - low), abs=0.05)
    env.laptop.set_qpos([low + 0.45 * (high - low)])
    assert not env.check_success(), "the hand is at home"
    env.play_once()
    assert env.check_success()
    env.laptop.set_qpos([low + 0.39 * (high - low)])
    assert not env.check_success()


def test_a_hand_that_swings_keeps_its_place_on_the_link() -> None:
    env = set_up("open_microwave")
    handle = matrix(env.microwave.contact_point(0))
    last = swing(env.microwave, handle, 0.7, 4)[-1]
    env.microwave.set_qpos([float(env.microwave.qpos[0]) + 0.7, *env.microwave.qpos[1:]])
    assert np.allclose(matrix(env.microwave.contact_point(0)), last, atol=1e-4)


def test_an_object_in_the_drawer_is_stored_when_the_hand_is_open() -> None:
    env = set_up("put_object_cabinet")
    opened = env.cabinet.qpos.copy()
    opened[0] = 0.16
    env.cabinet.set_qpos(opened)
    spot = position(env.cabinet.functional_point(0))
    for up, stored in ((0.03, True), (0.15, False), (-0.02, False)):
        env.object.entity.set_pose(sapien.Pose([spot[0], spot[1], spot[2] + up], env.object.get_pose().q))
        assert env.check_success() is stored
    env.object.entity.set_pose(sapien.Pose([spot[0], spot[1], spot[2] + 0.03], env.object.get_pose().q))
    env.robot.left_gripper_val = env.robot.right_gripper_val = 0.5
    assert not env.check_success()


def test_a_lifted_pot_is_held_at_both_handles() -> None:
    env = set_up("lift_pot")
    pose = env.pot.get_pose()
    env.pot.articulation.set_root_pose(sapien.Pose([pose.p[0], pose.p[1], 0.9], pose.q))
    assert not env.check_success(), "no gripper holds it"
    env = set_up("lift_pot")
    env.play_once()
    assert env.check_success()
    pose = env.pot.get_pose()
    env.pot.articulation.set_root_pose(sapien.Pose([pose.p[0], pose.p[1] + 0.05, pose.p[2]], pose.q))
    assert not env.check_success()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "turn_switch" else pytest.mark.slow) for name in NAMES]
)
def test_the_experts_actions_solve_the_task(name: str) -> None:
    played(name, "clean", 100001)
