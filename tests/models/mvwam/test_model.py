"""The MV-WAM network: sizes of the paper and of the public code, Wan2.1's blocks, tokens and their embedding."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

import diffusers
import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention, silu

from tests.models.mvwam.tiny import tiny_config, tiny_inputs, tiny_model
from tests.models.wan.diffusers_names import diffusers_state_dict
from wam_eval.models.mvwam.model import MVWAM, MVWAMConfig, camera_positions, video_condition
from wam_eval.models.nn.transformer import Rotation, Stream, continued, grid_rotation, layer
from wam_eval.models.stages import parameter_count
from wam_eval.models.wan.transformer import Condition, WanVideoTransformer, video_rotation


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    torch.manual_seed(0)


def full_model(value: bool) -> MVWAM:
    """The paper's model without memory for its weights."""
    with torch.device("meta"):
        return MVWAM(MVWAMConfig.of_size("full", value))


@pytest.mark.parametrize(("value", "millions"), [(False, 436.5), (True, 438.0)])
def test_parameters_are_those_of_the_public_code(value: bool, millions: float) -> None:
    """Within rounding; the paper gives 1.9 billion for all networks but umT5 and SigLIP2."""
    model = full_model(value)
    assert round(parameter_count(model.action) / 1e6, 1) == millions
    assert round(parameter_count(model.video) / 1e9, 2) == 1.42
    assert round(parameter_count(model) / 1e9, 1) == 1.9


def test_the_video_expert_has_the_parameters_of_wan21() -> None:
    with torch.device("meta"):
        wan = diffusers.WanTransformer3DModel(
            num_attention_heads=12, attention_head_dim=128, in_channels=36, out_channels=16, ffn_dim=8960, num_layers=30
        )
    expected = {name: tuple(tensor.shape) for name, tensor in wan.named_parameters()}
    found = diffusers_state_dict(full_model(False).video)
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == expected


def test_the_video_expert_equals_that_of_diffusers() -> None:
    """In float32, with a condition of 20 channels beside the latents."""
    model = tiny_model().video
    theirs = diffusers.WanTransformer3DModel(
        num_attention_heads=4,
        attention_head_dim=24,
        in_channels=36,
        out_channels=16,
        text_dim=32,
        freq_dim=32,
        ffn_dim=128,
        num_layers=2,
    )
    theirs.load_state_dict(diffusers_state_dict(model), strict=True)
    inputs = tiny_inputs(2)
    latents = torch.cat([torch.randn(2, 16, 9, 4, 6), video_condition(inputs.first_frame, 9)], dim=1)
    timesteps = torch.tensor([952])
    with torch.no_grad():
        expected = theirs.eval()(latents, timesteps.expand(2), inputs.text, return_dict=False)[0]
        difference = (velocity(model, latents, inputs.text, timesteps.float()) - expected).abs().max()
    assert difference < 2e-5


def velocity(model: WanVideoTransformer, latents: Tensor, text: Tensor, timesteps: Tensor) -> Tensor:
    embedded, time = model.time(timesteps)
    grid = model.grid(latents)
    x, rotation = model.tokens(latents), video_rotation(24, *grid)
    for block, own in zip(model.layers, model.text(text), strict=True):
        (x,), _ = layer((block,), (x,), (Condition(time, rotation, own),), None, None)
    return model.head(x, embedded, grid)


def test_the_observed_frame_is_given_beside_the_noise() -> None:
    first = torch.randn(2, 16, 1, 4, 6)
    condition = video_condition(first, 9)
    assert condition.shape == (2, 20, 9, 4, 6)
    assert (condition[:, :4, 0] == 1).all() and torch.equal(condition[:, 4:, :1], first)
    assert (condition[:, :, 1:] == 0).all()


def test_an_action_layer_is_that_of_the_facts() -> None:
    """Written out in float64: no normalisation before the cross-attention, and shifts, scales and gates by time."""
    model = tiny_model().action.double()
    block = model.layers[0]
    generator = torch.Generator().manual_seed(0)
    x, words = (torch.randn(1, count, 64, generator=generator, dtype=torch.float64) for count in (5, 7))
    time = torch.randn(1, 1, 6, 64, generator=generator, dtype=torch.float64)
    rotation = grid_rotation((24,), (5,), 0.25)
    condition = Condition(time, rotation, block.cross_attn.keys_values(words))
    with torch.no_grad():
        found = continued([block], Stream(x, [condition]), [None])
        expected = written_out(dict(block.named_parameters()), x, words, time[:, 0], rotation)
    assert (found - expected).abs().max() < 1e-6  # RMSNorm computes in float32.


