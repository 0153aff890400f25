"""The policies' YAML files: each name is resolved to the robot, the variant and the checkpoint that it names."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from wam_eval import config
from wam_eval.errors import UserError
from wam_eval.models.fastwam.checkpoint import ROBOTS, SUPPORTED, trained_robot, trained_variant
from wam_eval.models.fastwam.policy import FastWAMPolicy
from wam_eval.policy import check_settings, policy_arguments

TRAINING = {"": "first_frame", "-joint": "joint", "-idm": "idm", "-optional-idm": "optional_idm"}
NAMES = [f"fastwam-{robot}{suffix}" for robot in ROBOTS for suffix in TRAINING]
PUBLISHED = ("fastwam-libero", "fastwam-robotwin", "fastwam-libero-optional-idm")
PLAYED = {"libero": ["libero", "libero_plus"], "robotwin": ["robotwin"]}


def test_no_name_is_missing() -> None:
    assert {name for name in config.names("policies") if name.startswith("fastwam")} == {*NAMES, "fastwam-tiny"}


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_are_those_of_the_official_evaluation(name: str) -> None:
    card = config.load_policy(name)
    _, robot, *variant = name.split("-", maxsplit=2)
    training = TRAINING["".join(f"-{part}" for part in variant)]
    assert card.settings == {
        "robot": robot,
        "variant": SUPPORTED[training][0],
        "size": "full",
        "execute": ROBOTS[robot].replan,
        "steps": 10,
        "shift": 1.0 if training == "optional_idm" else 5.0,
        "seed": 42,
        "dtype": "bfloat16",
        "device": "cuda",
        "batch": "fixed",
    }
    assert list(card.benchmarks) == PLAYED[robot] and card.gpus == 1
    for benchmark in card.benchmarks:
        check_settings(FastWAMPolicy, policy_arguments(card, "weights.pt", [benchmark]))


@pytest.mark.parametrize("name", NAMES)
def test_the_checkpoint_fits_the_policy(name: str) -> None:
    """A published one is named with its statistics; of the others it is said that none is published."""
    card = config.load_policy(name)
    assert card.checkpoint is not None
    if name not in PUBLISHED:
        assert "none is published" in card.checkpoint
        return
    file = config.PACKAGE / card.checkpoint.partition(" ")[0]
    assert trained_robot(file) == card.settings["robot"]
    assert card.settings["variant"] in SUPPORTED[trained_variant(file) or ""]
    assert f"{file.stem}_dataset_stats.json" in card.checkpoint


def test_the_tiny_policy_plays_all_benchmarks_without_checkpoint_and_gpu() -> None:
    card = config.load_policy("fastwam-tiny")
    assert "random weights" in card.title and "succeeds at nothing" in card.title
    assert card.checkpoint is None and card.gpus == 0
    for robot, benchmarks in PLAYED.items():
        for benchmark in benchmarks:
            arguments = policy_arguments(card, None, [benchmark])
            assert (arguments["robot"], arguments["execute"]) == (robot, ROBOTS[robot].replan)
            assert arguments["random_weights"] and arguments["size"] == "tiny"


def test_other_benchmarks_are_refused() -> None:
    with pytest.raises(UserError, match="does not play robotwin; it plays libero"):
        policy_arguments(config.load_policy("fastwam-libero"), "weights.pt", ["robotwin"])


@pytest.mark.parametrize("name", ["fastwam-libero", "fastwam-libero-joint", "fastwam-robotwin-optional-idm"])
def test_a_missing_checkpoint_is_described(name: str) -> None:
    card = config.load_policy(name)
    with pytest.raises(UserError) as caught:
        policy_arguments(card, None, list(card.benchmarks))
    assert f"needs --ckpt (CKPT=…): {card.checkpoint}" in str(caught.value)
