"""What is played and how it ended: episodes and outcomes, as plain values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum

import numpy as np


@dataclass(frozen=True, order=True)
class Episode:
    """One episode of a suite, independent of who plays it and how.

    Attributes:
        suite: name of the elementary suite, such as ``libero_spatial``.
        task: index of the task in the suite's official order.
        condition: variant of the task (``clean``, ``camera`` ...); empty where a suite has none.
        index: which initial state (LIBERO) or which seed of the list (RoboTwin).
        task_name: the benchmark's own name of the task.
        instruction: the sentence given to the policy.
        seed: seed of the simulator's random state before the scene is reset.
        step_limit: control steps a policy may take; the settle steps are not counted.
        shared_scene: name of the simulator's scene, where tasks share one.
    """

    suite: str
    task: int
    condition: str
    index: int
    task_name: str = field(compare=False)
    instruction: str = field(compare=False)
    seed: int = field(compare=False)
    step_limit: int = field(compare=False)
    shared_scene: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """Stable text key: ``suite/task/index``, or ``suite/task/condition/index``."""
        middle = f"{self.condition}/" if self.condition else ""
        return f"{self.suite}/{self.task:02d}/{middle}{self.index:03d}"

    @property
    def scene(self) -> str:
        """Episodes with the same scene share one built simulator scene."""
        return self.shared_scene or self.key.rpartition("/")[0]

    def stream(self, purpose: str) -> np.random.Generator:
        """A random stream that depends on the episode's key and ``purpose`` alone."""
        digest = hashlib.sha256(f"{self.key}\0{purpose}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:16], "little"))


class Outcome(str, Enum):
    """How an attempt at an episode ended. Only the first two count in a success rate."""

    SUCCESS = "success"
    FAILURE = "failure"
    POLICY_ERROR = "policy_error"
    SIMULATOR_ERROR = "simulator_error"
    TIMEOUT = "timeout"
    NOT_RUN = "not_run"

    @property
    def counts(self) -> bool:
        """Whether the outcome enters a success rate; the others only lower the coverage."""
        return self in (Outcome.SUCCESS, Outcome.FAILURE)


def split_condition(condition: str, suite: str) -> tuple[str, int | None]:
    """Condition and difficulty of an episode's ``condition``: ``camera-3`` is ``camera`` at level 3.

    Suites without conditions (LIBERO's) are conditions themselves, as in papers' tables.
    """
    name, _, level = condition.rpartition("-")
    if name and level.isdecimal():
        return name, int(level)
    return condition or suite, None
