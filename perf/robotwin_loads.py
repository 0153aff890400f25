"""RoboTwin: CPU times of resets, and memory of one simulator process over all tasks in both conditions.

python -m perf.robotwin_loads [--episodes 2] [--images]

With ``--images`` the head, left and right cameras are rendered once after every reset. Seeds
whose scenes do not come to rest are left out; the expert does not play the others.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import tempfile
from pathlib import Path

import numpy as np
import psutil

from wam_eval.benchmark import load_benchmark
from wam_eval.benchmarks.robotwin.benchmark import miniature
from wam_eval.benchmarks.robotwin.miniature import TASK_NAMES
from wam_eval.benchmarks.robotwin.miniature.source import MiniatureSource
from wam_eval.benchmarks.robotwin.source import CONDITIONS
from wam_eval.episode import Episode
from wam_eval.hosting.process import SimulatorProcess
from wam_eval.observation import Request
from wam_eval.run.sizing import resident_memory

EVERY = 20
"""Number of resets from one line about memory to the next."""
START = 100000
"""First seed."""


def cpu_time(pid: int) -> float:
    """CPU time that a process has used, s."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def stable_seeds(task: str, condition: str, count: int) -> list[int]:
    """The first seeds whose scenes come to rest."""
    source = MiniatureSource({"cameras": []})
    found: list[int] = []
    for seed in itertools.count(START):
        if len(found) == count:
            break
        env = source.task(task)
        with contextlib.suppress(source.unstable):
            env.setup_demo(seed=seed, **source.arguments(task, condition))
            found.append(seed)
        env.close_env()
    return found


def main() -> None:
    """Entry point of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m perf.robotwin_loads", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--episodes", type=int, default=2, help="episodes per task and condition (default: 2)")
    parser.add_argument("--images", action="store_true", help="render three cameras after every reset")
    arguments = parser.parse_args()
    episodes = [
        Episode(f"robotwin_{condition}", number, condition, index, task, "", seed, 1)
        for condition in CONDITIONS
        for number, task in enumerate(TASK_NAMES)
        for index, seed in enumerate(stable_seeds(task, condition, arguments.episodes))
    ]
    episodes.sort(key=lambda episode: (episode.index, episode.condition))
    _, card = load_benchmark("robotwin").card(None)
    spec = miniature().spec(card.settings, images=arguments.images)
    request = Request(("head_camera", "left_camera", "right_camera") if arguments.images else ())
    used = []
    with tempfile.TemporaryDirectory() as folder, SimulatorProcess(spec, Path(folder) / "simulator.log") as simulator:
        for number, episode in enumerate(episodes, start=1):
            simulator.load(episode, request)
            assert simulator.pid is not None
            used.append(cpu_time(simulator.pid))
            if number % EVERY == 0:
                print(f"memory after {number} resets: {resident_memory(simulator.pid) // 2**20} MiB", flush=True)
    rest = np.diff(used)
    print(f"start and first reset {used[0]:.2f} s; others: median {np.median(rest):.2f} s, largest {rest.max():.2f} s")
    print("slowest: " + ", ".join(f"{episodes[i + 1].key} {rest[i]:.2f} s" for i in np.argsort(rest)[-5:][::-1]))


if __name__ == "__main__":
    main()
