"""The limit on identical errors of the policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.toy.runs import outcomes, play
from wam_eval.episode import Episode, Outcome
from wam_eval.errors import UserError
from wam_eval.run.identical_errors import IdenticalErrors, normalised
from wam_eval.run.ledger import Record

SAME = "KeyError: 'images' at 0x7f01"


def record(task: int, index: int, error: str | None = SAME, outcome: Outcome = Outcome.POLICY_ERROR) -> Record:
    """A finished episode."""
    episode = Episode("toy", task, "", index, f"task_{task}", f"push {task}", 0, 30)
    return Record.of(episode, outcome=outcome, steps=0, attempt=1, seconds={}, error=error)


def success(task: int, index: int) -> Record:
    """A success."""
    return record(task, index, None, Outcome.SUCCESS)


def test_a_mistake_in_the_set_up_stops_the_run(runs: Path) -> None:
    with pytest.raises(UserError) as stopped:
        play("stated", tasks="0,1", episodes=20, settings={"crash": "no key {key} in <object at {id}>"})
    text = str(stopped.value)
    assert text.startswith("8 episodes in a row ended in the same error of the policy: RuntimeError: no key toy/0")
    assert "logs/policy.log" in text and "--retry-errors" in text and "--max-identical-errors 0" in text
    assert list(outcomes().values()) == ["policy_error"] * 8, "they stay in the ledger"
    with pytest.raises(UserError, match="8 episodes in a row"):
        play("stated", tasks="0,1", episodes=20, settings={"crash": "no key {key}"}, simulators=4)
    assert 16 <= len(outcomes()) <= 20, "the same command plays the others"
    play("stated", tasks="0,1", episodes=20, retry_errors=True)
    assert list(outcomes().values()) == ["success"] * 40


def test_the_limit_can_be_changed_and_removed(runs: Path) -> None:
    with pytest.raises(UserError, match="2 episodes in a row"):
        play("stated", episodes=12, settings={"crash": "no"}, identical_errors=2)
    play("stated", episodes=12, settings={"crash": "no"}, identical_errors=0)
    assert list(outcomes().values()) == ["policy_error"] * 12


def test_a_success_or_failure_starts_the_counting_anew() -> None:
    errors = IdenticalErrors(3)
    for task in range(9):
        assert errors.add(record(task, 0), ()) is None
        assert errors.add(record(task, 1), ()) is None
        assert errors.add(success(task, 2), ()) is None


def test_other_errors_do_not_hide_the_one_that_repeats() -> None:
    errors = IdenticalErrors(3)
    for task in range(2):
        for one in (record(task, 0), record(task, 1, "another"), record(task, 2, "died", Outcome.SIMULATOR_ERROR)):
            assert errors.add(one, ()) is None
    assert errors.add(record(2, 0, "declined", Outcome.NOT_RUN), ()) is None
    assert "3 episodes in a row" in str(errors.add(record(3, 0), ()))


def test_a_task_with_a_fault_of_its_own_does_not_stop_the_others() -> None:
    """Its episodes end at once; those of the other simulators take longer, and succeed."""
    errors = IdenticalErrors(3)
    for index in range(20):
        assert errors.add(record(0, index), ["toy/01/000", "toy/02/000"]) is None
    assert errors.add(success(1, 0), ["toy/02/000"]) is None
    for index in range(20, 40):
        assert errors.add(record(0, index), ["toy/02/000"]) is None
    assert errors.add(success(2, 0), ()) is None
    assert [errors.add(record(task, index), ()) for index in range(40, 50) for task in (0, 3)] == [None] * 20


def test_errors_everywhere_stop_a_run_that_worked_before() -> None:
    """Such as a server whose memory is full."""
    errors = IdenticalErrors(3)
    errors.add(success(0, 0), ())
    assert errors.add(record(0, 1), ()) is None
    assert errors.add(record(1, 0), ()) is None
    assert "3 episodes" in str(errors.add(record(2, 0), ()))


def test_a_single_task_without_any_success_stops_the_run() -> None:
    errors = IdenticalErrors(2)
    assert errors.add(record(0, 0), ()) is None
    assert "2 episodes" in str(errors.add(record(0, 1), ()))


def test_episodes_that_began_earlier_are_awaited() -> None:
    errors = IdenticalErrors(2)
    assert errors.add(record(0, 0), ["toy/00/000", "toy/01/000"]) is None
    assert errors.add(record(0, 1), ["toy/01/000", "toy/00/002"]) is None
    assert "3 episodes" in str(errors.add(record(1, 0), ["toy/00/002"]))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("ValueError: 0.25 > 1e-3", "ValueError: -17 > 2"),
        ("<Tensor object at 0x7f01ab>", "<Tensor object at 0x55>"),
        ("see /tmp/a/b.log", "see /home/x.log"),
        ("toy/00/001: task_0 failed: push 0", "toy/01/003: task_1 failed: push 1"),
        ("request 1f0c2d3e-0a1b-4c5d-8e9f-001122334455", "request 00112233-4455-6677-8899-aabbccddeeff"),
        ("session deadbeef01", "session 0123456789ab"),
    ],
)
def test_texts_that_differ_in_details_are_the_same_error(first: str, second: str) -> None:
    assert normalised(record(0, 1, first)) == normalised(record(1, 3, second))


def test_texts_of_different_errors_stay_different() -> None:
    texts = ("KeyError: 'images'", "KeyError: 'image'", "out of memory", "action is nan")
    assert len({normalised(record(0, 0, text)) for text in texts}) == len(texts)
