"""Attention weights of the actions, recorded beside the fused kernels."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from tests.builders.models import STEPS, model_inputs, random_model
from wam_eval.models.fastwam.model import Variant
from wam_eval.models.fastwam.sampling import Sampler
from wam_eval.models.nn.attention import AttentionRecorder, attention_weights
from wam_eval.models.nn.transformer import KeyValue, attend, layer
from wam_eval.models.stages import unwatched


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("groups", [4, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_values_added_with_the_weights_are_the_attention(groups: int, masked: bool) -> None:
    query, past = random(2, 3, 4 * 8), KeyValue(random(2, 7, groups * 8, seed=1), random(2, 7, groups * 8, seed=2))
    mask = (random(2, 1, 3, 7, seed=3) > -0.5) if masked else None
    weights = attention_weights(query, past.key, 4, mask)
    values = past.value.unflatten(-1, (groups, 8)).transpose(1, 2).repeat_interleave(4 // groups, dim=1)
    assert weights.shape == (2, 4, 3, 7) and torch.allclose(weights.sum(-1), torch.ones(2, 4, 3))
    added = (weights @ values).transpose(1, 2).flatten(2)
    assert torch.allclose(added, attend(query, past, 4, mask), atol=1e-6)


@pytest.mark.parametrize("variant", ["first_frame", "joint", "idm"])
def test_every_variant_of_fast_wam_shows_where_its_actions_look(variant: Variant) -> None:
    model = random_model(torch.float32)
    latents, text, states = model_inputs(batch=2, dtype=torch.float32)
    sampler = Sampler(model, variant, STEPS)
    weights = sampler.attention(latents, model.context(text, states), [1, 2])
    assert weights.shape == (2, *model.video.grid(latents)[1:]) and weights.dtype == torch.float32
    assert weights.min() > 0 and weights.sum((1, 2)).max() < 1
    assert not torch.allclose(weights[0], weights[1], atol=1e-4)


def test_the_weights_of_all_keys_add_up_to_one() -> None:
    model = random_model(torch.float32)
    latents, text, states = model_inputs(batch=1, dtype=torch.float32)
    sampler, recorder = Sampler(model, "first_frame", STEPS), AttentionRecorder(slice(None))
    sampler._function(sampler._inputs(latents, model.context(text, states), [1]), unwatched, run=recorder)
    assert recorder.mean().sum().item() == pytest.approx(1.0)


def test_recording_changes_no_number() -> None:
    model = random_model(torch.float32)
    latents, text, states = model_inputs(batch=1, dtype=torch.float32)
    sampler, recorder = Sampler(model, "joint", STEPS), AttentionRecorder(slice(None))
    inputs = sampler._inputs(latents, model.context(text, states), [1])
    recorded, plain = (sampler._function(inputs, unwatched, run=run) for run in (recorder, layer))
    assert all(torch.equal(*pair) for pair in zip(recorded, plain, strict=True))
