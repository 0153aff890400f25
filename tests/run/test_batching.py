"""The batcher answers waiting observations together, and separates the errors of one from those of others."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from wam_eval.observation import ActionChunk, Observation, Rollback
from wam_eval.policy import EpisodeLost, NotSupported, Policy, PolicySettings, PolicySpec, PolicyUnavailable
from wam_eval.run.batching import Batcher
from wam_eval.run.rollout import PolicyError, SharedBatchError


def observation(key: str) -> Observation:
    return Observation(key, 0, {}, np.zeros(1, np.float32), "go")


class Slow(Policy):
    """Blocks at its first call until it is released, so that observations gather; raises for some keys."""

    def __init__(self, settings: PolicySettings) -> None:
        self.spec = PolicySpec()
        self.batches: list[list[str]] = []
        self.release = threading.Event()

    def act(self, observations: Sequence[Observation]) -> list[ActionChunk | Rollback]:
        keys = [one.key for one in observations]
        self.batches.append(keys)
        self.release.wait(10)
        if "bad" in keys:
            raise RuntimeError("cannot see \udcff")
        if "exit" in keys:
            sys.exit("bye")
        if "gone" in keys:
            raise PolicyUnavailable("hung up")
        if keys == ["few"]:
            return []
        return [ActionChunk(np.full((1, 7), ord(key), np.float32)) for key in keys]


def released() -> Slow:
    policy = Slow.create()
    policy.release.set()
    return policy


def ask(keys: list[str], alone: bool = False, largest: int | None = None) -> tuple[Slow, list[Any]]:
    """Ask for the first key, and for all others while it is being answered."""
    policy = Slow.create()
    policy.spec = PolicySpec(largest_batch=largest)
    batcher = Batcher(policy, Path(os.devnull))
    with ThreadPoolExecutor(len(keys)) as pool:
        futures = [pool.submit(batcher.act, observation(keys[0]), alone)]
        while not policy.batches:
            pass
        futures += [pool.submit(batcher.act, observation(key), alone) for key in keys[1:]]
        while batcher._queue.qsize() < len(keys) - 1:
            pass
        policy.release.set()
        return policy, [future.exception() or future.result() for future in futures]


def test_waiting_observations_are_one_batch_and_each_gets_its_own_answer() -> None:
    policy, answers = ask(["a", "b", "c", "d"])
    assert policy.batches[0] == ["a"] and sorted(policy.batches[1]) == ["b", "c", "d"]
    assert [answer.actions[0, 0] for answer in answers] == [ord(c) for c in "abcd"]


@pytest.mark.parametrize(("largest", "sizes"), [(1, [1, 1, 1, 1, 1]), (3, [1, 3, 1]), (4, [1, 4])])
def test_a_batch_is_no_larger_than_the_policy_answers_together(largest: int, sizes: list[int]) -> None:
    policy, answers = ask(["a", "b", "c", "d", "e"], largest=largest)
    assert [len(keys) for keys in policy.batches] == sizes
    assert [answer.actions[0, 0] for answer in answers] == [ord(c) for c in "abcde"]


def test_an_error_at_a_shared_batch_is_assigned_to_no_episode_yet() -> None:
    """The policy is not simply asked again, because it may have advanced the state of some episodes already."""
    policy, answers = ask(["a", "b", "bad", "c"])
    assert isinstance(answers[0], ActionChunk)
    assert all(isinstance(answer, SharedBatchError) for answer in answers[1:])
    assert len(policy.batches) == 2


def test_observations_that_must_be_alone_share_no_batch() -> None:
    policy, answers = ask(["a", "b", "bad", "c"], alone=True)
    assert [isinstance(answer, ActionChunk) for answer in answers] == [True, True, False, True]
    assert isinstance(answers[2], PolicyError) and str(answers[2]).startswith("RuntimeError: cannot see")
    assert [len(batch) for batch in policy.batches] == [1, 1, 1, 1]


def test_the_thread_survives_the_errors_of_a_policy(tmp_path: Path) -> None:
    batcher = Batcher(released(), tmp_path / "no folder" / "policy.log")
    for key, text in (("bad", "RuntimeError"), ("exit", "SystemExit: bye"), ("few", "0 answers to 1 observations")):
        with pytest.raises(PolicyError, match=text):
            batcher.act(observation(key))
    answer = batcher.act(observation("a"))
    assert isinstance(answer, ActionChunk) and answer.actions.shape == (1, 7)


def test_the_log_has_the_tracebacks(tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        Batcher(released(), tmp_path / "policy.log").act(observation("bad"))
    assert 'raise RuntimeError("cannot see' in (tmp_path / "policy.log").read_text()


class Viewer(Slow):
    """Notes in its view in which thread it is called."""

    def view(self, observation: Observation) -> NDArray[np.uint8]:
        if observation.key == "dark":
            raise RuntimeError("cannot see")
        return np.full((8, 8, 3), threading.current_thread().name == "policy", np.uint8)


def test_views_come_from_the_policys_thread() -> None:
    batcher = Batcher(Viewer.create(), Path(os.devnull))
    assert batcher.view(observation("a")).all()
    with pytest.raises(PolicyError, match="RuntimeError: cannot see"):
        batcher.view(observation("dark"))
    with pytest.raises(NotSupported, match="Slow imagines no frames"):
        Batcher(released(), Path(os.devnull)).view(observation("a"))


class Parallel(Slow):
    """Answers only if three calls have come, each from a thread of its own."""

    def __init__(self, settings: PolicySettings) -> None:
        super().__init__(settings)
        self.spec = PolicySpec(concurrent=True)
        self.barrier = threading.Barrier(3, timeout=10)

    def act(self, observations: Sequence[Observation]) -> list[ActionChunk | Rollback]:
        self.release.set()
        self.barrier.wait()
        return super().act(observations)


def test_a_policy_that_may_be_called_from_several_threads_is(tmp_path: Path) -> None:
    """An error of one call is that observation's, because no other one was in it."""
    policy = Parallel.create()
    batcher = Batcher(policy, tmp_path / "policy.log")
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(batcher.act, observation(key)) for key in ("a", "bad", "c")]
    assert [type(answer.exception()) for answer in answers] == [type(None), PolicyError, type(None)]
    assert sorted(policy.batches) == [["a"], ["bad"], ["c"]]
    together = batcher.act_together([observation(key) for key in "abc"])
    assert [answer.actions[0, 0] for answer in together if isinstance(answer, ActionChunk)] == [97, 98, 99]
    batcher.close()
    with pytest.raises(PolicyUnavailable, match="its worker was closed"):
        batcher.act(observation("a"))


