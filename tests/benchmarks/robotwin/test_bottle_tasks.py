"""Embedded tasks with bottles, cans, baskets and bins: layouts, success rules, and the expert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sapien

from tests.builders.miniature import played, set_up
from wam_eval.benchmarks.robotwin.miniature import TASK_NAMES
from wam_eval.benchmarks.robotwin.miniature.basket_tasks import TASKS as BASKET_TASKS
from wam_eval.benchmarks.robotwin.miniature.bottle_tasks import TASKS as BOTTLE_TASKS
from wam_eval.benchmarks.robotwin.miniature.env import MiniatureTask, UnStableError
from wam_eval.benchmarks.robotwin.miniature.source import templates
from wam_eval.benchmarks.robotwin.miniature.world import UPRIGHT, UPRIGHT_Y

TASKS = {task.name: task for task in (*BASKET_TASKS, *BOTTLE_TASKS)}
SEEDS = range(100000, 100003)


def loaded(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An episode with objects where they were drawn, without the time in which they come to rest."""
    monkeypatch.setattr(MiniatureTask, "_check_stable", lambda self, seed: None)
    monkeypatch.setattr(MiniatureTask, "wait", lambda self, steps: None)
    monkeypatch.setattr(MiniatureTask, "_open_grippers", lambda self: None)
    return set_up(name, seed)


def move(item: Any, p: Any, q: Any = None) -> None:
    """Move an object to a pose without physics."""
    item.entity.set_pose(sapien.Pose(p, item.get_pose().q if q is None else q))


def beside(item: Any, *offset: float) -> np.ndarray:
    """A position relative to an object, m."""
    return np.asarray(item.get_pose().p) + offset


def within(x: tuple[float, float], y: tuple[float, float], *items: Any) -> bool:
    """True if the objects are in a rectangle, m."""
    points = [item.get_pose().p for item in items]
    return all(x[0] <= p[0] <= x[1] and y[0] <= p[1] <= y[1] for p in points)


def on_both_sides(x: tuple[float, float], y: tuple[float, float], left: Any, right: Any) -> bool:
    """True if an object is in a rectangle on the right side, and the other one in its mirror image."""
    return within((-x[1], -x[0]), y, left) and within(x, y, right)


def aside(least: float, item: Any) -> bool:
    """True if an object is at least ``least`` m away from the middle."""
    return abs(float(item.get_pose().p[0])) >= least


# Task -> True if the objects are where the official task may put them.
LAYOUTS: dict[str, Callable[[Any], bool]] = {
    "adjust_bottle": lambda e: within((-0.12, 0.12), (-0.13, -0.08), e.bottle) and e.bottle.number in (13, 16),
    "dump_bin_bigbin": lambda e: within((-0.2, 0.2), (-0.2, -0.05), e.bin) and aside(0.05, e.bin) and len(e.balls) == 5,
    "move_can_pot": lambda e: within((-0.3, 0.3), (0.05, 0.15), e.can) and aside(0.2, e.can) and e.pot.index < 7,
    "move_pillbottle_pad": lambda e: within((-0.25, 0.25), (-0.1, 0.1), e.bottle) and aside(0.05, e.pad),
    "pick_diverse_bottles": lambda e: on_both_sides((0.05, 0.25), (0.03, 0.23), *e.bottles),
    "pick_dual_bottles": lambda e: [b.number for b in e.bottles] == [13, 16],
    "place_can_basket": lambda e: within((-0.02, 0.02), (-0.08, -0.05), e.basket) and aside(0.2, e.object),
    "place_cans_plasticbox": lambda e: on_both_sides((0.15, 0.25), (-0.15, -0.07), *e.cans) and e.box.number in (3, 5),
    "place_object_basket": lambda e: within((-0.25, 0.25), (-0.1, 0.1), e.object) and aside(0.2, e.object),
    "put_bottles_dustbin": lambda e: within((-0.25, 0.3), (0.03, 0.23), *e.bottles),
    "shake_bottle": lambda e: within((-0.15, 0.15), (-0.15, -0.05), e.bottle) and aside(0.1, e.bottle),
    "shake_bottle_horizontally": lambda e: within((-0.15, 0.15), (-0.15, -0.05), e.bottle) and e.bottle.number < 20,
}


