"""Articulated objects (laptop, microwave, cabinet, switch, pot) made of primitive shapes, with the official joints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import sapien
from numpy.typing import ArrayLike, NDArray

from wam_eval.benchmarks.robotwin.miniature.objects import Hinge, JointedModel, frame_pose
from wam_eval.benchmarks.robotwin.miniature.recipes.jointed import parts_of_links, size_of
from wam_eval.benchmarks.robotwin.miniature.shapes import add_parts

_KINDS = {"revolute": "revolute_unwrapped", "continuous": "revolute", "prismatic": "prismatic", "fixed": "fixed"}


@dataclass
class JointedObject:
    """An articulated object in the scene.

    Attributes:
        name: RoboTwin's name of its family. The entities of its links have the names of the links.
        articulation: its articulation in the scene.
        model: its model.
        index: number by which the task asked for the model.
        extents: sizes of the box that is kept clear of clutter, m.
    """

    name: str
    articulation: Any
    model: JointedModel
    index: int
    extents: tuple[float, float, float]

    @property
    def label(self) -> str:
        """RoboTwin's name of its model, by which instructions describe it."""
        return f"{self.name}/base{self.index}"

    def get_pose(self) -> sapien.Pose:
        """Pose of the root in the world."""
        return self.articulation.root_pose

    def link(self, name: str) -> Any:
        """A link."""
        return self.articulation.find_link_by_name(name)

    @property
    def contacts(self) -> tuple[tuple[Any, ...], ...]:
        """Its contact points: link, position and quaternion in the frame of the link."""
        return self.model.contacts

    def contact_point(self, index: int) -> sapien.Pose:
        """Pose of a contact point in the world."""
        link, *frame = self.model.contacts[index]
        return self.link(link).entity_pose * frame_pose(frame)

    def functional_point(self, index: int) -> sapien.Pose:
        """Pose of a functional point in the world."""
        link, *frame = self.model.points[index]
        return self.link(link).entity_pose * frame_pose(frame)

    @property
    def qpos(self) -> NDArray[np.float32]:
        """Positions of the joints that move, rad or m."""
        positions: NDArray[np.float32] = self.articulation.qpos
        return positions

    @property
    def limits(self) -> NDArray[np.float32]:
        """Limits of the joints that move, rad or m (n, 2)."""
        limits: NDArray[np.float32] = self.articulation.get_qlimits()
        return limits

    def set_qpos(self, qpos: ArrayLike) -> None:
        """Move the joints without physics."""
        self.articulation.set_qpos(np.asarray(qpos, np.float32))

    def set_drives(self, damping: float, stiffness: float = 0.0) -> None:
        """Set the drives of the joints, whose target is zero (the official ``set_properties``)."""
        for joint in self.articulation.get_active_joints():
            joint.set_drive_properties(stiffness=stiffness, damping=damping)

    def set_mass(self, mass: float) -> None:
        """Set the mass of every link, kg."""
        for link in self.articulation.links:
            link.set_mass(mass)


def build_jointed(
    scene: Any, model: JointedModel, index: int, pose: sapien.Pose, fixed: bool, visuals: bool
) -> JointedObject:
    """Add an articulated object to a scene. Each of its links has a mass of 10 g, as in RoboTwin.

    Args:
        index: number by which the task asked for the model.
        pose: pose of its root; the height and the rotation of the model's root are added.
        fixed: True if its root does not move.
        visuals: True if images are rendered.
    """
    parts = parts_of_links(model)
    builder = scene.create_articulation_builder()
    made = {"base": builder.create_link_builder()}
    made["base"].set_name("base")
    waiting = list(model.joints)
    while waiting:
        hinge = next(hinge for hinge in waiting if hinge.parent in made)
        waiting.remove(hinge)
        made[hinge.child] = _add_link(builder, made[hinge.parent], hinge)
    for name, link in made.items():
        add_parts(link, parts.get(name, ()), visuals, density=1000.0)
    root = sapien.Pose(model.root[:3], model.root[3:])
    turned = (sapien.Pose(q=root.q) * sapien.Pose(q=np.array(pose.q) / np.linalg.norm(pose.q))).q
    builder.set_initial_pose(sapien.Pose(np.add(pose.p, root.p), turned))
    articulation = builder.build(fix_root_link=fixed)
    articulation.name = model.family
    articulation.set_qpos(np.zeros(articulation.dof, np.float32))  # moves the links to their poses
    item = JointedObject(model.family, articulation, model, index, size_of(model))
    item.set_mass(0.01)
    return item


def _add_link(builder: Any, parent: Any, hinge: Hinge) -> Any:
    link = builder.create_link_builder(parent)
    link.set_name(hinge.child)
    link.set_joint_name(f"to_{hinge.child}")
    along = sapien.Pose(q=_from_x(hinge.axis))
    limits = {"fixed": [], "continuous": [[-math.inf, math.inf]]}.get(hinge.kind, [list(hinge.limits)])
    here = sapien.Pose(hinge.at[:3])
    here.rpy = hinge.at[3:]
    link.set_joint_properties(_KINDS[hinge.kind], limits, here * along, along)
    return link


def _from_x(axis: tuple[float, float, float]) -> NDArray[np.float64]:
    """Quaternion (w, x, y, z) that rotates the x axis onto an axis."""
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    if x < -0.9999:
        return np.array([0.0, 0.0, 0.0, 1.0])
    q = np.array([1.0 + x, 0.0, -z, y])
    return q / np.linalg.norm(q)
