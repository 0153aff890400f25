"""Files of Wan2.2: found in every layout, complete, and with the tensors of their libraries' models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import torch
from diffusers import AutoencoderKLWan
from transformers import UMT5Config, UMT5EncoderModel

from tests.models.wan.original_names import (
    TEXT_ENCODER_FINGERPRINT,
    VAE_FINGERPRINT,
    fingerprint,
    original_text_encoder_name,
    original_vae_name,
    parameters,
)
from wam_eval.errors import UserError
from wam_eval.models.files import Rules, renamed
from wam_eval.models.wan.files import TEXT_ENCODER_RULES, VAE_RULES, WAN, text_encoder_config, vae_config

FULL_VAE = {"base_dim": 160, "decoder_base_dim": 256, "z_dim": 48}
FULL_TEXT_ENCODER = {
    "vocab_size": 256384,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "relative_attention_num_buckets": 32,
}


def full_vae() -> dict[str, torch.Tensor]:
    sizes = {"encoder.conv_in.weight": (160,), "decoder.norm_out.gamma": (256,), "post_quant_conv.weight": (48,)}
    with torch.device("meta"):
        return parameters(AutoencoderKLWan(**vae_config(sizes)))


def full_text_encoder() -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return parameters(UMT5EncoderModel(UMT5Config(**FULL_TEXT_ENCODER)))


@pytest.mark.parametrize(
    ("model", "original", "rules", "published"),
    [
        (full_vae, original_vae_name, VAE_RULES, VAE_FINGERPRINT),
        (full_text_encoder, original_text_encoder_name, TEXT_ENCODER_RULES, TEXT_ENCODER_FINGERPRINT),
    ],
    ids=["vae", "text_encoder"],
)
def test_the_published_files_fill_the_full_models(
    model: Callable[[], dict[str, torch.Tensor]], original: Callable[[str], str], rules: Rules, published: str
) -> None:
    """Names and shapes are those of the published files, and each tensor becomes a parameter of the library's model."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model().items()}
    assert fingerprint({original(name): shape for name, shape in shapes.items()}) == published
    assert {renamed(original(name), rules): shape for name, shape in shapes.items()} == shapes
    assert all(renamed(name, rules) == name for name in shapes), "names of the library stay the same"


def test_sizes_are_read_from_the_weights() -> None:
    vae = vae_config({name: tensor.shape for name, tensor in full_vae().items()})
    assert {name: vae[name] for name in FULL_VAE} == FULL_VAE
    assert text_encoder_config({name: t.shape for name, t in full_text_encoder().items()}) == FULL_TEXT_ENCODER


