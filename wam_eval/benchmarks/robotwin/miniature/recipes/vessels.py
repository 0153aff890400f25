"""Recipes of vessels: bottle, bowl, cup, can, basket, bin, tray."""

from __future__ import annotations

import math
from dataclasses import replace

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe, family_color
from wam_eval.benchmarks.robotwin.miniature.shapes import ALONG, Color, Part


def hollow_round(
    model: Model, wall: float, bottom: float, color: Color, count: int = 10, foot: float = 1.0
) -> list[Part]:
    """A round vessel that is open at the top: a disc and a ring of boxes, which lean outwards if its foot is narrower.

    Args:
        wall, bottom: thickness of the wall and the bottom, m.
        count: number of boxes.
        foot: radius of the foot relative to that of the rim.
    """
    rim, height = min(model.size[0], model.size[2]) / 2, model.size[1]
    low, narrow = model.low[1], foot * rim
    x, _, z = model.center
    lean = math.atan2(rim - narrow, height)
    # Boxes touch at their outer faces where the vessel is wide, and overlap where it is narrow.
    width = (rim - wall / 2) * math.tan(math.pi / count)
    middle = (rim + narrow) / 2 - wall / 2
    parts = [Part("cylinder", (narrow - wall / 2, bottom / 2), (x, low + bottom / 2, z), ALONG["y"], color)]
    for i in range(count):
        angle = 2 * math.pi * i / count
        turn, tip = (math.cos(angle / 2), math.sin(angle / 2)), (math.cos(lean / 2), math.sin(lean / 2))
        parts.append(
            Part(
                "box",
                (width, height / 2 / math.cos(lean) - (wall / 2) * math.tan(lean), wall / 2),
                (x + middle * math.sin(angle), low + height / 2, z + middle * math.cos(angle)),
                (turn[0] * tip[0], turn[0] * tip[1], turn[1] * tip[0], -turn[1] * tip[1]),
                color,
            )
        )
    return parts


def cup(model: Model) -> list[Part]:
    """A round cup, with a handle to the back if its opening (functional point 0) is not above its origin."""
    color, opening = (0.9, 0.92, 0.95), model.points[0][2]
    if abs(opening) < 0.005:
        return hollow_round(model, 0.004, 0.006, color)
    radius, height, y = model.high[2] - opening, model.size[1], model.center[1]
    body = replace(model, size=(2 * radius, height, 2 * radius), center=(0.0, y, opening))
    back, end = opening - 0.97 * radius, model.low[2]
    bar = (0.005, 0.005, (back - end) / 2)
    return [
        *hollow_round(body, 0.004, 0.006, color, count=8),
        *(Part("box", bar, (0.0, y + up * height, (back + end) / 2), color=color) for up in (0.25, -0.25)),
        Part("box", (0.005, 0.25 * height, 0.004), (0.0, y, end + 0.004), color=color),
    ]


def hollow_box(model: Model, wall: float, bottom: float, color: Color) -> list[Part]:
    """A rectangular vessel that is open at the top.

    Args:
        wall, bottom: thickness of the walls and the bottom, m.
    """
    (width, height, depth), (x, y, z) = model.size, model.center
    side, end = (wall / 2, height / 2, depth / 2), (width / 2 - wall, height / 2, wall / 2)
    return [
        Part("box", (width / 2, bottom / 2, depth / 2), (x, model.low[1] + bottom / 2, z), color=color),
        *(Part("box", side, (x + i * (width - wall) / 2, y, z), color=color) for i in (-1, 1)),
        *(Part("box", end, (x, y, z + i * (depth - wall) / 2), color=color) for i in (-1, 1)),
    ]


def bread_basket(model: Model) -> list[Part]:
    """A basket with a light rim, round if it is as deep as wide."""
    wicker, rim = (0.72, 0.5, 0.27), (0.85, 0.66, 0.4)
    (width, _, depth), (x, _, z) = model.size, model.center
    if width - depth < 0.02:
        return hollow_round(model, 0.006, 0.006, wicker, foot=0.8)
    bars = [
        Part("box", half, (x + i, model.high[1], z + k), color=rim, solid=False)
        for half, i, k in (
            ((width / 2, 0.003, 0.004), 0.0, depth / 2),
            ((width / 2, 0.003, 0.004), 0.0, -depth / 2),
            ((0.004, 0.003, depth / 2), width / 2, 0.0),
            ((0.004, 0.003, depth / 2), -width / 2, 0.0),
        )
    ]
    return hollow_box(model, 0.005, 0.005, wicker) + bars


def tray(model: Model) -> list[Part]:
    """A flat tray with low walls."""
    low = replace(model, size=(model.size[0], 0.6 * model.size[1], model.size[2]))
    return hollow_box(low, 0.005, 0.006, (0.55, 0.35, 0.2))


def skillet(model: Model) -> list[Part]:
    """A round pan with a long handle to the back."""
    radius, x = 0.09, model.points[0][0]
    z = model.high[2] - radius
    iron, wood = (0.16, 0.16, 0.17), (0.5, 0.3, 0.16)
    pan = replace(model, size=(2 * radius, model.size[1], 2 * radius), center=(x, model.center[1], z))
    grip_x, grip_y, _ = model.contacts[0][:3]
    start, end = model.low[2], z - 0.95 * radius
    return [
        *hollow_round(pan, 0.005, 0.006, iron, count=9, foot=0.85),
        Part("box", (0.011, 0.007, (end - start) / 2), (grip_x, grip_y, (start + end) / 2), color=wood),
    ]


def mug(model: Model) -> list[Part]:
    """A round mug with an angular handle to the back; the functional point 0 is in the hole of the handle."""
    color, axis, hole_y = (
        family_color(model.family, model.number),
        model.contacts[2][2],
        model.points[0][1],
    )
    radius = model.contacts[0][2] - axis + 0.002
    body = replace(model, size=(2 * radius, model.size[1], 2 * radius), center=(0.0, model.center[1], axis))
    back, thick, half = model.low[2], 0.005, 0.55 * (model.high[1] - hole_y)
    reach = (axis - 0.95 * radius - back) / 2
    arms = [Part("box", (0.006, thick, reach), (0.0, hole_y + i * half, back + reach), color=color) for i in (-1, 1)]
    grip = Part("box", (0.006, half + thick, thick), (0.0, hole_y, back + thick), color=color)
    return [*hollow_round(body, 0.004, 0.006, color, count=8), *arms, grip]


RECIPES: dict[str, Recipe] = {
    "008_tray": tray,
    "039_mug": mug,
    "076_breadbasket": bread_basket,
    "106_skillet": skillet,
    "021_cup": cup,
}
