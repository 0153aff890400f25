"""Stand-ins for packages that the official code imports but an evaluation does not need, or that need a GPU.

Official modules import open3d, trimesh, imageio and others at the top, for data collection; :func:`install_stubs`
makes these imports succeed. :class:`TimeOptimal` replaces mplib's time parametrization by toppra, the library that
mplib itself calls, with mplib's default limits. :class:`CpuPlanner` replaces curobo's motion planner by inverse
kinematics of SAPIEN's own model: a motion is a straight line in joint space, without collision avoidance, timed as in
the miniature. That suffices for tasks on a free table. It solves other seeds than curobo does, so protocols record the
expert.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wam_eval.benchmarks.robotwin.miniature.motion import planned

OPTIONAL = ("open3d", "trimesh", "imageio", "h5py", "curobo", "mplib", "torch", "cv2")
"""Top-level packages that an evaluation by joint targets never calls."""

_MODULES = (
    *("curobo.types", "curobo.types.math", "curobo.types.robot", "curobo.wrap", "curobo.wrap.reacher"),
    *("curobo.wrap.reacher.motion_gen", "curobo.util", "mplib.planner", "mplib.sapien_utils", "torch.multiprocessing"),
)
_LIMIT = 1.0  # rad/s and rad/s^2 of every joint, the defaults of mplib 0.2.1
_ATTEMPTS = 12  # starts of the inverse kinematics: the current position, then random ones around it
_TOLERANCE = 2e-3  # metres and radians


class StubModule(types.ModuleType):
    """A package that is not installed. Every name can be imported from it and raises an error when it is called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "manual_seed":  # torch.manual_seed is called at every set-up; without torch there is nothing to seed
            return lambda seed: None
        if name == "logger":  # called by curobo's users at import
            return types.SimpleNamespace(setup_logger=lambda **_: None)
        return _stub_class(f"{self.__name__}.{name}")


def _stub_class(name: str) -> type:
    """A class whose construction raises an error."""

    def fail(*_: Any, **__: Any) -> None:
        package = name.partition(".")[0]
        raise ModuleNotFoundError(f"{name} was called, but {package} is not installed in this interpreter")

    return type(name.rpartition(".")[2], (), {"__init__": fail})


def install_stubs() -> frozenset[str]:
    """Add a :class:`StubModule` to ``sys.modules`` for each optional package that is not installed.

    Returns:
        Names of the packages that are not installed.
    """
    missing = frozenset(name for name in OPTIONAL if name not in sys.modules and not importlib.util.find_spec(name))
    for name in (*missing, *(module for module in _MODULES if module.partition(".")[0] in missing)):
        module = sys.modules[name] = StubModule(name)
        module.__path__ = []
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    return missing


class TimeOptimal:
    """Replacement of mplib's planner, of which evaluations use the method ``TOPP`` only."""

    def TOPP(  # noqa: N802 - mplib's name
        self, path: NDArray[np.float64], step: float, verbose: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
        """The fastest motion along a path of joint positions, from rest to rest.

        Args:
            path: rad (n, joints).
            step: seconds between samples.

        Returns:
            Times, positions, velocities, accelerations, and the duration in seconds.

        Raises:
            RuntimeError: no motion was found, for instance because the path has no length.
        """
        import toppra
        from toppra import algorithm, constraint

        limits = np.full(path.shape[1], _LIMIT)
        curve = toppra.SplineInterpolator(np.linspace(0, 1, len(path)), path)
        bounds = [constraint.JointVelocityConstraint(limits), constraint.JointAccelerationConstraint(limits)]
        motion = algorithm.TOPPRA(bounds, curve, parametrizer="ParametrizeConstAccel").compute_trajectory()
        if motion is None:
            raise RuntimeError("no motion along this path")
        times = np.linspace(0, motion.duration, int(motion.duration / step))
        return times, motion(times), motion(times, 1), motion(times, 2), motion.duration


class CpuPlanner:
    """Replacement of curobo's planner for one arm of an articulation.

    Args:
        entity: the articulation.
        joints: names of the joints of the arm.
        hand: name of the link that is moved to a pose.
    """

    def __init__(self, entity: Any, joints: Sequence[str], hand: str) -> None:
        names = [joint.name for joint in entity.active_joints]
        self._entity = entity
        self._columns = [names.index(name) for name in joints]
        self._mask = np.isin(np.arange(len(names)), self._columns).astype(np.int32)
        self._hand = [link.name for link in entity.links].index(hand)
        self._model: Any = None

    def plan_grippers(self, now_val: float, target_val: float) -> dict[str, Any]:
        """Commands of a gripper from one value to another in 200 steps, as in the official planners."""
        values = np.linspace(now_val, target_val, 200)
        return {"num_step": len(values), "per_step": (target_val - now_val) / len(values), "result": values}

    def plan_path(self, now_qpos: Any, target_pose: Any, constraint_pose: Any = None, **_: Any) -> dict[str, Any]:
        """A motion of the hand to a pose in the world.

        Returns:
            ``status``; if it is ``Success``, also ``position`` and ``velocity``, float64 (steps, joints) at 250 Hz.
        """
        now = np.asarray(now_qpos, np.float64)
        goal = self._solve(now, target_pose)
        motion = None if goal is None else planned(now[self._columns], goal)
        if motion is None:
            return {"status": "Fail"}
        return {"status": "Success", "position": motion[0], "velocity": motion[1]}

    def plan_batch(self, now_qpos: Any, target_poses: Sequence[Any], **_: Any) -> dict[str, Any]:
        """Motions to several poses, each with its status, in the form of curobo's batches."""
        plans = [self.plan_path(now_qpos, pose) for pose in target_poses]
        status = np.array(["Success" if plan["status"] == "Success" else "Failure" for plan in plans], dtype=object)
        return {"status": status, "position": [plan.get("position", ()) for plan in plans]}

    def update_point_cloud(self, *_: Any, **__: Any) -> None:
        """Do nothing, since no obstacles are avoided."""

    def _solve(self, now: NDArray[np.float64], pose: Any) -> NDArray[np.float64] | None:
        """Joint positions of the arm that bring the hand to a pose; ``None`` if none were found."""
        if self._model is None:
            self._model = self._entity.create_pinocchio_model()
        target = self._entity.root_pose.inv() * pose
        limits = np.array(self._entity.qlimits)[self._columns]
        stream = np.random.default_rng(0)  # the global random state belongs to the scene
        start = now.copy()
        for _ in range(_ATTEMPTS):
            found, success, error = self._model.compute_inverse_kinematics(
                self._hand, target, start, self._mask, 1e-4, 400, 0.2, 1e-6
            )
            if success or np.abs(error).max() < _TOLERANCE:
                goal = np.asarray(found, np.float64)[self._columns]
                goal -= 2 * np.pi * np.round((goal - now[self._columns]) / (2 * np.pi))
                if (goal >= limits[:, 0]).all() and (goal <= limits[:, 1]).all():
                    return goal
            start = now.copy()
            start[self._columns] += stream.uniform(-1.0, 1.0, len(self._columns))
        return None
