"""The LIBERO-Plus simulator equals a new environment per task to the bit, whatever it played before."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.libero.scenes import FLOAT32_ACTIONS
from tests.builders.libero_plus import BASE, PROBLEMS, SUITE, write_archive
from wam_eval import config
from wam_eval.benchmark import load_benchmark
from wam_eval.benchmarks.libero.assets import standin_assets
from wam_eval.benchmarks.libero_plus.data import CLASSIFICATION
from wam_eval.benchmarks.libero_plus.standins import standin_folder
from wam_eval.episode import Episode
from wam_eval.hosting.opengl import choose_renderer
from wam_eval.hosting.process import SimulatorError, SimulatorProcess
from wam_eval.observation import Request, VideoRequest
from wam_eval.simulator import SimulatorSpec

OURS = "wam_eval.benchmarks.libero_plus.simulator:LiberoPlusSimulator"
UPSTREAM = "tests.benchmarks.libero_plus.reference:UpstreamSimulator"
AGENT = Request(("agentview",))
NOTHING = Request()
ACTIONS = FLOAT32_ACTIONS

CAMERA = "_view_41_15_130_4_6_initstate_0"
ROBOT = "_view_0_0_100_0_0_initstate_355"
LANGUAGE = "_language_7_view_0_0_100_0_0_initstate_0"
NOISE = "_view_0_0_100_0_0_initstate_0_noise_43"
LAYOUT = "_level3_sample1"
#: A task in which each forward pass of a reset shows in the last bits of the states, up to MuJoCo 3.3.5.
OBJECT = ("pick_up_the_alphabet_soup_and_place_it_in_the_basket", "libero_object")
VARIANTS = (CAMERA, ROBOT, LANGUAGE, NOISE)

Start = Callable[..., SimulatorProcess]


def episode(ending: str, base: str = BASE, suite: str = SUITE) -> Episode:
    """An episode of the task with an ending."""
    (name,) = (name for name in config.elementary("libero_plus") if config.load_suite(name).base == suite)
    return Episode(name, 0, f"some-{ending}", 0, base + ending, "do it", 0, 220)


@pytest.fixture
def start(tmp_path: Path, data: Path, standins: Path) -> Iterator[Start]:
    """Starts simulator processes with stand-ins and a small copy of LIBERO-Plus, which end after the test."""
    with ExitStack() as stack:

        def start(
            simulator: str = OURS,
            archive: Path | None = None,
            data: Path = data,
            settle_steps: int = 2,
            stand_ins: bool = False,
        ) -> SimulatorProcess:
            settings = {
                **load_benchmark("libero_plus").card("openvla")[1].settings,
                **{"assets": str(standins), "data": str(data), "plus_assets": str(archive) if archive else None},
                **{"resolution": 64, "settle_steps": settle_steps},
                **({"stand_ins": True} if stand_ins else {}),
            }
            spec = SimulatorSpec(simulator, settings, environment={"MUJOCO_GL": choose_renderer().name})
            return stack.enter_context(SimulatorProcess(spec, tmp_path / "simulator.log"))

        yield start


@pytest.mark.parametrize(
    ("ending", "base", "suite"),
    [
        (LAYOUT, BASE, SUITE),
        pytest.param(ROBOT, *OBJECT, marks=pytest.mark.slow),
        pytest.param(CAMERA, BASE, SUITE, marks=pytest.mark.slow),
        pytest.param(ROBOT, BASE, SUITE, marks=pytest.mark.slow),
        pytest.param(CAMERA, *OBJECT, marks=pytest.mark.slow),
    ],
)
def test_state_fixtures_and_pixels_equal_a_new_environment(start: Start, ending: str, base: str, suite: str) -> None:
    upstream, ours = start(UPSTREAM), start()
    for other in (NOISE, ROBOT, CAMERA):  # earlier episodes must not change later ones
        ours.load(episode(other, base, suite), NOTHING)
        ours.step(ACTIONS[:3], None)
    one = episode(ending, base, suite)
    expected, found = upstream.load(one, AGENT), ours.load(one, AGENT)
    for chunk in (ACTIONS[:8], ACTIONS[8:12]):
        assert upstream.fingerprint() == ours.fingerprint()
        assert np.array_equal(expected.images["agentview"], found.images["agentview"])
        (_, expected), (_, found) = upstream.step(chunk, AGENT), ours.step(chunk, AGENT)
    assert upstream.fingerprint() == ours.fingerprint()


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["libero_spatial", "libero_object", "libero_goal", "libero_10"])
def test_upstreams_tasks_equal_a_new_environment(start: Start, libero_plus_data: Path, suite: str) -> None:
    """Three tasks of each suite and of the dimensions camera, robot and layout."""
    tasks = json.loads((libero_plus_data / CLASSIFICATION).read_text())[suite]
    kinds = {"Camera Viewpoints": "_view_", "Robot Initial States": "_view_", "Objects Layout": "_level"}
    named = {kind: [task["name"] for task in tasks if task["category"] == kind] for kind in kinds}
    upstream, ours = start(UPSTREAM, data=libero_plus_data), start(data=libero_plus_data)
    for kind, part in kinds.items():
        for name in random.Random(2).sample([name for name in named[kind] if part in name], 3):
            one = episode("", name, suite)
            for simulator in (upstream, ours):
                simulator.load(one, NOTHING)
                simulator.step(ACTIONS[:10], None)
            assert upstream.fingerprint() == ours.fingerprint(), name


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["libero_spatial", "libero_goal"])
def test_moved_objects_of_the_stand_ins_are_upstreams(start: Start, libero_plus_data: Path, suite: str) -> None:
    """States and fixtures are equal to the bit, since a reset draws from the regions, too."""
    tasks = json.loads((libero_plus_data / CLASSIFICATION).read_text())[suite]
    named = [task["name"] for task in tasks if "_level" in task["name"]]
    copy, ours = start(data=libero_plus_data), start(data=standin_folder(standin_assets()), stand_ins=True)
    for name in random.Random(3).sample(named, 3):
        one = episode("", name, suite)
        for simulator in (copy, ours):
            simulator.load(one, NOTHING)
            simulator.step(ACTIONS[:10], None)
        assert copy.fingerprint() == ours.fingerprint(), name


def test_the_order_of_tasks_does_not_matter(start: Start) -> None:
    def play(simulator: SimulatorProcess, ending: str) -> tuple[dict[str, str], bytes]:
        seen = simulator.load(episode(ending), AGENT)
        image = seen.images["agentview"].tobytes()
        simulator.step(ACTIONS[:5], None)
        return simulator.fingerprint(), image

    alone = {}
    for ending in VARIANTS:
        with start() as simulator:
            alone[ending] = play(simulator, ending)
    assert len({image for _, image in alone.values()}) == len(VARIANTS)
    one = start()
    order = random.Random(1).choices(VARIANTS, k=4) + list(VARIANTS)
    assert all(play(one, ending) == alone[ending] for ending in order)


def test_language_and_noise_change_nothing_in_the_scene(start: Start) -> None:
    simulator, prints = start(), []
    for ending in (LANGUAGE, NOISE, CAMERA):
        simulator.load(episode(ending), NOTHING)
        simulator.step(ACTIONS[:5], None)
        prints.append(simulator.fingerprint())
    assert prints[0] == prints[1] == prints[2]


def test_the_gripper_turns_in_a_robot_task(start: Start) -> None:
    """The initial state returns the arm to its joints, but the controller keeps the perturbed orientation."""
    simulator, seen = start(settle_steps=10), {}
    for ending in (LANGUAGE, ROBOT):
        seen[ending] = simulator.load(episode(ending), NOTHING).state
    assert np.abs(seen[ROBOT][:3] - seen[LANGUAGE][:3]).max() < 0.05
    assert np.abs(seen[ROBOT][3:6] - seen[LANGUAGE][3:6]).max() > 0.05


def test_noise_depends_on_the_step_and_not_on_earlier_images(start: Start) -> None:
    rendering, blind = start(), start()
    clean = rendering.load(episode(LANGUAGE), AGENT).images["agentview"].copy()
    first = rendering.load(episode(NOISE), AGENT).images["agentview"].copy()
    assert not np.array_equal(first, clean)
    blind.load(episode(NOISE), NOTHING)
    rendering.step(ACTIONS[:4], AGENT, VideoRequest("agentview", 1))
    blind.step(ACTIONS[:4], None)
    (_, seen), (_, other) = rendering.step(ACTIONS[4:6], AGENT), blind.step(ACTIONS[4:6], AGENT)
    assert np.array_equal(seen.images["agentview"], other.images["agentview"])


def test_noise_changes_the_agents_camera_only(start: Start) -> None:
    simulator, wrist = start(), Request(("robot0_eye_in_hand",))
    clean, noisy = (
        simulator.load(episode(ending), wrist).images[wrist.cameras[0]].copy() for ending in (LANGUAGE, NOISE)
    )
    assert np.array_equal(clean, noisy)


def test_a_snapshot_of_a_perturbed_task_continues_to_the_bit(start: Start) -> None:
    simulator, other = start(), start()
    simulator.load(episode(ROBOT), NOTHING)
    simulator.step(ACTIONS[:6], None)
    blob = simulator.snapshot()
    simulator.step(ACTIONS[6:12], None)
    other.load(episode(ROBOT), NOTHING)
    other.restore(blob)
    other.step(ACTIONS[6:12], None)
    assert simulator.fingerprint() == other.fingerprint()


def test_light_and_background_change_images_and_not_the_physics(
    start: Start, data: Path, tmp_path: Path, standins: Path
) -> None:
    tasks = [data / "bddl_files" / SUITE / f"{BASE}{ending}.bddl" for ending in PROBLEMS]
    simulator = start(archive=write_archive(tmp_path / "assets", standins, tasks))
    states, images = set(), set()
    for ending in (LANGUAGE, *PROBLEMS):
        images.add(simulator.load(episode(ending), AGENT).images["agentview"].tobytes())
        states.add(simulator.fingerprint()["state"])
    assert (len(states), len(images)) == (1, 4)


def test_a_light_task_needs_the_archive_of_assets(start: Start) -> None:
    with pytest.raises(SimulatorError, match="needs LIBERO-Plus assets"):
        start().load(episode("_light_4"), NOTHING)


def test_a_missing_scene_file_is_named(start: Start, tmp_path: Path, standins: Path) -> None:
    simulator = start(archive=write_archive(tmp_path / "assets", standins, []))
    with pytest.raises(SimulatorError, match=r"needs scenes/tabletop_light_sync_modified_7\.xml"):
        simulator.load(episode("_light_4"), NOTHING)
