"""The reactive expert of HarmoWAM (arXiv 2605.10942): the action that leads to a predicted frame, from that frame.

The paper states its inputs, and a multi-scale convolutional decoder in the manner of AnyPos. The layers of the decoder
are our choice: parallel dilated convolutions, and averages over cells that keep the place of what is seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, gelu

from wam_eval.models.harmowam.config import HarmoWAMConfig

KERNEL = 3
"""Side of the convolutions' kernels."""
GRIDS = 2
"""Grids of tokens of a frame: patches of DINOv2, and features of the world model."""

Grid = tuple[int, int]
"""Rows and columns of tokens."""


class MultiScaleLayer(nn.Module):
    """Convolutions of several dilations side by side, and a residual connection around them.

    Args:
        dim: channels.
        dilations: of the convolutions.
    """

    def __init__(self, dim: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, dim)
        self.scales = nn.ModuleList(
            nn.Conv2d(dim, dim, KERNEL, padding=dilation, dilation=dilation) for dilation in dilations
        )
        self.mix = nn.Conv2d(len(dilations) * dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Channels (B, dim, H, W) to channels of the same shape."""
        y = self.norm(x)
        scales = torch.cat([scale(y) for scale in self.scales], dim=1)
        mixed: Tensor = x + self.mix(gelu(scales))
        return mixed


class ReactiveExpert(nn.Module):
    """The decoder. Both grids of tokens of a frame pass through the same convolutions.

    At full size with 7 numbers of an action it has 6,231,303 parameters.

    Args:
        config: sizes of the model.
    """

    def __init__(self, config: HarmoWAMConfig) -> None:
        super().__init__()
        dim = config.decoder_dim
        self._cells = config.cells
        self._frame_dim = config.frame_dim
        self.encoder = nn.Linear(config.frame_dim, dim)
        self.layers = nn.ModuleList(MultiScaleLayer(dim, config.dilations) for _ in range(config.decoder_layers))
        self.hidden = nn.Linear(GRIDS * config.cells**2 * dim, dim)
        self.head = nn.Linear(dim, config.action_dim)

    def tokens(self, patches: Tensor, features: Tensor) -> Tensor:
        """Tokens of frames: patches, then the features, averaged over groups of adjacent channels.

        Args:
            patches: tokens of DINOv2 (B, P, frame_dim).
            features: of the world model (B, S, world.dim).

        Returns:
            (B, P + S, frame_dim).
        """
        pooled = features.unflatten(-1, (self._frame_dim, -1)).mean(dim=-1)
        return torch.cat([patches, pooled], dim=1)

    def forward(self, tokens: Tensor, grids: tuple[Grid, Grid]) -> Tensor:
        """Actions (B, action_dim) of tokens (B, P + S, frame_dim), given the grids of the P and of the S tokens."""
        encoded = self.encoder(tokens)
        parts = encoded.split([rows * columns for rows, columns in grids], dim=1)
        summaries = [self._summary(part, grid) for part, grid in zip(parts, grids, strict=True)]
        action: Tensor = self.head(gelu(self.hidden(torch.cat(summaries, dim=1))))
        return action

    def _summary(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Averages over cells, (B, dim * cells²), after all layers."""
        x = tokens.transpose(1, 2).unflatten(2, grid)
        for layer in self.layers:
            x = layer(x)
        return adaptive_avg_pool2d(x, self._cells).flatten(1)
