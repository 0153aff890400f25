"""Inspection of a RoboTwin checkout without importing it: layout, version, tasks, assets.

Two layouts are supported: that of the papers (commit bf44be51) and that of the main branch since 2026. The version is
identified by the content of the code, so that the way in which it was copied does not matter. Standard library only.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wam_eval.benchmarks.robotwin.standins import read_marker

KNOWN = {
    "da1a8c9a864ac821008b41efcbead31dba7cb26a192132e2e7b9a0d7c85caaf4": "bf44be51",
    "565ac317506c44d159f646897574dbe935e34d3a64115ddb60c5953c10a28593": "cf47ab56",
}
"""Digest of the code that plays an episode, from :func:`code_digest` -> commit."""

CONFIGS = ("task_config", "env_cfg/task_config")
"""Folder of the task configurations in each layout."""

EMBODIMENT = "assets/embodiments/aloha-agilex"
REQUIRED_ASSETS = (
    f"{EMBODIMENT}/config.yml",
    "assets/objects/objaverse/list.json",
    "assets/objects/same.json",
    "assets/background_texture/unseen",
)
"""Files that the tasks, the robot and the randomization read, besides the objects."""

_NO_TASKS = ("_base_task", "_GLOBAL_CONFIGS", "__init__")
_OBJECTS = Path(__file__).with_name("official_objects.sha1")


class InvalidCheckout(ValueError):
    """The folder is not a complete checkout; the text gives the reason and the remedy."""


@dataclass(frozen=True)
class Checkout:
    """A RoboTwin checkout.

    Attributes:
        root: absolute path.
        configs: folder of the task configurations, relative to the root.
        version: known commit with the same code, else ``unknown-`` and the digest of the code.
        commit: commit that git reports; empty without git.
        tasks: names of the tasks, sorted.
        standins: version of its assets if they are stand-ins (:mod:`wam_eval.benchmarks.robotwin.standins`), else
            empty.
    """

    root: Path
    configs: str
    version: str
    commit: str
    tasks: tuple[str, ...]
    standins: str

    @property
    def known(self) -> bool:
        """True if the code is that of a known commit."""
        return not self.version.startswith("unknown-")


def open_checkout(root: Path) -> Checkout:
    """Inspect a folder.

    Raises:
        InvalidCheckout: the folder is no checkout, or assets are missing.
    """
    root = root.expanduser().resolve()
    configs = configs_folder(root)
    marker = read_marker(root)
    if marker is not None and not marker.complete:
        raise InvalidCheckout(
            f"{root}: writing its stand-in assets was interrupted; finish it with "
            f"`wam-eval setup robotwin --stand-ins {root}`"
        )
    missing = [name for name in REQUIRED_ASSETS if not (root / name).exists()]
    if missing:
        raise InvalidCheckout(
            f"{root} has no complete assets: {missing[0]} is missing. Download them there with the checkout's own "
            "_download_assets.sh (in script/, or scripts/ on main), or run `wam-eval setup robotwin`; or play with "
            f"stand-ins: `wam-eval setup robotwin --stand-ins {root}`"
        )
    names = sorted(path.stem for path in (root / "envs").glob("*.py") if path.stem not in _NO_TASKS)
    digest = code_digest(root, configs)
    return Checkout(
        root=root,
        configs=configs,
        version=KNOWN.get(digest, f"unknown-{digest[:12]}"),
        commit=_git_commit(root),
        tasks=tuple(names),
        standins=marker.version if marker is not None else "",
    )


def configs_folder(root: Path) -> str:
    """Folder of the task configurations of a checkout, relative to its root.

    Raises:
        InvalidCheckout: the folder holds no code of RoboTwin.
    """
    if not root.is_dir():
        raise InvalidCheckout(f"{root} is not a folder")
    configs = next((folder for folder in CONFIGS if (root / folder / "demo_clean.yml").is_file()), None)
    if configs is None or not (root / "envs" / "_base_task.py").is_file():
        raise InvalidCheckout(
            f"{root} is no checkout of RoboTwin 2.0: it lacks envs/_base_task.py or a task_config/demo_clean.yml. "
            "Point it at the folder that git cloned from github.com/RoboTwin-Platform/RoboTwin"
        )
    return configs


def code_digest(root: Path, configs: str) -> str:
    """SHA-256 over the files that determine an episode: environments, task configurations, instructions.

    Line ends are converted to those of Unix, since git may have changed them.
    """
    digest = hashlib.sha256()
    for path in _code_files(root, configs):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{path.relative_to(root).as_posix()} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def asset_listing(root: Path) -> Iterator[str]:
    """A line with size and path for each asset file, without the files that installation scripts write."""
    for folder in ("assets/objects", EMBODIMENT, "assets/background_texture"):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and not path.name.startswith((".", "curobo")):
                yield f"{path.stat().st_size}  {path.relative_to(root).as_posix()}"


def changed_objects(root: Path) -> list[str]:
    """Object descriptions of the official assets that are missing in this checkout or differ from them."""
    changed = []
    for line in _OBJECTS.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        path = root / "assets" / "objects" / name
        if not path.is_file() or _git_blob(path) != digest:
            changed.append(name)
    return changed


def _code_files(root: Path, configs: str) -> list[Path]:
    """Files of :func:`code_digest`, in order."""
    chosen = list((root / "envs").rglob("*.py"))
    chosen += (root / configs).glob("*.yml")
    chosen += (root / "description" / "task_instruction").glob("*.json")
    chosen += (root / "description" / "objects_description").rglob("*.json")
    chosen.append(root / "description" / "utils" / "generate_episode_instructions.py")
    return sorted(path for path in chosen if path.is_file())


def _git_blob(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _git_commit(root: Path) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--show-toplevel", "HEAD"], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    top, _, commit = done.stdout.strip().partition("\n")
    return commit if re.fullmatch(r"[0-9a-f]{40}", commit) and Path(top) == root else ""
