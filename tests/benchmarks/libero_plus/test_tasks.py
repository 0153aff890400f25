"""Tasks of LIBERO-Plus: names, BDDL files, initial states, and the comparison with the published list."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bddl.parsing import scan_tokens  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.libero_plus import BASE, SENTENCE, SUITE
from wam_eval import config
from wam_eval.benchmarks.libero.package import bddl_file, init_states_file, read_init_states, task_map
from wam_eval.benchmarks.libero_plus.data import CLASSIFICATION, MODELS
from wam_eval.benchmarks.libero_plus.tasks import (
    DIMENSIONS,
    NO_SHIFT,
    CameraShift,
    Prompts,
    Room,
    Variation,
    instruction_of,
    parse_name,
    read_manifest,
    room_of,
    sentence_of,
)
from wam_eval.errors import UserError

OURS = "pick up the black bowl from table center and place it on the plate"
BDDLS = "pick the akita black bowl from table center and place it on the plate"

# ---------------------------------------------------------------------- names

PLAIN = Variation("", SUITE, BASE, "")


def read(ending: str) -> Variation:
    return parse_name(BASE + ending, SUITE, task_map()[SUITE])


@pytest.mark.parametrize(
    ("ending", "dimension", "change"),
    [
        ("_view_41_15_100_0_0_initstate_0", "camera", CameraShift(41, 15, 100, 0, 0)),
        ("_view_0_0_180_354_8_initstate_0", "camera", CameraShift(0, 0, 180, 354, 8)),
        ("_view_0_0_100_0_0_initstate_355", "robot", 355),
        ("_view_0_0_100_0_0_initstate_0_noise_50", "noise", 50),
        ("_language_21_view_0_0_100_0_0_initstate_0", "language", 21),
        ("_light_25", "light", 25),
        ("_table_1", "background", "table_1"),
        ("_tb_18", "background", "tb_18"),
        ("_add_22", "layout", "add_22"),
        ("_level3_sample2", "layout", "level3_sample2"),
        ("_moved_level3_sample2", "layout", "moved_level3_sample2"),
    ],
)
def test_a_name_states_one_perturbation(ending: str, dimension: str, change: object) -> None:
    expected = replace(PLAIN, name=BASE + ending, dimension=dimension, **{dimension: change})  # type: ignore[arg-type]
    assert read(ending) == expected


@pytest.mark.parametrize(
    ("ending", "fault"),
    [
        ("", "its ending '' is none"),
        ("_table_", "is none of LIBERO-Plus's endings"),
        ("_view_0_0_100_0_0", "is none of LIBERO-Plus's endings"),
        ("_view_0_0_100_0_0_initstate_0", "changes nothing"),
        ("_view_10_0_100_0_0_initstate_7", "changes camera and robot"),
        ("_language_1_view_0_0_100_0_0_initstate_0_noise_3", "changes noise and language"),
        ("_view_0_0_100_0_0_initstate_501", "500 joint configurations"),
        ("_view_0_0_100_0_0_initstate_0_noise_51", "50 kinds of noise"),
    ],
)
def test_other_names_are_refused(ending: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        read(ending)


def test_a_name_needs_a_base_task() -> None:
    with pytest.raises(ValueError, match="does not begin with the name of a task of libero_goal"):
        parse_name(f"{BASE}_light_1", "libero_goal", task_map()["libero_goal"])


@given(st.builds(CameraShift, *[st.integers(0, 400)] * 5).filter(lambda shift: shift != NO_SHIFT))
def test_the_camera_of_a_name(shift: CameraShift) -> None:
    numbers = f"{shift.horizontal}_{shift.vertical}_{shift.scale}_{shift.yaw}_{shift.pitch}"
    assert read(f"_view_{numbers}_initstate_0").camera == shift


def test_scenes_and_bddl_files() -> None:
    """Tasks without objects or rooms of their own use the base task's scene; language tasks have BDDL files."""
    assert not any(
        read(e).own_scene for e in ("_view_0_0_100_0_0_initstate_9", "_language_1_view_0_0_100_0_0_initstate_0")
    )
    assert all(read(ending).own_scene for ending in ("_light_1", "_tb_1", "_add_1"))
    assert read("_view_0_0_100_0_0_initstate_9").bddl_name == BASE
    assert read("_language_1_view_0_0_100_0_0_initstate_0").bddl_name == f"{BASE}_language_1"


