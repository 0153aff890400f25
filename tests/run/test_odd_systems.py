"""Whole runs on odd systems: homes, temporary folders and locks that do not work. All with real processes and Ray."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.systems import in_private_mounts, preloaded
from tests.test_files import NO_LOCKS
from tests.test_places import NO_PASSWORD_ENTRY

pytestmark = pytest.mark.slow

RUN = [sys.executable, "-m", "wam_eval", "run", *("--suite", "toy", "--policy", "push", "--tasks", "0")]
ONE = [*RUN, "--episodes", "1", "--run", "test"]


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a path that is short enough for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def environment(runs: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Environment variables of a run with folders of its own."""
    for name in ("RAY_ADDRESS", "WAM_EVAL_HOME", "XDG_CACHE_HOME", "RAY_TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    (short / "home").mkdir()
    return {**os.environ, "TMPDIR": str(short), "HOME": str(short / "home")}


def check(done: subprocess.CompletedProcess[str], runs: Path, short: Path) -> None:
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Saved in" in done.stdout
    assert len((runs / "test" / "episodes.jsonl").read_text().splitlines()) == 1
    left = [path.name for path in short.rglob("*") if path.name.startswith(("ray-", "simulator-"))]
    assert not left, "temporary folders end with the run"


def run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(ONE, env=environment, capture_output=True, text=True)


def test_a_home_that_can_only_be_read(environment: dict[str, str], runs: Path, short: Path) -> None:
    done = in_private_mounts(f"mount -t tmpfs -o ro tmpfs {environment['HOME']}", ONE, environment)
    check(done, runs, short)
    assert f"HOME={environment['HOME']} cannot be written (Read-only file system)" in done.stderr


def test_no_home_and_an_unknown_user(environment: dict[str, str], runs: Path, short: Path) -> None:
    for name in ("HOME", "USER", "LOGNAME"):
        environment.pop(name, None)
    check(run({**environment, **preloaded(NO_PASSWORD_ENTRY, short)}), runs, short)


def test_a_long_folder_for_temporary_files(environment: dict[str, str], runs: Path, short: Path) -> None:
    long = short / ("x" * 120)
    long.mkdir()
    check(run({**environment, "TMPDIR": str(long)}), runs, short)


def test_one_folder_for_everything(environment: dict[str, str], runs: Path, short: Path) -> None:
    own = short / "all"
    nothing = {"HOME": "/absent", "TMPDIR": "/absent", "WAM_EVAL_RUNS": ""}
    done = run({**environment, **nothing, "WAM_EVAL_HOME": str(own)})
    check(done, own / "runs", short)
    assert {path.name for path in own.iterdir()} == {"cache", "tmp", "ray", "runs"}
    assert "cannot be written" not in done.stderr


def test_a_file_system_without_locks(environment: dict[str, str], runs: Path, short: Path) -> None:
    done = run({**environment, **preloaded(NO_LOCKS, short)})
    assert done.returncode == 0 and "has no locks (Function not implemented)" in done.stderr
    assert len((runs / "test" / "episodes.jsonl").read_text().splitlines()) == 1


def test_a_working_directory_that_can_only_be_read_names_the_variable(environment: dict[str, str], short: Path) -> None:
    folder = short / "work"
    folder.mkdir()
    environment["WAM_EVAL_RUNS"] = ""
    script = f"mount -t tmpfs -o ro tmpfs {folder} && cd {folder}"
    done = in_private_mounts(script, ONE, environment)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "the folder of the run results/runs/test cannot be written: Read-only file system" in done.stderr
    assert "Set WAM_EVAL_HOME to a folder that can be written" in done.stderr
