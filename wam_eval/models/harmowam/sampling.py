"""Inference of HarmoWAM (arXiv 2605.10942): video and features, actions of both experts, and their combination.

The world model denoises the frames after the observed one. As in Wan2.2's image-to-video model, all frames attend to
each other, and the tokens of the observed frame have time 0. Its features therefore depend on the future.

Noisy samples and their sums are float32, or float64 if the model is. The networks compute in the model's dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Protocol

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from wam_eval.models.harmowam.config import ACTIONS_PER_LATENT, HarmoWAMConfig
from wam_eval.models.harmowam.gate import GateMode, combined, shares
from wam_eval.models.harmowam.model import HarmoWAM
from wam_eval.models.harmowam.reactive import Grid
from wam_eval.models.mvwam.model import camera_positions
from wam_eval.models.nn.acceleration import Accelerator
from wam_eval.models.nn.flow import euler, shifted_schedule
from wam_eval.models.nn.transformer import Layer, Rotation, Stream, continued, grid_rotation
from wam_eval.models.stages import Watch, unwatched
from wam_eval.models.wan.transformer import Condition, video_rotation


@dataclass(frozen=True)
class Inputs:
    """A batch of observations.

    Attributes:
        first_frame: latents of the observed frame (B, C, 1, h, w).
        text: embeddings of the instruction (B, L, text_dim), zero where it is padded.
        visual: tokens of SigLIP (B, cameras, N, visual_dim).
        state: normalised state (B, state_dim); ``None`` for a model without state.
    """

    first_frame: Tensor
    text: Tensor
    visual: Tensor
    state: Tensor | None = None


@dataclass(frozen=True)
class Sample:
    """Answer to a batch of observations.

    Attributes:
        actions: float32 (B, horizon, action_dim) on the CPU, normalised.
        score: of the gate, float32 (B,) on the CPU: 1 for interaction, 0 for transit.
        share: of the predictive expert in the actions, likewise.
        predictive, reactive: actions of each expert, like ``actions``; ``None`` if it was not asked.
        video: latents (B, C, T, h, w), the observed frame first, on the model's device.
        frames: decoded video (B, 3, 1 + horizon, H, W) in -1..1 on the model's device; ``None`` if the reactive expert
            was not asked.
    """

    actions: Tensor
    score: Tensor
    share: Tensor
    predictive: Tensor | None
    reactive: Tensor | None
    video: Tensor
    frames: Tensor | None


@dataclass(frozen=True)
class Ahead:
    """The world model's answer to a batch of observations, from which the experts act.

    Attributes:
        video: as in :class:`Sample`.
        features: of the world model (B, T, tokens of a latent frame, world.dim).
        frames: as in :class:`Sample`.
        patches: tokens of DINOv2 (B * horizon, P, frame_dim) of the frames after the observed one.
    """

    video: Tensor
    features: Tensor
    frames: Tensor
    patches: Tensor


class VideoDecoder(Protocol):
    """The decoder of a video: Wan2.2's VAE, or that of a small model."""

    def decoded(self, latents: Tensor) -> Tensor:
        """Frames (B, 3, 1 + 4 (T - 1), H, W) in about -1..1 of latents (B, C, T, h, w)."""


class FrameTokens(Protocol):
    """The encoder of predicted frames: DINOv2, or that of a small model.

    Attributes:
        grid: rows and columns of the tokens of a frame.
    """

    grid: Grid

    def encode(self, frames: Tensor) -> Tensor:
        """Tokens (B, P, frame_dim) of frames (B, 3, H, W) in -1..1."""


