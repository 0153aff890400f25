"""From names to episodes."""

from pathlib import Path

import pytest

from wam_eval.errors import UserError
from wam_eval.runner.plan import plan_run, select_tasks

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
def test_tasks_are_selected(text: str | None, expected: list[int]) -> None:
    assert select_tasks(text, NAMES, "toy") == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("4", "tasks 0 to 3"),
        ("3-1", "the first is greater"),
        (",", "chooses no task"),
        ("lfit", "did you mean lift"),
    ],
)
def test_a_task_that_is_not_there_is_named(text: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        select_tasks(text, NAMES, "toy")


def test_a_plan_has_a_protocol_and_ordered_episodes(runs: Path) -> None:
    (plan,) = plan_run("toy", None, "0,2", 2)
    assert [episode.key for episode in plan.episodes] == ["toy/00/000", "toy/00/001", "toy/02/000", "toy/02/001"]
    assert plan.episodes[0].step_limit == plan.protocol.step_limit == 30
    assert plan.protocol.card == "plain"
    assert plan_run("toy", "slow", None, None)[0].protocol.settings["pause"] == 0.05


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("toyy", None, None, None), "did you mean toy"),
        (("toy", "plane", None, None), "did you mean plain"),
        (("toy", None, None, 21), "toy has 1 to 20"),
        (("toy", None, None, 0), "toy has 1 to 20"),
        (("toy_broken", "slow", None, None), "toy_broken has no step limit for protocol slow"),
    ],
)
def test_what_cannot_be_planned_is_named(runs: Path, arguments: tuple, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        plan_run(*arguments)
