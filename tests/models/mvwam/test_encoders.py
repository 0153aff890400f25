"""Encoders of MV-WAM: pictures as SigLIP's own processor, files in the published layout, latents with seeded noise."""

from __future__ import annotations

import json
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
from transformers import SiglipImageProcessorPil

from tests.models.imagewam.test_sampling import OnOneDevice
from wam_eval.errors import UserError
from wam_eval.models.mvwam.encoders import (
    LENGTH,
    ImageTower,
    MVWAMEncoders,
    SampledVideoVAE,
    load_tower,
    load_vae,
    random_tower,
    random_vae,
    square_picture,
)
from wam_eval.models.mvwam.files import SIGLIP2
from wam_eval.models.stages import parameter_count
from wam_eval.models.wan import encoders as wan
from wam_eval.models.wan.files import WAN21
from wam_eval.models.weights import layout_of

torch.set_num_threads(1)  # With models this small, more threads are slower.

F32, CPU = torch.float32, torch.device("cpu")


@pytest.fixture(scope="module")
def tower() -> ImageTower:
    return random_tower("tiny", seed=0)


@pytest.fixture(scope="module")
def vae() -> SampledVideoVAE:
    return random_vae("tiny", seed=0)


def pictures(batch: int = 2, cameras: int = 3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, cameras, 42, 42, 3), generator=generator, dtype=torch.uint8)


# Pictures


def test_a_picture_is_padded_to_a_square_with_grey() -> None:
    white = square_picture(np.full((480, 640, 3), 255, np.uint8), 240, 320, 320)
    assert (white[:40] == 127).all() and (white[40:280] == 255).all() and (white[280:] == 127).all()
    tall = square_picture(np.full((10, 10, 3), 255, np.uint8), 384, 320, 384)
    assert (tall[:, :32] == 127).all() and (tall[:, 32:352] == 255).all() and (tall[:, 352:] == 127).all()


def test_pictures_are_preprocessed_as_by_siglips_processor() -> None:
    """With the bilinear filter of SigLIP2's settings."""
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    padded = Image.new("RGB", (64, 64), (127, 127, 127))
    padded.paste(Image.fromarray(image).resize((64, 48), Image.Resampling.BILINEAR), (0, 8))
    processor = SiglipImageProcessorPil(size={"height": 42, "width": 42}, resample=Image.Resampling.BILINEAR)
    expected = processor(padded, return_tensors="pt").pixel_values
    tower, seen = random_tower("tiny", seed=0), []
    tower.model.register_forward_pre_hook(lambda model, inputs: seen.append(inputs[0]))
    tower.encode(torch.tensor(square_picture(image, 48, 64, 42))[None, None])
    assert torch.allclose(seen[0], expected, atol=1e-6)


# SigLIP2


def test_every_patch_of_every_camera_becomes_a_token(tower: ImageTower) -> None:
    tokens = tower.encode(pictures())
    assert tokens.shape == (2, 3, 9, 48) and tokens.dtype == F32
    for row in range(2):
        for camera in range(3):
            alone = tower.encode(pictures()[row : row + 1, camera : camera + 1])
            assert torch.allclose(alone[0, 0], tokens[row, camera], atol=1e-5)


def test_the_published_tower_gives_729_tokens_of_1152_numbers() -> None:
    full = random_tower("full", 0, device="meta")
    layout = layout_of(full.model)
    assert layout["embeddings.position_embedding.weight"] == (729, 1152) and full.side == 384
    assert layout["embeddings.patch_embedding.weight"] == (1152, 3, 14, 14)
    assert layout["encoder.layers.26.mlp.fc1.weight"] == (4304, 1152)
    assert layout["post_layernorm.weight"] == (1152,) and "head.probe" not in layout
    images = torch.empty(1, 3, 384, 384, 3, dtype=torch.uint8, device="meta")
    assert full.encode(images).shape == (1, 3, 729, 1152)


def published_tower(tower: ImageTower) -> dict[str, Tensor]:
    """The tensors of a published file: both towers, the pooling, and two numbers beside them."""
    own = {f"vision_model.{name}": tensor for name, tensor in tower.model.state_dict().items()}
    own |= {"vision_model.head.probe": torch.zeros(1, 1, 48), "text_model.head.weight": torch.zeros(2, 2)}
    return own | {"logit_scale": torch.zeros(1), "logit_bias": torch.zeros(1)}


