"""Layouts, step limits, surroundings and instructions of the miniature, compared with RoboTwin's numbers."""

from __future__ import annotations

import random

import numpy as np
import pytest

from wam_eval.benchmarks.robotwin.miniature.env import MiniatureTask, UnStableError
from wam_eval.benchmarks.robotwin.miniature.motion import timed
from wam_eval.benchmarks.robotwin.miniature.objects import model
from wam_eval.benchmarks.robotwin.miniature.source import TASKS, MiniatureSource, describe, templates
from wam_eval.benchmarks.robotwin.miniature.world import Clutter, apart, draw_clutter, draw_surroundings, overlaps
from wam_eval.config import load_suite

SOURCE = MiniatureSource({"cameras": []})

# Task -> attribute of the object that is moved or pressed, and the ranges of its position in x and y (m).
RANGES = {
    "blocks_ranking_rgb": ("blocks", (-0.28, 0.28), (-0.08, 0.05)),
    "blocks_ranking_size": ("blocks", (-0.28, 0.28), (-0.08, 0.05)),
    "click_alarmclock": ("object", (-0.25, 0.25), (-0.2, 0.0)),
    "click_bell": ("object", (-0.25, 0.25), (-0.2, 0.0)),
    "grab_roller": ("roller", (-0.15, 0.15), (-0.25, -0.05)),
    "handover_block": ("block", (-0.25, -0.05), (0.0, 0.25)),
    "move_playingcard_away": ("cards", (-0.1, 0.1), (-0.2, 0.05)),
    "place_empty_cup": ("cup", (-0.3, 0.3), (-0.2, 0.05)),
    "place_mouse_pad": ("object", (-0.25, 0.25), (-0.2, 0.0)),
    "stack_blocks_three": ("blocks", (-0.28, 0.28), (-0.08, 0.05)),
    "stack_blocks_two": ("blocks", (-0.28, 0.28), (-0.08, 0.05)),
    "stamp_seal": ("object", (-0.25, 0.25), (-0.05, 0.05)),
}
BESIDE_THE_MIDDLE = set(RANGES) - {"grab_roller"}


