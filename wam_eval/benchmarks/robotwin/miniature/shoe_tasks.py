"""Tasks with shoes: place_shoe, place_dual_shoes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import sapien

from wam_eval.benchmarks.robotwin.miniature.arm import SIDES, Side, Vector
from wam_eval.benchmarks.robotwin.miniature.arranging_tasks import faces
from wam_eval.benchmarks.robotwin.miniature.env import MiniatureTask
from wam_eval.benchmarks.robotwin.miniature.expert import Expert
from wam_eval.benchmarks.robotwin.miniature.poses import contact_grasps, matrix, position, raised, upright_at
from wam_eval.benchmarks.robotwin.miniature.shapes import TableObject
from wam_eval.benchmarks.robotwin.miniature.world import UPRIGHT_Y, Range, apart, draw_pose

TOE_LEFT = (0.5, 0.5, -0.5, -0.5)
"""Orientation (quaternion w, x, y, z) of a shoe that stands with its toe to the left."""


def draw_shoe(draws: np.random.RandomState, x: Range) -> sapien.Pose:
    """Draw the pose of a shoe: in any direction, 15 cm away from the center of the table."""
    while True:
        pose = draw_pose(draws, x, (-0.1, 0.05), near_middle=True, turn=(0.0, 3.14, 0.0), rest=UPRIGHT_Y)
        if apart(pose, 0.0, 0.0) >= 0.15:
            return pose


def shaft_grasps(side: Side, shoe: TableObject, up: float) -> list[Vector]:
    """Hand poses across the shaft of a shoe, raised above its contact points by ``up`` m."""
    return [raised(grasp, up) for grasp in contact_grasps(side, shoe)]


def standing(point: Vector) -> list[Vector]:
    """The pose of a shoe at a point (m) with its toe to the left."""
    return upright_at(point, [0.0], matrix(sapien.Pose([0.0, 0.0, 0.0], TOE_LEFT))[:3, :3])


class PlaceShoe(MiniatureTask):
    """A shoe, to be put on a blue mat with its toe to the left."""

    name, limit = "place_shoe", 500
    MAT: ClassVar[tuple[float, float, float]] = (0.13, 0.05, 0.0005)

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The mat is at the front of the table."""
        self.mat = self.add_box("box", self.MAT, sapien.Pose([0.0, -0.08, 0.74]), (0.0, 0.0, 1.0), body="static")
        pose = draw_shoe(draws, (-0.25, 0.25))
        self.prohibited_area.append((-0.2, -0.15, 0.2, -0.01))
        self.shoe = self.add_model("041_shoe", draws.choice(list(range(10))), pose, padding=0.1)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp the shoe by its shaft."""
        side: Side = "left" if self.shoe.get_pose().p[0] < 0 else "right"
        targets = standing(position(self.mat.get_pose(), 0.005))
        expert.pick(side, self.shoe, shaft_grasps(side, self.shoe, 0.01), targets, lift=0.07)
        expert.place(side, self.shoe, targets)
        return {"{A}": self.shoe.label, "{a}": side}

    def check_success(self) -> bool:
        """The shoe is within 5 and 2 cm of the mat's place with its toe to the left, and both grippers are open."""
        pose = self.shoe.get_pose()
        near = abs(pose.p[0]) < 0.05 and abs(pose.p[1] + 0.08) < 0.02
        return self.grippers_open() and bool(near) and faces(pose, TOE_LEFT, 0.07)


class PlaceDualShoes(MiniatureTask):
    """A pair of shoes, to be put into their box with the toes to the left."""

    name, limit, table_height_offset = "place_dual_shoes", 600, -0.1
    PLACES: ClassVar[dict[Side, float]] = {"left": -0.17, "right": -0.09}

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The box is in the middle, one shoe at each side."""
        box = sapien.Pose([0.0, -0.13, 0.74], TOE_LEFT)
        self.box = self.add_model("007_shoe-box", 0, box, body="static")
        number = draws.choice(list(range(10)))
        ranges: dict[Side, Range] = {"left": (-0.3, -0.2), "right": (0.2, 0.3)}
        self.shoes = {
            side: self.add_model("041_shoe", number, draw_shoe(draws, x), padding=0.02) for side, x in ranges.items()
        }
        self.prohibited_area.append((-0.15, -0.25, 0.15, 0.01))

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Bring the left shoe and then the right one, and let them fall the last centimetres, clear of the box."""
        for side in SIDES:
            shoe = self.shoes[side]
            spot = position(self.box.functional_point(SIDES.index(side)), -0.03)
            targets = standing(spot)
            expert.pick(side, shoe, shaft_grasps(side, shoe, 0.03), targets, lift=0.15, retreat=side == "right")
            expert.place(side, shoe, targets)
        self.wait(300)
        return {"{A}": self.shoes["left"].label, "{B}": self.box.label}

    def check_success(self) -> bool:
        """Both shoes stand in the box with their toes to the left, and both grippers are open."""
        if not self.grippers_open():
            return False
        floor = float(self.box.get_pose().p[2]) + 0.01
        for side, shoe in self.shoes.items():
            x, y, z = (float(value) for value in shoe.get_pose().p)
            near = abs(x) < 0.05 and abs(y - self.PLACES[side]) < 0.05 and abs(z - floor) < 0.03
            if not near or not faces(shoe.get_pose(), TOE_LEFT, 0.07):
                return False
        return True


TASKS = (PlaceDualShoes, PlaceShoe)
