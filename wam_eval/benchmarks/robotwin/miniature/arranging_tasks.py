"""Tasks in which an object is put beside, on or along something: place_a2b_*, place_object_*, place_fan,
place_phone_stand, rotate_qrcode, move_stapler_pad; and press_stapler."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np
import sapien

from wam_eval.benchmarks.robotwin.miniature.arm import Side, Vector, rotation
from wam_eval.benchmarks.robotwin.miniature.env import MiniatureTask
from wam_eval.benchmarks.robotwin.miniature.expert import DOWN, STEEP, Expert
from wam_eval.benchmarks.robotwin.miniature.objects import model_numbers
from wam_eval.benchmarks.robotwin.miniature.placing_tasks import PAD_COLORS, SEAL_COLORS, PlaceOnPad
from wam_eval.benchmarks.robotwin.miniature.poses import (
    ALL_YAWS,
    contact_grasps,
    hand_at,
    matrix,
    position,
    raised,
    side_of,
    upright_at,
)
from wam_eval.benchmarks.robotwin.miniature.reaching_tasks import press_from_above
from wam_eval.benchmarks.robotwin.miniature.shapes import TableObject
from wam_eval.benchmarks.robotwin.miniature.world import TABLE_HEIGHT, UPRIGHT, UPRIGHT_Y, Range, apart, draw_pose

# Corners of the open fingers in the frame of the hand, m: their tips, outer faces, and upper and lower faces.
_CORNERS = np.array([(0.134, y, z) for y in (-0.058, 0.058) for z in (-0.012, 0.012)])

# Bells are wider than the gripper except near their tops: distance at which a hand stops above their contact points, m.
_BELL_GAP = 0.02

# Largest width between the fingers, m.
_WIDEST = 0.085


def above_table(grasps: Iterable[Vector], table: float) -> list[Vector]:
    """Hand poses, raised so that open fingers stay 1.5 mm above a table of a height (m)."""
    lowest = ((grasp, float((_CORNERS @ grasp[2, :3]).min() + grasp[2, 3])) for grasp in grasps)
    return [raised(grasp, max(0.0, table + 0.0015 - low)) for grasp, low in lowest]


def half_width(item: TableObject, turn: Vector) -> float:
    """Half of the width of an object along the world's x axis after a rotation (3, 3), m."""
    return float(np.abs(turn[0]) @ np.asarray(item.extents)) / 2


def block_grasps(item: TableObject) -> list[Vector]:
    """Hand poses around a block of wood, which has no contact points, 2 cm below the middle of its top."""
    turn, point = matrix(item.get_pose()), position(item.functional_point(0), -0.02)
    found = []
    for along, across in ((2, 0), (0, 2)):
        if item.extents[across] < _WIDEST:
            azimuth = math.atan2(turn[1, along], turn[0, along])
            found += [hand_at(point, azimuth + half, pitch) for pitch in STEEP for half in (0.0, math.pi)]
    return sorted(found, key=lambda hand: float(hand[2, 0]))


class Arranging(MiniatureTask):
    """A task in which objects are grasped at their contact points."""

    def grasps(self, side: Side, item: TableObject) -> list[Vector]:
        """Hand poses at the contact points of an object, clear of the table."""
        gap = _BELL_GAP if item.name == "050_bell" else 0.0
        found = contact_grasps(side, item, gap=gap) if item.contacts else block_grasps(item)
        return above_table(found, TABLE_HEIGHT + self.table_z_bias)

    def carry(
        self,
        expert: Expert,
        side: Side,
        item: TableObject,
        targets: Sequence[Vector],
        drop: float = 0.08,
        along: Sequence[float] = DOWN,
    ) -> None:
        """Grasp an object and put it down at the first reachable one of some poses."""
        expert.pick(side, item, self.grasps(side, item), targets, drop=drop, along=along)
        expert.place(side, item, targets, drop=drop, along=along)


