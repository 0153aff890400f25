"""Recipes of devices and toys: bell, clock, mouse, phone, stapler, scale."""

from __future__ import annotations

from wam_eval.benchmarks.robotwin.miniature.objects import Model, Recipe, family_color
from wam_eval.benchmarks.robotwin.miniature.shapes import ALONG, Part

_BRASS, _IRON, _FACE = (0.83, 0.68, 0.25), (0.25, 0.25, 0.28), (0.95, 0.95, 0.9)
_GLASS = (0.12, 0.15, 0.2)
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


def microphone(model: Model) -> list[Part]:
    """A microphone along z, with its head at the lower end of z; edges below keep it from rolling."""
    x, y, grip = model.contacts[1][:3]
    neck = model.contacts[0][2] - 0.012
    middle = (neck + model.high[2]) / 2
    radius = min(model.size[1] / 2, (neck - model.low[2]) / 2 + 0.008)
    head = (x, model.low[1] + radius, min(model.low[2] + radius, neck))
    mesh, body = (0.62, 0.63, 0.66), (0.13, 0.13, 0.15)
    length = (model.high[2] - neck) / 2
    return [
        Part("box", (0.012, 0.012, length), (x, y, middle), color=body),
        Part("box", (0.5 * radius, radius, 0.5 * radius), head, color=mesh),
        Part("sphere", (radius,), head, color=mesh, solid=False),
        Part("box", (0.004, 0.003, 0.008), (x, y + 0.012, (grip + middle) / 2), color=(0.8, 0.15, 0.1), solid=False),
    ]


def scanner(model: Model) -> list[Part]:
    """A hand scanner: a grip at the top, and a head in front, whose window looks down."""
    (width, height, length), (x, _, z) = model.size, model.center
    low, front = model.low[1], model.high[2]
    body, dark = (0.22, 0.23, 0.26), (0.1, 0.1, 0.12)
    return [
        Part("box", (0.016, 0.3 * height, 0.75 * length / 2), (x, low + 0.55 * height, z - 0.1 * length), color=body),
        Part(
            "box", (width / 2, 0.35 * height, 0.2 * length), (x, low + 0.38 * height, front - 0.2 * length), color=body
        ),
        Part(
            "box",
            (width / 2, 0.12 * height, 0.12 * length),
            (x, low + 0.12 * height, model.low[2] + 0.13 * length),
            color=body,
        ),
        Part(
            "box",
            (0.4 * width, 0.002, 0.12 * length),
            (x, low + 0.03 * height, front - 0.14 * length),
            color=(0.85, 0.1, 0.1),
            solid=False,
        ),
        Part("box", (0.006, 0.02, 0.008), (x, low + 0.3 * height, z), color=dark, solid=False),
    ]


def magic_cube(model: Model) -> list[Part]:
    """A cube with colored sides and dark grooves."""
    (width, height, depth), (x, y, z) = model.size, model.center
    grooves = [
        Part(
            "box",
            half,
            (x + i * width / 6, y + j * height / 6, z + k * depth / 6),
            color=(0.05, 0.05, 0.05),
            solid=False,
        )
        for half, places in (
            ((0.001, 0.503 * height, 0.503 * depth), ((-1, 0, 0), (1, 0, 0))),
            ((0.503 * width, 0.001, 0.503 * depth), ((0, -1, 0), (0, 1, 0))),
            ((0.503 * width, 0.503 * height, 0.001), ((0, 0, -1), (0, 0, 1))),
        )
        for i, j, k in places
    ]
    sides = [
        Part("box", (0.48 * width, 0.501 * height, 0.48 * depth), (x, y, z), color=(0.95, 0.95, 0.95), solid=False),
        Part("box", (0.501 * width, 0.48 * height, 0.48 * depth), (x, y, z), color=(0.85, 0.12, 0.12), solid=False),
        Part("box", (0.48 * width, 0.48 * height, 0.501 * depth), (x, y, z), color=(0.1, 0.35, 0.8), solid=False),
    ]
    return [Part("box", (width / 2, height / 2, depth / 2), (x, y, z), color=(0.08, 0.08, 0.08)), *sides, *grooves]


def toy_car(model: Model) -> list[Part]:
    """A car along z: a chassis, a cabin with windows, and four wheels."""
    width, height, length = (size / 2 for size in model.size)
    x, y, z = model.center
    low, wheel = model.low[1], min(0.5 * height, 0.3 * length)
    paint = family_color(model.family, model.number)
    return [
        Part("box", (0.86 * width, 0.6 * height, length), (x, low + 0.75 * height, z), color=paint),
        Part("box", (0.8 * width, 0.34 * height, 0.5 * length), (x, y + 0.66 * height, z), color=paint),
        Part("box", (0.82 * width, 0.2 * height, 0.44 * length), (x, y + 0.62 * height, z), color=_GLASS, solid=False),
        *(
            Part(
                "cylinder",
                (wheel, 0.07 * width),
                (x + i * 0.93 * width, low + wheel, z + j * 0.58 * length),
                color=_IRON,
            )
            for i in (-1, 1)
            for j in (-1, 1)
        ),
    ]


RECIPES: dict[str, Recipe] = {
    "018_microphone": microphone,
    "024_scanner": scanner,
    "073_rubikscube": magic_cube,
    "046_alarm-clock": alarm_clock,
    "047_mouse": mouse,
    "057_toycar": toy_car,
    "050_bell": bell,
}
