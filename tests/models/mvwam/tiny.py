"""A tiny MV-WAM in which every parameter matters, and inputs for it."""

from __future__ import annotations

from dataclasses import replace

import torch

from wam_eval.models.mvwam.model import MVWAM, MVWAMConfig
from wam_eval.models.mvwam.sampling import Inputs
from wam_eval.models.weights import random_weights

USED = (0, 1, 2, 10, 50, 60)
"""Numbers of a state or an action that the tiny robot uses."""


def tiny_config(value: bool = True, **changes: object) -> MVWAMConfig:
    """Sizes of the tiny model, with changes of single fields."""
    return replace(MVWAMConfig.of_size("tiny", value), **changes)  # type: ignore[arg-type]


def tiny_model(config: MVWAMConfig | None = None, dtype: torch.dtype = torch.float32, device: str = "cpu") -> MVWAM:
    """A model with random weights."""
    with torch.device("meta"):
        model = MVWAM(config or tiny_config())
    return random_weights(model, 0, dtype, device)


def tiny_inputs(batch: int = 1, seed: int = 1) -> Inputs:
    """Random observations: latents of 4 x 6, a text padded to 12 tokens, three cameras of 9 tokens each."""
    generator = torch.Generator().manual_seed(seed)
    first_frame = torch.randn(batch, 16, 1, 4, 6, generator=generator)
    text = torch.randn(batch, 12, 32, generator=generator)
    text[:, 7:] = 0
    visual = torch.randn(batch, 3, 9, 48, generator=generator)
    mask = torch.zeros(batch, 128)
    mask[:, USED] = 1
    state = torch.randn(batch, 128, generator=generator) * mask
    return Inputs(first_frame, text, visual, state, mask, mask)
