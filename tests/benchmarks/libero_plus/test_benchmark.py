"""LIBERO-Plus as a benchmark: axes, tasks of a copy, tasks without assets, prompts, samples, setup and checks."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.builders.libero_plus import BASE, SENTENCE, SUITE
from wam_eval import config
from wam_eval.benchmark import Benchmark, load_benchmark, suite_with_tasks
from wam_eval.benchmarks.libero.assets import Assets
from wam_eval.benchmarks.libero_plus import benchmark as module
from wam_eval.benchmarks.libero_plus.benchmark import NO_ASSETS, LiberoPlus, check_driver
from wam_eval.benchmarks.libero_plus.data import ASSET_FOLDERS, ASSETS_VARIABLE, VARIABLE, assets_in, model_file
from wam_eval.benchmarks.libero_plus.tasks import COUNTS, DIMENSIONS, Manifest
from wam_eval.errors import UserError
from wam_eval.gym import TaskEnv
from wam_eval.protocol import AssetsRecord
from wam_eval.run.fingerprint import fingerprint_suite
from wam_eval.run.plan import SuitePlan, plan_run
from wam_eval.run.task_selection import TaskSelection, draw

PLUS = "libero_plus_spatial"
OURS = "pick up the black bowl from table center and place it on the plate"


def plan(protocol: str | None = None, selection: TaskSelection | None = None, **settings: Any) -> SuitePlan:
    """The plan of the suite of the small copy."""
    (only,) = plan_run(PLUS, protocol, None, None, selection, settings)
    return only


# ---------------------------------------------------------------------- facts


def test_axes_and_average() -> None:
    plus = load_benchmark("libero_plus")
    dimension, difficulty = plus.axes
    assert dimension.values == plus.averaging.groups == DIMENSIONS
    assert [dimension.sizes[name] for name in DIMENSIONS] == [1599, 1550, 1537, 1142, 1076, 1601, 1525]
    assert difficulty.values == (1, 2, 3, 4, 5)
    assert (plus.averaging.over, plus.averaging.label, plus.averaging.by_task) == ("dimension", "total", True)
    assert plus.condition({"dimension": "camera", "difficulty": 3}) == "camera-3"
    assert plus.condition({"dimension": "light"}) == "light"
    assert plus.base == "libero"


def test_suites_have_sizes_without_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    suites = [config.load_suite(name) for name in config.elementary("libero_plus")]
    assert {suite.base: suite.task_count for suite in suites} == {base: sum(counts) for base, counts in COUNTS.items()}
    assert sum(suite.task_count for suite in suites) == 10030


def test_without_a_copy_the_stand_ins_of_all_tasks_are_planned(standins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "stand-in")
    monkeypatch.setenv("WAM_EVAL_LIBERO_ASSETS", "stand-in")
    plans = plan_run("libero_plus")
    assert [len(planned.episodes) for planned in plans] == [sum(counts) for counts in COUNTS.values()]
    assert not any(planned.not_run for planned in plans)
    (assets,) = {planned.protocol.assets for planned in plans}
    assert assets.kind == "stand-in tasks" and not plans[0].protocol.publishable
    assert "embedded stand-ins of LIBERO-Plus" in assets.detail
    other = AssetsRecord(kind="official", digest="another", detail="LIBERO's")
    monkeypatch.setattr(module, "find_libero_assets", lambda: Assets(standins, other))
    found = plan_run(PLUS)[0].protocol.assets
    assert found.kind == "stand-in tasks" and found.digest != assets.digest


def test_every_suite_has_step_limits() -> None:
    limits = [config.load_suite(name).step_limits for name in config.elementary("libero_plus")]
    assert [limit["openvla"] for limit in limits] == [220, 280, 300, 520]
    assert [limit["imagewam"] for limit in limits] == [400, 400, 400, 700]


# ---------------------------------------------------------------------- tasks and episodes


def test_tasks_have_axes_and_base_tasks(data: Path) -> None:
    tasks = suite_with_tasks(PLUS).tasks
    assert len(tasks) == 11
    first = tasks[0]
    assert (first.name, first.base, first.instruction) == (f"{BASE}_view_0_0_100_8_6_initstate_0", BASE, OURS)
    assert first.axes == {"dimension": "camera", "difficulty": 1}


def test_keys_of_episodes_contain_dimension_and_difficulty(data: Path) -> None:
    planned = plan()
    assert [episode.key for episode in planned.episodes[:3]] == [
        f"{PLUS}/00/camera-1/000",
        f"{PLUS}/01/camera-3/000",
        f"{PLUS}/02/robot-3/000",
    ]
    assert {(episode.seed, episode.step_limit) for episode in planned.episodes} == {(0, 220)}


def test_tasks_with_the_same_model_share_a_scene(data: Path) -> None:
    """A simulator plays the episodes of a scene in a row."""
    scenes = [episode.scene for episode in plan().episodes]
    assert scenes.count(f"{SUITE}/{BASE}") == 6
    assert len(set(scenes)) == 1 + 5


def test_tasks_without_assets_are_planned_but_not_run(data: Path) -> None:
    planned = plan()
    assert len(planned.episodes) == 11
    assert [key.split("/")[2] for key in planned.not_run] == ["light-4", "background-1", "background-2", "layout-1"]
    assert set(planned.not_run.values()) == {NO_ASSETS}


def test_with_the_archive_all_tasks_are_run(archive: Path) -> None:
    planned = plan()
    assert not planned.not_run
    (archive / "scenes" / "another.xml").write_text("<mujoco/>")
    assert plan().protocol.assets.digest != planned.protocol.assets.digest


def test_tasks_whose_files_the_archive_lacks_are_not_run(data: Path, archive: Path) -> None:
    """Empty files count as missing; a scene may also be in the folder of its room."""
    texture = archive / "textures" / "canvas_sky_blue.png"
    texture.unlink()  # a link to the stand-ins'
    texture.touch()
    (archive / "scenes" / "lights" / "tabletop_light_sync_modified_7.xml").unlink()
    model = archive / model_file("can_of_soda__1")
    model.rename(model.with_suffix(".bak"))
    assert {key.split("/")[2]: reason for key, reason in plan().not_run.items()} == {
        "light-4": "needs scenes/tabletop_light_sync_modified_7.xml of LIBERO-Plus's assets",
        "background-2": "needs textures/canvas_sky_blue.png of LIBERO-Plus's assets",
        "layout-1": f"needs {model_file('can_of_soda__1')} of LIBERO-Plus's assets",
    }


def test_empty_folders_are_no_archive(data: Path) -> None:
    for name in ASSET_FOLDERS:
        (data / "assets" / name).mkdir(parents=True)
    assert len(plan().not_run) == 4


# ---------------------------------------------------------------------- assets


@pytest.mark.parametrize(
    ("libero", "official", "with_archive", "kind"),
    [
        ("official", True, False, "official"),
        ("official", True, True, "partial"),
        ("official", False, False, "partial"),
        ("partial", True, False, "partial"),
        ("stand-in", True, True, "stand-in"),
    ],
)
def test_assets_that_are_not_verified_are_not_official(
    archive: Path, monkeypatch: pytest.MonkeyPatch, libero: str, official: bool, with_archive: bool, kind: str
) -> None:
    """Upstream publishes no digest of its archive, so that no archive can be verified."""
    record = AssetsRecord(kind=libero, digest="some", detail="LIBERO's")
    monkeypatch.setattr(module, "find_libero_assets", lambda: Assets(Path("libero"), record))
    monkeypatch.setattr(Manifest, "official", official)
    if not with_archive:
        (archive / "textures").rename(archive / "away")
    found = plan().protocol.assets
    assert found.kind == kind
    assert (f"LIBERO-Plus's archive of assets in {archive} not verified" in found.detail) == with_archive


def test_a_packed_archive_is_named(data: Path) -> None:
    (data / "assets.zip").touch()
    advice = f"without its assets, which are not unpacked: type `python -m zipfile -e {data}/assets.zip {data}`"
    assert advice in plan().protocol.assets.detail


def test_the_details_of_a_copy(data: Path) -> None:
    detail = plan().protocol.assets.detail
    assert "libero_spatial id 5 has no instruction in its BDDL file and gets its base task's" in detail
    assert "without its assets" in detail
    assert "which is not upstream's" in detail


# ---------------------------------------------------------------------- settings and samples


@pytest.mark.parametrize(
    ("prompt", "camera", "language"),
    [
        ("base", OURS, SENTENCE.lower()),
        ("bddl", "pick the akita black bowl from table center and place it on the plate", SENTENCE.lower()),
        ("upstream", f"{OURS} view 0 0 100 8 6 initstate 0", SENTENCE.lower()),
    ],
)
def test_the_prompt_is_selected_and_recorded(data: Path, prompt: str, camera: str, language: str) -> None:
    planned = plan(prompt=prompt)
    assert planned.protocol.settings["prompt"] == prompt
    assert (planned.episodes[0].instruction, planned.episodes[3].instruction) == (camera, language)
    assert planned.config.tasks[0].instruction == OURS


def test_settings_that_are_not_allowed_are_refused(data: Path) -> None:
    with pytest.raises(UserError, match=r"settings\.prompt: Input should be 'base', 'bddl' or 'upstream'"):
        plan(prompt="own")
    with pytest.raises(UserError, match=r"settings\.resolution: Input should be less than or equal to 256"):
        plan(resolution=512)  # fog ends at 256 pixels


def test_the_protocol_of_imagewam(data: Path) -> None:
    planned = plan("imagewam")
    assert len(planned.episodes) == 3  # 20 % of 11, rounded up
    assert (planned.protocol.settings["prompt"], planned.protocol.settings["settle_steps"]) == ("upstream", 30)
    assert {(episode.seed, episode.step_limit) for episode in planned.episodes} == {(42, 400)}
    assert len(plan("imagewam", TaskSelection(sample=1.0)).episodes) == 11


def test_a_plan_records_its_sample(data: Path) -> None:
    assert plan().selection == TaskSelection()
    assert plan("imagewam").selection == TaskSelection(sample=0.2, sample_seed=42)
    assert plan(selection=TaskSelection(sample=0.5)).selection == TaskSelection(sample=0.5, sample_seed=0)


IMAGEWAM_SAMPLES = {
    "libero_spatial": (481, [3, 8, 9, 15, 16]),
    "libero_object": (504, [1, 2, 4, 6, 7]),
    "libero_goal": (519, [5, 10, 14, 15, 25]),
    "libero_10": (504, [9, 11, 13, 15, 19]),
}
"""Base suite -> number of tasks, and the first five, drawn by ``random.Random(f"42:{suite}")`` as in ImageWAM."""


def test_the_samples_of_imagewam() -> None:
    for suite, (count, first) in IMAGEWAM_SAMPLES.items():
        sample = draw(list(range(sum(COUNTS[suite]))), 0.2, f"42:{suite}")
        assert (len(sample), sample[:5]) == (count, first)


def test_the_samples_of_imagewam_in_the_published_data(libero_plus_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(libero_plus_data))
    monkeypatch.setenv("WAM_EVAL_LIBERO_ASSETS", "stand-in")
    plans = plan_run("libero_plus", "imagewam")
    assert [len(planned.episodes) for planned in plans] == [count for count, _ in IMAGEWAM_SAMPLES.values()]
    cameras = plan_run("libero_plus", "imagewam", selection=TaskSelection(filters={"dimension": "camera"}))
    assert [len(planned.episodes) for planned in cameras] == [82, 85, 79, 92]
    for whole, part in zip(plans, cameras, strict=True):
        assert [e for e in whole.episodes if e.condition.startswith("camera")] == list(part.episodes)


# ---------------------------------------------------------------------- with the rest of the package


def test_a_task_as_a_gymnasium_environment(data: Path) -> None:
    env = TaskEnv(PLUS, 3, cameras=())
    _, info = env.reset(seed=0)
    env.close()
    assert info == {"key": f"{PLUS}/03/language-2/000", "instruction": SENTENCE.lower(), "steps": 0, "success": False}
    with pytest.raises(UserError, match=NO_ASSETS):
        TaskEnv(PLUS, 5)


def test_fingerprints_leave_out_tasks_that_cannot_be_played(data: Path) -> None:
    (only,) = fingerprint_suite(PLUS, "2,5", images=False)
    assert (only["task"], only["index"]) == (2, 0)


# ---------------------------------------------------------------------- setup


@pytest.fixture
def plus() -> LiberoPlus:
    found = load_benchmark("libero_plus")
    assert isinstance(found, LiberoPlus)
    return found


@pytest.fixture
def checkout(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small copy, which the environment variable does not name."""
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(module, "clone", lambda *_: pytest.fail("an existing checkout was cloned"))
    return data.parent.parent


