"""Recipes of food, and of boxes and packages: bread, burger, fries, tea box, cards."""

from __future__ import annotations

from collections.abc import Sequence

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe
from wam_eval.benchmarks.robotwin.miniature.shapes import ALONG, Color, Part


def playing_cards(model: Model) -> list[Part]:
    """A red pack with a light top."""
    x, y, z = (size / 2 for size in model.size)
    top = (model.center[0], model.high[1], model.center[2])
    return [
        Part("box", (x, y, z), model.center, color=(0.75, 0.12, 0.15)),
        Part("box", (0.8 * x, 0.001, 0.8 * z), top, color=(0.95, 0.93, 0.88), solid=False),
    ]


_CRUST, _LIGHT_CRUST, _PATTY, _LETTUCE = (0.8, 0.52, 0.24), (0.9, 0.68, 0.38), (0.35, 0.18, 0.1), (0.35, 0.65, 0.2)


def _dome(model: Model, radius: float, levels: Sequence[tuple[float, float, float, Color]]) -> list[Part]:
    """Discs on one another.

    Args:
        levels: for each disc its radius relative to ``radius``, its lower and its upper end relative to the model's
            height, and its color.
    """
    (x, _, z), low, height = model.center, model.low[1], model.size[1]
    return [
        Part(
            "cylinder",
            (part * radius, (end - start) / 2 * height),
            (x, low + (start + end) / 2 * height, z),
            ALONG["y"],
            color,
        )
        for part, start, end, color in levels
    ]


def bread(model: Model) -> list[Part]:
    """A small loaf, a bun, or, if it is too wide for a hand, a roll with four lobes, between which fingers fit."""
    (width, height, depth), (x, y, z) = model.size, model.center
    short, long = sorted((width, depth))
    levels = [(0.9, 0.0, 0.2, _CRUST), (1.0, 0.2, 0.75, _CRUST), (0.8, 0.75, 1.0, _LIGHT_CRUST)]
    if short > 0.09:
        lobe, out = 0.17 * short, 0.33 * short
        spots = [(i * out, k * out) for i in (-1, 1) for k in (-1, 1)]
        lobes = [
            Part("cylinder", (lobe, 0.45 * height), (x + i, model.low[1] + 0.45 * height, z + k), ALONG["y"], _CRUST)
            for i, k in spots
        ]
        return _dome(model, 0.36 * short, levels) + lobes
    if long < 1.4 * short:
        return _dome(model, short / 2, levels)
    half = (
        (width / 2, 0.35 * height, 0.92 * depth / 2) if depth > width else (0.92 * width / 2, 0.35 * height, depth / 2)
    )
    top = (0.38 * width, height / 2, 0.42 * depth) if depth > width else (0.42 * width, height / 2, 0.38 * depth)
    cut = (0.3 * short, 0.001, 0.03 * long) if depth > width else (0.03 * long, 0.001, 0.3 * short)
    steps = [0.22 * long * i for i in (-1, 0, 1)]
    cuts = [(x, z + step) if depth > width else (x + step, z) for step in steps]
    return [
        Part("box", half, (x, y - 0.1 * height, z), color=_CRUST),
        Part("box", top, (x, y, z), color=_CRUST),
        *(Part("box", cut, (i, model.high[1], k), color=_LIGHT_CRUST, solid=False) for i, k in cuts),
    ]


