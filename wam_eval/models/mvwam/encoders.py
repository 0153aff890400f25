"""Encoders of MV-WAM: SigLIP2's image tower, Wan2.1's VAE and its text encoder, from files or of random weights.

Source: arXiv 2606.21088, section 3.1, and for the preprocessing of images, which the paper leaves open, public code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from numpy.typing import NDArray
from torch import Tensor
from transformers import SiglipVisionConfig, SiglipVisionModel

from wam_eval.models.autoencoder import pixels
from wam_eval.models.files import files_digest
from wam_eval.models.mvwam.files import SIGLIP2, tower_tensors
from wam_eval.models.mvwam.model import Size
from wam_eval.models.nn.flow import seeded_noise
from wam_eval.models.preprocessing import stretch
from wam_eval.models.prompt_cache import PromptCache
from wam_eval.models.wan.encoders import load_text_encoder, random_text_encoder, text_encoder_digest
from wam_eval.models.wan.files import WAN21
from wam_eval.models.weights import load_file_weights, random_weights, read_tensors
from wam_eval.observation import Observation
from wam_eval.places import portable_folder

LENGTH = 512
"""Tokens of an instruction with its padding, which is zero and not masked."""
SPACING = 8
"""Pixels between latents of Wan2.1's VAE, in both directions."""
GREY = 127
"""The mean colour of SigLIP2's images, half of the largest value."""

TOWER_SIZES: Mapping[Size, Mapping[str, int]] = {
    "full": {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "image_size": 384,
        "patch_size": 14,
    },
    "tiny": {
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 42,
        "patch_size": 14,
    },
}
"""Sizes of the image tower of so400m with patches of 14 pixels, and of a tiny one with nine tokens."""
VAE_WIDTHS: Mapping[Size, int] = {"full": 96, "tiny": 4}
"""Channels of the VAE's first layer."""


@dataclass(frozen=True)
class MVWAMEncoders:
    """Source of all encoders.

    Attributes:
        wan: folder of Wan2.1 (:data:`wam_eval.models.wan.files.WAN21`); ``None`` for random weights.
        siglip2: folder of SigLIP2 (:data:`wam_eval.models.mvwam.files.SIGLIP2`); ``None`` for random weights.
        size: of the encoders. Those of the published files are ``full``.
        dtype, device: of all encoders.
    """

    wan: Path | None
    siglip2: Path | None
    size: Size
    dtype: torch.dtype
    device: torch.device

    def vae(self) -> SampledVideoVAE:
        """Load the VAE. Raises :class:`UserError` if its file is damaged."""
        if self.wan is None:
            return random_vae(self.size, 0, self.dtype, self.device)
        return load_vae(self.wan, self.size, self.dtype, self.device)

    def tower(self) -> ImageTower:
        """Load SigLIP2's image tower. Raises :class:`UserError` if its file is damaged."""
        if self.siglip2 is None:
            return random_tower(self.size, 0, self.dtype, self.device)
        return load_tower(self.siglip2, self.size, self.dtype, self.device)

    def image_digest(self) -> str:
        """Digest of the weights of VAE and image tower, for a run's record."""
        parts = ((WAN21, self.wan, "vae"), (SIGLIP2, self.siglip2, "weights"))
        digests = [files_digest(model.weights(folder, part)) for model, folder, part in parts if folder]
        return " ".join(digests) or f"random {self.size}"

    def prompt_cache(self) -> PromptCache:
        """A cache of the instructions' embeddings, which loads the text encoder only if one is new."""
        if self.wan is None:
            open_random = partial(random_text_encoder, self.size, 0, self.dtype, self.device, LENGTH)
            return PromptCache(open_random, f"random {self.size}", None, LENGTH)
        open_encoder = partial(load_text_encoder, self.wan, self.dtype, self.device, WAN21, LENGTH)
        digest = text_encoder_digest(self.wan, self.dtype, WAN21, LENGTH)
        return PromptCache(open_encoder, digest, portable_folder("prompts"), LENGTH)


class ImageTower:
    """SigLIP2's image tower, which gives a token for each patch of a picture.

    Attributes:
        model: the tower without its pooling.
        side: height and width of its pictures.
    """

    def __init__(self, model: SiglipVisionModel) -> None:
        self.model = model
        self.side: int = model.config.image_size

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """Tokens of the cameras' pictures.

        Args:
            pictures: uint8 (B, cameras, side, side, 3) of :func:`square_picture`, on the model's device. The order of
                the cameras is that of the training: head, right wrist, left wrist.

        Returns:
            (B, cameras, N, width), N = 729 and width = 1152 in the full size: the states after the last normalisation,
            in the model's dtype.
        """
        # In float32, as SigLIP's own preprocessing.
        images = pictures.flatten(0, 1).permute(0, 3, 1, 2).float() / 255 * 2 - 1
        states: Tensor = self.model(images.to(self.model.dtype)).last_hidden_state
        return states.unflatten(0, pictures.shape[:2])


