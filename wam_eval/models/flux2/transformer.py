"""FLUX.2's transformer over texts and images, and its narrow form over actions, as layers of a mixture of transformers.

Text and images have weights of their own in the double blocks and share them in the single blocks. All layers of a kind
share one modulation by time. Source: the FLUX.2 repository of Black Forest Labs, and ImageWAM (arXiv 2606.19531) for
the action expert. The names of parameters are those of the published files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

from wam_eval.models.nn.flow import unit_sinusoid
from wam_eval.models.nn.transformer import KeyValue, Projection, Rotation, rms_normalise, rotate, typed

EPS = 1e-6
"""Added to variances and mean squares."""


@dataclass(frozen=True)
class Flux2Sizes:
    """Sizes of a transformer. The defaults are those of FLUX.2 klein 4B.

    Attributes:
        dim: width of the tokens.
        heads, head_dim: attention heads and their width; together wider than ``dim`` in an action expert.
        double, single: numbers of double and single blocks.
        mlp_ratio: width of the gated MLPs, as a multiple of ``dim``.
        text_dim: width of the text embeddings.
        channels: channels of a token of an image.
        time_dim: width of the sinusoidal embedding of time.
        axes: channels of a head that each position axis rotates: time, row, column, place in the text.
        theta: base of the rotary frequencies.
    """

    dim: int = 3072
    heads: int = 24
    head_dim: int = 128
    double: int = 5
    single: int = 20
    mlp_ratio: float = 3.0
    text_dim: int = 7680
    channels: int = 128
    time_dim: int = 256
    axes: tuple[int, ...] = (32, 32, 32, 32)
    theta: float = 2000.0

    @property
    def attention_dim(self) -> int:
        """Width of queries, keys and values of all heads."""
        return self.heads * self.head_dim

    @property
    def mlp_dim(self) -> int:
        """Width of the MLPs after gating."""
        return round(self.dim * self.mlp_ratio)


class Condition(NamedTuple):
    """Inputs of a layer besides its tokens.

    Attributes:
        modulation: shift, scale and gate of the layer, each (B, 1, dim); in a double block first those of the
            attention, then those of the MLP.
        rotation: positions of the tokens.
    """

    modulation: Sequence[Tensor]
    rotation: Rotation


class ScaleNorm(nn.Module):
    """Root-mean-square normalisation whose weight is named ``scale``; see :func:`rms_normalise`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (…, dim)."""
        return rms_normalise(x, self.scale, EPS)


class HeadNorm(nn.Module):
    """Normalisation of the queries and keys of each head."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.query_norm = ScaleNorm(head_dim)
        self.key_norm = ScaleNorm(head_dim)

    def split(self, joined: Tensor, heads: int, rotation: Rotation) -> tuple[Tensor, KeyValue]:
        """Normalised and rotated queries and keys, and values, from a joint projection (B, S, 3 * heads * d)."""
        query, key, value = joined.chunk(3, dim=-1)
        query = self.query_norm(query.unflatten(-1, (heads, -1))).flatten(-2)
        key = self.key_norm(key.unflatten(-1, (heads, -1))).flatten(-2)
        return rotate(query, rotation, heads), KeyValue(rotate(key, rotation, heads), value)


class Attention(nn.Module):
    """Projections of one stream of a double block."""

    def __init__(self, sizes: Flux2Sizes) -> None:
        super().__init__()
        self.qkv = nn.Linear(sizes.dim, 3 * sizes.attention_dim, bias=False)
        self.norm = HeadNorm(sizes.head_dim)
        self.proj = nn.Linear(sizes.attention_dim, sizes.dim, bias=False)


