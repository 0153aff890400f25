"""Predicted values in the report: how well they tell success from failure, and their course along episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from wam_eval.analysis.frame import RunData
from wam_eval.analysis.values import RunValues, values_of
from wam_eval.run.folder import RunFolder
from wam_eval.trajectory import ChunkExecuted, RolledBack, StateKept, Trajectory, read_trajectory

EPISODES_SHOWN = 6
"""Largest number of episodes whose values are drawn."""


@dataclass(frozen=True)
class Course:
    """Values along an episode. Steps are counted as they were executed, undone ones included.

    Attributes:
        label, key, outcome: label of the run, key and outcome of the episode.
        executed: step at which each chunk began, and its value.
        kept: those before which the state was kept.
        rejected: step and value of chunks that were not executed, but led to a rollback.
    """

    label: str
    key: str
    outcome: str
    executed: tuple[tuple[int, float], ...]
    kept: tuple[tuple[int, float], ...]
    rejected: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class ValueRow:
    """Values of a run, for the table of the report.

    Attributes:
        label: label of the run.
        values: its values.
    """

    label: str
    values: RunValues


@dataclass(frozen=True)
class ValueSection:
    """The section of the report on values.

    Attributes:
        rows: of the runs whose policies predict values.
        courses: some of their episodes.
    """

    rows: Sequence[ValueRow]
    courses: Sequence[Course]


def values(runs: Sequence[RunData], labels: Sequence[str]) -> ValueSection | None:
    """Values of all runs, and the course of some episodes; ``None`` if no policy predicts a value."""
    rows = [
        ValueRow(label, found) for run, label in zip(runs, labels, strict=True) if (found := values_of(run)) is not None
    ]
    if not rows:
        return None
    candidates = [courses_of(run, label) for run, label in zip(runs, labels, strict=True) if run.values]
    taken = [course for turn in zip_longest(*candidates) for course in turn if course is not None]
    return ValueSection(rows, taken[:EPISODES_SHOWN])


def courses_of(run: RunData, label: str) -> list[Course]:
    """Courses of a run's episodes, at most :data:`EPISODES_SHOWN`: those with most rollbacks first."""
    rows = [row for row in run.counted.itertuples() if str(row.key) in run.values]
    rows.sort(key=lambda row: (-run.rollbacks.get(str(row.key), (0, 0))[0], row.key))
    found = []
    for row in rows[:EPISODES_SHOWN]:
        try:
            trajectory = read_trajectory(RunFolder(run.name).trajectory_file(str(row.key)))
        except (OSError, ValueError):
            continue  # Removed or damaged trajectories are named by the next command of the run.
        found.append(course(label, str(row.key), str(row.outcome), trajectory))
    return found


def course(label: str, key: str, outcome: str, trajectory: Trajectory) -> Course:
    """Values along a trajectory."""
    executed: list[tuple[int, float]] = []
    kept: list[tuple[int, float]] = []
    rejected: list[tuple[int, float]] = []
    step, keeps = 0, False
    for event in trajectory.events:
        if isinstance(event, StateKept):
            keeps = True
        elif isinstance(event, RolledBack):
            if event.value is not None:
                rejected.append((step, event.value))
        elif isinstance(event, ChunkExecuted):
            if event.value is not None:
                executed.append((step, event.value))
                kept += [(step, event.value)] if keeps else []
            step, keeps = step + len(event.actions), False
    return Course(label, key, outcome, tuple(executed), tuple(kept), tuple(rejected))
