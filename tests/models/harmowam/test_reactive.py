"""The reactive expert of HarmoWAM: its tokens, and its decoder written out in float64."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor
from torch.nn.functional import pad

from tests.models.harmowam.tiny import tiny_config, tiny_model
from wam_eval.models.harmowam.config import HarmoWAMConfig
from wam_eval.models.harmowam.reactive import ReactiveExpert


@pytest.fixture(scope="module")
def expert() -> ReactiveExpert:
    return tiny_model(tiny_config(14), torch.float64).reactive


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def written_out(weights: Mapping[str, Tensor], tokens: Tensor, grids: tuple[tuple[int, int], ...]) -> Tensor:
    """The decoder of one frame (S, 32), with explicit sums in place of convolutions and pooling."""

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ weights[f"{name}.weight"].flatten(1).T + weights[f"{name}.bias"]

    def convolution(name: str, x: Tensor, dilation: int) -> Tensor:
        rows, columns, _ = x.shape
        around = pad(x, (0, 0, dilation, dilation, dilation, dilation))
        total = weights[f"{name}.bias"].expand(rows, columns, -1)
        for i in range(3):
            for j in range(3):
                window = around[i * dilation : i * dilation + rows, j * dilation : j * dilation + columns]
                total = total + window @ weights[f"{name}.weight"][:, :, i, j].T
        return total

    encoded, start, summaries = linear("encoder", tokens), 0, []
    for rows, columns in grids:
        x = encoded[start : start + rows * columns].reshape(rows, columns, 16)
        start += rows * columns
        for index in range(2):
            y = (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt()
            y = y * weights[f"layers.{index}.norm.weight"] + weights[f"layers.{index}.norm.bias"]
            scales = [
                convolution(f"layers.{index}.scales.{place}", y, dilation) for place, dilation in enumerate((1, 2, 4))
            ]
            x = x + linear(f"layers.{index}.mix", gelu(torch.cat(scales, dim=2)))
        cells = [
            x[i * rows // 2 : -(-(i + 1) * rows // 2), j * columns // 2 : -(-(j + 1) * columns // 2)].mean(dim=(0, 1))
            for i in range(2)
            for j in range(2)
        ]
        summaries.append(torch.stack(cells, dim=1).flatten())
    return linear("head", gelu(linear("hidden", torch.cat(summaries))))


def test_the_decoder_equals_its_definition_in_float64(expert: ReactiveExpert) -> None:
    """Grids of different and of odd sizes."""
    grids = ((3, 3), (2, 5))
    tokens = torch.randn(4, 19, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = dict(expert.named_parameters())
    expected = torch.stack([written_out(weights, row, grids) for row in tokens])
    found = expert(tokens, grids)
    assert found.shape == (4, 14)
    assert (found - expected).abs().max() < 1e-12


def test_features_follow_the_patches_and_are_averaged_over_groups_of_channels(expert: ReactiveExpert) -> None:
    generator = torch.Generator().manual_seed(0)
    patches, features = torch.randn(2, 9, 32, generator=generator), torch.randn(2, 6, 96, generator=generator)
    tokens = expert.tokens(patches, features)
    assert tokens.shape == (2, 15, 32) and torch.equal(tokens[:, :9], patches)
    for channel in (0, 31):
        expected = features[:, :, 3 * channel : 3 * channel + 3].sum(-1) / 3
        assert torch.allclose(tokens[:, 9:, channel], expected, atol=1e-6)


def test_the_place_of_a_patch_changes_the_action(expert: ReactiveExpert) -> None:
    tokens = torch.zeros(2, 15, 32, dtype=torch.float64)
    tokens[0, 0] = tokens[1, 8] = 1
    first, second = expert(tokens, ((3, 3), (2, 3)))
    assert (first - second).abs().max() > 1e-3


def test_the_paper_gives_1449_tokens_for_a_frame() -> None:
    with torch.device("meta"):
        full = ReactiveExpert(HarmoWAMConfig.of_size("full"))
    tokens = full.tokens(torch.empty(12, 1369, 768, device="meta"), torch.empty(12, 80, 3072, device="meta"))
    assert tokens.shape == (12, 1449, 768)
    assert full(tokens, ((37, 37), (8, 10))).shape == (12, 7)
