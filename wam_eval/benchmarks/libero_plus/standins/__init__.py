"""Stand-ins for a copy of LIBERO-Plus: all 10,030 tasks with the published numbers, and everything else our own.

Facts are the list of tasks with dimensions and difficulties, and the numbers of every variant (``variants.json.xz``).
Our own are textures, light styles, added objects and the instructions of language tasks. Results are therefore never
shown beside published ones.

A simulator writes the files of a task, with upstream's names and folders, when it loads the task for the first time,
and then reads them like those of a user's copy.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from functools import cache
from pathlib import Path

from wam_eval.benchmarks.libero.assets import Assets
from wam_eval.benchmarks.libero.package import bddl_file
from wam_eval.benchmarks.libero_plus.data import model_file
from wam_eval.benchmarks.libero_plus.standins.objects import OBJECTS, added_object_xml
from wam_eval.benchmarks.libero_plus.standins.rooms import scene_of
from wam_eval.benchmarks.libero_plus.standins.task_files import bddl_of, init_state_of, sentence_for
from wam_eval.benchmarks.libero_plus.standins.textures import texture_png
from wam_eval.benchmarks.libero_plus.standins.variants import StoredTask, room_name, stored_tasks
from wam_eval.benchmarks.libero_plus.tasks import (
    Manifest,
    PlusTask,
    Prompts,
    Variation,
    instruction_of,
    room_named,
    sentence_of,
)
from wam_eval.places import cache_folder

VERSION = "dbd4d1f1aefe3436"
"""Version of the files, part of the protocol's hash; to be changed with every change of a file."""


@cache
def standin_manifest() -> Manifest:
    """All tasks, with our own instructions in the language tasks."""
    suites = {
        suite: tuple(_plus_task(number, task) for number, task in enumerate(tasks, start=1))
        for suite, tasks in stored_tasks().items()
    }
    return Manifest(suites, VERSION)


def standin_folder(libero: Assets) -> Path:
    """The data folder of the stand-ins in this machine's cache; its scenes refer to files of one tree of assets.

    Args:
        libero: LIBERO's assets.
    """
    tree = hashlib.sha256(f"{libero.path} {libero.record.digest}".encode()).hexdigest()
    return cache_folder(f"libero-plus-standins-{VERSION}-{tree[:12]}")


def write_files(data: Path, libero: Path, variation: Variation) -> None:
    """Write the files of a task, unless they are there.

    Args:
        data: result of :func:`standin_folder`.
        libero: the tree of LIBERO's assets.
        variation: the task. One without a scene of its own needs no files.
    """
    bddl = variation.bddl_file(data)
    if not variation.own_scene or bddl.exists():
        return
    assets = data / "assets"
    if variation.layout:
        _write(variation.init_state_file(data), init_state_of(variation))
        for category in OBJECTS:
            _write(assets / model_file(category), added_object_xml(category).encode())
    else:
        room = room_named(room_name(variation))
        scene, textures = scene_of(room.scene, libero)
        _link(assets / "textures", libero / "textures")
        for texture in textures | {name for name in (room.floor, room.wall) if name}:
            _write(assets / "textures" / f"{texture}.png", texture_png(texture))
        _write(assets / room.files[0], scene)
    _write(bddl, bddl_of(variation).encode())  # last, so that the other files exist if it does


def _plus_task(number: int, task: StoredTask) -> PlusTask:
    variation = task.variation
    base = instruction_of(variation.base)
    if variation.language:
        sentence = sentence_for(variation)
        prompts = Prompts(sentence, sentence, sentence)
    else:
        prompts = Prompts(base, _sentence(variation.suite, variation.base), instruction_of(variation.name))
    return PlusTask(number, variation, task.difficulty, prompts, needs=(), corrupted=False)


@cache
def _sentence(suite: str, base: str) -> str:
    """The sentence in the BDDL file of a base task."""
    return sentence_of(bddl_file(suite, base).read_text(encoding="utf-8"))


def _link(folder: Path, textures: Path) -> None:
    """Link the files of a folder, since a room without a floor or wall of its own has LIBERO's."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in textures.iterdir():
        with contextlib.suppress(FileExistsError):
            (folder / file.name).symlink_to(file)


def _write(path: Path, content: bytes) -> None:
    """Write a file unless it, or a link of its name, exists. Simulators that do so at a time write the same content."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
