"""The table of LIBERO-Plus's numbers, by itself and compared with upstream's data."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tools.libero_plus_variants import region, sections
from wam_eval.benchmarks.libero.package import init_states_file, read_init_states
from wam_eval.benchmarks.libero_plus.standins import standin_manifest
from wam_eval.benchmarks.libero_plus.standins.task_files import bddl_of, init_state_of
from wam_eval.benchmarks.libero_plus.standins.variants import ARM, TABLE, layout_of, room_name
from wam_eval.benchmarks.libero_plus.tasks import (
    COUNTS,
    DIMENSIONS,
    UNGRADED,
    PlusTask,
    Variation,
    read_manifest,
    sentence_of,
)


def all_tasks() -> list[PlusTask]:
    return [task for tasks in standin_manifest().suites.values() for task in tasks]


def layouts() -> list[Variation]:
    return [task.variation for task in all_tasks() if task.variation.layout]


def test_the_table_is_small() -> None:
    assert TABLE.stat().st_size < 10**6


def test_the_numbers_of_tasks_are_the_published_ones() -> None:
    for suite, tasks in standin_manifest().suites.items():
        counts = Counter(task.variation.dimension for task in tasks)
        assert tuple(counts[dimension] for dimension in DIMENSIONS) == COUNTS[suite]
        assert [task.number for task in tasks] == list(range(1, len(tasks) + 1))
    ungraded = Counter(task.scene.partition("/")[0] for task in all_tasks() if task.difficulty is None)
    assert ungraded == {"libero_goal": UNGRADED}
    assert len({task.variation.name for task in all_tasks()}) == 10030


def test_every_task_can_be_played_and_has_an_instruction() -> None:
    assert not any(task.needs or task.corrupted for task in all_tasks())
    assert all(task.prompts.base and task.prompts.bddl and task.prompts.upstream for task in all_tasks())


def test_the_arm_starts_in_liberos_own_joints_without_noise() -> None:
    """LIBERO's own states differ from them by a noise of about 0.02 rad, whose mean over 50 states is small."""
    one = layouts()[0]
    own = read_init_states(init_states_file(one.suite, one.base))
    np.testing.assert_allclose(own[:, 1:8].mean(axis=0), ARM[:7], atol=0.015)


def test_added_objects_have_regions_and_poses() -> None:
    for variation in random.Random(0).sample(layouts(), 60):
        layout = layout_of(variation)
        named = {one.name: one for one in layout.regions}
        for number, (name, place) in enumerate(layout.added):
            x, y, *_ = layout.poses[number - len(layout.added)]
            assert named[place].corners, name
            assert variation.layout and variation.layout.startswith("add_")
            assert abs(x) < 0.6 and abs(y) < 0.7


def test_a_task_that_is_not_in_the_table_is_named() -> None:
    base = layouts()[0].base
    with pytest.raises(ValueError, match="_light_99 is not in LIBERO-Plus's libero_spatial"):
        room_name(Variation(f"{base}_light_99", "libero_spatial", base, "light", light=99))


# ---------------------------------------------------------------------- compared with upstream's data


def test_names_dimensions_difficulties_and_prompts_are_upstreams(libero_plus_data: Path) -> None:
    upstream = read_manifest(libero_plus_data)
    for suite, tasks in standin_manifest().suites.items():
        for ours, theirs in zip(tasks, upstream.suites[suite], strict=True):
            assert (ours.number, ours.variation) == (theirs.number, theirs.variation)
            assert (ours.difficulty, ours.axes, ours.scene) == (theirs.difficulty, theirs.axes, theirs.scene)
            if not ours.variation.language:
                assert ours.prompts == theirs.prompts


def test_instructions_are_not_upstreams(libero_plus_data: Path) -> None:
    upstream = read_manifest(libero_plus_data)
    for suite, tasks in standin_manifest().suites.items():
        for base in {task.variation.base for task in tasks}:
            ours, theirs = (
                {task.prompts.bddl for task in some if task.variation.language and task.variation.base == base}
                for some in (tasks, upstream.suites[suite])
            )
            assert len(ours) >= 5 and not ours & theirs


@pytest.mark.parametrize("step", [47, pytest.param(1, marks=pytest.mark.slow)])
def test_rooms_regions_and_added_objects_are_upstreams(libero_plus_data: Path, step: int) -> None:
    """All numbers and names of the BDDL files are equal, except the instruction of language tasks."""
    own = {task.variation.bddl_file(libero_plus_data): task.variation for task in all_tasks()}
    for path, variation in list(own.items())[::step]:
        text = path.read_text()
        ours, theirs = sections(bddl_of(variation)), sections(text)
        for found in (ours, theirs):
            found[":language"] = [] if variation.language else [word.lower() for word in found[":language"]]
            found[":regions"] = [region(words) for words in found[":regions"]]
        assert ours == theirs, variation.name
        if not variation.language:
            assert sentence_of(bddl_of(variation)) == sentence_of(text)


@pytest.mark.parametrize("step", [47, pytest.param(1, marks=pytest.mark.slow)])
def test_initial_states_are_upstreams_to_the_bit(libero_plus_data: Path, tmp_path: Path, step: int) -> None:
    file = tmp_path / "state.pruned_init"
    for variation in layouts()[::step]:
        file.write_bytes(init_state_of(variation))
        (ours,) = np.atleast_2d(read_init_states(file))
        np.testing.assert_array_equal(ours, variation.init_state(libero_plus_data))
