"""Tasks with food, and with things that one hand holds for the other: place_bread_*, handover_mic, scan_object, ..."""

from __future__ import annotations

import math
from contextlib import suppress
from itertools import islice

import numpy as np
import sapien

from wam_eval.benchmarks.robotwin.miniature.arm import TCP, Side, Vector, rotation, transform
from wam_eval.benchmarks.robotwin.miniature.env import MiniatureTask
from wam_eval.benchmarks.robotwin.miniature.expert import Expert, NoPlan
from wam_eval.benchmarks.robotwin.miniature.poses import (
    ALL_YAWS,
    TO_HAND,
    behind,
    contact_grasps,
    matrix,
    other_side,
    placed,
    position,
    shifted,
    side_of,
    turned_about,
    turned_places,
    upright_at,
)
from wam_eval.benchmarks.robotwin.miniature.shapes import TableObject
from wam_eval.benchmarks.robotwin.miniature.world import UPRIGHT, UPRIGHT_Y, apart, draw_pose

BREADS = [0, 1, 3, 5, 6]
"""Models of bread that the tasks use."""

FACING_BACK = (0.0, 0.0, 0.707, 0.707)
"""Orientation of an upright object whose own z axis points ahead, quaternion w, x, y, z."""


def from_above(side: Side, item: TableObject, contacts: tuple[int, ...] | None = None) -> list[Vector]:
    """Grasps at contact points with hands that point down by at least 45 degrees."""
    return [grasp for grasp in contact_grasps(side, item, contacts) if grasp[2, 0] < -0.7][:40]


