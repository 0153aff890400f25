"""The 10,030 tasks of LIBERO-Plus, read from a copy of its data and compared with the published list.

The name of a task describes its perturbation: it is the name of LIBERO's task with one of these endings. The numbers
are upstream's:

============================================  ==========  ======================================================
ending                                        dimension   numbers
============================================  ==========  ======================================================
``_view_H_V_S_Y_P_initstate_0``               camera      see :class:`CameraShift`
``_view_0_0_100_0_0_initstate_N``             robot       joint configuration, 1 to 500
``_view_0_0_100_0_0_initstate_0_noise_N``     noise       kind and level, 1 to 50
``_language_N_view_0_0_100_0_0_initstate_0``  language    rewritten instruction
``_light_N``                                  light       lighting
``_table_N``, ``_tb_N``                       background  texture of the table, or of floor and wall
``_add_N``, ``_levelX_sampleY``               layout      added objects, or objects at other positions
============================================  ==========  ======================================================

A light or background task differs from its base task in the name of its BDDL file's problem alone, which follows
``Libero_Tabletop_Manipulation_`` or the like and names files of the archive of assets:

==============================================  =====================================================================
end of the problem's name                       files
==============================================  =====================================================================
``tabletop_light_sync_modified_7``              a scene file: LIBERO's room in another light
``tabletop_table_Marble01_COL_3K``              a scene file: another table
``kitchen_table_Bricks02_NRM_6K_bg_Tiles01``    a scene file: another table and background
``tabletop_table_Marble01_COL_3K_Wall_white``   a scene file and the texture of its wall
``FloorFabricWool001_NRM_6K``                   a texture of the floor
``Combined_Floorrustic_Wallgray_plaster``       textures of floor and wall
==============================================  =====================================================================

Upstream has a class for each room, of which its tasks use 1,919.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wam_eval.benchmarks.libero.package import init_states_file, package_folder, read_init_states, task_map
from wam_eval.benchmarks.libero_plus.data import CLASSIFICATION, Archive, model_file
from wam_eval.errors import UserError

DIMENSIONS = ("camera", "robot", "language", "light", "background", "noise", "layout")
"""Kinds of perturbation, in the order of the papers' tables."""

COUNTS = {
    "libero_spatial": (376, 350, 390, 292, 258, 351, 385),
    "libero_object": (396, 398, 354, 297, 248, 422, 403),
    "libero_goal": (408, 409, 410, 279, 281, 379, 425),
    "libero_10": (419, 393, 383, 274, 289, 449, 312),
}
"""Base suite -> number of tasks by dimension, in the order of :data:`DIMENSIONS`."""

UNGRADED = 121
"""Number of tasks without a difficulty: light tasks of libero_goal."""

OFFICIAL = "b4d97093623d54ca8591c0d1762164aac4b2acf09ff9247990a972f4346513d1"
"""Digest of the data at upstream's commit 4976dc30."""

CATEGORIES = {
    "Camera Viewpoints": "camera",
    "Robot Initial States": "robot",
    "Language Instructions": "language",
    "Light Conditions": "light",
    "Background Textures": "background",
    "Sensor Noise": "noise",
    "Objects Layout": "layout",
}
"""Category in upstream's list of tasks -> dimension."""

# ---------------------------------------------------------------------- names of tasks

_VIEW = re.compile(r"_view_(\d+)_(\d+)_(\d+)_(\d+)_(\d+)_initstate_(\d+)(?:_noise_(\d+))?")
_LANGUAGE = re.compile(r"_language_(\d+)(_view_.*)")
_OWN_SCENE = {
    "light": re.compile(r"_light_(\d+)"),
    "background": re.compile(r"_((?:table|tb)_\d+)"),
    "layout": re.compile(r"_(add_\d+|(?:moved_)?level\d+_sample\d+)"),
}


