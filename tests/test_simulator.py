"""The loop that all simulators share: chunks, step limits, videos, snapshots. The toy is the backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.toy.simulator import ToySimulator
from wam_eval.episode import Episode
from wam_eval.observation import Request, VideoRequest
from wam_eval.simulator import Renderer

EPISODE = Episode("toy", 0, "", 0, "push", "push the point", 0, 30)
FRONT = Request(("front",))


def actions(count: int, push: float = 1.0) -> NDArray[np.float32]:
    return np.full((count, 7), push, np.float32)


class Counting(ToySimulator):
    """Counts calls of render, and the cameras that :meth:`advance` is told."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.rendered: list[tuple[str, ...]] = []
        self.announced: list[tuple[str, ...]] = []

    def advance(self, action: NDArray[np.float64], cameras: tuple[str, ...]) -> bool:
        self.announced.append(cameras)
        return super().advance(action, cameras)

    def render(self, cameras: tuple[str, ...]) -> dict[str, NDArray[np.uint8]]:
        self.rendered.append(cameras)
        return super().render(cameras)


@pytest.fixture
def toy() -> Counting:
    return Counting({})


def test_the_first_observation_has_the_requested_content(toy: Counting) -> None:
    seen = toy.load(EPISODE, FRONT)
    assert (seen.key, seen.step, seen.undone, seen.instruction) == (EPISODE.key, 0, 0, "push the point")
    assert list(seen.images) == ["front"] and seen.privileged is None
    assert toy.load(EPISODE, Request()).images == {}


def test_images_are_rendered_on_request_only_and_announced_to_the_last_step(toy: Counting) -> None:
    """Some benchmarks render inside the control step."""
    toy.load(EPISODE, Request())
    toy.step(actions(3), None)
    assert toy.rendered == []
    toy.step(actions(3), FRONT)
    assert toy.rendered == [("front",)]
    assert toy.announced == [(), (), (), (), (), ("front",)]


def test_an_episode_ends_with_success_in_the_middle_of_a_chunk(toy: Counting) -> None:
    toy.load(EPISODE, Request())
    progress, seen = toy.step(actions(12), FRONT)
    assert (progress.steps, progress.success, progress.done) == (10, True, True)
    assert seen is None, "no policy acts any more"


def test_an_episode_ends_at_its_step_limit(toy: Counting) -> None:
    toy.load(EPISODE, Request())
    progress, _ = toy.step(actions(29, 0.0), None)
    assert (progress.steps, progress.done) == (29, False)
    progress, seen = toy.step(actions(9, 0.0), FRONT)
    assert (progress.steps, progress.success, progress.done, seen) == (30, False, True, None)


def test_an_observation_after_the_last_action_is_given_even_at_the_end(toy: Counting) -> None:
    """The comparison of imagined with executed frames needs the last state."""
    toy.load(EPISODE, Request())
    progress, seen = toy.step(actions(10), FRONT)
    assert progress.done and seen is not None and seen.step == 10


def test_success_before_the_first_step_does_not_count(toy: Counting) -> None:
    toy.load(Episode("toy", 0, "", 15, "push", "", 0, 30), Request())
    progress, _ = toy.step(actions(1, -9.0), None)
    assert not progress.done


@pytest.mark.parametrize("shape", [(7,), (2, 6), (1, 1, 7)])
def test_actions_of_another_shape_are_an_error(toy: Counting, shape: tuple[int, ...]) -> None:
    toy.load(EPISODE, Request())
    with pytest.raises(ValueError, match=r"this simulator takes \(n, 7\)"):
        toy.step(np.zeros(shape, np.float32), None)


def test_nothing_can_be_done_without_an_episode(toy: Counting) -> None:
    for call in (lambda: toy.step(actions(1), None), toy.snapshot, lambda: toy.restore(b"")):
        with pytest.raises(RuntimeError, match="no episode is loaded"):
            call()


def test_frames_of_a_video_follow_the_steps_of_the_episode_across_chunks(toy: Counting) -> None:
    toy.load(EPISODE, Request())
    first, _ = toy.step(actions(3), None, VideoRequest("front", 2))
    second, _ = toy.step(actions(3), None, VideoRequest("front", 2))
    assert [int(frame[0, 0, 0]) for frame in first.frames] == [20]
    assert [int(frame[0, 0, 0]) for frame in second.frames] == [40, 60]
    assert toy.announced == [(), ("front",), (), ("front",), (), ("front",)]


def test_a_restored_state_is_the_one_that_was_kept(toy: Counting) -> None:
    toy.load(EPISODE, FRONT)
    _, before = toy.step(actions(4), FRONT)
    blob, digest = toy.snapshot(), toy.fingerprint()
    toy.step(actions(3, -1.0), None)
    after = toy.restore(blob)
    assert toy.fingerprint() == digest
    assert before is not None and np.array_equal(after.images["front"], before.images["front"])
    assert (after.step, after.undone) == (4, 3)
    _, following = toy.step(actions(2), FRONT)
    assert following is not None and (following.step, following.undone) == (6, 3)


def test_undone_steps_count_towards_the_step_limit(toy: Counting) -> None:
    toy.load(EPISODE, Request())
    blob = toy.snapshot()
    toy.step(actions(20, 0.0), None)
    toy.restore(blob)
    progress, _ = toy.step(actions(20, 0.0), None)
    assert (progress.steps, progress.done) == (10, True)


def test_steps_between_two_kept_states_are_counted_once(toy: Counting) -> None:
    """A return to the earlier state and then to the later one leaves no step undone."""
    toy.load(EPISODE, Request())
    early = toy.snapshot()
    toy.step(actions(4), FRONT)
    late = toy.snapshot()
    assert (toy.restore(early).step, toy.restore(early).undone) == (0, 4)
    seen = toy.restore(late)
    assert (seen.step, seen.undone) == (4, 0)
    progress, _ = toy.step(actions(26, 0.0), None)
    assert (progress.steps, progress.done) == (30, True)


def test_a_snapshot_can_be_restored_in_a_later_attempt(toy: Counting) -> None:
    toy.load(EPISODE, Request())
    toy.step(actions(4), FRONT)
    blob = toy.snapshot()
    later = Counting({})
    later.load(EPISODE, Request())
    seen = later.restore(blob)
    assert (seen.step, seen.undone) == (4, 0)
    assert later.fingerprint() == toy.fingerprint()


def test_a_snapshot_of_another_episode_is_refused(toy: Counting) -> None:
    toy.load(EPISODE, Request())
    blob = toy.snapshot()
    toy.load(Episode("toy", 0, "", 1, "push", "", 0, 30), Request())
    with pytest.raises(ValueError, match=r"a snapshot of toy/00/000 cannot be restored in toy/00/001"):
        toy.restore(blob)


def test_a_backend_without_privileged_state_says_so(toy: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ToySimulator, "privileged")
    with pytest.raises(NotImplementedError, match="Counting has no privileged state"):
        toy.load(EPISODE, Request(privileged=True))


def test_a_renderer_describes_itself() -> None:
    assert str(Renderer("egl", "llvmpipe", gpu=False)) == "egl on CPU: llvmpipe"
    assert str(Renderer("none", "no driver", gpu=False)) == "no renderer: no driver"
