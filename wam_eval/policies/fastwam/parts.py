"""The encoders beside a Fast-WAM model: Wan2.2's own, or random ones where no weights are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from wam_eval.policies.fastwam.prompts import Prompts, cache_folder
from wam_eval.policies.fastwam.text import load_text_encoder, random_text_encoder, text_encoder_digest
from wam_eval.policies.fastwam.vae import ImageEncoder, load_image_encoder, random_image_encoder
from wam_eval.policies.fastwam.wan import find_wan


@dataclass(frozen=True)
class Parts:
    """How to come by image and text encoder.

    Attributes:
        wan: folder of Wan2.2's weights, searched for if ``None``.
        random: random weights instead, in encoders of this size (``full``, ``tiny``).
        dtype, device: of both.
    """

    wan: str | None
    random: str | None
    dtype: torch.dtype
    device: torch.device

    def image_encoder(self) -> ImageEncoder:
        """Load it. Raises :class:`UserError` where its weights are missing."""
        if self.random is not None:
            return random_image_encoder(self.random, 0, self.dtype, self.device)
        return load_image_encoder(find_wan(self.wan, ("vae",)), self.dtype, self.device)

    def prompts(self) -> Prompts:
        """Prompts, with an encoder that is loaded when it is needed. Raises :class:`UserError` where it is missing."""
        if self.random is not None:
            open_random = partial(random_text_encoder, self.random, 0, self.dtype, self.device)
            return Prompts(open_random, f"random {self.random}", None)
        folder = find_wan(self.wan, ("text_encoder", "tokenizer"))
        open_encoder = partial(load_text_encoder, folder, self.dtype, self.device)
        return Prompts(open_encoder, text_encoder_digest(folder, self.dtype), cache_folder())
