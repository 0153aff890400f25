"""The embedded tasks beside the official code on stand-in assets, in one process; run by test_official_comparison.py.

An episode is set up in both with the same seed. The plan of the embedded expert is played in the embedded scene; again
and again the state is copied to the official scene, contacts included, and both success rules are asked. This compares
the rules alone. A plan can also be played by the official code, whose physics differ: convex meshes, other friction.
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

from wam_eval.benchmarks.robotwin.miniature.shapes import FRICTION
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
    """Findings about the layout and the rules of a task in a condition.

    Attributes:
        seed: first seed that the embedded expert solves; -1 if it solves none.
        stable: True if the official scene comes to rest with this seed.
        moved: name, distance (m) and angle (degrees) between both poses of each object or link after the set-up.
        success: True if the plan succeeds as actions in the embedded scene.
        asked, reached: number of states along the plan, and of those in which the embedded rule says success.
        disagreements: states along the plan in which the rules disagree, in words.
        near_asked, near_reached, near_disagreements: likewise, for random states around the last one.
    """

    seed: int = -1
    stable: bool = False
    moved: list[tuple[str, float, float]] = field(default_factory=list)
    success: bool = False
    asked: int = 0
    reached: int = 0
    disagreements: list[str] = field(default_factory=list)
    near_asked: int = 0
    near_reached: int = 0
    near_disagreements: list[str] = field(default_factory=list)


class Pair:
    """An embedded and an official environment of the same task, set up with the same seed."""

    def __init__(self, miniature: MiniatureSource, official: OfficialSource, task: str, condition: str) -> None:
        self.ours = miniature.task(task)
        self.theirs = official.task(task)
        self._arguments = (miniature.arguments(task, condition), official.arguments(task, condition))
        self._unstable = (miniature.unstable, official.unstable)
        self._set_expert_attributes: Callable[[], None] = lambda: official.set_expert_attributes(self.theirs, task)

    def set_up_ours(self, seed: int) -> bool:
        """Set the embedded environment up. Returns whether its scene comes to rest."""
        return self._set_up(0, seed)

    def set_up_theirs(self, seed: int) -> bool:
        """Set the official environment up. Returns whether its scene comes to rest."""
        stable = self._set_up(1, seed)
        if stable:
            self._set_expert_attributes()
        return stable

    def _set_up(self, which: int, seed: int) -> bool:
        env = (self.ours, self.theirs)[which]
        random.seed(seed)
        np.random.seed(seed)
        try:
            env.setup_demo(now_ep_num=0, seed=seed, is_test=True, **self._arguments[which])
        except self._unstable[which]:
            return False
        return True

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


def compare(pair: Pair) -> Comparison:
    """Compare layout and rules of a task, with the first seed that the embedded expert solves."""
    found = Comparison()
    solved = _solved(pair)
    if solved is None:
        return found
    found.seed, plan = solved
    pair.set_up_ours(found.seed)
    found.stable = pair.set_up_theirs(found.seed)
    for first, second in pair.objects():
        found.moved.append((first.name, *_apart(first.pose, second.pose)))
    for first, second in pair.articulations()[1:]:
        for link in first.links:
            other = second.find_link_by_name(link.name)
            found.moved.append((f"{first.name}/{link.name}", *_apart(link.entity_pose, other.entity_pose)))
    _compare_along(pair, plan, found)
    _compare_near(pair, found)
    pair.theirs.close_env()
    return found


def replay(pair: Pair, our_friction: bool) -> bool | None:
    """Play the plan of the embedded expert by the official code.

    Args:
        our_friction: True to give models and robot the friction of the embedded scene. The official code leaves them
            SAPIEN's default: 0.3, and a restitution of 0.1.

    Returns:
        Whether it succeeds; ``None`` if there is no plan.
    """
    solved = _solved(pair)
    if solved is None:
        return None
    seed, plan = solved
    default = sapien.physx.get_default_material()
    values = (default.static_friction, default.dynamic_friction, default.restitution)
    if our_friction:
        sapien.physx.set_default_material(FRICTION, FRICTION, 0.0)
    try:
        if not pair.set_up_theirs(seed):
            return False
    finally:
        sapien.physx.set_default_material(*values)
    for action in plan:
        pair.theirs.take_action(action)
    success = bool(pair.theirs.eval_success)
    pair.theirs.close_env()
    return success


def _solved(pair: Pair) -> tuple[int, Any] | None:
    """The first seed that the embedded expert solves, and its actions; ``None`` if it solves none."""
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
        if pair.set_up_ours(seed):
            pair.ours.play_once()
            if pair.ours.plan_success and pair.ours.check_success():
                return seed, pair.ours.expert_actions
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

    vars(pair.ours)["check_success"] = asked_both
    for action in plan:
        pair.ours.take_action(action)
    del vars(pair.ours)["check_success"]
    found.success = bool(pair.ours.eval_success)


def _compare_near(pair: Pair, found: Comparison) -> None:
    """Ask both rules in random states around the last one, with the contacts of the last one."""
    draws = np.random.default_rng(0)
    bodies = [(ours, ours.pose) for ours, _ in pair.objects()]
    jointed = [
        (ours, ours.root_pose, ours.qpos, ours.get_qlimits().clip(-np.pi, np.pi)) for ours, _ in pair.articulations()
    ]
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
    """Answer requests ``[what, task, condition]``, one a line, by a line each; see :func:`compare` and :func:`replay`.

    The first word is ``compare``, ``replay``, or ``replay with our friction``.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    official = OfficialSource({"root": root, "shader": "default", "samples": 1, "denoiser": "none"})
    miniature = MiniatureSource({"cameras": []})
    for line in sys.stdin:
        what, task, condition = json.loads(line)
        pair = Pair(miniature, official, task, condition)
        answer = asdict(compare(pair)) if what == "compare" else replay(pair, our_friction=what != "replay")
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
