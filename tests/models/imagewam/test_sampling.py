"""Acceleration of ImageWAM on every backbone: the same answers, and only what a CUDA graph can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from wam_eval.models.imagewam.backbone import Backbone, Inputs
from wam_eval.models.imagewam.policy import BACKBONES
from wam_eval.models.imagewam.sampling import Sampler
from wam_eval.models.nn.acceleration import Accelerator
from wam_eval.models.stages import unwatched
from wam_eval.models.weights import random_weights
from wam_eval.policy import Acceleration

GRID = (2, 3)
"""Rows and columns of the tokens of an image."""
CHANNELS = {"flux2-4b": 128, "omnigen2": 64, "ovis-u1": 16}
"""Backbone -> channels of a token."""


def model(name: str, device: str = "cpu") -> Backbone:
    """A tiny model with random weights."""
    with torch.device("meta"):
        network = BACKBONES[name]("tiny", 12, True, torch.float32, torch.device(device)).network(8, 7)
    return random_weights(network, 0, torch.float32, device)


def inputs(name: str, model: Backbone, lengths: Iterable[int] = (5, 9), seed: int = 0) -> Inputs:
    """Random observations, with texts that are padded to 12 tokens."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.tensor(list(lengths))
    text = torch.randn(len(counts), 12, model.text_dim, generator=generator)
    text *= (torch.arange(12) < counts[:, None])[..., None]
    states = torch.randn(len(counts), 8, generator=generator)
    reference = torch.randn(len(counts), GRID[0] * GRID[1], CHANNELS[name], generator=generator)
    return Inputs(text, counts, states, reference, GRID)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["actions", "layers", "graphs"])
@pytest.mark.parametrize("name", CHANNELS)
def test_acceleration_changes_only_the_speed(name: str, how: Acceleration) -> None:
    """Compiled layers and static tensors. The second call replays the recording, with texts of other lengths."""
    plain, fast = Sampler(model(name), 3), Sampler(model(name), 3, accelerator=Accelerator.of(how))
    for lengths, seed in (((5, 9), 1), ((11, 2), 2)):
        given = inputs(name, plain.model, lengths, seed)
        for answers in zip(plain.sample(given, [seed, 7]), fast.sample(given, [seed, 7]), strict=True):
            assert torch.allclose(*answers, atol=1e-5)
        for images in zip(plain.imagine(given, [seed, 7]), fast.imagine(given, [seed, 7]), strict=True):
            assert torch.allclose(*images, atol=1e-5)


@pytest.mark.parametrize("name", CHANNELS)
def test_recorded_inputs_are_static_tensors(name: str) -> None:
    """A recording computes from its own copies of the inputs, which each call overwrites."""
    plain, recorded = Sampler(model(name), 2), Sampler(model(name), 2, accelerator=Accelerator(graphs=True))
    for lengths, seed in (((5, 9), 1), ((11, 2), 2)):
        given = inputs(name, plain.model, lengths, seed)
        assert torch.equal(recorded.sample(given, [seed, 7]), plain.sample(given, [seed, 7]))
        assert torch.equal(recorded.imagine(given, [seed, 7]), plain.imagine(given, [seed, 7]))


@pytest.mark.parametrize("name", CHANNELS)
def test_padding_gives_the_answer_of_a_cut_text(name: str) -> None:
    sampler = Sampler(model(name), 3)
    given = inputs(name, sampler.model, [5])
    cut = replace(given, cut=5)
    assert torch.allclose(sampler.sample(given, [3]), sampler.sample(cut, [3]), atol=1e-5)
    assert torch.allclose(sampler.imagine(given, [3]), sampler.imagine(cut, [3]), atol=1e-5)


@pytest.mark.parametrize("name", CHANNELS)
def test_actions_show_where_they_look(name: str) -> None:
    """Positive weights of all tokens of the image, whose sum leaves room for words, state and other actions."""
    sampler = Sampler(model(name), 2)
    given = inputs(name, sampler.model)
    weights = sampler.attention(given, [1, 2])
    assert weights.shape == (2, GRID[0] * GRID[1]) and weights.dtype == torch.float32
    assert weights.min() > 0 and weights.sum(1).max() < 1
    moved = replace(given, reference=given.reference.flip(1))
    assert not torch.allclose(sampler.attention(moved, [1, 2]), weights, atol=1e-5)


class OnOneDevice(TorchDispatchMode):
    """Fails at an operation that reads a tensor of the CPU, which a CUDA graph cannot hold.

    The model and its inputs are on the meta device; there, an operation whose result decides what is computed next
    fails by itself.
    """

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] = {}
    ) -> Any:
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor) and leaf.device.type == "cpu" and leaf.dim():
                raise AssertionError(f"{func} reads a tensor of the CPU: {tuple(leaf.shape)}")
        return func(*args, **kwargs)


@pytest.mark.parametrize("name", CHANNELS)
def test_a_graph_can_hold_the_computation(name: str) -> None:
    network = model(name, "meta")
    sampler, host = Sampler(network, 2), inputs(name, network)
    text, lengths, states, reference = (x.to("meta") for x in (host.text, host.lengths, host.states, host.reference))
    given = Inputs(text, lengths, states, reference, GRID)
    actions = torch.empty(2, 16, 7, device="meta")
    target = network.tokens(torch.empty(2, *network.noise_shape(given), device="meta"))

    def compute() -> None:
        with torch.inference_mode():
            sampler._denoise_actions(given, actions, unwatched)
            sampler._denoise_image(given, target, unwatched)

    compute()  # Rotations are computed once and kept.
    with OnOneDevice():
        compute()