def test_all_of_upstreams_names_can_be_read(libero_plus_data: Path) -> None:
    words = {"Camera": "camera", "Robot": "robot", "Language": "language", "Light": "light", "Background": "background"}
    words |= {"Sensor": "noise", "Objects": "layout"}
    entries = json.loads((libero_plus_data / CLASSIFICATION).read_text())
    for suite, tasks in entries.items():
        for task in tasks:
            read_name = parse_name(task["name"], suite, task_map()[suite])
            assert read_name.dimension == words[task["category"].partition(" ")[0]]


# ---------------------------------------------------------------------- BDDL files and initial states


@pytest.mark.parametrize(
    ("problem", "scene", "floor", "wall"),
    [
        ("Tabletop_Manipulation_tabletop_light_sync_modified_7", "tabletop_light_sync_modified_7", None, None),
        ("Tabletop_Manipulation_tabletop_table_Marble01_COL_3K", "tabletop_table_Marble01_COL_3K", None, None),
        (
            "Living_Room_Tabletop_Manipulation_liv_table_Bricks02_GLOSS_6K_bg_Marble01_REFL_3K",
            "liv_table_Bricks02_GLOSS_6K_bg_Marble01_REFL_3K",
            None,
            None,
        ),
        (
            "Study_Tabletop_Manipulation_study_table_Bricks02_DISP_6K_Wall_light_gray_plaster",
            "study_table_Bricks02_DISP_6K",
            None,
            "light-gray-plaster",
        ),
        (
            "Floor_Manipulation_FloorFabricWool001_NRM_6K",
            "libero_floor_base_style",
            "FabricWool001_NRM_6K",
            None,
        ),
        (
            "Floor_Manipulation_Combined_Floorcobble01_disp_Walldark_blue",
            "libero_floor_base_style",
            "Cobblestone01_DISP_6K copy",
            "dark_blue_wall",
        ),
        (
            "Floor_Manipulation_Combined_Floorbrown_ceramic_Wallgray_plaster",
            "libero_floor_base_style",
            "brown_ceramic_tile",
            "gray_plaster",
        ),
    ],
)
def test_a_problem_names_a_room(problem: str, scene: str, floor: str | None, wall: str | None) -> None:
    assert room_of(f"(define (problem Libero_{problem})") == Room(scene, floor, wall)


def test_a_problem_of_libero_names_no_room() -> None:
    with pytest.raises(ValueError, match="names no room of LIBERO-Plus"):
        room_of("(define (problem LIBERO_Tabletop_Manipulation)")


def test_layout_tasks_have_an_initial_state_of_their_own(data: Path) -> None:
    """The others start in the first official initial state of their base task."""
    official = read_init_states(init_states_file(SUITE, BASE))
    for task in read_manifest(data).suites[SUITE]:
        expected = official[1 if task.variation.dimension == "layout" else 0]
        np.testing.assert_array_equal(task.variation.init_state(data), expected)


def test_upstreams_copies_of_initial_states_are_liberos(libero_plus_data: Path) -> None:
    """The files of the installed LIBERO are used in their place."""
    for suite, tasks in read_manifest(libero_plus_data).suites.items():
        for base in {task.variation.base for task in tasks}:
            copy = libero_plus_data / "init_files" / suite / f"{base}.pruned_init"
            assert copy.read_bytes() == init_states_file(suite, base).read_bytes()


def test_every_layout_state_is_one_flat_vector(libero_plus_data: Path) -> None:
    tasks = [task for suite in read_manifest(libero_plus_data).suites.values() for task in suite]
    layouts = [task.variation for task in tasks if task.variation.layout]
    assert all(layout.init_state(libero_plus_data).ndim == 1 for layout in layouts)
    assert all(task.variation.bddl_file(libero_plus_data).is_file() for task in tasks[::97])


