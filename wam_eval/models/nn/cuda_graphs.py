"""CUDA graphs: a function of tensors recorded once and replayed without Python code and kernel launches.

On a CPU the function itself is called on the same static tensors. This is not faster, but it tests everything that can
go wrong with static tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from wam_eval.models.stages import Watch, unwatched

StagedFunction = Callable[[Sequence[Tensor], Watch], Sequence[Tensor]]
"""A function that does all its work inside stages. The first dimension of every tensor is the batch."""


class GraphedFunction:
    """A staged function, recorded as one CUDA graph per stage, once for each shape of its inputs.

    Few shapes should occur: see :class:`wam_eval.models.batches.Batches`.

    Args:
        function: depends only on its inputs and on tensors that never change.
    """

    def __init__(self, function: StagedFunction) -> None:
        self._function = function
        self._recordings: dict[tuple[torch.Size, ...], _Recording] = {}

    def __call__(self, inputs: Sequence[Tensor], watch: Watch = unwatched) -> list[Tensor]:
        """Results of the function, copied, so that a later call does not change them."""
        shapes = tuple(x.shape for x in inputs)
        if shapes not in self._recordings:
            with watch("record"):
                self._recordings[shapes] = _Recording(self._function, inputs)
        return [x.clone() for x in self._recordings[shapes].replay(inputs, watch)]


@lru_cache(maxsize=1)
def _memory_pool() -> Any:
    """The memory pool of all recordings. They can share it because they run one at a time and results are copied."""
    return torch.cuda.graph_pool_handle()


class _Recording:
    """Static inputs and outputs for one shape, and the graphs between them."""

    WARM_UP = 3  # Calls before the recording, in which compilers and libraries choose their kernels.

    def __init__(self, function: StagedFunction, inputs: Sequence[Tensor]) -> None:
        self._function = function
        self._inputs = [x.clone() for x in inputs]
        self._graphs: list[tuple[str, torch.cuda.CUDAGraph]] = []
        self._outputs: Sequence[Tensor] = ()
        if inputs[0].is_cuda:
            self._record()

    def replay(self, inputs: Sequence[Tensor], watch: Watch) -> Sequence[Tensor]:
        """The static outputs for new inputs."""
        for static, given in zip(self._inputs, inputs, strict=True):
            static.copy_(given)
        if not self._graphs:
            return self._function(self._inputs, watch)
        for stage, graph in self._graphs:
            with watch(stage):
                graph.replay()
        return self._outputs

    def _record(self) -> None:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(self.WARM_UP):
                self._function(self._inputs, unwatched)
        torch.cuda.current_stream().wait_stream(side)
        pool = _memory_pool()

        @contextmanager
        def recorded(stage: str) -> Iterator[None]:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                yield
            self._graphs.append((stage, graph))

        self._outputs = self._function(self._inputs, recorded)
