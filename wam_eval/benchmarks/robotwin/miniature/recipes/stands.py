"""Recipes of things that carry other things: display stand, phone stand, block of wood, electronic scale."""

from __future__ import annotations

import math

import sapien

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe, Vector3, frame_pose
from wam_eval.benchmarks.robotwin.miniature.shapes import Part


def display_stand(model: Model) -> list[Part]:
    """A pedestal: foot, column and top."""
    (x, y, z), low = (size / 2 for size in model.size), model.low[1]
    light, dark = (0.88, 0.86, 0.8), (0.45, 0.38, 0.33)
    return [
        Part("box", (x, 0.2 * y, z), (0.0, low + 0.2 * y, 0.0), color=dark),
        Part("box", (0.85 * x, 0.7 * y, 0.85 * z), (0.0, low + 1.1 * y, 0.0), color=light),
        Part("box", (x, 0.1 * y, z), (0.0, low + 1.9 * y, 0.0), color=dark),
    ]


def phone_stand(model: Model) -> list[Part]:
    """A leaning back with a ledge and a lip, on a post and a foot. The phone's lower edge belongs at its point 0."""
    edge = frame_pose(model.points[0])  # x points out of the screen, z up along the phone
    (half, _, depth), low = (size / 2 for size in model.size), model.low[1]
    color, height, z = (0.25, 0.27, 0.3), float(edge.p[1]), float(edge.p[2])

    def leaning(size: Vector3, out: float, up: float) -> Part:
        pose = edge * sapien.Pose([out, 0.0, up])
        (x, y, at_z), (a, b, c, d) = pose.p.tolist(), pose.q.tolist()
        return Part("box", size, (x, y, at_z), (a, b, c, d), color)

    length = (model.high[1] - height) / float(edge.to_transformation_matrix()[1, 2])
    return [
        Part("box", (half, 0.006, depth), (0.0, low + 0.006, model.center[2]), color=color),
        Part("box", (0.012, (height - low) / 2, 0.012), (0.0, (low + height) / 2, z - 0.016), color=color),
        leaning((0.003, 0.026, length / 2 + 0.006), -0.004, length / 2 - 0.006),
        leaning((0.015, 0.03, 0.004), 0.012, -0.006),
        leaning((0.0025, 0.03, 0.008), 0.0275, -0.002),
    ]


def wooden_block(model: Model) -> list[Part]:
    """A block of wood as high as its point 0, with a dark top."""
    # The bounding boxes of some official blocks begin below the face on which they stand.
    (x, _, z), low, top = (size / 2 for size in model.size), max(model.low[1], -0.0015), model.points[0][1]
    middle, half = (low + top) / 2, (top - low) / 2
    return [
        Part("box", (x, half, z), (0.0, middle, 0.0), color=(0.8, 0.6, 0.38)),
        Part("box", (0.85 * x, half + 0.0006, 0.85 * z), (0.0, middle, 0.0), color=(0.7, 0.48, 0.28), solid=False),
    ]


def scale(model: Model) -> list[Part]:
    """An electronic scale: a body, a plate around its point 0, and a display where the plate leaves space."""
    (x, y, z), low = (size / 2 for size in model.size), model.low[1]
    at_x, _, at_z = model.points[0][:3]
    body = 2 * y - 0.006
    plate = (0.95 * (x - abs(at_x)), 0.003, 0.95 * (z - abs(at_z)))
    parts = [
        Part("box", (x, body / 2, z), (0.0, low + body / 2, 0.0), color=(0.85, 0.86, 0.88)),
        Part("box", plate, (at_x, low + body + 0.003, at_z), color=(0.55, 0.58, 0.6)),
    ]
    wide, deep = 2 * abs(at_x), 2 * abs(at_z)
    green = (0.1, 0.25, 0.15)
    if wide > max(deep, 0.01):
        place = (math.copysign(x - wide / 2, -at_x), low + body, 0.0)
        parts.append(Part("box", (0.3 * wide, 0.001, 0.5 * z), place, color=green, solid=False))
    elif deep > 0.01:
        place = (0.0, low + body, math.copysign(z - deep / 2, -at_z))
        parts.append(Part("box", (0.5 * x, 0.001, 0.3 * deep), place, color=green, solid=False))
    return parts


RECIPES: dict[str, Recipe] = {
    "072_electronicscale": scale,
    "074_displaystand": display_stand,
    "078_phonestand": phone_stand,
    "086_woodenblock": wooden_block,
}
