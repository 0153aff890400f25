"""Processes that the kernel killed for lack of memory, as far as it tells."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

REMEDY = "play with fewer simulators (--simulators), or give the job more memory"


class OutOfMemoryKills:
    """Counts kills by the out-of-memory killer in this process's control group, or on this machine if it has none."""

    def __init__(self) -> None:
        self._before = _count()

    def happened(self) -> bool:
        """True if a process was killed since this object was made."""
        return _count() > self._before


def _count() -> int:
    for path in (*_files_of_group(), Path("/proc/vmstat")):
        with contextlib.suppress(OSError):
            if found := re.search(r"^oom_kill (\d+)$", path.read_text(), re.MULTILINE):
                return int(found[1])
    return 0


def _files_of_group() -> list[Path]:
    """Files that may hold the counter of this process's control group: version 2, then version 1, inner groups first.

    A container may show the group's own path while it has mounted the group at the root.
    """
    files = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers in ("", "memory"):
                name = "memory.oom_control" if controllers else "memory.events"
                root = Path("/sys/fs/cgroup", controllers)
                inner = root / group.strip("/")
                files += [folder / name for folder in (inner, *inner.parents) if folder.is_relative_to(root)]
    return files
