"""Selection of a suite's tasks: by number or name, by filters on the benchmark's axes, and by a random sample."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wam_eval.benchmark import Axis, Benchmark
from wam_eval.config import ProtocolCard, SuiteConfig
from wam_eval.errors import UserError, unknown


@dataclass(frozen=True)
class TaskSelection:
    """Filters and a sample. Without any, all tasks are selected.

    Attributes:
        filters: axis -> its wanted values, such as ``camera,noise`` or ``1-3``. Tasks without a value are left out.
        sample: share of the tasks, above 0 and at most 1; the protocol card's if ``None``.
        sample_seed: random seed of the sample; the protocol card's if ``None``.
    """

    filters: Mapping[str, str] = field(default_factory=dict)
    sample: float | None = None
    sample_seed: int | None = None

    def apply(
        self, tasks: list[int], suite: str, config: SuiteConfig, benchmark: Benchmark, card: ProtocolCard
    ) -> list[int]:
        """The tasks that the filters and the sample leave; none if a suite has no task with these values.

        The protocol card's own sample is drawn from the suite as a whole, as the scripts of papers do it, and the
        filters are applied to it. A sample that the user asks for is drawn from the filtered tasks; with a filter on
        the benchmark's first axis it is drawn from each of the filter's values.

        Args:
            tasks: indices, in order.
            suite: name of the suite.
            config: the suite, with its tasks.
            benchmark: its benchmark.
            card: protocol card with the default sample.

        Raises:
            UserError: an axis or value that does not exist, or an error of :meth:`resolved`.
        """
        values = [{**config.axes, **task.axes} for task in config.tasks]
        wanted: dict[str, list[str | int]] = {}
        for name, text in self.filters.items():
            wanted[name] = _values(text, benchmark.axis(name), suite, values)
            tasks = [task for task in tasks if values[task].get(name) in wanted[name]]
        resolved = self.resolved(card)
        if resolved.sample is None:
            return tasks
        seed = f"{resolved.sample_seed}:{config.base or suite}"
        if self.sample is None:
            sample = set(draw(list(range(len(values))), resolved.sample, seed))
            return [task for task in tasks if task in sample]
        first = benchmark.axes[0].name if benchmark.axes else ""
        if first not in wanted:
            return draw(tasks, self.sample, seed)
        strata = [
            (value, [task for task in tasks if values[task].get(first) == value]) for value in sorted(wanted[first])
        ]
        return sorted(task for value, part in strata for task in draw(part, self.sample, f"{seed}:{value}"))

    def resolved(self, card: ProtocolCard) -> TaskSelection:
        """The selection with the share and the seed that its sample is drawn with.

        Args:
            card: protocol card with the default sample.

        Raises:
            UserError: an impossible share, or a seed without a share.
        """
        share = card.sample if self.sample is None else self.sample
        if share is None:
            if self.sample_seed is not None:
                raise UserError("--sample-seed needs a share of the tasks: add --sample, such as --sample 0.2")
            return self
        if not 0 < share <= 1:
            raise UserError(f"a sample of {share:g}: give the share of the tasks, above 0 and at most 1")
        seed = card.sample_seed if self.sample_seed is None else self.sample_seed
        return replace(self, sample=share, sample_seed=seed)

    def plain(self) -> dict[str, Any]:
        """The fields that are set, as plain values."""
        fields = {"filters": dict(self.filters) or None, "sample": self.sample, "sample_seed": self.sample_seed}
        return {name: value for name, value in fields.items() if value is not None}


def draw(tasks: list[int], share: float, seed: str) -> list[int]:
    """A random share of some tasks, in order; at least one of them."""
    count = math.ceil(len(tasks) * share)
    return tasks if count == len(tasks) else sorted(random.Random(seed).sample(tasks, count))


def select_tasks(text: str | None, names: list[str], suite: str) -> list[int]:
    """Task indices from text such as ``0,3,5-7`` or task names.

    Raises:
        UserError: a task that the suite does not have.
    """
    if text is None:
        return list(range(len(names)))
    chosen: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        if numbers := _range(part, "tasks"):
            if numbers[-1] >= len(names):
                raise UserError(f"task {part!r}: {suite} has tasks 0 to {len(names) - 1}")
            chosen.update(numbers)
        elif part in names:
            chosen.add(names.index(part))
        else:
            raise unknown(f"task of {suite}", part, names)
    if not chosen:
        raise UserError(f"{text!r} selects no task of {suite}")
    return sorted(chosen)


def _range(part: str, option: str) -> range | None:
    """The numbers of ``3`` or ``5-7``; ``None`` for other text."""
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
    if not match:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last:
        raise UserError(f"{option} {part!r}: the first is greater than the last")
    return range(first, last + 1)


def _values(text: str, axis: Axis, suite: str, tasks: list[dict[str, str | int]]) -> list[str | int]:
    """The values of an axis that a filter's text names; each must exist in the suite."""
    present = [value for value in axis.values if any(task.get(axis.name) == value for task in tasks)]
    option = f"--filter {axis.name}={text}"
    if not present:
        raise UserError(f"{option}: the tasks of {suite} have no {axis.name}")
    known = ", ".join(map(str, present))
    wanted: list[str | int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        numbers = _range(part, option) if all(isinstance(value, int) for value in present) else None
        for value in numbers or (part,):
            if value not in present:
                raise unknown(f"{axis.name} of {suite}", part, map(str, present))
            wanted.append(value)
    if not wanted:
        raise UserError(f"{option} names none of {known}")
    return list(dict.fromkeys(wanted))
