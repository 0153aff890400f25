"""The files of the stand-ins, and tasks that are played with them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from wam_eval import evaluate
from wam_eval.benchmarks.libero.assets import Assets, standin_assets
from wam_eval.benchmarks.libero.package import read_init_states
from wam_eval.benchmarks.libero_plus import standins as module
from wam_eval.benchmarks.libero_plus.data import MODELS, VARIABLE
from wam_eval.benchmarks.libero_plus.perturbations import find_arena
from wam_eval.benchmarks.libero_plus.standins import VERSION, standin_folder, standin_manifest, write_files
from wam_eval.benchmarks.libero_plus.standins.objects import added_object_xml
from wam_eval.benchmarks.libero_plus.standins.rooms import scene_of
from wam_eval.benchmarks.libero_plus.standins.textures import texture
from wam_eval.benchmarks.libero_plus.standins.variants import TABLE, layout_of
from wam_eval.benchmarks.libero_plus.tasks import DIMENSIONS, Variation, read_bddl
from wam_eval.cli.app import app
from wam_eval.episode import Outcome
from wam_eval.hosting.process import SimulatorProcess
from wam_eval.observation import Request
from wam_eval.policies.expert import Expert
from wam_eval.run.ledger import read_ledger
from wam_eval.run.plan import plan_run

PLUS = "libero_plus_spatial"


def first(dimension: str, part: str = "", suite: str = "libero_spatial") -> Variation:
    """The first task of a dimension whose name contains a part."""
    tasks = (task.variation for task in standin_manifest().suites[suite])
    return next(one for one in tasks if one.dimension == dimension and part in one.name)


def test_the_version_changes_with_the_content(standins: Path) -> None:
    whole = hashlib.sha256(TABLE.read_bytes())
    for tasks in standin_manifest().suites.values():
        whole.update("\n".join(task.prompts.bddl for task in tasks).encode())
    for category in sorted(MODELS):
        whole.update(added_object_xml(category).encode())
    for number in range(4):
        scene, _ = scene_of(f"floor_light_sync_modified_{number}", standins)
        whole.update(scene.replace(str(standins).encode(), b""))
    for name in ("Bricks02_COL_VAR2_6K", "FabricDenim001_NRM_6K", "Marble01_GLOSS_3K"):
        whole.update(str(np.round(texture(name).mean(axis=(0, 1)))).encode())
    assert whole.hexdigest()[:16] == VERSION


def test_the_files_of_a_layout_task(tmp_path: Path, standins: Path) -> None:
    one = first("layout", "_add_")
    write_files(tmp_path, standins, one)
    assert read_bddl(one.bddl_file(tmp_path).read_text(), "layout", frozenset()).needs
    assert np.isfinite(one.init_state(tmp_path)).all()
    assert len(list((tmp_path / "assets" / "new_objects").rglob("*.xml"))) == len(MODELS)
    assert read_init_states(one.init_state_file(tmp_path)).dtype == np.float64


def test_the_files_of_a_room(tmp_path: Path, standins: Path) -> None:
    one = first("background", "_tb_")
    write_files(tmp_path, standins, one)
    arena = find_arena(one.bddl_file(tmp_path), tmp_path / "assets")
    folder = tmp_path / "assets" / "textures"
    assert arena.wall and (folder / arena.wall).exists()
    assert all((folder / file.name).exists() for file in (standins / "textures").iterdir())


@pytest.mark.parametrize("dimension", ["camera", "robot", "noise", "language"])
def test_tasks_in_the_scene_of_their_base_task_need_no_files(tmp_path: Path, standins: Path, dimension: str) -> None:
    write_files(tmp_path, standins, first(dimension))
    assert not list(tmp_path.iterdir())


def test_files_are_written_once(tmp_path: Path, standins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = first("light")
    write_files(tmp_path, standins, one)
    monkeypatch.setattr(module, "scene_of", lambda *_: pytest.fail("written twice"))
    write_files(tmp_path, standins, one)
    assert not list(tmp_path.rglob(".*")), "no temporary file is left"


def test_the_scenes_of_another_tree_are_elsewhere(tmp_path: Path) -> None:
    libero = standin_assets()
    changed = libero.record.model_copy(update={"digest": "another"})
    others = Assets(tmp_path, libero.record), Assets(libero.path, changed)
    assert len({standin_folder(one) for one in (libero, *others)}) == 3


@pytest.mark.parametrize(
    ("dimension", "part"),
    [("layout", "_add_"), pytest.param("light", "", marks=pytest.mark.slow)],
)
def test_a_task_is_played_without_a_copy(
    dimension: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulator writes the files, and the objects stay where the table puts them."""
    monkeypatch.setenv(VARIABLE, "stand-in")
    monkeypatch.setenv("WAM_EVAL_LIBERO_ASSETS", "stand-in")
    one = first(dimension, part)
    (planned,) = plan_run(PLUS, tasks=one.name)
    (episode,) = planned.episodes
    spec = planned.installation.spec(planned.protocol.settings)
    with SimulatorProcess(spec, tmp_path / "simulator.log") as simulator:
        seen = simulator.load(episode, Request(privileged=True))
    assert seen.privileged
    data = Path(planned.installation.settings["data"])
    assert one.bddl_file(data).is_file()
    if one.layout:
        layout = layout_of(one)
        for number, (name, _) in enumerate(layout.added):
            expected = np.array(layout.poses[number - len(layout.added)])
            np.testing.assert_allclose(seen.privileged.poses[name][:2], expected[:2], atol=0.01)
            assert 0 < expected[2] - seen.privileged.poses[name][2] < 0.02, "it falls a centimetre"


@pytest.mark.slow
def test_the_expert_plays_all_dimensions_without_a_copy(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "stand-in")
    monkeypatch.setenv("WAM_EVAL_LIBERO_ASSETS", "stand-in")
    filters = {"dimension": ",".join(DIMENSIONS)}
    run = evaluate(suite="libero_plus_object", policy=Expert.create(), filters=filters, sample=0.001, run="plus")
    records = read_ledger(run.folder.ledger).records
    assert {record.condition.partition("-")[0] for record in records} == set(DIMENSIONS)
    assert all(record.outcome.counts for record in records)
    assert sum(record.outcome is Outcome.SUCCESS for record in records) > len(records) / 2
    for command in (("table", "imagewam-table3", "--with", "plus"), ("compare", "plus", "openvla-oft")):
        refused = CliRunner().invoke(app, list(command))
        assert refused.exit_code == 2
        assert "run plus played the embedded stand-ins of libero_plus; papers played the real one" in refused.output
