"""Recipes of open boxes: basket with a handle, plastic box, dustbin, table bin."""

from __future__ import annotations

import math
from dataclasses import replace

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe, family_color
from wam_eval.benchmarks.robotwin.miniature.recipes.vessels import hollow_box, hollow_round
from wam_eval.benchmarks.robotwin.miniature.shapes import Part

_STRAW, _DARK_STRAW, _GRAY = (0.78, 0.6, 0.36), (0.6, 0.43, 0.24), (0.42, 0.46, 0.5)

# Height of the ribs in a table bin, and distance between them, m.
_RIB, _PITCH = 0.005, 0.013


def _lower(model: Model, height: float) -> Model:
    """The lower part of a model, of a height in m."""
    (width, _, depth), (x, _, z) = model.size, model.center
    return replace(model, size=(width, height, depth), center=(x, model.low[1] + height / 2, z))


def basket(model: Model) -> list[Part]:
    """A basket with a handle across its middle, which ends at the upper end of the model."""
    x, _, z = model.center
    low, high, deep = model.low[1], model.high[1], model.size[2] / 2
    rim = 0.55 * model.size[1]
    post = (high - low - rim) / 2
    band = hollow_box(
        _lower(replace(model, size=(1.02 * model.size[0], model.size[1], 1.02 * model.size[2])), 0.02),
        0.004,
        0.004,
        _DARK_STRAW,
    )
    return [
        *hollow_box(_lower(model, rim), 0.006, 0.006, _STRAW),
        *(
            Part("box", (0.008, post, 0.004), (x, high - post, z + sign * (deep - 0.004)), color=_DARK_STRAW)
            for sign in (-1, 1)
        ),
        Part("box", (0.007, 0.006, deep), (x, high - 0.006, z), color=_DARK_STRAW),
        *(replace(part, solid=False) for part in band),
    ]


def plastic_box(model: Model) -> list[Part]:
    """A low box with thin walls."""
    return hollow_box(model, 0.004, 0.004, family_color(model.family, model.number))


def dustbin(model: Model) -> list[Part]:
    """A tall bin that stands on the floor, with a raised bottom and a rim."""
    x, _, z = model.center
    half_x, half_z = model.size[0] / 2, model.size[2] / 2
    rim = [
        Part("box", (half_x + 0.006, 0.012, 0.012), (x, model.high[1], z + sign * half_z), color=_GRAY, solid=False)
        for sign in (-1, 1)
    ]
    return [*hollow_box(model, 0.012, 0.215, (0.2, 0.36, 0.3)), *rim]


def trash_bin(model: Model) -> list[Part]:
    """A round bin that is open at the top. Ribs on its bottom keep balls in it from rolling."""
    color, foot = family_color(model.family, model.number), 0.4 * min(model.size[0], model.size[2]) - 0.004
    x, _, z = model.center
    level, count = model.low[1] + 0.004 + _RIB / 2, int(foot / _PITCH)
    ribs = []
    for i in range(-count, count + 1):
        aside = i * _PITCH
        half = math.sqrt(foot**2 - aside**2)
        ribs.append(Part("box", (0.0005, _RIB / 2, half), (x + aside, level, z), color=color))
        ribs.append(Part("box", (half, _RIB / 2, 0.0005), (x, level, z + aside), color=color))
    return [*hollow_round(model, 0.004, 0.004, color, count=8, foot=0.8), *ribs]


RECIPES: dict[str, Recipe] = {
    "011_dustbin": dustbin,
    "062_plasticbox": plastic_box,
    "063_tabletrashbin": trash_bin,
    "110_basket": basket,
}
