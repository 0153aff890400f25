"""Layouts of the miniature, compared with those that the official code draws for the same seeds.

Needs a clone of the official repository, but no rendering device. Nothing of the code is kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sapien

from tests.benchmarks.robotwin.test_official import CODE, HOW_TO_GET_IT
from tests.builders.robotwin_checkout import make_checkout
from tests.conftest import REPOSITORY
from wam_eval.benchmarks.robotwin.miniature.env import MiniatureTask
from wam_eval.benchmarks.robotwin.miniature.source import TASKS, MiniatureSource

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CODE, reason=HOW_TO_GET_IT)]

SEEDS = range(100000, 100005)
CONDITIONS = ("clean", "randomized")
CLOSE = 1e-3
"""Tolerance of areas: the table of objects rounds sizes, and roots of articulated models are slightly rotated, m."""


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code, with stand-in assets."""
    return make_checkout(CODE[0], tmp_path_factory.mktemp("layouts") / "checkout")


@cache
def official_layouts(code: Path) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Layouts drawn by the official code: (task, condition, seed) -> layout."""
    requests = [(task, condition, seed) for task in sorted(TASKS) for condition in CONDITIONS for seed in SEEDS]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.robotwin.official_layouts", str(code), json.dumps(requests)],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(zip(requests, json.loads(done.stdout), strict=True))


def our_layout(name: str, condition: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The layout that the miniature draws, in the same form."""
    objects: list[list[Any]] = []
    add, add_jointed = MiniatureTask._add, MiniatureTask.add_jointed

    def noted_add(self: MiniatureTask, name: str, parts: Any, pose: Any, *rest: Any, **named: Any) -> Any:
        item = add(self, name, parts, pose, *rest, **named)
        objects.append([name, item.number, *_numbers(self.on_table(pose))])
        return item

    def noted_jointed(self: MiniatureTask, family: str, index: int, pose: Any, *rest: Any, **named: Any) -> Any:
        objects.append([family, int(index), *_numbers(self.on_table(pose))])
        return add_jointed(self, family, index, pose, *rest, **named)

    def noted_clutter(scene: Any, clutter: Any, visuals: bool) -> list[dict[str, Any]]:
        objects.extend([item.family, item.number, *_numbers(item.pose)] for item in clutter)
        return []

    with monkeypatch.context() as patch:
        patch.setattr(MiniatureTask, "_add", noted_add)
        patch.setattr(MiniatureTask, "add_jointed", noted_jointed)
        patch.setattr("wam_eval.benchmarks.robotwin.miniature.env.build_clutter", noted_clutter)
        for method in ("_open_grippers", "_check_stable", "wait"):
            patch.setattr(MiniatureTask, method, lambda self, *arguments: None)
        source = MiniatureSource({"cameras": []})
        env = source.task(name)
        env.setup_demo(seed=seed, **source.arguments(name, condition))
    textures = [env.info["texture_info"][f"{part}_texture"] for part in ("wall", "table")]
    return {
        "objects": objects,
        "areas": env.prohibited_area,
        "table_z_bias": env.table_z_bias,
        "textures": [texture and texture.replace("procedural", "unseen") for texture in textures],
    }


def _numbers(pose: Any) -> list[float]:
    return [*pose.p.tolist(), *pose.q.tolist()]


def _poses(layout: dict[str, Any]) -> list[np.ndarray]:
    """Positions and rotation matrices of the objects. Some quaternions of the official code are not normalized."""
    found = []
    for entry in layout["objects"]:
        q = np.array(entry[5:])
        pose = sapien.Pose(entry[2:5], q / np.linalg.norm(q))
        found.append(pose.to_transformation_matrix()[:3])
    return found


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_seed_gives_the_official_layout(
    code: Path, name: str, condition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in SEEDS:
        theirs, ours = official_layouts(code)[name, condition, seed], our_layout(name, condition, seed, monkeypatch)
        assert [entry[:2] for entry in ours["objects"]] == [entry[:2] for entry in theirs["objects"]], f"seed {seed}"
        for mine, other in zip(_poses(ours), _poses(theirs), strict=True):
            assert np.allclose(mine, other, atol=2e-4), f"seed {seed}"
        assert np.allclose(sorted(map(tuple, ours["areas"])), sorted(map(tuple, theirs["areas"])), atol=CLOSE)
        assert ours["table_z_bias"] == pytest.approx(theirs["table_z_bias"], abs=1e-9)
        assert ours["textures"] == theirs["textures"]
