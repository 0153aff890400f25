"""Commands for small models: record demonstrations, train on them, evaluate the result."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import wam_eval
from wam_eval.cli.training import size_in
from wam_eval.errors import UserError

TRAINING = """
title: a minute of training
task: wam_eval.models.small.fastwam:SmallFastWAMTraining
settings: {width: 48, layers: 2, heads: 2, head_dim: 24}
data:
  suites: {libero_object: 1}
  image_size: [64, 64]
  stride: 4
  cameras: [agentview, robot0_eye_in_hand]
steps: 60
batch: 32
warmup: 10
"""


@pytest.mark.parametrize(("text", "size"), [("64", (64, 64)), ("96x128", (96, 128)), (" 8 ", (8, 8))])
def test_image_sizes(text: str, size: tuple[int, int]) -> None:
    assert size_in(text) == size


@pytest.mark.parametrize("text", ["", "x", "64x", "0", "64x64x3", "99999", "-3"])
def test_other_image_sizes_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="write a number of pixels, or HEIGHTxWIDTH"):
        size_in(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("record", "toy", "--episodes", "1", "--out", "data"), "toy has no protocol card for demonstrations"),
        (("record", "toi", "--episodes", "1", "--out", "data"), "unknown suite 'toi': did you mean toy"),
        (("record", "libero_object", "--episodes", "1", "--out", "data", "--image-size", "x"), "--image-size 'x'"),
        (("train", "small-fastwan"), "unknown training 'small-fastwan': did you mean small-fastwam"),
    ],
)
def test_a_users_error_is_one_message(runs: Path, arguments: tuple[str, ...], message: str) -> None:
    pytest.importorskip("torch", reason="models need PyTorch: make setup MODELS=1")
    result = wam_eval(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_the_number_of_episodes_is_needed_unless_the_protocol_limits_it(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAM_EVAL_LIBERO_ASSETS", "stand-in")
    result = wam_eval("record", "libero_object", "--out", "data")
    assert result.exit_code == 2 and "--episodes N is missing" in result.stderr


def test_a_training_comes_after_the_one_whose_model_it_begins_with(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="models need PyTorch: make setup MODELS=1")
    pytest.importorskip("pyarrow", reason="data sets need pyarrow: make setup MODELS=1")
    from tests.models.small.builders import data

    (tmp_path / "expert.yaml").write_text(
        TRAINING.replace("fastwam:SmallFastWAM", "mvwam:SmallMVWAM").replace("steps: 60", "steps: 2")
    )
    (tmp_path / "own.yaml").write_text(
        f"extends: expert\nstart: {tmp_path}/expert.yaml\nsteps: 1\n"
        "data: {policy: small-mvwam, played: {libero_object: 3}}\n"
    )
    # Data sets that exist are not recorded again.
    data(tmp_path / "data/libero_object-1")
    data(tmp_path / "data/libero_object-3-expert", count=3, success=False)
    command = ("train", str(tmp_path / "own.yaml"), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "own"))
    assert wam_eval(*command).exit_code == 0
    steps = {folder: list(csv.DictReader((tmp_path / folder / "losses.csv").open())) for folder in ("expert", "own")}
    assert {folder: int(rows[-1]["step"]) for folder, rows in steps.items()} == {"expert": 2, "own": 1}
    assert (tmp_path / "own/model.safetensors").is_file()


@pytest.mark.slow
def test_demonstrations_are_recorded_and_a_minute_of_training_lowers_the_loss(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="models need PyTorch: make setup MODELS=1")
    (tmp_path / "minute.yaml").write_text(TRAINING)
    environment = {**os.environ, "WAM_EVAL_LIBERO_ASSETS": "stand-in", "RAY_ADDRESS": ""}

    def command(*arguments: str) -> str:
        words = [sys.executable, "-m", "wam_eval", *arguments]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "Saved in" in command("train", "minute.yaml", "--steps", "30")
    assert (tmp_path / "data" / "libero_object-1" / "meta" / "info.json").is_file()
    command("train", "minute.yaml")
    rows = list(csv.DictReader((tmp_path / "results/training/minute/losses.csv").open()))
    assert [int(row["step"]) for row in rows] == [10, 20, 30, 40, 50, 60]
    assert float(rows[-1]["total"]) < 0.8 * float(rows[0]["total"])
    model = str(tmp_path / "results/training/minute/model.safetensors")
    assert "1 |" in command(
        *("run", "--suite", "libero_object", "--policy", "small-fastwam", "--ckpt", model, "--tasks", "0"),
        *("--episodes", "1", "--simulators", "1"),
    ).replace("│", "|")
