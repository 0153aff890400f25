"""The small model that comes with wam-eval succeeds from pixels, and fails if an evaluation has a common fault.

These are the faults that make a good checkpoint fail in a new evaluation without any error message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="models need PyTorch: make setup MODELS=1")

import wam_eval  # noqa: E402
from wam_eval import config  # noqa: E402
from wam_eval.episode import Episode  # noqa: E402
from wam_eval.models.small.fastwam import SmallFastWAMPolicy, SmallFastWAMSettings  # noqa: E402
from wam_eval.observation import ActionChunk, Observation, Rollback  # noqa: E402
from wam_eval.policy import policy_arguments  # noqa: E402

pytestmark = pytest.mark.slow

Images = Mapping[str, NDArray[np.uint8]]
TASKS, EPISODES = "0,3,4,8", 3
"""Twelve episodes of LIBERO-Object."""
GOOD, BAD = 8, 3
"""Successes that the model reaches at least, and that it reaches at most with a fault. Measured: 10, and none."""


class Faulty(SmallFastWAMPolicy):
    """The model in an evaluation with a fault in its images or in its actions."""

    images: Callable[[Images], Images] = staticmethod(lambda images: images)
    commands: Callable[[NDArray[np.float32]], NDArray[np.float32]] = staticmethod(lambda actions: actions)

    def act(self, observations: Sequence[Observation]) -> list[ActionChunk | Rollback]:
        """The model's answers, with the fault."""
        seen = [replace(one, images=type(self).images(one.images)) for one in observations]
        answers = super().act(seen)
        return [
            replace(answer, actions=type(self).commands(answer.actions)) if isinstance(answer, ActionChunk) else answer
            for answer in answers
        ]


class UpsideDown(Faulty):
    """Images as OpenGL gives them, the bottom row first."""

    images = staticmethod(lambda images: {name: np.ascontiguousarray(one[::-1]) for name, one in images.items()})


class WrongGripper(Faulty):
    """The other sign for the gripper."""

    commands = staticmethod(lambda actions: actions * np.array([1, 1, 1, 1, 1, 1, -1], np.float32))


class Stale(SmallFastWAMPolicy):
    """Answers with images and state of the first observation of the episode."""

    def __init__(self, settings: SmallFastWAMSettings) -> None:
        super().__init__(settings)
        self._first: dict[str, Observation] = {}

    def begin(self, episode: Episode) -> None:
        """Forget an earlier attempt."""
        self._first.pop(episode.key, None)

    def act(self, observations: Sequence[Observation]) -> list[ActionChunk | Rollback]:
        """The model's answers to the first observations."""
        first = [self._first.setdefault(one.key, one) for one in observations]
        stale = [replace(one, images=old.images, state=old.state) for one, old in zip(observations, first, strict=True)]
        return super().act(stale)


def successes(kind: type[SmallFastWAMPolicy]) -> int:
    arguments = policy_arguments(config.load_policy("small-fastwam"), None, {"libero"})
    policy = kind(kind.Settings.model_validate(arguments))
    run = wam_eval.evaluate(suite="libero_object", policy=policy, tasks=TASKS, episodes=EPISODES, run=kind.__name__)
    assert run.estimate.n == 4 * EPISODES
    return run.estimate.successes or 0


def test_the_model_succeeds(runs: Path) -> None:
    assert successes(SmallFastWAMPolicy) >= GOOD


@pytest.mark.parametrize("fault", [UpsideDown, WrongGripper, Stale])
def test_a_fault_of_the_evaluation_is_seen(runs: Path, fault: type[SmallFastWAMPolicy]) -> None:
    assert successes(fault) <= BAD
