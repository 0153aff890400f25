"""Recipes of racks, stands, mats and boxes."""

from __future__ import annotations

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe
from wam_eval.benchmarks.robotwin.miniature.shapes import ALONG, Part


def coaster(model: Model) -> list[Part]:
    """A flat disc."""
    return [Part("cylinder", (model.size[0] / 2, model.size[1] / 2), model.center, ALONG["y"], (0.55, 0.4, 0.25))]


RECIPES: dict[str, Recipe] = {"019_coaster": coaster}
