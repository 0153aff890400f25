"""Sampling of actions and of the imagined image, with any backbone of ImageWAM."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from wam_eval.models.imagewam.backbone import Backbone, Inputs
from wam_eval.models.nn.flow import euler, seeded_noise, shifted_schedule
from wam_eval.models.stages import Watch, unwatched

HORIZON = 16
"""Actions of a chunk in the published models."""


class Sampler:
    """Draws actions from a model.

    Args:
        model: with weights, in evaluation mode.
        steps: Euler steps of the actions, and of an imagined image.
        shift: shift of both schedules.
        horizon: actions of a chunk.
    """

    def __init__(self, model: Backbone, steps: int, shift: float = 5.0, horizon: int = HORIZON) -> None:
        self.model = model
        self.horizon = horizon
        schedule = shifted_schedule(steps, shift, model.dtype)
        self._times = schedule.timesteps.to(model.device).split(1)
        self._deltas = schedule.deltas.to(model.device)
        with torch.inference_mode():
            self._action_times = [model.action_time(time) for time in self._times]
        self._drawn = lru_cache(maxsize=64)(self._draw)  # Evaluations use the same noise for every chunk.

    @torch.inference_mode()
    def sample(self, inputs: Inputs, seeds: Sequence[int], watch: Watch = unwatched) -> Tensor:
        """Answer a batch of observations.

        Args:
            inputs: the observations.
            seeds: seed of each observation's noise.
            watch: receives the stages ``prefill`` and ``actions``.

        Returns:
            float32 (B, horizon, action_dim) on the CPU, normalised.
        """
        actions = self._noise(seeds, (self.horizon, self.model.action_dim))
        with watch("prefill"):
            prefix = self.model.prefill(inputs)
        with watch("actions"):
            for time, delta in zip(self._action_times, self._deltas, strict=True):
                actions = euler(actions, self.model.action_velocity(actions, time, prefix), delta)
        return actions.float().cpu()

    @torch.inference_mode()
    def imagine(self, inputs: Inputs, seeds: Sequence[int], watch: Watch = unwatched) -> Tensor:
        """Denoise the image at the end of the chunk.

        Args:
            inputs, seeds: as in :meth:`sample`.
            watch: receives the stage ``image``.

        Returns:
            Tokens (B, N, channels), as of the observed image.
        """
        target = self.model.tokens(self._noise(seeds, self.model.noise_shape(inputs)))
        with watch("image"):
            for time, delta in zip(self._times, self._deltas, strict=True):
                target = euler(target, self.model.image_velocity(target, time, inputs), delta)
        return target

    def _noise(self, seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
        return torch.cat([self._drawn(seed, shape) for seed in seeds])

    def _draw(self, seed: int, shape: tuple[int, ...]) -> Tensor:
        return seeded_noise([seed], shape).to(self.model.device, self.model.dtype)
