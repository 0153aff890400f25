"""Tasks with bottles: adjust_bottle, pick_*_bottles, shake_bottle*, put_bottles_dustbin, move_pillbottle_pad."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import ClassVar

import numpy as np
import sapien

from wam_eval.benchmarks.robotwin.miniature.arm import SIDES, Side, Vector
from wam_eval.benchmarks.robotwin.miniature.env import MiniatureTask
from wam_eval.benchmarks.robotwin.miniature.expert import Expert, NoPlan, Targets
from wam_eval.benchmarks.robotwin.miniature.poses import (
    ALL_YAWS,
    Item,
    hand_at,
    matrix,
    position,
    raised,
    side_of,
    turned_about,
    upright_at,
)
from wam_eval.benchmarks.robotwin.miniature.shapes import TableObject
from wam_eval.benchmarks.robotwin.miniature.world import UPRIGHT, UPRIGHT_Y, apart, draw_pose

STANDING = matrix(sapien.Pose([0.0, 0.0, 0.0], UPRIGHT_Y))[:3, :3]
"""Rotation (3, 3) of a vessel that stands."""

FLAT = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Pitches of grasps from the side, flat ones first, rad."""

TURNS = (0.0, 0.35, -0.35, 0.7, -0.7, 1.1, -1.1, 1.5, -1.5)
"""Directions of grasps from the side, relative to the one that points away from the arm's base, rad."""


def side_grasps(expert: Expert, side: Side, point: Vector, pitches: Iterable[float] = FLAT) -> list[Vector]:
    """Grasps of a round object that stands, from all sides that the arm may reach."""
    ahead = expert.direction_to(side, point)
    return [hand_at(point, ahead + turn, pitch) for pitch in pitches for turn in TURNS]


def lying_grasps(expert: Expert, side: Side, bottle: Item) -> list[Vector]:
    """Grasps of a bottle that lies, from above and across it."""
    axis = matrix(bottle.get_pose())[:3, 1]
    along = math.atan2(axis[1], axis[0])
    return list(expert.grasps_at(side, position(bottle.contact_point(0)), (along, along + math.pi)))


def standing(bottle: TableObject, point: Iterable[float]) -> list[Vector]:
    """Poses of a bottle that stands, with its functional point 0 at a point (m)."""
    foot = np.asarray(list(point), float) - [0.0, 0.0, float(bottle.functional[0].p[1])]
    return upright_at(foot, ALL_YAWS, STANDING)


def leads_to(expert: Expert, side: Side, item: Item, targets: Targets, drop: float) -> Callable[[Vector], bool]:
    """A test of grasps of an object: True if one of its target poses is reachable, from ``drop`` m above it."""
    pose = np.linalg.inv(matrix(item.get_pose()))
    return lambda grasp: any(expert.reaches(side, target @ pose @ grasp, drop) for target in targets)


class AdjustBottle(MiniatureTask):
    """A bottle that lies with its head to the middle, to be held upright at the side."""

    name, limit = "adjust_bottle", 400
    edge, height = 0.15, 0.9

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The head of a bottle at the left points right, and the other way around."""
        tag = draws.randint(0, 2)
        number = draws.choice([13, 16])
        self.side: Side = ("left", "right")[tag]
        x = ((-0.12, -0.08), (0.08, 0.12))[tag]
        rest = ((0.707, 0.0, 0.0, -0.707), (0.707, 0.0, 0.0, 0.707))[tag]
        pose = draw_pose(draws, x, (-0.13, -0.08), (0.752,), turn=(0.0, 0.0, 0.4), rest=rest)
        self.bottle = self.add_model("001_bottle", number, pose)
        self.wait(1200)
        self.keep_clear(self.bottle, 0.15)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp the bottle across it, and hold it upright."""
        targets = standing(self.bottle, (-0.25 if self.side == "left" else 0.25, -0.12, 0.95))
        grasps = lying_grasps(expert, self.side, self.bottle)
        expert.pick(self.side, self.bottle, grasps, targets, back=0.1, drop=0.0)
        expert.place(self.side, self.bottle, targets, drop=0.0, release=False)
        return {"{A}": self.bottle.label, "{a}": self.side}

    def check_success(self) -> bool:
        """The middle of the bottle is more than 15 cm to the side and above 90 cm."""
        x, _, z = self.bottle.functional_point(0).p
        return bool((x < -self.edge if self.side == "left" else x > self.edge) and z > self.height)