class HangingMug(MiniatureTask):
    """A mug at the left, to be hung on a rack at the right."""

    name, limit = "hanging_mug", 900
    HALF_OPEN, DEPTH, RAISE, ABOVE = 0.6, 0.05, 0.015, 0.1

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The mug stands in any direction."""
        number = draws.choice(list(range(10)))
        turn = (0.0, 1.57, 0.0)
        pose = draw_pose(draws, (-0.25, -0.1), (-0.05, 0.05), near_middle=True, turn=turn, rest=UPRIGHT_Y)
        self.mug = self.add_model("039_mug", number, pose)
        rest = (-0.22, -0.22, 0.67, 0.67)
        pose = draw_pose(draws, (0.1, 0.3), (0.13, 0.17), turn=(0.0, 0.2, 0.0), rest=rest)
        self.rack = self.add_model("040_rack", 0, pose, body="static")
        self.keep_clear(self.mug, 0.1)
        self.keep_clear(self.rack, 0.1)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """The left hand puts the mug down in the middle, so that the right one can take it by its rim and hang it."""
        peg = matrix(self.rack.functional_point(0))
        along = peg[:3, 2].tolist()
        hole = np.linalg.inv(matrix(self.mug.functional[0]))
        goal = shifted(peg, self.DEPTH * peg[:3, 2] + [0.0, 0.0, self.RAISE])
        hung = [turned_about(goal, goal[:3, 3], along, angle) @ hole for angle in (0.0, 0.2, -0.2, 0.4, -0.4)]
        holds = [
            hold for hold in self._rim() if any(expert.reaches("right", p @ hold, self.ABOVE, along) for p in hung)
        ]
        now = matrix(self.mug.get_pose())
        found = (
            pose
            for x, y in ((0.0, -0.15), (0.06, -0.12))
            for pose in upright_at((x, y, now[2, 3] + 0.003), ALL_YAWS, now[:3, :3])
            if any(expert.can_grasp("right", pose @ hold, self.ABOVE) for hold in holds)
        )
        spots = list(islice(found, 4))
        expert.grip({"left": self.HALF_OPEN, "right": self.HALF_OPEN})
        expert.pick("left", self.mug, from_above("left", self.mug), spots, lift=0.08, drop=0.05)
        expert.place("left", self.mug, spots, drop=0.05)
        expert.go_home("left")
        now = matrix(self.mug.get_pose())
        grasps = [now @ hold for hold in holds]
        expert.pick("right", self.mug, grasps, hung, back=self.ABOVE, lift=0.15, drop=self.ABOVE, along=along)
        expert.place("right", self.mug, hung, drop=self.ABOVE, release=False, along=along)
        expert.grip({"right": 1.0})
        with suppress(NoPlan):  # the mug hangs; the hand may stay where it cannot move back straight
            expert.withdraw(0.1, "right")
        return {"{A}": self.mug.label, "{B}": self.rack.label}

    def _rim(self) -> list[Vector]:
        """Poses of a hand in the frame of the mug, at the contact points at its rim."""
        holds = []
        for contact in self.mug.contacts[:4]:
            point = matrix(contact)
            hand = transform(point[:3, :3] @ TO_HAND, point[:3, 3])
            hand = behind(hand, TCP)
            holds += [turned_about(hand, point[:3, 3], hand[:3, 1], tilt) for tilt in (0.0, 0.3, -0.3, 0.6, -0.6)]
        return holds

    def check_success(self) -> bool:
        """The handle is at the middle of the peg within 2 cm, above 86 cm, and the right gripper is open."""
        hole = position(self.mug.functional_point(0))
        middle = (position(self.rack.get_pose()) + position(self.rack.functional_point(0))) / 2
        near = bool(np.all(np.abs(hole - middle)[:2] < 0.02))
        return near and bool(hole[2] > 0.86) and self.robot.is_right_gripper_open()


class PlaceBreadBasket(MiniatureTask):
    """One or two pieces of bread, to be put into a basket in the middle."""

    name, limit = "place_bread_basket", 700
    TRIES, NEAR = 51, 0.1

    def load_actors(self, draws: np.random.RandomState) -> None:
        """A second piece that is drawn too near to the first one is left out, as in RoboTwin."""
        pose = draw_pose(draws, (0.0, 0.0), (-0.2, -0.2), turn=(0.0, 3.14, 0.0), rest=UPRIGHT)
        self.basket = self.add_model("076_breadbasket", draws.choice([0, 1, 2, 3, 4]), pose)
        middle = (float(pose.p[0]), float(pose.p[1]))
        self.breads: list[TableObject] = []
        for _ in range(2):
            pose = self._draw_bread(draws)
            tries = 0
            while tries < self.TRIES and (abs(pose.p[0]) < 0.15 or apart(pose, *middle) < self.NEAR):
                pose = self._draw_bread(draws)
                tries += 1
            others = [bread.get_pose().p for bread in self.breads]
            if tries == self.TRIES or any(apart(pose, float(p[0]), float(p[1])) < self.NEAR for p in others):
                break
            self.breads.append(self.add_model("075_bread", draws.choice(BREADS), pose))
        for bread in self.breads:
            self.keep_clear(bread, 0.03)
        self.keep_clear(self.basket, 0.05)

    def _draw_bread(self, draws: np.random.RandomState) -> sapien.Pose:
        return draw_pose(draws, (-0.27, 0.27), (-0.2, 0.05), turn=(0.0, math.pi / 4, 0.0), rest=UPRIGHT_Y)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Put the pieces beside each other into the basket, the nearer one first."""
        order = sorted(self.breads, key=lambda bread: float(bread.get_pose().p[1]))
        basket = matrix(self.basket.get_pose())
        for i, bread in enumerate(order):
            side = side_of(bread)
            spot = matrix(self.basket.functional_point(0))[:3, 3] + [0.0, 0.0, 0.012]
            if len(order) > 1:
                spot = spot + (0.03 if self._ahead(bread, basket) else -0.03) * basket[:3, 0]
                spot[2] += 0.01 * i
            targets = upright_at(spot, ALL_YAWS, matrix(bread.get_pose())[:3, :3])
            expert.pick(side, bread, from_above(side, bread), targets, lift=0.12, drop=0.1, retreat=True)
            expert.place(side, bread, targets, drop=0.1)
            expert.lift(0.05, side)
        sides = {side_of(bread) for bread in self.breads}
        names = {"{A}": self.basket.label, "{a}": "dual" if len(sides) > 1 else sides.pop()}
        return names | {key: bread.label for key, bread in zip(("{B}", "{C}"), self.breads, strict=False)}

    def _ahead(self, bread: TableObject, basket: Vector) -> bool:
        """True if this piece is farther along the basket's x axis than the other one."""
        return float(matrix(bread.get_pose())[:3, 3] @ basket[:3, 0]) == max(
            float(matrix(other.get_pose())[:3, 3] @ basket[:3, 0]) for other in self.breads
        )

    def check_success(self) -> bool:
        """All bread is within 5 cm of the basket's middle and above the table, and both grippers are open."""
        if not self.grippers_open():
            return False
        middle = np.asarray(self.basket.get_pose().p, float)
        spots = [np.asarray(bread.get_pose().p, float) for bread in self.breads]
        return all(bool(np.all(np.abs(p - middle)[:2] < 0.05)) and p[2] > 0.73 + self.table_z_bias for p in spots)


