"""UniPC (arXiv 2302.04867) of second order for flow matching, as diffusers' ``UniPCMultistepScheduler`` computes it.

Each step is a weighted sum of earlier samples and of the clean samples that a model predicted. The weights depend only
on the noise levels. They are plain numbers here, computed once, so that a CUDA graph can hold the steps. The settings
are those of Wan: flow sigmas, variant ``bh2`` of the step size, predictions of the clean sample, order 1 at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from wam_eval.models.nn.flow import TRAIN_TIMESTEPS

FIRST_SIGMA = 1.0 - 1e-6
"""Noise level of the first step. At 1 the signal-to-noise ratio would have no logarithm."""


@dataclass(frozen=True)
class UniPCStep:
    """A step from one noise level to the next.

    Attributes:
        sigma: noise level at the start; a sample is ``(1 - sigma) * clean + sigma * noise``.
        timestep: 1000 * sigma, rounded down, for the model.
        correct: weights by which the sample is computed again when the model has seen it: of the sample one step
            before, and of the clean samples predicted now, one step before and two steps before; ``None`` in the first
            step.
        predict: weights of the corrected sample, and of the clean samples predicted now and one step before.
    """

    sigma: float
    timestep: int
    correct: tuple[float, float, float, float] | None
    predict: tuple[float, float, float]


def unipc_steps(steps: int, shift: float) -> list[UniPCStep]:
    """Steps from noise to data.

    Args:
        steps: number of steps.
        shift: shift of the schedule, as of :func:`wam_eval.models.nn.flow.shifted_schedule`.

    Raises:
        ValueError: fewer than one step, or a shift that is not positive.
    """
    if steps < 1:
        raise ValueError(f"{steps} denoising steps: at least 1 is needed")
    if shift <= 0:
        raise ValueError(f"a shift of {shift}: it must be positive")
    even = np.linspace(1.0, 1.0 / TRAIN_TIMESTEPS, steps + 1)[:-1]
    exact = np.minimum(shift * even / (1.0 + (shift - 1.0) * even), FIRST_SIGMA)
    # Rounded as in diffusers. For the first level this changes the logarithm of the signal by 1 %.
    sigmas = [*exact.astype(np.float32).tolist(), 0.0]
    found = []
    for index in range(steps):
        second_order = 0 < index < steps - 1
        earlier = sigmas[index - 1] if second_order else None
        predict = _predicted(sigmas[index], sigmas[index + 1], earlier)
        correct = None
        if index:
            earlier = sigmas[index - 2] if index > 1 else None
            correct = _corrected(sigmas[index - 1], sigmas[index], earlier)
        found.append(UniPCStep(sigmas[index], int(exact[index] * TRAIN_TIMESTEPS), correct, predict))
    return found


class UniPC:
    """A sample on its way from noise to data.

    Args:
        noise: the first sample.

    Attributes:
        sample: the present sample, in the noise's dtype.
    """

    def __init__(self, noise: Tensor) -> None:
        self.sample = noise
        self._corrected = noise
        self._clean: list[Tensor] = []

    def step(self, step: UniPCStep, clean: Tensor) -> None:
        """Go on to the next sample.

        Args:
            step: the step, in the order of :func:`unipc_steps`.
            clean: the clean sample that the model predicts for :attr:`sample`.
        """
        self._clean = [clean, *self._clean[:2]]
        if step.correct is not None:
            before, *weights = step.correct
            self._corrected = before * self._corrected + self._sum(weights)
        present, *weights = step.predict
        self.sample = present * self._corrected + self._sum(weights)

    def _sum(self, weights: list[float]) -> Tensor:
        """The weighted sum of predictions, the last one first. There may be fewer of them than weights."""
        total, *others = (weight * clean for weight, clean in zip(weights, self._clean, strict=False))
        for other in others:
            total = total + other
        return total


def _log_ratio(sigma: float) -> float:
    """Half the logarithm of the signal-to-noise ratio."""
    return math.log(1.0 - sigma) - math.log(sigma)


def _predicted(start: float, end: float, earlier: float | None) -> tuple[float, float, float]:
    """Weights of a step from one noise level to another; of second order if there is an earlier level."""
    growth = (1.0 - end) - (1.0 - start) * end / start  # 1 - exp(-h), times the signal at the end
    if earlier is None:
        return end / start, growth, 0.0
    ratio = (_log_ratio(earlier) - _log_ratio(start)) / (_log_ratio(end) - _log_ratio(start))
    second = 0.5 * growth / ratio
    return end / start, growth - second, second


def _corrected(start: float, end: float, earlier: float | None) -> tuple[float, float, float, float]:
    """Weights of the same step when the prediction at its end is known."""
    growth = (1.0 - end) - (1.0 - start) * end / start
    if earlier is None:
        return end / start, 0.5 * growth, 0.5 * growth, 0.0
    h = _log_ratio(end) - _log_ratio(start)
    ratio = (_log_ratio(earlier) - _log_ratio(start)) / h
    # The two conditions of order: sum of weights, and sum of weights times places, for places `ratio` and 1.
    step = math.expm1(-h)
    first = -step / h - 1.0
    second = -first / h - 0.5
    total, moment = first / step, 2.0 * second / step
    old = (total - moment) / (1.0 - ratio)
    new = total - old
    return end / start, growth * new, growth * (1.0 - new - old / ratio), growth * old / ratio
