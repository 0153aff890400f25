"""Studies of a policy: what it returns with its answers besides actions, compared with what happened.

A study asks for something with every observation of an episode, such as imagined frames, and keeps it. After the
episode its trajectory is played again to render the policy's view where the comparison needs it, so that a study never
changes an evaluation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from wam_eval.episode import Episode
from wam_eval.hosting.process import SimulatorProcess
from wam_eval.observation import ActionChunk, Observation, Rollback
from wam_eval.policy import PolicySpec
from wam_eval.run.playback import observe
from wam_eval.trajectory import Trajectory

Frame = NDArray[np.uint8]
Part = TypeVar("Part")


class Place(NamedTuple):
    """A state of a trajectory.

    Attributes:
        chunk: number of an executed chunk.
        offset: control steps since its beginning.
    """

    chunk: int
    offset: int


Look = Callable[[Collection[Place]], Mapping[Place, Frame]]
"""Plays the trajectory again. Gives the policy's view, uint8 (H, W, 3) RGB, of some of its states."""


@dataclass(frozen=True)
class Comparison:
    """Findings of a study in an episode.

    Attributes:
        video: content of an MP4 file.
        scores: measurements for the ledger; finite numbers.
    """

    video: bytes
    scores: Mapping[str, float]


class Study(ABC, Generic[Part]):
    """A study; ``Part`` is what it keeps of an answer.

    Attributes:
        name: folder of its files inside a run, and its name in the plan of a worker.
        title: what is studied, in the plural, for messages.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def check(self, policy: str, spec: PolicySpec) -> None:
        """Check before the first episode that the study is possible.

        Args:
            policy: title of the policy, for messages.
            spec: its specification.

        Raises:
            UserError: it is not.
        """

    @abstractmethod
    def request(self, observation: Observation) -> Observation:
        """The observation with the question of the study."""

    @abstractmethod
    def part(self, answer: ActionChunk, first: Part | None) -> Part:
        """The part of an answer that is kept.

        Args:
            answer: the policy's answer.
            first: that of the episode's first answer, with which others must agree; ``None`` for the first itself.

        Raises:
            PolicyError: it is missing, or cannot be used.
        """

    @abstractmethod
    def archive(self, parts: Sequence[Part], steps: NDArray[np.int64]) -> bytes:
        """Content of a compressed NumPy archive (.npz) with all that was kept.

        Args:
            parts: at least one.
            steps: int64 (chunks,), control steps executed before each chunk, undone ones included.
        """

    @abstractmethod
    def compare(self, archive: bytes, trajectory: Trajectory, look: Look, control_hz: float) -> Comparison:
        """Compare what was kept with what happened. Any error means that this is not possible.

        Args:
            archive: of :meth:`archive`.
            trajectory: the episode.
            look: shows the states of the episode.
            control_hz: control steps per second of simulated time.
        """


class Collector(Generic[Part]):
    """A policy that is asked for a study with every answer, and what was kept so far.

    Args:
        act: asks the policy.
        study: the study.
    """

    def __init__(self, act: Callable[[Observation], ActionChunk | Rollback], study: Study[Part]) -> None:
        self._act = act
        self.study = study
        self._parts: list[Part] = []
        self._steps: list[int] = []

    def __call__(self, observation: Observation) -> ActionChunk | Rollback:
        """The policy's answer.

        Raises:
            PolicyError: what the study needs is missing, or cannot be used.
        """
        answer = self._act(self.study.request(observation))
        if isinstance(answer, ActionChunk):  # a rollback has no parts; any other answer is refused by the rollout
            self._parts.append(self.study.part(answer, self._parts[0] if self._parts else None))
            self._steps.append(observation.step + observation.undone)
        return answer

    def archive(self) -> bytes:
        """See :meth:`Study.archive`; there must be at least one chunk."""
        return self.study.archive(self._parts, np.array(self._steps, np.int64))


@dataclass(frozen=True)
class StudyResult:
    """A study of an episode.

    Attributes:
        video: content of the MP4 file; ``None`` if the comparison failed.
        scores: measurements; empty if the comparison failed.
        fault: reason of the failure.
    """

    video: bytes | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    fault: str | None = None


def compare(
    study: Study[Part],
    archive: bytes,
    episode: Episode,
    simulator: SimulatorProcess,
    trajectory: Trajectory,
    spec: PolicySpec,
    view: Callable[[Observation], Frame],
    control_hz: float,
) -> StudyResult:
    """Play a trajectory again, and compare.

    No error is raised, because the episode's result is valid whatever happens here.

    Args:
        spec, view: specification and view of the policy.
        control_hz: control steps per second of simulated time.
    """

    def look(places: Collection[Place]) -> dict[Place, Frame]:
        wanted: dict[int, set[int]] = {}
        for place in places:
            wanted.setdefault(place.chunk, set()).add(place.offset)
        seen = observe(episode, simulator, trajectory, spec.request, wanted)
        return {place: view(seen[place]) for place in places}

    try:
        found = study.compare(archive, trajectory, look, control_hz)
    except Exception as error:
        return StudyResult(fault=f"{type(error).__name__}: {error}")
    return StudyResult(found.video, found.scores)


def joined(left: Frame, right: Frame, colour: tuple[int, int, int]) -> Frame:
    """A frame of a video: two pictures side by side with a coloured line between them.

    Padded at the right and bottom to even height and width, which H.264 needs.
    """
    line = np.broadcast_to(np.array(colour, np.uint8), (len(left), _LINE, 3))
    both = np.concatenate([left, line, right], axis=1)
    return np.pad(both, [(0, both.shape[0] % 2), (0, both.shape[1] % 2), (0, 0)])


_LINE = 4  # pixels
