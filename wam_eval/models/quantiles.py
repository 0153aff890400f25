"""Normalisation of states and actions by quantiles of the training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wam_eval.errors import UserError
from wam_eval.models.preprocessing import Vector, read_statistics

NAMES = ("q01", "q99")
"""Statistics of a ``dataset_stats.json`` that are read."""


@dataclass(frozen=True, eq=False)
class Quantiles:
    """Normalisation of vectors by quantiles of the training data, each number by itself. States and actions have
    statistics of their own. Source: read from public code.

    Attributes:
        low: quantile 0.01 of each number, float32 (n,).
        high: quantile 0.99 of each number, float32 (n,).

    Raises:
        ValueError: the two differ in length, or a quantile is not finite, or the higher one is less than the lower one.
    """

    low: Vector
    high: Vector

    def __post_init__(self) -> None:
        if self.low.ndim != 1 or self.low.shape != self.high.shape:
            raise ValueError(f"quantiles of the shapes {self.low.shape} and {self.high.shape}: two vectors are needed")
        wrong = ~(np.isfinite(self.low) & np.isfinite(self.high) & (self.low <= self.high))
        if wrong.any():
            index = int(np.argmax(wrong))
            raise ValueError(f"quantiles {self.low[index]} and {self.high[index]} at index {index}")

    @classmethod
    def identity(cls, length: int) -> Quantiles:
        """Quantiles -1 and 1, with which nothing is scaled, for a model with random weights."""
        return cls(-np.ones(length, np.float32), np.ones(length, np.float32))

    def normalise(self, vector: Vector) -> Vector:
        """Map vectors float32 (..., n) from the quantiles to -1 and 1, and clip them there.

        A number whose quantiles are equal becomes 0.
        """
        span = self.high - self.low
        constant = span == 0
        scaled = (vector - self.low) / np.where(constant, 1, span) * 2 - 1
        return np.where(constant, 0, np.clip(scaled, -1, 1)).astype(np.float32)

    def denormalise(self, vector: Vector) -> Vector:
        """Map normalised vectors float32 (..., n) back, without clipping."""
        return ((vector + 1) / 2 * (self.high - self.low) + self.low).astype(np.float32)


def read_quantiles(path: Path, robot: str, lengths: Mapping[str, tuple[int, int]]) -> tuple[Quantiles, Quantiles]:
    """Quantiles of states and of actions, from ``global_q01`` and ``global_q99`` of a ``dataset_stats.json``.

    Args:
        path, robot, lengths: as of :func:`wam_eval.models.preprocessing.read_statistics`.

    Raises:
        UserError: the file is missing or damaged, or belongs to another robot.
    """
    found = {}
    for group, low, high in read_statistics(path, NAMES, robot, lengths):
        try:
            found[group] = Quantiles(low, high)
        except ValueError as error:
            raise UserError(f"{path}: {group}: {error}. Compute the statistics again") from error
    return found["state"], found["action"]
