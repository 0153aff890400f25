"""MV-WAM as a policy: answers with values, noise after rollbacks, checkpoints, costs, cards, whole episodes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

import safetensors.torch
import torch
import yaml
from numpy.typing import NDArray
from typer.testing import CliRunner

from tests.builders.suites import write_short_suites
from tests.toy.runs import records
from wam_eval import config, evaluate
from wam_eval.cli.app import app
from wam_eval.errors import UserError
from wam_eval.models.mvwam.checkpoint import BODIES, body_of, open_checkpoint, read_quantiles
from wam_eval.models.mvwam.encoders import ImageTower, SampledVideoVAE, random_tower, random_vae
from wam_eval.models.mvwam.model import MVWAM, MVWAMConfig
from wam_eval.models.mvwam.policy import MVWAMPolicy, parameters_by_component, stage_flops
from wam_eval.observation import ActionChunk, Observation, Rollback
from wam_eval.policy import check_settings, policy_arguments
from wam_eval.trajectory import RolledBack, read_trajectory

TINY = {"size": "tiny", "dtype": "float32", "device": "cpu", "steps": 2}
META = torch.device("meta")


def tiny(**settings: Any) -> MVWAMPolicy:
    """A tiny policy with random weights, which does not roll back unless it is told to."""
    chosen = {**TINY, "random_weights": True, **({"rollback": {"most": 0}} if settings.get("value", True) else {})}
    policy = MVWAMPolicy.create(**{**chosen, **settings})
    policy.prepare([policy.example(number).instruction for number in range(3)])
    return policy


@pytest.fixture(scope="module")
def policy() -> MVWAMPolicy:
    return tiny()


def chunk(policy: MVWAMPolicy, observation: Observation) -> ActionChunk:
    (answer,) = policy.act([observation])
    assert isinstance(answer, ActionChunk)
    return answer


def actions(policy: MVWAMPolicy, observation: Observation) -> NDArray[np.float32]:
    return chunk(policy, observation).actions


# Answers


@pytest.mark.parametrize(("robot", "dim"), [("robotwin", 14), ("libero", 7)])
def test_an_answer_has_actions_a_value_and_the_time_of_each_stage(robot: str, dim: int) -> None:
    policy = tiny(robot=robot)
    answer = chunk(policy, policy.example(0))
    assert answer.actions.shape == (8, dim) and answer.actions.dtype == np.float32
    assert answer.value is not None and np.isfinite(answer.value)
    stages = {"preprocess", "text", "vae", "images", "prefill", "denoise", "postprocess", "total"}
    assert set(answer.measured) == {f"ms_{stage}" for stage in stages} | {"batch"}


def test_every_part_of_an_observation_matters(policy: MVWAMPolicy) -> None:
    one = policy.example(0)
    others = [replace(one, instruction="another one"), replace(one, state=one.state + 0.5)]
    others += [replace(one, images={**one.images, name: 255 - one.images[name]}) for name in one.images]
    assert len(others) == 5
    answers = [chunk(policy, other) for other in (one, *others)]
    for number, other in enumerate(answers[1:], start=1):
        assert not np.allclose(answers[0].actions, other.actions, atol=1e-6), number
        assert answers[0].value != other.value, number


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("mode", ["joint", "action_only", "video_first"])
def test_an_answer_does_not_depend_on_its_batch(dtype: str, mode: str) -> None:
    policy = tiny(dtype=dtype, mode=mode, seed="episode")
    examples = [policy.example(number) for number in range(3)]
    for example, answer in zip(examples, policy.act(examples), strict=True):
        assert isinstance(answer, ActionChunk)
        alone = chunk(policy, example)
        assert np.array_equal(answer.actions, alone.actions) and answer.value == alone.value


def test_imagined_frames_and_attention_change_no_action(policy: MVWAMPolicy) -> None:
    one = policy.example(0)
    found = chunk(policy, replace(one, imagine=True, attention=True))
    assert found.imagined is not None and found.attention is not None
    assert found.imagined.frames.shape == (9, *policy.view(one).shape) and found.imagined.every == 4
    assert found.attention.shape == (4, 4) and 0 < found.attention.sum() < 1
    assert np.array_equal(found.actions, actions(policy, one))


def test_without_a_video_there_is_no_attention_to_it_and_frames_on_request() -> None:
    policy = tiny(mode="action_only")
    assert not policy.spec.shows_attention
    found = chunk(policy, replace(policy.example(0), imagine=True))
    assert found.imagined is not None and found.imagined.frames.shape == (9, 64, 64, 3)


def test_without_the_value_branch_there_is_no_value_and_no_rollback() -> None:
    policy = tiny(value=False)
    assert [chunk(policy, policy.example(number)).value for number in range(2)] == [None, None]
    with pytest.raises(UserError, match="`rollback` needs the value branch"):
        tiny(value=False, rollback={"most": 1})


# Rollback


def test_noise_is_the_same_until_a_rollback_and_never_repeats_after_it() -> None:
    policy = tiny(rollback={"delta": 1e-6, "most": 2})
    one = policy.example(0)
    first = actions(policy, one)
    assert np.array_equal(actions(policy, one), first)
    policy._guide._episodes[one.key].peak = 1e6  # Every value is far below this peak.
    seeds = [policy._noise_seed(one.key)]
    for number in (1, 2):
        (answer,) = policy.act([one])
        assert isinstance(answer, Rollback) and answer.value is not None
        assert policy._guide.rollbacks(one.key) == number
        seeds.append(policy._noise_seed(one.key))
    assert len(set(seeds)) == 3
    last = actions(policy, one)
    assert not np.allclose(last, first, atol=1e-3), "the limit is reached, so that the chunk is executed"
    policy.end(one.key)
    assert policy._noise_seed(one.key) == seeds[0] == 42, "a new attempt begins with the usual noise"


# Checkpoints


def statistics(state: int, action: int) -> dict[str, Any]:
    """Statistics of -1 and 1."""
    return {
        group: {"default": {"global_q01": [-1.0] * length, "global_q99": [1.0] * length}}
        for group, length in (("state", state), ("action", action))
    }


def write(folder: Path, content: dict[str, torch.Tensor], state: int = 14, action: int = 14) -> Path:
    path = folder / "model.safetensors"
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in content.items()}, path)
    (folder / "dataset_stats.json").write_text(json.dumps(statistics(state, action)))
    return path


def test_a_checkpoint_is_opened_and_other_files_are_recognised(tmp_path: Path, policy: MVWAMPolicy) -> None:
    content = policy._sampler.model.state_dict()
    path = write(tmp_path, content)
    with META:
        empty = MVWAM(MVWAMConfig.of_size("tiny"))
        without = MVWAM(MVWAMConfig.of_size("tiny", value=False))
    assert open_checkpoint(path, empty).tensors.keys() == content.keys()
    with pytest.raises(UserError, match="trained with the value branch: set `value: true`"):
        open_checkpoint(path, without)
    path = write(tmp_path, {name: x for name, x in content.items() if ".value_" not in name})
    with pytest.raises(UserError, match="trained without the value branch: set `value: false`"):
        open_checkpoint(path, empty)
    path = write(tmp_path, {"mixtures.action.blocks.0.modulation": torch.zeros(2)})
    with pytest.raises(UserError, match="a checkpoint of Fast-WAM"):
        open_checkpoint(path, empty)


def test_quantiles_of_another_robot_and_nonsense_are_named(tmp_path: Path) -> None:
    file = tmp_path / "dataset_stats.json"
    file.write_text(json.dumps(statistics(11, 7)))
    state, action = read_quantiles(file, "libero")
    assert len(state.low) == 11 and action.high.tolist() == [1.0] * 7
    with pytest.raises(UserError, match=r"state.* has 11 numbers, the model has 14; .*statistics of robot 'libero'"):
        read_quantiles(file, "robotwin")
    wrong = statistics(11, 7)
    wrong["action"]["default"]["global_q99"][2] = -3.0
    file.write_text(json.dumps(wrong))
    with pytest.raises(UserError, match=r"action: quantiles -1.0 and -3.0 at index 2. Compute the statistics again"):
        read_quantiles(file, "libero")


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"steps": 11}, "less than or equal to 10"),
        ({"execute": 33}, "less than or equal to 32"),
        ({"mode": "both"}, "'joint', 'action_only' or 'video_first'"),
        ({"action_target": "x1"}, "'x0', 'noise' or 'velocity'"),
        ({"rollback": {"delta": 0}}, "greater than 0"),
        ({"robot": "aloha"}, "'libero' or 'robotwin'"),
    ],
)
def test_nonsense_settings_are_refused(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        MVWAMPolicy.create(**{**TINY, "random_weights": True, **settings})


def test_without_a_checkpoint_the_advice_names_both_ways() -> None:
    with pytest.raises(UserError, match=r"CKPT=.*random_weights: true"):
        MVWAMPolicy.create(**TINY)


# Costs and cards


def full_size() -> tuple[MVWAM, SampledVideoVAE, ImageTower]:
    """Model and encoders with shapes only."""
    with META:
        model = MVWAM(MVWAMConfig.of_size("full")).to(torch.bfloat16)
    return model, random_vae("full", 0, torch.bfloat16, META), random_tower("full", 0, torch.bfloat16, META)


def test_parameters_at_full_size() -> None:
    parts = parameters_by_component(*full_size())
    assert parts["action-value expert"] == 437_966_848
    assert 1.85e9 < parts["video expert"] + parts["action-value expert"] < 1.95e9, "1.9 billion in the paper"
    assert sum(parts.values()) * 2 < 12e9, "bytes in bfloat16"


@pytest.mark.slow
def test_operations_at_full_size() -> None:
    size = body_of("robotwin", "full").robot.image_size
    joint = stage_flops(*full_size(), size, 3, "joint", 5)
    alone = stage_flops(*full_size(), size, 3, "action_only", 5)
    assert joint["denoise"] > 20 * alone["actions"] > 0 and joint["images"] == alone["images"]


CARDS = [name for name in config.names("policies") if name.startswith("mvwam-")]


@pytest.mark.parametrize("name", CARDS)
def test_every_card_has_valid_settings(name: str) -> None:
    card = config.load_policy(name)
    for benchmark in card.benchmarks:
        arguments = policy_arguments(card, "model.safetensors" if card.checkpoint else None, (benchmark,))
        settings = check_settings(MVWAMPolicy, arguments)
        assert settings.robot in BODIES  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", CARDS)
def test_every_ablation_plays_at_tiny_size(name: str) -> None:
    card = config.load_policy(name)
    (benchmark, *_) = card.benchmarks
    arguments = policy_arguments(card, "model.safetensors" if card.checkpoint else None, (benchmark,))
    arguments = {**arguments, "checkpoint": None, "random_weights": True, "size": "tiny", "device": "cpu"}
    policy = MVWAMPolicy.create(**arguments)
    example = policy.example(0)
    policy.prepare([example.instruction])
    answer = chunk(policy, example)
    assert answer.actions.shape[0] == 8 and (answer.value is None) == name.endswith("no-value")


# Whole episodes

LIMIT = 48
TASKS = {"libero_object": "pick_up_the_alphabet_soup_and_place_it_in_the_basket", "robotwin_clean": "click_bell"}


@pytest.mark.parametrize("suite", ["libero_object", pytest.param("robotwin_clean", marks=pytest.mark.slow)])
def test_a_run_with_rollbacks_and_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_cluster: str, suite: str
) -> None:
    write_short_suites(tmp_path / "own/suites", TASKS, LIMIT)
    (tmp_path / "own/policies").mkdir()
    card = config.load_policy("mvwam-tiny").model_dump(mode="json", exclude_defaults=True)
    card["settings"] |= {"steps": 1, "rollback": {"delta": 1e-4}}
    (tmp_path / "own/policies/tiny.yaml").write_text(yaml.safe_dump(card))
    monkeypatch.setenv("WAM_EVAL_PATH", str(tmp_path / "own"))
    monkeypatch.setenv("WAM_EVAL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("WAM_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WAM_EVAL_ROBOTWIN_ROOT", "miniature")
    monkeypatch.setenv("WAM_EVAL_LIBERO_ASSETS", "stand-in")
    run = evaluate(suite=suite, policy="tiny", run="tiny", video="all")
    (record,) = records(run.folder).values()
    assert record.outcome.value == "failure" and record.steps == LIMIT
    assert 0 < record.rollbacks <= 3 and len(record.values) == LIMIT // 8
    trajectory = read_trajectory(run.folder.trajectory_file(record.key))
    assert sum(isinstance(event, RolledBack) for event in trajectory.events) == record.rollbacks
    reported = CliRunner().invoke(app, ["report", "tiny"])
    assert reported.exit_code == 0, reported.output
