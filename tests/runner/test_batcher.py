"""The batcher: whoever waits is answered together, and one bad observation fails alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from wam_eval.observation import ActionChunk, Observation
from wam_eval.policies.policy import Policy, PolicySpec, PolicyUnavailable
from wam_eval.runner.batcher import Batcher
from wam_eval.runner.rollout import PolicyError


def seen(name: str) -> Observation:
    return Observation(name, 0, {}, np.zeros(1, np.float32), "go")


class Slow(Policy):
    """Blocks at the first call until told, so that others gather; raises for some."""

    def __init__(self) -> None:
        self.spec = PolicySpec()
        self.batches: list[list[str]] = []
        self.go = threading.Event()

    def act(self, observations):
        names = [observation.key for observation in observations]
        self.batches.append(names)
        self.go.wait(10)
        if "bad" in names:
            raise RuntimeError("cannot see")
        if "gone" in names:
            raise PolicyUnavailable("hung up")
        if names == ["few"]:
            return []
        return [ActionChunk(np.full((1, 7), ord(name), np.float32)) for name in names]


def ask(names: list[str]) -> tuple[Slow, list]:
    """Ask for one, then for all others at once while it is being answered."""
    policy = Slow()
    batcher = Batcher(policy)
    with ThreadPoolExecutor(len(names)) as pool:
        futures = [pool.submit(batcher.act, seen(names[0]))]
        while not policy.batches:
            pass
        futures += [pool.submit(batcher.act, seen(name)) for name in names[1:]]
        while batcher._queue.qsize() < len(names) - 1:
            pass
        policy.go.set()
        return policy, [future.exception() or future.result() for future in futures]


def test_those_who_wait_are_answered_together_and_each_gets_its_own() -> None:
    policy, answers = ask(["a", "b", "c", "d"])
    assert policy.batches[0] == ["a"] and sorted(policy.batches[1]) == ["b", "c", "d"]
    assert [answer.actions[0, 0] for answer in answers] == [ord(c) for c in "abcd"]


def test_one_bad_observation_fails_alone() -> None:
    _, answers = ask(["a", "b", "bad", "c"])
    assert [isinstance(answer, ActionChunk) for answer in answers] == [True, True, False, True]
    assert str(answers[2]) == "RuntimeError: cannot see" and isinstance(answers[2], PolicyError)


def test_a_policy_that_is_gone_is_gone_for_all() -> None:
    _, answers = ask(["a", "b", "gone"])
    assert isinstance(answers[0], ActionChunk)
    assert all(isinstance(answer, PolicyUnavailable) for answer in answers[1:])


def test_too_few_answers_are_an_error() -> None:
    with pytest.raises(PolicyError, match="0 answers to 1 observations"):
        policy = Slow()
        policy.go.set()
        Batcher(policy).act(seen("few"))
