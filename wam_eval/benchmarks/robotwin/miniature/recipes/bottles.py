"""Recipes of bottles and cans, which fit a gripper at the height of their contact points."""

from __future__ import annotations

import math

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe, family_color
from wam_eval.benchmarks.robotwin.miniature.shapes import ALONG, Color, Part

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


RECIPES: dict[str, Recipe] = {
    "001_bottle": bottle,
    "071_can": can,
    "080_pillbottle": pill_bottle,
    "105_sauce-can": sauce_can,
    "114_bottle": bottle,
}
"""Family -> recipe."""
