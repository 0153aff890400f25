"""The end of a command by a signal: exit status 128 + number, no process left behind, within seconds."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from wam_eval import signals
from wam_eval.hosting.watcher import VARIABLE, Watcher

_REPEAT_SECONDS = 1.0
"""Time in which a further signal is a repetition of the first one: `timeout` sends its signal twice."""


def exit_status() -> int:
    """The exit status of a command that a signal has stopped."""
    return 128 + (signals.received() or signal.SIGINT)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Run a command as the only thing that this process does.

    The first signal raises ``KeyboardInterrupt``; one that follows after a second ends the process at once. A command
    that does not end in time, because it is in a long call of a library, is ended. If this process is killed, what it
    has started ends, too. Signals that were ignored at the start stay ignored (``nohup``), except Ctrl-C, which shells
    ignore for their background jobs.
    """
    handle = _handler()
    with contextlib.ExitStack() as preparation:
        preparation.enter_context(signals.blocked())
        for one in signals.STOPPING:
            if signal.getsignal(one) is not signal.SIG_IGN or one == signal.SIGINT:
                signal.signal(one, handle)
        watcher = Watcher(signals.STOPPING)
        os.environ[VARIABLE] = watcher.mark
        signal.set_wakeup_fd(watcher.socket.fileno(), warn_on_full_buffer=False)
        prepared = preparation.pop_all()
    try:
        prepared.close()  # A signal that has arrived meanwhile is handled here.
        # The thread receives the signals, too, also while the main thread blocks them.
        threading.Thread(target=_end_when_late, args=(watcher.socket,), name="stop", daemon=True).start()
        yield
    except KeyboardInterrupt:  # outside of any command, such as during imports
        pass
    finally:
        for one in signals.STOPPING:  # Python's own end may take a moment, and has nothing to keep
            if signal.getsignal(one) is handle:
                signal.signal(one, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        if signals.received():
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):  # the terminal may be closed
                    stream.flush()
            watcher.end_processes()
            os._exit(exit_status())  # threads of libraries may never end
        watcher.close()


def _handler() -> Callable[[int, FrameType | None], None]:
    """A handler for the first and for later signals."""
    first = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if not signals.received():
            first = time.monotonic()
            signals.receive(number, frame)
        elif time.monotonic() - first >= _REPEAT_SECONDS:
            _end("stopped at once")

    return handle


def _end_when_late(connection: socket.socket) -> None:
    """End this process when the watcher says that its time is over."""
    with contextlib.suppress(OSError, ValueError):  # the connection was closed, since the command has ended
        select.select([connection], [], [])
        if number := connection.recv(1):
            signals.note(number[0])
            _end("did not stop in time, and was ended")


def _end(why: str) -> None:
    """End this process without Python's own end; the watcher kills what it has started."""
    with contextlib.suppress(OSError):
        os.write(2, f"\nwam-eval: {why}\n".encode())
    os._exit(exit_status())
