"""ImageWAM as a policy: settings, answers, imagined images, costs, cards, encoders' files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.builders.models import write_statistics
from tests.models.imagewam.test_checkpoint import payload, saved
from tests.models.omnigen2.test_encoders import write_omnigen2_encoders
from wam_eval import config
from wam_eval.errors import UserError
from wam_eval.models.flux2.files import FLUX2
from wam_eval.models.imagewam.policy import (
    BACKBONES,
    ImageWAMPolicy,
    ImageWAMSettings,
    stage_flops,
)
from wam_eval.observation import ActionChunk, Observation
from wam_eval.policy import check_settings, policy_arguments

TINY = {"size": "tiny", "dtype": "float32", "device": "cpu", "steps": 2, "context": 144}


def tiny(**settings: Any) -> ImageWAMPolicy:
    """A tiny policy with random weights."""
    return ImageWAMPolicy.create(**{**TINY, "random_weights": True, **settings})


@pytest.fixture(scope="module", params=["flux2-4b", "omnigen2", "ovis-u1"])
def policy(request: pytest.FixtureRequest) -> ImageWAMPolicy:
    """A tiny policy for LIBERO."""
    return tiny(backbone=request.param)


def chunk(policy: ImageWAMPolicy, observation: Observation) -> ActionChunk:
    """The answer to one observation."""
    (answer,) = policy.act([observation])
    assert isinstance(answer, ActionChunk)
    return answer


def actions(policy: ImageWAMPolicy, observation: Observation) -> NDArray[np.float32]:
    """The actions of the answer to one observation."""
    return chunk(policy, observation).actions


def test_an_answer_has_the_actions_that_are_executed(policy: ImageWAMPolicy) -> None:
    found = chunk(policy, policy.example(0))
    assert found.actions.shape == (12, 7) and found.actions.dtype == np.float32
    assert set(np.unique(found.actions[:, -1])) <= {-1.0, 0.0, 1.0}
    assert {"ms_vae", "ms_prefill", "ms_actions", "ms_total", "batch"} <= set(found.measured)


def test_every_part_of_an_observation_matters(policy: ImageWAMPolicy) -> None:
    one = policy.example(0)
    others = [
        replace(one, instruction="another instruction"),
        replace(one, state=one.state + 0.5),
        replace(one, images={**one.images, "agentview": 255 - one.images["agentview"]}),
        replace(one, images={**one.images, "robot0_eye_in_hand": 255 - one.images["robot0_eye_in_hand"]}),
    ]
    answers = [actions(policy, other) for other in (one, *others)]
    for number, other in enumerate(answers[1:], start=1):
        assert not np.allclose(answers[0], other, atol=1e-5), number


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_answer_does_not_depend_on_its_batch(dtype: str) -> None:
    policy = tiny(dtype=dtype)
    examples = [policy.example(number) for number in range(3)]
    together = policy.act(examples)
    for example, answer in zip(examples, together, strict=True):
        assert isinstance(answer, ActionChunk)
        assert np.array_equal(answer.actions, actions(policy, example))


def test_attention_covers_the_view_and_changes_no_action(policy: ImageWAMPolicy) -> None:
    one = policy.example(0)
    plain, found = chunk(policy, one), chunk(policy, replace(one, attention=True))
    assert plain.attention is None and found.attention is not None
    height, width, _ = policy.view(one).shape
    assert found.attention.shape == (height // 16, width // 16) and found.attention.dtype == np.float32
    assert 0 < found.attention.sum() < 1 and np.array_equal(plain.actions, found.actions)


def test_an_imagined_image_shows_the_present_and_the_end_of_the_chunk(policy: ImageWAMPolicy) -> None:
    one = policy.example(0)
    found = chunk(policy, replace(one, imagine=True))
    assert found.imagined is not None
    assert found.imagined.frames.shape == (2, *policy.view(one).shape) and found.imagined.every == 16
    assert np.array_equal(found.actions, actions(policy, one))


def test_placeholders_are_no_actions() -> None:
    padded, plain = tiny(robot="robotwin-16", execute=16), tiny(robot="robotwin", execute=16)
    one = padded.example(0)
    assert actions(padded, one).shape == actions(plain, one).shape == (16, 14)
    assert one.state.shape == (14,)


def test_the_place_of_the_state_is_a_setting_of_omnigen2() -> None:
    packed, behind = (tiny(backbone="omnigen2", pack_proprio=value) for value in (True, False))
    one = packed.example(0)
    assert not np.allclose(actions(packed, one), actions(behind, one), atol=1e-5)
    with pytest.raises(UserError, match="`pack_proprio: false` is possible with `backbone: omnigen2` only"):
        tiny(pack_proprio=False)


def test_every_backbone_is_a_value_of_the_setting() -> None:
    assert set(get_args(ImageWAMSettings.model_fields["backbone"].annotation)) == set(BACKBONES)


def test_a_checkpoint_needs_its_statistics(tmp_path: Path) -> None:
    path = saved(tmp_path, payload())
    with pytest.raises(UserError, match=r"dataset_stats\.json"):
        ImageWAMPolicy.create(**TINY, checkpoint=str(path))


def test_a_checkpoint_and_encoders_from_files_give_the_same_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAM_EVAL_CACHE", str(tmp_path / "cache"))
    settings = {**TINY, "backbone": "omnigen2"}
    random = tiny(backbone="omnigen2")
    state = random._sampler.model.state_dict()
    mot = {name: tensor for name, tensor in state.items() if name.startswith("mixtures.")}
    first = "mixtures.video.transformer.layers."
    mot |= {name.replace(first, "mixtures.video.blocks."): mot[name] for name in list(mot) if name.startswith(first)}
    proprio = {name: state[f"proprio_encoder.{name}"] for name in ("weight", "bias")}
    path = saved(tmp_path, {"mot": mot, "proprio_encoder": proprio, "step": 7})
    write_statistics(tmp_path)
    write_omnigen2_encoders(tmp_path / "encoders")
    loaded = ImageWAMPolicy.create(**settings, checkpoint=str(path), encoders=str(tmp_path / "encoders"))
    one = random.example(0)
    loaded.prepare([one.instruction])
    assert np.array_equal(actions(loaded, one), actions(random, one))
    assert loaded.facts()["checkpoint_step"] == 7 and len(list((tmp_path / "cache").rglob("*.safetensors"))) == 1


def test_without_a_checkpoint_the_advice_names_both_ways() -> None:
    with pytest.raises(UserError, match=r"CKPT=.*random_weights: true"):
        ImageWAMPolicy.create(**TINY)


def test_a_gated_repository_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAM_EVAL_FLUX2_9B", str(tmp_path))
    with pytest.raises(UserError, match=r"accept the licence of .*9B on the Hugging Face hub, type `hf auth login`"):
        FLUX2["9b"].find()


@pytest.mark.parametrize("backbone", ["flux2-4b", "omnigen2", "ovis-u1"])
def test_the_costs_of_a_policy_are_known_before_it_plays(backbone: str) -> None:
    policy = tiny(backbone=backbone)
    costs = policy.costs()
    model = policy._sampler.model
    networks = [model, *policy._editing.encoders().values()]
    assert sum(costs.parameters.values()) == sum(p.numel() for network in networks for p in network.parameters())
    assert costs.flops and costs.flops > 2 * costs.parameters["image expert"]


def test_operations_are_counted_by_stage() -> None:
    policy = tiny()
    policy._load()
    flops = stage_flops(policy._sampler.model, policy._editing, (224, 448), steps=3)
    assert min(flops["vae"], flops["prefill"], flops["actions"]) > 0 and flops["actions"] % 3 == 0


def test_operations_at_full_size_are_those_of_the_matrices() -> None:
    """FLUX.2 klein 4B on the meta device: 513 tokens of text and state, 392 of the image, 16 actions."""
    editing = BACKBONES["flux2-4b"]("full", 512, True, torch.bfloat16, torch.device("meta"))
    with torch.device("meta"):
        network = editing.network(8, 7).to(torch.bfloat16)
    editing.load()
    flops = stage_flops(network, editing, (224, 448), steps=10)
    tokens, width, double, single = 513 + 392, 3072, 5, 20
    attention = 4 * tokens**2 * width
    embedded = 2 * width * (513 * 7680 + 392 * 128)
    doubles = double * (2 * tokens * width**2 * (3 + 1 + 6 + 3) + attention)
    # Of the last layer, only the first product is needed.
    singles = single * 2 * tokens * width**2 * (3 + 6) + (single - 1) * (2 * tokens * width**2 * (1 + 3) + attention)
    assert flops["prefill"] == pytest.approx(embedded + doubles + singles, rel=1e-3)
    attended, narrow = 4 * 16 * (tokens + 16) * width, 1024
    layer = 2 * 16 * narrow * (4 * width + 12 * narrow) + attended
    assert flops["actions"] == pytest.approx(10 * (double + single) * layer, rel=5e-3)


@pytest.mark.parametrize(
    "name",
    [
        *("imagewam-tiny", "imagewam-tiny-omnigen2", "imagewam-tiny-ovis-u1"),
        *("imagewam-flux2-4b", "imagewam-flux2-4b-robotwin-16", "imagewam-flux2-9b", "imagewam-ovis-u1"),
        *("imagewam-omnigen2", "imagewam-omnigen2-packed"),
    ],
)
def test_every_card_has_valid_settings(name: str) -> None:
    card = config.load_policy(name)
    checkpoint = "model.pt" if card.checkpoint else None
    for benchmark in card.benchmarks:
        check_settings(ImageWAMPolicy, policy_arguments(card, checkpoint, [benchmark]))
