"""Files: a write is complete or absent; a lock holds on file systems with and without locks."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.builders.systems import preloaded
from wam_eval import places
from wam_eval.errors import UserError
from wam_eval.files import FileLock, FileLocked, lock_problem, write_atomic


def test_a_file_is_written_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two" and list(path.parent.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


# Locks

NO_LOCKS = """
#include <errno.h>
int flock(int file, int operation) { errno = ENOSYS; return -1; }
"""

HOLD = """
import sys, time
from pathlib import Path
from wam_eval.errors import UserError
from wam_eval.run.ledger import Ledger
try:
    with Ledger(Path(sys.argv[1])):
        print("open", flush=True)
        time.sleep(float(sys.argv[2]))
except UserError as error:
    print(error, flush=True)
"""


def test_on_a_file_system_without_locks_one_process_writes_and_the_next_one_goes_on_after_its_end(
    tmp_path: Path,
) -> None:
    environment = {**os.environ, **preloaded(NO_LOCKS, tmp_path)}
    ledger = tmp_path / "run" / "episodes.jsonl"

    def start(seconds: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(ledger), str(seconds)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    with start(60) as first:
        assert first.stdout is not None and first.stderr is not None
        assert first.stdout.readline() == "open\n"
        warning = first.stderr.readline()
        assert f"{ledger}: its file system ({places.file_system(ledger)}) has no locks" in warning
        assert "Two processes must not write one run" in warning
        output, _ = start(0).communicate()
        assert "another process is writing" in output and f"process {first.pid} on " in output
        first.kill()
        first.wait()
        output, _ = start(0).communicate()
        assert output == "open\n", "the process that held the lock is gone"
    assert sorted(path.name for path in ledger.parent.iterdir()) == ["episodes.jsonl"]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL, errno.EIO])
def test_an_error_other_than_a_held_lock_is_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", fail)
    path = tmp_path / "file"
    with path.open("ab") as file:
        lock = FileLock(file, path)
        with pytest.raises(FileLocked, match="process"):
            FileLock(file, path)
        lock.release()
        FileLock(file, path).release()
    assert f"has no locks ({os.strerror(number)})" in capsys.readouterr().err
    assert lock_problem(tmp_path) == os.strerror(number)


def test_a_held_lock_is_one_at_once_or_after_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    with path.open("ab") as file, path.open("ab") as other:
        lock = FileLock(file, path)
        with pytest.raises(FileLocked):
            FileLock(other, path)
        threading.Timer(0.1, lock.release).start()
        FileLock(other, path, wait=True).release()
    assert capsys.readouterr().err == "" and lock_problem(tmp_path) == ""


def test_a_lock_that_was_left_behind_on_another_machine_names_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", fail)
    path = tmp_path / "file"
    left = tmp_path / "file.lock"
    left.write_text(json.dumps({"pid": 1, "started": "1", "host": "node7", "system": "another"}))
    with path.open("ab") as file:
        with pytest.raises(FileLocked, match=f"process 1 on node7 .if it has ended, remove {left}"):
            FileLock(file, path)
        with pytest.raises(UserError, match="another process holds a lock: process 1 on node7"):
            FileLock(file, path, wait=True)


def test_a_file_system_that_cannot_flush_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("os.fsync", fail)
    write_atomic(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
