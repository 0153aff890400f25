"""Training samples of small models: the recorded demonstrations of several data sets in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from wam_eval.demonstrations import Demonstration, Description, describe_demonstrations, read_demonstrations
from wam_eval.errors import UserError
from wam_eval.models.preprocessing import Normaliser, Robot, Scaling

Normalisation = Literal["z_score", "range"]
"""Numbers that are normalised by mean and standard deviation, or to the range from -1 to 1."""
MIN_DEVIATION = 1e-3
"""Standard deviation below which a number counts as constant and is not scaled up."""


@dataclass(frozen=True)
class SmallData:
    """All recorded observations, one after the other.

    Attributes:
        robot: the robot.
        stride: control steps from one observation to the next.
        pictures: uint8 (N, H, W, 3), composed of the cameras.
        states: float32 (N, s).
        actions: float32 (N * stride, d), of all control steps.
        last: int64 (N,), number of the last observation of the same episode.
        remaining: int64 (N,), executed actions of the episode after the one that follows the observation.
        success: bool (N,), True if the episode reached its goal.
        instructions: each once.
        text: int64 (N,), number of the instruction.
    """

    robot: Robot
    stride: int
    pictures: Tensor
    states: Tensor
    actions: Tensor
    last: Tensor
    remaining: Tensor
    success: Tensor
    instructions: tuple[str, ...]
    text: Tensor

    def __len__(self) -> int:
        return len(self.states)

    def chunk_steps(self, samples: Tensor, horizon: int) -> Tensor:
        """Numbers of the actions after observations, int64 (B, horizon); after an episode's end, that of its last one.

        Args:
            samples: int64 (B,), numbers of observations.
        """
        steps = samples[:, None] * self.stride + torch.arange(horizon)
        return torch.minimum(steps, (self.last[samples, None] + 1) * self.stride - 1)

    def following(self, samples: Tensor, offsets: Sequence[int]) -> Tensor:
        """Numbers of the observations some control steps later, int64 (B, n); the last one after an episode's end."""
        later = samples[:, None] + torch.tensor(offsets) // self.stride
        return torch.minimum(later, self.last[samples, None])

    def normaliser(self, method: Normalisation) -> Normaliser:
        """Normalisation of states and actions."""
        scaling = {"z_score": _z_score, "range": _range}[method]
        return Normaliser(scaling(self.states), scaling(self.actions))


def load_data(
    folders: Sequence[Path], robots: Mapping[str, Robot], episodes: int | None = None, failures: bool = False
) -> SmallData:
    """Read data sets.

    Args:
        folders: at least one; all of the same robot.
        robots: robots that can be trained.
        episodes: episodes of each task that are used of a data set, the first ones; all if ``None``.
        failures: True to use episodes that failed, too.

    Raises:
        UserError: the robot is unknown, a camera is missing, images have another size than the model's, a table is
            broken, or no episode is left.
    """
    descriptions = [describe_demonstrations(folder) for folder in folders]
    first = descriptions[0]
    if first.robot not in robots:
        raise UserError(f"{folders[0]} is of the robot {first.robot!r}; small models exist for {', '.join(robots)}")
    robot = robots[first.robot]
    for folder, one in zip(folders, descriptions, strict=True):
        _check(folder, one, robot, first.stride)
    pictures, states, actions, lengths, remaining, success, texts = [], [], [], [], [], [], []
    numbers: dict[str, int] = {}
    for folder in folders:
        used: Counter[str] = Counter()
        for demonstration in read_demonstrations(folder):
            task = demonstration.key.rpartition("/")[0]
            used[task] += 1
            if (episodes is not None and used[task] > episodes) or not (demonstration.success or failures):
                continue
            pictures.append(_composed(demonstration, robot))
            states.append(demonstration.states)
            actions.append(demonstration.actions.reshape(-1, robot.action_dim))
            rows = len(demonstration.states)
            lengths.append(rows)
            steps = rows * first.stride if demonstration.steps is None else demonstration.steps
            remaining.append(steps - 1 - first.stride * torch.arange(rows))
            success.append(demonstration.success)
            texts.append(numbers.setdefault(demonstration.instruction, len(numbers)))
    if not lengths:
        raise UserError(f"{', '.join(map(str, folders))}: no episode succeeded")
    counts = torch.tensor(lengths)
    return SmallData(
        robot=robot,
        stride=first.stride,
        pictures=torch.from_numpy(np.concatenate(pictures)),
        states=torch.from_numpy(np.concatenate(states)),
        actions=torch.from_numpy(np.concatenate(actions)),
        last=(counts.cumsum(0) - 1).repeat_interleave(counts),
        remaining=torch.cat(remaining),
        success=torch.tensor(success).repeat_interleave(counts),
        instructions=tuple(numbers),
        text=torch.tensor(texts).repeat_interleave(counts),
    )


def _check(folder: Path, description: Description, robot: Robot, stride: int) -> None:
    if description.robot != robot.name:
        raise UserError(f"{folder} is of the robot {description.robot!r}, the data before of {robot.name!r}")
    if description.stride != stride:
        raise UserError(
            f"{folder} was recorded every {description.stride} control steps, the data before every {stride}"
        )
    if (description.state_dim, description.action_dim) != (robot.state_dim, robot.action_dim):
        raise UserError(
            f"{folder} has states of {description.state_dim} and actions of {description.action_dim} numbers; the "
            f"model takes {robot.state_dim} and {robot.action_dim}"
        )
    for tile in (tile for row in robot.rows for tile in row):
        size = description.cameras.get(tile.camera)
        if size is None:
            raise UserError(f"{folder} has no images of {tile.camera}; it has {', '.join(description.cameras)}")
        if size[0] < tile.height or size[1] < tile.width:
            raise UserError(
                f"{folder}: images of {tile.camera} are {size[0]}x{size[1]}, smaller than the model's "
                f"{tile.height}x{tile.width}: record them again with --image-size"
            )


def _composed(demonstration: Demonstration, robot: Robot) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    count = len(demonstration.states)
    views = [
        robot.compose({camera: frames[number] for camera, frames in demonstration.images.items()})
        for number in range(count)
    ]
    return np.stack(views)


def _z_score(values: Tensor) -> Scaling:
    numbers = values.double()
    return _scaling(numbers.mean(dim=0), numbers.std(dim=0).clamp_min(MIN_DEVIATION))


def _range(values: Tensor) -> Scaling:
    least, most = values.double().aminmax(dim=0)
    return _scaling((least + most) / 2, ((most - least) / 2).clamp_min(MIN_DEVIATION))


def _scaling(middle: Tensor, unit: Tensor) -> Scaling:
    offset, deviation = middle.numpy().astype(np.float32), unit.numpy().astype(np.float32)
    return Scaling(np.float32(1) / deviation, -offset / deviation)
