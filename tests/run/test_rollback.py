"""Rollbacks: a policy keeps a state, makes a mistake and returns. Ledger, video and replay show all of it."""

from __future__ import annotations

import importlib.util
import io
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.toy.policies import Clumsy, Dream
from tests.toy.runs import play as play_run
from tests.toy.runs import records
from wam_eval.episode import Episode, Outcome
from wam_eval.hosting.process import SimulatorProcess
from wam_eval.observation import ActionChunk, Observation, Request, Rollback
from wam_eval.policy import PolicySpec
from wam_eval.run.dispatch import RETRIED
from wam_eval.run.playback import observe, record_video
from wam_eval.run.replay_episode import replay_episode
from wam_eval.run.rollout import MOST_ROLLBACKS, Attempt, play
from wam_eval.simulator import SimulatorSpec
from wam_eval.trajectory import ChunkExecuted, RolledBack, StateKept, read_trajectory

EPISODE = Episode("toy", 0, "", 0, "push", "push the point", 0, 30)
SPEC = PolicySpec(cameras=("front",), action_dim=7, execute=4)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """The toy. Each snapshot changes how its simulation continues."""
    log = tmp_path_factory.mktemp("toy") / "log"
    with SimulatorProcess(SimulatorSpec("tests.toy.simulator:ToySimulator"), log) as process:
        yield process


def push(count: int, distance: float = 1.0, keep: str = "", **fields: Any) -> ActionChunk:
    return ActionChunk(np.full((count, 7), distance, np.float32), keep=keep, **fields)


Answers = list[ActionChunk | Rollback]


def attempt(toy: SimulatorProcess, answers: Answers, episode: Episode = EPISODE) -> tuple[Attempt, list[Observation]]:
    """Play an episode with scripted answers. Returns the attempt, and the observations that were answered."""
    seen: list[Observation] = []
    script = iter(answers)

    def act(observation: Observation) -> ActionChunk | Rollback:
        seen.append(observation)
        return next(script)

    return play(episode, toy, SPEC, act), seen


MISTAKE: Answers = [push(4), push(4, -1.0, keep="a"), Rollback("a", {"regret": 0.5}), push(4), push(4)]
"""Four steps forward, four back, a return, six forward to the goal."""


def kinds(played: Attempt) -> list[tuple[Any, ...]]:
    """Events in short form."""
    return [
        ("chunk", len(event.actions))
        if isinstance(event, ChunkExecuted)
        else tuple(value for value in vars(event).values() if value not in (None, False))
        for event in played.trajectory.events
    ]


# One attempt


def test_the_events_of_an_attempt_are_recorded(toy: SimulatorProcess) -> None:
    played, _ = attempt(toy, MISTAKE)
    assert played.outcome is Outcome.SUCCESS
    assert kinds(played) == [("chunk", 4), ("a",), ("chunk", 4), ("a", 4), ("chunk", 4), ("chunk", 2)]
    assert isinstance(played.trajectory.events[1], StateKept) and isinstance(played.trajectory.events[3], RolledBack)
    assert (played.trajectory.steps, played.trajectory.rollbacks, played.trajectory.undone) == (14, 1, 4)
    assert played.measured == {"chunks": 4.0, "regret": 0.5}


def test_after_a_rollback_the_policy_sees_the_kept_state_again(toy: SimulatorProcess) -> None:
    _, seen = attempt(toy, MISTAKE)
    assert [(one.step, one.undone) for one in seen] == [(0, 0), (4, 0), (8, 0), (4, 4), (8, 4)]
    assert np.array_equal(seen[3].images["front"], seen[1].images["front"])
    assert seen[3].state == seen[1].state
    assert seen[4].state == pytest.approx([8.0])


@pytest.mark.parametrize(("limit", "last"), [(12, 4), (10, 2), (9, 1)])
def test_undone_steps_count_towards_the_step_limit(toy: SimulatorProcess, limit: int, last: int) -> None:
    played, _ = attempt(toy, MISTAKE, replace(EPISODE, step_limit=limit))
    assert played.outcome is Outcome.FAILURE and played.error is None
    assert kinds(played)[-1] == ("chunk", last)
    assert (played.trajectory.steps, played.trajectory.undone) == (limit, 4)


