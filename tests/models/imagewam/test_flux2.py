"""ImageWAM's network on FLUX.2 klein: its layout, and the numbers of the official code."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.builders.models import describe_layout, published_layout
from wam_eval.models.imagewam.backbone import Inputs
from wam_eval.models.imagewam.flux2 import Flux2Backbone, Flux2Config
from wam_eval.models.imagewam.sampling import Sampler
from wam_eval.models.weights import layout_of, random_weights

# Of the official code (ImageWAM 5d4a341) with the weights and inputs below: three steps, noise of seed 42.
FIRST_ACTION = {
    torch.float32: (1.597535, 1.774149, 2.557421, -0.842346, 0.417243, -0.249595, -1.491743),
    torch.bfloat16: (1.7734375, 1.75, 2.65625, -0.8203125, 0.421875, -0.2578125, -1.53125),
}
LAST_ACTION = {
    torch.float32: (1.520989, 0.611165, 1.383194, 0.402937, 1.494662, 0.624970, -1.193495),
    torch.bfloat16: (1.640625, 0.6953125, 1.2890625, 0.1328125, 1.1640625, 0.58203125, -1.296875),
}
IMAGE = {  # channels of the first token, and of the last one
    torch.float32: ((2.35347, 1.51697, 1.16583, -3.92074), (0.22641, -1.92561, -0.78661, -0.65438)),
    torch.bfloat16: ((2.40625, 1.57812, 1.10156, -3.9375), (0.17969, -1.84375, -0.86719, -0.77734)),
}
WITHIN = {torch.float32: 1e-5, torch.bfloat16: 0.1}
"""Tolerances. Processors add in other orders; the official code in bfloat16 is 0.1 to 0.3 away from its float32."""


def tiny(dtype: torch.dtype = torch.float32) -> Flux2Backbone:
    """A tiny model with random weights."""
    with torch.device("meta"):
        model = Flux2Backbone(Flux2Config.of_size("tiny", 8, 7))
    return random_weights(model, 0, dtype, "cpu")


def inputs(dtype: torch.dtype = torch.float32) -> Inputs:
    """An observation of 4 x 6 tokens, with an instruction of 5 tokens that is padded to 12."""
    generator = torch.Generator().manual_seed(3)
    text = torch.randn(1, 12, 48, generator=generator)
    text[:, 5:] = 0
    states = torch.randn(1, 8, generator=generator)
    latents = torch.randn(1, 128, 4, 6, generator=generator)
    return Inputs(
        text.to(dtype), torch.tensor([5]), states.to(dtype), latents.flatten(2).transpose(1, 2).to(dtype), (4, 6)
    )


@pytest.mark.parametrize(("size", "parameters"), [("4b", 4_517_556_992), ("9b", 10_030_973_952)])
def test_the_published_models_have_these_parameters(size: str, parameters: int) -> None:
    with torch.device("meta"):
        model = Flux2Backbone(Flux2Config.of_size(size, 8, 7))  # type: ignore[arg-type]
    published = published_layout(f"imagewam_flux2_{size}")
    found = 0
    for part in ("mixtures.video.transformer", "mixtures.action"):
        layout = {name: shape for name, shape in layout_of(model).items() if name.startswith(f"{part}.")}
        assert describe_layout(layout) == published[part]
        found += published[part]["parameters"]
    assert found == parameters


@pytest.mark.parametrize("dtype", WITHIN)
def test_actions_are_those_of_the_official_code(dtype: torch.dtype) -> None:
    (actions,) = Sampler(tiny(dtype), steps=3).sample(inputs(dtype), [42])
    assert actions.shape == (16, 7)
    assert actions[0].tolist() == pytest.approx(FIRST_ACTION[dtype], abs=WITHIN[dtype])
    assert actions[-1].tolist() == pytest.approx(LAST_ACTION[dtype], abs=WITHIN[dtype])


@pytest.mark.parametrize("dtype", WITHIN)
def test_an_imagined_image_is_that_of_the_official_code(dtype: torch.dtype) -> None:
    (tokens,) = Sampler(tiny(dtype), steps=3).imagine(inputs(dtype), [42]).float()
    first, last = IMAGE[dtype]
    assert tokens.shape == (24, 128)
    assert tokens[0, :4].tolist() == pytest.approx(first, abs=WITHIN[dtype])
    assert tokens[-1, -4:].tolist() == pytest.approx(last, abs=WITHIN[dtype])


def test_the_padding_of_a_text_is_not_seen() -> None:
    sampler, given = Sampler(tiny(), steps=2), inputs()
    noisy = given.text.clone()
    noisy[:, 5:] = 100.0
    assert torch.equal(sampler.sample(replace(given, text=noisy), [0]), sampler.sample(given, [0]))


def test_every_input_matters() -> None:
    sampler, given = Sampler(tiny(), steps=2), inputs()
    answer = sampler.sample(given, [0])
    others = [
        replace(given, text=given.text + 0.1),
        replace(given, lengths=given.lengths - 1),
        replace(given, states=given.states + 0.1),
        replace(given, reference=given.reference + 0.1),
    ]
    for other in others:
        assert not torch.allclose(sampler.sample(other, [0]), answer, atol=1e-4)
    assert not torch.allclose(sampler.sample(given, [1]), answer, atol=1e-4)


def test_rows_of_a_batch_do_not_see_each_other() -> None:
    sampler, given = Sampler(tiny(), steps=2), inputs()
    both = Inputs(
        torch.cat([given.text, -given.text]),
        torch.tensor([5, 9]),
        torch.cat([given.states, -given.states]),
        torch.cat([given.reference, -given.reference]),
        given.grid,
    )
    first, second = sampler.sample(both, [0, 7])
    assert torch.allclose(first, sampler.sample(given, [0])[0], atol=1e-5)
    assert not torch.allclose(second, first, atol=1e-2)
