"""Places of files: the cache, temporary files, Ray's session, and caches of other libraries.

``WAM_EVAL_HOME`` puts all of them, and the runs, below one folder. Without it, each place has a list of candidates,
such as ``~/.cache`` and then the temporary files. The first one that can be written is used. If it is not the wanted
one, a note on standard error says so and names the variable.

Runs in a benchmark's own interpreter: Python 3.10, standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import site
import socket
import sys
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from wam_eval.errors import UserError

VARIABLE = "WAM_EVAL_HOME"
"""Environment variable with the folder of all places."""
PORTABLE = "WAM_EVAL_CACHE"
"""Environment variable with the folder of cached files that are worth copying to another machine."""
REMEDY = f"Set {VARIABLE} to a folder that can be written"

SESSION_BYTES = 104 - 1 - 66 if sys.platform == "darwin" else 108 - 1 - 66
"""Longest path of Ray's folder: the path of a socket is limited, and Ray's own part of it takes up to 66 bytes."""
_ABANDONED = 60.0  # seconds after which an unlocked temporary folder is removed
_OWNER = ".owner"
_INHERITED = "_WAM_EVAL_CACHE"  # cache of the process that started this one


@dataclass(frozen=True)
class Place:
    """A place for files.

    Attributes:
        name: name of the place, for people.
        path: folder; it exists and can be written.
        source: environment variable or default that names it.
        faults: better candidates, each with the reason why it cannot be written.
        too_long: better candidates whose path is too long.
    """

    name: str
    path: Path
    source: str
    faults: tuple[str, ...] = ()
    too_long: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    """A folder that may become a place.

    Attributes:
        source: environment variable or default that names it.
        named: folder that the user or the system names; it is created only if ``creates``.
        inner: folder of this package below it.
        creates: True to create ``named``.
        shared: True if other users may write there, so that the folder below it is this user's own.
        problem: reason why it cannot be used, if that is known already.
    """

    source: str
    named: str
    inner: str = ""
    creates: bool = False
    shared: bool = False
    problem: str = ""


def cache_place() -> Place:
    """The cache: ``WAM_EVAL_HOME/cache``, else ``XDG_CACHE_HOME/wam-eval``, else ``~/.cache/wam-eval``.

    If none can be written, a folder among the temporary files.

    Raises:
        UserError: no place can be written, or ``WAM_EVAL_HOME`` cannot.
    """
    if inherited := os.environ.get(_INHERITED):
        return Place("cache", Path(inherited), _INHERITED)
    return _choose("cache", _environment())


def temporary_place() -> Place:
    """Temporary files: ``WAM_EVAL_HOME/tmp``, else this user's folder in ``TMPDIR``, ``/tmp`` or ``/var/tmp``.

    Raises:
        UserError: no place can be written, or ``WAM_EVAL_HOME`` cannot.
    """
    return _choose("temporary files", _environment())


def session_place() -> Place:
    """Ray's sessions: the first place among the temporary files whose path is short enough for sockets.

    Raises:
        UserError: no place can be written and is short enough.
    """
    return _choose("Ray's session", _environment())


def cache_folder(name: str) -> Path:
    """A folder of the cache by name; it need not exist."""
    return cache_place().path / name


def portable_folder(name: str) -> Path:
    """A folder for cached files that are worth copying to another machine, such as ``prompts``.

    It is in ``WAM_EVAL_CACHE``, which may be a folder that can only be read, else in the cache.
    """
    given = os.environ.get(PORTABLE)
    return Path(given) / name if given else cache_folder(name)


def cached(name: str) -> Path:
    """A folder of the cache, or the one of the same name in a cache that can only be read."""
    folder = cache_folder(name)
    if folder.exists() or os.environ.get(VARIABLE):
        return folder
    wanted = (Path(one.named, one.inner, name) for one in _user_caches() if not one.problem)
    return next((path for path in wanted if path.exists()), folder)


def temporary_file(name: str) -> Path:
    """Path of a new temporary file with an ending such as ``doctor.log``; the caller removes it."""
    handle, path = tempfile.mkstemp(prefix="", suffix=f"-{name}", dir=temporary_place().path)
    os.close(handle)
    return Path(path)


@contextlib.contextmanager
def temporary_log(name: str) -> Iterator[Path]:
    """Path of a new temporary log. It is removed at the end of the block, but kept after an error, which names it."""
    path = temporary_file(name)
    yield path
    path.unlink(missing_ok=True)


def user_home() -> Path | None:
    """The user's home; ``None`` if it is unknown or does not exist."""
    home = os.environ.get("HOME") or _registered_home()
    return Path(home) if os.path.isabs(home) and os.path.isdir(home) else None  # noqa: PTH112, PTH117


