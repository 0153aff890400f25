"""Sources of RoboTwin's task environments: the contract that the official checkout and the miniature implement.

Runs in the benchmark's own interpreter: Python 3.10, numpy and the source's packages only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

CONDITIONS = ("clean", "randomized")
"""Conditions in which the benchmark is played."""

ACTION_DIMS = {"qpos": 14, "ee": 16}
"""Type of an action -> length of an action."""

EXPERT_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "open_laptop": ("arm_tag",),
    "place_object_scale": ("arm_tag",),
    "put_object_cabinet": ("arm_tag", "origin_z"),
}
"""Task -> attributes that ``check_success`` reads and only ``play_once`` sets, in the official code at bf44be51."""


class TaskSource(ABC):
    """Creates RoboTwin's task environments.

    An environment has the interface of the official task classes: ``setup_demo``, ``play_once``, ``check_success``,
    ``take_action``, ``get_obs``, ``close_env``, and the attributes that an evaluation reads.

    Attributes:
        name: ``official`` or ``miniature``.
        version: commit of the checkout, or version of the miniature.
        tasks: names of the tasks that can be played.
        unstable: exception that ``setup_demo`` raises for a seed whose scene does not come to rest.
    """

    name: str
    version: str
    tasks: tuple[str, ...]
    unstable: type[Exception]

    @abstractmethod
    def task(self, name: str) -> Any:
        """A new environment of a task; it may be set up any number of times."""

    @abstractmethod
    def arguments(self, task: str, condition: str) -> dict[str, Any]:
        """Arguments of ``setup_demo`` besides the seed, as a new dictionary.

        Args:
            condition: one of :data:`CONDITIONS`.
        """

    @abstractmethod
    def descriptions(self, task: str, info: dict[str, Any], count: int) -> dict[str, list[str]]:
        """Up to ``count`` instructions of each type for the ``info`` that ``play_once`` returned.

        Draws from Python's ``random``, which the caller seeds.

        Returns:
            Instruction type (``seen`` or ``unseen``) -> instructions.
        """

    def set_expert_attributes(self, env: Any, task: str) -> None:  # noqa: B027 - most tasks have none
        """Set the :data:`EXPERT_ATTRIBUTES` of an environment that was just set up.

        Official tasks compute them at the beginning of ``play_once``, from the initial scene.
        """

    def expert_attributes(self, env: Any, task: str) -> dict[str, float | str]:
        """The :data:`EXPERT_ATTRIBUTES` of an environment as plain values; empty for most tasks."""
        values = {name: getattr(env, name) for name in EXPERT_ATTRIBUTES.get(task, ()) if hasattr(env, name)}
        return {name: float(v) if isinstance(v, (int, float, np.number)) else str(v) for name, v in values.items()}

    @abstractmethod
    def observe(self, env: Any, cameras: Sequence[str]) -> dict[str, Any]:
        """An observation as ``env.get_obs()`` returns it, with the images of the named cameras only.

        Cameras that are not named are not rendered, since rendering takes most of the time of an evaluation.
        """
