"""Memory of the full model in bfloat16, measured by following all tensors of an answer on the meta device."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from wam_eval.models.mvwam.encoders import random_tower, random_vae
from wam_eval.models.mvwam.model import MVWAM, MVWAMConfig
from wam_eval.models.mvwam.sampling import Inputs, Mode, Sampler
from wam_eval.models.nn.transformer import layer
from wam_eval.models.stages import parameter_count, unwatched
from wam_eval.models.weights import random_weights

BF16, ROWS = torch.bfloat16, 4
"""The number of rows is the default on a GPU."""


class LargestMemory(TorchDispatchMode):
    """Follows the memory of all tensors on the meta device from their creation until nothing refers to them.

    Attributes:
        largest: bytes of the tensors that were in memory at the same time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0
        self._present = 0
        self._followed: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] = {}
    ) -> Any:
        result = func(*args, **kwargs)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.is_meta:
                self._follow(leaf.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        name, size = storage._cdata, storage.nbytes()
        if name in self._followed:
            return
        self._followed.add(name)
        self._present += size
        self.largest = max(self.largest, self._present)
        weakref.finalize(storage, self._forget, name, size)

    def _forget(self, name: int, size: int) -> None:
        self._followed.discard(name)
        self._present -= size


def test_memory_is_followed_until_it_is_free() -> None:
    with LargestMemory() as memory:
        first = torch.zeros(1000, device="meta")
        second = first + 1
        view = second[:10]
        del first
        third = second * 2
        del second, third
        assert (memory.largest, memory._present) == (8000, 4000)
        del view
        assert memory._present == 0


def empty(*shape: int, dtype: torch.dtype = BF16) -> Tensor:
    return torch.empty(*shape, dtype=dtype, device="meta")


@pytest.mark.parametrize(
    "mode", ["joint", *(pytest.param(mode, marks=pytest.mark.slow) for mode in get_args(Mode)[1:])]
)
def test_the_full_model_needs_less_than_12_gigabytes(mode: Mode) -> None:
    """Weights and tensors of an answer to four observations, and the decoding of one video, without the text encoder.

    Memory of kernels is not included.
    """
    with torch.device("meta"):
        network = MVWAM(MVWAMConfig.of_size("full"))
    model = random_weights(network, 0, BF16, "meta")
    tower, vae = random_tower("full", 0, BF16, "meta"), random_vae("full", 0, BF16, "meta")
    modules: tuple[nn.Module, ...] = (model, tower.model, vae.model)
    weights = BF16.itemsize * sum(parameter_count(module) for module in modules)
    with torch.inference_mode(), LargestMemory() as memory:
        first = vae.encode(empty(ROWS, 3, 240, 320), empty(ROWS, 16, 1, 30, 40, dtype=torch.float32))
        visual = tower.encode(empty(ROWS, 3, 384, 384, 3, dtype=torch.uint8))
        sampler, mask = Sampler(model, 2, mode), torch.ones(ROWS, 128)
        inputs = Inputs(first, empty(ROWS, 512, 4096), visual, mask, mask, mask)
        converted = [x.to("meta") for x in sampler._converted(inputs, range(ROWS))]
        _, *video = sampler._function(converted, unwatched, run=layer)
        for latents in video:
            vae.model.decode(latents[:1].to(BF16))
    assert 4.7e9 < weights < 4.9e9
    assert weights + memory.largest < 12e9
