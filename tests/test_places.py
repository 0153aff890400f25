"""Places of files: choices and fallbacks, temporary folders of killed processes, caches of libraries."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.builders.systems import in_private_mounts, preloaded
from wam_eval import places
from wam_eval.errors import UserError
from wam_eval.places import TemporaryFolder

VARIABLES = (
    "WAM_EVAL_HOME",
    "WAM_EVAL_CACHE",
    "XDG_CACHE_HOME",
    "TMPDIR",
    "TEMP",
    "TMP",
    "RAY_TMPDIR",
    "_WAM_EVAL_CACHE",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a folder for temporary files of this test, and no variable that names another place."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    return folder


def own(folder: Path) -> Path:
    return folder / f"wam-eval-{os.geteuid()}"


# The cache and the temporary files


def test_the_cache_is_in_the_users_cache_and_temporary_files_are_in_a_folder_of_this_user(
    home: Path, tmp_path: Path
) -> None:
    assert places.cache_place().path == home / ".cache" / "wam-eval"
    temporary = places.temporary_place()
    assert temporary.path == own(tmp_path / "tmp") and temporary.source == "TMPDIR" and not temporary.faults
    assert temporary.path.stat().st_mode & 0o777 == 0o700


def test_one_variable_moves_all_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAM_EVAL_HOME", "short")
    monkeypatch.chdir(tmp_path)
    assert places.cache_place().path == tmp_path / "short" / "cache"
    assert places.temporary_place().path == tmp_path / "short" / "tmp"
    assert places.cached("environments") == tmp_path / "short" / "cache" / "environments"


def test_a_cache_that_is_named_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert places.cache_folder("scenes") == tmp_path / "caches" / "wam-eval" / "scenes"
    assert places.portable_folder("prompts") == tmp_path / "caches" / "wam-eval" / "prompts"
    monkeypatch.setenv("WAM_EVAL_CACHE", "/portable")
    assert places.portable_folder("prompts") == Path("/portable/prompts")


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("HOME", "/absent/home", "HOME=/absent/home cannot be written (there is no such folder)"),
        ("HOME", "relative", "HOME=relative cannot be written (there is no such folder)"),
        ("XDG_CACHE_HOME", "relative", "XDG_CACHE_HOME=relative cannot be written (it is not an absolute path)"),
        ("XDG_CACHE_HOME", "/proc/caches", "XDG_CACHE_HOME=/proc/caches cannot be written"),
        ("XDG_CACHE_HOME", "/dev/null", "XDG_CACHE_HOME=/dev/null cannot be written (Not a directory)"),
        ("XDG_CACHE_HOME", f"/tmp/{'x' * 300}", "cannot be written (File name too long)"),
    ],
)
def test_a_cache_that_cannot_be_written_is_replaced_by_a_temporary_one_with_a_note(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    why: str,
) -> None:
    if variable == "XDG_CACHE_HOME":
        home.rmdir()
    monkeypatch.setenv(variable, value)
    place = places.cache_place()
    assert place.path == own(tmp_path / "tmp") / "cache" and place.path.is_dir()
    note = capsys.readouterr().err
    assert why in note and f"using {place.path} instead. Set WAM_EVAL_HOME to a folder that can be written" in note
    places.cache_place()
    assert capsys.readouterr().err == "", "once is enough"


@pytest.mark.parametrize("value", ["/absent/tmp", "/dev/null", "relative"])
def test_a_folder_for_temporary_files_that_cannot_be_written_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    monkeypatch.setenv("TMPDIR", value)
    place = places.temporary_place()
    assert place.path.parent == Path("/tmp") and f"TMPDIR={value} cannot be written" in place.faults[0]
    assert f"TMPDIR={value}" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["/proc/home", "/dev/null"])
def test_a_wrong_folder_for_all_places_is_an_error(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WAM_EVAL_HOME", value)
    with pytest.raises(UserError, match=f"WAM_EVAL_HOME={value} cannot be written .*Set WAM_EVAL_HOME to"):
        places.cache_place()


@pytest.mark.parametrize("kind", ["file", "link", "another user's"])
def test_the_folder_of_another_user_is_not_used(tmp_path: Path, kind: str) -> None:
    taken = own(tmp_path / "tmp")
    if kind == "file":
        taken.touch()
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        taken.symlink_to(tmp_path / "elsewhere")
    else:
        if os.geteuid():
            pytest.skip("only root can give a folder to another user")
        taken.mkdir()
        os.chown(taken, 12345, 12345)
    assert places.temporary_place().path == taken.with_name(f"{taken.name}.1")


def test_what_a_read_only_cache_holds_is_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = home / ".cache" / "wam-eval" / "environments"
    kept.mkdir(parents=True)
    monkeypatch.setattr("wam_eval.places.cache_folder", lambda name: home / "other" / name)
    assert places.cached("environments") == kept
    assert places.cached("wheels") == home / "other" / "wheels"


PRINT_PLACES = "from wam_eval import places; print(places.cache_place().path, places.temporary_place().path)"


def test_a_home_that_can_only_be_read_costs_a_note(home: Path, tmp_path: Path) -> None:
    done = in_private_mounts(f"mount -t tmpfs -o ro tmpfs {home}", [sys.executable, "-c", PRINT_PLACES])
    assert done.stdout.split()[0] == str(own(tmp_path / "tmp") / "cache"), done.stderr
    assert f"HOME={home} cannot be written (Read-only file system)" in done.stderr


def test_if_nothing_can_be_written_the_error_names_the_variable(home: Path, tmp_path: Path) -> None:
    folders = ("/tmp", "/var/tmp", "/dev/shm", "/run")
    mounts = " && ".join(f"mount -t tmpfs -o ro tmpfs {folder}" for folder in folders)
    code = f"""
