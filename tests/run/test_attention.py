"""The study of attention: the measurements, the video, and that requesting it changes no result."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.toy.runs import play, records
from wam_eval.errors import UserError
from wam_eval.observation import ActionChunk
from wam_eval.run.attention import CHANGE, Attention, cells, changed, heated, marked, score
from wam_eval.run.rollout import PolicyError
from wam_eval.trajectory import read_trajectory

LEFT = np.tile(np.array([0.2, 0.0], np.float32), (4, 1))
"""A map with all attention to the image, 0.8, on the left half."""


def half(side: str) -> np.ndarray:
    """Pixels (8, 6), true on one side."""
    pixels = np.zeros((8, 6), bool)
    pixels[:, slice(0, 3) if side == "left" else slice(3, 6)] = True
    return pixels


# Measurements


def test_attention_on_what_changed_is_a_share_of_the_attention_to_the_image() -> None:
    assert score([LEFT], [half("left")]) == pytest.approx(
        {"attention_on_change": 1.0, "changed_area": 0.5, "attention_on_image": 0.8}
    )
    assert score([LEFT], [half("right")])["attention_on_change"] == 0
    both = score([LEFT, LEFT * np.float32(0.5)], [half("left"), half("right")])
    assert both == pytest.approx({"attention_on_change": 0.5, "changed_area": 0.5, "attention_on_image": 0.6})


def test_a_cell_counts_with_the_share_of_its_pixels() -> None:
    pixels = np.zeros((4, 4), bool)
    pixels[0, 0] = True
    assert cells(pixels, (2, 2)).tolist() == [[0.25, 0], [0, 0]]
    assert score([np.full((2, 2), 0.25, np.float32)], [pixels])["attention_on_change"] == pytest.approx(1 / 16)


@given(arrays(bool, st.tuples(st.integers(4, 30), st.integers(4, 30))), st.integers(1, 4), st.integers(1, 4))
def test_attention_without_preference_is_the_changed_area(pixels: np.ndarray, height: int, width: int) -> None:
    """Exactly if all cells have as many pixels, which the pictures of the models have."""
    pixels = pixels[: pixels.shape[0] // height * height, : pixels.shape[1] // width * width]
    uniform = np.full((height, width), 1 / (height * width), np.float32)
    scores = score([uniform], [pixels])
    assert scores["attention_on_change"] == pytest.approx(scores["changed_area"], abs=1e-6)


@given(arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30))), st.integers(1, 9), st.integers(1, 9))
def test_every_share_is_one(pixels: np.ndarray, height: int, width: int) -> None:
    shares = cells(pixels, (height, width))
    assert shares.shape == (height, width) and shares.min() >= 0 and shares.max() <= 1
    assert (shares.sum() > 0) == pixels.any()


def test_a_pixel_has_changed_if_one_channel_differs_enough() -> None:
    before = np.full((1, 3, 3), 100, np.uint8)
    after = before.copy()
    after[0, 0, 2] -= CHANGE
    after[0, 1] += CHANGE - 1
    assert changed(before, after).tolist() == [[True, False, False]]
    assert changed(np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)).all(), "no overflow"


def test_the_video_tints_what_is_looked_at_and_what_changed() -> None:
    grey = np.full((8, 6, 3), 128, np.uint8)
    warm, green = heated(grey, LEFT), marked(grey, half("right"))
    assert np.array_equal(warm[:, 3:], grey[:, 3:]) and (warm[:, :3, 0] > 200).all() and (warm[:, :3, 2] < 50).all()
    assert np.array_equal(heated(grey, np.full((2, 2), 0.1, np.float32)), grey), "no preference"
    assert np.array_equal(green[:, :3], grey[:, :3]) and (green[:, 3:, 1] > green[:, 3:, 0]).all()


# Answers of a policy


def answer(attention: Any) -> ActionChunk:
    return ActionChunk(np.zeros((1, 7), np.float32), attention=attention)


@pytest.mark.parametrize(
    ("attention", "fault"),
    [
        (None, "an attention map was requested, but the answer has none"),
        ([[0.5]], "the answer has none"),
        (LEFT[0], r"\(2,\) float32; expected \(h, w\) float32"),
        (LEFT.astype(float), r"\(4, 2\) float64; expected"),
        (LEFT[:0], r"\(0, 2\) float32; expected"),
        (-LEFT, "at least 0"),
        (LEFT * 2, "up to 1"),
        (LEFT * 0, "above 0"),
        (LEFT * np.float32("nan"), "at least 0"),
    ],
)
def test_a_map_that_cannot_be_used_is_an_error_of_the_policy(attention: Any, fault: str) -> None:
    with pytest.raises(PolicyError, match=fault):
        Attention().part(answer(attention), None)


def test_all_maps_of_an_episode_have_the_same_size() -> None:
    with pytest.raises(PolicyError, match=r"attention map \(2, 2\), but \(4, 2\) in the first chunk"):
        Attention().part(answer(LEFT[:2]), LEFT)


# Whole runs


def test_the_first_episodes_of_each_task_are_studied(runs: Path) -> None:
    folder = play("gaze", tasks="0,1", episodes=2, studies={"attention": 1})
    found = {path.relative_to(folder.path / "attention").as_posix() for path in folder.path.rglob("attention/**/*.*")}
    assert found == {f"toy/{task}/000.{kind}" for task in ("00", "01") for kind in ("npz", "mp4")}
    measured = records(folder)["toy/00/000"].measured
    assert 0 < measured["attention_on_change"] <= 1 and 0 < measured["changed_area"] <= 1
    assert measured["attention_on_image"] == pytest.approx(0.8)
    assert "attention_on_change" not in records(folder)["toy/00/001"].measured
    with np.load(folder.path / "attention/toy/00/000.npz") as archive:
        assert archive["maps"].shape == (3, 4, 2) and archive["steps"].tolist() == [0, 4, 8]
    with av.open(io.BytesIO((folder.path / "attention/toy/00/000.mp4").read_bytes())) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert [frame.shape for frame in frames] == [(64, 132, 3)] * 3


def test_requesting_attention_changes_no_result(runs: Path) -> None:
    plain = play("gaze", tasks="0,1", name="plain")
    asked = play("gaze", tasks="0,1", name="asked", studies={"attention": 1})
    for key, record in records(plain).items():
        twin = records(asked)[key]
        assert (record.outcome, record.steps) == (twin.outcome, twin.steps)
        first, second = (read_trajectory(folder.trajectory_file(key)).actions for folder in (plain, asked))
        assert np.array_equal(first, second)


def test_a_policy_that_does_not_show_its_attention_is_refused_before_the_first_episode(runs: Path) -> None:
    with pytest.raises(UserError, match=r"policy 'Push' does not show its attention: leave out --attention"):
        play("push", studies={"attention": 1})
    assert not records()


def test_a_missing_map_is_an_error_of_its_episode(runs: Path) -> None:
    folder = play("gaze", settings={"broken": True}, episodes=2, studies={"attention": 1})
    first, second = (records(folder)[f"toy/00/00{index}"] for index in (0, 1))
    assert first.outcome.value == "policy_error" and "attention map was requested" in str(first.error)
    assert second.outcome.value == "success"
