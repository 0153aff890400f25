"""The LIBERO-Plus simulator: LIBERO's, with the scene and the initial state of a perturbed task."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wam_eval import config
from wam_eval.benchmarks.libero import EngineName
from wam_eval.benchmarks.libero.package import bddl_file, import_envs, task_map
from wam_eval.benchmarks.libero.scene import Scene
from wam_eval.benchmarks.libero.simulator import LiberoSimulator, SimulatorSettings, StartState
from wam_eval.benchmarks.libero_plus import LiberoPlusSettings
from wam_eval.benchmarks.libero_plus.perturbations import (
    CAMERA,
    Arena,
    add_noise,
    find_arena,
    joint_positions,
    move_camera,
    own_camera_pose,
    register_objects,
    set_reset_joints,
)
from wam_eval.benchmarks.libero_plus.standins import write_files
from wam_eval.benchmarks.libero_plus.tasks import Variation, parse_name
from wam_eval.episode import Episode


class PerturbedScene(Scene):
    """A compiled scene in which all tasks are played that differ in camera, robot, noise or instruction only.

    Arguments are those of :class:`Scene`. Noise is drawn from streams of the episode, one for each control step, so
    that an image does not depend on other images or other simulators. Upstream draws from NumPy's global generator at
    every step, whether an image is used or not.
    """

    def __init__(
        self,
        bddl: Path,
        assets: Path,
        resolution: int,
        control_hz: int,
        arena: Mapping[str, Any] | None = None,
        engine: EngineName = "fast",
    ) -> None:
        super().__init__(bddl, assets, resolution, control_hz, arena, engine)
        self._own_camera_pose = own_camera_pose(self.env)
        self._own_joints = np.array(self.env.robots[0].init_qpos)
        self._noise: int | None = None
        self._episode: Episode | None = None

    def apply(self, variation: Variation, episode: Episode) -> None:
        """Apply the perturbation of a task; to be called before :meth:`reset`."""
        move_camera(self.env, self._own_camera_pose, variation.camera)
        number = variation.robot
        set_reset_joints(self.env, joint_positions(number, self._own_joints) if number else self._own_joints)
        self._noise, self._episode = variation.noise, episode

    def _render(self, camera: str) -> NDArray[np.uint8]:
        image = super()._render(camera)
        step = self.env.timestep
        # As upstream, which adds no noise to the image of the initial state, before any step.
        if self._noise and self._episode and camera == CAMERA and step:
            return add_noise(image, self._noise, self._episode.stream(f"noise {step}"))
        return image


class PlusSimulatorSettings(LiberoPlusSettings, SimulatorSettings):
    """Settings of the protocol and of the machine.

    Attributes:
        data: folder of LIBERO-Plus's data.
        plus_assets: unpacked archive of assets; ``None`` if there is none.
        stand_ins: True if both are stand-ins, whose files are written when a task is loaded.
    """

    data: Path
    plus_assets: Path | None
    stand_ins: bool = False


class LiberoPlusSimulator(LiberoSimulator):
    """Plays LIBERO-Plus's tasks on the installed LIBERO.

    Args:
        settings: fields of :class:`PlusSimulatorSettings`.
    """

    Settings = PlusSimulatorSettings

    _settings: PlusSimulatorSettings

    def _load_scene(self, episode: Episode) -> tuple[Scene, NDArray[np.float64]]:
        variation = _variation(episode)
        if self._settings.stand_ins:
            write_files(self._settings.data, self._settings.assets, variation)
        bddl, arena = self._scene_bddl(variation), self._arena(variation)
        scene = self._reuse_scene((bddl, arena), lambda: self._build(bddl, arena))
        scene.apply(variation, episode)
        return scene, variation.init_state(self._settings.data)

    def _start_state(self, episode: Episode) -> StartState | None:
        """The base task's start; other layouts, rooms and arm configurations have starts of their own."""
        variation = _variation(episode)
        same = variation.dimension in ("camera", "noise", "language")
        return StartState(variation.suite, variation.base, 0) if same else None

    def _scene_bddl(self, variation: Variation) -> Path:
        """The BDDL file of the scene: the base task's, from which others than layout tasks differ in names only."""
        if variation.layout:
            return variation.bddl_file(self._settings.data)
        return bddl_file(variation.suite, variation.base)

    def _arena(self, variation: Variation) -> Arena | None:
        """The room of a task; ``None`` for LIBERO's own."""
        if not (variation.light or variation.background):
            return None
        if not self._settings.plus_assets:
            raise ValueError(f"{variation.name} needs LIBERO-Plus assets")
        return find_arena(variation.bddl_file(self._settings.data), self._settings.plus_assets)

    def _build(self, bddl: Path, arena: Arena | None) -> PerturbedScene:
        rules = self._settings
        import_envs(rules.assets)
        if rules.plus_assets:
            register_objects(rules.plus_assets)
        room = arena.arguments() if arena else None
        return PerturbedScene(bddl, rules.assets, rules.resolution, rules.control_hz, room, rules.engine)


def _variation(episode: Episode) -> Variation:
    """The perturbation of an episode."""
    suite = _base_suite(episode.suite)
    return parse_name(episode.task_name, suite, task_map()[suite])


@cache
def _base_suite(suite: str) -> str:
    return str(config.load_suite(suite).base)