class PlaceBreadSkillet(MiniatureTask):
    """A piece of bread, to be put into a skillet that the other hand holds above the table."""

    name, limit = "place_bread_skillet", 500

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The bread and the skillet are at different sides."""
        number = draws.choice(BREADS)
        x, y, turn = (-0.28, 0.28), (-0.2, 0.05), (0.0, math.pi / 4, 0.0)
        pose = draw_pose(draws, x, y, turn=turn, rest=UPRIGHT_Y)
        while abs(pose.p[0]) < 0.2:
            pose = draw_pose(draws, x, y, turn=turn, rest=UPRIGHT_Y)
        self.bread = self.add_model("075_bread", number, pose, mass=0.001)
        number = draws.choice([0, 1, 2, 3])
        there = (0.15, 0.25) if pose.p[0] < 0 else (-0.25, -0.15)
        pose = draw_pose(draws, there, y, turn=(0.0, math.pi / 6, 0.0), rest=FACING_BACK)
        self.skillet = self.add_model("106_skillet", number, pose, mass=0.01)
        self.keep_clear(self.bread, 0.03)
        self.keep_clear(self.skillet, 0.05)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Hold the skillet over the middle and drop the bread into it."""
        side = side_of(self.skillet)
        other = other_side(side)
        out = 1.0 if side == "right" else -1.0
        rest = matrix(self.skillet.get_pose())[:3, :3]
        pan = rest @ matrix(self.skillet.functional[0])[:3, 3]
        height = float(self.skillet.get_pose().p[2]) + 0.07
        holds = [
            pose
            for x in (0.03, 0.08)
            for y in (-0.02, -0.08)
            for pose in upright_at((out * x - pan[0], y - pan[1], height), (0.0, 0.3, -0.3), rest)
        ]
        expert.pick(side, self.skillet, from_above(side, self.skillet), holds, back=0.07, lift=0.07, drop=0.0)
        expert.place(side, self.skillet, holds, drop=0.0, release=False)
        spot = position(self.skillet.functional_point(0), 0.03)
        targets = upright_at(spot, ALL_YAWS[::2], matrix(self.bread.get_pose())[:3, :3])
        expert.pick(other, self.bread, from_above(other, self.bread), targets, lift=0.18, drop=0.05)
        expert.place(other, self.bread, targets, drop=0.05)
        return {"{A}": self.skillet.label, "{B}": self.bread.label, "{a}": side}

    def check_success(self) -> bool:
        """The bread is within 3.5 cm of the middle of the pan, and both are held at least 2 cm above the table."""
        pan, bread = position(self.skillet.functional_point(0)), position(self.bread.get_pose())
        lowest = 0.76 + self.table_z_bias
        return bool(np.all(np.abs(pan - bread)[:2] < 0.035) and pan[2] > lowest and bread[2] > lowest)


