"""The simulator process: calls and deadlines, death and restart, cores and priority. The simulator is the toy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from tests.toy.simulator import ToySimulator
from wam_eval.episode import Episode
from wam_eval.errors import UserError
from wam_eval.hosting.out_of_memory import OutOfMemoryKills
from wam_eval.hosting.process import SimulatorError, SimulatorProcess, SimulatorTimeout
from wam_eval.observation import Request, VideoRequest
from wam_eval.signals import STOPPING
from wam_eval.simulator import Deadlines, SimulatorSpec

TOY = "tests.toy.simulator:ToySimulator"
PUSH = np.full((5, 7), 1.0, np.float32)


def episode(task: str = "push", index: int = 0) -> Episode:
    return Episode("toy", 0, "", index, task, "push the point", 0, 30)


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[SimulatorProcess]:
    with SimulatorProcess(SimulatorSpec(TOY, deadlines=Deadlines(load=2, image=1)), tmp_path / "toy.log") as process:
        yield process


# Calls


def environment_of(process: SimulatorProcess) -> dict[str, str]:
    lines = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    return dict(line.decode().split("=", 1) for line in lines if b"=" in line)


def test_a_process_has_a_temporary_folder_of_its_own_until_it_ends(simulator: SimulatorProcess) -> None:
    simulator.load(episode(), Request())
    first = Path(environment_of(simulator)["TMPDIR"])
    assert first.is_dir() and simulator.pid is not None
    os.kill(simulator.pid, signal.SIGKILL)
    with pytest.raises(SimulatorError):
        simulator.load(episode(), Request())
    assert not first.exists()
    simulator.load(episode(), Request())
    second = Path(environment_of(simulator)["TMPDIR"])
    simulator.close()
    assert second != first and not second.exists()


def test_a_simulator_writes_what_the_terminal_cannot_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    with SimulatorProcess(SimulatorSpec(TOY), tmp_path / "log") as process:
        process.load(episode(), Request())
        assert environment_of(process)["PYTHONIOENCODING"] == "utf-8:backslashreplace"


def test_an_episode_is_played(simulator: SimulatorProcess) -> None:
    observation = simulator.load(episode(index=3), Request(("front",)))
    assert observation.images["front"].shape == (64, 64, 3)
    progress, following = simulator.step(PUSH, Request())
    assert (progress.steps, progress.done) == (5, False)
    assert following is not None and following.state == pytest.approx([8])
    progress, following = simulator.step(PUSH, Request(), VideoRequest("front", 1))
    assert progress.success and progress.steps == 7 and following is None
    assert len(progress.frames) == 2


@pytest.mark.parametrize("start", [False, True])
def test_a_fault_that_the_user_must_correct_is_no_lost_attempt(tmp_path: Path, start: bool) -> None:
    spec = SimulatorSpec("tests.hosting.package_user:Refuser", {"start": start})
    with SimulatorProcess(spec, tmp_path / "log") as process, pytest.raises(UserError, match="checkout has changed"):
        process.load(episode(), Request())


def test_a_snapshot_is_restored(simulator: SimulatorProcess) -> None:
    simulator.load(episode(), Request())
    blob, before = simulator.snapshot(), simulator.fingerprint()
    simulator.step(PUSH, None)
    assert simulator.fingerprint() != before
    restored = simulator.restore(blob)
    assert (restored.step, restored.undone) == (0, 5)
    assert simulator.fingerprint() == before


class Searching(ToySimulator):
    """The toy with further calls."""

    calls = ("double", "sleep")

    def double(self, numbers: NDArray[np.float32], one: Episode) -> dict[str, object]:
        return {"numbers": 2 * numbers, "key": one.key, "episode": one}

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def hidden(self) -> None: ...


def test_further_calls_of_a_simulator(tmp_path: Path) -> None:
    with SimulatorProcess(SimulatorSpec("tests.hosting.test_process:Searching"), tmp_path / "log") as process:
        found = process.call("double", np.arange(3, dtype=np.float32), episode(index=2), seconds=10)
        assert found["numbers"].tolist() == [0, 2, 4] and found["key"] == "toy/00/002"
        assert found["episode"] == episode(index=2)
        with pytest.raises(SimulatorError, match="ValueError: unknown call 'hidden'"):
            process.call("hidden", seconds=10)
        with pytest.raises(SimulatorTimeout, match="did not answer 'sleep' within 0 s and was killed"):
            process.call("sleep", 60.0, seconds=0.2)


# Faults


def test_a_hanging_simulator_is_killed_and_started_again(simulator: SimulatorProcess) -> None:
    simulator.load(episode(), Request())
    pid = simulator.pid
    with pytest.raises(
        SimulatorTimeout, match="the simulator did not answer 'load' within 2 s and was killed; its log"
    ):
        simulator.load(episode("hang"), Request())
    assert not psutil.pid_exists(int(pid or 0))
    assert simulator.load(episode(), Request()).step == 0
    assert simulator.pid != pid


def test_the_exit_status_of_a_dead_simulator_is_reported(simulator: SimulatorProcess) -> None:
    with pytest.raises(SimulatorError, match=r"the simulator died in 'load' \(exit status 7\); its log: .*toy\.log"):
        simulator.load(episode("die"), Request())


def test_the_signal_that_killed_a_simulator_is_reported(simulator: SimulatorProcess) -> None:
    simulator.load(episode(), Request())
    os.kill(int(simulator.pid or 0), signal.SIGKILL)
    with pytest.raises(SimulatorError, match="SIGKILL"):
        simulator.step(PUSH, None)
    assert simulator.load(episode(), Request()).step == 0


def test_signals_of_a_scheduler_do_not_end_a_simulator(simulator: SimulatorProcess) -> None:
    """They go to all processes of a job. A simulator ends with its worker, or its episode would look like an error."""
    simulator.load(episode(), Request())
    for one in STOPPING:
        os.kill(int(simulator.pid or 0), one)
    assert simulator.step(PUSH, None)[0].steps == 5


def test_a_simulator_is_not_late_after_it_and_its_worker_were_suspended(tmp_path: Path) -> None:
    """A scheduler may suspend a job for hours."""
    code = (
        "import os, signal, sys; from pathlib import Path; from tests.hosting import test_process as t\n"
        "spec = t.SimulatorSpec('tests.hosting.test_process:Searching')\n"
        "with t.SimulatorProcess(spec, Path(sys.argv[1])) as process:\n"
        "    process.call('sleep', 0.0, seconds=10)\n"
        "    print(process.pid, flush=True)\n"
        "    process.call('sleep', 0.8, seconds=1.5)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    both = [worker.pid, int(worker.stdout.readline())]
    time.sleep(0.2)
    for pid in both:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(1.8)
    for pid in both:
        os.kill(pid, signal.SIGCONT)
    assert worker.wait(20) == 0


def test_the_out_of_memory_killer_is_named(simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OutOfMemoryKills, "happened", lambda self: True)
    simulator.load(episode(), Request())
    os.kill(int(simulator.pid or 0), signal.SIGKILL)
    with pytest.raises(
        SimulatorError, match=r"signal SIGKILL, by the out-of-memory killer: play with fewer simulators"
    ):
        simulator.step(PUSH, None)


def test_an_exception_arrives_with_the_path_of_the_log(simulator: SimulatorProcess) -> None:
    with pytest.raises(SimulatorError, match=r"ValueError: the scene does not compile.*toy\.log"):
        simulator.load(episode("raise"), Request())
    assert "Traceback" in simulator.log.read_text()


@pytest.mark.parametrize(
    ("simulator_class", "fault"),
    [
        ("tests.toy.simulator:Nothing", "AttributeError: .*no attribute 'Nothing' .in 'start'"),
        ("tests.nothing:Toy", "ModuleNotFoundError: No module named 'tests.nothing'"),
    ],
)
def test_a_simulator_that_cannot_be_constructed_is_an_error(tmp_path: Path, simulator_class: str, fault: str) -> None:
    with SimulatorProcess(SimulatorSpec(simulator_class), tmp_path / "log") as process:
        with pytest.raises(SimulatorError, match=fault):
            process.load(episode(), Request())
        assert process.pid is None


def test_an_interpreter_that_does_not_exist_is_named(tmp_path: Path) -> None:
    process = SimulatorProcess(SimulatorSpec(TOY, python="/no/python"), tmp_path / "log")
    with pytest.raises(SimulatorError, match="cannot start the simulator with '/no/python'"):
        process.load(episode(), Request())


# Cores, priority, end


def test_a_process_is_pinned_from_its_start_on(tmp_path: Path) -> None:
    """In all its threads, until it is pinned to others."""
    allowed = sorted(os.sched_getaffinity(0))
    with SimulatorProcess(SimulatorSpec(TOY), tmp_path / "log", allowed[-1:]) as process:
        process.load(episode(), Request())
        threads = [int(path.name) for path in Path(f"/proc/{process.pid}/task").iterdir()]
        assert len(threads) > 1, "one of them watches the parent"
        assert all(os.sched_getaffinity(thread) == {allowed[-1]} for thread in threads)
        process.pin(())
        assert all(os.sched_getaffinity(thread) == set(allowed) for thread in threads)
    assert sorted(os.sched_getaffinity(0)) == allowed


def test_a_low_priority_is_the_lowest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checked on a process that needs no time of a core, which a simulator at this priority would wait for."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        SimulatorProcess._lower_priority(other.pid)
        assert os.getpriority(os.PRIO_PROCESS, other.pid) == 19
        group = Path(f"/proc/{other.pid}/autogroup")
        assert not group.exists() or group.read_text().split()[-1] == "19"
        other.kill()
    lowered: list[int] = []
    monkeypatch.setattr(SimulatorProcess, "_lower_priority", staticmethod(lowered.append))
    with SimulatorProcess(SimulatorSpec(TOY), tmp_path / "log", low_priority=True) as process:
        process.load(episode(), Request())
        assert lowered == [process.pid]


def test_the_process_ends_with_its_parent(tmp_path: Path) -> None:
    code = f"""
import os, pathlib, signal
from wam_eval.episode import Episode
from wam_eval.hosting.process import SimulatorProcess
from wam_eval.observation import Request
from wam_eval.simulator import SimulatorSpec
process = SimulatorProcess(SimulatorSpec({TOY!r}), pathlib.Path({str(tmp_path / "log")!r}))
process.load(Episode("toy", 0, "", 0, "push", "push", 0, 30), Request())
print(process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    for _ in range(100):
        if not psutil.pid_exists(int(out)):
            return
        time.sleep(0.1)
    pytest.fail("the simulator outlived its parent")
