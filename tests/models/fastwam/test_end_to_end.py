"""Fast-WAM at tiny size on both benchmarks, with real simulators, from the YAML file to the report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from tests.builders.suites import write_short_suites
from tests.toy.runs import records
from wam_eval import config, evaluate
from wam_eval.cli.app import app
from wam_eval.models.fastwam.policy import FastWAMPolicy
from wam_eval.observation import ActionChunk, Observation, Rollback
from wam_eval.policy import Policy, PolicySpec
from wam_eval.run.folder import RunFolder
from wam_eval.trajectory import ChunkExecuted, read_trajectory

LIMIT = 10  # Control steps of an episode, so that it takes seconds.
TASKS = {"libero_object": "pick_up_the_alphabet_soup_and_place_it_in_the_basket", "robotwin_clean": "click_bell"}


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Suites of one task with few steps, and the tiny policy in all variants; returns the folder of runs."""
    policies = tmp_path / "own/policies"
    write_short_suites(tmp_path / "own/suites", TASKS, LIMIT)
    policies.mkdir()
    tiny = config.load_policy("fastwam-tiny").model_dump(mode="json", exclude_defaults=True)
    variants = {variant: {"settings": {"variant": variant}} for variant in ("first_frame", "joint", "idm")}
    tiny["settings"]["steps"] = 2
    (policies / "tiny.yaml").write_text(yaml.safe_dump({**tiny, "variants": variants}))
    monkeypatch.setenv("WAM_EVAL_PATH", str(tmp_path / "own"))
    monkeypatch.setenv("WAM_EVAL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("WAM_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WAM_EVAL_ROBOTWIN_ROOT", "miniature")
    monkeypatch.setenv("WAM_EVAL_LIBERO_ASSETS", "stand-in")
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("suite", "variant"),
    [
        ("libero_object", "first_frame"),
        pytest.param("libero_object", "joint", marks=pytest.mark.slow),
        pytest.param("libero_object", "idm", marks=pytest.mark.slow),
        pytest.param("robotwin_clean", "first_frame", marks=pytest.mark.slow),
        pytest.param("robotwin_clean", "joint", marks=pytest.mark.slow),
    ],
)
def test_a_run_and_its_report(short: Path, ray_cluster: str, suite: str, variant: str) -> None:
    evaluate(suite=suite, policy=f"tiny-{variant}", run="tiny", imagine=1, attention=1)
    check_run(short / "tiny", variant)
    card = json.loads((short / "tiny/run.json").read_text())
    assert card["policy"]["settings"]["steps"] == 2 and card["policy"]["settings"]["variant"] == variant
    assert card["workers"][0]["policy"]["dtype"] == "float32"
    reported = CliRunner().invoke(app, ["report", "tiny"])
    assert reported.exit_code == 0, reported.output


@pytest.mark.slow
def test_a_policy_object_plays_in_this_process(short: Path) -> None:
    """The variant ``idm`` on RoboTwin, without a second process for the model."""
    policy = FastWAMPolicy.create(
        robot="robotwin",
        variant="idm",
        size="tiny",
        random_weights=True,
        execute=24,
        steps=2,
        dtype="float32",
        device="cpu",
    )
    evaluate(suite="robotwin_clean", policy=policy, run="tiny", imagine=1, attention=1)
    check_run(short / "tiny", "idm")


class OnToy(Policy):
    """The tiny model on the toy benchmark, whose image and position it takes for a robot's."""

    def __init__(self, model: FastWAMPolicy) -> None:
        self._model = model
        self.spec = PolicySpec(cameras=("front",), execute=4)

    def act(self, observations: Sequence[Observation]) -> list[ActionChunk | Rollback]:
        """The model's answers."""
        cameras = self._model.spec.cameras
        return self._model.act(
            [
                dataclasses.replace(
                    one, images=dict.fromkeys(cameras, one.images["front"]), state=np.resize(one.state, 8)
                )
                for one in observations
            ]
        )


@pytest.mark.parametrize(
    ("others", "episodes", "dtype"),
    [
        ((3,), 3, "float32"),
        pytest.param((2, 3, 5), 10, "float32", marks=pytest.mark.slow),
        pytest.param((2, 3, 5), 10, "bfloat16", marks=pytest.mark.slow),
    ],
)
def test_a_run_does_not_depend_on_the_number_of_simulators(
    runs: Path, others: tuple[int, ...], episodes: int, dtype: str
) -> None:
    """Actions, steps and outcomes of all episodes are equal bit for bit, although answers come from other batches."""
    model = FastWAMPolicy.create(
        size="tiny", variant="joint", random_weights=True, steps=1, dtype=dtype, device="cpu", seed="episode"
    )
    for number in (1, *others):
        evaluate(suite="toy", policy=OnToy(model), run=f"n{number}", tasks="0", episodes=episodes, simulators=number)
    alone = records("n1")
    assert len(alone) == episodes
    assert max(record.measured["batch"] for record in records("n3").values()) > 1
    for run in (f"n{number}" for number in others):
        for key, record in records(run).items():
            assert (record.outcome, record.steps) == (alone[key].outcome, alone[key].steps)
            events, expected = (read_trajectory(RunFolder(name).trajectory_file(key)).events for name in (run, "n1"))
            assert len(events) == len(expected)
            for event, same in zip(events, expected, strict=True):
                assert isinstance(event, ChunkExecuted) and isinstance(same, ChunkExecuted)
                assert np.array_equal(event.actions, same.actions)


def check_run(folder: Path, variant: str) -> None:
    """Check the ledger and the imagined frames of the only episode."""
    (record,) = map(json.loads, (folder / "episodes.jsonl").read_text().splitlines())
    assert record["outcome"] == "failure" and record["steps"] == LIMIT
    assert record["measured"]["ms_actions"] > 0 and record["measured"]["ms_vae"] > 0
    assert variant != "idm" or record["measured"]["ms_video"] > 0
    assert 0 < record["measured"]["imagined_psnr"] < 60
    assert 0 <= record["measured"]["attention_on_change"] < 1
    assert list((folder / "imagined").rglob("*.mp4")) and list((folder / "imagined").rglob("*.npz"))
