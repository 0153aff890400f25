"""Commands as a user types them: a mistake is one message and status 2, never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def wam_eval(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run(
        [sys.executable, "-m", "wam_eval.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200", "WAM_EVAL_LIBERO_ASSETS": "stand-in", **environment},
    )


RUN = ("run", "--suite", "toy", "--policy", "push")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("run", "--suite", "libero_objct", "--policy", "hold"),
            "unknown suite 'libero_objct': did you mean libero_object",
        ),
        (("run", "--suite", "toy", "--policy", "pus"), "unknown policy 'pus': did you mean push"),
        ((*RUN, "--protocol", "plian"), "unknown protocol 'plian': did you mean plain"),
        ((*RUN, "--tasks", "7"), "toy has tasks 0 to 2"),
        ((*RUN, "--episodes", "0"), "toy has 1 to 20"),
        ((*RUN, "--video", "some"), "unknown value of --video 'some'"),
        ((*RUN, "--ckpt", "x"), "policy 'Push' takes no checkpoint"),
        (("run", "--suite", "libero_object", "--policy", "remote"), "needs --ckpt (CKPT=…): address of the server"),
        (
            ("run", "--suite", "libero_object", "--policy", "replay", "--ckpt", "nothing"),
            "neither a run, nor a run's folder",
        ),
        (("show", "nothing"), "unknown run 'nothing'"),
        (("play", "nothing", "toy/00/000"), "unknown run 'nothing'"),
        (("list", "suits"), "unknown thing to list 'suits': did you mean suites"),
        (("list", "tasks", "--suite", "nope"), "unknown suite 'nope'"),
    ],
)
def test_a_mistake_is_one_message(runs: Path, arguments: tuple[str, ...], said: str) -> None:
    done = wam_eval(*arguments)
    assert done.returncode == 2
    assert said in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_cluster_that_is_not_there_is_told(runs: Path) -> None:
    done = wam_eval(*RUN, "--episodes", "1", RAY_ADDRESS="127.0.0.1:1")
    assert done.returncode == 2 and "cannot reach the Ray cluster at RAY_ADDRESS=127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_is_shown_listed_and_played_again(runs: Path, ray_cluster: str) -> None:
    done = wam_eval(*RUN, "--tasks", "0", "--episodes", "2", "--run", "mine", RAY_ADDRESS=ray_cluster)
    assert done.returncode == 0, done.stderr
    assert "2/2" in done.stdout and "Saved in" in done.stdout
    for name in ("run.json", "episodes.jsonl", "summary.json", "table.md", "table.csv", "actions/toy/00/001.npy"):
        assert (runs / "mine" / name).is_file(), name

    shown = json.loads(wam_eval("show", "mine", "--json").stdout)
    assert shown == json.loads((runs / "mine" / "summary.json").read_text())
    assert json.loads(wam_eval("list", "runs", "--json").stdout)[0]["episodes"] == "2/2"

    again = wam_eval("play", "mine", "toy/00/001")
    assert again.returncode == 0 and "The outcome repeats" in again.stdout
    assert (runs / "mine" / "videos/toy/00/001.mp4").is_file()
    assert "did you mean toy/00/001" in wam_eval("play", "mine", "toy/00/01").stderr


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, wam_eval, wam_eval.catalog, wam_eval.episode, wam_eval.observation, wam_eval.policies.policy\n"
        "print(sorted({'torch', 'ray', 'mujoco', 'robosuite', 'libero', 'sapien'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
