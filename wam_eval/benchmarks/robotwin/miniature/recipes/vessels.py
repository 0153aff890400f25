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
    """A round cup."""
    return hollow_round(model, 0.004, 0.006, (0.9, 0.92, 0.95))


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


# Largest radius at the height of a side grasp: the fingers open by 91 mm.
_GRIP = 0.0415

# Distance from a grasp to the wide foot below it, m.
_BELOW_GRASP = 0.03

_CAP, _LABEL, _TIN = (0.92, 0.92, 0.9), (0.95, 0.93, 0.82), (0.78, 0.79, 0.8)


def _disc(model: Model, radius: float, start: float, end: float, color: Color, solid: bool = True) -> Part:
    """A cylinder around the axis of a model, between two heights in parts of the model's height."""
    x, _, z = model.center
    size, low = model.size[1], model.low[1]
    middle = low + (start + end) / 2 * size
    return Part("cylinder", (radius, (end - start) / 2 * size), (x, middle, z), ALONG["y"], color, solid)


def _body(model: Model, top: float, color: Color) -> tuple[float, list[Part]]:
    """The radius at the lowest contact point, and a body: a foot of full width, and above it one that fits a gripper.

    Two bars in the foot give it the edges of an octagon, so that the vessel does not roll when it lies.

    Args:
        top: end of the body, in parts of the model's height.
    """
    wide = min(model.size[0], model.size[2]) / 2
    grip = min(wide, _GRIP)
    lowest = min(contact[1] for contact in model.contacts) if model.contacts else model.center[1]
    foot = min(0.5 * top, max(0.1, (lowest - _BELOW_GRASP - model.low[1]) / model.size[1]))
    edge, bar = wide * math.tan(math.pi / 8), 0.48 * foot * model.size[1]
    middle = (model.center[0], model.low[1] + foot / 2 * model.size[1], model.center[2])
    return grip, [
        _disc(model, wide, 0.0, foot, color),
        Part("box", (wide, bar, edge), middle, color=color),
        Part("box", (edge, bar, wide), middle, color=color),
        _disc(model, grip, foot, top, color),
    ]


def bottle(model: Model) -> list[Part]:
    """A bottle with a label, a neck and a cap."""
    grip, parts = _body(model, 0.74, family_color(model.family, model.number))
    return [
        *parts,
        _disc(model, 0.72 * grip, 0.74, 0.8, parts[0].color),
        _disc(model, 0.4 * grip, 0.8, 0.92, parts[0].color),
        _disc(model, 0.46 * grip, 0.92, 1.0, _CAP),
        _disc(model, 1.01 * grip, 0.44, 0.64, _LABEL, solid=False),
    ]


def can(model: Model) -> list[Part]:
    """A drink can with bright ends."""
    radius = min(model.size[0], model.size[2]) / 2
    return [
        _disc(model, radius, 0.0, 1.0, family_color(model.family, model.number)),
        _disc(model, 0.9 * radius, 0.98, 1.005, _TIN, solid=False),
        _disc(model, 1.01 * radius, 0.35, 0.65, _LABEL, solid=False),
    ]


def sauce_can(model: Model) -> list[Part]:
    """A can with a wide foot, a label and a bright lid."""
    grip, parts = _body(model, 0.95, family_color(model.family, model.number))
    return [
        *parts,
        _disc(model, 0.9 * grip, 0.95, 1.0, _TIN),
        _disc(model, 1.01 * grip, 0.5, 0.8, _LABEL, solid=False),
    ]


def pill_bottle(model: Model) -> list[Part]:
    """A jar with a label and a white screw cap."""
    grip, parts = _body(model, 0.72, family_color(model.family, model.number))
    return [
        *parts,
        _disc(model, 0.85 * grip, 0.72, 0.76, parts[0].color),
        _disc(model, 0.95 * grip, 0.76, 1.0, _CAP),
        _disc(model, 1.01 * grip, 0.34, 0.62, _LABEL, solid=False),
    ]


def trash_bin(model: Model) -> list[Part]:
    """A round bin that is open at the top."""
    return hollow_round(model, 0.004, 0.006, family_color(model.family, model.number), count=8, foot=0.8)


RECIPES: dict[str, Recipe] = {
    "008_tray": tray,
    "039_mug": mug,
    "076_breadbasket": bread_basket,
    "106_skillet": skillet,
    "021_cup": cup,
}