class PlaceBurgerFries(MiniatureTask):
    """A burger at the left and fries at the right, to be put on a tray in the middle."""

    name, limit = "place_burger_fries", 500
    TRAY_REST = (0.706527, 0.706483, -0.0291356, -0.0291767)

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The fries lie on their back."""
        still = (0.0, 0.0, 0.0)
        pose = draw_pose(draws, (0.0, 0.0), (-0.15, -0.1), turn=still, rest=self.TRAY_REST)
        self.tray = self.add_model("008_tray", draws.choice([0, 1, 2, 3], 1)[0], pose, body="static")
        pose = draw_pose(draws, (-0.3, -0.25), (-0.15, -0.07), turn=still, rest=UPRIGHT)
        self.burger = self.add_model("006_hamburg", draws.choice([0, 1, 2, 3, 4, 5], 1)[0], pose, mass=0.05)
        pose = draw_pose(draws, (0.2, 0.3), (-0.15, -0.07), turn=still)
        self.fries = self.add_model("005_french-fries", draws.choice([0, 1], 1)[0], pose, mass=0.05)
        self.keep_clear(self.tray, 0.1)
        self.keep_clear(self.burger, 0.05)
        self.keep_clear(self.fries, 0.05)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """One after the other."""
        jobs: tuple[tuple[Side, TableObject, int], ...] = (("left", self.burger, 0), ("right", self.fries, 1))
        for side, item, point in jobs:
            now = matrix(item.get_pose())
            foot = now[:3, 3] - [0.0, 0.0, 0.741 + self.table_z_bias - 0.012]
            target = position(self.tray.functional_point(point))
            offset = matrix(item.functional_point(0))[:2, 3] - now[:2, 3]
            spot = (target[0] - offset[0], target[1] - offset[1], 0.741 + self.table_z_bias + foot[2])
            targets = upright_at(spot, ALL_YAWS, now[:3, :3])
            expert.pick(side, item, from_above(side, item), targets, drop=0.08, retreat=True)
            expert.place(side, item, targets, drop=0.08)
        return {"{A}": self.burger.label, "{B}": self.tray.label, "{C}": self.fries.label}

    def check_success(self) -> bool:
        """Both are within 8 cm of their places on the tray, and both grippers are open."""
        if not self.grippers_open():
            return False
        gaps = [
            position(self.tray.functional_point(i)) - position(item.functional_point(0))
            for i, item in enumerate((self.burger, self.fries))
        ]
        return all(math.hypot(gap[0], gap[1]) < 0.08 for gap in gaps)


class BeatBlockHammer(MiniatureTask):
    """A hammer, with which a block is to be hit."""

    name, limit = "beat_block_hammer", 400

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The hammer lies in the middle, the block at one side."""
        start = sapien.Pose([0.0, -0.06, 0.783], [0.0, 0.0, 0.995, 0.105])
        self.hammer = self.add_model("020_hammer", 0, start, mass=0.001)
        pose = self._draw_block(draws)
        while abs(pose.p[0]) < 0.05 or float(np.sum(np.square(pose.p[:2]))) < 0.001:
            pose = self._draw_block(draws)
        self.block = self.add_box("box", (0.025, 0.025, 0.025), pose, (1, 0, 0), body="static")
        self.keep_clear(self.hammer, 0.1)
        x, y = float(pose.p[0]), float(pose.p[1])
        self.prohibited_area.append((x - 0.05, y - 0.05, x + 0.05, y + 0.05))

    def _draw_block(self, draws: np.random.RandomState) -> sapien.Pose:
        return draw_pose(draws, (-0.25, 0.25), (-0.05, 0.15), (0.76,), turn=(0.0, 0.0, 0.5))

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Hold the hammer at its handle, and press its face on the block."""
        side = side_of(self.block)
        target = matrix(self.block.functional_point(1))
        target[2, 3] += 0.006
        hit = placed(expert.hand(side), side, self.hammer, target, point=0, constrain="free")
        targets = list(turned_places(hit, target, ALL_YAWS))
        expert.pick(side, self.hammer, from_above(side, self.hammer), targets, back=0.1, lift=0.08, drop=0.06)
        expert.place(side, self.hammer, targets, drop=0.06, release=False)
        return {"{A}": self.hammer.label, "{a}": side}

    def check_success(self) -> bool:
        """The hammer touches the block with its face within 2 cm of the middle of the block's top."""
        face = position(self.hammer.functional_point(0)) - position(self.block.functional_point(1))
        if not bool(np.all(np.abs(face[:2]) < 0.02)):
            return False
        names = {self.hammer.name, self.block.name}
        return any({body.entity.name for body in contact.bodies} == names for contact in self.scene.get_contacts())


class HandoverMic(MiniatureTask):
    """A microphone, to be handed over from one hand to the other."""

    name, limit = "handover_mic", 600
    EXCHANGE = (0.0, -0.08, 1.03)
    TAKEN, GIVEN = (0, 3, 5, 7), (1, 10, 12, 14)

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The microphone lies at one side, with its head ahead."""
        pose = draw_pose(draws, (-0.2, 0.2), (-0.05, 0.0), rest=UPRIGHT_Y)
        while abs(pose.p[0]) < 0.15:
            pose = draw_pose(draws, (-0.2, 0.2), (-0.05, 0.0), rest=UPRIGHT_Y)
        number = draws.choice([0, 4, 5], 1)[0]
        self.microphone = self.add_model("018_microphone", number, pose, padding=0.07)
        self.giver: Side = side_of(self.microphone)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Hold it upright over the middle, with its head up, where the other hand takes it above the first one."""
        giver, taker = self.giver, other_side(self.giver)
        tail_down = rotation("x", math.pi)
        holds = upright_at(self.EXCHANGE, ALL_YAWS, tail_down)
        expert.pick(giver, self.microphone, from_above(giver, self.microphone, self.GIVEN), holds, lift=0.1, drop=0.0)
        expert.place(giver, self.microphone, holds, drop=0.0, release=False)
        hand = expert.hand(giver)
        grasps = [
            grasp
            for grasp in contact_grasps(taker, self.microphone, self.TAKEN)
            if float(grasp[:3, 0] @ hand[:3, 0]) < 0.5
        ]
        grasp = expert.choose(taker, grasps, 0.1, lambda grasp: True)
        expert.take({taker: grasp}, back=0.1)
        expert.grip({giver: 1.0})
        expert.withdraw(0.1, giver)
        expert.shift({taker: (0.06 if taker == "right" else -0.06, 0.0, 0.0)})
        return {"{A}": self.microphone.label, "{a}": giver, "{b}": taker}

    def check_success(self) -> bool:
        """The other hand alone holds the microphone, on its side and with its end above 92 cm."""
        left, right = self.giver == "left", self.giver == "right"
        closed = self.robot.is_left_gripper_close() if right else self.robot.is_right_gripper_close()
        opened = self.robot.is_left_gripper_open() if left else self.robot.is_right_gripper_open()
        if not (closed and opened):
            return False
        end = position(self.microphone.functional_point(0))
        there = end[0] < 0 if right else end[0] > 0
        return bool(there and end[2] > 0.92 and self.finger_contacts(self.microphone.name))


