"""UniPC equals diffusers' scheduler for any number of steps and any shift."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

import torch
from diffusers import UniPCMultistepScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wam_eval.models.mvwam.unipc import UniPC, unipc_steps


def diffusers_scheduler(steps: int, shift: float) -> UniPCMultistepScheduler:
    """The scheduler of Wan's pipelines."""
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    scheduler.set_timesteps(steps)
    return scheduler


def velocity(sample: Tensor, timestep: float) -> Tensor:
    """A model: it depends on the sample and on time, and not linearly."""
    return torch.sin(sample) + 0.3 * timestep / 1000


def largest_difference(steps: int, shift: float, dtype: torch.dtype) -> float:
    """The largest difference of all samples on the way from noise to data."""
    theirs = diffusers_scheduler(steps, shift)
    noise = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(steps), dtype=dtype)
    expected, ours, largest = noise, UniPC(noise), 0.0
    for step, timestep in zip(unipc_steps(steps, shift), theirs.timesteps, strict=True):
        assert step.timestep == timestep.item()
        ours.step(step, ours.sample - step.sigma * velocity(ours.sample, step.timestep))
        expected = theirs.step(velocity(expected, step.timestep), timestep, expected, return_dict=False)[0]
        largest = max(largest, (ours.sample - expected).abs().max().item())
    assert ours.sample.dtype == dtype
    return largest


@settings(max_examples=40, deadline=None)
@given(steps=st.integers(1, 12), shift=st.floats(0.5, 12.0))
def test_samples_equal_those_of_diffusers(steps: int, shift: float) -> None:
    """Its weights are float32, and ours are float64."""
    assert largest_difference(steps, shift, torch.float64) < 1e-6


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 10])
def test_samples_equal_those_of_diffusers_in_float32(steps: int) -> None:
    assert largest_difference(steps, 5.0, torch.float32) < 1e-6


def test_timesteps_of_five_steps() -> None:
    assert [step.timestep for step in unipc_steps(5, 5.0)] == [999, 952, 882, 769, 556]


@given(steps=st.integers(1, 12))
def test_the_true_clean_sample_is_reached(steps: int) -> None:
    clean, solver = torch.full((3,), 0.7, dtype=torch.float64), UniPC(torch.randn(3, dtype=torch.float64))
    for step in unipc_steps(steps, 5.0):
        solver.step(step, clean)
    assert torch.allclose(solver.sample, clean, atol=1e-12)


@pytest.mark.parametrize(("steps", "shift"), [(0, 5.0), (5, 0.0), (5, -1.0)])
def test_impossible_schedules_are_refused(steps: int, shift: float) -> None:
    with pytest.raises(ValueError):
        unipc_steps(steps, shift)
