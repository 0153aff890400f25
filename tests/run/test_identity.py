"""The identity of a run's policy: another model, label or source does not continue a run silently."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import wam_eval
from tests.toy.policies import Stated
from tests.toy.runs import outcomes, play
from wam_eval import api, config
from wam_eval.errors import UserError
from wam_eval.policy import source_digests
from wam_eval.report.tables import markdown_of, plain_of, summary_of
from wam_eval.run.execute import RunRequest, check_label, default_name, execute
from wam_eval.run.folder import LONGEST_NAME, PolicyRecord, RunFolder, is_name
from wam_eval.run.plan import plan_run
from wam_eval.run.replay_episode import replay_episode

A, B = {"name": "model_A", "horizon": 10}, {"name": "model_B", "horizon": 10}


def play_stated(server: dict[Any, Any], episodes: int = 1, **options: Any) -> RunFolder:
    """Play the policy that states facts about its server."""
    return play("stated", settings={"server": server, **options.pop("more", {})}, episodes=episodes, **options)


def test_another_model_behind_the_same_address_does_not_continue_a_run(runs: Path) -> None:
    folder = play_stated(A)
    before = (folder.path / "run.json").read_bytes(), folder.ledger.read_bytes()
    with pytest.raises(UserError) as refused:
        play_stated(B, episodes=2)
    assert str(refused.value) == (
        "run 'test' was started differently:\n"
        "  policy.facts.server.name: 'model_A' then, 'model_B' now\nGive this one another name: --run NAME"
    )
    assert ((folder.path / "run.json").read_bytes(), folder.ledger.read_bytes()) == before, "nothing was planned either"
    play_stated(A, episodes=2)
    assert len(outcomes()) == 2
    assert folder.read().policy.facts == {"server": A}
    assert folder.read().workers[0]["policy"]["id"], "facts that do not identify the policy are recorded, too"


@pytest.mark.parametrize("other", [{}, {"name": "model_A"}, {**A, "horizon": None}, {**A, "more": [1]}])
def test_every_difference_of_the_facts_counts(runs: Path, other: dict[str, Any]) -> None:
    play_stated(A)
    with pytest.raises(UserError, match=r"policy\.facts\.server\.\w+: .* then, .* now"):
        play_stated(other, episodes=2)


def test_a_run_that_holds_nothing_may_have_another_model(runs: Path) -> None:
    """Errors of a wrong set-up are played again by the corrected one; nothing counts yet that could be mixed."""
    play_stated(A, more={"crash": "no such key"}, episodes=2)
    with pytest.raises(UserError, match=r"label: None then, 'B' now\n.*or play the episodes again with --retry-errors"):
        play_stated(B, label="B")
    play_stated(B, label="B", retry_errors=True, episodes=2)
    assert set(outcomes().values()) == {"success"}
    assert RunFolder("test").read().policy.facts == {"server": B}


def test_workers_must_have_the_same_policy(runs: Path) -> None:
    """Each worker states its facts when it has loaded the policy, before it plays."""
    from wam_eval.run.execute import _check_worker

    record = play_stated(A).read()
    described = {"node": "there", "identity": {"server": B}, "source": record.policy.source}
    with pytest.raises(UserError, match=r"the worker on there has another policy than the run:\n.*elsewhere, .* there"):
        _check_worker(record, described)
    described = {"node": "there", "identity": {"server": A}, "source": {"tests.toy.policies": "edited"}}
    with pytest.raises(UserError, match=r"policy\.source\.tests\.toy\.policies: .* elsewhere, 'edited' there"):
        _check_worker(record.model_copy(update={"workers": []}), described)


def test_a_server_that_says_nothing_is_named_below_the_table(runs: Path) -> None:
    folder = play_stated({})
    assert folder.read().policy.facts == {"server": {}}
    note = "The policy server does not identify its model: use --label TEXT (LABEL=) to name it."
    assert note in markdown_of(summary_of(folder)) and note in plain_of(summary_of(folder))["remarks"]
    assert note not in markdown_of(summary_of(play_stated({}, name="labelled", label="v2")))
    assert note not in markdown_of(summary_of(play_stated(A, name="stated")))


def test_a_checkpoint_whose_content_is_unknown_is_named() -> None:
    fields: dict[str, Any] = {"name": "p", "title": "P", "policy": "m:C", "settings": {"checkpoint": "org/model"}}
    record = PolicyRecord(**fields, checkpoint_sha256=None, facts={})
    assert "checkpoint 'org/model', which is no file here, does not identify" in record.unidentified
    assert not record.model_copy(update={"checkpoint_sha256": "abc"}).unidentified
    assert not record.model_copy(update={"facts": None}).unidentified, "older runs did not record it"
    assert not record.model_copy(update={"settings": {}}).unidentified, "no checkpoint"


def test_facts_are_compared_as_json_holds_them(runs: Path) -> None:
    """Tuples, numbers as keys, and values that are no JSON do not look like another policy."""
    odd = {"shape": (1, 2), 3: "three", "scale": float("nan"), "limit": float("-inf"), "path": Path("/a")}
    folder = play_stated(odd)
    play_stated(odd, episodes=2)
    assert folder.read().policy.facts == {
        "server": {"shape": [1, 2], "3": "three", "scale": "NaN", "limit": "-Infinity", "path": "/a"}
    }


def test_an_episode_is_not_repeated_with_another_policy(runs: Path) -> None:
    folder = play_stated(A)
    with pytest.raises(
        UserError, match=r"the policy is not that of run 'test':\n  policy\.facts\.server\.name: 'model_A'"
    ):
        replay_episode("test", "toy/00/000")
    policy = folder.read().policy
    folder.write(folder.read().model_copy(update={"policy": policy.model_copy(update={"facts": {"server": {}}})}))
    assert replay_episode("test", "toy/00/000").same


def test_the_name_of_a_run_of_an_object_is_valid(runs: Path) -> None:
    run = wam_eval.evaluate(suite="toy", policy=Stated.create(), label="ü" * 80, tasks="0", episodes=1, simulators=1)
    assert is_name(run.name)


# Labels


def test_a_label_is_part_of_the_policy_and_shown_with_its_title(runs: Path) -> None:
    run = wam_eval.evaluate(
        suite="toy", policy=Stated.create(), tasks="0", episodes=1, simulators=1, run="mine", label="[v2] 30k | steps"
    )
    assert run.record.policy.label == "[v2] 30k | steps"
    assert run.data.title == "Pushes, and states facts about its server ([v2] 30k | steps)"
    assert json.loads((run.path / "summary.json").read_text())["label"] == "[v2] 30k | steps"
    for label in (None, "v3"):
        with pytest.raises(UserError, match=r"policy\.label: '\[v2\] 30k \| steps' then, (None|'v3') now"):
            api.evaluate(
                suite="toy", policy=Stated.create(), tasks="0", episodes=2, simulators=1, run="mine", label=label
            )


def test_the_address_of_a_labelled_server_may_change() -> None:
    fields: dict[str, Any] = {"name": "p", "title": "P", "policy": "m:C"}

    def record(address: str, label: str | None, digest: str | None = None) -> PolicyRecord:
        settings = {"checkpoint": address, "execute": 5}
        return PolicyRecord(**fields, settings=settings, checkpoint_sha256=digest, label=label)

    assert not record("ws://a:1", "v1").differences(record("ws://b:2", "v1"))
    assert record("ws://a:1", "v1").differences(record("ws://b:2", "v2"))
    assert record("ws://a:1", None).differences(record("ws://b:2", None))
    assert not record("/a/model.pt", None, "abc").differences(record("/b/model.pt", None, "abc")), "the same content"
    assert record("/a/model.pt", "v1", "abc").differences(record("/b/model.pt", "v1", "def"))


@pytest.mark.parametrize("label", ["", "  ", "a\nb", "a\x1b[31m", "x" * 81, "\udcff"])
def test_a_label_fits_into_a_table(runs: Path, label: str) -> None:
    with pytest.raises(UserError, match=r"--label .*: give one line of 1 to 80 printable characters"):
        check_label(label)


# Source


SOURCE = "from tests.toy.policies import Push\n\n\nclass Mine(Push):\n    '''Mine.'''\n"


def test_an_edited_policy_file_does_not_continue_a_run(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "my_own_policy.py"
    file.write_text(SOURCE)
    mine = importlib.import_module("my_own_policy").Mine

    def evaluate(episodes: int) -> None:
        wam_eval.evaluate(suite="toy", policy=mine.create(), tasks="0", episodes=episodes, simulators=1, run="test")

    evaluate(1)
    file.write_text(SOURCE + "    push = 2.0\n")
    with pytest.raises(UserError, match=r"policy\.source\.my_own_policy: '\w+' then, '\w+' now"):
        evaluate(2)
    file.write_text(SOURCE)
    evaluate(2)
    assert len(outcomes()) == 2


@pytest.mark.slow
def test_a_policy_file_with_spaces_is_played_on_ray(runs: Path, tmp_path: Path, ray_cluster: str) -> None:
    """In a process of its own, twice; the file is edited in between."""
    (tmp_path / "my_policy_file.py").write_text(SOURCE)
    (tmp_path / "my policy (v1).yaml").write_text("title: Mine\npolicy: my_policy_file:Mine\n")

    def run(episodes: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "wam_eval", "run", "--suite", "toy", "--policy", "my policy (v1).yaml"]
        options = ["--tasks", "0", "--episodes", str(episodes), "--simulators", "1"]
        path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.run([*command, *options], capture_output=True, text=True, cwd=tmp_path, env=environment)

    done = run(1)
    assert done.returncode == 0, done.stderr
    (name,) = (path.name for path in runs.iterdir())
    assert name == "toy-my_policy_v1_-plain", "a name without spaces is made of that of the file"
    assert set(RunFolder(name).read().policy.source or {}) == {"my_policy_file", "tests.toy.policies"}
    (tmp_path / "my_policy_file.py").write_text(SOURCE + "    push = 2.0\n")
    done = run(2)
    assert done.returncode == 2 and "policy.source.my_policy_file: '" in done.stderr, done.stderr


def test_the_source_of_this_package_is_not_the_policys() -> None:
    assert set(source_digests(Stated)) == {"tests.toy.policies"}


# Names


@pytest.mark.parametrize(
    ("policy", "checkpoint", "label"),
    [
        ("my folder/my policy.yaml", None, None),
        ("a/über(1).yaml", "/models/step 2000.pt", "30k steps"),
        ("push", "ws://user@host:8000/a?b=c", None),
        ("push", "/", "/"),
        ("..", "..", ".."),
        ("push", "m" * 300, None),
        ("push", None, "ü" * 80),
        ("\udcff.yaml", "\udcff", None),
        ("é.yaml", None, None),
    ],
)
def test_every_default_name_is_a_name(runs: Path, policy: str, checkpoint: str | None, label: str | None) -> None:
    name = default_name("my suite", policy, "card: 2", checkpoint, label)
    assert is_name(name) and len(name.encode()) <= LONGEST_NAME
    assert name == default_name("my suite", policy, "card: 2", checkpoint, label)
    RunFolder(name).write_text("x", "x")


def test_long_names_stay_different() -> None:
    assert len({default_name("toy", "push", "plain", end.rjust(300, "m")) for end in "ab"}) == 2


def test_a_command_with_bytes_that_are_no_text_is_recorded(runs: Path) -> None:
    plans = plan_run("toy", None, "0", 1)
    policy = Stated.create()
    request = RunRequest("test", plans, "stated", config.load_policy("stated"), loaded=policy, command=["\udcff.yaml"])
    assert execute(request).read().command == ["\\udcff.yaml"]
