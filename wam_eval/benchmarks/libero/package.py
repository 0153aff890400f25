"""The installed package hf-libero: its folders, BDDL files and initial states, and its import.

hf-libero asks on the terminal for the folder of its data sets if it finds no configuration, and searches for assets in
folders of its own. Both are configured here before its first import. Initial states are read without torch: a
``.pruned_init`` file is a torch archive (a zip file that contains a pickle) of one NumPy array.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import os
import pickle
import zipfile
from functools import cache
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wam_eval.hosting.package_identity import source_folder
from wam_eval.places import cache_folder

# Functions and types that a pickled NumPy array refers to, under the module names of NumPy 1 and 2.
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("_codecs", "encode"),
}


class LiberoMissing(Exception):
    """hf-libero is not installed."""


def package_folder() -> Path:
    """Folder of the installed ``libero.libero`` package, found by hf-libero's metadata without importing it.

    Raises:
        LiberoMissing: hf-libero is not installed.
    """
    with contextlib.suppress(PackageNotFoundError):
        folder = source_folder("hf-libero") / "libero" / "libero"
        if (folder / "bddl_files").is_dir():
            return folder
    raise LiberoMissing("LIBERO is not installed in this interpreter: type `make setup`, or pip install hf-libero")


def bddl_file(suite: str, task_name: str) -> Path:
    """Path of a task's BDDL file."""
    return package_folder() / "bddl_files" / suite / f"{task_name}.bddl"


def init_states_file(suite: str, task_name: str) -> Path:
    """Path of a task's initial states."""
    return package_folder() / "init_files" / suite / f"{task_name}.pruned_init"


@cache
def task_map() -> dict[str, list[str]]:
    """Suite name -> task names in official order, read from the package's own list without importing torch."""
    path = package_folder() / "benchmark" / "libero_suite_task_map.py"
    spec = importlib.util.spec_from_file_location("libero_suite_task_map", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tasks: dict[str, list[str]] = module.libero_task_map
    return tasks


def read_init_states(path: Path) -> NDArray[np.float64]:
    """Read a task's initial states. Only NumPy arrays are unpickled.

    Returns:
        float64 (50, d): flattened simulator states, each the time, positions, velocities.

    Raises:
        ValueError: the file is not such an archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (member,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
            states = _ArrayUnpickler(io.BytesIO(archive.read(member))).load()
    except (OSError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError, EOFError) as error:
        raise ValueError(f"{path} is not a file of LIBERO initial states: {error}") from error
    return np.asarray(states, dtype=np.float64)


def import_envs(assets: Path) -> Any:
    """Import ``libero.libero.envs`` with an asset tree.

    The first call in a process determines the tree, since LIBERO's classes store paths into it.

    Args:
        assets: LIBERO asset tree.

    Returns:
        LIBERO's table of problem name -> environment class.
    """
    folder = package_folder()
    os.environ["LIBERO_CONFIG_PATH"] = _write_config(folder, assets)
    import libero.libero

    libero.libero._assets_path_cache = str(assets)
    import libero.libero.envs
    from libero.libero.envs.bddl_base_domain import TASK_MAPPING

    return TASK_MAPPING


def config_text(folder: Path, assets: Path) -> str:
    """Content of LIBERO's ``config.yaml``; without this file LIBERO asks on the terminal.

    Args:
        folder: folder of the package's own files.
        assets: LIBERO asset tree.
    """
    paths = {
        "benchmark_root": folder,
        "bddl_files": folder / "bddl_files",
        "init_states": folder / "init_files",
        "datasets": folder.parent / "datasets",
        "assets": assets,
    }
    return "".join(f"{name}: {str(path)!r}\n" for name, path in paths.items())


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of a numpy array")
        return super().find_class(module, name)


def _write_config(folder: Path, assets: Path) -> str:
    """Write the configuration that LIBERO reads at import into the cache, and never to ``~/.libero``."""
    text = config_text(folder, assets)
    config = cache_folder(f"libero-config-{hashlib.sha256(text.encode()).hexdigest()[:16]}")
    config.mkdir(parents=True, exist_ok=True)
    # Simulators that start at the same time write the same content; none of them may read a partial file.
    temporary = config / f"{os.getpid()}.tmp"
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(config / "config.yaml")
    return str(config)
