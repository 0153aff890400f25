"""Tasks with food, a hammer, a microphone, mugs and scanners: layouts, success conditions, and one demonstration."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import sapien

from tests.builders.miniature import SOURCE, played, set_up
from wam_eval.benchmarks.robotwin.miniature import arm
from wam_eval.benchmarks.robotwin.miniature.arm import rotation, transform
from wam_eval.benchmarks.robotwin.miniature.handling_tasks import TASKS, ScanObject
from wam_eval.benchmarks.robotwin.miniature.poses import hand_at, matrix, other_side, position
from wam_eval.benchmarks.robotwin.miniature.shapes import TableObject

NAMES = [task.name for task in TASKS]


def move(item: TableObject, pose: Any) -> None:
    """Move an object to a pose (4, 4) without physics."""
    item.entity.set_pose(sapien.Pose(pose))


def move_by(item: TableObject, *offset: float) -> None:
    """Move an object by an offset without physics."""
    pose = matrix(item.get_pose())
    pose[:3, 3] += offset
    move(item, pose)


def set_grippers(env: Any, left: float, right: float, steps: int = 40) -> None:
    """Command the grippers for some physics steps."""
    for _ in range(steps):
        env.robot.set_gripper(left, "left")
        env.robot.set_gripper(right, "right")
        env.scene.step()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_done_at_the_start(name: str) -> None:
    assert not set_up(name, 100001, "randomized").check_success()


def layout(name: str, seed: int = 100000, condition: str = "clean") -> Any:
    """An episode whose scene has not come to rest."""
    env: Any = SOURCE.task(name)
    env._check_stable = env._open_grippers = lambda *arguments: None
    env.setup_demo(seed=seed, **SOURCE.arguments(name, condition))
    return env


def test_layouts_are_within_the_official_ranges() -> None:
    for seed in range(100000, 100004):
        for bread in layout("place_bread_basket", seed).breads:
            x, y, _ = bread.get_pose().p
            assert 0.149 < abs(x) < 0.271 and -0.201 < y < 0.051
        env = layout("place_bread_skillet", seed)
        assert env.bread.get_pose().p[0] * env.skillet.get_pose().p[0] < 0
        x, y, _ = layout("beat_block_hammer", seed).block.get_pose().p
        assert 0.05 <= abs(x) <= 0.25 and -0.05 <= y <= 0.15
        x, y, z = layout("hanging_mug", seed).rack.get_pose().p
        assert 0.1 <= x <= 0.3 and 0.13 <= y <= 0.17 and z == pytest.approx(0.741)
        env = layout("scan_object", seed, "randomized")
        assert env.scanner.get_pose().p[0] * env.object.get_pose().p[0] < 0
        assert env.object.get_pose().p[2] == pytest.approx(0.741), "it does not follow the table"


def test_a_second_bread_near_the_first_one_is_left_out() -> None:
    counts = {len(layout("place_bread_basket", seed).breads) for seed in range(100000, 100012)}
    assert counts == {1, 2}


def test_all_bread_must_be_in_the_basket() -> None:
    env = next(env for env in map(partial(layout, "place_bread_basket"), range(100000, 100012)) if len(env.breads) == 2)
    set_grippers(env, 1.0, 1.0)
    basket = position(env.basket.get_pose())
    for bread, (x, y) in zip(env.breads, ((0.04, 0.0), (-0.04, 0.04)), strict=True):
        assert not env.check_success()
        pose = matrix(bread.get_pose())
        pose[:3, 3] = basket[0] + x, basket[1] + y, basket[2] + 0.02
        move(bread, pose)
    assert env.check_success()
    set_grippers(env, 1.0, 0.5)
    assert not env.check_success()


def test_bread_and_skillet_must_be_in_the_air() -> None:
    env = set_up("place_bread_skillet")
    pose = matrix(env.bread.get_pose())
    pose[:3, 3] = position(env.skillet.functional_point(0), 0.01)
    move(env.bread, pose)
    assert not env.check_success()
    for item in (env.bread, env.skillet):
        move_by(item, 0.0, 0.0, 0.05)
    assert env.check_success()
    move_by(env.bread, 0.04, 0.0, 0.0)
    assert not env.check_success()


def test_burger_and_fries_have_places_on_the_tray() -> None:
    env = set_up("place_burger_fries")
    for item, point in ((env.burger, 0), (env.fries, 1)):
        assert not env.check_success()
        move_by(item, *(position(env.tray.functional_point(point)) - position(item.functional_point(0))))
    assert env.check_success()
    move_by(env.burger, 0.2, 0.0, 0.0)
    assert not env.check_success()


def test_the_hammer_must_touch_the_block() -> None:
    env = set_up("beat_block_hammer")
    gap = position(env.block.functional_point(1)) - position(env.hammer.functional_point(0))
    move_by(env.hammer, gap[0], gap[1], gap[2] + 0.05)
    env.scene.step()
    assert not env.check_success()
    move_by(env.hammer, 0.0, 0.0, -0.045)
    assert any(env.scene.step() or env.check_success() for _ in range(100))


def test_the_other_hand_must_hold_the_microphone_alone() -> None:
    env = set_up("handover_mic")
    taker = other_side(env.giver)
    point = np.array([-0.15 if taker == "left" else 0.15, -0.05, 1.04])
    hand = sapien.Pose(hand_at(point, np.pi / 2, 0.0))
    still = sapien.Pose(arm.forward(env.giver, arm.HOME)[0])
    halves = {taker: [*hand.p, *hand.q, 1.0], env.giver: [*still.p, *still.q, 1.0]}
    for _ in range(2):
        env.take_action(np.concatenate([halves["left"], halves["right"]]), "ee")
    upright = transform(rotation("x", np.pi), [0.0, 0.0, 0.0])
    upright[:3, 3] = point - (upright @ matrix(env.microphone.contacts[0]))[:3, 3]
    move(env.microphone, upright)
    assert not env.check_success()
    grip = {taker: 0.0, env.giver: 1.0}
    for _ in range(150):
        set_grippers(env, grip["left"], grip["right"], steps=1)
        move(env.microphone, upright)
    env.scene.step()
    assert env.check_success()
    env.giver = taker
    assert not env.check_success()


@pytest.mark.parametrize(
    ("offset", "held"), [((0.0, 0.0, 0.0), True), ((0.0, 0.03, 0.0), False), ((0.0, 0.0, -0.06), False)]
)
def test_a_mug_hangs_at_the_middle_of_the_peg(offset: tuple[float, float, float], held: bool) -> None:
    env = set_up("hanging_mug")
    middle = (position(env.rack.get_pose()) + position(env.rack.functional_point(0))) / 2
    middle[2] = 0.9
    move_by(env.mug, *(middle - position(env.mug.functional_point(0)) + offset))
    assert env.check_success() is held


@pytest.mark.parametrize(
    ("distance", "aside", "seen"), [(0.05, 0.0, True), (0.05, 0.06, False), (0.08, 0.0, False), (-0.02, 0.0, False)]
)
def test_the_scanner_looks_along_its_line_of_sight(distance: float, aside: float, seen: bool) -> None:
    env = set_up("scan_object")
    assert isinstance(env, ScanObject)
    window = matrix(env.scanner.functional_point(0))
    spot = window[:3, 3] + distance * window[:3, 2] + aside * window[:3, 0]
    move_by(env.object, *(spot - position(env.object.get_pose())))
    env.robot.left_gripper_val = env.robot.right_gripper_val = 0.0
    assert env.check_success() is seen
    env.robot.left_gripper_val = 1.0
    assert not env.check_success()


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n == "beat_block_hammer" else pytest.mark.slow) for n in NAMES]
)
def test_the_experts_actions_solve_the_task(name: str) -> None:
    played(name, "clean", 100001)
