"""Serves one policy to many simulators: whoever waits is answered in one batch."""

from __future__ import annotations

import queue
import threading
import traceback
from concurrent.futures import Future

from wam_eval.observation import ActionChunk, Observation
from wam_eval.policies.policy import Policy, PolicyUnavailable
from wam_eval.runner.rollout import PolicyError

_Waiting = tuple[Observation, "Future[ActionChunk]"]


class Batcher:
    """Calls a policy from one thread, with all observations that wait at that moment.

    Nobody is waited for: an observation that comes alone is answered alone.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._queue: queue.SimpleQueue[_Waiting] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="policy", daemon=True).start()

    def act(self, observation: Observation) -> ActionChunk:
        """The policy's answer to one observation.

        Raises:
            PolicyError: the policy raised for this observation.
            PolicyUnavailable: the policy as a whole cannot answer.
        """
        future: Future[ActionChunk] = Future()
        self._queue.put((observation, future))
        return future.result()

    def _serve(self) -> None:
        while True:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get())
            try:
                self._answer(batch)
            except Exception as error:
                if len(batch) == 1 or isinstance(error, PolicyUnavailable):
                    for _, future in batch:
                        future.set_exception(_describe(error))
                else:  # one observation may be at fault: let it fail alone
                    for single in batch:
                        self._answer_alone(single)

    def _answer(self, batch: list[_Waiting]) -> None:
        chunks = self._policy.act([observation for observation, _ in batch])
        if len(chunks) != len(batch):
            raise PolicyError(f"{len(chunks)} answers to {len(batch)} observations")
        for (_, future), chunk in zip(batch, chunks, strict=True):
            future.set_result(chunk)

    def _answer_alone(self, single: _Waiting) -> None:
        try:
            self._answer([single])
        except Exception as error:
            single[1].set_exception(_describe(error))


def _describe(error: Exception) -> Exception:
    if isinstance(error, PolicyError | PolicyUnavailable):
        return error
    traceback.print_exception(error)
    return PolicyError(f"{type(error).__name__}: {error}")
