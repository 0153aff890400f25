"""Plays the official code of a checkout with our simulator and prints the results as JSON; run by test_official.py."""

from __future__ import annotations

import json
import os
import pickle
import random
import sys
from typing import Any

import numpy as np

from tests.builders.robotwin import random_walk, robotwin_episode
from wam_eval.benchmarks.robotwin.benchmark import HandPoses
from wam_eval.benchmarks.robotwin.simulator import RoboTwinSimulator
from wam_eval.benchmarks.robotwin.source import EXPERT_ATTRIBUTES
from wam_eval.observation import Request

NOTHING = Request()


def trace(simulator: RoboTwinSimulator, task: str, condition: str, request: Request = NOTHING) -> list[str]:
    """States after the set-up and after five actions, for the first seed whose scene comes to rest."""
    for seed in range(100000, 100010):
        try:
            observation = simulator.load(robotwin_episode(task, seed, condition), request)
        except ValueError:
            continue
        states = [simulator.fingerprint()["state"]]
        simulator.step(random_walk(observation.state, 5), request)
        return [*states, simulator.fingerprint()["state"]]
    raise AssertionError(f"{task}: ten seeds are unstable")


def success_latch(simulator: RoboTwinSimulator) -> dict[str, Any]:
    """The official success condition, reached by moving the second block onto the first one."""
    observation = simulator.load(robotwin_episode("stack_blocks_two"), NOTHING)
    env = simulator._env
    before = bool(env.check_success())
    import sapien

    pose = env.block1.get_pose()
    env.block2.actor.set_pose(sapien.Pose(np.add(pose.p, [0, 0, 0.05]), pose.q))
    progress, _ = simulator.step(random_walk(observation.state, 5), NOTHING)
    return {"before": before, "success": progress.success, "steps": progress.steps}


def _official(env: Any) -> Any:
    """The official class of a task."""
    return type(env).__mro__[1]


def images(simulator: RoboTwinSimulator) -> dict[str, Any]:
    """Comparison of our images and state with those of the official ``get_obs``."""
    simulator.load(robotwin_episode("stack_blocks_two"), Request(("head_camera",)))
    env = simulator._env
    ours = simulator.render(("head_camera", "left_camera"))
    official = _official(env).get_obs(env)
    rendered = official["observation"]
    same = all(np.abs(ours[name].astype(int) - rendered[name]["rgb"].astype(int)).max() <= 1 for name in ours)
    vector = bool(np.array_equal(official["joint_action"]["vector"], env.observe_cameras(())["joint_action"]["vector"]))
    return {
        "same": same,
        "shape": ours["head_camera"].shape,
        "vector": vector,
        "none": env.observe_cameras(())["observation"] == {},
    }


def expert_attributes(simulator: RoboTwinSimulator) -> dict[str, Any]:
    """Attributes that ``play_once`` sets before its first motion: set without a motion and without random draws."""
    simulator.load(robotwin_episode("stack_blocks_two"), NOTHING)
    env = simulator._env
    state, draws = simulator.fingerprint(), pickle.dumps(np.random.get_state())
    EXPERT_ATTRIBUTES["stack_blocks_two"] = ("last_gripper",)
    simulator._source.set_expert_attributes(env, "stack_blocks_two")
    del EXPERT_ATTRIBUTES["stack_blocks_two"]
    same = simulator.fingerprint() == state and pickle.dumps(np.random.get_state()) == draws
    return {"set": env.last_gripper is None, "same": same}


def defaults(simulator: RoboTwinSimulator) -> bool:
    """True if the clutter's area is unchanged after a task whose table is elsewhere."""
    simulator.load(robotwin_episode("stack_blocks_two"), NOTHING)
    env = simulator._env
    function = _official(env).get_cluttered_table
    before = str(function.__defaults__)
    env.table_xy_bias = [0.3, 0.0]
    env.get_cluttered_table()
    return str(function.__defaults__) == before


