"""Small MV-WAM: prediction targets, values of successes and failures, value-guided rollback."""

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
    chunks,
    data,
    demonstration,
    observation,
    trained,
)
from wam_eval.demonstrations import write_demonstrations  # noqa: E402
from wam_eval.errors import UserError  # noqa: E402
from wam_eval.models.small.mvwam import SmallMVWAMPolicy, SmallMVWAMTraining  # noqa: E402
from wam_eval.observation import Rollback  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of demonstrations to the right that succeed, and to the left that fail."""
    folder = tmp_path_factory.mktemp("model")
    episodes = [demonstration(number, success=number % 2 == 1) for number in range(12)]
    write_demonstrations(folder / "data", episodes, "libero", 5.0, {})
    return trained(folder, "mvwam", steps=120, layers=2)


@pytest.fixture(scope="module")
def hardly_trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model after two steps."""
    return trained(tmp_path_factory.mktemp("model"), "mvwam", layers=2)


def policy(path: Path, **settings: Any) -> SmallMVWAMPolicy:
    found = SmallMVWAMPolicy(SmallMVWAMPolicy.Settings(checkpoint=str(path), steps=5, **settings))
    found.prepare([RIGHT, LEFT])
    return found


def test_values_tell_successes_from_failures_and_failures_are_not_imitated(model: Path) -> None:
    found = policy(model, rollback={"most": 0})
    right, left = (chunks(found, observation(0.3, words))[0] for words in (RIGHT, LEFT))
    assert right.value > 0.7, "the last action of an episode is at most 15 actions away"
    assert left.value < 0.3
    assert right.actions[:, 0].mean() > 0.25
    assert left.actions[:, 0].mean() > 0, "a failed demonstration does not teach actions"


@pytest.mark.parametrize("most", [0, 2])
def test_a_lower_value_leads_to_a_rollback_and_another_answer_unless_switched_off(model: Path, most: int) -> None:
    found = policy(model, rollback={"most": most})
    (first,) = chunks(found, observation(0.3, RIGHT))
    assert first.keep == ("peak" if most else "")
    (second,) = found.act([observation(0.3, LEFT)])
    assert isinstance(second, Rollback) == (most > 0)
    again = answer(found, 0.3, RIGHT)
    assert np.array_equal(again, first.actions) == (most == 0), "after a rollback the noise is another"


@pytest.mark.parametrize("targets", [("velocity", "velocity"), ("noise", "noise")])
def test_other_prediction_targets_are_trained_and_sampled(tmp_path: Path, targets: tuple[str, str]) -> None:
    path = trained(tmp_path, "mvwam", layers=2, action_target=targets[0], video_target=targets[1])
    assert np.isfinite(answer(policy(path))).all()


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("mode", ["joint", "action_only", "video_first"])
def test_each_mode_answers_in_each_number_of_steps(hardly_trained: Path, mode: str, steps: int) -> None:
    found = SmallMVWAMPolicy.create(checkpoint=str(hardly_trained), mode=mode, steps=steps)
    found.prepare([RIGHT])
    (chunk,) = chunks(found, replace(observation(0.1, RIGHT), imagine=True, attention=mode != "action_only"))
    assert chunk.actions.shape == (8, 7)
    assert chunk.imagined.frames.shape == (2, 64, 128, 3)
    assert chunk.imagined.every == 8


def test_costs_are_counted(hardly_trained: Path) -> None:
    found = policy(hardly_trained)
    costs = found.costs()
    assert costs.flops > 0
    assert sum(costs.parameters.values()) == sum(parameter.numel() for parameter in found._small.parameters())


def test_a_model_without_values_says_so(tmp_path: Path) -> None:
    path = trained(tmp_path, "mvwam", layers=2, value=False)
    with pytest.raises(UserError, match="was trained with `value: false`: use the same setting"):
        policy(path)
    (chunk,) = chunks(policy(path, value=False), observation(0.1, RIGHT))
    assert chunk.value is None


def test_episodes_of_the_model_itself_continue_its_training(hardly_trained: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    write_demonstrations(own, [demonstration(number, success=False) for number in (20, 21)], "libero", 5.0, {})
    settings = {**TINY, "layers": 2}
    task = SmallMVWAMTraining(settings, [data(tmp_path / "data"), own], start=hardly_trained)
    assert (int(task.data.success.sum()), task.samples) == (48, 56)
    with pytest.raises(UserError, match="has layers 2, the training 1"):
        SmallMVWAMTraining(TINY, [own], start=hardly_trained)