@dataclass(frozen=True)
class CameraShift:
    """Displacement of a camera task's camera from LIBERO's own pose.

    Attributes:
        horizontal: degrees, about the vertical axis through the origin.
        vertical: degrees, about the horizontal axis through (0, 0, 0.8), which is parallel to y.
        scale: percent of the distance from (0, 0, 0.8).
        yaw: degrees of the rotation in place about the vertical axis.
        pitch: degrees of the rotation in place about the axis parallel to y.
    """

    horizontal: int
    vertical: int
    scale: int
    yaw: int
    pitch: int


NO_SHIFT = CameraShift(0, 0, 100, 0, 0)


@dataclass(frozen=True)
class Variation:
    """A perturbed task. One of the perturbations is set; the others are ``None``.

    Attributes:
        name: upstream's name of the task.
        suite: base suite, such as ``libero_spatial``.
        base: LIBERO's name of the base task.
        dimension: one of :data:`DIMENSIONS`.
        camera: displacement of the camera.
        robot: joint configuration, 1 to 500.
        noise: kind and level of image noise, 1 to 50; see :mod:`wam_eval.benchmarks.libero_plus.perturbations`.
        language: number of the instruction.
        light: number of the lighting.
        background: ``table_N`` or ``tb_N``.
        layout: ``add_N``, ``levelX_sampleY`` or ``moved_levelX_sampleY``.
    """

    name: str
    suite: str
    base: str
    dimension: str
    camera: CameraShift | None = None
    robot: int | None = None
    noise: int | None = None
    language: int | None = None
    light: int | None = None
    background: str | None = None
    layout: str | None = None

    @property
    def own_scene(self) -> bool:
        """True if the task has a scene or objects of its own; False if it is played in its base task's scene."""
        return self.dimension in _OWN_SCENE

    @property
    def bddl_name(self) -> str:
        """Name of the task's BDDL file without its suffix; tasks that only look different share their base's."""
        return self.name.partition("_view_")[0]

    def bddl_file(self, data: Path) -> Path:
        """The BDDL file of the task.

        Args:
            data: see :func:`wam_eval.benchmarks.libero_plus.data.find_data`.
        """
        return data / "bddl_files" / self.suite / f"{self.bddl_name}.bddl"

    def init_state_file(self, data: Path) -> Path:
        """The file of the initial state: a layout task's own, else the base task's in the installed LIBERO.

        LIBERO-Plus contains copies of the latter, equal byte by byte.
        """
        if self.dimension == "layout":
            return data / "init_files" / "libero_newobj" / self.suite / f"{self.name}.pruned_init"
        return init_states_file(self.suite, self.base)

    def init_state(self, data: Path) -> NDArray[np.float64]:
        """The initial state: the only one of a layout task, else the first one of the base task.

        Returns:
            float64 (d,): flattened simulator state, the time, positions, velocities.

        Raises:
            ValueError: the file is not one of initial states.
        """
        return np.atleast_2d(read_init_states(self.init_state_file(data)))[0]


