"""Comparison of the physics of two SAPIEN versions: the same scenes on the CPU, bit for bit and in metres.

    python -m perf.sapien_versions record FILE.npz       # once in each environment
    python -m perf.sapien_versions compare A.npz B.npz

Nothing is rendered. An environment needs sapien, numpy, scipy, toppra and transforms3d, and this repository on
``PYTHONPATH``. There are scenes of 3,000 steps at 250 Hz: the robot of the embedded RoboTwin miniature, which follows
joint targets among blocks; a cabinet with a drawer and a door; convex meshes that fall on a table. Then there are whole
episodes of the miniature's tasks as the expert plays them.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sapien
from numpy.typing import NDArray

from wam_eval.benchmarks.robotwin.miniature.arm import SIDES
from wam_eval.benchmarks.robotwin.miniature.robot import Robot
from wam_eval.benchmarks.robotwin.miniature.shapes import physical_material
from wam_eval.benchmarks.robotwin.miniature.world import TABLE_HEIGHT, build_world, draw_surroundings

EVERY = 10
"""Physics steps between recorded states."""

TASKS = ("stack_blocks_two", "place_empty_cup", "grab_roller", "click_bell")
STEPS = 3000
"""Physics steps of a scene."""
_TURNED = [0.7071068, 0.0, 0.0, 0.7071068]  # quaternion of a quarter turn about the vertical axis


def state_of(scene: Any) -> NDArray[np.float32]:
    """Positions, rotations and velocities of all bodies, joint positions and velocities, as one vector."""
    parts: list[Any] = []
    for entity in scene.get_all_actors():
        parts += [entity.pose.p, entity.pose.q]
        for body in entity.components:
            if hasattr(body, "linear_velocity"):
                parts += [body.linear_velocity, body.angular_velocity]
    for articulation in scene.get_all_articulations():
        parts += [articulation.qpos, articulation.qvel]
        for link in articulation.links:
            parts += [link.entity_pose.p, link.entity_pose.q]
    return np.concatenate([np.asarray(part, np.float32).ravel() for part in parts])


def world() -> Any:
    """Ground, wall and table of the miniature, without visual shapes."""
    scene, _ = build_world(draw_surroundings(np.random.RandomState(0), {}), visuals=False)
    return scene


def add_box(scene: Any, half: list[float], at: list[float], turn: list[float], density: float = 500.0) -> Any:
    """Add a dynamic box.

    Args:
        half: half sizes in metres.
        at, turn: position in metres, and unit quaternion w, x, y, z.
        density: kg/m³.
    """
    builder = scene.create_actor_builder()
    builder.add_box_collision(half_size=half, material=physical_material(), density=density)
    builder.set_initial_pose(sapien.Pose(at, turn))
    return builder.build(name="box")


def robot() -> Iterator[NDArray[np.float32]]:
    """Both arms follow joint targets at 250 Hz, push blocks and close the grippers."""
    scene, random = world(), np.random.default_rng(1)
    machine = Robot(scene, visuals=False)
    for i in range(8):
        at = [-0.3 + 0.085 * i, -0.15 + 0.03 * (i % 3), TABLE_HEIGHT + 0.03]
        add_box(scene, [0.02, 0.02, 0.03], at, [1.0, 0.0, 0.0, 0.0])
    knots = {side: np.cumsum(random.uniform(-0.35, 0.35, (16, 6)), axis=0) for side in SIDES}
    for step in range(STEPS):
        knot, part = divmod(step, 200)
        for side, targets in knots.items():
            before = targets[knot - 1] if knot else np.zeros(6)
            low = before + (targets[knot] - before) * part / 200
            machine.set_arm_joints(low, (targets[knot] - before) * 1.25, side)
            machine.set_gripper(float(0.5 + 0.5 * np.sin(step / 90)), side)
        scene.step()
        if step % EVERY == 0:
            yield state_of(scene)


def cabinet() -> Iterator[NDArray[np.float32]]:
    """A cabinet whose drawer and door are driven open and closed while boxes fall on and into them."""
    scene, random, material = world(), np.random.default_rng(2), physical_material()
    builder = scene.create_articulation_builder()
    body = builder.create_link_builder()
    body.set_name("body")
    for half, at in (
        ([0.15, 0.2, 0.01], [0.0, 0.0, 0.01]),
        ([0.15, 0.2, 0.01], [0.0, 0.0, 0.15]),
        ([0.15, 0.2, 0.01], [0.0, 0.0, 0.29]),
        ([0.15, 0.01, 0.15], [0.0, -0.19, 0.15]),
        ([0.15, 0.01, 0.15], [0.0, 0.19, 0.15]),
    ):
        body.add_box_collision(sapien.Pose(at), half_size=half, material=material)
    drawer = builder.create_link_builder(body)
    drawer.set_name("drawer")
    drawer.set_joint_name("slide")
    for half, at in (([0.13, 0.16, 0.005], [0.0, 0.0, -0.04]), ([0.005, 0.17, 0.05], [-0.14, 0.0, 0.0])):
        drawer.add_box_collision(sapien.Pose(at), half_size=half, material=material)
    along = sapien.Pose([0.0, 0.0, 0.08], [0.0, 0.0, 0.0, 1.0])
    drawer.set_joint_properties("prismatic", [[0.0, 0.2]], along, sapien.Pose([0, 0, 0], [0, 0, 0, 1]), 0.1, 1.0)
    door = builder.create_link_builder(body)
    door.set_name("door")
    door.set_joint_name("hinge")
    door.add_box_collision(sapien.Pose([0.0, 0.17, 0.0]), half_size=[0.005, 0.17, 0.06], material=material)
    upright = [0.7071068, 0.0, -0.7071068, 0.0]
    hinge = sapien.Pose([-0.16, -0.18, 0.22], upright)
    door.set_joint_properties("revolute", [[0.0, 1.6]], hinge, sapien.Pose([0.0, 0.0, 0.0], upright), 0.05, 0.5)
    builder.set_initial_pose(sapien.Pose([0.1, 0.0, TABLE_HEIGHT], _TURNED))
    made = builder.build(fix_root_link=True)
    for joint in made.get_active_joints():
        joint.set_drive_properties(40.0, 8.0)
    for i in range(14):
        turn = random.normal(size=4)
        at = [*random.uniform(-0.12, 0.12, 2), TABLE_HEIGHT + 0.4 + 0.07 * i]
        add_box(scene, random.uniform(0.01, 0.03, 3).tolist(), at, (turn / np.linalg.norm(turn)).tolist())
    for step in range(STEPS):
        slide, swing = made.get_active_joints()
        slide.set_drive_target(float(0.1 + 0.1 * np.sin(step / 200)))
        swing.set_drive_target(float(0.8 + 0.8 * np.sin(step / 310 + 1)))
        scene.step()
        if step % EVERY == 0:
            yield state_of(scene)


def meshes() -> Iterator[NDArray[np.float32]]:
    """Convex meshes read from files, single and in groups, fall on the table."""
    scene, random = world(), np.random.default_rng(3)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(14):
            path = Path(folder) / f"{i}.obj"
            path.write_text(_prisms(random, 1 + i % 3), encoding="ascii")
            builder = scene.create_actor_builder()
            add = builder.add_multiple_convex_collisions_from_file if i % 3 else builder.add_convex_collision_from_file
            add(str(path), material=physical_material(), density=400.0)
            turn = random.normal(size=4)
            at = [*random.uniform(-0.15, 0.15, 2), TABLE_HEIGHT + 0.1 + 0.08 * i]
            builder.set_initial_pose(sapien.Pose(at, (turn / np.linalg.norm(turn)).tolist()))
            builder.build(name=f"mesh{i}")
    for step in range(STEPS):
        scene.step()
        if step % EVERY == 0:
            yield state_of(scene)


def _prisms(random: np.random.Generator, count: int) -> str:
    """A Wavefront file of several convex, tapered prisms with 5 to 9 sides."""
    lines, first = [], 1
    for part in range(count):
        sides = int(random.integers(5, 10))
        angle = np.arange(sides) * 2 * np.pi / sides
        radius, taper, height = random.uniform(0.015, 0.04), random.uniform(0.5, 1.0), random.uniform(0.02, 0.06)
        lines.append(f"o part{part}")
        for scale, z in ((1.0, 0.0), (taper, height)):
            ring = radius * scale * np.stack([np.cos(angle) + part, np.sin(angle)])
            lines += [f"v {x:.9f} {y:.9f} {z:.9f}" for x, y in ring.T]
        for i in range(sides):
            a, b = first + i, first + (i + 1) % sides
            lines += [f"f {a} {b} {b + sides}", f"f {a} {b + sides} {a + sides}"]
        lines += [f"f {first} {first + i + 1} {first + i}" for i in range(1, sides - 1)]
        lines += [f"f {first + sides} {first + sides + i} {first + sides + i + 1}" for i in range(1, sides - 1)]
        first += 2 * sides
    return "\n".join(lines) + "\n"


def episode(task: str) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The actions with which the expert plays a task, flattened, and the states before and after them."""
    from wam_eval.benchmarks.robotwin.miniature.source import TASKS as CLASSES

    env = CLASSES[task]({"cameras": ()})
    env.setup_demo(seed=100000)
    before = state_of(env.scene)
    env.play_once()
    return np.asarray(env.expert_actions, np.float64).ravel(), np.concatenate([before, state_of(env.scene)])


