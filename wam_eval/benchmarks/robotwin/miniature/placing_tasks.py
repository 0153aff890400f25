"""Tasks in which an object is put on another one: place_mouse_pad, stamp_seal, place_empty_cup."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import sapien

from wam_eval.benchmarks.robotwin.miniature.arm import Side
from wam_eval.benchmarks.robotwin.miniature.env import MiniatureTask
from wam_eval.benchmarks.robotwin.miniature.expert import Expert
from wam_eval.benchmarks.robotwin.miniature.poses import (
    ALL_YAWS,
    heading,
    matrix,
    position,
    side_of,
    symmetric,
    upright_at,
)
from wam_eval.benchmarks.robotwin.miniature.shapes import Color, TableObject
from wam_eval.benchmarks.robotwin.miniature.world import UPRIGHT, Range, apart, draw_pose

PAD_COLORS: dict[str, Color] = {
    "Red": (1, 0, 0),
    "Green": (0, 1, 0),
    "Blue": (0, 0, 1),
    "Yellow": (1, 1, 0),
    "Cyan": (0, 1, 1),
    "Magenta": (1, 0, 1),
    "Black": (0, 0, 0),
    "Gray": (0.5, 0.5, 0.5),
}
"""Colors of the mouse pads, by RoboTwin's names."""

SEAL_COLORS: dict[str, Color] = {
    **PAD_COLORS,
    "Orange": (1, 0.5, 0),
    "Purple": (0.5, 0, 0.5),
    "Brown": (0.65, 0.4, 0.16),
    "Pink": (1, 0.75, 0.8),
    "Lime": (0.5, 1, 0),
    "Olive": (0.5, 0.5, 0),
    "Teal": (0, 0.5, 0.5),
    "Maroon": (0.5, 0, 0),
    "Navy": (0, 0, 0.5),
    "Coral": (1, 0.5, 0.31),
    "Turquoise": (0.25, 0.88, 0.82),
    "Indigo": (0.29, 0, 0.51),
    "Beige": (0.96, 0.91, 0.81),
    "Tan": (0.82, 0.71, 0.55),
    "Silver": (0.75, 0.75, 0.75),
}
"""Colors of the squares for seals, by RoboTwin's names."""


class PlaceOnPad(MiniatureTask):
    """An object to be put on a colored pad on the same side of the table.

    Attributes:
        object: the object.
        pad: the pad.
        color: name of the pad's color.
    """

    object: TableObject
    pad: TableObject
    color: str

    def draw_pad(self, draws: np.random.RandomState, pose: sapien.Pose, y: Range, redraw_y: Range) -> sapien.Pose:
        """Draw the pose of the pad, on the side of the object and 10 cm away from it.

        Args:
            pose: pose of the object.
            y, redraw_y: range of the pad, m, in the first and in further draws.
        """
        x: Range = (0.05, 0.25) if pose.p[0] > 0 else (-0.25, -0.05)
        pad = draw_pose(draws, x, y)
        while apart(pad, float(pose.p[0]), float(pose.p[1])) < 0.1:
            pad = draw_pose(draws, x, redraw_y)
        return pad

    def names(self, side: Side) -> dict[str, str]:
        """Values of the placeholders."""
        return {"{A}": self.object.label, "{B}": self.color, "{a}": side}


class PlaceMousePad(PlaceOnPad):
    """A computer mouse, to be put on a pad and along it."""

    name, limit = "place_mouse_pad", 400
    PAD: ClassVar[tuple[float, float, float]] = (0.035, 0.065, 0.0005)

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The mouse lies in any direction."""
        x, front = (-0.25, 0.25), (-0.2, 0.0)
        pose = draw_pose(draws, x, front, turn=(0.0, 3.14, 0.0), rest=UPRIGHT)
        while abs(pose.p[0]) < 0.05:
            pose = draw_pose(draws, x, front, turn=(0.0, math.pi / 4, 0.0), rest=UPRIGHT)
        number = draws.choice([0, 1, 2], 1)[0]
        self.object = self.add_model("047_mouse", number, pose, mass=0.05, padding=0.03)
        pad = self.draw_pad(draws, pose, front, front)
        self.color = list(PAD_COLORS)[draws.choice(len(PAD_COLORS))]
        self.pad = self.add_box("box", self.PAD, pad, PAD_COLORS[self.color], body="static", padding=0.12)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp the mouse across its back."""
        side = side_of(self.object)
        across = heading(self.object)
        point = position(self.object.contact_point(0))
        rest = matrix(sapien.Pose([0.0, 0.0, 0.0], UPRIGHT))[:3, :3]
        spot = position(self.pad.get_pose(), 0.002)
        targets = upright_at(spot, [math.pi / 2, -math.pi / 2], rest)
        grasps = expert.grasps_at(side, point, symmetric(across + math.pi / 2, 2))
        expert.pick(side, self.object, grasps, targets, lift=0.1)
        expert.place(side, self.object, targets, drop=0.07)
        return self.names(side)

    def check_success(self) -> bool:
        """The mouse is within 1.5 and 1.2 cm of the pad's center and along it, and both grippers are open."""
        if not self.grippers_open():
            return False
        pose = self.object.get_pose()
        gap = np.abs(np.asarray(pose.p[:2], float) - np.asarray(self.pad.get_pose().p[:2], float))
        q = np.abs(np.asarray(pose.q, float))
        along = abs(q[2] * q[3] - 0.49) < 0.015 or abs(q[0] * q[1] - 0.49) < 0.015
        return bool(gap[0] < 0.015 and gap[1] < 0.012 and along)


