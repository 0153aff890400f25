"""Rollback in real simulators: a scripted policy errs, notices it, and returns to the state before its mistake."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from wam_eval.episode import Episode, Outcome
from wam_eval.hosting.process import SimulatorProcess
from wam_eval.observation import ActionChunk, Observation, Request, Rollback
from wam_eval.policies.expert import Expert
from wam_eval.policies.replay import Replay
from wam_eval.run.folder import RunFolder
from wam_eval.run.ledger import Record
from wam_eval.run.plan import SuitePlan, plan_run
from wam_eval.run.playback import observe, record_video
from wam_eval.run.rollout import Attempt, play
from wam_eval.trajectory import ChunkExecuted, RolledBack, StateKept, Trajectory

FIRST = 12
"""Answer of the policy before which the state is kept."""


class ErringExpert(Expert):
    """The scripted expert, with random actions in the middle of the episode that it takes back.

    Args:
        mistakes: number of random actions; with 0 the state is kept, but never returned to.
    """

    def __init__(self, mistakes: int) -> None:
        super().__init__()
        self.mistakes = mistakes
        self.answers = 0

    def begin(self, episode: Episode) -> None:
        """Begin an episode."""
        super().begin(episode)
        self.answers = 0
        self.stream = episode.stream("mistakes")

    def act(self, observations: Sequence[Observation]) -> list[ActionChunk | Rollback]:
        """The expert's action, a random one, or the rollback."""
        (observation,) = observations
        self.answers += 1
        wrong = self.answers - FIRST
        if not self.mistakes or not 0 <= wrong <= self.mistakes:
            keep = "before" if self.answers == FIRST else ""
            (answer,) = super().act(observations)
            assert isinstance(answer, ActionChunk)
            return [ActionChunk(answer.actions, keep=keep)]
        if wrong == self.mistakes:
            return [Rollback("before")]
        actions = self.action_spaces[observation.suite].random(observation.state, 1, self.stream)
        return [ActionChunk(actions, keep="before" if wrong == 0 else "")]


@pytest.fixture(scope="module", params=["libero_object", "robotwin_clean"])
def plan(request: pytest.FixtureRequest) -> SuitePlan:
    """A suite, with one episode of a task that the expert solves."""
    tasks = {"libero_object": "2", "robotwin_clean": "click_bell"}
    (found,) = plan_run(request.param, tasks=tasks[request.param], episodes=1)
    return found


