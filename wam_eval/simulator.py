"""The simulator contract: the operations that a benchmark's backend implements, and the loop that all of them share.

Runs in the benchmark's own interpreter, so this module needs Python 3.10 and numpy only.
"""

from __future__ import annotations

import pickle
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wam_eval.episode import Episode
from wam_eval.observation import Observation, Privileged, Progress, Request, VideoRequest


class Simulator(ABC):
    """Plays one episode at a time, in a process of its own, without CUDA and without Ray.

    A backend implements the abstract methods. This class executes chunks, stops at success and at the step limit,
    records videos, counts steps, and takes and restores snapshots.

    An episode is a function of its key and of the actions: earlier episodes of the process and rendered images must not
    change the state. Everything is rendered on request only.

    Attributes:
        action_dim: length d of one action.
        calls: names of further methods that the process may be asked to run, such as a search for episodes; see
            :meth:`wam_eval.hosting.process.SimulatorProcess.call`.
    """

    action_dim: int
    calls: tuple[str, ...] = ()

    _episode: Episode | None = None
    _steps = 0
    _undone = 0
    _success = False
    _last: Observation | None = None

    # ------------------------------------------------------------------ implemented by a backend

    @abstractmethod
    def reset(self, episode: Episode, request: Request) -> None:
        """Bring the scene to the first policy step: build or reset it, set the initial state, execute settle steps.

        Args:
            request: content of the first observation. Backends that render inside a control step render it in the last
                settle step.
        """

    @abstractmethod
    def advance(self, action: NDArray[np.float64], cameras: tuple[str, ...]) -> bool:
        """Execute one control step.

        Args:
            action: float64 (d,).
            cameras: cameras that :meth:`render` will be asked for after this step. Benchmarks that sample their
                observations at an instant inside the control step render them at that instant.

        Returns:
            True if the task's goal is reached.
        """

    @abstractmethod
    def render(self, cameras: tuple[str, ...]) -> dict[str, NDArray[np.uint8]]:
        """Images of the current state: camera name -> uint8 (H, W, 3) RGB, oriented as the protocol says."""

    @abstractmethod
    def state(self) -> NDArray[np.float32]:
        """Proprioception, float32 (d,), in the units of the protocol."""

    @abstractmethod
    def get_state(self) -> bytes:
        """The full simulation state, from which :meth:`set_state` continues bit for bit on the same machine.

        Taking it may itself change how the simulation continues, as long as it does so in the same way every time.
        """

    @abstractmethod
    def set_state(self, blob: bytes) -> None:
        """Return to a state of the current episode that :meth:`get_state` gave."""

    @abstractmethod
    def fingerprint(self) -> dict[str, str]:
        """SHA-256 digests that differ if two simulations differ: at least ``state``."""

    @abstractmethod
    def close(self) -> None:
        """Free the scene and the renderer."""

    def privileged(self) -> Privileged:
        """The simulator's own state, for scripted experts."""
        raise NotImplementedError(f"{type(self).__name__} has no privileged state")

    def prepare(self, episode: Episode) -> None:  # noqa: B027 - most backends have nothing to prepare
        """Write to disk what makes a later reset faster. The result of :meth:`reset` must not depend on it."""

    # ------------------------------------------------------------------ shared by all backends

    def load(self, episode: Episode, request: Request) -> Observation:
        """Begin an episode and return its first observation. Success before the first policy step does not count."""
        self._episode, self._steps, self._undone, self._refunded, self._success = None, 0, 0, 0, False
        self.reset(episode, request)
        self._episode = episode
        return self._observe(episode, request)

    def step(
        self, actions: NDArray[np.float32], request: Request | None, video: VideoRequest | None = None
    ) -> tuple[Progress, Observation | None]:
        """Execute actions in order; stop early on success or at the step limit.

        Steps that were undone by a rollback count towards the step limit, unless they were refunded.

        Args:
            actions: float32 (n, d).
            request: content of the observation after the last action; ``None`` for no observation.
            video: frames to record on the way.

        Returns:
            The progress, and the observation after the last action; ``None`` if none was requested or if the episode
            ended before the last action.

        Raises:
            ValueError: the actions have another shape.
        """
        episode = self._current()
        if actions.ndim != 2 or actions.shape[1] != self.action_dim:
            raise ValueError(f"actions of shape {actions.shape}; this simulator takes (n, {self.action_dim})")
        frames: list[NDArray[np.uint8]] = []
        last = False
        for number, action in enumerate(actions.astype(np.float64)):
            last = number == len(actions) - 1
            cameras = request.cameras if request and last else ()
            recorded = video is not None and (self._steps + 1) % video.every == 0
            if video and recorded:
                cameras = tuple(dict.fromkeys((*cameras, video.camera)))
            self._success = self.advance(action, cameras)
            self._steps += 1
            if video and recorded:
                frames.append(self.render((video.camera,))[video.camera])
            if self._done(episode):
                break
        progress = Progress(self._steps, self._success, self._done(episode), tuple(frames))
        return progress, self._observe(episode, request) if request and last else None

    def snapshot(self) -> bytes:
        """The full state of the episode with its last observation, for :meth:`restore`."""
        episode = self._current()
        executed = self._steps + self._undone
        return pickle.dumps((episode.key, self._steps, executed, self._success, self._last, self.get_state()))

    def restore(self, blob: bytes, refund: bool = False) -> Observation:
        """Return to a snapshot of the same episode, of this or another attempt; the steps since then are undone.

        Args:
            blob: the snapshot.
            refund: True if the steps that are undone now do not count towards the step limit.

        Returns:
            The last observation before the snapshot was taken, with the number of undone steps.

        Raises:
            ValueError: the snapshot is of another episode.
        """
        episode = self._current()
        key, steps, executed, success, last, state = pickle.loads(blob)
        if key != episode.key:
            raise ValueError(f"a snapshot of {key} cannot be restored in {episode.key}: load that episode first")
        self.set_state(state)
        executed = max(executed, self._steps + self._undone)  # more than here if the snapshot is of another attempt
        if refund:
            self._refunded += max(executed - steps - self._undone, 0)
        self._undone = executed - steps
        self._steps, self._success = steps, success
        self._last = Observation(**{**vars(last), "undone": self._undone})
        return self._last

    def _current(self) -> Episode:
        if self._episode is None:
            raise RuntimeError("no episode is loaded")
        return self._episode

    def _done(self, episode: Episode) -> bool:
        return self._success or self._steps + self._undone - self._refunded >= episode.step_limit

    def _observe(self, episode: Episode, request: Request) -> Observation:
        self._last = Observation(
            key=episode.key,
            step=self._steps,
            images=self.render(request.cameras) if request.cameras else {},
            state=self.state(),
            instruction=episode.instruction,
            privileged=self.privileged() if request.privileged else None,
            undone=self._undone,
        )
        return self._last


