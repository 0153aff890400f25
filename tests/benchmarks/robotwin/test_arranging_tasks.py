"""Tasks that put things beside, on or along something: layouts, success conditions, and one demonstration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sapien

from tests.builders.miniature import SOURCE, set_up
from wam_eval.benchmarks.robotwin.miniature.arm import SIDES
from wam_eval.benchmarks.robotwin.miniature.arranging_tasks import TASKS, above_table
from wam_eval.benchmarks.robotwin.miniature.poses import hand_at, matrix, position, turned_about
from wam_eval.benchmarks.robotwin.miniature.shapes import TableObject
from wam_eval.benchmarks.robotwin.miniature.source import templates
from wam_eval.benchmarks.robotwin.miniature.world import UPRIGHT, UPRIGHT_Y


def put(item: TableObject, point: Any, q: Any = None) -> None:
    """Move an object to a position, and a rotation if one is given, without physics."""
    item.entity.set_pose(sapien.Pose(np.asarray(point, float), item.get_pose().q if q is None else q))


def put_at(item: TableObject, reference: Any, *offset: float, q: Any = None) -> None:
    """Move an object to an offset (m) from a pose."""
    put(item, position(reference) + offset, q)


def set_grippers(env: Any, value: float) -> None:
    """Command both grippers."""
    for side in SIDES:
        env.robot.set_gripper(value, side)


def accepts(env: Any, value: float = 0.9) -> bool:
    """True if the rule accepts the state with open grippers, and never with half open ones."""
    set_grippers(env, 0.5)
    assert not env.check_success()
    set_grippers(env, value)
    return bool(env.check_success())


def turned(q: Any, degrees: float) -> Any:
    """A quaternion, rotated about the vertical axis."""
    pose = turned_about(matrix(sapien.Pose([0, 0, 0], q)), (0, 0, 0), (0, 0, 1), np.radians(degrees))
    return sapien.Pose(pose).q


def demonstrated(name: str, seed: int, condition: str) -> Any:
    """An episode that the expert has solved. Its actions are repeated in the tests of all tasks."""
    env = set_up(name, seed, condition)
    info = env.play_once()["info"]
    assert env.plan_success and env.check_success(), env.failure
    assert 10 < len(env.expert_actions) < env.step_lim
    lines = [line for kind in SOURCE.descriptions(name, info, 20).values() for line in kind]
    assert len(lines) >= 10 and not any("{" in line for line in lines)
    return env


@pytest.mark.parametrize("name", [task.name for task in TASKS])
def test_nothing_is_done_at_the_start(name: str) -> None:
    env = set_up(name, 100001, "randomized")
    assert not env.check_success()
    assert min(len(templates(name)[kind]) for kind in ("seen", "unseen")) >= 5


@pytest.mark.parametrize(("name", "direction"), [("place_a2b_left", -1), ("place_a2b_right", 1)])
def test_object_a_must_be_beside_object_b(name: str, direction: int) -> None:
    env = set_up(name)
    first, second = position(env.object.get_pose()), position(env.other.get_pose())
    assert np.all(np.abs(first[:2] - (0, -0.1)) < (0.221, 0.101)) and abs(first[1] - second[1]) > 0.098
    there = env.other.get_pose()
    put_at(env.object, there, direction * 0.13, 0.04, 0.0)
    assert accepts(env)
    for x, y in ((0.13, 0.055), (0.07, 0.0), (0.205, 0.0), (-0.13, 0.0)):
        put_at(env.object, there, direction * x, y, 0.0)
        assert not accepts(env)


def test_the_object_must_lie_on_the_plate_of_the_scale() -> None:
    env = set_up("place_object_scale")
    assert env.object.get_pose().p[0] * env.scale.get_pose().p[0] > 0
    plate = env.scale.functional_point(0)
    put_at(env.object, plate, 0.03, 0.01, 0.0)
    assert accepts(env)
    put_at(env.object, plate, 0.03, 0.02, 0.0)
    assert not accepts(env)
    put_at(env.object, plate, 0.0, 0.0, -0.012)
    assert not accepts(env)
    put_at(env.object, plate, 0.0, 0.0, 0.0)
    other = "left" if env.side == "right" else "right"
    env.robot.set_gripper(0.1, other)
    assert env.check_success(), "only the gripper on the side of the object must be open"


def test_the_object_must_be_above_the_middle_of_the_stand() -> None:
    env = set_up("place_object_stand")
    x, y, _ = env.stand.get_pose().p
    assert abs(x) <= 0.051 and -0.151 <= y <= -0.099
    put_at(env.object, env.stand.get_pose(), 0.028, -0.028, 0.08)
    assert accepts(env)
    put_at(env.object, env.stand.get_pose(), 0.0, -0.032, 0.08)
    assert not accepts(env)


def test_the_fan_must_stand_on_the_pad_and_face_the_robot() -> None:
    env = set_up("place_fan", condition="randomized")
    assert env.goal[2] == pytest.approx(0.741), "the place of the pad does not follow the height of the table"
    assert position(env.pad.get_pose())[2] < 0.7425 + env.table_z_bias, "but the pad falls onto it"
    put(env.fan, np.add(env.goal, (0.03, -0.03, 0.002 + env.table_z_bias)), UPRIGHT_Y)
    assert accepts(env)
    put(env.fan, env.goal, turned(UPRIGHT_Y, 6))
    assert accepts(env)
    put(env.fan, env.goal, turned(UPRIGHT_Y, 12))
    assert not accepts(env)
    put(env.fan, np.add(env.goal, (0.045, 0.0, 0.0)), UPRIGHT_Y)
    assert not accepts(env)


def test_the_code_must_face_the_robot() -> None:
    env = set_up("rotate_qrcode", condition="randomized")
    pose = matrix(env.sign.get_pose())
    assert pose[1, 2] > 0.7, "at first it faces away"
    height = 0.741 + env.table_z_bias
    put(env.sign, (0.1, 0.0, height), turned(UPRIGHT_Y, -6))
    assert accepts(env)
    put(env.sign, (0.1, 0.0, height + 0.012), UPRIGHT_Y)
    assert not accepts(env)
    put(env.sign, (0.1, 0.0, height), turned(UPRIGHT_Y, -12))
    assert not accepts(env)


def test_the_phone_must_stand_in_its_stand() -> None:
    env = set_up("place_phone_stand")
    edge = matrix(env.stand.functional_point(0))
    local = np.linalg.inv(matrix(env.phone.functional[0]))
    for offset, expected in (((0.04, 0.03, 0.03), True), ((0.05, 0.0, 0.0), False), ((0.0, 0.0, 0.045), False)):
        goal = edge.copy()
        goal[:3, 3] += offset
        env.phone.entity.set_pose(sapien.Pose(goal @ local))
        assert accepts(env) is expected


def test_a_phone_stays_in_the_stand() -> None:
    """The shape of the stand holds a phone that is put there."""
    env = set_up("place_phone_stand")
    edge = matrix(env.stand.functional_point(0))
    edge[:3, 3] += 0.004 * edge[:3, 0] + 0.004 * edge[:3, 2]
    env.phone.entity.set_pose(sapien.Pose(edge @ np.linalg.inv(matrix(env.phone.functional[0]))))
    env.wait(500)
    assert accepts(env) and matrix(env.phone.functional_point(0))[2, 2] > 0.8


def test_the_stapler_must_lie_along_the_pad() -> None:
    env = set_up("move_stapler_pad", condition="randomized")
    spot = env.pad.get_pose()
    for half_turn in (0, 180):
        put_at(env.object, spot, 0.018, -0.018, 0.005, q=turned(UPRIGHT, half_turn + 1.5))
        assert accepts(env)
    put_at(env.object, spot, 0.0, 0.0, 0.0, q=turned(UPRIGHT, 4))
    assert not accepts(env)
    put_at(env.object, spot, 0.0, 0.0, 0.0, q=turned(UPRIGHT, 90))
    assert not accepts(env)
    put_at(env.object, spot, 0.0, 0.021, 0.0, q=UPRIGHT)
    assert not accepts(env)


def test_the_stapler_is_pressed_at_its_front() -> None:
    env = set_up("press_stapler")
    front = position(env.stapler.contact_point(2))
    touched = [np.add(front, (0.0, 0.031, 0.0))]
    env.finger_contacts = lambda name: touched
    assert not env.check_success()
    touched.append(np.add(front, (0.02, 0.02, 0.02)))
    assert env.check_success()
    touched.clear()
    assert env.check_success(), "a press is remembered"


def test_hands_stay_above_the_table() -> None:
    high, low = hand_at((0.0, 0.0, 0.80), 0.3, np.pi / 2), hand_at((0.0, 0.0, 0.745), 0.3, 1.0)
    raised_high, raised_low = above_table([high, low], 0.74)
    assert np.allclose(raised_high, high)
    assert np.allclose(raised_low[:3, :3], low[:3, :3]) and 0.0 < raised_low[2, 3] - low[2, 3] < 0.03
    tip = raised_low[:3, 3] + raised_low[:3, :3] @ (0.133, 0.0, 0.011)
    assert tip[2] > 0.741


def test_blocks_of_wood_are_grasped_below_their_tops() -> None:
    env = set_up("place_a2b_left", 100055)
    assert env.object.label == "086_woodenblock/base1" and not env.object.contacts
    top = position(env.object.functional_point(0))
    hands = env.grasps("left", env.object)
    assert len(hands) == 16, "it is narrow enough in both directions"
    for hand in hands:
        point = hand[:3, 3] + 0.12 * hand[:3, 0]
        assert np.allclose(point, top - (0.0, 0.0, 0.02), atol=2e-3) and abs(hand[2, 1]) < 0.01


def test_the_expert_presses_the_stapler() -> None:
    env = demonstrated("press_stapler", 100001, "randomized")
    assert env.stage_success_tag
