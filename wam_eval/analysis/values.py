"""Predicted values of a run's chunks: do they tell success from failure, and how often did they lead to a rollback?

A value is the policy's own prediction for a chunk that it is about to execute. Its scale depends on the policy: a
discounted return is not a probability. The reliability diagram therefore shows the share of successes by value, not a
deviation from a diagonal, and the AUROC uses the order of the values only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from wam_eval.analysis.frame import RunData

BINS = 10
"""Largest number of bins of the reliability diagram."""
SMALLEST_BIN = 10
"""Smallest number of chunks in a bin on average; fewer chunks have fewer bins."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Executed chunks with similar values.

    Attributes:
        value: mean predicted value.
        success: share of them whose episode succeeded.
        chunks: number of chunks.
    """

    value: float
    success: float
    chunks: int


@dataclass(frozen=True)
class TaskValues:
    """Values of a task.

    Attributes:
        suite, task: name of the suite, number of the task.
        successes, failures: mean value of each episode, by outcome.
    """

    suite: str
    task: int
    successes: tuple[float, ...]
    failures: tuple[float, ...]

    @property
    def auroc(self) -> float | None:
        """Probability that a success has a higher mean value than a failure; ``None`` without one of each."""
        if not self.successes or not self.failures:
            return None
        pairs = len(self.successes) * len(self.failures)
        return float(mannwhitneyu(self.successes, self.failures).statistic) / pairs


@dataclass(frozen=True)
class RunValues:
    """Values and rollbacks of a run, over the episodes that count.

    Attributes:
        episodes: number with at least one value.
        chunks: number of executed chunks with a value.
        tasks: by suite and task.
        reliability: chunks by value, in ascending order.
        rollbacks, undone: sums over these episodes: returns to a kept state, and control steps that they undid.
        with_rollback: number of episodes with at least one.
    """

    episodes: int
    chunks: int
    tasks: tuple[TaskValues, ...]
    reliability: tuple[ReliabilityBin, ...]
    rollbacks: int
    undone: int
    with_rollback: int

    @property
    def auroc(self) -> float | None:
        """AUROC over all pairs of a success and a failure of the same task; ``None`` if there is none.

        Pairs of different tasks would also measure whether the policy knows which task is easy.
        """
        weighted = [(one.auroc, len(one.successes) * len(one.failures)) for one in self.tasks if one.auroc is not None]
        total = sum(pairs for _, pairs in weighted)
        return sum(auroc * pairs for auroc, pairs in weighted) / total if total else None


def values_of(run: RunData) -> RunValues | None:
    """Values of a run; ``None`` if its policy predicts none. Pure."""
    rows = [row for row in run.counted.itertuples() if run.values.get(str(row.key))]
    if not rows:
        return None
    tasks: dict[tuple[str, int], tuple[list[float], list[float]]] = {}
    for row in rows:
        successes, failures = tasks.setdefault((str(row.suite), int(str(row.task))), ([], []))
        (successes if row.success else failures).append(float(np.mean(run.values[str(row.key)])))
    values = np.concatenate([run.values[str(row.key)] for row in rows])
    success = np.concatenate([np.full(len(run.values[str(row.key)]), bool(row.success)) for row in rows])
    returns = [run.rollbacks.get(str(row.key), (0, 0)) for row in rows]
    return RunValues(
        episodes=len(rows),
        chunks=len(values),
        tasks=tuple(TaskValues(*place, tuple(won), tuple(lost)) for place, (won, lost) in sorted(tasks.items())),
        reliability=tuple(reliability(values, success)),
        rollbacks=sum(count for count, _ in returns),
        undone=sum(undone for _, undone in returns),
        with_rollback=sum(count > 0 for count, _ in returns),
    )


def reliability(values: NDArray[np.float64], success: NDArray[np.bool_]) -> list[ReliabilityBin]:
    """Chunks in bins of equal numbers, in ascending order of their value; equal values are never divided.

    Args:
        values: predicted value of each chunk (n,).
        success: (n,), True if its episode succeeded.
    """
    order = np.argsort(values, kind="stable")
    values, success = values[order], success[order]
    count = int(np.clip(len(values) // SMALLEST_BIN, 1, BINS))
    edges = np.linspace(0, len(values), count + 1).round().astype(int)
    starts = sorted({int(np.searchsorted(values, values[edge])) for edge in edges[:-1]})
    return [
        ReliabilityBin(float(values[start:end].mean()), float(success[start:end].mean()), end - start)
        for start, end in zip(starts, [*starts[1:], len(values)], strict=True)
    ]
