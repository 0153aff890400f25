"""Sampling of actions and imagined videos, for each variant of Fast-WAM.

The tokens of the observed frame attend only to themselves and to the text, and their time is always 0. They are
therefore run once per observation in every variant, and their keys and values serve all denoising steps. The official
implementation runs them again in each step of ``joint`` and ``idm``, with the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from wam_eval.models.fastwam.model import FastWAM, Variant
from wam_eval.models.nn.acceleration import Accelerator
from wam_eval.models.nn.attention import AttentionRecorder
from wam_eval.models.nn.flow import euler, seeded_noise, shifted_schedule
from wam_eval.models.nn.transformer import (
    KeyValue,
    Layer,
    Rotation,
    Stream,
    append_actions,
    continued,
    grid_rotation,
    joint,
    prefill,
)
from wam_eval.models.stages import Watch, unwatched
from wam_eval.models.wan.transformer import Condition, video_rotation

HORIZON = 32
"""Actions of a chunk in the published models."""
FRAMES = 3
"""Latent frames of a video in the published models, with the observed one; they decode to 9 frames."""

Texts = tuple[Sequence[KeyValue], Sequence[KeyValue]]
"""Keys and values of the text for the layers of the video expert and of the action expert."""


@dataclass(frozen=True)
class Sample:
    """Answer to a batch of observations.

    Attributes:
        actions: float32 (B, horizon, action_dim) on the CPU, normalised.
        video: latents (B, C, T, h, w), the observed frame first; ``None`` in the variant ``first_frame``.
    """

    actions: Tensor
    video: Tensor | None


class Sampler:
    """Draws actions from a model.

    Args:
        model: with weights, in evaluation mode.
        variant: inference of the actions.
        steps: Euler steps, of the video and of the actions.
        shift: shift of both schedules.
        horizon: actions of a chunk.
        frames: latent frames of an imagined video, with the observed one.
        accelerator: replaces layers and stages by faster ones.
    """

    def __init__(
        self,
        model: FastWAM,
        variant: Variant,
        steps: int,
        shift: float = 5.0,
        horizon: int = HORIZON,
        frames: int = FRAMES,
        accelerator: Accelerator = Accelerator(),  # noqa: B008 - it is immutable
    ) -> None:
        self.model = model
        self.variant = variant
        self.steps = steps
        self.horizon = horizon
        self.frames = frames
        schedule = shifted_schedule(steps, shift, model.dtype)
        self._deltas = schedule.deltas.to(model.device)
        with torch.inference_mode():
            times = schedule.timesteps.to(model.device).split(1)
            self._video_times = [model.video.time(time) for time in times]
            self._action_times = [model.action.time(time)[1] for time in times]
            self._zero_time = model.video.time(torch.zeros_like(times[0]))[1]
        self._action_rotation = grid_rotation((model.config.action.head_dim,), (horizon,)).to(model.device)
        self._drawn = lru_cache(maxsize=64)(self._draw)  # Evaluations use the same noise for every chunk.
        self._video_rotations: dict[tuple[int, int, int], Rotation] = {}
        self._run_video = accelerator.prefix
        self._function = {
            "first_frame": self._sample_from_first_frame,
            "joint": self._sample_jointly,
            "idm": self._sample_after_video,
        }[variant]
        self._sample = accelerator.recorded(partial(self._function, run=accelerator.actions))
        self._video = accelerator.recorded(self._sample_video)

    @torch.inference_mode()
    def sample(self, latents: Tensor, context: Tensor, seeds: Sequence[int], watch: Watch = unwatched) -> Sample:
        """Answer a batch of observations.

        Args:
            latents: (B, C, 1, h, w), the encoded observed frames.
            context: (B, L, text_dim), of :meth:`FastWAM.context`.
            seeds: seed of each observation's noise. Video and actions use generators of their own with the same seed.
            watch: receives the stages ``prefill``, ``video`` and ``actions``.
        """
        inputs = self._inputs(latents, context, seeds)
        actions, *future = self._sample(inputs, watch)
        video = torch.cat([inputs[0], *future], dim=2) if future else None
        return Sample(actions.float().cpu(), video)

    @torch.inference_mode()
    def imagine(self, latents: Tensor, context: Tensor, seeds: Sequence[int], watch: Watch = unwatched) -> Tensor:
        """The video that the variant ``idm`` would attend to, for a model that samples without one.

        Args:
            latents, context, seeds: as in :meth:`sample`.
            watch: receives the stage ``video``.

        Returns:
            Latents (B, C, T, h, w), the observed frame first.
        """
        inputs = self._converted(latents, context)
        (future,) = self._video([*inputs, self._future_noise(latents, seeds)], watch)
        return torch.cat([inputs[0], future], dim=2)

    @torch.inference_mode()
    def attention(self, latents: Tensor, context: Tensor, seeds: Sequence[int]) -> Tensor:
        """Attention of the actions to each token of the observed frame while they are denoised.

        The text is not among the keys here, because it has an attention of its own.

        Args:
            latents, context, seeds: as in :meth:`sample`.

        Returns:
            float32 (B, h, w) on the CPU: means over steps, layers, heads and actions.
        """
        _, height, width = self.model.video.grid(latents)
        recorder = AttentionRecorder(slice(height * width))
        self._function(self._inputs(latents, context, seeds), unwatched, run=recorder)
        return recorder.mean().unflatten(1, (height, width)).cpu()

    def _inputs(self, latents: Tensor, context: Tensor, seeds: Sequence[int]) -> list[Tensor]:
        inputs = [*self._converted(latents, context), self._noise(seeds, (self.horizon, self.model.config.action_dim))]
        return inputs if self.variant == "first_frame" else [*inputs, self._future_noise(latents, seeds)]

    def _sample_from_first_frame(self, inputs: Sequence[Tensor], watch: Watch, *, run: Layer) -> list[Tensor]:
        latents, context, noise = inputs
        with watch("prefill"):
            texts = self._texts(context)
            past = self._prefill_observed(latents, texts[0], 0)
        with watch("actions"):
            return [self._denoise_actions(noise, past, texts[1], run)]

    def _sample_jointly(self, inputs: Sequence[Tensor], watch: Watch, *, run: Layer) -> list[Tensor]:
        latents, context, noise, future = inputs
        with watch("prefill"):
            texts = self._texts(context)
            past = self._prefill_observed(latents, texts[0], self._tokens_of(future) + self.horizon)
        with watch("actions"):
            return self._denoise_jointly(noise, future, past, texts, run)

    def _sample_after_video(self, inputs: Sequence[Tensor], watch: Watch, *, run: Layer) -> list[Tensor]:
        latents, context, noise, future = inputs
        with watch("prefill"):
            texts = self._texts(context)
            past = self._prefill_observed(latents, texts[0], self._tokens_of(future))
        with watch("video"):
            future = self._denoise_video(future, past, texts[0])
            past = self._prefill_imagined(future, past, texts[0])
        with watch("actions"):
            return [self._denoise_actions(noise, past, texts[1], run), future]

    def _sample_video(self, inputs: Sequence[Tensor], watch: Watch) -> list[Tensor]:
        latents, context, future = inputs
        with watch("video"):
            text = self.model.video.text(context)
            past = self._prefill_observed(latents, text, self._tokens_of(future))
            return [self._denoise_video(future, past, text)]

    def _converted(self, latents: Tensor, context: Tensor) -> list[Tensor]:
        return [x.to(self.model.device, self.model.dtype) for x in (latents, context)]

    def _noise(self, seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
        return torch.cat([self._drawn(seed, shape) for seed in seeds])

    def _draw(self, seed: int, shape: tuple[int, ...]) -> Tensor:
        return seeded_noise([seed], shape).to(self.model.device, self.model.dtype)

    def _future_noise(self, latents: Tensor, seeds: Sequence[int]) -> Tensor:
        """Noise of the frames after the observed one. The official implementation draws it for all frames."""
        return self._noise(seeds, (latents.shape[1], self.frames, *latents.shape[3:]))[:, :, 1:]

    def _texts(self, context: Tensor) -> Texts:
        return self.model.video.text(context), self.model.action.text(context)

    def _prefill_observed(self, latents: Tensor, text: Sequence[KeyValue], masked: int) -> list[KeyValue]:
        """Keys and values of the observed frame; ``masked`` tokens follow that it does not attend to."""
        video = self.model.video
        rotation = self._video_rotation(latents, slice(0, 1))
        stream = Stream(video.tokens(latents), [Condition(self._zero_time, rotation, own) for own in text])
        return prefill(video.layers, stream, masked=masked, run=self._run_video)

    def _prefill_imagined(self, future: Tensor, past: Sequence[KeyValue], text: Sequence[KeyValue]) -> list[KeyValue]:
        """Keys and values of the observed and of the denoised frames, the latter at time 0."""
        video = self.model.video
        rotation = self._video_rotation(future, slice(1, None))
        stream = Stream(video.tokens(future), [Condition(self._zero_time, rotation, own) for own in text])
        return prefill(video.layers, stream, past, run=self._run_video)

    def _denoise_video(self, future: Tensor, past: Sequence[KeyValue], text: Sequence[KeyValue]) -> Tensor:
        """Denoise the frames after the observed one, (B, C, T - 1, h, w)."""
        video = self.model.video
        rotation, grid = self._video_rotation(future, slice(1, None)), video.grid(future)
        for (embedded, time), delta in zip(self._video_times, self._deltas, strict=True):
            stream = Stream(video.tokens(future), [Condition(time, rotation, own) for own in text])
            x = continued(video.layers, stream, past, self._run_video)
            future = euler(future, video.head(x, embedded, grid), delta)
        return future

    def _denoise_actions(
        self, actions: Tensor, past: Sequence[KeyValue], text: Sequence[KeyValue], run: Layer
    ) -> Tensor:
        """Denoise actions (B, horizon, action_dim), which attend to a prefilled video and to each other."""
        expert = self.model.action
        for time, delta in zip(self._action_times, self._deltas, strict=True):
            conditions = [Condition(time, self._action_rotation, own) for own in text]
            x = continued(expert.layers, Stream(expert.action_encoder(actions), conditions), past, run)
            actions = euler(actions, expert.head(x), delta)
        return actions

    def _denoise_jointly(
        self, actions: Tensor, future: Tensor, past: Sequence[KeyValue], texts: Texts, run: Layer
    ) -> list[Tensor]:
        """Denoise actions and video together, step by step. The video does not attend to the actions."""
        video, expert = self.model.video, self.model.action
        rotation, grid = self._video_rotation(future, slice(1, None)), video.grid(future)
        count, prefilled = grid.numel(), past[0].key.shape[1]
        mask = append_actions(
            torch.ones(count, prefilled + count, dtype=torch.bool, device=actions.device), self.horizon
        )
        times = zip(self._video_times, self._action_times, self._deltas, strict=True)
        for (embedded, video_time), action_time, delta in times:
            streams = (
                Stream(video.tokens(future), [Condition(video_time, rotation, own) for own in texts[0]]),
                Stream(
                    expert.action_encoder(actions),
                    [Condition(action_time, self._action_rotation, own) for own in texts[1]],
                ),
            )
            x, y = joint((video.layers, expert.layers), streams, past, mask, run)
            future = euler(future, video.head(x, embedded, grid), delta)
            actions = euler(actions, expert.head(y), delta)
        return [actions, future]

    def _tokens_of(self, latents: Tensor) -> int:
        return self.model.video.grid(latents).numel()

    def _video_rotation(self, latents: Tensor, frames: slice) -> Rotation:
        """Rotation of the tokens of some frames of the video. It is kept, because CUDA graphs refer to its memory."""
        _, height, width = self.model.video.grid(latents)
        key = (frames.start, height, width)
        if key not in self._video_rotations:
            whole = video_rotation(self.model.config.video.head_dim, self.frames, height, width)
            part = Rotation(*(x.unflatten(0, (self.frames, -1))[frames].flatten(0, 1) for x in whole))
            self._video_rotations[key] = part.to(latents.device)
        return self._video_rotations[key]
