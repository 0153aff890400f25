"""Binary glTF 2.0 files (Khronos, "glTF 2.0 Specification", section 4: GLB file format) with one mesh for each shape.

RoboTwin loads collision shapes with SAPIEN's ``add_multiple_convex_collisions_from_file``, which makes a convex shape
of each mesh of a file.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from wam_eval.benchmarks.robotwin.standins.meshes import Mesh

_FLOAT, _SHORT = 5126, 5123
_VERTICES, _INDICES = 34962, 34963
_ROUGHNESS = 0.8


def glb(meshes: Sequence[Mesh]) -> bytes:
    """A file with meshes, each as a node of its own with its color."""
    data = bytearray()
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []

    def store(values: np.ndarray[Any, Any], kind: str, **bounds: Any) -> int:
        """Append an array, aligned to four bytes, and return the number of its accessor."""
        target, component = (_INDICES, _SHORT) if kind == "SCALAR" else (_VERTICES, _FLOAT)
        content = values.tobytes()
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": len(content), "target": target})
        count = values.size if kind == "SCALAR" else len(values)
        accessors.append(
            {"bufferView": len(views) - 1, "componentType": component, "count": count, "type": kind, **bounds}
        )
        data.extend(content + bytes(-len(content) % 4))
        return len(accessors) - 1

    materials, shapes = [], []
    for number, mesh in enumerate(meshes):
        low, high = mesh.vertices.min(axis=0).tolist(), mesh.vertices.max(axis=0).tolist()
        attributes = {
            "POSITION": store(mesh.vertices.astype("<f4"), "VEC3", min=low, max=high),
            "NORMAL": store(mesh.normals.astype("<f4"), "VEC3"),
        }
        indices = store(mesh.triangles.astype("<u2"), "SCALAR")
        shapes.append({"primitives": [{"attributes": attributes, "indices": indices, "material": number}]})
        color = {"baseColorFactor": [*mesh.color, 1.0], "metallicFactor": 0.0, "roughnessFactor": _ROUGHNESS}
        materials.append({"pbrMetallicRoughness": color})
    numbers = list(range(len(meshes)))
    document = {
        "asset": {"version": "2.0", "generator": "wam-eval"},
        "scene": 0,
        "scenes": [{"nodes": numbers}],
        "nodes": [{"mesh": number} for number in numbers],
        "meshes": shapes,
        "materials": materials,
        "buffers": [{"byteLength": len(data)}],
        "bufferViews": views,
        "accessors": accessors,
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(data), 0x004E4942) + data
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks
