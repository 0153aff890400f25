"""wam-eval: evaluation of World Action Models and other robot policies in simulation.

    >>> import wam_eval
    >>> run = wam_eval.evaluate(suite=suite, policy=policy, checkpoint=checkpoint, run="mine")
    >>> run.success_rate
    >>> wam_eval.compare(["mine", "my-baseline"]).verdicts()

The contracts that other packages implement are :class:`Benchmark`, :class:`Simulator` and :class:`Policy`. A camera,
setting or axis belongs to a benchmark (``benchmarks/``), a network to a model family (``models/``), a number or test to
``analysis/``, a table to ``report/``, a published number to ``papers/``; ``run/`` plays episodes, and knows no
benchmark and no model.

Importing this package imports neither torch nor ray nor a simulator; names are loaded when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wam_eval.api import Run, compare, evaluate, load_run, merge
    from wam_eval.benchmark import ActionSpace, Axis, Benchmark, Camera, Installation
    from wam_eval.episode import Episode, Outcome
    from wam_eval.errors import UserError
    from wam_eval.observation import ActionChunk, ImaginedFrames, Observation, Request, Rollback
    from wam_eval.policy import NotSupported, Policy, PolicySettings, PolicySpec, PolicyUnavailable
    from wam_eval.simulator import Simulator

__version__ = "0.1.0"

_HOMES = {
    "api": ("Run", "compare", "evaluate", "load_run", "merge"),
    "benchmark": ("ActionSpace", "Axis", "Benchmark", "Camera", "Installation"),
    "episode": ("Episode", "Outcome"),
    "errors": ("UserError",),
    "observation": ("ActionChunk", "ImaginedFrames", "Observation", "Request", "Rollback"),
    "policy": ("NotSupported", "Policy", "PolicySettings", "PolicySpec", "PolicyUnavailable"),
    "simulator": ("Simulator",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ActionChunk",
    "ActionSpace",
    "Axis",
    "Benchmark",
    "Camera",
    "Episode",
    "ImaginedFrames",
    "Installation",
    "NotSupported",
    "Observation",
    "Outcome",
    "Policy",
    "PolicySettings",
    "PolicySpec",
    "PolicyUnavailable",
    "Request",
    "Rollback",
    "Run",
    "Simulator",
    "UserError",
    "compare",
    "evaluate",
    "load_run",
    "merge",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"wam_eval.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
