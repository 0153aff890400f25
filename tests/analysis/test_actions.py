"""Warnings about actions: each convention that is missed has its own, and proper actions have none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.builders.runs import planned_episodes, run_record
from tests.toy.benchmark import Pushes
from wam_eval.analysis.actions import ActionData, action_data, action_warnings, warnings_of
from wam_eval.analysis.estimates import Summary, summarize
from wam_eval.analysis.frame import run_data
from wam_eval.benchmark import ActionSpace
from wam_eval.benchmarks.libero.benchmark import PoseDelta
from wam_eval.benchmarks.robotwin.benchmark import HandPoses, JointTargets
from wam_eval.episode import Outcome
from wam_eval.run.action_statistics import ActionStatistics, action_statistics
from wam_eval.run.ledger import Record

Actions = NDArray[np.float32]

HOME = np.array([*[0.0] * 6, 1.0] * 2, np.float32)
"""Proprioception of RoboTwin's robot at the start: both arms at zero, both grippers open."""
STEPS = 120


def smooth(dim: int, seed: int, knots: int = 9) -> NDArray[np.float64]:
    """Random values (STEPS, dim) in -1 to 1 that change slowly, as those of a policy."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (knots, dim))
    return np.stack([np.interp(np.linspace(0, knots - 1, STEPS), range(knots), column) for column in points.T], axis=1)


def gripping(seed: int, open_: float, closed: float) -> NDArray[np.float64]:
    """Commands (STEPS,) of a gripper that is open, closes around an object, and opens."""
    rng = np.random.default_rng(seed)
    start, end = 20 + rng.integers(20), 80 + rng.integers(20)
    inside = (np.arange(STEPS) >= start) & (np.arange(STEPS) < end)
    return np.where(inside, closed, open_)


def deltas(seed: int, size: float = 0.9) -> Actions:
    """Proper actions of :class:`PoseDelta`."""
    return np.column_stack([size * smooth(6, seed), gripping(seed, -1, 1)]).astype(np.float32)


def joints(seed: int, size: float = 1.4) -> Actions:
    """Proper actions of :class:`JointTargets`, from the robot's start on."""
    path = size * smooth(12, seed) * np.linspace(0, 1, STEPS)[:, None]
    grippers = [gripping(seed + side, 1, 0)[:, None] for side in (0, 1)]
    return np.hstack([path[:, :6], grippers[0], path[:, 6:], grippers[1]]).astype(np.float32)


def poses(seed: int, size: float = 0.15) -> Actions:
    """Proper actions of :class:`HandPoses`: the hands move from their start and turn about the vertical axis."""
    start = HandPoses().hold(HOME, 1)[0].astype(np.float64)
    ramp = np.linspace(0, 1, STEPS)
    path = np.repeat(start[None], STEPS, axis=0)
    shift, turn = size * smooth(6, seed) * ramp[:, None], 0.5 * smooth(2, seed + 1) * ramp[:, None]
    for side, first in enumerate((0, 8)):
        path[:, first : first + 3] += shift[:, 3 * side : 3 * side + 3]
        c, s = np.cos(turn[:, side] / 2), np.sin(turn[:, side] / 2)
        w, x, y, z = path[:, first + 3 : first + 7].T
        turned = np.stack([c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w], axis=1)
        path[:, first + 3 : first + 7] = turned
        path[:, first + 7] = gripping(seed + side, 1, 0)
    return path.astype(np.float32)


PROPER: dict[type[ActionSpace], Callable[[int], Actions]] = {
    PoseDelta: deltas,
    JointTargets: joints,
    HandPoses: poses,
}


def data_of(
    space: ActionSpace, episodes: Sequence[Actions], rate: float | None = 0.0, won: Sequence[bool] | None = None
) -> ActionData:
    found = [action_statistics(actions, space, HOME) for actions in episodes]
    return ActionData(
        benchmark="mine",
        title="MINE",
        suites=("suite",),
        space=space,
        steps=np.array([len(actions) for actions in episodes]),
        episodes=tuple(one for one in found if one is not None),
        success=np.array(won or [False] * len(episodes)),
        rate=rate,
    )


