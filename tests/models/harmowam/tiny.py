"""A tiny HarmoWAM in which every parameter matters, with tiny encoders, and inputs for it."""

from __future__ import annotations

from dataclasses import replace

import torch

from wam_eval.models.harmowam.config import HarmoWAMConfig
from wam_eval.models.harmowam.encoders import FrameEncoder, random_frame_encoder
from wam_eval.models.harmowam.gate import GateMode
from wam_eval.models.harmowam.model import HarmoWAM
from wam_eval.models.harmowam.sampling import Inputs, Sampler
from wam_eval.models.nn.acceleration import Accelerator
from wam_eval.models.wan.encoders import VideoVAE, random_vae
from wam_eval.models.weights import random_weights


def tiny_config(action_dim: int = 7, state_dim: int | None = None, **changes: object) -> HarmoWAMConfig:
    """Sizes of the tiny model, with changes of single fields."""
    return replace(HarmoWAMConfig.of_size("tiny", action_dim, state_dim), **changes)  # type: ignore[arg-type]


def tiny_model(
    config: HarmoWAMConfig | None = None, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> HarmoWAM:
    """A model with random weights."""
    with torch.device("meta"):
        model = HarmoWAM(config or tiny_config())
    return random_weights(model, 0, dtype, device)


def tiny_encoders(model: HarmoWAM) -> tuple[VideoVAE, FrameEncoder]:
    """Tiny encoders in the model's dtype and on its device."""
    vae = random_vae("tiny", 0, model.dtype, model.device)
    return vae, random_frame_encoder("tiny", 0, model.dtype, model.device)


def tiny_sampler(
    model: HarmoWAM,
    mode: GateMode = "hard",
    steps: int = 2,
    action_steps: int = 2,
    accelerator: Accelerator = Accelerator(),  # noqa: B008 - it is immutable
) -> Sampler:
    """A sampler with tiny encoders."""
    return Sampler(model, *tiny_encoders(model), mode, steps, action_steps, accelerator=accelerator)


def tiny_inputs(batch: int = 1, seed: int = 1, state_dim: int | None = None) -> Inputs:
    """Random observations: latents of 4 x 6, a text padded to 12 tokens, three cameras of 9 tokens each."""
    generator = torch.Generator().manual_seed(seed)
    first_frame = torch.randn(batch, 48, 1, 4, 6, generator=generator)
    text = torch.randn(batch, 12, 32, generator=generator)
    text[:, 7:] = 0
    visual = torch.randn(batch, 3, 9, 48, generator=generator)
    state = None if state_dim is None else torch.randn(batch, state_dim, generator=generator)
    return Inputs(first_frame, text, visual, state)