class TemporaryFolder:
    """A temporary folder of this process.

    It is removed by :meth:`close`, and at the end of the process. If the process is killed, a later process of the same
    user on this machine removes it: the folder is locked while it is in use, and a lock ends with its process.

    Args:
        kind: beginning of its name.
        parent: folder that contains it; that of the temporary files by default.
    """

    def __init__(self, kind: str, parent: Path | None = None) -> None:
        parent = parent or temporary_place().path
        _remove_abandoned(parent)
        self.path = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=parent))
        (self.path / _OWNER).write_text(socket.gethostname(), encoding="utf-8")
        handle = os.open(self.path, os.O_RDONLY)
        with contextlib.suppress(OSError):  # without locks, the folder is not removed by others
            fcntl.flock(handle, fcntl.LOCK_SH)
        self._remove = weakref.finalize(self, _remove_own, self.path, handle, os.getpid())

    def close(self) -> None:
        """Remove the folder and everything in it; may be called again."""
        self._remove()


def simulator_variables(temporary: Path) -> dict[str, str]:
    """Environment variables by which the libraries of a simulator write to the cache and to its temporary folder only.

    Args:
        temporary: temporary folder of the process.
    """
    libraries = cache_folder("libraries")
    variables = {
        **_library_variables(libraries),
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)),
        "XDG_CACHE_HOME": str(libraries),  # Mesa, fontconfig, Warp and many others
        # A character that the terminal's encoding lacks must not end a simulator, whose output goes into a file.
        "PYTHONIOENCODING": "utf-8:backslashreplace",
        _INHERITED: str(cache_place().path),
    }
    if not os.environ.get("HF_HOME"):  # its default follows the variable above
        variables.setdefault("HF_HOME", str(_user_cache() / "huggingface"))
    if home_problem():
        variables["HOME"] = str(_created(libraries / "home"))
        if site.ENABLE_USER_SITE and user_home() and not os.environ.get("PYTHONUSERBASE"):
            variables["PYTHONUSERBASE"] = site.getuserbase()
    return variables


def redirect_libraries() -> None:
    """Direct the caches of libraries in this process, and in those that it starts, to the cache.

    Nothing is done if ``WAM_EVAL_HOME`` is not set and the user's home can be written.
    """
    if not (os.environ.get(VARIABLE) or home_problem()):
        return
    libraries = cache_folder("libraries")
    variables = {**_library_variables(libraries), _INHERITED: str(cache_place().path)}
    if user_home() is None:  # libraries that ask for it would raise an error
        variables["HOME"] = str(_created(libraries / "home"))
    os.environ.update(variables)


def file_system(path: Path) -> str:
    """Type and mount point of a path's file system, such as ``nfs4 at /home``; ``unknown`` if no list names it."""
    kind, mount = _mount(path)
    return f"{kind} at {mount}" if kind else "unknown"


def problem(folder: Path) -> str:
    """Reason why files cannot be written to a folder, which is created if necessary; empty if they can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(prefix=".", suffix=".try", dir=folder)
        try:
            os.write(handle, b"wam-eval")
        finally:
            os.close(handle)
            Path(path).unlink(missing_ok=True)
    except FileExistsError:
        return "it is not a folder"
    except (OSError, ValueError) as error:
        return reason(error)
    return ""


def reason(error: Exception) -> str:
    """The text of an error of the operating system, without its number and path."""
    return (getattr(error, "strerror", None) or str(error)).rstrip(".")


def unwritable(what: str, folder: Path, error: OSError) -> UserError:
    """An error for a folder that cannot be written.

    Args:
        what: name of the folder for people.
        folder: the folder.
        error: the operating system's error.
    """
    if error.errno == errno.ENAMETOOLONG:
        return UserError(
            f"{what}, {_short(folder)}: the name is longer than its file system allows: choose a shorter one"
        )
    return UserError(
        f"{what} {folder} cannot be written: {reason(error)} ({file_system(folder)}). {REMEDY}; `wam-eval doctor` "
        "shows all places"
    )


@cache
def note(text: str) -> None:
    """Print a note on standard error, once in a process."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)


