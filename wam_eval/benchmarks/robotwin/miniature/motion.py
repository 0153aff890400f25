"""Time parametrization of joint paths: the fastest motion within velocity and acceleration limits."""

from __future__ import annotations

import logging

import numpy as np
import toppra
from numpy.typing import NDArray
from toppra import algorithm, constraint

logging.getLogger("toppra").setLevel(logging.CRITICAL)

RATE = 250
"""Physics steps per second."""

ACTION_LIMITS = (1.0, 1.0)
"""Velocity and acceleration limits of policy actions (rad/s, rad/s²), the defaults of RoboTwin's planner."""

EXPERT_LIMITS = (1.5, 3.0)
"""Velocity and acceleration limits of the expert's motions and of motions to hand poses (rad/s, rad/s²)."""

SHORTEST = 31
"""Least number of physics steps of a motion to a hand pose: curobo's trajectories have 32 points, and at least one
physics step between two of them."""

LONGEST = 600.0
"""Longest motion, s. Targets that take longer are no targets that an arm could reach."""

Path = NDArray[np.float64]


def timed(path: Path, limits: tuple[float, float] = ACTION_LIMITS) -> tuple[Path, Path] | None:
    """The fastest motion along a path, from rest to rest.

    Args:
        path: joint angles, rad (n, 6), n >= 2.
        limits: velocity (rad/s) and acceleration (rad/s²) of every joint.

    Returns:
        Positions (t, 6) and velocities (t, 6) at 250 Hz, including both ends, as mplib samples them; ``None`` if no
        motion was found, for instance because the path has no length.
    """
    lengths = np.linalg.norm(np.diff(path, axis=0), axis=1)
    if not np.isfinite(path).all() or lengths.sum() < 1e-9:
        return None
    keep = np.concatenate([[True], lengths > 1e-9])
    knots = path[keep]
    grid = np.concatenate([[0.0], np.cumsum(lengths[lengths > 1e-9])])
    curve = toppra.SplineInterpolator(grid / grid[-1], knots)
    bounds = np.tile([[-1.0, 1.0]], (path.shape[1], 1))
    problem = algorithm.TOPPRA(
        [
            constraint.JointVelocityConstraint(bounds * limits[0]),
            constraint.JointAccelerationConstraint(bounds * limits[1]),
        ],
        curve,
        gridpoints=np.linspace(0, 1, 51 if len(knots) == 2 else 101),
        parametrizer="ParametrizeConstAccel",
    )
    try:
        trajectory = problem.compute_trajectory(0, 0)
    except Exception:  # as in the official code, an arm does not move if the solver fails
        return None
    if trajectory is None or not np.isfinite(trajectory.duration) or trajectory.duration > LONGEST:
        return None
    count = int(trajectory.duration * RATE)
    if count == 0:
        return None
    instants = np.linspace(0, trajectory.duration, count)
    return np.asarray(trajectory(instants)), np.asarray(trajectory(instants, 1))


def planned(start: NDArray[np.float64], goal: NDArray[np.float64]) -> tuple[Path, Path] | None:
    """The motion to the joint angles of a hand pose, straight in joint space, from rest to rest.

    It stands in for curobo's, with the acceleration of RoboTwin's configuration of curobo, :data:`EXPERT_LIMITS`, and
    takes at least :data:`SHORTEST` physics steps.

    Args:
        start, goal: joint angles, rad (6,).

    Returns:
        As of :func:`timed`.
    """
    way = goal - start
    if float(np.abs(way).max()) < EXPERT_LIMITS[1] * (SHORTEST / RATE) ** 2 / 4:  # it could be done in less time
        part = np.linspace(0, 1, SHORTEST)[:, None]
        speed = 6 * part * (1 - part) * RATE / (SHORTEST - 1)
        return start + part**2 * (3 - 2 * part) * way, speed * way
    return timed(np.stack([start, goal]), EXPERT_LIMITS)
