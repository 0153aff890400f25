"""Value-guided rollback: decisions for predicted values, and what they change in whole runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.toy.runs import play, records
from wam_eval import compare
from wam_eval.observation import ActionChunk, Rollback
from wam_eval.trajectory import RolledBack, StateKept, read_trajectory
from wam_eval.value_guide import PEAK, RollbackSettings, ValueGuide

CHUNK = ActionChunk(np.ones((2, 7), np.float32), {"ms_total": 3.0})


def decisions(values: list[float], **settings: Any) -> list[str]:
    """The decision for each predicted value: ``keep``, ``go`` on, or ``back``."""
    guide = ValueGuide(RollbackSettings(**settings))
    guide.begin("a")
    answers = [guide.decide("a", CHUNK, value) for value in values]
    return ["back" if isinstance(one, Rollback) else "keep" if one.keep else "go" for one in answers]


def test_the_best_state_is_kept_and_a_fall_below_it_is_undone() -> None:
    assert decisions([0.3, 0.5, 0.31, 0.29, 0.5, 0.6]) == ["keep", "keep", "go", "back", "keep", "keep"]


def test_the_threshold_is_exclusive_and_a_setting() -> None:
    assert decisions([0.5, 0.25], delta=0.25) == ["keep", "go"]
    assert decisions([0.5, 0.24], delta=0.25) == ["keep", "back"]


def test_the_number_of_rollbacks_is_limited() -> None:
    assert decisions([0.9, 0.1, 0.1, 0.1, 0.1, 0.1]) == ["keep", "back", "back", "back", "go", "go"]
    assert decisions([0.9, 0.1, 0.1], most=1) == ["keep", "back", "go"]


def test_without_rollbacks_values_are_recorded_and_no_state_is_kept() -> None:
    assert decisions([0.9, 0.1], most=0) == ["go", "go"]


def test_an_answer_has_its_value_and_its_measurements() -> None:
    guide = ValueGuide(RollbackSettings())
    guide.begin("a")
    kept, back = guide.decide("a", CHUNK, 0.9), guide.decide("a", CHUNK, 0.1)
    assert isinstance(kept, ActionChunk) and (kept.value, kept.keep, kept.measured) == (0.9, PEAK, CHUNK.measured)
    assert back == Rollback(PEAK, CHUNK.measured, 0.1)


def test_episodes_are_apart_and_a_new_attempt_begins_anew() -> None:
    guide = ValueGuide(RollbackSettings())
    guide.begin("a")
    guide.begin("b")
    guide.decide("a", CHUNK, 0.9)
    assert isinstance(guide.decide("b", CHUNK, 0.1), ActionChunk)
    assert isinstance(guide.decide("a", CHUNK, 0.1), Rollback)
    assert (guide.rollbacks("a"), guide.rollbacks("b")) == (1, 0)
    guide.begin("a")
    assert guide.rollbacks("a") == 0 and isinstance(guide.decide("a", CHUNK, 0.1), ActionChunk)


@given(st.lists(st.floats(-5, 5), max_size=30), st.floats(0.01, 3), st.integers(0, 4))
def test_laws(values: list[float], delta: float, most: int) -> None:
    """At most so many rollbacks, only below a peak that was kept, and the highest value is always kept."""
    found = decisions(values, delta=delta, most=most)
    assert found.count("back") <= most
    for place, (value, decision) in enumerate(zip(values, found, strict=True)):
        peak = max(values[:place], default=-math.inf)
        assert decision != "back" or value < peak - delta
        assert (decision == "keep") == (most > 0 and value >= peak)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_named(value: float) -> None:
    guide = ValueGuide(RollbackSettings())
    guide.begin("a")
    with pytest.raises(ValueError, match=f"the predicted value is {value}"):
        guide.decide("a", CHUNK, value)


@pytest.mark.parametrize("settings", [{"delta": 0}, {"delta": -1}, {"delta": math.nan}, {"most": -1}, {"depth": 1}])
def test_nonsense_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        RollbackSettings.model_validate(settings)


# Whole runs


def test_values_and_rollbacks_are_in_the_ledger_and_in_the_trajectory(runs: Path) -> None:
    folder = play("wavering", episodes=10)
    found = records(folder)
    assert any(record.rollbacks for record in found.values())
    for key, record in found.items():
        events = read_trajectory(folder.trajectory_file(key)).events
        chunks = [event for event in events if not isinstance(event, StateKept | RolledBack)]
        assert len(record.values) == len(chunks) and max(record.values) <= 1
        assert [event.value for event in chunks] == pytest.approx(record.values, abs=1e-6)
        returns = [event for event in events if isinstance(event, RolledBack)]
        assert len(returns) == record.rollbacks <= 3
        assert all(event.name == PEAK and event.value is not None for event in returns)


def test_a_value_that_is_not_finite_is_an_error_of_its_episode(runs: Path) -> None:
    play("wavering", settings={"broken": True})
    record = records()["toy/00/000"]
    assert record.outcome.value == "policy_error" and "the predicted value is nan" in str(record.error)


def test_what_runs_beside_an_episode_does_not_change_it(runs: Path) -> None:
    together, alone = play("wavering", episodes=6, simulators=3, name="together"), play("wavering", name="alone")
    (key,) = records(alone)
    assert records(together)[key].values == records(alone)[key].values
    first, second = (read_trajectory(folder.trajectory_file(key)) for folder in (together, alone))
    assert np.array_equal(first.actions, second.actions) and first.rollbacks == second.rollbacks


def test_rollback_helps_a_policy_that_errs_and_knows_its_value(runs: Path) -> None:
    """Paired by episode: the same policy, with and without rollback."""
    play("wavering", tasks="0,1", episodes=20, name="with_rollback")
    play("wavering", tasks="0,1", episodes=20, name="without", settings={"rollback": {"most": 0}})
    compared = compare(["with_rollback", "without"])
    (row,) = [row for row in compared.rows if row.level == "overall"]
    assert [note.partition(":")[0] for note in compared.notes] == ["with_rollback"]
    assert row.verdict.value == "better" and row.difference is not None and row.difference > 0.15
    assert sum(record.rollbacks for record in records("with_rollback").values()) > 20
