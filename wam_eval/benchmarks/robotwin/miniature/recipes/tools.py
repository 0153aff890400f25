"""Recipes of tools and clothes: hammer, roller, seal, shoe."""

from __future__ import annotations

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe
from wam_eval.benchmarks.robotwin.miniature.shapes import ALONG, Part

_WOOD, _DARK_WOOD = (0.8, 0.6, 0.38), (0.55, 0.36, 0.2)


def roller(model: Model) -> list[Part]:
    """A rolling pin along its longest axis, with an edged collider, so that it does not roll away."""
    axis = "x" if model.size[0] > model.size[2] else "z"
    half, radius = max(model.size) / 2, model.size[1] / 2
    flat, inner, (x, y, z) = 0.7 * radius, 0.6 * half, model.center

    def bar(length: float, up: float) -> tuple[float, float, float]:
        return (length, up, flat) if axis == "x" else (flat, up, length)

    return [
        Part("box", bar(half, flat), (x, y, z), color=_DARK_WOOD),
        Part("box", bar(inner, 0.15 * radius), (x, y - 0.85 * radius, z), color=_WOOD),
        Part("cylinder", (radius, inner), (x, y, z), ALONG[axis], _WOOD, solid=False),
    ]


def seal(model: Model) -> list[Part]:
    """A stamp with a handle and a knob."""
    width, height, depth = model.size
    low, grip = model.low[1], 0.3 * min(width, depth)
    red, wood = (0.75, 0.1, 0.1), (0.62, 0.32, 0.16)
    return [
        Part("box", (width / 2, 0.15 * height, depth / 2), (0.0, low + 0.15 * height, 0.0), color=red),
        Part("box", (grip, 0.3 * height, grip), (0.0, low + 0.6 * height, 0.0), color=wood),
        Part("cylinder", (0.9 * grip, 0.05 * height), (0.0, low + 0.95 * height, 0.0), ALONG["y"], wood),
    ]


RECIPES: dict[str, Recipe] = {"100_seal": seal, "102_roller": roller}
