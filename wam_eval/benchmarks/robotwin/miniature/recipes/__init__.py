"""Recipes: shapes of the families of objects, one module per kind of objects.

Each module has a dictionary ``RECIPES``: family -> function that makes the shapes (:class:`Part`) of a model in its
frame, from ``model.size``, ``model.low`` and ``model.high``. Solid parts collide and should be few (at most twelve);
parts with ``solid=False`` are only seen.
"""

from __future__ import annotations

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe, plain_parts
from wam_eval.benchmarks.robotwin.miniature.recipes import (
    bottles,
    containers,
    devices,
    dishes,
    food,
    furniture,
    office,
    shoes,
    stands,
    tools,
    vessels,
)
from wam_eval.benchmarks.robotwin.miniature.shapes import Part

RECIPES: dict[str, Recipe] = {
    **bottles.RECIPES,
    **containers.RECIPES,
    **devices.RECIPES,
    **dishes.RECIPES,
    **food.RECIPES,
    **furniture.RECIPES,
    **office.RECIPES,
    **shoes.RECIPES,
    **stands.RECIPES,
    **tools.RECIPES,
    **vessels.RECIPES,
}
"""Family -> recipe."""


def parts_of(model: Model) -> list[Part]:
    """The shapes of a model."""
    return RECIPES.get(model.family, plain_parts)(model)