def parse_name(name: str, suite: str, base_names: Collection[str]) -> Variation:
    """Read the perturbation from the name of a task.

    Args:
        name: upstream's name of the task.
        suite: base suite.
        base_names: LIBERO's names of the suite's tasks.

    Raises:
        ValueError: the name does not begin with that of a base task, or its ending is unknown.
    """
    # The longest match, since `..._from_table_center_...` also contains the form of an ending.
    base = max((base for base in base_names if name.startswith(base)), key=len, default="")
    if not base:
        raise ValueError(f"{name}: it does not begin with the name of a task of {suite}")
    ending = name[len(base) :]
    for dimension, pattern in _OWN_SCENE.items():
        if match := pattern.fullmatch(ending):
            value = int(match[1]) if dimension == "light" else match[1]
            return Variation(name, suite, base, dimension, **{dimension: value})  # type: ignore[arg-type]
    language = _LANGUAGE.fullmatch(ending)
    view = _VIEW.fullmatch(language[2] if language else ending)
    if not view:
        raise ValueError(f"{name}: its ending {ending!r} is none of LIBERO-Plus's endings")
    camera, robot, noise = CameraShift(*map(int, view.groups()[:5])), int(view[6]), int(view[7] or 0)
    changes = {
        "camera": None if camera == NO_SHIFT else camera,
        "robot": robot or None,
        "noise": noise or None,
        "language": int(language[1]) if language else None,
    }
    changed = {dimension: value for dimension, value in changes.items() if value is not None}
    if len(changed) != 1:
        raise ValueError(
            f"{name}: it changes {' and '.join(changed) or 'nothing'}; a task of LIBERO-Plus changes one dimension"
        )
    if robot > 500 or noise > 50:
        raise ValueError(f"{name}: there are 500 joint configurations and 50 kinds of noise")
    return Variation(name, suite, base, *changed, **changed)  # type: ignore[arg-type]


def instruction_of(name: str) -> str:
    """The instruction that LIBERO derives from a task's name; upstream applies it to perturbed names, too."""
    if name[0].isupper():
        name = name[name.find("SCENE") + (8 if "SCENE10" in name else 7) :]
    return name.replace("_", " ")


# ---------------------------------------------------------------------- BDDL files

_SENTENCE = re.compile(r"\(:language\s+([^()]*)\)")
_TYPES = re.compile(r"\(:(?:objects|fixtures)\b([^()]*)\)")
# A language model's remark about its answer, which one file contains in place of an instruction.
_NO_INSTRUCTION = re.compile(r"variations of the given instruction")
_PROBLEM = re.compile(r"\(problem\s+Libero_\w+?_Manipulation_(\w+)\s*\)")
_FLOOR_AND_WALL = re.compile(r"Combined_Floor(\w+)_Wall(\w+)")
_FLOOR = re.compile(r"Floor(\w+)")
_FLOOR_SCENE = "libero_floor_base_style"

_FLOORS = {
    "brick_disp": "Bricks02_DISP_6K",
    "brown_ceramic": "brown_ceramic_tile",
    "cliffde_ao": "CliffDesert006_AO_HIRES",
    "cobble01_ao": "Cobblestone01_AO_6K",
    "cobble01_disp": "Cobblestone01_DISP_6K copy",
    "dapper_gray": "dapper_gray_floor",
    "dark": "dark_floor_texture",
    "gray": "gray_floor",
    "light": "light_floor",
    "light_gray": "light-gray-floor-tile",
    "marble": "marble_floor",
    "marble_gloss": "Marble01_GLOSS_3K",
    "rustic": "rustic_floor",
    "white_marble": "white_marble_floor",
    "wood_plank": "seamless_wood_planks_floor",
}
"""Floors whose names differ from those of their files."""

_WALLS = {
    "canvas": "canvas_sky_blue",
    "capriccio": "capriccio_sky",
    "cream": "cream_plaster",
    "dark_green": "dark_green_plaster_wall",
    "gray_ceramic": "gray_ceramic_tile",
    "light_gray_plaster": "light-gray-plaster",
    "yellow_linen": "yellow_linen_wall_texture",
    **{colour: f"{colour}_wall" for colour in ("dark_blue", "gray", "light_blue", "stucco", "white")},
}
"""Walls whose names differ from those of their files."""


@dataclass(frozen=True)
class Room:
    """The room of a light or background task.

    Attributes:
        scene: name of the scene file without its suffix.
        floor, wall: names of texture files without their suffix; ``None`` for LIBERO's own.
    """

    scene: str
    floor: str | None = None
    wall: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """Its files in the archive of assets, the scene first."""
        return (f"scenes/{self.scene}.xml", *(f"textures/{name}.png" for name in (self.floor, self.wall) if name))


