"""Initial states and task lists of the installed hf-libero, read without torch and without executing pickles."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from wam_eval import config
from wam_eval.benchmarks.libero.package import init_states_file, package_folder, read_init_states, task_map


@pytest.mark.parametrize("suite", ["libero_spatial", "libero_object", "libero_goal", "libero_10", "libero_90"])
def test_every_task_has_fifty_initial_states(suite: str) -> None:
    for task in config.load_suite(suite).tasks:
        states = read_init_states(init_states_file(suite, task.name))
        assert states.shape[0] == 50 and states.dtype == np.float64 and np.isfinite(states).all()


def test_the_suites_have_the_tasks_of_the_package_in_its_order() -> None:
    for suite, names in task_map().items():
        assert [task.name for task in config.load_suite(suite).tasks] == names


def test_a_checkout_in_the_working_directory_is_not_taken_for_the_installed_package(tmp_path: Path) -> None:
    """Its metadata come first if the driver is started there with ``python -m``, a script or a notebook."""
    (tmp_path / "libero" / "libero" / "bddl_files").mkdir(parents=True)
    (tmp_path / "hf_libero.egg-info").mkdir()
    (tmp_path / "hf_libero.egg-info" / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: hf-libero\nVersion: 9\n")
    code = "from wam_eval.benchmarks.libero.package import package_folder; print(package_folder())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == str(package_folder()), done.stderr


def test_no_torch_is_imported() -> None:
    code = (
        "import sys\n"
        "from wam_eval.benchmarks.libero.package import import_envs\n"
        "from pathlib import Path\n"
        "import_envs(Path('/nowhere'))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip().endswith("False"), done.stderr


class Call:
    """A pickle that calls a function."""

    def __reduce__(self) -> tuple[object, ...]:
        return (eval, ("print(1)",))


def test_a_pickle_that_calls_a_function_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "call.pruned_init"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Call()))
    with pytest.raises(ValueError, match=r"builtins\.eval is not part of a numpy array"):
        read_init_states(path)


def test_a_file_of_another_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.pruned_init"
    path.write_text("hello")
    with pytest.raises(ValueError, match="not a file of LIBERO initial states"):
        read_init_states(path)
