"""Selection of tasks by number, by name, by filters on the axes, and by a random sample."""

from __future__ import annotations

import random
from collections import Counter
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wam_eval.benchmark import Benchmark, load_benchmark
from wam_eval.config import ProtocolCard, SuiteConfig
from wam_eval.errors import UserError
from wam_eval.run.task_selection import TaskSelection, draw, select_tasks

NAMES = ["push", "pull", "lift", "turn"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ("0", [0]),
        ("0,2", [0, 2]),
        ("1-3", [1, 2, 3]),
        ("3, 0-1 ,0", [0, 1, 3]),
        ("lift,0", [0, 2]),
    ],
)
def test_tasks_are_selected_by_number_and_name(text: str | None, expected: list[int]) -> None:
    assert select_tasks(text, NAMES, "toy") == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("4", "tasks 0 to 3"),
        ("3-1", "the first is greater"),
        (",", "selects no task"),
        ("lfit", "did you mean lift"),
    ],
)
def test_a_task_that_does_not_exist_is_an_error(text: str, fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        select_tasks(text, NAMES, "toy")


SUITE = SuiteConfig.model_validate(
    {
        "title": "Made up",
        "benchmark": "toy",
        "trials": 1,
        "tasks": [
            {"name": f"{weather}{level}{copy}", "axes": {"weather": weather, "level": level}}
            for weather in ("calm", "windy")
            for level in (1, 2, 3)
            for copy in range(4)
        ]
        + [{"name": "ungraded", "axes": {"weather": "calm"}}],
    }
)
CARD = ProtocolCard(source="", seed=0, settings={}, rules={})
WITH_SAMPLE = CARD.model_copy(update={"sample": 0.2, "sample_seed": 42})
ALL = list(range(25))


@pytest.fixture
def toy(runs: Path) -> Benchmark:
    del runs
    return load_benchmark("toy")


def left(toy: Benchmark, card: ProtocolCard = CARD, suite: SuiteConfig = SUITE, **selection: Any) -> list[int]:
    """Indices of the tasks that a selection leaves; filters are given by the name of their axis."""
    axes: tuple[str, ...] = ("weather", "level", "colour")
    filters: dict[str, str] = {name: selection.pop(name) for name in axes if name in selection}
    return TaskSelection(filters=filters, **selection).apply(ALL, "made_up", suite, toy, card)


def values(tasks: list[int]) -> Counter[str]:
    return Counter("-".join(map(str, SUITE.tasks[task].axes.values())) for task in tasks)


def test_filters_select_by_values_and_ranges(toy: Benchmark) -> None:
    assert left(toy) == ALL
    assert left(toy, weather="windy") == list(range(12, 24))
    assert left(toy, weather="windy, calm") == ALL
    assert values(left(toy, level="2-3")) == {"calm-2": 4, "calm-3": 4, "windy-2": 4, "windy-3": 4}
    assert values(left(toy, weather="calm", level="1,3")) == {"calm-1": 4, "calm-3": 4}
    assert 24 not in left(toy, level="1-3"), "a task without a level has none of them"


def test_a_value_of_the_suite_is_that_of_all_its_tasks(toy: Benchmark) -> None:
    tasks = tuple(task.model_copy(update={"axes": {"level": 1}}) for task in SUITE.tasks)
    windy = SUITE.model_copy(update={"axes": {"weather": "windy"}, "tasks": tasks})
    assert left(toy, suite=windy, weather="windy") == ALL
    with pytest.raises(UserError, match="unknown weather of made_up 'calm': known: windy"):
        left(toy, suite=windy, weather="calm")


@pytest.mark.parametrize(
    ("selection", "fault"),
    [
        ({"weather": "widny"}, "unknown weather of made_up 'widny': did you mean windy"),
        ({"weather": ","}, "--filter weather=, names none of calm, windy"),
        ({"level": "4"}, "unknown level of made_up '4': known: 1, 2, 3"),
        ({"level": "2-9"}, "unknown level of made_up '2-9'"),
        ({"level": "hard"}, "unknown level of made_up 'hard'"),
        ({"level": "3-1"}, "the first is greater"),
        ({"level": ""}, "names none of 1, 2, 3"),
        ({"colour": "red"}, "unknown axis of toy 'colour'"),
        ({"sample": 0.0}, "a sample of 0: give the share"),
        ({"sample": 1.5}, r"a sample of 1\.5"),
        ({"sample_seed": 7}, "--sample-seed needs a share of the tasks: add --sample"),
    ],
)
def test_an_impossible_selection_is_an_error(toy: Benchmark, selection: dict[str, Any], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        left(toy, **selection)


@pytest.mark.parametrize(("axis", "value"), [("weather", "calm"), ("level", "1")])
def test_a_suite_without_values_on_an_axis_cannot_be_filtered_by_it(toy: Benchmark, axis: str, value: str) -> None:
    plain = SUITE.model_copy(update={"tasks": tuple(t.model_copy(update={"axes": {}}) for t in SUITE.tasks)})
    filters: dict[str, Any] = {axis: value}
    with pytest.raises(UserError, match=f"the tasks of made_up have no {axis}"):
        left(toy, suite=plain, **filters)


def test_the_cards_sample_is_drawn_as_the_papers_scripts_draw_it(toy: Benchmark) -> None:
    assert left(toy, WITH_SAMPLE) == sorted(random.Random("42:made_up").sample(range(25), 5))
    perturbed = SUITE.model_copy(update={"base": "still"})
    assert left(toy, WITH_SAMPLE, perturbed) == sorted(random.Random("42:still").sample(range(25), 5))


def test_the_users_share_and_seed_replace_those_of_the_card(toy: Benchmark) -> None:
    assert left(toy, WITH_SAMPLE, sample=1.0) == ALL
    assert left(toy, WITH_SAMPLE, sample_seed=7) == sorted(random.Random("7:made_up").sample(range(25), 5))


def test_filters_are_applied_to_the_cards_sample(toy: Benchmark) -> None:
    """A part of a published sample is a subset of it, not another draw."""
    whole = set(left(toy, WITH_SAMPLE))
    windy = list(range(12, 24))
    assert left(toy, WITH_SAMPLE, weather="windy") == [task for task in windy if task in whole]
    chosen = TaskSelection().apply(windy, "made_up", SUITE, toy, WITH_SAMPLE)
    assert chosen == [task for task in windy if task in whole]
    parts = [left(toy, WITH_SAMPLE, weather=name) for name in ("calm", "windy")]
    assert sorted(task for part in parts for task in part) == left(toy, WITH_SAMPLE)


def test_the_resolved_selection_has_the_share_and_seed_of_the_draw() -> None:
    calm = {"weather": "calm"}
    assert TaskSelection().resolved(CARD) == TaskSelection()
    assert TaskSelection(calm).resolved(WITH_SAMPLE) == TaskSelection(calm, 0.2, 42)
    assert TaskSelection(sample=0.5).resolved(CARD) == TaskSelection(sample=0.5, sample_seed=0)
    assert TaskSelection(sample_seed=7).resolved(WITH_SAMPLE) == TaskSelection(sample=0.2, sample_seed=7)
    assert TaskSelection(calm, 0.2, 42).plain() == {"filters": calm, "sample": 0.2, "sample_seed": 42}


def test_a_sample_is_drawn_from_each_value_of_a_filter_on_the_first_axis(toy: Benchmark) -> None:
    chosen = left(toy, weather="calm,windy", sample=0.3)
    assert Counter(SUITE.tasks[task].axes["weather"] for task in chosen) == {"calm": 4, "windy": 4}
    assert left(toy, weather="windy,calm", sample=0.3) == chosen
    assert set(left(toy, weather="calm", sample=0.3)) <= set(chosen)
    assert len(left(toy, level="1-3", sample=0.3)) == 8, "filters on other axes are no strata"


@given(st.integers(1, 60), st.floats(0.001, 1.0), st.text(max_size=5))
def test_a_draw_is_a_sorted_share_that_its_seed_decides(count: int, share: float, seed: str) -> None:
    tasks = list(range(100, 100 + count))
    drawn = draw(tasks, share, seed)
    assert drawn == sorted(set(drawn)) and set(drawn) <= set(tasks)
    assert len(drawn) == ceil(count * share)
    assert draw(tasks, share, seed) == drawn
