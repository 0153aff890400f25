"""The embedded tasks beside the official code on stand-in assets, in one process; run by test_official_comparison.py.

An episode is set up in both with the same seed. The plan of the embedded expert is played in the embedded scene; again
and again the state is copied to the official scene, contacts included, and both success rules are asked. This compares
the rules alone. The plan is then also played by the official code, whose physics differ: convex meshes, other friction.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import sapien

from wam_eval.benchmarks.robotwin.miniature.source import MiniatureSource
from wam_eval.benchmarks.robotwin.official import OfficialSource

FIRST_SEED, SEEDS = 100000, 12
EVERY = 20
"""Physics steps between two questions to both rules."""

NEAR, WIDTHS = 300, (0.002, 0.01, 0.04)
"""Number of states around the last one, and standard deviations of the displacements (m), which are drawn in turn."""

_SURROUNDINGS = ("ground", "wall", "table")


@dataclass
class Comparison:
    """What was found for a task in a condition.

    Attributes:
        seed: first seed that the embedded expert solves; -1 if it solves none.
        unstable: seeds whose scene comes to rest in one of the two only.
        moved: name, distance (m) and angle (degrees) between both poses of each object after the set-up.
        asked, reached: number of states along the plan, and of those in which the embedded rule says success.
        disagreements: states along the plan in which the rules disagree, in words.
        near_asked, near_reached, near_disagreements: likewise, for random states around the last one.
        ours, theirs: success and number of actions when the plan is played by each.
    """

    seed: int = -1
    unstable: list[int] = field(default_factory=list)
    moved: list[tuple[str, float, float]] = field(default_factory=list)
    asked: int = 0
    reached: int = 0
    disagreements: list[str] = field(default_factory=list)
    near_asked: int = 0
    near_reached: int = 0
    near_disagreements: list[str] = field(default_factory=list)
    ours: tuple[bool, int] = (False, 0)
    theirs: tuple[bool, int] = (False, 0)


class Pair:
    """An embedded and an official environment of the same task, set up with the same seed."""

    def __init__(self, miniature: MiniatureSource, official: OfficialSource, task: str, condition: str) -> None:
        self.ours = miniature.task(task)
        self.theirs = official.task(task)
        self._arguments = (miniature.arguments(task, condition), official.arguments(task, condition))
        self._unstable = (miniature.unstable, official.unstable)
        self._set_expert_attributes: Callable[[], None] = lambda: official.set_expert_attributes(self.theirs, task)

    def set_up(self, seed: int) -> tuple[bool, bool]:
        """Set both up. Returns for each whether its scene comes to rest."""
        stable = []
        for env, arguments, unstable in zip((self.ours, self.theirs), self._arguments, self._unstable, strict=True):
            random.seed(seed)
            np.random.seed(seed)
            try:
                env.setup_demo(now_ep_num=0, seed=seed, is_test=True, **arguments)
                stable.append(True)
            except unstable:
                stable.append(False)
        if all(stable):
            self._set_expert_attributes()
        return stable[0], stable[1]

    def objects(self) -> list[tuple[Any, Any]]:
        """Both entities of each rigid object, matched by their names, in the order of their creation."""
        theirs = [actor for actor in self.theirs.scene.get_all_actors() if actor.name not in _SURROUNDINGS]
        pairs = []
        for actor in self.ours.scene.get_all_actors():
            other = next((other for other in theirs if other.name == actor.name), None)
            if other is not None:
                theirs.remove(other)
                pairs.append((actor, other))
        return pairs

    def articulations(self) -> list[tuple[Any, Any]]:
        """Both articulations of the robot, and then of each jointed object."""
        found = zip(*(env.scene.get_all_articulations() for env in (self.ours, self.theirs)), strict=True)
        return list(found)

    def copy(self) -> None:
        """Copy the state of the embedded scene to the official one; contacts are those of the embedded scene."""
        for ours, theirs in self.objects():
            theirs.set_pose(ours.pose)
        for ours, theirs in self.articulations():
            theirs.set_root_pose(ours.root_pose)
            position = dict(zip((joint.name for joint in ours.active_joints), ours.qpos, strict=True))
            theirs.set_qpos(np.array([position[joint.name] for joint in theirs.active_joints]))
        self.theirs.robot.left_gripper_val = self.ours.robot.left_gripper_val
        self.theirs.robot.right_gripper_val = self.ours.robot.right_gripper_val
        self.theirs.scene.get_contacts = self.ours.scene.get_contacts

    def close(self) -> None:
        self.ours.close_env()
        self.theirs.close_env()


def compare(pair: Pair) -> Comparison:
    """Compare a task with the first seed that the embedded expert solves."""
    found = Comparison()
    plan = _solved(pair, found)
    if plan is None:
        return found
    for first, second in pair.objects():
        found.moved.append((first.name, *_apart(first.pose, second.pose)))
    for first, second in pair.articulations()[1:]:
        found.moved.append((first.name, *_apart(first.root_pose, second.root_pose)))
    _compare_along(pair, plan, found)
    _compare_near(pair, found)
    pair.close()
    pair.set_up(found.seed)
    for action in plan:
        pair.theirs.take_action(action)
    found.theirs = (bool(pair.theirs.eval_success), int(pair.theirs.take_action_cnt))
    pair.close()
    return found


def _solved(pair: Pair, found: Comparison) -> Any:
    """The expert's actions for the first seed that it solves; both are then set up anew with this seed."""
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
        stable = pair.set_up(seed)
        if stable[0] != stable[1]:
            found.unstable.append(seed)
        if all(stable):
            pair.ours.play_once()
            if pair.ours.plan_success and pair.ours.check_success():
                plan = pair.ours.expert_actions
                pair.close()
                pair.set_up(seed)
                found.seed = seed
                return plan
        pair.close()
    return None


