"""Ovis-U1's encoders: the numbers of the official code, sizes, files, and what is wrong with a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor
from transformers import ByT5Tokenizer

from wam_eval.errors import UserError
from wam_eval.models.ovis.aimv2 import ViewSizes, patch_angles, scaled_size
from wam_eval.models.ovis.encoders import (
    ConditionEncoder,
    ConditionSizes,
    Words,
    load_condition_encoder,
    load_vae,
    load_words,
    random_condition_encoder,
    random_vae,
)
from wam_eval.models.ovis.files import OVIS_U1, VAE
from wam_eval.models.weights import layout_of

torch.set_num_threads(1)  # With models this small, more threads are slower.

TINY = ConditionSizes.of_size("tiny")
# Of the official code (ImageWAM 5d4a341 with the vendored code of Ovis-U1) with the weights and inputs below.
EXPECTED = {  # place -> first and last four channels
    20: ((-0.67009, -0.20715, 0.67959, -1.19097), (-0.61867, -0.52896, -0.13074, -0.32133)),
    100: ((-1.09144, 0.26078, 1.71753, -0.48374), (-1.13026, 0.11586, -0.54498, -1.58135)),
    125: ((-0.99957, 0.50169, 1.55943, -0.25238), (-0.53159, 0.55243, -0.35649, -2.25537)),
}


def image(seed: int = 1) -> Tensor:
    """A picture (1, 3, 112, 168) of coloured squares."""
    squares = torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return squares.repeat_interleave(14, 2).repeat_interleave(14, 3)


def words(encoder: ConditionEncoder, prompt: str = "put the bowl on the plate") -> Tensor:
    """The embeddings of a prompt's words."""
    (embedded,) = Words(encoder.language.embed_tokens.weight, ByT5Tokenizer(extra_ids=0), 64).encode([prompt])
    return embedded


def encode_alone(encoder: ConditionEncoder, seen: Tensor, prompt: Tensor) -> tuple[Tensor, list[int]]:
    """States of one row without padding, as the official code computes them."""
    encoded: tuple[Tensor, list[int]] = encoder(seen, [prompt], len(prompt))
    return encoded


@pytest.fixture(scope="module")
def encoder() -> ConditionEncoder:
    """A tiny encoder."""
    return random_condition_encoder(TINY, 0)


def test_states_are_those_of_the_official_code(encoder: ConditionEncoder) -> None:
    states, lengths = encode_alone(encoder, image(), words(encoder))
    assert states.shape == (1, 126, 32) and lengths == [126]
    for place, (first, last) in EXPECTED.items():
        assert states[0, place, :4].tolist() == pytest.approx(first, abs=2e-5)
        assert states[0, place, -4:].tolist() == pytest.approx(last, abs=2e-5)


def test_rows_of_a_batch_do_not_see_each_other(encoder: ConditionEncoder) -> None:
    prompts = [words(encoder), words(encoder, "open the drawer")]
    both, lengths = encoder(torch.cat([image(), image(2)]), prompts, 64)
    for row, prompt in enumerate(prompts):
        alone, (length,) = encode_alone(encoder, image(row + 1), prompt)
        assert length == lengths[row] == alone.shape[1]
        assert torch.allclose(both[row, :length], alone[0], atol=1e-5)


def test_image_and_prompt_matter(encoder: ConditionEncoder) -> None:
    one, _ = encode_alone(encoder, image(), words(encoder))
    for other, prompt in ((image(2), "put the bowl on the plate"), (image(), "put the bowl on the table")):
        states, _ = encode_alone(encoder, other, words(encoder, prompt))
        assert not torch.allclose(one[:, -1], states[:, -1], atol=1e-3)


def test_the_published_encoder_has_these_parameters() -> None:
    with torch.device("meta"):
        model = ConditionEncoder(ConditionSizes.of_size("full"))
    layout = layout_of(model)
    assert layout["visual_tokenizer.head.0.weight"] == (65_532, 4096) and layout["vte.weight"] == (65_536, 2048)
    assert layout["visual_tokenizer.backbone.preprocessor.pos_embed"] == (1, 1024, 1024)
    assert layout["llm.model.layers.27.self_attn.k_proj.weight"] == (1024, 2048)