class PlaceBeside(Arranging):
    """Object A, to be put beside object B.

    Attributes:
        direction: -1 for the left side of B, 1 for the right side.
        object, other: A and B.
    """

    limit = 400
    direction: ClassVar[int]
    object: TableObject
    other: TableObject

    FAMILIES: ClassVar[tuple[str, ...]] = (
        "047_mouse",
        "048_stapler",
        "050_bell",
        "057_toycar",
        "073_rubikscube",
        "075_bread",
        "077_phone",
        "081_playingcards",
        "086_woodenblock",
        "112_tea-box",
        "113_coffee-box",
        "107_soap",
    )

    def load_actors(self, draws: np.random.RandomState) -> None:
        """A begins on the wrong side of B, or far from it."""
        y: Range = (-0.2, 0.0)
        turn = (0.0, 3.14, 0.0)
        for _ in range(101):
            first = draw_pose(draws, (-0.22, 0.22), y, turn=turn, rest=UPRIGHT)
            x: Range = (-0.1, 0.1)
            if (first.p[0] > 0) == (self.direction < 0):
                x = (0.18, 0.23) if self.direction < 0 else (-0.23, -0.18)
            second = draw_pose(draws, x, y, turn=turn, rest=UPRIGHT)
            while apart(second, first.p[0], first.p[1]) < 0.1 or abs(second.p[1] - first.p[1]) < 0.1:
                second = draw_pose(draws, x, y, turn=turn, rest=UPRIGHT)
            if apart(second, first.p[0], first.p[1]) > 0.19 or self.direction * (first.p[0] - second.p[0]) < 0:
                break
        family = str(draws.choice(self.FAMILIES))
        self.object = self.add_model(family, draws.choice(model_numbers(family)), first, mass=0.05, padding=0.05)
        other = str(draws.choice(self.FAMILIES))
        while other == family:
            other = str(draws.choice(self.FAMILIES))
        self.other = self.add_model(other, draws.choice(model_numbers(other)), second, mass=0.05, padding=0.1)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Put A 13 cm beside B, or further if they would touch, in any direction."""
        side: Side = "right" if self.object.get_pose().p[0] > 0 else "left"
        here, there = matrix(self.object.get_pose()), matrix(self.other.get_pose())
        targets = []
        for yaw in ALL_YAWS:
            turn = rotation("z", yaw) @ here[:3, :3]
            gap = max(0.13, half_width(self.object, turn) + half_width(self.other, there[:3, :3]) + 0.01)
            if gap < 0.18:
                x, y = there[0, 3] + self.direction * gap, there[1, 3]
                targets += upright_at((x, y, here[2, 3] + 0.002), [yaw], here[:3, :3])
        self.carry(expert, side, self.object, targets)
        return {"{A}": self.object.label, "{B}": self.other.label, "{a}": side}

    def check_success(self) -> bool:
        """A is on its side of B, 8 to 20 cm from it, 5 cm at most before or behind it, and both grippers are open."""
        if not self.grippers_open():
            return False
        gap = np.asarray(self.object.get_pose().p, float) - np.asarray(self.other.get_pose().p, float)
        near = 0.08 < math.hypot(gap[0], gap[1]) < 0.2
        return bool(near and self.direction * gap[0] > 0 and abs(gap[1]) < 0.05)


class PlaceA2bLeft(PlaceBeside):
    """Object A, to be put on the left of object B."""

    name, direction = "place_a2b_left", -1


class PlaceA2bRight(PlaceBeside):
    """Object A, to be put on the right of object B."""

    name, direction = "place_a2b_right", 1


class PlaceObjectScale(Arranging):
    """An object, to be put on an electronic scale."""

    name, limit = "place_object_scale", 400
    FAMILIES: ClassVar[tuple[str, ...]] = ("047_mouse", "048_stapler", "050_bell")

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The scale is on the side of the object, 15 cm away from it."""
        y, turn = (-0.2, 0.05), (0.0, 3.14, 0.0)
        pose = draw_pose(draws, (-0.25, 0.25), y, turn=turn, rest=UPRIGHT)
        while abs(pose.p[0]) < 0.02:
            pose = draw_pose(draws, (-0.25, 0.25), y, turn=turn, rest=UPRIGHT)
        family = str(draws.choice(self.FAMILIES))
        self.object = self.add_model(family, draws.choice(model_numbers(family)), pose, mass=0.05, padding=0.05)
        self.side: Side = "right" if pose.p[0] > 0 else "left"
        x = (0.02, 0.25) if self.side == "right" else (-0.25, -0.02)
        spot = draw_pose(draws, x, y, turn=turn, rest=UPRIGHT)
        while apart(spot, pose.p[0], pose.p[1]) < 0.15:
            spot = draw_pose(draws, x, y, turn=turn, rest=UPRIGHT)
        number = draws.choice([0, 1, 5, 6], 1)[0]
        self.scale = self.add_model("072_electronicscale", number, spot, mass=0.05, padding=0.05)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Put the object on the plate of the scale, in any direction."""
        spot = position(self.scale.functional_point(0), 0.004)
        targets = upright_at(spot, ALL_YAWS, matrix(self.object.get_pose())[:3, :3])
        self.carry(expert, self.side, self.object, targets, drop=0.05)
        return {"{A}": self.scale.label, "{B}": self.object.label, "{a}": self.side}

    def check_success(self) -> bool:
        """The object is on the scale, within 3.5 cm of its point, and the gripper on its side is open."""
        robot = self.robot
        if not (robot.is_left_gripper_open() if self.side == "left" else robot.is_right_gripper_open()):
            return False
        gap = position(self.object.get_pose()) - position(self.scale.functional_point(0))
        return bool(math.hypot(gap[0], gap[1]) < 0.035 and gap[2] > -0.01)


class PlaceObjectStand(Arranging):
    """An object, to be put on a display stand."""

    name, limit = "place_object_stand", 400
    FAMILIES: ClassVar[tuple[str, ...]] = (
        "047_mouse",
        "048_stapler",
        "050_bell",
        "073_rubikscube",
        "057_toycar",
        "079_remotecontrol",
    )

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The object is at one side, the stand near the middle."""
        x, y, turn = (-0.28, 0.28), (-0.05, 0.05), (0.0, math.pi / 3, 0.0)
        pose = draw_pose(draws, x, y, turn=turn, rest=UPRIGHT_Y)
        while abs(pose.p[0]) < 0.2:
            pose = draw_pose(draws, x, y, turn=turn, rest=UPRIGHT_Y)
        family = str(draws.choice(self.FAMILIES))
        self.object = self.add_model(family, draws.choice(model_numbers(family)), pose)
        x, y, turn = (0.0, 0.05) if pose.p[0] > 0 else (-0.05, 0.0), (-0.15, -0.1), (0.0, math.pi / 6, 0.0)
        spot = draw_pose(draws, x, y, turn=turn, rest=UPRIGHT_Y)
        while apart(spot, pose.p[0], pose.p[1]) < 0.1:
            spot = draw_pose(draws, x, y, turn=turn, rest=UPRIGHT_Y)
        self.stand = self.add_model("074_displaystand", draws.choice([0, 1, 2, 3, 4]), spot, padding=0.05)
        self.keep_clear(self.object, 0.1)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Put the object on the top of the stand, in any direction."""
        side = side_of(self.object)
        spot = position(self.stand.functional_point(0), 0.005)
        targets = upright_at(spot, ALL_YAWS, matrix(self.object.get_pose())[:3, :3])
        self.carry(expert, side, self.object, targets, drop=0.07)
        return {"{A}": self.object.label, "{B}": self.stand.label, "{a}": side}

    def check_success(self) -> bool:
        """The object is within 3 cm of the stand in x and y, and both grippers are open."""
        gap = position(self.object.get_pose()) - position(self.stand.get_pose())
        return self.grippers_open() and bool(abs(gap[0]) < 0.03 and abs(gap[1]) < 0.03)


class PlaceFan(Arranging):
    """A fan, to be put on a pad so that it faces the robot."""

    name, limit = "place_fan", 400
    PAD: ClassVar[tuple[float, float, float]] = (0.05, 0.05, 0.001)

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The fan is near the middle and faces any direction; the pad is at its side."""
        y = (-0.15, -0.05)
        pose = draw_pose(draws, (-0.1, 0.1), y, turn=(0.0, 2 * math.pi, 0.0), rest=(0.0, 0.0, 0.707107, 0.707107))
        self.fan = self.add_model("099_fan", draws.choice([4, 5]), pose, padding=0.07)
        spot = draw_pose(draws, (0.15, 0.25) if pose.p[0] > 0 else (-0.25, -0.15), y)
        self.color = list(SEAL_COLORS)[draws.choice(len(SEAL_COLORS))]
        # The official pad ignores the offset of the table, and falls onto it.
        high = sapien.Pose([spot.p[0], spot.p[1], spot.p[2] - self.table_z_bias], spot.q)
        self.pad = self.add_box("box", self.PAD, high, SEAL_COLORS[self.color], mass=1.0)
        self.goal = [float(value) for value in spot.p]
        x, depth = self.goal[:2]
        self.prohibited_area.append((x - 0.15, depth - 0.15, x + 0.15, depth + 0.15))

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Turn the fan above the pad."""
        side: Side = "right" if self.fan.get_pose().p[0] > 0 else "left"
        spot = position(self.pad.get_pose(), 0.004)
        targets = upright_at(spot, [0.0], matrix(sapien.Pose([0.0, 0.0, 0.0], UPRIGHT_Y))[:3, :3])
        self.carry(expert, side, self.fan, targets, drop=0.05)
        return {"{A}": self.fan.label, "{B}": self.color, "{a}": side}

    def check_success(self) -> bool:
        """The fan is within 4 cm of the place of the pad and faces the robot, and both grippers are open."""
        pose = self.fan.get_pose()
        near = np.abs(np.asarray(pose.p, float) - self.goal) < 0.04
        return self.grippers_open() and faces(pose, UPRIGHT_Y, 0.05) and bool(np.all(near))


def faces(pose: sapien.Pose, q: Sequence[float], tolerance: float) -> bool:
    """True if each component of the rotation of a pose (with w >= 0) differs from that of a quaternion by less."""
    found = np.asarray(pose.q, float)
    return bool(np.all(np.abs((-found if found[0] < 0 else found) - q) < tolerance))


class RotateQrcode(Arranging):
    """A sign with a code, to be turned so that the code faces the robot."""

    name, limit = "rotate_qrcode", 400

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The sign shows its back."""
        x, y, turn, rest = (-0.25, 0.25), (-0.2, 0.0), (0.0, 0.7, 0.0), (0.0, 0.0, 0.707107, 0.707107)
        pose = draw_pose(draws, x, y, turn=turn, rest=rest)
        while abs(pose.p[0]) < 0.05:
            pose = draw_pose(draws, x, y, turn=turn, rest=rest)
        self.sign = self.add_model("070_paymentsign", draws.choice([0, 1, 2, 3], 1)[0], pose, padding=0.12)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Turn the sign and put it down at its side of the table, far out if it must be held from behind."""
        side = side_of(self.sign)
        out = -1.0 if side == "left" else 1.0
        rest = matrix(sapien.Pose([0.0, 0.0, 0.0], UPRIGHT_Y))[:3, :3]
        targets = []
        for x, y in ((0.2, -0.15), (0.2, -0.2), (0.27, -0.2), (0.33, -0.2), (0.4, -0.2), (0.4, -0.15)):
            spot = (out * x, y, float(self.sign.get_pose().p[2]) + 0.002)
            targets += upright_at(spot, [0.0], rest)
        self.carry(expert, side, self.sign, targets, drop=0.04)
        return {"{A}": self.sign.label, "{a}": side}

    def check_success(self) -> bool:
        """The code faces the robot, the sign stands on the table, and both grippers are open."""
        pose = self.sign.get_pose()
        low = pose.p[2] < 0.75 + self.table_z_bias
        return self.grippers_open() and bool(low) and faces(pose, UPRIGHT_Y, 0.05)


class PlacePhoneStand(Arranging):
    """A phone, to be put on its stand."""

    name, limit = "place_phone_stand", 400
    RESTS: ClassVar[dict[int, tuple[float, ...]]] = {
        0: UPRIGHT_Y,
        1: UPRIGHT,
        2: (0.5, 0.5, -0.5, -0.5),
        4: (0.5, -0.5, 0.5, -0.5),
    }

    def load_actors(self, draws: np.random.RandomState) -> None:
        """Phone and stand are on one side, 15 cm apart; the stand faces the robot."""
        left = draws.randint(2) == 0
        number = int(draws.choice([0, 1, 2, 4], 1)[0])
        x, turn = (-0.25, -0.05) if left else (0.05, 0.25), (0.0, 0.7, 0.0)
        pose = draw_pose(draws, x, (-0.2, 0.0), turn=turn, rest=self.RESTS[number])
        self.phone = self.add_model("077_phone", number, pose, padding=0.15)
        x = (-0.15, 0.0) if left else (0.0, 0.15)
        spot = draw_pose(draws, x, (0.0, 0.2), rest=UPRIGHT_Y)
        while apart(spot, pose.p[0], pose.p[1]) < 0.15:
            spot = draw_pose(draws, x, (0.0, 0.2), rest=UPRIGHT_Y)
        stand = draws.choice([1, 2], 1)[0]
        self.stand = self.add_model("078_phonestand", stand, spot, body="static", padding=0.15)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Put the lower edge of the phone on the ledge, along the leaning back."""
        side = side_of(self.phone)
        edge = matrix(self.stand.functional_point(0))
        edge[:3, 3] += 0.004 * edge[:3, 0] + 0.004 * edge[:3, 2]
        target = edge @ np.linalg.inv(matrix(self.phone.functional[0]))
        self.carry(expert, side, self.phone, [target], drop=0.05, along=tuple(-edge[:3, 2]))
        return {"{A}": self.phone.label, "{B}": self.stand.label, "{a}": side}

    def check_success(self) -> bool:
        """The lower edge of the phone is within 4.5, 4 and 4 cm of the stand's point, and both grippers are open."""
        if not self.grippers_open():
            return False
        gap = position(self.phone.functional_point(0)) - position(self.stand.functional_point(0))
        return bool(np.all(np.abs(gap) < (0.045, 0.04, 0.04)))


