"""Signals that stop this process: Ctrl-C, and those that a scheduler sends some time before it kills a job.

All of them end a run alike: ``KeyboardInterrupt`` is raised in the main thread, so that results are written.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

STOPPING = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)
"""Ctrl-C; the end of a job; a closed terminal; the three that schedulers send as a warning, if asked to."""

_BLOCKED = (*STOPPING, signal.SIGQUIT)
_SIGNAL_SECONDS = 0.3  # until all processes of a job have received a signal
_received: signal.Signals | None = None


def received() -> signal.Signals | None:
    """The signal that stops this process, or ``None``.

    Libraries sometimes swallow the exception that a signal raises; long loops check this, too.
    """
    return _received


def note(number: int) -> None:
    """Remember that a signal stops this process."""
    global _received
    _received = signal.Signals(number)


def receive(number: int, frame: FrameType | None) -> None:
    """Handler of a signal: remember it, and raise ``KeyboardInterrupt``."""
    del frame
    note(number)
    raise KeyboardInterrupt


def wait_for_signal() -> None:
    """Wait a moment for a signal, when another process has just failed.

    A scheduler signals all processes of a job in any order. If others end of it first, their failure is none.

    Raises:
        KeyboardInterrupt: the signal has arrived.
    """
    time.sleep(_SIGNAL_SECONDS)
    if _received:
        raise KeyboardInterrupt


@contextlib.contextmanager
def interrupting() -> Iterator[None]:
    """Let the signals raise ``KeyboardInterrupt`` that would end this process at once; the handlers of others stay.

    Ctrl-C does so already. Outside the main thread, where Python allows no handlers, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    changed = [one for one in STOPPING if signal.getsignal(one) is signal.SIG_DFL]
    for one in changed:
        signal.signal(one, receive)
    try:
        yield
    finally:
        for one in changed:
            if signal.getsignal(one) is receive:
                signal.signal(one, signal.SIG_DFL)
        if changed:
            _forget()


@contextlib.contextmanager
def preserved() -> Iterator[None]:
    """Set the handlers of the signals again after a library may have set its own.

    A handler of the library that raised ``SystemExit`` in the meantime is made up for: the signal is raised again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {one: signal.getsignal(one) for one in STOPPING}
    missed: signal.Signals | None = None
    try:
        yield
    except SystemExit as error:
        missed = next((one for one in STOPPING if one == error.code), None)
        raise
    finally:
        for one, handler in handlers.items():
            if handler is not None:  # None: one that was not set by Python, and cannot be set again
                signal.signal(one, handler)
        if missed is not None:
            signal.raise_signal(missed)


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Block the signals in this thread. A process that is started meanwhile never receives them.

    A scheduler signals all processes of a job. Those that this one ends by itself must not end earlier, because that
    would look like their failure.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock() -> None:
    """Receive the signals in this thread again, and in processes that it starts."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)


def _forget() -> None:
    global _received
    _received = None
