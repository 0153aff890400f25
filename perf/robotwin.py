"""RoboTwin: time of verified seeds, of a reset, of images after every action and after every 24th.

    python -m perf.robotwin [--tasks 5,29,45] [--episodes 2]

The same episodes are played twice with the expert's actions and the head, left and right cameras.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from wam_eval.episode import Episode
from wam_eval.hosting.process import SimulatorProcess
from wam_eval.observation import Request
from wam_eval.run.plan import plan_run

REQUEST = Request(("head_camera", "left_camera", "right_camera"))
CHUNK = 24
"""Actions of a chunk, after which images are requested."""


def play(simulator: SimulatorProcess, episode: Episode, chunk: int) -> tuple[float, float]:
    """Play an episode with the expert's actions.

    Args:
        chunk: number of actions between two observations.

    Returns:
        Seconds of the reset, and of the actions with their images.
    """
    privileged = simulator.load(episode, Request(privileged=True)).privileged
    assert privileged is not None and privileged.plan is not None
    start = time.perf_counter()
    simulator.load(episode, REQUEST)
    loaded = time.perf_counter()
    for actions in np.split(privileged.plan, range(chunk, len(privileged.plan), chunk)):
        progress, _ = simulator.step(actions, REQUEST)
        if progress.done:
            break
    return loaded - start, time.perf_counter() - loaded


def main() -> None:
    """Entry point of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m perf.robotwin", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", default="5,29,45", help="tasks of robotwin_clean (default: 5,29,45)")
    parser.add_argument("--episodes", type=int, default=2, help="episodes per task (default: 2)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WAM_EVAL_CACHE"] = folder
        start = time.perf_counter()
        (plan,) = plan_run("robotwin_clean", None, arguments.tasks, arguments.episodes)
        seconds = (time.perf_counter() - start) / len(plan.episodes)
        print(f"verified seeds: {seconds:.1f} s per accepted episode, with the start of the processes")
        log = Path(folder) / "simulator.log"
        with SimulatorProcess(plan.installation.spec(plan.protocol.settings), log) as simulator:
            first, _ = play(simulator, plan.episodes[0], CHUNK)  # The first reset of a process compiles shaders.
            print(f"first reset of a process: {first:.1f} s")
            totals = {}
            for chunk in (1, CHUNK):
                times = np.array([play(simulator, episode, chunk) for episode in plan.episodes])
                totals[chunk] = float(times.sum())
                reset, actions = times.mean(axis=0)
                print(f"images after {chunk:2} actions: reset {reset:.2f} s, actions {actions:.2f} s per episode")
            print(f"episodes per hour, images after {CHUNK} actions / after 1: {totals[1] / totals[CHUNK]:.1f}")


if __name__ == "__main__":
    main()
