"""LIBERO-Plus as installed: suites without a list of their own, tasks without assets, sentences by the protocol."""

from pathlib import Path

import pytest

from tests.sim.libero_plus.made_up import BASE, SENTENCE, SUITE
from wam_eval import catalog, listing
from wam_eval.errors import UserError
from wam_eval.fingerprint import fingerprint_suite
from wam_eval.gym import TaskEnv
from wam_eval.runner.choice import Subset
from wam_eval.runner.plan import SuitePlan, plan_run
from wam_eval.sim.libero_plus.manifest import COUNTS
from wam_eval.sim.libero_plus.root import NO_ASSETS, VARIABLE

PLUS = "libero_plus_spatial"
OURS = "pick up the black bowl from table center and place it on the plate"


def plan(protocol: str | None = None, subset: Subset | None = None, **settings: str) -> SuitePlan:
    (only,) = plan_run(PLUS, protocol, None, None, subset, settings)
    return only


def test_suites_are_listed_without_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    sizes = {row["suite"]: (row["tasks"], row["episodes"]) for row in listing.suites()}
    assert sizes["libero_plus"] == (10030, 10030)
    assert {suite: sizes[f"libero_plus_{suite.removeprefix('libero_')}"][0] for suite in COUNTS} == {
        suite: sum(counts) for suite, counts in COUNTS.items()
    }
    with pytest.raises(UserError, match=VARIABLE):
        plan_run("libero_plus", None, None, None)


def test_tasks_are_listed_with_their_conditions(copy: Path) -> None:
    rows = listing.tasks(PLUS)
    assert len(rows) == 11
    assert rows[0] == {
        "suite": PLUS,
        "task": 0,
        "name": f"{BASE}_view_0_0_100_8_6_initstate_0",
        "condition": "camera-1",
        "instruction": OURS,
    }


def test_an_episode_is_a_task_under_its_condition(copy: Path) -> None:
    made = plan()
    assert [episode.key for episode in made.episodes[:3]] == [
        f"{PLUS}/00/camera-1/000",
        f"{PLUS}/01/camera-3/000",
        f"{PLUS}/02/robot-3/000",
    ]
    assert {(e.seed, e.step_limit) for e in made.episodes} == {(0, 220)}
    assert len(made.titles) == 11


def test_tasks_without_assets_are_planned_but_not_run(copy: Path) -> None:
    made = plan()
    assert len(made.episodes) == 11
    assert [key.split("/")[2] for key in made.not_run] == ["light-4", "background-1", "background-2", "layout-1"]
    assert set(made.not_run.values()) == {NO_ASSETS}


def test_with_the_archive_all_are_run(copy: Path) -> None:
    without = plan().protocol
    for name in ("new_objects", "scenes", "textures"):
        (copy / "assets" / name).mkdir(parents=True)
    made = plan()
    assert not made.not_run
    assert made.protocol.assets.digest != without.assets.digest


def test_base_models_are_shared(copy: Path) -> None:
    """Tasks that need no model of their own are one scene, so that one simulator plays them in a row."""
    scenes = [episode.scene for episode in plan().episodes]
    assert scenes.count(f"{SUITE}/{BASE}") == 6
    assert len(set(scenes)) == 1 + 5


@pytest.mark.parametrize(
    ("prompt", "camera", "language"),
    [
        ("base", OURS, SENTENCE.lower()),
        ("bddl", "pick the akita black bowl from table center and place it on the plate", SENTENCE.lower()),
        ("upstream", f"{OURS} view 0 0 100 8 6 initstate 0", SENTENCE.lower()),
    ],
)
def test_the_prompt_is_chosen_and_recorded(copy: Path, prompt: str, camera: str, language: str) -> None:
    made = plan(prompt=prompt)
    assert made.protocol.settings["prompt"] == prompt
    assert (made.episodes[0].instruction, made.episodes[3].instruction) == (camera, language)
    assert made.titles[0] == OURS


def test_an_unknown_prompt_is_refused(copy: Path) -> None:
    with pytest.raises(UserError, match=r"settings\.prompt: Input should be 'base', 'bddl' or 'upstream'"):
        plan(prompt="own")
    with pytest.raises(UserError, match="unknown setting of this benchmark 'prompt'"):
        plan_run("libero_spatial", None, None, None, None, {"prompt": "base"})


def test_imagewams_preset(copy: Path) -> None:
    made = plan("imagewam")
    assert len(made.episodes) == 3  # 20 % of 11, rounded up
    assert (made.protocol.settings["prompt"], made.protocol.settings["settle_steps"]) == ("upstream", 30)
    assert {(e.seed, e.step_limit) for e in made.episodes} == {(42, 400)}
    assert len(plan("imagewam", Subset(sample=1.0)).episodes) == 11


def test_the_card_names_the_sentence_that_is_none(copy: Path) -> None:
    detail = plan().protocol.assets.detail
    assert "libero_spatial id 5 has no instruction in its BDDL file and gets its base task's" in detail
    assert "without its assets" in detail


def test_another_copy_is_not_the_official_one(copy: Path) -> None:
    assert "which is not upstream's" in plan().protocol.assets.detail


def test_every_suite_has_its_limits() -> None:
    limits = [catalog.load_suite(name).step_limits for name in catalog.elementary("libero_plus")]
    assert [limit["openvla"] for limit in limits] == [220, 280, 300, 520]
    assert [limit["imagewam"] for limit in limits] == [400, 400, 400, 700]


def test_imagewams_sample_of_the_real_tasks(libero_plus_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Golden: what ``random.Random(f"42:{suite}").sample`` of its scripts draws."""
    monkeypatch.setenv(VARIABLE, str(libero_plus_data))
    monkeypatch.setenv("WAM_EVAL_LIBERO_ASSETS", "stand-in")
    plans = plan_run("libero_plus", "imagewam", None, None)
    assert [len(made.episodes) for made in plans] == [481, 504, 519, 504]
    assert [[episode.task for episode in made.episodes[:5]] for made in plans] == [
        [3, 8, 9, 15, 16],
        [1, 2, 4, 6, 7],
        [5, 10, 14, 15, 25],
        [9, 11, 13, 15, 19],
    ]


def test_one_task_as_a_gymnasium_environment(copy: Path) -> None:
    env = TaskEnv(PLUS, 3, cameras=())
    _, info = env.reset(seed=0)
    env.close()
    assert info == {"key": f"{PLUS}/03/language-2/000", "instruction": SENTENCE.lower(), "steps": 0, "success": False}
    with pytest.raises(UserError, match=f"task 5: not run here: {NO_ASSETS}"):
        TaskEnv(PLUS, 5)


def test_fingerprints_are_of_what_can_be_played(copy: Path) -> None:
    (only,) = fingerprint_suite(PLUS, "2,5")
    assert (only["task"], only["index"]) == (2, 0)
