"""Ovis-U1's view of an image: AIMv2 for pictures of any size, and its visual words.

transformers' AIMv2 has a fixed number of positions and no rotary embedding, so that its weights would not fit. Source:
AIMv2 (arXiv 2411.14402), and the code that is published with Ovis-U1 (arXiv 2506.23044). The names of parameters are
those of the published files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention, silu

from wam_eval.models.nn.transformer import THETA, RMSNorm

PATCH = 14
"""Pixels along each side of a patch."""
MERGED = 2
"""Patches along each side of a visual word."""
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Normalisation of the colours."""
INDICATORS = 4
"""Last words of the visual vocabulary, which no image has. The first two of the last five are put around an image."""
EPS = 1e-5
"""Added to mean squares."""


@dataclass(frozen=True)
class ViewSizes:
    """Sizes of the visual part. The defaults are those of Ovis-U1.

    Attributes:
        dim: width of the patches.
        layers, heads: numbers of layers, and of heads of each.
        mlp_dim: width of the gated MLPs.
        positions: patches along each side of the grid of learned positions, which is stretched over an image.
        words: size of the visual vocabulary.
        pixels: smallest and largest number of pixels of an image; others are scaled.
    """

    dim: int = 1024
    layers: int = 24
    heads: int = 8
    mlp_dim: int = 2816
    positions: int = 32
    words: int = 65_536
    pixels: tuple[int, int] = (200_704, 2_408_448)


class Patches(nn.Module):
    """The first projection of patches."""

    def __init__(self, sizes: ViewSizes) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, sizes.dim, kernel_size=PATCH, stride=PATCH)
        self.norm = RMSNorm(sizes.dim, EPS)


