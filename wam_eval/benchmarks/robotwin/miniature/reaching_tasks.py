"""Tasks in which objects are pressed, moved or lifted: click_*, move_playingcard_away, grab_roller."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from wam_eval.benchmarks.robotwin.miniature.arm import SIDES, Side, Vector, transform
from wam_eval.benchmarks.robotwin.miniature.env import MiniatureTask
from wam_eval.benchmarks.robotwin.miniature.expert import STEEP, Expert, NoPlan
from wam_eval.benchmarks.robotwin.miniature.objects import model
from wam_eval.benchmarks.robotwin.miniature.poses import (
    behind,
    hand_at,
    matrix,
    position,
    raised,
    side_of,
    symmetric,
)
from wam_eval.benchmarks.robotwin.miniature.shapes import TableObject
from wam_eval.benchmarks.robotwin.miniature.world import UPRIGHT, draw_pose

# Distance by which closed fingers extend beyond the point between them, and depth of a press (m).
FINGERTIP, PRESS = 0.013, 0.003


def press_from_above(
    task: MiniatureTask, expert: Expert, side: Side, item: TableObject, contact: int, away: float
) -> None:
    """Press the top of an object with closed fingers, let the task look at its success, and rise again.

    Args:
        contact: number of the contact point above which the fingers come down.
        away: distance from which they come, m.

    Raises:
        NoPlan: the arm does not reach it.
    """
    point = position(item.contact_point(contact))
    point[2] = float(item.get_pose().p[2]) + model(item.name, item.number or 0).high[1] - PRESS
    direction = expert.direction_to(side, point)
    hands = (hand_at(point, direction + turn, pitch) for pitch in STEEP for turn in (0.0, 0.4, -0.4, 0.8, -0.8))
    press = expert.choose(side, (behind(hand, FINGERTIP) for hand in hands), away, lambda hand: True)
    expert.follow({side: [expert.joints(side), expert.solve(side, behind(press, away))]})
    expert.grip({side: 0.0})
    expert.follow({side: expert.straight(side, press)})
    task.check_success()
    expert.follow({side: expert.straight(side, behind(press, away))})


class Click(MiniatureTask):
    """A button of a fixed object, to be pressed with closed fingers.

    Attributes:
        reach: horizontal tolerance of a press, m.
        object: the object; its contact point 0 is the button.
    """

    reach: ClassVar[float]
    object: TableObject

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Press from above, and rise again."""
        press_from_above(self, expert, self.arm, self.object, contact=0, away=0.06)
        return {"{A}": self.object.label, "{a}": self.arm}

    @property
    def arm(self) -> Side:
        """The arm that must press the button, which is the one on the object's side."""
        return side_of(self.object)

    def check_success(self) -> bool:
        """The gripper of that arm has been closed while a finger was at the button."""
        if self.stage_success_tag:
            return True
        closed = self.robot.is_left_gripper_close() if self.arm == "left" else self.robot.is_right_gripper_close()
        if not closed:
            return False
        button = position(self.object.contact_point(0))
        tolerance = np.array([self.reach, self.reach, 0.03])
        if any(bool(np.all(np.abs(point - button) < tolerance)) for point in self.finger_contacts(self.object.name)):
            self.stage_success_tag = True
        return self.stage_success_tag


class ClickBell(Click):
    """A desk bell."""

    name, limit = "click_bell", 400
    reach = 0.025

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The bell stands beside the middle."""
        pose = draw_pose(draws, (-0.25, 0.25), (-0.2, 0.0), rest=UPRIGHT)
        while abs(pose.p[0]) < 0.05:
            pose = draw_pose(draws, (-0.25, 0.25), (-0.2, 0.0), rest=UPRIGHT)
        number = draws.choice([0, 1], 1)[0]
        self.object = self.add_model("050_bell", number, pose, body="static", padding=0.07)


class ClickAlarmclock(Click):
    """An alarm clock with a button on top."""

    name, limit = "click_alarmclock", 400
    reach = 0.03

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The clock stands beside the middle, in any direction."""
        pose = draw_pose(draws, (-0.25, 0.25), (-0.2, 0.0), turn=(0.0, 3.14, 0.0), rest=UPRIGHT)
        while abs(pose.p[0]) < 0.05:
            pose = draw_pose(draws, (-0.25, 0.25), (-0.2, 0.0), turn=(0.0, 3.14, 0.0), rest=UPRIGHT)
        number = draws.choice([1, 3], 1)[0]
        self.object = self.add_model("046_alarm-clock", number, pose, body="static", padding=0.05)


