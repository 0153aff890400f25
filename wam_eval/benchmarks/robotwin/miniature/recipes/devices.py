"""Recipes of devices and toys: bell, clock, mouse, phone, stapler, scale."""

from __future__ import annotations

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe
from wam_eval.benchmarks.robotwin.miniature.shapes import ALONG, Part

_BRASS, _IRON, _FACE = (0.83, 0.68, 0.25), (0.25, 0.25, 0.28), (0.95, 0.95, 0.9)
_PLASTIC, _KEYS = (0.2, 0.21, 0.23), (0.32, 0.33, 0.36)


def bell(model: Model) -> list[Part]:
    """A foot, a dome of two cylinders and a button."""
    radius, (low, top) = model.size[0] / 2, (model.low[1], model.high[1])
    height = top - low
    levels = ((1.0, 0.0, 0.2, _IRON), (0.85, 0.2, 0.62, _BRASS), (0.6, 0.62, 0.8, _BRASS), (0.18, 0.8, 1.0, _IRON))
    return [
        Part(
            "cylinder",
            (part * radius, (end - start) / 2 * height),
            (0.0, low + (start + end) / 2 * height, 0.0),
            ALONG["y"],
            color,
        )
        for part, start, end, color in levels
    ]


def alarm_clock(model: Model) -> list[Part]:
    """A body with a face and hands, and a button on top."""
    width, _, depth = model.size
    low, top = model.low[1], model.high[1]
    body = 0.88 * (top - low)
    middle, front = low + body / 2, depth / 2
    return [
        Part("box", (width / 2, body / 2, front), (0.0, middle, 0.0), color=(0.75, 0.2, 0.2)),
        Part("cylinder", (0.02, 0.06 * (top - low)), (0.0, low + 0.94 * (top - low), 0.0), ALONG["y"], _IRON),
        Part("cylinder", (0.4 * body, 0.002), (0.0, middle, front), ALONG["z"], _FACE, solid=False),
        Part("box", (0.002, 0.15 * body, 0.003), (0.0, low + 0.62 * body, front + 0.001), color=_IRON, solid=False),
        Part("box", (0.1 * body, 0.002, 0.003), (0.1 * body, middle, front + 0.001), color=_IRON, solid=False),
    ]


def mouse(model: Model) -> list[Part]:
    """A body with a round front, two keys and a wheel."""
    width, height, length = model.size
    middle, top = model.center[1], model.high[1]
    key = (0.2 * width, 0.001, 0.18 * length)
    return [
        Part("box", (width / 2, height / 2, 0.42 * length), (0.0, middle, -0.08 * length), color=_PLASTIC),
        Part("cylinder", (0.42 * width, height / 2), (0.0, middle, 0.29 * length), ALONG["y"], _PLASTIC),
        *(Part("box", key, (x * width, top, 0.2 * length), color=_KEYS, solid=False) for x in (0.25, -0.25)),
        Part("cylinder", (0.004, 0.003), (0.0, top, 0.22 * length), ALONG["x"], (0.8, 0.2, 0.2), solid=False),
    ]


RECIPES: dict[str, Recipe] = {"046_alarm-clock": alarm_clock, "047_mouse": mouse, "050_bell": bell}
