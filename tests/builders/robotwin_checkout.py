"""Checkouts of RoboTwin for tests: a copy of the official code with stand-in assets, or files without any code.

To write such a copy, which must stay outside the repository:

    python -m tests.builders.robotwin_checkout CHECKOUT TARGET
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

from wam_eval.benchmarks.robotwin.checkout import REQUIRED_ASSETS
from wam_eval.benchmarks.robotwin.standins.writing import write_standins

CODE = ("envs", "description", "task_config", "env_cfg", "script", "scripts")


def make_checkout(code: Path, target: Path) -> Path:
    """Copy the code of a checkout (in either layout) to ``target`` and add stand-in assets."""
    for folder in CODE:
        if (code / folder).is_dir():
            shutil.copytree(code / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(Path(_standins().name) / "assets", target / "assets", copy_function=_link)
    return target


@cache
def _standins() -> tempfile.TemporaryDirectory[str]:
    """A folder with the stand-in assets, which are written once in a process."""
    folder = tempfile.TemporaryDirectory()
    write_standins(Path(folder.name))
    return folder


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def make_empty_checkout(target: Path) -> Path:
    """Write the files by which a checkout is recognised, with two tasks and incomplete objects, but no code."""
    files = {
        "envs/_base_task.py": "",
        "envs/_GLOBAL_CONFIGS.py": "",
        "envs/click_bell.py": "class click_bell:\n    pass\n",
        "envs/open_laptop.py": "",
        "task_config/demo_clean.yml": "embodiment: [aloha-agilex]\n",
        "description/task_instruction/click_bell.json": "{}\n",
        "assets/objects/001_bottle/model_data0.json": "{}\n",
        **{name: "" for name in REQUIRED_ASSETS if "." in Path(name).name},
        "assets/background_texture/unseen/0.png": "",
        "assets/embodiments/aloha-agilex/curobo_left.yml": "written by an installation script",
    }
    for name, content in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return target


if __name__ == "__main__":
    print(make_checkout(Path(sys.argv[1]), Path(sys.argv[2])))
