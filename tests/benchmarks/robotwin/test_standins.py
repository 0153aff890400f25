"""Stand-in assets for a checkout: shapes as SAPIEN loads them, what is written, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sapien

from tests.builders.robotwin_checkout import make_empty_checkout
from wam_eval.benchmarks.robotwin.benchmark import detect_checkout, set_up_standins
from wam_eval.benchmarks.robotwin.checkout import InvalidCheckout, open_checkout
from wam_eval.benchmarks.robotwin.commands import import_seeds
from wam_eval.benchmarks.robotwin.miniature.arm import SIDES, forward
from wam_eval.benchmarks.robotwin.miniature.jointed import build_jointed
from wam_eval.benchmarks.robotwin.miniature.objects import jointed_families, jointed_model, model, model_numbers
from wam_eval.benchmarks.robotwin.miniature.recipes import parts_of
from wam_eval.benchmarks.robotwin.miniature.shapes import Part, add_parts
from wam_eval.benchmarks.robotwin.standins import MARKER, VERSION, objects, robot, writing
from wam_eval.benchmarks.robotwin.standins.glb import glb
from wam_eval.benchmarks.robotwin.standins.meshes import mesh_of
from wam_eval.errors import UserError

PARTS = (
    Part("box", (0.1, 0.2, 0.3), (0.5, 0.0, -0.1), (0.5, 0.5, 0.5, 0.5)),
    Part("cylinder", (0.2, 0.3), (0.0, 0.4, 0.0)),
    Part("capsule", (0.1, 0.3)),
    Part("sphere", (0.3,)),
)
VOLUMES = (0.048, np.pi * 0.024, np.pi * 0.006 + 4 / 3 * np.pi * 0.001, 4 / 3 * np.pi * 0.027)


@pytest.fixture
def scene() -> Any:
    return sapien.Scene([sapien.physx.PhysxCpuSystem()])


@pytest.fixture
def few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only two textures and the models of two families are written."""
    monkeypatch.setattr(writing, "TEXTURES", 2)
    monkeypatch.setattr(objects, "families", lambda: ["041_shoe"])
    monkeypatch.setattr(objects, "jointed_families", lambda: ["056_switch"])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files by which code of RoboTwin is recognised, without assets."""
    root = make_empty_checkout(tmp_path / "RoboTwin")
    for path in sorted((root / "assets").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    return root


def body_from(scene: Any, path: Path) -> Any:
    """The body that SAPIEN makes of a file with convex shapes."""
    builder = scene.create_actor_builder()
    builder.add_multiple_convex_collisions_from_file(str(path))
    return builder.build().find_component_by_type(sapien.physx.PhysxRigidDynamicComponent)


def load(scene: Any, path: Path, text: bytes, fixed: bool) -> Any:
    """The articulation that SAPIEN makes of a URDF file, without what is only seen."""
    path.write_text(re.sub("<visual>.*?</visual>", "", text.decode()))
    loader = scene.create_urdf_loader()
    loader.fix_root_link = fixed
    return loader.load_multiple(str(path))[0][0]


@pytest.mark.parametrize(("part", "volume"), [*zip(PARTS, VOLUMES, strict=True)], ids=[part.kind for part in PARTS])
def test_a_mesh_is_closed_and_faces_outward(part: Part, volume: float) -> None:
    mesh = mesh_of(part)
    corners = mesh.vertices[mesh.triangles].astype(float)
    edges: dict[tuple[Any, ...], int] = {}
    for triangle in np.round(corners, 5).tolist():
        for first, second in zip(triangle, triangle[1:] + triangle[:1], strict=True):
            edges[tuple(first), tuple(second)] = edges.get((tuple(first), tuple(second)), 0) + 1
    assert all(count == 1 and edges.get(edge[::-1]) == 1 for edge, count in edges.items())
    inside = np.linalg.det(corners).sum() / 6
    assert volume * 0.9 < inside < volume * 1.001
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((across[:, None] * mesh.normals[mesh.triangles]).sum(axis=2) > 0).all()


@pytest.mark.parametrize("family", ["002_bowl", "020_hammer", "039_mug", "110_basket"])
def test_sapien_makes_a_convex_shape_of_each_part(scene: Any, tmp_path: Path, family: str) -> None:
    solid = [part for part in parts_of(model(family, model_numbers(family)[0])) if part.solid]
    (tmp_path / "base0.glb").write_bytes(glb([mesh_of(part) for part in solid]))
    loaded = body_from(scene, tmp_path / "base0.glb")
    builder = scene.create_actor_builder()
    add_parts(builder, solid, visuals=False)
    made = builder.build().find_component_by_type(sapien.physx.PhysxRigidDynamicComponent)
    assert len(loaded.collision_shapes) == len(solid)
    assert np.allclose(loaded.compute_global_aabb_tight(), made.compute_global_aabb_tight(), atol=1e-3)
    assert loaded.mass == pytest.approx(made.mass, rel=0.05)


def test_the_robot_has_the_kinematics_of_the_embedded_one(scene: Any, tmp_path: Path) -> None:
    files = dict(robot.files())
    (tmp_path / "robot.srdf").write_bytes(files["robot.srdf"])
    loaded = load(scene, tmp_path / "robot.urdf", files["robot.urdf"], fixed=True)
    position, turn = np.split(np.array(robot.config()["robot_pose"][0]), [3])
    loaded.set_root_pose(sapien.Pose(position, turn / np.linalg.norm(turn)))
    names = [joint.name for joint in loaded.active_joints]
    angles = np.random.default_rng(0).uniform(-1, 1, len(names))
    loaded.set_qpos(angles)
    for side, joints in zip(SIDES, robot.config()["arm_joints_name"], strict=True):
        hand = loaded.find_link_by_name(joints[-1].replace("joint", "link")).entity_pose.to_transformation_matrix()
        assert np.allclose(hand, forward(side, angles[[names.index(name) for name in joints]])[0], atol=1e-5)


@pytest.mark.parametrize("family", jointed_families())
def test_articulated_objects_have_the_joints_and_links_of_the_embedded_ones(
    scene: Any, tmp_path: Path, family: str
) -> None:
    entry = jointed_model(family, 0)
    text = dict(objects._jointed(entry))[f"{family}/{entry.number}/mobility.urdf"]
    loaded = load(scene, tmp_path / "mobility.urdf", text, fixed=False)
    made = build_jointed(scene, entry, 0, sapien.Pose([0.0, 0.0, 0.7]), fixed=False, visuals=False)
    loaded.set_root_pose(made.get_pose())
    names = [joint.name for joint in made.articulation.active_joints]
    positions = dict(zip(names, made.limits[:, 1].clip(-1, 1) * 0.5, strict=True))
    made.set_qpos([positions[name] for name in names])
    loaded.set_qpos([positions[joint.name] for joint in loaded.active_joints])
    for link in loaded.links:
        other = made.link(link.name)
        assert np.allclose(
            link.entity_pose.to_transformation_matrix(), other.entity_pose.to_transformation_matrix(), atol=1e-4
        )
        assert len(link.collision_shapes) == len(other.collision_shapes)
    for ours, theirs in zip(
        sorted(made.articulation.active_joints, key=lambda joint: joint.name),
        sorted(loaded.active_joints, key=lambda joint: joint.name),
        strict=True,
    ):
        assert np.allclose(ours.limits, theirs.limits, atol=1e-5)


def test_metadata_give_the_points_of_a_model() -> None:
    shoe = model("041_shoe", 3)
    data = json.loads(json.dumps(objects.model_data(shoe)))
    assert data["extents"] == list(shoe.size) and data["scale"] == [1.0, 1.0, 1.0]
    for matrix, frame in zip(data["contact_points_pose"], shoe.contacts, strict=True):
        assert np.allclose(np.array(matrix)[:3, 3], frame[:3]) and np.isclose(np.linalg.det(matrix), 1, atol=1e-3)
    assert len(data["functional_matrix"]) == len(shoe.points)


@pytest.mark.usefixtures("few_files")
def test_standins_are_written_and_marked(checkout: Path) -> None:
    with pytest.raises(InvalidCheckout, match="--stand-ins"):
        open_checkout(checkout)
    assert "stand-in" in set_up_standins(checkout)
    assert open_checkout(checkout).standins == VERSION
    names = {path.relative_to(checkout / "assets").as_posix() for path in (checkout / "assets").rglob("*.*")}
    assert {
        "objects/041_shoe/collision/base3.glb",
        "objects/041_shoe/visual/base3.glb",
        "objects/041_shoe/model_data3.json",
        "objects/056_switch/100880/mobility.urdf",
        "background_texture/unseen/1.png",
        "embodiments/aloha-agilex/config.yml",
    } <= names
    here = detect_checkout(checkout, None)
    assert here.assets.kind == "stand-in tasks" and VERSION in here.assets.detail
    assert here.expert == "inverse kinematics on the CPU"


@pytest.mark.usefixtures("few_files")
def test_writing_can_be_interrupted_and_repeated(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = writing.write_atomic, list[Path]()

    def interrupted(path: Path, content: bytes) -> None:
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(path)
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_atomic", interrupted)
        with pytest.raises(KeyboardInterrupt):
            writing.write_standins(checkout)
    with pytest.raises(InvalidCheckout, match="interrupted"):
        open_checkout(checkout)
    before = written[2].stat().st_mtime_ns
    writing.write_standins(checkout)
    assert open_checkout(checkout).standins == VERSION
    again = {path: path.stat().st_mtime_ns for path in (checkout / "assets").rglob("*.*")}
    assert again[written[2]] == before
    writing.write_standins(checkout)
    assert all(path.stat().st_mtime_ns == time for path, time in again.items() if path.name != Path(MARKER).name)


@pytest.mark.usefixtures("few_files")
def test_official_assets_are_never_mixed_with_standins(tmp_path: Path, checkout: Path) -> None:
    official = make_empty_checkout(tmp_path / "official")
    listing = {path: path.read_bytes() for path in official.rglob("*.*") if path.is_file()}
    with pytest.raises(UserError, match="has assets already"):
        set_up_standins(official)
    assert {path: path.read_bytes() for path in official.rglob("*.*") if path.is_file()} == listing
    (checkout / MARKER).write_text(json.dumps({"version": "0.0", "complete": True}))
    with pytest.raises(UserError, match=r"stand-ins of version 0\.0"):
        set_up_standins(checkout)
    with pytest.raises(UserError, match="no checkout of RoboTwin"):
        set_up_standins(tmp_path)


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b"{}", b"null"])
def test_a_broken_marker_is_named(checkout: Path, text: bytes) -> None:
    (checkout / MARKER).write_bytes(text)
    with pytest.raises(InvalidCheckout, match="wam-eval setup robotwin --stand-ins"):
        open_checkout(checkout)
    with pytest.raises(UserError, match=f"stand-ins of version unknown, .*: remove {MARKER} there"):
        set_up_standins(checkout)


@pytest.mark.usefixtures("few_files")
def test_lists_of_seeds_of_the_official_assets_are_refused(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAM_EVAL_CACHE", str(tmp_path / "cache"))
    set_up_standins(checkout)
    lists = tmp_path / "lists.json"
    lists.write_text(json.dumps({"provenance": [{"sapien": "3.0.3"}], "tasks": {}}))
    with pytest.raises(UserError, match="lists seeds of the official benchmark"):
        import_seeds(detect_checkout(checkout, None), lists, "clean", 100000, 1)