def _compare_along(pair: Pair, plan: Any, found: Comparison) -> None:
    """Play the plan in the embedded scene and ask both rules every few physics steps, and when it succeeds."""
    rule, steps = pair.ours.check_success, 0

    def asked_both() -> bool:
        nonlocal steps
        steps += 1
        ours = bool(rule())
        if ours or steps % EVERY == 0:
            pair.copy()
            theirs = bool(pair.theirs.check_success())
            found.asked += 1
            found.reached += ours
            if ours != theirs:
                found.disagreements.append(f"action {pair.ours.take_action_cnt}: embedded {ours}, official {theirs}")
        return ours

    pair.ours.check_success = asked_both
    for action in plan:
        pair.ours.take_action(action)
    del pair.ours.check_success
    found.ours = (bool(pair.ours.eval_success), int(pair.ours.take_action_cnt))


def _compare_near(pair: Pair, found: Comparison) -> None:
    """Ask both rules in random states around the last one, with the contacts of the last one."""
    draws = np.random.default_rng(0)
    bodies = [(ours, ours.pose) for ours, _ in pair.objects()]
    jointed = [(ours, ours.root_pose, ours.qpos, ours.get_qlimits()) for ours, _ in pair.articulations()]
    commands = (pair.ours.robot.left_gripper_val, pair.ours.robot.right_gripper_val)
    for number in range(NEAR):
        width = WIDTHS[number % len(WIDTHS)]
        for body, pose in bodies:
            body.set_pose(_displaced(pose, width, draws))
        for i, (articulation, pose, qpos, limits) in enumerate(jointed):
            if i == 0:  # the robot
                articulation.set_qpos(qpos + draws.normal(0, width / 2, len(qpos)))
                continue
            articulation.set_root_pose(_displaced(pose, width, draws))
            articulation.set_qpos(np.where(draws.random(len(qpos)) < 0.5, qpos, draws.uniform(*limits.T)))
        for side, command in zip(("left", "right"), commands, strict=True):
            value = command if draws.random() < 0.7 else draws.uniform(0, 1)
            setattr(pair.ours.robot, f"{side}_gripper_val", float(value))
        pair.copy()
        pair.ours.stage_success_tag = pair.theirs.stage_success_tag = False
        ours, theirs = bool(pair.ours.check_success()), bool(pair.theirs.check_success())
        found.near_asked += 1
        found.near_reached += ours
        if ours != theirs:
            found.near_disagreements.append(f"state {number}: embedded {ours}, official {theirs}")


def _displaced(pose: sapien.Pose, width: float, draws: np.random.Generator) -> sapien.Pose:
    """A pose nearby, with a rotation in half of the cases."""
    turn = draws.normal(0, 2 * width, 3) * (draws.random() < 0.5)
    angle = float(np.linalg.norm(turn))
    axis = turn / angle if angle else turn
    rotation = sapien.Pose(q=[np.cos(angle / 2), *(np.sin(angle / 2) * axis)])
    return sapien.Pose(pose.p + draws.normal(0, width, 3), (rotation * sapien.Pose(q=pose.q)).q)


def _apart(first: sapien.Pose, second: sapien.Pose) -> tuple[float, float]:
    """Distance (m) and angle (degrees) between two poses."""
    cosine = abs(float(np.dot(first.q, second.q))) / float(np.linalg.norm(first.q) * np.linalg.norm(second.q))
    return float(np.linalg.norm(first.p - second.p)), float(np.degrees(2 * np.arccos(min(1.0, cosine))))


def main(root: str) -> None:
    """Answer requests ``[task, condition]``, one a line, by a line with a :class:`Comparison` each."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    official = OfficialSource({"root": root, "shader": "default", "samples": 1, "denoiser": "none"})
    miniature = MiniatureSource({"cameras": []})
    for line in sys.stdin:
        comparison = compare(Pair(miniature, official, *json.loads(line)))
        print(json.dumps(asdict(comparison)), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
