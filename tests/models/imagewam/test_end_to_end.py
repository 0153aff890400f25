"""ImageWAM at tiny size on every backbone, with real simulators, from the YAML file to the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tests.builders.suites import write_short_suites
from wam_eval import config, evaluate
from wam_eval.benchmarks.libero_plus.data import VARIABLE
from wam_eval.cli.app import app
from wam_eval.models.imagewam.policy import ImageWAMPolicy
from wam_eval.run.imagination import read_imagined

LIMIT = 18  # Control steps of an episode: enough for an imagined image, which shows step 16.
TASKS = {"libero_object": "pick_up_the_alphabet_soup_and_place_it_in_the_basket", "robotwin_clean": "click_bell"}


BACKBONES = ["flux2-4b", "omnigen2", "ovis-u1"]


@pytest.mark.parametrize(
    ("backbone", "suite"),
    [
        ("flux2-4b", "libero_object"),
        pytest.param("flux2-4b", "robotwin_clean", marks=pytest.mark.slow),
        *[pytest.param(name, suite, marks=pytest.mark.slow) for name in BACKBONES[1:] for suite in TASKS],
    ],
)
def test_a_run_and_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_cluster: str, suite: str, backbone: str
) -> None:
    write_short_suites(tmp_path / "own/suites", TASKS, LIMIT)
    name = "imagewam-tiny" if backbone == "flux2-4b" else f"imagewam-tiny-{backbone}"
    tiny = config.load_policy(name).model_dump(mode="json", exclude_defaults=True)
    tiny["settings"]["steps"] = 2
    (tmp_path / "own/policies").mkdir()
    (tmp_path / "own/policies/tiny.yaml").write_text(yaml.safe_dump(tiny))
    monkeypatch.setenv("WAM_EVAL_PATH", str(tmp_path / "own"))
    monkeypatch.setenv("WAM_EVAL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("WAM_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WAM_EVAL_ROBOTWIN_ROOT", "miniature")
    monkeypatch.setenv("WAM_EVAL_LIBERO_ASSETS", "stand-in")
    evaluate(suite=suite, policy="tiny", run="tiny", imagine=1, attention=1)
    folder = tmp_path / "runs/tiny"
    (record,) = map(json.loads, (folder / "episodes.jsonl").read_text().splitlines())
    assert record["outcome"] == "failure" and record["steps"] == LIMIT
    assert min(record["measured"][name] for name in ("ms_vae", "ms_prefill", "ms_actions")) > 0
    assert 0 < record["measured"]["imagined_psnr"] < 60
    assert 0 < record["measured"]["attention_on_change"] < 1 and list((folder / "attention").rglob("*.mp4"))
    (archive,) = (folder / "imagined").rglob("*.npz")
    assert read_imagined(archive.read_bytes()).every == 16
    reported = CliRunner().invoke(app, ["report", "tiny"])
    assert reported.exit_code == 0, reported.output


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_task_of_libero_plus(
    runs: Path, libero_plus_data: Path, monkeypatch: pytest.MonkeyPatch, backbone: str
) -> None:
    """The policy plays in this process, on one of the tasks that need no assets of LIBERO-Plus."""
    monkeypatch.setenv(VARIABLE, str(libero_plus_data))
    monkeypatch.setenv("WAM_EVAL_LIBERO_ASSETS", "stand-in")
    policy = ImageWAMPolicy.create(
        backbone=backbone, size="tiny", random_weights=True, context=192, steps=1, dtype="float32", device="cpu"
    )
    filters = {"dimension": "noise"}
    evaluate(suite="libero_plus_object", policy=policy, filters=filters, sample=0.001, simulators=1, run="plus")
    (record,) = map(json.loads, (runs / "plus/episodes.jsonl").read_text().splitlines())
    assert record["outcome"] == "failure" and record["measured"]["ms_actions"] > 0
    assert record["actions"]
