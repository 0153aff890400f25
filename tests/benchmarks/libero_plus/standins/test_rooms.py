"""Rooms of light and background tasks: only lights and materials differ from LIBERO's scenes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from wam_eval.benchmarks.libero_plus.standins import standin_manifest
from wam_eval.benchmarks.libero_plus.standins.rooms import scene_of
from wam_eval.benchmarks.libero_plus.standins.textures import texture
from wam_eval.benchmarks.libero_plus.standins.variants import room_name
from wam_eval.benchmarks.libero_plus.tasks import Room, room_named

TABLE = "tabletop_table_Marble01_COL_3K"


def rooms() -> set[Room]:
    """The rooms of all tasks."""
    tasks = (task.variation for some in standin_manifest().suites.values() for task in some)
    return {room_named(room_name(one)) for one in tasks if one.light or one.background}


def lights(name: str, assets: Path) -> list[dict[str, str]]:
    return [light.attrib for light in ET.fromstring(scene_of(name, assets)[0]).iter("light")]


@pytest.fixture(params=["standins", "shared_assets"])
def assets(request: pytest.FixtureRequest) -> Path:
    """The stand-ins of LIBERO's assets, and LIBERO's own."""
    path: Path = request.getfixturevalue(request.param)
    return path.resolve()


def test_upstreams_rooms_can_be_made(standins: Path) -> None:
    scenes = {room.scene for room in rooms()}
    assert len([scene for scene in scenes if "_light_" in scene]) > 500
    names = set()
    for scene in sorted(scenes)[::50]:
        root, textures = scene_of(scene, standins)
        assert ET.fromstring(root).find("worldbody") is not None
        names |= textures
    assert all(texture(name).std() > 1 for name in sorted(names)[::4])


@pytest.mark.parametrize(("number", "changed"), [(4, "diffuse"), (5, "dir"), (6, "specular"), (7, "castshadow")])
def test_a_light_changes_one_property_in_turn(assets: Path, number: int, changed: str) -> None:
    own = lights("libero_floor_base_style", assets)
    relit = lights(f"floor_light_sync_modified_{number}", assets)
    assert len(own) == len(relit)
    assert own[0].get(changed) != relit[0].get(changed)
    assert lights(f"floor_light_sync_modified_{number + 4}", assets) != relit


def test_a_number_is_the_same_light_in_every_room(standins: Path) -> None:
    floor, tabletop = (lights(f"{room}_light_sync_modified_9", standins) for room in ("floor", "tabletop"))
    assert floor == tabletop


@pytest.mark.parametrize(
    ("name", "textures", "covered"),
    [
        (TABLE, {"Marble01_COL_3K"}, "cover-table"),
        ("liv_table_FabricWool001_NRM_6K", {"FabricWool001_NRM_6K"}, "cover-table"),
        ("study_table_Bricks02_NRM_6K", {"Bricks02_NRM_6K"}, "cover-table"),
        ("kitchen_table_Bricks02_NRM_6K_bg_Tiles01_REFL_6K", {"Bricks02_NRM_6K", "Tiles01_REFL_6K"}, "cover-walls"),
    ],
)
def test_tables_and_walls_are_covered(assets: Path, name: str, textures: set[str], covered: str) -> None:
    content, found = scene_of(name, assets)
    assert found == textures
    geoms = [geom for geom in ET.fromstring(content).iter("geom") if geom.get("material") == covered]
    assert geoms and all(geom.get("rgba") is None for geom in geoms)


def test_files_of_meshes_are_absolute_and_those_of_textures_relative(assets: Path) -> None:
    files = [element.get("file", "") for element in ET.fromstring(scene_of(TABLE, assets)[0]).iter()]
    assert all(Path(file).is_file() or file.startswith("../textures/") for file in files if file)


def test_collisions_are_those_of_liberos_scene(assets: Path) -> None:
    def collisions(content: bytes) -> list[dict[str, str]]:
        return [geom.attrib for geom in ET.fromstring(content).iter("geom") if geom.get("group") == "0"]

    own = (assets / "scenes" / "libero_tabletop_base_style.xml").read_bytes()
    for name in (TABLE, "tabletop_light_sync_modified_3"):
        assert collisions(scene_of(name, assets)[0]) == collisions(own) != []
