"""URDF files of links made of primitive shapes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sapien

from wam_eval.benchmarks.robotwin.miniature.shapes import ALONG, Part

Numbers = Sequence[float]


def document(name: str, elements: Iterable[str]) -> bytes:
    """A file with links and joints."""
    return "\n".join([f'<robot name="{name}">', *elements, "</robot>\n"]).encode()


def link(name: str, parts: Iterable[Part], solid: bool = True, inertia: float | None = None) -> str:
    """A link.

    Args:
        parts: its shapes; those that are not solid are only seen.
        solid: False if none of them is.
        inertia: moments of inertia for a mass of 1 kg, kg m²; those of its shapes if ``None``.
    """
    content = ""
    if inertia is not None:
        moments = " ".join(
            f'{m}="{inertia if m[1] == m[2] else 0}"' for m in ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")
        )
        content = f'<inertial><mass value="1"/><inertia {moments}/></inertial>'
    for part in parts:
        shape = _origin(part) + _geometry(part)
        color = f'<material name=""><color rgba="{numbers(part.color)} 1"/></material>'
        content += f"<visual>{shape}{color}</visual>"
        if solid and part.solid:
            content += f"<collision>{shape}</collision>"
    return f'<link name="{name}">{content}</link>'


def joint(
    name: str, kind: str, parent: str, child: str, position: Numbers, rpy: Numbers, axis: Numbers, limits: Numbers = ()
) -> str:
    """A joint.

    Args:
        kind: ``revolute``, ``prismatic``, ``continuous`` or ``fixed``.
        parent, child: names of its links.
        position, rpy: pose of the child in the parent, m and rad (roll, pitch, yaw).
        axis: in the frame of the child.
        limits: rad or m.
    """
    limit = f'<limit lower="{limits[0]}" upper="{limits[1]}" effort="1000" velocity="1000"/>' if limits else ""
    return (
        f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>'
        f'<origin xyz="{numbers(position)}" rpy="{numbers(rpy)}"/><axis xyz="{numbers(axis)}"/>{limit}</joint>'
    )


def numbers(values: Numbers) -> str:
    """Numbers separated by spaces, rounded to nine decimals."""
    return " ".join(str(round(float(value), 9) + 0.0) for value in values)


def _geometry(part: Part) -> str:
    if part.kind == "box":
        return f'<geometry><box size="{numbers([2 * half for half in part.size])}"/></geometry>'
    if part.kind == "sphere":
        return f'<geometry><sphere radius="{numbers(part.size[:1])}"/></geometry>'
    return (
        f'<geometry><{part.kind} radius="{numbers(part.size[:1])}" length="{numbers([2 * part.size[1]])}"/></geometry>'
    )


def _origin(part: Part) -> str:
    """The pose of a shape. Cylinders and capsules lie along x here, and along z in URDF."""
    pose = part.pose
    if part.kind in ("cylinder", "capsule"):
        pose = pose * sapien.Pose(q=ALONG["z"]).inv()
    return f'<origin xyz="{numbers(pose.p)}" rpy="{numbers(pose.rpy)}"/>'
