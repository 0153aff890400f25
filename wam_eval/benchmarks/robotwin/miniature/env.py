"""The base class of the tasks: set-up, actions and observations, with the class interface of the official tasks."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import sapien
from numpy.typing import ArrayLike, NDArray

from wam_eval.benchmarks.robotwin.miniature import arm
from wam_eval.benchmarks.robotwin.miniature.arm import SIDES, Side
from wam_eval.benchmarks.robotwin.miniature.expert import Expert, NoPlan
from wam_eval.benchmarks.robotwin.miniature.jointed import JointedObject, build_jointed
from wam_eval.benchmarks.robotwin.miniature.motion import Path, planned, timed
from wam_eval.benchmarks.robotwin.miniature.objects import frame_pose, jointed_model, model
from wam_eval.benchmarks.robotwin.miniature.recipes import parts_of
from wam_eval.benchmarks.robotwin.miniature.robot import IMAGE_HEIGHT, IMAGE_WIDTH, Cameras, Robot
from wam_eval.benchmarks.robotwin.miniature.shapes import Body, Color, Part, TableObject, add_body
from wam_eval.benchmarks.robotwin.miniature.world import (
    Area,
    Surroundings,
    build_clutter,
    build_world,
    draw_clutter,
    draw_surroundings,
)
from wam_eval.benchmarks.robotwin.source import ACTION_DIMS

SETTLE_STEPS = 2000
"""Physics steps in which a scene comes to rest."""

WATCH_STEPS, WATCHED = 500, 200
"""Physics steps of the test of stability, and the number of the last ones in which rotations are measured."""

LARGEST_ROTATION = 3.0
"""Largest rotation of a body at rest, degrees."""

_H = 0.7071068
LEVEL_GRASPS = ((0.0, _H, 0.0, _H), (0.5, 0.5, -0.5, 0.5), (0.5, -0.5, -0.5, -0.5), (_H, 0.0, -_H, 0.0))
DOWNWARD_GRASPS = ((0.5, 0.5, 0.5, 0.5), (_H, _H, 0.0, 0.0), (0.0, 0.0, _H, _H), (0.5, 0.5, -0.5, -0.5))
"""Orientations of the contact points of boxes."""

SMALLEST_QUATERNION = 1e-6
"""Length up to which a quaternion is read as no rotation, as by the official code."""

IDLE_STEPS = 50
"""Duration of an action that does not move an arm, in physics steps."""


class UnStableError(Exception):
    """The scene of a seed does not come to rest."""


class MiniatureTask(ABC):
    """A task: objects on the table, a success condition, and the expert's demonstration.

    Attributes:
        name: RoboTwin's name of the task.
        limit: RoboTwin's step limit.
        table_xy, table_height_offset: offsets of the task's table, m.
        scene: SAPIEN's scene. Restoring a snapshot replaces it, so it must not be stored elsewhere.
        robot: the robot of this episode.
        cameras: the cameras of this episode.
        table_z_bias: offset of the table's height, m.
        plan_success: True if the expert found all its motions.
        failure: reason why it did not, or ``None``.
        expert_actions: float32 (n, 14), the actions that repeat :meth:`play_once` by :meth:`take_action`.
        eval_success: True if an action has reached the goal.
        take_action_cnt, step_lim: number of actions executed, and the largest number of them.
        info: properties of the episode; ``info["info"]`` holds the values of an instruction's placeholders.
    """

    name: ClassVar[str]
    limit: ClassVar[int]
    table_xy: ClassVar[tuple[float, float]] = (0.0, 0.0)
    table_height_offset: ClassVar[float] = 0.0

    def __init__(self, settings: dict[str, Any]) -> None:
        """Create a task without a scene.

        Args:
            settings: ``cameras`` (names of the cameras that can be rendered) and ``resolution`` (height, width).
        """
        self._rendered = tuple(settings.get("cameras") or ())
        height, width = settings.get("resolution") or (IMAGE_HEIGHT, IMAGE_WIDTH)
        self._resolution = (int(height), int(width))
        self.instruction: str | None = None
        self.expert_actions: NDArray[np.float32] = np.zeros((0, 14), np.float32)

    def setup_demo(self, now_ep_num: int = 0, seed: int = 0, is_test: bool = True, **arguments: Any) -> None:
        """Build the scene of an episode and let it come to rest.

        Args:
            now_ep_num, is_test: unused arguments of the official interface.
            seed: seed of the scene, which is a function of task, condition and seed.
            arguments: ``domain_randomization`` with RoboTwin's fields.

        Raises:
            UnStableError: a body still rotates after 2000 physics steps.
        """
        del now_ep_num, is_test
        np.random.seed(seed % 2**32)
        random.seed(seed)
        draws = np.random.RandomState(seed % 2**32)
        condition = dict(arguments.get("domain_randomization") or {})
        surroundings = draw_surroundings(draws, condition, self.table_height_offset)
        self._reset(seed, surroundings)
        self.scene, self._lights = build_world(surroundings, bool(self._rendered), self.table_xy)
        self.robot = Robot(self.scene, bool(self._rendered))
        self.cameras = Cameras(self.scene, self.robot, self._rendered, self._resolution)
        self._open_grippers()
        self.load_actors(draws)
        if condition.get("cluttered_table", False) and draws.rand() >= condition.get("clean_background_rate", 1.0):
            present = {entity.name for entity in self.scene.get_all_actors()}
            clutter = draw_clutter(draws, self.prohibited_area, present, self.table_z_bias, self.table_xy)
            self.info["cluttered_table_info"] = build_clutter(self.scene, clutter, bool(self._rendered))
        self._check_stable(seed)

    def _reset(self, seed: int, surroundings: Surroundings) -> None:
        self.seed = seed
        self.table_z_bias = surroundings.table_z_bias
        self.flicker = surroundings.flicker
        self.plan_success, self.eval_success, self.stage_success_tag = True, False, False
        self.take_action_cnt, self.step_lim = 0, self.limit
        self.instruction = None
        self.failure: str | None = None
        self.expert_actions = np.zeros((0, 14), np.float32)
        self.prohibited_area: list[Area] = []
        self.info: dict[str, Any] = {"cluttered_table_info": [], "texture_info": surroundings.info, "info": {}}

    def _open_grippers(self) -> None:
        for value in np.linspace(0.0, 1.0, 200):
            for side in SIDES:
                self.robot.set_gripper(float(value), side)
            self.scene.step()
        for _ in range(100):
            self.scene.step()

    def _check_stable(self, seed: int) -> None:
        for _ in range(SETTLE_STEPS + WATCH_STEPS - WATCHED):
            self.scene.step()
        bodies = [
            entity
            for entity in self.scene.get_all_actors()
            if entity.find_component_by_type(sapien.physx.PhysxRigidDynamicComponent)
        ]
        rotations = np.empty((WATCHED, len(bodies), 4))
        for i in range(WATCHED):
            self.scene.step()
            for j, body in enumerate(bodies):
                rotations[i, j] = body.pose.q
        cosines = np.clip(np.abs(np.sum(rotations * rotations[-1], axis=2)), 0, 1)
        largest = np.degrees(2 * np.arccos(cosines)).max(axis=0, initial=0)
        unstable = [body.name for body, angle in zip(bodies, largest, strict=True) if angle > LARGEST_ROTATION]
        if unstable:
            raise UnStableError(f"seed {seed}: {', '.join(unstable)} does not come to rest")

    @abstractmethod
    def load_actors(self, draws: np.random.RandomState) -> None:
        """Draw the layout, by the same calls in the same order as the official task, and add the task's objects."""

    @abstractmethod
    def demonstrate(self, expert: Expert) -> dict[str, str]:
        """Solve the task with the expert.

        Returns:
            Placeholder of the instructions -> value.
        """

    @abstractmethod
    def check_success(self) -> bool:
        """True if the task's goal is reached, by RoboTwin's rule."""

    def play_once(self) -> dict[str, Any]:
        """Let the expert play the episode. ``plan_success`` and :meth:`check_success` hold the result.

        Returns:
            :attr:`info`.
        """
        expert = Expert(self.scene, self.robot)
        try:
            self.info["info"] = self.demonstrate(expert)
        except NoPlan as error:
            self.plan_success, self.failure = False, str(error)
        self.expert_actions = expert.actions()
        return self.info

    def take_action(self, action: ArrayLike, action_type: Literal["qpos", "ee"] = "qpos") -> None:
        """Move both arms to their targets, and stop at success. Every call counts as a step.

        Arms move straight in joint space: to joint targets from the targets in force, as fast as 1 rad/s and 1 rad/s²
        allow; to hand poses from the measured angles, see
        :func:`wam_eval.benchmarks.robotwin.miniature.motion.planned`. An arm that is at its joint target, or cannot
        reach its target, waits for 50 physics steps. Grippers move at constant speed meanwhile.

        Args:
            action: for ``qpos`` (14,): joint angles (rad) and gripper of the left and then the right arm; for ``ee``
                (16,): pose of the last link in the world (m, quaternion w, x, y, z) and gripper of the left and then
                the right arm.

        Raises:
            ValueError: the action has another size.
        """
        values = np.asarray(action, np.float64)
        if values.shape != (ACTION_DIMS[action_type],):
            raise ValueError(
                f"an action of type {action_type} has {ACTION_DIMS[action_type]} numbers; this one has the shape "
                f"{values.shape}"
            )
        if self.take_action_cnt == self.step_lim or self.eval_success:
            return
        self.take_action_cnt += 1
        motions: list[tuple[Path, Path] | None] = []
        grips: list[NDArray[np.float64]] = []
        for side, half in zip(SIDES, np.split(values, 2), strict=True):
            if action_type == "qpos":
                motion = timed(np.stack([self.robot.arm_targets(side), half[:6]]))
            else:
                motion = self._motion_to_pose(side, half[:7])
            motions.append(motion)
            steps = IDLE_STEPS if motion is None else len(motion[0])
            grips.append(np.linspace(self.robot.gripper_value(side), half[-1], steps + 1)[1:])
        self._follow(motions, grips)

    def _motion_to_pose(self, side: Side, pose: NDArray[np.float64]) -> tuple[Path, Path] | None:
        """The motion of a hand to a pose; ``None`` if it cannot be reached, or is not finite."""
        if not np.isfinite(pose).all():
            return None
        norm = float(np.linalg.norm(pose[3:]))
        turn = pose[3:] / norm if norm > SMALLEST_QUATERNION else (1.0, 0.0, 0.0, 0.0)
        start = self.robot.arm_positions(side)
        target = sapien.Pose(pose[:3], turn).to_transformation_matrix().astype(np.float64)
        goal = arm.inverse(side, target, start)
        return None if goal is None else planned(start, goal)

    def _follow(self, motions: list[tuple[Path, Path] | None], grips: list[NDArray[np.float64]]) -> None:
        """Execute both arms' motions so that they end together, interleaved as in RoboTwin."""
        done, length = [0, 0], [len(grip) for grip in grips]
        while done[0] < length[0] or done[1] < length[1]:
            for i, side in enumerate(SIDES):
                if done[i] < length[i] and done[i] / length[i] <= done[1 - i] / length[1 - i]:
                    motion = motions[i]
                    if motion is not None:
                        self.robot.set_arm_joints(motion[0][done[i]], motion[1][done[i]], side)
                    self.robot.set_gripper(float(grips[i][done[i]]), side)
                    done[i] += 1
            self.scene.step()
            if self.check_success():
                self.eval_success = True
                return

    def add_model(
        self,
        family: str,
        number: int,
        pose: sapien.Pose,
        body: Body = "dynamic",
        mass: float = 0.01,
        padding: float | None = None,
    ) -> TableObject:
        """Add a rigid model of RoboTwin to the scene.

        Args:
            family, number: RoboTwin's names, such as ``002_bowl`` and 3. The family is the name of the entity.
            pose: its pose on a table of the usual height; the offset of the table's height is added.
            body, mass: see :func:`wam_eval.benchmarks.robotwin.miniature.shapes.add_body`.
            padding: width of the margin around it that stays clear of clutter, m; ``None`` to keep nothing clear.
        """
        entry = model(family, int(number))
        contacts, points = ([frame_pose(frame) for frame in frames] for frames in (entry.contacts, entry.points))
        return self._add(family, parts_of(entry), pose, body, mass, entry.size, contacts, points, padding, entry.number)

    def add_box(
        self,
        name: str,
        half: tuple[float, float, float],
        pose: sapien.Pose,
        color: Color,
        body: Body = "dynamic",
        mass: float = 0.01,
        padding: float | None = None,
        long: bool = False,
    ) -> TableObject:
        """Add a box to the scene.

        Its functional points are the centers of its lower (0) and its upper face (1), with z pointing down. Its contact
        points are four grasps from above at its center; those of a ``long`` box are eight level grasps, four near its
        upper and four near its lower end.

        Args:
            half: half sizes, m.
            pose, body, mass, padding: see :meth:`add_model`.
            color: red, green, blue in 0 to 1.
        """
        down = [sapien.Pose([0.0, 0.0, z], [0.0, 1.0, 0.0, 0.0]) for z in (-half[2], half[2])]
        if long:
            contacts = [sapien.Pose([0.0, 0.0, z * half[2]], q) for z in (0.7, -0.7) for q in LEVEL_GRASPS]
        else:
            contacts = [sapien.Pose([0.0, 0.0, 0.0], q) for q in DOWNWARD_GRASPS]
        # The official code multiplies the half sizes of a box by themselves when it keeps the box clear of clutter.
        extents = (0.1, 0.1, 0.1) if body == "visual" else (half[0] ** 2, half[1] ** 2, half[2] ** 2)
        return self._add(name, [Part("box", half, color=color)], pose, body, mass, extents, contacts, down, padding)

    def add_sphere(self, name: str, radius: float, pose: sapien.Pose, color: Color, mass: float = 0.01) -> TableObject:
        """Add a sphere to the scene; see :meth:`add_box`."""
        return self._add(name, [Part("sphere", (radius,), color=color)], pose, "dynamic", mass, (0.1, 0.1, 0.1))

    def _add(
        self,
        name: str,
        parts: Sequence[Part],
        pose: sapien.Pose,
        body: Body,
        mass: float,
        extents: tuple[float, float, float],
        contacts: Sequence[sapien.Pose] = (),
        functional: Sequence[sapien.Pose] = (),
        padding: float | None = None,
        number: int | None = None,
    ) -> TableObject:
        entity = add_body(self.scene, name, parts, self.on_table(pose), bool(self._rendered), body, mass)
        item = TableObject(name, entity, extents, list(contacts), list(functional), number)
        if padding is not None:
            self.keep_clear(item, padding)
        return item

    def add_jointed(
        self, family: str, index: int, pose: sapien.Pose, fixed: bool = False, padding: float | None = None
    ) -> JointedObject:
        """Add an articulated model of RoboTwin to the scene, with joints at zero.

        Args:
            family: RoboTwin's name, such as ``015_laptop``.
            index: place of the model in its family, or its number.
            pose, padding: see :meth:`add_model`.
            fixed: True if its root does not move.
        """
        entry = jointed_model(family, int(index))
        item = build_jointed(self.scene, entry, int(index), self.on_table(pose), fixed, bool(self._rendered))
        if padding is not None:
            self.keep_clear(item, padding)
        return item

    def on_table(self, pose: sapien.Pose) -> sapien.Pose:
        """The pose moved by the offset of the table's height."""
        return sapien.Pose([pose.p[0], pose.p[1], pose.p[2] + self.table_z_bias], pose.q)

    def keep_clear(self, item: TableObject | JointedObject, padding: float = 0.01) -> None:
        """Keep an object's bounding rectangle and a margin of ``padding`` m around it clear of clutter."""
        matrix = item.get_pose().to_transformation_matrix()
        half = np.abs(matrix[:3, :3]) @ (np.array(item.extents) / 2) + padding
        x, y = float(matrix[0, 3]), float(matrix[1, 3])
        self.prohibited_area.append((x - float(half[0]), y - float(half[1]), x + float(half[0]), y + float(half[1])))

    def wait(self, steps: int) -> None:
        """Let the scene move for some physics steps, as the official ``delay`` does for 300 per unit."""
        for _ in range(steps):
            self.scene.step()

    def finger_contacts(self, name: str) -> list[NDArray[np.float64]]:
        """Points (m) at which the fingers touch, or almost touch, an object."""
        points = []
        for contact in self.scene.get_contacts():
            names = [body.entity.name for body in contact.bodies]
            if name in names and any(other in self.robot.gripper_name for other in names):
                points += [np.asarray(point.position, float) for point in contact.points]
        return points

    def get_obs(self, cameras: Sequence[str] | None = None) -> dict[str, Any]:
        """An observation.

        Args:
            cameras: cameras to render; those of the settings if ``None``.

        Returns:
            RoboTwin's structure: ``observation`` (camera -> image and geometry), ``joint_action`` (drive targets),
            ``endpose``.
        """
        if self.flicker:
            self._flicker()
        vector = self.robot.joint_vector()
        endpose: dict[str, Any] = {}
        for side in SIDES:
            pose = self.robot.hand_pose(side)
            endpose[f"{side}_endpose"] = [*(float(v) for v in pose.p), *(float(v) for v in pose.q)]
            endpose[f"{side}_gripper"] = self.robot.gripper_value(side)
        return {
            "observation": self.cameras.take(self.scene, self._rendered if cameras is None else cameras),
            "joint_action": {
                "left_arm": vector[:6].tolist(),
                "left_gripper": float(vector[6]),
                "right_arm": vector[7:13].tolist(),
                "right_gripper": float(vector[13]),
                "vector": vector,
            },
            "endpose": endpose,
        }

    def _flicker(self) -> None:
        """Set the lights of a flickering scene, as a function of the seed and the number of actions only."""
        draws = np.random.default_rng([self.seed, self.take_action_cnt])
        colors, ambient = draws.random((3, 3)), np.clip(0.5 + draws.uniform(-0.1, 0.1, 3), 0, 1)
        for light, color in zip(self._lights, colors, strict=False):
            light.color = color
        if self._lights:
            self.scene.set_ambient_light(ambient)

    def set_instruction(self, instruction: str | None = None) -> None:
        """Set the instruction of the episode."""
        self.instruction = instruction

    def is_left_gripper_open(self) -> bool:
        """True if the command of the left gripper is above 0.8."""
        return self.robot.is_left_gripper_open()

    def is_right_gripper_open(self) -> bool:
        """True if the command of the right gripper is above 0.8."""
        return self.robot.is_right_gripper_open()

    def grippers_open(self) -> bool:
        """True if the commands of both grippers are above 0.8."""
        return self.robot.is_left_gripper_open() and self.robot.is_right_gripper_open()

    def close_env(self, clear_cache: bool = False) -> None:
        """Free the scene."""
        if clear_cache and self._rendered:
            sapien.render.clear_cache()
        for attribute in ("scene", "robot", "cameras", "_lights"):
            self.__dict__.pop(attribute, None)
