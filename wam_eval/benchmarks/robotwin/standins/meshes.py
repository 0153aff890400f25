"""Triangle meshes of primitive shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wam_eval.benchmarks.robotwin.miniature.shapes import Color, Part

SEGMENTS = 24
"""Number of sides of a cylinder, and of meridians of a sphere."""

_RINGS = 5  # circles of a hemisphere, with the equator


@dataclass(frozen=True)
class Mesh:
    """A closed convex surface.

    Attributes:
        vertices: float32 (n, 3), m.
        normals: unit vectors out of the surface at the vertices, float32 (n, 3).
        triangles: indices of vertices, counterclockwise seen from outside, uint16 (m, 3).
        color: red, green, blue in 0 to 1.
    """

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    triangles: NDArray[np.uint16]
    color: Color


def mesh_of(part: Part) -> Mesh:
    """The surface of a primitive shape, in the frame of its body."""
    vertices, normals, triangles = _SHAPES[part.kind](part.size)
    turn = part.pose.to_transformation_matrix()[:3, :3]
    return Mesh(
        vertices=(vertices @ turn.T + part.position).astype(np.float32),
        normals=(normals @ turn.T).astype(np.float32),
        triangles=np.asarray(triangles, np.uint16),
        color=part.color,
    )


_Surface = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


def _box(half: tuple[float, ...]) -> _Surface:
    vertices, normals = [], []
    for axis in range(3):
        for sign in (1.0, -1.0):
            normal, u, v = np.zeros(3), np.zeros(3), np.zeros(3)
            normal[axis], u[(axis + 1) % 3], v[(axis + 2) % 3] = sign, sign, 1.0
            vertices += [normal + a * u + b * v for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
            normals += 4 * [normal]
    corners = 4 * np.arange(6)[:, None]
    triangles = np.concatenate([corners + np.array([0, 1, 2]), corners + np.array([0, 2, 3])])
    return np.array(vertices) * half, np.array(normals), triangles


def _cylinder(size: tuple[float, ...]) -> _Surface:
    radius, half = size
    sharp = [(half, radius, 1.0, 0.0), (half, radius, 0.0, 1.0), (-half, radius, 0.0, 1.0), (-half, radius, -1.0, 0.0)]
    return _turned([(half, 0.0, 1.0, 0.0), *sharp, (-half, 0.0, -1.0, 0.0)])


def _capsule(size: tuple[float, ...]) -> _Surface:
    radius, half = size
    circles = [(np.sin(angle), np.cos(angle)) for angle in np.linspace(0, np.pi / 2, _RINGS)[:-1]]
    directions = [(1.0, 0.0), *reversed(circles)]
    upper = [(half + radius * along, radius * out, along, out) for along, out in directions]
    return _turned([*upper, *((-x, r, -along, out) for x, r, along, out in reversed(upper))])


def _sphere(size: tuple[float, ...]) -> _Surface:
    return _capsule((size[0], 0.0))


def _turned(profile: list[tuple[float, float, float, float]]) -> _Surface:
    """A surface of revolution about x, of points (x, radius, and the normal along x and outward) from +x to -x."""
    angles = 2 * np.pi * np.arange(SEGMENTS) / SEGMENTS
    cosines, sines = np.cos(angles), np.sin(angles)
    vertices = [np.stack([np.full(SEGMENTS, x), r * cosines, r * sines], axis=1) for x, r, _, _ in profile]
    normals = [np.stack([np.full(SEGMENTS, n), out * cosines, out * sines], axis=1) for _, _, n, out in profile]
    here = np.arange(SEGMENTS)
    ahead = (here + 1) % SEGMENTS
    triangles = []
    for ring in range(len(profile) - 1):
        first, second = ring * SEGMENTS, (ring + 1) * SEGMENTS
        if profile[ring][:2] == profile[ring + 1][:2]:  # an edge, where two normals meet
            continue
        if profile[ring + 1][1] > 0:
            triangles.append(np.stack([first + here, second + here, second + ahead], axis=1))
        if profile[ring][1] > 0:
            triangles.append(np.stack([first + here, second + ahead, first + ahead], axis=1))
    return np.concatenate(vertices), np.concatenate(normals), np.concatenate(triangles)


_SHAPES = {"box": _box, "cylinder": _cylinder, "capsule": _capsule, "sphere": _sphere}
