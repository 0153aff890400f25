"""OmniGen2's transformer over texts and images, and its narrow form over actions, as layers of a mixture.

Texts, observed images and the generated image first pass refining layers of their own; then all tokens share the same
layers. Source: the OmniGen2 repository (arXiv 2506.18871), and ImageWAM (arXiv 2606.19531) for the action expert. The
names of parameters are those of the published files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, rms_norm, silu

from wam_eval.models.nn.transformer import KeyValue, Projection, RMSNorm, Rotation, rotate

EPS = 1e-5
"""Added to mean squares."""
THETA = 10_000.0
"""Base of the rotary frequencies."""
INDICES = 5
"""Embeddings that tell several observed images apart; this package uses the first."""


@dataclass(frozen=True)
class OmniGen2Sizes:
    """Sizes of a transformer. The defaults are those of OmniGen2.

    Attributes:
        dim: width of the tokens.
        layers, refiners: numbers of shared layers, and of refining layers of each kind.
        heads, groups, head_dim: heads of the queries, heads of keys and values, and their width.
        text_dim: width of the text embeddings.
        channels: channels of a token of an image.
        frequencies: width of the sinusoidal embedding of time.
        time_scale: factor of the timestep in that embedding.
        axes: channels of a head that each position axis rotates: place in the sequence, row, column.
    """

    dim: int = 2520
    layers: int = 32
    refiners: int = 2
    heads: int = 21
    groups: int = 7
    head_dim: int = 120
    text_dim: int = 2048
    channels: int = 64
    frequencies: int = 256
    time_scale: float = 1000.0
    axes: tuple[int, ...] = (40, 40, 40)

    @property
    def time_dim(self) -> int:
        """Width of the embedded time."""
        return min(self.dim, 1024)

    @property
    def mlp_dim(self) -> int:
        """Width of the gated MLPs: four times that of the tokens, rounded up to a multiple of 256."""
        return 256 * math.ceil(4 * self.dim / 256)


class Condition(NamedTuple):
    """Inputs of a layer besides its tokens.

    Attributes:
        time: the embedded time (N, time_dim), N being 1 or B; ``None`` for layers that do not depend on it.
        rotation: positions of the tokens.
    """

    time: Tensor | None
    rotation: Rotation


class FusedNorm(nn.Module):
    """Root-mean-square normalisation that is rounded only after its weight, as OmniGen2 computes it between layers."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (…, dim)."""
        return rms_norm(x, x.shape[-1:], self.weight, EPS)


class TimedNorm(nn.Module):
    """Normalisation before the attention, with the scales and gates of a layer by time."""

    def __init__(self, sizes: OmniGen2Sizes) -> None:
        super().__init__()
        self.linear = nn.Linear(sizes.time_dim, 4 * sizes.dim)
        self.norm = FusedNorm(sizes.dim)


class Attention(nn.Module):
    """Projections of the attention, with fewer heads for keys and values than for queries."""

    def __init__(self, sizes: OmniGen2Sizes) -> None:
        super().__init__()
        self.heads, self.groups = sizes.heads, sizes.groups
        own, shared = sizes.heads * sizes.head_dim, sizes.groups * sizes.head_dim
        self.to_q = nn.Linear(sizes.dim, own, bias=False)
        self.to_k = nn.Linear(sizes.dim, shared, bias=False)
        self.to_v = nn.Linear(sizes.dim, shared, bias=False)
        self.norm_q = RMSNorm(sizes.head_dim, EPS)
        self.norm_k = RMSNorm(sizes.head_dim, EPS)
        self.to_out = nn.ModuleList([nn.Linear(own, sizes.dim, bias=False)])

    def project(self, x: Tensor, rotation: Rotation) -> tuple[Tensor, KeyValue]:
        """Queries, keys and values of tokens (B, S, dim)."""
        query = self.norm_q(self.to_q(x).unflatten(-1, (self.heads, -1))).flatten(-2)
        key = self.norm_k(self.to_k(x).unflatten(-1, (self.groups, -1))).flatten(-2)
        return rotate(query, rotation, self.heads), KeyValue(rotate(key, rotation, self.groups), self.to_v(x))


