"""Ovis-U1's transformer (Yak) over texts and images, and its form over actions, as layers of a mixture of transformers.

It descends from FLUX.1: double blocks with weights for text and for images, then single blocks with shared weights. In
a double block images have a second attention, from images to images only. A few layers of its own refine the text
first. Source: the code that is published with Ovis-U1 (arXiv 2506.23044), and ImageWAM (arXiv 2606.19531) for the
action expert. The names of parameters are those of the published files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad, silu

from wam_eval.models.flux2.transformer import Head, HeadNorm, Modulation, modulated
from wam_eval.models.nn.flow import unit_sinusoid
from wam_eval.models.nn.transformer import KeyValue, Projection, Rotation, attend

EPS = 1e-6
"""Added to variances."""
REFINERS = 2
"""Layers that refine the text. They have twice as many heads as the others."""
JOINT, OWN = slice(0, 6), slice(6, 9)
"""Modulations of images in a double block: of the joint attention and the MLP, and of the attention among images."""


@dataclass(frozen=True)
class YakSizes:
    """Sizes of a transformer. The defaults are those of Ovis-U1.

    Attributes:
        dim: width of the tokens.
        heads: attention heads; all of them together are as wide as a token.
        double, single: numbers of double and single blocks.
        mlp_ratio: width of the MLPs, as a multiple of ``dim``.
        text_dim: width of the text embeddings.
        channels: channels of a token of an image.
        frequencies: width of the sinusoidal embedding of time.
        axes: channels of a head that each position axis rotates: time, row, column.
    """

    dim: int = 1536
    heads: int = 12
    double: int = 6
    single: int = 12
    mlp_ratio: int = 4
    text_dim: int = 4096
    channels: int = 16
    frequencies: int = 256
    axes: tuple[int, ...] = (16, 56, 56)

    @property
    def head_dim(self) -> int:
        """Width of a head."""
        return self.dim // self.heads

    @property
    def mlp_dim(self) -> int:
        """Width of the MLPs."""
        return self.dim * self.mlp_ratio


class Condition(NamedTuple):
    """Inputs of a layer besides its tokens.

    Attributes:
        modulation: shift, scale and gate of the layer, each (B, 1, dim); in a joint attention first those of the
            attention, then those of the MLP.
        rotation: positions of the tokens.
        added: gated result of the attention among images (B, S, dim), for their joint attention.
    """

    modulation: Sequence[Tensor]
    rotation: Rotation
    added: Tensor | None = None


class Attention(nn.Module):
    """Projections of an attention of one stream of a double block."""

    def __init__(self, sizes: YakSizes) -> None:
        super().__init__()
        self.qkv = nn.Linear(sizes.dim, 3 * sizes.dim)
        self.norm = HeadNorm(sizes.head_dim)
        self.proj = nn.Linear(sizes.dim, sizes.dim)


class JointBlock:
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
        shift, scale, *gates = condition.modulation
        joined = self._attention.qkv(modulated(x, shift, scale))
        query, own = self._attention.norm.split(joined, self.heads, condition.rotation)
        return Projection(query, own, (gates, condition.added))

    def finish(self, x: Tensor, attended: Tensor, rest: tuple[Sequence[Tensor], Tensor | None]) -> Tensor:
        """The output of the block."""
        (gate, mlp_shift, mlp_scale, mlp_gate), added = rest
        x = x + gate * self._attention.proj(attended)
        if added is not None:
            x = x + added
        return x + mlp_gate * self._mlp(modulated(x, mlp_shift, mlp_scale))


class OwnBlock:
    """The attention of a double block among images, as a :class:`wam_eval.models.nn.transformer.Block`.

    It is computed before the joint attention from the same tokens. Its output is no new tokens but what the joint block
    adds to them, :attr:`Condition.added`. It owns no weights.

    Args:
        heads: number of attention heads.
        attention: its module.
    """

    def __init__(self, heads: int, attention: Attention) -> None:
        self.heads = heads
        self._attention = attention

    def project(self, x: Tensor, condition: Condition) -> Projection:
        """Queries, keys and values; see :class:`wam_eval.models.nn.transformer.Block`."""
        shift, scale, gate = condition.modulation
        joined = self._attention.qkv(modulated(x, shift, scale))
        return Projection(*self._attention.norm.split(joined, self.heads, condition.rotation), gate)

    def finish(self, x: Tensor, attended: Tensor, rest: Tensor) -> Tensor:
        """The part that is added to the tokens."""
        del x
        added: Tensor = rest * self._attention.proj(attended)
        return added


class DoubleBlock(nn.Module):
    """A layer with weights for text and for images. An action expert has both as well, and runs actions as images.

    Attributes:
        text, image: joint attention of the streams.
        own: attention among images.
    """

    def __init__(self, sizes: YakSizes) -> None:
        super().__init__()
        self.img_mod = Modulation(sizes.dim, 9, bias=True)
        self.img_attn = Attention(sizes)
        self.img_self_attn = Attention(sizes)
        self.img_mlp = _mlp(sizes)
        self.txt_mod = Modulation(sizes.dim, 6, bias=True)
        self.txt_attn = Attention(sizes)
        self.txt_mlp = _mlp(sizes)
        self.text = JointBlock(sizes.heads, self.txt_attn, self.txt_mlp)
        self.image = JointBlock(sizes.heads, self.img_attn, self.img_mlp)
        self.own = OwnBlock(sizes.heads, self.img_self_attn)


class SingleBlock(nn.Module):
    """A layer that computes attention and MLP side by side, for all tokens with the same weights."""

    def __init__(self, sizes: YakSizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self._widths = [3 * sizes.dim, sizes.mlp_dim]
        self.linear1 = nn.Linear(sizes.dim, sum(self._widths))
        self.linear2 = nn.Linear(sizes.dim + sizes.mlp_dim, sizes.dim)
        self.norm = HeadNorm(sizes.head_dim)
        self.modulation = Modulation(sizes.dim, 3, bias=True)

    def project(self, x: Tensor, condition: Condition) -> Projection:
        """Queries, keys and values; see :class:`wam_eval.models.nn.transformer.Block`."""
        shift, scale, gate = condition.modulation
        joined, hidden = self.linear1(modulated(x, shift, scale)).split(self._widths, dim=-1)
        query, own = self.norm.split(joined, self.heads, condition.rotation)
        return Projection(query, own, (hidden, gate))

    def finish(self, x: Tensor, attended: Tensor, rest: tuple[Tensor, Tensor]) -> Tensor:
        """The output of the block."""
        hidden, gate = rest
        return x + gate * self.linear2(torch.cat((attended, gelu(hidden, approximate="tanh")), dim=-1))


class Embedding(nn.Module):
    """Two layers that embed the time or the summary of a text."""

    def __init__(self, inputs: int, dim: int) -> None:
        super().__init__()
        self._inputs = inputs
        self.in_layer = nn.Linear(inputs, dim)
        self.out_layer = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Embed (N, inputs) as (N, dim)."""
        embedded: Tensor = self.out_layer(silu(self.in_layer(x)))
        return embedded

    def of_time(self, time: Tensor) -> Tensor:
        """Embed times (N,) from 0 (data) to 1 (noise) as (N, dim)."""
        embedded: Tensor = self(unit_sinusoid(self._inputs, time))
        return embedded


