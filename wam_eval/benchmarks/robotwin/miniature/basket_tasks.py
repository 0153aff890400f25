"""Tasks with baskets, boxes, pots and bins: place_*_basket, place_cans_plasticbox, move_can_pot, dump_bin_bigbin."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import sapien

from wam_eval.benchmarks.robotwin.miniature.arm import SIDES, Side, Vector
from wam_eval.benchmarks.robotwin.miniature.bottle_tasks import STANDING, leads_to, side_grasps
from wam_eval.benchmarks.robotwin.miniature.env import MiniatureTask
from wam_eval.benchmarks.robotwin.miniature.expert import Expert, NoPlan
from wam_eval.benchmarks.robotwin.miniature.jointed import JointedObject
from wam_eval.benchmarks.robotwin.miniature.poses import (
    ALL_YAWS,
    contact_grasps,
    hand_at,
    matrix,
    other_side,
    position,
    raised,
    side_of,
    turned_about,
    upright_at,
)
from wam_eval.benchmarks.robotwin.miniature.shapes import TableObject
from wam_eval.benchmarks.robotwin.miniature.world import UPRIGHT, apart, draw_pose

ALMOST_UPRIGHT = (0.707225, 0.706849, -0.0100455, -0.00982061)
"""Orientation of objects beside a basket, quaternion w, x, y, z: their y axis points up, their x axis right."""

FROM_ABOVE = tuple(math.radians(angle) for angle in (90, 80, 70))
"""Pitches of grasps from above, rad."""


def grasps_across(point: Vector) -> list[Vector]:
    """Grasps from above whose fingers open to the left and right."""
    return [hand_at(point, turn, pitch) for pitch in FROM_ABOVE for turn in (math.pi / 2, -math.pi / 2)]


class PlaceInBasket(MiniatureTask):
    """An object, to be put into a basket with one arm; then the other arm lifts the basket by its handle.

    Attributes:
        side: the arm on whose side the object is.
        object: the object.
        basket: the basket.
        object_z, basket_z: heights at which they were placed, m.
    """

    LIFTED, NEAR = 0.02, 0.15
    side: Side
    object: TableObject
    basket: TableObject

    def add_basket(self, draws: np.random.RandomState, number: int) -> None:
        """Draw the pose of the basket, near the middle."""
        x = 0.02 if self.side == "left" else -0.02
        pose = draw_pose(draws, (x, x), (-0.08, -0.05), rest=UPRIGHT)
        self.basket = self.add_model("110_basket", number, pose, mass=0.5)

    def keep_both_clear(self) -> None:
        """Keep object and basket clear of clutter, and remember their heights."""
        self.object_z, self.basket_z = float(self.object.get_pose().p[2]), float(self.basket.get_pose().p[2])
        self.keep_clear(self.object, 0.1)
        self.keep_clear(self.basket, 0.05)

    def spots(self, height: float) -> list[Vector]:
        """Points in the middles of both halves of the basket, the near one first, ``height`` m above its foot."""
        aside = 0.275 * self.basket.extents[0]
        frame = matrix(self.basket.get_pose())
        points = [(frame @ [x, height, 0.0, 1.0])[:3] for x in (aside, -aside)]
        return sorted(points, key=lambda point: float(point[1]))

    def lift_basket(self, expert: Expert) -> None:
        """Grasp the handle with the other arm while the first one goes home, and lift it."""
        other = other_side(self.side)
        bar = matrix(self.basket.get_pose())[:3, 2]
        along = math.atan2(bar[1], bar[0])
        grasps = expert.grasps_at(other, position(self.basket.contact_point(0)), (along, along + math.pi))
        expert.pick(other, self.basket, grasps, back=0.08, lift=0.0, retreat=True)
        expert.shift({other: (0.02 if other == "right" else -0.02, 0.0, 0.06)}, least=0.75)

    def check_success(self) -> bool:
        """Both are more than 2 cm higher and close together, the basket is upright, the object touches it only."""
        object_p, basket = self.object.get_pose().p, self.basket.get_pose()
        return (
            bool(basket.p[2] - self.basket_z > self.LIFTED and object_p[2] - self.object_z > self.LIFTED)
            and matrix(basket)[2, 1] > 0.5
            and float(np.abs(object_p - basket.p).sum()) < self.NEAR
            and not self.touch(self.object.name, "table")
            and self.touch(self.object.name, self.basket.name)
        )

    def touch(self, first: str, second: str) -> bool:
        """True if two bodies touch, or almost touch."""
        names = {first, second}
        return any({body.entity.name for body in contact.bodies} == names for contact in self.scene.get_contacts())


class PlaceCanBasket(PlaceInBasket):
    """A can, to be put into a basket."""

    name, limit = "place_can_basket", 700

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The can stands at one side, the basket in the middle."""
        self.side = SIDES[draws.randint(0, 2)]
        basket = draws.randint(0, 2)
        number = (0, 1, 2, 3, 5, 6)[draws.randint(0, 6)]
        self.add_basket(draws, basket)
        x = (-0.25, -0.2) if self.side == "left" else (0.2, 0.25)
        pose = draw_pose(draws, x, (0.0, 0.1), rest=ALMOST_UPRIGHT)
        self.object = self.add_model("071_can", number, pose)
        self.keep_both_clear()

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp the can from above, and lower it into the near half of the basket."""
        rest = matrix(self.object.get_pose())[:3, :3]
        targets = [pose for spot in self.spots(0.012) for pose in upright_at(spot, (0.0, 0.3, -0.3), rest)]
        grasps = grasps_across(position(self.object.contact_point(8)))
        expert.pick(self.side, self.object, grasps, targets, back=0.08, lift=0.2, drop=0.19)
        expert.place(self.side, self.object, targets, drop=0.19)
        expert.lift(0.06, self.side)
        self.lift_basket(expert)
        return {"{A}": self.object.label, "{B}": self.basket.label, "{a}": self.side}


class PlaceObjectBasket(PlaceInBasket):
    """A toy car or a pack of cards, to be put into a basket."""

    name, limit = "place_object_basket", 700
    MODELS: ClassVar[dict[str, tuple[int, ...]]] = {"081_playingcards": (0, 1, 2), "057_toycar": (0, 1, 2, 3, 4, 5)}

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The object lies at one side, the basket in the middle."""
        self.side = SIDES[draws.randint(0, 2)]
        basket = draws.randint(0, 2)
        family = list(self.MODELS)[draws.randint(0, 2)]
        number = self.MODELS[family][draws.randint(0, len(self.MODELS[family]))]
        self.add_basket(draws, basket)
        x = (-0.25, -0.2) if self.side == "left" else (0.2, 0.25)
        pose = draw_pose(draws, x, (-0.1, 0.1), turn=(0.0, math.pi / 6, 0.0), rest=ALMOST_UPRIGHT)
        self.object = self.add_model(family, number, pose)
        self.keep_both_clear()

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp the object from above, and drop it into the near half of the basket."""
        # Its longer side lies along the shorter side of the basket.
        long = 0.0 if self.object.extents[0] > self.object.extents[2] else math.pi / 2
        yaws = [long + turn + small for small in (0.0, 0.2, -0.2) for turn in (0.0, math.pi)]
        targets = [pose for spot in self.spots(0.1) for pose in upright_at(spot, yaws, STANDING)]
        grasps = contact_grasps(self.side, self.object)
        expert.pick(self.side, self.object, grasps, targets, back=0.08, lift=0.2, drop=0.1)
        expert.place(self.side, self.object, targets, drop=0.1)
        self.lift_basket(expert)
        arms = {"{a}": self.side, "{b}": other_side(self.side)}
        return {"{A}": self.object.label, "{B}": self.basket.label, **arms}


class PlaceCansPlasticbox(MiniatureTask):
    """Two cans, to be put into a box, each with its own arm."""

    name, limit = "place_cans_plasticbox", 800
    tolerance = 0.04
    MODELS = (0, 1, 2, 3, 5, 6)

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The box is in the middle, and a can stands on each side."""
        level = (0.0, 0.0, 0.0)
        pose = draw_pose(draws, (0.0, 0.0), (-0.15, -0.1), turn=level, rest=UPRIGHT)
        self.box = self.add_model("062_plasticbox", draws.choice([3, 5], 1)[0], pose, mass=0.05)
        self.cans: list[TableObject] = []
        for x in ((-0.25, -0.15), (0.15, 0.25)):
            pose = draw_pose(draws, x, (-0.15, -0.07), turn=level, rest=UPRIGHT)
            self.cans.append(self.add_model("071_can", draws.choice(self.MODELS, 1)[0], pose, mass=0.05))
        self.keep_clear(self.box, 0.1)
        for can in self.cans:
            self.keep_clear(can, 0.05)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp both cans from above, and put the left one in front and the right one behind."""
        spots = self.spots()
        grasps, targets = {}, {}
        for side, can, spot in zip(SIDES, self.cans, spots, strict=True):
            targets[side] = upright_at(spot, (0.0, 0.2, -0.2), matrix(can.get_pose())[:3, :3])
            options = grasps_across(position(can.contact_point(8)))
            grasps[side] = expert.choose(side, options, 0.1, leads_to(expert, side, can, targets[side], 0.12))
        expert.take(grasps, back=0.1)
        expert.lift(0.14, *SIDES)
        for side, can in zip(SIDES, self.cans, strict=True):
            expert.place(side, can, targets[side], drop=0.12)
            expert.lift(0.06, side)
            expert.go_home(side)
        return {"{A}": self.cans[0].label, "{B}": self.box.label, "{C}": self.cans[1].label}

    def spots(self) -> list[Vector]:
        """Points for the feet of the left and the right can, at the functional points and so that both have room."""
        ends = [position(self.box.functional_point(i), 0.008) for i in (1, 0)]
        middle, way = (ends[0] + ends[1]) / 2, ends[1] - ends[0]
        way[2] = 0.0
        length = float(np.linalg.norm(way))
        room = sum(can.extents[0] for can in self.cans) / 2 + 0.004
        half = way / length * max(room, length) / 2
        return [middle - half, middle + half]

    def check_success(self) -> bool:
        """Each can is within 4 cm of a functional point of the box, seen from above, and both grippers are open."""
        ends = [self.box.functional_point(i).p[:2] for i in (0, 1)]
        return self.grippers_open() and all(
            min(float(np.linalg.norm(can.get_pose().p[:2] - end)) for end in ends) < self.tolerance for can in self.cans
        )


class MoveCanPot(MiniatureTask):
    """A can of sauce, to be put beside a pot."""

    name, limit = "move_can_pot", 400
    reach, aside, tilt = 0.2, 0.035, 15.0
    SPOTS: ClassVar[tuple[tuple[float, float], ...]] = ((0.185, 0.0), (0.192, -0.02), (0.192, 0.02))
    pot: JointedObject

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The pot is in the middle, the can stands at least 30 cm away from it."""
        number = draws.randint(0, 7)
        turn = (0.0, 0.0, math.pi / 8)
        pot = draw_pose(draws, (0.0, 0.0), (0.0, 0.0), turn=turn, rest=(0.0, 0.0, 0.0, 1.0))
        self.pot = self.add_jointed("060_kitchenpot", number, pot)
        x, y = (float(v) for v in self.pot.get_pose().p[:2])
        can, turn = (-0.3, 0.3), (0.0, math.pi / 4, 0.0)
        pose = draw_pose(draws, can, (0.05, 0.15), turn=turn, rest=UPRIGHT)
        while abs(pose.p[0]) < 0.2 or apart(pose, x, y) ** 2 < 0.09:
            pose = draw_pose(draws, can, (0.05, 0.15), turn=turn, rest=UPRIGHT)
        self.can = self.add_model("105_sauce-can", draws.choice([0, 2, 4, 5, 6]), pose)
        self.side = side_of(self.can)
        self.keep_clear(self.pot, 0.03)
        self.keep_clear(self.can, 0.1)
        free = (x - 0.15, x) if self.side == "left" else (x, x + 0.15)
        self.prohibited_area.append((free[0], y - 0.1, free[1], y + 0.1))
        self.pot_z = float(self.pot.get_pose().p[2])

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp the can from the side, and put it down on its side of the pot."""
        x, y = self.pot.get_pose().p[:2]
        sign = -1 if self.side == "left" else 1
        spots = [(x + sign * out, y + to_back, 0.743 + self.table_z_bias) for out, to_back in self.SPOTS]
        targets = [pose for spot in spots for pose in upright_at(spot, ALL_YAWS, STANDING)]
        grasps = side_grasps(expert, self.side, position(self.can.contact_point(0)))
        expert.pick(self.side, self.can, grasps, targets, back=0.08, lift=0.1, drop=0.08)
        expert.place(self.side, self.can, targets, drop=0.08)
        return {"{A}": self.pot.label, "{B}": self.can.label, "{a}": self.side}

    def check_success(self) -> bool:
        """The can stands upright at the side of the pot on which it was, and both grippers are open."""
        if not self.grippers_open():
            return False
        pot, can, turn = self.pot.get_pose().p, self.can.get_pose().p, matrix(self.can.get_pose())
        out = float(pot[0] - can[0] if self.side == "left" else can[0] - pot[0])
        roll = math.degrees(math.atan2(turn[2, 1], turn[2, 2]))
        pitch = math.degrees(math.asin(max(-1.0, min(1.0, -turn[2, 0]))))
        upright = abs(roll - 90.0) < self.tilt and abs(pitch) < self.tilt
        beside = 0.0 < out < self.reach and abs(float(pot[1] - can[1])) < self.aside
        return beside and upright and float(can[2]) <= self.pot_z + 0.001


class DumpBinBigbin(MiniatureTask):
    """A small bin with five balls, to be emptied into a dustbin beside the table. Only the left arm reaches it."""

    name, limit = "dump_bin_bigbin", 600
    table_xy = (0.3, 0.0)
    height, ball_heights = 1.0, (0.13, 0.25)
    REST = (0.651892, 0.651428, 0.274378, 0.274584)
    MIDDLE: ClassVar[tuple[float, float]] = (0.0, -0.1)
    OVER: ClassVar[tuple[float, float]] = (-0.45, -0.05)

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The small bin stands beside the middle, and the balls are in it."""
        floor = sapien.Pose([-0.45, 0.0, 0.0], UPRIGHT)
        self.dustbin = self.add_model("011_dustbin", 0, floor, body="static")
        x, y, turn = (-0.2, 0.2), (-0.2, -0.05), (0.0, math.pi / 8.5, 0.0)
        pose = draw_pose(draws, x, y, turn=turn, rest=self.REST)
        while abs(pose.p[0]) < 0.05:
            pose = draw_pose(draws, x, y, turn=turn, rest=self.REST)
        self.bin = self.add_model("063_tabletrashbin", draws.choice([0, 3, 7, 8, 9, 10], 1)[0], pose)
        self.balls: list[TableObject] = []
        for i in range(5):
            at = [pose.p[0] + draws.rand() * 0.02 - 0.01, pose.p[1] + draws.rand() * 0.02 - 0.01, 0.78 + i * 0.005]
            at[2] -= self.table_z_bias  # the official balls are not moved with the table
            self.balls.append(self.add_sphere("garbage", 0.008, sapien.Pose(at), (1.0, 0.0, 0.0), mass=0.0001))
        self.keep_clear(self.bin, 0.04)
        self.prohibited_area.append((-0.2, -0.2, 0.2, 0.2))
        draws.rand(2)  # the official expert's motion

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Bring the bin to the middle if it is at the right; then empty it with the left arm."""
        if side_of(self.bin) == "right":
            spot = (*self.MIDDLE, 0.743 + self.table_z_bias)
            targets = upright_at(spot, ALL_YAWS, matrix(self.bin.get_pose())[:3, :3])
            grasps = contact_grasps("right", self.bin)
            expert.pick("right", self.bin, grasps, targets, back=0.08, lift=0.08)
            expert.place("right", self.bin, targets)
            expert.go_home("right")
        above = self.over(1.06)
        expert.pick("left", self.bin, contact_grasps("left", self.bin), back=0.08, lift=0.12)
        self.carry(expert, above)
        self.pour(expert)
        self.wait(1800)
        return {"{A}": self.bin.label}

    def over(self, height: float) -> Vector:
        """A point above the dustbin, m."""
        return np.array([*self.OVER, height])

    def carry(self, expert: Expert, point: Vector) -> None:
        """Move the left hand over the dustbin without tilting it."""
        hand = expert.hand("left")
        for turn in ALL_YAWS:
            goal = turned_about(hand, hand[:3, 3], (0.0, 0.0, 1.0), turn)
            goal[:3, 3] = point
            try:
                path = expert.straight("left", goal)
            except NoPlan:
                continue
            expert.follow({"left": path})
            return
        raise NoPlan("left arm cannot carry the bin to the dustbin")

    def pour(self, expert: Expert) -> None:
        """Turn the hand up, and shake it."""
        for roll in (0.0, 0.8, -0.8, 1.6, -1.6, 2.4, -2.4, 3.1):
            for azimuth in (math.pi / 2, math.pi / 2 + 0.5, math.pi / 2 - 0.5):
                goal = hand_at(self.over(1.1), azimuth, -0.5)
                goal = turned_about(goal, goal[:3, 3], goal[:3, 0], roll)
                try:
                    path = expert.straight("left", goal)
                except NoPlan:
                    continue
                expert.follow({"left": path})
                for _ in range(3):
                    expert.go({"left": raised(goal, -0.02)})
                    expert.go({"left": goal})
                return
        raise NoPlan("left arm cannot turn the bin over")

    def check_success(self) -> bool:
        """The small bin is above 1 m, and all balls are on the bottom of the dustbin."""
        if self.bin.get_pose().p[2] < self.height:
            return False
        low, high = self.ball_heights
        return all(low <= ball.get_pose().p[2] <= high for ball in self.balls)


TASKS = (DumpBinBigbin, MoveCanPot, PlaceCanBasket, PlaceCansPlasticbox, PlaceObjectBasket)
