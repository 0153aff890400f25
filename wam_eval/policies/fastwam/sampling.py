"""How Fast-WAM's variants get from an observation to actions, and to the video they imagine.

The observed frame's tokens see nothing but themselves and the text, and its time is always 0. So it is run once per
observation, whatever the variant, and its keys and values serve all denoising steps: the official code's joint and
inverse-dynamics paths run it in every step again, to the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from wam_eval.nn.attention import KeyValue
from wam_eval.nn.flow import Schedule, euler, seeded_noise, shifted_schedule
from wam_eval.nn.masks import actions_unseen
from wam_eval.nn.mixture import Stream, continued, joint, prefill
from wam_eval.nn.rotary import Rotation, rotation_1d, rotation_3d
from wam_eval.policies.fastwam.config import Variant
from wam_eval.policies.fastwam.model import FastWAM

Watch = Callable[[str], AbstractContextManager[None]]
"""Measures a stage by name: ``prefill``, ``video``, ``actions``."""


def unwatched(stage: str) -> AbstractContextManager[None]:
    """Measures nothing."""
    return nullcontext()


@dataclass(frozen=True)
class Sample:
    """What a batch of observations was answered with.

    Attributes:
        actions: float32 (B, horizon, action_dim) on the CPU, normalised.
        video: latents (B, C, T, h, w), the observed frame first; ``None`` for ``first_frame``, which imagines nothing.
    """

    actions: Tensor
    video: Tensor | None


class Sampler:
    """Draws actions from a model.

    Args:
        model: in evaluation mode.
        variant: see there.
        steps: Euler steps, of the video and of the actions.
        shift: of the schedule, for both.
        horizon: actions per chunk.
        frames: latent frames of an imagined video, the observed one included.
    """

    def __init__(
        self, model: FastWAM, variant: Variant, steps: int, shift: float = 5.0, horizon: int = 32, frames: int = 3
    ) -> None:
        self.model = model
        self.variant = variant
        self.horizon = horizon
        self.frames = frames
        schedule = shifted_schedule(steps, shift, model.dtype)
        self._schedule = Schedule(*(x.to(model.device) for x in schedule))
        self._turns = _on(rotation_1d(model.config.head_dim, horizon), model.device)

    @torch.inference_mode()
    def sample(self, latents: Tensor, context: Tensor, seeds: Sequence[int], watch: Watch = unwatched) -> Sample:
        """Answer a batch of observations.

        Args:
            latents: (B, C, 1, h, w), the encoded observed frames.
            context: (B, L, text_dim), of :meth:`FastWAM.context`.
            seeds: of each observation's noise; video and actions start from generators of the same seed.
            watch: measures the stages.
        """
        model = self.model
        latents, context = (x.to(model.device, model.dtype) for x in (latents, context))
        noise = self._noise(seeds, (self.horizon, model.config.action_dim))
        if self.variant == "first_frame":
            with watch("prefill"):
                past, text = self.observe(latents, context), model.action.text(context)
            with watch("actions"):
                return Sample(_out(self.act(noise, past, text)), None)
        future = self._noise(seeds, (latents.shape[1], self.frames, *latents.shape[3:]))[:, :, 1:]
        with watch("prefill"):
            past, texts = self.observe(latents, context), (model.video.text(context), model.action.text(context))
        if self.variant == "joint":
            with watch("actions"):
                future, actions = self.act_and_imagine(noise, future, past, texts)
            return Sample(_out(actions), torch.cat([latents, future], dim=2))
        with watch("video"):
            future = self.imagine(future, past, texts[0])
            past = self.look_ahead(future, past, texts[0])
        with watch("actions"):
            return Sample(_out(self.act(noise, past, texts[1])), torch.cat([latents, future], dim=2))

    def observe(self, latents: Tensor, context: Tensor) -> list[KeyValue]:
        """Keys and values of the observed frame."""
        video = self.model.video
        _, time = video.time(latents.new_zeros(1))
        stream = Stream(video.tokens(latents), time, self._grid(latents, slice(0, 1)), video.text(context))
        later = {"first_frame": 0, "idm": self.frames - 1, "joint": self.frames - 1}[self.variant]
        actions = self.horizon if self.variant == "joint" else 0
        return prefill(video.layers, stream, unseen=later * stream.x.shape[1] + actions)

    def imagine(self, future: Tensor, past: Sequence[KeyValue], text: Sequence[KeyValue]) -> Tensor:
        """Denoise the frames after the observed one, (B, C, T - 1, h, w)."""
        video = self.model.video
        for timestep, delta in zip(*self._schedule, strict=True):
            embedded, time = video.time(timestep.unsqueeze(0))
            stream = Stream(video.tokens(future), time, self._grid(future, slice(1, None)), text)
            x = continued(video.layers, stream, past)
            future = euler(future, video.head(x, embedded, self._cells(future)), delta)
        return future

    def look_ahead(self, future: Tensor, past: Sequence[KeyValue], text: Sequence[KeyValue]) -> list[KeyValue]:
        """Keys and values of the observed frame and of the imagined ones, taken as clean (time 0)."""
        video = self.model.video
        _, time = video.time(future.new_zeros(1))
        turns = self._grid(future, slice(1, None))
        return prefill(video.layers, Stream(video.tokens(future), time, turns, text), past)

    def act(self, actions: Tensor, past: Sequence[KeyValue], text: Sequence[KeyValue]) -> Tensor:
        """Denoise actions (B, horizon, action_dim) that look at a prefilled video and at each other."""
        expert = self.model.action
        for timestep, delta in zip(*self._schedule, strict=True):
            _, time = expert.time(timestep.unsqueeze(0))
            stream = Stream(expert.action_encoder(actions), time, self._turns, text)
            actions = euler(actions, expert.head(continued(expert.layers, stream, past)), delta)
        return actions

    def act_and_imagine(
        self,
        actions: Tensor,
        future: Tensor,
        past: Sequence[KeyValue],
        texts: tuple[Sequence[KeyValue], Sequence[KeyValue]],
    ) -> tuple[Tensor, Tensor]:
        """Denoise video and actions together, step by step; the video never sees the actions."""
        video, expert = self.model.video, self.model.action
        cells = self._cells(future)
        count, seen = cells[0] * cells[1] * cells[2], past[0].key.shape[1]
        mask = actions_unseen(torch.ones(count, seen + count, dtype=torch.bool), self.horizon).to(actions.device)
        turns = self._grid(future, slice(1, None))
        for timestep, delta in zip(*self._schedule, strict=True):
            embedded, video_time = video.time(timestep.unsqueeze(0))
            _, time = expert.time(timestep.unsqueeze(0))
            streams = (
                Stream(video.tokens(future), video_time, turns, texts[0]),
                Stream(expert.action_encoder(actions), time, self._turns, texts[1]),
            )
            x, y = joint((video.layers, expert.layers), streams, past, mask)
            future = euler(future, video.head(x, embedded, cells), delta)
            actions = euler(actions, expert.head(y), delta)
        return future, actions

    def _noise(self, seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
        return seeded_noise(seeds, shape).to(self.model.device, self.model.dtype)

    def _cells(self, latents: Tensor) -> tuple[int, int, int]:
        """Frames, rows and columns of the latents' tokens."""
        patch = self.model.config.patch
        return latents.shape[2], latents.shape[3] // patch, latents.shape[4] // patch

    def _grid(self, latents: Tensor, frames: slice) -> Rotation:
        """Rotation of some frames' tokens, by their place in the whole video."""
        _, height, width = self._cells(latents)
        whole = rotation_3d(self.model.config.head_dim, self.frames, height, width)
        cells = [x.unflatten(0, (self.frames, -1))[frames].flatten(0, 1) for x in whole]
        return _on(Rotation(*cells), latents.device)


def _on(rotation: Rotation, device: torch.device) -> Rotation:
    return Rotation(*(x.to(device) for x in rotation))


def _out(actions: Tensor) -> Tensor:
    return actions.float().cpu()
