"""Search for LIBERO-Plus on this machine: a user's copy of its task data, and its archive of assets."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from pydantic_settings import BaseSettings, SettingsConfigDict

from wam_eval.errors import UserError
from wam_eval.hosting.upstream import UNPACKING

VARIABLE = "WAM_EVAL_LIBERO_PLUS_ROOT"
ASSETS_VARIABLE = "WAM_EVAL_LIBERO_PLUS_ASSETS"
ARCHIVE = "assets.zip"
"""Name of the archive of assets, as it is downloaded."""
ASSET_FOLDERS = ("new_objects", "scenes", "textures")
"""Folders of the archive, besides LIBERO's own assets."""
STAND_IN = "stand-in"
"""Value of the variable, and of ``assets`` in the benchmark's YAML, that asks for the embedded stand-ins."""
CLASSIFICATION = Path("benchmark/task_classification.json")
"""Upstream's list of tasks with dimension and difficulty, relative to the data folder."""

MODELS = {
    "bag_of_yeast": "bag_of_yeast/ibvtik",
    "bottle_of_alfredo_sauce": "bottle_of_alfredo_sauce/xwzqjr",
    "bottle_of_antihistamines": "bottle_of_antihistamines/agavwx",
    "bottle_of_aspirin": "bottle_of_aspirin/psvktc",
    "bottle_of_baby_oil": "bottle_of_baby_oil/xpdlrr",
    "bottle_of_barbecue_sauce__2": "bottle_of_barbecue_sauce/nkqvex",
    "box_of_shampoo__1": "box_of_shampoo/bclpiq",
    "box_of_vegetable_juice__1": "box_of_vegetable_juice/jsnnlv",
    "box_of_yogurt__1": "box_of_yogurt/jkemqc",
    "boxed_ink_cartridge__3": "boxed_ink_cartridge/oinelo",
    "can_of_sardines": "can_of_sardines/dpgmry",
    "can_of_soda__1": "can_of_soda/bfrzvk",
    "canned_food__1": "canned_food/acgdtc",
}
"""Category -> folder in ``new_objects``, for all categories that the tasks use."""

_TASK_FOLDERS = ("bddl_files", "init_files")
_PARTS = (*_TASK_FOLDERS, str(CLASSIFICATION))
_NESTED = ("", "libero", "libero/libero")
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.xz", ".tar.gz", ".tgz")
# The archive contains the folders of the machine on which it was packed, ten levels deep. The limits end a search that
# was started at the root of a disk.
_DEPTH, _MOST_FOLDERS = 13, 10_000


class LiberoPlusEnvironment(BaseSettings):
    """Environment variables of LIBERO-Plus.

    Attributes:
        root: ``WAM_EVAL_LIBERO_PLUS_ROOT``, a checkout of LIBERO-Plus or its task data, or ``stand-in``.
        assets: ``WAM_EVAL_LIBERO_PLUS_ASSETS``, the unpacked archive of assets; searched for below the data if empty.
    """

    model_config = SettingsConfigDict(env_prefix="WAM_EVAL_LIBERO_PLUS_", env_ignore_empty=True, extra="ignore")

    root: str = ""
    assets: str = ""


@dataclass(frozen=True)
class Archive:
    """The unpacked archive of assets. Upstream publishes no digest of it, so its content is not verified.

    Attributes:
        folder: folder that contains ``new_objects``, ``scenes`` and ``textures``.
        sizes: file, relative to the folder -> bytes.
    """

    folder: Path
    sizes: Mapping[str, int]

    def first_missing(self, files: Iterable[str]) -> str:
        """The first of some files that is missing or empty; an empty string if there is none."""
        return next((name for name in files if not any(self.sizes.get(path) for path in possible_paths(name))), "")

    @property
    def digest(self) -> str:
        """SHA-256 over names and sizes; reading gigabytes at every start would take too long."""
        lines = (f"{name} {size}" for name, size in sorted(self.sizes.items()))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_archive(folder: Path) -> Archive:
    """List the files of an unpacked archive."""
    sizes = {}
    for parent, _, names in os.walk(folder, followlinks=True):
        for path in (Path(parent, name) for name in names):
            if path.is_file():  # False for a broken link
                sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
    return Archive(folder, sizes)


def model_file(category: str) -> str:
    """The MJCF file of a category in the archive; the expected path if the category is not among :data:`MODELS`."""
    folder = MODELS.get(category, category)
    return f"new_objects/{folder}/usd/MJCF/{PurePosixPath(folder).name}.xml"


