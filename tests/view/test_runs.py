"""Runs as the view sees them: names, progress, speed, state."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from tests.builders.runs import LIBERO_PLUS, draw_outcomes, libero_plus_record, records_of, run_record, write_run
from wam_eval.analysis.estimates import overall
from wam_eval.analysis.frame import read_run
from wam_eval.errors import UserError
from wam_eval.run.folder import RunFolder
from wam_eval.run.ledger import Ledger, Record
from wam_eval.trajectory import trajectory_name
from wam_eval.view.runs import RECENT_S, Runs, State, ViewedRun, locked_files


def write_some(name: str, written: int, planned: int = 20) -> tuple[RunFolder, list[Record]]:
    """Write a run of which some episodes ended, all of them successes."""
    record = run_record(name, {"libero_goal": 2}, planned // 2)
    records = records_of(record, np.ones(planned, bool))
    return write_run(record, records[:written]), records


def long_ago(path: Path) -> None:
    """Let a file look as if it was written an hour ago."""
    os.utime(path, (time.time() - 3600,) * 2)


def test_runs_are_listed_by_their_last_change(runs: Path) -> None:
    assert Runs().names() == []
    for age, name in enumerate(("old", "older", "new")):
        folder, _ = write_some(name, 1)
        for path in (folder.path / "run.json", folder.ledger):
            os.utime(path, (1000 * (10 - age),) * 2)
    (runs / "no run").mkdir()
    (runs / "file").touch()
    assert Runs().names() == ["old", "older", "new"]
    os.utime(RunFolder("new").ledger, (99_999,) * 2)
    assert Runs().names() == ["new", "old", "older"]


def test_a_name_is_no_path(runs: Path) -> None:
    folder, _ = write_some("mine", 1)
    (runs.parent / "secret").mkdir()
    (runs.parent / "secret" / "run.json").write_text((folder.path / "run.json").read_text())
    found = Runs()
    assert found.get("mine") is not None
    for name in ("../secret", "mine/../mine", ".", "", "/", str(folder.path), "mine\0"):
        assert found.get(name) is None


def test_a_folder_with_a_name_that_commands_refuse_is_listed_with_the_reason(runs: Path) -> None:
    folder, _ = write_some("mine", 1)
    folder.path.rename(runs / 'a <b> & "c"')
    (viewed,) = (Runs().get(name) for name in Runs().names())
    with pytest.raises(UserError, match="cannot be the name of a run"):
        viewed.progress()


def test_the_rate_of_a_finished_run_is_that_of_its_table(runs: Path) -> None:
    record = libero_plus_record("plus", {suite: range(300) for suite in LIBERO_PLUS})
    write_run(record, records_of(record, draw_outcomes(record, 0.7, 1)))
    progress = ViewedRun(RunFolder("plus")).progress(seconds=60)
    (rate,) = progress.rates
    expected = overall(read_run("plus"), "libero_plus").estimate
    assert (rate.estimate.rate, rate.estimate.low, rate.estimate.high) == (expected.rate, expected.low, expected.high)
    assert (progress.recorded, progress.planned, progress.state) == (1200, 1200, State.FINISHED)
    assert progress.successes + progress.failures == rate.estimate.n == 1200


def test_a_run_is_running_as_long_as_a_process_has_its_ledger(runs: Path) -> None:
    folder, records = write_some("mine", 5)
    viewed = ViewedRun(folder)
    long_ago(folder.ledger)
    assert viewed.progress().state is State.STOPPED
    if not locked_files() and not Path("/proc/locks").exists():
        pytest.skip("this system does not list its locks")
    with Ledger(folder.ledger) as ledger:
        long_ago(folder.ledger)
        assert viewed.progress().state is State.RUNNING
        ledger.append(*records[5:])
        assert viewed.progress().state is State.FINISHED
    folder.ledger.write_text("")
    long_ago(folder.ledger)
    assert viewed.progress().state is State.STOPPED


def test_a_ledger_without_a_lock_may_be_written_by_another_machine_for_a_while(runs: Path) -> None:
    folder, _ = write_some("mine", 5)
    viewed = ViewedRun(folder)
    assert viewed.progress().state is State.RECENT
    os.utime(folder.ledger, (time.time() - RECENT_S - 1,) * 2)
    assert viewed.progress().state is State.STOPPED
    folder.ledger.with_name("episodes.jsonl.lock").touch()
    assert viewed.progress().state is State.RUNNING


def test_speed_and_time_left_come_from_the_last_trajectories(runs: Path) -> None:
    folder, records = write_some("mine", 10)
    viewed, began = ViewedRun(folder), 1_000_000.0
    assert viewed.progress().per_hour is None
    os.utime(folder.path / "run.json", (began,) * 2)
    for place, record in enumerate(records[:10]):
        folder.write_artefacts([(trajectory_name(record.key), b"")])
        os.utime(folder.path / trajectory_name(record.key), (began + 30 * (place + 1),) * 2)
    viewed = ViewedRun(folder)
    progress = viewed.progress()
    assert progress.per_hour == pytest.approx(120)
    assert progress.left_s == pytest.approx(300)
    # Episodes before the last start of the workers, such as those before a pause, are left out.
    os.utime(folder.path / "run.json", (began + 240,) * 2)
    progress = viewed.progress()
    assert progress.per_hour == pytest.approx(2 / 60 * 3600)
    long_ago(folder.ledger)
    assert viewed.progress().left_s is None


def test_a_run_that_grows_is_planned_anew(runs: Path) -> None:
    folder, _ = write_some("mine", 20)
    viewed = ViewedRun(folder)
    assert viewed.progress().state is State.FINISHED
    folder.write(run_record("mine", {"libero_goal": 2}, 15))
    assert (viewed.progress().recorded, viewed.progress().planned) == (20, 30)


def test_a_run_that_vanishes_is_gone(runs: Path) -> None:
    folder, _ = write_some("mine", 5)
    found = Runs()
    viewed = found.get("mine")
    viewed.progress()
    folder.path.rename(runs.parent / "elsewhere")
    with pytest.raises(UserError, match="run 'mine' is gone"):
        viewed.progress()
    assert found.get("mine") is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 99}', '{"format": 2, "run": 3}', "\0"])
def test_a_broken_record_is_an_error_for_people(runs: Path, content: str) -> None:
    folder, _ = write_some("mine", 5)
    (folder.path / "run.json").write_text(content)
    with pytest.raises(UserError, match=r"run\.json"):
        ViewedRun(folder).progress()