SCENES: dict[str, Callable[[], Iterator[NDArray[np.float32]]]] = {"robot": robot, "cabinet": cabinet, "meshes": meshes}


def record(path: Path) -> None:
    """Simulate all scenes, print a digest of each, and write the states."""
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("sapien", "numpy", "toppra")))
    states: dict[str, NDArray[Any]] = {name: np.concatenate(list(scene())) for name, scene in SCENES.items()}
    for task in TASKS:
        states[f"{task} actions"], states[f"{task} states"] = episode(task)
    for name, values in states.items():
        print(f"{name:25} {len(values):6} numbers, {hashlib.sha256(values.tobytes()).hexdigest()[:16]}")
    np.savez(path, **states)  # type: ignore[arg-type]  # NumPy's stub mistakes them for allow_pickle


def compare(first: Path, second: Path) -> None:
    """Print the largest difference of each scene."""
    one, other = np.load(first), np.load(second)
    for name in one.files:
        a, b = one[name], other[name]
        if a.shape != b.shape:
            print(f"{name:25} {len(a)} and {len(b)} numbers")
        elif a.tobytes() == b.tobytes():
            print(f"{name:25} equal bit for bit")
        else:
            place = int(np.flatnonzero(a != b)[0])
            print(f"{name:25} differ by at most {np.abs(a - b).max():.3g}, first at number {place} of {len(a)}")


def main() -> None:
    """Entry point of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m perf.sapien_versions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("record", help="simulate with the installed version").add_argument("file", type=Path)
    both = commands.add_parser("compare", help="compare two recordings")
    both.add_argument("first", type=Path)
    both.add_argument("second", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "record":
        record(arguments.file)
    else:
        compare(arguments.first, arguments.second)


if __name__ == "__main__":
    main()