def test_setup_leaves_another_folder_alone(plus: LiberoPlus, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="contains something else than LIBERO-Plus, or a part of it"):
        plus.setup(tmp_path)


def test_setup_downloads_the_assets_of_its_target_once(
    plus: LiberoPlus, checkout: Path, data: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.rename(tmp_path / "published")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "another"))
    monkeypatch.setenv(ASSETS_VARIABLE, str(tmp_path / "published"))
    fetched = []

    def fetch(data_set: str, name: str, folder: Path, target: Path, marker: tuple[str, ...]) -> None:
        fetched.append((data_set, name, folder, marker))
        shutil.copytree(tmp_path / "published", target)

    monkeypatch.setattr(module, "fetch_archive", fetch)
    for _ in range(2):
        assert f"export {VARIABLE}={checkout}" in plus.setup(checkout)
    assert fetched == [("Sylvest/LIBERO-plus", "assets.zip", data, ASSET_FOLDERS)]


@pytest.mark.parametrize("path", ["assets.zip", "assets/assets.zip"])
def test_setup_unpacks_an_existing_archive(
    plus: LiberoPlus, checkout: Path, data: Path, archive: Path, path: str
) -> None:
    packed = shutil.make_archive(str(data / "packed"), "zip", archive)
    shutil.rmtree(archive)
    archive.mkdir()
    Path(packed).rename(data / path)
    plus.setup(checkout)
    assert assets_in(data) == (data / path).parent / "assets"


