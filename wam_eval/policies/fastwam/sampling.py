"""How Fast-WAM's variants get from an observation to actions, and to the video they imagine.

The observed frame's tokens see nothing but themselves and the text, and its time is always 0. So it is run once per
observation, whatever the variant, and its keys and values serve all denoising steps: the official code's joint and
inverse-dynamics paths run it in every step again, to the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wam_eval.nn.attention import KeyValue
from wam_eval.nn.flow import euler, seeded_noise, shifted_schedule
from wam_eval.nn.masks import actions_unseen
from wam_eval.nn.mixture import Layer, Stream, continued, joint, layer, prefill
from wam_eval.nn.replay import Replay, Staged, Watch, unwatched
from wam_eval.nn.rotary import Rotation, rotation_1d, rotation_3d
from wam_eval.policies.fastwam.config import Variant
from wam_eval.policies.fastwam.model import FastWAM

Texts = tuple[Sequence[KeyValue], Sequence[KeyValue]]
"""The text's keys and values for the video expert's layers, and for the action expert's."""


@dataclass(frozen=True)
class Sample:
    """What a batch of observations was answered with.

    Attributes:
        actions: float32 (B, horizon, action_dim) on the CPU, normalised.
        video: latents (B, C, T, h, w), the observed frame first; ``None`` where nothing was imagined.
    """

    actions: Tensor
    video: Tensor | None