def hamburger(model: Model) -> list[Part]:
    """A bun with a patty and lettuce; a long model is a sausage in a bun."""
    (width, height, depth), (x, _, z) = model.size, model.center
    if depth > 1.4 * width:
        low, side = model.low[1], 0.3 * width
        bun = (0.2 * width, 0.4 * height, 0.42 * depth)
        return [
            Part("box", (width / 2, 0.15 * height, 0.42 * depth), (x, low + 0.15 * height, z), color=_CRUST),
            *(Part("box", bun, (x + i * side, low + 0.4 * height, z), color=_LIGHT_CRUST) for i in (-1, 1)),
            Part(
                "capsule",
                (0.2 * width, depth / 2 - 0.2 * width),
                (x, low + 0.62 * height, z),
                ALONG["z"],
                (0.7, 0.25, 0.15),
            ),
        ]
    levels = [
        (0.94, 0.0, 0.22, _LIGHT_CRUST),
        (0.97, 0.22, 0.45, _PATTY),
        (1.0, 0.45, 0.55, _LETTUCE),
        (0.95, 0.55, 0.8, _CRUST),
        (0.7, 0.8, 1.0, _CRUST),
    ]
    return _dome(model, min(width, depth) / 2, levels)


def french_fries(model: Model) -> list[Part]:
    """Fries in a red carton."""
    (width, height, depth), (x, _, z) = model.size, model.center
    low = model.low[1]
    rows = [(i, 0.85 + 0.15 * ((3 * i) % 5 - 2) / 2) for i in range(-3, 4)]
    return [
        Part("box", (width / 2, 0.32 * height, depth / 2), (x, low + 0.32 * height, z), color=(0.85, 0.1, 0.1)),
        Part("box", (0.42 * width, 0.35 * height, 0.3 * depth), (x, low + 0.6 * height, z), color=(0.96, 0.8, 0.3)),
        *(
            Part(
                "box",
                (0.05 * width, 0.5 * top * height, 0.34 * depth),
                (x + 0.13 * i * width, low + 0.5 * top * height, z),
                color=(0.98, 0.85, 0.4),
                solid=False,
            )
            for i, top in rows
        ),
        Part(
            "box",
            (0.2 * width, 0.12 * height, 0.001),
            (x, low + 0.3 * height, model.high[2]),
            color=(0.98, 0.8, 0.1),
            solid=False,
        ),
    ]


def _package(model: Model, color: Color, label: Color) -> list[Part]:
    """A box with a lid and labels on two sides."""
    (width, height, depth), (x, y, z) = model.size, model.center
    front = (0.3 * width, 0.25 * height, 0.001)
    return [
        Part("box", (width / 2, height / 2, depth / 2), model.center, color=color),
        Part(
            "box",
            (0.502 * width, 0.04 * height, 0.502 * depth),
            (x, model.high[1] - 0.06 * height, z),
            color=label,
            solid=False,
        ),
        *(Part("box", front, (x, y, z + side * depth / 2), color=label, solid=False) for side in (-1, 1)),
    ]


def tea_box(model: Model) -> list[Part]:
    """A green package."""
    return _package(model, (0.15, 0.45, 0.25), (0.9, 0.85, 0.6))


def coffee_box(model: Model) -> list[Part]:
    """A brown package."""
    return _package(model, (0.36, 0.22, 0.13), (0.93, 0.88, 0.78))


def soap(model: Model) -> list[Part]:
    """A bar with an inscription."""
    (width, height, depth), (x, y, z) = model.size, model.center
    sign = (0.25 * width, 0.001, 0.2 * depth)
    return [
        Part("box", (width / 2, 0.3 * height, 0.9 * depth / 2), (x, y, z), color=(0.95, 0.75, 0.8)),
        Part("box", (0.94 * width / 2, height / 2, 0.8 * depth / 2), (x, y, z), color=(0.95, 0.75, 0.8)),
        Part("box", (0.9 * width / 2, 0.3 * height, depth / 2), (x, y, z), color=(0.95, 0.75, 0.8)),
        Part("box", sign, (x, model.high[1], z), color=(0.85, 0.55, 0.65), solid=False),
    ]


RECIPES: dict[str, Recipe] = {
    "005_french-fries": french_fries,
    "006_hamburg": hamburger,
    "075_bread": bread,
    "107_soap": soap,
    "112_tea-box": tea_box,
    "113_coffee-box": coffee_box,
    "081_playingcards": playing_cards,
}
