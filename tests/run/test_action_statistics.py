"""Statistics of actions in the ledger: ranges, values out of range, grippers; the same however an episode is played."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.toy.benchmark import Pushes
from tests.toy.runs import play, records
from wam_eval.benchmarks.libero.benchmark import PoseDelta
from wam_eval.benchmarks.robotwin.benchmark import HandPoses, JointTargets
from wam_eval.run.action_statistics import ActionStatistics, GripperUse, action_statistics
from wam_eval.run.ledger import Record, read_ledger

NO_STATE = np.zeros(8, np.float32)
HOME = np.array([*[0.0] * 6, 1.0] * 2, np.float32)


def measured(actions: list[list[float]]) -> ActionStatistics:
    found = action_statistics(np.array(actions, np.float32), PoseDelta(), NO_STATE)
    assert found is not None
    return found


def test_ranges_and_values_out_of_range() -> None:
    found = measured([[0.1, 0, 0, 0, 0, 0, -1], [2.5, 0, -0.25, 0, 0, 0, 1], [1.5, 0, 0, 0, 0, 0, 1.01]])
    assert found.low == (0.1, 0, -0.25, 0, 0, 0, -1) and found.high == (2.5, 0, 0, 0, 0, 0, 1.01)
    assert found.outside == {0: 2, 6: 1} and not found.still


@pytest.mark.parametrize(
    ("commands", "use"),
    [
        ([-1, -1, 1, 1, -1], GripperUse(open=3, closed=2, changes=2, opposes=False)),
        ([1, 1, 1], GripperUse(open=0, closed=3, changes=0, opposes=True)),
        ([0, 0, 1, 0, -1], GripperUse(open=1, closed=1, changes=1, opposes=True)),
        ([0, 0], GripperUse(open=0, closed=0, changes=0, opposes=False)),
    ],
)
def test_use_of_a_gripper(commands: list[float], use: GripperUse) -> None:
    assert measured([[0.5, 0, 0, 0, 0, 0, command] for command in commands]).grippers == (use,)


def test_the_side_of_a_gripper_at_the_start_is_that_of_the_no_op() -> None:
    space, closed = JointTargets(), HOME.copy()
    closed[6] = 0
    actions = np.repeat(HOME[None], 3, axis=0)
    first, second = (action_statistics(actions, space, state) for state in (HOME, closed))
    assert first and [use.opposes for use in first.grippers] == [False, False] and first.still
    assert second and [use.opposes for use in second.grippers] == [True, False] and not second.still


def test_distances_from_the_start() -> None:
    actions = np.repeat(HOME[None], 3, axis=0)
    actions[0, 2], actions[1:, 9] = 0.5, 3.5
    found = action_statistics(actions, JointTargets(), HOME)
    assert found and found.start == (0.5, 0.0) and found.outside == {9: 2}
    space = HandPoses()
    pose = space.hold(HOME, 2)
    pose[:, 2] += 0.1
    pose[:, 3:7] = 2 * np.roll(pose[:, 3:7], -1, axis=1)
    found = action_statistics(pose, space, HOME)
    assert found and found.start == (0.1, 0.0)
    left, right = found.quaternions
    assert (left.low, left.high) == (2.0, 2.0) and left.reordered < 1e-3 and left.start > 1.5
    assert (right.low, right.high) == (1.0, 1.0) and right.start < 1e-3


def test_quaternions_may_be_zero() -> None:
    found = action_statistics(np.zeros((2, 16), np.float32), HandPoses(), HOME)
    assert found and found.quaternions[0].high == 0 and found.quaternions[0].start == pytest.approx(np.pi, rel=1e-3)


def test_no_actions_have_no_statistics() -> None:
    assert action_statistics(np.zeros((0, 7), np.float32), PoseDelta(), NO_STATE) is None


@given(
    arrays(np.float32, st.tuples(st.integers(1, 30), st.just(7)), elements=st.floats(-(2.0**127), 2.0**127, width=32))
)
@settings(max_examples=40, deadline=None)
def test_statistics_of_any_actions_can_be_written_and_read(actions: np.ndarray) -> None:
    found = action_statistics(actions, PoseDelta(), NO_STATE)
    assert found is not None
    assert ActionStatistics.model_validate_json(found.model_dump_json()) == found
    (use,) = found.grippers
    assert all(0 < count <= len(actions) for count in found.outside.values())
    assert use.open + use.closed <= len(actions) and use.changes < len(actions)
    negated = action_statistics(-actions, PoseDelta(), NO_STATE)
    assert negated is not None and negated.low == tuple(-value for value in found.high)
    assert negated.outside == found.outside and (negated.grippers[0].open, negated.grippers[0].closed) == (
        *(use.closed, use.open),
    )


def test_minus_zero_is_zero() -> None:
    zeros = np.zeros((3, 7), np.float32)
    assert action_statistics(-zeros, PoseDelta(), NO_STATE) == action_statistics(zeros, PoseDelta(), NO_STATE)


# Runs


def test_each_episode_of_a_run_has_its_statistics(runs: Path) -> None:
    for record in records(play(episodes=3)).values():
        assert record.actions is not None
        assert record.actions.low == record.actions.high == (1.0,) * 7
        assert record.actions.grippers == (GripperUse(open=0, closed=record.steps, changes=0, opposes=False),)


def test_steps_that_were_undone_count_and_a_replay_has_the_same_statistics(runs: Path) -> None:
    """The replay is divided into other chunks."""
    first = records(play("clumsy", episodes=2, name="first"))
    assert all(record.undone and record.actions and record.actions.low[0] == -1 for record in first.values())
    again = records(play("replay", episodes=2, name="again", settings={"checkpoint": "first", "execute": 3}))
    assert {key: record.actions for key, record in again.items()} == {
        key: record.actions for key, record in first.items()
    }


def test_a_continued_run_has_the_same_statistics(runs: Path) -> None:
    whole = records(play(episodes=3, name="whole"))
    play(episodes=1, name="parts")
    assert {key: record.actions for key, record in records(play(episodes=3, name="parts")).items()} == {
        key: record.actions for key, record in whole.items()
    }


def test_an_episode_without_an_executed_action_has_no_statistics(runs: Path) -> None:
    found = records(play("faulty", episodes=4))
    assert [record.actions for record in found.values()] == [None] * 4


def test_lines_without_statistics_are_older_ledgers(runs: Path) -> None:
    folder = play()
    (record,) = records(folder).values()
    text = folder.ledger.read_text()
    start = text.index(',"actions":')
    folder.ledger.write_text(text[:start] + "}\n")
    assert read_ledger(folder.ledger).records == [record.model_copy(update={"actions": None})]
    assert Record.model_fields["actions"].default is None


def test_a_space_without_parts_has_ranges_and_grippers() -> None:
    space = Pushes()
    space.parts = ()
    found = action_statistics(np.ones((3, 7), np.float32), space, NO_STATE)
    assert found and found.start == () and found.quaternions == () and len(found.grippers) == 1
