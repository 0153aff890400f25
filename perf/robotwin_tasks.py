"""RoboTwin's embedded tasks: rates of seeds that the expert solves and of plans that succeed as actions, and times.

python -m perf.robotwin_tasks [TASK ...] [--seeds 20] [--start 100000] [--conditions clean,randomized] [--verbose]
"""

from __future__ import annotations

import argparse
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from wam_eval.benchmarks.robotwin.miniature.source import TASKS, MiniatureSource


@dataclass
class Tally:
    """Counts over seeds: outcomes of the expert, and successful replays; times in s; lengths of plans."""

    outcomes: Counter[str] = field(default_factory=Counter)
    replayed: int = 0
    setup: list[float] = field(default_factory=list)
    expert: list[float] = field(default_factory=list)
    replay: list[float] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)

    def line(self, seeds: int) -> str:
        """The counts in one line."""
        accepted = self.outcomes["accepted"]
        times = [
            float(np.median(values)) if values else float("nan") for values in (self.setup, self.expert, self.replay)
        ]
        others = ", ".join(f"{n} {kind}" for kind, n in self.outcomes.most_common() if kind != "accepted")
        longest = max(self.actions, default=0)
        return (
            f"accepted {accepted}/{seeds}, replayed {self.replayed}/{accepted}, longest {longest} actions; median s: "
            f"set-up {times[0]:.2f}, expert {times[1]:.2f}, replay {times[2]:.2f}" + (f"  ({others})" if others else "")
        )


def try_seed(source: MiniatureSource, task: str, condition: str, seed: int, tally: Tally, verbose: bool) -> None:
    """Let the expert play a seed, and play its plan as actions if it succeeds."""
    env = source.task(task)
    arguments = source.arguments(task, condition)
    start = time.perf_counter()
    try:
        env.setup_demo(now_ep_num=0, seed=seed, is_test=True, **arguments)
        tally.setup.append(time.perf_counter() - start)
        start = time.perf_counter()
        env.play_once()
        tally.expert.append(time.perf_counter() - start)
        outcome = "no plan" if not env.plan_success else "accepted" if env.check_success() else "no success"
    except source.unstable as error:
        outcome = "unstable"
        if verbose:
            print(f"  {task} {condition} {seed}: {error}")
    except Exception:
        traceback.print_exc()
        outcome = "error"
    tally.outcomes[outcome] += 1
    if verbose and outcome in ("no plan", "no success"):
        print(f"  {task} {condition} {seed}: {outcome} {env.failure or ''}")
    plan = env.expert_actions
    env.close_env()
    if outcome != "accepted":
        return
    env.setup_demo(now_ep_num=0, seed=seed, is_test=True, **arguments)
    start = time.perf_counter()
    for action in plan:
        env.take_action(action)
    tally.replay.append(time.perf_counter() - start)
    tally.actions.append(len(plan))
    tally.replayed += env.eval_success
    if verbose and not env.eval_success:
        print(f"  {task} {condition} {seed}: not replayed ({len(plan)} actions of {env.step_lim})")
    env.close_env()


def main() -> None:
    """Entry point of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m perf.robotwin_tasks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", nargs="*", default=sorted(TASKS), help="tasks (default: all)")
    parser.add_argument("--seeds", type=int, default=20, help="seeds per condition (default: 20)")
    parser.add_argument("--start", type=int, default=100000, help="first seed (default: 100000)")
    parser.add_argument("--conditions", default="clean,randomized", help="default: clean,randomized")
    parser.add_argument("--verbose", action="store_true", help="print a line for every seed that fails")
    arguments = parser.parse_args()
    source = MiniatureSource({"cameras": []})
    for task in arguments.tasks:
        for condition in arguments.conditions.split(","):
            tally = Tally()
            for seed in range(arguments.start, arguments.start + arguments.seeds):
                try_seed(source, task, condition, seed, tally, arguments.verbose)
            print(f"{task:28s} {condition:10s} {tally.line(arguments.seeds)}", flush=True)


if __name__ == "__main__":
    main()
