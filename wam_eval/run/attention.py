"""The study of attention: where in the image the actions look, and how much of it lies where the image then changed.

Papers show such maps and say that attention is concentrated on regions that change (arXiv 2606.19531, section 4.3 and
Figure 4). The numbers here measure it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wam_eval.errors import UserError
from wam_eval.observation import ActionChunk, Observation
from wam_eval.policy import PolicySpec
from wam_eval.run.playback import encode
from wam_eval.run.rollout import PolicyError
from wam_eval.run.study import Comparison, Frame, Look, Place, Study, joined
from wam_eval.trajectory import ChunkExecuted, Trajectory

Map = NDArray[np.float32]

CHANGE = 25
"""Levels of 255 by which a channel of a pixel must differ to count as changed; a tenth of the range, above the noise of
renderers."""

_HEAT, _CHANGED = np.array([255, 60, 0], np.float32), np.array([0, 200, 80], np.float32)  # colours of the video
_LINE = (255, 255, 255)


class Attention(Study[Map]):
    """The attention of a policy's actions to its view, against the change of this view while they are executed."""

    name = "attention"
    title = "attention maps"

    def check(self, policy: str, spec: PolicySpec) -> None:
        """The policy shows its attention."""
        if not spec.shows_attention:
            raise UserError(f"policy {policy!r} does not show its attention: leave out --attention (ATTENTION=)")

    def request(self, observation: Observation) -> Observation:
        """Ask for the map."""
        return replace(observation, attention=True)

    def part(self, answer: ActionChunk, first: Map | None) -> Map:
        """The map; all maps of an episode have the same size."""
        weights = answer.attention
        if not isinstance(weights, np.ndarray):
            raise PolicyError("an attention map was requested, but the answer has none")
        if weights.ndim != 2 or not weights.size or weights.dtype != np.float32:
            raise PolicyError(f"attention map {weights.shape} {weights.dtype}; expected (h, w) float32")
        if not (np.isfinite(weights).all() and weights.min() >= 0 and 0 < weights.sum() <= 1 + 1e-3):
            raise PolicyError("attention map: expected numbers of at least 0 with a sum above 0 and up to 1")
        if first is not None and weights.shape != first.shape:
            raise PolicyError(f"attention map {weights.shape}, but {first.shape} in the first chunk")
        return weights

    def archive(self, parts: Sequence[Map], steps: NDArray[np.int64]) -> bytes:
        """An archive with ``maps``, float32 (chunks, h, w), and ``steps``."""
        file = io.BytesIO()
        np.savez_compressed(file, maps=np.stack(parts), steps=steps)
        return file.getvalue()

    def compare(self, archive: bytes, trajectory: Trajectory, look: Look, control_hz: float) -> Comparison:
        """Scores over all executed chunks, and a video with one frame for each of them."""
        with np.load(io.BytesIO(archive), allow_pickle=False) as content:
            maps: NDArray[np.float32] = content["maps"]
        lengths = [len(event.actions) for event in trajectory.events if isinstance(event, ChunkExecuted)][: len(maps)]
        pairs = [(Place(chunk, 0), Place(chunk, length)) for chunk, length in enumerate(lengths)]
        views = look([place for pair in pairs for place in pair])
        changes = [changed(views[before], views[after]) for before, after in pairs]
        frames = [
            joined(heated(views[before], weights), marked(views[after], change), _LINE)
            for (before, after), weights, change in zip(pairs, maps, changes, strict=False)
        ]
        return Comparison(encode(frames, control_hz / float(np.mean(lengths))), score(maps[: len(lengths)], changes))


def changed(before: Frame, after: Frame) -> NDArray[np.bool_]:
    """Pixels (H, W) of which a channel differs by at least :data:`CHANGE`."""
    difference: NDArray[np.bool_] = (np.abs(before.astype(np.int16) - after).max(axis=-1)) >= CHANGE
    return difference


def score(maps: Sequence[Map] | NDArray[np.float32], changes: Sequence[NDArray[np.bool_]]) -> dict[str, float]:
    """Measurements of an episode, means over its chunks.

    Args:
        maps: attention (h, w) of each chunk.
        changes: pixels (H, W) that changed while the chunk was executed.

    Returns:
        ``attention_on_change``, the share of the attention to the image that lies where it changed: a cell of the map
        counts with the share of its pixels. ``changed_area``, the share of all pixels that changed, which is what
        attention without any preference would give. ``attention_on_image``, the share of the whole attention that goes
        to the image instead of words, state or other actions.
    """
    areas = [cells(change, weights.shape) for weights, change in zip(maps, changes, strict=True)]
    on_change = [float((weights * area).sum() / weights.sum()) for weights, area in zip(maps, areas, strict=True)]
    return {
        "attention_on_change": float(np.mean(on_change)),
        "changed_area": float(np.mean([change.mean() for change in changes])),
        "attention_on_image": float(np.mean([weights.sum() for weights in maps])),
    }


def cells(pixels: NDArray[np.bool_], grid: tuple[int, ...]) -> NDArray[np.float64]:
    """Share of true pixels (H, W) in each cell of a grid (h, w); a pixel belongs to the cell of its centre."""
    row, column = _cells_of(pixels.shape, grid)
    index = row[:, None] * grid[1] + column
    count = np.bincount(index.ravel(), minlength=grid[0] * grid[1])
    true = np.bincount(index.ravel(), pixels.ravel(), minlength=grid[0] * grid[1])
    return (true / np.maximum(count, 1)).reshape(grid)


def heated(view: Frame, weights: Map) -> Frame:
    """A view under its map: the redder, the more attention above the average.

    The scale ends at the strongest cell, or at twice the average if none is above it, so that attention without
    preference leaves the view as it is.
    """
    row, column = _cells_of(view.shape[:2], weights.shape)
    above = np.maximum(weights / weights.mean() - 1, 0)
    return _tinted(view, 0.75 * (above / max(above.max(), 1))[row[:, None], column], _HEAT)


def marked(view: Frame, change: NDArray[np.bool_]) -> Frame:
    """A view whose changed pixels are tinted green."""
    return _tinted(view, 0.5 * change, _CHANGED)


def _cells_of(size: tuple[int, ...], grid: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row of the grid of each row of pixels, and column of each column."""
    row, column = (
        ((np.arange(pixels) + 0.5) * count / pixels).astype(np.int64) for pixels, count in zip(size, grid, strict=True)
    )
    return row, column


def _tinted(view: Frame, opacity: NDArray[np.floating], colour: NDArray[np.float32]) -> Frame:
    blended: Frame = (view * (1 - opacity[..., None]) + colour * opacity[..., None]).round().astype(np.uint8)
    return blended
