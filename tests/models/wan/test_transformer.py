"""The video transformer equals that of diffusers, and the rotary embedding of a video has Wan's shares."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

import diffusers
import torch
from torch import Tensor

from tests.builders.models import first_frame_causal, model_inputs, random_model
from tests.models.wan.diffusers_names import diffusers_state_dict
from wam_eval.models.nn.transformer import layer
from wam_eval.models.wan.transformer import Condition, WanVideoTransformer, video_rotation


def test_the_video_transformer_equals_that_of_diffusers() -> None:
    """In float32, with three frames of which the first is clean (time 0)."""
    model = random_model().video
    theirs = wan_of_diffusers(model)
    latents, text, _ = model_inputs()
    latents = torch.cat([latents, torch.randn(1, 48, 2, 4, 6, generator=torch.Generator().manual_seed(5))], dim=2)
    times = torch.tensor([0.0] * 6 + [700.0] * 12)
    with torch.no_grad():
        expected = theirs(latents, times.unsqueeze(0), text, return_dict=False)[0]
        ours = velocity(model, latents, text, times, mask=None)
        causal = velocity(model, latents, text, times, mask=first_frame_causal(3, 6))
        without_text = velocity(model, latents, torch.zeros_like(text), times, mask=None)
    assert torch.allclose(ours, expected, atol=2e-5)
    assert not torch.allclose(causal, expected, atol=1e-2)
    assert not torch.allclose(without_text, expected, atol=1e-2)


def velocity(model: WanVideoTransformer, latents: Tensor, text: Tensor, times: Tensor, mask: Tensor | None) -> Tensor:
    """One call of the transformer, as the definition says: all tokens in every layer."""
    embedded, time = model.time(times)
    grid = model.grid(latents)
    rotation = video_rotation(24, *grid)
    x = model.tokens(latents)
    for block, own in zip(model.layers, model.text(text), strict=True):
        (x,), _ = layer((block,), (x,), (Condition(time, rotation, own),), None, mask)
    return model.head(x, embedded, grid)


def wan_of_diffusers(model: WanVideoTransformer) -> diffusers.WanTransformer3DModel:
    """The transformer of diffusers with the weights of ours, under its own names."""
    theirs = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=4,
        attention_head_dim=24,
        in_channels=48,
        out_channels=48,
        text_dim=32,
        freq_dim=32,
        ffn_dim=128,
        num_layers=2,
    )
    theirs.load_state_dict(diffusers_state_dict(model), strict=True)
    return theirs.eval()


@pytest.mark.parametrize(
    ("head_dim", "frame", "side"), [(128, 22, 21), (32, 6, 5), (28, 6, 4), (24, 4, 4), (16, 4, 2), (12, 2, 2)]
)
def test_pairs_of_channels_are_divided_among_frame_row_and_column(head_dim: int, frame: int, side: int) -> None:
    cos, _ = video_rotation(head_dim, frames=2, height=2, width=2)
    one, pair = torch.ones(head_dim // 2, dtype=torch.float64), torch.arange(head_dim // 2)
    last_column, last_row, second_frame = cos[1, 0], cos[2, 0], cos[4, 0]
    assert torch.equal(last_column == one, pair < frame + side)
    assert torch.equal(last_row == one, (pair < frame) | (pair >= frame + side))
    assert torch.equal(second_frame == one, pair >= frame)


def test_heads_with_half_a_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="15 channels"):
        video_rotation(15, 1, 2, 2)