def warned(space: ActionSpace, episodes: Sequence[Actions], rate: float | None = 0.0) -> list[str]:
    return warnings_of(data_of(space, episodes, rate))


def only(found: list[str]) -> str:
    assert len(found) == 1, found
    return found[0]


def changed(actions: Actions, columns: slice | list[int] | int, by: Callable[[Any], Any]) -> Actions:
    """Actions with other values in some columns."""
    found = actions.copy()
    found[:, columns] = by(found[:, columns])
    return found


# Proper actions


@pytest.mark.parametrize("space", list(PROPER))
@pytest.mark.parametrize("count", [1, 3, 12])
def test_proper_actions_have_no_warnings_even_if_no_episode_succeeds(space: type[ActionSpace], count: int) -> None:
    assert warned(space(), [PROPER[space](seed) for seed in range(count)]) == []


@pytest.mark.parametrize("space", [PoseDelta, JointTargets, HandPoses])
def test_random_actions_have_no_warnings(space: type[ActionSpace]) -> None:
    for count in (1, 5, 8):
        streams = [np.random.default_rng((count, i)) for i in range(count)]
        found = warned(space(), [space().random(HOME, 300, stream) for stream in streams])
        assert found == []


@pytest.mark.parametrize("space", [PoseDelta, JointTargets, HandPoses])
def test_holding_still_is_stated_as_a_fact(space: type[ActionSpace]) -> None:
    text = only(warned(space(), [space().hold(HOME, 60)] * 4))
    assert text == "all actions of all 4 episodes are the no-op of MINE: the policy holds the robot still."


@given(st.integers(0, 10**6), st.floats(0.3, 1.0), st.sampled_from(list(PROPER)))
@settings(max_examples=25, deadline=None)
def test_no_proper_policy_is_suspected(seed: int, size: float, space: type[ActionSpace]) -> None:
    scale = {PoseDelta: 1.0, JointTargets: 1.6, HandPoses: 0.2}[space]
    make: Callable[[int, float], Actions] = PROPER[space]  # type: ignore[assignment]
    assert warned(space(), [make(seed + i, size * scale) for i in range(5)]) == []


def test_a_no_op_whose_gripper_is_in_the_middle_is_no_fault() -> None:
    """As of benchmarks where zero keeps the gripper as it is."""
    text = only(warned(Pushes(), [np.zeros((60, 7), np.float32)]))
    assert text == "all actions of the episode are the no-op of MINE: the policy holds the robot still."
    assert warned(Pushes(), [np.zeros((60, 7), np.float32)], rate=0.3) == []


@pytest.mark.parametrize("space", list(PROPER))
@pytest.mark.filterwarnings("error")
def test_ranges_without_ends_and_without_extent(space: type[ActionSpace]) -> None:
    unbounded, empty = space(), space()
    unbounded.low, unbounded.high = (
        np.full(unbounded.dim, -np.inf, np.float32),
        np.full(unbounded.dim, np.inf, np.float32),
    )
    assert warned(unbounded, [PROPER[space](i) for i in range(4)]) == []
    (one,) = data_of(unbounded, [PROPER[space](0)]).episodes
    assert not one.still and one.outside == {}
    empty.low = empty.high = np.zeros(empty.dim, np.float32)
    assert "outside 0 to 0" in warned(empty, [PROPER[space](i) for i in range(4)])[0]


# Warnings as a function of the episodes


def faults() -> list[list[Actions]]:
    return [
        [changed(deltas(i), 6, lambda g: (g + 1) / 2) for i in range(6)],
        [changed(deltas(i), slice(0, 6), lambda a: 0.05 * a) for i in range(6)],
        [changed(deltas(i), slice(0, 6), lambda a: 4 * a) for i in range(6)],
        [changed(deltas(i), 6, lambda g: -g) for i in range(6)],
        [deltas(1)] * 6,
    ]


