"""Policies for the toy: one that pushes, and some that misbehave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wam_eval.episode import Episode
from wam_eval.observation import ActionChunk, Observation
from wam_eval.policies.policy import NotSupported, Policy, PolicySpec, PolicyUnavailable


class Push(Policy):
    """Pushes by what the checkpoint says; may misbehave in given episodes.

    Args:
        push: how far a step moves the point.
        faults: episode index -> ``nan``, ``shape``, ``raise``, ``decline``, ``ragged``, ``measured`` or ``gone``.
    """

    def __init__(self, push: float = 1.0, faults: dict[str, str] | None = None, camera: str = "front") -> None:
        if push < 0:
            raise ValueError("no such weights")
        self.spec = PolicySpec(cameras=(camera,), execute=4)
        self.push, self.faults = push, faults or {}
        self.index: dict[str, int] = {}

    def begin(self, episode: Episode) -> None:
        """Remember which episode it is."""
        self.index[episode.key] = episode.index
        if self.faults.get(str(episode.index)) == "decline":
            raise NotSupported("no script for this one")

    def act(self, observations: Sequence[Observation]) -> list[ActionChunk]:
        """Push, or misbehave."""
        return [self.answer(observation) for observation in observations]

    def answer(self, observation: Observation) -> ActionChunk:
        """One chunk."""
        fault = self.faults.get(str(self.index[observation.key]))
        if fault == "raise":
            raise RuntimeError("out of memory")
        if fault == "gone":
            raise PolicyUnavailable("the server is gone")
        actions = np.full((6, 7), self.push, np.float32)
        if fault == "ragged":
            return ActionChunk([[0.0] * 7, [0.0]])
        if fault == "measured":
            return ActionChunk(np.full((6, 7), self.push, np.float32), {"value": float("nan")})
        if fault == "nan":
            actions[2, 3] = np.nan
        return ActionChunk(actions[:, :3] if fault == "shape" else actions, {"think": 0.5})
