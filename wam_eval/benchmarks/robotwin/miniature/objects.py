"""Models of RoboTwin's objects: sizes, points and joints from ``objects.json``, and shapes from the recipes.

The table holds numbers of the official metadata, scaled to meters and rounded to 0.1 mm (written by
``python -m tools.robotwin_objects``). Shapes are our own: :mod:`wam_eval.benchmarks.robotwin.miniature.recipes` makes
them from the size of a model. A model without a recipe is a cylinder or a box of its size.

A model's frame is the official one. In almost all families y points up, and the origin is in the middle of the foot.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import sapien

from wam_eval.benchmarks.robotwin.miniature.shapes import ALONG, Color, Part

Vector3 = tuple[float, float, float]


def frame_pose(frame: Sequence[float]) -> sapien.Pose:
    """Pose of a position (m) and a quaternion w, x, y, z."""
    return sapien.Pose(frame[:3], frame[3:])


@dataclass(frozen=True)
class Model:
    """A rigid model.

    Attributes:
        family, number: RoboTwin's names, such as ``002_bowl`` and 3.
        size: extents along the axes of its frame, m.
        center: center of its bounding box in its frame, m.
        stable: True if it may be clutter.
        contacts, points: contact and functional points, each a position (m) and a quaternion w, x, y, z in its frame.
            Empty for families that no task uses.
    """

    family: str
    number: int
    size: Vector3
    center: Vector3
    stable: bool
    contacts: tuple[tuple[float, ...], ...] = ()
    points: tuple[tuple[float, ...], ...] = ()

    @property
    def low(self) -> Vector3:
        """Corner of the bounding box with the smallest coordinates, m."""
        return tuple(c - s / 2 for c, s in zip(self.center, self.size, strict=True))  # type: ignore[return-value]

    @property
    def high(self) -> Vector3:
        """Corner of the bounding box with the largest coordinates, m."""
        return tuple(c + s / 2 for c, s in zip(self.center, self.size, strict=True))  # type: ignore[return-value]


Recipe = Callable[[Model], list[Part]]
"""Makes the shapes of a model, in its frame, within its bounding box."""


@dataclass(frozen=True)
class Hinge:
    """A joint of an articulated model, between two links.

    Attributes:
        kind: kind of the joint, as in URDF.
        parent, child: names of the links.
        at: position (m) and rotation (roll, pitch, yaw in rad) of the child's frame in the parent's frame.
        axis: vector in the child's frame.
        limits: rad or m; empty for fixed and continuous joints.
    """

    kind: Literal["revolute", "prismatic", "continuous", "fixed"]
    parent: str
    child: str
    at: tuple[float, ...]
    axis: Vector3
    limits: tuple[float, ...]


@dataclass(frozen=True)
class JointedModel:
    """An articulated model.

    Attributes:
        family, number: RoboTwin's names, such as ``015_laptop`` and 9748.
        root: pose by which the root is moved: height (m) and a small rotation.
        joints: its joints. The root link is ``base``.
        contacts, points: contact and functional points: link, position (m), quaternion w, x, y, z in the link's frame.
    """

    family: str
    number: int
    root: tuple[float, ...]
    joints: tuple[Hinge, ...]
    contacts: tuple[tuple[Any, ...], ...]
    points: tuple[tuple[Any, ...], ...]


LinkRecipe = Callable[[JointedModel], dict[str, list[Part]]]
"""Makes the shapes of the links of an articulated model: link -> shapes, in the frame of the link."""


@cache
def _table() -> dict[str, dict[str, Any]]:
    text = files(__package__).joinpath("objects.json").read_text(encoding="utf-8")
    loaded: dict[str, dict[str, Any]] = json.loads(text)
    return loaded


def model_numbers(family: str) -> list[int]:
    """Numbers of a family's models, in the order of the names of their files (0, 1, 10, 2), as RoboTwin lists them."""
    return [int(number) for number in _table()[family]]


def families() -> list[str]:
    """Names of the rigid families, sorted."""
    return sorted(family for family, models in _table().items() if "size" in next(iter(models.values())))


def jointed_families() -> list[str]:
    """Names of the articulated families, sorted."""
    return sorted(_table().keys() - set(families()))


@cache
def model(family: str, number: int) -> Model:
    """A rigid model."""
    entry = _table()[family][str(number)]
    return Model(
        family,
        int(number),
        tuple(entry["size"]),
        tuple(entry["center"]),
        entry["stable"],
        tuple(tuple(point) for point in entry.get("contacts", ())),
        tuple(tuple(point) for point in entry.get("points", ())),
    )


@cache
def jointed_model(family: str, index: int) -> JointedModel:
    """An articulated model.

    Args:
        index: its place among the models of the family, or its number, as in RoboTwin.
    """
    models = _table()[family]
    number = sorted(int(n) for n in models)[index] if index < len(models) else index
    entry = models[str(number)]
    joints = [
        Hinge(j["kind"], j["parent"], j["child"], tuple(j["at"]), tuple(j["axis"]), tuple(j["limits"]))
        for j in entry["joints"]
    ]
    points = (tuple(tuple(point) for point in entry[name]) for name in ("contacts", "points"))
    return JointedModel(family, number, tuple(entry["root"]), tuple(joints), *points)


def family_color(family: str, number: int = 0) -> Color:
    """A color that depends on the names only."""
    random = np.random.RandomState(zlib.crc32(f"{family}/{number}".encode()))
    red, green, blue = 0.25 + 0.6 * random.rand(3)
    return (float(red), float(green), float(blue))


def plain_parts(model: Model) -> list[Part]:
    """A cylinder if the model is as deep as wide and not flat, else a box, of the model's size."""
    x, y, z = model.size
    color = family_color(model.family, model.number)
    if abs(x - z) < 0.08 * max(x, z) and y > 0.5 * x:
        return [Part("cylinder", (min(x, z) / 2, y / 2), model.center, ALONG["y"], color)]
    return [Part("box", (x / 2, y / 2, z / 2), model.center, color=color)]
