"""Tasks with blocks: blocks_ranking_*, stack_blocks_*, handover_block."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import ClassVar

import numpy as np
import sapien

from wam_eval.benchmarks.robotwin.miniature.arm import SIDES, Side, Vector, rotation, transform
from wam_eval.benchmarks.robotwin.miniature.env import MiniatureTask
from wam_eval.benchmarks.robotwin.miniature.expert import Expert, NoPlan
from wam_eval.benchmarks.robotwin.miniature.poses import (
    ALL_YAWS,
    behind,
    hand_at,
    heading,
    matrix,
    position,
    raised,
    side_of,
    symmetric,
    upright_at,
)
from wam_eval.benchmarks.robotwin.miniature.shapes import Color, TableObject
from wam_eval.benchmarks.robotwin.miniature.world import Range, apart, draw_pose

RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)

ROW_STANDING, ROW_TOLERANCE = (0.12, 0.03), np.array([0.13, 0.03])
"""Distances of neighbours in x and y (m) within which blocks form a row: initially, to draw again, and for success."""

# Rotations of the hand away from the direction across the row, best first (rad).
_ROW_ROTATIONS = tuple(math.radians(a) for a in (0, 10, -10, 20, -20, 30, -30, 45, -45, 60, -60, 90))

STACK_HALF = 0.025
STACK_SPOT = (0.0, -0.13)
STACK_OFFSET = np.array([0.0, 0.0, 0.05])
STACK_TOLERANCE = np.array([0.025, 0.025, 0.012])
STACK_COLORS = (("red", RED), ("green", GREEN), ("blue", BLUE))

HANDOVER_SPOT, HANDOVER_HEIGHT = (0.0, 0.0), 1.0
"""Position of the center of the block at the handover, m."""

# Directions in which the giving hand may point at the handover, and pitches of almost level hands, best first (rad).
_GIVING_DIRECTIONS = tuple(math.radians(a) for a in (45, 60, 30, 75, 15, 0))
_LEVEL_PITCHES = tuple(math.radians(a) for a in (15, 5, 30, 0, 45))


def draw_blocks(draws: np.random.RandomState, heights: Sequence[float], keep_off: float) -> list[sapien.Pose]:
    """Draw poses of blocks: beside the middle, at a distance from their goal, and 10 cm apart.

    Args:
        heights: heights of the centers of the blocks, m.
        keep_off: smallest distance from the goal, m.
    """
    found: list[sapien.Pose] = []
    while len(found) < len(heights):
        z = heights[len(found)]
        pose = draw_pose(draws, (-0.28, 0.28), (-0.08, 0.05), (z,), near_middle=True, turn=(0.0, 0.0, 0.75))
        clear = all(apart(pose, float(other.p[0]), float(other.p[1])) >= 0.1 for other in found)
        if abs(pose.p[0]) >= 0.05 and apart(pose, 0.0, -0.1) >= keep_off and clear:
            found.append(pose)
    return found


class RankBlocks(MiniatureTask):
    """Three blocks to be put in a row, from left to right.

    Attributes:
        words: description of each block, in the order of the row.
        order: order in which the expert moves them.
        columns: range of x (m) from which the expert draws the place of each block.
    """

    words: ClassVar[tuple[str, str, str]]
    order: ClassVar[tuple[int, int, int]]
    columns: ClassVar[tuple[Range, Range, Range]]

    def draw_row_apart(self, draws: np.random.RandomState, heights: Sequence[float]) -> list[sapien.Pose]:
        """Draw poses of three blocks that form no row yet."""
        while True:
            poses = draw_blocks(draws, heights, 0.1)
            if not in_row([(float(pose.p[0]), float(pose.p[1])) for pose in poses], ROW_STANDING):
                return poses

    def add_blocks(
        self, poses: Sequence[sapien.Pose], halves: Sequence[float], colors: Sequence[Color], padding: float
    ) -> None:
        """Add the blocks."""
        self.halves = list(halves)
        self.blocks = [
            self.add_box("box", (half, half, half), pose, color, padding=padding)
            for pose, half, color in zip(poses, halves, colors, strict=True)
        ]

    def draw_row(self, draws: np.random.RandomState) -> None:
        """Draw the places to which the expert will move the blocks."""
        y = float(draws.uniform(-0.2, -0.1))
        self.row = [(float(draws.uniform(*column)), y) for column in self.columns]

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Move one block after the other, each with the arm on its side."""
        info: dict[str, str] = {}
        last: Side | None = None
        for i in self.order:
            block, half = self.blocks[i], self.halves[i]
            side = side_of(block)
            x, y = self.row[i]
            spot = np.array([x, y, 0.742 + half + self.table_z_bias])
            yaw = heading(block)
            point = position(block.get_pose())
            spots = upright_at(spot, symmetric(yaw, 4) + [k * math.pi / 12 for k in range(24)])
            retreat = last is not None and last != side
            expert.pick(
                side, block, expert.grasps_at(side, point, symmetric(yaw, 4)), spots, lift=0.09, retreat=retreat
            )
            expert.place(side, block, self._across(expert, side, block, spot))
            info[f"{{{'ABC'[i]}}}"] = f"{self.words[i]} block"
            info[f"{{{'abc'[i]}}}"] = side
            last = side
        return info

    @staticmethod
    def _across(expert: Expert, side: Side, block: TableObject, spot: Vector) -> list[Vector]:
        """Poses of the held block, first those in which the fingers open across the row, where there is space."""
        fingers = expert.hand(side)[:3, 1]
        offset = math.atan2(fingers[1], fingers[0]) - heading(block)
        return upright_at(
            spot, [half - offset + turn for turn in _ROW_ROTATIONS for half in (math.pi / 2, -math.pi / 2)]
        )

    def check_success(self) -> bool:
        """The blocks are in order, neighbours within 13 and 3 cm, and both grippers are open."""
        places = [(float(p[0]), float(p[1])) for p in (block.get_pose().p for block in self.blocks)]
        return self.grippers_open() and in_row(places, ROW_TOLERANCE)