@pytest.mark.parametrize(("limit", "last"), [(12, 4), (10, 4), (9, 1)])
def test_undone_steps_can_be_refunded(toy: SimulatorProcess, limit: int, last: int) -> None:
    """The limit is then one of the steps that lead to the last state; the first wrong chunk does not count."""
    answers: Answers = [push(4), push(4, -1.0, keep="a"), Rollback("a", refund=True), push(4, 0.5), push(4, 0.5)]
    played, _ = attempt(toy, answers, replace(EPISODE, step_limit=limit))
    assert played.outcome is Outcome.FAILURE and kinds(played)[-1] == ("chunk", min(last, limit - 8))
    assert played.trajectory.steps - played.trajectory.undone == limit
    request = Request(cameras=("front",))
    wanted = {3: [min(last, limit - 8)]}
    assert observe(EPISODE, toy, played.trajectory, request, wanted), "played again, the episode is as long"


def test_a_state_can_be_returned_to_many_times_and_kept_anew(toy: SimulatorProcess) -> None:
    answers: Answers = [
        *(push(2, keep="a"), Rollback("a"), push(3), Rollback("a"), push(4)),
        *(push(1, -1.0, keep="a"), Rollback("a"), push(4), push(4)),
    ]
    played, seen = attempt(toy, answers)
    assert [(one.step, one.undone) for one in seen] == [
        *((0, 0), (2, 0), (0, 2), (3, 2), (0, 5)),
        *((4, 5), (5, 5), (4, 6), (8, 6)),
    ]
    assert played.outcome is Outcome.SUCCESS
    assert (played.trajectory.steps, played.trajectory.rollbacks, played.trajectory.undone) == (16, 3, 6)


def test_steps_between_two_kept_states_are_not_undone_by_a_return_to_the_later_one(toy: SimulatorProcess) -> None:
    answers: Answers = [
        push(4, keep="early"),
        push(4, keep="late"),
        Rollback("early"),
        Rollback("late"),
        *[push(4)] * 2,
    ]
    played, seen = attempt(toy, answers)
    assert [(one.step, one.undone) for one in seen] == [(0, 0), (4, 0), (8, 0), (0, 8), (4, 4), (8, 4)]
    assert (played.trajectory.steps, played.trajectory.undone) == (14, 4)
    assert played.outcome is Outcome.SUCCESS


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ([Rollback("start")], r"a rollback to the state 'start', which was not kept \(kept: none\)"),
        ([push(4, keep="a"), push(4, keep="b"), Rollback("c")], r"the state 'c', which was not kept \(kept: a, b\)"),
        ([Rollback("start", {"regret": float("nan")})], "measured regret is nan"),
        ([push(4, keep="start"), *[Rollback("start")] * 1001], f"more than {MOST_ROLLBACKS} rollbacks in one episode"),
    ],
    ids=["nothing kept", "unknown state", "measurement", "endless"],
)
def test_impossible_rollbacks_are_errors_of_the_policy(toy: SimulatorProcess, answers: Answers, fault: str) -> None:
    played, _ = attempt(toy, answers)
    assert played.outcome is Outcome.POLICY_ERROR
    with pytest.raises(AssertionError, match=fault):
        raise AssertionError(played.error)


# Playback


def test_playback_repeats_an_attempt_to_the_bit(toy: SimulatorProcess) -> None:
    """Also the effect that a snapshot has on the simulation: it shows in the digest of the state."""
    played, _ = attempt(toy, MISTAKE)
    digest = toy.fingerprint()
    record_video(EPISODE, toy, played.trajectory, "front", 20)
    assert toy.fingerprint() == digest
    observe(EPISODE, toy, played.trajectory, Request(), {})
    assert toy.fingerprint() == digest
    without = [event for event in played.trajectory.events if isinstance(event, ChunkExecuted)]
    del without[1]
    record_video(EPISODE, toy, replace(played.trajectory, events=tuple(without)), "front", 20)
    assert toy.fingerprint() != digest, "a snapshot changes how the simulation continues"


def brightness(images: list[NDArray[np.uint8]], part: slice) -> list[int]:
    return [round(float(image[8:56, part].mean()) / 10) for image in images]


def frames_of(video: Path) -> list[NDArray[np.uint8]]:
    with av.open(io.BytesIO(video.read_bytes())) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


# Whole runs

Ledger = dict[str, tuple[str, int, int, int]]


def ledger(name: str) -> Ledger:
    """Key -> outcome, steps, rollbacks and undone steps."""
    return {
        key: (record.outcome.value, record.steps, record.rollbacks, record.undone)
        for key, record in records(name).items()
    }


def test_the_ledger_counts_rollbacks_and_undone_steps(runs: Path) -> None:
    folder = play_run("clumsy", episodes=3)
    assert ledger("test") == {
        "toy/00/000": ("success", 14, 1, 4),
        "toy/00/001": ("success", 13, 1, 4),
        "toy/00/002": ("success", 12, 1, 4),
    }
    assert records()["toy/00/000"].measured == {"chunks": 4.0, "think": 0.5, "value": 0.25}
    trajectory = read_trajectory(folder.trajectory_file("toy/00/000"))
    assert (trajectory.steps, trajectory.rollbacks, trajectory.undone) == (14, 1, 4)


