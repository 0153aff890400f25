"""The folder ``assets/objects``: metadata and shapes of all models of the embedded benchmark."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from wam_eval.benchmarks.robotwin.miniature.objects import (
    JointedModel,
    Model,
    families,
    frame_pose,
    jointed_families,
    jointed_model,
    model,
    model_numbers,
)
from wam_eval.benchmarks.robotwin.miniature.recipes import parts_of
from wam_eval.benchmarks.robotwin.miniature.recipes.jointed import parts_of_links, size_of
from wam_eval.benchmarks.robotwin.standins.glb import glb
from wam_eval.benchmarks.robotwin.standins.meshes import mesh_of
from wam_eval.benchmarks.robotwin.standins.urdf import document, joint, link

_CLUTTER: dict[str, Any] = {"item_names": [], "list_of_items": {}, "z_max": {}, "radius": {}, "z_offset": {}}
"""Content of ``objaverse/list.json``: clutter consists of the families only."""


def files() -> Iterator[tuple[str, bytes]]:
    """Name and content of each file, relative to ``assets/objects``."""
    yield "objaverse/list.json", _json(_CLUTTER)
    yield "same.json", _json({})
    for family in families():
        for number in model_numbers(family):
            yield from _rigid(model(family, number))
    for family in jointed_families():
        for number in model_numbers(family):
            yield from _jointed(jointed_model(family, number))


def _rigid(entry: Model) -> Iterator[tuple[str, bytes]]:
    parts = parts_of(entry)
    yield f"{entry.family}/model_data{entry.number}.json", _json(model_data(entry))
    for use, chosen in (("visual", parts), ("collision", [part for part in parts if part.solid])):
        yield f"{entry.family}/{use}/base{entry.number}.glb", glb([mesh_of(part) for part in chosen])


def model_data(entry: Model) -> dict[str, Any]:
    """Metadata of a rigid model, in meters."""
    return {
        "center": entry.center,
        "extents": entry.size,
        "scale": [1.0, 1.0, 1.0],
        "stable": entry.stable,
        "contact_points_pose": [_matrix(point) for point in entry.contacts],
        "functional_matrix": [_matrix(point) for point in entry.points],
    }


def _jointed(entry: JointedModel) -> Iterator[tuple[str, bytes]]:
    folder = f"{entry.family}/{entry.number}"
    data = {
        "scale": 1.0,
        "extents": size_of(entry),
        "transform_matrix": _matrix(entry.root),
        "init_qpos": [],
        "target_points": [],
        "contact_points": [_point(point) for point in entry.contacts],
        "functional_points": [_point(point) for point in entry.points],
    }
    yield f"{folder}/model_data.json", _json(data)
    parts = parts_of_links(entry)
    names = ["base", *(hinge.child for hinge in entry.joints)]
    elements = [link(name, parts.get(name, ())) for name in names]
    elements += [
        joint(
            f"to_{hinge.child}",
            hinge.kind,
            hinge.parent,
            hinge.child,
            hinge.at[:3],
            hinge.at[3:],
            hinge.axis,
            hinge.limits,
        )
        for hinge in entry.joints
    ]
    yield f"{folder}/mobility.urdf", document(entry.family, elements)


def _point(point: tuple[Any, ...]) -> dict[str, Any]:
    base, *frame = point
    return {"matrix": _matrix(frame), "base": base}


def _matrix(frame: Sequence[float]) -> list[list[float]]:
    """Matrix (4, 4) of a position (m) and a quaternion w, x, y, z."""
    matrix: list[list[float]] = frame_pose(frame).to_transformation_matrix().tolist()
    return matrix


def _json(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
