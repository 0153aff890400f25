"""Encoders of HarmoWAM: DINOv2, SigLIP2's image tower, Wan2.2's VAE and text encoder, from files or of random weights.

Source: arXiv 2605.10942, which names DINOv2-base and SigLIP. The preprocessing of frames is our choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from transformers import Dinov2Config, Dinov2Model

from wam_eval.models.files import files_digest, renamed
from wam_eval.models.harmowam.config import Size
from wam_eval.models.harmowam.files import DINOV2, DINOV2_RULES
from wam_eval.models.harmowam.reactive import Grid
from wam_eval.models.mvwam.encoders import ImageTower, load_tower, random_tower
from wam_eval.models.mvwam.files import SIGLIP2
from wam_eval.models.prompt_cache import PromptCache
from wam_eval.models.wan.encoders import VideoVAE, WanEncoders
from wam_eval.models.weights import load_file_weights, random_weights, read_tensors

LENGTH = 512
"""Tokens of an instruction with its padding, which is zero and not masked, as in Wan2.2."""

COLOUR_MEAN = (0.485, 0.456, 0.406)
COLOUR_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of the colours of ImageNet, by which DINOv2's images are normalised."""

DINOV2_SIZES: Mapping[Size, Mapping[str, int]] = {
    "full": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 518},
    "tiny": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 42},
}
"""Sizes of DINOv2-base, and of a tiny one with nine patches."""
PATCH = 14
"""Pixels along each side of a patch of DINOv2."""


@dataclass(frozen=True)
class HarmoWAMEncoders:
    """Source of all encoders.

    Attributes:
        wan: folder of Wan2.2 (:data:`wam_eval.models.wan.files.WAN`); ``None`` for random weights.
        siglip2: folder of SigLIP2 (:data:`wam_eval.models.mvwam.files.SIGLIP2`); ``None`` for random weights.
        dinov2: folder of DINOv2 (:data:`wam_eval.models.harmowam.files.DINOV2`); ``None`` for random weights.
        size: of the encoders. Those of the published files are ``full``.
        dtype, device: of all encoders.
    """

    wan: Path | None
    siglip2: Path | None
    dinov2: Path | None
    size: Size
    dtype: torch.dtype
    device: torch.device

    def vae(self) -> VideoVAE:
        """Load the VAE. Raises :class:`UserError` if its file is damaged."""
        return self._wan_encoders().vae()

    def tower(self) -> ImageTower:
        """Load SigLIP2's image tower. Raises :class:`UserError` if its file is damaged."""
        if self.siglip2 is None:
            return random_tower(self.size, 0, self.dtype, self.device)
        return load_tower(self.siglip2, self.size, self.dtype, self.device)

    def frame_encoder(self) -> FrameEncoder:
        """Load DINOv2. Raises :class:`UserError` if its file is damaged."""
        if self.dinov2 is None:
            return random_frame_encoder(self.size, 0, self.dtype, self.device)
        return load_frame_encoder(self.dinov2, self.size, self.dtype, self.device)

    def image_digest(self) -> str:
        """Digest of the weights of VAE, SigLIP2 and DINOv2, for a run's record."""
        towers = ((SIGLIP2, self.siglip2), (DINOV2, self.dinov2))
        digests = [files_digest(model.weights(folder, "weights")) for model, folder in towers if folder]
        return " ".join([self._wan_encoders().vae_digest(), *digests])

    def prompt_cache(self) -> PromptCache:
        """A cache of the instructions' embeddings, which loads the text encoder only if one is new."""
        return self._wan_encoders().prompt_cache()

    def _wan_encoders(self) -> WanEncoders:
        return WanEncoders(self.wan or self.size, self.dtype, self.device, LENGTH)


class FrameEncoder:
    """DINOv2, which gives a token for each patch of a predicted frame.

    Attributes:
        model: DINOv2.
        grid: rows and columns of the patches.
    """

    def __init__(self, model: Dinov2Model) -> None:
        self.model = model
        self._side: int = model.config.image_size
        self.grid: Grid = (self._side // PATCH, self._side // PATCH)

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """Tokens of frames, which are stretched to a square.

        The filter is DINOv2's own; numbers beyond the range of colours are clamped.

        Args:
            frames: (B, 3, H, W) in -1..1, of any floating-point dtype, on the model's device.

        Returns:
            (B, N, width), N = 1369 and width = 768 in the full size: the states after the last normalisation without
            the one of the class, in the model's dtype.
        """
        precise = frames.to(torch.promote_types(frames.dtype, torch.float32))
        square = interpolate((precise + 1) / 2, (self._side, self._side), mode="bicubic", antialias=True).clamp(0, 1)
        channels = [
            (channel - mean) / std for channel, mean, std in zip(square.unbind(1), COLOUR_MEAN, COLOUR_STD, strict=True)
        ]
        states: Tensor = self.model(torch.stack(channels, dim=1).to(self.model.dtype)).last_hidden_state
        return states[:, 1:]


def load_frame_encoder(folder: Path, size: Size, dtype: torch.dtype, device: torch.device | str) -> FrameEncoder:
    """Load DINOv2 from a folder of its files.

    Raises:
        UserError: a file is missing, damaged, or belongs to another model.
    """
    files = DINOV2.weights(folder, "weights")
    tensors = {renamed(name, DINOV2_RULES): tensor for name, tensor in read_tensors(files).items()}
    return FrameEncoder(load_file_weights(_empty(size), tensors, files[0], "DINOv2", dtype, device))


def random_frame_encoder(
    size: Size, seed: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> FrameEncoder:
    """DINOv2 with random weights, for tests and measurements without downloads."""
    return FrameEncoder(random_weights(_empty(size), seed, dtype, device))


def _empty(size: Size) -> Dinov2Model:
    settings: dict[str, Any] = dict(DINOV2_SIZES[size])
    with torch.device("meta"):
        return Dinov2Model(Dinov2Config(**settings, patch_size=PATCH))