def in_row(places: Sequence[tuple[float, float]], tolerance: Sequence[float] | np.ndarray) -> bool:
    """True if three places (m) ascend in x, and neighbours are no farther apart than ``tolerance`` in x and y."""
    a, b, c = (np.array(place) for place in places)
    near = np.all(np.abs(a - b) < tolerance) and np.all(np.abs(b - c) < tolerance)
    return bool(near and a[0] < b[0] < c[0])


class BlocksRankingRgb(RankBlocks):
    """Red, green and blue blocks of the same size."""

    name, limit = "blocks_ranking_rgb", 1200
    words, order = ("red", "green", "blue"), (0, 1, 2)
    columns = ((-0.09, -0.08), (-0.01, 0.01), (0.08, 0.09))

    def load_actors(self, draws: np.random.RandomState) -> None:
        """Blocks of 3 to 5 cm."""
        poses = self.draw_row_apart(draws, [0.765] * 3)
        half = float(draws.uniform(0.015, 0.025))
        self.add_blocks(poses, [half] * 3, (RED, GREEN, BLUE), 0.05)
        self.prohibited_area.append((-0.17, -0.22, 0.17, -0.12))
        self.draw_row(draws)


class BlocksRankingSize(RankBlocks):
    """Large, medium and small blocks of random colors."""

    name, limit = "blocks_ranking_size", 1200
    words, order = ("large", "medium", "small"), (2, 1, 0)
    columns = ((-0.1, -0.09), (0.01, 0.02), (0.08, 0.09))

    def load_actors(self, draws: np.random.RandomState) -> None:
        """Blocks with half sizes of about 3.2, 2.6 and 2 cm."""
        colors = [(draws.random_sample(), draws.random_sample(), draws.random_sample()) for _ in range(3)]
        halves = [float(draws.uniform(*limits)) for limits in ((0.03, 0.033), (0.024, 0.027), (0.018, 0.021))]
        self.add_blocks(self.draw_row_apart(draws, [0.741 + half for half in halves]), halves, colors, 0.1)
        self.prohibited_area.append((-0.27, -0.22, 0.27, -0.12))
        self.draw_row(draws)