class MoveStaplerPad(PlaceOnPad, Arranging):
    """A stapler, to be put on a pad and along it."""

    name, limit = "move_stapler_pad", 400
    PAD: ClassVar[tuple[float, float, float]] = (0.055, 0.03, 0.0005)

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The stapler lies in any direction."""
        x, y, turn = (-0.25, 0.25), (-0.2, 0.0), (0.0, 3.14, 0.0)
        pose = draw_pose(draws, x, y, turn=turn, rest=UPRIGHT)
        while abs(pose.p[0]) < 0.05:
            pose = draw_pose(draws, x, y, turn=turn, rest=UPRIGHT)
        number = draws.choice([0, 1, 2, 3, 4, 5, 6], 1)[0]
        self.object = self.add_model("048_stapler", number, pose, padding=0.1)
        pad = self.draw_pad(draws, pose, y, y)
        self.color = list(PAD_COLORS)[draws.choice(len(PAD_COLORS))]
        # The official pad ignores the offset of the table, and falls onto it.
        high = sapien.Pose([pad.p[0], pad.p[1], pad.p[2] - self.table_z_bias], pad.q)
        self.pad = self.add_box("box", self.PAD, high, PAD_COLORS[self.color], padding=0.15)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp the stapler across its arm."""
        side = side_of(self.object)
        rest = matrix(sapien.Pose([0.0, 0.0, 0.0], UPRIGHT))[:3, :3]
        targets = upright_at(position(self.pad.get_pose(), 0.003), [0.0, math.pi], rest)
        self.carry(expert, side, self.object, targets, drop=0.07)
        return self.names(side)

    def check_success(self) -> bool:
        """The stapler is within 2, 2 and 1 cm of the pad and along it, and both grippers are open."""
        if not self.grippers_open():
            return False
        pose = self.object.get_pose()
        gap, q = np.abs(position(pose) - position(self.pad.get_pose())), np.abs(np.asarray(pose.q, float))
        return bool(np.all(gap < (0.02, 0.02, 0.01)) and q.max() - q.min() < 0.02)