def built(name: str, condition: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> MiniatureTask:
    """The initial layout of an episode, before it comes to rest."""
    monkeypatch.setattr(MiniatureTask, "_open_grippers", lambda self: None)
    monkeypatch.setattr(MiniatureTask, "_check_stable", lambda self, seed: None)
    env = SOURCE.task(name)
    env.setup_demo(seed=seed, **SOURCE.arguments(name, condition))
    return env


def test_tasks_and_limits() -> None:
    suite = {task.name: task.step_limit for task in load_suite("robotwin_clean").tasks}
    assert {name: TASKS[name].limit for name in SOURCE.tasks} == {name: suite[name] for name in SOURCE.tasks}
    assert (SOURCE.name, SOURCE.unstable) == ("miniature", UnStableError)


@pytest.mark.parametrize("name", sorted(RANGES))
def test_objects_lie_in_the_official_ranges(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attribute, (x0, x1), (y0, y1) = RANGES[name]
    places = []
    for seed in range(40):
        env = built(name, "clean", seed, monkeypatch)
        found = getattr(env, attribute)
        places += [item.get_pose().p for item in (found if isinstance(found, list) else [found])]
    x, y, _ = np.array(places).T
    tiny = 1e-6
    assert x.min() >= x0 - tiny and x.max() <= x1 + tiny and y.min() >= y0 - tiny and y.max() <= y1 + tiny
    assert x.max() - x.min() > 0.7 * (x1 - x0) and y.max() - y.min() > 0.7 * (y1 - y0)
    if name in BESIDE_THE_MIDDLE:
        assert np.abs(x).min() >= 0.05 - tiny


@pytest.mark.parametrize("name", ["stack_blocks_two", "stack_blocks_three", "blocks_ranking_rgb"])
def test_blocks_lie_apart_and_away_from_their_goal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_off = 0.15 if name.startswith("stack") else 0.1
    for seed in range(30):
        blocks = [block.get_pose().p[:2] for block in built(name, "clean", seed, monkeypatch).blocks]  # type: ignore[attr-defined]
        gaps = [float(np.linalg.norm(a - b)) for i, a in enumerate(blocks) for b in blocks[:i]]
        assert min(gaps) >= 0.1 - 1e-6
        assert min(float(np.linalg.norm(block - [0.0, -0.1])) for block in blocks) >= keep_off - 1e-6


@pytest.mark.parametrize("name", ["place_mouse_pad", "stamp_seal"])
def test_pads_lie_on_the_side_of_the_object(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(30):
        env = built(name, "clean", seed, monkeypatch)
        item, pad = env.object.get_pose().p, env.pad.get_pose().p  # type: ignore[attr-defined]
        assert item[0] * pad[0] > 0 and 0.05 <= abs(pad[0]) <= 0.25
        assert np.linalg.norm(item[:2] - pad[:2]) >= 0.1 - 1e-6


def test_randomized_scenes_have_other_heights_clutter_and_textures(monkeypatch: pytest.MonkeyPatch) -> None:
    drops, counts, textured = [], [], 0
    for seed in range(60):
        env = built("stack_blocks_two", "randomized", seed, monkeypatch)
        drops.append(env.table_z_bias)
        counts.append(len(env.info["cluttered_table_info"]))
        textured += env.info["texture_info"]["table_texture"] is not None
        table = next(entity for entity in env.scene.get_all_actors() if entity.name == "table")
        assert table.pose.p[2] == pytest.approx(0.74 + env.table_z_bias)
    assert -0.03 <= min(drops) < -0.025 and -0.005 < max(drops) <= 0
    assert max(counts) == 10 and sorted(counts)[5] == 10
    assert textured >= 55
    clean = built("stack_blocks_two", "clean", 3, monkeypatch)
    assert (clean.table_z_bias, clean.info["cluttered_table_info"]) == (0, [])
    assert clean.info["texture_info"] == {"wall_texture": None, "table_texture": None}


def test_clutter_does_not_overlap() -> None:
    area = (-0.1, -0.1, 0.2, 0.1)
    for seed in range(20):
        found = draw_clutter(np.random.RandomState(seed), [area], {"002_bowl"})
        assert len(found) == 10
        for i, item in enumerate(found):
            x, y, radius = float(item.pose.p[0]), float(item.pose.p[1]), item.radius
            entry = model(item.family, item.number)
            assert entry.stable and item.family != "002_bowl"
            assert not overlaps(radius, x, y, area)
            assert abs(x) + radius <= 0.6 and abs(y) + radius <= 0.34
            assert entry.high[1] <= 0.05 or y - radius >= 0
            assert all(apart(o.pose, x, y) > radius + o.radius for o in found[:i])


def test_without_free_space_there_is_no_clutter() -> None:
    everywhere = (-1.0, -1.0, 1.0, 1.0)
    found: list[Clutter] = draw_clutter(np.random.RandomState(0), [everywhere])
    assert found == []


def test_surroundings_follow_the_rates() -> None:
    settings = SOURCE.arguments("click_bell", "randomized")["domain_randomization"]
    drawn = [draw_surroundings(np.random.RandomState(seed), settings) for seed in range(1500)]
    assert 10 <= sum(one.flicker for one in drawn) <= 60
    assert 10 <= sum(one.wall is None for one in drawn) <= 60
    assert len({one.sun for one in drawn}) == 1500
    pattern = next(one.table for one in drawn if one.table)
    assert pattern.image(64).shape == (64, 64, 4) and pattern.image(64).std() > 1


def test_an_unknown_condition_is_refused() -> None:
    with pytest.raises(KeyError):
        SOURCE.arguments("click_bell", "foggy")


@pytest.mark.parametrize("name", sorted(TASKS))
def test_instructions_are_filled_and_repeat(name: str) -> None:
    texts = templates(name)
    assert len(texts["seen"]) >= 4 and len(texts["unseen"]) >= 2 and not set(texts["seen"]) & set(texts["unseen"])
    objects = {"{A}": "050_bell/base0", "{B}": "019_coaster/base0", "{C}": "blue block", "{D}": "red bin"}
    info = {"info": {**objects, "{a}": "left", "{b}": "right", "{c}": "left"}}
    random.seed(5)
    first = describe(name, info, 100)
    random.seed(5)
    assert SOURCE.descriptions(name, info, 100) == first
    assert {len(first["seen"]), len(first["unseen"])} == {len(texts["seen"]), len(texts["unseen"])}
    assert not any("{" in line or "base0" in line for lines in first.values() for line in lines)
    assert len(describe(name, info, 2)["seen"]) == 2


@pytest.mark.parametrize("far", [1e5, 1e30, np.inf, np.nan])
def test_a_target_out_of_reach_is_no_motion(far: float) -> None:
    assert timed(np.array([np.zeros(6), np.full(6, far)])) is None
