"""The miniature: kinematics, actions, success conditions, determinism, and the expert's plan executed as actions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sapien

from tests.builders.miniature import SOURCE, played, set_up
from wam_eval.benchmarks.robotwin.miniature import TASK_NAMES, arm
from wam_eval.benchmarks.robotwin.miniature.arm import SIDES
from wam_eval.benchmarks.robotwin.miniature.env import UnStableError
from wam_eval.benchmarks.robotwin.miniature.expert import hand_at
from wam_eval.benchmarks.robotwin.miniature.motion import timed
from wam_eval.benchmarks.robotwin.miniature.shapes import Part, TableObject, add_body
from wam_eval.benchmarks.robotwin.miniature.source import TASKS, MiniatureSource
from wam_eval.benchmarks.robotwin.miniature.world import UPRIGHT
from wam_eval.benchmarks.robotwin.state import state_digest


@pytest.mark.parametrize("side", SIDES)
def test_inverse_kinematics_invert_forward_kinematics(side: arm.Side) -> None:
    draws = np.random.default_rng(0)
    for _ in range(40):
        q = draws.uniform([-1, 1.0, 1.0, -1.2, -0.5, -1.5], [1, 2.4, 2.0, 0.5, 0.5, 1.5])
        pose = arm.forward(side, q)[0]
        found = arm.inverse(side, pose, np.zeros(6))
        assert found is not None
        assert np.allclose(arm.forward(side, found)[0], pose, atol=1.1e-3)
        assert np.all(found >= arm.PLANNED[:, 0]) and np.all(found <= arm.PLANNED[:, 1])


def test_out_of_reach() -> None:
    assert arm.inverse("left", hand_at([0.5, 0.4, 0.8], 0.0, 1.0), np.zeros(6)) is None
    assert arm.inverse("left", hand_at([0.3, 0.1, 0.76], 0.0, np.pi / 2), np.zeros(6)) is None


@pytest.mark.parametrize("distance", [0.001, 0.02, 0.5, 2.0])
def test_motions_are_as_fast_as_the_limits_allow(distance: float) -> None:
    motion = timed(np.array([np.zeros(6), [0, distance, -distance / 2, 0, 0.1 * distance, 0]]))
    assert motion is not None
    position, velocity = motion
    ideal = 250 * (2 * distance**0.5 if distance < 1 else distance + 1)
    assert abs(len(position) - ideal) <= 2
    assert np.abs(velocity).max() <= 1 + 1e-6 and np.abs(np.diff(velocity, axis=0)).max() * 250 <= 1.2
    assert np.allclose(position[0], 0) and position[-1, 1] == pytest.approx(distance)


def test_a_path_without_length_is_no_motion() -> None:
    assert timed(np.zeros((2, 6))) is None
    assert timed(np.array([np.zeros(6), np.full(6, np.nan)])) is None


def test_the_robot_has_the_joints_and_poses_of_aloha_agilex() -> None:
    env = set_up("click_bell")
    names = {joint.name for joint in env.robot.left_entity.active_joints}
    assert names == {f"f{side}_joint{i}" for side in "lr" for i in range(1, 9)}
    assert env.robot.left_entity is env.robot.right_entity
    for side in SIDES:
        assert np.allclose(
            env.robot.hand_pose(side).to_transformation_matrix(), arm.forward(side, arm.HOME)[0], atol=2e-3
        )
    observed = env.get_obs()
    assert np.array_equal(observed["joint_action"]["vector"], [0, 0, 0, 0, 0, 0, 1] * 2)
    assert observed["observation"] == {} and len(observed["endpose"]["left_endpose"]) == 7


def test_an_action_moves_arms_and_grippers() -> None:
    env = set_up("stack_blocks_two")
    target = np.array([0.2, 0.5, 0.4, -0.2, 0.1, 0.3, 0.5, *[0.0] * 6, 1.0])
    env.take_action(target)
    assert np.allclose(env.robot.joint_vector(), target, atol=1e-6) and env.take_action_cnt == 1
    assert np.allclose(env.robot.hand_pose("left").p, arm.forward("left", target[:6])[0][:3, 3], atol=5e-3)
    before = state_digest(env)
    env.take_action_cnt = env.step_lim
    env.take_action(np.zeros(14))
    assert env.take_action_cnt == env.step_lim and np.allclose(env.robot.joint_vector(), target, atol=1e-6)
    assert state_digest(env) == before


def test_an_arm_that_does_not_move_waits_for_50_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    env = set_up("stack_blocks_two")
    checks: list[bool] = []
    monkeypatch.setattr(type(env), "check_success", lambda self: checks.append(False))
    still = env.robot.joint_vector()
    env.take_action(still)
    assert len(checks) == 50
    env.take_action(np.full(14, np.nan))
    assert len(checks) == 100 and np.allclose(env.robot.arm_targets("left"), 0)


def test_ee_actions_reach_their_poses() -> None:
    env = set_up("stack_blocks_two")
    halves = []
    for x in (-0.2, 0.2):
        pose = sapien.Pose(hand_at([x, -0.1, 0.85], np.pi / 2, np.pi / 2))
        halves.append([*pose.p, *pose.q, 1.0])
    env.take_action(np.concatenate(halves), "ee")
    env.take_action(env.robot.joint_vector())
    for side, half in zip(SIDES, halves, strict=True):
        assert np.allclose(env.robot.hand_pose(side).p, half[:3], atol=5e-3)
    halves[0][0], before = 2.0, env.robot.arm_targets("left")
    env.take_action(np.concatenate(halves), "ee")
    assert np.array_equal(env.robot.arm_targets("left"), before)


def test_a_scene_that_keeps_rotating_is_unstable(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = TASKS["click_bell"]
    load = kind.load_actors

    def with_a_rolling_ball(self: Any, draws: np.random.RandomState) -> None:
        load(self, draws)
        ball = add_body(self.scene, "ball", [Part("sphere", (0.02,))], sapien.Pose([-0.4, 0.25, 0.76]), False)
        body = ball.find_component_by_type(sapien.physx.PhysxRigidDynamicComponent)
        body.set_linear_velocity([0.03, 0.0, 0.0])
        body.set_angular_velocity([0.0, 1.5, 0.0])
        body.set_angular_damping(0.0)

    monkeypatch.setattr(kind, "load_actors", with_a_rolling_ball)
    with pytest.raises(UnStableError, match="seed 100000: ball"):
        set_up("click_bell")


def move(item: TableObject, p: Any, q: Any = None) -> None:
    """Move an object to a pose without physics."""
    item.entity.set_pose(sapien.Pose(p, item.get_pose().q if q is None else q))


def beside(item: TableObject, *offset: float) -> np.ndarray:
    """A position relative to an object, m."""
    return np.asarray(item.get_pose().p) + offset


def stacked(env: Any, *offset: float) -> None:
    for lower, upper in zip(env.blocks, env.blocks[1:], strict=False):
        move(upper, beside(lower, *offset))


def in_row(env: Any, gap: float, aside: float) -> None:
    for i, block in enumerate(env.blocks):
        move(block, [gap * (i - 1), -0.15 + aside * i, 0.77])


# Task -> functions that move its objects so that it is a success, and so that it is just no success.
RULES: dict[str, tuple[Callable[[Any], None], Callable[[Any], None]]] = {
    "stack_blocks_two": (lambda e: stacked(e, 0.02, -0.02, 0.055), lambda e: stacked(e, 0.02, -0.03, 0.05)),
    "stack_blocks_three": (lambda e: stacked(e, 0.02, 0.0, 0.045), lambda e: stacked(e, 0.0, 0.0, 0.065)),
    "blocks_ranking_rgb": (lambda e: in_row(e, 0.12, 0.02), lambda e: in_row(e, 0.14, 0.0)),
    "blocks_ranking_size": (lambda e: in_row(e, 0.09, -0.02), lambda e: in_row(e, -0.09, 0.0)),
    "handover_block": (
        lambda e: move(e.block, beside(e.plate, 0.02, 0.02, 0.109), [1, 0, 0, 0]),
        lambda e: move(e.block, beside(e.plate, 0.04, 0.0, 0.105), [1, 0, 0, 0]),
    ),
    "move_playingcard_away": (
        lambda e: move(e.cards, [-0.24, 0.0, 0.74]),
        lambda e: move(e.cards, [0.22, 0.0, 0.74]),
    ),
    "place_empty_cup": (
        lambda e: move(e.cup, beside(e.coaster, 0.02, 0.02, 0.01), UPRIGHT),
        lambda e: move(e.cup, beside(e.coaster, 0.02, 0.02, 0.02), UPRIGHT),
    ),
    "place_mouse_pad": (
        lambda e: move(e.object, beside(e.pad, 0.014, -0.011, 0.0), [0.7071, 0.7071, 0, 0]),
        lambda e: move(e.object, beside(e.pad, 0.0, 0.0, 0.0), UPRIGHT),
    ),
    "stamp_seal": (
        lambda e: move(e.object, beside(e.pad, 0.009, -0.009, 0)),
        lambda e: move(e.object, beside(e.pad, 0.011, 0, 0)),
    ),
    "grab_roller": (lambda e: move(e.roller, [0, 0, 0.81]), lambda e: move(e.roller, [0, 0, 0.79])),
}


@pytest.mark.parametrize("name", sorted(RULES))
def test_success_rules(name: str) -> None:
    env = set_up(name)
    done, missed = RULES[name]
    closed_wanted = name == "grab_roller"
    assert not env.check_success()
    for side in SIDES:
        env.robot.set_gripper(0.1 if closed_wanted else 0.9, side)
    missed(env)
    assert not env.check_success()
    done(env)
    assert env.check_success()
    for side in SIDES:
        env.robot.set_gripper(0.5, side)
    assert not env.check_success()


@pytest.mark.parametrize("name", ["click_bell", "click_alarmclock"])
def test_a_click_needs_closed_fingers_at_the_button(name: str) -> None:
    env = set_up(name)
    assert not env.check_success() and env.finger_contacts(env.object.name) == []
    env.play_once()
    assert env.check_success() and env.stage_success_tag
    opened = set_up(name)
    plan = env.expert_actions.copy()
    plan[:, [6, 13]] = 1.0
    for action in plan:
        opened.take_action(action)
    assert not opened.eval_success


QUICK = ("click_bell", "grab_roller", "place_empty_cup", "stack_blocks_two")
"""Tasks whose plans are always replayed in the tests; those of others only in slow tests."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in sorted(TASKS)]
)
def test_the_experts_actions_solve_the_task(name: str) -> None:
    condition = "randomized" if len(name) % 2 else "clean"
    seeds = iter(range(100001, 100005))
    while not accepted(name, condition, seed := next(seeds)):
        pass
    played(name, condition, seed)


