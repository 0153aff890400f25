"""Prepares scenes that will be played next, in a process of its own, while others are played."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from threading import Condition, Thread

from wam_eval.episode import Episode
from wam_eval.sim.process import SimulatorError, SimulatorProcess, SimulatorSpec


class Ahead:
    """A process at the lowest priority that leaves on disk what will be needed; nobody waits for it.

    It starts when there is something to prepare. What goes wrong in it goes wrong again where it counts, and is told
    there.

    Args:
        log: file for its output.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._changed = Condition()
        self._wanted: list[tuple[SimulatorSpec, Episode]] = []
        self._begun: set[str] = set()
        self._process: SimulatorProcess | None = None
        self._closed = False
        self._thread = Thread(target=self._work, name="prepare scenes", daemon=True)

    def want(self, episodes: Iterable[tuple[SimulatorSpec, Episode]]) -> None:
        """Prepare the scenes of these episodes, one after the other, instead of those wanted before.

        Args:
            episodes: with how their simulator is started.
        """
        with self._changed:
            self._wanted = [
                (spec, episode) for spec, episode in episodes if spec.prepares and episode.scene not in self._begun
            ]
            if self._wanted and not self._thread.is_alive() and not self._closed:
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """End the process."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._process:
            self._process.close()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._closed)
                if self._closed:
                    return
                spec, episode = self._wanted.pop(0)
                self._begun.add(episode.scene)
                if self._process and self._process.spec != spec:
                    self._process.close()
                    self._process = None
                self._process = process = self._process or SimulatorProcess(spec, self._log)
            try:
                process.prepare(episode)
            except SimulatorError:
                continue