def test_a_simulator_that_dies_while_it_restores_is_no_failure_of_the_policy(tmp_path: Path) -> None:
    """The outcome is one that the runner repeats."""
    with SimulatorProcess(SimulatorSpec("tests.toy.simulator:ToySimulator"), tmp_path / "log") as process:

        def act(observation: Observation) -> ActionChunk | Rollback:
            if observation.step == 0:
                return push(4, keep="a")
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            return Rollback("a")

        played = play(EPISODE, process, SPEC, act)
    assert played.outcome is Outcome.SIMULATOR_ERROR and played.outcome in RETRIED
    assert "died in 'restore'" in str(played.error)


def test_the_ledger_of_impossible_rollbacks(runs: Path) -> None:
    play_run("endless")
    assert ledger("test") == {"toy/00/000": ("policy_error", 4, MOST_ROLLBACKS, 4)}
    play_run("endless", name="unknown", settings={"to": "elsewhere"})
    assert ledger("unknown") == {"toy/00/000": ("policy_error", 4, 0, 0)}
    assert "'elsewhere', which was not kept (kept: start)" in str(records("unknown")["toy/00/000"].error)


def test_a_policy_that_rolls_back_can_be_measured(runs: Path) -> None:
    folder = play_run("clumsy", episodes=3, simulators=None)
    (worker,) = folder.read().workers
    assert ": a simulator needs 0." in worker["placement"]
    assert {steps for _, steps, _, _ in ledger("test").values()} == {14, 13, 12}


def test_the_video_shows_the_mistake_and_the_return(runs: Path) -> None:
    folder = play_run("clumsy", video="all")
    shown = brightness(frames_of(folder.path / "videos/toy/00/000.mp4"), slice(8, 56))
    assert shown == [0, 2, 4, 2, 0, 6, 8, 10]
    reds = [int(frame[1, :, 0].mean()) for frame in frames_of(folder.path / "videos/toy/00/000.mp4")]
    assert [red > 180 for red in reds] == [False, False, False, True, True, False, False, False], "an orange border"


@pytest.mark.parametrize("execute", [10, 3])
def test_a_replay_repeats_the_rollbacks(runs: Path, execute: int) -> None:
    """Also in chunks of other lengths than the run's."""
    play_run("clumsy", episodes=3)
    play_run("replay", episodes=3, name="again", settings={"checkpoint": "test", "execute": execute})
    assert ledger("again") == ledger("test")
    play_run("replay", episodes=3, name="third", settings={"checkpoint": "again", "execute": execute})
    assert ledger("third") == ledger("test")


def test_a_repeated_episode_repeats_the_rollbacks(runs: Path) -> None:
    play_run("clumsy")
    repetition = replay_episode("test", "toy/00/000")
    assert repetition.same and repetition.now == "success after 14 steps"


class ClumsyDream(Clumsy, Dream):
    """Imagines a push forward with every chunk, also with the one that it executes the wrong way."""


Install = Callable[[str], str]


@pytest.fixture
def policy_file(tmp_path: Path) -> Install:
    """Writes the YAML file of a policy class of this module; returns its path."""

    def write(name: str) -> str:
        path = tmp_path / f"{name.lower()}.yaml"
        path.write_text(f"title: {name}\npolicy: tests.run.test_rollback:{name}\n")
        return str(path)

    return write


@pytest.mark.skipif(importlib.util.find_spec("skimage") is None, reason="scores need scikit-image: make setup MODELS=1")
def test_imagined_frames_are_compared_with_what_was_executed_then(runs: Path, policy_file: Install) -> None:
    """The frames of the undone chunk with the mistake, those after the return with the second try."""
    folder = play_run(policy_file("ClumsyDream"), studies={"imagined": 1})
    assert ledger("test") == {"toy/00/000": ("success", 14, 1, 4)}
    with np.load(folder.path / "imagined/toy/00/000.npz") as archive:
        assert archive["frames"].shape[:2] == (4, 4) and archive["steps"].tolist() == [0, 4, 8, 12]
    video = frames_of(folder.path / "imagined/toy/00/000.mp4")
    assert brightness(video, slice(8, 56)) == [0, 2, 4, 4, 2, 0, 4, 6, 8, 8, 10], "executed"
    assert brightness(video, slice(76, 124)) == [0, 2, 4, 4, 6, 8, 4, 6, 8, 8, 10], "imagined"
    measured = records()["toy/00/000"].measured
    assert measured["reconstruction_ssim"] == pytest.approx(1.0) and measured["imagined_ssim"] < 1.0