class Sampler:
    """Draws actions from a model.

    Args:
        model: with its weights, in evaluation mode.
        variant: see there.
        steps: Euler steps, of the video and of the actions.
        shift: of the schedule, for both.
        horizon: actions per chunk.
        frames: latent frames of an imagined video, the observed one included.
        accelerate: compile the layers, and replay all stages as CUDA graphs. Changes nothing but speed.
    """

    def __init__(
        self,
        model: FastWAM,
        variant: Variant,
        steps: int,
        shift: float = 5.0,
        horizon: int = 32,
        frames: int = 3,
        accelerate: bool = False,
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
            self._now = model.video.time(torch.zeros_like(times[0]))[1]
        self._turns = _on(rotation_1d(model.config.head_dim, horizon), model.device)
        self._grids: dict[tuple[int, int, int], Rotation] = {}
        # Every batch size and kind of layer is compiled by itself; beyond the limit PyTorch would silently stop.
        # (PyTorch's own type hints lack that argument.)
        self._layer: Layer = (
            torch.compile(layer, dynamic=False, fullgraph=True, recompile_limit=64)  # type: ignore[call-overload]
            if accelerate
            else layer
        )
        self._answer = {imagine: self._answering(imagine) for imagine in (False, True)}
        if accelerate:
            self._answer = {imagine: Replay(answer) for imagine, answer in self._answer.items()}

    @torch.inference_mode()
    def sample(
        self,
        latents: Tensor,
        context: Tensor,
        seeds: Sequence[int],
        imagine: bool = False,
        watch: Watch = unwatched,
    ) -> Sample:
        """Answer a batch of observations.

        Args:
            latents: (B, C, 1, h, w), the encoded observed frames.
            context: (B, L, text_dim), of :meth:`FastWAM.context`.
            seeds: of each observation's noise; video and actions start from generators of the same seed.
            imagine: whether the video is wanted where the actions do not need it (``first_frame``).
            watch: measures the stages ``prefill``, ``video`` and ``actions``.
        """
        model = self.model
        future_shape = (latents.shape[1], self.frames, *latents.shape[3:])
        inputs = [
            latents.to(model.device, model.dtype),
            context.to(model.device, model.dtype),
            self._noise(seeds, (self.horizon, model.config.action_dim)),
            self._noise(seeds, future_shape)[:, :, 1:],
        ]
        actions, *future = self._answer[imagine](inputs, watch)
        video = torch.cat([inputs[0], future[0]], dim=2) if future else None
        return Sample(actions.float().cpu(), video)

    def _answering(self, imagine: bool) -> Staged:
        """The variant's way from latents, context and noise to actions, and to a video."""

        def first_frame(inputs: Sequence[Tensor], watch: Watch) -> list[Tensor]:
            latents, context, noise, future = inputs
            with watch("prefill"):
                texts = self._texts(context)
                past = self._observe(latents, texts[0], 0)
            with watch("actions"):
                actions = self._act(noise, past, texts[1])
            if not imagine:
                return [actions]
            with watch("video"):
                return [actions, self._imagine(future, past, texts[0])]

        def together(inputs: Sequence[Tensor], watch: Watch) -> list[Tensor]:
            latents, context, noise, future = inputs
            with watch("prefill"):
                texts = self._texts(context)
                past = self._observe(latents, texts[0], self._cells(future).numel() + self.horizon)
            with watch("actions"):
                return self._act_and_imagine(noise, future, past, texts)

        def idm(inputs: Sequence[Tensor], watch: Watch) -> list[Tensor]:
            latents, context, noise, future = inputs
            with watch("prefill"):
                texts = self._texts(context)
                past = self._observe(latents, texts[0], self._cells(future).numel())
            with watch("video"):
                future = self._imagine(future, past, texts[0])
                past = self._look_ahead(future, past, texts[0])
            with watch("actions"):
                return [self._act(noise, past, texts[1]), future]

        return {"first_frame": first_frame, "joint": together, "idm": idm}[self.variant]

    def _texts(self, context: Tensor) -> Texts:
        return self.model.video.text(context), self.model.action.text(context)

    def _observe(self, latents: Tensor, text: Sequence[KeyValue], unseen: int) -> list[KeyValue]:
        """Keys and values of the observed frame, which does not see ``unseen`` tokens after it."""
        video = self.model.video
        stream = Stream(video.tokens(latents), self._now, self._turned(latents, slice(0, 1)), text)
        return prefill(video.layers, stream, unseen=unseen, run=self._layer)

    def _imagine(self, future: Tensor, past: Sequence[KeyValue], text: Sequence[KeyValue]) -> Tensor:
        """Denoise the frames after the observed one, (B, C, T - 1, h, w)."""
        video = self.model.video
        turns, cells = self._turned(future, slice(1, None)), self._cells(future)
        for (embedded, time), delta in zip(self._video_times, self._deltas, strict=True):
            stream = Stream(video.tokens(future), time, turns, text)
            x = continued(video.layers, stream, past, self._layer)
            future = euler(future, video.head(x, embedded, cells), delta)
        return future

    def _look_ahead(self, future: Tensor, past: Sequence[KeyValue], text: Sequence[KeyValue]) -> list[KeyValue]:
        """Keys and values of the observed frame and of the imagined ones, taken as clean (time 0)."""
        video = self.model.video
        stream = Stream(video.tokens(future), self._now, self._turned(future, slice(1, None)), text)
        return prefill(video.layers, stream, past, run=self._layer)

    def _act(self, actions: Tensor, past: Sequence[KeyValue], text: Sequence[KeyValue]) -> Tensor:
        """Denoise actions (B, horizon, action_dim) that look at a prefilled video and at each other."""
        expert = self.model.action
        for time, delta in zip(self._action_times, self._deltas, strict=True):
            stream = Stream(expert.action_encoder(actions), time, self._turns, text)
            x = continued(expert.layers, stream, past, self._layer)
            actions = euler(actions, expert.head(x), delta)
        return actions

    def _act_and_imagine(self, actions: Tensor, future: Tensor, past: Sequence[KeyValue], texts: Texts) -> list[Tensor]:
        """Denoise actions and video together, step by step; the video never sees the actions."""
        video, expert = self.model.video, self.model.action
        turns, cells = self._turned(future, slice(1, None)), self._cells(future)
        count, seen = cells.numel(), past[0].key.shape[1]
        mask = actions_unseen(torch.ones(count, seen + count, dtype=torch.bool, device=actions.device), self.horizon)
        times = zip(self._video_times, self._action_times, self._deltas, strict=True)
        for (embedded, video_time), action_time, delta in times:
            streams = (
                Stream(video.tokens(future), video_time, turns, texts[0]),
                Stream(expert.action_encoder(actions), action_time, self._turns, texts[1]),
            )
            x, y = joint((video.layers, expert.layers), streams, past, mask, self._layer)
            future = euler(future, video.head(x, embedded, cells), delta)
            actions = euler(actions, expert.head(y), delta)
        return [actions, future]

    def _noise(self, seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
        return seeded_noise(seeds, shape).to(self.model.device, self.model.dtype)

    def _cells(self, latents: Tensor) -> torch.Size:
        """Frames, rows and columns of the latents' tokens."""
        patch = self.model.config.patch
        return torch.Size((latents.shape[2], latents.shape[3] // patch, latents.shape[4] // patch))

    def _turned(self, latents: Tensor, frames: slice) -> Rotation:
        """Rotation of some frames' tokens, by their place in the whole video; kept, since graphs point to it."""
        _, height, width = self._cells(latents)
        key = (frames.start, height, width)
        if key not in self._grids:
            whole = rotation_3d(self.model.config.head_dim, self.frames, height, width)
            part = Rotation(*(x.unflatten(0, (self.frames, -1))[frames].flatten(0, 1) for x in whole))
            self._grids[key] = _on(part, latents.device)
        return self._grids[key]


def _on(rotation: Rotation, device: torch.device) -> Rotation:
    return Rotation(*(x.to(device) for x in rotation))
