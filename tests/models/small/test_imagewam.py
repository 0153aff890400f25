"""Small ImageWAM: its training, its picture at the end of the chunk, its policy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="models need PyTorch: make setup MODELS=1")
pytest.importorskip("pyarrow", reason="data sets need pyarrow: make setup MODELS=1")

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
from wam_eval.errors import UserError  # noqa: E402
from wam_eval.models.small.imagewam import SmallImageWAMPolicy, SmallImageWAMTraining  # noqa: E402

SIZES: dict[str, Any] = {"layers": 2, "head_dim": 16, "width": 32, "stride": 8}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model after some steps."""
    return trained(tmp_path_factory.mktemp("model"), "imagewam", steps=120, image_weight=0.1, **SIZES)


def policy(path: Path, **settings: Any) -> SmallImageWAMPolicy:
    found = SmallImageWAMPolicy(SmallImageWAMPolicy.Settings(checkpoint=str(path), **settings))
    found.prepare([RIGHT, LEFT])
    return found


def test_a_trained_model_follows_words_and_observation(model: Path) -> None:
    check_it_follows_words_and_place(policy(model))


def test_it_imagines_the_picture_at_the_end_of_the_chunk_and_shows_its_attention(model: Path) -> None:
    (chunk,) = chunks(policy(model), replace(observation(0.1, RIGHT), imagine=True, attention=True))
    assert chunk.imagined.frames.shape == (2, 64, 128, 3)
    assert chunk.imagined.every == 8
    assert np.abs(chunk.imagined.frames[0].astype(int) - 137).max() < 6, "the observed picture comes first"
    assert chunk.attention.shape == (4, 8)


def test_an_answer_does_not_depend_on_the_batch(model: Path) -> None:
    found = policy(model, rows=2)
    together = chunks(found, observation(-0.3, LEFT), observation(0.5, RIGHT))
    assert np.array_equal(together[1].actions, answer(found))


def test_costs_are_counted_without_changing_the_answer(model: Path) -> None:
    found = policy(model)
    costs = found.costs()
    assert costs.flops > 0
    assert sum(costs.parameters.values()) == sum(parameter.numel() for parameter in found._small.parameters())
    assert np.array_equal(answer(found), answer(policy(model)))


def test_the_image_has_to_be_at_the_end_of_the_chunk(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the image is the one at the end of the chunk"):
        SmallImageWAMTraining({**TINY, "stride": 4}, [data(tmp_path / "data", count=2)])
