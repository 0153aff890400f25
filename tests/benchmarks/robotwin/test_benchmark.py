"""RoboTwin as a benchmark: suites and protocols, action spaces, detection, checks, setup."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.builders.robotwin import robotwin_episode
from tests.builders.robotwin_checkout import make_empty_checkout
from tests.hosting.test_package_identity import Environment
from wam_eval import config
from wam_eval.benchmark import load_benchmark
from wam_eval.benchmarks.robotwin import RoboTwin
from wam_eval.benchmarks.robotwin import benchmark as module
from wam_eval.benchmarks.robotwin.benchmark import (
    ARCHIVES,
    CPU_EXPERT,
    ROOT,
    HandPoses,
    JointTargets,
    RoboTwinInstallation,
    detect_checkout,
)
from wam_eval.benchmarks.robotwin.miniature import VERSION
from wam_eval.benchmarks.robotwin.miniature.arm import inverse
from wam_eval.benchmarks.robotwin.official import OfficialSource
from wam_eval.benchmarks.robotwin.seeds import VerifiedSeed
from wam_eval.benchmarks.robotwin.simulator import RoboTwinSimulator
from wam_eval.benchmarks.robotwin.source import ACTION_DIMS
from wam_eval.errors import UserError
from wam_eval.observation import Request
from wam_eval.run.plan import make_protocol, plan_run

MEASURED = {"sapien": "3.0.3", "toppra": "0.6.10", "numpy": "2.4.6"}

DIGESTS = {
    ("robotwin_clean", "official"): "6b373b4832c9",
    ("robotwin_clean", "fastwam"): "a06f6d0eff28",
    ("robotwin_clean", "lingbot"): "b265194ebcf7",
    ("robotwin_randomized", "official"): "8fd92495e6c6",
    ("robotwin_randomized", "fastwam"): "16c9491c5b86",
    ("robotwin_randomized", "lingbot"): "8882ef8d447e",
}
"""Beginnings of the protocols' hashes with the miniature and :data:`MEASURED`; results are compared by these hashes."""


def robotwin() -> RoboTwin:
    found = load_benchmark("robotwin")
    assert isinstance(found, RoboTwin)
    return found


def test_the_suites_have_ten_thousand_episodes() -> None:
    parts = [config.load_suite(part) for part in config.elementary("robotwin")]
    assert [part.axes for part in parts] == [{"condition": "clean"}, {"condition": "randomized"}]
    assert sum(len(part.tasks) * part.trials for part in parts) == 10_000
    assert parts[0].tasks == parts[1].tasks
    for part in parts:
        names = [task.name for task in part.tasks]
        limits = [task.step_limit or 0 for task in part.tasks]
        assert names == sorted(names) and sum(limits) == 31_000
        assert max(limits) == set(part.step_limits.values()).pop()
        assert part.tasks[5].instruction == "click bell"


@pytest.mark.parametrize(("suite", "card"), sorted(DIGESTS))
def test_protocol_hashes_stay_the_same(here: RoboTwinInstallation, suite: str, card: str) -> None:
    here.versions.update(MEASURED)
    protocol = make_protocol(suite, config.load_suite(suite), robotwin(), card, here)
    assert protocol.digest[:12] == DIGESTS[suite, card]


def write_seeds(here: RoboTwinInstallation, start_seed: int, tasks: Sequence[str]) -> None:
    """Write manifests of both conditions with one seed of each task, so that planning needs no search."""
    for condition in ("clean", "randomized"):
        search = here.search(condition, start_seed)
        manifest = search.manifest()
        for number, task in enumerate(tasks, start=1):
            manifest.tasks[task] = [VerifiedSeed(seed=start_seed + number, seen=f"do {task}", unseen=f"make {task}")]
        manifest.write(search.path)


def test_a_plan_has_verified_seeds_instructions_and_step_limits(here: RoboTwinInstallation) -> None:
    write_seeds(here, 100000, ("click_bell", "stack_blocks_two"))
    clean, randomized = plan_run("robotwin", None, "click_bell,stack_blocks_two", 1)
    assert [episode.key for episode in clean.episodes] == ["robotwin_clean/05/clean/000", "robotwin_clean/45/clean/000"]
    assert [episode.step_limit for episode in randomized.episodes] == [400, 800]
    assert [episode.seed for episode in clean.episodes] == [100001, 100002]
    assert [episode.instruction for episode in clean.episodes] == ["make click_bell", "make stack_blocks_two"]
    assert clean.protocol.step_limits["stack_blocks_two"] == 800 == clean.protocol.limit_of("stack_blocks_two")
    assert clean.protocol.settings["expert"] == here.expert and not clean.protocol.publishable


def test_protocols_differ_in_seeds_and_wording(here: RoboTwinInstallation) -> None:
    write_seeds(here, 100000, ["click_bell"])
    write_seeds(here, 4300000, ["click_bell"])
    seeds, words = {}, {}
    for name in ("official", "fastwam", "lingbot"):
        (plan,) = plan_run("robotwin_clean", name, "click_bell", 1)
        seeds[name], words[name] = plan.episodes[0].seed, plan.episodes[0].instruction
    assert seeds == {"official": 100001, "fastwam": 4300001, "lingbot": 100001}
    assert words == {"official": "make click_bell", "fastwam": "make click_bell", "lingbot": "do click_bell"}


def test_without_a_checkout_the_tasks_of_the_miniature_are_played(here: RoboTwinInstallation) -> None:
    suite = config.load_suite("robotwin_clean")
    everything = list(range(len(suite.tasks)))
    assert [suite.tasks[task].name for task in here.filter_tasks(everything, suite, named=False)] == list(here.tasks)
    assert len(here.tasks) == 50 and "wam-eval setup robotwin" in here.assets.detail
    fewer = replace(here, tasks=here.tasks[:-1])
    assert fewer.filter_tasks(everything, suite, named=False) == everything[:-1]
    with pytest.raises(UserError, match="turn_switch needs the official benchmark"):
        fewer.filter_tasks(everything, suite, named=True)


def test_the_benchmark_describes_itself() -> None:
    benchmark = robotwin()
    settings = benchmark.card(None)[1].settings
    assert [(camera.name, camera.height, camera.width) for camera in benchmark.cameras(settings)][:2] == [
        ("head_camera", 240, 320),
        ("left_camera", 240, 320),
    ]
    assert benchmark.control_hz(settings) == pytest.approx(250 / 15)
    assert benchmark.state_dim(settings) == 14
    assert benchmark.condition({"condition": "randomized"}) == "randomized"
    assert [axis.values for axis in benchmark.axes] == [benchmark.averaging.groups]
    assert not benchmark.lists_episodes
    for action_type, dim in ACTION_DIMS.items():
        assert benchmark.action_space({**settings, "action_type": action_type}).dim == dim


def test_invalid_settings_are_named() -> None:
    with pytest.raises(UserError, match=r"settings\.cameras.*\n(.*\n)*.*settings\.shader"):
        robotwin().with_settings({"shader": "toon", "cameras": []})
    with pytest.raises(UserError, match="unknown setting of robotwin 'shadr': did you mean shader"):
        robotwin().with_settings({"shadr": "rt"})


def test_joint_targets() -> None:
    space, state = JointTargets(), np.linspace(-0.3, 0.3, 14, dtype=np.float32)
    np.testing.assert_array_equal(space.hold(state, 3), np.repeat(state[None], 3, axis=0))
    np.testing.assert_array_equal(space.rest(state, 2), np.repeat(state[None], 2, axis=0))
    actions = space.random(state, 40, np.random.default_rng(123))
    assert actions.dtype == np.float32 and actions.shape == (40, 14)
    assert (actions >= space.low).all() and (actions <= space.high).all()
    grippers = [gripper.index for gripper in space.grippers]
    assert set(np.unique(actions[:, grippers])) == {0.0, 1.0}
    joints = np.delete(np.vstack([state, actions]), grippers, axis=1)
    assert np.abs(np.diff(joints, axis=0)).max() <= space.MAX_STEP + 1e-6
    np.testing.assert_allclose(actions[-1, :3], [-0.28413594, 0.04316584, -0.33362213], atol=1e-6)


