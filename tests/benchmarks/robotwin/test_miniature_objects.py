"""The table of objects, the recipes of their shapes, articulated objects, and poses of hands and objects."""

from __future__ import annotations

import numpy as np
import pytest
import sapien

from wam_eval.benchmarks.robotwin.miniature.arm import transform
from wam_eval.benchmarks.robotwin.miniature.jointed import JointedObject, build_jointed
from wam_eval.benchmarks.robotwin.miniature.objects import (
    Model,
    families,
    jointed_model,
    model,
    model_numbers,
    plain_parts,
)
from wam_eval.benchmarks.robotwin.miniature.poses import (
    contact_grasps,
    hand_at,
    matrix,
    placed,
    turned_about,
    upright_at,
)
from wam_eval.benchmarks.robotwin.miniature.recipes import RECIPES, parts_of
from wam_eval.benchmarks.robotwin.miniature.recipes.jointed import RECIPES as JOINTED
from wam_eval.benchmarks.robotwin.miniature.shapes import Part, TableObject, add_body
from wam_eval.benchmarks.robotwin.miniature.world import UPRIGHT, build_world, draw_pose, draw_surroundings

USED = {
    family: numbers
    for family in families()
    if (numbers := [n for n in model_numbers(family) if model(family, n).contacts or model(family, n).points])
}
"""Models that have points for a task: family -> numbers. Others are clutter."""

MODELS = {"015_laptop": 11, "036_cabinet": 1, "044_microwave": 2, "056_switch": 8, "060_kitchenpot": 7}
"""Families of articulated objects -> number of their models."""

MOST_SOLIDS = 28
"""Largest number of colliders; most models have at most twelve, a bin that holds marbles has more."""

LARGEST_EXCESS = 0.012
"""Largest distance by which shapes extend beyond the bounding box of their model, m."""


def corners(part: Part) -> np.ndarray:
    """Corners of a box around a part, in the frame of its body (8, 3)."""
    if part.kind == "box":
        half = np.array(part.size)
    elif part.kind == "sphere":
        half = np.full(3, part.size[0])
    else:
        extra = part.size[0] if part.kind == "capsule" else 0.0
        half = np.array([part.size[1] + extra, part.size[0], part.size[0]])
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
    turned: np.ndarray = signs * half @ part.pose.to_transformation_matrix()[:3, :3].T + np.array(part.position)
    return turned


def test_models_are_those_of_the_metadata() -> None:
    bowl = model("002_bowl", 3)
    assert bowl.size == pytest.approx((0.1792, 0.0521, 0.1789)) and bowl.low[1] == pytest.approx(0.0, abs=2e-4)
    assert len(bowl.contacts) == 4 and bowl.contacts[0][:3] == pytest.approx((0.0, 0.05, 0.066), abs=1e-3)
    assert model_numbers("001_bottle")[:4] == [0, 1, 10, 11]
    assert len(families()) == 111


@pytest.mark.parametrize("family", sorted(USED))
def test_recipes_fill_the_bounding_boxes(family: str) -> None:
    assert family in RECIPES
    for number in USED[family]:
        entry = model(family, number)
        parts = parts_of(entry)
        solid = [part for part in parts if part.solid]
        assert 1 <= len(solid) <= MOST_SOLIDS, number
        points = np.concatenate([corners(part) for part in solid])
        assert np.all(points.min(axis=0) >= np.array(entry.low) - LARGEST_EXCESS), number
        assert np.all(points.max(axis=0) <= np.array(entry.high) + LARGEST_EXCESS), number
        covered = points.max(axis=0) - points.min(axis=0)
        assert covered.max() >= 0.6 * max(entry.size), number


def test_a_model_without_recipe_is_a_plain_shape() -> None:
    box = plain_parts(Model("999_brick", 0, (0.1, 0.04, 0.05), (0.0, 0.02, 0.0), True))
    assert [part.kind for part in box] == ["box"] and box[0].size == (0.05, 0.02, 0.025)
    round_one = plain_parts(Model("999_tin", 0, (0.06, 0.1, 0.06), (0.0, 0.05, 0.0), True))
    assert [part.kind for part in round_one] == ["cylinder"]
    assert plain_parts(Model("999_tin", 1, (0.06, 0.1, 0.06), (0.0, 0.05, 0.0), True))[0].color != round_one[0].color


def standing(family: str, index: int, fixed: bool) -> tuple[sapien.Scene, JointedObject]:
    """An articulated object on a table."""
    scene, _ = build_world(draw_surroundings(np.random.RandomState(0), {}), visuals=False)
    height = 0.82 if family == "056_switch" else 0.741
    pose = sapien.Pose([0.0, 0.0, height], [0.7071, 0.0, 0.0, 0.7071])
    return scene, build_jointed(scene, jointed_model(family, index), index, pose, fixed, visuals=False)


