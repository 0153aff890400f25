"""Tasks with articulated objects: lift_pot, open_laptop, open_microwave, put_object_cabinet, turn_switch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import sapien

from wam_eval.benchmarks.robotwin.miniature.arm import SIDES, TCP, Side, Vector
from wam_eval.benchmarks.robotwin.miniature.env import MiniatureTask
from wam_eval.benchmarks.robotwin.miniature.expert import Expert, NoPlan
from wam_eval.benchmarks.robotwin.miniature.jointed import JointedObject
from wam_eval.benchmarks.robotwin.miniature.objects import model_numbers
from wam_eval.benchmarks.robotwin.miniature.poses import (
    ALL_YAWS,
    contact_grasps,
    matrix,
    other_side,
    position,
    raised,
    turned_about,
    upright_at,
)
from wam_eval.benchmarks.robotwin.miniature.world import PLACE_HEIGHT, UPRIGHT_Y, draw_pose

QUARTER = (0.704141, 0.0, 0.0, 0.71006)
"""Orientation of objects whose front is to the robot, a quarter turn, as RoboTwin writes it."""


def swing(item: JointedObject, hand: Vector, angle: float, steps: int, part: float = 1.0) -> list[Vector]:
    """Hand poses that follow a link, about the hinge that moves first, by an angle in rad.

    Args:
        part: part of the angle by which the hand turns with the link.
    """
    hinge = next(joint for joint in item.model.joints if joint.kind == "revolute")
    frame = matrix(item.link(hinge.child).entity_pose)
    axis = frame[:3, :3] @ np.asarray(hinge.axis)
    poses = []
    for turn in np.linspace(0.0, angle, steps + 1)[1:]:
        pose = turned_about(hand, frame[:3, 3], axis, turn)
        poses.append(turned_about(pose, pose[:3, 3] + TCP * pose[:3, 0], axis, -(1 - part) * turn))
    return poses


def can_swing(expert: Expert, side: Side, item: JointedObject, hand: Vector, angle: float, part: float = 1.0) -> bool:
    """True if a hand can follow :func:`swing`."""
    try:
        path = [expert.solve(side, hand)]
        for pose in swing(item, hand, angle, 10, part):
            path += expert.straight(side, pose, path[-1])[1:]
    except NoPlan:
        return False
    return True


class LiftPot(MiniatureTask):
    """A pot, to be lifted at its handles with both hands."""

    name, limit = "lift_pot", 400
    HALF_OPEN, HEIGHT = 0.5, 0.88

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The pot stands in the middle, rotated by up to 22.5 degrees."""
        number = draws.randint(0, 2)
        span = (-0.05, 0.05)
        pose = draw_pose(draws, span, span, turn=(0.0, 0.0, math.pi / 8), rest=QUARTER)
        self.pot = self.add_jointed("060_kitchenpot", number, pose)
        x, y = float(pose.p[0]), float(pose.p[1])
        self.prohibited_area.append((x - 0.3, y - 0.1, x + 0.3, y + 0.1))

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp both handles at the same time, with half open hands."""
        rise = self.HEIGHT - float(self.pot.get_pose().p[2])
        grasps: dict[Side, Vector] = {}
        for i, side in enumerate(SIDES):

            def liftable(grasp: Vector, side: Side = side) -> bool:
                try:
                    expert.straight(side, raised(grasp, rise), expert.solve(side, grasp))
                except NoPlan:
                    return False
                return True

            grasps[side] = expert.choose(side, contact_grasps(side, self.pot, [i]), 0.05, liftable)
        expert.grip(dict.fromkeys(SIDES, self.HALF_OPEN))
        expert.take(grasps, back=0.05)
        expert.lift(rise, *SIDES)
        return {"{A}": self.pot.label}

    def check_success(self) -> bool:
        """The pot is above 82 cm and upright, with each hand within 3 cm of its handle."""
        pose = self.pot.get_pose()
        if pose.p[2] <= 0.82 or pose.to_transformation_matrix()[2, 2] <= 0.8:
            return False
        return all(self._gap(side, i) < 0.03 for i, side in enumerate(SIDES))

    def _gap(self, side: Side, contact: int) -> float:
        tip = self.robot.hand_pose(side) * sapien.Pose([TCP, 0.0, 0.0])
        return float(np.linalg.norm(tip.p - self.pot.contact_point(contact).p))


class OpenLaptop(MiniatureTask):
    """A laptop that is a fifth open, to be opened by another fifth at least."""

    name, limit = "open_laptop", 700
    START, GOAL, AIM = 0.2, 0.4, 0.52

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The laptop is rotated by up to 60 degrees."""
        number = draws.randint(0, 11)
        pose = draw_pose(draws, (-0.05, 0.05), (-0.1, 0.05), turn=(0.0, 0.0, math.pi / 3), rest=(0.7, 0.0, 0.0, 0.7))
        self.laptop = self.add_jointed("015_laptop", number, pose, fixed=True)
        self.laptop.set_qpos([self._at(self.START)])
        self.laptop.set_drives(1.0)
        self.keep_clear(self.laptop, 0.1)
        self.side: Side = "left" if matrix(self.laptop.get_pose())[0, 0] > 0 else "right"

    def _at(self, part: float) -> float:
        """Angle of the hinge at a part of its range, rad."""
        low, high = (float(limit) for limit in self.laptop.limits[0])
        return low + part * (high - low)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp the edge of the lid and turn it with the hand, or raise it with a hand that turns less."""
        angle = self._at(self.AIM) - float(self.laptop.qpos[0])
        grasps = contact_grasps(self.side, self.laptop, [0])
        options = ((grasp, part) for part in (1.0, 0.5, 0.0) for grasp in grasps)
        for grasp, part in options:
            if expert.can_grasp(self.side, grasp, 0.07) and can_swing(
                expert, self.side, self.laptop, grasp, angle, part
            ):
                break
        else:
            raise NoPlan(f"{self.side} arm cannot follow the lid")
        expert.take({self.side: grasp}, back=0.07, close=0.0 if part == 1.0 else 0.3)
        expert.trace({self.side: swing(self.laptop, expert.hand(self.side), angle, 10, part)})
        return {"{A}": self.laptop.label, "{a}": self.side}

    def check_success(self) -> bool:
        """The lid is at two fifths of its range, and the hand is within 10 cm of its edge."""
        if self.laptop.qpos[0] < self._at(self.GOAL):
            return False
        tip = self.robot.hand_pose(self.side) * sapien.Pose([TCP, 0.0, 0.0])
        return bool(np.linalg.norm(tip.p - self.laptop.contact_point(1).p) < 0.1)


class OpenMicrowave(MiniatureTask):
    """A microwave with a door whose hinge is at the left."""

    name, limit = "open_microwave", 1500
    GOAL, AIM = 0.6, 0.68

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The microwave stands behind the middle."""
        number = draws.randint(0, 2)
        pose = draw_pose(draws, (-0.12, -0.02), (0.15, 0.2), (0.8, 0.8), rest=(0.707, 0.0, 0.0, 0.707))
        self.microwave = self.add_jointed("044_microwave", number, pose, fixed=True)
        self.microwave.set_drives(0.0)
        self.keep_clear(self.microwave)
        self.prohibited_area.append((-0.25, -0.25, 0.25, 0.1))

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Pull the handle along its arc."""
        angle = self.AIM * float(self.microwave.limits[0][1]) - float(self.microwave.qpos[0])
        grasp = expert.choose(
            "left",
            contact_grasps("left", self.microwave, [0, 3]),
            0.07,
            lambda grasp: can_swing(expert, "left", self.microwave, grasp, angle),
        )
        expert.take({"left": grasp}, back=0.07)
        expert.trace({"left": swing(self.microwave, expert.hand("left"), angle, 10)})
        return {"{A}": self.microwave.label, "{a}": "left"}

    def check_success(self) -> bool:
        """The door is open by 60 percent of its range."""
        return bool(self.microwave.qpos[0] >= self.GOAL * self.microwave.limits[0][1])


class PutObjectCabinet(MiniatureTask):
    """A small object, to be put into the drawer of a cabinet."""

    name, limit = "put_object_cabinet", 700
    BACK = (0.0, 0.02, 0.0)
    OBJECTS = (
        "047_mouse",
        "048_stapler",
        "057_toycar",
        "073_rubikscube",
        "075_bread",
        "077_phone",
        "081_playingcards",
        "112_tea-box",
        "113_coffee-box",
        "107_soap",
    )

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The cabinet stands behind the middle, the object at one side."""
        pose = draw_pose(draws, (-0.05, 0.05), (0.155, 0.155), rest=(1.0, 0.0, 0.0, 1.0))
        self.cabinet = self.add_jointed("036_cabinet", 46653, pose, fixed=True)
        pose = self._draw_object(draws, 0.25)
        while abs(pose.p[0]) < 0.2:
            pose = self._draw_object(draws, 0.32)
        family = str(draws.choice(self.OBJECTS))
        self.object = self.add_model(family, draws.choice(model_numbers(family)), pose)
        self.keep_clear(self.object, 0.01)
        self.keep_clear(self.cabinet, 0.01)
        self.prohibited_area.append((-0.15, -0.3, 0.15, 0.3))
        self.side: Side = "right" if pose.p[0] > 0 else "left"
        self.start_height = PLACE_HEIGHT + self.table_z_bias

    def _draw_object(self, draws: np.random.RandomState, widest: float) -> sapien.Pose:
        return draw_pose(draws, (-widest, widest), (-0.2, -0.1), turn=(0.0, math.pi / 3, 0.0), rest=UPRIGHT_Y)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Pull the drawer with one hand, then drop the object into it with the other one."""
        side, puller = self.side, other_side(self.side)
        handle = expert.choose(puller, contact_grasps(puller, self.cabinet, [0, 1]), 0.06, lambda grasp: True)
        expert.take({puller: handle}, back=0.06)
        expert.shift({puller: (0.0, -0.16, 0.0)}, least=0.75)
        expert.grip({puller: 1.0})
        expert.withdraw(0.08, puller)
        spot = position(self.cabinet.functional_point(0), 0.05) + self.BACK
        targets = upright_at(spot, ALL_YAWS[::2], matrix(self.object.get_pose())[:3, :3])
        grasps = [grasp for grasp in contact_grasps(side, self.object) if grasp[2, 0] < -0.8][:40]
        expert.pick(side, self.object, grasps, targets, lift=0.2, drop=0.15, retreat=True)
        expert.place(side, self.object, targets, drop=0.15)
        return {"{A}": self.object.label, "{B}": "036_cabinet/base0", "{a}": side, "{b}": puller}

    def check_success(self) -> bool:
        """The object is within 5 cm of the middle of the drawer, higher than on the table, and its hand is open."""
        left = self.side == "left"
        if not (self.robot.is_left_gripper_open() if left else self.robot.is_right_gripper_open()):
            return False
        spot, drawer = position(self.object.get_pose()), position(self.cabinet.functional_point(0))
        inside = bool(np.all(np.abs(spot - drawer)[:2] < 0.05))
        return inside and bool(0.007 < spot[2] - self.start_height < 0.12)


class TurnSwitch(MiniatureTask):
    """A rocker switch on a stand, to be pressed."""

    name, limit = "turn_switch", 400
    DEPTHS: Sequence[float] = (-0.04, -0.013, -0.005, 0.0, 0.005, 0.01, 0.015)

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The switch is rotated by up to 45 degrees."""
        number = draws.randint(0, 8)
        pose = draw_pose(draws, (-0.25, 0.25), (0.0, 0.1), (0.81, 0.84), turn=(0.0, 0.0, math.pi / 4), rest=QUARTER)
        self.switch = self.add_jointed("056_switch", number, pose, fixed=True)
        self.prohibited_area.append((-0.4, -0.2, 0.4, 0.2))

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Press with closed fingers, deeper until the switch turns."""
        side: Side = "right" if matrix(self.switch.get_pose())[0, 0] < 0 else "left"
        grasp = expert.choose(side, contact_grasps(side, self.switch), 0.06, lambda grasp: True)
        ahead = grasp[:3, 0]
        expert.follow({side: [expert.joints(side), expert.solve(side, grasp - _along(ahead, 0.06))]})
        expert.grip({side: 0.0})
        for depth in self.DEPTHS:
            expert.follow({side: expert.straight(side, grasp + _along(ahead, depth))})
            if self.check_success():
                break
        return {"{A}": self.switch.label, "{a}": side}

    def check_success(self) -> bool:
        """The switch is within 0.05 rad of the end of its range."""
        return bool(self.switch.qpos[0] >= self.switch.limits[0][1] - 0.05)


def _along(direction: Vector, distance: float) -> Vector:
    """Offset to be added to a pose to move it by ``distance`` m along a direction."""
    offset = np.zeros((4, 4))
    offset[:3, 3] = distance * direction
    return offset


TASKS = (LiftPot, OpenLaptop, OpenMicrowave, PutObjectCabinet, TurnSwitch)
