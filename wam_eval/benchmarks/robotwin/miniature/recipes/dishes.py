"""Recipes of bowls and plates."""

from __future__ import annotations

import math
from dataclasses import replace

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe
from wam_eval.benchmarks.robotwin.miniature.recipes.vessels import hollow_round
from wam_eval.benchmarks.robotwin.miniature.shapes import Part

BOWL_FOOT, BOWL_WALL = 0.72, 0.004
"""Radius of the foot of a bowl relative to that of its rim; thickness of its wall, m."""


def bowl_rim(model: Model) -> float:
    """Outer radius of a bowl's rim, m. It is where the contact points are, well inside of some bounding boxes."""
    x, _, z = model.contacts[0][:3]
    return min(math.hypot(x, z) + BOWL_WALL / 2, model.size[0] / 2)


def bowl(model: Model) -> list[Part]:
    """A bowl whose wall leans outwards."""
    width = 2 * bowl_rim(model)
    body = replace(model, size=(width, model.size[1], width))
    return hollow_round(body, BOWL_WALL, 0.005, (0.93, 0.91, 0.84), count=11, foot=BOWL_FOOT)


def plate(model: Model) -> list[Part]:
    """A flat plate with a rising rim."""
    return hollow_round(model, 0.004, 0.004, (0.96, 0.96, 0.98), count=11, foot=0.7)


RECIPES: dict[str, Recipe] = {"002_bowl": bowl, "003_plate": plate}
