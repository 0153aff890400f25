"""Recipes of things in an office: phone, stapler, fan, payment sign, remote control."""

from __future__ import annotations

import math

import sapien

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe, Vector3, frame_pose
from wam_eval.benchmarks.robotwin.miniature.shapes import ALONG, Color, Part

_PLASTIC, _IRON = (0.2, 0.21, 0.23), (0.3, 0.3, 0.33)

# The bounding boxes of some official fans and signs begin below the face on which they stand.
_FOOT = -0.0015


def phone(model: Model) -> list[Part]:
    """A phone with its screen on the side to which the x axis of its point 0 looks."""
    (x, y, z), middle = (size / 2 for size in model.size), model.center[1]
    up = 1.0
    if model.points:
        up = math.copysign(1.0, float(frame_pose(model.points[0]).to_transformation_matrix()[1, 0]))
    return [
        Part("box", (x, y, z), (0.0, middle, 0.0), color=(0.12, 0.12, 0.14)),
        Part("box", (0.9 * x, 0.001, 0.9 * z), (0.0, middle + up * y, 0.0), color=(0.25, 0.5, 0.85), solid=False),
    ]


def stapler(model: Model) -> list[Part]:
    """A base, and an arm above it, joined at the end to -z."""
    (x, y, z), low = (size / 2 for size in model.size), model.low[1]
    return [
        Part("box", (x, 0.3 * y, z), (0.0, low + 0.3 * y, 0.0), color=_IRON),
        Part("box", (0.8 * x, 0.3 * y, 0.3 * z), (0.0, low + 0.7 * y, -0.68 * z), color=_IRON),
        Part("box", (0.94 * x, 0.52 * y, 0.98 * z), (0.0, low + 1.48 * y, 0.0), color=(0.75, 0.13, 0.13)),
    ]


def fan(model: Model) -> list[Part]:
    """A desk fan that blows to +z: foot, pole, and a head with blades."""
    radius, top, low = 0.47 * model.size[0], model.high[1], max(model.low[1], _FOOT)
    ahead, depth = (model.contacts[0][2] if model.contacts else 0.0), 0.45 * model.size[2]
    middle = top - radius
    pole = (0.012, (middle - low) / 2, 0.009)
    blade, blue = (0.4 * radius, 0.16 * radius, 0.002), (0.2, 0.45, 0.7)
    parts = [
        Part("box", (0.75 * radius, 0.008, depth), (0.0, low + 0.008, 0.0), color=_PLASTIC),
        Part("box", pole, (0.0, (middle + low) / 2, ahead - 0.017), color=_PLASTIC),
        Part("cylinder", (radius, 0.008), (0.0, middle, ahead), ALONG["z"], (0.75, 0.85, 0.9)),
        Part("cylinder", (0.2 * radius, 0.004), (0.0, middle, ahead + 0.01), ALONG["z"], _IRON, solid=False),
    ]
    for angle in (math.pi / 2, math.pi * 7 / 6, math.pi * 11 / 6):
        x, y = 0.5 * radius * math.cos(angle), middle + 0.5 * radius * math.sin(angle)
        turn = (math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2))
        parts.append(Part("box", blade, (x, y, ahead + 0.009), turn, blue, solid=False))
    return parts


def payment_sign(model: Model) -> list[Part]:
    """A plate that leans back on a foot, with a square code on its front (+z)."""
    edge = frame_pose(model.contacts[0])  # y points up along the plate, z to its front
    half, low, depth = model.size[0] / 2, max(model.low[1], _FOOT), 0.48 * model.size[2]
    length = (float(edge.p[1]) - low - 0.004) / float(edge.to_transformation_matrix()[1, 1]) / 2
    side = 0.5 * min(half, length)

    def leaning(size: Vector3, place: Vector3, color: Color, solid: bool = True) -> Part:
        pose = edge * sapien.Pose(place)
        (x, y, z), (a, b, c, d) = pose.p.tolist(), pose.q.tolist()
        return Part("box", size, (x, y, z), (a, b, c, d), color, solid)

    dots = ((-0.65, -0.65), (0.65, -0.65), (-0.65, 0.65), (0.1, 0.0), (0.6, 0.6), (-0.2, -0.5))
    field, dot = (1.2 * side, 1.2 * side, 0.001), (0.28 * side, 0.28 * side, 0.001)
    return [
        Part("box", (half, 0.004, depth), (0.0, low + 0.004, model.center[2]), color=(0.9, 0.9, 0.92)),
        leaning((half, length + 0.003, 0.004), (0.0, 0.003 - length, 0.0), (0.15, 0.4, 0.75)),
        leaning(field, (0.0, -length, 0.004), (1.0, 1.0, 1.0), solid=False),
        *(leaning(dot, (x * side, y * side - length, 0.005), (0.0, 0.0, 0.0), solid=False) for x, y in dots),
    ]


def remote_control(model: Model) -> list[Part]:
    """A flat bar with rows of buttons along its longer side."""
    (x, y, z), top = (size / 2 for size in model.size), model.high[1]
    parts = [Part("box", (x, y, z), model.center, color=_PLASTIC)]
    for i in range(5):
        for j in (-1, 0, 1):
            along, across = 0.3 * (i - 2), 0.5 * j
            place = (along * x, top, across * z) if x > z else (across * x, top, along * z)
            color = (0.8, 0.2, 0.2) if (i, j) == (4, -1) else (0.75, 0.76, 0.78)
            parts.append(Part("box", (0.0045, 0.001, 0.0045), place, color=color, solid=False))
    return parts


RECIPES: dict[str, Recipe] = {
    "048_stapler": stapler,
    "070_paymentsign": payment_sign,
    "077_phone": phone,
    "079_remotecontrol": remote_control,
    "099_fan": fan,
}
