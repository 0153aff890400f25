"""The thirteen added objects of layout tasks, as shapes of our own in the sizes of such goods.

Upstream's initial states hold every one of them upright, with its origin 26 cm above the table; the foot of ours is
25 cm below the origin, so that they stand where they are put.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wam_eval.benchmarks.libero.standins.mjcf import Colour, Shape, box, object_xml, stack

FOOT = -0.25
"""Height of the foot of every object in its own frame, in metres."""

_CONTACT = {"density": 300, "friction": [0.95, 0.3, 0.1], "solimp": [0.998, 0.998, 0.001], "solref": [0.001, 1]}
_WHITE, _STEEL = (238, 238, 234), (190, 190, 195)


@dataclass(frozen=True)
class Cylindrical:
    """A can, jar or bottle.

    Attributes:
        radius, height: of the body, in metres.
        colour, label: of the body, and of the band around it.
        neck: radius and height of the neck with its cap, in metres; ``None`` for a can.
        cap: colour of the cap, or of the lid of a can.
    """

    radius: float
    height: float
    colour: Colour
    label: Colour
    neck: tuple[float, float] | None = None
    cap: Colour = _STEEL

    @property
    def top(self) -> float:
        """Height of the whole, in metres."""
        return self.height + (self.neck[1] if self.neck else 0.0)

    def collision(self) -> list[Any]:
        """Its collision geom."""
        return ["cylinder", [self.radius, self.height / 2], [0, 0, FOOT + self.height / 2], [1, 0, 0, 0]]

    def shapes(self) -> list[Shape]:
        """Its visible shapes."""
        low, high, edge = FOOT, FOOT + self.height, self.radius + 0.0005
        parts = [
            (low, high, self.radius, self.colour),
            (low + 0.2 * self.height, low + 0.75 * self.height, edge, self.label),
        ]
        if self.neck:
            radius, height = self.neck
            parts += [
                (high, high + height, radius, self.colour),
                (high + height / 2, high + height + 0.0005, radius + 0.002, self.cap),
            ]
        else:
            parts += [(low, low + 0.003, edge, self.cap), (high - 0.003, high + 0.0005, edge, self.cap)]
        return stack("z", (0, 0, 0), parts)


@dataclass(frozen=True)
class Boxed:
    """A carton or a bag.

    Attributes:
        size: full sizes in metres.
        colour, label: of the body, and of the patch on its front and back.
    """

    size: tuple[float, float, float]
    colour: Colour
    label: Colour

    @property
    def radius(self) -> float:
        """Half the longer horizontal side, in metres."""
        return max(self.size[:2]) / 2

    @property
    def top(self) -> float:
        """Height, in metres."""
        return self.size[2]

    def collision(self) -> list[Any]:
        """Its collision geom."""
        half = [length / 2 for length in self.size]
        return ["box", half, [0, 0, FOOT + half[2]], [1, 0, 0, 0]]

    def shapes(self) -> list[Shape]:
        """Its visible shapes."""
        x, y, z = self.size
        front = x / 2 + 0.0005
        return [
            box((-x / 2, -y / 2, FOOT), (x / 2, y / 2, FOOT + z), self.colour),
            box((-front, -0.38 * y, FOOT + 0.25 * z), (front, 0.38 * y, FOOT + 0.7 * z), self.label),
            box((-front, -0.49 * y, FOOT + 0.82 * z), (front, 0.49 * y, FOOT + 0.9 * z), _WHITE),
        ]


OBJECTS: dict[str, Cylindrical | Boxed] = {
    "bag_of_yeast": Boxed((0.03, 0.06, 0.085), (206, 176, 112), (190, 40, 40)),
    "bottle_of_alfredo_sauce": Cylindrical(0.036, 0.105, (240, 232, 208), (60, 110, 70), (0.026, 0.022), (40, 90, 60)),
    "bottle_of_antihistamines": Cylindrical(0.022, 0.055, (236, 140, 50), _WHITE, (0.018, 0.016), _WHITE),
    "bottle_of_aspirin": Cylindrical(0.022, 0.06, _WHITE, (210, 60, 60), (0.018, 0.014), (220, 200, 80)),
    "bottle_of_baby_oil": Cylindrical(0.026, 0.11, (236, 214, 190), (240, 170, 190), (0.014, 0.03), (240, 170, 190)),
    "bottle_of_barbecue_sauce__2": Cylindrical(0.03, 0.12, (92, 40, 28), (222, 180, 60), (0.014, 0.035), (180, 40, 30)),
    "box_of_shampoo__1": Boxed((0.04, 0.055, 0.125), (90, 150, 190), _WHITE),
    "box_of_vegetable_juice__1": Boxed((0.045, 0.055, 0.12), (196, 60, 40), (90, 150, 60)),
    "box_of_yogurt__1": Boxed((0.05, 0.065, 0.075), _WHITE, (110, 150, 220)),
    "boxed_ink_cartridge__3": Boxed((0.035, 0.07, 0.09), (40, 44, 60), (80, 190, 220)),
    "can_of_sardines": Boxed((0.05, 0.075, 0.025), _STEEL, (220, 190, 60)),
    "can_of_soda__1": Cylindrical(0.032, 0.115, (200, 30, 40), _WHITE),
    "canned_food__1": Cylindrical(0.035, 0.1, _STEEL, (70, 130, 70)),
}
"""Category -> object, for all categories that upstream's tasks use."""


def added_object_xml(category: str) -> str:
    """The MJCF file of a category."""
    thing = OBJECTS[category]
    row: Mapping[str, Any] = {
        "bodies": [{"name": "object", "geoms": [thing.collision()]}],
        "contact": _CONTACT,
        "radius": thing.radius,
        "bottom": [0, 0, FOOT],
        "top": [0, 0, FOOT + thing.top],
    }
    return object_xml(category, row, thing.shapes())
