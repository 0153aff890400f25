"""Layouts that the official code draws, as JSON; run by test_official_layouts.py.

The official set-up runs with its own random numbers, but builds nothing: functions that create objects note what they
are asked for, and the scene, the robot and the renderer accept every call. A rendering device is not needed; the model
numbers are those of the stand-in assets.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import sapien

from wam_eval.benchmarks.robotwin.import_stubs import install_stubs
from wam_eval.benchmarks.robotwin.miniature.objects import jointed_model
from wam_eval.benchmarks.robotwin.miniature.recipes.jointed import size_of
from wam_eval.benchmarks.robotwin.miniature.source import MiniatureSource
from wam_eval.benchmarks.robotwin.miniature.world import FIXED_CAMERAS

Layout = dict[str, Any]


class Anything:
    """An object with every attribute and method, which all do nothing and are such objects themselves."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self

    def __iter__(self) -> Any:
        return iter(())


class NotedScene(Anything):
    """A scene that notes the colors of its lights and knows the names of its objects."""

    def __init__(self, objects: list[list[Any]]) -> None:
        self.colors: list[list[float]] = []
        self._objects = objects

    def add_directional_light(self, direction: Any, color: list[float], **_: Any) -> None:
        self.colors.append(color)

    add_point_light = add_directional_light

    def get_all_actors(self) -> list[NotedEntity]:
        return [NotedEntity(entry[0], sapien.Pose()) for entry in self._objects]


class NotedEntity(Anything):
    """An entity that has a name and a pose, but is in no scene."""

    def __init__(self, name: str, pose: sapien.Pose) -> None:
        self.name, self._pose = name, pose

    def get_name(self) -> str:
        return self.name

    def set_name(self, name: str) -> None:
        self.name = name

    def get_pose(self) -> sapien.Pose:
        return self._pose


class Notes:
    """Replacements of the official functions that create objects.

    Attributes:
        objects: name, number and pose (x, y, z, w, x, y, z) of each object, in the order of their creation.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self.objects: list[list[Any]] = []

    def _note(self, scene: Any, name: str, number: Any, pose: sapien.Pose, data: dict[str, Any]) -> Any:
        lowered = 0.0 if isinstance(scene, NotedScene) else scene.table_z_bias
        placed = sapien.Pose([pose.p[0], pose.p[1], pose.p[2] + lowered], pose.q)
        self.objects.append([name, None if number is None else int(number), *placed.p.tolist(), *placed.q.tolist()])
        return self._actor(NotedEntity(name, placed), data)

    def create_actor(self, scene: Any, pose: Any, modelname: str, model_id: Any = 0, **_: Any) -> Any:
        """See the official function of this name."""
        data = json.loads(Path(f"assets/objects/{modelname}/model_data{model_id}.json").read_text())
        return self._note(scene, modelname, model_id, pose, data)

    def create_box(self, scene: Any, pose: Any, half_size: Any, name: str = "", **_: Any) -> Any:
        """See the official function of this name."""
        return self._note(scene, name, None, pose, {"extents": list(half_size), "scale": list(half_size)})

    def create_visual_box(self, scene: Any, pose: Any, name: str = "", **_: Any) -> Any:
        """See the official function of this name. The result has no data, like an entity."""
        return self._note(scene, name, None, pose, {}).actor

    def create_sphere(self, scene: Any, pose: Any, name: str = "", **_: Any) -> Any:
        """See the official function of this name."""
        return self._note(scene, name, None, pose, {}).actor

    def create_sapien_urdf_obj(self, scene: Any, pose: Any, modelname: str, modelid: int, **_: Any) -> Any:
        """See the official function of this name."""
        data = {"scale": 1.0, "extents": size_of(jointed_model(modelname, int(modelid)))}
        noted = self._note(scene, modelname, modelid, pose, data)
        noted.get_qlimits, noted.set_qpos, noted.set_properties = lambda: [[0.0, 1.0]], Anything(), Anything()
        return noted


def official_layout(name: str, condition: str, seed: int) -> Layout:
    """The layout of a seed, drawn by the official code in the working directory."""
    base: Any = importlib.import_module("envs._base_task")
    utils = importlib.import_module("envs.utils")
    creators = importlib.import_module("envs.utils.rand_create_actor")
    clutter = importlib.import_module("envs.utils.rand_create_cluttered_actor")
    task: Any = importlib.import_module(f"envs.{name}")
    notes = Notes(importlib.import_module("envs.utils.actor_utils").Actor)
    for module in (base, utils, creators, clutter, task):
        for function in ("create_actor", "create_box", "create_visual_box", "create_sphere", "create_sapien_urdf_obj"):
            if hasattr(module, function):
                setattr(module, function, getattr(notes, function))
    base.create_table = lambda *_, **__: None
    if hasattr(task, "glob"):
        original = importlib.import_module("glob").glob
        task.glob = type("Sorted", (), {"glob": staticmethod(lambda *a, **k: sorted(original(*a, **k)))})

    def setup_scene(self: Any, **arguments: Any) -> None:
        real, base.sapien = base.sapien, NotedScene(notes.objects)
        try:
            original_setup(self, **arguments)
        finally:
            base.sapien = real

    # The official code modifies the default arguments of this function if a task moves its table.
    base.Base_Task.get_cluttered_table.__defaults__ = (10, [-0.59, 0.59], [-0.34, 0.34], [0.741])
    original_setup = base.Base_Task.setup_scene
    nothing = lambda self, *arguments, **named: None  # noqa: E731
    replaced: dict[str, Any] = {
        "setup_scene": setup_scene,
        "load_robot": lambda self, **_: setattr(self, "robot", Anything()),
        "together_open_gripper": nothing,
        "delay": nothing,
        "check_stable": lambda self: (True, []),
    }
    env = type("Noted", (getattr(task, name),), replaced)()
    arguments = MiniatureSource({}).arguments(name, condition)
    cameras = [
        {"name": camera, "type": "D435", "position": [0, 0, 1], "forward": [0, 1, 0]} for camera in FIXED_CAMERAS
    ]
    env.setup_demo(
        now_ep_num=0,
        seed=seed,
        is_test=True,
        **arguments,
        camera={},
        render_freq=0,
        left_embodiment_config={"static_camera_list": cameras},
    )
    assert notes.objects[0][0] == "wall"
    return {
        "objects": notes.objects[1:],
        "areas": [[float(value) for value in area] for area in env.prohibited_area],
        "lights": env.scene.colors,
        "table_z_bias": float(env.table_z_bias),
        "textures": [env.wall_texture, env.table_texture],
    }


def main(root: str, requests: str) -> None:
    """Print the layouts of ``[[task, condition, seed], ...]`` in the same order."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.chdir(root)
    sys.path[:0] = [root]
    install_stubs()
    layouts = [official_layout(*request) for request in json.loads(requests)]
    print(json.dumps(layouts), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