class StackBlocks(MiniatureTask):
    """Blocks to be stacked in the middle of the table: red at the bottom, then green, then blue."""

    count: ClassVar[int]
    padding: ClassVar[float]

    def load_actors(self, draws: np.random.RandomState) -> None:
        """Blocks of 5 cm, rotated by up to 0.75 rad, at least 15 cm from the place of the stack."""
        poses = draw_blocks(draws, [0.741 + STACK_HALF] * self.count, 0.15)
        self.blocks = [
            self.add_box("box", (STACK_HALF, STACK_HALF, STACK_HALF), pose, color, padding=self.padding)
            for pose, (_, color) in zip(poses, STACK_COLORS, strict=False)
        ]
        self.prohibited_area.append((-0.04, -0.13, 0.04, -0.05))

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Move one block after the other, each with the arm on its side."""
        info: dict[str, str] = {}
        last: Side | None = None
        for i, block in enumerate(self.blocks):
            side = side_of(block)
            if i == 0:
                spot = np.array([*STACK_SPOT, 0.742 + STACK_HALF + self.table_z_bias])
            else:
                spot = position(self.blocks[i - 1].get_pose(), 2 * STACK_HALF + 0.002)
            yaw = heading(block)
            targets = upright_at(spot, [yaw + k * math.pi / 8 for k in (0, 1, -1, 2, -2, 3, -3, 4, -4, 6, -6, 8)])
            point = position(block.get_pose())
            expert.pick(
                side,
                block,
                expert.grasps_at(side, point, symmetric(yaw, 4)),
                targets,
                lift=0.07,
                retreat=last is not None and last != side,
            )
            expert.place(side, block, targets)
            info[f"{{{'ABC'[i]}}}"] = f"{STACK_COLORS[i][0]} block"
            info[f"{{{'abc'[i]}}}"] = side
            last = side
        return info

    def check_success(self) -> bool:
        """Each block is 5 cm above the one below, within 2.5, 2.5 and 1.2 cm, and both grippers are open."""
        if not self.grippers_open():
            return False
        places = [position(block.get_pose()) for block in self.blocks]
        return all(
            bool(np.all(np.abs(upper - lower - STACK_OFFSET) < STACK_TOLERANCE)) for lower, upper in pairwise(places)
        )


class StackBlocksTwo(StackBlocks):
    """A stack of two blocks."""

    name, limit = "stack_blocks_two", 800
    count, padding = 2, 0.07


class StackBlocksThree(StackBlocks):
    """A stack of three blocks."""

    name, limit = "stack_blocks_three", 1200
    count, padding = 3, 0.05


class HandoverBlock(MiniatureTask):
    """A tall block, passed from the left hand to the right and put on a blue plate."""

    name, limit = "handover_block", 800
    HALF: ClassVar[tuple[float, float, float]] = (0.03, 0.03, 0.1)
    PLATE: ClassVar[tuple[float, float, float]] = (0.05, 0.05, 0.005)

    GRIP = 0.07
    """Distance of the grasps from the center of the block, m."""

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The block is on the left, the plate on the right at the back."""
        rest = (0.981, 0.0, 0.0, 0.195)
        pose = draw_pose(draws, (-0.25, -0.05), (0.0, 0.25), (0.842,), turn=(0.0, 0.0, 0.2), rest=rest)
        self.block = self.add_box("box", self.HALF, pose, RED, padding=0.1, long=True)
        plate = draw_pose(draws, (0.1, 0.25), (0.15, 0.2))
        self.plate = self.add_box("target_box", self.PLATE, plate, BLUE, body="static", padding=0.1)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """The left hand grasps the block near its upper end, the right hand near its lower end."""
        giver, taker = SIDES
        goal = position(self.plate.functional_point(1), self.HALF[2] + 0.002)
        goals = upright_at(goal, ALL_YAWS)
        grasp, middle, taking = self._plan(expert, goals)
        expert.pick(giver, self.block, [grasp], back=0.07)
        expert.place(giver, self.block, [middle], drop=0.0, release=False)
        moved = matrix(self.block.get_pose()) @ np.linalg.inv(middle)
        expert.pick(taker, self.block, [moved @ taking], goals, back=0.07, lift=0.0, drop=0.05)
        expert.grip({giver: 1.0})
        expert.follow({giver: expert.straight(giver, behind(expert.hand(giver), 0.1))})
        expert.go_home(giver)
        expert.place(taker, self.block, goals, drop=0.05)
        return {"{A}": "red block", "{B}": "blue plate", "{a}": giver, "{b}": taker}

    def _plan(self, expert: Expert, goals: list[Vector]) -> tuple[Vector, Vector, Vector]:
        """The grasp of the giving hand, the pose of the block at the handover, and the grasp of the taking hand there.

        Raises:
            NoPlan: no combination is possible.
        """
        giver, taker = SIDES
        meeting = np.array([*HANDOVER_SPOT, HANDOVER_HEIGHT + self.table_z_bias])
        there = matrix(self.block.get_pose())
        for grasp in self._beside(expert, giver, there, self.GRIP):
            try:
                reached = expert.straight(giver, grasp, expert.solve(giver, behind(grasp, 0.07)))[-1]
                expert.straight(giver, raised(grasp, 0.03), reached)
            except NoPlan:
                continue
            held = np.linalg.inv(there) @ grasp
            turn = _direction(grasp) - _direction(there)
            for giving in _GIVING_DIRECTIONS:
                middle = transform(rotation("z", giving - turn), meeting)
                if not expert.reaches(giver, middle @ held, 0.0):
                    continue
                for taking in self._beside(expert, taker, middle, -self.GRIP):
                    apart = abs(math.remainder(_direction(taking) - giving, 2 * math.pi))
                    if apart < 1.0 or not expert.can_grasp(taker, taking, 0.07):
                        continue
                    passed = np.linalg.inv(middle) @ taking
                    if any(expert.reaches(taker, goal @ passed, 0.05) for goal in goals):
                        return grasp, middle, taking
        raise NoPlan("the block cannot be handed over")

    def _beside(self, expert: Expert, side: Side, pose: Vector, height: float) -> Iterator[Vector]:
        """Almost level grasps at two faces of the block, sorted by pitch, then by direction from the arm's base."""
        point = pose[:3, 3] + [0.0, 0.0, height]
        yaw = math.atan2(pose[1, 0], pose[0, 0])
        direction = expert.direction_to(side, point)
        faces = sorted(symmetric(yaw, 4), key=lambda face: abs(math.remainder(face - direction, 2 * math.pi)))
        for pitch in _LEVEL_PITCHES:
            for face in faces[:2]:
                yield hand_at(point, face, float(pitch))

    def check_success(self) -> bool:
        """The block's foot is within 3 cm of the plate's center and 1 cm of its height; the right gripper is open."""
        if not self.is_right_gripper_open():
            return False
        gap = position(self.block.functional_point(0)) - position(self.plate.functional_point(1))
        return bool(abs(gap[0]) < 0.03 and abs(gap[1]) < 0.03 and abs(gap[2]) < 0.01)


def _direction(pose: Vector) -> float:
    """Direction of a pose's x axis, seen from above, rad."""
    return math.atan2(pose[1, 0], pose[0, 0])


TASKS = (BlocksRankingRgb, BlocksRankingSize, HandoverBlock, StackBlocksThree, StackBlocksTwo)
