"""Cost of answers that do not depend on their batch: a policy with fixed and with fast batches, side by side.

    python -m perf.batch_modes [--policy fastwam-tiny] [--set variant=joint] [--set dtype=bfloat16] [--rows 4]

Calls of both modes alternate in one process, with the same observations. It prints the median milliseconds of a call,
and for fixed batches the median of the ratios of neighbouring calls, which other load changes least.
"""

from __future__ import annotations

import argparse
from statistics import median
from time import perf_counter
from typing import Any

import yaml

from wam_eval import config
from wam_eval.policy import Policy, make_policy
from wam_eval.run.bench import batch_sizes, bench_arguments


def main() -> None:
    """Entry point of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m perf.batch_modes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", default="fastwam-tiny", help="policy (default: fastwam-tiny)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="setting of the policy")
    parser.add_argument("--rows", type=int, action="append", help="rows of a fixed batch (default: the device's own)")
    parser.add_argument("--batch", default="1,2,3,4,8,16", help="numbers of waiting observations")
    parser.add_argument("--calls", type=int, default=20, help="timed calls of each kind (default: 20)")
    arguments = parser.parse_args()
    given = {key: yaml.safe_load(value) for key, value in (one.split("=", 1) for one in arguments.set)}
    modes: dict[str, dict[str, Any]] = {"fast": {"batch": "fast"}}
    for rows in arguments.rows or [None]:
        modes["fixed" if rows is None else f"fixed, {rows} rows"] = {"batch": "fixed", "rows": rows}
    card = config.load_policy(arguments.policy)
    policies = {
        mode: make_policy(card, bench_arguments(card, None, None, {**given, **settings}))
        for mode, settings in modes.items()
    }
    sizes = batch_sizes(arguments.batch)
    for policy in policies.values():
        policy.prepare([policy.example(index).instruction for index in range(max(sizes))])
    print(" | ".join(["batch", "fast ms", *(f"{mode} ms | × fast" for mode in list(modes)[1:])]))
    for size in sizes:
        times: dict[str, list[float]] = {mode: [] for mode in modes}
        for call in range(arguments.calls + 1):
            for mode, policy in policies.items():
                spent = milliseconds(policy, size)
                if call:  # The first call may compile and allocate.
                    times[mode].append(spent)
        cells = [f"{median(times['fast']):.1f}"]
        for mode in list(modes)[1:]:
            ratio = median(fixed / fast for fixed, fast in zip(times[mode], times["fast"], strict=True))
            cells.append(f"{median(times[mode]):.1f} | {ratio:.2f}")
        print(" | ".join([str(size), *cells]), flush=True)


def milliseconds(policy: Policy, size: int) -> float:
    """Time of one call with a batch of examples."""
    observations = [policy.example(index) for index in range(size)]
    start = perf_counter()
    policy.act(observations)
    return 1000 * (perf_counter() - start)


if __name__ == "__main__":
    main()
