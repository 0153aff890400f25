"""The HarmoWAM networks: sizes at full width, the parameters of Wan2.2-TI2V-5B, and refused configurations."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

import diffusers
import torch

from tests.models.harmowam.tiny import tiny_config
from tests.models.wan.diffusers_names import diffusers_state_dict
from wam_eval.models.harmowam.config import HarmoWAMConfig
from wam_eval.models.harmowam.model import HarmoWAM
from wam_eval.models.stages import parameter_count


def full_model(action_dim: int = 7, state_dim: int | None = None) -> HarmoWAM:
    """The full model without memory for its weights."""
    with torch.device("meta"):
        return HarmoWAM(HarmoWAMConfig.of_size("full", action_dim, state_dim))


def test_parameters_at_full_size() -> None:
    """The paper states 5 billion for the world model and about 1 billion for the predictive expert."""
    counts = {name: parameter_count(part) for name, part in full_model().named_children()}
    assert counts == {
        "world": 4_999_787_712,
        "predictive": 1_094_853_127,
        "reactive": 6_231_303,
        "gate": 295_425,
    }


def test_a_second_arm_and_a_state_add_few_parameters() -> None:
    one, two = full_model(), full_model(14, 14)
    wide = 1536
    assert parameter_count(two.predictive) - parameter_count(one.predictive) == (7 + 7 + 14 + 1) * wide + 7
    assert parameter_count(two.reactive) - parameter_count(one.reactive) == 7 * (256 + 1)
    assert parameter_count(two.gate) == parameter_count(one.gate)


def test_the_world_model_has_the_parameters_of_wan22() -> None:
    with torch.device("meta"):
        wan = diffusers.WanTransformer3DModel(
            num_attention_heads=24,
            attention_head_dim=128,
            in_channels=48,
            out_channels=48,
            ffn_dim=14336,
            num_layers=30,
        )
    expected = {name: tuple(tensor.shape) for name, tensor in wan.named_parameters()}
    found = diffusers_state_dict(full_model().world)
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == expected


def test_the_paper_gives_80_tokens_for_each_of_four_latent_frames() -> None:
    model = full_model()
    latents = torch.empty(1, 48, model.config.frames, 256 // 16, 320 // 16, device="meta")
    assert model.world.grid(latents) == (4, 8, 10)
    assert model.world.tokens(latents).shape == (1, 4 * 80, 3072)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 10}, "a horizon of 10: it must be a multiple of 4"),
        ({"feature_layer": 3}, "feature layer 3: the world model has 3 layers"),
        ({"feature_layer": -1}, "feature layer -1"),
        ({"frame_dim": 36}, "features of width 96 cannot be pooled to width 36"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_config(**changes)
