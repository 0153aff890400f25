"""The Python API: evaluation by name and with a policy object, progress, continuation, and comparison."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

import wam_eval
from tests.toy.policies import Clumsy, Dream, Push
from tests.toy.runs import records
from wam_eval import api
from wam_eval.api import Run, RunInterrupted
from wam_eval.errors import UserError
from wam_eval.run.execute import RunProgress
from wam_eval.run.plan import SuitePlan
from wam_eval.signals import STOPPING


def quiet(progress: RunProgress) -> None:
    """Show no progress bar."""


def evaluate(policy: str | wam_eval.Policy | None = None, suite: str = "toy", **arguments: object) -> Run:
    """Evaluate two episodes of a task, in this process by default."""
    given: dict[str, object] = {"tasks": "0", "episodes": 2, "simulators": 1, "progress": quiet, **arguments}
    return wam_eval.evaluate(suite=suite, policy=policy or Push.create(), **given)  # type: ignore[arg-type]


# Evaluation


def test_a_policy_object_is_evaluated_in_this_process(runs: Path) -> None:
    policy = Push.create(push=2.0)
    run = evaluate(policy)
    assert (run.success_rate, run.estimate.n, run.estimate.successes) == (1.0, 2, 2)
    assert run.frame["steps"].tolist() == [5, 5]  # 5 x 2 from 0; 5 x 2 from 1
    assert run.record.policy.title == "Pushes by a fixed distance; may misbehave in given episodes"
    assert run.record.policy.policy == "tests.toy.policies:Push"
    assert run.record.policy.checkpoint_sha256 is None
    assert policy.push == 2.0 and evaluate(policy).success_rate == 1.0, "the policy stays loaded"


def test_each_evaluation_of_an_object_is_a_run(runs: Path) -> None:
    """In a training script the object has other weights every time."""
    policy = Push.create()
    first, second = evaluate(policy), evaluate(policy)
    assert first.name != second.name
    assert all(run.name.startswith("toy-Push-plain-20") for run in (first, second))
    assert sorted(path.name for path in runs.iterdir()) == sorted([first.name, second.name])


def test_tables_are_written_beside_the_ledger(runs: Path) -> None:
    run = evaluate(run="mine")
    assert run.path == runs / "mine"
    assert {"run.json", "episodes.jsonl", "summary.json", "table.md", "table.csv", "trajectories"} <= {
        path.name for path in run.path.iterdir()
    }
    assert json.loads((run.path / "summary.json").read_text())["run"] == "mine"
    assert repr(run) == f"Run('mine': {run.record.policy.title} on toy)"


def test_a_policy_is_evaluated_by_name(runs: Path, ray_cluster: str) -> None:
    run = evaluate("push")
    assert run.name == "toy-push-plain" and run.success_rate == 1.0
    assert (run.record.policy.name, run.record.policy.title) == ("push", "Push")
    before = run.folder.ledger.read_bytes()
    again = evaluate("push", episodes=3)
    assert again.name == run.name and again.estimate.n == 3
    assert again.folder.ledger.read_bytes().startswith(before)


def test_all_arguments_reach_the_run(runs: Path) -> None:
    plans: list[SuitePlan] = []
    run = evaluate(
        suite="toy_weather",
        protocol="slow",
        tasks=None,
        filters={"weather": "windy", "level": "1-2"},
        sample=0.5,
        sample_seed=3,
        settings={"pause": 0.0},
        video="all",
        command=["a", "script"],
        planned=plans.extend,
    )
    (suite,) = run.record.suites.values()
    assert [plan.name for plan in plans] == ["toy_weather"]
    assert suite.protocol.card == "slow" and suite.protocol.settings["pause"] == 0.0
    assert {(task.axes["weather"]) for task in suite.tasks.values()} == {"windy"} and len(suite.tasks) == 1
    assert run.record.selections == [{"filters": {"weather": "windy", "level": "1-2"}, "sample": 0.5, "sample_seed": 3}]
    assert len(list(run.path.rglob("videos/**/*.mp4"))) == 2
    assert run.record.command == ["a", "script"]


@pytest.mark.parametrize(("settings", "used"), [(None, 0.25), ({"pause": 0.5}, 0.5)])
def test_a_policy_asks_for_settings_of_its_benchmark(
    runs: Path, tmp_path: Path, settings: dict[str, float] | None, used: float
) -> None:
    card = tmp_path / "slow.yaml"
    card.write_text("title: Slow\npolicy: tests.toy.policies:Push\nprotocol_settings: {pause: 0.25}\n")

    class PlannedError(Exception):
        """Ends the evaluation before its first episode."""

    def planned(plans: Sequence[SuitePlan]) -> None:
        raise PlannedError([plan.protocol.settings["pause"] for plan in plans])

    with pytest.raises(PlannedError, match=rf"\[{used}\]"):
        evaluate(str(card), settings=settings, planned=planned)


def test_imagined_frames_and_rollbacks_of_an_object(runs: Path) -> None:
    pytest.importorskip("skimage", reason="scores need scikit-image: make setup MODELS=1")
    imagined = records(evaluate(Dream.create(), imagine=1).folder)
    assert [("imagined_ssim" in record.measured) for record in imagined.values()] == [True, False]
    assert evaluate(Clumsy.create()).frame["steps"].tolist() == [14, 13]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"suite": "tyo"}, "unknown suite 'tyo': did you mean toy"),
        ({"policy": "puhs"}, "unknown policy 'puhs': did you mean push"),
        ({"policy": "push", "checkpoint": "x"}, "policy 'Push' takes no checkpoint"),
        ({"filters": {"wind": "calm"}}, "unknown axis of toy 'wind'"),
        ({"settings": {"pasue": 1}}, "unknown setting of toy 'pasue': did you mean pause"),
        ({"episodes": 21}, "toy has 1 to 20"),
        ({"run": "a/b"}, "cannot be the name of a run"),
        ({"workers": 2}, "with one worker: leave out workers"),
        ({"imagine": 1}, "imagines no frames"),
    ],
)
def test_errors_say_what_does_not_exist_or_fit(runs: Path, arguments: dict[str, object], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        evaluate(**arguments)  # type: ignore[arg-type]


# Progress and interruption


def test_progress_is_reported_after_each_episode(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[RunProgress] = []
    evaluate(Push.create(faults={"1": "raise"}), episodes=3, progress=seen.append)
    assert [(one.finished, one.planned, one.successes, one.counted) for one in seen] == [
        *((1, 3, 1, 1), (2, 3, 1, 1), (3, 3, 2, 2)),
    ]
    assert [one.record.outcome.value for one in seen] == ["success", "policy_error", "success"]
    assert capfd.readouterr() == ("", "")


def test_a_progress_bar_is_shown_without_a_callback(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(progress=None)
    shown = capsys.readouterr()
    assert "success 2/2 = 100%" in shown.err and shown.out == ""


def test_an_interrupted_run_can_be_continued(runs: Path) -> None:
    def interrupt(progress: RunProgress) -> None:
        if progress.finished == 2:
            raise KeyboardInterrupt

    policy = Push.create()
    with pytest.raises(RunInterrupted, match="run mine was interrupted") as caught:
        evaluate(policy, episodes=5, run="mine", progress=interrupt)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert caught.value.run.estimate.n == 2 and (runs / "mine" / "table.md").is_file()
    before = caught.value.run.folder.ledger.read_bytes()
    continued = evaluate(policy, episodes=5, run="mine")
    assert continued.estimate.n == 5 and continued.folder.ledger.read_bytes().startswith(before)


@pytest.fixture
def no_handlers() -> Iterator[None]:
    """Signals without handlers; a Ray cluster that other tests have started in this process sets one."""
    before = {one: signal.getsignal(one) for one in STOPPING if one is not signal.SIGINT}
    for one in before:
        signal.signal(one, signal.SIG_DFL)
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


def send(one: signal.Signals, after: int = 2) -> Callable[[RunProgress], None]:
    """Send this process a signal when so many episodes are finished."""
    return lambda progress: os.kill(os.getpid(), one) if progress.finished == after else None


@pytest.mark.parametrize("one", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT], ids=lambda one: one.name)
def test_a_signal_without_a_handler_interrupts_as_ctrl_c_does(
    runs: Path, no_handlers: None, one: signal.Signals
) -> None:
    before = [signal.getsignal(each) for each in STOPPING]
    with pytest.raises(RunInterrupted, match=f"run mine was interrupted by {one.name}") as caught:
        evaluate(episodes=5, run="mine", progress=send(one))
    assert caught.value.signal is one
    assert caught.value.run.estimate.n == 2 and (runs / "mine" / "table.md").is_file()
    assert [signal.getsignal(each) for each in STOPPING] == before
    assert evaluate(episodes=5, run="mine").estimate.n == 5, "the next run does not remember the signal"


def test_handlers_of_the_caller_stay(runs: Path) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        assert evaluate(episodes=3, progress=send(signal.SIGTERM)).estimate.n == 3
        assert seen == [signal.SIGTERM]
        os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_run_in_another_thread_touches_no_handler(runs: Path) -> None:
    before = [signal.getsignal(each) for each in STOPPING]
    done: list[Run] = []
    thread = threading.Thread(target=lambda: done.append(evaluate()))
    thread.start()
    while thread.is_alive():
        assert [signal.getsignal(each) for each in STOPPING] == before
        thread.join(0.05)
    assert done[0].estimate.n == 2


def test_results_are_written_when_a_run_ends_with_an_error(runs: Path) -> None:
    """As when a policy server is gone."""
    with pytest.raises(UserError, match="the policy gives no usable answer"):
        evaluate(Push.create(faults={"2": "gone"}), episodes=4, run="mine")
    assert "2/2" in (runs / "mine" / "table.md").read_text()


# Runs


def test_a_run_is_loaded_by_name(runs: Path) -> None:
    evaluate(Push.create(push=0.0), run="mine")
    run = wam_eval.load_run("mine")
    assert (run.name, run.path, run.success_rate) == ("mine", runs / "mine", 0.0)
    assert run.table.complete and run.table.total.n == 2
    with pytest.raises(UserError, match="unknown run 'mien': did you mean mine"):
        wam_eval.load_run("mien")


def test_a_run_without_results_has_no_rate(runs: Path) -> None:
    run = evaluate(Push.create(faults={"0": "raise", "1": "raise"}))
    assert run.success_rate is None and run.estimate.coverage == 0.0


def test_runs_are_compared(runs: Path) -> None:
    evaluate(Push.create(), run="mine", episodes=20)
    evaluate(Push.create(push=0.0), run="baseline", episodes=20)
    comparison = wam_eval.compare(["mine", "baseline"])
    assert {verdict.value for verdict in comparison.verdicts()} == {"better"}
    with pytest.raises(UserError, match="unknown run or published method 'bseline'"):
        wam_eval.compare(["mine", "bseline"])


# The package


def test_a_policy_object_needs_no_ray(runs: Path) -> None:
    code = """
