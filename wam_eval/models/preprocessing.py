"""Preprocessing of observations and actions: camera composition, and normalisation by the training data's statistics.

A model sees one picture composed of several cameras, a normalised state, and returns normalised actions. :class:`Robot`
describes the picture and the vectors, :class:`Normaliser` scales the vectors. Normalisation is computed in float32 and
in the order of the training code, so that results equal its results bit for bit.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wam_eval.errors import UserError

STATE_LIMIT = 5.0
"""Normalised states are clamped to this magnitude."""
MIN_RANGE = 1e-4
"""Numbers that vary less than this in the training data are shifted, not scaled."""
STD_EPSILON = 1e-8
"""Added to standard deviations."""

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Tile:
    """The place of a camera's image in the model's picture.

    Attributes:
        camera: name of the camera in the protocol.
        height, width: size of the tile in pixels.
    """

    camera: str
    height: int
    width: int


@dataclass(frozen=True)
class Robot:
    """A robot that a model was trained for: its picture, its state and its actions.

    Attributes:
        name: name of the robot, which is that of its benchmark.
        rows: rows of tiles from top to bottom, each from left to right, which form the picture.
        crop: True to keep an image's aspect ratio and cut off what exceeds its tile; False to stretch it.
        state_dim: numbers of the state (proprioception).
        action_dim: numbers of an action.
        placeholders: positions of zeros that the model's states and actions have in addition.
        normalisation: statistics with which states and actions are normalised.
        replan: actions of a chunk that are executed in the paper's evaluation.
        signed_gripper: True if the benchmark's last action number is a gripper command, -1 to open and +1 to close,
            while the model gives 1 for open and 0 for closed.
    """

    name: str
    rows: tuple[tuple[Tile, ...], ...]
    crop: bool
    state_dim: int
    action_dim: int
    normalisation: Literal["min_max", "z_score", "quantile"]
    replan: int
    signed_gripper: bool
    placeholders: tuple[int, ...] = ()

    @property
    def model_state_dim(self) -> int:
        """Numbers of a state as the model receives it."""
        return self.state_dim + len(self.placeholders)

    @property
    def model_action_dim(self) -> int:
        """Numbers of an action as the model gives it."""
        return self.action_dim + len(self.placeholders)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Cameras of the picture, row by row."""
        return tuple(tile.camera for row in self.rows for tile in row)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the picture in pixels."""
        return sum(row[0].height for row in self.rows), sum(tile.width for tile in self.rows[0])

    def with_square_picture(self, side: int) -> Robot:
        """The same robot with a picture of its first camera alone, ``side`` pixels high and wide, for a tiny model."""
        return replace(self, rows=((Tile(self.cameras[0], side, side),),))

    def compose(self, images: Mapping[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Compose the picture from the cameras' images.

        Args:
            images: camera -> uint8 (H, W, 3) of any size, oriented as the protocol says.

        Returns:
            uint8 (H, W, 3) of ``image_size``.
        """
        fit = crop_to_fit if self.crop else stretch
        rows = [[fit(images[tile.camera], tile.height, tile.width) for tile in row] for row in self.rows]
        return np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)

    def with_placeholders(self, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """A state of the benchmark, float32 (state_dim,), as float32 (model_state_dim,)."""
        padded = np.zeros(self.model_state_dim, np.float32)
        padded[self._own_positions(self.model_state_dim)] = state
        return padded

    def commands(self, actions: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert actions of the model to commands of the benchmark.

        Args:
            actions: float32 (..., model_action_dim) in the units of the training data, as
                :meth:`Normaliser.denormalise_action` returns them.

        Returns:
            A copy, float32. A signed gripper command is -1 or +1, or 0 if the model's number is exactly 0.5.
        """
        commands = np.array(actions[..., self._own_positions(self.model_action_dim)], np.float32)
        if self.signed_gripper:
            commands[..., -1] = np.sign(1 - 2 * commands[..., -1])
        return commands

    def _own_positions(self, length: int) -> list[int]:
        """Positions that are no placeholders in a vector of the model."""
        return [position for position in range(length) if position not in self.placeholders]


def stretch(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize an image with Pillow's bilinear filter; the aspect ratio may change.

    Args:
        image: uint8 (H, W, 3).
        height, width: size of the result in pixels.
    """
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def crop_to_fit(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize an image with its aspect ratio until it covers a rectangle, and cut out the centre.

    Args:
        image: uint8 (H, W, 3).
        height, width: size of the rectangle in pixels.
    """
    rows, columns = image.shape[:2]
    scale = max(width / columns, height / rows)
    covering = stretch(image, round(rows * scale), round(columns * scale))
    top, left = (covering.shape[0] - height) // 2, (covering.shape[1] - width) // 2
    return covering[top : top + height, left : left + width]


@dataclass(frozen=True, eq=False)
class Scaling:
    """An affine map of a vector: times ``scale`` plus ``offset``, both float32 (d,)."""

    scale: Vector
    offset: Vector

    @classmethod
    def min_max(cls, minimum: Vector, maximum: Vector) -> Scaling:
        """Map the minimum to -1 and the maximum to 1."""
        span = maximum - minimum
        constant = span < MIN_RANGE
        span[constant] = 2
        scale = np.float32(2) / span
        return cls(scale, np.where(constant, 0 - minimum, -1 - scale * minimum))

    @classmethod
    def z_score(cls, mean: Vector, std: Vector) -> Scaling:
        """Map the mean to 0 and one standard deviation to 1."""
        return cls(np.float32(1) / (std + STD_EPSILON), -mean / (std + STD_EPSILON))

    @classmethod
    def identity(cls, length: int) -> Scaling:
        """Leave vectors of this length unchanged."""
        return cls(np.ones(length, np.float32), np.zeros(length, np.float32))


@dataclass(frozen=True, eq=False)
class Normaliser:
    """Normalisation of states and actions.

    Attributes:
        state: maps states of the benchmark to normalised ones.
        action: maps actions of the training data to normalised ones.
    """

    state: Scaling
    action: Scaling

    @classmethod
    def identity(cls, robot: Robot) -> Normaliser:
        """A normaliser for a model with random weights, which has no training data: it scales nothing."""
        return cls(Scaling.identity(robot.model_state_dim), Scaling.identity(robot.model_action_dim))

    @classmethod
    def read(cls, path: Path, robot: Robot, robots: Collection[Robot]) -> Normaliser:
        """Read a ``dataset_stats.json`` as training writes it.

        Args:
            path: the file.
            robot: robot of the policy.
            robots: all robots of the model, to name the one that a file of another size belongs to.

        Raises:
            UserError: the file is missing or damaged, or belongs to another robot.
        """
        lengths = {other.name: (other.model_state_dim, other.model_action_dim) for other in robots}
        scalings = {}
        if robot.normalisation == "min_max":
            for group, one, two in read_statistics(path, ("min", "max"), robot.name, lengths):
                _refuse(path, group, "global_max is less than global_min", two < one)
                scalings[group] = Scaling.min_max(one, two)
        else:
            for group, one, two in read_statistics(path, ("mean", "std"), robot.name, lengths):
                _refuse(path, group, "global_std is negative", two < 0)
                scalings[group] = Scaling.z_score(one, two)
        return cls(**scalings)

    def normalise_state(self, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalise states, float32 (..., d), and clamp them to ±``STATE_LIMIT``."""
        return np.clip(state * self.state.scale + self.state.offset, -STATE_LIMIT, STATE_LIMIT)

    def denormalise_action(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map normalised actions, float32 (..., d), back to the units of the training data, without a clamp."""
        return (action - self.action.offset) / self.action.scale


def read_statistics(
    path: Path, names: tuple[str, str], robot: str, lengths: Mapping[str, tuple[int, int]]
) -> Iterator[tuple[str, Vector, Vector]]:
    """Read two vectors of states, and two of actions, from a ``dataset_stats.json`` as training writes it.

    Args:
        path: the file.
        names: of the statistics, such as ``min`` and ``max``.
        robot: robot of the policy.
        lengths: robot -> numbers of a state and of an action, to name the robot that a file of another size belongs to.

    Returns:
        ``state`` or ``action``, and its two vectors, float32 (d,) and finite.

    Raises:
        UserError: the file is missing or damaged, or belongs to another robot.
    """
    content = _read_json(path)
    for place, group in enumerate(("state", "action")):
        owners = {both[place]: name for name, both in lengths.items()}
        length = lengths[robot][place]
        one, two = (_vector(content, path, group, f"global_{name}", length, owners) for name in names)
        yield group, one, two


def find_statistics(checkpoint: Path) -> Path:
    """Find the statistics file of a checkpoint.

    ``<stem>_dataset_stats.json`` beside the checkpoint, as on the Hugging Face hub, else ``dataset_stats.json`` in one
    of the four folders above it, where training writes it (``<run>/checkpoints/weights/step_….pt``).

    Raises:
        UserError: there is no such file.
    """
    # Links are not resolved: in the hub's cache a checkpoint is a link that leads out of the statistics' folder.
    folders = list(checkpoint.absolute().parents)[:4]
    candidates = [folders[0] / f"{checkpoint.stem}_dataset_stats.json"]
    candidates += [folder / "dataset_stats.json" for folder in folders]
    for path in candidates:
        if path.is_file():
            return path
    raise UserError(
        f"{checkpoint} has no statistics of its training data: neither {candidates[0].name} beside it nor "
        f"dataset_stats.json in its folder or the folders above, up to {folders[-1]}. Published statistics are stored "
        "beside the published checkpoints; training writes dataset_stats.json into the folder of the run"
    )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON: {error}. Download it again") from error


def _vector(content: Any, path: Path, group: str, name: str, length: int, owners: Mapping[int, str]) -> Vector:
    """One vector of a statistics file, float32 (length,)."""
    found = content
    where = ""
    for key in (group, "default", name):
        if not isinstance(found, dict) or key not in found:
            within = f" in {where.rstrip('.')!r}" if where else ""
            raise UserError(f"{path}: no {key!r}{within}; is it a dataset_stats.json as training writes it?")
        found, where = found[key], f"{where}{key}."
    where = where.rstrip(".")
    try:
        with np.errstate(over="ignore"):
            numbers = np.array(found)
            vector = numbers.astype(np.float32) if numbers.dtype.kind in "fiu" else None
    except ValueError:  # nested lists of different lengths
        vector = None
    if vector is None or vector.ndim != 1:
        raise UserError(f"{path}: {where} is not a list of numbers (found {found!r:.60})")
    if len(vector) != length:
        hint = f"; these are the statistics of robot {owners[len(vector)]!r}" if len(vector) in owners else ""
        raise UserError(f"{path}: {where} has {len(vector)} numbers, the model has {length}{hint}")
    _refuse(path, group, f"{name} is not finite", ~np.isfinite(vector))
    return vector


def _refuse(path: Path, group: str, fault: str, where: NDArray[np.bool_]) -> None:
    if where.any():
        raise UserError(f"{path}: {group}: {fault} at index {int(np.argmax(where))}. Compute the statistics again")