def written_out(weights: dict[str, Tensor], x: Tensor, words: Tensor, time: Tensor, rotation: Rotation) -> Tensor:
    def linear(name: str, y: Tensor) -> Tensor:
        return y @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def normalised(name: str, y: Tensor) -> Tensor:
        return y / (y.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weights[f"{name}.weight"]

    def heads(y: Tensor, turn: bool = False) -> Tensor:
        y = y.unflatten(-1, (4, 24)).transpose(1, 2)
        if not turn:
            return y
        pairs = torch.view_as_complex(y.unflatten(-1, (-1, 2)).contiguous())
        turned = pairs * torch.complex(rotation.cos, rotation.sin).transpose(0, 1)
        return torch.view_as_real(turned).flatten(-2)

    def attention(name: str, y: Tensor, keys: Tensor, turn: bool) -> Tensor:
        query = heads(normalised(f"{name}.norm_q", linear(f"{name}.q", y)), turn)
        key = heads(normalised(f"{name}.norm_k", linear(f"{name}.k", keys)), turn)
        mixed = scaled_dot_product_attention(query, key, heads(linear(f"{name}.v", keys)))
        return linear(f"{name}.o", mixed.transpose(1, 2).flatten(2))

    one, two, three, four, five, six = (weights["modulation"][0] + time[0]).unsqueeze(1)
    y = layer_norm(x, (64,), eps=1e-6) * (1 + two) + one
    x = x + three * attention("self_attn", y, y, turn=True)
    x = x + attention("cross_attn", x, words, turn=False)
    y = layer_norm(x, (64,), eps=1e-6) * (1 + five) + four
    return x + six * linear("ffn.2", gelu(linear("ffn.0", y), approximate="tanh"))


def test_even_layers_attend_to_language_and_odd_layers_to_images() -> None:
    expert = tiny_model().action
    inputs, positions = tiny_inputs(), camera_positions(3, 64).float()
    plain = expert.contexts(inputs.text, inputs.visual, positions)
    other_text = expert.contexts(inputs.text + 1, inputs.visual, positions)
    other_image = expert.contexts(inputs.text, inputs.visual + 1, positions)
    assert [own.key.shape[1] for own in plain] == [12, 27]
    for changed, expected in ((other_text, [True, False]), (other_image, [False, True])):
        assert [not torch.equal(a.value, b.value) for a, b in zip(plain, changed, strict=True)] == expected


def test_images_are_projected_and_marked_with_their_camera() -> None:
    expert = tiny_model().action
    inputs, positions = tiny_inputs(), camera_positions(3, 64).float()
    first, _, last = expert.visual_projector
    projected = last(silu(first(inputs.visual))) + positions
    expected = expert.layers[1].cross_attn.keys_values(projected.reshape(1, 27, 64))
    found = expert.contexts(inputs.text, inputs.visual, positions)[1]
    assert torch.allclose(found.value, expected.value, atol=1e-6)


def test_cameras_have_different_positions_and_patches_the_same() -> None:
    positions = camera_positions(3, 768)
    assert positions.shape == (3, 1, 768)
    assert positions[0, 0].tolist() == [0.0] * 384 + [1.0] * 384
    assert positions[2, 0, 0].item() == pytest.approx(torch.sin(torch.tensor(2.0)).item())
    assert positions[1, 0, 385].item() == pytest.approx(torch.cos(torch.tensor(10_000.0 ** (-1 / 384))).item())


def test_state_and_actions_share_an_encoder_and_the_value_has_its_own() -> None:
    expert = tiny_model().action
    state, samples = torch.randn(2, 1, 256), torch.randn(2, 33, 256)
    tokens = expert.tokens(state, samples)
    assert tokens.shape == (2, 34, 64)
    assert torch.allclose(tokens[:, :1], expert.action_encoder(state), atol=1e-6)
    assert torch.allclose(tokens[:, 1:33], expert.action_encoder(samples[:, :32]), atol=1e-6)
    assert torch.allclose(tokens[:, 33:], expert.value_encoder(samples[:, 32:]), atol=1e-6)


def test_predictions_are_decoded_after_a_modulated_normalisation() -> None:
    expert = tiny_model().action
    x, time = torch.randn(2, 34, 64), torch.randn(1, 1, 64)
    found = expert.predictions(x, time)
    shift, scale = expert.modulation[0] + time[0]
    y = layer_norm(x, (64,), eps=1e-6) * (1 + scale) + shift
    assert found.shape == (2, 33, 128)
    assert torch.allclose(found[:, :32], expert.action_decoder(y[:, 1:33]), atol=1e-5)
    assert torch.allclose(found[:, 32:], expert.value_decoder(y[:, 33:]), atol=1e-5)


def test_without_value_branch_there_is_no_value_token() -> None:
    expert = tiny_model(tiny_config(value=False)).action
    tokens = expert.tokens(torch.randn(2, 1, 256), torch.randn(2, 32, 256))
    assert tokens.shape == (2, 33, 64) and expert.predictions(tokens, torch.zeros(1, 1, 64)).shape == (2, 32, 128)
    assert not [name for name, _ in expert.named_parameters() if "value_" in name]


def test_a_model_before_training_predicts_zero() -> None:
    expert = MVWAM(tiny_config()).action
    assert (expert.predictions(torch.randn(1, 34, 64), torch.randn(1, 1, 64)) == 0).all()
