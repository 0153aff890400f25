"""The predictive expert of HarmoWAM, written out in float64, and its contexts."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from tests.models.harmowam.tiny import tiny_config, tiny_inputs, tiny_model
from wam_eval.models.harmowam.config import HarmoWAMConfig
from wam_eval.models.mvwam.model import camera_positions


def written_out_noise(
    config: HarmoWAMConfig,
    weights: Mapping[str, Tensor],
    inputs: tuple[Tensor, Tensor, Tensor],
    actions: Tensor,
    state: Tensor | None,
    timestep: int,
) -> Tensor:
    """The noise in actions (T, A) that the expert predicts for one row.

    Args:
        config: of the model.
        weights: of the expert, float64.
        inputs: text (L, 32), SigLIP tokens (cameras, N, 48), and features (S, 96).
        actions, state: noisy actions, and the state (state_dim,).
        timestep: of the diffusion.
    """
    sizes = config.predictive
    text, visual, features = inputs

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def silu(x: Tensor) -> Tensor:
        return x / (1 + torch.exp(-x))

    def gelu(x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3)))

    def standard(x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + sizes.eps).sqrt()

    def rms(name: str, x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + sizes.eps).sqrt() * weights[f"{name}.weight"]

    def rotated(x: Tensor) -> Tensor:
        width, out = sizes.head_dim, x.clone()
        for position in range(len(x)):
            for head in range(sizes.heads):
                for pair in range(width // 2):
                    angle = position * 10_000.0 ** (-2 * pair / width)
                    at = head * width + 2 * pair
                    a, b = x[position, at], x[position, at + 1]
                    out[position, at] = a * math.cos(angle) - b * math.sin(angle)
                    out[position, at + 1] = a * math.sin(angle) + b * math.cos(angle)
        return out

    def attention(name: str, x: Tensor, keys: Tensor, turn: bool) -> Tensor:
        query, key = rms(f"{name}.norm_q", linear(f"{name}.q", x)), rms(f"{name}.norm_k", linear(f"{name}.k", keys))
        if turn:
            query, key = rotated(query), rotated(key)
        value, parts = linear(f"{name}.v", keys), []
        for head in range(sizes.heads):
            own = slice(head * sizes.head_dim, (head + 1) * sizes.head_dim)
            scores = torch.exp(query[:, own] @ key[:, own].T / sizes.head_dim**0.5)
            parts.append(scores / scores.sum(1, keepdim=True) @ value[:, own])
        return linear(f"{name}.o", torch.cat(parts, dim=1))

    words = linear("text_embedding.2", gelu(linear("text_embedding.0", text)))
    seen = linear("visual_projector.2", silu(linear("visual_projector.0", visual)))
    for camera in range(len(seen)):
        frequencies = 10_000.0 ** -(torch.arange(sizes.dim // 2, dtype=torch.float64) / (sizes.dim // 2))
        seen[camera] += torch.cat([torch.sin(camera * frequencies), torch.cos(camera * frequencies)])
    ahead = linear("feature_projector.2", silu(linear("feature_projector.0", standard(features))))
    separate = [words, seen.flatten(0, 1), ahead]
    contexts = [torch.cat(separate)] if config.conditioning == "joined" else separate

    half = sizes.time_dim // 2
    angles = timestep * 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    waves = torch.cat([angles.cos(), angles.sin()])
    embedded = linear("time_embedding.2", silu(linear("time_embedding.0", waves)))
    time = linear("time_projection.1", silu(embedded)).reshape(6, sizes.dim)

    x = linear("action_encoder", actions)
    if state is not None:
        x = torch.cat([linear("state_encoder", state[None]), x])
    for index in range(sizes.layers):
        block = f"blocks.{index}"
        one, two, three, four, five, six = weights[f"{block}.modulation"][0] + time
        y = standard(x) * (1 + two) + one
        x = x + three * attention(f"{block}.self_attn", y, y, turn=True)
        y = standard(x) * weights[f"{block}.norm3.weight"] + weights[f"{block}.norm3.bias"]
        x = x + attention(f"{block}.cross_attn", y, contexts[index % len(contexts)], turn=False)
        y = standard(x) * (1 + five) + four
        x = x + six * linear(f"{block}.ffn.2", gelu(linear(f"{block}.ffn.0", y)))
    shift, scale = weights["modulation"][0] + embedded
    return linear("head", standard(x[-config.horizon :]) * (1 + scale) + shift)


def test_contexts_are_one_sequence_or_alternate() -> None:
    inputs, positions = tiny_inputs(), camera_positions(3, 64).float()
    features = torch.randn(1, 6, 96, generator=torch.Generator().manual_seed(0))
    lengths = {"joined": [12 + 27 + 6] * 4, "alternating": [12, 27, 6, 12]}
    for conditioning, expected in lengths.items():
        expert = tiny_model(tiny_config(conditioning=conditioning)).predictive
        contexts = expert.contexts(inputs.text, inputs.visual, features, positions)
        assert [own.key.shape[1] for own in contexts] == expected


def test_large_features_are_normalised() -> None:
    expert, inputs, positions = tiny_model().predictive, tiny_inputs(), camera_positions(3, 64).float()
    features = 10 * torch.randn(1, 6, 96, generator=torch.Generator().manual_seed(0))
    one, other = (expert.contexts(inputs.text, inputs.visual, x, positions)[0].value for x in (features, 7 * features))
    assert torch.allclose(one, other, atol=1e-5)


def test_the_state_is_a_token_before_the_actions() -> None:
    with_state, without = (tiny_model(tiny_config(14, state)).predictive for state in (8, None))
    actions, state = torch.randn(2, 12, 14), torch.randn(2, 8)
    tokens = with_state.tokens(actions, state)
    assert tokens.shape == (2, 13, 64) and without.tokens(actions, None).shape == (2, 12, 64)
    assert torch.allclose(tokens[:, 1:], with_state.action_encoder(actions), atol=1e-6)
    assert not [name for name, _ in without.named_parameters() if name.startswith("state_")]
    time = torch.randn(1, 1, 64)
    changed = torch.cat([tokens[:, :1] + 1, tokens[:, 1:]], dim=1)
    assert torch.equal(with_state.noise(tokens, time), with_state.noise(changed, time))
