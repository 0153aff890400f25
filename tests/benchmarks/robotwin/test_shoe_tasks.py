"""Tasks with shoes: layouts, success conditions, and one demonstration."""

from __future__ import annotations

import pytest

from tests.benchmarks.robotwin.test_arranging_tasks import accepts, demonstrated, put, turned
from tests.builders.miniature import set_up
from wam_eval.benchmarks.robotwin.miniature.shoe_tasks import TASKS, TOE_LEFT
from wam_eval.benchmarks.robotwin.miniature.source import templates


@pytest.mark.parametrize("name", [task.name for task in TASKS])
def test_nothing_is_done_at_the_start(name: str) -> None:
    assert not set_up(name, 100001, "randomized").check_success()
    assert min(len(templates(name)[kind]) for kind in ("seen", "unseen")) >= 5


def test_the_shoe_must_stand_on_the_mat_with_its_toe_to_the_left() -> None:
    env = set_up("place_shoe")
    x, y, _ = env.shoe.get_pose().p
    assert (x * x + y * y) ** 0.5 > 0.149 and abs(x) < 0.251 and -0.101 < y < 0.051
    put(env.shoe, (0.045, -0.098, 0.742), turned(TOE_LEFT, 8))
    assert accepts(env)
    put(env.shoe, (0.0, -0.08, 0.742), turned(TOE_LEFT, 20))
    assert not accepts(env)
    put(env.shoe, (0.0, -0.08, 0.742), turned(TOE_LEFT, 180))
    assert not accepts(env)
    put(env.shoe, (0.0, -0.055, 0.742), TOE_LEFT)
    assert not accepts(env)


def test_each_shoe_has_its_place_in_the_box() -> None:
    env = set_up("place_dual_shoes", condition="randomized")
    assert env.shoes["left"].number == env.shoes["right"].number
    floor = 0.74 + env.table_z_bias
    assert floor < 0.64 + 1e-6, "the table is low"
    put(env.shoes["left"], (-0.01, -0.172, floor + 0.006), TOE_LEFT)
    assert not accepts(env)
    put(env.shoes["right"], (0.01, -0.088, floor + 0.006), TOE_LEFT)
    assert accepts(env)
    env.wait(300)
    assert accepts(env), "the box holds both shoes"
    put(env.shoes["right"], (0.0, -0.09, floor + 0.05), TOE_LEFT)
    assert not accepts(env)


def test_the_expert_places_the_shoe() -> None:
    demonstrated("place_shoe", 100001, "clean")