def _environment() -> tuple[tuple[str, str], ...]:
    """The variables that decide about places: choices are remembered as long as they do not change."""
    names = (VARIABLE, "XDG_CACHE_HOME", "HOME", "TMPDIR", "TEMP", "TMP", "RAY_TMPDIR", "XDG_RUNTIME_DIR")
    return tuple((name, os.environ.get(name, "")) for name in names)


@cache
def _choose(name: str, environment: tuple[tuple[str, str], ...]) -> Place:
    """The first candidate of a place that can be written."""
    del environment
    too_long: list[str] = []
    faults: list[str] = []
    seen: set[str] = set()
    for candidate in _candidates(name):
        if candidate.named in seen:
            continue
        seen.add(candidate.named)
        label = candidate.source if candidate.source.startswith("/") else f"{candidate.source}={candidate.named}"
        folder, fault = _open(candidate)
        if not fault and name == "Ray's session" and len(os.fsencode(folder)) > SESSION_BYTES - len("/ray-12345678"):
            too_long.append(f"{label} is too long for Ray's sockets")
            continue
        if not fault:
            if faults:
                note(f"{name}: {'; '.join(faults)}: using {folder} instead. {REMEDY}")
            return Place(name, folder, candidate.source, tuple(faults), tuple(too_long))
        text = f"{label} cannot be written ({fault})"
        if candidate.source == VARIABLE:
            raise UserError(f"{text}. Set {VARIABLE} to a folder that can be written, or unset it")
        faults.append(text)
    listed = "".join(f"\n  {text}" for text in (*too_long, *faults))
    short = f" with a path of at most {SESSION_BYTES - len('/ray/ray-12345678')} bytes" if too_long else ""
    raise UserError(f"there is no place for {name}:{listed}\n{REMEDY}{short}")


