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


def hammer(model: Model) -> list[Part]:
    """A hammer along y whose head has a face at +z and a claw at -z."""
    (_, head, _), half = model.points[0][:3], model.size[0] / 2
    steel, front, back = (0.4, 0.41, 0.44), model.high[2], model.low[2]
    start, end = model.low[1], head + 0.02
    claw = (0.35 * half, 0.006, 0.4 * abs(back))
    return [
        Part("box", (0.011, (end - start) / 2, 0.011), (0.0, (start + end) / 2, 0.0), color=_WOOD),
        Part("box", (0.8 * half, 0.014, 0.4 * (front - back) / 2), (0.0, head, 0.15 * front), color=steel),
        Part("box", (half, 0.018, 0.012), (0.0, head, front - 0.012), color=steel),
        *(Part("box", claw, (i * 0.6 * half, head, 0.6 * back), color=steel) for i in (-1, 1)),
    ]


RECIPES: dict[str, Recipe] = {"020_hammer": hammer, "100_seal": seal, "102_roller": roller}
