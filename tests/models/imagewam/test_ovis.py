"""ImageWAM's network on Ovis-U1: its parameters, and the numbers of the official code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle

from wam_eval.models.imagewam.backbone import Inputs
from wam_eval.models.imagewam.checkpoint import open_checkpoint, recognise_backbone
from wam_eval.models.imagewam.ovis import OvisBackbone, OvisConfig
from wam_eval.models.imagewam.sampling import Sampler
from wam_eval.models.weights import layout_of, load_checkpoint, random_weights

torch.set_num_threads(1)  # With models this small, more threads are slower.

# Of the official code (ImageWAM 5d4a341) with the weights and inputs below: three steps, noise of seed 42.
FIRST_ACTION = {
    torch.float32: (1.116216, 1.991015, 2.615908, -0.91081, -0.916471, -0.058555, 0.41062),
    torch.bfloat16: (1.179688, 1.9375, 2.640625, -0.925781, -0.785156, -0.246094, 0.65625),
}
LAST_ACTION = {
    torch.float32: (1.419221, -2.031266, 0.667304, 0.43582, 0.405909, 0.839491, -1.07043),
    torch.bfloat16: (1.414062, -2.109375, 0.683594, 0.648438, 0.632812, 1.078125, -1.015625),
}
IMAGE = {  # channels of the first and of the last place of the latents
    torch.float32: ((1.9099, 0.63251, -2.01568, -1.36045), (1.9317, 1.06833, 0.59873, -1.88713)),
    torch.bfloat16: ((1.83594, 0.63281, -2.21875, -1.36719), (1.77344, 0.78125, 0.66406, -1.89062)),
}
WITHIN = {torch.float32: 1e-5, torch.bfloat16: 0.1}
"""Tolerances. Processors add in other orders; the official code in bfloat16 is 0.1 to 0.3 away from its float32."""


def tiny(dtype: torch.dtype = torch.float32) -> OvisBackbone:
    """A tiny model with random weights."""
    with torch.device("meta"):
        model = OvisBackbone(OvisConfig.of_size("tiny", 8, 7))
    return random_weights(model, 0, dtype, "cpu")


def inputs(dtype: torch.dtype = torch.float32) -> Inputs:
    """An observation of 4 x 6 tokens, with a text of 5 tokens that is padded to 12."""
    generator = torch.Generator().manual_seed(3)
    text = pad(torch.randn(1, 5, 32, generator=generator), (0, 0, 0, 7))
    states = torch.randn(1, 8, generator=generator)
    latents = torch.randn(1, 4, 8, 12, generator=generator).to(dtype)
    tokens = pixel_unshuffle(latents, 2).flatten(2).transpose(1, 2).contiguous()
    return Inputs(text.to(dtype), torch.tensor([5]), states.to(dtype), tokens, (4, 6), cut=5)


def test_the_published_model_has_these_parameters() -> None:
    with torch.device("meta"):
        model = OvisBackbone(OvisConfig.of_size("full", 8, 7))
    image = {name: shape for name, shape in layout_of(model).items() if name.startswith("mixtures.video.")}
    assert len(image) == 325
    assert sum(torch.Size(shape).numel() for shape in image.values()) == 1_127_227_408


@pytest.mark.parametrize("dtype", WITHIN)
def test_actions_are_those_of_the_official_code(dtype: torch.dtype) -> None:
    (actions,) = Sampler(tiny(dtype), steps=3).sample(inputs(dtype), [42])
    assert actions[0].tolist() == pytest.approx(FIRST_ACTION[dtype], abs=WITHIN[dtype])
    assert actions[-1].tolist() == pytest.approx(LAST_ACTION[dtype], abs=WITHIN[dtype])


@pytest.mark.parametrize("dtype", WITHIN)
def test_an_imagined_image_is_that_of_the_official_code(dtype: torch.dtype) -> None:
    tokens = Sampler(tiny(dtype), steps=3).imagine(inputs(dtype), [42])
    (latents,) = pixel_shuffle(tokens.transpose(1, 2).unflatten(2, (4, 6)), 2).float()
    first, last = IMAGE[dtype]
    assert latents[:, 0, 0].tolist() == pytest.approx(first, abs=WITHIN[dtype])
    assert latents[:, -1, -1].tolist() == pytest.approx(last, abs=WITHIN[dtype])


def test_rows_of_a_batch_do_not_see_each_other() -> None:
    sampler, given = Sampler(tiny(), steps=2), inputs()
    both = Inputs(
        torch.cat([given.text, torch.randn(1, 12, 32)]),
        torch.tensor([5, 9]),
        torch.cat([given.states, -given.states]),
        torch.cat([given.reference, -given.reference]),
        given.grid,
    )
    first, second = sampler.sample(both, [0, 7])
    assert torch.allclose(first, sampler.sample(given, [0])[0], atol=1e-5)
    assert not torch.allclose(second, first, atol=1e-2)
    image, other = sampler.imagine(both, [0, 7])
    assert torch.allclose(image, sampler.imagine(given, [0])[0], atol=1e-5)
    assert not torch.allclose(image, other, atol=1e-2)


def test_every_input_matters() -> None:
    sampler, given = Sampler(tiny(), steps=1), inputs()
    answer = sampler.sample(given, [0])
    others = [
        replace(given, text=given.text + 0.1 * torch.randn(1, 12, 32)),
        replace(given, lengths=given.lengths - 1, cut=4),
        replace(given, states=given.states + 0.1),
        replace(given, reference=given.reference + 0.1),
    ]
    for other in others:
        assert not torch.allclose(sampler.sample(other, [0]), answer, atol=1e-5)


def test_the_prefix_has_the_keys_of_both_attentions() -> None:
    prefix = tiny().prefill(inputs())
    assert [len(prefix.cache), len(prefix.own)] == [4, 2]
    assert {tuple(past.key.shape) for past in prefix.cache} == {(1, 6 + 24, 32)}
    assert {tuple(past.key.shape) for past in prefix.own} == {(1, 24, 32)}
    assert prefix.image == slice(6, 30)


def test_a_checkpoint_has_two_names_for_the_blocks_of_images(tmp_path: Path) -> None:
    model = tiny()
    state = dict(model.state_dict())
    mot = {name: tensor for name, tensor in state.items() if name.startswith("mixtures.")}
    for name, tensor in list(mot.items()):
        if name.startswith(("mixtures.video.transformer.double_blocks.", "mixtures.video.transformer.single_blocks.")):
            mot[name.replace("transformer.", "")] = tensor
    proprio = {name.partition(".")[2]: tensor for name, tensor in state.items() if name.startswith("proprio_encoder.")}
    torch.save({"mot": mot, "proprio_encoder": proprio}, tmp_path / "model.pt")
    with torch.device("meta"):
        empty = OvisBackbone(OvisConfig.of_size("tiny", 8, 7))
    checkpoint = open_checkpoint(tmp_path / "model.pt", empty, "ImageWAM on ovis-u1")
    loaded = load_checkpoint(checkpoint, empty, torch.float32, torch.device("cpu"))
    answers = [Sampler(one, steps=1).sample(inputs(), [0]) for one in (model, loaded)]
    assert torch.equal(*answers)
    assert recognise_backbone(layout_of(model)) == "ovis-u1"
