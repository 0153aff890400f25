"""Poses of hands and objects as homogeneous matrices (4, 4): grasps at contact points, and places of objects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import sapien

from wam_eval.benchmarks.robotwin.miniature.arm import (
    BASE,
    SIDES,
    TCP,
    Side,
    Vector,
    rotation,
    rotation_vector,
    transform,
)
from wam_eval.benchmarks.robotwin.miniature.jointed import JointedObject
from wam_eval.benchmarks.robotwin.miniature.shapes import TableObject

Item = TableObject | JointedObject
Direction = Sequence[float] | Vector

ALL_YAWS = tuple(sorted((math.radians(15 * k) for k in range(-11, 13)), key=abs))
"""Rotations about the vertical axis in steps of 15 degrees, small ones first, rad."""

TILTS = tuple(0.08 * k for k in range(14))
"""Angles by which grasps at contact points are tilted towards the robot, rad; the official code tries the first ten."""

TO_HAND = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Rotation from the axes of a contact point (y away from the object, z across the fingers) to those of the hand."""


def matrix(pose: sapien.Pose) -> Vector:
    """A pose as a homogeneous matrix (4, 4) in double precision."""
    return np.asarray(pose.to_transformation_matrix(), np.float64)


def position(pose: sapien.Pose, up: float = 0.0) -> Vector:
    """Position of a pose, m (3,), moved up by ``up`` m."""
    point: Vector = np.asarray(pose.p, np.float64).copy()
    point[2] += up
    return point


def hand_at(point: Sequence[float] | Vector, azimuth: float, pitch: float) -> Vector:
    """Pose of the last link for which the point between the fingertips is at a given point.

    Args:
        point: m (3,).
        azimuth: direction in which the hand points, seen from above, rad; the fingers open horizontally across it.
        pitch: angle by which it points down, rad.
    """
    turn = rotation("z", azimuth) @ rotation("y", pitch)
    return transform(turn, np.asarray(point, float) - TCP * turn[:, 0])


def raised(pose: Vector, height: float) -> Vector:
    """The pose moved up by ``height`` m."""
    return shifted(pose, (0.0, 0.0, height))


def shifted(pose: Vector, offset: Sequence[float] | Vector) -> Vector:
    """The pose moved by an offset in the world, m (3,)."""
    moved = pose.copy()
    moved[:3, 3] += offset
    return moved


def behind(pose: Vector, distance: float) -> Vector:
    """The pose moved back along the direction in which the hand points, m."""
    return shifted(pose, -distance * pose[:3, 0])


def turned_about(pose: Vector, point: Sequence[float] | Vector, axis: Direction, angle: float) -> Vector:
    """The pose rotated about an axis through a point, both in the world, by an angle in rad."""
    unit = np.asarray(axis, float) / np.linalg.norm(axis)
    turn = rotation_matrix(unit * angle)
    at = np.asarray(point, float)
    return transform(turn @ pose[:3, :3], at + turn @ (pose[:3, 3] - at))


def symmetric(direction: float, count: int) -> list[float]:
    """Directions at equal angles (rad), among which an object with ``count``-fold symmetry does not distinguish."""
    return [direction + 2 * math.pi * i / count for i in range(count)]


def other_side(side: Side) -> Side:
    """The other arm."""
    return SIDES[1 - SIDES.index(side)]


def side_of(item: Item) -> Side:
    """The arm on whose side of the table an object lies."""
    return "left" if float(item.get_pose().p[0]) < 0 else "right"


def heading(item: Item) -> float:
    """Direction of an object's own x axis, seen from above, rad."""
    column = matrix(item.get_pose())[:3, 0]
    return math.atan2(column[1], column[0])


def upright_at(point: Sequence[float] | Vector, yaws: Sequence[float], rest: Vector | None = None) -> list[Vector]:
    """Poses (4, 4) at a point, rotated from ``rest`` (3, 3) about the vertical axis by each of the angles (rad)."""
    base = np.eye(3) if rest is None else rest
    return [transform(rotation("z", yaw) @ base, point) for yaw in yaws]


def contact_grasps(side: Side, item: Item, contacts: Iterable[int] | None = None, gap: float = 0.0) -> list[Vector]:
    """Hand poses at an object's contact points, best first.

    The hand points to the contact point against its y axis, and its fingers open along its z axis. Each grasp is also
    tilted about that axis towards the robot, as in RoboTwin, and turned by half a turn, which exchanges the fingers.
    Little tilted grasps come first, then those that point away from the arm's base, then those from above.

    Args:
        contacts: numbers of the contact points; all if ``None``.
        gap: distance from the contact point at which the hand stops, m.
    """
    count = len(item.contacts)
    scored: list[tuple[float, Vector]] = []
    for index in range(count) if contacts is None else contacts:
        contact = matrix(item.contact_point(index))
        contact[:3, :3] = contact[:3, :3] @ TO_HAND
        hand = behind(contact, TCP + gap)
        for k, tilt in enumerate(TILTS):
            for half in (0, 1):
                pose = _tilted(hand, contact[:3, 3], tilt)
                if half:
                    pose = turned_about(pose, contact[:3, 3], pose[:3, 0], math.pi)
                scored.append((0.05 * k + _cost(side, pose), pose))
    scored.sort(key=lambda pair: pair[0])
    return [pose for _, pose in scored]