class StampSeal(PlaceOnPad):
    """A seal, to be put on a colored square."""

    name, limit = "stamp_seal", 400
    PAD: ClassVar[tuple[float, float, float]] = (0.035, 0.035, 0.0005)

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The seal stands upright, without rotation."""
        x, near = (-0.25, 0.25), (-0.05, 0.05)
        pose = draw_pose(draws, x, near, rest=UPRIGHT)
        while abs(pose.p[0]) < 0.05:
            pose = draw_pose(draws, x, near, rest=UPRIGHT)
        number = draws.choice([0, 2, 3, 4, 6], 1)[0]
        self.object = self.add_model("100_seal", number, pose, mass=0.05, padding=0.1)
        pad = self.draw_pad(draws, pose, near, (-0.05, 0.1))
        self.color = list(SEAL_COLORS)[draws.choice(len(SEAL_COLORS))]
        self.pad = self.add_box("box", self.PAD, pad, SEAL_COLORS[self.color], body="visual", padding=0.1)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp the seal by its handle."""
        side = side_of(self.object)
        point = position(self.object.contact_point(0))
        rest = matrix(self.object.get_pose())[:3, :3]
        spot = position(self.pad.get_pose(), 0.002)
        targets = upright_at(spot, ALL_YAWS, rest)
        grasps = expert.grasps_at(side, point, symmetric(0.0, 4))
        expert.pick(side, self.object, grasps, targets, lift=0.05)
        expert.place(side, self.object, targets, drop=0.05)
        return self.names(side)

    def check_success(self) -> bool:
        """The seal is within 1 cm of the square's center, and both grippers are open."""
        gap = np.asarray(self.object.get_pose().p[:2], float) - np.asarray(self.pad.get_pose().p[:2], float)
        return self.grippers_open() and bool(np.all(np.abs(gap) < 0.01))


class PlaceEmptyCup(MiniatureTask):
    """A cup, to be put on a coaster."""

    name, limit = "place_empty_cup", 500
    tolerance = 0.035

    HALF_OPEN = 0.6

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The cup is at one side, the coaster near the middle, 10 cm apart."""
        tag = draws.randint(0, 2)
        y = (-0.2, 0.05)
        cup = draw_pose(draws, ((0.15, 0.3), (-0.3, -0.15))[tag], y, rest=UPRIGHT)
        self.cup = self.add_model("021_cup", 0, cup, padding=0.05)
        x = ((-0.05, 0.1), (-0.1, 0.05))[tag]
        coaster = draw_pose(draws, x, y, rest=UPRIGHT)
        while apart(coaster, float(cup.p[0]), float(cup.p[1])) < 0.1:
            coaster = draw_pose(draws, x, y, rest=UPRIGHT)
        self.coaster = self.add_model("019_coaster", 0, coaster, body="static", padding=0.05)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp the cup by its rim, with one finger inside."""
        side: Side = side_of(self.cup)
        # Both sides of the rim are possible; the one on the side of the arm is preferred.
        points = [position(self.cup.contact_point(i)) for i in (0, 2)]
        points.sort(key=lambda point: -point[0] if side == "right" else point[0])
        rest = matrix(self.cup.get_pose())[:3, :3]
        spot = position(self.coaster.get_pose(), self.coaster.extents[1] + 0.002)
        targets = upright_at(spot, ALL_YAWS, rest)
        expert.grip({side: self.HALF_OPEN})
        quarter = math.pi / 2
        grasps = [g for point in points for g in expert.grasps_at(side, point, (quarter, -quarter))]
        grasps.sort(key=lambda grasp: grasp[2, 0])
        expert.pick(side, self.cup, grasps, targets, lift=0.08)
        expert.place(side, self.cup, targets, drop=0.05)
        return {"{A}": self.cup.label, "{B}": self.coaster.label, "{a}": side}

    def check_success(self) -> bool:
        """The cup is within 3.5 cm of the coaster's center and 1.5 cm of its height, and both grippers are open."""
        if not self.grippers_open():
            return False
        gap = position(self.cup.functional_point(0)) - position(self.coaster.functional_point(0))
        return bool(gap[0] ** 2 + gap[1] ** 2 < self.tolerance**2 and abs(gap[2]) < 0.015)


TASKS = (PlaceEmptyCup, PlaceMousePad, StampSeal)
