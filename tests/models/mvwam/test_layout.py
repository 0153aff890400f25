"""RDT's layout: places of the facts, and mappings by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wam_eval.models.mvwam.layout import (
    ALOHA_AGILEX,
    LIBERO_ARM,
    PLACES,
    WIDTH,
    gathered,
    libero_state,
    spread,
)

DISTINCT = [name for name in PLACES if name.startswith(("left_", "right_", "base_")) and "gripper_open" not in name]
"""One name for each place."""


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("arm_joint_0_pos", 0),
        ("right_arm_joint_9_pos", 9),
        ("gripper_open", 10),
        ("right_gripper_joint_4_pos", 14),
        ("arm_joint_0_vel", 15),
        ("gripper_open_vel", 25),
        ("eef_pos_x", 30),
        ("right_eef_pos_z", 32),
        ("eef_angle_0", 33),
        ("eef_angle_5", 38),
        ("eef_vel_x", 39),
        ("eef_angular_vel_roll", 42),
        ("eef_angular_vel_yaw", 44),
        ("left_arm_joint_0_pos", 50),
        ("left_gripper_open", 60),
        ("left_arm_joint_0_vel", 65),
        ("left_gripper_joint_0_vel", 75),
        ("left_eef_pos_x", 80),
        ("left_eef_angle_0", 83),
        ("left_eef_vel_x", 89),
        ("left_eef_angular_vel_yaw", 94),
        ("base_vel_x", 100),
        ("base_angular_vel", 102),
    ],
)
def test_places_are_those_of_rdt(name: str, place: int) -> None:
    assert PLACES[name] == place


def test_reserved_places_have_no_name() -> None:
    assert set(range(WIDTH)) - set(PLACES.values()) == {*range(45, 50), *range(95, 100), *range(103, 128)}
    assert len(DISTINCT) == len(set(PLACES.values()))


def test_the_left_arm_of_aloha_comes_first_in_the_robot_and_last_in_the_layout() -> None:
    vector = np.arange(1, 15, dtype=np.float32)
    values, mask = spread(vector, ALOHA_AGILEX.action)
    assert values[50:56].tolist() == [1, 2, 3, 4, 5, 6] and values[60] == 7
    assert values[0:6].tolist() == [8, 9, 10, 11, 12, 13] and values[10] == 14
    assert np.flatnonzero(mask).tolist() == [*range(6), 10, *range(50, 56), 60]
    assert ALOHA_AGILEX.state == ALOHA_AGILEX.action


def test_the_arm_of_libero() -> None:
    _, state = spread(np.zeros(11, np.float32), LIBERO_ARM.state)
    _, action = spread(np.zeros(7, np.float32), LIBERO_ARM.action)
    assert np.flatnonzero(state).tolist() == [10, 11, *range(30, 39)]
    assert np.flatnonzero(action).tolist() == [10, *range(39, 45)]


def test_an_orientation_becomes_two_columns_of_its_matrix() -> None:
    """A quarter turn about z turns x to y, and y to -x."""
    state = np.array([0.1, 0.2, 0.3, 0, 0, np.pi / 2, 0.04, -0.04], np.float32)
    expected = [0.1, 0.2, 0.3, 0, 1, 0, -1, 0, 0, 0.04, -0.04]
    assert libero_state(state).dtype == np.float32
    assert libero_state(state).tolist() == pytest.approx(expected, abs=1e-7)
    assert libero_state(np.stack([[state] * 2] * 3)).shape == (3, 2, 11)


@given(st.permutations(DISTINCT), st.integers(0, len(DISTINCT)), st.integers(0, 2**32 - 1))
def test_numbers_return_whatever_the_order_of_their_names(order: list[str], count: int, seed: int) -> None:
    names = order[:count]
    vector = np.random.default_rng(seed).normal(size=(2, count)).astype(np.float32)
    values, mask = spread(vector, names)
    assert values.shape == (2, WIDTH) and values.dtype == mask.dtype == np.float32
    assert np.array_equal(gathered(values, names), vector)
    assert mask.sum() == count and (values[:, mask == 0] == 0).all()
    backwards, same = spread(vector[:, ::-1], names[::-1])
    assert np.array_equal(backwards, values) and np.array_equal(same, mask)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["eef_pos_x", "tail"], "no quantity 'tail'"),
        (["gripper_open", "right_gripper_joint_0_pos"], "'gripper_open' and 'right_gripper_joint_0_pos' have the same"),
        (["eef_pos_x"], "2 numbers have 1 names"),
    ],
)
def test_names_that_do_not_fit_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spread(np.zeros(2, np.float32), names)
