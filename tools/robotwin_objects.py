"""Write the table of RoboTwin's objects from the official object metadata.

    python -m tools.robotwin_objects ASSETS > wam_eval/benchmarks/robotwin/miniature/objects.json

``ASSETS`` is the folder ``assets/objects`` of a checkout. The table holds numbers only, scaled to meters and rounded:
sizes of every model, contact and functional points of the models that a task uses, and the joints of articulated ones.
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import transforms3d
from numpy.typing import ArrayLike

USED = frozenset(
    (
        1,
        2,
        3,
        5,
        6,
        7,
        8,
        11,
        18,
        19,
        20,
        21,
        24,
        39,
        40,
        41,
        46,
        47,
        48,
        50,
        57,
        62,
        63,
        70,
        71,
        72,
        73,
        74,
        75,
        76,
        77,
        78,
        79,
        80,
        81,
        86,
        99,
        100,
        102,
        105,
        106,
        107,
        110,
        112,
        113,
        114,
    )
)
"""Numbers of the rigid families that a task uses."""

ARTICULATED = ("015_laptop", "036_cabinet", "044_microwave", "056_switch", "060_kitchenpot")


def rounded(values: ArrayLike, digits: int = 4) -> list[float]:
    """Numbers with at most ``digits`` decimals, without negative zeros."""
    return [float(value) + 0.0 for value in np.round(np.asarray(values, float), digits)]


def frame(matrix: ArrayLike, scale: ArrayLike) -> list[float]:
    """Position (m) and quaternion w, x, y, z of a point's matrix (4, 4)."""
    given = np.asarray(matrix, float)
    return rounded(given[:3, 3] * np.asarray(scale)) + rounded(transforms3d.quaternions.mat2quat(given[:3, :3]), 5)


def rigid(data: dict[str, Any], used: bool) -> dict[str, Any]:
    """Entry of a rigid model."""
    scale = np.asarray(data.get("scale", [1.0, 1.0, 1.0]))
    entry: dict[str, Any] = {
        "size": rounded(np.asarray(data["extents"]) * scale),
        "center": rounded(np.asarray(data["center"]) * scale),
        "stable": bool(data.get("stable", False)),
    }
    if used:
        entry["contacts"] = [frame(point, scale) for point in data.get("contact_points_pose") or []]
        entry["points"] = [frame(point, scale) for point in data.get("functional_matrix") or []]
    return entry


def articulated(folder: Path) -> dict[str, Any]:
    """Entry of an articulated model."""
    data = json.loads((folder / "model_data.json").read_text())
    scale = float(data["scale"])
    root = ElementTree.parse(folder / "mobility.urdf").getroot()
    joints = []
    for joint in root.findall("joint"):
        origin, axis, limit = joint.find("origin"), joint.find("axis"), joint.find("limit")
        at = np.array(_numbers(origin, "xyz", "0 0 0")) * scale
        kind = joint.get("type", "")
        limits = [float(limit.get(end, 0)) for end in ("lower", "upper")] if limit is not None else []
        parent, child = joint.find("parent"), joint.find("child")
        assert parent is not None and child is not None
        joints.append(
            {
                "kind": kind,
                "parent": parent.get("link"),
                "child": child.get("link"),
                "at": rounded(at) + rounded(_numbers(origin, "rpy", "0 0 0")),
                "axis": rounded(_numbers(axis, "xyz", "1 0 0")),
                "limits": rounded(np.array(limits) * (scale if kind == "prismatic" else 1.0)),
            }
        )
    entry: dict[str, Any] = {"joints": joints}
    entry["root"] = frame(data.get("transform_matrix", np.eye(4)), 1.0)
    for name, key in (("contacts", "contact_points"), ("points", "functional_points")):
        entry[name] = [[point["base"], *frame(point["matrix"], scale)] for point in data[key]]
    return entry


def _numbers(element: ElementTree.Element | None, name: str, default: str) -> list[float]:
    text = default if element is None else element.get(name, default)
    return [float(part) for part in text.split()]


def table(assets: Path) -> dict[str, dict[str, Any]]:
    """The table: family -> model -> entry. Models are in the order of the names of their files."""
    found: dict[str, dict[str, Any]] = {}
    for folder in sorted(path for path in assets.iterdir() if path.name[0].isdigit()):
        if folder.name in ARTICULATED:
            models = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: int(path.name))
            found[folder.name] = {path.name: articulated(path) for path in models}
            continue
        for file in sorted(folder.glob("model_data*.json")):
            data = json.loads(file.read_text())
            number = file.stem.removeprefix("model_data")
            if number.isdigit() and "extents" in data:
                found.setdefault(folder.name, {})[number] = rigid(data, int(folder.name[:3]) in USED)
    return found


def main() -> None:
    """Entry point of the command."""
    lines = []
    for family, models in table(Path(sys.argv[1])).items():
        inner = ",\n".join(f'"{n}":{json.dumps(entry, separators=(",", ":"))}' for n, entry in models.items())
        lines.append(f'"{family}":{{\n{inner}\n}}')
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main()