def _candidates(name: str) -> Iterator[_Candidate]:
    """Candidates of a place, the best one first."""
    home = os.environ.get(VARIABLE)
    inner = {"cache": "cache", "temporary files": "tmp", "Ray's session": "ray"}[name]
    if home:
        path = os.path.expanduser(home)  # noqa: PTH111 - without a home, this leaves the path as it is
        fault = "there is no home for the ~" if path.startswith("~") else ""
        yield _Candidate(VARIABLE, path if fault else os.path.abspath(path), inner, creates=True, problem=fault)  # noqa: PTH100
        if name != "Ray's session":
            return
    if name == "cache":
        yield from _user_caches()
    if name == "Ray's session" and os.environ.get("RAY_TMPDIR"):
        yield _Candidate("RAY_TMPDIR", os.environ["RAY_TMPDIR"], shared=True)
    inner = "cache" if name == "cache" else ""
    for variable in ("TMPDIR", "TEMP", "TMP"):
        if given := os.environ.get(variable):
            yield _Candidate(variable, given, inner, shared=True)
    for folder in ("/tmp", "/var/tmp", "/dev/shm", os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"):
        yield _Candidate(folder, folder, inner, shared=True)
    if name == "temporary files":
        for one in _user_caches():
            yield _Candidate(one.source, one.named, "wam-eval/tmp", one.creates, problem=one.problem)


def _user_caches() -> Iterator[_Candidate]:
    """Caches of the user; those that are named by a variable, or by default."""
    given = os.environ.get("XDG_CACHE_HOME")
    if given:
        # A relative path is invalid by the XDG specification.
        fault = "" if os.path.isabs(given) else "it is not an absolute path"  # noqa: PTH117
        yield _Candidate("XDG_CACHE_HOME", given, "wam-eval", creates=True, problem=fault)
        if not fault:
            return
    home = os.environ.get("HOME") or _registered_home()
    fault = "" if user_home() else "there is no such folder"
    if not home:
        fault = "it is not set, and the system knows no home for this user"
    inner = "Library/Caches/wam-eval" if sys.platform == "darwin" else ".cache/wam-eval"
    yield _Candidate("HOME", home, inner, problem=fault)


def _open(candidate: _Candidate) -> tuple[Path, str]:
    """The folder of a candidate, and the reason why it cannot be used."""
    named = Path(candidate.named)
    if candidate.problem:
        return named, candidate.problem
    if not named.is_absolute():
        return named, "it is not an absolute path"
    try:
        if not candidate.creates and not named.is_dir():
            return named, "it is not a folder" if named.exists() else "there is no such folder"
        folder = _own_folder(named) if candidate.shared else named
    except (OSError, ValueError) as error:
        return named, reason(error)
    folder /= candidate.inner
    return folder, problem(folder)


def _own_folder(parent: Path) -> Path:
    """This user's folder among those of all users, which no other user can read or replace.

    Raises:
        OSError: there is none, and none can be created.
    """
    name = f"wam-eval-{os.geteuid()}"
    for path in (parent / name, *(parent / f"{name}.{number}" for number in range(1, 10))):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        status = path.lstat()
        if path.is_dir() and not path.is_symlink() and status.st_uid == os.geteuid():
            return path
    raise OSError(errno.EEXIST, f"{parent / name} belongs to another user")


def _registered_home() -> str:
    """The home that the system has registered for this user; empty if it knows none."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except (KeyError, OSError):
        return ""


def home_problem() -> str:
    """Reason why files cannot be written to the user's home; empty if they can."""
    home = user_home()
    if home is None:
        return "there is none"
    return "" if os.access(home, os.W_OK | os.X_OK) else "it cannot be written"


def _user_cache() -> Path:
    """The user's cache as the libraries find it, whether or not it can be written."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return Path(given) if os.path.isabs(given) else (user_home() or Path("/")) / ".cache"  # noqa: PTH117


def _library_variables(folder: Path) -> dict[str, str]:
    """Environment variables by which libraries keep their caches in a folder, or where the user wants them."""
    folders = {
        "MPLCONFIGDIR": "matplotlib",
        "NUMBA_CACHE_DIR": "numba",
        "TRITON_CACHE_DIR": "triton",
        "TORCHINDUCTOR_CACHE_DIR": "inductor",
        "CUDA_CACHE_PATH": "cuda",
        "__GL_SHADER_DISK_CACHE_PATH": "nvidia",
        "OPTIX_CACHE_PATH": "optix",
    }
    found = {name: str(_created(folder / kind)) for name, kind in folders.items() if not _is_usable(name)}
    hub = _user_cache() / "huggingface"
    if home_problem() and not os.environ.get("HF_HOME") and not hub.is_dir():
        found["HF_HOME"] = str(_created(folder / "huggingface"))
    if not _registered_home():  # the system does not know the user, whose name libraries ask for
        found |= {name: f"uid{os.getuid()}" for name in ("USER", "LOGNAME") if not os.environ.get(name)}
    return found


def _is_usable(variable: str) -> bool:
    """True if a variable names an existing folder that can be written; it is the user's own choice then."""
    given = Path(os.environ.get(variable) or "/dev/null")
    return given.is_dir() and os.access(given, os.W_OK | os.X_OK)


def _created(folder: Path) -> Path:
    with contextlib.suppress(OSError):  # a library without a cache still works
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _mount(path: Path) -> tuple[str, str]:
    """Type and mount point of the file system of a path."""
    try:
        path = Path(os.path.realpath(path))
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return "", ""
    best = ("", "")
    for line in lines:
        mount, kind = (re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), text) for text in line.split()[1:3])
        # A later mount hides an earlier one at the same point.
        if (path == Path(mount) or Path(mount) in path.parents) and len(mount) >= len(best[1]):
            best = (kind, mount)
    return best


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) < 80 else f"{text[:40]}…{text[-30:]}"


@cache
def _remove_abandoned(parent: Path) -> None:
    """Remove temporary folders of processes of this machine that were killed."""
    for folder in _folders_of_this_machine(parent):
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


def _folders_of_this_machine(parent: Path) -> Iterable[Path]:
    """Temporary folders that a process of this machine created some time ago."""
    with contextlib.suppress(OSError):
        for folder in list(parent.iterdir()):
            with contextlib.suppress(OSError, ValueError):
                owner = folder / _OWNER
                old = time.time() - owner.lstat().st_mtime > _ABANDONED
                if old and owner.read_text(encoding="utf-8") == socket.gethostname():
                    yield folder


def _remove_own(path: Path, handle: int, process: int) -> None:
    if os.getpid() != process:  # a fork of the process that uses it
        return
    for _ in range(5):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            break
        time.sleep(0.1)  # a process that is about to end has written another file
    with contextlib.suppress(OSError):
        os.close(handle)
