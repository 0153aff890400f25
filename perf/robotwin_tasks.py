"""RoboTwin's embedded tasks: rates of seeds that the expert solves and of plans that succeed as actions, and CPU times.

python -m perf.robotwin_tasks [TASK ...] [--seeds 20] [--start 100000] [--conditions clean,randomized] [--verbose]
                              [--replays N] [--action-type ee] [--csv FILE]
python -m perf.robotwin_tasks --table --csv FILE
"""

from __future__ import annotations

import argparse
import csv
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from wam_eval.benchmarks.robotwin.miniature.source import TASKS, MiniatureSource
from wam_eval.benchmarks.robotwin.simulator import hand_poses
from wam_eval.benchmarks.robotwin.source import ACTION_DIMS, CONDITIONS

ActionType = Literal["qpos", "ee"]
"""Type of the actions of a replay; see :data:`wam_eval.benchmarks.robotwin.source.ACTION_DIMS`."""


@dataclass
class Tally:
    """Counts over seeds: outcomes of the expert, replays, and successful ones; CPU times in s; lengths of plans."""

    outcomes: Counter[str] = field(default_factory=Counter)
    replays: int = 0
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
            f"accepted {accepted}/{seeds}, replayed {self.replayed}/{self.replays}, longest {longest} actions; "
            f"median CPU s: set-up {times[0]:.2f}, expert {times[1]:.2f}, replay {times[2]:.2f}"
            + (f"  ({others})" if others else "")
        )


COLUMNS = ("task", "condition", "seeds", "accepted", "replays", "replayed", "longest", "setup", "expert", "replay")
"""Columns of the CSV file: counts of seeds, actions of the longest plan, and median CPU times in s."""


def append_row(file: Path, task: str, condition: str, seeds: int, tally: Tally) -> None:
    """Append the counts of a task in a condition to a CSV file."""
    new = not file.exists()
    with file.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if new:
            writer.writerow(COLUMNS)
        replays = (tally.replays, tally.replayed)
        times = (np.median(values) if values else np.nan for values in (tally.setup, tally.expert, tally.replay))
        row = (task, condition, seeds, tally.outcomes["accepted"], *replays, max(tally.actions, default=0))
        writer.writerow((*row, *(f"{value:.3f}" for value in times)))


def table(file: Path) -> str:
    """The rows of a CSV file as a Markdown table, one line per task with both conditions."""
    with file.open(encoding="utf-8", newline="") as stream:
        rows = {(row["task"], row["condition"]): row for row in csv.DictReader(stream)}
    lines = [
        "| Task | " + " | ".join(f"{one}: solved | replayed" for one in CONDITIONS) + " | longest plan | step limit |",
        "|---" * 7 + "|",
    ]
    for task in sorted({task for task, _ in rows}):
        pair = [rows[task, kind] for kind in CONDITIONS]
        counts = [
            f"{row['accepted']}/{row['seeds']} | "
            + (f"{row['replayed']}/{row['replays']}" if int(row["replays"]) else "–")
            for row in pair
        ]
        longest = max(int(row["longest"]) for row in pair)
        lines.append(f"| `{task}` | {' | '.join(counts)} | {longest} | {TASKS[task].limit} |")
    return "\n".join(lines)


def try_seed(
    source: MiniatureSource,
    task: str,
    condition: str,
    seed: int,
    tally: Tally,
    replays: int | None,
    action_type: ActionType,
    verbose: bool,
) -> None:
    """Let the expert play a seed, and play its plan as actions if it succeeds and fewer plans were replayed so far."""
    env = source.task(task)
    arguments = source.arguments(task, condition)
    start = time.process_time()
    try:
        env.setup_demo(now_ep_num=0, seed=seed, is_test=True, **arguments)
        tally.setup.append(time.process_time() - start)
        start = time.process_time()
        env.play_once()
        tally.expert.append(time.process_time() - start)
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
    tally.actions.append(len(plan))
    if replays is not None and tally.replays == replays:
        return
    tally.replays += 1
    env.setup_demo(now_ep_num=0, seed=seed, is_test=True, **arguments)
    if action_type == "ee":
        plan = hand_poses(env.robot.left_entity, plan)
    start = time.process_time()
    for action in plan:
        env.take_action(action, action_type)
    tally.replay.append(time.process_time() - start)
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
    parser.add_argument("--replays", type=int, help="plans to replay per task and condition (default: all)")
    parser.add_argument("--action-type", default="qpos", choices=list(ACTION_DIMS), help="of replays (default: qpos)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="append a row per task and condition to this file")
    parser.add_argument("--table", action="store_true", help="measure nothing: print the CSV file as a Markdown table")
    arguments = parser.parse_args()
    if arguments.table:
        if not arguments.csv:
            parser.error("--table needs --csv FILE")
        print(table(arguments.csv))
        return
    source = MiniatureSource({"cameras": []})
    for task in arguments.tasks:
        for condition in arguments.conditions.split(","):
            tally = Tally()
            for seed in range(arguments.start, arguments.start + arguments.seeds):
                action_type = arguments.action_type
                try_seed(source, task, condition, seed, tally, arguments.replays, action_type, arguments.verbose)
            print(f"{task:28s} {condition:10s} {tally.line(arguments.seeds)}", flush=True)
            if arguments.csv:
                append_row(arguments.csv, task, condition, arguments.seeds, tally)


if __name__ == "__main__":
    main()
