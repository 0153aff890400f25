"""The trainings of the repository make models that fit into the package."""

from __future__ import annotations

import importlib

import pytest

torch = pytest.importorskip("torch", reason="models need PyTorch: make setup MODELS=1")

from wam_eval.config import names  # noqa: E402
from wam_eval.models.small.model import SmallConfig  # noqa: E402
from wam_eval.models.small.robots import LIBERO, ROBOTWIN  # noqa: E402
from wam_eval.models.small.task import SmallSettings  # noqa: E402
from wam_eval.training.config import load_training  # noqa: E402


@pytest.mark.parametrize("name", names("training"))
def test_a_model_of_a_training_has_at_most_three_million_numbers(name: str) -> None:
    training = load_training(name)
    module, _, task = training.task.partition(":")
    kind = getattr(importlib.import_module(module), task)
    settings = kind.Settings.model_validate(training.settings)
    sizes = settings.model_dump(include=set(SmallSettings.model_fields))
    objective = settings.model_dump(exclude=set(SmallSettings.model_fields))
    robot = ROBOTWIN if "head_camera" in training.data.cameras else LIBERO
    config = SmallConfig(kind.family, robot, ("milk",) * 100, words=20, settings=objective, **sizes)
    assert 0.5e6 < sum(tensor.numel() for tensor in kind.make_model(config).state_dict().values()) < 2.99e6
