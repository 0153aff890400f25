"""Costs of the models of a comparison: size, computation of a chunk, and its time, measured beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from wam_eval.policy import NotSupported, Policy, make_policy, policy_class
from wam_eval.reproduction.playing import Player
from wam_eval.reproduction.results import Cost
from wam_eval.run.bench import bench_arguments

ROUNDS = 20
"""Timed answers of each model."""
WARM_UP_ROUNDS = 2
SINGLE = {"batch": "fast", "rows": None}
"""Settings with which a model computes one answer, and no further rows of a fixed batch."""


def measure_costs(players: Sequence[Player]) -> dict[str, Cost]:
    """Costs of models in this process.

    All models answer in turn, so that what else the machine does meets all of them alike. Times are therefore given as
    ratios to the first model: the median over the rounds, and its quartiles.

    Args:
        players: models that can be played; the first one is the reference.

    Returns:
        Label -> costs; models without example observations are left out.

    Raises:
        UserError: a model cannot be made.
    """
    made: dict[str, Policy] = {}
    try:
        for player in players:
            assert player.policy is not None
            benchmark = player.benchmark if player.policy.benchmarks else None
            known = policy_class(player.policy).Settings.model_fields
            single = {name: value for name, value in SINGLE.items() if name in known}
            arguments = bench_arguments(player.policy, player.checkpoint, benchmark, single)
            made[player.entry.label] = make_policy(player.policy, arguments)
        times = _times(made)
        if not times:
            return {}
        reference = times[next(iter(times))]
        found = {}
        for label, spent in times.items():
            costs = made[label].costs()
            low, ratio, high = np.percentile(spent / reference, (25, 50, 75))
            found[label] = Cost(
                parameters=sum(costs.parameters.values()) if costs else None,
                flops=costs.flops if costs else None,
                milliseconds=round(float(np.median(spent)), 2),
                ratio=(round(float(ratio), 3), round(float(low), 3), round(float(high), 3)),
            )
        return found
    finally:
        for policy in made.values():
            policy.close()


def _times(policies: dict[str, Policy]) -> dict[str, NDArray[np.float64]]:
    """Milliseconds of the answers of each policy with an example, float64 (ROUNDS,), in alternation."""
    examples = {}
    for label, policy in policies.items():
        try:
            examples[label] = policy.example(0)
        except NotSupported:
            continue
        policy.prepare([examples[label].instruction])
    spent: dict[str, list[float]] = {label: [] for label in examples}
    for number in range(WARM_UP_ROUNDS + ROUNDS):
        for label, example in examples.items():
            started = perf_counter()
            policies[label].act([example])
            if number >= WARM_UP_ROUNDS:
                spent[label].append(1000 * (perf_counter() - started))
    return {label: np.array(values) for label, values in spent.items()}
