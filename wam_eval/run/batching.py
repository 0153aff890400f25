"""Batching: one thread answers all waiting observations of many simulators with one call of the policy.

A policy that may be called from several threads answers each observation in a thread of its own instead.
"""

from __future__ import annotations

import queue
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wam_eval.episode import Episode
from wam_eval.observation import ActionChunk, Observation, Rollback
from wam_eval.policy import EpisodeLost, NotSupported, Policy, PolicyUnavailable
from wam_eval.run.rollout import PolicyError, SharedBatchError

TIMEOUT_SECONDS = 1800.0
"""Time without an answer after which a policy counts as unavailable; no model needs half an hour for a chunk."""

_SLICE_SECONDS = 1.0


@dataclass(frozen=True)
class _Call:
    """A job of the policy's thread: answer an observation, or run a function. A call without either ends the thread."""

    observation: Observation | None = None
    function: Callable[[], Any] | None = None
    alone: bool = False
    answer: Future[Any] = field(default_factory=Future)


class Batcher:
    """Calls a policy from a single thread, so that it needs no locks, or from several if its spec allows that.

    A batch contains the observations that are waiting at that moment, up to the policy's largest batch; the thread
    never waits for further ones.

    Args:
        policy: the policy; only these threads call it from now on.
        log: file for the tracebacks of its errors.
    """

    def __init__(self, policy: Policy, log: Path) -> None:
        self._policy = policy
        self._log = log
        self._queue: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._concurrent = policy.spec.concurrent
        if not self._concurrent:
            threading.Thread(target=self._serve, name="policy", daemon=True).start()

    def begin(self, episode: Episode) -> None:
        """Call :meth:`Policy.begin`. Raises the errors of :meth:`act`, and :class:`NotSupported`."""
        self._wait(_Call(function=lambda: self._policy.begin(episode)))

    def end(self, key: str) -> None:
        """Call :meth:`Policy.end`. Raises the errors of :meth:`act`."""
        self._wait(_Call(function=lambda: self._policy.end(key)))

    def act(self, observation: Observation, alone: bool = False) -> ActionChunk | Rollback:
        """The policy's answer to one observation.

        Args:
            alone: True if no other observation may be in its batch.

        Raises:
            PolicyError: the policy raised at this observation.
            NotSupported: it cannot play this episode.
            SharedBatchError: it raised at a batch with further observations; any of them may be the cause.
            EpisodeLost: the policy has lost its memory of the episode.
            PolicyUnavailable: the policy cannot answer at all.
        """
        answer: ActionChunk | Rollback = self._wait(_Call(observation=observation, alone=alone))
        return answer

    def act_together(self, observations: Sequence[Observation]) -> list[ActionChunk | Rollback]:
        """Call :meth:`Policy.act` with exactly this batch, or with each of its observations at the same time.

        Raises the errors of :meth:`act`.
        """
        if self._concurrent:
            calls = [_Call(observation=observation) for observation in observations]
            for call in calls:
                self._send(call)
            return [self._result(call) for call in calls]
        answers: list[ActionChunk | Rollback] = self._wait(_Call(function=lambda: self._policy.act(observations)))
        return answers

    def view(self, observation: Observation) -> NDArray[np.uint8]:
        """Call :meth:`Policy.view`. Raises the errors of :meth:`act`, and :class:`NotSupported`."""
        image: NDArray[np.uint8] = self._wait(_Call(function=lambda: self._policy.view(observation)))
        return image

    def close(self) -> None:
        """End the thread after the calls that are waiting.

        Later calls, and those that are not answered within a second, raise :class:`PolicyUnavailable`.
        """
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(_Call())

    def _wait(self, call: _Call) -> Any:
        self._send(call)
        return self._result(call)

    def _send(self, call: _Call) -> None:
        with self._closing:  # no call may follow the end of the queue, because it would never be answered
            if self._closed:
                raise PolicyUnavailable("its worker was closed")
            if self._concurrent:
                threading.Thread(target=self._answer, args=([call],), name="policy", daemon=True).start()
            else:
                self._queue.put(call)

    def _result(self, call: _Call) -> Any:
        left = TIMEOUT_SECONDS
        while left > 0:  # in slices: time in which a scheduler has suspended this process does not count
            if wait([call.answer], min(left, _SLICE_SECONDS)).done:
                return call.answer.result()
            if self._closed:  # the policy may hang
                raise PolicyUnavailable("its worker was closed")
            left -= _SLICE_SECONDS
        raise PolicyUnavailable(f"it did not answer for {TIMEOUT_SECONDS / 60:.0f} minutes")

    def _serve(self) -> None:
        left: _Call | None = None
        while True:
            first, left = left or self._queue.get(), None
            if not (first.observation or first.function):
                return
            batch = [first]
            most = 1 if first.function or first.alone else self._policy.spec.largest_batch or sys.maxsize
            while len(batch) < most and left is None and not self._queue.empty():
                following = self._queue.get()
                if following.observation and not following.alone:
                    batch.append(following)
                else:
                    left = following
            self._answer(batch)

    def _answer(self, batch: list[_Call]) -> None:
        function = batch[0].function
        try:
            answers = [function()] if function else self._ask(batch)
        except BaseException as error:  # a policy may even call sys.exit(); the thread must go on
            fault = self._describe(error, len(batch))
            for call in batch:
                call.answer.set_exception(fault)
        else:
            for call, answer in zip(batch, answers, strict=True):
                call.answer.set_result(answer)

    def _ask(self, batch: list[_Call]) -> list[ActionChunk | Rollback]:
        answers = self._policy.act([call.observation for call in batch if call.observation])
        if len(answers) != len(batch):
            raise PolicyError(f"{len(answers)} answers to {len(batch)} observations")
        return answers

    def _describe(self, error: BaseException, batch: int) -> Exception:
        if isinstance(error, PolicyUnavailable | EpisodeLost):
            return error
        if isinstance(error, NotSupported):  # says something about one episode of the batch
            return SharedBatchError() if batch > 1 else error
        with suppress(OSError), self._log.open("a", errors="backslashreplace") as log:
            traceback.print_exception(error, file=log)
        if batch > 1:
            return SharedBatchError()
        return error if isinstance(error, PolicyError) else PolicyError(f"{type(error).__name__}: {error}")
