"""Attention weights of chosen queries to chosen keys, which the fused kernels of inference never hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from wam_eval.models.nn.transformer import Block, KeyValue, gather, layer


class AttentionRecorder:
    """Computes layers, and records how much the last stream attends to some tokens of the prefilled one.

    Args:
        keys: positions of these tokens.
        prefilled: number of prefilled tokens, if layers with another number are not to be recorded.
    """

    def __init__(self, keys: slice, prefilled: int | None = None) -> None:
        self._keys = keys
        self._prefilled = prefilled
        self._recorded: list[Tensor] = []

    def __call__(
        self,
        blocks: Sequence[Block],
        tokens: Sequence[Tensor],
        conditions: Sequence[Any],
        past: KeyValue | None,
        mask: Tensor | None,
    ) -> tuple[list[Tensor], KeyValue]:
        """The layer; see :func:`wam_eval.models.nn.transformer.layer`."""
        if past is not None and self._prefilled in (None, past.key.shape[1]):
            projections, _, keys = gather(blocks, tokens, conditions, past, mask)
            query = projections[-1].query
            own = None if mask is None else mask[..., -query.shape[1] :, :]
            weights = attention_weights(query, keys.key, blocks[0].heads, own)
            self._recorded.append(weights[..., self._keys].mean(dim=(1, 2)))
        return layer(blocks, tokens, conditions, past, mask)

    def mean(self) -> Tensor:
        """Attention weights float32 (B, keys): means over all calls, heads and queries."""
        return torch.stack(self._recorded).mean(dim=0)


def attention_weights(query: Tensor, key: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """Softmax weights float32 (B, heads, Q, K), with which values are added.

    Args:
        query, key, heads, mask: as of :func:`wam_eval.models.nn.transformer.attend`.
    """
    width = query.shape[-1] // heads
    queries, keys = (x.float().unflatten(-1, (-1, width)).transpose(1, 2) for x in (query, key))
    keys = keys.repeat_interleave(heads // keys.shape[1], dim=1)
    scores = queries @ keys.transpose(-1, -2) * width**-0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1)
