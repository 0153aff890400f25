"""The embedded miniature as a source of tasks, and the templates of its instructions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from wam_eval.benchmarks.robotwin.miniature import (
    TASK_NAMES,
    VERSION,
    arranging_tasks,
    basket_tasks,
    blocks_tasks,
    bottle_tasks,
    bowl_tasks,
    handling_tasks,
    jointed_tasks,
    placing_tasks,
    reaching_tasks,
    shoe_tasks,
)
from wam_eval.benchmarks.robotwin.miniature.env import MiniatureTask, UnStableError
from wam_eval.benchmarks.robotwin.source import CONDITIONS, TaskSource

_RANDOMIZATION: dict[str, dict[str, Any]] = {  # condition -> `domain_randomization` of demo_<condition>.yml
    "clean": {
        "random_background": False,
        "cluttered_table": False,
        "clean_background_rate": 1,
        "random_head_camera_dis": 0,
        "random_table_height": 0,
        "random_light": False,
        "crazy_random_light_rate": 0,
    },
    "randomized": {
        "random_background": True,
        "cluttered_table": True,
        "clean_background_rate": 0.02,
        "random_head_camera_dis": 0,
        "random_table_height": 0.03,
        "random_light": True,
        "crazy_random_light_rate": 0.02,
    },
}

TASKS: dict[str, type[MiniatureTask]] = {
    task.name: task
    for module in (
        arranging_tasks,
        basket_tasks,
        blocks_tasks,
        bottle_tasks,
        bowl_tasks,
        handling_tasks,
        jointed_tasks,
        placing_tasks,
        reaching_tasks,
        shoe_tasks,
    )
    for task in module.TASKS
}
"""Name -> class of the tasks."""


class MiniatureSource(TaskSource):
    """Tasks of the miniature. Its results are not those of RoboTwin.

    Args:
        settings: settings of the simulator, of which ``cameras`` and ``resolution`` are used.
    """

    name = "miniature"
    version = VERSION
    tasks = TASK_NAMES
    unstable = UnStableError

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = dict(settings)

    def task(self, name: str) -> MiniatureTask:
        """See :meth:`TaskSource.task`.

        Raises:
            KeyError: the miniature has no such task.
        """
        return TASKS[name](self._settings)

    def arguments(self, task: str, condition: str) -> dict[str, Any]:
        """See :meth:`TaskSource.arguments`."""
        if condition not in CONDITIONS:
            raise KeyError(condition)
        return {"task_name": task, "domain_randomization": dict(_RANDOMIZATION[condition]), "eval_mode": True}

    def descriptions(self, task: str, info: dict[str, Any], count: int) -> dict[str, list[str]]:
        """See :meth:`TaskSource.descriptions`."""
        return describe(task, info, count)

    def observe(self, env: Any, cameras: Sequence[str]) -> dict[str, Any]:
        """See :meth:`TaskSource.observe`."""
        observation: dict[str, Any] = env.get_obs(cameras)
        return observation


@cache
def _texts() -> dict[str, dict[str, Any]]:
    """Content of the YAML files beside the tasks: ``tasks`` and ``objects``."""
    texts: dict[str, dict[str, Any]] = {"tasks": {}, "objects": {}}
    for file in sorted(files(__package__).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yaml"):
            for part, entries in yaml.safe_load(file.read_text(encoding="utf-8")).items():
                texts[part].update(entries)
    return texts


def templates(task: str) -> dict[str, list[str]]:
    """Templates of a task's instructions: type (``seen`` or ``unseen``) -> templates."""
    found: dict[str, list[str]] = _texts()["tasks"][task]
    return found


def describe(task: str, info: dict[str, Any], count: int) -> dict[str, list[str]]:
    """Up to ``count`` instructions of each type, in an order drawn from Python's ``random``.

    Args:
        task: name of the task.
        info: placeholder -> value, with placeholders such as ``{A}`` for objects and ``{a}`` for arms; or a dictionary
            that contains such a dictionary as ``info``.
        count: largest number of instructions of each type.
    """
    values = info.get("info", info)
    described: dict[str, list[str]] = {}
    for kind in ("seen", "unseen"):
        lines = list(templates(task)[kind])
        random.shuffle(lines)
        described[kind] = [_fill(lines[i % len(lines)], values, kind) for i in range(min(count, len(lines)))]
    return described


def _fill(line: str, values: dict[str, str], kind: str) -> str:
    for key, value in values.items():
        if key in line:
            line = line.replace(key, _word(key, str(value), kind))
    return line[0].upper() + line[1:]


def _word(key: str, value: str, kind: str) -> str:
    """The words for a value: ``the left arm`` for an arm, one of the names of an object, else ``the`` and the value."""
    if key[1].islower():
        return f"the {value} arm"
    names = _texts()["objects"].get(value.split("/")[0])
    return f"the {random.choice(names[kind])}" if names else f"the {value.lower()}"
