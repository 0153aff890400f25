"""The policy at tiny size: inputs and outputs, settings, loading order, and costs."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import torch
from diffusers import AutoencoderKLWan
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.builders.models import random_model, tiny_config, write_checkpoint, write_encoders
from wam_eval.errors import UserError
from wam_eval.models.fastwam.checkpoint import LIBERO
from wam_eval.models.fastwam.model import FastWAM, FastWAMConfig, Variant
from wam_eval.models.fastwam.policy import FastWAMPolicy, parameters_by_component, stage_flops
from wam_eval.models.fastwam.sampling import Sampler
from wam_eval.models.policy import padded
from wam_eval.models.prompt_cache import PromptCache
from wam_eval.models.wan import encoders
from wam_eval.models.wan.encoders import LENGTH, VideoVAE, random_text_encoder, random_vae
from wam_eval.models.wan.files import WAN, vae_config
from wam_eval.observation import ActionChunk, Observation

VARIANTS: tuple[Variant, ...] = ("first_frame", "joint", "idm")
LOADED = {"_sampler", "_vae"}
TINY = {"size": "tiny", "dtype": "float32", "device": "cpu", "steps": 1}


def tiny(**settings: Any) -> FastWAMPolicy:
    return FastWAMPolicy.create(**{**TINY, "random_weights": True, **settings})


def answer(policy: FastWAMPolicy, *observations: Observation) -> list[ActionChunk]:
    """The policy's answers, which are never rollbacks."""
    chunks = policy.act(observations)
    return [chunk for chunk in chunks if isinstance(chunk, ActionChunk)]


def actions(policy: FastWAMPolicy, observation: Observation) -> NDArray[np.float32]:
    (chunk,) = answer(policy, observation)
    return chunk.actions


@pytest.fixture(scope="module")
def policy() -> FastWAMPolicy:
    return tiny()


@pytest.mark.parametrize(("robot", "cameras", "dim"), [("libero", 2, 7), ("robotwin", 3, 14)])
def test_each_observation_is_answered_with_a_chunk(robot: str, cameras: int, dim: int) -> None:
    policy = tiny(robot=robot, execute=6)
    chunks = answer(policy, policy.example(0), policy.example(1))
    assert len(policy.spec.cameras) == cameras and policy.spec.execute == 6
    assert len(chunks) == 2
    for chunk in chunks:
        assert chunk.actions.shape == (6, dim) and chunk.actions.dtype == np.float32
        assert np.isfinite(chunk.actions).all()
    assert not np.array_equal(chunks[0].actions, chunks[1].actions)


QUICK = [("first_frame", "float32", 3), ("joint", "float32", None), ("joint", "bfloat16", None), ("idm", "bfloat16", 2)]
EVERY = list(itertools.product(VARIANTS, ("float32", "bfloat16"), (None, 3, 4)))


def different(policy: FastWAMPolicy, count: int) -> list[Observation]:
    """Observations with prompts of different lengths."""
    words = ("go", "put the red mug on the plate", "open the top drawer of the cabinet and put the bowl inside")
    return [dataclasses.replace(policy.example(index), instruction=words[index % len(words)]) for index in range(count)]


def check_independence(policy: FastWAMPolicy, observations: Sequence[Observation], examples: int) -> None:
    """Compare answers in batches of any order and size, with repetitions, with the answers to batches of one."""
    orders = st.lists(st.integers(0, len(observations) - 1), min_size=2, max_size=4)
    alone = [answer(policy, one)[0] for one in observations]

    @settings(max_examples=examples, deadline=None)
    @given(order=orders)
    def check(order: list[int]) -> None:
        for index, together in zip(order, answer(policy, *[observations[index] for index in order]), strict=True):
            assert np.array_equal(together.actions, alone[index].actions)
            imagined, expected = together.imagined, alone[index].imagined
            assert (imagined is None) == (expected is None)
            if imagined is not None and expected is not None:
                assert np.array_equal(imagined.frames, expected.frames)

    check()


@pytest.mark.parametrize(("variant", "dtype", "rows"), QUICK)
def test_an_answer_does_not_depend_on_its_batch(variant: str, dtype: str, rows: int | None) -> None:
    """Bit for bit, with one row as with several."""
    policy = tiny(variant=variant, dtype=dtype, rows=rows, seed="episode")
    check_independence(policy, different(policy, 3), 2)


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "dtype", "rows"), EVERY)
def test_answers_and_imagined_frames_do_not_depend_on_the_batch(variant: str, dtype: str, rows: int | None) -> None:
    policy = tiny(variant=variant, dtype=dtype, rows=rows, seed="episode")
    observations = different(policy, 5)
    observations[1] = dataclasses.replace(observations[1], imagine=True)
    check_independence(policy, observations, 8)


