"""Imagined frames compared with executed frames: collection, scores, and a video that shows both side by side.

The executed frames come from playing the trajectory again after the episode has ended, so that the comparison never
changes an evaluation.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wam_eval.episode import Episode
from wam_eval.errors import UserError
from wam_eval.hosting.process import SimulatorProcess
from wam_eval.observation import ActionChunk, ImaginedFrames, Observation, Rollback
from wam_eval.policy import PolicySpec, not_installed
from wam_eval.run.playback import encode, observe
from wam_eval.run.rollout import PolicyError
from wam_eval.trajectory import ChunkExecuted, RolledBack, Trajectory

Frame = NDArray[np.uint8]

HIGHEST_PSNR = 10 * np.log10(255**2 / 1e-8)
"""Decibels given to equal frames, whose PSNR is infinite: that of a mean squared error of 1e-8 (128.1)."""
SMALLEST = 7
"""Minimum height and width of a frame in pixels: SSIM uses windows of 7 by 7."""

_SEPARATOR = 4  # pixels between the two halves of a video
_WITHIN_CHUNK, _CHUNK_START = (255, 255, 255), (230, 120, 0)  # colours of the separator


class Place(NamedTuple):
    """A state of a trajectory.

    Attributes:
        chunk: number of an executed chunk.
        offset: control steps since its beginning.
    """

    chunk: int
    offset: int


@dataclass(frozen=True)
class EpisodeImagination:
    """All imagined frames of an episode.

    Attributes:
        frames: uint8 (chunks, n, H, W, 3) RGB; frame i of a chunk is expected ``i * every`` steps after its beginning.
        steps: int64 (chunks,), control steps executed before each chunk, undone ones included.
        every: control steps from one frame to the next.
    """

    frames: Frame
    steps: NDArray[np.int64]
    every: int

    def due(self, trajectory: Trajectory) -> list[tuple[int, int, Place]]:
        """Frames that can be compared: chunk, frame, and place of the executed frame.

        These are the frames up to the end of what was executed of their chunk, that state included. If no frame of the
        future is among them, such as the only one of a model that imagines the end of a chunk of which less is
        executed, it is the first frame of the future: it is compared with the state at its own time, which the actions
        of the next chunks led to. It has none if the episode ended before, or went back to a kept state.
        """
        chunks = self._executed(trajectory)[: len(self.frames)]
        due = []
        for chunk, (length, _) in enumerate(chunks):
            own = min(self.frames.shape[1], length // self.every + 1)
            due += [(chunk, frame, Place(chunk, frame * self.every)) for frame in range(own)]
            if own == 1 and self.frames.shape[1] > 1 and (place := _later(chunks, chunk, self.every)):
                due.append((chunk, 1, place))
        return due

    @staticmethod
    def _executed(trajectory: Trajectory) -> list[tuple[int, bool]]:
        """Control steps of each chunk, and True if it continues the one before it."""
        chunks: list[tuple[int, bool]] = []
        continued = False
        for event in trajectory.events:
            if isinstance(event, ChunkExecuted):
                chunks.append((len(event.actions), continued))
                continued = True
            elif isinstance(event, RolledBack):
                continued = False
        return chunks

    def archive(self) -> bytes:
        """Content of a compressed NumPy archive (.npz) with ``frames``, ``steps`` and ``every``."""
        file = io.BytesIO()
        np.savez_compressed(file, frames=self.frames, steps=self.steps, every=np.int64(self.every))
        return file.getvalue()


def read_imagined(archive: bytes) -> EpisodeImagination:
    """The content of a file that :meth:`EpisodeImagination.archive` made."""
    with np.load(io.BytesIO(archive), allow_pickle=False) as content:
        return EpisodeImagination(content["frames"], content["steps"], int(content["every"]))


class ImaginationCollector:
    """A policy that is asked for imagined frames with every answer, and the frames so far.

    Args:
        act: asks the policy.
    """

    def __init__(self, act: Callable[[Observation], ActionChunk | Rollback]) -> None:
        self._act = act
        self._chunks: list[ImaginedFrames] = []
        self._steps: list[int] = []

    def __call__(self, observation: Observation) -> ActionChunk | Rollback:
        """The policy's answer.

        Raises:
            PolicyError: imagined frames are missing or cannot be used.
        """
        answer = self._act(replace(observation, imagine=True))
        if isinstance(answer, ActionChunk):  # a rollback has no frames; any other answer is refused by the rollout
            self._chunks.append(self._checked(answer.imagined))
            self._steps.append(observation.step + observation.undone)
        return answer

    def collected(self) -> EpisodeImagination:
        """All frames since the beginning; there must be at least one chunk."""
        frames = np.stack([imagined.frames for imagined in self._chunks])
        return EpisodeImagination(frames, np.array(self._steps, np.int64), self._chunks[0].every)

    def _checked(self, imagined: ImaginedFrames | None) -> ImaginedFrames:
        if not (isinstance(imagined, ImaginedFrames) and isinstance(imagined.frames, np.ndarray)):
            raise PolicyError("imagined frames were requested, but the answer has none")
        shape, kind, every = imagined.frames.shape, imagined.frames.dtype, imagined.every
        if len(shape) != 4 or shape[3] != 3 or not shape[0] or min(shape[1:3]) < SMALLEST or kind != np.uint8:
            wanted = f"(n, H, W, 3) uint8, n at least 1, H and W at least {SMALLEST}"
            raise PolicyError(f"imagined frames {shape} {kind}; expected {wanted}")
        if not isinstance(every, int) or every < 1:
            raise PolicyError(f"imagined frames every {every!r} actions; expected a whole number, at least 1")
        first = self._chunks[0] if self._chunks else imagined
        if (shape, every) != (first.frames.shape, first.every):
            then = f"{first.frames.shape}, every {first.every}"
            raise PolicyError(f"imagined frames {shape}, every {every}, but {then} in the first chunk")
        return imagined


@dataclass(frozen=True)
class ImaginationResult:
    """The files and scores of an episode's imagined frames.

    Attributes:
        archive: content of the .npz file; see :meth:`EpisodeImagination.archive`.
        video: content of the MP4 file; ``None`` if the comparison failed.
        scores: see :func:`score`; empty if the comparison failed.
        fault: reason of the failure.
    """

    archive: bytes
    video: bytes | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    fault: str | None = None


def compare_imagined(
    imagination: EpisodeImagination,
    episode: Episode,
    simulator: SimulatorProcess,
    trajectory: Trajectory,
    spec: PolicySpec,
    view: Callable[[Observation], Frame],
    control_hz: float,
) -> ImaginationResult:
    """Play a trajectory again, score the imagined frames, and record both side by side.

    No error is raised, because the episode's result is valid whatever happens here.

    Args:
        spec, view: specification and view of the policy.
        control_hz: control steps per second of simulated time.
    """
    archive = imagination.archive()
    try:
        due = imagination.due(trajectory)
        wanted: dict[int, set[int]] = {}
        for _, _, place in due:
            wanted.setdefault(place.chunk, set()).add(place.offset)
        seen = observe(episode, simulator, trajectory, spec.request, wanted)
        pairs = [(frame, imagination.frames[chunk, frame], view(seen[place])) for chunk, frame, place in due]
        scores = score(pairs)
        video = encode([side_by_side(*pair) for pair in pairs], control_hz / imagination.every)
    except Exception as error:
        return ImaginationResult(archive, fault=f"{type(error).__name__}: {error}")
    return ImaginationResult(archive, video, scores)


def score(pairs: Iterable[tuple[int, Frame, Frame]]) -> dict[str, float]:
    """PSNR (decibels) and SSIM of imagined against executed frames.

    ``imagined_*`` are means over all frames of the future. Frame 0 shows the present, which the policy was given:
    ``reconstruction_*`` says how well its image encoder reconstructs it. Other evaluations, such as those that report a
    ``future_video_psnr``, count frame 0 among the others and take the mean of each chunk before that of the episode, so
    their numbers differ. PSNR is capped at :data:`HIGHEST_PSNR`; SSIM is the mean over the three channels with uniform
    windows of 7 by 7 (scikit-image's default).

    Args:
        pairs: number of the frame in its chunk, imagined frame, executed frame, both uint8 (H, W, 3).

    Returns:
        Finite numbers. Scores without frames are absent, such as ``imagined_*`` of an episode that ended too soon.

    Raises:
        PolicyError: the two frames have different shapes.
    """
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    values: dict[str, list[float]] = {}
    for frame, imagined, executed in pairs:
        if np.shape(executed) != imagined.shape or executed.dtype != np.uint8:
            raise PolicyError(f"imagined {imagined.shape} uint8, but viewed {np.shape(executed)} {executed.dtype}")
        kind = "imagined" if frame else "reconstruction"
        with np.errstate(divide="ignore"):
            psnr = min(float(peak_signal_noise_ratio(executed, imagined, data_range=255)), HIGHEST_PSNR)
        ssim = float(structural_similarity(executed, imagined, data_range=255, channel_axis=-1))
        values.setdefault(f"{kind}_psnr", []).append(psnr)
        values.setdefault(f"{kind}_ssim", []).append(ssim)
    return {name: float(np.mean(numbers)) for name, numbers in values.items()}


def _later(chunks: Sequence[tuple[int, bool]], chunk: int, steps: int) -> Place | None:
    """The state some steps after the beginning of a chunk, in a later chunk; ``None`` if it was never reached."""
    for number, (length, continues) in enumerate(chunks[chunk:], start=chunk):
        if number > chunk and not continues:
            return None
        if steps <= length:
            return Place(number, steps)
        steps -= length
    return None


def side_by_side(frame: int, imagined: Frame, executed: Frame) -> Frame:
    """One frame of the video: executed left, imagined right; the separator is coloured if a chunk begins (frame 0).

    Padded at the right and bottom to even height and width, which H.264 needs.
    """
    colour = np.array(_WITHIN_CHUNK if frame else _CHUNK_START, np.uint8)
    separator = np.broadcast_to(colour, (len(imagined), _SEPARATOR, 3))
    both = np.concatenate([executed, separator, imagined], axis=1)
    return np.pad(both, [(0, both.shape[0] % 2), (0, both.shape[1] % 2), (0, 0)])


def check_imagines(title: str, spec: PolicySpec) -> None:
    """Check that imagined frames can be requested and scored.

    Raises:
        UserError: the policy imagines no frames, or scikit-image is not installed here.
    """
    if not spec.imagines:
        raise UserError(f"policy {title!r} imagines no frames: leave out --imagine (IMAGINE=)")
    if importlib.util.find_spec("skimage") is None:
        raise not_installed("--imagine", "skimage")
