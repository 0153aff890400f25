"""Transformers over several streams: rotary embedding, normalisation, masks, and caches against one masked pass."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.builders.models import first_frame_causal
from wam_eval.models.nn.transformer import (
    KeyValue,
    Projection,
    RMSNorm,
    Rotation,
    Stream,
    append_actions,
    continued,
    grid_rotation,
    joint,
    layer,
    prefill,
    rotate,
)

HEADS, HEAD_DIM, LAYERS, FRAMES, ACTIONS = 2, 12, 3, 3, 5
TOKENS = 4  # per frame
WIDE, NARROW = 24, 16  # The streams have different widths and attend to each other.
SEEDS = st.integers(0, 2**31 - 1)


class ParallelBlock(nn.Module):
    """A layer whose attention and feed-forward part have one input, as in FLUX; its condition is a shift per token."""

    heads = HEADS

    def __init__(self, dim: int) -> None:
        super().__init__()
        width = HEADS * HEAD_DIM
        self.into = nn.Linear(dim, 3 * width + dim)
        self.out = nn.Linear(width + dim, dim)
        self._widths = [width, width, width, dim]

    def project(self, x: Tensor, condition: Tensor) -> Projection:
        query, key, value, hidden = self.into(nn.functional.layer_norm(x, x.shape[-1:]) + condition).split(
            self._widths, dim=-1
        )
        return Projection(query, KeyValue(key, value), hidden)

    def finish(self, x: Tensor, attended: Tensor, rest: Tensor) -> Tensor:
        return x + self.out(torch.cat([attended, torch.tanh(rest)], dim=-1))


@dataclass(frozen=True)
class Case:
    """A video whose first frame attends only to itself, and actions that attend to everything."""

    video: list[ParallelBlock]
    action: list[ParallelBlock]
    whole: Stream
    actions: Stream

    @property
    def first(self) -> Stream:
        return self._part(slice(0, TOKENS))

    @property
    def rest(self) -> Stream:
        return self._part(slice(TOKENS, None))

    def _part(self, which: slice) -> Stream:
        return Stream(self.whole.tokens[:, which], [shift[:, which] for shift in self.whole.conditions])


@pytest.fixture
def case() -> Case:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        return Case(
            video=[ParallelBlock(WIDE).requires_grad_(False) for _ in range(LAYERS)],
            action=[ParallelBlock(NARROW).requires_grad_(False) for _ in range(LAYERS)],
            whole=stream(FRAMES * TOKENS, WIDE),
            actions=stream(ACTIONS, NARROW),
        )


def stream(count: int, dim: int) -> Stream:
    return Stream(torch.randn(1, count, dim), [torch.randn(1, count, dim) for _ in range(LAYERS)])


def masked_pass(streams: list[Stream], layers: list[list[ParallelBlock]], mask: Tensor) -> list[Tensor]:
    """The definition: all tokens of all streams in every layer, with one mask."""
    tokens = [stream.tokens for stream in streams]
    for index, blocks in enumerate(zip(*layers, strict=True)):
        tokens, _ = layer(blocks, tokens, [stream.conditions[index] for stream in streams], None, mask)
    return tokens


def test_prefilled_first_frame_serves_the_later_frames(case: Case) -> None:
    (whole,) = masked_pass([case.whole], [case.video], first_frame_causal(FRAMES, TOKENS))
    rest = continued(case.video, case.rest, prefill(case.video, case.first))
    assert torch.allclose(rest, whole[:, TOKENS:], atol=1e-5)


def test_prefilled_video_serves_the_actions(case: Case) -> None:
    mask = append_actions(torch.ones(TOKENS, TOKENS, dtype=torch.bool), ACTIONS)
    _, actions = masked_pass([case.first, case.actions], [case.video, case.action], mask)
    past = prefill(case.video, case.first)
    assert torch.allclose(continued(case.action, case.actions, past), actions, atol=1e-5)


def test_streams_attend_jointly_after_a_prefilled_one(case: Case) -> None:
    layers = [case.video, case.action]
    mask = append_actions(first_frame_causal(FRAMES, TOKENS), ACTIONS)
    whole, actions = masked_pass([case.whole, case.actions], layers, mask)
    past = prefill(case.video, case.first)
    rest, also = joint(layers, [case.rest, case.actions], past, mask[TOKENS:])
    assert torch.allclose(rest, whole[:, TOKENS:], atol=1e-5)
    assert torch.allclose(also, actions, atol=1e-5)


def test_prefill_continues_after_a_prefilled_stream(case: Case) -> None:
    first = prefill(case.video, case.first)
    past = prefill(case.video, case.rest, first)
    assert {kv.key.shape[1] for kv in past} == {FRAMES * TOKENS}
    for both, own in zip(past, first, strict=True):
        assert torch.equal(both.key[:, :TOKENS], own.key)
        assert torch.equal(both.value[:, :TOKENS], own.value)


def test_masked_tokens_do_not_change_a_prefill(case: Case) -> None:
    plain, masked = (prefill(case.video, case.first, masked=masked) for masked in (0, 7))
    for one, other in zip(plain, masked, strict=True):
        assert one.key.shape == other.key.shape
        assert torch.allclose(one.key, other.key, atol=1e-5) and torch.allclose(one.value, other.value, atol=1e-5)


def test_each_layer_receives_its_own_condition(case: Case) -> None:
    for index in range(LAYERS):
        conditions = [x + (number == index) for number, x in enumerate(case.first.conditions)]
        changed = prefill(case.video, replace(case.first, conditions=conditions))
        differ = [
            not torch.equal(one.key, other.key)
            for one, other in zip(changed, prefill(case.video, case.first), strict=True)
        ]
        assert differ == [number >= index for number in range(LAYERS)]


def drawn(mask: Tensor) -> list[str]:
    return ["".join("x" if allowed else "." for allowed in row) for row in mask]


def test_no_video_token_attends_to_an_action() -> None:
    mask = append_actions(first_frame_causal(frames=2, tokens=1), actions=2)
    assert drawn(mask) == ["x...", "xx..", "xxxx", "xxxx"]


def test_a_mask_may_have_more_keys_than_queries() -> None:
    """One video token that also attends to two prefilled ones, and one action."""
    assert drawn(append_actions(torch.ones(1, 3, dtype=torch.bool), actions=1)) == ["xxx.", "xxxx"]


def tokens(seed: int, length: int, heads: int, head_dim: int) -> Tensor:
    return torch.randn(2, length, heads * head_dim, generator=torch.Generator().manual_seed(seed))


@given(seed=SEEDS, length=st.integers(1, 9))
def test_a_rotation_preserves_lengths(seed: int, length: int) -> None:
    x = tokens(seed, length, 3, 12)
    rotated = rotate(x, grid_rotation((12,), (length,)), heads=3)
    lengths, expected = (vector.unflatten(-1, (-1, 2)).norm(dim=-1) for vector in (rotated, x))
    assert torch.allclose(lengths, expected, atol=1e-5)


@given(seed=SEEDS, shift=st.integers(0, 20))
def test_products_depend_only_on_the_distance(seed: int, shift: int) -> None:
    query, key = tokens(seed, 1, 1, 24), tokens(seed + 1, 1, 1, 24)
    cos, sin = grid_rotation((24,), (40,))

    def product(query_position: int, key_position: int) -> Tensor:
        one, other = (
            rotate(x, Rotation(cos[position : position + 1], sin[position : position + 1]), 1)
            for x, position in ((query, query_position), (key, key_position))
        )
        return (one * other).sum(-1)

    assert torch.allclose(product(7 + shift, 3 + shift), product(7, 3), atol=1e-4)


def test_the_first_token_is_not_rotated() -> None:
    x = tokens(0, 1, 2, 24)
    assert torch.equal(rotate(x, grid_rotation((24,), (1,)), 2), x)
    assert torch.equal(rotate(x, grid_rotation((8, 8, 8), (1, 1, 1)), 2), x)


def test_each_axis_rotates_its_own_channels() -> None:
    """44, 42 and 42 of 128 channels belong to the axes: 22, 21 and 21 pairs. The last axis is the fastest."""
    cos, _ = grid_rotation((44, 42, 42), (2, 2, 2))
    one = torch.ones(64, dtype=torch.float64)
    last, middle, first = cos[1, 0], cos[2, 0], cos[4, 0]
    assert torch.equal(last == one, torch.arange(64) < 43)
    assert torch.equal(middle == one, (torch.arange(64) < 22) | (torch.arange(64) >= 43))
    assert torch.equal(first == one, torch.arange(64) >= 22)


def test_frequencies_fall_from_one_radian_per_position() -> None:
    cos, sin = grid_rotation((128,), (2,))
    angles = torch.atan2(sin, cos)[1, 0]
    assert angles[0] == 1.0
    assert angles[-1] == pytest.approx(10_000 ** (-126 / 128))


def test_positions_may_be_closer_than_one() -> None:
    quarter, whole = grid_rotation((24,), (9,), 0.25), grid_rotation((24,), (3,))
    assert torch.equal(quarter.cos[::4], whole.cos) and torch.equal(quarter.sin[::4], whole.sin)
    assert torch.atan2(quarter.sin, quarter.cos)[1, 0, 0] == pytest.approx(0.25)


def test_rotations_are_in_double_precision_and_results_are_not() -> None:
    assert grid_rotation((24,), (5,)).cos.dtype == torch.float64
    x = tokens(0, 5, 1, 24).bfloat16()
    assert rotate(x, grid_rotation((24,), (5,)), 1).dtype == torch.bfloat16


def test_odd_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="16 channels of a head cannot be divided into"):
        grid_rotation((6, 5, 5), (1, 2, 2))


def test_rms_norm_equals_that_of_torch_in_float32() -> None:
    x = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(16, generator=torch.Generator().manual_seed(1))
    ours, theirs = RMSNorm(16, 1e-6), torch.nn.RMSNorm(16, 1e-6)
    ours.weight.data.copy_(weight)
    theirs.weight.data.copy_(weight)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)


def test_rms_norm_rounds_before_the_weight_is_applied() -> None:
    norm = RMSNorm(64, 1e-6).bfloat16()
    norm.weight.data.fill_(1.7)
    x = torch.randn(8, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    full = x.float()
    unit = full * torch.rsqrt(full.square().mean(-1, keepdim=True) + 1e-6)
    assert torch.equal(norm(x), unit.bfloat16() * norm.weight)
    assert not torch.equal(norm(x), (unit * norm.weight.float()).bfloat16())