from wam_eval import places
from wam_eval.errors import UserError
try:
    {PRINT_PLACES}
except UserError as error:
    print(error)
"""
    done = in_private_mounts(mounts, [sys.executable, "-c", code])
    assert "there is no place for cache" in done.stdout, done.stderr
    assert "Set WAM_EVAL_HOME to a folder that can be written" in done.stdout


NO_PASSWORD_ENTRY = """
#include <pwd.h>
#include <stddef.h>
struct passwd *getpwuid(uid_t user) { return NULL; }
int getpwuid_r(uid_t user, struct passwd *entry, char *text, size_t size, struct passwd **found) {
    *found = NULL;
    return 0;
}
"""


def test_a_user_whom_the_system_does_not_know_has_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    for name in ("USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    code = f"{PRINT_PLACES}; places.redirect_libraries(); import getpass; from pathlib import Path; "
    done = subprocess.run(
        [sys.executable, "-c", code + "print(getpass.getuser(), Path.home())"],
        env={**os.environ, **preloaded(NO_PASSWORD_ENTRY, tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    cache = own(tmp_path / "tmp") / "cache"
    assert done.stdout.split()[0] == str(cache)
    assert done.stdout.split()[2:] == [f"uid{os.getuid()}", str(cache / "libraries" / "home")]
    assert "the system knows no home for this user" in done.stderr


# Ray's session


def test_a_session_that_is_too_long_for_sockets_gets_a_short_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    place = places.session_place()
    assert len(os.fsencode(place.path)) < 40 and place.path.name.startswith("wam-eval-")
    assert "is too long for Ray's sockets" in place.too_long[0] and capsys.readouterr().err == ""
    monkeypatch.setenv("WAM_EVAL_HOME", str(long))
    assert places.session_place().path == place.path and places.temporary_place().path == long / "tmp"


# Temporary folders


def test_a_temporary_folder_is_removed_with_its_content() -> None:
    folder = TemporaryFolder("test")
    (folder.path / "a" / "b").mkdir(parents=True)
    folder.close()
    assert not folder.path.exists()
    folder.close()


HOLD = """
import sys, time
from wam_eval.places import TemporaryFolder
folder = TemporaryFolder("test")
print(folder.path, flush=True)
if sys.argv[1:]:
    time.sleep(60)
"""


def test_a_temporary_folder_ends_with_its_process() -> None:
    done = subprocess.run([sys.executable, "-c", HOLD], capture_output=True, text=True, check=True)
    assert not Path(done.stdout.strip()).exists()


def test_the_temporary_folder_of_a_killed_process_is_removed_by_a_later_one() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, "wait"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        owner = path / ".owner"
        old = time.time() - 3600
        os.utime(owner, (old, old))
        subprocess.run([sys.executable, "-c", HOLD], check=True, capture_output=True)
        assert path.exists(), "it is in use"
        process.send_signal(signal.SIGKILL)
        process.wait()
        foreign = path.with_name("test-of-another-machine")
        shutil.copytree(path, foreign)
        (foreign / ".owner").write_text("another machine")
        os.utime(foreign / ".owner", (old, old))
        subprocess.run([sys.executable, "-c", HOLD], check=True, capture_output=True)
        assert not path.exists() and foreign.exists()


# Libraries


def test_a_simulators_libraries_write_to_the_cache_and_to_its_temporary_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLCONFIGDIR", "/absent/of/another/machine")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    variables = places.simulator_variables(tmp_path / "own")
    libraries = home / ".cache" / "wam-eval" / "libraries"
    assert variables["TMPDIR"] == str(tmp_path / "own") and variables["XDG_CACHE_HOME"] == str(libraries)
    assert "NUMBA_CACHE_DIR" not in variables, "the user's choice stays"
    assert variables["CUDA_CACHE_PATH"] == str(libraries / "cuda") and "HOME" not in variables
    assert variables["MPLCONFIGDIR"] == str(libraries / "matplotlib")
    assert variables["HF_HOME"] == str(home / ".cache" / "huggingface"), "where the models are"


def test_without_a_home_libraries_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/absent")
    variables = places.simulator_variables(tmp_path)
    assert Path(variables["HOME"]).is_dir() and Path(variables["HOME"]).is_relative_to(places.cache_place().path)


def test_file_systems_are_named() -> None:
    assert places.file_system(Path("/proc/self")) == "proc at /proc"
    assert " at /" in places.file_system(Path("/absent/folder"))
