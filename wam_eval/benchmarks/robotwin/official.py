"""The official benchmark in a user's checkout.

Its own code plays the episodes. Corrected here are only: the working directory and module paths; packages that are
imported and not used; random state that is not seeded; default arguments that change from episode to episode; object
lists in the order of the file system; attributes that only the expert sets; images that are not requested; a teardown
that hangs; a function of transforms3d that fails with numpy 2.
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from wam_eval.benchmarks.robotwin.checkout import EMBODIMENT, open_checkout
from wam_eval.benchmarks.robotwin.import_stubs import CpuPlanner, TimeOptimal, install_stubs
from wam_eval.benchmarks.robotwin.source import CONDITIONS, EXPERT_ATTRIBUTES, TaskSource
from wam_eval.errors import UserError

_CLEAR_EVERY = 5  # episodes between two clearings of the renderer's cache, as in the official script
_WRIST = ("left_camera", "right_camera")


class _FirstMotion(Exception):
    """Raised when the expert is about to plan its first motion, to stop ``play_once`` there."""


class OfficialSource(TaskSource):
    """Tasks of a checkout. Only one checkout can be opened in a process.

    Args:
        settings: ``root`` of the checkout, and its ``version`` when the run was planned; ``shader``, ``samples``,
            ``denoiser`` of the images.

    Raises:
        InvalidCheckout: the folder is not a complete checkout.
        UserError: its code has changed since the run was planned.
        ImportError: the interpreter lacks a package that the official code needs.
    """

    name = "official"

    def __init__(self, settings: dict[str, Any]) -> None:
        checkout = open_checkout(Path(settings["root"]))
        self.version = checkout.version
        if self.version != settings.get("version", self.version):
            raise UserError(
                f"the code in {checkout.root} was {settings['version']} when the run was planned and is {self.version} "
                "now: restore it, or start a new run"
            )
        self.tasks = checkout.tasks
        os.chdir(checkout.root)
        sys.path[:0] = [str(checkout.root), str(checkout.root / "description" / "utils")]
        self._stubs = install_stubs()
        _repair_transforms3d()
        atexit.register(os._exit, 0)  # as in the official script, because SAPIEN's teardown may deadlock
        self._configs = checkout.root / checkout.configs
        self._arguments = {c: self._make_arguments(c) for c in CONDITIONS}
        self._shader = {name: settings.get(name) for name in ("shader", "samples", "denoiser")}
        self.unstable = importlib.import_module("envs.utils.create_actor").UnStableError
        self._closed = 0
        if "curobo" in self._stubs or checkout.standins:  # stand-ins lack curobo's description of the robot
            self._replace_curobo()

    def task(self, name: str) -> Any:
        """See :meth:`TaskSource.task`."""
        if name not in self.tasks:
            raise ValueError(f"the checkout has no task {name!r}")
        module = importlib.import_module(f"envs.{name}")
        if hasattr(module, "glob"):
            sorted_glob = types.SimpleNamespace(glob=lambda *a, **k: sorted(glob(*a, **k)))  # noqa: PTH207
            vars(module)["glob"] = sorted_glob
        env = _corrected(getattr(module, name))()
        env.source = self
        return env

    def arguments(self, task: str, condition: str) -> dict[str, Any]:
        """See :meth:`TaskSource.arguments`."""
        return {**deepcopy(self._arguments[condition]), "task_name": task}

    def descriptions(self, task: str, info: dict[str, Any], count: int) -> dict[str, list[str]]:
        """See :meth:`TaskSource.descriptions`."""
        module = importlib.import_module("generate_episode_instructions")
        (made,) = module.generate_episode_descriptions(task, [info], count)
        return {kind: made[kind] for kind in ("seen", "unseen")}

    def set_expert_attributes(self, env: Any, task: str) -> None:
        """See :meth:`TaskSource.set_expert_attributes`. The scene does not move, and no random numbers are drawn."""
        if task in EXPERT_ATTRIBUTES:
            env.stop_at_first_motion = True
            try:
                env.play_once()
            except _FirstMotion:
                pass
            finally:
                env.stop_at_first_motion = False

    def observe(self, env: Any, cameras: Sequence[str]) -> dict[str, Any]:
        """See :meth:`TaskSource.observe`."""
        observation: dict[str, Any] = env.observe_cameras(tuple(cameras))
        return observation

    @contextmanager
    def protocol_shader(self) -> Iterator[None]:
        """Replace the shader that the official code sets by that of the protocol, while a scene is built."""
        import sapien

        names = {
            "set_camera_shader_dir": self._shader["shader"],
            "set_ray_tracing_samples_per_pixel": self._shader["samples"],
            "set_ray_tracing_denoiser": self._shader["denoiser"],
        }
        originals = {name: getattr(sapien.render, name) for name, value in names.items() if value is not None}
        if self._shader["shader"] == "default":
            names |= dict.fromkeys(("set_ray_tracing_samples_per_pixel", "set_ray_tracing_denoiser"))
        for name, function in originals.items():
            value = names[name]
            replacement = (lambda _, f=function, v=value: f(v)) if value is not None else (lambda _: None)
            setattr(sapien.render, name, replacement)
        try:
            yield
        finally:
            for name, function in originals.items():
                setattr(sapien.render, name, function)

    def count_episode(self) -> bool:
        """Count a closed episode. Returns True if the renderer's cache is to be cleared after it."""
        self._closed += 1
        return self._closed % _CLEAR_EVERY == 0

    def _make_arguments(self, condition: str) -> dict[str, Any]:
        """Arguments that the official evaluation script derives from ``demo_<condition>.yml``."""
        arguments = _read(self._configs / f"demo_{condition}.yml")
        robots = _read(self._configs / "_embodiment_config.yml")
        cameras = _read(self._configs / "_camera_config.yml")
        if arguments["embodiment"] != [Path(EMBODIMENT).name]:
            raise ValueError(f"demo_{condition}.yml asks for {arguments['embodiment']}, papers use aloha-agilex")
        robot = robots[arguments["embodiment"][0]]["file_path"]
        head = cameras[arguments["camera"]["head_camera_type"]]
        config = _read(Path(robot) / "config.yml")
        return {
            **arguments,
            "task_config": f"demo_{condition}",
            "left_robot_file": robot,
            "right_robot_file": robot,
            "left_embodiment_config": config,
            "right_embodiment_config": deepcopy(config),
            "dual_arm_embodied": True,
            "head_camera_h": head["h"],
            "head_camera_w": head["w"],
            "eval_mode": True,
            "eval_video_log": False,
            "render_freq": 0,
        }

    def _replace_curobo(self) -> None:
        robot = importlib.import_module("envs.robot.robot")
        has_mplib = "mplib" not in self._stubs

        def set_planner(self: Any, scene: Any = None) -> None:
            self.communication_flag = False
            for side in ("left", "right"):
                entity, joints = getattr(self, f"{side}_entity"), getattr(self, f"{side}_arm_joints_name")
                hand = entity.find_joint_by_name(getattr(self, f"{side}_ee_name")).child_link.name
                setattr(self, f"{side}_planner", CpuPlanner(entity, joints, hand))
            for side in ("left", "right") if self.need_topp else ():
                names = ("urdf_path", "srdf_path", "move_group", "entity_origion_pose", "entity", "planner_type")
                values = [getattr(self, f"{side}_{name}") for name in names]
                planner = robot.MplibPlanner(*values, scene) if has_mplib else TimeOptimal()
                setattr(self, f"{side}_mplib_planner", planner)

        robot.Robot.set_planner = set_planner


