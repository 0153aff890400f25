"""Toy data sets and tiny models: a hand that moves to the side that the words name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wam_eval.demonstrations import Demonstration, write_demonstrations
from wam_eval.observation import ActionChunk, Observation
from wam_eval.policy import Policy
from wam_eval.training.config import TrainingConfig
from wam_eval.training.trainer import train

TINY: dict[str, Any] = {"width": 24, "layers": 1, "heads": 2, "head_dim": 12, "components": 4, "horizon": 8}
CAMERAS = ("agentview", "robot0_eye_in_hand")
RIGHT, LEFT = "move right", "move left"
CLASSES = {"fastwam": "FastWAM", "imagewam": "ImageWAM", "mvwam": "MVWAM", "harmowam": "HarmoWAM"}
"""Module of a family -> its part of the names of classes."""


def demonstration(
    number: int, rows: int = 4, size: int = 64, cameras: Sequence[str] = CAMERAS, success: bool = True, task: int = 0
) -> Demonstration:
    """The hand moves to the side that the words name, from a place that the state and the image show."""
    stream = np.random.default_rng(number)
    direction = 1.0 if number % 2 else -1.0
    place = stream.uniform(-1, 1)
    image = np.full((rows, size, size, 3), int(127 + 100 * place), np.uint8)
    actions = np.zeros((rows, 4, 7), np.float32)
    actions[..., 0] = 0.5 * direction
    actions[..., 1] = place
    actions[..., -1] = direction
    return Demonstration(
        key=f"suite/{task:02d}/{number:03d}",
        instruction=RIGHT if direction > 0 else LEFT,
        success=success,
        images=dict.fromkeys(cameras, image),
        states=np.tile(np.array([place, *[0.0] * 7], np.float32), (rows, 1)),
        actions=actions,
    )


def data(folder: Path, count: int = 12, robot: str = "libero", **options: Any) -> Path:
    """A data set of demonstrations."""
    demonstrations = [demonstration(number, **options) for number in range(count)]
    write_demonstrations(folder, demonstrations, robot, 5.0, {})
    return folder


def trained(
    folder: Path, family: str, steps: int = 2, start: Path | None = None, name: str = "out", **settings: Any
) -> Path:
    """File of a model that was trained for some steps."""
    wanted = {"suites": {"libero_object": 1}, "image_size": (64, 64), "stride": 4, "cameras": CAMERAS}
    config = TrainingConfig.model_validate(
        {
            "title": "tiny",
            "task": f"wam_eval.models.small.{family}:Small{CLASSES[family]}Training",
            "settings": {**TINY, **settings},
            "data": wanted,
            "steps": steps,
            "batch": 16,
            "warmup": 10,
            "learning_rate": 5e-3,
            "ema": 0.9,
        }
    )
    source = folder / "data"
    return train(config, [source if source.is_dir() else data(source)], folder / name, start=start)


def observation(place: float, instruction: str) -> Observation:
    """An observation of the hand at a place."""
    image = np.full((256, 256, 3), int(127 + 100 * place), np.uint8)
    state = np.array([place, *[0.0] * 7], np.float32)
    return Observation("libero_object/00/000", 0, dict.fromkeys(CAMERAS, image), state, instruction)


def chunks(policy: Policy, *observations: Observation) -> list[ActionChunk]:
    """The chunks among the answers."""
    return [answer for answer in policy.act(observations) if isinstance(answer, ActionChunk)]


def answer(policy: Policy, place: float = 0.5, instruction: str = RIGHT) -> np.ndarray:
    """The actions at a place."""
    return chunks(policy, observation(place, instruction))[0].actions


def check_it_follows_words_and_place(policy: Policy, tolerance: float = 0.35) -> None:
    """The actions of a trained model have the direction of the words, and the place that the hand has."""
    policy.prepare([RIGHT, LEFT])
    for place in (-0.6, 0.6):
        right, left = answer(policy, place, RIGHT).mean(0), answer(policy, place, LEFT).mean(0)
        assert right[0] > 0.25 > -0.25 > left[0]
        assert right[-1] > 0.5 > -0.5 > left[-1]
        assert abs(right[1] - place) < tolerance
