"""The toy as a benchmark: a point on a line that has to be pushed past ten."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from wam_eval.benchmark import ActionPart, ActionSpace, Averaging, Axis, Benchmark, Camera, Gripper, Installation
from wam_eval.protocol import AssetsRecord


class ToySettings(BaseModel):
    """Settings of the toy: seconds that a step takes, and its cameras."""

    model_config = ConfigDict(extra="forbid")

    pause: float = Field(ge=0)
    cameras: list[str]


class Pushes(ActionSpace):
    """Seven numbers, of which the first one moves the point."""

    dim = 7
    low, high = np.full(7, -5, np.float32), np.full(7, 5, np.float32)
    grippers = (Gripper(6, open=-1.0, closed=1.0),)
    parts: tuple[ActionPart, ...] = (ActionPart("push", first=0, size=6, kind="change"),)

    def hold(self, state: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """Zeros."""
        return np.zeros((count, self.dim), np.float32)

    def rest(self, last: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """Zeros."""
        return np.zeros((count, self.dim), np.float32)

    def random(self, state: NDArray[np.float32], count: int, stream: np.random.Generator) -> NDArray[np.float32]:
        """Uniform in -1 to 1."""
        return stream.uniform(-1, 1, (count, self.dim)).astype(np.float32)


class Toy(Benchmark):
    """A point on a line."""

    title = "Toy"
    Settings = ToySettings
    axes = (
        Axis("weather", ("calm", "windy"), "weathers", reference="calm"),
        Axis("level", (1, 2, 3), "levels"),
    )
    averaging = Averaging("suite", ("toy",))

    def action_space(self, settings: Mapping[str, Any]) -> ActionSpace:
        """Pushes."""
        return Pushes()

    def cameras(self, settings: Mapping[str, Any]) -> tuple[Camera, ...]:
        """Cameras of the settings."""
        return tuple(Camera(name, 64, 64) for name in settings["cameras"])

    def control_hz(self, settings: Mapping[str, Any]) -> float:
        """Twenty."""
        return 20.0

    def state_dim(self, settings: Mapping[str, Any]) -> int:
        """The position."""
        return 1

    def detect(self, versions: Mapping[str, str]) -> Installation:
        """The toy is always installed, in any version that a protocol card asks for."""
        return Installation(
            simulator="tests.toy.simulator:ToySimulator",
            python=self.config.python or sys.executable,
            settings={},
            versions={"toy": "1", **versions},
            assets=AssetsRecord(kind="official", digest="toy"),
        )