def _repair_transforms3d() -> None:
    """Let ``mat2euler`` accept float32, as move_can_pot's rule passes it; transforms3d 0.4.2 fails with numpy 2."""
    from transforms3d import euler

    original = euler.mat2euler
    euler.mat2euler = lambda matrix, axes="sxyz": original(np.asarray(matrix, np.float64), axes)


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _corrected(task: type) -> type:
    """A task class with the corrections of this module; physics and random numbers are those of the official class."""

    class Corrected(task):
        source: OfficialSource
        stop_at_first_motion = False
        expert_actions = np.empty((0, 14), np.float32)

        def setup_demo(self, **arguments: Any) -> None:
            self._states: list[Any] = []
            super().setup_demo(**arguments)
            super()._update_render()  # draws the random light, as the official first observation does

        def setup_scene(self, **arguments: Any) -> None:
            with self.source.protocol_shader():
                super().setup_scene(**arguments)

        def get_cluttered_table(self, *arguments: Any, **named: Any) -> None:
            function = task.get_cluttered_table  # type: ignore[attr-defined]
            defaults = function.__defaults__
            function.__defaults__ = deepcopy(defaults)  # the official code modifies them
            try:
                super().get_cluttered_table(*arguments, **named)
            finally:
                function.__defaults__ = defaults

        def play_once(self) -> Any:
            self._states = []
            info = super().play_once()
            states = np.array([*self._states, self._state()], np.float32)
            self.expert_actions = states[1:]
            return info

        def move(self, *arguments: Any, **named: Any) -> Any:
            self._check_first_motion()
            return super().move(*arguments, **named)

        def grasp_actor(self, *arguments: Any, **named: Any) -> Any:
            self._check_first_motion()
            return super().grasp_actor(*arguments, **named)

        def _check_first_motion(self) -> None:
            if self.stop_at_first_motion:
                raise _FirstMotion

        def _take_picture(self) -> None:
            """Record the commands. The expert's motions call this every ``save_freq`` steps, for demonstrations."""
            self._states.append(self._state())

        def _state(self) -> Any:
            return np.array(self.robot.get_left_arm_jointState() + self.robot.get_right_arm_jointState())

        def _update_render(self) -> None:
            if self.crazy_random_light:  # draws random numbers at every physics step
                super()._update_render()

        def get_obs(self) -> dict[str, Any]:
            """An observation without images: the official code calls this at a success and discards the result."""
            return self.observe_cameras(())

        def observe_cameras(self, cameras: tuple[str, ...]) -> dict[str, Any]:
            """The official observation with the images of some cameras; draws no random numbers."""
            poses = self.cameras.get_config() if cameras else {}
            if cameras:
                self.cameras.update_wrist_camera(self.robot.left_camera.get_pose(), self.robot.right_camera.get_pose())
                self.scene.update_render()
            for name in cameras:
                camera = self._camera(name)
                camera.take_picture()
                color = camera.get_picture("Color")[:, :, :3]
                poses[name]["rgb"] = (color * 255).clip(0, 255).astype(np.uint8)
            hands = {f"{side}_endpose": self.get_arm_pose(side) for side in ("left", "right")}
            grippers = {
                "left_gripper": self.robot.get_left_gripper_val(),
                "right_gripper": self.robot.get_right_gripper_val(),
            }
            return {
                "observation": poses,
                "joint_action": {"vector": self._state()},
                "endpose": {**hands, **grippers},
            }

        def _camera(self, name: str) -> Any:
            if name in _WRIST:
                return getattr(self.cameras, name)
            return self.cameras.static_camera_list[self.cameras.static_camera_name.index(name)]

        def close_env(self, clear_cache: bool = False) -> None:
            super().close_env(clear_cache=clear_cache or self.source.count_episode())

    Corrected.__name__ = task.__name__
    return Corrected
