"""The simulator of RoboTwin: one backend for the official checkout and the miniature.

Runs in the benchmark's own interpreter: Python 3.10, numpy and the source's packages only.
"""

from __future__ import annotations

import gc
import pickle
import random
from typing import Any

import numpy as np
import sapien
from numpy.typing import NDArray

from wam_eval.benchmarks.robotwin.source import ACTION_DIMS, TaskSource
from wam_eval.benchmarks.robotwin.state import restore, snapshot, state_digest
from wam_eval.episode import Episode
from wam_eval.observation import Privileged, Request
from wam_eval.simulator import Simulator

ARMS = ("fl", "fr")
"""Prefixes of the joints and links of aloha-agilex's front arms, left arm first."""

_DESCRIPTIONS = 100  # instructions to draw from; the official script makes one for each of its 100 episodes


def open_source(settings: dict[str, Any]) -> TaskSource:
    """The source of tasks: the checkout at ``settings["root"]``, or the embedded miniature without one."""
    if settings.get("root"):
        from wam_eval.benchmarks.robotwin.official import OfficialSource

        return OfficialSource(settings)
    from wam_eval.benchmarks.robotwin.miniature.source import MiniatureSource

    return MiniatureSource(settings)


class RoboTwinSimulator(Simulator):
    """Plays episodes of RoboTwin, and tries seeds with the benchmark's expert.

    One process serves all tasks, so that shaders are compiled once.

    Actions are float32 (n, 14) for the action type ``qpos``: six joint targets in radians and a gripper from 0 (closed)
    to 1 (open) for each arm, left arm first; or (n, 16) for ``ee``: position in metres, quaternion w, x, y, z and
    gripper for each arm.

    Args:
        settings: settings of the protocol (``cameras``, ``shader``, ``action_type`` ...) and of the installation
            (``root`` of a checkout); see :class:`wam_eval.benchmarks.robotwin.benchmark.RoboTwinSettings`.
    """

    calls = ("open_task", "try_seed")

    def __init__(self, settings: dict[str, Any]) -> None:
        self._source = open_source(settings)
        self._action_type = str(settings["action_type"])
        self.action_dim = ACTION_DIMS[self._action_type]
        self._renders = bool(settings["cameras"])
        self._renderer: Any = None
        self._env: Any = None
        self._plan: NDArray[np.float32] | None = None
        self._expert_env: tuple[str, Any] | None = None

    def reset(self, episode: Episode, request: Request) -> None:
        """See :meth:`Simulator.reset`.

        Raises:
            ValueError: the seed's scene does not come to rest, or the expert fails although its plan is requested.
        """
        if request.cameras and not self._renders:
            raise RuntimeError("there is no Vulkan device to render images with: run `wam-eval doctor`")
        self.close()
        self._plan = self._expert_actions(episode) if request.privileged else None
        self._env = self._set_up(episode)
        if self._renders and self._renderer is None:
            # SAPIEN frees its renderer with the last scene and compiles the shaders anew unless another one exists.
            self._renderer = sapien.render.SapienRenderer()
        self._source.set_expert_attributes(self._env, episode.task_name)
        self._env.step_lim = episode.step_limit
        self._env.set_instruction(episode.instruction)

    def advance(self, action: NDArray[np.float64], cameras: tuple[str, ...]) -> bool:
        """See :meth:`Simulator.advance`."""
        self._env.take_action(action, action_type=self._action_type)
        return bool(self._env.eval_success)

    def render(self, cameras: tuple[str, ...]) -> dict[str, NDArray[np.uint8]]:
        """See :meth:`Simulator.render`."""
        rendered = self._source.observe(self._env, cameras)["observation"]
        return {name: np.ascontiguousarray(rendered[name]["rgb"]) for name in cameras}

    def state(self) -> NDArray[np.float32]:
        """Joint targets and gripper commands, float32 (14,), as in RoboTwin's ``joint_action.vector``."""
        return np.asarray(self._source.observe(self._env, ())["joint_action"]["vector"], np.float32)

    def privileged(self) -> Privileged:
        """The plan of the benchmark's expert, in the protocol's type of action; poses are not provided."""
        return Privileged({}, {}, {}, (), self._plan)

    def get_state(self) -> bytes:
        """See :meth:`Simulator.get_state` and :func:`wam_eval.benchmarks.robotwin.state.snapshot`."""
        return pickle.dumps((self._plan, snapshot(self._env)))

    def set_state(self, blob: bytes) -> None:
        """See :meth:`Simulator.set_state`."""
        self._plan, state = pickle.loads(blob)
        restore(self._env, state)

    def fingerprint(self) -> dict[str, str]:
        """``state``: SHA-256 of all poses, velocities, joint positions and joint targets of the scene."""
        self._current()
        return {"state": state_digest(self._env)}

    def close(self) -> None:
        """See :meth:`Simulator.close`."""
        self._episode = None
        if self._env is not None:
            self._env.close_env(clear_cache=False)
            self._env = None
            gc.collect()  # scenes are held by reference cycles

    # ------------------------------------------------------------------ verification of seeds

    def open_task(self, task: str) -> None:
        """Create the environment in which :meth:`try_seed` tries the seeds of a task.

        It is used for all seeds of the task, as in the official script, because planners on a GPU start slowly.

        Raises:
            Exception: the source has no such task, or its code cannot be imported.
        """
        if self._expert_env is None or self._expert_env[0] != task:
            self._expert_env = (task, self._source.task(task))

    def try_seed(self, task: str, condition: str, seed: int) -> dict[str, Any]:
        """Let the benchmark's expert play a seed. The current episode ends.

        Returns:
            The verdict: ``seed``, ``accepted``, and either ``why`` the seed is rejected, or an instruction of each type
            (``seen``, ``unseen``) and the attributes that the expert set for the success check (``expert``).
        """
        self.close()
        self.open_task(task)
        assert self._expert_env is not None
        env, source = self._expert_env[1], self._source
        random.seed(seed)
        np.random.seed(seed)
        try:
            env.setup_demo(now_ep_num=0, seed=seed, is_test=True, **source.arguments(task, condition))
            info = env.play_once()
            solved = bool(env.plan_success and env.check_success())
            attributes = source.expert_attributes(env, task)
        except source.unstable as error:
            return {"seed": seed, "accepted": False, "why": f"unstable: {error}"}
        except Exception as error:  # the official script, too, skips a seed at any error
            return {"seed": seed, "accepted": False, "why": f"{type(error).__name__}: {error}"}
        finally:
            if getattr(env, "scene", None) is not None:
                env.close_env()
            gc.collect()  # scenes are held by reference cycles
        if not solved:
            why = "the expert did not reach the goal" if env.plan_success else "the expert found no plan"
            return {"seed": seed, "accepted": False, "why": why}
        return {"seed": seed, "accepted": True, **self._instructions(task, info["info"], seed), "expert": attributes}

    def _instructions(self, task: str, info: dict[str, Any], seed: int) -> dict[str, str]:
        """One instruction of each type, a function of the seed alone; the official script draws without a seed."""
        random.seed(seed)
        lists = self._source.descriptions(task, info, _DESCRIPTIONS)
        draw = np.random.default_rng(seed)
        return {kind: str(lists[kind][draw.integers(len(lists[kind]))]) for kind in ("seen", "unseen")}

    # ------------------------------------------------------------------ scenes

    def _set_up(self, episode: Episode) -> Any:
        env = self._source.task(episode.task_name)
        random.seed(episode.seed)
        np.random.seed(episode.seed)
        arguments = self._source.arguments(episode.task_name, episode.condition)
        try:
            env.setup_demo(now_ep_num=episode.index, seed=episode.seed, is_test=True, **arguments)
        except self._source.unstable as error:
            raise ValueError(
                f"{episode.key}: the scene of seed {episode.seed} does not come to rest in this simulator, although "
                f"its manifest lists the seed: {error}. Verify the seeds on this machine: wam-eval seeds verify"
            ) from error
        return env

    def _expert_actions(self, episode: Episode) -> NDArray[np.float32]:
        """Actions of the source's expert, float32 (n, d), which it finds in a scene of its own."""
        env = self._set_up(episode)
        try:
            env.play_once()
            if not env.plan_success:
                raise ValueError(f"{episode.key}: the expert found no plan for seed {episode.seed}")
            actions = np.array(env.expert_actions, dtype=np.float32)
            return hand_poses(env.robot.left_entity, actions) if self._action_type == "ee" else actions
        finally:
            env.close_env(clear_cache=False)


def hand_poses(robot: Any, actions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Actions of the type ``ee`` to the hand poses that actions of the type ``qpos`` lead to.

    Args:
        robot: the articulation, whose kinematics are used.
        actions: float32 (n, 14).

    Returns:
        float32 (n, 16).
    """
    joints = [joint.name for joint in robot.active_joints]
    columns = [[joints.index(f"{arm}_joint{number}") for number in range(1, 7)] for arm in ARMS]
    hands = [[link.name for link in robot.links].index(f"{arm}_link6") for arm in ARMS]
    model, position = robot.create_pinocchio_model(), np.zeros(len(joints))
    converted = np.empty((len(actions), ACTION_DIMS["ee"]), np.float32)
    for row, action in zip(converted, actions, strict=True):
        halves = np.split(action, 2)
        for column, half in zip(columns, halves, strict=True):
            position[column] = half[:6]
        model.compute_forward_kinematics(position)
        poses = [robot.root_pose * model.get_link_pose(hand) for hand in hands]
        row[:] = np.concatenate([(*pose.p, *pose.q, half[6]) for pose, half in zip(poses, halves, strict=True)])
    return converted