@pytest.mark.parametrize("rows", [None, 3])
def test_answers_do_not_depend_on_the_number_of_threads(rows: int | None) -> None:
    """Several threads divide sums and rows in other places. The process has its number of threads back afterwards."""
    policy = tiny(rows=rows)
    observations = different(policy, 2)
    before = torch.get_num_threads()
    expected = answer(policy, *observations)
    torch.set_num_threads(2)
    try:
        other = tiny(rows=rows)
        torch.set_num_threads(2)  # The constructor of a tiny model reduces it.
        other.prepare([one.instruction for one in observations])
        for one, same in zip(expected, answer(other, *observations), strict=True):
            assert np.array_equal(one.actions, same.actions)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_fixed_batch_of_one_row_has_the_numbers_of_the_official_shape(dtype: str) -> None:
    """An answer in a batch of three is the sampler's answer to a batch of one, which the golden values describe."""
    policy = tiny(variant="joint", dtype=dtype)
    observations = different(policy, 3)
    together = answer(policy, *observations)
    for one, found in zip(observations, together, strict=True):
        (images,) = policy._preprocess([one])
        text = padded([policy._embedded(one.instruction)], LENGTH)[0]
        context = policy._sampler.model.context(text, torch.from_numpy(one.state)[None])
        expected = policy._sampler.sample(policy._vae.encode(images), context, [42]).actions[0, :10].numpy()
        assert np.array_equal(found.actions, policy._robot.commands(expected))