class FeedForward(nn.Module):
    """The gated MLP."""

    def __init__(self, sizes: OmniGen2Sizes) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(sizes.dim, sizes.mlp_dim, bias=False)
        self.linear_2 = nn.Linear(sizes.mlp_dim, sizes.dim, bias=False)
        self.linear_3 = nn.Linear(sizes.dim, sizes.mlp_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens (B, S, dim)."""
        gate, value = self.linear_1(x), self.linear_3(x)
        transformed: Tensor = self.linear_2(silu(gate.float()).to(gate.dtype) * value)
        return transformed


class OmniGen2Block(nn.Module):
    """A layer; see :class:`wam_eval.models.nn.transformer.Block`.

    Args:
        sizes: sizes of the transformer.
        timed: True if its normalisations depend on the time.
    """

    def __init__(self, sizes: OmniGen2Sizes, timed: bool) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.attn = Attention(sizes)
        self.feed_forward = FeedForward(sizes)
        self.norm1 = TimedNorm(sizes) if timed else FusedNorm(sizes.dim)
        self.ffn_norm1 = FusedNorm(sizes.dim)
        self.norm2 = FusedNorm(sizes.dim)
        self.ffn_norm2 = FusedNorm(sizes.dim)

    def project(self, x: Tensor, condition: Condition) -> Projection:
        """Queries, keys and values."""
        gates: Sequence[Tensor] = ()
        if isinstance(self.norm1, TimedNorm):
            assert condition.time is not None
            scale, *gates = self.norm1.linear(silu(condition.time)).unsqueeze(1).chunk(4, dim=-1)
            x = self.norm1.norm(x) * (1 + scale)
        else:
            x = self.norm1(x)
        return Projection(*self.attn.project(x, condition.rotation), gates)

    def finish(self, x: Tensor, attended: Tensor, rest: Sequence[Tensor]) -> Tensor:
        """The output of the layer."""
        attended = self.norm2(self.attn.to_out[0](attended))
        if not rest:
            x = x + attended
            return x + self.ffn_norm2(self.feed_forward(self.ffn_norm1(x)))
        gate, mlp_scale, mlp_gate = rest
        x = x + gate.tanh() * attended
        return x + mlp_gate.tanh() * self.ffn_norm2(self.feed_forward(self.ffn_norm1(x) * (1 + mlp_scale)))


class TimestepEmbedding(nn.Module):
    """Two layers after the sinusoidal embedding of time."""

    def __init__(self, sizes: OmniGen2Sizes) -> None:
        super().__init__()
        self._sizes = sizes
        self.linear_1 = nn.Linear(sizes.frequencies, sizes.time_dim)
        self.linear_2 = nn.Linear(sizes.time_dim, sizes.time_dim)

    def forward(self, timestep: Tensor) -> Tensor:
        """Embed timesteps (N,) as (N, time_dim). The sinusoid is computed in float32."""
        half = self._sizes.frequencies // 2
        exponents = -math.log(10_000.0) * torch.arange(half, dtype=torch.float32, device=timestep.device) / half
        angles = self._sizes.time_scale * (timestep[:, None].float() * exponents.exp())
        waves = torch.cat([angles.cos(), angles.sin()], dim=1).to(timestep.dtype)
        embedded: Tensor = self.linear_2(silu(self.linear_1(waves)))
        return embedded


class TimeAndCaption(nn.Module):
    """Embeddings of the time and of the text."""

    def __init__(self, sizes: OmniGen2Sizes) -> None:
        super().__init__()
        self.timestep_embedder = TimestepEmbedding(sizes)
        self.caption_embedder = nn.Sequential(FusedNorm(sizes.text_dim), nn.Linear(sizes.text_dim, sizes.dim))


class Head(nn.Module):
    """The last layer: normalisation scaled by time, then a projection."""

    def __init__(self, sizes: OmniGen2Sizes, outputs: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(sizes.time_dim, sizes.dim)
        self.linear_2 = nn.Linear(sizes.dim, outputs)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Project tokens (B, S, dim) at the embedded time (N, time_dim), N being 1 or B."""
        scale = self.linear_1(silu(time)).unsqueeze(1)
        projected: Tensor = self.linear_2(layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale))
        return projected


class ImageTransformer(nn.Module):
    """OmniGen2's transformer."""

    def __init__(self, sizes: OmniGen2Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.x_embedder = nn.Linear(sizes.channels, sizes.dim)
        self.ref_image_patch_embedder = nn.Linear(sizes.channels, sizes.dim)
        self.time_caption_embed = TimeAndCaption(sizes)
        self.noise_refiner = _blocks(sizes, sizes.refiners, timed=True)
        self.ref_image_refiner = _blocks(sizes, sizes.refiners, timed=True)
        self.context_refiner = _blocks(sizes, sizes.refiners, timed=False)
        self.layers = _blocks(sizes, sizes.layers, timed=True)
        self.norm_out = Head(sizes, sizes.channels)
        self.image_index_embedding = nn.Parameter(torch.zeros(INDICES, sizes.dim))


class ActionTransformer(nn.Module):
    """The transformer over actions, one token per action.

    Args:
        sizes: layers and heads equal those of the image transformer.
        action_dim: numbers of an action.
    """

    def __init__(self, sizes: OmniGen2Sizes, action_dim: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.action_encoder = nn.Linear(action_dim, sizes.dim)
        self.timestep_embedder = TimestepEmbedding(sizes)
        self.blocks = _blocks(sizes, sizes.layers, timed=True)
        self.head = Head(sizes, action_dim)


def rotation_at(positions: Tensor, axes: Sequence[int]) -> Rotation:
    """The rotary embedding at some positions, in double precision.

    Args:
        positions: whole numbers (…, S, number of axes).
        axes: channels of a head that each axis rotates.

    Returns:
        float64 (…, S, 1, sum of axes / 2).
    """
    parts = []
    for position, share in zip(positions.unbind(-1), axes, strict=True):
        exponents = torch.arange(0, share, 2, dtype=torch.float64, device=positions.device) / share
        parts.append(position.double().unsqueeze(-1) * (1.0 / THETA**exponents))
    angles = torch.cat(parts, dim=-1).unsqueeze(-2)
    return Rotation(angles.cos(), angles.sin())


def _blocks(sizes: OmniGen2Sizes, count: int, timed: bool) -> nn.ModuleList:
    return nn.ModuleList(OmniGen2Block(sizes, timed) for _ in range(count))
