"""Encoders of small models: principal components of patches, and words."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="models need PyTorch: make setup MODELS=1")

from torch import Tensor  # noqa: E402

from wam_eval.models.small.encoders import PATCH, PatchCodec, Words, image_latents, image_tokens, words_of  # noqa: E402


def images(count: int = 20, seed: int = 0) -> Tensor:
    """Smooth pictures in -1..1, 16 x 24 pixels."""
    coarse = torch.rand(count, 3, 2, 3, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=(16, 24), mode="bilinear")


def fitted(components: int) -> PatchCodec:
    codec = PatchCodec(components)
    codec.fit(images())
    return codec


def test_all_components_give_the_image_back() -> None:
    codec = fitted(3 * PATCH * PATCH)
    pictures = images(4, seed=1)
    expected = ((pictures + 1) * 127.5).permute(0, 2, 3, 1).numpy()
    found = codec.decode(codec.encode(pictures))[:, 0]
    assert np.abs(found.astype(float) - expected).max() < 2.0


def test_few_components_give_it_back_roughly() -> None:
    errors = []
    for components in (1, 8, 32):
        codec = fitted(components)
        pictures = images(4, seed=1)
        restored = torch.from_numpy(codec.decode(codec.encode(pictures))[:, 0]).permute(0, 3, 1, 2) / 127.5 - 1
        errors.append(float((restored - pictures).square().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3


def test_latents_are_a_grid_of_patches_with_a_variance_of_about_one() -> None:
    latents = fitted(8).encode(images())
    assert latents.shape == (20, 8, 1, 2, 3)
    assert 0.3 < float(latents.var()) < 3.0
    deviations = latents.std(dim=(0, 2, 3, 4))
    assert deviations[0] == deviations.max()


def test_a_patch_depends_on_its_own_pixels_alone() -> None:
    codec, pictures = fitted(8), images(1)
    changed = pictures.clone()
    changed[:, :, :PATCH, :PATCH] = 0.5
    different = (codec.encode(pictures) != codec.encode(changed)).any(dim=1)[0, 0]
    assert different.tolist() == [[True, False, False], [False, False, False]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Pick up the Milk, please.", ["pick", "up", "the", "milk", "please"]),
        ("block-2", ["block", "2"]),
        ("…", []),
    ],
)
def test_words_of_a_text(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_unknown_words_share_an_embedding_and_an_empty_text_has_one() -> None:
    words = Words(Words.vocabulary_of(["put the milk", "the bowl"]), dim=4)
    assert words.vocabulary == ("bowl", "milk", "put", "the")
    assert torch.equal(words("milk"), words("MILK!"))
    assert torch.equal(words("plate"), words("cup"))
    assert not torch.equal(words("plate"), words("milk"))
    assert words("").shape == (1, 4)
    assert [len(one) for one in words.encode(["put the bowl", ""])] == [3, 1]


def test_tokens_hold_squares_of_four_latents_and_give_them_back() -> None:
    latents = torch.arange(2 * 3 * 4 * 6, dtype=torch.float32).view(2, 3, 1, 4, 6)
    tokens = image_tokens(latents)
    assert tokens.shape == (2, 6, 12)
    assert set(tokens[0, 1].tolist()) == set(latents[0, :, 0, :2, 2:4].flatten().tolist())
    assert torch.equal(image_latents(tokens, (2, 3)), latents)
