"""Recipes of food, and of boxes and packages: bread, burger, fries, tea box, cards."""

from __future__ import annotations

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe
from wam_eval.benchmarks.robotwin.miniature.shapes import Part


def playing_cards(model: Model) -> list[Part]:
    """A red pack with a light top."""
    x, y, z = (size / 2 for size in model.size)
    top = (model.center[0], model.high[1], model.center[2])
    return [
        Part("box", (x, y, z), model.center, color=(0.75, 0.12, 0.15)),
        Part("box", (0.8 * x, 0.001, 0.8 * z), top, color=(0.95, 0.93, 0.88), solid=False),
    ]


RECIPES: dict[str, Recipe] = {"081_playingcards": playing_cards}
