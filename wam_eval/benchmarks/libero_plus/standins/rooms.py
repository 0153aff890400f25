"""The rooms of light and background tasks: LIBERO's scenes in our own light, and with generated textures.

The scene files of the present LIBERO assets are changed, so that a room has the furniture that all other tasks show.
The names are upstream's: ``kitchen_light_sync_modified_7`` is the kitchen in light 7; ``liv_table_A_bg_B`` is the
living room, its table with texture A and its walls with texture B. A number is the same light in every room.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

import numpy as np

_SCENES = {
    "floor": "libero_floor_base_style",
    "kitchen": "libero_kitchen_tabletop_base_style",
    "libero": "libero_floor_base_style",
    "liv": "libero_living_room_tabletop_base_style",
    "study": "libero_study_base_style",
    "tabletop": "libero_tabletop_base_style",
}
"""First word of a room -> LIBERO's scene."""

_LIGHT = re.compile(r"\w+_light_sync_modified_(\d+)")
_COVER = re.compile(r"[a-z]+_table_(\w+?)(?:_bg_(\w+))?")
_TABLES = ("table", "living_room_table", "study_table")
_VISIBLE = "1"  # group of the geoms that are rendered


def scene_of(name: str, libero: Path) -> tuple[bytes, set[str]]:
    """A room as MJCF, and the names of the textures that it needs besides LIBERO's.

    Args:
        name: name of the scene without its suffix.
        libero: LIBERO's assets, to whose meshes the scene refers. Its textures are those in ``../textures``, where
            LIBERO's styles replace floor and wall.
    """
    folder = libero / "scenes"
    root = ET.parse(folder / f"{_SCENES[name.partition('_')[0]]}.xml").getroot()
    for element in root.iter():
        file = element.get("file", "")
        if file and not file.startswith("../textures/"):
            element.set("file", str((folder / file).resolve()))
    textures: set[str] = set()
    if light := _LIGHT.fullmatch(name):
        _relight(root, int(light[1]))
    elif cover := _COVER.fullmatch(name):
        table, wall = cover.groups()
        bodies = [body for body in root.iter("body") if body.get("name") in _TABLES]
        _cover(root, (geom for body in bodies for geom in body.iter("geom")), "cover-table", table)
        if wall:
            walls = (geom for geom in root.iter("geom") if geom.get("name", "").startswith("wall_"))
            _cover(root, walls, "cover-walls", wall)
        textures = {table, wall} - {None}
    return ET.tostring(root), textures


def _relight(root: ET.Element, number: int) -> None:
    """Change colour, direction, highlights or shadows of a scene's lamps, in turn by the number of the light."""
    stream = np.random.default_rng(number)
    change = ("colour", "direction", "highlights", "shadows")[number % 4]
    for lamp in root.iter("light"):
        if change == "colour":
            lamp.set("diffuse", _text(stream.uniform(0.1, 1.0, 3)))
        if change in ("direction", "shadows"):
            lamp.set("pos", _text([*stream.uniform(-2.5, 2.5, 2), stream.uniform(2.0, 4.0)]))
            lamp.set("dir", _text([*stream.uniform(-0.7, 0.7, 2), -1.0]))
        if change == "highlights":
            lamp.set("specular", _text(stream.uniform(0.5, 1.0, 3)))
            lamp.set("diffuse", _text(np.full(3, stream.uniform(0.3, 1.0))))
    if change == "shadows":
        first = next(root.iter("light"))
        first.set("castshadow", "true")


def _cover(root: ET.Element, geoms: Iterable[ET.Element], material: str, texture: str) -> None:
    """Give visible geoms a material of their own with a texture."""
    assets = root.find("asset")
    assert assets is not None
    ET.SubElement(assets, "texture", name=f"tex-{material}", type="cube", file=f"../textures/{texture}.png")
    ET.SubElement(
        assets, "material", name=material, texture=f"tex-{material}", specular="0.2", shininess="0", reflectance="0"
    )
    for geom in geoms:
        if geom.get("group") == _VISIBLE:
            geom.set("material", material)
            geom.attrib.pop("rgba", None)


def _text(numbers: Iterable[float]) -> str:
    return " ".join(f"{number:.3f}" for number in numbers)
