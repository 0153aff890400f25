"""Whole runs of the toy benchmark: outcomes, continuation, refusals, and messages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.toy.runs import outcomes, play, records
from wam_eval import config
from wam_eval.episode import Outcome
from wam_eval.errors import UserError
from wam_eval.run.execute import RunProgress, RunRequest, default_name, execute
from wam_eval.run.folder import RunFolder
from wam_eval.run.ledger import Ledger, read_ledger
from wam_eval.run.plan import plan_run
from wam_eval.run.task_selection import TaskSelection
from wam_eval.trajectory import read_trajectory

NOWHERE = "nowhere:1"
"""Address without a Ray cluster, for runs that must not start one."""


@pytest.mark.parametrize("on_ray", [False, True], ids=["in this process", "on Ray"])
def test_a_run_is_played_and_extended(runs: Path, request: pytest.FixtureRequest, on_ray: bool) -> None:
    if on_ray:
        request.getfixturevalue("ray_cluster")
    folder = play(tasks="0,1", episodes=2, on_ray=on_ray)
    assert outcomes(folder) == {f"toy/{t:02d}/{i:03d}": "success" for t in (0, 1) for i in (0, 1)}
    for record in records(folder).values():
        assert record.steps == 10 - record.index
        assert record.measured == {"think": 0.5, "chunks": 3}
        assert (record.rollbacks, record.undone) == (0, 0)
        assert set(record.seconds) == {"load", "policy", "simulate"}
        assert read_trajectory(folder.trajectory_file(record.key)).steps == record.steps
    before = folder.ledger.read_bytes()

    play(tasks="0,1", episodes=2, on_ray=on_ray)
    assert folder.ledger.read_bytes() == before, "a finished run plays nothing"
    play(tasks="0", episodes=3, on_ray=on_ray)
    assert folder.ledger.read_bytes().startswith(before)
    assert len(outcomes(folder)) == 5
    assert {index: task.episodes for index, task in folder.read().suites["toy"].tasks.items()} == {0: 3, 1: 2}


def test_an_error_of_the_policy_ends_its_own_episode_only(runs: Path) -> None:
    folder = play("faulty", episodes=8)
    by_index = {record.index: record for record in records(folder).values()}
    wrong, fine = Outcome.POLICY_ERROR, Outcome.SUCCESS
    assert [by_index[i].outcome for i in range(8)] == [*[wrong] * 3, Outcome.NOT_RUN, wrong, wrong, fine, fine]
    assert [by_index[i].attempt for i in range(8)] == [1] * 8
    assert by_index[0].error == "action 2 of the chunk is nan in column 3"
    assert by_index[1].error == "an action chunk of shape (6, 3); expected (n, 7), n at least 1"
    assert by_index[2].error == "RuntimeError: out of memory"
    assert by_index[3].error == "no script for this one"
    assert str(by_index[4].error).startswith("the actions are not an array")
    assert by_index[5].error == "measured value is nan"
    assert "out of memory" in (folder.path / "logs" / "policy.log").read_text()


def test_episodes_that_cannot_be_played_here_are_recorded_once(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a simulator, a worker or Ray, and with the reason."""
    (plan,) = plan_run("toy", None, "0,1", 2)
    lacking = {episode.key: "needs the robot's model" for episode in plan.episodes}
    plan = replace(plan, not_run=lacking)
    monkeypatch.setenv("RAY_ADDRESS", NOWHERE)
    request = RunRequest("test", [plan], "push", config.load_policy("push"))
    folder = execute(request)
    assert outcomes(folder) == dict.fromkeys(lacking, "not_run")
    assert {record.error for record in records(folder).values()} == {"needs the robot's model"}
    before = folder.ledger.read_bytes()
    execute(replace(request, retry_errors=True))
    assert folder.ledger.read_bytes() == before


def test_the_other_episodes_are_played(runs: Path) -> None:
    (plan,) = plan_run("toy", None, "0,1", 1)
    first, second = (episode.key for episode in plan.episodes)
    plan = replace(plan, not_run={first: "needs the robot's model"})
    folder = execute(RunRequest("test", [plan], "push", config.load_policy("push"), loaded=push()))
    assert outcomes(folder) == {first: "not_run", second: "success"}


def push() -> Any:
    from tests.toy.policies import Push

    return Push.create()


def test_all_selections_of_a_run_are_recorded(runs: Path) -> None:
    sample = TaskSelection(sample=0.5)
    policy, tasks = push(), set()
    for selection in (sample, replace(sample, sample_seed=3), sample, TaskSelection()):
        plans = plan_run("toy", None, "0,1", 1, selection)
        folder = execute(RunRequest("test", plans, "push", config.load_policy("push"), loaded=policy))
        tasks |= {episode.key for episode in plans[0].episodes}
    assert folder.read().selections == [{"sample": 0.5, "sample_seed": 0}, {"sample": 0.5, "sample_seed": 3}, {}]
    assert set(outcomes(folder)) == tasks


def test_a_run_with_other_assets_is_refused(runs: Path) -> None:
    """The error says what changed and what to do."""
    play()
    (plan,) = plan_run("toy", None, "0", 1)
    more = plan.protocol.assets.model_copy(update={"digest": "more", "detail": "with an archive"})
    plan = replace(plan, protocol=plan.protocol.model_copy(update={"assets": more}))
    with pytest.raises(UserError) as refused:
        execute(RunRequest("test", [plan], "push", config.load_policy("push")))
    assert "toy: assets: '' then, 'with an archive' now" in str(refused.value)
    assert "play the episodes that did not run for lack of them in a new run" in str(refused.value)
    assert str(refused.value).endswith("Give this one another name: --run NAME")


