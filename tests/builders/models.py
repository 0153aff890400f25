"""Builders of test data: tiny models in which every parameter matters, inputs for them, files, and layouts."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.conftest import REPOSITORY
from wam_eval.models.fastwam.model import FastWAM, FastWAMConfig, Variant
from wam_eval.models.fastwam.sampling import Sample, Sampler
from wam_eval.models.wan.encoders import random_text_encoder, random_vae

STEPS, SEED = 5, 42
LAYOUTS = REPOSITORY / "tests" / "fixtures" / "layouts"


def tiny_config(state_dim: int = 8, action_dim: int = 7) -> FastWAMConfig:
    """Sizes of the tiny Fast-WAM model."""
    return FastWAMConfig.of_size("tiny", state_dim, action_dim)


def random_model(dtype: torch.dtype = torch.float32, state_dim: int = 8, action_dim: int = 7) -> FastWAM:
    """A tiny model in which no parameter has its initial value, so that a parameter that is not used is noticed."""
    model = FastWAM(tiny_config(state_dim, action_dim))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1 and "norm" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.dim() == 1 or name.endswith("modulation"):
                parameter.copy_(0.2 * noise)
            else:
                parameter.copy_(noise * parameter[0].numel() ** -0.5)
    return model.to(dtype).eval().requires_grad_(False)


def model_inputs(
    batch: int = 1, dtype: torch.dtype = torch.float32, state_dim: int = 8
) -> tuple[Tensor, Tensor, Tensor]:
    """Latents (B, 48, 1, 4, 6), text (B, 128, 32) padded with zeros, and states (B, state_dim)."""
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(batch, 48, 1, 4, 6, generator=generator)
    text = torch.randn(batch, 128, 32, generator=generator)
    text[:, 21:] = 0
    states = torch.randn(batch, state_dim, generator=generator)
    return latents.to(dtype), text.to(dtype), states


def draw(variant: Variant, dtype: torch.dtype = torch.float32, model: FastWAM | None = None) -> Sample:
    """One sample of :func:`random_model`."""
    model = model or random_model(dtype)
    latents, text, states = model_inputs(dtype=dtype)
    return Sampler(model, variant, STEPS).sample(latents, model.context(text, states), [SEED])


def checkpoint_content(model: FastWAM) -> dict[str, Any]:
    """A checkpoint's content, as the official training saves it."""
    state = model.state_dict()
    return {
        "mot": {name: tensor for name, tensor in state.items() if name.startswith("mixtures.")},
        "proprio_encoder": {name: state[f"proprio_encoder.{name}"] for name in ("weight", "bias")},
        "step": 21_000,
        "torch_dtype": "torch.bfloat16",
    }


def write_checkpoint(folder: Path) -> Path:
    """A tiny checkpoint for LIBERO, with the statistics of its training data beside it."""
    path = folder / "step_010000.pt"
    torch.save(checkpoint_content(random_model()), path)
    write_statistics(folder)
    return path


def write_statistics(folder: Path) -> None:
    """Statistics of training data for LIBERO that change no number."""
    numbers = {"global_min": [-1.0], "global_max": [1.0], "global_mean": [0.0], "global_std": [1.0]}
    statistics = {
        group: {"default": {name: value * length for name, value in numbers.items()}}
        for group, length in (("state", 8), ("action", 7))
    }
    (folder / "dataset_stats.json").write_text(json.dumps(statistics))


def write_encoders(folder: Path) -> Path:
    """Tiny encoders in the layout of Wan's published folder."""
    text = random_text_encoder("tiny", seed=0)
    random_vae("tiny", seed=0).model.save_pretrained(folder / "vae")
    text.model.save_pretrained(folder / "text_encoder")
    (folder / "tokenizer").mkdir()
    text._tokenizer.save_pretrained(folder / "tokenizer")
    return folder


def first_frame_causal(frames: int, tokens: int) -> Tensor:
    """The attention mask of a video whose first frame attends only to itself; later frames attend to everything.

    Args:
        frames: latent frames.
        tokens: tokens per frame.

    Returns:
        bool (frames * tokens, frames * tokens).
    """
    mask = torch.ones(frames * tokens, frames * tokens, dtype=torch.bool)
    mask[:tokens, tokens:] = False
    return mask


def describe_layout(layout: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Number of tensors, number of parameters, and SHA-256 of the sorted names and shapes of a layout."""
    lines = sorted(f"{name} {'x'.join(map(str, shape))}" for name, shape in layout.items())
    return {
        "tensors": len(layout),
        "parameters": sum(math.prod(shape) for shape in layout.values()),
        "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    }


def published_layout(name: str) -> dict[str, Any]:
    """Component of a published file -> description (:func:`describe_layout`) of its tensors."""
    found: dict[str, Any] = json.loads((LAYOUTS / f"{name}.json").read_text())
    return found
