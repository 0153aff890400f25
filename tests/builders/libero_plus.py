"""Small copies of LIBERO-Plus's data and of its archive of assets, for tests.

Names, folders and structure are upstream's. The data contain a few tasks of each dimension, all of one task of
LIBERO-Spatial. The assets look different: LIBERO's own scenes with random lights and checkered textures, and boxes for
added objects.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wam_eval.benchmarks.libero.package import bddl_file, init_states_file, read_init_states
from wam_eval.benchmarks.libero_plus import tasks
from wam_eval.benchmarks.libero_plus.data import CLASSIFICATION, MODELS, model_file
from wam_eval.benchmarks.libero_plus.tasks import room_of

SUITE = "libero_spatial"
#: The base task, whose own name contains the form of the ending of a background task.
BASE = "pick_up_the_black_bowl_from_table_center_and_place_it_on_the_plate"
SENTENCE = "Move the dark bowl over to the plate"
CORRUPTED = "Here are 20 variations of the given instruction while maintaining its core meaning"
#: Ending, category, difficulty.
TASKS = (
    ("_view_0_0_100_8_6_initstate_0", "Camera Viewpoints", 1),
    ("_view_41_15_100_0_0_initstate_0", "Camera Viewpoints", 3),
    ("_view_0_0_100_0_0_initstate_355", "Robot Initial States", 3),
    ("_language_7_view_0_0_100_0_0_initstate_0", "Language Instructions", 2),
    ("_language_36_view_0_0_100_0_0_initstate_0", "Language Instructions", 5),
    ("_light_4", "Light Conditions", 4),
    ("_table_13", "Background Textures", 1),
    ("_tb_2", "Background Textures", 2),
    ("_view_0_0_100_0_0_initstate_0_noise_18", "Sensor Noise", 5),
    ("_level3_sample1", "Objects Layout", 4),
    ("_add_22", "Objects Layout", 1),
)
#: Ending -> name of the problem in its BDDL file.
PROBLEMS = {
    "_light_4": "Libero_Tabletop_Manipulation_tabletop_light_sync_modified_7",
    "_table_13": "Libero_Tabletop_Manipulation_tabletop_table_Marble01_COL_3K",
    "_tb_2": "Libero_Tabletop_Manipulation_tabletop_table_Marble01_COL_3K_Wall_canvas",
}
COUNTS = (2, 1, 2, 1, 2, 1, 2)
"""Number of these tasks, in the order of ``DIMENSIONS``."""

SCENES = {
    "floor": "libero_floor_base_style",
    "kitchen": "libero_kitchen_tabletop_base_style",
    "libero": "libero_floor_base_style",
    "liv": "libero_living_room_tabletop_base_style",
    "study": "libero_study_base_style",
    "tabletop": "libero_tabletop_base_style",
}
"""First word of a scene's name -> LIBERO's scene."""

_BOX = """<mujoco model="{name}">
  <worldbody>
    <body name="object">
      <geom name="box" type="box" size="0.02 0.05 0.02" group="0" density="200" rgba="0.2 0.3 0.8 1"/>
      <geom name="look" type="box" size="0.02 0.05 0.02" group="1" contype="0" conaffinity="0" rgba="0.2 0.3 0.8 1"/>
    </body>
    <body>
      <site name="bottom_site" pos="0 0 -0.05" size="0.005" rgba="0 0 0 0"/>
      <site name="top_site" pos="0 0 0.05" size="0.005" rgba="0 0 0 0"/>
      <site name="horizontal_radius_site" pos="0.03 0.03 0" size="0.005" rgba="0 0 0 0"/>
    </body>
  </worldbody>
