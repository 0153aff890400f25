"""A watcher ends the marked processes of a process that was killed, and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from wam_eval.hosting.watcher import VARIABLE, Watcher

PARENT = """
import os, subprocess, sys
from wam_eval.hosting.watcher import Watcher
watcher = Watcher()
with watcher.marking():
    marked = subprocess.Popen(["sh", "-c", "sleep 60 & sleep 60"], start_new_session=True)
other = subprocess.Popen(["sleep", "60"], start_new_session=True)
if pid := os.fork():  # as a data loader does: it holds the parent's end of the connection
    print(marked.pid, other.pid, pid, watcher._process.pid, flush=True)
sys.stdin.read()
"""


def runs(process: psutil.Process) -> bool:
    """True if a process is neither gone nor a zombie that the system has not removed yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGABRT, signal.SIGTERM])
def test_marked_processes_end_with_their_parent(end: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdin is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    marked, other, fork, watcher = (psutil.Process(pid) for pid in pids)
    ending = [marked, *marked.children(), watcher]
    for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        watcher.send_signal(one)
    time.sleep(0.1)
    assert all(runs(process) for process in ending)
    parent.send_signal(end)
    parent.wait()
    deadline = time.monotonic() + 5
    while (left := [process for process in ending if runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []
    assert other.is_running() and fork.is_running()
    for process in (other, fork):
        process.kill()
    parent.communicate()


def test_a_closed_watcher_leaves_processes_alone() -> None:
    watcher = Watcher()
    with watcher.marking():
        process = subprocess.Popen(["sleep", "60"])
    assert VARIABLE not in os.environ
    watcher.close()
    assert not psutil.pid_exists(watcher._process.pid)
    assert process.poll() is None
    watcher.end_processes()
    assert process.wait(5) == -signal.SIGKILL