@dataclass(frozen=True)
class Renderer:
    """A renderer that works on this machine.

    Attributes:
        name: such as ``egl``, ``osmesa`` or ``vulkan``; ``none`` if nothing is rendered.
        vendor: the driver's own description, such as ``llvmpipe (LLVM 15.0.6, 256 bits)``.
        gpu: True if a GPU renders.
        environment: environment variables for processes that use it.
    """

    name: str
    vendor: str
    gpu: bool
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.name == "none":
            return f"no renderer: {self.vendor}"
        return f"{self.name} on {'GPU' if self.gpu else 'CPU'}: {self.vendor}"


@dataclass(frozen=True)
class Deadlines:
    """Seconds that a simulator process may take to answer.

    Attributes:
        start: from the start of the process to its first message (imports, on a cold disk).
        load: for building or resetting a scene and its settle steps.
        step: for one control step without rendering; a chunk of n gets n times as much, plus ``image`` for each image.
        image: for one rendered camera image, on a busy CPU.
    """

    start: float = 120.0
    load: float = 240.0
    step: float = 5.0
    image: float = 20.0


@dataclass(frozen=True)
class SimulatorSpec:
    """Instructions to start a simulator process.

    Attributes:
        simulator: ``module:Class`` of a :class:`Simulator`.
        settings: argument of its constructor; plain JSON values.
        python: interpreter; the benchmark's packages must be importable there.
        environment: environment variables, such as the renderer's.
        packages: distribution -> version that the protocol records; the process checks that it imports these.
        deadlines: time limits of its answers.
        prepares: True if :meth:`Simulator.prepare` does something.
    """

    simulator: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    deadlines: Deadlines = Deadlines()
    prepares: bool = False
