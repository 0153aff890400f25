"""Image autoencoders whose latents are samples of a distribution: diffusers' ``AutoencoderKL`` with seeded samples.

The official code of some models draws these samples from the state of a global generator, so that its runs cannot be
repeated. Here each row has noise of its own seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from wam_eval.models.nn.flow import seeded_noise
from wam_eval.models.weights import load_file_weights, random_weights

LEVELS = 4
"""Levels of resolution; each but the last halves the image."""


class SampledAutoencoder:
    """An autoencoder with the scale of its latents."""

    def __init__(self, model: AutoencoderKL) -> None:
        self.model = model

    @torch.no_grad()
    def encode(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """Scaled latents of images.

        Args:
            images: (B, 3, H, W) in -1..1, H and W multiples of 8, in the model's dtype and on its device.
            seeds: seed of each row. The noise is that of the next number, because the seed itself draws the actions.

        Returns:
            (B, C, H/8, W/8).
        """
        distribution = self.model.encode(images).latent_dist
        noise = seeded_noise([seed + 1 for seed in seeds], distribution.mean.shape[1:])
        latents: Tensor = distribution.mean + distribution.std * noise.to(images.device, images.dtype)
        return (latents - (self.model.config.shift_factor or 0.0)) * self.model.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> NDArray[np.uint8]:
        """Images uint8 (B, H, W, 3) RGB, rounded down, of scaled latents (B, C, H/8, W/8)."""
        unscaled = latents / self.model.config.scaling_factor + (self.model.config.shift_factor or 0.0)
        return pixels(self.model.decode(unscaled).sample)


def pixels(images: Tensor) -> NDArray[np.uint8]:
    """Pixels of decoded images.

    Args:
        images: (B, 3, …, H, W) of any dtype; numbers beyond -1 and 1 are clamped.

    Returns:
        uint8 (B, …, H, W, 3) RGB, rounded down.
    """
    scaled = (images.float().clamp(-1, 1) + 1.0) * 127.5
    rounded: NDArray[np.uint8] = scaled.to(torch.uint8).movedim(1, -1).cpu().numpy()
    return rounded


def load_autoencoder(
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    file: Path,
    title: str,
    dtype: torch.dtype,
    device: torch.device | str,
) -> SampledAutoencoder:
    """An autoencoder with the tensors of a file.

    Args:
        config: settings of ``AutoencoderKL`` besides those that all these models share.
        tensors: with the names of the model.
        file, title: the file, and the name of the autoencoder, for messages.
        dtype, device: of the model.

    Raises:
        UserError: the tensors do not fit, or are not finite.
    """
    return SampledAutoencoder(load_file_weights(_empty(config), tensors, file, title, dtype, device))


def random_autoencoder(
    config: Mapping[str, Any], seed: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> SampledAutoencoder:
    """An autoencoder with random weights, for tests and measurements without downloads."""
    return SampledAutoencoder(random_weights(_empty(config), seed, dtype, device))


def _empty(config: Mapping[str, Any]) -> AutoencoderKL:
    with torch.device("meta"):
        return AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * LEVELS,
            up_block_types=("UpDecoderBlock2D",) * LEVELS,
            layers_per_block=2,
            **config,
        )