@pytest.mark.parametrize("family", sorted(MODELS))
def test_articulated_objects_stand_still(family: str) -> None:
    assert family in JOINTED
    for index in range(MODELS[family]):
        scene, item = standing(family, index, fixed=family != "060_kitchenpot")
        front = item.contact_point(0).p
        before, joints = item.get_pose(), item.qpos.copy()
        for _ in range(400):
            scene.step()
        assert np.allclose(item.get_pose().p, before.p, atol=3e-3) and abs(item.get_pose().q @ before.q) > 0.9999
        if family != "015_laptop":  # whose screen falls
            assert np.allclose(item.qpos, joints, atol=1e-3)
        assert item.label == f"{family}/base{index}" and item.limits.shape == (len(joints), 2)
        assert front[2] > 0.74
        assert all(0.01 < size < 0.5 for size in item.extents)


@pytest.mark.parametrize("family", ["036_cabinet", "044_microwave"])
def test_doors_and_drawers_open_to_the_robot(family: str) -> None:
    _, item = standing(family, 0, fixed=True)
    closed = item.contact_point(0).p
    opened = item.limits[:, 1].copy()
    opened[~np.isfinite(opened)] = 0.0
    item.set_qpos(opened)
    assert item.contact_point(0).p[1] < closed[1] - 0.05


def test_poses_are_drawn_as_in_the_official_code() -> None:
    """Each coordinate takes a draw, and rotations take three more, even where their limits are zero."""
    draws = np.random.RandomState(1)
    pose = draw_pose(draws, (-0.1, 0.1), (0.2,), turn=(0.0, 1.0, 0.0), rest=UPRIGHT)
    numbers = np.random.RandomState(1)
    x = numbers.uniform(-0.1, 0.1)
    assert pose.p == pytest.approx([x, 0.2, 0.741])
    numbers.uniform(size=3)
    yaw = numbers.uniform(-1.0, 1.0)
    turned = sapien.Pose(q=[np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]) * sapien.Pose(q=UPRIGHT)
    assert abs(pose.q @ turned.q) == pytest.approx(1.0)
    numbers.uniform()
    assert draws.rand() == numbers.rand()
    for seed in range(50):
        moved = draw_pose(np.random.RandomState(seed), (-0.3, 0.3), (-0.1, 0.2), near_middle=True)
        assert abs(moved.p[0]) >= 0.15 or moved.p[1] <= 0


def a_box(pose: sapien.Pose) -> TableObject:
    """A box with one contact point on its right side and one functional point at its lower face, pointing down."""
    scene, _ = build_world(draw_surroundings(np.random.RandomState(0), {}), visuals=False)
    entity = add_body(scene, "thing", [Part("box", (0.02, 0.02, 0.05))], pose, False)
    contact = sapien.Pose([0.02, 0.0, 0.0], [0.7071068, 0.0, 0.0, -0.7071068])  # y points to +x
    return TableObject("thing", entity, (0.04, 0.04, 0.1), [contact], [sapien.Pose([0, 0, -0.05], [0, 1, 0, 0])])


def test_grasps_point_at_the_contact_point() -> None:
    item = a_box(sapien.Pose([0.2, 0.0, 0.8]))
    grasps = contact_grasps("right", item)
    level = min(grasps, key=lambda pose: abs(pose[2, 0]))
    for grasp in grasps:
        assert np.allclose(grasp[:3, 3] + 0.12 * grasp[:3, 0], [0.22, 0.0, 0.8], atol=1e-6)
        assert np.allclose(grasp[:3, :3] @ grasp[:3, :3].T, np.eye(3), atol=1e-6)
        assert abs(grasp[2, 1]) > 0.999  # the fingers open along the contact point's z axis
    assert level[0, 0] == pytest.approx(-1.0, abs=1e-3)
    far = contact_grasps("right", item, [0], gap=0.03)
    assert np.allclose(far[0][:3, 3] + 0.15 * far[0][:3, 0], [0.22, 0.0, 0.8], atol=1e-6)


def test_placing_brings_the_functional_point_to_the_target() -> None:
    item = a_box(sapien.Pose([0.2, 0.0, 0.9], [0.9659, 0.2588, 0.0, 0.0]))
    hand = hand_at([0.2, 0.0, 0.9], np.pi / 2, np.pi / 2)
    target = sapien.Pose([0.1, -0.1, 0.75], [0, 1, 0, 0])
    point = transform(np.diag([1.0, -1.0, -1.0]), [0.0, 0.0, -0.05])
    for constrain in ("free", "align", "auto"):
        pose = placed(hand, "right", item, target, point=0, constrain=constrain)
        assert np.allclose((pose @ point)[:3, 3], [0.1, -0.1, 0.75], atol=1e-6)
        assert (pose @ point)[2, 2] == pytest.approx(-1.0, abs=1e-6)
    aligned = placed(hand, "right", item, target, point=0, constrain="align", align=[[0, 1, 0], [0, -1, 0]])
    assert abs(aligned[1, 0]) == pytest.approx(1.0, abs=1e-6)


def test_rotations_about_points() -> None:
    pose = upright_at([0.1, 0.0, 0.8], [0.0])[0]
    turned = turned_about(pose, [0.0, 0.0, 0.0], [0, 0, 2], np.pi / 2)
    assert np.allclose(turned[:3, 3], [0.0, 0.1, 0.8]) and np.allclose(turned[:3, 0], [0, 1, 0])
    assert np.allclose(matrix(sapien.Pose([1, 2, 3])), transform(np.eye(3), [1, 2, 3]))