def touch(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def converted(folder: Path) -> Path:
    """Empty files in the layout of diffusers."""
    touch(folder / "vae" / "diffusion_pytorch_model.safetensors")
    index = {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}
    touch(folder / "text_encoder" / "model.safetensors.index.json", json.dumps(index))
    touch(folder / "text_encoder" / "model-1-of-2.safetensors")
    touch(folder / "text_encoder" / "model-2-of-2.safetensors")
    touch(folder / "tokenizer" / "spiece.model")
    return folder


def test_a_converted_folder(tmp_path: Path) -> None:
    folder = converted(tmp_path)
    assert WAN.find(str(folder)) == folder
    assert [file.name for file in WAN.weights(folder, "vae")] == ["diffusion_pytorch_model.safetensors"]
    shards = [file.name for file in WAN.weights(folder, "text_encoder")]
    assert shards == ["model-1-of-2.safetensors", "model-2-of-2.safetensors"]
    assert WAN.tokenizer(folder) == folder / "tokenizer"


@pytest.mark.parametrize(
    ("converted_files", "wan"),
    [("", ""), ("DiffSynth-Studio/Wan-Series-Converted-Safetensors", "Wan-AI/Wan2.1-T2V-1.3B")],
    ids=["side by side", "in DiffSynth's folders"],
)
def test_original_files(tmp_path: Path, converted_files: str, wan: str) -> None:
    vae = touch(tmp_path / converted_files / "Wan2.2_VAE.safetensors")
    text_encoder = touch(tmp_path / converted_files / "models_t5_umt5-xxl-enc-bf16.safetensors")
    tokenizer = touch(tmp_path / wan / "google" / "umt5-xxl" / "tokenizer.json").parent
    assert WAN.missing(tmp_path) == []
    assert WAN.weights(tmp_path, "vae") == [vae]
    assert WAN.weights(tmp_path, "text_encoder") == [text_encoder]
    assert WAN.tokenizer(tmp_path) == tokenizer


def test_a_missing_part_is_named_with_advice(tmp_path: Path) -> None:
    """A part with a missing shard is missing."""
    (converted(tmp_path) / "text_encoder" / "model-2-of-2.safetensors").unlink()
    with pytest.raises(UserError) as caught:
        WAN.find(str(tmp_path))
    assert str(caught.value) == (
        f"the setting `wan` names {tmp_path}, which lacks Wan2.2's text encoder. On a machine with a network, "
        "`hf download Wan-AI/Wan2.2-TI2V-5B-Diffusers --include 'text_encoder/*' --local-dir wan2.2` downloads what is "
        "missing; then set WAM_EVAL_WAN to that folder. Wan2.2's original files work too: "
        "models_t5_umt5-xxl-enc-bf16.safetensors"
    )
    touch(tmp_path / "text_encoder" / "model.safetensors.index.json", "{")
    assert WAN.missing(tmp_path) == ["text_encoder"]


def test_the_setting_comes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, elsewhere = converted(tmp_path / "mine"), converted(tmp_path / "elsewhere")
    monkeypatch.setenv("WAM_EVAL_WAN", str(elsewhere))
    assert WAN.find() == elsewhere
    assert WAN.find(str(mine)) == mine
    monkeypatch.setenv("WAM_EVAL_WAN", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"WAM_EVAL_WAN names .*nowhere, which is not a folder"):
        WAN.find()


def find_offline(home: Path) -> subprocess.CompletedProcess[str]:
    """``WAN.find()`` in a new process, because the hub's client reads these variables when it is imported."""
    program = "from wam_eval.models.wan.files import WAN; print(WAN.find())"
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "WAM_EVAL_WAN": ""}
    environment.pop("HF_HUB_CACHE", None)
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)


def test_offline_a_complete_cache_of_the_hub_is_used(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--Wan-AI--Wan2.2-TI2V-5B-Diffusers"
    touch(repository / "refs" / "main", "0123abc")
    snapshot = converted(repository / "snapshots" / "0123abc")
    assert find_offline(tmp_path).stdout.strip() == str(snapshot)
    (snapshot / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    refused = find_offline(tmp_path).stderr
    assert "Wan2.2's vae: not on this machine, and not downloaded (HF_HUB_OFFLINE is set)" in refused
    assert "--include 'vae/*' --local-dir" in refused


def test_offline_without_a_cache(tmp_path: Path) -> None:
    refused = find_offline(tmp_path)
    assert refused.returncode != 0
    last = refused.stderr.strip().splitlines()[-1]
    assert "Wan2.2's vae and Wan2.2's text encoder and Wan2.2's tokenizer" in last
    assert "Wan-AI/Wan2.2-TI2V-5B-Diffusers" in last and "WAM_EVAL_WAN" in last


def test_doctor_looks_for_the_files_and_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot(*_: object, local_files_only: bool = False, **__: object) -> str:
        assert local_files_only, "a download was tried"
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    monkeypatch.delenv("WAM_EVAL_WAN", raising=False)
    assert WAN.check().status == "warn"  # the folder of the cache is empty
    monkeypatch.setenv("WAM_EVAL_WAN", str(tmp_path))
    check = WAN.check()
    assert check.status == "fail" and "vae" in check.detail
    converted(tmp_path)
    assert WAN.check().status == "ok"
