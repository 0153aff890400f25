"""Files of finished episodes that are missing: they are named, and made by the next command."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.toy.runs import outcomes, play, records
from wam_eval.hosting.process import SimulatorProcess
from wam_eval.run import worker
from wam_eval.run.folder import RunFolder
from wam_eval.run.ledger import read_ledger
from wam_eval.trajectory import trajectory_name

VIDEO = "videos/toy/00/000.mp4"
FRAMES, COMPARISON = "imagined/toy/00/000.npz", "imagined/toy/00/000.mp4"


def dying(function: Callable[..., Any], times: int) -> Callable[..., Any]:
    """A function whose simulator is killed before its first calls."""
    left = [times]

    def wrapped(*arguments: Any) -> Any:
        (simulator,) = (one for one in arguments if isinstance(one, SimulatorProcess))
        if left[0]:
            left[0] -= 1
            simulator.fingerprint()  # starts the process, if none runs
            assert simulator.pid is not None
            os.kill(simulator.pid, signal.SIGKILL)
        return function(*arguments)

    return wrapped


def incidents(folder: RunFolder) -> list[str]:
    """Descriptions of the incidents of a run."""
    return [json.loads(line)["what"] for line in (folder.path / "incidents.jsonl").read_text().splitlines()]


def test_a_simulator_that_dies_while_it_films_is_asked_again(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "record_video", dying(worker.record_video, 1))
    folder = play(video="all")
    assert (folder.path / VIDEO).is_file() and outcomes() == {"toy/00/000": "success"}
    (incident,) = incidents(folder)
    assert incident.startswith("its video is missing: SimulatorError: the simulator died in 'load'")


def test_the_same_command_makes_a_missing_video(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(worker, "record_video", dying(worker.record_video, 2))
        folder = play(video="all", episodes=2)
    assert not (folder.path / VIDEO).exists() and len(incidents(folder)) == 2
    assert "toy/00/000: its video is missing: SimulatorError" in capsys.readouterr().err
    ledger = folder.ledger.read_bytes()
    play(video="all", episodes=2)
    assert f"made again from recorded trajectories, because they are missing: {VIDEO}" in capsys.readouterr().err
    assert (folder.path / VIDEO).read_bytes()[4:8] == b"ftyp"
    assert folder.ledger.read_bytes() == ledger, "no episode is played again"
    play(video="all", episodes=2)
    assert "nothing left to play" in capsys.readouterr().err


def test_missing_videos_are_made_beside_episodes_that_are_left(runs: Path) -> None:
    """A command with --video also makes videos of episodes that were played without it."""
    folder = play(episodes=2)
    play(video="all", episodes=3, simulators=2)
    assert len(list(folder.path.glob("videos/toy/00/*.mp4"))) == 3 and len(outcomes()) == 3


def test_a_video_that_cannot_be_made_is_named_each_time(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> bytes:
        raise RuntimeError("no encoder")

    monkeypatch.setattr(worker, "record_video", broken)
    folder = play(video="all")
    play(video="all")
    assert capsys.readouterr().err.count("its video is missing: RuntimeError: no encoder") == 4
    assert outcomes(folder) == {"toy/00/000": "success"}


def test_a_comparison_of_imagined_frames_is_made_again(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its scores, which the ledger then has."""
    with monkeypatch.context() as patch:
        patch.setattr(worker, "compare", dying(worker.compare, 2))
        folder = play("dream", studies={"imagined": 1})
    assert (folder.path / FRAMES).is_file() and not (folder.path / COMPARISON).exists()
    assert "imagined_psnr" not in records()["toy/00/000"].measured and len(incidents(folder)) == 2
    play("dream", studies={"imagined": 1})
    assert (folder.path / COMPARISON).is_file()
    assert records()["toy/00/000"].measured["imagined_psnr"] > 40
    content = read_ledger(folder.ledger)
    assert len(content.records) == 1 and not content.duplicates, "a line with further measurements is no second result"


def test_files_that_only_playing_makes_are_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = play("dream", episodes=2)
    folder.trajectory_file("toy/00/001").unlink()
    folder.trajectory_file("toy/00/000").write_bytes(b"broken")
    capsys.readouterr()
    play("dream", episodes=2, studies={"imagined": 1}, video="all")
    errors = capsys.readouterr().err
    for name in (FRAMES, trajectory_name("toy/00/000"), trajectory_name("toy/00/001")):
        assert name in errors
    assert "recorded only while an episode is played" in errors and "nothing left to play" in errors


def test_a_restoration_whose_simulator_dies_keeps_the_record(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the worker's call fails each time."""
    folder = play()
    before = folder.ledger.read_bytes()

    def failing(*_: Any) -> Any:
        raise RuntimeError("lost")

    monkeypatch.setattr(worker.Worker, "restore", failing)
    play(video="all")
    assert folder.ledger.read_bytes() == before
    assert incidents(folder)[-1] == "files are still missing: RuntimeError: lost"