def square_picture(image: NDArray[np.uint8], height: int, width: int, side: int) -> NDArray[np.uint8]:
    """A picture for SigLIP2: an image in the size of the video, padded to a square with grey, and resized.

    The picture is in the middle. Source: public code, except for the filter of the first resizing, which is ours.

    Args:
        image: uint8 (H, W, 3).
        height, width: size of the video in pixels.
        side: height and width of the result.

    Returns:
        uint8 (side, side, 3).
    """
    square = np.full((max(height, width), max(height, width), 3), GREY, np.uint8)
    top, left = (len(square) - height) // 2, (len(square) - width) // 2
    square[top : top + height, left : left + width] = stretch(image, height, width)
    return stretch(square, side, side)


def camera_pictures(
    observations: Sequence[Observation], cameras: Sequence[str], size: tuple[int, int], side: int
) -> Tensor:
    """Pictures of all cameras for :meth:`ImageTower.encode`, uint8 (B, cameras, side, side, 3) on the CPU.

    Args:
        observations: B observations.
        cameras: names of the cameras, in order.
        size: height and width of the video in pixels.
        side: height and width of a picture.
    """
    pictures = [[square_picture(one.images[camera], *size, side) for camera in cameras] for one in observations]
    return torch.from_numpy(np.stack(pictures))


class SampledVideoVAE:
    """Wan2.1's VAE. A latent of the observed frame is a sample of its distribution, as in training."""

    def __init__(self, model: AutoencoderKLWan) -> None:
        self.model = model
        weight = next(model.parameters())
        self._mean, self._std = (
            torch.tensor(numbers, dtype=torch.float32, device=weight.device).view(1, -1, 1, 1, 1)
            for numbers in (model.config.latents_mean, model.config.latents_std)
        )

    def noise(self, seeds: Sequence[int], height: int, width: int) -> Tensor:
        """Noise for :meth:`encode`, float32 (B, 16, 1, height/8, width/8) on the model's device.

        Args:
            seeds: seed of each row. The noise is that of the next number, because the seed itself draws the actions.
            height, width: of the images in pixels.
        """
        shape = (self._mean.shape[1], 1, height // SPACING, width // SPACING)
        return seeded_noise([seed + 1 for seed in seeds], shape).to(self._mean.device)

    @torch.no_grad()
    def encode(self, images: Tensor, noise: Tensor) -> Tensor:
        """Latents of single frames.

        Args:
            images: (B, 3, H, W) in -1..1, H and W multiples of 8, in the model's dtype and on its device.
            noise: of :meth:`noise`.

        Returns:
            (B, 16, 1, H/8, W/8), normalised, in the model's dtype.
        """
        distribution = self.model.encode(images.unsqueeze(2)).latent_dist
        latents = distribution.mean.float() + distribution.std.float() * noise
        return ((latents - self._mean) / self._std).to(images.dtype)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> NDArray[np.uint8]:
        """Frames of latents.

        Args:
            latents: (B, 16, T, h, w), normalised, on the model's device.

        Returns:
            uint8 (B, 1 + 4 (T - 1), 8 h, 8 w, 3) RGB, rounded down.
        """
        scaled = latents.float() * self._std + self._mean
        return pixels(self.model.decode(scaled.to(self.model.dtype)).sample)


def load_tower(folder: Path, size: Size, dtype: torch.dtype, device: torch.device | str) -> ImageTower:
    """Load SigLIP2's image tower from a folder of its files.

    Raises:
        UserError: a file is missing, damaged, or belongs to another model.
    """
    files = SIGLIP2.weights(folder, "weights")
    tensors = tower_tensors(read_tensors(files))
    return _placed(load_file_weights(_empty_tower(size), tensors, files[0], "SigLIP2's image tower", dtype, device))


def random_tower(
    size: Size, seed: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> ImageTower:
    """An image tower with random weights, for tests and measurements without downloads."""
    return _placed(random_weights(_empty_tower(size), seed, dtype, device))


def load_vae(folder: Path, size: Size, dtype: torch.dtype, device: torch.device | str) -> SampledVideoVAE:
    """Load Wan2.1's VAE from a folder in the layout of diffusers.

    Raises:
        UserError: a file is missing, damaged, or belongs to another model.
    """
    files = WAN21.weights(folder, "vae")
    model = load_file_weights(_empty_vae(size), read_tensors(files), files[0], "Wan2.1's VAE", dtype, device)
    return SampledVideoVAE(model)


def random_vae(
    size: Size, seed: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> SampledVideoVAE:
    """A VAE with random weights, for tests and measurements without downloads."""
    return SampledVideoVAE(random_weights(_empty_vae(size), seed, dtype, device))


def _empty_tower(size: Size) -> SiglipVisionModel:
    settings: dict[str, Any] = dict(TOWER_SIZES[size])
    with torch.device("meta"):
        return SiglipVisionModel(SiglipVisionConfig(**settings, vision_use_head=False))


def _placed(model: SiglipVisionModel) -> ImageTower:
    """The tower with the positions of its patches, which are in no file and have no content on the meta device."""
    embeddings = model.embeddings
    embeddings.position_ids = torch.arange(embeddings.num_positions, device=model.device).unsqueeze(0)
    return ImageTower(model)


def _empty_vae(size: Size) -> AutoencoderKLWan:
    """The VAE of diffusers' default settings, which are those of Wan2.1."""
    with torch.device("meta"):
        return AutoencoderKLWan(base_dim=VAE_WIDTHS[size])