def test_fast_batches_are_answered_with_one_call(policy: FastWAMPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    encode = VideoVAE.encode

    def counted(self: VideoVAE, images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(VideoVAE, "encode", counted)
    observations = different(policy, 3)
    fixed, fast = answer(policy, *observations), answer(tiny(batch="fast"), *observations)
    assert sizes == [1, 1, 1, 3]
    assert "rows" not in tiny(batch="fast").facts() and policy.facts()["rows"] == 1
    for one, other in zip(fixed, fast, strict=True):
        assert np.allclose(one.actions[:, :-1], other.actions[:, :-1], atol=1e-5)


def test_rows_that_are_not_computed_alike_are_refused_before_the_first_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for a kernel that adds in another order in its last block."""
    encode = VideoVAE.encode

    def uneven(self: VideoVAE, images: torch.Tensor) -> torch.Tensor:
        latents = encode(self, images)
        latents[-1] *= 1 + 2.0**-20 * (len(latents) > 1)
        return latents

    monkeypatch.setattr(VideoVAE, "encode", uneven)
    with pytest.raises(UserError, match=r"`rows: 2`: on this device"):
        tiny(rows=2).prepare([])


@pytest.mark.slow
@pytest.mark.parametrize("batch", ["fixed", "fast"])
def test_accelerated_answers_do_not_depend_on_the_batch_either(batch: str) -> None:
    """Compiled layers and static tensors have one shape if batches are fixed."""
    policy = tiny(accelerate="graphs", variant="joint", batch=batch, seed="episode")
    if batch == "fixed":
        check_independence(policy, different(policy, 5), 10)
    else:
        observations = different(policy, 3)
        for one, together in zip(observations, answer(policy, *observations), strict=True):
            assert np.allclose(actions(policy, one), together.actions, atol=1e-4)


def test_every_stage_is_measured(policy: FastWAMPolicy) -> None:
    measured = answer(policy, policy.example(0))[0].measured
    stages = {"preprocess", "text", "vae", "prefill", "actions", "postprocess", "total"}
    assert set(measured) == {f"ms_{stage}" for stage in stages} | {"batch"}
    assert measured["batch"] == 1
    parts = sum(measured[f"ms_{stage}"] for stage in stages - {"total"})
    assert 0 < parts <= measured["ms_total"]


def test_attention_covers_the_view_and_changes_no_action(policy: FastWAMPolicy) -> None:
    plain, asked = policy.example(0), dataclasses.replace(policy.example(0), attention=True)
    (one,), (other,) = answer(policy, plain), answer(policy, asked)
    assert one.attention is None and other.attention is not None
    height, width, _ = policy.view(plain).shape
    assert other.attention.shape == (height // 32, width // 32) and 0 < other.attention.sum() < 1
    assert np.array_equal(one.actions, other.actions)


def test_imagined_frames_have_the_size_of_the_view_and_change_no_action(policy: FastWAMPolicy) -> None:
    plain, asked = policy.example(0), dataclasses.replace(policy.example(0), imagine=True)
    (one,), (other,) = answer(policy, plain), answer(policy, asked)
    assert one.imagined is None and other.imagined is not None
    assert other.imagined.frames.shape == (9, *policy.view(plain).shape)
    assert other.imagined.frames.dtype == np.uint8 and other.imagined.every == 4
    assert np.array_equal(one.actions, other.actions)


def test_noise_is_always_the_same_or_differs_by_episode(policy: FastWAMPolicy) -> None:
    one = policy.example(0)
    other = dataclasses.replace(one, key="libero_goal/01/004")
    assert np.array_equal(actions(policy, one), actions(policy, other))
    by_episode = tiny(seed="episode")
    assert np.array_equal(actions(by_episode, one), actions(by_episode, one))
    assert not np.array_equal(actions(by_episode, one), actions(by_episode, other))


def test_prompts_are_encoded_before_the_first_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    """The instructions of the run open the encoder once. An instruction that was not announced opens it later."""
    opened = []

    def open_encoder(*arguments: Any) -> encoders.WanTextEncoder:
        opened.append(arguments)
        return random_text_encoder(*arguments)

    monkeypatch.setattr(encoders, "random_text_encoder", open_encoder)
    policy = tiny()
    policy.prepare(["open the drawer", "close the drawer"])
    assert len(opened) == 1
    for instruction, times in (("open the drawer", 1), ("close the drawer", 1), ("stack the bowls", 2)):
        policy.act([dataclasses.replace(policy.example(0), instruction=instruction)])
        assert len(opened) == times


def test_all_files_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoint, statistics beside it, and a folder with Wan's encoders, all tiny."""
    monkeypatch.setenv("WAM_EVAL_CACHE", str(tmp_path / "cache"))
    path, wan = write_checkpoint(tmp_path), write_encoders(tmp_path / "wan")
    policy = FastWAMPolicy.create(checkpoint=str(path), wan=str(wan), **TINY)
    policy.prepare(["open the drawer"])
    assert list((tmp_path / "cache/prompts").rglob("*.safetensors"))
    commands = actions(policy, dataclasses.replace(policy.example(0), instruction="open the drawer"))
    assert set(commands[:, -1]) <= {-1.0, 0.0, 1.0}  # gripper commands are signs
    facts = json.loads(json.dumps(policy.facts()))
    assert facts["device"] == "CPU" and facts["dtype"] == "float32"
    assert len(facts["statistics_sha256"]) == len(facts["text_encoder"]) == 64
    names = {"checkpoint_step", "statistics_sha256", "text_encoder", "image_encoder"}
    assert policy.identity() == {name: facts[name] for name in names}, "not the device, nor versions"


def test_the_model_is_loaded_after_the_text_encoder_was_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU never has to hold both."""
    policy = tiny()
    loaded_before = []

    def prepare(self: PromptCache, prompts: Sequence[str]) -> None:
        loaded_before.append(vars(policy).keys() & LOADED)

    monkeypatch.setattr(PromptCache, "prepare", prepare)
    policy.prepare(["open the drawer"])
    assert loaded_before == [set()] and vars(policy).keys() >= LOADED


def test_missing_files_are_reported_by_the_constructor(tmp_path: Path) -> None:
    path, wan = write_checkpoint(tmp_path), write_encoders(tmp_path / "wan")
    files = {"checkpoint": str(path), "wan": str(wan)}
    with pytest.raises(UserError, match="use the policy fastwam-libero"):
        FastWAMPolicy.create(**TINY, **files, robot="robotwin")
    (wan / "tokenizer/tokenizer_config.json").unlink()
    with pytest.raises(UserError, match=r"hf download Wan-AI/Wan2\.2-TI2V-5B-Diffusers"):
        FastWAMPolicy.create(**TINY, **files)
    (tmp_path / "dataset_stats.json").unlink()
    with pytest.raises(UserError, match="statistics"):
        FastWAMPolicy.create(**TINY, **files)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match="incomplete"):  # before the encoders are looked for
        FastWAMPolicy.create(**TINY, **files | {"wan": str(tmp_path / "nowhere")})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"variant": "idmm"}, r"variant: .*'first_frame', 'joint' or 'idm' \(found 'idmm'\)"),
        ({"size": "huge"}, r"size: .*'full' or 'tiny' \(found 'huge'\)"),
        ({"dtype": "float16"}, r"dtype: .*'bfloat16' or 'float32' \(found 'float16'\)"),
        ({"robot": "aloha"}, r"robot: .*'libero' or 'robotwin' \(found 'aloha'\)"),
        ({"seed": "42"}, r"seed: expected an integer from 0 .* or 'episode' .*\(found '42'\)"),
        ({"seed": -1}, r"seed: expected an integer from 0 .*\(found -1\)"),
        ({"seed": True}, r"seed: expected an integer from 0 .*\(found True\)"),
        ({"seed": 2**63}, r"seed: expected an integer from 0 "),
        ({"steps": 0}, r"steps: .*greater than or equal to 1 \(found 0\)"),
        ({"steps": "10"}, r"steps: .*valid integer \(found '10'\)"),
        ({"shift": float("nan")}, r"shift: .*\(found nan\)"),
        ({"shift": 0}, r"shift: .*greater than 0 \(found 0\)"),
        ({"execute": 33}, r"execute: .*less than or equal to 32 \(found 33\)"),
        ({"execute": True}, r"execute: .*valid integer \(found True\)"),
        ({"accelerate": True}, r"accelerate: .*'none', 'actions', 'layers' or 'graphs' \(found True\)"),
        ({"batch": "slow"}, r"batch: .*'fixed' or 'fast' \(found 'slow'\)"),
        ({"rows": 0}, r"rows: .*greater than or equal to 1 \(found 0\)"),
        ({"batch": "fast", "rows": 2}, "leave it out with `batch: fast`"),
        ({"device": "mps"}, r"device: expected 'cuda' or 'cpu'.*\(found 'mps'\)"),
        ({"device": None}, r"device: .*valid string \(found None\)"),
        ({"shfit": 1.0}, "unknown setting of FastWAMPolicy 'shfit': did you mean shift"),
        ({"checkpoint": "some.pt"}, "exclude each other"),
        ({"random_weights": False}, "needs a checkpoint"),
        ({"random_weights": False, "checkpoint": "nowhere.pt"}, "nowhere.pt"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        tiny(**settings)


def test_whole_numbers_are_accepted_as_a_shift() -> None:
    assert FastWAMPolicy.Settings(shift=5).shift == 5.0


def test_doctor_checks_the_encoders() -> None:
    assert list(FastWAMPolicy.checks()) == [WAN.check]


@pytest.fixture(scope="module")
def model() -> FastWAM:
    return random_model()


@pytest.fixture(scope="module")
def vae() -> VideoVAE:
    return random_vae("tiny", 0)


@pytest.mark.slow
def test_the_costs_of_the_published_size() -> None:
    """The parameters are those of the published files."""
    shapes = {"encoder.conv_in.weight": (160,), "decoder.norm_out.gamma": (256,), "post_quant_conv.weight": (48,)}
    with torch.device("meta"):
        model = FastWAM(FastWAMConfig.of_size("full", 8, 7)).to(torch.bfloat16)
        vae = VideoVAE(AutoencoderKLWan(**vae_config(shapes)))
    assert parameters_by_component(model, vae) == {
        "video expert": 4_999_787_712,
        "action expert": 1_020_886_023,
        "state encoder": 36_864,
        "image encoder and decoder": 704_688_668,
        "text encoder": 5_680_910_336,
    }
    assert sum(stage_flops(model, vae, LIBERO.image_size, "first_frame", 10).values()) == 2_058_318_405_632


def test_the_operations_of_the_action_expert_by_hand(model: FastWAM, vae: VideoVAE) -> None:
    frame, actions, text = 98, 32, 129
    dim, width, ffn, layers = 64, 96, 96, 2
    products = actions * (6 * dim * width + 2 * dim * ffn)  # q, k, v, o; q and o of the cross-attention; feed-forward
    attention = 2 * actions * width * (frame + actions + text)
    by_hand = 2 * (layers * (products + attention) + 2 * actions * 7 * dim)
    assert tiny_config().action.layers == layers
    assert stage_flops(model, vae, LIBERO.image_size, "first_frame", 10)["actions"] == 10 * by_hand


@pytest.mark.parametrize("variant", VARIANTS)
def test_operations_are_counted_as_in_a_real_run(model: FastWAM, vae: VideoVAE, variant: Variant) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    counted = stage_flops(model, vae, LIBERO.image_size, variant, 4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    video = ["video"] if variant == "idm" else []
    assert list(counted) == ["vae", "prefill", *video, "actions"]
    sampler = Sampler(model, variant, 4)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        sampler.sample(torch.randn(1, 48, 1, 14, 28), torch.randn(1, 129, 32), [0])
    assert sum(counted.values()) - counted["vae"] == counter.get_total_flops()


def test_the_policy_reports_its_costs(policy: FastWAMPolicy, model: FastWAM, vae: VideoVAE) -> None:
    costs = policy.costs()
    assert costs.flops == sum(stage_flops(model, vae, LIBERO.image_size, "first_frame", 1).values())
    assert costs.parameters == parameters_by_component(model, vae)
