"""The robot: two arms of primitive shapes with the joints of aloha-agilex, their commands, and the cameras."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import sapien
from numpy.typing import ArrayLike, NDArray

from wam_eval.benchmarks.robotwin.miniature.arm import BASE, CHAIN, HOME, LIMITS, Side
from wam_eval.benchmarks.robotwin.miniature.shapes import ALONG, Part, add_parts

PREFIX: dict[Side, str] = {"left": "fl", "right": "fr"}

# Drives and grippers, from RoboTwin's configuration of aloha-agilex.
STIFFNESS, DAMPING = 1000.0, 200.0
GRIPPER_RANGE = (-0.01, 0.045)
GRIPPER_STEP = 0.1
FINGER_TRAVEL = (0.0, 0.04765)
FINGER = (0.073574, 0.024629)

_TILT = (math.cos(0.2), 0.0, math.sin(0.2), 0.0)  # 0.4 rad about y

WRIST_CAMERA = sapien.Pose([0.07, 0.032, 0.065], _TILT)
"""Pose of a wrist camera on the last link, that of aloha-agilex: the lens looks down to the fingers by 0.4 rad."""

FIXED_CAMERAS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "head_camera": ((-0.032, -0.45, 1.35), (0.0, 0.6, -0.8)),
    "front_camera": ((0.2, -0.45, 0.85), (0.0, 1.0, -0.1)),
}
"""Cameras fixed in the world -> position (m) and viewing direction; their horizon is level."""

IMAGE_WIDTH, IMAGE_HEIGHT = 320, 240
FOV = math.radians(37.0)  # vertical
NEAR, FAR = 0.1, 100.0  # m

# Camera axes of OpenCV (x right, y down, z forward) and OpenGL (x right, y up, z backward) in those of SAPIEN (x
# forward, y left, z up).
_CV = np.array([[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
_GL = np.array([[0.0, 0.0, -1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])

_ROOT = sapien.Pose([0.0, -0.65, 0.0], [0.7071068, 0.0, 0.0, 0.7071068])
_UPSIDE_DOWN = sapien.Pose([0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0])
_DARK, _LIGHT, _METAL = (0.16, 0.17, 0.19), (0.82, 0.83, 0.85), (0.45, 0.47, 0.5)

BODY = (
    Part("box", (0.12, 0.38, 0.37), (0.13, 0.0, 0.37), color=_DARK),
    Part("box", (0.02, 0.02, 0.3), (0.06, 0.0, 1.0), color=_METAL),
    Part("cylinder", (0.05, 0.02), (0.233, 0.3, 0.76), ALONG["z"], _METAL, solid=False),
    Part("cylinder", (0.05, 0.02), (0.233, -0.307, 0.76), ALONG["z"], _METAL, solid=False),
)
"""Shapes of the base of both arms, in its frame."""

LINKS: tuple[tuple[Part, ...], ...] = (
    (Part("cylinder", (0.045, 0.03), (0.0, 0.0, 0.0), ALONG["z"], _DARK),),
    (
        Part("capsule", (0.03, 0.12), (-0.132, 0.0, 0.0), ALONG["x"], _LIGHT),
        Part("cylinder", (0.04, 0.035), (0.0, 0.0, 0.0), ALONG["y"], _DARK, solid=False),
    ),
    (
        Part("capsule", (0.026, 0.1), (0.125, 0.0, -0.045), ALONG["x"], _LIGHT),
        Part("cylinder", (0.038, 0.032), (0.0, 0.0, 0.0), ALONG["y"], _DARK, solid=False),
    ),
    (Part("capsule", (0.026, 0.03), (0.035, 0.0, -0.04), (0.9238795, 0.0, 0.3826834, 0.0), _DARK),),
    (Part("cylinder", (0.028, 0.04), (0.0, 0.0, 0.055), ALONG["z"], _METAL),),
    (
        Part("box", (0.03, 0.042, 0.018), (0.042, 0.0, 0.0), color=_DARK),
        Part("box", (0.0125, 0.045, 0.0125), (0.0585, 0.0, 0.07), _TILT, _METAL, solid=False),
        Part("box", (0.005, 0.012, 0.022), (0.054, 0.0, 0.039), color=_METAL, solid=False),
    ),
)
"""Shapes of the six links of an arm, in their frames."""


def finger_parts(sign: float) -> tuple[Part, ...]:
    """Shapes of a finger, in its frame. The inner faces of both fingers meet in the middle when the gripper is closed.

    Args:
        sign: 1 for the finger on the side of the hand's +y axis, -1 for the other one.
    """
    inner = -sign * (FINGER[1] - 0.0005)
    return (
        Part("box", (0.0297, 0.006, 0.011), (0.0297, inner + sign * 0.006, 0.0), color=(0.1, 0.1, 0.11)),
        Part("box", (0.008, 0.014, 0.008), (-0.002, inner + sign * 0.014, 0.0), color=_METAL, solid=False),
    )


class Robot:
    """Two arms on one base. Commands are drive targets, as in RoboTwin.

    Attributes:
        left_entity, right_entity: the articulation, which is the same for both arms.
        left_gripper_val, right_gripper_val: last gripper commands, from 0 (closed) to 1 (open).
        gripper_name: names of the links of the fingers.
    """

    def __init__(self, scene: Any, visuals: bool) -> None:
        """Build the robot in its home pose.

        Args:
            scene: SAPIEN's scene.
            visuals: True if images are rendered.
        """
        self.left_entity = self.right_entity = articulation = _build(scene, visuals)
        self.arm_joints: dict[Side, list[Any]] = {}
        self.gripper_joints: dict[Side, list[Any]] = {}
        self.hands: dict[Side, Any] = {}
        for side, prefix in PREFIX.items():
            self.arm_joints[side] = [articulation.find_joint_by_name(f"{prefix}_joint{i}") for i in range(1, 7)]
            self.gripper_joints[side] = [articulation.find_joint_by_name(f"{prefix}_joint{i}") for i in (7, 8)]
            self.hands[side] = articulation.find_link_by_name(f"{prefix}_link6")
        for joint in articulation.get_active_joints():
            joint.set_drive_properties(STIFFNESS, DAMPING)
        self.gripper_name = [joint.child_link.name for joints in self.gripper_joints.values() for joint in joints]
        self.left_gripper_val = self.right_gripper_val = 0.0
        for side in PREFIX:
            self.set_arm_joints(HOME, np.zeros(6), side)
        articulation.set_qpos(np.zeros(articulation.dof, np.float32))

    def gripper_value(self, side: Side) -> float:
        """Last command of a gripper, from 0 (closed) to 1 (open)."""
        return self.left_gripper_val if side == "left" else self.right_gripper_val

    def arm_targets(self, side: Side) -> np.ndarray:
        """Drive targets of an arm, rad (6,)."""
        return np.array([float(joint.drive_target[0]) for joint in self.arm_joints[side]])

    def arm_positions(self, side: Side) -> np.ndarray:
        """Measured joint angles of an arm, rad (6,)."""
        active = self.left_entity.active_joints
        return np.asarray(self.left_entity.qpos, float)[[active.index(joint) for joint in self.arm_joints[side]]]

    def joint_vector(self) -> np.ndarray:
        """Commands in force, (14,): left arm (6), left gripper, right arm (6), right gripper."""
        left, right = self.arm_targets("left"), self.arm_targets("right")
        return np.concatenate([left, [self.left_gripper_val], right, [self.right_gripper_val]])

    def hand_pose(self, side: Side) -> sapien.Pose:
        """Measured pose of the last link; x points forward, y in the direction in which the fingers open."""
        return self.hands[side].entity_pose

    def set_arm_joints(self, position: ArrayLike, velocity: ArrayLike, side: Side) -> None:
        """Set the drive targets of an arm for the next physics step: angles (rad) and velocities (rad/s), (6,) each."""
        angles, speeds = np.asarray(position, float).tolist(), np.asarray(velocity, float).tolist()
        for joint, angle, speed in zip(self.arm_joints[side], angles, speeds, strict=True):
            joint.set_drive_target(angle)
            joint.set_drive_velocity_target(speed)

    def set_gripper(self, value: float, side: Side) -> None:
        """Set the command of a gripper for the next physics step; it opens by at most 0.1 of its range per step."""
        value = min(1.0, max(0.0, value))
        low, high = GRIPPER_RANGE
        joints = self.gripper_joints[side]
        before = float(joints[0].drive_target[0])
        if side == "left":
            self.left_gripper_val = value
        else:
            self.right_gripper_val = value
        now = min(1.0, max(0.0, (before - low) / (high - low)))
        target = low + min(value, now + GRIPPER_STEP) * (high - low)
        for joint in joints:
            joint.set_drive_target(target)
            joint.set_drive_velocity_target(0.05 * (target - before))

    def is_left_gripper_open(self) -> bool:
        """True if the command of the left gripper is above 0.8."""
        return self.left_gripper_val > 0.8

    def is_right_gripper_open(self) -> bool:
        """True if the command of the right gripper is above 0.8."""
        return self.right_gripper_val > 0.8

    def is_left_gripper_close(self) -> bool:
        """True if the command of the left gripper is below 0.2."""
        return self.left_gripper_val < 0.2

    def is_right_gripper_close(self) -> bool:
        """True if the command of the right gripper is below 0.2."""
        return self.right_gripper_val < 0.2


class Cameras:
    """The four cameras; only those that are requested are rendered."""

    def __init__(self, scene: Any, robot: Robot, rendered: Iterable[str], resolution: tuple[int, int]) -> None:
        """Add cameras to a scene.

        Args:
            rendered: names of the cameras that can be rendered; a rendering device is needed for any.
            resolution: height and width of the images in pixels.
        """
        self._robot = robot
        self._height, self._width = resolution
        self._cameras = {name: scene.add_camera(name, self._width, self._height, FOV, NEAR, FAR) for name in rendered}
        for name, camera in self._cameras.items():
            camera.entity.set_pose(self.pose(name))

    def pose(self, name: str) -> sapien.Pose:
        """Current pose of a camera; x points forward, y left, z up."""
        if name in FIXED_CAMERAS:
            position, direction = FIXED_CAMERAS[name]
            forward = np.array(direction) / np.linalg.norm(direction)
            left = np.array([-1.0, 0.0, 0.0])
            matrix = np.eye(4)
            matrix[:3, :3] = np.stack([forward, left, np.cross(forward, left)], axis=1)
            matrix[:3, 3] = position
            return sapien.Pose(matrix)
        return self._robot.hand_pose("left" if name == "left_camera" else "right") * WRIST_CAMERA

    def geometry(self, name: str) -> dict[str, NDArray[np.float64]]:
        """``intrinsic_cv`` (3, 3), ``extrinsic_cv`` (3, 4), ``cam2world_gl`` (4, 4) of a camera at its current pose."""
        focal = self._height / 2 / math.tan(FOV / 2)
        world = self.pose(name).to_transformation_matrix().astype(np.float64)
        return {
            "intrinsic_cv": np.array([[focal, 0, self._width / 2], [0, focal, self._height / 2], [0, 0, 1.0]]),
            "extrinsic_cv": (_CV @ np.linalg.inv(world))[:3],
            "cam2world_gl": world @ _GL,
        }

    def take(self, scene: Any, names: Iterable[str]) -> dict[str, dict[str, NDArray[Any]]]:
        """Render cameras.

        Returns:
            Camera -> ``rgb``, uint8 (height, width, 3), and the entries of :meth:`geometry`.

        Raises:
            KeyError: a camera was not added for rendering.
        """
        wanted = list(names)
        rendered: dict[str, dict[str, NDArray[Any]]] = {}
        if wanted:
            for name in wanted:
                self._cameras[name].entity.set_pose(self.pose(name))
            scene.update_render()
        for name in wanted:
            camera = self._cameras[name]
            camera.take_picture()
            rgba = np.asarray(camera.get_picture("Color"))
            rgb = np.clip(rgba[..., :3] * 255, 0, 255).round().astype(np.uint8)
            rendered[name] = {"rgb": rgb, **self.geometry(name)}
        return rendered


def _build(scene: Any, visuals: bool) -> Any:
    """The articulation. Its links have no weight, because RoboTwin's controller compensates gravity at every step."""
    builder = scene.create_articulation_builder()
    root = builder.create_link_builder()
    root.set_name("footprint")
    root.collision_groups = [1, 1, 6, 0]
    _finish(root, BODY, visuals, mass=50.0, inertia=5.0)
    for bit, (side, prefix) in enumerate(PREFIX.items(), start=1):
        x, y, z = BASE[side]
        parent, offset = root, sapien.Pose([y + 0.65, -x, z])
        for i, ((position, flipped, axis), parts) in enumerate(zip(CHAIN, LINKS, strict=True), start=1):
            here = offset * sapien.Pose(position) * (_UPSIDE_DOWN if flipped else sapien.Pose())
            turn = sapien.Pose([0.0, 0.0, 0.0], ALONG[axis])
            parent = _link(builder, parent, f"{prefix}_link{i}", f"{prefix}_joint{i}")
            parent.set_joint_properties("revolute", [list(LIMITS)], here * turn, turn)
            parent.collision_groups = [1, 1, 1 << bit, 0]
            _finish(parent, parts, visuals, mass=0.5, inertia=2e-3)
            offset = sapien.Pose()
        hand = parent
        for i, sign in ((7, 1.0), (8, -1.0)):
            finger = _link(builder, hand, f"{prefix}_link{i}", f"{prefix}_joint{i}")
            turn = sapien.Pose([0.0, 0.0, 0.0], [0.7071068, 0.0, 0.0, sign * 0.7071068])
            at = sapien.Pose([FINGER[0], sign * FINGER[1], 0.0])
            finger.set_joint_properties("prismatic", [list(FINGER_TRAVEL)], at * turn, turn)
            finger.collision_groups = [1, 1, 1 << bit, 0]
            _finish(finger, finger_parts(sign), visuals, mass=0.2, inertia=2e-4)
    builder.set_initial_pose(_ROOT)
    articulation = builder.build(fix_root_link=True)
    for link in articulation.links:
        link.disable_gravity = True
    return articulation


def _link(builder: Any, parent: Any, link: str, joint: str) -> Any:
    made = builder.create_link_builder(parent)
    made.set_name(link)
    made.set_joint_name(joint)
    return made


def _finish(link: Any, parts: Any, visuals: bool, mass: float, inertia: float) -> None:
    """Add shapes and mass to a link."""
    add_parts(link, parts, visuals)
    link.set_mass_and_inertia(mass, sapien.Pose(), np.full(3, inertia, np.float32))
