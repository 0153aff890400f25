"""The scene around a task: lights, ground, wall, table, clutter, and random poses on the table, as in RoboTwin.

**A seed gives the official layout.** Everything is drawn from one ``np.random.RandomState(seed)``, by the same calls in
the same order as in the official code: flickering light, colors of lights, height of the table, textures, cameras
(:func:`draw_surroundings`); then the task's own draws, with :func:`draw_pose` where the official code calls
``rand_pose`` and with the generator's ``choice``, ``randint``, ``uniform`` and ``rand`` where it calls those of
``np.random``; then clutter (:func:`draw_clutter`). A draw that the official code makes in some cases only is made in
the same cases here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import sapien
from numpy.typing import NDArray

from wam_eval.benchmarks.robotwin.miniature.motion import RATE
from wam_eval.benchmarks.robotwin.miniature.objects import families, model, model_numbers
from wam_eval.benchmarks.robotwin.miniature.recipes import parts_of
from wam_eval.benchmarks.robotwin.miniature.robot import FIXED_CAMERAS
from wam_eval.benchmarks.robotwin.miniature.shapes import Color, add_body, physical_material, surface

Range = tuple[float, float]
Vector3 = tuple[float, float, float]
Area = tuple[float, float, float, float]

TABLE_HEIGHT = 0.74
TABLE_SIZE = (1.2, 0.7, 0.05)

PLACE_HEIGHT = 0.741
"""Height at which objects are placed, a millimetre above the table, m."""

UPRIGHT = (0.5, 0.5, 0.5, 0.5)
"""Orientation (quaternion w, x, y, z) of objects whose y axis points up, as that of most RoboTwin objects; their z axis
points right (to +x) and their x axis away from the robot (to +y)."""

UPRIGHT_Y = (0.707107, 0.707107, 0.0, 0.0)
"""Orientation of objects whose y axis points up, and whose x axis points right (to +x)."""

TEXTURES = 1000
"""Number of textures from which those of the wall and the table are drawn."""

CLUTTER_COUNT, CLUTTER_FAILURES, CLUTTER_DRAWS = 10, 50, 100
CLUTTER_X, CLUTTER_Y = (-0.59, 0.59), (-0.34, 0.34)
_MARGIN = 0.005

_WALL_COLOR: Color = (1.0, 0.9, 0.9)
_TABLE_COLOR: Color = (1.0, 1.0, 1.0)
_SUN: tuple[float, float, float] = (0.0, 0.5, -1.0)
_LAMPS = ((1.0, 0.0, 1.8), (-1.0, 0.0, 1.8))

# Maps of shadows. They span the table and the robot only and need a quarter of the pixels of SAPIEN's own maps, with
# which an image takes more than twice as long on a CPU.
_SHADOW_PIXELS, _SHADOW_RADIUS, _SHADOW_DEPTH = 1024, 2.5, 4.0


@dataclass(frozen=True)
class Pattern:
    """A procedural background texture: blobs, stripes or tiles of two colors."""

    style: int
    first: Color
    second: Color
    scale: float
    angle: float
    number: int

    def image(self, size: int = 256) -> NDArray[np.uint8]:
        """RGBA image, uint8 (size, size, 4)."""
        y, x = np.mgrid[0:size, 0:size] / size
        u = np.cos(self.angle) * x - np.sin(self.angle) * y
        v = np.sin(self.angle) * x + np.cos(self.angle) * y
        noise = _noise(size, self.number)
        waves = 2 * np.pi * self.scale
        if self.style == 0:
            mix = noise
        elif self.style == 1:
            mix = 0.5 + 0.5 * np.sin(waves * u + 6.0 * noise)
        else:
            mix = 0.15 + 0.7 * ((np.sin(waves * u) > 0) ^ (np.sin(waves * v) > 0)) + 0.15 * noise
        color = np.array(self.first) + mix[..., None] * (np.array(self.second) - np.array(self.first))
        return np.dstack([np.clip(color * 255, 0, 255), np.full((size, size), 255.0)]).astype(np.uint8)


def _noise(size: int, seed: int) -> NDArray[np.float64]:
    """Smooth random field in 0 to 1, (size, size): a sum of bilinearly interpolated grids."""
    random = np.random.default_rng(seed)
    field, weight = np.zeros((size, size)), 0.0
    for cells in (4, 8, 16, 64):
        grid = random.random((cells + 1, cells + 1))
        at = np.linspace(0, cells, size, endpoint=False)
        low, part = at.astype(int), at % 1
        rows = grid[low] * (1 - part)[:, None] + grid[low + 1] * part[:, None]
        field += (rows[:, low] * (1 - part) + rows[:, low + 1] * part) / cells**0.5
        weight += 1 / cells**0.5
    return field / weight


@dataclass(frozen=True)
class Surroundings:
    """Random properties of the scene around a task, drawn before anything is built.

    Attributes:
        sun: color of the directional light.
        lamps: colors of the two point lights.
        flicker: True if the lights change with every observation.
        table_z_bias: offset of the table's height, m.
        wall, table: patterns; ``None`` for plain colors.
    """

    sun: Color
    lamps: tuple[Color, Color]
    flicker: bool
    table_z_bias: float
    wall: Pattern | None
    table: Pattern | None

    @property
    def info(self) -> dict[str, str | None]:
        """Names of the patterns, in the form of RoboTwin's ``texture_info``."""
        return {
            "wall_texture": f"procedural/{self.wall.number}" if self.wall else None,
            "table_texture": f"procedural/{self.table.number}" if self.table else None,
        }