class GatedSiLU(nn.Module):
    """Halves the last dimension: ``silu(first half) * second half``."""

    def forward(self, x: Tensor) -> Tensor:
        """Gate (…, 2 d); the result is (…, d)."""
        gate, value = x.chunk(2, dim=-1)
        return silu(gate) * value


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer normalisation without weights, then scale and shift by time, each (B, 1, dim)."""
    return (1 + scale) * layer_norm(x, x.shape[-1:], eps=EPS) + shift


class StreamBlock:
    """One stream of a double block, as a :class:`wam_eval.models.nn.transformer.Block`. It owns no weights.

    Args:
        heads: number of attention heads.
        attention, mlp: modules of the stream.
    """

    def __init__(self, heads: int, attention: Attention, mlp: nn.Module) -> None:
        self.heads = heads
        self._attention = attention
        self._mlp = mlp

    def project(self, x: Tensor, condition: Condition) -> Projection:
        """Queries, keys and values; see :class:`wam_eval.models.nn.transformer.Block`."""
        shift, scale, *rest = condition.modulation
        joined = self._attention.qkv(modulated(x, shift, scale))
        query, own = self._attention.norm.split(joined, self.heads, condition.rotation)
        return Projection(query, own, rest)

    def finish(self, x: Tensor, attended: Tensor, rest: Sequence[Tensor]) -> Tensor:
        """The output of the block."""
        gate, mlp_shift, mlp_scale, mlp_gate = rest
        x = x + gate * self._attention.proj(attended)
        return x + mlp_gate * self._mlp(modulated(x, mlp_shift, mlp_scale))


class DoubleBlock(nn.Module):
    """A layer with weights for each stream.

    Args:
        sizes: sizes of the transformer.
        text: False in an action expert, which has a single stream.

    Attributes:
        streams: the block of each stream, ``img`` and ``txt``.
    """

    def __init__(self, sizes: Flux2Sizes, text: bool) -> None:
        super().__init__()
        self.streams: dict[str, StreamBlock] = {}
        for name in ("img", "txt") if text else ("img",):
            attention, mlp = Attention(sizes), _mlp(sizes)
            self.add_module(f"{name}_attn", attention)
            self.add_module(f"{name}_mlp", mlp)
            self.streams[name] = StreamBlock(sizes.heads, attention, mlp)


class SingleBlock(nn.Module):
    """A layer that computes attention and MLP side by side, for all tokens with the same weights."""

    def __init__(self, sizes: Flux2Sizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self._widths = [3 * sizes.attention_dim, 2 * sizes.mlp_dim]
        self.linear1 = nn.Linear(sizes.dim, sum(self._widths), bias=False)
        self.linear2 = nn.Linear(sizes.attention_dim + sizes.mlp_dim, sizes.dim, bias=False)
        self.norm = HeadNorm(sizes.head_dim)
        self._gate = GatedSiLU()

    def project(self, x: Tensor, condition: Condition) -> Projection:
        """Queries, keys and values; see :class:`wam_eval.models.nn.transformer.Block`."""
        shift, scale, gate = condition.modulation
        joined, hidden = self.linear1(modulated(x, shift, scale)).split(self._widths, dim=-1)
        query, own = self.norm.split(joined, self.heads, condition.rotation)
        return Projection(query, own, (hidden, gate))

    def finish(self, x: Tensor, attended: Tensor, rest: tuple[Tensor, Tensor]) -> Tensor:
        """The output of the block."""
        hidden, gate = rest
        return x + gate * self.linear2(torch.cat((attended, self._gate(hidden)), dim=-1))


class TimeEmbedding(nn.Module):
    """Embedding of a time between 0 (data) and 1 (noise)."""

    def __init__(self, sizes: Flux2Sizes) -> None:
        super().__init__()
        self._width = sizes.time_dim
        self.in_layer = nn.Linear(sizes.time_dim, sizes.dim, bias=False)
        self.out_layer = nn.Linear(sizes.dim, sizes.dim, bias=False)

    def forward(self, time: Tensor) -> Tensor:
        """Embed times (N,) as (N, dim)."""
        embedded: Tensor = self.out_layer(silu(self.in_layer(unit_sinusoid(self._width, time))))
        return embedded


class Modulation(nn.Module):
    """Shifts, scales and gates from the embedded time; FLUX.2 has one for all layers of a kind."""

    def __init__(self, dim: int, parts: int, bias: bool = False) -> None:
        super().__init__()
        self._parts = parts
        self.lin = nn.Linear(dim, parts * dim, bias)

    def forward(self, embedded: Tensor) -> Sequence[Tensor]:
        """``parts`` tensors (N, 1, dim)."""
        return self.lin(silu(embedded)).unsqueeze(1).chunk(self._parts, dim=-1)


class Head(nn.Module):
    """The last layer: normalisation modulated by time, then a projection."""

    def __init__(self, dim: int, outputs: int, bias: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, outputs, bias)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 2 * dim, bias))

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        """Project tokens (B, S, dim) at the embedded time (N, dim), N being 1 or B."""
        shift, scale = self.adaLN_modulation(embedded).unsqueeze(1).chunk(2, dim=-1)
        projected: Tensor = self.linear(modulated(x, shift, scale))
        return projected


class ImageTransformer(nn.Module):
    """FLUX.2's transformer over a text, reference images and the image that is generated."""

    def __init__(self, sizes: Flux2Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.img_in = nn.Linear(sizes.channels, sizes.dim, bias=False)
        self.time_in = TimeEmbedding(sizes)
        self.txt_in = nn.Linear(sizes.text_dim, sizes.dim, bias=False)
        self.double_blocks = nn.ModuleList(DoubleBlock(sizes, text=True) for _ in range(sizes.double))
        self.single_blocks = nn.ModuleList(SingleBlock(sizes) for _ in range(sizes.single))
        self.double_stream_modulation_img = Modulation(sizes.dim, 6)
        self.double_stream_modulation_txt = Modulation(sizes.dim, 6)
        self.single_stream_modulation = Modulation(sizes.dim, 3)
        self.final_layer = Head(sizes.dim, sizes.channels)

    @property
    def joint_layers(self) -> list[tuple[StreamBlock, StreamBlock]]:
        """Double blocks, each as a block of texts and one of images."""
        return [(block.streams["txt"], block.streams["img"]) for block in typed(self.double_blocks, DoubleBlock)]

    @property
    def shared_layers(self) -> list[SingleBlock]:
        """Single blocks."""
        return typed(self.single_blocks, SingleBlock)


class ActionTransformer(nn.Module):
    """The transformer over actions, one token per action. It attends to the keys and values of an image transformer.

    Args:
        sizes: heads, numbers of blocks and rotary embedding equal those of the image transformer.
        action_dim: numbers of an action.
    """

    def __init__(self, sizes: Flux2Sizes, action_dim: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.action_encoder = nn.Linear(action_dim, sizes.dim)
        self.time_in = TimeEmbedding(sizes)
        self.double_stream_modulation_img = Modulation(sizes.dim, 6)
        self.single_stream_modulation = Modulation(sizes.dim, 3)
        self.double_blocks = nn.ModuleList(DoubleBlock(sizes, text=False) for _ in range(sizes.double))
        self.single_blocks = nn.ModuleList(SingleBlock(sizes) for _ in range(sizes.single))
        self.head = Head(sizes.dim, action_dim)

    @property
    def layers(self) -> list[StreamBlock | SingleBlock]:
        """All blocks in order."""
        double = [block.streams["img"] for block in typed(self.double_blocks, DoubleBlock)]
        return [*double, *typed(self.single_blocks, SingleBlock)]


def text_positions(count: int, dtype: torch.dtype) -> Tensor:
    """Positions (count, 4) of the tokens of a text: their place in it, on the last axis."""
    positions = torch.zeros(count, 4, dtype=dtype)
    positions[:, 3] = torch.arange(count, dtype=dtype)
    return positions


def image_positions(time: float, height: int, width: int, dtype: torch.dtype) -> Tensor:
    """Positions (height * width, 4) of the tokens of an image: its time, row, column, 0."""
    positions = torch.zeros(height, width, 4, dtype=dtype)
    positions[..., 0] = time
    positions[..., 1] = torch.arange(height, dtype=dtype).unsqueeze(1)
    positions[..., 2] = torch.arange(width, dtype=dtype)
    return positions.flatten(0, 1)


def action_positions(count: int, dtype: torch.dtype) -> Tensor:
    """Positions (count, 4) of actions: time 2, and their number in the place of the row."""
    return image_positions(2.0, count, 1, dtype)


def rotation_at(positions: Tensor, sizes: Flux2Sizes) -> Rotation:
    """The rotary embedding at some positions, as the official implementation computes it: in their dtype.

    In bfloat16, frequencies, positions, angles, sines and cosines are all rounded: positions 0 to 512 take 385 values.
    The published checkpoints were trained with these roundings.

    Args:
        positions: (S, axes).
        sizes: of the transformer.

    Returns:
        float32, for S tokens.
    """
    parts = []
    for position, share in zip(positions.unbind(-1), sizes.axes, strict=True):
        exponents = torch.arange(0, share, 2, dtype=positions.dtype, device=positions.device) / share
        parts.append(position.unsqueeze(-1) * (1.0 / sizes.theta**exponents))
    angles = torch.cat(parts, dim=-1).unsqueeze(1)
    return Rotation(angles.cos().float(), angles.sin().float())


def _mlp(sizes: Flux2Sizes) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(sizes.dim, 2 * sizes.mlp_dim, bias=False),
        GatedSiLU(),
        nn.Linear(sizes.mlp_dim, sizes.dim, bias=False),
    )