def possible_paths(name: str) -> tuple[str, ...]:
    """Paths at which a file may be in the archive: a scene may also be in a folder of its kind or of its room."""
    folder, _, scene = name.rpartition("/")
    if folder != "scenes":
        return (name,)
    room = scene.partition("_")[0]
    return (name, *(f"scenes/{kind}/{scene}" for kind in ("lights", f"{room}250", f"{room}xml")))


def find_data(configured: str | None) -> Path | None:
    """The data folder that the user names: it contains ``bddl_files``, ``init_files`` and ``benchmark``.

    Args:
        configured: path from the benchmark's YAML; the environment variable comes first.

    Returns:
        ``None`` if no path is given, or the word ``stand-in``.

    Raises:
        UserError: it is no copy of LIBERO-Plus, or only its assets are named; the text describes the fault.
    """
    environment = LiberoPlusEnvironment()
    given = environment.root or configured
    if given and given != STAND_IN:
        return data_in(Path(given))
    if environment.assets:
        raise UserError(
            f"{ASSETS_VARIABLE} names LIBERO-Plus's assets, but no copy of its task data is named: set {VARIABLE}, "
            f"type `wam-eval setup libero_plus`, or unset {ASSETS_VARIABLE} to play the embedded stand-ins"
        )
    return None


def data_in(root: Path) -> Path:
    """The data folder of a checkout; the root may be any folder from the checkout down to the data.

    Raises:
        UserError: it is no copy of LIBERO-Plus.
    """
    root = root.expanduser().resolve()
    if root.is_file():
        raise UserError(f"LIBERO-Plus: {root} is a file; unpack the archive and name the folder that contains `libero`")
    if not root.is_dir():
        raise UserError(f"LIBERO-Plus: {root} is not a folder")
    for folder in (root / nested for nested in _NESTED):
        if (folder / "bddl_files").is_dir() or (folder / CLASSIFICATION).is_file():
            return _complete_data(folder)
    packed = sorted(path.name for path in root.iterdir() if path.name.endswith(_ARCHIVE_SUFFIXES))
    hint = f"; unpack {packed[0]} there" if packed else ""
    raise UserError(f"{root} is not LIBERO-Plus: it contains no libero/libero/bddl_files{hint}")


def find_assets(data: Path) -> Path | None:
    """The unpacked archive of assets that the user names, else the one below the data, else ``None``.

    Raises:
        UserError: the environment variable names something else.
    """
    given = LiberoPlusEnvironment().assets
    if not given:
        return assets_in(data)
    folder = Path(given).expanduser().resolve()
    if folder.is_file():
        raise UserError(f"{ASSETS_VARIABLE} names a file: {unpack_command(folder)}, and name the folder")
    if found := assets_in(folder):
        return found
    packed = packed_in(folder)
    hint = unpack_command(packed) if packed else f"unpack {ARCHIVE} there"
    raise UserError(f"{ASSETS_VARIABLE} names {folder}, in which no folder has {', '.join(ASSET_FOLDERS)}: {hint}")


def assets_in(folder: Path) -> Path | None:
    """The nearest folder at or below a folder that contains all of :data:`ASSET_FOLDERS`."""
    below = islice(_folders_below(folder), _MOST_FOLDERS)
    return next((path for path in below if all((path / name).is_dir() for name in ASSET_FOLDERS)), None)


def packed_in(folder: Path) -> Path | None:
    """The archive of assets as it was downloaded, in a folder or in its ``assets``."""
    paths = (folder / ARCHIVE, folder / "assets" / ARCHIVE)
    return next((path for path in paths if path.is_file()), None)


def unpack_command(archive: Path) -> str:
    """Advice on unpacking; the assets are found anywhere below the data folder."""
    return f"type `python -m zipfile -e {archive} {archive.parent}`"


def _folders_below(folder: Path) -> Iterator[Path]:
    """A folder and all folders below it, the nearest first, without those of the tasks."""
    level = [folder]
    for _ in range(_DEPTH + 1):
        yield from level
        level = [child for parent in level for child in _children(parent)]


def _children(folder: Path) -> list[Path]:
    """Folders in a folder, without those of tasks and of archives that are being unpacked."""
    try:
        inside = sorted(folder.iterdir())
    except OSError:  # deleted meanwhile, or not readable
        return []
    return [path for path in inside if path.name not in _TASK_FOLDERS and path.suffix != UNPACKING and path.is_dir()]


def _complete_data(folder: Path) -> Path:
    missing = [part for part in _PARTS if not (folder / part).exists()]
    if missing == [str(CLASSIFICATION)]:
        raise UserError(f"{folder} is not LIBERO-Plus: it has no {CLASSIFICATION}; LIBERO itself has none either")
    if missing:
        raise UserError(f"{folder} is a partial copy of LIBERO-Plus: it has no {' and no '.join(missing)}")
    return folder