class PickBottles(MiniatureTask):
    """Two bottles that stand behind, to be held side by side in front of the robot."""

    left, right = (-0.06, -0.105), (0.06, -0.105)
    tolerance, height = 0.1, 0.89
    aside = 0.035

    bottles: list[TableObject]

    def add_bottles(self, draws: np.random.RandomState, numbers: tuple[int, int]) -> None:
        """Draw the poses of the bottles, one on each side."""
        self.bottles = []
        spots = ((-0.25, -0.05), (0.66, 0.66, -0.25, -0.25)), ((0.05, 0.25), (0.65, 0.65, 0.27, 0.27))
        for number, (x, rest) in zip(numbers, spots, strict=True):
            pose = draw_pose(draws, x, (0.03, 0.23), turn=(0.0, 1.0, 0.0), rest=rest)
            self.bottles.append(self.add_model("001_bottle", number, pose))
        self.wait(1200)
        for bottle in self.bottles:
            self.keep_clear(bottle, 0.1)
        self.prohibited_area.append((-0.2, -0.2, 0.2, -0.02))

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp both bottles at the same time, lift them, and bring them to the front."""
        grasps, targets = {}, {}
        for side, bottle, (x, y) in zip(SIDES, self.bottles, (self.left, self.right), strict=True):
            targets[side] = standing(bottle, (x + math.copysign(self.aside, x), y, 0.97))
            options = side_grasps(expert, side, position(bottle.contact_point(0)))
            grasps[side] = expert.choose(side, options, 0.08, leads_to(expert, side, bottle, targets[side], 0.0))
        expert.take(grasps, back=0.08)
        expert.lift(0.1, *SIDES)
        goals = {}
        for side, bottle in zip(SIDES, self.bottles, strict=True):
            held = np.linalg.inv(matrix(bottle.get_pose())) @ matrix(self.robot.hand_pose(side))
            goal = next((t @ held for t in targets[side] if expert.reaches(side, t @ held, 0.0)), None)
            if goal is None:
                raise NoPlan(f"{side} arm cannot bring its bottle to the front")
            goals[side] = goal
        expert.go(goals)
        return {"{A}": self.bottles[0].label, "{B}": self.bottles[1].label}

    def check_success(self) -> bool:
        """The middle of each bottle is within 10 cm of its target, seen from above, and above 89 cm."""
        for bottle, target in zip(self.bottles, (self.left, self.right), strict=True):
            point = bottle.functional_point(0).p
            if point[2] <= self.height or np.abs(point[:2] - target).max() >= self.tolerance:
                return False
        return True


class PickDiverseBottles(PickBottles):
    """Two bottles of any kind."""

    name, limit = "pick_diverse_bottles", 400

    def load_actors(self, draws: np.random.RandomState) -> None:
        """Draw the models of the bottles, and then their poses."""
        kinds = list(range(20))
        first = draws.choice(kinds)
        self.add_bottles(draws, (first, draws.choice(kinds)))


class PickDualBottles(PickBottles):
    """Two bottles that are always the same."""

    name, limit = "pick_dual_bottles", 400

    def load_actors(self, draws: np.random.RandomState) -> None:
        """Draw the poses of the bottles."""
        self.add_bottles(draws, (13, 16))


class ShakeBottle(MiniatureTask):
    """A bottle that lies in front of the robot, to be lifted and shaken."""

    name, limit = "shake_bottle", 700
    height = 0.8
    SWING, STROKE = math.pi / 8, 0.05

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The head of the bottle points away from the robot."""
        x, y, turn = (-0.15, 0.15), (-0.15, -0.05), (0.0, 0.0, math.pi / 4)
        pose = draw_pose(draws, x, y, (0.785,), turn=turn, rest=(0.0, 0.0, 1.0, 0.0))
        while abs(pose.p[0]) < 0.1:
            pose = draw_pose(draws, x, y, (0.785,), turn=turn, rest=(0.0, 0.0, 1.0, 0.0))
        self.bottle = self.add_model("001_bottle", draws.choice(list(range(20))), pose, padding=0.05)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp the bottle across it, hold it upright, and shake it three times."""
        side = side_of(self.bottle)
        self.hold(expert, side)
        self.shake(expert, side, 3)
        return {"{A}": self.bottle.label, "{a}": side}

    def hold(self, expert: Expert, side: Side) -> None:
        """Grasp the bottle and hold it upright."""
        point = position(self.bottle.contact_point(0))
        targets = standing(self.bottle, (point[0], min(point[1], 0.0), 0.98))
        expert.pick(side, self.bottle, lying_grasps(expert, side, self.bottle), targets, back=0.1, drop=0.0)
        expert.place(side, self.bottle, targets, drop=0.0, release=False)

    def shake(self, expert: Expert, side: Side, times: int) -> None:
        """Swing the bottle about the direction of the hand, up to one side and down to the other one."""
        middle = expert.hand(side)

        def swung(height: float, angle: float) -> Vector:
            return turned_about(raised(middle, height), middle[:3, 3], middle[:3, 0], angle)

        for _ in range(times):
            expert.go({side: swung(self.STROKE, self.SWING)})
            expert.go({side: swung(0.0, -self.SWING)})
        expert.go({side: middle})

    def check_success(self) -> bool:
        """The foot of the bottle is more than 6 cm above the table."""
        return bool(self.bottle.get_pose().p[2] > self.height + self.table_z_bias)


class ShakeBottleHorizontally(ShakeBottle):
    """A bottle that lies in front of the robot, to be lifted, and shaken while it is level."""

    name, limit = "shake_bottle_horizontally", 700

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Hold the bottle upright, turn it by a right angle, and shake it three times."""
        side = side_of(self.bottle)
        self.hold(expert, side)
        upright = expert.hand(side)
        for angle in (math.pi / 2, -math.pi / 2):
            level = turned_about(upright, upright[:3, 3], upright[:3, 0], angle)
            try:
                path = expert.straight(side, level)
                for swing in (self.SWING, -self.SWING):
                    expert.straight(side, turned_about(level, level[:3, 3], level[:3, 0], swing), path[-1])
            except NoPlan:
                continue
            expert.follow({side: path})
            self.shake(expert, side, 3)
            return {"{A}": self.bottle.label, "{a}": side}
        raise NoPlan(f"{side} arm cannot turn the bottle")


