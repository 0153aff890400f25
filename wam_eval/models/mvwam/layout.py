"""States and actions as MV-WAM receives them: RDT's 128 numbers, filled by name.

RDT-1B (arXiv 2410.07864) gives every quantity of a robot with up to two arms a fixed place among 128 numbers, and a
mask that tells which of them a robot has. A single arm is the right one. Source of the places: RDT's public code;
MV-WAM uses the same layout (arXiv 2606.21088, section 2.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

WIDTH = 128
"""Numbers of a state or of an action."""

Vector = NDArray[np.float32]


def _names() -> Mapping[str, int]:
    """Name of each quantity -> its place. Names without a side are those of the right arm."""
    joints, fingers = range(10), range(5)
    arm = {
        0: [f"arm_joint_{index}_pos" for index in joints],
        10: [f"gripper_joint_{index}_pos" for index in fingers],
        15: [f"arm_joint_{index}_vel" for index in joints],
        25: [f"gripper_joint_{index}_vel" for index in fingers],
        30: [f"eef_pos_{axis}" for axis in "xyz"],
        33: [f"eef_angle_{index}" for index in range(6)],
        39: [f"eef_vel_{axis}" for axis in "xyz"],
        42: [f"eef_angular_vel_{axis}" for axis in ("roll", "pitch", "yaw")],
    }
    places = {name: first + index for first, names in arm.items() for index, name in enumerate(names)}
    places |= {"gripper_open": places["gripper_joint_0_pos"], "gripper_open_vel": places["gripper_joint_0_vel"]}
    sides = {"": 0, "right_": 0, "left_": 50}
    both = {f"{side}{name}": shift + place for side, shift in sides.items() for name, place in places.items()}
    return MappingProxyType({**both, "base_vel_x": 100, "base_vel_y": 101, "base_angular_vel": 102})


PLACES = _names()
"""Name of each quantity -> its place among the 128 numbers."""


@dataclass(frozen=True)
class RobotLayout:
    """Names of the numbers of a robot's state and actions, in the robot's own order.

    Attributes:
        state: names of the state's numbers.
        action: names of an action's numbers.
    """

    state: tuple[str, ...]
    action: tuple[str, ...]


def _arm(side: str, joints: int) -> tuple[str, ...]:
    """An arm with a gripper that is one number."""
    return (*(f"{side}_arm_joint_{index}_pos" for index in range(joints)), f"{side}_gripper_open")


ALOHA_AGILEX = RobotLayout(state=_arm("left", 6) + _arm("right", 6), action=_arm("left", 6) + _arm("right", 6))
"""RoboTwin's robot: six joints and a gripper of the left arm, then of the right one. In RDT's layout right comes first.
Actions are absolute joint positions."""

LIBERO_ARM = RobotLayout(
    state=(
        *(f"eef_pos_{axis}" for axis in "xyz"),
        *(f"eef_angle_{index}" for index in range(6)),
        "gripper_joint_0_pos",
        "gripper_joint_1_pos",
    ),
    action=(
        *(f"eef_vel_{axis}" for axis in "xyz"),
        *(f"eef_angular_vel_{axis}" for axis in ("roll", "pitch", "yaw")),
        "gripper_open",
    ),
)
"""LIBERO's robot, with the state of :func:`libero_state`. MV-WAM was not published for it; the choice is ours.

An action is a change of position and orientation in one control step. That is a velocity, so that it is at the places
of the velocities and not at those of the pose."""


def libero_state(state: Vector) -> Vector:
    """LIBERO's state with the orientation as two columns of its rotation matrix, as RDT's layout has it.

    Args:
        state: float32 (..., 8): position, axis and angle, two finger joints.

    Returns:
        float32 (..., 11), in the order of ``LIBERO_ARM.state``: position, first column, second column, finger joints.
    """
    position, vector, fingers = np.split(state, (3, 6), axis=-1)
    matrix = Rotation.from_rotvec(vector.reshape(-1, 3).astype(np.float64)).as_matrix()
    columns = np.concatenate([matrix[:, :, 0], matrix[:, :, 1]], axis=-1).reshape(*state.shape[:-1], 6)
    return np.concatenate([position, columns.astype(np.float32), fingers], axis=-1)


def spread(vector: Vector, names: Sequence[str]) -> tuple[Vector, Vector]:
    """Put named numbers at their places.

    Args:
        vector: float32 (..., n).
        names: n names of ``PLACES``.

    Returns:
        The numbers, float32 (..., 128), 0 elsewhere; and the mask float32 (128,), 1 at these places and 0 elsewhere.

    Raises:
        ValueError: a name is unknown, two names have the same place, or there are more or fewer names than numbers.
    """
    places = _places(names)
    if vector.shape[-1] != len(places):
        raise ValueError(f"{vector.shape[-1]} numbers have {len(places)} names")
    values, mask = np.zeros((*vector.shape[:-1], WIDTH), np.float32), np.zeros(WIDTH, np.float32)
    values[..., places], mask[places] = vector, 1.0
    return values, mask


def gathered(values: Vector, names: Sequence[str]) -> Vector:
    """The numbers at the places of some names; the inverse of :func:`spread`.

    Args:
        values: float32 (..., 128).
        names: n names of ``PLACES``.

    Returns:
        float32 (..., n), a copy.

    Raises:
        ValueError: a name is unknown, or two names have the same place.
    """
    return values[..., _places(names)]


def _places(names: Sequence[str]) -> list[int]:
    if unknown := [name for name in names if name not in PLACES]:
        raise ValueError(f"RDT's layout has no quantity {unknown[0]!r}; the names are those of PLACES")
    places = [PLACES[name] for name in names]
    for index, place in enumerate(places):
        if place in places[:index]:
            raise ValueError(f"{names[places.index(place)]!r} and {names[index]!r} have the same place")
    return places
