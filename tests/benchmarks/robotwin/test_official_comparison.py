"""The embedded tasks beside the official code on the stand-in assets: layouts at rest, and success rules.

Needs clones of the official repository, named in ``WAM_EVAL_ROBOTWIN_CODE``, and a Vulkan device, because the official
code builds no scene without one. Nothing of the code is kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.robotwin.test_official import CODE, HOW_TO_GET_IT
from tests.builders.robotwin_checkout import make_checkout
from tests.conftest import REPOSITORY
from wam_eval.benchmarks.robotwin.miniature import TASK_NAMES
from wam_eval.benchmarks.robotwin.source import CONDITIONS
from wam_eval.hosting.renderer import RendererError
from wam_eval.hosting.vulkan import choose_device

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CODE, reason=HOW_TO_GET_IT)]

LARGEST_DISTANCE, LARGEST_ANGLE = 0.005, 1.0
"""Largest distance (m) and angle (degrees) between the poses at which an object comes to rest."""

BALLS, BALL_DISTANCE = "garbage", 0.05
"""Name of balls that fall into a bin, where small differences grow with each impact, and their largest distance (m)."""

Ask = Callable[[str, str, str], Any]


@pytest.fixture(scope="module", params=CODE, ids=lambda code: code.name)
def ask(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Asks one process of :mod:`tests.benchmarks.robotwin.official_comparison`."""
    try:
        device = choose_device()
    except RendererError as error:
        pytest.skip(str(error).splitlines()[0])
    root: Path = make_checkout(request.param, tmp_path_factory.mktemp("comparison") / "checkout")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.robotwin.official_comparison", str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **device.environment, "PYTHONPATH": str(REPOSITORY)},
    )
    assert process.stdin is not None and process.stdout is not None
    questions, answers = process.stdin, process.stdout

    def answer(what: str, task: str, condition: str) -> Any:
        print(json.dumps([what, task, condition]), file=questions, flush=True)
        return json.loads(answers.readline())

    yield answer
    questions.close()
    process.wait(timeout=60)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("task", TASK_NAMES)
def test_layouts_and_rules_are_the_official_ones(ask: Ask, task: str, condition: str) -> None:
    found = ask("compare", task, condition)
    assert found["seed"] >= 0, "the expert solves no seed"
    balls = [moved for moved in found["moved"] if moved[0] == BALLS]
    others = [moved for moved in found["moved"] if moved[0] != BALLS]
    assert found["stable"] or balls
    assert others and all(distance < BALL_DISTANCE for _, distance, _ in balls)
    assert all(distance < LARGEST_DISTANCE and angle < LARGEST_ANGLE for _, distance, angle in others)
    assert not found["disagreements"] and not found["near_disagreements"]
    assert found["success"] and found["reached"] == 1 and found["asked"] > 10
    assert 0 < found["near_reached"] < found["near_asked"]
