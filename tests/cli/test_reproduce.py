"""wam-eval reproduce: plans, plays, continues, and shows what there is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import wam_eval
from tests.toy import CATALOG
from tests.toy.runs import play

CARD = """
title: A minute of a comparison
paper: a test (arXiv 0000.00000)
question: Do random weights succeed?
suites: [libero_object]
tasks: "0"
columns: suite
quick: {episodes: 1}
full: {episodes: 2}
seconds: 5
entries:
  - {label: one, policy: small-fastwam, checkpoint: small-one}
  - {label: joint, policy: small-fastwam, checkpoint: small-joint}
  - {label: later, policy: small-fastwam, checkpoint: small-later}
"""


def test_the_plan_states_episodes_and_time_and_plays_nothing(runs: Path) -> None:
    found = wam_eval("reproduce", "--quick", "--only", "toy", "--plan")
    assert found.exit_code == 0
    assert "there is no policy nothing_like_this – left out of toy (unknown)" in found.stdout
    assert "8 episodes to play, about " in found.stdout
    assert not runs.exists()


def test_an_unknown_comparison_is_one_message(runs: Path) -> None:
    found = wam_eval("reproduce", "--only", "toi")
    assert found.exit_code == 2 and "unknown comparison 'toi': did you mean toy" in found.stderr


def play_toys(protocol: str | None = None) -> None:
    """Play the toy's quick extent in this process."""
    play(tasks="0,1", episodes=2, protocol=protocol, name="miniature-toy-push")
    play(tasks="0,1", episodes=2, protocol=protocol, name="miniature-toy-push-push_0.1", settings={"push": 0.1})


def test_a_comparison_is_continued_and_shown(runs: Path, ray_cluster: str) -> None:
    play_toys()
    ledger = runs / "miniature-toy-push" / "episodes.jsonl"
    *kept, last = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(kept))  # as after a kill before the last episode
    found = wam_eval("reproduce", "--quick", "--only", "toy")
    assert found.exit_code == 0, found.output
    assert "1 episodes to play" in found.stdout
    assert ledger.read_text().startswith("".join(kept)) and last != kept[-1]
    assert "cannot tell" in found.stdout and "not evidence" in found.stdout
    stored = json.loads((runs.parent / "miniatures" / "toy.json").read_text())
    assert [one["outcomes"] for one in stored["entries"]] == ["1111", "0000", ""]
    assert "Strong against weak" in (runs.parent / "miniatures" / "miniatures.md").read_text()
    assert (runs.parent / "miniatures" / "miniature_toy.png").is_file()

    again = wam_eval("reproduce", "--quick", "--only", "toy")
    assert again.exit_code == 0
    assert "0 episodes to play, about 0 minutes" in again.stdout and "cannot tell" in again.stdout


def test_runs_of_another_protocol_are_left_out(runs: Path) -> None:
    play_toys(protocol="slow")
    found = wam_eval("reproduce", "--quick", "--only", "toy")
    assert found.exit_code == 0
    assert "run miniature-toy-push was played by another protocol: delete or rename it to play toy" in found.stdout
    assert "0 episodes to play" in found.stdout and "cannot tell" not in found.stdout


def test_a_model_that_fails_is_named_and_the_others_are_shown(
    runs: Path, tmp_path: Path, ray_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = tmp_path / "own" / "reports" / "miniatures"
    cards.mkdir(parents=True)
    text = (CATALOG / "reports" / "miniatures" / "toy.yaml").read_text()
    (cards / "broken.yaml").write_text(text.replace("nothing_like_this", "unmade"))
    monkeypatch.setenv("WAM_EVAL_PATH", os.pathsep.join([str(CATALOG), str(tmp_path / "own")]))
    play_toys()
    found = wam_eval("reproduce", "--quick", "--only", "broken")
    assert found.exit_code == 1
    assert "wam-eval reproduce: miniature-toy-unmade:" in found.stderr and "no such weights" in found.stderr
    assert "cannot tell" in found.stdout, "the other models have a verdict"
    stored = json.loads((runs.parent / "miniatures" / "broken.json").read_text())
    assert stored["entries"][2]["missing"] == "its run failed: the same command continues it"


@pytest.mark.slow
def test_small_models_are_compared_from_checkpoint_to_page(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="models need PyTorch: make setup MODELS=1")
    pytest.importorskip("pyarrow", reason="data sets need pyarrow: make setup MODELS=1")
    from tests.reproduction.checkpoints import random_model

    random_model(tmp_path, "small-one")
    random_model(tmp_path, "small-joint", variant="joint")
    cards = tmp_path / "own" / "reports" / "miniatures"
    cards.mkdir(parents=True)
    (cards / "minute.yaml").write_text(CARD)
    environment = {**os.environ, "WAM_EVAL_LIBERO_ASSETS": "stand-in", "WAM_EVAL_PATH": "own", "RAY_ADDRESS": ""}
    words = [sys.executable, "-m", "wam_eval", "reproduce", "--quick", "--only", "minute"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "not trained yet: wam-eval train small-later – left out of minute (later)" in done.stdout
    stored = json.loads((tmp_path / "results" / "miniatures" / "minute.json").read_text())
    assert [len(one["outcomes"]) for one in stored["entries"]] == [1, 1, 0]
    flops = [one["cost"] and one["cost"]["flops"] for one in stored["entries"]]
    assert flops[1] > flops[0] and flops[2] is None
    page = (tmp_path / "results" / "miniatures" / "miniatures.md").read_text()
    assert "| later | not trained yet: wam-eval train small-later |" in page
    assert "Assets: stand-in." in page
