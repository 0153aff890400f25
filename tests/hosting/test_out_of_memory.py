"""Kills for lack of memory are counted where the kernel tells of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from wam_eval.hosting import out_of_memory
from wam_eval.hosting.out_of_memory import OutOfMemoryKills


def count_in(monkeypatch: pytest.MonkeyPatch, **files: str) -> int:
    """The counter that is found if only some files exist, by the last part of their names."""

    def read_text(path: Path) -> str:
        for name, text in files.items():
            if str(path).endswith(name.replace("__", "/").replace("_events", ".events").replace("_oom", ".oom")):
                return text
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", read_text)
    return out_of_memory._count()


EVENTS = "low 0\nhigh 0\nmax 12\noom 2\noom_kill {}\noom_group_kill 0\n"


def test_the_inner_group_is_read_first(monkeypatch: pytest.MonkeyPatch) -> None:
    cgroup = {"self__cgroup": "0::/job_1/step_0\n", "vmstat": "oom_kill 9\n"}
    inner = {"fs__cgroup__job_1__step_0__memory_events": EVENTS.format(3)}
    mounted = {"fs__cgroup__memory_events": EVENTS.format(4)}
    assert count_in(monkeypatch, **cgroup, **mounted, **inner) == 3
    assert count_in(monkeypatch, **cgroup, **inner) == 3
    assert count_in(monkeypatch, **cgroup, **mounted) == 4, "a container has mounted its group at the root"
    assert count_in(monkeypatch, **cgroup) == 9, "the whole machine"
    assert count_in(monkeypatch) == 0


def test_version_1_has_another_file(monkeypatch: pytest.MonkeyPatch) -> None:
    cgroup = "4:memory:/job\n1:cpu:/job\n0::/\n"
    files = {"memory__job__memory_oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"}
    assert count_in(monkeypatch, self__cgroup=cgroup, **files) == 5


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group with 250 MB, if this process may make one."""
    files = [path for path in out_of_memory._files_of_group() if path.exists()]
    if not files:
        pytest.skip("no control group of memory here")
    folder = files[0].parent / f"wam-eval-test-{os.getpid()}"
    try:
        folder.mkdir()
        limit = next(path for name in ("memory.max", "memory.limit_in_bytes") if (path := folder / name).exists())
        limit.write_text(str(250 * 2**20))
    except (OSError, StopIteration):
        with suppress(OSError):
            folder.rmdir()
        pytest.skip("no permission to make a control group")
    yield folder
    with suppress(OSError):
        folder.rmdir()


@pytest.mark.slow
def test_a_real_kill_is_seen(small_group: Path) -> None:
    code = f"""
import os, subprocess, sys
open({str(small_group / "cgroup.procs")!r}, "w").write(str(os.getpid()))
from wam_eval.hosting.out_of_memory import OutOfMemoryKills
kills = OutOfMemoryKills()
assert not kills.happened()
greedy = "open('/proc/self/oom_score_adj', 'w').write('1000'); x = [bytearray(2**20) for _ in range(1000)]"
print(subprocess.run([sys.executable, "-c", greedy]).returncode, kills.happened())
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.stdout == "-9 True\n", out.stderr


def test_no_kill_has_happened_here() -> None:
    assert not OutOfMemoryKills().happened()
