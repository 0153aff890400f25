"""Tasks with bowls: stack_bowls_*, place_container_plate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import sapien

from wam_eval.benchmarks.robotwin.miniature.arm import Side, Vector
from wam_eval.benchmarks.robotwin.miniature.env import MiniatureTask
from wam_eval.benchmarks.robotwin.miniature.expert import Expert
from wam_eval.benchmarks.robotwin.miniature.objects import model
from wam_eval.benchmarks.robotwin.miniature.poses import (
    ALL_YAWS,
    hand_at,
    matrix,
    position,
    side_of,
    turned_about,
    upright_at,
)
from wam_eval.benchmarks.robotwin.miniature.recipes.dishes import BOWL_FOOT, BOWL_WALL, bowl_rim
from wam_eval.benchmarks.robotwin.miniature.shapes import TableObject
from wam_eval.benchmarks.robotwin.miniature.world import UPRIGHT, Range, apart, draw_pose

HALF_OPEN = 0.6
"""Opening of the gripper around a wall."""

STACK_SPOT = (0.0, -0.1)
"""Place of stacks, m."""

# Depth of the point between the fingertips below a rim; height from which a bowl falls onto the next one, m.
_DEPTH, _FALL = 0.003, 0.028

# Places on a rim, as angles from the direction away from the middle of the table, best first (rad).
_AROUND = tuple(math.radians(a) for a in (0, 25, -25, 50, -50, 75, -75, 100, -100, 180))
_PITCHES = tuple(math.radians(a) for a in (90, 80, 70, 60))


def rim_grasps(side: Side, item: TableObject) -> list[Vector]:
    """Hand poses with one finger inside a round vessel and one outside, along its wall."""
    entry = model(item.name, item.number or 0)
    inside, lean = 0.0, 0.0
    if item.name == "002_bowl":
        rim = bowl_rim(entry)
        lean = math.atan2((1 - BOWL_FOOT) * rim, entry.size[1])
    else:
        inside = entry.points[0][2]
        rim = entry.high[2] - inside
    radius = rim - BOWL_WALL / 2
    pose = matrix(item.get_pose())
    middle = pose[:3, 3] + pose[:3, :3] @ np.array([0.0, entry.high[1] - _DEPTH, inside])
    grasps = []
    for around in _AROUND:
        angle = around if side == "right" else math.pi - around
        out = np.array([math.cos(angle), math.sin(angle), 0.0])
        point, tangent = middle + (radius - _DEPTH * math.tan(lean)) * out, np.array([-out[1], out[0], 0.0])
        for pitch in _PITCHES:
            for quarter in (math.pi / 2, -math.pi / 2):
                grasps.append(turned_about(hand_at(point, angle + quarter, pitch), point, tangent, lean))
    return grasps


class StackBowls(MiniatureTask):
    """Bowls, to be stacked in the middle of the table."""

    count: ClassVar[int]
    heights: ClassVar[tuple[float, ...]]
    bowls: list[TableObject]

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The bowls are at least 13 cm apart and 13 cm from the place of the stack."""
        poses: list[sapien.Pose] = []
        x: Range = (-0.3, 0.3)
        y: Range = (-0.15, 0.15)
        while len(poses) < self.count:
            pose = draw_pose(draws, x, y, near_middle=True, rest=UPRIGHT)
            away = all(apart(pose, other.p[0], other.p[1]) >= 0.13 for other in poses)
            if away and abs(pose.p[0]) >= 0.09 and apart(pose, *STACK_SPOT) >= 0.13:
                poses.append(pose)
        poses.sort(key=lambda pose: float(pose.p[1]))
        self.bowls = [self.add_model("002_bowl", 3, pose, padding=0.07) for pose in poses]
        self.prohibited_area.append((-0.1, -0.15, 0.1, -0.05))

    def stack(self, expert: Expert) -> list[Side]:
        """Bring the bowls to the stack, the nearest one first.

        Returns:
            The arms that moved them.
        """
        sides: list[Side] = []
        spot = np.array([*STACK_SPOT, float(self.bowls[0].get_pose().p[2]) + 0.002])
        for bowl in self.bowls:
            side = side_of(bowl)
            targets = upright_at(spot, ALL_YAWS, matrix(bowl.get_pose())[:3, :3])
            change = bool(sides) and sides[-1] != side
            expert.grip({side: HALF_OPEN})
            expert.pick(side, bowl, rim_grasps(side, bowl), targets, retreat=change)
            expert.place(side, bowl, targets)
            spot = position(bowl.get_pose(), _FALL)
            sides.append(side)
        return sides

    def check_success(self) -> bool:
        """Each bowl is within 4 cm of the one below it in x and y and not higher than in a stack; grippers are open."""
        if not self.grippers_open():
            return False
        points = np.array(sorted((position(bowl.get_pose()) for bowl in self.bowls), key=lambda point: point[2]))
        low = points[:, 2] - np.array(self.heights) - self.table_z_bias < 0.02
        return bool(np.all(np.abs(np.diff(points[:, :2], axis=0)) < 0.04) and np.all(low))


class StackBowlsTwo(StackBowls):
    """Two bowls, to be stacked."""

    name, limit, count, heights = "stack_bowls_two", 900, 2, (0.74, 0.77)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Stack the bowls."""
        first, second = self.stack(expert)
        return {"{A}": self.bowls[0].label, "{B}": self.bowls[1].label, "{a}": first, "{b}": second}


class StackBowlsThree(StackBowls):
    """Three bowls, to be stacked."""

    name, limit, count, heights = "stack_bowls_three", 1200, 3, (0.74, 0.77, 0.81)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Stack the bowls."""
        self.stack(expert)
        return {"{A}": self.bowls[0].label}


class PlaceContainerPlate(MiniatureTask):
    """A bowl or a cup, to be put on a plate."""

    name, limit = "place_container_plate", 400
    CONTAINERS: ClassVar[dict[str, Sequence[int]]] = {"002_bowl": (1, 2, 3, 5), "021_cup": (1, 2, 3, 4, 5, 6, 7)}

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The container is at one side, the plate near the middle."""
        x, y = (-0.28, 0.28), (-0.1, 0.05)
        pose = draw_pose(draws, x, y, rest=UPRIGHT)
        while abs(pose.p[0]) < 0.2:
            pose = draw_pose(draws, x, y, rest=UPRIGHT)
        family = str(draws.choice(list(self.CONTAINERS)))
        self.container = self.add_model(family, draws.choice(self.CONTAINERS[family]), pose, padding=0.1)
        middle = 0.05 if pose.p[0] > 0 else -0.05
        plate = draw_pose(draws, (middle - 0.03, middle + 0.03), (-0.15, -0.1), rest=UPRIGHT)
        self.plate = self.add_model("003_plate", 0, plate, body="static", padding=0.1)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp the container by its rim."""
        side = side_of(self.container)
        spot = position(self.plate.functional_point(0), 0.004)
        targets = upright_at(spot, ALL_YAWS, matrix(self.container.get_pose())[:3, :3])
        expert.grip({side: HALF_OPEN})
        expert.pick(side, self.container, rim_grasps(side, self.container), targets)
        expert.place(side, self.container, targets)
        return {"{A}": self.plate.label, "{B}": self.container.label, "{a}": side}

    def check_success(self) -> bool:
        """The container is within 5, 5 and 3 cm of the plate, and both grippers are open."""
        gap = position(self.container.get_pose()) - position(self.plate.get_pose())
        return self.grippers_open() and bool(np.all(np.abs(gap) < (0.05, 0.05, 0.03)))


TASKS = (PlaceContainerPlate, StackBowlsThree, StackBowlsTwo)