</mujoco>
"""


def write_data(folder: Path) -> Path:
    """Write the data of a checkout; returns the folder that contains ``bddl_files``."""
    data = folder / "libero" / "libero"
    bddl = bddl_file(SUITE, BASE).read_text()
    entries = []
    for number, (ending, category, difficulty) in enumerate(TASKS, start=1):
        name = BASE + ending
        entries.append({"id": number, "name": name, "category": category, "difficulty_level": difficulty})
        text = bddl
        if "_language_" in ending:
            sentence = CORRUPTED if "_36_" in ending else SENTENCE
            text = re.sub(r"\(:language [^)]*\)", f"(:language {sentence})", bddl)
        if ending in PROBLEMS:
            text = bddl.replace("LIBERO_Tabletop_Manipulation", PROBLEMS[ending])
        if "_add_" in ending:
            text = bddl.replace("(:objects", "(:objects\n    can_of_soda__1_1 - can_of_soda__1")
        _write(data / "bddl_files" / SUITE / f"{name.partition('_view_')[0]}.bddl", text)
        if category == "Objects Layout":
            _write_init_state(data / "init_files" / "libero_newobj" / SUITE / f"{name}.pruned_init")
    listed = {suite: entries if suite == SUITE else [] for suite in tasks.COUNTS}
    _write(data / CLASSIFICATION, json.dumps(listed))
    return data


def expect_small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the published counts by those of this copy."""
    none = (0,) * len(COUNTS)
    expected = {suite: COUNTS if suite == SUITE else none for suite in tasks.COUNTS}
    monkeypatch.setattr(tasks, "COUNTS", expected)
    monkeypatch.setattr(tasks, "UNGRADED", 0)


def write_archive(folder: Path, libero: Path, bddls: Iterable[Path]) -> Path:
    """Write the assets that some tasks need, and all added objects.

    Args:
        folder: target; returned.
        libero: LIBERO's assets, or the stand-ins.
        bddls: BDDL files of light and background tasks.
    """
    textures = folder / "textures"
    textures.mkdir(parents=True, exist_ok=True)
    for texture in (libero / "textures").iterdir():
        if not (textures / texture.name).exists():
            (textures / texture.name).symlink_to(texture)
    for bddl in bddls:
        room = room_of(bddl.read_text())
        for name in filter(None, (room.floor, room.wall)):
            _write_texture(textures / f"{name}.png")
        _write_scene(folder, libero, room.scene)
    for category in MODELS:
        _write(folder / model_file(category), _BOX.format(name=category))
    return folder


def _write_scene(folder: Path, libero: Path, scene: str) -> None:
    tree = ElementTree.parse(libero / "scenes" / f"{SCENES[scene.partition('_')[0]]}.xml")
    stream = _stream(scene)
    for element in tree.iter():
        file = element.get("file")
        if file:
            own = folder / "textures" / Path(file).name
            element.set("file", str(own if own.exists() else (libero / "scenes" / file).resolve()))
        if "_table_" in scene and element.get("name") in ("tex-table", "tex-table-legs"):
            own = folder / "textures" / f"{scene}.png"
            _write_texture(own)
            element.set("file", str(own))
        if "_light_" in scene and element.tag == "light":
            for name, low, high in (("diffuse", 0.1, 0.9), ("pos", -2, 2), ("dir", -0.6, 0.6)):
                values = stream.uniform(low, high, 3)
                values[2] = {"pos": 3.0, "dir": -1.0}.get(name, values[2])
                element.set(name, " ".join(f"{value:.3f}" for value in values))
    target = folder / "scenes" / ("lights" if "_light_" in scene else "")
    target.mkdir(parents=True, exist_ok=True)
    tree.write(target / f"{scene}.xml")


def _write_texture(file: Path) -> None:
    """Write a checkered image in two colours."""
    colours = _stream(file.stem).integers(30, 226, (2, 3)).astype(np.uint8)
    if not file.exists():
        Image.fromarray(colours[(np.indices((64, 64)) // 16).sum(axis=0) % 2]).save(file)


def _write_init_state(path: Path) -> None:
    """Write a flat initial state in the form of upstream's files: the second one of the base task."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = read_init_states(init_states_file(SUITE, BASE))[1]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(state))


def _stream(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
