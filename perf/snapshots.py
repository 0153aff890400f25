"""Milliseconds that keeping a state and returning to it take, in a real simulator process with images.

    python -m perf.snapshots [--suite libero_10] [--tasks 0-9] [--repeats 20]

A state is kept before and restored after each of some chunks of actions. Prints the median and the largest time over
all tasks, and the size of a kept state.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from wam_eval.hosting.process import SimulatorProcess
from wam_eval.observation import Request
from wam_eval.run.plan import plan_run

STEPS = 4
"""Control steps of a chunk."""


def timed(call: Callable[[], object], times: list[float]) -> object:
    """The result of a call, whose milliseconds are added to a list."""
    started = time.perf_counter()
    result = call()
    times.append(1000 * (time.perf_counter() - started))
    return result


def main() -> None:
    """Entry point of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m perf.snapshots", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", default="libero_10", help="suite (default: libero_10)")
    parser.add_argument("--tasks", default=None, help="tasks of the suite (default: all)")
    parser.add_argument("--repeats", type=int, default=20, help="chunks per task (default: 20)")
    arguments = parser.parse_args()
    kept: list[float] = []
    restored: list[float] = []
    sizes: list[int] = []
    for plan in plan_run(arguments.suite, None, arguments.tasks, 1):
        settings = plan.protocol.settings
        request = Request(tuple(camera.name for camera in plan.benchmark.cameras(settings)))
        space = plan.benchmark.action_space(settings)
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "simulator.log"
            with SimulatorProcess(plan.installation.spec(settings), log) as simulator:
                for episode in plan.episodes:
                    observation = simulator.load(episode, request)
                    stream = np.random.default_rng(0)
                    for _ in range(arguments.repeats):
                        blob = timed(simulator.snapshot, kept)
                        assert isinstance(blob, bytes)
                        sizes.append(len(blob))
                        simulator.step(space.random(observation.state, STEPS, stream), request)
                        timed(lambda blob=blob: simulator.restore(blob), restored)
    for name, times in (("kept", kept), ("restored", restored)):
        print(f"{name}: {np.median(times):.1f} ms, at most {max(times):.1f} ms, n = {len(times)}")
    print(f"size of a kept state: {np.median(sizes) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
