"""The toy simulator: position += first action; success at 10."""

from __future__ import annotations

import hashlib
import os
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wam_eval.episode import Episode
from wam_eval.observation import Privileged, Request
from wam_eval.simulator import Simulator


class ToySimulator(Simulator):
    """A point on a line, started at the episode's index.

    Every snapshot moves the point by a billionth, as one of a simulator whose trajectory depends on snapshots.
    """

    action_dim = 7

    def __init__(self, settings: dict[str, Any]) -> None:
        self.pause = float(settings.get("pause", 0.0))
        self.position = 0.0

    def reset(self, episode: Episode, request: Request) -> None:
        """Start the episode."""
        self.position = float(episode.index)
        misbehave(episode.task_name)

    def advance(self, action: NDArray[np.float64], cameras: tuple[str, ...]) -> bool:
        """Move the point."""
        time.sleep(self.pause)
        self.position += float(action[0])
        return self.position >= 10

    def render(self, cameras: tuple[str, ...]) -> dict[str, NDArray[np.uint8]]:
        """An image as bright as the point is far."""
        image = np.full((64, 64, 3), int(10 * min(abs(self.position), 20)), np.uint8)
        return dict.fromkeys(cameras, image)

    def state(self) -> NDArray[np.float32]:
        """The position."""
        return np.array([self.position], np.float32)

    def privileged(self) -> Privileged:
        """The number of steps and the position, as the simulator's state."""
        return Privileged({}, {}, {}, (), state=np.array([self._steps, self.position]))

    def get_state(self) -> bytes:
        """The position."""
        self.position += 1e-9
        return pickle.dumps(self.position)

    def set_state(self, blob: bytes) -> None:
        """Set the position."""
        self.position = pickle.loads(blob)

    def fingerprint(self) -> dict[str, str]:
        """Hash of the position."""
        return {"state": hashlib.sha256(str(self.position).encode()).hexdigest()}

    def close(self) -> None:
        """Nothing to free."""


def misbehave(task: str) -> None:
    """Do what the task's name says."""
    if task == "hang":
        time.sleep(3600)
    if task == "die":
        os._exit(7)
    if task == "raise":
        raise ValueError("the scene does not compile")
    if task == "die_once":
        marker = Path(os.environ["TOY_MARKER"])
        if not marker.exists():
            marker.touch()
            os._exit(7)
