"""Policies without a model: random actions, and none at all. Baselines, and probes for the machinery."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wam_eval.episode import Episode
from wam_eval.observation import ActionChunk, Observation
from wam_eval.policies.policy import Policy, PolicySpec


class Hold(Policy):
    """Moves nothing and keeps the gripper open.

    Args:
        cameras: cameras to ask for, though nobody looks (for measuring what rendering costs).
        execute: actions per answer.
    """

    def __init__(self, cameras: Sequence[str] = (), execute: int = 10) -> None:
        self.spec = PolicySpec(cameras=tuple(cameras), execute=execute)

    def act(self, observations: Sequence[Observation]) -> list[ActionChunk]:
        """The same still chunk, float32 (execute, 7), for everyone."""
        chunk = np.zeros((self.spec.execute, self.spec.action_dim), np.float32)
        chunk[:, -1] = -1.0
        return [ActionChunk(chunk.copy()) for _ in observations]


class Random(Policy):
    """Uniform actions in -1 to 1 from the episode's own stream, the gripper's command open or closed.

    Args:
        cameras: cameras to ask for, though nobody looks.
        execute: actions per answer.
    """

    def __init__(self, cameras: Sequence[str] = (), execute: int = 10) -> None:
        self.spec = PolicySpec(cameras=tuple(cameras), execute=execute)
        self._streams: dict[str, np.random.Generator] = {}

    def begin(self, episode: Episode) -> None:
        """Start the episode's stream anew."""
        self._streams[episode.key] = episode.stream("policy")

    def act(self, observations: Sequence[Observation]) -> list[ActionChunk]:
        """One chunk, float32 (execute, 7), each from its episode's stream."""
        return [ActionChunk(self._draw(self._streams[observation.key])) for observation in observations]

    def end(self, key: str) -> None:
        """Drop the stream."""
        self._streams.pop(key, None)

    def _draw(self, stream: np.random.Generator) -> np.ndarray:
        chunk = stream.uniform(-1.0, 1.0, (self.spec.execute, self.spec.action_dim))
        chunk[:, -1] = np.sign(chunk[:, -1])
        return chunk.astype(np.float32)
