"""Forward kinematics of the official robot, aloha-agilex.

Its description is part of RoboTwin's assets. The numbers are those of AgileX's public description of the robot, with
the bases of the arms as RoboTwin's planner assumes them. The miniature's arms differ from it by about a centimetre.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from wam_eval.benchmarks.robotwin.miniature.arm import Side, Vector, rotation, transform

NAME = "aloha-agilex"
"""RoboTwin's name of the robot."""

_BASES: dict[Side, tuple[tuple[float, float, float], float]] = {
    "left": ((-0.297, -0.4195, 0.782), 0.02),
    "right": ((0.3063, -0.4185, 0.781), 0.01),
}
"""Position of an arm in the world (m), and the angle by which it is turned about z from facing +y (rad)."""

_CHAIN = (
    ((0.0, 0.0, 0.058), False, 0.0, "z"),
    ((0.025013, 0.00060169, 0.042), False, 0.0, "y"),
    ((-0.26396, 0.0044548, 0.0), True, -0.015928, "y"),
    ((0.246, -0.00025, -0.06), False, 0.0, "y"),
    ((0.06775, 0.0015, -0.0855), False, -0.015928, "z"),
    ((0.03095, 0.0, 0.0855), True, 0.0, "x"),
)
"""For each joint: origin in the parent link (m), True for a half turn of the frame about x, the angle by which the
frame is then turned about z (rad), and the axis."""

_FLIP = np.diag([1.0, -1.0, -1.0])


def hand_pose(side: Side, q: ArrayLike) -> Vector:
    """Pose of the last link of an arm in the world (4, 4).

    Args:
        q: joint angles, rad (6,).
    """
    position, turn = _BASES[side]
    pose = transform(rotation("z", math.pi / 2 + turn), position)
    for (origin, flipped, yaw, axis), angle in zip(_CHAIN, np.asarray(q, float).tolist(), strict=True):
        frame = rotation("z", yaw) @ _FLIP if flipped else rotation("z", yaw)
        pose = pose @ transform(frame @ rotation(axis, angle), origin)
    return pose