def test_hand_poses_follow_the_joint_targets() -> None:
    space = HandPoses()
    state = np.array([0.2, 0.5, 0.4, -0.2, 0.1, 0.3, 0.5, *[0.0] * 6, 1.0], np.float32)
    left, right = np.split(space.hold(state, 1)[0].astype(np.float64), 2)
    assert left[7] == 0.5 and right[7] == 1.0
    for side, hand, joints in (("left", left, state[:6]), ("right", right, state[7:13])):
        assert np.linalg.norm(hand[3:7]) == pytest.approx(1, abs=1e-6)
        w, x, y, z = hand[3:7]
        pose = np.eye(4)
        pose[:3, :3] = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
        pose[:3, 3] = hand[:3]
        found = inverse(side, pose, joints)  # type: ignore[arg-type]
        assert found is not None and np.allclose(found, joints, atol=2e-3)
    actions = space.random(state, 40, np.random.default_rng(123))
    assert (actions >= space.low).all() and (actions <= space.high).all()
    assert set(np.unique(actions[:, [7, 15]])) == {0.0, 1.0}
    np.testing.assert_array_equal(actions[:, 3:7], space.hold(state, 40)[:, 3:7])
    np.testing.assert_array_equal(space.rest(actions[5], 2), actions[[5, 5]])


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout without code, named by the environment variable."""
    root = make_empty_checkout(tmp_path / "RoboTwin")
    monkeypatch.setenv(ROOT, str(root))
    return root


def test_hand_poses_of_the_official_robot_follow_its_own_kinematics(here: RoboTwinInstallation, checkout: Path) -> None:
    benchmark, suite = robotwin().with_settings({"action_type": "ee"}), config.load_suite("robotwin_clean")
    assert here.identity.source == "miniature" and checkout.is_dir()
    protocols = [
        make_protocol("robotwin_clean", suite, benchmark, "official", one) for one in (benchmark.detect({}), here)
    ]
    actions = [protocol.rules["action"] for protocol in protocols]
    assert all(action.startswith("poses of the last links in the world (m, quaternion") for action in actions)
    assert actions[0].endswith(f"planner: {CPU_EXPERT}") and actions[1].endswith(f"planner: miniature {VERSION}")
    official, embedded = (
        benchmark.action_space(protocol.settings).hold(np.zeros(14, np.float32), 1)[0] for protocol in protocols
    )
    np.testing.assert_allclose(embedded, HandPoses().hold(np.zeros(14, np.float32), 1)[0])
    # The left hand in its home pose, as the official code was seen to state it.
    np.testing.assert_allclose(official[:3], [-0.2979, -0.3138, 0.9420], atol=1e-4)
    for arm in (0, 8):
        apart = np.linalg.norm(official[arm : arm + 3] - embedded[arm : arm + 3])
        assert 0.005 < apart < 0.02 and abs(np.dot(official[arm + 3 : arm + 7], embedded[arm + 3 : arm + 7])) > 0.999


def test_holding_hand_poses_moves_nothing() -> None:
    simulator = RoboTwinSimulator({"cameras": [], "action_type": "ee"})
    first = simulator.load(robotwin_episode("stack_blocks_two"), Request())
    actions = HandPoses().hold(first.state, 2)
    _, observation = simulator.step(actions, Request())
    simulator.close()
    assert observation is not None
    np.testing.assert_allclose(observation.state, first.state, atol=1e-6)


def test_a_checkout_is_detected(checkout: Path) -> None:
    found = robotwin().detect({})
    assert found.identity.source == "official" and found.settings["root"] == str(checkout)
    assert found.tasks == ("click_bell", "open_laptop")
    assert found.assets.kind == "partial" and "code is that of no known commit" in found.assets.detail
    assert found.versions["robotwin"].startswith("unknown-") and found.versions["mplib"] == "none"
    for spec in (found.search("clean", 0).spec, found.spec({"cameras": []}, images=False)):
        assert spec.environment["CUDA_VISIBLE_DEVICES"], "curobo plans on a GPU"
    digest = found.assets.digest
    (checkout / "assets/objects/001_bottle/model_data0.json").write_text("{    }")
    assert robotwin().detect({}).assets.digest != digest


def test_code_that_changes_during_a_run_is_refused(checkout: Path) -> None:
    settings = robotwin().detect({}).settings
    (checkout / "envs" / "click_bell.py").write_text("SUCCESS = True\n")
    with pytest.raises(UserError, match=rf"the code in {checkout} was {settings['version']} when the run was planned"):
        OfficialSource(settings)


def test_packages_that_only_some_installations_have_are_identified(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mplib is edited by the official instructions, curobo is installed from a checkout."""
    monkeypatch.delenv("PYTHONPATH")
    environment = Environment(tmp_path / "environment")
    for name, release in (("sapien", "3.0.0b1"), ("numpy", "1.26.4"), ("transforms3d", "0.4.2"), ("mplib", "0.2.1")):
        environment.install(name, release, {f"{name}/__init__.py": ""})
    curobo = checkout / "envs" / "curobo" / "src"
    (curobo / "curobo").mkdir(parents=True)
    (curobo / "curobo" / "__init__.py").write_text("")
    direct = {"url": f"file://{checkout}/envs/curobo", "dir_info": {"editable": True}}
    metadata = {"direct_url.json": json.dumps(direct), "top_level.txt": "curobo\n"}
    environment.install("nvidia_curobo", "0.7.8", {"__editable__.curobo.pth": f"{curobo}\n"}, **metadata)
    found = detect_checkout(checkout, environment.python)
    assert found.versions["mplib"] == "0.2.1" and found.packages == ("sapien", "numpy", "transforms3d", "mplib")
    assert found.expert.startswith("curobo 0.7.8+local.")
    (tmp_path / "other" / "mplib").mkdir(parents=True)
    (tmp_path / "other" / "mplib" / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "other"))
    with pytest.raises(UserError, match=f"mplib: {tmp_path}/other/mplib/__init__.py would be imported"):
        detect_checkout(checkout, environment.python)


