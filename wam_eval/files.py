"""Files on any file system: atomic writes, flushing to disk, and locks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from wam_eval import places
from wam_eval.errors import UserError

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN)
"""Errors of ``flock`` that mean that another process holds the lock. With any other, the file system has no locks."""
_NOT_SUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOTTY)
_WAIT = 0.2  # seconds between two attempts


class FileLocked(Exception):
    """Another process holds the lock; the text, if there is one, continues a sentence that says so."""


class FileLock:
    """A lock of a file by this process, until :meth:`release` or the end of the process.

    It is a ``flock``. A file system may have none, as some network file systems; then a file beside it, which names the
    process that created it, is used instead, and a warning is printed.

    Args:
        file: the open file.
        path: its path.
        wait: True to wait for the process that holds the lock.

    Raises:
        FileLocked: another process holds it, and ``wait`` is false.
        UserError: the file beside it was left behind on another machine.
    """

    def __init__(self, file: IO[Any], path: Path, wait: bool = False) -> None:
        self._file = file
        self._beside: Path | None = None
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                raise FileLocked from None
            places.note(
                f"warning: {path}: its file system ({places.file_system(path)}) has no locks "
                f"({places.reason(error)}). Two processes must not write one run: do not start another one on it"
            )
            self._lock_beside(path.with_name(f"{path.name}.lock"), wait)

    def release(self) -> None:
        """Release the lock."""
        if self._beside is not None:
            self._beside.unlink(missing_ok=True)
            self._beside = None
            return
        with contextlib.suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _lock_beside(self, path: Path, wait: bool) -> None:
        owner = _this_process()
        while True:
            try:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                holder = _read_owner(path)
                if holder is not None and holder.get("system") == owner["system"] and not _alive(holder):
                    path.unlink(missing_ok=True)
                    continue
                if not wait:
                    raise FileLocked(_described(path, holder)) from None
                if holder is not None and holder.get("system") != owner["system"]:
                    raise UserError(f"another process holds a lock{_described(path, holder)}") from None
                time.sleep(_WAIT)
            except OSError:  # the warning has been printed
                return
            else:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(owner, file)
                self._beside = path
                return


def lock_problem(folder: Path) -> str:
    """Reason why files in a folder cannot be locked; empty if they can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return places.reason(error)
    return ""


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that it is complete or absent, with its folder; it is on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            flush_to_disk(file)
        temporary.replace(path)
    except BaseException:  # a full disk, or Ctrl-C
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def flush_to_disk(file: IO[Any]) -> None:
    """Flush a file to disk, if its file system can do that.

    Raises:
        OSError: the disk is full or gone.
    """
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise


def _this_process() -> dict[str, Any]:
    """This process, for other processes: its number, when it was started, its host, and the system that numbers it."""
    pid = os.getpid()
    return {"pid": pid, "started": _start_time(pid), "host": socket.gethostname(), "system": _system()}


def _system() -> str:
    """Identity of the running system, and of the name space of its process numbers; containers have their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _start_time(pid: int) -> str:
    """Start time of a process in ticks since the start of the system; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _read_owner(path: Path) -> dict[str, Any] | None:
    """The process that created a lock's file; ``None`` if the file is incomplete or gone."""
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return owner if isinstance(owner, dict) else None


def _alive(owner: dict[str, Any]) -> bool:
    """True if a process of this system still runs."""
    return _start_time(int(owner.get("pid", 0))) == owner.get("started") != ""


def _described(path: Path, owner: dict[str, Any] | None) -> str:
    who = f": process {owner.get('pid')} on {owner.get('host')}" if owner else ""
    return f"{who} (if it has ended, remove {path})"
