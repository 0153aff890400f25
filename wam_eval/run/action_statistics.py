"""Statistics of the actions of an episode, for its line in the ledger: ranges, values out of range, use of grippers.

They are of all actions that the simulator executed, those that a rollback undid included, as float32 and as the policy
gave them. They are a function of these actions, the action space and the first proprioception alone, so that a
replayed, continued or differently chunked episode has the same ones.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from wam_eval.benchmark import ActionSpace, Gripper

STILL = 0.005
"""Distance of a target from the no-op's that counts as none, as a share of the plausible range. A simulator may return
the targets in force through inverse kinematics, which does not give the same bits."""


class GripperUse(BaseModel):
    """Commands of a gripper.

    Attributes:
        open, closed: control steps with a command on that side of the middle; one in the middle is on neither.
        changes: changes from one side to the other.
        opposes: True if the first side is another one than that of the no-op at the start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    open: int
    closed: int
    changes: int
    opposes: bool


class QuaternionUse(BaseModel):
    """Rotations given as quaternions.

    Attributes:
        low, high: range of their norms.
        start: angle between the first one and the no-op at the start, rad.
        reordered: the same angle if the first one is read as x, y, z, w.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float
    start: float
    reordered: float


class ActionStatistics(BaseModel):
    """Statistics of the executed actions of an episode; decimals are rounded to four digits.

    Attributes:
        low, high: range of each number of an action.
        outside: position of a number -> control steps in which it is outside the plausible range of the action space;
            numbers that never are do not appear.
        grippers: in the order of the action space.
        start: largest distance of the first action from the no-op at the start, for each part of kind ``target``.
        quaternions: for each part of kind ``quaternion``.
        still: True if all actions are the no-op.
        digest: CRC-32 of the actions' bytes, without minus zeros, to find episodes with equal actions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: tuple[float, ...]
    high: tuple[float, ...]
    outside: dict[int, int] = {}
    grippers: tuple[GripperUse, ...] = ()
    start: tuple[float, ...] = ()
    quaternions: tuple[QuaternionUse, ...] = ()
    still: bool = False
    digest: str = ""


def action_statistics(
    actions: NDArray[np.float32], space: ActionSpace, state: NDArray[np.float32]
) -> ActionStatistics | None:
    """The statistics of an episode's actions; ``None`` without actions.

    Args:
        actions: float32 (steps, d), in order.
        space: action space of the benchmark.
        state: float32, proprioception at the start of the episode.
    """
    if not len(actions):
        return None
    no_op = np.asarray(space.hold(state, 1)[0], np.float64)
    outside = ((actions < space.low) | (actions > space.high)).sum(axis=0).tolist()
    first = actions[0].astype(np.float64)
    targets = [slice(part.first, part.first + part.size) for part in space.parts if part.kind == "target"]
    quaternions = [slice(part.first, part.first + part.size) for part in space.parts if part.kind == "quaternion"]
    span, slack = space.high - space.low, np.zeros(space.dim)
    for place in (*targets, *quaternions):
        slack[place] = STILL * np.where(np.isfinite(span[place]), span[place], 0.0)
    return ActionStatistics(
        low=_rounded(actions.min(axis=0)),
        high=_rounded(actions.max(axis=0)),
        outside={number: count for number, count in enumerate(outside) if count},
        grippers=tuple(_gripper(actions[:, one.index], one, no_op[one.index]) for one in space.grippers),
        start=_rounded([np.abs(first[place] - no_op[place]).max() for place in targets]),
        quaternions=tuple(_quaternions(actions[:, place].astype(np.float64), no_op[place]) for place in quaternions),
        still=bool((np.abs(actions - no_op) <= slack).all()),
        digest=f"{zlib.crc32((actions + np.float32(0)).tobytes()):08x}",
    )


def _gripper(values: NDArray[np.float32], gripper: Gripper, no_op: float) -> GripperUse:
    middle, sign = (gripper.open + gripper.closed) / 2, math.copysign(1.0, gripper.open - gripper.closed)
    sides = np.sign((values - middle) * sign)
    chosen = sides[sides != 0]
    return GripperUse(
        open=int((sides > 0).sum()),
        closed=int((sides < 0).sum()),
        changes=int((chosen[1:] != chosen[:-1]).sum()),
        opposes=bool(len(chosen)) and bool(chosen[0] * np.sign((no_op - middle) * sign) < 0),
    )


def _quaternions(values: NDArray[np.float64], no_op: NDArray[np.float64]) -> QuaternionUse:
    norms = np.linalg.norm(values, axis=1)
    low, high, start, reordered = _rounded(
        [norms.min(), norms.max(), _angle(values[0], no_op), _angle(np.roll(values[0], 1), no_op)]
    )
    return QuaternionUse(low=low, high=high, start=start, reordered=reordered)


def _angle(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The angle between two rotations given as quaternions of any norm, rad; pi for a quaternion of zeros."""
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return 2 * math.acos(min(1.0, abs(float(one @ other)) / norms)) if norms else math.pi


def _rounded(values: NDArray[np.float32] | list[float]) -> tuple[float, ...]:
    return tuple(float(f"{value:.4g}") + 0.0 for value in values)  # no minus zero
