"""Value-guided rollback: when the predicted value drops, return to the best state so far and answer anew.

A policy that predicts the value of each chunk asks the guide what to do with it. The state before the chunk with the
highest value so far, the peak, is kept by the runner. A chunk whose value is lower by more than a threshold is not
executed: the simulation returns to the peak, and the policy answers that state again, with other noise.
Source: arXiv 2606.21088, section 3.2. The limit of rollbacks is ours: the paper states none, and without one an
episode may not end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field

from wam_eval.observation import ActionChunk, Rollback

PEAK = "peak"
"""Name under which the best state is kept; only one is in memory."""


class RollbackSettings(BaseModel):
    """Settings of a guide.

    Attributes:
        delta: difference from the peak below which a chunk is not executed; the paper's default.
        most: largest number of rollbacks in an episode; 0 to only record values.
        refund: True if steps that are undone do not count towards the step limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    delta: float = Field(default=0.2, gt=0, allow_inf_nan=False)
    most: int = Field(default=3, ge=0)
    refund: bool = False


@dataclass
class _Progress:
    """The highest value of an episode so far, and its number of rollbacks."""

    peak: float = -math.inf
    rollbacks: int = 0


class ValueGuide:
    """Decides for each chunk of several episodes if it is executed.

    Args:
        settings: the settings.
    """

    def __init__(self, settings: RollbackSettings) -> None:
        self._settings = settings
        self._episodes: dict[str, _Progress] = {}

    def begin(self, key: str) -> None:
        """Begin an episode, or one more attempt at it."""
        self._episodes[key] = _Progress()

    def end(self, key: str) -> None:
        """Forget an episode."""
        self._episodes.pop(key, None)

    def rollbacks(self, key: str) -> int:
        """Rollbacks of an episode so far. A policy draws other noise for each number, or it would repeat its answer."""
        return self._episodes.setdefault(key, _Progress()).rollbacks

    def decide(self, key: str, chunk: ActionChunk, value: float) -> ActionChunk | Rollback:
        """The chunk with its value, or a rollback instead of it.

        Args:
            key: key of the episode.
            chunk: the policy's chunk for the present state.
            value: its predicted value.

        Raises:
            ValueError: the value is not finite.
        """
        if not math.isfinite(value):
            raise ValueError(f"the predicted value is {value}")
        episode = self._episodes.setdefault(key, _Progress())
        if value >= episode.peak:
            episode.peak = value
            return replace(chunk, value=value, keep=PEAK if self._settings.most else "")
        if value < episode.peak - self._settings.delta and episode.rollbacks < self._settings.most:
            episode.rollbacks += 1
            return Rollback(PEAK, chunk.measured, value, self._settings.refund)
        return replace(chunk, value=value)
