"""Normalisation by quantiles: what lies between them returns, what lies beyond is clipped, nonsense is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wam_eval.models.preprocessing import Vector
from wam_eval.models.quantiles import Quantiles

NUMBERS = st.floats(-100, 100, width=32)


@st.composite
def quantiles(draw: st.DrawFn) -> Quantiles:
    pairs = draw(st.lists(st.tuples(NUMBERS, NUMBERS).map(sorted), min_size=1, max_size=5))
    low, high = np.array(pairs, np.float32).T
    return Quantiles(low, high)


def inside(given: Quantiles, seed: int) -> Vector:
    """Vectors (10, n) between the quantiles."""
    shares = np.random.default_rng(seed).random((10, len(given.low)))
    return (given.low + shares * (given.high - given.low)).astype(np.float32)


@given(quantiles(), st.integers(0, 2**32 - 1))
def test_numbers_between_the_quantiles_return(given: Quantiles, seed: int) -> None:
    vector = inside(given, seed)
    normalised = given.normalise(vector)
    assert normalised.dtype == np.float32 and (np.abs(normalised) <= 1).all()
    largest = np.maximum(np.abs(given.low), np.abs(given.high))
    assert (np.abs(given.denormalise(normalised) - vector) <= 1e-6 * largest + 1e-30).all()


@given(quantiles())
def test_quantiles_become_minus_one_and_one(given: Quantiles) -> None:
    varying = given.high > given.low
    assert np.array_equal(given.normalise(given.low), np.where(varying, -1, 0))
    assert np.array_equal(given.normalise(given.high), np.where(varying, 1, 0))


@given(quantiles(), st.floats(1, 100, width=32))
def test_numbers_beyond_the_quantiles_are_clipped(given: Quantiles, beyond: float) -> None:
    assert np.array_equal(given.normalise(given.high + np.float32(beyond)), given.normalise(given.high))
    assert np.array_equal(given.normalise(given.low - np.float32(beyond)), given.normalise(given.low))


def test_a_constant_number_becomes_zero_and_returns_as_the_constant() -> None:
    constant = Quantiles(np.array([3.0], np.float32), np.array([3.0], np.float32))
    assert constant.normalise(np.array([5.0], np.float32)).tolist() == [0]
    assert constant.denormalise(np.array([0.7], np.float32)).tolist() == [3]


def test_predictions_are_not_clipped() -> None:
    unit = Quantiles(np.array([0.0], np.float32), np.array([1.0], np.float32))
    assert unit.denormalise(np.array([1.5], np.float32)).tolist() == [1.25]


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        ([0, 2], [1, 1], "2.0 and 1.0 at index 1"),
        ([np.nan], [1], "nan and 1.0 at index 0"),
        ([0], [np.inf], "0.0 and inf at index 0"),
        ([0], [1, 2], r"shapes \(1,\) and \(2,\)"),
    ],
)
def test_impossible_quantiles_are_refused(low: list[float], high: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Quantiles(np.array(low, np.float32), np.array(high, np.float32))
