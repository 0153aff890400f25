"""A simulator that imports a package with its first scene, as that of LIBERO does."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from tests.toy.simulator import ToySimulator
from wam_eval.episode import Episode
from wam_eval.errors import UserError
from wam_eval.observation import Request


class Refuser(ToySimulator):
    """The toy that finds at its start or, with ``start`` of its settings, at an episode what the user must correct."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        if not settings["start"]:
            raise UserError("the checkout has changed")

    def reset(self, episode: Episode, request: Request) -> None:
        """Refuse."""
        raise UserError("the checkout has changed")


class PackageUser(ToySimulator):
    """The toy. Imports bddl when it loads an episode, from the folder ``import_from`` of its settings if not empty."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.import_from = settings["import_from"]

    def reset(self, episode: Episode, request: Request) -> None:
        """Import bddl, then start the episode."""
        if self.import_from:
            sys.path.insert(0, self.import_from)
        importlib.import_module("bddl")
        super().reset(episode, request)