class RefinerMLP(nn.Module):
    """The MLP of a refining layer."""

    def __init__(self, sizes: YakSizes) -> None:
        super().__init__()
        self.fc1 = nn.Linear(sizes.dim, sizes.mlp_dim)
        self.fc2 = nn.Linear(sizes.mlp_dim, sizes.dim)

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens (B, S, dim)."""
        transformed: Tensor = self.fc2(silu(self.fc1(x)))
        return transformed


class RefinerBlock(nn.Module):
    """A layer that refines a text, with gates by the mean of its embeddings."""

    def __init__(self, sizes: YakSizes) -> None:
        super().__init__()
        self._heads = 2 * sizes.heads
        self.norm1 = nn.LayerNorm(sizes.dim, eps=EPS)
        self.self_attn_qkv = nn.Linear(sizes.dim, 3 * sizes.dim)
        self.self_attn_proj = nn.Linear(sizes.dim, sizes.dim)
        self.norm2 = nn.LayerNorm(sizes.dim, eps=EPS)
        self.mlp = RefinerMLP(sizes)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(sizes.dim, 2 * sizes.dim))

    def forward(self, x: Tensor, mean: Tensor, mask: Tensor | None) -> Tensor:
        """Refine tokens (B, S, dim), given the embedded mean (B, dim)."""
        gate, mlp_gate = self.adaLN_modulation(mean).unsqueeze(1).chunk(2, dim=-1)
        query, key, value = self.self_attn_qkv(self.norm1(x)).chunk(3, dim=-1)
        x = x + self.self_attn_proj(attend(query, KeyValue(key, value), self._heads, mask)) * gate
        return x + self.mlp(self.norm2(x)) * mlp_gate


class MeanEmbedding(nn.Module):
    """Two layers that embed the mean of a text's embeddings."""

    def __init__(self, sizes: YakSizes) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(sizes.text_dim, sizes.dim)
        self.linear_2 = nn.Linear(sizes.dim, sizes.dim)

    def forward(self, x: Tensor) -> Tensor:
        """Embed (N, text_dim) as (N, dim)."""
        embedded: Tensor = self.linear_2(silu(self.linear_1(x)))
        return embedded