class PutBottlesDustbin(MiniatureTask):
    """Three bottles, to be thrown into a dustbin beside the table. Only the left arm reaches the dustbin."""

    name, limit = "put_bottles_dustbin", 1700
    table_xy = (0.3, 0.0)
    numbers, bin_xy, reach = (1, 2, 3), (-0.45, 0.0), (0.221, 0.325)
    DROP: ClassVar[Vector] = np.array([-0.42, 0.0, 0.93])
    MEET: ClassVar[Vector] = np.array([0.0, -0.02, 0.88])
    APART = 0.06

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The bottles stand 13 cm apart, and not in the middle."""
        self.bottles: list[TableObject] = []
        spots: list[sapien.Pose] = []
        for number in self.numbers:
            pose = draw_pose(draws, (-0.25, 0.3), (0.03, 0.23), rest=(0.707, 0.707, 0.0, 0.0))
            for _ in range(99):
                close = any(apart(spot, float(pose.p[0]), float(pose.p[1])) ** 2 < 0.0169 for spot in spots)
                if abs(pose.p[0]) >= 0.05 and not close:
                    break
                pose = draw_pose(draws, (-0.25, 0.3), (0.03, 0.23), rest=(0.707, 0.707, 0.0, 0.0))
            spots.append(pose)
            self.bottles.append(self.add_model("114_bottle", number, pose, padding=0.1))
        on_floor = sapien.Pose([*self.bin_xy, -self.table_z_bias], UPRIGHT)
        self.dustbin = self.add_model("011_dustbin", 0, on_floor, body="static")
        self.wait(600)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Throw the bottles at the left into the dustbin; then hand the others from the right to the left arm."""
        for bottle in sorted(self.bottles, key=lambda b: (b.get_pose().p[0] > 0, b.get_pose().p[1])):
            if side_of(bottle) == "left":
                grasps = side_grasps(expert, "left", position(bottle.contact_point(0)))
                expert.pick("left", bottle, grasps, back=0.1, lift=0.12)
            else:
                self.hand_over(expert, bottle)
            self.throw(expert)
        names = {f"{{{key}}}": bottle.label for key, bottle in zip("ABC", self.bottles, strict=True)}
        return {**names, "{D}": self.dustbin.label}

    def hand_over(self, expert: Expert, bottle: TableObject) -> None:
        """Bring a bottle to the middle with the right arm, and take it with the left one."""
        grasps = side_grasps(expert, "right", position(bottle.contact_point(0), self.APART), FLAT[:3])
        targets = upright_at(self.MEET, ALL_YAWS, STANDING)
        expert.pick("right", bottle, grasps, targets, back=0.1, retreat=True, drop=0.0)
        expert.place("right", bottle, targets, drop=0.0, release=False)
        options = side_grasps(expert, "left", position(bottle.contact_point(0)), FLAT[:3])
        expert.take({"left": expert.choose("left", options, 0.1, lambda grasp: True)}, back=0.1)
        expert.grip({"right": 1.0})
        expert.withdraw(0.1, "right")
        expert.go_home("right")

    def throw(self, expert: Expert) -> None:
        """Release what the left arm holds over the dustbin."""
        high = max(self.DROP[2], float((expert.hand("left") @ [0.12, 0.0, 0.0, 1.0])[2]))
        spots = [np.array([self.DROP[0], y, high]) for y in (self.DROP[1], self.DROP[1] - 0.08)]
        goals = [goal for spot in spots for goal in side_grasps(expert, "left", spot)]
        goal = next((goal for goal in goals if expert.reaches("left", goal, 0.0)), None)
        if goal is None:
            raise NoPlan("left arm does not reach the dustbin")
        expert.go({"left": goal})
        expert.grip({"left": 1.0})

    def check_success(self) -> bool:
        """All three bottles are within the dustbin."""
        for bottle in self.bottles:
            x, y, z = bottle.get_pose().p
            inside = abs(x - self.bin_xy[0]) < self.reach[0] and abs(y - self.bin_xy[1]) < self.reach[1]
            if not (inside and 0.2 < z < 0.7):
                return False
        return True