def _tilted(hand: Vector, point: Vector, tilt: float) -> Vector:
    """A hand rotated about its y axis through a point, to the side on which it is nearer to the robot."""
    options = [turned_about(hand, point, hand[:3, 1], sign * tilt) for sign in (1, -1)]
    return min(options, key=lambda pose: float(pose[1, 3]))


def _cost(side: Side, pose: Vector) -> float:
    """Preference among grasps: hands whose z axis points up or back to the arm, which need no turned wrist."""
    forward = pose[:3, 3] - np.array(BASE[side])
    forward[2] = 0.0
    forward /= np.linalg.norm(forward)
    # A hand that points down keeps its camera (z axis) ahead; a level hand keeps it above.
    wanted = -pose[2, 0] * forward + math.sqrt(max(0.0, 1 - pose[2, 0] ** 2)) * np.array([0.0, 0.0, 1.0])
    return 0.5 * (1.0 - float(pose[:3, 2] @ wanted)) + 0.2 * max(0.0, -float(pose[:3, 0] @ forward))


def placed(
    hand: Vector,
    side: Side,
    item: Item,
    target: sapien.Pose | Vector,
    point: int | None = None,
    constrain: Literal["free", "align", "auto"] = "auto",
    align: Sequence[Direction] | None = None,
    axis: Direction = (1.0, 0.0, 0.0),
) -> Vector:
    """Pose of an object that brings one of its functional points to a target, by RoboTwin's rule for placing.

    The z axis of the functional point (the y axis of the object, if no point is given) is turned to that of the target
    by the smallest rotation. Then the object may be turned about it.

    Args:
        hand: pose of the hand that holds the object.
        side: arm of the hand.
        target: pose of the target.
        point: number of the functional point; the origin of the object if ``None``.
        constrain: ``free`` for no further rotation; ``align`` to turn ``axis`` to the nearest of the directions
            ``align``; ``auto`` to keep the hand in a convenient direction.
        align: directions in the world; the x axis of the target if ``None``.
        axis: direction in the frame of the functional point (or of the object).
    """
    goal = target if isinstance(target, np.ndarray) else matrix(target)
    body = matrix(item.get_pose())
    start = body if point is None else matrix(item.functional_point(point))
    up = goal[:3, 2]
    turn = _between(start[:3, 1] if point is None else start[:3, 2], up)
    if constrain == "auto":
        ahead = start[:3, 3] - hand[:3, 3]
        if abs(ahead[2]) <= 0.1:
            turn = _about(up, ahead, [[1, 1, 0] if side == "left" else [-1, 1, 0]]) @ turn
        else:
            turn = _about(up, hand[:3, 2], [[0, 1, 0]]) @ turn
    elif constrain == "align":
        turned = turn @ start[:3, :3] @ np.asarray(axis, float)
        turn = _about(up, turned, [goal[:3, 0]] if align is None else align) @ turn
    return transform(turn @ body[:3, :3], goal[:3, 3] + turn @ (body[:3, 3] - start[:3, 3]))


def turned_places(place: Vector, target: sapien.Pose | Vector, turns: Iterable[float]) -> Iterator[Vector]:
    """A pose of an object, rotated about the z axis of a target by each of the angles (rad)."""
    goal = target if isinstance(target, np.ndarray) else matrix(target)
    for angle in turns:
        yield turned_about(place, goal[:3, 3], goal[:3, 2], angle)


def _about(up: Vector, vector: Vector, directions: Sequence[Direction]) -> Vector:
    """Rotation about ``up`` that turns a vector to the nearest of some directions, all seen along ``up``."""
    units = [np.asarray(direction, float) / np.linalg.norm(direction) for direction in directions]
    nearest = max(units, key=lambda unit: float(vector @ unit))
    flat = [part - (part @ up) * up for part in (vector, nearest)]
    if min(float(np.linalg.norm(part)) for part in flat) < 1e-6:
        return np.eye(3)
    angle = math.atan2(float(np.cross(flat[0], flat[1]) @ up), float(flat[0] @ flat[1]))
    return rotation_matrix(up * angle)


def _between(first: Vector, second: Vector) -> Vector:
    """The smallest rotation that turns one unit vector to another one."""
    axis = np.cross(first, second)
    length = float(np.linalg.norm(axis))
    if length < 1e-9:
        return np.eye(3)
    return rotation_matrix(axis / length * math.atan2(length, float(first @ second)))


def rotation_matrix(vector: Vector) -> Vector:
    """Rotation matrix (3, 3) of a rotation vector (rad)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)


def angle_between(first: Vector, second: Vector) -> float:
    """Angle of the rotation between two poses or rotation matrices, rad."""
    return float(np.linalg.norm(rotation_vector(first[:3, :3] @ second[:3, :3].T)))