# ---------------------------------------------------------------------- the list of all tasks


def rewrite(data: Path, old: str, new: str) -> None:
    path = data / CLASSIFICATION
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_every_task_has_three_prompts(data: Path) -> None:
    tasks = {task.variation.name.removeprefix(BASE): task for task in read_manifest(data).suites[SUITE]}
    assert tasks["_tb_2"].prompts == Prompts(OURS, BDDLS, f"{OURS} tb 2")
    noisy = tasks["_view_0_0_100_0_0_initstate_0_noise_18"]
    assert noisy.prompts == Prompts(OURS, BDDLS, f"{OURS} view 0 0 100 0 0 initstate 0 noise 18")
    language = tasks["_language_7_view_0_0_100_0_0_initstate_0"]
    assert language.prompts == Prompts(*[SENTENCE.lower()] * 3), "language tasks have their own instruction only"


def test_a_task_without_an_instruction_gets_that_of_its_base_task(data: Path) -> None:
    manifest = read_manifest(data)
    (corrupted,) = manifest.corrupted
    assert corrupted.variation.language == 36
    assert corrupted.prompts == Prompts(OURS, OURS, OURS)
    assert [task.corrupted for task in manifest.suites[SUITE]].count(True) == 1


def test_tasks_that_need_the_archive_of_assets(data: Path) -> None:
    """All light and background tasks, and layout tasks with objects that LIBERO does not have."""
    found = [task.variation.name.removeprefix(BASE) for task in read_manifest(data).suites[SUITE] if task.needs]
    assert found == ["_light_4", "_table_13", "_tb_2", "_add_22"]


def test_axes_and_scenes(data: Path) -> None:
    tasks = read_manifest(data).suites[SUITE]
    assert [task.axes for task in tasks[:3]] == [
        {"dimension": "camera", "difficulty": 1},
        {"dimension": "camera", "difficulty": 3},
        {"dimension": "robot", "difficulty": 3},
    ]
    own = {task.variation.dimension for task in tasks if task.scene != f"{SUITE}/{BASE}"}
    assert own == {"light", "background", "layout"}


def test_the_digest_depends_on_the_contents(data: Path) -> None:
    before = read_manifest(data)
    assert not before.official
    read_manifest.cache_clear()
    assert read_manifest(data).digest == before.digest
    path = data / "bddl_files" / SUITE / f"{BASE}_light_4.bddl"
    path.write_text(path.read_text().replace("0.0", "0.1", 1))
    read_manifest.cache_clear()
    assert read_manifest(data).digest != before.digest


def test_missing_files_are_counted(data: Path) -> None:
    (data / "bddl_files" / SUITE / f"{BASE}_light_4.bddl").unlink()
    (data / "init_files" / "libero_newobj" / SUITE / f"{BASE}_add_22.pruned_init").unlink()
    with pytest.raises(
        UserError, match=r"partial copy of LIBERO-Plus: 2 files are missing, such as bddl_files/.*light_4"
    ):
        read_manifest(data)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "_light_4",
            "_table_4",
            "libero_spatial id 6 is in 'Light Conditions', but its name is that of a background task",
        ),
        ("_light_4", "_dark_4", "libero_spatial id 6: .*_dark_4: its ending '_dark_4' is none"),
        ('"id": 6', '"id": 7', "entry 6 is .* not an entry of LIBERO-Plus's list"),
        ('"difficulty_level": 4', '"difficulty_level": 6', "entry 6 is .* not an entry of LIBERO-Plus's list"),
        ('"name"', '"nam"', "entry 1 is .* not an entry of LIBERO-Plus's list"),
        ("{", "", "is not LIBERO-Plus's list of tasks: not valid JSON"),
        ("_light_4", "_light_5", "partial copy of LIBERO-Plus: 1 files are missing"),
        (
            '"difficulty_level": 4',
            '"difficulty_level": null',
            "without difficulty: 1 libero_spatial light instead of 0",
        ),
    ],
)
def test_another_list_is_refused(data: Path, old: str, new: str, fault: str) -> None:
    rewrite(data, old, new)
    with pytest.raises(UserError, match=fault):
        read_manifest(data)