@given(st.integers(0, 4), st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_the_order_of_episodes_does_not_matter(fault: int, order: list[int]) -> None:
    episodes = faults()[fault]
    found = warned(PoseDelta(), episodes)
    assert found and warned(PoseDelta(), [episodes[i] for i in order]) == found


def test_nothing_is_said_once_half_of_the_episodes_succeed_or_without_evidence() -> None:
    for episodes in faults():
        assert warned(PoseDelta(), episodes)
        assert warned(PoseDelta(), episodes, rate=0.5) == []
        assert warned(PoseDelta(), [actions[:8] for actions in episodes]) == []
    violation, suspicion = faults()[0], faults()[3]
    assert warned(PoseDelta(), violation, rate=0.3) and warned(PoseDelta(), suspicion, rate=0.3) == []
    assert warned(PoseDelta(), violation, rate=None) and warned(PoseDelta(), suspicion, rate=0.1)


# Ranges and units


@pytest.mark.parametrize("count", [1, 5])
def test_metres_where_one_is_five_centimetres(count: int) -> None:
    episodes = [changed(deltas(i), slice(0, 3), lambda a: 0.05 * a) for i in range(count)]
    text = only(warned(PoseDelta(), episodes))
    assert text.startswith("translation never beyond ±0.0") and "Then divide them by 0.05." in text


@given(st.floats(1e-4, 1e3), st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_a_scaled_policy_is_found_if_the_scale_is_far_off(scale: float, seed: int) -> None:
    episodes = [changed(deltas(seed + i), slice(0, 3), lambda a: scale * a) for i in range(3)]
    found = warned(PoseDelta(), episodes)
    if scale <= 0.05:
        assert only(found).startswith("translation never beyond ")
    elif 0.2 <= scale <= 1:
        assert found == []
    elif scale >= 2:
        assert only(found).startswith("translation from ") and "outside -1 to 1, to which MINE clips" in found[0]


def test_z_scores() -> None:
    rng = np.random.default_rng(0)
    text = only(warned(PoseDelta(), [changed(deltas(0), slice(0, 6), lambda a: rng.standard_normal(a.shape))]))
    assert text.startswith("translation, rotation from -") and "Undo the normalisation" in text
    assert "(1 is 0.05 m of translation; 1 is 0.5 rad of rotation)" in text


@pytest.mark.parametrize(
    ("space", "columns", "factor"), [(PoseDelta, [3, 4, 5], 25), (JointTargets, list(range(6)), 57)]
)
def test_degrees(space: type[ActionSpace], columns: list[int], factor: float) -> None:
    text = only(warned(space(), [changed(PROPER[space](i), columns, lambda a: factor * a) for i in range(2)]))
    assert "Are these degrees? Convert them" in text


def test_slight_excess_is_nothing() -> None:
    assert warned(PoseDelta(), [deltas(i, size=1.2) for i in range(5)]) == []
    assert warned(JointTargets(), [changed(joints(i), [6, 13], lambda g: 1.1 * g - 0.05) for i in range(5)]) == []


def test_absolute_poses_where_changes_are_expected() -> None:
    hand = np.array([-0.1, 0.0, 1.0])
    episodes = [changed(deltas(i), slice(0, 3), lambda a: hand + 0.2 * a) for i in range(2)]
    text = only(warned(PoseDelta(), episodes))
    assert "number 2 of the actions (translation) is always 0.8" in text and "absolute positions?" in text


# Grippers


@pytest.mark.parametrize(
    ("space", "convert", "expected"),
    [
        (PoseDelta, lambda g: (g + 1) / 2, "gripper from 0 to 1 in {n}, so that it never opens: MINE opens it at "),
        (PoseDelta, lambda g: (1 - g) / 2 * -1, "gripper from -1 to 0 in {n}, so that it never closes"),
        (PoseDelta, lambda g: (g + 1) / 2 * 1.05 - 0.02, "gripper from -0.02 to 1.03 in {n}, so that it hardly ever "),
        (PoseDelta, lambda g: 0.02 * (g + 1), "gripper from 0 to 0.04 in {n}, in the middle between open and "),
        (PoseDelta, lambda g: 0 * g, "gripper always 0 in {n}, in the middle between open and "),
        (PoseDelta, lambda g: 127 * (g + 1), "gripper from 0 to 254 in {n}, but MINE opens it at -1 and closes it"),
        (JointTargets, lambda g: 2 * g - 1, "grippers 1 and 2 from -1 to 1 in {n}, but MINE opens it at 1"),
        (HandPoses, lambda g: 100 * g, "grippers 1 and 2 from 0 to 100 in {n}, but MINE opens it at 1"),
    ],
)  # fmt: skip
def test_other_ranges_of_grippers(space: type[ActionSpace], convert: Callable[[Any], Any], expected: str) -> None:
    indices = [gripper.index for gripper in space().grippers]
    text = only(warned(space(), [changed(PROPER[space](0), indices, convert)]))
    assert text.startswith(expected.format(n="120 steps")) and "`gripper:`" in text


@pytest.mark.parametrize("space", list(PROPER))
def test_an_inverted_gripper(space: type[ActionSpace]) -> None:
    ends = {gripper.open + gripper.closed for gripper in space().grippers}
    indices = [gripper.index for gripper in space().grippers]
    episodes = [changed(PROPER[space](i), indices, lambda g: ends.copy().pop() - g) for i in range(6)]
    text = only(warned(space(), episodes))
    assert text.startswith("in all 6 episodes, the first command of every gripper is the opposite of its state at the ")
    assert "in 6 it changes later. Is open exchanged with closed?" in text
    assert warned(space(), episodes[:2]) == []
    assert warned(space(), [*episodes, PROPER[space](9)]) == []


@pytest.mark.parametrize(("value", "verb"), [(1.0, "opens"), (-1.0, "closes")])
def test_a_gripper_that_is_never_used_takes_several_episodes(value: float, verb: str) -> None:
    episodes = [changed(deltas(i), 6, lambda g: np.full_like(g, value)) for i in range(4)]
    text = only(warned(PoseDelta(), episodes))
    assert text.startswith(f"gripper never {verb} in 4 episodes (gripper always {value:g}): MINE opens it at -1")
    assert warned(PoseDelta(), episodes[:2]) == []


def test_one_gripper_of_two_may_rest() -> None:
    assert warned(JointTargets(), [changed(joints(i), 13, lambda g: np.ones_like(g)) for i in range(4)]) == []
    text = only(warned(JointTargets(), [changed(joints(i), [6, 13], lambda g: np.ones_like(g)) for i in range(4)]))
    assert text.startswith("no gripper ever closes in 4 episodes (grippers 1 and 2 always 1)")


# Targets


def test_changes_of_joints_where_targets_are_expected() -> None:
    episodes = [np.diff(joints(i, 0.6), axis=0, prepend=0).astype(np.float32) for i in range(4)]
    for one, proper in zip(episodes, map(joints, range(4)), strict=True):
        one[:, [6, 13]] = proper[:, [6, 13]]
    text = only(warned(JointTargets(), episodes))
    assert "the robot hardly moves. MINE takes absolute targets; are these changes?" in text
    assert warned(JointTargets(), episodes[:1]) == []


def test_normalised_joint_targets() -> None:
    offset = np.array([-0.8, 0.7, 0.6, -0.7, 0.9, -0.6] * 2)
    arms = [*range(6), *range(7, 13)]
    episodes = [changed(joints(i), arms, lambda a: np.clip(offset + 0.5 * a, -1, 1)) for i in range(4)]
    text = only(warned(JointTargets(), episodes))
    assert text.startswith("joints of the left arm, joints of the right arm first sent 0.")
    assert "All are between -1 and 1: is the normalisation of the model's training undone?" in text


def test_an_order_of_joints_that_jumps() -> None:
    start = np.array([0.0, 1.9, 1.2, -1.0, 0.3, 0.2] * 2)
    arms = [*range(6), *range(7, 13)]
    text = only(warned(JointTargets(), [changed(joints(i), arms, lambda a: start + 0.2 * a) for i in range(3)]))
    assert "MINE takes absolute targets in rad: check units and order of the numbers." in text


def test_changes_of_hands_where_poses_are_expected() -> None:
    episodes = []
    for i in range(2):
        change = np.diff(poses(i).astype(np.float64), axis=0, prepend=0)
        change[0] = 0
        change[:, [3, 11]] = 1
        change[:, [7, 15]] = poses(i)[:, [7, 15]]
        episodes.append(change.astype(np.float32))
    text = only(warned(HandPoses(), episodes))
    assert text.startswith("position of the left hand, position of the right hand from ")
    assert "outside 0.2 to 1.6 of MINE" in text


# Rotations


@pytest.mark.parametrize("count", [1, 4])
def test_quaternions_in_another_order(count: int) -> None:
    episodes = []
    for i in range(count):
        actions = poses(i)
        for first in (3, 11):
            actions[:, first : first + 4] = np.roll(actions[:, first : first + 4], -1, axis=1)
        episodes.append(actions)
    found = warned(HandPoses(), episodes)
    assert [text.partition(" starts")[0] for text in found] == [
        "rotation of the left hand",
        "rotation of the right hand",
    ]
    assert "but MINE takes w, x, y, z (a remote policy's card reorders it with `action_order:`)." in found[0]


def test_other_representations_of_rotations() -> None:
    episodes = [changed(poses(i), slice(3, 7), lambda q: np.hstack([0.2 * q[:, :3], 0 * q[:, :1]])) for i in range(2)]
    text = only(warned(HandPoses(), episodes))
    assert text.startswith("rotation of the left hand has norms from 0.1") and "unit quaternions w, x, y, z" in text
    assert warned(HandPoses(), [changed(poses(i), slice(3, 7), lambda q: 1.05 * q) for i in range(2)]) == []


def test_the_sign_of_a_quaternion_has_no_meaning() -> None:
    assert warned(HandPoses(), [changed(poses(i), slice(3, 7), lambda q: -q) for i in range(4)]) == []


# Policies that do not react


def test_one_action_for_all() -> None:
    one = np.repeat(deltas(0)[:1], 60, axis=0)
    assert only(warned(PoseDelta(), [one])).startswith("within the episode, all actions are equal.")
    assert only(warned(PoseDelta(), [one] * 4)).startswith("within each of 4 episodes, all actions are equal.")


def test_the_same_actions_in_all_episodes() -> None:
    text = only(warned(PoseDelta(), [deltas(0)] * 4))
    assert text.startswith("the same actions in all 4 failed episodes of equal length")
    assert warned(PoseDelta(), [deltas(0)] * 2) == []
    assert warned(PoseDelta(), [deltas(0)] * 4 + [deltas(1)]) == []
    assert warnings_of(data_of(PoseDelta(), [deltas(i) for i in range(4)], 0.0, [True] * 4)) == []
    early = data_of(PoseDelta(), [deltas(0)] * 4 + [deltas(0)[:90]], 0.05, [False] * 4 + [True])
    assert only(warnings_of(early)) == text


def test_numbers_that_never_change() -> None:
    still = [changed(deltas(i), slice(3, 6), lambda a: 0 * a) for i in range(4)]
    assert only(warned(PoseDelta(), still)).startswith("rotation is always 0 in all 4 episodes.")
    one = [changed(deltas(i), 5, lambda a: 0 * a) for i in range(4)]
    assert only(warned(PoseDelta(), one)).startswith("rotation (number 5) is always 0 in all 4 episodes.")
    arm = [changed(joints(i), slice(7, 13), lambda a: 0 * a + 0.4) for i in range(4)]
    assert only(warned(JointTargets(), arm)).startswith("joints of the right arm is always 0.4 in all 4 episodes.")


def test_an_arm_may_rest() -> None:
    """As in tasks for one arm."""
    assert warned(JointTargets(), [changed(joints(i), slice(7, 13), lambda a: 0 * a) for i in range(4)]) == []


# Runs


def summary_of(rows: dict[str, Actions | None], won: bool = False) -> Summary:
    """A run of one task of a suite: index of an episode -> its actions."""
    record = run_record("mine", {"libero_object": 1}, len(rows))
    outcome = Outcome.SUCCESS if won else Outcome.FAILURE
    records = []
    for episode, actions in zip(planned_episodes(record), rows.values(), strict=True):
        found = None if actions is None else action_statistics(actions, PoseDelta(), HOME)
        records.append(Record.of(episode, outcome=outcome, steps=STEPS, attempt=1, seconds={}, actions=found))
    return summarize(run_data(record, records))


def test_a_run_states_its_ranges_and_warnings() -> None:
    bad = {str(i): changed(deltas(i), 6, lambda g: (g + 1) / 2) for i in range(3)}
    summary = summary_of({**bad, "old": None})
    assert only(summary.warnings).startswith(
        "Actions: gripper from 0 to 1 in 360 steps, so that it never opens: LIBERO "
    )
    (data,) = summary.actions
    plain = data.as_dict()
    assert (plain["benchmark"], plain["suites"], plain["episodes"], plain["steps"]) == (
        *("libero", ["libero_object"]),
        *(3, 360),
    )
    assert plain["low"][6] == 0 and plain["high"][6] == 1 and plain["outside"] == [0.0] * 7
    (gripper,) = plain["grippers"]
    assert gripper["open"] == 0 and 0.3 < gripper["closed"] < 0.7 and gripper["changes_per_episode"] == 0


def test_a_run_of_an_older_version_has_neither() -> None:
    summary = summary_of({"a": None, "b": None})
    assert summary.actions == [] and summary.warnings == []


def test_a_run_of_a_benchmark_that_is_not_installed_has_neither() -> None:
    summary = summary_of({"a": changed(deltas(0), 6, lambda g: (g + 1) / 2)})
    suites = {name: suite.model_copy(update={"benchmark": "gone"}) for name, suite in summary.run.record.suites.items()}
    record = summary.run.record.model_copy(update={"suites": suites})
    frame = summary.run.frame.assign(benchmark="gone")
    assert action_data(replace(summary.run, record=record, frame=frame)) == []


def test_statistics_of_other_actions_than_the_benchmarks_are_left_out() -> None:
    """As after an update of the benchmark."""
    summary = summary_of({"a": deltas(0), "b": deltas(1)})
    short = ActionStatistics(low=(0.0,), high=(1.0,))
    run = replace(summary.run, actions=dict.fromkeys(summary.run.actions, short))
    assert action_data(run) == []


def test_suites_are_judged_together_and_by_their_own_successes() -> None:
    bad = {str(i): changed(deltas(i), 6, lambda g: (g + 1) / 2) for i in range(3)}
    assert action_warnings(summary_of(bad).actions) and not action_warnings(summary_of(bad, won=True).actions)


def test_violations_come_before_suspicions() -> None:
    bad = [changed(changed(deltas(i), 6, lambda g: (g + 1) / 2), [3, 4, 5], lambda a: 0 * a) for i in range(4)]
    first, second = warned(PoseDelta(), bad)
    assert first.startswith("gripper") and second.startswith("rotation is always 0")
    assert all(one != other for one, other in pairwise((first, second)))
