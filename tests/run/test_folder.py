"""The description of a run: broken files are named, and a run is continued only by the same policy and protocols."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_protocol import protocol
from wam_eval.errors import UserError
from wam_eval.run.folder import (
    PolicyRecord,
    RunFolder,
    RunRecord,
    SuiteRecord,
    TaskRecord,
    continued,
    is_name,
    study_name,
    video_name,
)


def suite(tasks: dict[int, int], **changes: Any) -> SuiteRecord:
    """A suite with numbers of episodes by task."""
    rules = protocol(**changes)
    return SuiteRecord(
        benchmark="toy",
        protocol=rules,
        protocol_sha256=rules.digest,
        size=9,
        tasks={index: TaskRecord(episodes=count, instruction="push") for index, count in tasks.items()},
    )


def run(suites: dict[str, SuiteRecord], **changes: Any) -> RunRecord:
    policy = {"name": "push", "title": "Push", "policy": "m:C", "settings": {}, "checkpoint_sha256": None}
    fields: dict[str, Any] = {"run": "test", "created": "then", "suites": suites, "command": [], "versions": {}}
    return RunRecord(policy=PolicyRecord(**{**policy, **changes.pop("policy", {})}), **{**fields, **changes})


def test_a_description_is_read_as_it_was_written(runs: Path) -> None:
    record = run({"toy": suite({0: 2, 3: 1}), "toy_b": suite({})}, selections=[{}], workers=[{"node": "here"}])
    folder = RunFolder("test")
    assert not folder.exists()
    folder.write(record)
    assert folder.exists() and folder.read() == record
    assert folder.read().suites_of("toy") == ["toy", "toy_b"] and folder.read().benchmarks == ["toy"]
    folder.path.rename(runs / "renamed")
    assert RunFolder("renamed").read().run == "renamed", "the folder may have been renamed or copied"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "not valid JSON"),
        ("[]", "not valid JSON: expected a JSON object"),
        ('{"format": 2}', "run.json: run: Field required|run.json: created: Field required|policy: Field required"),
        ('{"format": 9}', "has format 9.*newer version"),
        ("{}", "has format 1.*wam-eval convert test"),
    ],
)
def test_a_broken_description_is_named(runs: Path, text: str, fault: str) -> None:
    folder = RunFolder("test")
    folder.write_text("run.json", text)
    with pytest.raises(UserError, match=fault):
        folder.read()


def test_a_field_of_the_wrong_type_is_named(runs: Path) -> None:
    folder = RunFolder("test")
    content = json.loads(run({"toy": suite({0: 2})}).model_dump_json())
    content["suites"]["toy"]["tasks"]["0"]["episodes"] = "many"
    folder.write_text("run.json", json.dumps(content))
    with pytest.raises(UserError, match=r"run\.json: suites\.toy\.tasks\.0\.episodes: Input should be a valid integer"):
        folder.read()


def test_an_unknown_run_gets_the_nearest_names(runs: Path) -> None:
    RunFolder("test").write(run({}))
    with pytest.raises(UserError, match="unknown run 'tset': did you mean test"):
        RunFolder("tset").read()


def test_a_continued_run_keeps_what_it_planned_before() -> None:
    old = run({"a": suite({0: 5, 1: 1}), "b": suite({0: 1})}, selections=[{"sample": 0.5}])
    old.policy.cameras = ["front"]
    new = run({"a": suite({1: 3, 0: 2, 2: 1}), "c": suite({4: 1})}, created="now", selections=[{"sample": 0.5}, {}])
    both = continued(old, new)
    planned = {name: {index: task.episodes for index, task in s.tasks.items()} for name, s in both.suites.items()}
    assert planned == {"a": {0: 5, 1: 3, 2: 1}, "b": {0: 1}, "c": {4: 1}}
    assert both.created == "then" and both.policy.cameras == ["front"]
    assert both.selections == [{"sample": 0.5}, {}]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"policy": {"settings": {"push": 2}}}, r"policy\.settings: \{\} then, \{'push': 2\} now"),
        ({"policy": {"checkpoint_sha256": "abc"}}, r"policy\.checkpoint_sha256: None then, 'abc' now"),
        ({"policy": {"policy": "m:D"}}, r"policy\.policy: 'm:C' then, 'm:D' now"),
    ],
)
def test_another_policy_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(UserError, match=f"run 'test' was started differently:\n  {fault}\nGive this one another name"):
        continued(run({}), run({}, **changes))


def test_another_name_or_title_of_a_policy_is_the_same_policy() -> None:
    assert continued(run({}), run({}, policy={"name": "n", "title": "New"})).policy.title == "New"


def test_another_protocol_is_refused_field_by_field() -> None:
    changes = {"step_limit": 400, "settings": {"settle_steps": 30, "cameras": ["agentview"]}}
    with pytest.raises(UserError) as caught:
        continued(run({"toy": suite({})}), run({"toy": suite({}, **changes)}))
    assert "toy: step_limit: 280 then, 400 now" in str(caught.value)
    assert "toy: settings.settle_steps: 10 then, 30 now" in str(caught.value)


def test_another_value_of_a_setting_that_is_not_hashed_is_refused() -> None:
    """The results are the same, but the record would be wrong; a run that is older than the setting may go on."""
    settings = {"settle_steps": 10, "cameras": ["agentview"]}
    without, fast, plain = (
        run({"toy": suite({}, settings={**settings, **one}, unhashed=("engine",))})
        for one in ({}, {"engine": "fast"}, {"engine": "plain"})
    )
    with pytest.raises(UserError, match=r"toy: settings\.engine: 'fast' then, 'plain' now"):
        continued(fast, plain)
    assert continued(without, fast).suites["toy"].protocol.settings["engine"] == "fast"


def test_paths_of_artefacts_are_made_from_the_key(runs: Path) -> None:
    folder = RunFolder("test")
    folder.write_artefacts(
        [(video_name("toy/00/000"), b"video"), (study_name("imagined", "toy/00/000", ".npz"), b"frames")]
    )
    assert (folder.path / "videos/toy/00/000.mp4").read_bytes() == b"video"
    assert (folder.path / "imagined/toy/00/000.npz").read_bytes() == b"frames"
    assert not list(folder.path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("a-b_1.2", True), ("über", True), ("", False), (".", False), ("...", False), ("a/b", False), ("a b", False)],
)
def test_a_name_is_that_of_one_folder(name: str, allowed: bool) -> None:
    assert is_name(name) == allowed