class ScanObject(MiniatureTask):
    """A box and a scanner, to be held so that the scanner sees the bottom of the box."""

    name, limit = "scan_object", 500

    def load_actors(self, draws: np.random.RandomState) -> None:
        """They stand at different sides. Their height does not follow that of the table, as in RoboTwin."""
        tag = draws.randint(2)
        sides = ((-0.25, -0.05), (0.05, 0.25))
        pose = draw_pose(draws, sides[tag], (-0.15, -0.05), turn=(0.0, 1.2, 0.0), rest=FACING_BACK)
        number = draws.choice([0, 1, 2, 3, 4], 1)[0]
        self.scanner = self.add_model("024_scanner", number, self._off_table(pose))
        pose = draw_pose(draws, sides[1 - tag], (-0.2, 0.0), turn=(0.0, 1.2, 0.0), rest=UPRIGHT)
        number = draws.choice([0, 1, 2, 3, 4, 5], 1)[0]
        self.object = self.add_model("112_tea-box", number, self._off_table(pose))
        self.keep_clear(self.scanner, 0.1)
        self.keep_clear(self.object, 0.1)
        self.prohibited_area.append((-0.2, -0.03, 0.2, -0.01))

    def _off_table(self, pose: sapien.Pose) -> sapien.Pose:
        return sapien.Pose([pose.p[0], pose.p[1], pose.p[2] - self.table_z_bias], pose.q)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Hold the box over the middle with its bottom to the other hand, and the scanner 5 cm before the bottom."""
        side = side_of(self.scanner)
        other = other_side(side)
        out = 1.0 if other == "right" else -1.0
        across = rotation("z", -math.pi / 2 * out)  # turns the y axis to the side of the hand with the box
        holds = [
            transform(rotation("x", roll) @ across, (out * 0.03, y, z))
            for z in (0.95, 0.9)
            for y in (-0.02, -0.08)
            for roll in ALL_YAWS
        ]
        expert.pick(other, self.object, from_above(other, self.object, (0, 1, 2, 3)), holds, lift=0.13, drop=0.0)
        expert.place(other, self.object, holds, drop=0.0, release=False)
        views = self._views(expert, side)
        expert.pick(side, self.scanner, from_above(side, self.scanner), views, lift=0.13, drop=0.0)
        expert.place(side, self.scanner, self._views(expert, side), drop=0.0, release=False)
        return {"{A}": self.object.label, "{B}": self.scanner.label, "{a}": other, "{b}": side}

    def _views(self, expert: Expert, side: Side) -> list[Vector]:
        """Poses of the scanner in which it sees the bottom of the box from 5 cm."""
        bottom = matrix(self.object.functional_point(1))
        before = shifted(bottom, -0.05 * bottom[:3, 2])
        view = placed(expert.hand(side), side, self.scanner, before, point=0, constrain="free")
        return list(turned_places(view, before, ALL_YAWS))

    def check_success(self) -> bool:
        """The line of sight passes the box within 2.5 cm, at most 7 cm ahead; both grippers are closed."""
        if not (self.robot.is_left_gripper_close() and self.robot.is_right_gripper_close()):
            return False
        window, box = matrix(self.scanner.functional_point(0)), position(self.object.get_pose())
        back = -window[:3, 2]
        distance = float(back @ (window[:3, 3] - box))
        return 0 < distance < 0.07 and bool(np.all(np.abs(box + distance * back - window[:3, 3]) < 0.025))


TASKS = (
    BeatBlockHammer,
    HandoverMic,
    HangingMug,
    PlaceBreadBasket,
    PlaceBreadSkillet,
    PlaceBurgerFries,
    ScanObject,
)
