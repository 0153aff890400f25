"""Small Fast-WAM: its training reads data sets, its file holds everything, its policy answers as the file says."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="models need PyTorch: make setup MODELS=1")
pytest.importorskip("pyarrow", reason="data sets need pyarrow: make setup MODELS=1")

from safetensors.torch import load_file, save_file  # noqa: E402

from tests.models.small.builders import (  # noqa: E402
    LEFT,
    RIGHT,
    TINY,
    answer,
    check_it_follows_words_and_place,
    chunks,
    data,
    observation,
    trained,
)
from wam_eval.config import load_policy  # noqa: E402
from wam_eval.errors import UserError  # noqa: E402
from wam_eval.models.small import model  # noqa: E402
from wam_eval.models.small.fastwam import SmallFastWAMPolicy, SmallFastWAMTraining  # noqa: E402
from wam_eval.models.small.model import read_small_config  # noqa: E402
from wam_eval.policy import policy_arguments  # noqa: E402


@pytest.fixture(scope="module")
def hardly_trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model after two steps; tests do not change it."""
    return trained(tmp_path_factory.mktemp("model"), "fastwam")


@pytest.fixture
def model_file(hardly_trained: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may change."""
    return Path(shutil.copy(hardly_trained, tmp_path / "model.safetensors"))


def policy(path: Path, **settings: Any) -> SmallFastWAMPolicy:
    return SmallFastWAMPolicy(SmallFastWAMPolicy.Settings(checkpoint=str(path), **settings))


def test_a_trained_model_follows_words_and_observation(tmp_path: Path) -> None:
    check_it_follows_words_and_place(policy(trained(tmp_path, "fastwam", steps=150, video_weight=0.1)))


def test_the_file_describes_the_model(hardly_trained: Path) -> None:
    config = read_small_config(hardly_trained)
    assert (config.family, config.robot.name, config.words) == ("fastwam", "libero", 2)
    assert config.vocabulary == ("left", "move", "right")
    assert config.settings == {"variant": "first_frame", "video_weight": 0.5, "shift": 5.0}
    assert {"data", "code", "config", "step", "hours", "machine", "curve", "seed"} <= set(config.provenance)


@pytest.mark.parametrize("variant", ["first_frame", "joint", "idm"])
def test_each_variant_is_trained_and_answers(tmp_path: Path, variant: str) -> None:
    found = policy(trained(tmp_path, "fastwam", variant=variant))
    found.prepare([RIGHT])
    assert answer(found).shape == (8, 7)
    asked = replace(observation(0.1, RIGHT), imagine=True)
    (chunk,) = chunks(found, asked)
    assert chunk.imagined.frames.shape == (2, 64, 128, 3)
    assert chunk.imagined.every == 8


def test_an_answer_does_not_depend_on_the_batch(hardly_trained: Path) -> None:
    found = policy(hardly_trained, rows=2)
    found.prepare([RIGHT, LEFT])
    alone = answer(found)
    together = chunks(found, observation(-0.3, LEFT), observation(0.5, RIGHT))
    assert np.array_equal(together[1].actions, alone)


def test_the_card_plays_the_model_of_its_robot(
    hardly_trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "WEIGHTS", tmp_path)
    shutil.copy(hardly_trained, tmp_path / "small-fastwam.safetensors")
    card = load_policy("small-fastwam")
    arguments = {benchmark: policy_arguments(card, None, [benchmark]) for benchmark in card.benchmarks}
    for benchmark in ("libero", "libero_plus"):
        found = SmallFastWAMPolicy.create(**arguments[benchmark])
        found.prepare([RIGHT])
        assert np.array_equal(answer(found), answer(policy(hardly_trained)))
    with pytest.raises(UserError, match="train it with `wam-eval train small-fastwam-robotwin`"):
        SmallFastWAMPolicy.create(**arguments["robotwin"])


def test_costs_are_counted(hardly_trained: Path) -> None:
    found = policy(hardly_trained)
    found.prepare([])
    costs = found.costs()
    assert costs.flops > 0
    assert sum(costs.parameters.values()) == sum(parameter.numel() for parameter in found._small.parameters())


# Models and data that do not fit


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "idm"}, "was trained for the variant first_frame, not for idm"),
        ({"robot": "robotwin"}, "was trained for the robot libero, not for robotwin"),
        ({"execute": 9}, "a chunk of .* has 8 actions"),
    ],
)
def test_settings_that_do_not_fit_are_refused(hardly_trained: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        policy(hardly_trained, **settings)


def test_random_weights_are_refused() -> None:
    """As `wam-eval bench small-fastwam --random-weights` asks for."""
    with pytest.raises(UserError, match="its checkpoint states its size; leave this setting out"):
        SmallFastWAMPolicy.create(checkpoint="small-fastwam", random_weights=True)


def test_a_model_of_another_family_is_refused(model_file: Path) -> None:
    path = model_file
    config = replace(read_small_config(path), family="mvwam")
    save_file(load_file(path), path, {"model": config.to_json()})
    with pytest.raises(UserError, match="the family mvwam, not fastwam: use policy small-mvwam"):
        policy(path)


def test_files_that_are_no_small_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="is not a small model"):
        policy(path)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read"):
        policy(path)


def test_a_missing_or_infinite_weight_is_named(model_file: Path) -> None:
    path = model_file
    description = {"model": read_small_config(path).to_json()}
    tensors = load_file(path)
    save_file({**tensors, "words.embedding.weight": tensors["words.embedding.weight"] * np.inf}, path, description)
    with pytest.raises(UserError, match=r"words.embedding.weight has numbers that are not finite"):
        policy(path)
    save_file({name: tensor for name, tensor in tensors.items() if name != "codec.mean"}, path, description)
    with pytest.raises(UserError, match=r"for example codec.mean"):
        policy(path)


def test_a_model_without_a_checkpoint_is_refused() -> None:
    with pytest.raises(UserError, match="train one with `wam-eval train small-fastwam`"):
        SmallFastWAMPolicy(SmallFastWAMPolicy.Settings())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"robot": "humanoid"}, "of the robot 'humanoid'; small models exist for libero, robotwin"),
        ({"size": 32}, "images of agentview are 32x32, smaller than the model's 64x64"),
        ({"cameras": ["agentview"]}, "has no images of robot0_eye_in_hand; it has agentview"),
        ({"robot": "robotwin"}, "states of 8 and actions of 7 numbers; the model takes 14 and 14"),
    ],
)
def test_data_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SmallFastWAMTraining(TINY, [data(tmp_path / "data", count=2, **options)])


def test_unknown_settings_of_a_training_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="settings of the training: depth: Extra inputs"):
        SmallFastWAMTraining({"depth": 3}, [])
