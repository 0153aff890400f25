"""Batches of a fixed shape: rows, their filling, and the check that they are computed alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wam_eval.errors import UserError
from wam_eval.models.batches import Batches, BatchSettings, choose_batches, rows_alike

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@given(items=st.lists(st.integers(), max_size=20), rows=st.none() | st.integers(1, 6), powers=st.booleans())
def test_every_item_is_in_one_group_in_order(items: list[int], rows: int | None, powers: bool) -> None:
    batches = Batches(rows, powers)
    groups = list(batches.groups(items))
    assert [item for group in groups for item in group] == items
    for group in groups:
        filled = batches.filled(group)
        assert filled[: len(group)] == list(group) and set(filled[len(group) :]) <= {group[-1]}
        assert rows is None or len(filled) == rows


def test_fast_batches_are_one_call_of_their_size_or_the_next_power_of_two() -> None:
    sizes = range(1, 10)
    assert [len(list(Batches(None).groups(range(size)))) for size in sizes] == [1] * 9
    assert [len(Batches(None).filled(range(size))) for size in sizes] == list(sizes)
    assert [len(Batches(None, powers=True).filled(range(size))) for size in sizes] == [1, 2, 4, 4, 8, 8, 8, 8, 16]


def untouched(rows: int) -> bool:
    raise AssertionError("one row and fast batches need no check")


@pytest.mark.parametrize(
    ("settings", "device", "alike", "expected"),
    [
        (BatchSettings(), CPU, untouched, Batches(1)),
        (BatchSettings(rows=1), GPU, untouched, Batches(1)),
        (BatchSettings(), GPU, lambda rows: True, Batches(4)),
        (BatchSettings(), GPU, lambda rows: False, Batches(1)),
        (BatchSettings(rows=3), CPU, lambda rows: rows == 3, Batches(3)),
        (BatchSettings(batch="fast"), GPU, untouched, Batches(None, powers=True)),
    ],
)
def test_the_rows_of_a_batch(
    settings: BatchSettings, device: torch.device, alike: Callable[[int], bool], expected: Batches
) -> None:
    assert choose_batches(settings, device, accelerate=True, alike=alike) == expected


def test_requested_rows_that_are_not_computed_alike_are_refused() -> None:
    with pytest.raises(UserError, match=r"`rows: 3`: on this device .* Use `rows: 1`"):
        choose_batches(BatchSettings(rows=3), CPU, accelerate=False, alike=lambda rows: False)


def test_rows_belong_to_fixed_batches() -> None:
    with pytest.raises(ValueError, match="leave it out with `batch: fast`"):
        BatchSettings(batch="fast", rows=2)
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        BatchSettings(rows=0)


def product(inputs: Sequence[Tensor]) -> list[Tensor]:
    """A function whose rows are computed alike."""
    return [inputs[0].exp() * 3]


def by_place(inputs: Sequence[Tensor]) -> list[Tensor]:
    """Adds the last bit in the last row."""
    (result,) = product(inputs)
    result[-1] *= 1 + 2.0**-23
    return [result]


def by_content(inputs: Sequence[Tensor]) -> list[Tensor]:
    """Adds little of the mean of all rows to a second result."""
    (result,) = product(inputs)
    return [result, result + 1e-5 * inputs[0].mean()]


@pytest.mark.parametrize(("function", "expected"), [(product, True), (by_place, False), (by_content, False)])
def test_rows_are_compared_bit_for_bit(function: Callable[[Sequence[Tensor]], list[Tensor]], expected: bool) -> None:
    inputs = [torch.randn(3, 50, generator=torch.Generator().manual_seed(0))]
    assert rows_alike(function, inputs) is expected