def test_a_policy_that_becomes_unavailable_stops_the_run(runs: Path) -> None:
    """Its episode has no record, so that the same command plays it."""
    with pytest.raises(UserError, match="the server is gone\nThe same command continues this run"):
        play("gone", episodes=6)
    assert "toy/00/002" not in outcomes()


def test_a_policy_may_be_unavailable_from_the_measurement_on(runs: Path) -> None:
    with pytest.raises(UserError, match="the policy gives no usable answer: the server is gone"):
        play("gone", settings={"faults": {"0": "gone"}}, episodes=6, simulators=None)
    assert not outcomes()


def test_another_protocol_or_policy_is_another_run(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play()
    monkeypatch.setenv("RAY_ADDRESS", NOWHERE)
    with pytest.raises(UserError, match=r"toy: settings\.pause: 0\.0 then, 0\.05 now"):
        play(protocol="slow", on_ray=True)
    with pytest.raises(UserError, match=r"policy\.settings: \{\} then, \{'faults'"):
        play("faulty", on_ray=True)


def test_errors_can_be_played_again(runs: Path) -> None:
    folder = play("faulty", episodes=7)
    lines = len(folder.ledger.read_bytes().splitlines())
    play("faulty", episodes=7, retry_errors=True)
    assert len(folder.ledger.read_bytes().splitlines()) == lines + 6
    assert len(outcomes(folder)) == 7


def test_videos_are_recorded_on_request(runs: Path) -> None:
    folder = play(video="all")
    assert (folder.path / "videos/toy/00/000.mp4").read_bytes()[4:8] == b"ftyp"
    folder = play(name="failures", video="failures")
    assert not (folder.path / "videos").exists(), "the episode succeeds"


def test_a_run_that_is_being_written_is_refused(runs: Path) -> None:
    with Ledger(RunFolder("test").ledger), pytest.raises(UserError, match="another process"):
        play()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b"])
def test_names_that_are_no_folder_are_refused(runs: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name of a run"):
        play(name=name)


def test_errors_in_the_start_of_a_worker_are_reported(runs: Path, ray_cluster: str) -> None:
    with pytest.raises(UserError, match="a worker could not start: ValueError: no such weights"):
        play("unmade", on_ray=True)
    assert not outcomes()


def test_a_camera_that_the_benchmark_lacks_is_an_error(runs: Path) -> None:
    with pytest.raises(UserError, match=r"a worker could not start: unknown camera of toy 'side': .*front"):
        play("sideways")


def test_a_policy_is_prepared_for_the_instructions_that_are_left(runs: Path) -> None:
    folder = play("dream", tasks="0,1")
    (worker,) = folder.read().workers
    assert worker["policy"] == {"prepared": ["push the point", "push the point again"]}
    assert folder.read().policy.cameras == worker["cameras"] == ["front"]
    play("dream", tasks="1", episodes=2)
    assert folder.read().workers[0]["policy"] == {"prepared": ["push the point again"]}
    assert "policy" not in play(name="another").read().workers[0], "it states no facts"


def test_a_policy_that_cannot_be_prepared_plays_nothing(runs: Path) -> None:
    with pytest.raises(UserError, match="a worker could not start: the text encoder is not there"):
        play("dream", settings={"quality": "unprepared"})
    assert not outcomes()


@pytest.mark.parametrize(("field", "value"), [("seed", 99), ("instruction", "do something else")])
def test_a_run_is_not_continued_with_other_episodes_of_the_same_keys(runs: Path, field: str, value: Any) -> None:
    play()
    (plan,) = plan_run("toy", None, "0", 2)
    others = tuple(replace(episode, **{field: value}) for episode in plan.episodes)
    request = RunRequest("test", [replace(plan, episodes=others)], "push", config.load_policy("push"))
    with pytest.raises(UserError, match=f"toy/00/000 had the {field} .* then, .* now"):
        execute(request)


def test_progress_is_reported_after_each_episode(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[RunProgress] = []
    play("faulty", tasks="1", episodes=6)
    capsys.readouterr()
    play("faulty", tasks="1", episodes=8, progress=seen.append)
    assert [(one.record.index, one.finished, one.planned, one.successes, one.counted) for one in seen] == [
        (6, 7, 8, 1, 1),
        (7, 8, 8, 2, 2),
    ]
    assert capsys.readouterr().err == "", "a caller that takes the progress shows it, too"


def test_a_full_disk_is_one_message(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Ledger, *records: object) -> None:
        raise OSError(28, "No space left on device", str(self.path))

    (plan,) = plan_run("toy", None, "0", 1)
    monkeypatch.setattr(Ledger, "append", full)
    monkeypatch.setattr("wam_eval.run.execute._record_not_run", lambda *_: None)
    with pytest.raises(UserError, match=r"No space left on device: .*episodes\.jsonl\. The same command continues"):
        execute(RunRequest("test", [plan], "push", config.load_policy("push"), loaded=push()))


def test_the_default_name_is_made_from_the_command() -> None:
    assert default_name("toy", "push", "plain", None) == "toy-push-plain"
    assert default_name("toy", "my/policy.yaml", "plain", "/models/step 2000.pt") == "toy-policy-plain-step_2000"


def test_an_empty_ledger_may_have_another_description(runs: Path) -> None:
    """A run that was stopped before its first episode holds nothing that the description could contradict."""
    with pytest.raises(UserError):
        play("sideways")
    assert not read_ledger(RunFolder("test").ledger).records
    assert outcomes(play()) == {"toy/00/000": "success"}
