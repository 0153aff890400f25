"""The protocol of a suite: everything except the policy that can change a score, with its hash."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict

from wam_eval.version_classes import class_of

NOT_STATED = "not stated"
"""Kind of the assets of a run whose source does not state them."""

OWN_TASKS = {
    "miniature": "the embedded miniature",
    "stand-in tasks": "the embedded stand-ins",
}
"""Kinds of assets with which a run plays other tasks than those of papers, in words."""

CLASSES = ("physics_class", "render_class")
"""Fields that follow from ``versions`` and the tables of :mod:`wam_eval.version_classes`."""


class AssetsRecord(BaseModel):
    """The assets that a simulator used.

    Attributes:
        kind: ``official``, ``partial`` (a tree that differs from the official one), ``stand-in`` (our own, with the
            same physics), ``miniature`` (our own smaller benchmark) or ``stand-in tasks`` (the benchmark's tasks, with
            instructions or objects of our own), which are never shown beside published results,
            ``recorded starts`` (any of these, but the episodes start where demonstrations were recorded) or
            ``not stated`` (in an imported run).
        digest: SHA-256 over the contents of the tree's files, or over names and sizes where reading them would take too
            long; version of the stand-ins or of the miniature.
        detail: one line for people; not hashed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    digest: str
    detail: str = ""


class Protocol(BaseModel):
    """The rules by which the episodes of one elementary suite are played and scored.

    Attributes:
        card: name of the protocol card, such as ``openvla``; not hashed.
        suite: the elementary suite.
        source: origin of the card's numbers; not hashed.
        step_limit: control steps that a policy may take, the largest limit of any task.
        step_limits: task name -> control steps, if a benchmark has a limit for each task.
        trials: episodes per task of the full suite.
        seed: seed of the simulator's random state before each reset.
        settings: settings of the simulator (settle steps, resolution, cameras ...).
        rules: properties of the simulator that no setting changes (orientation, success, instruction ...), in words.
        versions: package -> version, for packages that could change a score.
        assets: the assets.
        physics_class: class of the versions whose episodes are equal, see :mod:`wam_eval.version_classes`; empty in
            older runs, and if no package has classes.
        render_class: class of the versions whose images are equal; likewise.
        unhashed: settings whose values give the same episodes bit for bit; they are not hashed.
        unknown: fields, and groups of fields such as ``rules``, that the source of an imported run does not state.
            Their values are placeholders (0, empty), which are neither hashed nor compared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    card: str
    suite: str
    source: str
    step_limit: int
    trials: int
    seed: int
    settings: dict[str, Any]
    rules: dict[str, str]
    versions: dict[str, str]
    assets: AssetsRecord
    step_limits: dict[str, int] = {}
    physics_class: str = ""
    render_class: str = ""
    unhashed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def canonical(self) -> dict[str, Any]:
        """The content that is hashed and compared, as plain values."""
        exclude: Any = {
            "card": True,
            "source": True,
            "unhashed": True,
            "assets": {"detail"},
            "settings": set(self.unhashed),
        }
        plain = self.model_dump(mode="json", exclude=exclude)
        for name in ("step_limits", "unknown", *CLASSES):  # younger than the first hashes
            if not plain[name]:
                del plain[name]
        return {name: value for name, value in plain.items() if name not in self.unknown}

    def states(self, name: str) -> bool:
        """True if a field, given by its dotted name, is known."""
        return not any(name == one or name.startswith(f"{one}.") for one in self.unknown)

    def limit_of(self, task_name: str) -> int:
        """Control steps that a policy may take in a task."""
        return self.step_limits.get(task_name, self.step_limit)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON form (sorted keys, no spaces)."""
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def publishable(self) -> bool:
        """True if results may be shown beside published ones, which needs the official assets."""
        return self.assets.kind == "official"


def classified(protocol: Protocol) -> Protocol:
    """The protocol with its physics and render class as the tables state them today.

    Comparisons use this form. A run that is older than these fields, or than a correction of a table, is thus compared
    by its versions. A class that no table gives is kept.
    """
    found = {
        "physics_class": class_of("physics", protocol.versions),
        "render_class": class_of("render", protocol.versions),
    }
    return protocol.model_copy(update={name: value for name, value in found.items() if value})


def differences(left: Protocol, right: Protocol) -> list[tuple[str, Any, Any]]:
    """Fields in which two protocols differ: dotted name, left value, right value (``None`` where absent).

    Classes of versions are those of today's tables: what a run recorded follows from its versions.
    """
    first, second = (flatten(classified(protocol).canonical()) for protocol in (left, right))
    names = sorted(first.keys() | second.keys())
    return [(n, first.get(n), second.get(n)) for n in names if first.get(n) != second.get(n)]


def flatten(value: Any, name: str = "") -> dict[str, Any]:
    """Nested mappings as one with dotted names."""
    if not isinstance(value, dict):
        return {name: value}
    return {k: v for key, item in value.items() for k, v in flatten(item, f"{name}.{key}" if name else key).items()}