class Preprocessor(nn.Module):
    """Patches with their learned positions."""

    def __init__(self, sizes: ViewSizes) -> None:
        super().__init__()
        self._positions = sizes.positions
        self.patchifier = Patches(sizes)
        self.pos_embed = nn.Parameter(torch.zeros(1, sizes.positions**2, sizes.dim))

    def forward(self, images: Tensor) -> Tensor:
        """Patches (B, h * w, dim) of images (B, 3, 14 h, 14 w), row by row."""
        projected = self.patchifier.proj(images)
        learned = self.pos_embed.unflatten(1, (self._positions, self._positions)).permute(0, 3, 1, 2)
        stretched = interpolate(learned, size=projected.shape[2:], mode="bicubic", align_corners=False)
        patches: Tensor = self.patchifier.norm(projected.flatten(2).transpose(1, 2))
        return patches + stretched.flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Attention of patches to all patches of the same image."""

    def __init__(self, sizes: ViewSizes) -> None:
        super().__init__()
        self._heads = sizes.heads
        self.qkv = nn.Linear(sizes.dim, 3 * sizes.dim, bias=False)
        self.proj = nn.Linear(sizes.dim, sizes.dim, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Attend, given the rotation (S, d / 2) of the channels."""
        heads = (part.unflatten(-1, (self._heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        query, key, value = heads
        attended = scaled_dot_product_attention(_turned(query, cos, sin), _turned(key, cos, sin), value)
        result: Tensor = self.proj(attended.transpose(1, 2).flatten(2))
        return result


class GatedMLP(nn.Module):
    """The gated MLP."""

    def __init__(self, sizes: ViewSizes) -> None:
        super().__init__()
        self.fc1 = nn.Linear(sizes.dim, sizes.mlp_dim, bias=False)
        self.fc2 = nn.Linear(sizes.mlp_dim, sizes.dim, bias=False)
        self.fc3 = nn.Linear(sizes.dim, sizes.mlp_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform patches (B, S, dim)."""
        transformed: Tensor = self.fc2(silu(self.fc1(x)) * self.fc3(x))
        return transformed


class ViewBlock(nn.Module):
    """A layer."""

    def __init__(self, sizes: ViewSizes) -> None:
        super().__init__()
        self.attn = Attention(sizes)
        self.norm_1 = RMSNorm(sizes.dim, EPS)
        self.mlp = GatedMLP(sizes)
        self.norm_2 = RMSNorm(sizes.dim, EPS)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Transform patches (B, S, dim)."""
        x = x + self.attn(self.norm_1(x), cos, sin)
        transformed: Tensor = x + self.mlp(self.norm_2(x))
        return transformed


class Trunk(nn.Module):
    """The layers. Ovis-U1 uses their output without the last normalisation, which is in its files."""

    def __init__(self, sizes: ViewSizes) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ViewBlock(sizes) for _ in range(sizes.layers))
        self.post_trunk_norm = RMSNorm(sizes.dim, EPS)


class AIMv2(nn.Module):
    """The image encoder."""

    def __init__(self, sizes: ViewSizes) -> None:
        super().__init__()
        self._head_dim = sizes.dim // sizes.heads
        self.preprocessor = Preprocessor(sizes)
        self.trunk = Trunk(sizes)

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, h * w, dim) of images (B, 3, 14 h, 14 w), row by row."""
        x = self.preprocessor(images)
        height, width = images.shape[2] // PATCH, images.shape[3] // PATCH
        angles = patch_angles(height, width, self._head_dim, x.dtype, x.device)
        cos, sin = angles.cos().float(), angles.sin().float()
        for block in self.trunk.blocks:
            x = block(x, cos, sin)
        return x


class VisualTokenizer(nn.Module):
    """The image encoder, and the probability of each visual word at each place."""

    def __init__(self, sizes: ViewSizes) -> None:
        super().__init__()
        self._sizes = sizes
        words = sizes.words - INDICATORS
        self.backbone = AIMv2(sizes)
        self.head = nn.Sequential(nn.Linear(sizes.dim * MERGED**2, words, bias=False), nn.LayerNorm(words))

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities of visual words.

        Args:
            images: (B, 3, H, W) in -1..1.

        Returns:
            (B, N, words), row by row, without those of the indicators.
        """
        prepared = prepared_images(images, self._sizes).to(self.backbone.preprocessor.pos_embed.dtype)
        height, width = prepared.shape[2] // PATCH, prepared.shape[3] // PATCH
        features = self.backbone(prepared)
        places = features.unflatten(1, (height // MERGED, MERGED, width // MERGED, MERGED)).transpose(2, 3)
        merged = places.flatten(3).flatten(1, 2)
        return torch.softmax(self.head(merged), dim=-1, dtype=torch.float32).to(merged.dtype)


def prepared_images(images: Tensor, sizes: ViewSizes) -> Tensor:
    """Images in -1..1 scaled to a whole number of visual words and with normalised colours; float32 (B, 3, H, W)."""
    colours = ((images.float() + 1.0) * 0.5).clamp(0, 1)
    size = scaled_size(images.shape[2], images.shape[3], sizes.pixels)
    scaled = interpolate(colours, size=size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
    mean, deviation = (scaled.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    return (scaled - mean) / deviation


def scaled_size(height: int, width: int, pixels: tuple[int, int]) -> tuple[int, int]:
    """The nearest size in whole visual words whose number of pixels is within limits.

    Args:
        height, width: of an image, each at least that of a visual word.
        pixels: smallest and largest number of pixels.
    """
    unit, (smallest, largest) = PATCH * MERGED, pixels
    size = round(height / unit) * unit, round(width / unit) * unit
    if size[0] * size[1] > largest:
        shrink = math.sqrt(height * width / largest)
        return math.floor(height / shrink / unit) * unit, math.floor(width / shrink / unit) * unit
    if size[0] * size[1] < smallest:
        stretch = math.sqrt(smallest / (height * width))
        return math.ceil(height * stretch / unit) * unit, math.ceil(width * stretch / unit) * unit
    return size


def patch_angles(height: int, width: int, head_dim: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Angles (height * width, head_dim / 2) of patches, half of them by row and half by column.

    As in the official code, which converts the frequencies with the weights, they are computed in ``dtype``: in
    bfloat16, frequencies and angles are rounded.
    """
    half = head_dim // 2
    frequencies = 1.0 / (THETA ** (torch.arange(0, half, 2, dtype=torch.float32, device=device) / half))
    places = torch.arange(max(height, width), dtype=dtype, device=device)
    angles = torch.outer(places, frequencies.to(dtype))
    rows = angles[:height, None].expand(-1, width, -1)
    columns = angles[None, :width].expand(height, -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate queries or keys (B, heads, S, d), in which a channel of the first half pairs with one of the second."""
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)