import sys
import wam_eval
from tests.toy.policies import Push
run = wam_eval.evaluate(suite="toy", policy=Push.create(), tasks="0", episodes=1)
print(run.success_rate, "ray" in sys.modules, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["1.0", "False", "False"], done.stderr


def test_an_evaluation_leaves_no_threads_and_no_processes(runs: Path) -> None:
    """A training script evaluates many times."""
    threads, processes = set(threading.enumerate()), set(psutil.Process().children(recursive=True))
    evaluate()
    end = time.monotonic() + 10
    while (left := set(threading.enumerate()) - threads) and time.monotonic() < end:
        time.sleep(0.01)
    assert not left
    assert set(psutil.Process().children(recursive=True)) <= processes


def test_all_public_names_exist() -> None:
    assert set(wam_eval.__all__) <= set(dir(wam_eval))
    for name in wam_eval.__all__:
        assert getattr(wam_eval, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'wam_eval' has no attribute 'evalaute'"):
        _ = wam_eval.evalaute


def test_a_policy_that_does_not_fit_is_refused_before_episodes_are_planned(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planning may search for episodes for hours."""
    path = tmp_path / "elsewhere.yaml"
    path.write_text("title: Elsewhere\npolicy: tests.toy.policies:Push\nbenchmarks: {other: {}}\n")
    monkeypatch.setattr(api, "plan_run", lambda *_: pytest.fail("planned"))
    with pytest.raises(UserError, match="policy 'Elsewhere' does not play toy; it plays other"):
        evaluate(suite="toy", policy=str(path))
