"""Actions of the type ``ee``: poses of both hands, which inverse kinematics turn into motions of the arms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.builders.miniature import set_up
from tests.builders.robotwin import random_walk, robotwin_episode
from tests.policies.openpi_server import Server, array, reply
from wam_eval.benchmarks.robotwin.benchmark import HandPoses
from wam_eval.benchmarks.robotwin.miniature.arm import SIDES
from wam_eval.benchmarks.robotwin.miniature.motion import EXPERT_LIMITS, RATE, SHORTEST, planned
from wam_eval.benchmarks.robotwin.miniature.poses import matrix
from wam_eval.benchmarks.robotwin.simulator import RoboTwinSimulator, hand_poses
from wam_eval.episode import Episode
from wam_eval.observation import ActionChunk, Observation, Request
from wam_eval.policies.expert import Expert
from wam_eval.policies.remote import Remote
from wam_eval.policies.simple import Hold
from wam_eval.policy import Policy

OUT_OF_REACH = np.array([2.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0], np.float32)


@pytest.fixture
def simulator() -> Iterator[RoboTwinSimulator]:
    """The miniature without images, with hand poses as actions."""
    simulator = RoboTwinSimulator({"cameras": [], "action_type": "ee"})
    yield simulator
    simulator.close()


def play(policy: Policy, simulator: RoboTwinSimulator, episode: Episode) -> tuple[bool, Observation]:
    """Play an episode. Returns whether it succeeded, and its last observation."""
    policy.action_spaces = {episode.suite: HandPoses()}
    policy.begin(episode)
    observation = simulator.load(episode, policy.spec.request)
    while True:
        (answer,) = policy.act([observation])
        assert isinstance(answer, ActionChunk)
        progress, following = simulator.step(answer.actions, policy.spec.request)
        assert following is not None
        observation = following
        if progress.done:
            return progress.success, observation


@pytest.mark.parametrize(("task", "condition"), [("press_stapler", "randomized"), ("place_shoe", "clean")])
def test_the_experts_plan_solves_the_episode_as_hand_poses(
    simulator: RoboTwinSimulator, task: str, condition: str
) -> None:
    episode = robotwin_episode(task, condition=condition)
    success, last = play(Expert.create(), simulator, episode)
    assert success and 10 < last.step < episode.step_limit


def test_a_policy_that_holds_still_holds_its_hands(simulator: RoboTwinSimulator) -> None:
    episode = robotwin_episode("stack_blocks_two", step_limit=12)
    first = simulator.load(episode, Request())
    success, last = play(Hold.create(execute=4), simulator, episode)
    assert not success and last.step == 12
    np.testing.assert_allclose(last.state, first.state, atol=2e-3)


def test_a_policy_server_moves_the_hands(simulator: RoboTwinSimulator) -> None:
    """It gets the present poses, with two columns of a matrix for a rotation, and raises the left hand by 4 cm."""

    def raised(request: dict[Any, Any]) -> bytes:
        poses = np.frombuffer(request["observation/state"][b"data"], "<f4").copy()
        poses[2] += 0.04
        return reply(array([poses]))

    server = Server([raised])
    settings = {"cameras": {}, "action_dim": 16, "state_pose": True, "rotations": "columns"}
    keys = {"state_key": "observation/state", "prompt_key": "prompt"}
    policy = Remote.create(checkpoint=server.address, execute=1, timeout=5.0, **settings, **keys)
    episode = robotwin_episode("stack_blocks_two", step_limit=2)
    before = HandPoses().hold(simulator.load(episode, Request()).state, 1)[0]
    _, last = play(policy, simulator, episode)
    policy.close()
    server.close()
    after = HandPoses().hold(last.state, 1)[0]
    before[2] += 0.08
    np.testing.assert_allclose(after, before, atol=4e-3)


def test_plans_are_converted_with_the_kinematics_of_the_robot() -> None:
    env = set_up("stack_blocks_two")
    actions = random_walk(np.tile(np.array([0.1, 0.9, 0.8, -0.3, 0.2, 0.4, 1.0], np.float32), 2), 5)
    np.testing.assert_allclose(
        hand_poses(env.robot.left_entity, actions), [HandPoses().hold(action, 1)[0] for action in actions], atol=1e-5
    )


@pytest.mark.parametrize("pose", [OUT_OF_REACH, np.full(7, np.nan, np.float32)])
def test_a_pose_that_cannot_be_reached_is_a_step_in_which_only_the_gripper_moves(pose: NDArray[np.float32]) -> None:
    env = set_up("stack_blocks_two")
    steps: list[bool] = []
    env.check_success = lambda: steps.append(False)
    before = env.robot.joint_vector()
    still = HandPoses().hold(before, 1)[0]
    env.take_action(np.concatenate([pose, [0.3], still[8:]]), "ee")
    assert env.take_action_cnt == 1 and len(steps) == 50 and not env.eval_success
    expected = before.copy()
    expected[6] = 0.3
    np.testing.assert_allclose(env.robot.joint_vector(), expected, atol=2e-3)
    np.testing.assert_array_equal(env.robot.arm_targets("left"), before[:6])


def test_a_quaternion_of_zeros_is_no_rotation() -> None:
    env = set_up("stack_blocks_two")
    still = HandPoses().hold(env.robot.joint_vector(), 1)[0]
    still[:3], still[3:7] = [-0.15, -0.25, 0.95], [0.0, 0.0, 0.0, 0.0]
    for _ in range(2):
        env.take_action(still, "ee")
    hand = env.robot.hand_pose("left")
    np.testing.assert_allclose(hand.p, still[:3], atol=5e-3)
    assert abs(hand.q[0]) > 0.9999


def test_a_pose_that_is_already_reached_takes_the_shortest_motion() -> None:
    env = set_up("stack_blocks_two")
    steps: list[bool] = []
    env.check_success = lambda: steps.append(False)
    still = HandPoses().hold(env.robot.joint_vector(), 1)[0]
    still[[7, 15]] = 0.0
    env.take_action(still, "ee")
    assert len(steps) == SHORTEST and env.robot.gripper_value("left") == 0.0


def test_the_motion_begins_at_the_measured_angles() -> None:
    env = set_up("stack_blocks_two")
    measured = np.array([0.02, 0.3, 0.4, 0.1, 0.0, 0.1])
    position = env.robot.left_entity.qpos
    for side in SIDES:
        joints = env.robot.left_entity.active_joints
        position[[joints.index(joint) for joint in env.robot.arm_joints[side]]] = measured
    env.robot.left_entity.qpos = position
    for side in SIDES:
        np.testing.assert_allclose(env.robot.arm_positions(side), measured, atol=1e-6)
    targets = np.tile([*measured, 1.0], 2)
    env.take_action(HandPoses().hold(targets.astype(np.float32), 1)[0], "ee")
    np.testing.assert_allclose(env.robot.arm_targets("left"), measured, atol=5e-3)


@pytest.mark.parametrize("way", [0.0, 0.005, 0.0116, 0.3, 2.0])
def test_motions_to_poses_end_there_at_rest_within_the_limits(way: float) -> None:
    start, goal = np.zeros(6), np.array([way, -0.5 * way, 0.0, 0.0, 0.0, 0.0])
    motion = planned(start, goal)
    assert motion is not None
    position, velocity = motion
    np.testing.assert_allclose(position[[0, -1]], [start, goal], atol=1e-4)
    np.testing.assert_allclose(velocity[[0, -1]], 0, atol=1e-3)
    assert len(position) >= SHORTEST and np.abs(velocity).max() <= EXPERT_LIMITS[0] + 1e-6
    np.testing.assert_allclose(np.diff(position, axis=0) * RATE, velocity[1:], atol=0.1)


def test_a_size_of_another_type_is_named(simulator: RoboTwinSimulator) -> None:
    env = set_up("stack_blocks_two")
    for action_type, size, wanted in (("ee", 14, 16), ("qpos", 16, 14)):
        with pytest.raises(ValueError, match=rf"of type {action_type} has {wanted} numbers; .* shape \({size},\)"):
            env.take_action(np.zeros(size), action_type)
    assert env.take_action_cnt == 0
    simulator.load(robotwin_episode("stack_blocks_two"), Request())
    with pytest.raises(ValueError, match=r"takes \(n, 16\)"):
        simulator.step(np.zeros((1, 14), np.float32), None)


def test_measured_poses_are_those_of_actions() -> None:
    env = set_up("stack_blocks_two")
    held = HandPoses().hold(env.robot.joint_vector(), 1)[0]
    for side, half in zip(SIDES, np.split(held, 2), strict=True):
        seen = env.get_obs(())["endpose"][f"{side}_endpose"]
        np.testing.assert_allclose(seen[:3], half[:3], atol=3e-3)
        assert abs(np.dot(seen[3:], half[3:7])) > 0.9999
        np.testing.assert_allclose(matrix(env.robot.hand_pose(side))[:3, 3], seen[:3], atol=1e-6)