def draw_surroundings(
    draws: np.random.RandomState, settings: dict[str, Any], height_offset: float = 0.0
) -> Surroundings:
    """Draw lights, table height, backgrounds and the displacements of cameras, in RoboTwin's order.

    Args:
        settings: fields of RoboTwin's ``domain_randomization``.
        height_offset: offset of the task's table, m.
    """
    lit = bool(settings.get("random_light", False))
    flicker = lit and draws.rand() < settings.get("crazy_random_light_rate", 0.0)
    colors: list[Any] = [(0.5, 0.5, 0.5), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)]
    if lit:
        colors = [(draws.rand(), draws.rand(), draws.rand()) for _ in range(3)]
    table_z_bias = draws.uniform(-settings.get("random_table_height", 0.0), 0) + height_offset
    shown: list[Pattern | None] = [None, None]
    if settings.get("random_background", False):
        textures = [draws.randint(0, TEXTURES), draws.randint(0, TEXTURES)]
        plain = [draws.rand() <= settings.get("clean_background_rate", 1.0) for _ in textures]
        shown = [None if bare else pattern(number) for number, bare in zip(textures, plain, strict=True)]
    for _ in FIXED_CAMERAS:  # their displacements, which are zero in both conditions
        draws.randn(3)
        draws.uniform(0, 0)
    return Surroundings(
        sun=colors[0],
        lamps=(colors[1], colors[2]),
        flicker=bool(flicker),
        table_z_bias=float(table_z_bias),
        wall=shown[0],
        table=shown[1],
    )


def pattern(number: int) -> Pattern:
    """The pattern in the place of a texture of RoboTwin."""
    random = np.random.default_rng(number)
    first, second = random.random(3), random.random(3)
    return Pattern(
        style=int(random.integers(3)),
        first=tuple(float(c) for c in first),  # type: ignore[arg-type]
        second=tuple(float(c) for c in second),  # type: ignore[arg-type]
        scale=float(random.uniform(2, 12)),
        angle=float(random.uniform(0, np.pi)),
        number=number,
    )


def build_world(
    around: Surroundings, visuals: bool, table_xy: tuple[float, float] = (0.0, 0.0)
) -> tuple[Any, list[Any]]:
    """Build a scene with ground, wall and table, and with lights if it is rendered.

    Args:
        visuals: True if images are rendered, which needs a rendering device.
        table_xy: offset of the table, m.

    Returns:
        SAPIEN's scene, and its lights: the sun and two lamps, or none if nothing is rendered.
    """
    systems: list[Any] = [sapien.physx.PhysxCpuSystem()]
    if visuals:
        _keep_shaders()
        systems.append(sapien.render.RenderSystem())
    scene = sapien.Scene(systems)
    scene.set_timestep(1 / RATE)
    lights: list[Any] = []
    if visuals:
        scene.set_ambient_light([0.5, 0.5, 0.5])
        lights.append(
            scene.add_directional_light(
                _SUN,
                around.sun,
                shadow=True,
                position=(0.0, 0.0, TABLE_HEIGHT),
                shadow_scale=_SHADOW_RADIUS,
                shadow_near=-_SHADOW_DEPTH,
                shadow_far=_SHADOW_DEPTH,
                shadow_map_size=_SHADOW_PIXELS,
            )
        )
        lights += [
            scene.add_point_light(at, color, True, shadow_far=_SHADOW_DEPTH, shadow_map_size=_SHADOW_PIXELS)
            for at, color in zip(_LAMPS, around.lamps, strict=True)
        ]
    _add_boxes(
        scene, "ground", (0.0, 0.0, 0.0), [((4.0, 4.0, 0.05), (0.0, 0.0, -0.05), (0.5, 0.5, 0.52), None)], visuals
    )
    _add_boxes(scene, "wall", (0.0, 1.0, 1.5), [((3.0, 0.6, 1.5), (0.0, 0.0, 0.0), _WALL_COLOR, around.wall)], visuals)
    height = TABLE_HEIGHT + around.table_z_bias
    _add_boxes(scene, "table", (*table_xy, height), _table(height, around.table), visuals)
    return scene, lights