class MovePlayingcardAway(MiniatureTask):
    """A pack of cards, to be moved to the side of the table on which it lies."""

    name, limit = "move_playingcard_away", 400
    edge = 0.23

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The cards lie near the middle, in any direction."""
        pose = draw_pose(draws, (-0.1, 0.1), (-0.2, 0.05), turn=(0.0, 3.14, 0.0), rest=UPRIGHT)
        while abs(pose.p[0]) < 0.05:
            pose = draw_pose(draws, (-0.1, 0.1), (-0.2, 0.05), turn=(0.0, 3.14, 0.0), rest=UPRIGHT)
        number = draws.choice([0, 1, 2], 1)[0]
        self.prohibited_area.append((-100.0, -0.3, 100.0, 0.1))
        self.cards = self.add_model("081_playingcards", number, pose, padding=0.1)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp the pack across its short side, carry it 30 cm outwards just above the table, and release it."""
        side = side_of(self.cards)
        point = position(self.cards.contact_point(0), 0.01)
        closing = matrix(self.cards.contact_point(0))[:3, 2]
        across = math.atan2(closing[1], closing[0])
        away = 0.3 if side == "right" else -0.3
        there = matrix(self.cards.get_pose())
        gone = transform(there[:3, :3], there[:3, 3] + [away, 0.0, 0.01])
        grasps = expert.grasps_at(side, point, symmetric(across - math.pi / 2, 2))
        expert.pick(side, self.cards, grasps, [gone], back=0.1, lift=0.01, drop=0.0)
        goal = expert.hand(side)
        goal[0, 3] += away
        expert.follow({side: expert.travel(side, goal)})
        expert.grip({side: 1.0})
        return {"{A}": self.cards.label, "{a}": side}

    def check_success(self) -> bool:
        """The cards are more than 23 cm from the middle, and both grippers are open."""
        return self.grippers_open() and abs(float(self.cards.get_pose().p[0])) > self.edge


class GrabRoller(MiniatureTask):
    """A rolling pin, to be lifted with both hands."""

    name, limit = "grab_roller", 400

    RESTS: ClassVar[dict[int, tuple[float, float, float, float]]] = {0: UPRIGHT, 2: (0.0, 0.0, 0.707, 0.707)}

    def load_actors(self, draws: np.random.RandomState) -> None:
        """The pin lies across the table, rotated by up to 0.8 rad."""
        number = int(draws.choice([0, 2], 1)[0])
        pose = draw_pose(draws, (-0.15, 0.15), (-0.25, -0.05), turn=(0.0, 0.8, 0.0), rest=self.RESTS[number])
        self.roller = self.add_model("102_roller", number, pose, padding=0.1)

    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Grasp both ends at the same time."""
        ends = matrix(self.roller.contact_point(1))[:3, 3] - matrix(self.roller.contact_point(0))[:3, 3]
        direction = math.atan2(ends[1], ends[0])
        height = 0.85 - float(self.roller.get_pose().p[2])
        grasps: dict[Side, Vector] = {}
        for i, side in enumerate(SIDES):
            point = position(self.roller.contact_point(i))

            def liftable(grasp: Vector, side: Side = side) -> bool:
                try:
                    expert.straight(side, raised(grasp, height), expert.solve(side, grasp))
                except NoPlan:
                    return False
                return True

            options = expert.grasps_at(side, point, symmetric(direction, 2))
            grasps[side] = expert.choose(side, options, 0.08, liftable)
        expert.follow({s: [expert.joints(s), expert.solve(s, behind(g, 0.08))] for s, g in grasps.items()})
        expert.follow({s: expert.straight(s, g) for s, g in grasps.items()})
        expert.grip({"left": 0.0, "right": 0.0})
        expert.lift(height, "left", "right")
        return {"{A}": self.roller.label}

    def check_success(self) -> bool:
        """Both grippers are closed, and the pin is above 80 cm."""
        closed = self.robot.is_left_gripper_close() and self.robot.is_right_gripper_close()
        return closed and float(self.roller.get_pose().p[2]) > 0.8


TASKS = (ClickAlarmclock, ClickBell, GrabRoller, MovePlayingcardAway)
