"""The embodiment aloha-agilex with the robot of the embedded benchmark: joints, drives and cameras of the official one.

The shapes of its links are primitive. Its moments of inertia are chosen, as the official ones are in the assets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import yaml

from wam_eval.benchmarks.robotwin.miniature import robot
from wam_eval.benchmarks.robotwin.miniature.arm import BASE, CHAIN, HOME, LIMITS, TCP
from wam_eval.benchmarks.robotwin.standins.urdf import document, joint, link

_INERTIA = 0.01
_AXES = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}
_ROOT = "footprint"
_WITHOUT_COLLISION = (_ROOT, *(f"{prefix}_link1" for prefix in robot.PREFIX.values()))
"""Links behind the table, where nothing is. SAPIEN can exclude only 31 pairs of links from collisions."""


def files() -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of the embodiment."""
    yield "config.yml", yaml.safe_dump(config(), sort_keys=False).encode()
    yield "robot.urdf", _urdf()
    yield "robot.srdf", _srdf()


def config() -> dict[str, Any]:
    """Content of ``config.yml``."""
    prefixes = robot.PREFIX.values()
    cameras = [
        {"name": name, "type": "D435", "position": [*position], "forward": [*forward], "left": [-1, 0, 0]}
        for name, (position, forward) in robot.FIXED_CAMERAS.items()
    ]
    return {
        "urdf_path": "./robot.urdf",
        "srdf_path": None,
        "joint_stiffness": robot.STIFFNESS,
        "joint_damping": robot.DAMPING,
        "gripper_stiffness": robot.STIFFNESS,
        "gripper_damping": robot.DAMPING,
        "move_group": [f"{prefix}_link6" for prefix in prefixes],
        "ee_joints": [f"{prefix}_joint6" for prefix in prefixes],
        "arm_joints_name": [[f"{prefix}_joint{i}" for i in range(1, 7)] for prefix in prefixes],
        "gripper_name": [{"base": f"{p}_joint7", "mimic": [[f"{p}_joint8", 1.0, 0.0]]} for p in prefixes],
        "gripper_bias": TCP,
        "gripper_scale": [*robot.GRIPPER_RANGE],
        "homestate": [HOME.tolist()] * 2,
        "global_trans_matrix": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],  # from the frame of a joint along x to its link
        "robot_pose": [[0, -0.65, 0, 0.707, 0, 0, 0.707]],
        "planner": "mplib_RRT",
        "dual_arm": True,
        "rotate_lim": [0, 1],
        "grasp_perfect_direction": ["front_right", "front_left"],
        "static_camera_list": cameras,
    }


def _urdf() -> bytes:
    elements = [_link(_ROOT, robot.BODY)]
    for side, prefix in robot.PREFIX.items():
        x, y, z = BASE[side]
        parent, offset = _ROOT, (y + 0.65, -x, z)
        for number, ((position, flipped, axis), parts) in enumerate(zip(CHAIN, robot.LINKS, strict=True), start=1):
            at = [a + b for a, b in zip(position, offset, strict=True)]
            name, turn = f"{prefix}_link{number}", (math.pi if flipped else 0.0, 0.0, 0.0)
            elements.append(_link(name, parts))
            elements.append(joint(f"{prefix}_joint{number}", "revolute", parent, name, at, turn, _AXES[axis], LIMITS))
            parent, offset = name, (0.0, 0.0, 0.0)
        mount = robot.WRIST_CAMERA
        elements.append(_link(f"{side}_camera", ()))
        elements.append(
            joint(
                f"{prefix}_camera_joint",
                "fixed",
                parent,
                f"{side}_camera",
                mount.p,
                mount.rpy,
                _AXES["x"],
            )
        )
        for number, sign in ((7, 1.0), (8, -1.0)):
            name, at = f"{prefix}_link{number}", [robot.FINGER[0], sign * robot.FINGER[1], 0.0]
            axis_along_y = (0.0, sign, 0.0)
            elements.append(_link(name, robot.finger_parts(sign)))
            elements.append(
                joint(
                    f"{prefix}_joint{number}",
                    "prismatic",
                    parent,
                    name,
                    at,
                    (0.0, 0.0, 0.0),
                    axis_along_y,
                    robot.FINGER_TRAVEL,
                )
            )
    return document("aloha-agilex", elements)


def _link(name: str, parts: Any) -> str:
    solid = name not in _WITHOUT_COLLISION
    return link(name, parts, solid=solid, inertia=_INERTIA)


def _srdf() -> bytes:
    """Pairs of links of an arm that do not collide with each other: all of them."""
    pairs = []
    for prefix in robot.PREFIX.values():
        names = [f"{prefix}_link{number}" for number in range(2, 9)]
        parents = {f"{prefix}_link{number}": f"{prefix}_link{min(number - 1, 6)}" for number in range(3, 9)}
        pairs += [(first, second) for first, second in combinations(names, 2) if parents.get(second) != first]
    lines = [f'<disable_collisions link1="{a}" link2="{b}" reason="Default"/>' for a, b in pairs]
    return document("aloha-agilex", lines)
