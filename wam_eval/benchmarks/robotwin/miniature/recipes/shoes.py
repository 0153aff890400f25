"""Recipes of the shoes and their box."""

from __future__ import annotations

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe
from wam_eval.benchmarks.robotwin.miniature.shapes import Color, Part

CANVAS: tuple[Color, ...] = ((0.8, 0.25, 0.2), (0.2, 0.35, 0.65), (0.25, 0.28, 0.3))
RUBBER: Color = (0.95, 0.95, 0.93)

# The bounding boxes of the official shoes begin up to 11 mm below the soles.
_SOLE = -0.0015


def shoe(model: Model) -> list[Part]:
    """A sneaker with its toe to +z: sole, toe, and a shaft that is open at the top."""
    half, length, top = 0.46 * model.size[0], model.size[2] / 2, model.high[1]
    canvas, shaft, wall = CANVAS[model.number % 3], 0.78 * half, 0.004
    sole, instep = _SOLE + 0.02, _SOLE + 0.55 * (top - _SOLE)
    middle, rise = (sole + top) / 2, (top - sole) / 2
    tongue = (0.8 * half, (instep - sole) / 2, 0.11 * length)
    side, end = (wall, rise, 0.52 * length), (shaft, rise, wall)
    return [
        Part("box", (half, 0.01, 0.98 * length), (0.0, sole - 0.01, 0.0), color=RUBBER),
        Part("box", (0.85 * half, 0.011, 0.28 * length), (0.0, sole + 0.011, 0.66 * length), color=canvas),
        Part("box", tongue, (0.0, (sole + instep) / 2, 0.27 * length), color=canvas),
        *(Part("box", side, (i * (shaft - wall), middle, -0.4 * length), color=canvas) for i in (1, -1)),
        *(Part("box", end, (0.0, middle, z * length), color=canvas) for z in (0.12, -0.92)),
        *(
            Part("box", (0.6 * half, 0.002, 0.004), (0.0, instep + 0.001, z * length), color=RUBBER, solid=False)
            for z in (0.2, 0.27, 0.34)
        ),
    ]


def shoe_box(model: Model) -> list[Part]:
    """An open box of cardboard."""
    (x, y, z), low, wall = (size / 2 for size in model.size), model.low[1], 0.002
    color = (0.72, 0.55, 0.36)
    return [
        Part("box", (x, wall, z), (0.0, low + wall, 0.0), color=color),
        *(Part("box", (wall, y, z), (side * (x - wall), low + y, 0.0), color=color) for side in (1, -1)),
        *(Part("box", (x, y, wall), (0.0, low + y, side * (z - wall)), color=color) for side in (1, -1)),
    ]


RECIPES: dict[str, Recipe] = {"007_shoe-box": shoe_box, "041_shoe": shoe}
