"""Recipes of articulated objects: shapes of each link, in the frame of the link, whose x points right and y up."""

from __future__ import annotations

from wam_eval.benchmarks.robotwin.miniature.objects import JointedModel, LinkRecipe
from wam_eval.benchmarks.robotwin.miniature.shapes import Part

RECIPES: dict[str, LinkRecipe] = {}
"""Family -> recipe."""


def parts_of_links(model: JointedModel) -> dict[str, list[Part]]:
    """The shapes of the links of an articulated model: link -> shapes; a small box for each without a recipe."""
    if model.family in RECIPES:
        return RECIPES[model.family](model)
    half = 0.1 * model.scale
    return {joint.child: [Part("box", (half, half, half))] for joint in model.joints}
