"""Imagined frames: which ones can be compared, how they are scored, and that requesting them changes no result."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.toy.runs import play, records
from wam_eval.errors import UserError
from wam_eval.observation import ActionChunk, ImaginedFrames, Observation, Rollback
from wam_eval.policy import PolicySpec
from wam_eval.run.folder import RunFolder
from wam_eval.run.imagination import (
    HIGHEST_PSNR,
    EpisodeImagination,
    Imagination,
    read_imagined,
    score,
    side_by_side,
)
from wam_eval.run.rollout import PolicyError
from wam_eval.run.study import Collector
from wam_eval.trajectory import ChunkExecuted, RolledBack, StateKept, Trajectory, read_trajectory

needs_skimage = pytest.mark.skipif(
    importlib.util.find_spec("skimage") is None, reason="scores need scikit-image: make setup MODELS=1"
)

NOISE = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), np.uint8)


def imagination(chunks: int, n: int = 4, every: int = 2) -> EpisodeImagination:
    return EpisodeImagination(np.zeros((chunks, n, 8, 8, 3), np.uint8), np.zeros(chunks, np.int64), every)


def chunk(length: int) -> ChunkExecuted:
    return ChunkExecuted(np.zeros((length, 7), np.float32))


# Frames that can be compared


def test_frames_are_due_up_to_the_end_of_their_chunk() -> None:
    """The state between two chunks belongs to both: the last one of the first, the present of the second."""
    assert imagination(3).due(Trajectory((chunk(4), chunk(4), chunk(1)))) == [
        *[(0, 0, (0, 0)), (0, 1, (0, 2)), (0, 2, (0, 4))],
        *[(1, 0, (1, 0)), (1, 1, (1, 2)), (1, 2, (1, 4))],
        *[(2, 0, (2, 0))],
    ]


def test_events_between_chunks_do_not_shift_the_frames() -> None:
    events = (chunk(4), StateKept("a"), chunk(2), RolledBack("a", 2), chunk(1))
    assert [place for place in imagination(3).due(Trajectory(events)) if place[0] > 0] == [
        *[(1, 0, (1, 0)), (1, 1, (1, 2))],
        *[(2, 0, (2, 0))],
    ]


def test_a_frame_beyond_the_executed_part_is_compared_at_its_own_time() -> None:
    """Chunks of 16 with an image of their end, of which 12 are executed; the last chunk ends the episode."""
    due = imagination(4, n=2, every=16).due(Trajectory((chunk(12), chunk(12), chunk(2), chunk(1))))
    assert [found for found in due if found[1]] == [(0, 1, (1, 4))]
    assert [found for found in imagination(3, 2, 16).due(Trajectory((chunk(12), chunk(2), chunk(9)))) if found[1]] == [
        (0, 1, (2, 2))
    ]


def test_a_frame_of_a_future_that_was_undone_is_not_compared() -> None:
    events = (StateKept("a"), chunk(12), RolledBack("a", 12), chunk(12), chunk(12))
    due = imagination(3, n=2, every=16).due(Trajectory(events))
    assert [found for found in due if found[1]] == [(1, 1, (2, 4))]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(1, 9), st.integers(1, 5))
def test_every_chunk_has_its_present_and_the_frames_of_its_executed_part(
    lengths: list[int], n: int, every: int
) -> None:
    due = imagination(len(lengths), n, every).due(Trajectory(tuple(map(chunk, lengths))))
    for number, length in enumerate(lengths):
        mine = [(frame, place.offset) for c, frame, place in due if c == place.chunk == number]
        assert mine[0] == (0, 0)
        assert all(offset == every * frame <= length for frame, offset in mine)
        assert len(mine) == min(n, length // every + 1)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(2, 9), st.integers(1, 30))
def test_every_frame_is_compared_at_its_own_time(lengths: list[int], n: int, every: int) -> None:
    due = imagination(len(lengths), n, every).due(Trajectory(tuple(map(chunk, lengths))))
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    for number, frame, place in due:
        assert starts[place.chunk] + place.offset == starts[number] + frame * every
    ahead = {number for number, frame, _ in due if frame == 1}
    assert ahead == {number for number, start in enumerate(starts) if start + every <= sum(lengths)}


# Scores


@needs_skimage
def test_equal_frames_have_the_highest_scores() -> None:
    scores = score([(0, NOISE[0], NOISE[0]), (1, NOISE[1], NOISE[1])])
    assert scores["imagined_psnr"] == scores["reconstruction_psnr"] == pytest.approx(HIGHEST_PSNR)
    assert scores["imagined_ssim"] == scores["reconstruction_ssim"] == pytest.approx(1.0)
    assert pytest.approx(128.13, abs=0.01) == HIGHEST_PSNR


@needs_skimage
def test_frames_of_the_present_and_of_the_future_are_scored_apart() -> None:
    scores = score([(0, NOISE[0], NOISE[0]), (1, NOISE[0], NOISE[1])])
    assert scores["reconstruction_ssim"] == pytest.approx(1.0) and scores["imagined_ssim"] < 0.05
    assert set(score([(0, NOISE[0], NOISE[1])])) == {"reconstruction_psnr", "reconstruction_ssim"}


@needs_skimage
def test_psnr_is_the_mean_over_frames_in_decibels() -> None:
    """A mean squared error of 1 and one of 100; the mean of decibels is not that of errors."""
    grey = np.full((16, 16, 3), 100, np.uint8)
    one, ten = score([(1, grey, grey + 1)]), score([(1, grey, grey + 10)])
    assert one["imagined_psnr"] == pytest.approx(20 * np.log10(255))
    assert ten["imagined_psnr"] == pytest.approx(20 * np.log10(25.5))
    both = score([(1, grey, grey + 1), (2, grey, grey + 10)])
    assert both["imagined_psnr"] == pytest.approx((one["imagined_psnr"] + ten["imagined_psnr"]) / 2)


@needs_skimage
def test_frames_of_different_shapes_are_refused() -> None:
    with pytest.raises(PolicyError, match=r"imagined \(32, 48, 3\) uint8, but viewed \(16, 48, 3\)"):
        score([(0, NOISE[0], NOISE[0, :16])])


def test_the_separator_of_the_video_shows_the_beginning_of_a_chunk() -> None:
    left, right = NOISE[0, :31, :47], NOISE[1, :31, :47]  # odd sizes, which H.264 does not take
    within, start = side_by_side(3, right, left), side_by_side(0, right, left)
    assert within.shape == (32, 98, 3)
    assert np.array_equal(within[:31, :47], left) and np.array_equal(within[:31, 51:], right)
    assert (within[:31, 47:51] == 255).all() and not (start[:31, 47:51] == 255).any()


# Answers of a policy

SEEN = Observation("k", 3, {}, np.zeros(1, np.float32), "go", undone=4)


def answer(imagined: Any) -> ActionChunk:
    return ActionChunk(np.zeros((1, 7), np.float32), imagined=imagined)


@pytest.mark.parametrize(
    ("imagined", "fault"),
    [
        (None, "imagined frames were requested, but the answer has none"),
        (ImaginedFrames([[1]], 1), "the answer has none"),  # type: ignore[arg-type]
        (ImaginedFrames(NOISE / 255, 1), "float64; expected"),  # type: ignore[arg-type]
        (ImaginedFrames(NOISE[0], 1), r"\(32, 48, 3\) uint8; expected \(n, H, W, 3\)"),
        (ImaginedFrames(NOISE[:0], 1), r"\(0, 32, 48, 3\) uint8; expected"),
        (ImaginedFrames(NOISE[:, :6], 1), r"H and W at least 7"),
        (ImaginedFrames(NOISE, 0), "every 0 actions"),
        (ImaginedFrames(NOISE, 0.5), "every 0.5 actions"),  # type: ignore[arg-type]
    ],
)
def test_frames_that_cannot_be_compared_are_an_error_of_the_policy(imagined: Any, fault: str) -> None:
    collector = Collector(lambda observation: answer(imagined), Imagination())
    with pytest.raises(PolicyError, match=fault):
        collector(SEEN)


def test_all_chunks_have_frames_of_the_same_shape() -> None:
    answers = iter([ImaginedFrames(NOISE, 2), ImaginedFrames(NOISE[:1], 2)])
    collector = Collector(lambda observation: answer(next(answers)), Imagination())
    collector(SEEN)
    with pytest.raises(PolicyError, match=r"\(1, 32, 48, 3\), every 2, but \(2, 32, 48, 3\), every 2 in the first"):
        collector(SEEN)


def test_frames_are_requested_with_every_answer_and_rollbacks_have_none() -> None:
    asked: list[bool] = []
    script: list[ActionChunk | Rollback] = [
        answer(ImaginedFrames(NOISE, 2)),
        Rollback("a"),
        answer(ImaginedFrames(NOISE, 2)),
    ]
    answers = iter(script)

    def act(observation: Observation) -> ActionChunk | Rollback:
        asked.append(observation.imagine)
        return next(answers)

    collector = Collector(act, Imagination())
    for _ in range(3):
        collector(SEEN)
    collected = read_imagined(collector.archive())
    assert asked == [True] * 3
    assert collected.frames.shape == (2, 2, 32, 48, 3) and collected.every == 2
    assert collected.steps.tolist() == [7, 7], "undone steps are counted"


# Whole runs


def stored(folder: RunFolder) -> set[str]:
    return {path.relative_to(folder.path / "imagined").as_posix() for path in folder.path.rglob("imagined/**/*.*")}


def frames_of(video: Path) -> list[NDArray[np.uint8]]:
    with av.open(io.BytesIO(video.read_bytes())) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@needs_skimage
def test_the_first_episodes_of_each_task_are_imagined(runs: Path) -> None:
    folder = play("dream", tasks="0,1", episodes=2, studies={"imagined": 1})
    assert stored(folder) == {f"toy/{task}/000.{kind}" for task in ("00", "01") for kind in ("npz", "mp4")}
    by_key = records(folder)
    scores = by_key["toy/00/000"].measured
    assert scores["imagined_ssim"] == scores["reconstruction_ssim"] == pytest.approx(1.0)
    assert scores["imagined_psnr"] == pytest.approx(HIGHEST_PSNR)
    assert set(by_key["toy/00/001"].measured) == {"think", "chunks"}
    with np.load(folder.path / "imagined/toy/00/000.npz") as archive:
        assert archive["frames"].shape == (3, 4, 64, 64, 3) and archive["frames"].dtype == np.uint8
        assert archive["steps"].tolist() == [0, 4, 8] and archive["every"] == 2
        assert archive["frames"][1, :, 0, 0, 0].tolist() == [40, 60, 80, 100]
    video = frames_of(folder.path / "imagined/toy/00/000.mp4")
    assert [frame.shape for frame in video] == [(64, 132, 3)] * 8  # steps 0 2 4, 4 6 8, 8 10
    assert np.abs(video[-1][8:56, [20, 110]].astype(int) - 100).max() < 8


@needs_skimage
def test_requesting_frames_changes_no_result(runs: Path) -> None:
    plain = play("dream", tasks="0,1", episodes=2, name="plain")
    asked = play("dream", tasks="0,1", episodes=2, name="asked", studies={"imagined": 2}, settings={"quality": "noisy"})
    for key, record in records(plain).items():
        twin = records(asked)[key]
        assert (record.outcome, record.steps) == (twin.outcome, twin.steps)
        first, second = (read_trajectory(folder.trajectory_file(key)).actions for folder in (plain, asked))
        assert np.array_equal(first, second)
        assert twin.measured["imagined_ssim"] < 0.05 and twin.measured["imagined_psnr"] < 12
    assert plain.read().suites["toy"].protocol_sha256 == asked.read().suites["toy"].protocol_sha256
    assert not (plain.path / "imagined").exists()


@needs_skimage
def test_a_run_can_be_continued_with_imagined_frames(runs: Path) -> None:
    """A finished episode is not played again for its frames; one whose record was lost is."""
    folder = play("dream")
    play("dream", episodes=3, studies={"imagined": 2})
    assert stored(folder) == {"toy/00/001.npz", "toy/00/001.mp4"}
    kept = (folder.path / "imagined/toy/00/001.npz").read_bytes()
    lines = folder.ledger.read_text().splitlines(keepends=True)
    folder.ledger.write_text("".join(line for line in lines if '"toy/00/001"' not in line) + '{"key": "toy/0')
    (folder.path / "imagined/toy/00/001.npz.tmp").write_bytes(kept[:100])  # as if killed while writing
    play("dream", episodes=3, studies={"imagined": 2})
    assert stored(folder) == {"toy/00/001.npz", "toy/00/001.mp4"}
    assert (folder.path / "imagined/toy/00/001.npz").read_bytes() == kept
    assert records(folder)["toy/00/001"].measured["imagined_ssim"] == pytest.approx(1.0)


def test_a_policy_that_imagines_nothing_is_refused_before_the_first_episode(runs: Path) -> None:
    with pytest.raises(UserError, match=r"policy 'Push' imagines no frames: leave out --imagine"):
        play("push", studies={"imagined": 1})
    assert not records()


def test_scores_need_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(UserError, match="--imagine needs skimage, which is not installed: type `make setup MODELS=1`"):
        Imagination().check("Dreams", PolicySpec(imagines=True))


@needs_skimage
@pytest.mark.parametrize(
    ("quality", "fault"), [("none", "frames were requested, but the answer has none"), ("float", "float64; expected")]
)
def test_missing_or_broken_frames_are_an_error_of_their_episode(runs: Path, quality: str, fault: str) -> None:
    folder = play("dream", settings={"quality": quality}, episodes=2, studies={"imagined": 1})
    first, second = (records(folder)[f"toy/00/00{index}"] for index in (0, 1))
    assert first.outcome.value == "policy_error" and fault in str(first.error)
    assert second.outcome.value == "success" and not stored(folder)


@needs_skimage
def test_a_failed_comparison_keeps_the_result_and_the_frames(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = play("dream", settings={"quality": "no_view"}, studies={"imagined": 1})
    (record,) = records(folder).values()
    assert record.outcome.value == "success" and set(record.measured) == {"think", "chunks"}
    assert stored(folder) == {"toy/00/000.npz"}
    assert "kept, but not compared: PolicyError: RuntimeError: cannot see" in capsys.readouterr().err