@dataclass(frozen=True)
class Bddl:
    """The content of a task's BDDL file.

    Attributes:
        sentence: its instruction; empty if it contains none.
        needs: files of the archive of assets.
    """

    sentence: str
    needs: tuple[str, ...]


def read_bddl(text: str, dimension: str, known_types: frozenset[str]) -> Bddl:
    """Read a task's BDDL file.

    Args:
        text: text of the file.
        dimension: dimension of the task.
        known_types: types of objects that LIBERO has.

    Raises:
        ValueError: it is broken; the text names the missing parts.
    """
    missing = [part for part in ("(define", ":goal") if part not in text]
    if missing:
        raise ValueError(f"it has no {' and no '.join(missing)}")
    needs: tuple[str, ...] = ()
    if dimension in ("light", "background"):
        needs = room_of(text).files
    elif dimension == "layout":
        needs = tuple(model_file(category) for category in sorted(types_of(text) - known_types))
    sentence = sentence_of(text)
    return Bddl("" if _NO_INSTRUCTION.search(sentence) else sentence, needs)


def sentence_of(bddl: str) -> str:
    """The ``:language`` of a BDDL file as LIBERO's reader gives it; empty if there is none."""
    found = _SENTENCE.search(bddl)
    return " ".join(found[1].lower().split()) if found else ""


def types_of(bddl: str) -> set[str]:
    """Types of the objects and fixtures in a BDDL file."""
    blocks = (block.split() for block in _TYPES.findall(bddl))
    return {word for words in blocks for dash, word in pairwise(words) if dash == "-"}


def room_of(bddl: str) -> Room:
    """The room that the problem of a BDDL file names.

    Args:
        bddl: text of the file.

    Raises:
        ValueError: it names none.
    """
    match = _PROBLEM.search(bddl)
    if not match:
        raise ValueError("it names no room of LIBERO-Plus")
    return room_named(match[1])


def room_named(name: str) -> Room:
    """The room of a name, which is the end of a problem's name; see the table above."""
    if both := _FLOOR_AND_WALL.fullmatch(name):
        return Room(_FLOOR_SCENE, _FLOORS.get(both[1], both[1]), _WALLS.get(both[2], both[2]))
    if floor := _FLOOR.fullmatch(name):
        return Room(_FLOOR_SCENE, _FLOORS.get(floor[1], floor[1]))
    scene, _, wall = name.partition("_Wall_")
    return Room(scene, wall=_WALLS.get(wall, wall) or None)


# ---------------------------------------------------------------------- the list of all tasks


@dataclass(frozen=True)
class Prompts:
    """The instructions that a policy may get for a task.

    Attributes:
        base: LIBERO's own instruction of the base task, on which policies are trained.
        bddl: instruction of the task's BDDL file, in lower case as LIBERO's reader gives it.
        upstream: instruction that LIBERO-Plus's code gives, which is the file's name for all but language tasks.
    """

    base: str
    bddl: str
    upstream: str


@dataclass(frozen=True)
class PlusTask:
    """A task of LIBERO-Plus.

    Attributes:
        number: upstream's id in the suite, from 1.
        variation: base task and perturbation.
        difficulty: 1 to 5; ``None`` for the :data:`UNGRADED`.
        prompts: instructions; in a language task, all three are its rewritten instruction.
        needs: files of the archive of assets; empty if LIBERO's own assets suffice.
        corrupted: True if its BDDL file contains no instruction, so that the base task's is used.
    """

    number: int
    variation: Variation
    difficulty: int | None
    prompts: Prompts
    needs: tuple[str, ...]
    corrupted: bool

    @property
    def axes(self) -> dict[str, str | int]:
        """Values on the benchmark's axes."""
        difficulty = {} if self.difficulty is None else {"difficulty": self.difficulty}
        return {"dimension": self.variation.dimension, **difficulty}

    @property
    def scene(self) -> str:
        """Name of the compiled model; tasks with the same name share it."""
        of = self.variation
        return f"{of.suite}/{of.name if of.own_scene else of.base}"