def test_a_lost_episode_is_no_error_of_the_policy(tmp_path: Path) -> None:
    class Forgetful(Slow):
        """Has lost every episode."""

        def act(self, observations: Sequence[Observation]) -> list[ActionChunk | Rollback]:
            raise EpisodeLost("the connection broke")

    batcher = Batcher(Forgetful.create(), tmp_path / "policy.log")
    with pytest.raises(EpisodeLost, match="the connection broke"):
        batcher.act(observation("a"))


def test_a_policy_that_is_unavailable_is_so_for_all_episodes() -> None:
    _, answers = ask(["a", "b", "gone"])
    assert isinstance(answers[0], ActionChunk)
    assert all(isinstance(answer, PolicyUnavailable) for answer in answers[1:])


def test_a_call_that_a_hanging_policy_does_not_answer_ends_when_the_batcher_is_closed() -> None:
    """Otherwise a training script that was interrupted would wait for it."""
    policy = Slow.create()
    batcher = Batcher(policy, Path(os.devnull))
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(batcher.act, observation("a"))
        while not policy.batches:
            pass
        batcher.close()
        with pytest.raises(PolicyUnavailable, match="its worker was closed"):
            future.result(5)
    policy.release.set()


def test_a_closed_batcher_ends_its_thread_and_answers_no_further_calls() -> None:
    """A training script evaluates many times in one process."""
    threads = set(threading.enumerate())
    batcher = Batcher(released(), Path(os.devnull))
    batcher.act(observation("a"))
    (thread,) = set(threading.enumerate()) - threads
    batcher.close()
    batcher.close()
    thread.join(10)
    assert not thread.is_alive()
    with pytest.raises(PolicyUnavailable, match="its worker was closed"):
        batcher.act(observation("a"))
