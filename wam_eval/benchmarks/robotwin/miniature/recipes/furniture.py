"""Recipes of racks, stands, mats and boxes."""

from __future__ import annotations

import math

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe
from wam_eval.benchmarks.robotwin.miniature.shapes import ALONG, Part


def coaster(model: Model) -> list[Part]:
    """A flat disc."""
    return [Part("cylinder", (model.size[0] / 2, model.size[1] / 2), model.center, ALONG["y"], (0.55, 0.4, 0.25))]


def mug_rack(model: Model) -> list[Part]:
    """A post on a foot, with a rising peg at each side; the functional point 0 is at the end of the right one."""
    wood, (x, y, _), (down_x, down_y) = (0.72, 0.52, 0.32), model.points[0][:3], (0.623, 0.782)
    length = x / down_x
    turn = math.atan2(down_y, down_x)
    middle, half = (x / 2, y - down_y * length / 2), length / 2 + 0.008
    pegs = [
        Part(
            "capsule",
            (0.005, half),
            (side * middle[0], middle[1], 0.0),
            (math.cos(a / 2), 0.0, 0.0, math.sin(a / 2)),
            wood,
        )
        for side, a in ((1, turn), (-1, math.pi - turn))
    ]
    top, foot = model.high[1] - 0.01, 0.9 * min(-model.low[2], -model.low[0])
    return [
        Part("cylinder", (foot, 0.008), (0.0, 0.006, 0.0), ALONG["y"], wood),
        Part("cylinder", (0.008, top / 2), (0.0, top / 2, 0.0), ALONG["y"], wood),
        Part("sphere", (0.012,), (0.0, top, 0.0), color=wood),
        *pegs,
    ]


RECIPES: dict[str, Recipe] = {
    "019_coaster": coaster,
    "040_rack": mug_rack,
}