class MovePillbottlePad(MiniatureTask):
    """A pill bottle, to be put on a pad on the same side of the table."""

    name, limit = "move_pillbottle_pad", 400
    tolerance = 0.03
    PAD: ClassVar[tuple[float, float, float]] = (0.04, 0.04, 0.0005)

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The bottle stands beside the middle, the pad 10 cm away from it."""
        pose = draw_pose(draws, (-0.25, 0.25), (-0.1, 0.1), rest=UPRIGHT)
        while abs(pose.p[0]) < 0.05:
            pose = draw_pose(draws, (-0.25, 0.25), (-0.1, 0.1), rest=UPRIGHT)
        number = draws.choice([1, 2, 3, 4, 5], 1)[0]
        self.bottle = self.add_model("080_pillbottle", number, pose, mass=0.05, padding=0.05)
        x = (0.05, 0.25) if pose.p[0] > 0 else (-0.25, -0.05)
        pad = draw_pose(draws, x, (-0.2, 0.1))
        while apart(pad, float(pose.p[0]), float(pose.p[1])) < 0.1:
            pad = draw_pose(draws, x, (-0.2, 0.1))
        self.pad = self.add_box("box", self.PAD, pad, (0, 0, 1), body="static", padding=0.1)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp the bottle from the side, and put it on the pad."""
        side = side_of(self.bottle)
        targets = upright_at(position(self.pad.get_pose(), 0.002), ALL_YAWS, STANDING)
        grasps = side_grasps(expert, side, position(self.bottle.contact_point(0)))
        expert.pick(side, self.bottle, grasps, targets, back=0.08, lift=0.06, drop=0.06)
        expert.place(side, self.bottle, targets, drop=0.06)
        return {"{A}": self.bottle.label, "{a}": side}

    def check_success(self) -> bool:
        """The bottle is within 3 cm of the pad's center, on it, and both grippers are open."""
        gap = np.abs(self.bottle.get_pose().p - self.pad.get_pose().p)
        level = abs(self.bottle.get_pose().p[2] - (0.741 + self.table_z_bias)) < 0.005
        return self.grippers_open() and bool(gap[:2].max() < self.tolerance and level)


TASKS = (
    AdjustBottle,
    MovePillbottlePad,
    PickDiverseBottles,
    PickDualBottles,
    PutBottlesDustbin,
    ShakeBottle,
    ShakeBottleHorizontally,
)
