"""Suites with few tasks and short episodes, so that a run takes seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from wam_eval import config


def write_short_suites(folder: Path, tasks: Mapping[str, str], limit: int) -> None:
    """Suites of one task and one episode.

    Args:
        folder: folder of the YAML files; it is created.
        tasks: suite -> name of its task.
        limit: control steps of an episode.
    """
    folder.mkdir(parents=True)
    for suite, name in tasks.items():
        card = config.load_suite(suite)
        (task,) = (task for task in card.tasks if task.name == name)
        own = {"step_limit": limit} if task.step_limit else {}
        limits = dict.fromkeys(card.step_limits, limit)
        content = card.model_copy(
            update={"tasks": (task.model_copy(update=own),), "trials": 1, "step_limits": limits}
        ).model_dump(mode="json", exclude_defaults=True)
        (folder / f"{suite}.yaml").write_text(yaml.safe_dump(content))