def accepted(name: str, condition: str, seed: int) -> bool:
    """True if the expert solves a seed."""
    try:
        env = set_up(name, seed, condition)
    except UnStableError:
        return False
    env.play_once()
    return bool(env.plan_success and env.check_success())


@pytest.mark.slow
@pytest.mark.parametrize("condition", ["clean", "randomized"])
@pytest.mark.parametrize("name", sorted(TASKS))
def test_the_expert_solves_at_least_half_of_the_seeds(name: str, condition: str) -> None:
    assert sum(accepted(name, condition, seed) for seed in range(4300000, 4300010)) >= 5


def test_a_tall_block_is_grasped_so_that_it_can_be_raised() -> None:
    assert accepted("handover_block", "clean", 100001)


STATES = """
import numpy as np
from wam_eval.benchmarks.robotwin.miniature.source import MiniatureSource
from wam_eval.benchmarks.robotwin.state import state_digest
source = MiniatureSource({{"cameras": []}})
env = source.task("{name}")
env.setup_demo(seed={seed}, **source.arguments("{name}", "{condition}"))
print(state_digest(env))
env.play_once()
print(state_digest(env))
"""


@pytest.mark.parametrize(("name", "condition"), [("stack_blocks_two", "randomized"), ("place_empty_cup", "clean")])
def test_states_do_not_depend_on_the_process(name: str, condition: str) -> None:
    set_up("click_bell", 3, "randomized").play_once()
    env = set_up(name, 7, condition)
    here = [state_digest(env)]
    env.play_once()
    here += [state_digest(env)]
    code = STATES.format(name=name, seed=7, condition=condition)
    there = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.split() == here
    env.setup_demo(seed=7, **SOURCE.arguments(name, condition))
    assert state_digest(env) == here[0]
    env.setup_demo(seed=8, **SOURCE.arguments(name, condition))
    assert state_digest(env) != here[0]


