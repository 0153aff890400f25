"""Comparisons of models, a YAML file each in ``reports/miniatures``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from wam_eval import config

FOLDER = "reports/miniatures"


class _Card(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Extent(_Card):
    """The episodes that each model plays.

    Attributes:
        episodes: episodes of each task.
        sample: share of the tasks; all if ``None``.
    """

    episodes: PositiveInt
    sample: float | None = Field(default=None, gt=0, le=1)


class Entry(_Card):
    """A model of a comparison.

    Attributes:
        label: name in tables.
        policy: name of the policy, or path of its YAML file.
        checkpoint: name of the training that gives its weights, or path of a file; that of the policy's YAML file for
            the benchmark if ``None``.
        settings: settings of the policy that replace those of its YAML file.
        suites: suites that it plays instead of the comparison's.
    """

    label: str
    policy: str
    checkpoint: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    suites: tuple[str, ...] = ()


class Comparison(_Card):
    """A comparison of models, the first of which is the reference of all others.

    Attributes:
        name: name of the file.
        title: heading.
        paper: the paper in words, with its arXiv number.
        source: table, figure or section of the paper that it repeats in miniature; empty for a question of ours.
        question: the question in one sentence.
        suites: suites of one benchmark.
        tasks: tasks of each suite, such as ``0,3,5-7`` or names; all if ``None``.
        filters: axis of the benchmark -> values of the tasks.
        columns: ``suite`` or an axis of the benchmark, for whose values the rates are shown, too; empty for none.
        quick, full: extents.
        seconds: wall time of an episode on two cores, for the estimate before the first run.
        entries: at least two models.
        notes: further information for readers.
    """

    name: str = ""
    title: str
    paper: str
    source: str = ""
    question: str
    suites: tuple[str, ...] = Field(min_length=1)
    tasks: str | None = None
    filters: dict[str, str] = Field(default_factory=dict)
    columns: str = ""
    quick: Extent
    full: Extent
    seconds: PositiveFloat
    entries: tuple[Entry, ...] = Field(min_length=2)
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _labels_differ(self) -> Comparison:
        labels = [entry.label for entry in self.entries]
        if len(set(labels)) < len(labels):
            raise ValueError("two entries have the same label")
        return self

    def suites_of(self, entry: Entry) -> tuple[str, ...]:
        """Suites that an entry plays."""
        return entry.suites or self.suites

    def extent(self, quick: bool) -> Extent:
        """The quick or the full extent."""
        return self.quick if quick else self.full


def comparison_names() -> list[str]:
    """Names of all comparisons."""
    return config.names(FOLDER)


def load_comparisons(names: Sequence[str] = ()) -> list[Comparison]:
    """Comparisons by name, all of them if none is named.

    Raises:
        UserError: an unknown name, or a faulty file.
    """
    found = []
    for name in dict.fromkeys(names or comparison_names()):
        card = config.read_yaml(config.find(FOLDER, "comparison", name), Comparison)
        found.append(card.model_copy(update={"name": name}))
    return found
