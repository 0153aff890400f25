"""The expert: plans motions with inverse kinematics on the CPU, executes them in the scene, and records its commands.

Grasps and other hand poses are homogeneous matrices (4, 4) of the last link in the world frame; see
:mod:`wam_eval.benchmarks.robotwin.miniature.poses`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wam_eval.benchmarks.robotwin.miniature import arm
from wam_eval.benchmarks.robotwin.miniature.arm import BASE, HOME, SIDES, Side, Vector, transform
from wam_eval.benchmarks.robotwin.miniature.motion import EXPERT_LIMITS, timed
from wam_eval.benchmarks.robotwin.miniature.poses import (
    Item,
    behind,
    hand_at,
    matrix,
    rotation_matrix,
    shifted,
)
from wam_eval.benchmarks.robotwin.miniature.robot import Robot

# Physics steps between two recorded actions; duration of a gripper's motion, and of the time it has to arrive.
EVERY, GRIP_STEPS, GRIP_HOLD = 20, 100, 125

STEEP = tuple(math.radians(a) for a in (90, 75, 60, 45))
"""Pitches of grasps, from straight down to flat, rad."""

DOWN = (0.0, 0.0, -1.0)
"""Direction straight down."""

Targets = Sequence[Vector]


class NoPlan(Exception):
    """The expert found no motion."""


class Expert:
    """Moves the arms of a scene. Its methods raise :class:`NoPlan` if they find no motion.

    Args:
        scene: SAPIEN's scene.
        robot: the robot in it.
    """

    def __init__(self, scene: Any, robot: Robot) -> None:
        self._scene, self._robot = scene, robot
        self._recorded: list[NDArray[np.float64]] = []

    def actions(self) -> NDArray[np.float32]:
        """The commands so far as absolute joint targets, float32 (n, 14)."""
        return np.array(self._recorded, np.float32).reshape(-1, 14)

    def joints(self, side: Side) -> Vector:
        """Joint targets of an arm, rad (6,)."""
        return self._robot.arm_targets(side)

    def hand(self, side: Side) -> Vector:
        """Pose of an arm's last link (4, 4) that follows from its joint targets."""
        return arm.forward(side, self.joints(side))[0]

    def direction_to(self, side: Side, point: Sequence[float] | Vector) -> float:
        """Direction from the base of an arm to a point, seen from above, rad."""
        return math.atan2(point[1] - BASE[side][1], point[0] - BASE[side][0])

    # ------------------------------------------------------------------ planning

    def solve(self, side: Side, pose: Vector, start: Vector | None = None) -> Vector:
        """Joint angles for a pose of the last link, preferably near ``start``."""
        q = arm.inverse(side, pose, self.joints(side) if start is None else start)
        if q is None:
            raise NoPlan(f"{side} arm does not reach {np.round(pose[:3, 3], 3).tolist()}")
        return q

    def straight(self, side: Side, pose: Vector, start: Vector | None = None) -> list[Vector]:
        """Joint path along which the hand moves straight to a pose, including the start."""
        path = [self.joints(side) if start is None else start]
        begin = arm.forward(side, path[0])[0]
        way = pose[:3, 3] - begin[:3, 3]
        turn = arm.rotation_vector(pose[:3, :3] @ begin[:3, :3].T)
        count = max(2, math.ceil(float(np.linalg.norm(way)) / 0.025), math.ceil(float(np.linalg.norm(turn)) / 0.2))
        for part in np.linspace(0, 1, count + 1)[1:]:
            between = transform(rotation_matrix(turn * part) @ begin[:3, :3], begin[:3, 3] + part * way)
            q = self.solve(side, between, path[-1])
            if float(np.abs(q - path[-1]).max()) > 0.9:
                raise NoPlan(f"{side} arm would have to jump to another configuration")
            path.append(q)
        return path

    def travel(self, side: Side, pose: Vector) -> list[Vector]:
        """The straight path of the hand if there is one, else the straight path in joint space."""
        try:
            return self.straight(side, pose)
        except NoPlan:
            return [self.joints(side), self.solve(side, pose)]

    def grasps_at(self, side: Side, point: Vector, azimuths: Sequence[float]) -> Iterator[Vector]:
        """Grasps around a point: steepest first, then nearest to the direction from the arm's base."""
        direction = self.direction_to(side, point)
        ordered = sorted(azimuths, key=lambda azimuth: abs(math.remainder(azimuth - direction, 2 * math.pi)))
        for pitch in STEEP:
            for azimuth in ordered:
                yield hand_at(point, azimuth, pitch)

    def choose(self, side: Side, grasps: Iterable[Vector], back: float, after: Callable[[Vector], bool]) -> Vector:
        """The first grasp that can be approached and from which the task can be continued.

        Args:
            back: distance at which the straight approach begins, m.
            after: True for a grasp from which the task can be continued.
        """
        for grasp in grasps:
            if self.can_grasp(side, grasp, back) and after(grasp):
                return grasp
        raise NoPlan(f"{side} arm finds no grasp")

    def can_grasp(self, side: Side, grasp: Vector, back: float) -> bool:
        """True if a hand can approach a grasp from ``back`` m before it."""
        try:
            self.straight(side, grasp, self.solve(side, behind(grasp, back)))
        except NoPlan:
            return False
        return True

    # ------------------------------------------------------------------ execution

    def follow(self, paths: Mapping[Side, Sequence[Vector]]) -> None:
        """Move arms along joint paths at the same time."""
        motions = {}
        for side, path in paths.items():
            motion = timed(np.array(path), EXPERT_LIMITS)
            if motion is not None:
                motions[side] = motion
        length = max((len(motion[0]) for motion in motions.values()), default=0)
        for step in range(length):
            for side, (position, velocity) in motions.items():
                if step < len(position):
                    self._robot.set_arm_joints(position[step], velocity[step], side)
                elif step == len(position):
                    self._robot.set_arm_joints(position[-1], np.zeros(6), side)
            self._step(step, length)

    def grip(self, values: Mapping[Side, float]) -> None:
        """Move grippers to values from 0 (closed) to 1 (open), and wait until they have arrived."""
        starts = {side: self._robot.gripper_value(side) for side in values}
        length = GRIP_STEPS + GRIP_HOLD
        for step in range(length):
            part = min(1.0, (step + 1) / GRIP_STEPS)
            for side, value in values.items():
                self._robot.set_gripper(starts[side] + part * (value - starts[side]), side)
            self._step(step, length)

    def _step(self, step: int, length: int) -> None:
        self._scene.step()
        if (step + 1) % EVERY == 0 or step + 1 == length:
            self._recorded.append(self._robot.joint_vector())

    def lift(self, height: float, *sides: Side) -> None:
        """Raise hands straight up by ``height`` m, or by the largest part of it that they can reach."""
        self.shift(dict.fromkeys(sides, np.array([0.0, 0.0, height])), least=0.25)

    def shift(self, offsets: Mapping[Side, Sequence[float] | Vector], least: float = 1.0) -> None:
        """Move hands straight by offsets in the world (m), at the same time.

        Args:
            least: smallest part of the offsets that is enough, if the hands cannot reach more.
        """
        for part in (1.0, 0.75, 0.5, 0.25):
            if part < least:
                break
            try:
                paths = {
                    side: self.straight(side, shifted(self.hand(side), part * np.asarray(offset)))
                    for side, offset in offsets.items()
                }
            except NoPlan:
                continue
            self.follow(paths)
            return
        ways = " and ".join(f"{side} arm by {np.round(offset, 3).tolist()} m" for side, offset in offsets.items())
        raise NoPlan(f"no straight motion of {ways}")

    def withdraw(self, distance: float, *sides: Side) -> None:
        """Move hands straight back, against the directions in which they point, by ``distance`` m or a part of it."""
        self.shift({side: -distance * self.hand(side)[:3, 0] for side in sides}, least=0.25)

    def go(self, goals: Mapping[Side, Vector]) -> None:
        """Move hands to poses at the same time, straight if possible."""
        self.follow({side: self.travel(side, goal) for side, goal in goals.items()})

    def trace(self, goals: Mapping[Side, Sequence[Vector]]) -> None:
        """Move hands through poses without stopping, straight from each one to the next, at the same time."""
        paths: dict[Side, list[Vector]] = {}
        for side, poses in goals.items():
            path = [self.joints(side)]
            for pose in poses:
                path += self.straight(side, pose, path[-1])[1:]
            paths[side] = path
        self.follow(paths)

    def go_home(self, *sides: Side) -> None:
        """Move arms to their home pose at the same time."""
        self.follow({side: [self.joints(side), HOME] for side in sides})

    def take(self, grasps: Mapping[Side, Vector], back: float = 0.09, close: float = 0.0, home: bool = False) -> None:
        """Approach grasps straight, and close the grippers, with one or both arms at the same time.

        Args:
            grasps: hand poses.
            back: distance at which the straight approach begins, m.
            close: value to which the grippers are closed.
            home: True if an arm without a grasp moves to its home pose meanwhile.
        """
        paths: dict[Side, Sequence[Vector]] = {
            side: [self.joints(side), self.solve(side, behind(grasp, back))] for side, grasp in grasps.items()
        }
        if home:
            paths |= {side: [self.joints(side), HOME] for side in SIDES if side not in grasps}
        self.follow(paths)
        self.follow({side: self.straight(side, grasp) for side, grasp in grasps.items()})
        self.grip(dict.fromkeys(grasps, close))

    def pick(
        self,
        side: Side,
        item: Item,
        grasps: Iterable[Vector],
        targets: Targets = (),
        back: float = 0.09,
        lift: float = 0.1,
        drop: float = 0.08,
        retreat: bool = False,
        close: float = 0.0,
        along: Sequence[float] = DOWN,
    ) -> None:
        """Grasp an object and raise it.

        Args:
            grasps: hand poses, best first.
            targets: poses of the object (4, 4), of which at least one must be reachable with the grasp, from ``drop`` m
                before it.
            back: distance at which the straight approach begins, m.
            lift: height by which it is raised, m.
            drop, along: see :meth:`place`.
            retreat: True if the other arm moves to its home pose at the same time.
            close: value to which the gripper is closed.
        """
        pose = matrix(item.get_pose())

        def reaches_target(grasp: Vector) -> bool:
            if not targets:
                return True
            held = np.linalg.inv(pose) @ grasp
            return any(self.reaches(side, target @ held, drop, along) for target in targets)

        grasp = self.choose(side, grasps, back, reaches_target)
        self.take({side: grasp}, back, close, retreat)
        if lift:
            self.lift(lift, side)

    def place(
        self,
        side: Side,
        item: Item,
        targets: Targets,
        drop: float = 0.08,
        release: bool = True,
        along: Sequence[float] = DOWN,
    ) -> None:
        """Put the object in a hand down at the first reachable target, straight; then raise the hand.

        Args:
            targets: poses of the object (4, 4), best first.
            drop: distance from which it approaches the target, m.
            release: False to keep the object in the hand.
            along: direction of the approach, a unit vector in the world.
        """
        held = np.linalg.inv(matrix(item.get_pose())) @ matrix(self._robot.hand_pose(side))
        for target in targets:
            goal = target @ held
            if self.reaches(side, goal, drop, along):
                break
        else:
            raise NoPlan(f"{side} arm cannot put {item.name} down")
        back = -np.asarray(along, float)
        high = max(drop, self.hand(side)[2, 3] - goal[2, 3]) if tuple(along) == DOWN else drop
        try:
            self.follow({side: self.travel(side, shifted(goal, high * back))})
        except NoPlan:
            self.follow({side: self.travel(side, shifted(goal, drop * back))})
        self.follow({side: self.straight(side, goal)})
        if release:
            self.grip({side: 1.0})
            self.lift(0.08, side)

    def reaches(self, side: Side, goal: Vector, drop: float, along: Sequence[float] = DOWN) -> bool:
        """True if a hand can move straight along a direction to a pose from ``drop`` m before it."""
        try:
            self.straight(side, goal, self.solve(side, shifted(goal, -drop * np.asarray(along, float))))
        except NoPlan:
            return False
        return True