@pytest.mark.parametrize(
    ("image_size", "expected"),
    [((224, 448), (336, 644)), ((288, 256), (476, 448)), ((480, 640), (476, 644)), ((2000, 1600), (1708, 1372))],
)
def test_images_are_scaled_as_in_the_official_code(image_size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert scaled_size(*image_size, ViewSizes().pixels) == expected


def test_angles_are_rounded_with_the_weights() -> None:
    exact = patch_angles(30, 40, 128, torch.float32, torch.device("cpu"))
    rounded = patch_angles(30, 40, 128, torch.bfloat16, torch.device("cpu")).float()
    assert exact.shape == rounded.shape == (1200, 64)
    assert 0.01 < (exact - rounded).abs().max() < 0.3


# Files


def save(folder: Path, tensors: dict[str, Tensor]) -> Path:
    """A folder as the model is published: two files of weights with an index, and the tokenizer beside them."""
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in shards.items():
        safetensors.torch.save_file({name: tensors[name].contiguous() for name in part}, folder / file)
    placed = {name: file for file, part in shards.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    ByT5Tokenizer(extra_ids=0).save_pretrained(folder)
    return folder


def published(encoder: ConditionEncoder) -> dict[str, Tensor]:
    """The tensors of a published model."""
    tensors = dict(encoder.state_dict())
    tensors |= {f"{VAE}{name}": tensor for name, tensor in random_vae("tiny", 1).model.state_dict().items()}
    others = {"visual_generator.backbone.img_in.weight": torch.zeros(2, 2), "llm.lm_head.weight": torch.zeros(2, 2)}
    return tensors | others


def test_a_folder_gives_all_encoders(tmp_path: Path, encoder: ConditionEncoder) -> None:
    save(tmp_path, published(encoder))
    assert OVIS_U1.find(str(tmp_path)) == tmp_path
    loaded = load_condition_encoder(tmp_path, TINY, torch.float32, "cpu")
    (prompt,) = load_words(tmp_path, 64).encode(["put the bowl on the plate"])
    states, _ = loaded(image(), [prompt], 64)
    assert torch.equal(states, encoder(image(), [words(encoder)], 64)[0])
    vae, same = load_vae(tmp_path, "tiny", torch.float32, "cpu"), random_vae("tiny", 1)
    assert torch.equal(vae.encode(image(), [0]), same.encode(image(), [0]))


def test_faults_of_a_file_are_named(tmp_path: Path, encoder: ConditionEncoder) -> None:
    tensors = published(encoder)
    changed = {**tensors, "vte.weight": tensors["vte.weight"][:, :3], "unknown.weight": torch.zeros(1)}
    changed.pop("visual_tokenizer.head.0.weight")
    changed.pop(f"{VAE}decoder.conv_in.bias")
    save(tmp_path, changed)
    with pytest.raises(UserError, match=r"1 missing .*head\.0\.weight.*1 unexpected \(unknown.*vte\.weight 64x3"):
        load_condition_encoder(tmp_path, TINY, torch.float32, "cpu")
    with pytest.raises(UserError, match=r"does not fit the autoencoder of Ovis-U1, .* 1 missing \(decoder\.conv_in"):
        load_vae(tmp_path, "tiny", torch.float32, "cpu")
    save(tmp_path, {**tensors, "vte.weight": tensors["vte.weight"] / 0.0})
    with pytest.raises(UserError, match=r"vte\.weight contains numbers that are not finite"):
        load_condition_encoder(tmp_path, TINY, torch.float32, "cpu")


def test_a_missing_file_of_weights_is_explained(tmp_path: Path, encoder: ConditionEncoder) -> None:
    save(tmp_path, published(encoder))
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match=r"lacks Ovis-U1's weights\. .*hf download AIDC-AI/Ovis-U1-3B .*OVIS_U1"):
        OVIS_U1.find(str(tmp_path))
