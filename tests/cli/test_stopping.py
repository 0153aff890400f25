"""Signals end a command with the right exit status, without a traceback, and leave no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from wam_eval.signals import STOPPING

STOPPED = {one: 128 + one for one in STOPPING}


class Command:
    """A Python program in a process of its own, with ``stoppable()`` around its body.

    Args:
        body: lines that run within ``stoppable()``; ``ready()`` lets the test go on.
        ignored: signals that are ignored from the start, as ``nohup`` does.
    """

    def __init__(self, folder: Path, body: str, ignored: tuple[signal.Signals, ...] = ()) -> None:
        self.folder = folder
        program = folder / "program.py"
        program.write_text(
            "import ctypes, subprocess, sys, time\nfrom wam_eval.cli.stopping import stoppable\n"
            "def ready():\n    print('ready', flush=True)\n"
            "with stoppable():\n" + "".join(f"    {line}\n" for line in body.splitlines())
        )
        self.process = subprocess.Popen(
            [sys.executable, program],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "STARTED_BY_TEST": str(folder)},
            preexec_fn=lambda: [signal.signal(one, signal.SIG_IGN) for one in ignored],
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def send(self, one: signal.Signals) -> None:
        """Send it a signal, a moment after ``ready()``."""
        time.sleep(0.1)
        self.process.send_signal(one)

    def end(self, seconds: float = 5.0) -> tuple[int, str]:
        """Wait for its exit status and its further output. It has to end in time, and to leave no process."""
        status = self.process.wait(seconds)
        left = wait_until_gone(self.folder, 3.0)
        assert not left, left
        assert self.process.stdout is not None
        return status, self.process.stdout.read()


def started_by(folder: Path) -> list[str]:
    """Command lines of the living processes that were started in a test's environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("STARTED_BY_TEST") == str(folder):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def wait_until_gone(folder: Path, seconds: float) -> list[str]:
    """Wait for the end of a test's processes. Returns those that are left."""
    deadline = time.monotonic() + seconds
    while (left := started_by(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for a program, whose processes are killed after the test."""
    yield tmp_path
    for process in psutil.process_iter():
        try:
            if process.environ().get("STARTED_BY_TEST") == str(tmp_path):
                process.kill()
        except psutil.Error:
            continue


@pytest.mark.parametrize("one", STOPPING, ids=[one.name for one in STOPPING])
def test_a_signal_interrupts_and_sets_the_exit_status(folder: Path, one: signal.Signals) -> None:
    command = Command(folder, "try:\n    ready()\n    time.sleep(60)\nfinally:\n    print('results written')")
    command.send(one)
    assert command.end() == (STOPPED[one], "results written\n")


def test_a_command_that_ends_by_itself_keeps_its_exit_status(folder: Path) -> None:
    assert Command(folder, "ready()\nsys.exit(3)").end() == (3, "")
    assert Command(folder, "ready()").end() == (0, "")


def test_a_hangup_that_was_ignored_at_the_start_stays_ignored(folder: Path) -> None:
    """As under ``nohup``. Ctrl-C, which shells ignore for background jobs, does end the command."""
    command = Command(folder, "ready()\ntime.sleep(60)", ignored=(signal.SIGHUP, signal.SIGINT))
    command.send(signal.SIGHUP)
    time.sleep(0.2)
    assert command.process.poll() is None
    command.send(signal.SIGINT)
    assert command.end() == (130, "")


SLOW_END = "try:\n    ready()\n    time.sleep(60)\nfinally:\n    time.sleep(SECONDS)\n    print('results written')"


def test_a_signal_that_is_sent_twice_counts_once(folder: Path) -> None:
    """``timeout`` sends it to its child and to the group of its child."""
    command = Command(folder, SLOW_END.replace("SECONDS", "0.6"))
    for _ in range(3):
        command.send(signal.SIGTERM)
        time.sleep(0.1)
    assert command.end() == (143, "results written\n")


def test_a_second_signal_ends_at_once(folder: Path) -> None:
    """Processes that the command has started end, too."""
    command = Command(folder, "subprocess.Popen(['sleep', '60'])\n" + SLOW_END.replace("SECONDS", "60"))
    command.send(signal.SIGTERM)
    time.sleep(1.2)
    command.send(signal.SIGINT)
    assert command.end() == (143, "\nwam-eval: stopped at once\n")


def test_processes_end_with_a_command_that_is_stopped_or_killed(folder: Path) -> None:
    """Also those that have left its process group, and ignore SIGTERM."""
    daemon = "subprocess.Popen(['sh', '-c', 'trap : TERM; sleep 60 & wait; wait'], start_new_session=True)\n"
    command = Command(folder, daemon + "ready()\ntime.sleep(60)")
    command.send(signal.SIGTERM)
    assert command.end()[0] == 143
    command = Command(folder, daemon + "ready()\ntime.sleep(60)")
    command.send(signal.SIGKILL)
    assert command.end()[0] == -signal.SIGKILL


def test_a_signal_that_a_library_swallows_is_remembered(folder: Path) -> None:
    body = "from wam_eval.signals import received\nwhile not received():\n    try:\n        ready()\n"
    body += "        time.sleep(60)\n    except KeyboardInterrupt:\n        pass\nprint(received().name)"
    command = Command(folder, body)
    command.send(signal.SIGTERM)
    assert command.end() == (143, "SIGTERM\n")


def test_a_closed_terminal_changes_nothing(folder: Path) -> None:
    command = Command(folder, "try:\n    ready()\n    time.sleep(60)\nfinally:\n    print('results')")
    assert command.process.stdout is not None
    command.process.stdout.close()
    command.send(signal.SIGHUP)
    assert command.process.wait(5.0) == 129


@pytest.mark.slow
def test_a_command_that_does_not_end_in_time_is_ended(folder: Path) -> None:
    """Within ten seconds, whatever it does with the exception."""
    command = Command(
        folder, "ready()\nwhile True:\n    try:\n        time.sleep(1)\n    except KeyboardInterrupt:\n        pass"
    )
    begin = time.monotonic()
    command.send(signal.SIGTERM)
    assert command.end(12) == (143, "\nwam-eval: did not stop in time, and was ended\n")
    assert time.monotonic() - begin < 10


@pytest.mark.slow
@pytest.mark.parametrize(("library", "status"), [("CDLL", 143), ("PyDLL", -signal.SIGKILL)])
def test_a_command_that_hangs_in_a_library_is_ended(folder: Path, library: str, status: int) -> None:
    """A mutex that is locked twice waits forever, also after a signal. ``PyDLL`` keeps Python's lock meanwhile."""
    lock = f"ctypes.{library}(None).pthread_mutex_lock(mutex)\n"
    command = Command(folder, "mutex = ctypes.create_string_buffer(64)\n" + lock + "ready()\n" + lock)
    command.send(signal.SIGTERM)
    assert command.end(14)[0] == status