@cache
def _keep_shaders() -> Any:
    """A renderer that lives as long as the process: SAPIEN frees all compiled shaders with its last renderer."""
    return sapien.render.RenderSystem()


_Box = tuple[tuple[float, float, float], tuple[float, float, float], Color, Pattern | None]


def _table(height: float, pattern: Pattern | None) -> list[_Box]:
    """Board and four legs, relative to the center of the board's upper face."""
    length, width, thickness = TABLE_SIZE
    boxes: list[_Box] = [((length / 2, width / 2, thickness / 2), (0.0, 0.0, -thickness / 2), _TABLE_COLOR, pattern)]
    for x in (-1, 1):
        for y in (-1, 1):
            leg = (thickness / 2, thickness / 2, (height - thickness) / 2)
            at = (x * (length / 2 - 0.05), y * (width / 2 - 0.05), -thickness - (height - thickness) / 2)
            boxes.append((leg, at, _TABLE_COLOR, None))
    return boxes


def _add_boxes(scene: Any, name: str, at: tuple[float, float, float], boxes: list[_Box], visuals: bool) -> None:
    """Add a static body of boxes, each with half sizes, position, color and pattern."""
    builder = scene.create_actor_builder()
    builder.set_physx_body_type("static")
    material = physical_material()
    for half, position, color, pattern in boxes:
        builder.add_box_collision(sapien.Pose(position), half_size=half, material=material)
        if visuals:
            builder.add_box_visual(sapien.Pose(position), half_size=half, material=_material(color, pattern))
    builder.set_initial_pose(sapien.Pose(at))
    builder.build(name=name)


def _material(color: Color, pattern: Pattern | None) -> Any:
    if pattern is None:
        return surface(color)
    texture = sapien.render.RenderTexture2D(pattern.image(), "R8G8B8A8Unorm")
    return surface((1.0, 1.0, 1.0), texture)


def draw_pose(
    draws: np.random.RandomState,
    x: Sequence[float],
    y: Sequence[float],
    z: Sequence[float] = (PLACE_HEIGHT,),
    near_middle: bool = False,
    turn: Vector3 | None = None,
    rest: Sequence[float] = (1.0, 0.0, 0.0, 0.0),
) -> sapien.Pose:
    """Draw a pose on the table, by the same calls as the official ``rand_pose``.

    Args:
        x, y, z: ranges, m; one number for a fixed coordinate, for which a number is drawn nevertheless.
        near_middle: True to move poses in the middle (|x| < 0.15) to the front (y <= 0), where both arms reach them
            (the official ``ylim_prop``).
        turn: largest angles by which it is rotated about its own axes x, y and z, rad, one after the other
            (``rotate_lim``); ``None`` for no rotation and no draws (without ``rotate_rand``).
        rest: orientation before the rotation, quaternion w, x, y, z (``qpos``).

    Returns:
        The pose. The height of the table is not added: the functions that add objects do so.
    """
    at_x = draws.uniform(x[0], _end(x))
    at_y = draws.uniform(y[0], _end(y))
    while near_middle and abs(at_x) < 0.15 and at_y > 0:
        at_y = draws.uniform(y[0], 0)
    at_z = draws.uniform(z[0], _end(z))
    q = tuple(rest)
    if turn is not None:
        roll, pitch, yaw = (draws.uniform(-limit, limit) for limit in turn)
        for axis, angle in ((2, yaw), (1, pitch), (0, roll)):
            q = quaternion_product(q, quaternion_about(axis, angle))
    return sapien.Pose([at_x, at_y, at_z], q)


def _end(limits: Sequence[float]) -> float:
    return limits[1] if len(limits) > 1 and limits[1] >= limits[0] else limits[0]


def quaternion_about(axis: int, angle: float) -> tuple[float, ...]:
    """Quaternion (w, x, y, z) of a rotation about the axis 0, 1 or 2 (x, y, z) by an angle in rad."""
    vector = [0.0, 0.0, 0.0]
    vector[axis] = math.sin(angle / 2)
    return (math.cos(angle / 2), *vector)


