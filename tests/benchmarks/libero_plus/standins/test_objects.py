"""The added objects: all thirteen categories, standing where upstream's initial states put them."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest

from wam_eval.benchmarks.libero_plus.data import MODELS
from wam_eval.benchmarks.libero_plus.standins.objects import FOOT, OBJECTS, added_object_xml

WORLD = """<mujoco><worldbody><geom type="plane" size="1 1 1"/></worldbody></mujoco>"""


def test_all_categories_have_an_object() -> None:
    assert OBJECTS.keys() == MODELS.keys()


@pytest.mark.parametrize("category", sorted(MODELS))
def test_an_object_falls_a_centimetre_and_stands(category: str) -> None:
    spec = mujoco.MjSpec.from_string(WORLD)
    child = mujoco.MjSpec.from_string(added_object_xml(category))
    child.compiler.inertiagrouprange = [0, 0]  # as in robosuite's scenes, the mass is that of the collision geoms
    frame = spec.worldbody.add_frame(pos=[0, 0, 0.01 - FOOT])
    body = frame.attach_body(child.body("object"), "", "")
    body.add_freejoint()
    model = spec.compile()
    data = mujoco.MjData(model)
    for _ in range(500):
        mujoco.mj_step(model, data)
    assert data.qpos[2] == pytest.approx(-FOOT, abs=2e-3)
    assert np.abs(data.qpos[:2]).max() < 5e-3
    upright = data.xmat[body.id].reshape(3, 3)[2, 2]
    assert upright > 0.999
    assert 0.01 < model.body_mass[body.id] < 0.4


def test_objects_are_narrow_enough_for_upstreams_distances() -> None:
    """Added objects are at least 10 cm apart."""
    assert all(thing.radius < 0.05 for thing in OBJECTS.values())


def test_the_files_are_read_by_robosuite(tmp_path: Path) -> None:
    from wam_eval.benchmarks.libero_plus.perturbations import AddedObject

    file = tmp_path / "can.xml"
    file.write_text(added_object_xml("can_of_soda__1"))
    thing = AddedObject(file, "can_of_soda__1_1")
    assert thing.bottom_offset[2] == pytest.approx(FOOT)
    assert thing.horizontal_radius > 0
