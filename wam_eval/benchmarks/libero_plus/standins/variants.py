"""The numbers of LIBERO-Plus's 10,030 tasks, in one table.

``variants.json.xz`` maps a base suite to its tasks in upstream's order. The entry of a task is a list:

1. the number of its base task in LIBERO's order, from 0;
2. the ending of its name, with the numbers of a camera, robot or noise task, see
   :mod:`wam_eval.benchmarks.libero_plus.tasks`;
3. its difficulty, ``null`` for the tasks without one;
4. of a light or background task, the name of its room, see :func:`wam_eval.benchmarks.libero_plus.tasks.room_named`; of
   a layout task, the fields of :class:`Layout`; nothing for the other dimensions.

``python -m tools.libero_plus_variants`` writes it from upstream's data; the numbers are equal to the bit.
"""

from __future__ import annotations

import json
import lzma
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wam_eval.benchmarks.libero.package import task_map
from wam_eval.benchmarks.libero_plus.tasks import Variation, parse_name

TABLE = Path(__file__).with_name("variants.json.xz")
ARM = (0.0, -0.161037389, 0.0, -2.44459747, 0.0, 2.2267522, math.pi / 4, 0.020833, -0.020833)
"""Positions of the arm's joints (rad) and of the fingers (m) in the initial state of every layout task."""


@dataclass(frozen=True)
class Region:
    """A region in which an object is placed.

    Attributes:
        target: name of the fixture of which it is a part.
        name: its name.
        corners: lower and upper corner ``(x, y, x, y)`` in metres; ``None`` for a region of the fixture itself.
        yaw: limits of an object's yaw in radians; ``None`` if it has none.
    """

    target: str
    name: str
    corners: tuple[float, ...] | None
    yaw: tuple[float, ...] | None


@dataclass(frozen=True)
class Layout:
    """The objects of a layout task.

    Attributes:
        regions: all regions, in upstream's order.
        added: name and region of each object that the base task does not have, in the order of their placement.
        poses: of the initial state: position in metres and quaternion w, x, y, z of each object.
        joints: of the initial state: positions of the joints of the furniture, in metres or radians.
    """

    regions: tuple[Region, ...]
    added: tuple[tuple[str, str], ...]
    poses: tuple[tuple[float, ...], ...]
    joints: tuple[float, ...]


@dataclass(frozen=True)
class StoredTask:
    """A task of the table.

    Attributes:
        variation: base task and perturbation.
        difficulty: 1 to 5, or ``None``.
        details: name of the room, or fields of the layout, as in the table; ``None`` for the other dimensions.
    """

    variation: Variation
    difficulty: int | None
    details: Any = None


def stored_tasks() -> dict[str, list[StoredTask]]:
    """Base suite -> its tasks in upstream's order."""
    found = {}
    for suite, entries in _table().items():
        names = task_map()[suite]
        found[suite] = [
            StoredTask(parse_name(names[base] + ending, suite, names), *rest) for base, ending, *rest in entries
        ]
    return found


def room_name(variation: Variation) -> str:
    """The name of the room of a light or background task."""
    name: str = _details(variation)
    return name


def layout_of(variation: Variation) -> Layout:
    """The objects of a layout task."""
    fields: dict[str, Any] = _details(variation)
    return Layout(
        tuple(
            Region(target, name, corners and tuple(corners), yaw and tuple(yaw))
            for target, name, corners, yaw in fields["regions"]
        ),
        tuple((name, region) for name, region in fields["added"]),
        tuple(map(tuple, fields["poses"])),
        tuple(fields["joints"]),
    )


def category_of(name: str) -> str:
    """The category of an added object; ``can_of_soda__1`` of ``can_of_soda__1_2``."""
    return name.rpartition("_")[0]


def _details(variation: Variation) -> Any:
    found = _details_by_name().get((variation.suite, variation.name))
    if found is None:
        raise ValueError(f"{variation.name} is not in LIBERO-Plus's {variation.suite}, or has no room and no layout")
    return found


@cache
def _details_by_name() -> dict[tuple[str, str], Any]:
    """Suite and name of a task -> the last part of its entry."""
    return {
        (suite, task_map()[suite][base] + ending): details[0]
        for suite, entries in _table().items()
        for base, ending, _, *details in entries
        if details
    }


@cache
def _table() -> dict[str, list[list[Any]]]:
    table: dict[str, list[list[Any]]] = json.loads(lzma.decompress(TABLE.read_bytes()))
    return table
