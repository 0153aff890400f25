"""The study of imagined frames: PSNR and SSIM against executed ones, and a video that shows both side by side."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wam_eval.errors import UserError
from wam_eval.observation import ActionChunk, ImaginedFrames, Observation
from wam_eval.policy import PolicySpec, not_installed
from wam_eval.run.playback import encode
from wam_eval.run.rollout import PolicyError
from wam_eval.run.study import Comparison, Frame, Look, Place, Study, joined
from wam_eval.trajectory import ChunkExecuted, RolledBack, Trajectory

HIGHEST_PSNR = 10 * np.log10(255**2 / 1e-8)
"""Decibels given to equal frames, whose PSNR is infinite: that of a mean squared error of 1e-8 (128.1)."""
SMALLEST = 7
"""Minimum height and width of a frame in pixels: SSIM uses windows of 7 by 7."""

_WITHIN_CHUNK, _CHUNK_START = (255, 255, 255), (230, 120, 0)  # colours of the line between the halves of a video


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


class Imagination(Study[ImaginedFrames]):
    """Frames that a policy imagines with each answer, against those that were executed."""

    name = "imagined"
    title = "imagined frames"

    def check(self, policy: str, spec: PolicySpec) -> None:
        """The policy imagines frames, and scikit-image is installed here."""
        if not spec.imagines:
            raise UserError(f"policy {policy!r} imagines no frames: leave out --imagine (IMAGINE=)")
        if importlib.util.find_spec("skimage") is None:
            raise not_installed("--imagine", "skimage")

    def request(self, observation: Observation) -> Observation:
        """Ask for the frames."""
        return replace(observation, imagine=True)

    def part(self, answer: ActionChunk, first: ImaginedFrames | None) -> ImaginedFrames:
        """The frames; all chunks of an episode have the same number and size."""
        imagined = answer.imagined
        if not (isinstance(imagined, ImaginedFrames) and isinstance(imagined.frames, np.ndarray)):
            raise PolicyError("imagined frames were requested, but the answer has none")
        shape, kind, every = imagined.frames.shape, imagined.frames.dtype, imagined.every
        if len(shape) != 4 or shape[3] != 3 or not shape[0] or min(shape[1:3]) < SMALLEST or kind != np.uint8:
            wanted = f"(n, H, W, 3) uint8, n at least 1, H and W at least {SMALLEST}"
            raise PolicyError(f"imagined frames {shape} {kind}; expected {wanted}")
        if not isinstance(every, int) or every < 1:
            raise PolicyError(f"imagined frames every {every!r} actions; expected a whole number, at least 1")
        if first and (shape, every) != (first.frames.shape, first.every):
            then = f"{first.frames.shape}, every {first.every}"
            raise PolicyError(f"imagined frames {shape}, every {every}, but {then} in the first chunk")
        return imagined

    def archive(self, parts: Sequence[ImaginedFrames], steps: NDArray[np.int64]) -> bytes:
        """An archive with ``frames``, ``steps`` and ``every``."""
        return EpisodeImagination(np.stack([part.frames for part in parts]), steps, parts[0].every).archive()

    def compare(self, archive: bytes, trajectory: Trajectory, look: Look, control_hz: float) -> Comparison:
        """Scores of all frames that can be compared, and a video of them."""
        imagination = read_imagined(archive)
        due = imagination.due(trajectory)
        views = look([place for _, _, place in due])
        pairs = [(frame, imagination.frames[chunk, frame], views[place]) for chunk, frame, place in due]
        scores = score(pairs)
        return Comparison(encode([side_by_side(*pair) for pair in pairs], control_hz / imagination.every), scores)


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
    """One frame of the video: executed left, imagined right; the line between them is orange if a chunk begins."""
    return joined(executed, imagined, _WITHIN_CHUNK if frame else _CHUNK_START)
