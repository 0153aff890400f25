"""Encoders of HarmoWAM: DINOv2 with its own preprocessing, files in the published layout, decoded frames as tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import safetensors.torch
import torch
from PIL import Image
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model

from wam_eval.errors import UserError
from wam_eval.models.autoencoder import pixels
from wam_eval.models.harmowam.encoders import (
    FrameEncoder,
    HarmoWAMEncoders,
    load_frame_encoder,
    random_frame_encoder,
)
from wam_eval.models.harmowam.files import DINOV2
from wam_eval.models.mvwam.encoders import random_tower
from wam_eval.models.stages import parameter_count
from wam_eval.models.wan import encoders as wan
from wam_eval.models.wan.encoders import random_vae
from wam_eval.models.weights import layout_of

torch.set_num_threads(1)  # With models this small, more threads are slower.

F32, CPU = torch.float32, torch.device("cpu")


@pytest.fixture(scope="module")
def encoder() -> FrameEncoder:
    return random_frame_encoder("tiny", seed=0)


def frames(batch: int = 2, seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, 32, 48, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def seen_by(encoder: FrameEncoder, images: Tensor) -> Tensor:
    """The images that the model receives."""
    seen: list[Tensor] = []
    hook = encoder.model.register_forward_pre_hook(lambda model, inputs: seen.append(inputs[0]))
    encoder.encode(images)
    hook.remove()
    return seen[0]


# DINOv2


def test_every_patch_of_a_frame_becomes_a_token(encoder: FrameEncoder) -> None:
    tokens = encoder.encode(frames(3))
    assert tokens.shape == (3, 9, 32) and tokens.dtype == F32 and encoder.grid == (3, 3)
    for row in range(3):
        assert torch.allclose(encoder.encode(frames(3)[row : row + 1])[0], tokens[row], atol=1e-5)


def test_frames_are_resized_and_normalised_as_by_dinov2(encoder: FrameEncoder) -> None:
    """Pillow's bicubic filter and the colours of ImageNet, up to Pillow's rounding to whole colours.

    The contrast is low, because Pillow also cuts off between its two passes what is brighter than white.
    """
    images = (0.4 * frames(1).movedim(1, -1)[0] * 127.5 + 127.5).round().to(torch.uint8).numpy()
    resized = np.asarray(Image.fromarray(images).resize((42, 42), Image.Resampling.BICUBIC), np.float32) / 255
    expected = (resized - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    given = torch.tensor(images).movedim(-1, 0)[None] / 127.5 - 1
    found = seen_by(encoder, given)[0].movedim(0, -1).numpy()
    assert np.abs(found - expected).max() < 1.5 / 255 / 0.224


def test_frames_in_bfloat16_are_resized_in_float32() -> None:
    encoder = random_frame_encoder("tiny", 0, torch.bfloat16)
    rounded = frames().bfloat16()
    expected = seen_by(random_frame_encoder("tiny", 0), rounded.float())
    assert torch.equal(seen_by(encoder, rounded), expected.bfloat16())
    assert encoder.encode(rounded).dtype == torch.bfloat16


def test_the_published_model_gives_1369_tokens_of_768_numbers() -> None:
    full = random_frame_encoder("full", 0, device="meta")
    assert full.grid == (37, 37)
    assert full.encode(torch.empty(2, 3, 256, 320, device="meta")).shape == (2, 1369, 768)
    with torch.device("meta"):
        base = Dinov2Model(Dinov2Config(image_size=518))
    assert layout_of(full.model) == layout_of(base)
    assert parameter_count(full.model) == 86_580_480


def save_frame_encoder(folder: Path, seed: int = 0) -> Path:
    """A tiny DINOv2 in the layout of the Hugging Face hub, in which the library saves it."""
    random_frame_encoder("tiny", seed).model.save_pretrained(folder)
    return folder


def test_a_file_in_the_published_layout_is_loaded(tmp_path: Path, encoder: FrameEncoder) -> None:
    folder = save_frame_encoder(tmp_path)
    names = safetensors.torch.load_file(folder / "model.safetensors")
    assert "encoder.layer.1.attention.attention.query.weight" in names
    assert DINOV2.find(str(folder)) == folder
    loaded = load_frame_encoder(folder, "tiny", F32, "cpu")
    assert torch.equal(loaded.encode(frames()), encoder.encode(frames()))


def test_a_file_with_the_names_of_the_library_is_loaded(tmp_path: Path, encoder: FrameEncoder) -> None:
    safetensors.torch.save_file(dict(encoder.model.named_parameters()), tmp_path / "model.safetensors")
    loaded = load_frame_encoder(tmp_path, "tiny", F32, "cpu")
    assert torch.equal(loaded.encode(frames()), encoder.encode(frames()))


def test_another_model_is_refused(tmp_path: Path) -> None:
    safetensors.torch.save_file(dict(random_tower("tiny", 0).model.named_parameters()), tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="does not fit DINOv2, which has"):
        load_frame_encoder(tmp_path, "tiny", F32, "cpu")
    with pytest.raises(UserError, match="does not fit DINOv2"):
        load_frame_encoder(save_frame_encoder(tmp_path), "full", F32, "cpu")


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="DINOv2's weights"):
        load_frame_encoder(tmp_path, "tiny", F32, "cpu")


# The VAE


def test_decoded_frames_become_the_same_pixels() -> None:
    vae = random_vae("tiny", 0)
    latents = torch.randn(1, 48, 4, 2, 3, generator=torch.Generator().manual_seed(0))
    decoded = vae.decoded(latents)
    assert decoded.shape == (1, 3, 13, 32, 48) and decoded.dtype == F32
    assert np.array_equal(pixels(decoded), vae.decode(latents))


# All encoders


def test_random_encoders_need_no_files() -> None:
    encoders = HarmoWAMEncoders(None, None, None, "tiny", F32, CPU)
    assert encoders.image_digest() == "random tiny"
    pictures = torch.zeros(1, 2, 42, 42, 3, dtype=torch.uint8)
    assert encoders.tower().encode(pictures).shape == (1, 2, 9, 48)
    assert encoders.frame_encoder().encode(frames()).shape == (2, 9, 32)
    assert encoders.vae().decode(torch.zeros(1, 48, 1, 2, 3)).shape == (1, 1, 32, 48, 3)
    embedding = encoders.prompt_cache().embedding("open the drawer")
    assert embedding.shape == (512, 32) and (embedding[16:] == 0).all() and (embedding[:16] != 0).all()


def save_wan(folder: Path) -> Path:
    """Tiny encoders in the layout of diffusers."""
    text = wan.random_text_encoder("tiny", 0)
    random_vae("tiny", 0).model.save_pretrained(folder / "vae")
    text.model.save_pretrained(folder / "text_encoder")
    text._tokenizer.save_pretrained(folder / "tokenizer")
    return folder


def test_encoders_come_from_three_folders(
    tmp_path: Path, encoder: FrameEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAM_EVAL_CACHE", str(tmp_path / "cache"))
    siglip2, dinov2 = tmp_path / "siglip2", save_frame_encoder(tmp_path / "dinov2")
    random_tower("tiny", 0).model.save_pretrained(siglip2)
    encoders = HarmoWAMEncoders(save_wan(tmp_path / "wan"), siglip2, dinov2, "tiny", F32, CPU)
    random = HarmoWAMEncoders(None, None, None, "tiny", F32, CPU)
    pictures = torch.full((1, 2, 42, 42, 3), 90, dtype=torch.uint8)
    assert torch.equal(encoders.tower().encode(pictures), random.tower().encode(pictures))
    assert torch.equal(encoders.frame_encoder().encode(frames()), encoder.encode(frames()))
    latents = torch.zeros(1, 48, 1, 2, 3)
    assert np.array_equal(encoders.vae().decode(latents), random.vae().decode(latents))
    long = "a" * 300
    assert torch.equal(encoders.prompt_cache().tokens(long), random.prompt_cache().tokens(long))
    assert len(random.prompt_cache().tokens(long)) == 301
    before = encoders.image_digest()
    assert len(before.split()) == 3 and before == encoders.image_digest()
    save_frame_encoder(dinov2, seed=1)
    assert encoders.image_digest() != before
