"""Tasks with bowls: layouts, shapes, success conditions, and one demonstration."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from tests.benchmarks.robotwin.test_arranging_tasks import accepts, demonstrated, put, put_at
from tests.builders.miniature import set_up
from wam_eval.benchmarks.robotwin.miniature.bowl_tasks import STACK_SPOT, TASKS
from wam_eval.benchmarks.robotwin.miniature.objects import model
from wam_eval.benchmarks.robotwin.miniature.poses import position
from wam_eval.benchmarks.robotwin.miniature.recipes.dishes import bowl_rim
from wam_eval.benchmarks.robotwin.miniature.source import templates


@pytest.mark.parametrize("name", [task.name for task in TASKS])
def test_nothing_is_done_at_the_start(name: str) -> None:
    assert not set_up(name, 100001, "randomized").check_success()
    assert min(len(templates(name)[kind]) for kind in ("seen", "unseen")) >= 5


def test_bowls_are_apart_and_the_nearest_comes_first() -> None:
    env = set_up("stack_bowls_three", 100001)
    points = [position(bowl.get_pose())[:2] for bowl in env.bowls]
    assert [point[1] for point in points] == sorted(point[1] for point in points)
    for first, second in combinations([*points, np.array(STACK_SPOT)], 2):
        assert np.linalg.norm(first - second) > 0.128


def test_rims_are_where_the_contact_points_are() -> None:
    for number in (1, 2, 3, 5):
        entry = model("002_bowl", number)
        assert abs(entry.contacts[0][2]) < bowl_rim(entry) <= entry.size[0] / 2


@pytest.mark.parametrize("name", ["stack_bowls_two", "stack_bowls_three"])
def test_bowls_must_be_inside_one_another(name: str) -> None:
    env = set_up(name, 100001, "randomized")
    base = (*STACK_SPOT, 0.741 + env.table_z_bias)
    for i, bowl in enumerate(reversed(env.bowls)):
        put(bowl, np.add(base, (0.0, 0.03 * (i % 2), 0.02 * i)))
    assert accepts(env), "in any order"
    put_at(env.bowls[0], env.bowls[0].get_pose(), 0.0, 0.0, 0.06)
    assert not accepts(env)
    put_at(env.bowls[0], env.bowls[1].get_pose(), 0.042, 0.0, 0.012)
    assert not accepts(env)


def test_bowls_stand_in_one_another() -> None:
    env = set_up("stack_bowls_three", 100001)
    for i, bowl in enumerate(env.bowls):
        put(bowl, (*STACK_SPOT, 0.742 + 0.022 * i))
    env.wait(700)
    heights = [float(bowl.get_pose().p[2]) for bowl in env.bowls]
    assert accepts(env) and np.all(np.diff(heights) > 0.003) and np.all(np.diff(heights) < 0.02)


def test_the_container_must_be_on_the_plate() -> None:
    env = set_up("place_container_plate", 100001)
    assert 0.199 < abs(env.container.get_pose().p[0]) < 0.281
    put_at(env.container, env.plate.get_pose(), 0.045, -0.045, 0.02)
    assert accepts(env)
    put_at(env.container, env.plate.get_pose(), 0.0, 0.0, 0.035)
    assert not accepts(env)
    put_at(env.container, env.plate.get_pose(), 0.055, 0.0, 0.0)
    assert not accepts(env)


def test_the_expert_serves_on_the_plate() -> None:
    demonstrated("place_container_plate", 100000, "clean")
