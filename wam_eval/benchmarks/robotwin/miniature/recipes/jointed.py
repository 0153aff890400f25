"""Recipes of articulated objects: shapes of each link, in the frame of the link, whose x points right and y up.

The metadata have joints and points, but no sizes. The sizes here follow from them: a handle is where its contact point
is, a laptop is as wide as its hinge is off its middle, and the foot of each object is as low as its root is high.
"""

from __future__ import annotations

import math

import numpy as np

from wam_eval.benchmarks.robotwin.miniature.objects import Hinge, JointedModel, LinkRecipe
from wam_eval.benchmarks.robotwin.miniature.shapes import ALONG, Color, Part

_DARK, _GRAY, _SILVER, _WHITE = (0.12, 0.12, 0.14), (0.35, 0.36, 0.38), (0.72, 0.73, 0.76), (0.93, 0.93, 0.9)
_WOOD, _LIGHT_WOOD, _BRASS, _GLASS = (0.5, 0.34, 0.2), (0.68, 0.5, 0.32), (0.8, 0.65, 0.3), (0.2, 0.25, 0.3)


def _moving(model: JointedModel) -> Hinge:
    """The first joint that moves."""
    return next(hinge for hinge in model.joints if hinge.limits)


def _block(
    x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], color: Color, solid: bool = True
) -> Part:
    """A box between two corners."""
    (x0, x1), (y0, y1), (z0, z1) = x, y, z
    half = ((x1 - x0) / 2, (y1 - y0) / 2, (z1 - z0) / 2)
    return Part("box", half, ((x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2), color=color, solid=solid)


def laptop(model: JointedModel) -> dict[str, list[Part]]:
    """A base with keys, and a screen that lies on it when it is closed.

    At zero the screen is open by minus the lower limit of the hinge.
    """
    hinge = _moving(model)
    _, y, z = hinge.at[:3]
    _, middle, up, back = model.contacts[0][:4]
    length = 0.97 * math.hypot(up, back)
    width = 0.75 * length
    low, thick, angle = -model.root[2], 0.006, -hinge.limits[0]
    base = (max(y, low + 0.008), low)
    keys = _block((-0.8 * width, 0.8 * width), (base[0], base[0] + 0.001), (z + 0.02, z + 0.55 * length), _DARK, False)
    pad = _block(
        (-0.25 * width, 0.25 * width), (base[0], base[0] + 0.001), (z + 0.62 * length, z + 0.93 * length), _GRAY, False
    )

    def lid(half: tuple[float, float, float], out: float, color: Color, solid: bool) -> Part:
        """A box along the screen, ``out`` m behind the hinge's plane."""
        along = length / 2 + 0.004
        at = (
            middle,
            along * math.sin(angle) + out * math.cos(angle),
            along * math.cos(angle) - out * math.sin(angle),
        )
        return Part("box", half, at, (math.cos(angle / 2), -math.sin(angle / 2), 0.0, 0.0), color, solid)

    return {
        hinge.parent: [_block((-width, width), (base[1], base[0]), (z, z + length), _SILVER), keys, pad],
        hinge.child: [
            lid((width, thick / 2, length / 2), thick / 2, _SILVER, True),
            lid((0.92 * width, 0.0005, 0.44 * length), -0.0005, _GLASS, False),
        ],
    }


def microwave(model: JointedModel) -> dict[str, list[Part]]:
    """A hollow body with a control panel, and a door with a glass and an upright handle."""
    hinge = _moving(model)
    x, y, z = hinge.at[:3]
    grip, reach = model.contacts[3][1], model.contacts[3][3]
    half, wall, back = model.root[2], 0.008, -0.075
    edge = x + grip + 0.012  # right edge of the door
    right = max(-x, edge + 0.03)
    bottom, top = min(0.0, -2 * y), max(0.0, -2 * y)
    middle = (bottom + top) / 2
    body = [
        _block((x, right), (-half, -half + wall), (back, z), _WHITE),
        _block((x, right), (half - wall, half), (back, z), _WHITE),
        _block((x, x + wall), (-half, half), (back, z), _WHITE),
        _block((x, right), (-half, half), (back, back + wall), _WHITE),
        _block((edge, right), (-half, half), (back, z + 0.012), _GRAY),
        _block((edge + 0.006, right - 0.006), (0.3 * half, 0.7 * half), (z + 0.011, z + 0.014), _GLASS, False),
    ]
    door = [
        _block((0.0, grip + 0.012), (bottom, top), (0.0, 0.012), _WHITE),
        _block((0.02, grip - 0.015), (bottom + 0.02, top - 0.02), (0.011, 0.0125), _GLASS, False),
        _block((grip - 0.006, grip + 0.006), (middle - 0.045, middle + 0.045), (reach - 0.009, reach + 0.003), _SILVER),
    ]
    door += [
        _block((grip - 0.005, grip + 0.005), (end - 0.006, end + 0.006), (0.01, reach), _SILVER)
        for end in (middle - 0.04, middle + 0.04)
    ]
    shapes = {hinge.parent: body, hinge.child: door}
    for knob in model.joints:
        if knob.kind == "continuous":
            shapes[knob.child] = [Part("cylinder", (0.011, 0.006), (0.0, 0.0, 0.0), ALONG["z"], _DARK, solid=False)]
    return shapes


def cabinet(model: JointedModel) -> dict[str, list[Part]]:
    """A chest of three drawers. The lowest one is hollow and has the contact points and the functional point."""
    drawers = [hinge for hinge in model.joints if hinge.kind == "prismatic"]
    _, _, handle, reach = model.contacts[0][:4]
    floor = model.points[0][2]
    half, width, wall = model.root[2], 0.11, 0.008
    front, back = reach - 0.022, -0.115
    levels = (-half + wall, handle + 0.02, 0.09, half - wall)  # lower ends of the drawers, and the upper one
    body = [
        _block((-width, -width + wall), (-half, half), (back, front - wall), _WOOD),
        _block((width - wall, width), (-half, half), (back, front - wall), _WOOD),
        _block((-width, width), (-half, half), (back, back + wall), _WOOD),
        _block((-width, width), (half - wall, half), (back, front), _WOOD),
        _block((-width, width), (-half, -half + wall), (back, front - wall), _WOOD),
    ]
    inner = width - wall - 0.002

    def face(level: int) -> list[Part]:
        """The front of a drawer with its handle."""
        low, high = levels[level] + 0.001, levels[level + 1] - 0.001
        bar = handle if level == 0 else (low + high) / 2
        return [
            _block((-width + 0.002, width - 0.002), (low, high), (front - wall, front), _LIGHT_WOOD),
            _block((-0.04, 0.04), (bar - 0.005, bar + 0.005), (reach - 0.008, reach + 0.002), _BRASS),
            *(
                _block((x - 0.004, x + 0.004), (bar - 0.004, bar + 0.004), (front, reach - 0.004), _BRASS, False)
                for x in (-0.036, 0.036)
            ),
        ]

    rim = floor + 0.05
    shapes = {
        drawers[0].parent: body,
        drawers[0].child: [
            *face(0),
            _block((-inner, inner), (floor - 0.006, floor), (back + wall, front - wall), _LIGHT_WOOD),
            _block((-inner, -inner + wall), (floor, rim), (back + wall, front - wall), _LIGHT_WOOD),
            _block((inner - wall, inner), (floor, rim), (back + wall, front - wall), _LIGHT_WOOD),
            _block((-inner, inner), (floor, rim), (back + wall, back + 2 * wall), _LIGHT_WOOD),
        ],
    }
    for level, hinge in enumerate(drawers[1:], start=1):
        depth = _block(
            (-inner, inner), (levels[level] + 0.004, levels[level] + 0.06), (back + wall, front - wall), _WOOD
        )
        shapes[hinge.child] = [*face(level), depth]
    return shapes


def switch(model: JointedModel) -> dict[str, list[Part]]:
    """A plate with a rocker, whose lower end sticks out until it is pressed."""
    hinge = _moving(model)
    _, y, z = hinge.at[:3]
    _, _, press, out = model.contacts[0][:4]
    angle, arm = hinge.limits[1], y - press
    thick = max(0.004, out - z - 0.012)
    high = arm + 0.02
    return {
        hinge.parent: [_block((-0.03, 0.03), (y - high, y + high), (0.0, max(z - 0.002, 0.003)), _WHITE)],
        hinge.child: [
            Part(
                "box",
                (0.014, arm + 0.006, thick),
                turn=(math.cos(angle / 2), -math.sin(angle / 2), 0.0, 0.0),
                color=_SILVER,
            )
        ],
    }


def pot(model: JointedModel) -> dict[str, list[Part]]:
    """A round hollow pot with two handles and a lid with a knob."""
    lid = next(hinge for hinge in model.joints if hinge.axis == (0.0, 1.0, 0.0) and hinge.limits)
    ears = [contact[1:4] for contact in model.contacts]
    radius = min(abs(ear[0]) for ear in ears) - 0.024
    low = -model.root[2]
    top = max(0.45 * model.root[2], max(ear[1] for ear in ears) + 0.006)
    count, wall, height = 10, 0.005, top - low
    body = [Part("cylinder", (radius - wall / 2, 0.003), (0.0, low + 0.003, 0.0), ALONG["y"], _SILVER)]
    for i in range(count):
        angle = 2 * math.pi * (i + 0.5) / count
        middle = radius - wall / 2
        body.append(
            Part(
                "box",
                (radius * math.tan(math.pi / count), height / 2, wall / 2),
                (middle * math.sin(angle), (low + top) / 2, middle * math.cos(angle)),
                (math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0),
                _SILVER,
            )
        )
    for x, y, z in ears:
        ends = sorted((math.copysign(radius - 0.002, x), x + math.copysign(0.006, x)))
        body.append(_block((ends[0], ends[1]), (y - 0.005, y + 0.005), (z - 0.025, z + 0.025), _DARK))
    cover = [
        Part("cylinder", (radius, 0.003), (0.0, top + 0.003, 0.0), ALONG["y"], _GRAY),
        Part("cylinder", (0.012, 0.008), (0.0, top + 0.013, 0.0), ALONG["y"], _DARK),
    ]
    return {lid.parent: body, lid.child: cover}


RECIPES: dict[str, LinkRecipe] = {
    "015_laptop": laptop,
    "036_cabinet": cabinet,
    "044_microwave": microwave,
    "056_switch": switch,
    "060_kitchenpot": pot,
}
"""Family -> recipe."""


def size_of(model: JointedModel) -> tuple[float, float, float]:
    """Sizes of the box around an articulated model with its joints at zero, along the axes of its links, m."""
    offsets = {hinge.child: np.array(hinge.at[:3]) for hinge in model.joints if hinge.kind != "fixed"}
    corners = []
    for link, parts in parts_of_links(model).items():
        for part in parts:
            half = np.array(part.size if part.kind == "box" else (part.size[-1], part.size[0], part.size[0]))
            reach = np.abs(part.pose.to_transformation_matrix()[:3, :3]) @ half
            middle = np.array(part.position) + offsets.get(link, np.zeros(3))
            corners += [middle - reach, middle + reach]
    x, y, z = np.ptp(corners, axis=0)
    return (float(x), float(y), float(z))


def parts_of_links(model: JointedModel) -> dict[str, list[Part]]:
    """The shapes of the links of an articulated model: link -> shapes."""
    return RECIPES[model.family](model)