@dataclass(frozen=True)
class Manifest:
    """All tasks.

    Attributes:
        suites: base suite -> tasks in upstream's order.
        digest: SHA-256 over the files from which they were read.
    """

    suites: dict[str, tuple[PlusTask, ...]]
    digest: str

    @property
    def official(self) -> bool:
        """True if the data are equal to upstream's, byte by byte."""
        return self.digest == OFFICIAL

    @property
    def corrupted(self) -> list[PlusTask]:
        """Tasks whose BDDL file contains no instruction."""
        return [task for tasks in self.suites.values() for task in tasks if task.corrupted]

    def missing_files(self, archive: Archive) -> list[str]:
        """Files that tasks need and an archive lacks; of each task the first one."""
        tasks = (task for tasks in self.suites.values() for task in tasks)
        return sorted({archive.first_missing(task.needs) for task in tasks} - {""})


@lru_cache(maxsize=1)
def read_manifest(data: Path) -> Manifest:
    """Read all tasks from a copy of LIBERO-Plus's data.

    Args:
        data: see :func:`wam_eval.benchmarks.libero_plus.data.find_data`.

    Raises:
        UserError: files are missing or broken, or the counts differ from the published ones; the text names them.
    """
    files = _Files(data)
    path = data / CLASSIFICATION
    entries = read_classification(path, files.read(path) or b"")
    known_types = _known_types()
    readers = {suite: _TaskReader(suite, files, known_types) for suite in COUNTS}
    suites = {suite: tuple(reader.task(entry) for entry in entries.get(suite, [])) for suite, reader in readers.items()}
    digest = files.digest()
    if faults := list(_wrong_counts(suites)):
        raise UserError("this copy of LIBERO-Plus is not the published one: " + "; ".join(faults))
    return Manifest(suites, digest)


def read_classification(path: Path, content: bytes) -> dict[str, list[dict[str, Any]]]:
    """Read upstream's list of tasks, ``task_classification.json``.

    Args:
        path: path of the list, for errors.
        content: content of the list.

    Returns:
        Base suite -> entries with ``id`` (from 1), ``name``, ``category`` and ``difficulty_level``.

    Raises:
        UserError: it has another form.
    """
    try:
        entries: dict[str, list[dict[str, Any]]] = json.loads(content)
    except ValueError as error:
        raise UserError(f"{path} is not LIBERO-Plus's list of tasks: not valid JSON: {error}") from error
    if not isinstance(entries, dict) or not all(isinstance(tasks, list) for tasks in entries.values()):
        raise UserError(f"{path} is not LIBERO-Plus's list of tasks: expected suite -> list of tasks")
    for suite, tasks in entries.items():
        for number, task in enumerate(tasks, start=1):
            if not _is_entry(task, number):
                raise UserError(f"{path}: {suite}: entry {number} is {task!r:.200}, not an entry of LIBERO-Plus's list")
    return entries


def _is_entry(task: Any, number: int) -> bool:
    return (
        isinstance(task, dict)
        and isinstance(task.get("name"), str)
        and isinstance(task.get("category"), str)
        and isinstance(task.get("id"), int)
        and isinstance(task.get("difficulty_level", ""), int | None)
        and task["id"] == number
        and task["difficulty_level"] in (None, 1, 2, 3, 4, 5)
    )


