"""Successive optimisations of a model's inference: compiled layers, then CUDA graphs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch._dynamo

from wam_eval.models.nn.cuda_graphs import GraphedFunction, StagedFunction
from wam_eval.models.nn.transformer import Layer, layer
from wam_eval.policy import Acceleration

RECOMPILE_LIMIT = 64
"""Compiled forms of a layer, one for each shape and kind of block."""


@dataclass(frozen=True)
class Accelerator:
    """Replacements by which an acceleration makes a model faster.

    Results differ from those without acceleration at most in the last bits, because a compiler may add in another
    order.

    Attributes:
        prefix: computes the layers that run once for each observation, and those of an imagined video or image.
        actions: computes the layers that run in each denoising step of the actions.
        graphs: True if stages are replayed as CUDA graphs.
    """

    prefix: Layer = layer
    actions: Layer = layer
    graphs: bool = False

    @classmethod
    def of(cls, acceleration: Acceleration) -> Accelerator:
        """The replacements of an acceleration, which include those of the ones before it."""
        if acceleration == "none":
            return cls()
        compiled = _compiled_layer()
        return cls(
            prefix=layer if acceleration == "actions" else compiled,
            actions=compiled,
            graphs=acceleration == "graphs",
        )

    def recorded(self, function: StagedFunction) -> StagedFunction:
        """A function as CUDA graphs, or the function itself."""
        return GraphedFunction(function) if self.graphs else function


def _compiled_layer() -> Layer:
    # Each batch size and kind of layer is compiled separately. Beyond the limit PyTorch stops compiling without an
    # error. Only newer versions take the limit as an argument of `torch.compile`.
    torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
    compiled: Layer = torch.compile(layer, dynamic=False, fullgraph=True, options={"emulate_precision_casts": True})
    return compiled
