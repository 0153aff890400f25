"""Encoders of small models: principal components of image patches, and learned embeddings of words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wam_eval.models.autoencoder import pixels

PATCH = 8
"""Height and width of the patches in pixels."""


class PatchCodec(nn.Module):
    """A linear image codec: each patch of 8 x 8 pixels is projected onto principal components of the training images.

    A component is divided by the geometric mean of its own standard deviation and of the one over all components, so
    that the latents have a variance of about 1, in which strong components still count more than weak ones.

    Args:
        components: number of principal components, the channels of the latents.
    """

    def __init__(self, components: int) -> None:
        super().__init__()
        numbers = 3 * PATCH * PATCH
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("basis", torch.zeros(components, numbers))
        self.register_buffer("scale", torch.ones(components))

    mean: Tensor
    basis: Tensor
    scale: Tensor

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Compute the components.

        Args:
            images: (N, 3, H, W) in -1..1.
        """
        patches = self._patches(images).flatten(0, 2).double()
        mean = patches.mean(dim=0)
        covariance = torch.cov((patches - mean).T)
        values, vectors = torch.linalg.eigh(covariance)
        count = len(self.basis)
        basis = vectors[:, -count:].flip(1).T
        signs = torch.sign(basis.gather(1, basis.abs().argmax(dim=1, keepdim=True)))
        deviations = values[-count:].flip(0).clamp_min(1e-8).sqrt()
        self.mean.copy_(mean)
        self.basis.copy_(basis * signs)
        self.scale.copy_((deviations * deviations.square().mean().sqrt()).sqrt())

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Latents (B, C, 1, H/8, W/8) of images (B, 3, H, W) in -1..1."""
        projected = (self._patches(images) - self.mean) @ self.basis.T / self.scale
        return projected.permute(0, 3, 1, 2).unsqueeze(2)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> NDArray[np.uint8]:
        """Frames uint8 (B, T, H, W, 3) of latents (B, C, T, H/8, W/8)."""
        return pixels(self.decoded(latents))

    @torch.no_grad()
    def decoded(self, latents: Tensor) -> Tensor:
        """Frames (B, 3, T, H, W) of latents (B, C, T, H/8, W/8), in about -1..1."""
        patches = latents.permute(0, 2, 3, 4, 1) * self.scale @ self.basis + self.mean
        return patches.unflatten(-1, (3, PATCH, PATCH)).permute(0, 4, 1, 2, 5, 3, 6).flatten(5, 6).flatten(3, 4)

    @staticmethod
    def _patches(images: Tensor) -> Tensor:
        """(B, H/8, W/8, 192)."""
        rows = images.unflatten(3, (-1, PATCH)).unflatten(2, (-1, PATCH))  # B, 3, h, 8, w, 8
        return rows.permute(0, 2, 4, 1, 3, 5).flatten(3)


def image_tokens(latents: Tensor) -> Tensor:
    """Tokens (B, N, 4 C), row by row, of latents (B, C, 1, h, w); each is made of 2 x 2 of them."""
    squares = latents.squeeze(2).unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # B, C, h/2, 2, w/2, 2
    return squares.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def image_latents(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """The inverse of :func:`image_tokens`, for tokens on a grid of rows and columns."""
    squares = tokens.unflatten(1, grid).unflatten(-1, (-1, 2, 2))  # B, h/2, w/2, C, 2, 2
    return squares.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3).unsqueeze(2)


def words_of(text: str) -> list[str]:
    """The words of an instruction, in lower case, without punctuation."""
    return re.findall(r"[a-z0-9]+", text.lower())


class Words(nn.Module):
    """Learned embeddings of words. Unknown words share one embedding.

    Args:
        vocabulary: known words.
        dim: width of the embeddings.
    """

    def __init__(self, vocabulary: Sequence[str], dim: int) -> None:
        super().__init__()
        self.vocabulary = tuple(vocabulary)
        self._numbers = {word: number for number, word in enumerate(self.vocabulary, start=1)}
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, dim)

    @staticmethod
    def vocabulary_of(texts: Iterable[str]) -> list[str]:
        """The words that occur in some texts, in alphabetical order."""
        return sorted({word for text in texts for word in words_of(text)})

    def numbers(self, text: str) -> list[int]:
        """Numbers of the words of a text, at least one; 0 for an unknown word."""
        return [self._numbers.get(word, 0) for word in words_of(text)] or [0]

    def forward(self, text: str) -> Tensor:
        """Embeddings (n, dim) of the words of a text."""
        embedded: Tensor = self.embedding(torch.tensor(self.numbers(text), device=self.embedding.weight.device))
        return embedded

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> list[Tensor]:
        """See :class:`wam_eval.models.prompt_cache.TextEncoder`."""
        return [self(prompt).cpu() for prompt in prompts]