def test_the_environment_variable_can_ask_for_the_miniature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT, "miniature")
    assert robotwin().detect({}).identity.source == "miniature"


def test_a_version_that_the_protocol_card_asks_for_must_be_installed(here: RoboTwinInstallation) -> None:
    assert robotwin().detect({"sapien": here.versions["sapien"]}) == here
    with pytest.raises(UserError, match=r"asks for sapien 2\.0; .* has 3\."):
        robotwin().detect({"sapien": "2.0"})


def test_incomplete_checkouts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        detect_checkout(tmp_path / "gone", None)
    with pytest.raises(UserError, match=r"is no checkout of RoboTwin 2\.0"):
        detect_checkout(tmp_path, None)
    root = make_empty_checkout(tmp_path / "RoboTwin")
    (root / "assets/embodiments/aloha-agilex/config.yml").unlink()
    with pytest.raises(UserError, match="has no complete assets: assets/embodiments/aloha-agilex"):
        detect_checkout(root, None)


def test_checks_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def check(name: str) -> tuple[str, str, str]:
        found = {result.name: result for result in (run() for run in robotwin().checks(simulate=False))}
        assert set(found) == {"sapien", "Vulkan", "RoboTwin"}
        return found[name].status, found[name].detail, found[name].fix

    monkeypatch.delenv(ROOT, raising=False)
    assert check("RoboTwin") == (
        "warn",
        "no checkout: the embedded miniature is played",
        f"{ROOT}=/path/to/RoboTwin for results that can be compared with published ones",
    )
    (tmp_path / "toppra.py").write_text("")
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        status, detail, _ = check("RoboTwin")
        assert status == "fail" and f"toppra: {tmp_path}/toppra.py would be imported" in detail
    monkeypatch.setenv(ROOT, str(tmp_path))
    status, detail, fix = check("RoboTwin")
    assert status == "fail" and "is no checkout" in detail and fix.startswith(f"unset {ROOT}")
    monkeypatch.setattr(module, "version", lambda package: "1.0")
    assert check("sapien") == ("warn", "1.0, tested with 3.0.3", "make setup")


def test_setup_clones_downloads_and_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []

    def fetch(data_set: str, archive: str, folder: Path, target: Path) -> None:
        fetched.append(archive)

    monkeypatch.setattr(module, "clone", lambda repository, commit, target, variable: make_empty_checkout(target))
    monkeypatch.setattr(module, "fetch_archive", fetch)
    text = robotwin().setup(target=tmp_path / "new")
    assert f"export {ROOT}={tmp_path / 'new'}" in text
    assert fetched == [], "archives whose folder exists are not downloaded again"
    for folder in (tmp_path / "new" / "assets").iterdir():
        folder.rename(folder.with_name(f"{folder.name}.old"))
    with pytest.raises(UserError, match="run this command again"):
        robotwin().setup(target=tmp_path / "new")
    assert fetched == list(ARCHIVES)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(UserError, match="is no complete checkout of RoboTwin: name another --target"):
        robotwin().setup(target=tmp_path / "other")


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() or done.stderr


def test_planning_imports_no_sapien() -> None:
    code = "from wam_eval.benchmarks.robotwin.benchmark import miniature; miniature(); print('sapien' in sys.modules)"
    assert run_python(f"import sys; {code}") == "False"


def test_the_simulator_needs_few_packages() -> None:
    """The interpreter of a checkout may have numpy, msgpack, PyYAML and SAPIEN only."""
    missing = ("pydantic", "pydantic_settings", "typer", "rich", "tqdm", "ray", "pandas")
    block = "".join(f"sys.modules[{name!r}] = None; " for name in missing)
    modules = "wam_eval.hosting.child, wam_eval.benchmarks.robotwin.official, wam_eval.benchmarks.robotwin.simulator"
    assert run_python(f"import sys; {block}import {modules}; print('imported')") == "imported"
