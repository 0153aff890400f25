"""The transformer of Wan2.1 and Wan2.2 (arXiv 2503.20314), with parameters named as in Wan's own checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wam_eval.models.nn.flow import TRAIN_TIMESTEPS, sinusoid
from wam_eval.models.nn.transformer import KeyValue, Projection, RMSNorm, Rotation, attend, grid_rotation, rotate, typed


@dataclass(frozen=True)
class WanSizes:
    """Sizes of a transformer of Wan's architecture; the defaults are those of Wan2.2-TI2V-5B.

    Attributes:
        dim: width of the tokens.
        ffn_dim: width inside the feed-forward layers.
        layers: number of layers.
        heads, head_dim: of all attentions. Their product may differ from ``dim``.
        text_dim: width of the text embeddings.
        time_dim: width of the sinusoidal embedding of time.
        eps: of all normalisations.
        cross_norm: True if tokens are normalised before the cross-attention, as in Wan.
    """

    dim: int = 3072
    ffn_dim: int = 14336
    layers: int = 30
    heads: int = 24
    head_dim: int = 128
    text_dim: int = 4096
    time_dim: int = 256
    eps: float = 1e-6
    cross_norm: bool = True


class Attention(nn.Module):
    """Projections of an attention. Queries and keys are normalised over all heads together.

    Args:
        sizes: sizes of the transformer.
    """

    def __init__(self, sizes: WanSizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        width = sizes.heads * sizes.head_dim
        self.q = nn.Linear(sizes.dim, width)
        self.k = nn.Linear(sizes.dim, width)
        self.v = nn.Linear(sizes.dim, width)
        self.o = nn.Linear(width, sizes.dim)
        self.norm_q = RMSNorm(width, sizes.eps)
        self.norm_k = RMSNorm(width, sizes.eps)

    def query(self, x: Tensor, rotation: Rotation | None = None) -> Tensor:
        """Queries (B, S, heads * d) of tokens (B, S, dim), rotated if a rotation is given."""
        query = self.norm_q(self.q(x))
        return query if rotation is None else rotate(query, rotation, self.heads)

    def keys_values(self, x: Tensor, rotation: Rotation | None = None) -> KeyValue:
        """Keys and values of tokens (B, S, dim); the keys are rotated if a rotation is given."""
        key = self.norm_k(self.k(x))
        return KeyValue(key if rotation is None else rotate(key, rotation, self.heads), self.v(x))


class Modulation(NamedTuple):
    """Shift, scale and gate of a layer's attention and of its feed-forward part, which depend on time.

    Attributes: each (B, G, dim). G is the number of tokens, or 1 if all tokens have the same time.
    """

    attention_shift: Tensor
    attention_scale: Tensor
    attention_gate: Tensor
    mlp_shift: Tensor
    mlp_scale: Tensor
    mlp_gate: Tensor


class Condition(NamedTuple):
    """Inputs of a layer besides the tokens.

    Attributes:
        time: projected time (B or 1, G, 6, dim); G is the number of tokens, or 1.
        rotation: of the tokens.
        text: keys and values of the text for the cross-attention; padded positions take part like any other.
    """

    time: Tensor
    rotation: Rotation
    text: KeyValue


class WanBlock(nn.Module):
    """A layer: self-attention, cross-attention to the text, and a feed-forward part, all modulated by time.

    It implements :class:`wam_eval.models.nn.transformer.Block`.
    """

    def __init__(self, sizes: WanSizes) -> None:
        super().__init__()
        dim = sizes.dim
        self.self_attn = Attention(sizes)
        self.cross_attn = Attention(sizes)
        self.norm1 = nn.LayerNorm(dim, eps=sizes.eps, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(dim, eps=sizes.eps, elementwise_affine=False)
        self.norm3 = nn.LayerNorm(dim, eps=sizes.eps) if sizes.cross_norm else nn.Identity()
        self.ffn = nn.Sequential(
            nn.Linear(dim, sizes.ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(sizes.ffn_dim, dim)
        )
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    @property
    def heads(self) -> int:
        """Number of heads of the self-attention."""
        return self.self_attn.heads

    def project(self, x: Tensor, condition: Condition) -> Projection:
        """Queries, keys and values of tokens (B, S, dim)."""
        modulation = Modulation(*(self.modulation + condition.time).unbind(2))
        x = self.norm1(x) * (1 + modulation.attention_scale) + modulation.attention_shift
        query = self.self_attn.query(x, condition.rotation)
        own = self.self_attn.keys_values(x, condition.rotation)
        return Projection(query, own, (modulation, condition.text))

    def finish(self, x: Tensor, attended: Tensor, rest: tuple[Modulation, KeyValue]) -> Tensor:
        """The output (B, S, dim) for the result of the self-attention (B, S, heads * d)."""
        modulation, text = rest
        x = x + modulation.attention_gate * self.self_attn.o(attended)
        x = x + self.cross_attn.o(attend(self.cross_attn.query(self.norm3(x)), text, self.cross_attn.heads))
        return x + modulation.mlp_gate * self.ffn(self.norm2(x) * (1 + modulation.mlp_scale) + modulation.mlp_shift)


class WanTransformer(nn.Module):
    """Embeddings of text and time, and the layers. Subclasses add the embedding of their tokens and the output.

    Args:
        sizes: sizes of the transformer.
    """

    def __init__(self, sizes: WanSizes) -> None:
        super().__init__()
        self.sizes = sizes
        dim = sizes.dim
        self.text_embedding = nn.Sequential(
            nn.Linear(sizes.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(nn.Linear(sizes.time_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, dim * 6))
        self.blocks = nn.ModuleList(WanBlock(sizes) for _ in range(sizes.layers))

    @property
    def layers(self) -> list[WanBlock]:
        """The blocks, with their type."""
        return typed(self.blocks, WanBlock)

    def text(self, context: Tensor) -> list[KeyValue]:
        """Keys and values of the text for each layer. They do not depend on the denoising step.

        Args:
            context: text embeddings (B, L, text_dim).
        """
        embedded = self.text_embedding(context)
        return [block.cross_attn.keys_values(embedded) for block in self.layers]

    def time(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Embed timesteps (G,). Their dtype is that of the sinusoid, which is then rounded to the model's.

        Returns:
            The embedding (1, G, dim), and its projection for the layers (1, G, 6, dim).
        """
        waves = sinusoid(self.sizes.time_dim, timesteps)
        embedded = self.time_embedding(waves.to(self.layers[0].modulation.dtype))
        return embedded.unsqueeze(0), self.time_projection(embedded).unflatten(1, (6, -1)).unsqueeze(0)

    def row_time(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Embed times (B,) from 0 to 1, one for each row of a batch, as training draws them.

        Returns:
            The embedding (B, 1, dim), and its projection for the layers (B, 1, 6, dim).
        """
        embedded, projected = self.time(times * TRAIN_TIMESTEPS)
        return embedded.transpose(0, 1), projected.transpose(0, 1)


class WanVideoTransformer(WanTransformer):
    """The transformer over video latents: WanModel of Wan2.1 and Wan2.2.

    Args:
        sizes: sizes of the transformer.
        channels: channels of the input: those of the latents, and of a condition beside them if there is one.
        patch: latents along the height and along the width that form a token.
        outputs: channels of the output, if there are fewer than in the input.
    """

    def __init__(self, sizes: WanSizes, channels: int, patch: int, outputs: int | None = None) -> None:
        super().__init__(sizes)
        self.patch = patch
        shape = (1, patch, patch)
        self.patch_embedding = nn.Conv3d(channels, sizes.dim, kernel_size=shape, stride=shape)
        self.head = VideoHead(sizes, outputs or channels, patch)

    def tokens(self, latents: Tensor) -> Tensor:
        """Tokens (B, T * H/patch * W/patch, dim) of latents (B, C, T, H, W), frame by frame and row by row."""
        return self.patch_embedding(latents).flatten(2).transpose(1, 2)

    def grid(self, latents: Tensor) -> torch.Size:
        """Frames, rows and columns of the tokens of latents (B, C, T, H, W)."""
        return torch.Size((latents.shape[2], latents.shape[3] // self.patch, latents.shape[4] // self.patch))


class VideoHead(nn.Module):
    """The output layer from tokens to latents: a modulated normalisation and a linear map."""

    def __init__(self, sizes: WanSizes, channels: int, patch: int) -> None:
        super().__init__()
        self._patch = patch
        self.norm = nn.LayerNorm(sizes.dim, eps=sizes.eps, elementwise_affine=False)
        self.head = nn.Linear(sizes.dim, channels * patch**2)
        self.modulation = nn.Parameter(torch.randn(1, 2, sizes.dim) / sizes.dim**0.5)

    def forward(self, x: Tensor, time: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """The velocity of the latents.

        Args:
            x: tokens (B, S, dim).
            time: embedded time (1, G, dim); G is S, or 1.
            grid: frames, rows and columns of the tokens.

        Returns:
            (B, C, T, H, W).
        """
        shift, scale = (self.modulation + time.unsqueeze(2)).unbind(2)
        x = self.head(self.norm(x) * (1 + scale) + shift)
        x = x.unflatten(1, grid).unflatten(-1, (self._patch, self._patch, -1))  # B, T, h, w, p, q, C
        return x.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)


def video_rotation(head_dim: int, frames: int, height: int, width: int) -> Rotation:
    """The rotary embedding of a video's tokens, frame by frame and row by row.

    Rows and columns get a third of a head's pairs of channels each, rounded down; frames get the rest.

    Raises:
        ValueError: ``head_dim`` is odd.
    """
    side = 2 * (head_dim // 6)
    return grid_rotation((head_dim - 2 * side, side, side), (frames, height, width))