def latent_frame(step: int) -> int:
    """The latent frame of a frame, or of the action that leads to it.

    Wan2.2's VAE encodes the observed frame, number 0, alone, and then four frames together. The features of a frame are
    those of its latent frame, so that four actions share them; the paper does not say how it assigns them.
    """
    return -(-step // ACTIONS_PER_LATENT)


class Sampler:
    """Draws actions and videos from a model.

    Args:
        model: with weights, in evaluation mode.
        vae: decodes the video.
        frame_encoder: encodes the predicted frames.
        mode: combination of the experts.
        steps: denoising steps of the world model; 5 in the paper.
        action_steps: denoising steps of the predictive expert; our choice.
        shift: shift of the world model's schedule, that of Wan2.2; our choice.
        accelerator: replaces layers and stages by faster ones.

    Raises:
        ValueError: there is no denoising step for the features.
    """

    def __init__(
        self,
        model: HarmoWAM,
        vae: VideoDecoder,
        frame_encoder: FrameTokens,
        mode: GateMode = "hard",
        steps: int = 5,
        action_steps: int = 10,
        shift: float = 5.0,
        accelerator: Accelerator = Accelerator(),  # noqa: B008 - it is immutable
    ) -> None:
        config = model.config
        if not -steps <= config.feature_step < steps:
            raise ValueError(f"feature step {config.feature_step}: the video has {steps} denoising steps")
        self.model = model
        self.mode = mode
        self._vae, self._frame_encoder = vae, frame_encoder
        self._precision = torch.promote_types(model.dtype, torch.float32)
        self._feature_step = config.feature_step % steps
        schedule = shifted_schedule(steps, shift, self._precision)
        self._deltas = schedule.deltas.to(model.device)
        self._scheduler = action_scheduler(config)
        self._scheduler.set_timesteps(action_steps)
        # Those of the scheduler, which have no content where operations are counted.
        self._action_timesteps = [step * (config.noise_steps // action_steps) for step in reversed(range(action_steps))]
        with torch.inference_mode():
            times = schedule.timesteps.to(model.device)
            self._world_embedded = [model.world.time(torch.stack([0 * time, time])) for time in times]
            self._action_embedded = [
                model.predictive.time(torch.full((1,), float(timestep), device=model.device))
                for timestep in self._action_timesteps
            ]
        tokens = config.horizon + (config.state_dim is not None)
        self._action_rotation = grid_rotation((config.predictive.head_dim,), (tokens,)).to(model.device)
        self._drawn = lru_cache(maxsize=64)(self._draw)  # Evaluations use the same noise for every chunk.
        self._grids: dict[torch.Size, tuple[Rotation, Tensor]] = {}
        self._positions: dict[int, Tensor] = {}
        self._imagine = accelerator.recorded(partial(self._denoise_video, run=accelerator.prefix))
        self._predict = accelerator.recorded(partial(self._denoise_actions, run=accelerator.actions))

    @torch.inference_mode()
    def sample(self, inputs: Inputs, seeds: Sequence[int], watch: Watch = unwatched) -> Sample:
        """Answer a batch of observations.

        Args:
            inputs: the observations.
            seeds: seed of each observation's noise. From one generator come first the noise of the actions, then that
                of the video.
            watch: receives the stages ``world model``, ``predictive``, ``features`` (decoded frames and their DINOv2
                tokens), ``reactive`` and ``gate``. An expert that the mode does not need is not run.
        """
        noise, first, text, future = self._world_inputs(inputs, seeds)
        visual = self._converted(inputs.visual)
        video, features = self._imagine([first, text, future], watch)
        predictive: Tensor | None = None
        reactive: Tensor | None = None
        frames: Tensor | None = None
        if self.mode != "reactive":
            states = [] if inputs.state is None else [self._converted(inputs.state)]
            (predictive,) = self._predict([text, visual, features[:, 0], noise, *states], watch)
        if self.mode != "predictive":
            frames, reactive = self._react(video, features, watch)
        with watch("gate"):
            score = self.model.gate(visual).to(self._precision)
            if predictive is None or reactive is None:
                (actions,) = (one for one in (predictive, reactive) if one is not None)
                share = torch.full_like(score, float(reactive is None))
            else:
                share = shares(self.mode, score, predictive, reactive)
                actions = combined(share, predictive, reactive)
        predictive, reactive = (None if one is None else one.float().cpu() for one in (predictive, reactive))
        score, share = score.float().cpu(), share.float().cpu()
        return Sample(actions.float().cpu(), score, share, predictive, reactive, video, frames)

    @torch.no_grad()
    def look_ahead(self, inputs: Inputs, seeds: Sequence[int]) -> Ahead:
        """The part of :meth:`sample` before the experts, which is also their input in training.

        Args:
            inputs, seeds: as in :meth:`sample`.
        """
        first, text, future = self._world_inputs(inputs, seeds)[1:]
        video, features = self._imagine([first, text, future], unwatched)
        return Ahead(video, features, *self._seen(video))

    def _denoise_video(self, inputs: Sequence[Tensor], watch: Watch, *, run: Layer) -> list[Tensor]:
        """The video (B, C, T, h, w), and its features (B, T, tokens of a frame, world.dim)."""
        first, text, future = inputs
        world = self.model.world
        features: Tensor | None = None
        with watch("world model"):
            words = world.text(text)
            grid = torch.Size((self.model.config.frames, *world.grid(first)[1:]))
            rotation, given = self._grid(grid)
            for index, ((embedded, time), delta) in enumerate(zip(self._world_embedded, self._deltas, strict=True)):
                times = time[:, given]
                x = world.tokens(torch.cat([first, future.to(self.model.dtype)], dim=2))
                for number, (layer, own) in enumerate(zip(world.layers, words, strict=True)):
                    (x,), _ = run((layer,), (x,), (Condition(times, rotation, own),), None, None)
                    if index == self._feature_step and number == self.model.config.feature_layer:
                        features = x.unflatten(1, (grid[0], -1))
                velocity = world.head(x, embedded[:, given], grid)[:, :, 1:]
                future = euler(future, velocity.to(self._precision), delta)
            assert features is not None
            return [torch.cat([first, future.to(self.model.dtype)], dim=2), features]

    def _denoise_actions(self, inputs: Sequence[Tensor], watch: Watch, *, run: Layer) -> list[Tensor]:
        """The actions (B, horizon, action_dim) of the predictive expert."""
        text, visual, features, actions, *states = inputs
        expert = self.model.predictive
        with watch("predictive"):
            contexts = expert.contexts(text, visual, features, self._camera_positions(visual.shape[1]))
            state = states[0] if states else None
            steps = zip(self._action_embedded, self._action_timesteps, strict=True)
            for (embedded, time), timestep in steps:
                conditions = [Condition(time, self._action_rotation, context) for context in contexts]
                stream = Stream(expert.tokens(actions.to(self.model.dtype), state), conditions)
                x = continued(expert.layers, stream, [None] * len(conditions), run)
                noise = expert.noise(x, embedded).to(self._precision)
                (actions, *_) = self._scheduler.step(noise, timestep, actions, return_dict=False)
            return [actions]

    def _react(self, video: Tensor, features: Tensor, watch: Watch) -> tuple[Tensor, Tensor]:
        """The decoded frames, and the actions (B, horizon, action_dim) of the reactive expert."""
        with watch("features"):
            frames, patches = self._seen(video)
        with watch("reactive"):
            actions = reactive_actions(self.model, patches, features, self.grids(video))
            return frames, actions.to(self._precision)

    def grids(self, video: Tensor) -> tuple[Grid, Grid]:
        """Grids of the tokens of a frame that the reactive expert receives: patches, and features of a video."""
        _, rows, columns = self.model.world.grid(video)
        return self._frame_encoder.grid, (rows, columns)

    def _seen(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """The decoded frames, and the DINOv2 tokens of those after the observed one."""
        frames = self._vae.decoded(video)
        return frames, self._frame_encoder.encode(frames[:, :, 1:].transpose(1, 2).flatten(0, 1))

    def _world_inputs(self, inputs: Inputs, seeds: Sequence[int]) -> list[Tensor]:
        """Noise of the actions, observed frame, text, and noise of the later frames."""
        first, text = self._converted(inputs.first_frame), self._converted(inputs.text)
        shape = torch.Size((first.shape[1], self.model.config.frames - 1, *first.shape[3:]))
        noise, future = (torch.cat(rows) for rows in zip(*(self._drawn(seed, shape) for seed in seeds), strict=True))
        return [noise, first, text, future]

    def _converted(self, x: Tensor) -> Tensor:
        return x.to(self.model.device, self.model.dtype)

    def _draw(self, seed: int, video: torch.Size) -> list[Tensor]:
        """Noise of the actions (1, horizon, action_dim), and of the frames of a video after the first."""
        generator, config = torch.Generator().manual_seed(seed), self.model.config
        shapes = ((config.horizon, config.action_dim), video)
        drawn = [torch.randn(1, *shape, generator=generator) for shape in shapes]
        return [x.to(self.model.device, self._precision) for x in drawn]

    def _grid(self, grid: torch.Size) -> tuple[Rotation, Tensor]:
        """Rotation of a video's tokens, and the place of their time: 0 for the observed frame, else 1.

        Both are kept, because CUDA graphs refer to their memory.
        """
        if grid not in self._grids:
            rotation = video_rotation(self.model.config.world.head_dim, *grid).to(self.model.device)
            later = torch.arange(grid.numel(), device=self.model.device) >= grid[1:].numel()
            self._grids[grid] = rotation, later.long()
        return self._grids[grid]

    def _camera_positions(self, cameras: int) -> Tensor:
        if cameras not in self._positions:
            positions = camera_positions(cameras, self.model.config.predictive.dim)
            self._positions[cameras] = self._converted(positions)
        return self._positions[cameras]


def action_scheduler(config: HarmoWAMConfig) -> DDIMScheduler:
    """The diffusion of the predictive expert's actions, in training and at inference."""
    return DDIMScheduler(
        config.noise_steps,
        beta_schedule=config.noise_schedule,
        clip_sample_range=config.clip,
        prediction_type="epsilon",
    )


def reactive_actions(model: HarmoWAM, patches: Tensor, features: Tensor, grids: tuple[Grid, Grid]) -> Tensor:
    """Actions (B, horizon, action_dim) of the reactive expert, each from its predicted frame.

    Args:
        model: the model.
        patches, features: as in :class:`Ahead`.
        grids: of the tokens of a frame, as :meth:`Sampler.grids` gives them.
    """
    steps = range(1, model.config.horizon + 1)
    chosen = features[:, [latent_frame(step) for step in steps]].flatten(0, 1)
    actions: Tensor = model.reactive(model.reactive.tokens(patches, chosen), grids)
    return actions.unflatten(0, (-1, model.config.horizon))
