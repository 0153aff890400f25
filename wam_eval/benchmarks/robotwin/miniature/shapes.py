"""Rigid bodies made of primitive shapes, with visual shapes only if images are rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sapien

Color = tuple[float, float, float]
Kind = Literal["box", "cylinder", "capsule", "sphere"]
Body = Literal["dynamic", "static", "visual"]

FRICTION = 0.5

ALONG: dict[str, tuple[float, float, float, float]] = {
    "x": (1.0, 0.0, 0.0, 0.0),
    "y": (0.7071068, 0.0, 0.0, 0.7071068),
    "z": (0.7071068, 0.0, -0.7071068, 0.0),
}
"""Axis -> unit quaternion (w, x, y, z) that rotates the x axis, the axis of cylinders, onto it."""


@dataclass(frozen=True)
class Part:
    """A primitive shape of a body.

    Attributes:
        kind: kind of the shape.
        size: half sizes of a box; radius and half length of a cylinder or capsule; radius of a sphere; m.
        position: position in the frame of the body, m.
        turn: rotation in the frame of the body, quaternion w, x, y, z. Cylinders and capsules lie along x without it.
        color: red, green, blue in 0 to 1.
        solid: True if it takes part in collisions.
    """

    kind: Kind
    size: tuple[float, ...]
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn: tuple[float, float, float, float] = ALONG["x"]
    color: Color = (0.6, 0.6, 0.6)
    solid: bool = True

    @property
    def pose(self) -> sapien.Pose:
        """Pose in the frame of the body."""
        return sapien.Pose(self.position, self.turn)


@dataclass
class TableObject:
    """An object on the table.

    Attributes:
        name: name of its entity, by which contacts are found.
        entity: its entity in the scene.
        extents: full sizes along its own axes, m (3,), of the box that is kept clear of clutter.
        contacts: points at which it is grasped or pressed, in its own frame; z is the direction in which the fingers
            open, y points away from the object.
        functional: points at which success is measured, in its own frame.
        number: number of its model, if it has one.
    """

    name: str
    entity: sapien.Entity
    extents: tuple[float, float, float]
    contacts: list[sapien.Pose] = field(default_factory=list)
    functional: list[sapien.Pose] = field(default_factory=list)
    number: int | None = None

    @property
    def label(self) -> str:
        """RoboTwin's name of its model, such as ``050_bell/base1``, by which instructions describe it."""
        return f"{self.name}/base{self.number}"

    def get_pose(self) -> sapien.Pose:
        """Pose in the world."""
        return self.entity.get_pose()

    def contact_point(self, index: int) -> sapien.Pose:
        """Pose of a contact point in the world."""
        return self.get_pose() * self.contacts[index]

    def functional_point(self, index: int) -> sapien.Pose:
        """Pose of a functional point in the world."""
        return self.get_pose() * self.functional[index]

    def set_mass(self, mass: float) -> None:
        """Set the mass (kg) and leave the moments of inertia as they are, as RoboTwin does."""
        self.entity.find_component_by_type(sapien.physx.PhysxRigidDynamicComponent).set_mass(mass)


def physical_material() -> Any:
    """The physical material of all bodies: friction 0.5, no restitution."""
    return sapien.physx.PhysxMaterial(FRICTION, FRICTION, 0.0)


def surface(color: Color, texture: Any | None = None, shine: float = 0.2) -> Any:
    """A visual material; needs a rendering device."""
    material = sapien.render.RenderMaterial(base_color=[*color, 1.0])
    material.roughness, material.specular = 1.0 - shine, shine
    if texture is not None:
        material.base_color_texture = texture
    return material


def add_parts(builder: Any, parts: Sequence[Part], visuals: bool, density: float = 1000.0, solid: bool = True) -> None:
    """Add shapes to a builder of an actor or a link.

    Args:
        visuals: True to add visual shapes, which needs a rendering device.
        density: kg/m³.
        solid: False to add no collision shapes at all.
    """
    material = physical_material()
    for part in parts:
        if part.solid and solid:
            _add(builder, "collision", part, {"material": material, "density": density})
        if visuals:
            _add(builder, "visual", part, {"material": surface(part.color)})


def _add(builder: Any, use: str, part: Part, options: dict[str, Any]) -> None:
    add = getattr(builder, f"add_{part.kind}_{use}")
    if part.kind == "box":
        add(part.pose, half_size=part.size, **options)
    elif part.kind == "sphere":
        add(part.pose, radius=part.size[0], **options)
    else:
        add(part.pose, radius=part.size[0], half_length=part.size[1], **options)


def add_body(
    scene: Any,
    name: str,
    parts: Sequence[Part],
    pose: sapien.Pose,
    visuals: bool,
    body: Body = "dynamic",
    mass: float = 0.01,
    density: float = 1000.0,
) -> sapien.Entity:
    """Add a body to a scene.

    Args:
        name: name of the entity.
        body: kind of body; ``visual`` bodies do not collide.
        mass: kg, of a dynamic body. As in RoboTwin the moments of inertia are those of the density nevertheless.

    Returns:
        The entity.
    """
    builder = scene.create_actor_builder()
    builder.set_physx_body_type("kinematic" if body == "visual" else body)
    add_parts(builder, parts, visuals, density, solid=body != "visual")
    builder.set_initial_pose(pose)
    entity = builder.build(name=name)
    if body == "dynamic":
        entity.find_component_by_type(sapien.physx.PhysxRigidDynamicComponent).set_mass(mass)
    return entity