class PressStapler(MiniatureTask):
    """A stapler that is fixed to the table, to be pressed."""

    name, limit = "press_stapler", 400

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The stapler lies in any direction."""
        pose = draw_pose(draws, (-0.2, 0.2), (-0.1, 0.05), turn=(0.0, math.pi, 0.0), rest=UPRIGHT)
        number = draws.choice([0, 1, 2, 3, 4, 5, 6], 1)[0]
        self.stapler = self.add_model("048_stapler", number, pose, body="static", padding=0.05)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Press the front of the arm from above with closed fingers."""
        side = side_of(self.stapler)
        press_from_above(self, expert, side, self.stapler, contact=2, away=0.08)
        return {"{A}": self.stapler.label, "{a}": side}

    def check_success(self) -> bool:
        """A finger has touched the stapler within 3 cm of its point in x, y and z."""
        if not self.stage_success_tag:
            point = position(self.stapler.contact_point(2))
            touches = self.finger_contacts(self.stapler.name)
            self.stage_success_tag = any(bool(np.all(np.abs(touch - point) < 0.03)) for touch in touches)
        return self.stage_success_tag


TASKS = (
    MoveStaplerPad,
    PlaceA2bLeft,
    PlaceA2bRight,
    PlaceFan,
    PlaceObjectScale,
    PlaceObjectStand,
    PlacePhoneStand,
    PressStapler,
    RotateQrcode,
)
