"""Sampling: outputs equal those of the official code, and do not depend on the batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.models import STEPS, draw, model_inputs, random_model
from wam_eval.models.fastwam.model import FastWAM, Variant
from wam_eval.models.fastwam.sampling import Sampler
from wam_eval.models.nn.acceleration import Accelerator

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
VARIANTS: tuple[Variant, ...] = ("first_frame", "joint", "idm")

# First action, sum of all actions, and sum of the video's latents, as the official code computes them for the weights
# and inputs of tests/builders/models.py. FastWAM at 45d8e14 was run once outside this repository: our outputs were
# within 2e-6 of all its outputs in float32, and equal bit for bit in bfloat16.
Outputs = tuple[list[float], float, float | None]
OFFICIAL: dict[tuple[Variant, str], Outputs] = {
    ("first_frame", "float32"): (
        [1.135099, 3.475485, 0.981019, -2.286601, 0.579199, -1.433914, 1.964689],
        100.92181,
        None,
    ),
    ("joint", "float32"): (
        [1.335184, 3.358214, 0.801891, -2.482848, 0.573242, -1.341892, 2.061647],
        94.87047,
        -134.1062,
    ),
    ("idm", "float32"): ([1.279151, 3.398775, 0.910655, -2.460133, 0.529906, -1.391878, 2.115139], 97.1686, -134.1061),
    ("first_frame", "bfloat16"): (
        [1.039062, 3.453125, 0.96875, -2.4375, 0.511719, -1.390625, 1.992188],
        94.86121,
        None,
    ),
    ("joint", "bfloat16"): (
        [1.273438, 3.328125, 0.792969, -2.609375, 0.550781, -1.296875, 2.078125],
        90.9209,
        -139.3482,
    ),
    ("idm", "bfloat16"): ([1.210938, 3.359375, 0.910156, -2.578125, 0.5, -1.351562, 2.125], 92.09375, -139.7298),
}


@pytest.fixture(scope="module")
def model() -> FastWAM:
    return random_model()


@pytest.mark.parametrize(("variant", "dtype"), OFFICIAL)
def test_outputs_equal_those_of_the_official_code(variant: Variant, dtype: str) -> None:
    first, total, video = OFFICIAL[variant, dtype]
    # In bfloat16 the kernels of another CPU may round sums of products differently. The difference of a float32
    # schedule would be 0.1.
    near, whole = (1e-5, 1e-3) if dtype == "float32" else (0.035, 2.0)
    sample = draw(variant, getattr(torch, dtype))
    assert sample.actions.shape == (1, 32, 7) and sample.actions.dtype == torch.float32
    assert sample.actions[0, 0].tolist() == pytest.approx(first, abs=near)
    assert sample.actions.sum().item() == pytest.approx(total, abs=whole)
    if video is None:
        assert sample.video is None
    else:
        assert sample.video is not None
        assert sample.video.shape == (1, 48, 3, 4, 6)
        assert sample.video.double().sum().item() == pytest.approx(video, abs=whole)


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=5, deadline=None)
@given(seeds=st.lists(st.integers(0, 99), min_size=2, max_size=4))
def test_an_answer_does_not_depend_on_its_batch(model: FastWAM, variant: Variant, seeds: list[int]) -> None:
    sampler = Sampler(model, variant, 3)
    latents, text, states = model_inputs(batch=len(seeds))
    context = model.context(text, states)
    together = sampler.sample(latents, context, seeds)
    for row, seed in enumerate(seeds):
        alone = sampler.sample(latents[row : row + 1], context[row : row + 1], [seed])
        assert torch.allclose(alone.actions[0], together.actions[row], atol=1e-5)


@pytest.mark.parametrize("variant", ["joint", "idm"])
def test_a_video_begins_with_the_observed_frame(model: FastWAM, variant: Variant) -> None:
    latents, _, _ = model_inputs()
    video = draw(variant, model=model).video
    assert video is not None and torch.equal(video[:, :, :1], latents)


def test_first_frame_imagines_the_video_of_inverse_dynamics(model: FastWAM) -> None:
    """They are equal because no video token attends to an action."""
    latents, text, states = model_inputs()
    context = model.context(text, states)
    video = Sampler(model, "first_frame", STEPS).imagine(latents, context, [42])
    expected = draw("idm", model=model).video
    assert expected is not None and torch.allclose(video, expected, atol=1e-5)


def test_every_input_and_setting_has_an_effect(model: FastWAM) -> None:
    latents, text, states = model_inputs()
    sampler = Sampler(model, "first_frame", 2)
    plain = sampler.sample(latents, model.context(text, states), [42]).actions
    for changed in (
        sampler.sample(latents + 0.1, model.context(text, states), [42]),
        sampler.sample(latents, model.context(text + 0.1, states), [42]),
        sampler.sample(latents, model.context(text, states + 0.1), [42]),
        sampler.sample(latents, model.context(text, states), [43]),
        Sampler(model, "first_frame", 3).sample(latents, model.context(text, states), [42]),
        Sampler(model, "first_frame", 2, shift=1.0).sample(latents, model.context(text, states), [42]),
    ):
        assert (changed.actions - plain).abs().max() > 1e-3


def test_padding_of_the_text_has_an_effect(model: FastWAM) -> None:
    """It is not masked, as in training, and the embedding has biases."""
    latents, text, states = model_inputs()
    sampler = Sampler(model, "first_frame", 2)
    padded = sampler.sample(latents, model.context(text, states), [42]).actions
    cut = sampler.sample(latents, model.context(text[:, :21], states), [42]).actions
    assert (padded - cut).abs().max() > 1e-3


def test_stages_are_watched(model: FastWAM) -> None:
    stages = []

    @contextmanager
    def watch(stage: str) -> Iterator[None]:
        stages.append(stage)
        yield

    latents, text, states = model_inputs()
    for variant in VARIANTS:
        Sampler(model, variant, 1).sample(latents, model.context(text, states), [1], watch=watch)
    assert stages == ["prefill", "actions", "prefill", "actions", "prefill", "video", "actions"]


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.035)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_acceleration_changes_only_the_speed(
    variant: Variant, dtype: torch.dtype, tolerance: float, device: str
) -> None:
    """Compiled layers and static tensors. The second call replays the recording.

    A compiler may add in another order; in bfloat16 this changes the last bit of numbers around 5.
    """
    model = random_model(dtype).to(device)
    latents, text, states = (x.to(device) for x in model_inputs(batch=3, dtype=dtype))
    context = model.context(text, states)
    plain, fast = (Sampler(model, variant, 3, accelerator=Accelerator.of(how)) for how in ("none", "graphs"))
    for seeds in ([1, 2, 3], [4, 5, 6]):
        expected, accelerated = (sampler.sample(latents, context, seeds) for sampler in (plain, fast))
        assert torch.allclose(accelerated.actions, expected.actions, atol=tolerance)
        if expected.video is not None:
            assert accelerated.video is not None
            assert torch.allclose(accelerated.video, expected.video, atol=tolerance)