@pytest.mark.parametrize("content", ["[]", "3", '{"libero_spatial": {}}', '{"libero_spatial": [[]]}'])
def test_json_of_another_form_is_refused(data: Path, content: str) -> None:
    (data / CLASSIFICATION).write_text(content)
    with pytest.raises(UserError, match=r"list of tasks: expected|not an entry of LIBERO-Plus's"):
        read_manifest(data)


def light_file(data: Path) -> Path:
    return data / "bddl_files" / SUITE / f"{BASE}_light_4.bddl"


def test_a_file_that_cannot_be_read_is_named(data: Path) -> None:
    light_file(data).unlink()
    light_file(data).mkdir()
    with pytest.raises(UserError, match=r"LIBERO-Plus's file .*_light_4\.bddl cannot be read: Is a directory"):
        read_manifest(data)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (bytes(range(256)) * 8, r"it has no \(define and no :goal"),
        (b"", r"it has no \(define and no :goal"),
        (b"(define (problem LIBERO_Tabletop_Manipulation) (:goal))", "it names no room of LIBERO-Plus"),
    ],
)
def test_a_broken_bddl_file_is_named(data: Path, content: bytes, fault: str) -> None:
    light_file(data).write_bytes(content)
    with pytest.raises(UserError, match=rf"BDDL file .*_light_4\.bddl is broken: {fault}"):
        read_manifest(data)


def test_counts_that_differ_are_named(data: Path) -> None:
    entries = json.loads((data / CLASSIFICATION).read_text())
    removed = entries[SUITE].pop()
    entries[SUITE].append({**entries[SUITE][0], "id": removed["id"]})
    (data / CLASSIFICATION).write_text(json.dumps(entries))
    with pytest.raises(UserError) as caught:
        read_manifest(data)
    assert "libero_spatial has 3 camera tasks instead of 2; libero_spatial has 1 layout tasks instead of 2" in str(
        caught.value
    )
    assert "is in its list 2 times" in str(caught.value)


@pytest.mark.parametrize("suite", ["libero_spatial", "libero_object", "libero_goal", "libero_10"])
def test_instructions_are_read_as_by_libero(suite: str) -> None:
    for name in task_map()[suite]:
        path = bddl_file(suite, name)
        (group,) = [group for group in scan_tokens(filename=str(path)) if group[0] == ":language"]
        assert sentence_of(path.read_text()) == " ".join(group[1:])


def test_all_10030_tasks(libero_plus_data: Path) -> None:
    """The numbers of the paper's seven dimensions, and the one file without an instruction."""
    read_manifest.cache_clear()
    start = time.process_time()
    manifest = read_manifest(libero_plus_data)
    assert time.process_time() - start < 3.0, "CPU seconds; about one on a slow processor"
    assert manifest.official
    tasks = [task for suite in manifest.suites.values() for task in suite]
    assert len(tasks) == 10030 and sum(bool(task.needs) for task in tasks) == 3047
    counts = Counter(task.variation.dimension for task in tasks)
    assert [counts[name] for name in DIMENSIONS] == [1599, 1550, 1537, 1142, 1076, 1601, 1525]
    assert sum(bool(task.needs) for task in tasks if task.variation.layout) == 829
    assert len({name for task in tasks for name in task.needs if name.startswith("new_objects/")}) == len(MODELS)
    assert sum(task.prompts.upstream != task.prompts.base for task in tasks) == 8493
    assert [(t.variation.suite, t.number) for t in manifest.corrupted] == [("libero_10", 1401)]
    assert [task.axes for task in tasks].count({"dimension": "light"}) == 121
    assert len({task.scene for task in tasks if not task.needs}) == 40 + 696
    digit = re.compile(r"\d")
    assert not any(digit.search(task.prompts.base) for task in tasks if task.variation.dimension != "language")


def test_the_instruction_of_a_base_task_is_liberos() -> None:
    for suite in ("libero_spatial", "libero_object", "libero_goal", "libero_10", "libero_90"):
        for task in config.load_suite(suite).tasks:
            assert instruction_of(task.name) == task.instruction