def test_wrist_cameras_are_mounted_like_aloha_agilexs() -> None:
    env = set_up("stack_blocks_two")
    for side in SIDES:
        mount = env.robot.hand_pose(side).inv() * env.cameras.pose(f"{side}_camera")
        np.testing.assert_allclose(mount.p, [0.07, 0.032, 0.065], atol=1e-5)
        ahead = mount.to_transformation_matrix()[:3, 0]
        np.testing.assert_allclose(ahead, [np.cos(0.4), 0.0, -np.sin(0.4)], atol=1e-5)
        geometry = env.cameras.geometry(f"{side}_camera")
        tip = np.append((env.robot.hand_pose(side) * sapien.Pose([0.1556, 0.0, 0.0])).p, 1.0)
        u, v, depth = geometry["intrinsic_cv"] @ geometry["extrinsic_cv"] @ tip
        assert 160 < u / depth < 320 and 180 < v / depth < 240, "a fingertip of the official robot is seen at the edge"


@pytest.mark.slow
def test_rendering_does_not_change_the_state() -> None:
    try:
        sapien.render.RenderSystem()
    except RuntimeError as error:
        pytest.skip(f"nothing renders here: {error}")
    source = MiniatureSource({"cameras": ["head_camera", "left_camera"]})
    arguments = source.arguments("stack_blocks_two", "randomized")
    seen, unseen = source.task("stack_blocks_two"), set_up("stack_blocks_two", 5, "randomized")
    seen.setup_demo(seed=5, **arguments)
    target = np.array([0.2, 0.5, 0.4, -0.2, 0.1, 0.3, 0.5, *[0.0] * 6, 1.0])
    for env in (seen, unseen):
        if env is seen:
            images = source.observe(env, ["head_camera"])["observation"]
            assert list(images) == ["head_camera"]
            assert images["head_camera"]["rgb"].shape == (240, 320, 3) and images["head_camera"]["rgb"].std() > 5
            assert images["head_camera"]["cam2world_gl"].shape == (4, 4)
        env.take_action(target)
    assert state_digest(seen) == state_digest(unseen)


def test_the_tasks_are_listed() -> None:
    assert tuple(sorted(TASKS)) == TASK_NAMES == MiniatureSource.tasks