@pytest.fixture(scope="module")
def simulator(plan: SuitePlan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """A simulator process of the suite, with a renderer."""
    log = tmp_path_factory.mktemp("rollback") / "log"
    with SimulatorProcess(plan.installation.spec(plan.protocol.settings), log) as process:
        yield process


def attempt(plan: SuitePlan, simulator: SimulatorProcess, policy: Expert | Replay) -> tuple[Attempt, dict[str, str]]:
    """Play the suite's episode. Returns the attempt, and the fingerprint of the last state."""
    (episode,) = plan.episodes
    policy.action_spaces = {plan.name: plan.benchmark.action_space(plan.protocol.settings)}
    policy.protocols = {plan.name: plan.protocol}
    policy.begin(episode)
    played = play(episode, simulator, policy.spec, lambda observation: policy.act([observation])[0])
    return played, simulator.fingerprint()


@pytest.fixture(scope="module")
def erring(plan: SuitePlan, simulator: SimulatorProcess) -> tuple[Attempt, dict[str, str]]:
    """The episode with five wrong actions that are undone."""
    return attempt(plan, simulator, ErringExpert(5))


def test_the_episode_goes_on_as_if_there_had_been_no_mistake(
    plan: SuitePlan, simulator: SimulatorProcess, erring: tuple[Attempt, dict[str, str]]
) -> None:
    played, state = erring
    careful, expected = attempt(plan, simulator, ErringExpert(0))
    assert played.outcome is careful.outcome is Outcome.SUCCESS
    assert state == expected, "not the same bits as an episode that kept the state and never left it"
    assert played.trajectory.steps == careful.trajectory.steps + 5
    assert (played.trajectory.undone, played.trajectory.rollbacks) == (5, 1)


def test_the_events_are_in_order(erring: tuple[Attempt, dict[str, str]]) -> None:
    events = erring[0].trajectory.events
    kinds = [type(event) for event in events[FIRST - 1 : FIRST + 7]]
    assert kinds == [StateKept, *[ChunkExecuted] * 5, RolledBack, ChunkExecuted]


def test_keeping_a_state_changes_nothing_in_mujoco(plan: SuitePlan, simulator: SimulatorProcess) -> None:
    """PhysX has no complete snapshot, so in SAPIEN keeping a state changes the last digits, but not the outcome."""
    undisturbed, expected = attempt(plan, simulator, Expert())
    kept, state = attempt(plan, simulator, ErringExpert(0))
    assert kept.outcome is undisturbed.outcome is Outcome.SUCCESS
    assert (state == expected) or plan.benchmark.name != "libero"


def test_a_replay_repeats_the_mistake_and_the_rollback(
    plan: SuitePlan,
    simulator: SimulatorProcess,
    erring: tuple[Attempt, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WAM_EVAL_RUNS", str(tmp_path))
    folder = RunFolder("recorded")
    (episode,) = plan.episodes
    suites = {plan.name: {"protocol": plan.protocol.model_dump(mode="json")}}
    folder.write_text("run.json", json.dumps({"suites": suites}))
    line = Record.of(episode, outcome=Outcome.SUCCESS, steps=erring[0].trajectory.steps, attempt=1, seconds={})
    folder.write_text("episodes.jsonl", line.model_dump_json() + "\n")
    trajectory = folder.trajectory_file(episode.key)
    trajectory.parent.mkdir(parents=True)
    trajectory.write_bytes(erring[0].trajectory.to_bytes())
    replayed, state = attempt(plan, simulator, Replay.create(checkpoint="recorded", execute=1))
    assert state == erring[1]
    assert same_events(replayed.trajectory, erring[0].trajectory)


def test_observations_after_the_rollback_are_those_before_the_mistake(
    plan: SuitePlan, simulator: SimulatorProcess, erring: tuple[Attempt, dict[str, str]]
) -> None:
    """Chunk FIRST - 1 is the first wrong one, chunk FIRST + 4 the first one after the return to the state before it."""
    camera = plan.benchmark.cameras(plan.protocol.settings)[0].name
    trajectory = erring[0].trajectory
    wanted = {FIRST - 1: [0, 1], FIRST + 4: [0]}
    seen = observe(plan.episodes[0], simulator, trajectory, Request(cameras=(camera,)), wanted)
    before, wrong, after = seen[FIRST - 1, 0], seen[FIRST - 1, 1], seen[FIRST + 4, 0]
    assert np.array_equal(before.images[camera], after.images[camera])
    assert np.array_equal(before.state, after.state)
    assert not np.array_equal(before.state, wrong.state)
    assert (before.step, before.undone, after.step, after.undone) == (FIRST - 1, 0, FIRST - 1, 5)


def test_the_video_shows_the_mistake_too(
    plan: SuitePlan, simulator: SimulatorProcess, erring: tuple[Attempt, dict[str, str]]
) -> None:
    camera = plan.benchmark.cameras(plan.protocol.settings)[0].name
    content = record_video(plan.episodes[0], simulator, erring[0].trajectory, camera, 20)
    with av.open(io.BytesIO(content)) as video:
        frames = sum(1 for _ in video.decode(video=0))
    straight = Trajectory(tuple(e for e in erring[0].trajectory.events if isinstance(e, ChunkExecuted)))
    assert abs(frames - 1 - straight.steps / 2) <= 1


def same_events(one: Trajectory, other: Trajectory) -> bool:
    """True if two trajectories have the same events, with equal actions."""
    return len(one.events) == len(other.events) and all(
        np.array_equal(a.actions, b.actions)
        if isinstance(a, ChunkExecuted) and isinstance(b, ChunkExecuted)
        else a == b
        for a, b in zip(one.events, other.events, strict=True)
    )