class _Files:
    """The files of a copy, each read once; missing files are collected.

    Args:
        data: data folder.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        self._contents: dict[str, bytes] = {}
        self._missing: list[str] = []

    def read(self, path: Path) -> bytes | None:
        """Content of a file; ``None`` if it is missing. Raises :class:`UserError` if it cannot be read."""
        name = str(path)
        try:
            self._contents[name] = path.read_bytes()
        except FileNotFoundError:
            self._missing.append(name)
        except OSError as error:
            raise UserError(f"LIBERO-Plus's file {path} cannot be read: {error.strerror}") from error
        return self._contents.get(name)

    def digest(self) -> str:
        """SHA-256 over names and contents of all files that were read.

        Raises:
            UserError: files were missing.
        """
        if self._missing:
            raise UserError(
                f"{self.data} is a partial copy of LIBERO-Plus: {len(self._missing)} files are missing, "
                f"such as {Path(min(self._missing)).relative_to(self.data)}"
            )
        whole = hashlib.sha256()
        start = len(str(self.data)) + 1
        for name, content in sorted(self._contents.items()):
            whole.update(f"{name[start:]}\0{len(content)}\0".encode() + content)
        return whole.hexdigest()


class _TaskReader:
    """Makes the tasks of a suite from the entries of upstream's list."""

    def __init__(self, suite: str, files: _Files, known_types: frozenset[str]) -> None:
        self._suite, self._files, self._known_types = suite, files, known_types
        self._names = task_map()[suite]
        self._bddl: dict[str, Bddl] = {}

    def task(self, entry: dict[str, Any]) -> PlusTask:
        """The task of an entry. Raises :class:`UserError` if its name or its dimension does not fit."""
        source = f"LIBERO-Plus's list of tasks: {self._suite} id {entry['id']}"
        try:
            variation = parse_name(entry["name"], self._suite, self._names)
        except ValueError as error:
            raise UserError(f"{source}: {error}") from error
        dimension = variation.dimension
        if CATEGORIES.get(entry["category"]) != dimension:
            raise UserError(f"{source} is in {entry['category']!r}, but its name is that of a {dimension} task")
        if dimension == "layout":
            self._files.read(variation.init_state_file(self._files.data))
        bddl = self._bddl.get(variation.bddl_name) or self._read(variation)
        base = instruction_of(variation.base)
        sentence = bddl.sentence or base
        if dimension == "language":
            prompts = Prompts(sentence, sentence, sentence)
        else:
            prompts = Prompts(base, sentence, instruction_of(variation.name))
        return PlusTask(entry["id"], variation, entry["difficulty_level"], prompts, bddl.needs, not bddl.sentence)

    def _read(self, variation: Variation) -> Bddl:
        path = variation.bddl_file(self._files.data)
        content = self._files.read(path)
        if content is None:
            return Bddl("", ())
        try:
            bddl = read_bddl(content.decode(errors="replace"), variation.dimension, self._known_types)
        except ValueError as error:
            raise UserError(f"LIBERO-Plus's BDDL file {path} is broken: {error}") from error
        self._bddl[variation.bddl_name] = bddl
        return bddl


def _known_types() -> frozenset[str]:
    """Types of objects and fixtures of the installed LIBERO's own tasks; it has assets for no other types."""
    folder = package_folder() / "bddl_files"
    return frozenset(t for path in folder.glob("libero_*/*.bddl") for t in types_of(path.read_text()))


def _wrong_counts(suites: dict[str, tuple[PlusTask, ...]]) -> Iterator[str]:
    for suite, counts in COUNTS.items():
        found = Counter(task.variation.dimension for task in suites[suite])
        for dimension, count in zip(DIMENSIONS, counts, strict=True):
            if found[dimension] != count:
                yield f"{suite} has {found[dimension]} {dimension} tasks instead of {count}"
    names = Counter(task.variation.name for tasks in suites.values() for task in tasks)
    yield from (f"{name} is in its list {count} times" for name, count in names.items() if count > 1)
    ungraded = Counter((s, t.variation.dimension) for s, tasks in suites.items() for t in tasks if t.difficulty is None)
    if ungraded != Counter({("libero_goal", "light"): UNGRADED}):
        listed = ", ".join(f"{n} {s} {d}" for (s, d), n in sorted(ungraded.items())) or "none"
        yield f"tasks without difficulty: {listed} instead of {UNGRADED} libero_goal light"