def wording(simulator: RoboTwinSimulator) -> list[str]:
    """Instructions of a seed."""
    info = {"{A}": "red block", "{B}": "green block", "{a}": "left", "{b}": "right"}
    random.seed(100000)
    lists = simulator._source.descriptions("stack_blocks_two", info, 100)
    return [lists["seen"][0], lists["unseen"][0]]


def restored(simulator: RoboTwinSimulator) -> bool:
    """True if the episode continues from a snapshot as it did before."""
    observation = simulator.load(robotwin_episode("stack_blocks_two"), NOTHING)
    blob = simulator.snapshot()
    simulator.step(random_walk(observation.state, 5), NOTHING)
    state = simulator.fingerprint()
    simulator.restore(blob)
    simulator.step(random_walk(observation.state, 5), NOTHING)
    return simulator.fingerprint() == state


def solved(simulator: RoboTwinSimulator) -> dict[str, Any]:
    """The official ``play_once`` with the CPU planner, and its plan executed as actions of a policy."""
    observation = simulator.load(robotwin_episode("stack_blocks_two", step_limit=800), Request(privileged=True))
    assert observation.privileged is not None and observation.privileged.plan is not None
    progress, _ = simulator.step(observation.privileged.plan, None)
    return {"success": progress.success, "steps": progress.steps, "state": simulator.fingerprint()["state"]}


def hand_poses(simulator: RoboTwinSimulator) -> dict[str, Any]:
    """Actions of the type ``ee``: the measured pose, a pose out of reach, holding still, and the expert's plan."""
    simulator._action_type, simulator.action_dim = "ee", 16
    episode = robotwin_episode("stack_blocks_two", step_limit=800)
    observation = simulator.load(episode, Request(privileged=True))
    env, still = simulator._env, HandPoses().hold(observation.state, 1)
    far = still.copy()
    far[0, 0], far[0, 7] = 2.0, 0.5
    found: dict[str, Any] = {"measured": float(np.abs(np.subtract(env.get_arm_pose("left")[:3], still[0, :3])).max())}
    found["turned"] = float(abs(np.dot(env.get_arm_pose("left")[3:], still[0, 3:7])))
    progress, after = simulator.step(far, NOTHING)
    assert after is not None and observation.privileged is not None and observation.privileged.plan is not None
    found["far"] = [progress.steps, env.take_action_cnt, *np.abs(after.state - observation.state)[[0, 6]].tolist()]
    _, after = simulator.step(still, NOTHING)
    assert after is not None
    found["held"] = float(np.abs(after.state - observation.state).max())
    simulator.load(episode, NOTHING)
    progress, _ = simulator.step(observation.privileged.plan, None)
    simulator._action_type, simulator.action_dim = "qpos", 14
    return {**found, "success": progress.success, "steps": progress.steps}


def main(root: str) -> None:
    """All checks in one process, so that earlier episodes could influence later ones."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    shading = {"shader": "default", "samples": 1, "denoiser": "none"}
    simulator = RoboTwinSimulator({"root": root, "cameras": ["head_camera"], "action_type": "qpos", **shading})
    first = trace(simulator, "stack_blocks_two", "clean")
    found = {
        "version": simulator._source.version,
        "tasks": len(simulator._source.tasks),
        "traces": {c: trace(simulator, "handover_block", c) for c in ("clean", "randomized")},
        "ranking": trace(simulator, "blocks_ranking_size", "clean"),
        "again": trace(simulator, "stack_blocks_two", "clean") == first,
        "rendered": trace(simulator, "stack_blocks_two", "clean", Request(("head_camera",))) == first,
        "latch": success_latch(simulator),
        "images": images(simulator),
        "expert_attributes": expert_attributes(simulator),
        "defaults": defaults(simulator),
        "wording": wording(simulator),
        "restored": restored(simulator),
        "solved": solved(simulator),
        "hand_poses": hand_poses(simulator),
        "verdict": simulator.try_seed("stack_blocks_two", "clean", 100000),
    }
    print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
