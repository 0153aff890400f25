"""The structure of the repository: a kernel that knows no benchmark and no model, light imports, plain docstrings."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "wam_eval"

KERNEL_FOLDERS = ("run", "hosting", "analysis", "report", "cli", "papers", "exchange", "training", "view")
KERNEL_FILES = (
    *(
        "__init__",
        "api",
        "benchmark",
        "config",
        "demonstrations",
        "episode",
        "errors",
        "files",
        "foreign",
        "gym",
        "observation",
    ),
    *("places", "policy", "policy_spec", "protocol", "signals", "simulator", "trajectory", "version_classes"),
)

# Underscores, hyphens and digits may follow a name, as in libero_object or Wan2.2; letters may not, as in "wanted".
FOREIGN = re.compile(
    r"(?<![a-z])(libero|robotwin|fast[-_]?wam|image[-_]?wam|mv[-_]?wam|harmo[-_]?wam|wan|umt5|aloha|agentview)(?![a-z])",
    re.IGNORECASE,
)
"""Names of benchmarks, models, and their robots and cameras."""


def kernel() -> list[Path]:
    """All Python files of the kernel."""
    folders = [path for name in KERNEL_FOLDERS for path in sorted((PACKAGE / name).rglob("*.py"))]
    return [*folders, *(PACKAGE / f"{name}.py" for name in KERNEL_FILES)]


def python_files() -> list[Path]:
    """All Python files of the repository."""
    folders = ("wam_eval", "tests", "tools", "perf", "examples", "docs")
    return [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


# The kernel


def test_the_kernel_names_no_benchmark_and_no_model() -> None:
    """Nor do its comments and docstrings: a benchmark or a model is added without an edit there."""
    assert len(kernel()) > 50
    found = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in kernel()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FOREIGN.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        *[(text, True) for text in ("LIBERO", "libero_object", "Fast-WAM", "fastwam-tiny", "Wan2.2", "# RoboTwin's")],
        *[(text, False) for text in ("wanted", "swan", "liberty", "WAM", "wam_eval", "World Action Models")],
    ],
)
def test_names_are_found_as_words(text: str, foreign: bool) -> None:
    assert bool(FOREIGN.search(text)) == foreign


# Size and imports


def test_the_kernel_has_at_most_100_files() -> None:
    """The modules on which benchmarks, models and programs are built, and which a reader has to know, stay few.

    Programs on top of them are not counted: commands, races, the papers' comparisons in miniature, the live view,
    formats of other programs, training.
    """
    others = ("benchmarks", "models", "policies", "cli", "exchange", "racing", "reproduction", "training", "view")
    modules = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    kernel = [path for path in modules if path.relative_to(PACKAGE).parts[0] not in others]
    assert len(kernel) <= 100


@pytest.mark.parametrize("module", ["wam_eval", "wam_eval.api", "wam_eval.cli"])
def test_the_package_imports_no_large_library(module: str) -> None:
    """They take seconds, and are imported when they are used."""
    large = ("torch", "ray", "mujoco", "sapien", "pandas", "scipy", "matplotlib", "av", "h5py", "gymnasium")
    code = f"import sys, {module}; print(*sorted({set(large)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


# Docstrings

FIRST_WORDS = re.compile(r"(What|Who|Where|Whether|How|Which)\b")
AVOIDED = re.compile(r"\b(nobody|somebody|whoever|see there)\b", re.IGNORECASE)


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Lines and texts of all docstrings of a file, those of attributes included."""
    found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    for node in sorted((one for one in found if isinstance(one, ast.Expr)), key=lambda one: one.lineno):
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value.strip()


def test_docstrings_begin_with_a_noun_or_a_verb() -> None:
    found = [
        f"{name_of(path)}:{line}: {text.splitlines()[0]}"
        for path in python_files()
        for line, text in docstrings(path)
        if FIRST_WORDS.match(text) or AVOIDED.search(text)
    ]
    assert not found, "\n".join(found)


def test_docstrings_of_attributes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        '"""Module."""\nA = 1\n"""What A is."""\nclass C:\n    """C."""\n    def f(self):\n        """F."""\n'
    )
    assert [text for _, text in docstrings(path)] == ["Module.", "What A is.", "C.", "F."]


def test_every_module_has_a_docstring() -> None:
    without = [
        name_of(path)
        for path in sorted(PACKAGE.rglob("*.py"))
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not without, without
