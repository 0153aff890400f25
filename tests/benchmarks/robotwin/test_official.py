"""The official code with the same simulator as the miniature: public code, stand-in assets.

Needs clones of the official repository, named in ``WAM_EVAL_ROBOTWIN_CODE`` and separated by colons, and a Vulkan
device, because the official code builds no scene without one. Nothing of the code is kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.builders.robotwin_checkout import make_checkout
from tests.conftest import REPOSITORY
from wam_eval.benchmarks.robotwin.benchmark import detect_checkout
from wam_eval.benchmarks.robotwin.checkout import code_digest, open_checkout
from wam_eval.benchmarks.robotwin.standins import VERSION
from wam_eval.hosting.renderer import RendererError
from wam_eval.hosting.vulkan import choose_device

HOW_TO_GET_IT = (
    "WAM_EVAL_ROBOTWIN_CODE names no clone of the official code: git clone "
    "https://github.com/RoboTwin-Platform/RoboTwin main; git -C main worktree add ../papers bf44be51; "
    "export WAM_EVAL_ROBOTWIN_CODE=$PWD/papers:$PWD/main"
)
CODE = [Path(part) for part in os.environ.get("WAM_EVAL_ROBOTWIN_CODE", "").split(os.pathsep) if part]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CODE, reason=HOW_TO_GET_IT),
]


@pytest.fixture(scope="module", params=CODE, ids=lambda code: code.name)
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a clone, with stand-in assets."""
    return make_checkout(request.param, tmp_path_factory.mktemp("robotwin") / "checkout")


@cache
def results(root: Path) -> dict[str, Any]:
    """Results of :mod:`tests.benchmarks.robotwin.official_checks` for a checkout."""
    try:
        device = choose_device()
    except RendererError as error:
        pytest.skip(str(error).splitlines()[0])
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.robotwin.official_checks", str(root)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **device.environment, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_code_is_identified(root: Path) -> None:
    checkout = open_checkout(root)
    assert checkout.known and checkout.version == results(root)["version"]
    assert len(checkout.tasks) == results(root)["tasks"] == 50
    here = detect_checkout(root, None)
    assert here.assets.kind == "stand-in tasks" and f"stand-in assets, version {VERSION}" in here.assets.detail
    assert here.identity.source == "official" and here.tasks == checkout.tasks


def test_changed_code_is_detected(root: Path) -> None:
    file = root / "envs" / "click_bell.py"
    before = file.read_text()
    digest = code_digest(root, open_checkout(root).configs)
    try:
        file.write_text(before + "\n# changed\n")
        assert code_digest(root, open_checkout(root).configs) != digest
        assert "no known commit" in detect_checkout(root, None).assets.detail
    finally:
        file.write_text(before)


def test_states_depend_neither_on_history_nor_on_rendering(root: Path) -> None:
    assert results(root)["again"] and results(root)["rendered"]


def test_success_is_latched(root: Path) -> None:
    assert results(root)["latch"] == {"before": False, "success": True, "steps": 1}


def test_images_equal_the_official_ones(root: Path) -> None:
    assert results(root)["images"] == {"same": True, "shape": [240, 320, 3], "vector": True, "none": True}


def test_the_experts_attributes_are_set_without_a_motion(root: Path) -> None:
    assert results(root)["expert_attributes"] == {"set": True, "same": True}


def test_default_arguments_stay_the_same(root: Path) -> None:
    assert results(root)["defaults"]


def test_a_snapshot_is_restored(root: Path) -> None:
    assert results(root)["restored"]


def test_the_experts_plan_solves_the_task(root: Path) -> None:
    assert results(root)["solved"]["success"] and results(root)["solved"]["steps"] < 800


def test_hands_move_to_poses_without_curobo(root: Path) -> None:
    found = results(root)["hand_poses"]
    assert found["measured"] < 3e-3 and found["turned"] > 0.9999, "measured poses are in the frame of actions"
    steps, counted, moved, gripped = found["far"]
    assert steps == counted == 1 and moved == 0 and abs(gripped - 0.5) < 1e-6, "a pose out of reach is a step"
    assert found["held"] < 5e-3
    assert found["success"] and found["steps"] < 800


def test_a_seed_is_verified(root: Path) -> None:
    verdict = results(root)["verdict"]
    assert verdict["accepted"] and verdict["seen"] and verdict["unseen"]


def test_layouts_and_processes_do_not_matter(tmp_path: Path) -> None:
    found = [results(make_checkout(code, tmp_path / str(i))) for i, code in enumerate([CODE[0], *CODE])]
    assert all(p["traces"] == found[0]["traces"] and p["solved"] == found[0]["solved"] for p in found)
    assert found[0]["wording"] == found[1]["wording"]  # the layouts' instructions differ
    assert len({tuple(trace) for trace in found[0]["traces"].values()}) == 2