class Refiner(nn.Module):
    """The layers that refine a text, and the token that summarises it."""

    def __init__(self, sizes: YakSizes) -> None:
        super().__init__()
        self.input_embedder = nn.Linear(sizes.text_dim, sizes.dim)
        self.c_embedder = MeanEmbedding(sizes)
        self.individual_token_refiner = nn.ModuleDict(
            {"blocks": nn.ModuleList(RefinerBlock(sizes) for _ in range(REFINERS))}
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, sizes.dim))

    def forward(self, text: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Refine texts (B, L, text_dim).

        Args:
            text: embeddings.
            valid: bool (B, L), False at padding; ``None`` without padding.

        Returns:
            (B, L, dim), and the summary (B, dim).
        """
        if valid is None:
            mean, mask = text.mean(dim=1), None
        else:
            weights = valid.unsqueeze(-1).to(text.dtype)
            mean = (text * weights).sum(dim=1) / weights.sum(dim=1)
            mask = pad(valid, (1, 0), value=True)[:, None, None].expand(-1, -1, valid.shape[1] + 1, -1)
        x = torch.cat([self.cls_token.expand(len(text), -1, -1), self.input_embedder(text)], dim=1)
        embedded = self.c_embedder(mean)
        blocks = self.individual_token_refiner["blocks"]
        assert isinstance(blocks, nn.ModuleList)
        for block in blocks:
            x = block(x, embedded, mask)
        return x[:, 1:], x[:, 0]


class ImageTransformer(nn.Module):
    """Ovis-U1's transformer over a text, an observed image and the image that is generated."""

    def __init__(self, sizes: YakSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.img_in = nn.Linear(sizes.channels, sizes.dim)
        self.time_in = Embedding(sizes.frequencies, sizes.dim)
        self.vector_in = Embedding(sizes.dim, sizes.dim)
        self.txt_in = Refiner(sizes)
        self.double_blocks = nn.ModuleList(DoubleBlock(sizes) for _ in range(sizes.double))
        self.single_blocks = nn.ModuleList(SingleBlock(sizes) for _ in range(sizes.single))
        self.final_layer = Head(sizes.dim, sizes.channels, bias=True)


class ActionTransformer(nn.Module):
    """The transformer over actions, one token per action. It attends to the keys and values of an image transformer.

    Args:
        sizes: as those of the image transformer.
        action_dim: numbers of an action.
    """

    def __init__(self, sizes: YakSizes, action_dim: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.action_encoder = nn.Linear(action_dim, sizes.dim)
        self.time_in = Embedding(sizes.frequencies, sizes.dim)
        self.double_blocks = nn.ModuleList(DoubleBlock(sizes) for _ in range(sizes.double))
        self.single_blocks = nn.ModuleList(SingleBlock(sizes) for _ in range(sizes.single))
        self.head = Head(sizes.dim, action_dim, bias=True)


def _mlp(sizes: YakSizes) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(sizes.dim, sizes.mlp_dim), nn.GELU(approximate="tanh"), nn.Linear(sizes.mlp_dim, sizes.dim)
    )