def save_tower(folder: Path, tensors: dict[str, Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_published_file_gives_the_tower(tmp_path: Path, tower: ImageTower, dtype: torch.dtype) -> None:
    save_tower(tmp_path, published_tower(tower))
    assert SIGLIP2.find(str(tmp_path)) == tmp_path
    loaded = load_tower(tmp_path, "tiny", dtype, "cpu")
    assert torch.equal(loaded.encode(pictures()), random_tower("tiny", 0, dtype).encode(pictures()))


def test_a_file_of_the_image_tower_alone_is_read(tmp_path: Path, tower: ImageTower) -> None:
    save_tower(tmp_path, dict(tower.model.state_dict()))
    assert torch.equal(load_tower(tmp_path, "tiny", F32, "cpu").encode(pictures()), tower.encode(pictures()))


def test_faults_of_a_towers_file_are_named(tmp_path: Path, tower: ImageTower) -> None:
    tensors = published_tower(tower)
    tensors.pop("vision_model.post_layernorm.bias")
    save_tower(tmp_path, tensors)
    with pytest.raises(UserError, match=r"does not fit SigLIP2's image tower.* 1 missing \(post_layernorm\.bias\)"):
        load_tower(tmp_path, "tiny", F32, "cpu")
    with pytest.raises(UserError, match=r"of another shape .*1152"):
        load_tower(save_tower(tmp_path, published_tower(tower)), "full", F32, "cpu")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"lacks SigLIP2's weights\. .*google/siglip2-so400m-patch14-384 .*SIGLIP2"):
        SIGLIP2.find(str(tmp_path))


def test_a_graph_can_hold_the_encoders() -> None:
    tower, vae = random_tower("tiny", 0, device="meta"), random_vae("tiny", 0, device="meta")
    images, noise = torch.empty(2, 3, 32, 48, device="meta"), torch.empty(2, 16, 1, 4, 6, device="meta")
    seen = pictures().to("meta")
    with OnOneDevice():
        assert tower.encode(seen).shape == (2, 3, 9, 48)
        assert vae.encode(images, noise).shape == (2, 16, 1, 4, 6)


# Wan2.1's VAE


def test_a_frame_becomes_a_sample_of_its_distribution(vae: SampledVideoVAE) -> None:
    images = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    noise = vae.noise([4, 5], 32, 48)
    latents = vae.encode(images, noise)
    assert latents.shape == (2, 16, 1, 4, 6)
    distribution = vae.model.encode(images.unsqueeze(2)).latent_dist
    mean, std = (
        torch.tensor(x).view(1, 16, 1, 1, 1) for x in (vae.model.config.latents_mean, vae.model.config.latents_std)
    )
    expected = (distribution.mean + distribution.std * noise - mean) / std
    assert torch.allclose(latents, expected, atol=1e-6)
    assert torch.allclose(vae.encode(images[1:], vae.noise([5], 32, 48))[0], latents[1], atol=1e-5)


def test_the_noise_of_a_latent_is_not_that_of_the_actions(vae: SampledVideoVAE) -> None:
    noise = vae.noise([4], 32, 48)
    assert torch.equal(noise[0], torch.randn(16, 1, 4, 6, generator=torch.Generator().manual_seed(5)))


def test_nine_latent_frames_become_33_frames(vae: SampledVideoVAE) -> None:
    frames = vae.decode(torch.randn(1, 16, 9, 4, 6))
    assert frames.shape == (1, 33, 32, 48, 3) and frames.dtype == np.uint8


def test_decoding_undoes_the_normalisation(vae: SampledVideoVAE) -> None:
    latents = torch.randn(1, 16, 1, 4, 6, generator=torch.Generator().manual_seed(0))
    mean, std = (
        torch.tensor(x).view(1, 16, 1, 1, 1) for x in (vae.model.config.latents_mean, vae.model.config.latents_std)
    )
    with torch.no_grad():
        decoded = vae.model.decode(latents * std + mean).sample
    expected = ((decoded.clamp(-1, 1) + 1) * 127.5).to(torch.uint8)
    assert np.array_equal(vae.decode(latents), expected.movedim(1, -1).numpy())


def test_the_published_vae_has_these_parameters() -> None:
    full = random_vae("full", 0, device="meta")
    layout = layout_of(full.model)
    assert layout["encoder.conv_in.weight"] == (96, 3, 3, 3, 3)
    assert layout["post_quant_conv.weight"] == (16, 16, 1, 1, 1)
    assert round(parameter_count(full.model) / 1e6) == 127


def save_wan(folder: Path) -> Path:
    """Tiny encoders in the layout of diffusers."""
    text = wan.random_text_encoder("tiny", 0, length=LENGTH)
    random_vae("tiny", 0).model.save_pretrained(folder / "vae")
    text.model.save_pretrained(folder / "text_encoder")
    text._tokenizer.save_pretrained(folder / "tokenizer")
    return folder


def test_a_folder_in_the_layout_of_diffusers_gives_all_parts(tmp_path: Path, vae: SampledVideoVAE) -> None:
    assert WAN21.find(str(save_wan(tmp_path))) == tmp_path
    latents = torch.randn(1, 16, 2, 4, 6)
    assert np.array_equal(load_vae(tmp_path, "tiny", F32, "cpu").decode(latents), vae.decode(latents))
    loaded = wan.load_text_encoder(tmp_path, F32, "cpu", WAN21, LENGTH)
    (tokens,) = loaded.encode(["open the drawer"])
    assert torch.equal(tokens, wan.random_text_encoder("tiny", 0).encode(["open the drawer"])[0])


def test_another_vae_is_refused(tmp_path: Path) -> None:
    wan.random_vae("tiny", 0).model.save_pretrained(tmp_path / "vae")
    with pytest.raises(UserError, match=r"does not fit Wan2\.1's VAE"):
        load_vae(tmp_path, "tiny", F32, "cpu")


# The text encoder


def test_an_instruction_has_up_to_512_tokens(tmp_path: Path) -> None:
    encoder = wan.random_text_encoder("tiny", 0, length=LENGTH)
    assert [len(tokens) for tokens in encoder.encode(["a" * 300, "a" * 600])] == [301, 512]


def test_the_digest_tells_lengths_apart(tmp_path: Path) -> None:
    """Fast-WAM's stays the same."""
    folder = save_wan(tmp_path)
    short = wan.text_encoder_digest(folder, F32)
    assert short == wan.text_encoder_digest(folder, F32, WAN21, wan.LENGTH)
    assert short != wan.text_encoder_digest(folder, F32, WAN21, LENGTH)
    assert wan.load_text_encoder(folder, F32, "cpu", WAN21, LENGTH).digest == wan.text_encoder_digest(
        folder, F32, WAN21, LENGTH
    )


# All encoders


def test_random_encoders_need_no_files() -> None:
    encoders = MVWAMEncoders(None, None, "tiny", F32, CPU)
    assert encoders.image_digest() == "random tiny"
    assert encoders.tower().encode(pictures()).shape == (2, 3, 9, 48)
    assert encoders.vae().decode(torch.zeros(1, 16, 1, 4, 6)).shape == (1, 1, 32, 48, 3)
    embedding = encoders.prompt_cache().embedding("open the drawer")
    assert embedding.shape == (512, 32) and (embedding[16:] == 0).all() and (embedding[:16] != 0).all()


def test_encoders_come_from_two_folders(tmp_path: Path, tower: ImageTower, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAM_EVAL_CACHE", str(tmp_path / "cache"))
    folder, siglip2 = save_wan(tmp_path / "wan"), save_tower(tmp_path / "siglip2", published_tower(tower))
    encoders = MVWAMEncoders(folder, siglip2, "tiny", F32, CPU)
    assert torch.equal(encoders.tower().encode(pictures()), tower.encode(pictures()))
    assert encoders.vae().decode(torch.zeros(1, 16, 1, 4, 6)).shape == (1, 1, 32, 48, 3)
    random = MVWAMEncoders(None, None, "tiny", F32, CPU).prompt_cache()
    assert torch.equal(encoders.prompt_cache().tokens("open the drawer"), random.tokens("open the drawer"))
    assert encoders.prompt_cache().embedding("open the drawer").shape == (512, 32)
    before = encoders.image_digest()
    assert len(before.split()) == 2 and before == encoders.image_digest()
    save_tower(siglip2, published_tower(random_tower("tiny", seed=1)))
    assert encoders.image_digest() != before


def test_settings_of_a_published_vae_are_the_default_ones(tmp_path: Path) -> None:
    """The statistics of the latents are not in the file of weights."""
    save_wan(tmp_path)
    config = json.loads((tmp_path / "vae" / "config.json").read_text())
    assert config["z_dim"] == 16 and config["latents_mean"][0] == -0.7571 and config["latents_std"][-1] == 1.916
