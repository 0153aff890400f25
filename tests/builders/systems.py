"""Odd systems for real processes: private mounts, and C functions that answer otherwise."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

_NAMESPACE = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--map-root-user")


def in_private_mounts(
    mounts: str, command: Sequence[str], environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command with mounts that no other process sees. Skips the test where the system forbids that.

    Args:
        mounts: shell command that mounts.
        environment: environment variables; those of this process by default.
    """
    if shutil.which("unshare") is None or subprocess.run([*_NAMESPACE, "true"], capture_output=True).returncode:
        pytest.skip("private mounts are not allowed here")
    script = f'{mounts} && exec "$@"'
    return subprocess.run(
        [*_NAMESPACE, "sh", "-c", script, "sh", *command], env=environment, capture_output=True, text=True
    )


def preloaded(source: str, folder: Path) -> dict[str, str]:
    """Environment variables of processes in which C functions are replaced. Skips the test without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = folder / "replacement.so"
    code = library.with_suffix(".c")
    code.write_text(source)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, code], check=True)
    return {"LD_PRELOAD": str(library)}