@pytest.mark.parametrize("name", sorted(TASKS))
def test_layouts_are_in_the_official_ranges(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    places = set()
    for seed in SEEDS:
        env = loaded(name, seed, monkeypatch)
        assert LAYOUTS[name](env), seed
        places.add(tuple(np.concatenate([entity.pose.p for entity in env.scene.get_all_actors()]).round(4)))
    assert len(places) == len(SEEDS)


def hold_bottles(env: Any, out: float, height: float) -> None:
    """Put the middles of two bottles ``out`` m aside of their targets."""
    for bottle, x in zip(env.bottles, (-0.06 - out, 0.06 + out), strict=True):
        foot = height - float(bottle.functional[0].p[1])
        move(bottle, [x, -0.105, foot], UPRIGHT_Y)


def drop_bottles(env: Any, height: float) -> None:
    for i, bottle in enumerate(env.bottles):
        move(bottle, [-0.5 + 0.05 * i, 0.1 * i, height])


def adjust(env: Any, out: float, height: float) -> None:
    sign = -1.0 if env.side == "left" else 1.0
    foot = height - float(env.bottle.functional[0].p[1])
    move(env.bottle, [sign * out, -0.1, foot], UPRIGHT_Y)


def can_at_pot(env: Any, out: float, back: float, q: Any = UPRIGHT) -> None:
    sign = -1.0 if env.side == "left" else 1.0
    x, y = env.pot.get_pose().p[:2]
    move(env.can, [x + sign * out, y + back, 0.741], q)


def cans_in_box(env: Any, off: float) -> None:
    for i, can in enumerate(env.cans):
        p = env.box.functional_point(1 - i).p
        move(can, [p[0] + off, p[1], 0.75])


def empty_bin(env: Any, height: float, ball: float) -> None:
    move(env.bin, [-0.45, 0.0, height])
    for i, item in enumerate(env.balls):
        move(item, [-0.5 + 0.03 * i, 0.0, 0.2 if i else ball])


# Task -> functions that move its objects so that it is a success, and so that it is just no success.
RULES: dict[str, tuple[Callable[[Any], None], Callable[[Any], None]]] = {
    "adjust_bottle": (lambda e: adjust(e, 0.16, 0.91), lambda e: adjust(e, 0.14, 0.91)),
    "dump_bin_bigbin": (lambda e: empty_bin(e, 1.01, 0.24), lambda e: empty_bin(e, 1.01, 0.26)),
    "move_can_pot": (lambda e: can_at_pot(e, 0.19, -0.03), lambda e: can_at_pot(e, 0.19, -0.04)),
    "move_pillbottle_pad": (
        lambda e: move(e.bottle, [*beside(e.pad, 0.029, -0.029, 0)[:2], 0.745]),
        lambda e: move(e.bottle, [*beside(e.pad, 0.031, 0, 0)[:2], 0.745]),
    ),
    "pick_diverse_bottles": (lambda e: hold_bottles(e, 0.09, 0.9), lambda e: hold_bottles(e, 0.11, 0.9)),
    "pick_dual_bottles": (lambda e: hold_bottles(e, 0.0, 0.9), lambda e: hold_bottles(e, 0.0, 0.88)),
    "place_cans_plasticbox": (lambda e: cans_in_box(e, 0.038), lambda e: cans_in_box(e, 0.06)),
    "put_bottles_dustbin": (lambda e: drop_bottles(e, 0.21), lambda e: drop_bottles(e, 0.19)),
    "shake_bottle": (lambda e: move(e.bottle, [0, 0, 0.81]), lambda e: move(e.bottle, [0, 0, 0.79])),
    "shake_bottle_horizontally": (lambda e: move(e.bottle, [0, 0, 0.81]), lambda e: move(e.bottle, [0, 0, 0.79])),
}

NEEDS_OPEN_GRIPPERS = {"move_can_pot", "move_pillbottle_pad", "place_cans_plasticbox"}


@pytest.mark.parametrize("name", sorted(RULES))
def test_success_rules(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = loaded(name, 100000, monkeypatch)
    done, missed = RULES[name]
    for side in ("left", "right"):
        for _ in range(12):
            env.robot.set_gripper(0.9, side)
    assert not env.check_success()
    missed(env)
    assert not env.check_success()
    done(env)
    assert env.check_success()
    env.robot.set_gripper(0.5, "left")
    assert env.check_success() == (name not in NEEDS_OPEN_GRIPPERS)


def test_a_can_beside_the_pot_must_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    env = loaded("move_can_pot", 100000, monkeypatch)
    for side in ("left", "right"):
        env.robot.set_gripper(0.9, side)
    can_at_pot(env, 0.19, 0.0)
    assert env.check_success()
    can_at_pot(env, 0.19, 0.0, (1.0, 0.0, 0.0, 0.0))
    assert not env.check_success()
    can_at_pot(env, -0.19, 0.0)
    assert not env.check_success()


def test_a_small_bin_must_be_held_up_when_it_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    env = loaded("dump_bin_bigbin", 100000, monkeypatch)
    empty_bin(env, 0.99, 0.2)
    assert not env.check_success()


@pytest.mark.parametrize("name", ["place_can_basket", "place_object_basket"])
def test_a_lifted_basket_must_hold_its_object(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = loaded(name, 100000, monkeypatch)
    assert not env.check_success()

    def lift(height: float, q: Any = UPRIGHT, beside: tuple[float, float] = (0.0, -0.06)) -> bool:
        move(env.basket, [0.0, -0.07, 0.741 + height], q)
        move(env.object, [beside[0], -0.07 + beside[1], 0.7475 + height], UPRIGHT_Y)
        env.scene.step()
        return bool(env.check_success())

    assert lift(0.04)
    assert not lift(0.015), "the basket is too low"
    assert not lift(0.04, (1.0, 0.0, 0.0, 0.0)), "the basket lies on its side"
    assert not lift(0.04, beside=(0.142, 0.0)), "the object does not touch the basket"
    assert not lift(0.04, beside=(0.0, -0.16)), "the object is too far away"


def test_a_dustbin_holds_what_is_dropped_into_it(monkeypatch: pytest.MonkeyPatch) -> None:
    env = loaded("put_bottles_dustbin", 100000, monkeypatch)
    for i, bottle in enumerate(env.bottles):
        move(bottle, [-0.45, -0.15 + 0.15 * i, 0.78], UPRIGHT_Y)
    for _ in range(250):
        env.scene.step()
    assert env.check_success()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "move_can_pot" else [pytest.mark.slow]) for name in sorted(TASKS)],
)
def test_the_experts_actions_solve_the_task(name: str) -> None:
    played(name, "clean", 100000)


@pytest.mark.slow
@pytest.mark.parametrize("condition", ["clean", "randomized"])
@pytest.mark.parametrize("name", sorted(TASKS))
def test_the_expert_reaches_eight_in_ten(name: str, condition: str) -> None:
    good = 0
    for seed in range(4300000, 4300010):
        try:
            played(name, condition, seed)
        except (AssertionError, UnStableError):
            continue
        good += 1
    assert good >= 8


@pytest.mark.parametrize("name", sorted(TASKS))
def test_instructions(name: str) -> None:
    lines = templates(name)
    assert name in TASK_NAMES
    assert all(len(set(lines[kind])) >= 5 for kind in ("seen", "unseen"))
    assert not set(lines["seen"]) & set(lines["unseen"])
