"""Servers, clients and observations for the tests of the remote policy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.policies.openpi_server import Server
from wam_eval.episode import Episode
from wam_eval.observation import ActionChunk, Observation
from wam_eval.policies.remote import Remote, connections, policy

CAMERAS = {"agentview": "observation/image", "robot0_eye_in_hand": "observation/wrist_image"}

Start = Callable[..., Server]
Client = Callable[..., Remote]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers on free ports."""
    with contextlib.ExitStack() as stack:

        def started(*arguments: Any, **settings: Any) -> Server:
            server = Server(*arguments, **settings)
            stack.callback(server.close)
            return server

        yield started


@pytest.fixture
def client() -> Iterator[Client]:
    """Makes clients of an address."""
    with contextlib.ExitStack() as stack:

        def made(address: str, timeout: float = 5.0, **settings: Any) -> Remote:
            arguments = {"execute": 5, "image_size": 32, "cameras": CAMERAS, "timeout": timeout, **settings}
            made = Remote.create(
                checkpoint=address, **{"state_key": "observation/state", "prompt_key": "prompt", **arguments}
            )
            stack.callback(made.close)
            return made

        yield made


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(policy, "PAUSE", 0.01)
    monkeypatch.setattr(connections, "PROBE_SECONDS", 0.3)


def observation(step: int = 0, instruction: str = "lift the mug") -> Observation:
    random = np.random.default_rng(step)
    images = {name: random.integers(0, 256, (48, 64, 3), np.uint8) for name in CAMERAS}
    return Observation(f"suite/00/{step:03d}", step, images, np.arange(8, dtype=np.float32), instruction)


def episode(index: int = 0) -> Episode:
    """The episode of :func:`observation`."""
    return Episode("suite", 0, "", index, "lift_the_mug", "lift the mug", seed=7, step_limit=100)


def ask(remote: Remote, *observations: Observation) -> list[ActionChunk]:
    """The policy's answers, which must be chunks."""
    answers = remote.act(observations or [observation()])
    chunks = [answer for answer in answers if isinstance(answer, ActionChunk)]
    assert len(chunks) == len(answers)
    return chunks