def quaternion_product(first: Sequence[float], second: Sequence[float]) -> tuple[float, ...]:
    """Product of two quaternions (w, x, y, z)."""
    w, x, y, z = first
    v, a, b, c = second
    return (
        w * v - x * a - y * b - z * c,
        w * a + x * v + y * c - z * b,
        w * b - x * c + y * v + z * a,
        w * c + x * b - y * a + z * v,
    )


def apart(pose: sapien.Pose, x: float, y: float) -> float:
    """Horizontal distance of a pose from a point, m."""
    return math.hypot(float(pose.p[0]) - x, float(pose.p[1]) - y)


def overlaps(radius: float, x: float, y: float, area: Area) -> bool:
    """True if a disc touches a rectangle."""
    dx = max(area[0] - x, 0.0, x - area[2])
    dy = max(area[1] - y, 0.0, y - area[3])
    return dx * dx + dy * dy <= radius * radius


@dataclass(frozen=True)
class Clutter:
    """An object that is not part of the task.

    Attributes:
        family, number: its model.
        radius: radius of the circle that it covers, m.
        pose: its pose in the world.
    """

    family: str
    number: int
    radius: float
    pose: sapien.Pose


def draw_clutter(
    draws: np.random.RandomState,
    prohibited: Sequence[Area],
    present: Collection[str] = (),
    lowered: float = 0.0,
    table_xy: tuple[float, float] = (0.0, 0.0),
) -> list[Clutter]:
    """Draw up to ten objects that do not overlap the task's areas, the edge of the table and one another.

    Objects taller than 5 cm are not placed in the front half, where the arms move. An object for which 100 draws find
    no free place counts as a failure; after 50 failures no more are drawn.

    Args:
        prohibited: areas that stay free.
        present: families of the task's objects, which are not used.
        lowered: offset of the table's height, m.
        table_xy: offset of the table, m.
    """
    available = [family for family in clutter_models() if family not in present]
    found: list[Clutter] = []
    failures = 0
    while len(found) < CLUTTER_COUNT and failures < CLUTTER_FAILURES:
        family = available[draws.randint(len(available))]
        numbers = clutter_models()[family]
        number = numbers[draws.randint(len(numbers))]
        entry = model(family, number)
        radius = max(entry.size[0], entry.size[2]) / 2
        top = entry.size[1] + entry.center[1]
        place = _free_place(draws, radius, top, found, prohibited, table_xy)
        if place is None:
            failures += 1
            continue
        z = draws.uniform(PLACE_HEIGHT + lowered, PLACE_HEIGHT + lowered)
        angles = [draws.uniform(-limit, limit) for limit in (0.0, math.pi, 0.0)]
        q = quaternion_product(UPRIGHT_Y, quaternion_about(1, angles[1]))
        found.append(Clutter(family, number, radius, sapien.Pose([*place, z], q)))
    return found


@cache
def clutter_models() -> dict[str, list[int]]:
    """Models that may be clutter: family -> numbers, in the order in which RoboTwin draws from them."""
    stable = {
        family: sorted((n for n in model_numbers(family) if model(family, n).stable), key=str) for family in families()
    }
    return {family: numbers for family, numbers in stable.items() if numbers}


def _free_place(
    draws: np.random.RandomState,
    radius: float,
    top: float,
    found: Sequence[Clutter],
    prohibited: Sequence[Area],
    table_xy: tuple[float, float],
) -> tuple[float, float] | None:
    wide, (x0, x1), (y0, y1) = radius + _MARGIN, CLUTTER_X, CLUTTER_Y
    for _ in range(CLUTTER_DRAWS):
        x = draws.uniform(x0 + table_xy[0], x1 + table_xy[0])
        y = draws.uniform(y0 + table_xy[1], y1 + table_xy[1])
        if any(overlaps(wide, x, y, area) for area in prohibited):
            continue
        if y - wide < 0 and top > 0.05:
            continue
        if abs(x) + wide > 0.6 or abs(y) + wide > 0.34 or y + wide >= y1 + table_xy[1]:
            continue
        if all(apart(other.pose, x, y) > other.radius + wide + _MARGIN for other in found):
            return (x, y)
    return None


def build_clutter(scene: Any, clutter: Sequence[Clutter], visuals: bool) -> list[dict[str, Any]]:
    """Add clutter to a scene.

    Returns:
        Description of each object, in the form of RoboTwin's ``cluttered_table_info``.
    """
    for item in clutter:
        add_body(scene, item.family, parts_of(model(item.family, item.number)), item.pose, visuals)
    return [{"object_type": item.family, "object_index": str(item.number)} for item in clutter]
