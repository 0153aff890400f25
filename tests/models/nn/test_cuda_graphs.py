"""CUDA graphs: answers equal those of the function itself, in any order of calls; on a CPU with static tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wam_eval.models.nn.cuda_graphs import GraphedFunction
from wam_eval.models.stages import Watch, unwatched

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def staged(inputs: Sequence[Tensor], watch: Watch) -> list[Tensor]:
    """Two stages, the second on the result of the first; one output is an input."""
    x, y = inputs
    with watch("first"):
        total = x + 2 * y
    with watch("second"):
        return [total.cumsum(-1), y]


def batch(rows: int, seed: int, device: str = "cpu") -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, 4, generator=generator).to(device) for _ in range(2)]


@pytest.mark.parametrize("device", DEVICES)
@given(calls=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 99)), min_size=1, max_size=6))
def test_answers_equal_those_of_the_function(device: str, calls: list[tuple[int, int]]) -> None:
    graphed = GraphedFunction(staged)
    kept = [(graphed(batch(rows, seed, device)), rows, seed) for rows, seed in calls]
    for answers, rows, seed in kept:  # compared at the end, because a later call must not change an earlier answer
        expected = staged(batch(rows, seed, device), unwatched)
        assert all(torch.equal(answer, wanted) for answer, wanted in zip(answers, expected, strict=True))


def test_stages_are_watched_in_order() -> None:
    stages = []

    @contextmanager
    def watch(stage: str) -> Iterator[None]:
        stages.append(stage)
        yield

    GraphedFunction(staged)(batch(3, 0), watch)
    assert stages == ["record", "first", "second"]
