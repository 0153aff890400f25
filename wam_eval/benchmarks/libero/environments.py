"""Virtual environments with other versions of MuJoCo than the installed one.

A protocol card names its MuJoCo version. If another one is installed beside wam-eval, the simulators run in a virtual
environment in the user's cache that contains that MuJoCo only and finds all other packages in the installation of
wam-eval. Two protocols then differ in MuJoCo alone, an environment takes 25 MB, and a machine without a package index
needs one file.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import platform
import re
import shutil
import site
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from wam_eval.config import BenchmarkConfig
from wam_eval.errors import UserError
from wam_eval.hosting.package_identity import package_versions
from wam_eval.places import REMEDY, cached

OLDEST, BROKEN_FROM = (2, 3, 7), (3, 10, 0)
"""robosuite 1.4 was measured to load and step with MuJoCo from the first version on; from the second on it fails."""
_MARKER, _LINK = "complete.json", "wam_eval_installation.pth"
_PACKAGE_INDEX_TIMEOUT = 600  # seconds


@dataclass(frozen=True)
class Environment:
    """A virtual environment with one MuJoCo version.

    Attributes:
        mujoco: the version.
        folder: folder of the environment.
    """

    mujoco: str
    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        """Folder of its own packages."""
        return self.folder / "lib" / f"python{_python_version()}" / "site-packages"

    @property
    def complete(self) -> bool:
        """True if its creation finished and its files exist; an incomplete environment is created again."""
        try:
            created = json.loads((self.folder / _MARKER).read_text())
        except (OSError, ValueError):
            return False
        return bool(created == self._content() and self.python.exists() and self._has_all_files())

    def _has_all_files(self) -> bool:
        """Compare the files of MuJoCo with the sizes in its ``RECORD``, and the link to the other packages."""
        try:
            record = (self.packages / f"mujoco-{self.mujoco}.dist-info" / "RECORD").read_text()
            for path, _, size in csv.reader(record.splitlines()):
                if size and path.startswith("mujoco/") and (self.packages / path).stat().st_size != int(size):
                    return False
            return (self.packages / _LINK).read_text() == _link_text()
        except (OSError, ValueError):
            return False

    def _content(self) -> dict[str, object]:
        return {"mujoco": self.mujoco, "python": platform.python_version(), "packages": _installed_packages()}


def environment(mujoco: str) -> Environment:
    """The environment of a version, complete or not; each installation of wam-eval has its own."""
    installation = hashlib.sha256("\n".join(_installed_packages()).encode()).hexdigest()[:8]
    name = f"mujoco-{mujoco}-python{_python_version()}-{installation}"
    return Environment(mujoco, cached(f"environments/{name}"))


def environments() -> list[Environment]:
    """All environments of this installation, complete or not, by version."""
    folders = cached("environments").glob("mujoco-*")
    found = {match[1] for folder in folders if (match := re.match(r"mujoco-([\d.]+)-", folder.name))}
    return [environment(one) for one in sorted(found, key=_numbers) if environment(one).folder.is_dir()]


def wheels_folder() -> Path:
    """Folder for wheels on machines without a package index."""
    return cached("wheels")


def find_python(config: BenchmarkConfig, versions: Mapping[str, str]) -> str:
    """The interpreter with the MuJoCo that a protocol asks for.

    Args:
        config: configuration of the benchmark; its ``python`` comes first.
        versions: package -> version that the protocol asks for.

    Raises:
        UserError: there is none; the text says what to type.
    """
    if config.python:
        return config.python  # find_packages compares the versions that are installed there
    wanted = versions.get("mujoco")
    if wanted in (None, installed_version()):
        return sys.executable
    assert wanted is not None
    found = environment(wanted)
    if found.complete:
        return str(found.python)
    raise UserError(
        f"{_protocols(config, versions)} needs MuJoCo {wanted}; {installed_version()} is installed. "
        f"Type: wam-eval setup libero --mujoco {wanted}"
    )


def find_packages(
    config: BenchmarkConfig, versions: Mapping[str, str], packages: Sequence[str]
) -> tuple[str, dict[str, str]]:
    """The interpreter for a protocol, and the versions of packages there.

    Args:
        config: configuration of the benchmark.
        versions: package -> version that the protocol asks for.
        packages: names of the packages.

    Raises:
        UserError: there is no such interpreter; a package is missing or differs from the installed distribution; or
            ``python`` of the benchmark's YAML has other versions than the protocol asks for.
    """
    python = find_python(config, versions)
    found = package_versions(packages, python)
    for name, wanted in versions.items():
        if found.get(name) != wanted:
            raise UserError(
                f"{_protocols(config, versions)} needs {name} {wanted}; {python} has {found.get(name)}. "
                "Remove `python:` from the benchmark's YAML to use the environments of `wam-eval setup libero`"
            )
    return python, found


def installed_version() -> str | None:
    """Version of the MuJoCo beside wam-eval."""
    try:
        return version("mujoco")
    except PackageNotFoundError:
        return None


def create(mujoco: str) -> Environment:
    """Create the environment of a MuJoCo version, or create it again if it is incomplete.

    Raises:
        UserError: the version cannot work or does not exist, or no package index is reachable; nothing is left behind.
    """
    check_supported(mujoco)
    made = environment(mujoco)
    if made.complete:
        return made
    try:
        _create(made)
    except OSError as error:
        path = error.filename or made.folder
        raise UserError(
            f"the environment cannot be written to the cache in {made.folder.parent}: {error.strerror or error} "
            f"({path}). {REMEDY}"
        ) from error
    return made


def _create(made: Environment) -> None:
    """Create an environment in a temporary folder, then move it to its final path."""
    made.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=made.folder.parent) as temporary:
        new = Environment(made.mujoco, Path(temporary) / "environment")
        _install(made.mujoco, new.packages)
        venv.create(new.folder, symlinks=True)
        (new.packages / _LINK).write_text(_link_text())
        _check_import(new)
        (new.folder / _MARKER).write_text(json.dumps(new._content()))
        if made.complete:  # another process created it meanwhile, and simulators may use it
            return
        shutil.rmtree(made.folder, ignore_errors=True)
        new.folder.rename(made.folder)


def check_supported(mujoco: str) -> None:
    """Refuse versions that cannot work with robosuite 1.4.

    Raises:
        UserError: names the range of versions.
    """
    if not re.fullmatch(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}", mujoco):
        raise UserError(f"{mujoco!r} is not a MuJoCo version: write it like 3.3.2")
    if _numbers(mujoco) >= BROKEN_FROM:
        raise UserError(f"robosuite 1.4 does not load with MuJoCo {mujoco}: versions from 2.3.7 to 3.9.0 work")
    if _numbers(mujoco) < OLDEST:
        raise UserError(f"MuJoCo {mujoco} was not tested with robosuite 1.4: versions from 2.3.7 to 3.9.0 work")


def _install(mujoco: str, target: Path) -> None:
    """Install MuJoCo's wheel without its dependencies, which are found in the installation of wam-eval."""
    wheels_folder().mkdir(parents=True, exist_ok=True)
    command = [*_installer(), "--no-deps", "--only-binary", ":all:", "--find-links", str(wheels_folder())]
    try:
        done = subprocess.run(
            [*command, "--target", str(target), f"mujoco=={mujoco}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PACKAGE_INDEX_TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(_unreachable(mujoco)) from error
    if done.returncode:
        raise UserError(_explain(mujoco, done.stdout))


def _installer() -> list[str]:
    """pip of this interpreter, or uv if the interpreter has none."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--retries", "2"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable]
    raise UserError(f"{sys.executable} has no pip, and there is no uv: type {sys.executable} -m ensurepip")


def _explain(mujoco: str, output: str) -> str:
    """Message for a failed installation."""
    if re.search(
        r"connection|retrying|timed? ?out|failed to fetch|error sending request|name resolution", output, re.IGNORECASE
    ):
        return _unreachable(mujoco)
    listed = re.search(r"from versions: ([^)]*)\)", output)
    others = listed[1].split(", ") if listed and listed[1] != "none" else []
    if others:
        near = [name for name in others if re.fullmatch(r"[\d.]+", name) and OLDEST <= _numbers(name) < BROKEN_FROM]
        near.sort(key=lambda name: [abs(a - b) for a, b in zip(_numbers(name), _numbers(mujoco), strict=False)])
        return (
            f"MuJoCo {mujoco} does not exist for Python {_python_version()} on this system; "
            f"the nearest versions are {', '.join(near[:4])}"
        )
    if "there is no version of" in output:
        return f"MuJoCo {mujoco} does not exist for Python {_python_version()} on this system"
    if "no matching distribution" in output.lower():
        return _unreachable(mujoco)
    return f"MuJoCo {mujoco} could not be installed:\n{output.strip()[-800:]}"


def _unreachable(mujoco: str) -> str:
    tag = "".join(platform.python_version_tuple()[:2])
    manylinux = ("manylinux2014", "manylinux_2_28") if sys.platform == "linux" else ()
    tags = "".join(f"--platform {name}_{platform.machine()} " for name in manylinux)
    return (
        f"no package index is reachable for MuJoCo {mujoco}. On a machine with network type\n"
        f"  pip download --no-deps --only-binary :all: --python-version {_python_version()} {tags}mujoco=={mujoco}\n"
        f"copy the file mujoco-{mujoco}-cp{tag}-cp{tag}-*_{platform.machine()}.whl to {wheels_folder()},\n"
        "and type this command again"
    )


def _check_import(made: Environment) -> None:
    """Refuse an environment in which MuJoCo or robosuite cannot be imported."""
    # robosuite's own macros would make it log to /tmp/robosuite.log.
    code = (
        "import sys, types; macros = sys.modules['robosuite.macros_private'] = types.ModuleType('macros_private'); "
        "macros.FILE_LOGGING_LEVEL = None; import mujoco, robosuite; print(mujoco.__version__)"
    )
    # Isolated from PYTHONPATH and the working directory, which may hold another copy.
    done = subprocess.run([made.python, "-I", "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise UserError(f"MuJoCo {made.mujoco} does not work with this installation: {last}")
    if (found := done.stdout.split()[-1]) != made.mujoco:
        raise UserError(f"the wheel of MuJoCo {made.mujoco} contains version {found}")


def _protocols(config: BenchmarkConfig, versions: Mapping[str, str]) -> str:
    """Names of the protocol cards that ask for these versions, for errors."""
    users = [name for name, card in config.protocols.items() if card.versions == dict(versions)]
    return f"protocol {', '.join(users)}" if users else "the protocol"


def _installed_packages() -> list[str]:
    """Folders in which packages are installed for this interpreter, without those of PYTHONPATH."""
    users = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [folder for folder in (*site.getsitepackages(), *users) if Path(folder).is_dir()]


def _link_text() -> str:
    """Content of the ``.pth`` file by which an environment finds all packages except MuJoCo."""
    return "\n".join(_installed_packages()) + "\n"


def _python_version() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def _numbers(mujoco: str) -> tuple[int, ...]:
    return tuple(int(part) for part in mujoco.split("."))
