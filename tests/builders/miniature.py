"""Episodes of the embedded RoboTwin in this process, without images."""

from __future__ import annotations

from typing import Any

import numpy as np

from wam_eval.benchmarks.robotwin.miniature.source import MiniatureSource

SOURCE = MiniatureSource({"cameras": []})


def set_up(name: str, seed: int = 100000, condition: str = "clean") -> Any:
    """An episode whose scene has come to rest."""
    env = SOURCE.task(name)
    env.setup_demo(seed=seed, **SOURCE.arguments(name, condition))
    return env


def played(name: str, condition: str, seed: int) -> Any:
    """Let the expert play an episode, and execute its recorded actions in another scene, which is returned."""
    env = set_up(name, seed, condition)
    info = env.play_once()["info"]
    assert env.plan_success and env.check_success(), f"the expert fails: {env.failure}"
    plan = env.expert_actions
    assert plan.dtype == np.float32 and plan.shape[1] == 14 and 0 < len(plan) <= env.step_lim
    assert np.isfinite(plan).all()
    assert not any("{" in line for lines in SOURCE.descriptions(name, info, 10).values() for line in lines)
    again = set_up(name, seed, condition)
    for action in plan:
        again.take_action(action)
        if again.eval_success:
            break
    assert again.eval_success, "its actions fail"
    return again
