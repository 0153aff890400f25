"""Where a user's copy of LIBERO-Plus is, and whether its archive of assets is there, too."""

from __future__ import annotations

import os
from pathlib import Path

from wam_eval.errors import UserError
from wam_eval.sim.libero_plus.files import CLASSIFICATION

VARIABLE = "WAM_EVAL_LIBERO_PLUS_ROOT"
ASSETS_VARIABLE = "WAM_EVAL_LIBERO_PLUS_ASSETS"
NO_ASSETS = "needs LIBERO-Plus assets"
"""Why a task is not run where the archive of assets is not."""

_PARTS = ("bddl_files", "init_files", str(CLASSIFICATION))
_NESTED = ("", "libero", "libero/libero")
_ARCHIVES = (".zip", ".tar", ".tar.xz", ".tar.gz", ".tgz")
_NEW = ("new_objects", "scenes", "textures")


def find_data(given: str | None) -> Path:
    """The folder with LIBERO-Plus's ``bddl_files``, ``init_files`` and ``benchmark``.

    Args:
        given: path from the benchmark's YAML; the variable comes before it. It may name a checkout, or any
            folder between it and the data.

    Raises:
        UserError: nothing is given, or it is no copy of LIBERO-Plus; the text says what is wrong with it.
    """
    value = os.environ.get(VARIABLE) or given
    if not value:
        raise UserError(
            f"LIBERO-Plus is not here: set {VARIABLE} to a checkout of it (or its unpacked task data), "
            "or type `wam-eval setup libero_plus`"
        )
    root = Path(value).expanduser().resolve()
    if root.is_file():
        raise UserError(f"LIBERO-Plus: {root} is a file; unpack the archive and name the folder with `libero` in it")
    if not root.is_dir():
        raise UserError(f"LIBERO-Plus: {root} is not a folder")
    for folder in (root / nested for nested in _NESTED):
        if (folder / "bddl_files").is_dir() or (folder / CLASSIFICATION).is_file():
            return _whole(folder)
    packed = sorted(path.name for path in root.iterdir() if path.name.endswith(_ARCHIVES))
    hint = f"; unpack {packed[0]} there" if packed else ""
    raise UserError(f"{root} is not LIBERO-Plus: it holds no libero/libero/bddl_files{hint}")


def find_assets(data: Path) -> Path | None:
    """The unpacked ``assets.zip`` of LIBERO-Plus, or ``None`` where there is none.

    Raises:
        UserError: the variable names a folder that is not it.
    """
    given = os.environ.get(ASSETS_VARIABLE)
    folder = Path(given).expanduser().resolve() if given else data / "assets"
    missing = [name for name in _NEW if not (folder / name).is_dir()]
    if not missing:
        return folder
    if given:
        raise UserError(f"{ASSETS_VARIABLE} names {folder}, which has no {', '.join(missing)}: unpack assets.zip there")
    return None


def _whole(folder: Path) -> Path:
    missing = [part for part in _PARTS if not (folder / part).exists()]
    if missing == [str(CLASSIFICATION)]:
        raise UserError(f"{folder} is not LIBERO-Plus: it has no {CLASSIFICATION}; LIBERO itself has none either")
    if missing:
        raise UserError(f"{folder} is a partial copy of LIBERO-Plus: it has no {' and no '.join(missing)}")
    return folder
