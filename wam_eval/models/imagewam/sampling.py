"""Sampling of actions and of the imagined image, with any backbone of ImageWAM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from wam_eval.models.imagewam.backbone import Backbone, Inputs, Prefix
from wam_eval.models.nn.acceleration import Accelerator
from wam_eval.models.nn.attention import AttentionRecorder
from wam_eval.models.nn.cuda_graphs import StagedFunction
from wam_eval.models.nn.flow import euler, seeded_noise, shifted_schedule
from wam_eval.models.nn.transformer import Layer
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
        accelerator: replaces layers and stages by faster ones. Inputs then need padding instead of a ``cut``, so that
            few shapes are compiled and recorded.
    """

    def __init__(
        self,
        model: Backbone,
        steps: int,
        shift: float = 5.0,
        horizon: int = HORIZON,
        accelerator: Accelerator = Accelerator(),  # noqa: B008 - it is immutable
    ) -> None:
        self.model = model
        self.horizon = horizon
        schedule = shifted_schedule(steps, shift, model.dtype)
        self._times = schedule.timesteps.to(model.device).split(1)
        self._deltas = schedule.deltas.to(model.device)
        with torch.inference_mode():
            self._action_times = [model.action_time(time) for time in self._times]
        self._drawn = lru_cache(maxsize=64)(self._draw)  # Evaluations use the same noise for every chunk.
        self._accelerator = accelerator
        self._recorded: dict[tuple[str, tuple[int, int], int | None], StagedFunction] = {}

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
        noise = self._noise(seeds, (self.horizon, self.model.action_dim))
        (actions,) = self._run(self._denoise_actions, inputs, noise, watch)
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
        (image,) = self._run(self._denoise_image, inputs, target, watch)
        return image

    @torch.inference_mode()
    def attention(self, inputs: Inputs, seeds: Sequence[int]) -> Tensor:
        """Attention of the actions to each token of the observed image while they are denoised.

        Args:
            inputs, seeds: as in :meth:`sample`.

        Returns:
            float32 (B, N) on the CPU: means over steps, layers, heads and actions.
        """
        prefix = self.model.prefill(inputs, self._accelerator.prefix)
        recorder = AttentionRecorder(prefix.image, prefix.mask.shape[-1])
        self._steps(self._noise(seeds, (self.horizon, self.model.action_dim)), prefix, recorder)
        return recorder.mean().cpu()

    def _denoise_actions(self, inputs: Inputs, actions: Tensor, watch: Watch) -> Tensor:
        with watch("prefill"):
            prefix = self.model.prefill(inputs, self._accelerator.prefix)
        with watch("actions"):
            return self._steps(actions, prefix, self._accelerator.actions)

    def _steps(self, actions: Tensor, prefix: Prefix, run: Layer) -> Tensor:
        for time, delta in zip(self._action_times, self._deltas, strict=True):
            actions = euler(actions, self.model.action_velocity(actions, time, prefix, run), delta)
        return actions

    def _denoise_image(self, inputs: Inputs, target: Tensor, watch: Watch) -> Tensor:
        with watch("image"):
            for time, delta in zip(self._times, self._deltas, strict=True):
                target = euler(target, self.model.image_velocity(target, time, inputs, self._accelerator.prefix), delta)
        return target

    def _run(
        self, denoise: Callable[[Inputs, Tensor, Watch], Tensor], inputs: Inputs, noise: Tensor, watch: Watch
    ) -> Sequence[Tensor]:
        """Run a function of inputs and noise, as CUDA graphs if the accelerator says so."""

        grid, cut = inputs.grid, inputs.cut

        def function(tensors: Sequence[Tensor], watch: Watch) -> list[Tensor]:
            text, lengths, states, reference, start = tensors
            return [denoise(Inputs(text, lengths, states, reference, grid, cut), start, watch)]

        key = denoise.__name__, grid, cut
        if key not in self._recorded:
            self._recorded[key] = self._accelerator.recorded(function)
        return self._recorded[key]([inputs.text, inputs.lengths, inputs.states, inputs.reference, noise], watch)

    def _noise(self, seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
        return torch.cat([self._drawn(seed, shape) for seed in seeds])

    def _draw(self, seed: int, shape: tuple[int, ...]) -> Tensor:
        return seeded_noise([seed], shape).to(self.model.device, self.model.dtype)
