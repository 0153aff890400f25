"""Recipes of racks, stands, mats and boxes."""

from __future__ import annotations

import math

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe
from wam_eval.benchmarks.robotwin.miniature.shapes import ALONG, Part


def coaster(model: Model) -> list[Part]:
    """A flat disc."""
    return [Part("cylinder", (model.size[0] / 2, model.size[1] / 2), model.center, ALONG["y"], (0.55, 0.4, 0.25))]


def mug_rack(model: Model) -> list[Part]:
    """A post on a foot, with a bent peg at each side; the functional point 0 is at the end of the right one."""
    wood, (x, y, _) = (0.72, 0.52, 0.32), model.points[0][:3]
    ways = [((0.0, y - 0.03), (0.6 * x, y - 0.019)), ((0.6 * x, y - 0.019), (1.06 * x, y + 0.005))]
    pegs = []
    for (start_x, start_y), (end_x, end_y) in ways:
        half = math.hypot(end_x - start_x, end_y - start_y) / 2
        for side in (1, -1):
            angle = math.atan2(end_y - start_y, side * (end_x - start_x))
            turn = (math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2))
            middle = (side * (start_x + end_x) / 2, (start_y + end_y) / 2, 0.0)
            pegs.append(Part("capsule", (0.005, half), middle, turn, wood))
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