def test_setup_refuses_an_archive_that_lacks_files(plus: LiberoPlus, checkout: Path, archive: Path) -> None:
    (archive / "textures" / "canvas_sky_blue.png").unlink()
    with pytest.raises(UserError, match=r"1 files .* missing, such as textures/canvas_sky_blue\.png\. Delete it"):
        plus.setup(checkout)


def test_setup_without_a_network_names_the_playable_tasks(
    plus: LiberoPlus, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UserError("assets.zip cannot be downloaded")

    monkeypatch.setattr(module, "fetch_archive", refuse)
    with pytest.raises(UserError, match=rf"cannot be downloaded\nThe 6,983 tasks .* export {VARIABLE}="):
        plus.setup(checkout)


# ---------------------------------------------------------------------- checks


def test_another_libero_in_the_simulators_interpreter_is_refused() -> None:
    """The tasks are planned from this interpreter's files."""
    found = {"hf-libero": version("hf-libero")}
    check_driver("/other/python", found)
    with pytest.raises(UserError, match=r"/other/python has hf-libero 0\.1\.3, and .* has 0\.1\.4: install the same"):
        check_driver("/other/python", {"hf-libero": "0.1.3"})


def test_the_check_without_a_copy(plus: LiberoPlus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    check = plus.check_data()
    assert (check.status, check.detail.partition(":")[0]) == ("warn", "no copy")
    assert "embedded stand-ins" in check.detail and "wam-eval setup libero_plus" in check.fix
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    check = plus.check_data()
    assert check.status == "fail" and f"{tmp_path} is not LIBERO-Plus" in check.detail


def test_the_check_of_a_copy_and_its_assets(
    plus: LiberoPlus, data: Path, archive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check = plus.check_data()
    assert check.status == "warn" and "differs from upstream's data" in check.detail
    monkeypatch.setattr(Manifest, "official", True)
    assert plus.check_data().status == "ok"
    (archive / "textures" / "canvas_sky_blue.png").unlink()
    check = plus.check_data()
    assert check.status == "warn" and "1 files that tasks need are missing, such as textures/canvas" in check.detail
    shutil.rmtree(archive)
    check = plus.check_data()
    assert check.status == "warn" and "without its assets" in check.detail
    assert check.fix == "wam-eval setup libero_plus"
    (data / "assets.zip").touch()
    assert f"zipfile -e {data / 'assets.zip'}" in plus.check_data().fix
    monkeypatch.setenv(ASSETS_VARIABLE, str(tmp_path / "nowhere"))
    check = plus.check_data()
    assert check.status == "fail" and check.fix == f"unset {ASSETS_VARIABLE}, or correct it"


def test_doctor_runs_the_check(plus: Benchmark) -> None:
    (check,) = plus.checks(simulate=False)
    assert check().name == "LIBERO-Plus"
