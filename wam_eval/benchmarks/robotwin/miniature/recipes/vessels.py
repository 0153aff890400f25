"""Recipes of vessels: bottle, bowl, cup, can, basket, bin, tray."""

from __future__ import annotations

import math

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe
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


RECIPES: dict[str, Recipe] = {"021_cup": cup}
