"""A process that watches another one: if that is killed, it ends everything that was started for it.

It is started as a script, so it needs the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

VARIABLE = "WAM_EVAL_WATCHER"
"""Environment variable that marks the processes of a watcher, those that they start included."""

STOP_SECONDS = 9.0
"""Time in which a process has to end after a signal, if its signals are reported to the watcher."""

_LAST_SECONDS = 2.0  # from the reminder to SIGKILL
_POLL_SECONDS = 0.5


class Watcher:
    """The watcher of this process.

    Args:
        signals: numbers that begin the time limit; others that arrive at the socket are ignored.

    Attributes:
        mark: value of :data:`VARIABLE` in the environment of the processes that end with this one.
        socket: non-blocking; a number of a signal sent here begins the time limit :data:`STOP_SECONDS`, after which it
            is sent back. If this process then still does not end, it is killed.
    """

    def __init__(self, signals: Iterable[int] = ()) -> None:
        self.mark = f"{os.getpid()}-{secrets.token_hex(8)}"
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        from wam_eval.signals import blocked  # not importable in the script

        with theirs, blocked():
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(theirs.fileno()), str(os.getpid()), self.mark]
                + [str(int(number)) for number in signals],
                env={name: value for name, value in os.environ.items() if name != VARIABLE},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    @contextlib.contextmanager
    def marking(self) -> Iterator[None]:
        """Mark the processes that are started meanwhile."""
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = self.mark
        try:
            yield
        finally:
            del os.environ[VARIABLE]
            if before is not None:
                os.environ[VARIABLE] = before

    def end_processes(self) -> None:
        """Kill the marked processes, and wait until they are gone."""
        end_processes(self.mark)

    def close(self) -> None:
        """End the watcher. Marked processes stay as they are."""
        self._process.kill()
        self._process.wait()
        self.socket.close()


def end_processes(mark: str, seconds: float = 10.0) -> None:
    """Kill all processes with a mark, and those that they start meanwhile."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and (pids := _marked(mark)):
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _marked(mark: str) -> list[int]:
    """Processes with a mark in their environment; none on systems that do not show it in ``/proc``."""
    entry = f"{VARIABLE}={mark}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # another user's, or it has ended
            continue
        if entry in environment and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def _watch(connection: socket.socket, parent: int, signals: Iterable[int]) -> None:
    """Wait until the parent has ended."""
    stopping = {bytes([number]) for number in signals}
    deadline, number = float("inf"), b""
    while os.getppid() == parent:
        if select.select([connection], [], [], _POLL_SECONDS)[0]:
            received = _receive(connection)
            if not received:
                return
            if received in stopping and not number:
                number, deadline = received, time.monotonic() + STOP_SECONDS
        if time.monotonic() >= deadline:
            with contextlib.suppress(OSError):
                connection.send(number)
            if not _receive_end(connection):
                os.kill(parent, signal.SIGKILL)
            return


def _receive_end(connection: socket.socket) -> bool:
    """Wait for the end of the parent. Returns False if it does not come."""
    deadline = time.monotonic() + _LAST_SECONDS
    while select.select([connection], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if not _receive(connection):
            return True
    return False


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1)
    except OSError:  # the parent was killed and left something unread
        return b""


def main() -> None:
    """Entry point; arguments are written by :class:`Watcher`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    descriptor, parent, mark, *signals = sys.argv[1:]
    _watch(socket.socket(fileno=int(descriptor)), int(parent), map(int, signals))
    end_processes(mark)


if __name__ == "__main__":
    main()
