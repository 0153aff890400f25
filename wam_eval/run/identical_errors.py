"""Limit on identical errors of the policy: a mistake in the set-up fails every episode, but few need to show it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from wam_eval.episode import Outcome
from wam_eval.run.ledger import Record

IDENTICAL_ERRORS = 8
"""Default limit."""
FEW_TASKS = 2
"""Number of tasks that may have a fault of their own, while others show that the policy works."""

_VARIABLE = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<address>"),
    (re.compile(r"\S*[/\\]\S*"), "<path>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", re.IGNORECASE), "<number>"),
)


class IdenticalErrors:
    """Counts errors of the policy that are the same but for numbers, names of the episode, addresses and paths.

    The limit is reached if so many episodes ended in the same error since the last success or failure, with two
    exceptions. As long as an episode is in progress that was begun before the first of them, its end is awaited,
    because the policy may answer elsewhere. Errors of one or two tasks are taken for faults of these tasks once any
    episode of another task has counted. Other outcomes neither count nor start the counting anew.

    Args:
        limit: number of errors; 0 for no limit.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counted: set[tuple[str, int]] = set()  # tasks with a success or failure
        self._records: defaultdict[str, list[Record]] = defaultdict(list)
        self._awaited: set[str] = set()

    def add(self, record: Record, in_progress: Iterable[str]) -> str | None:
        """Count a finished episode.

        Args:
            in_progress: keys of the episodes that are being played.

        Returns:
            A description of the error if the limit is reached, else ``None``.
        """
        self._awaited.discard(record.key)
        if record.outcome.counts:
            self._counted.add((record.suite, record.task))
            self._records.clear()
            self._awaited.clear()
        if record.outcome is not Outcome.POLICY_ERROR or not self._limit:
            return None
        if not self._records:
            self._awaited = set(in_progress) - {record.key}
        same = self._records[normalised(record)]
        same.append(record)
        if len(same) < self._limit or self._awaited:
            return None
        tasks = {(one.suite, one.task) for one in same}
        if len(tasks) <= FEW_TASKS and self._counted - tasks:
            return None
        return f"{len(same)} episodes in a row ended in the same error of the policy: {record.error}"


def normalised(record: Record) -> str:
    """The text of a record's error without anything that differs from episode to episode."""
    text = record.error or ""
    for own in sorted({record.key, record.task_name, record.instruction, record.suite} - {""}, key=len, reverse=True):
        text = text.replace(own, "<episode>")
    for pattern, word in _VARIABLE:
        text = pattern.sub(word, text)
    return text
