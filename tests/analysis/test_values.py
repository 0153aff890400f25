"""Predicted values: AUROC within tasks, the reliability diagram, and the statement about rollbacks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.runs import records_of, run_record
from wam_eval.analysis.frame import RunData, run_data
from wam_eval.analysis.values import TaskValues, reliability, values_of


def run(success: Sequence[bool], values: Sequence[tuple[float, ...]], rollbacks: Sequence[int] = ()) -> RunData:
    """A run of two tasks with chosen outcomes, values and rollbacks of four undone steps each."""
    record = run_record("mine", {"libero_goal": 2}, len(success) // 2)
    returns = rollbacks or [0] * len(success)
    records = [
        one.model_copy(update={"values": given, "rollbacks": count, "undone": 4 * count})
        for one, given, count in zip(records_of(record, np.array(success)), values, returns, strict=True)
    ]
    return run_data(record, records)


def test_the_auroc_compares_episodes_of_the_same_task() -> None:
    """All values of the second task are higher, which says nothing about its episodes."""
    found = values_of(run([True, False, True, False], [(0.2, 0.4), (0.1, 0.1), (0.8,), (0.9,)]))
    assert found is not None and found.auroc == 0.5
    assert [task.auroc for task in found.tasks] == [1.0, 0.0]
    assert (found.episodes, found.chunks) == (4, 6)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=20))
def test_the_auroc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[int, bool]]) -> None:
    won = tuple(float(value) for value, success in pairs if success)
    lost = tuple(float(value) for value, success in pairs if not success)
    auroc = TaskValues("suite", 0, won, lost).auroc
    if won and lost:
        assert auroc == pytest.approx(np.mean([(one > other) + 0.5 * (one == other) for one in won for other in lost]))
    else:
        assert auroc is None


def test_bins_have_equal_numbers_and_their_means() -> None:
    values, success = np.arange(100) / 100, np.arange(100) >= 50
    bins = reliability(values, success)
    assert [one.chunks for one in bins] == [10] * 10
    assert [one.success for one in bins] == [0.0] * 5 + [1.0] * 5
    assert bins[0].value == pytest.approx(0.045)


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=80))
def test_every_chunk_is_in_one_bin_and_equal_values_in_the_same(pairs: list[tuple[int, bool]]) -> None:
    values, success = (np.array(column) for column in zip(*pairs, strict=True))
    bins = reliability(values.astype(float), success)
    assert sum(one.chunks for one in bins) == len(pairs)
    assert sum(one.success * one.chunks for one in bins) == pytest.approx(success.sum())
    assert all(one.chunks for one in bins)
    means = [one.value for one in bins]
    assert means == sorted(means) and len(set(means)) == len(means)


def test_a_policy_without_values_has_none() -> None:
    assert values_of(run([True, False], [(), ()])) is None


def test_rollbacks_are_stated_with_the_numbers() -> None:
    data = run([True, False, True, True], [(0.5,)] * 4, [2, 0, 0, 1])
    found = values_of(data)
    assert found is not None and (found.rollbacks, found.undone, found.with_rollback) == (3, 12, 2)
    (text,) = [remark for remark in data.remarks if "rollback" in remark]
    assert text == (
        "With rollback: 2 of 4 episodes returned to an earlier state of the simulation (in all 3 times, 12 steps "
        "undone), which is part of no benchmark's protocol."
    )
    assert not [remark for remark in run([True, False], [(0.5,)] * 2).remarks if "rollback" in remark]
