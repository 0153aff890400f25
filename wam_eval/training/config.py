"""The description of a training, a YAML file in ``training/``, and the contract with the model that is trained."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from wam_eval.config import load_named, read_yaml
from wam_eval.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class DataConfig(BaseModel):
    """The data sets of a training; see ``wam-eval record``.

    Attributes:
        suites: suite -> episodes of each of its tasks, played by the expert.
        tasks: names of the tasks that are recorded; all tasks of the suites if ``None``.
        episodes: episodes of each task that are used of a data set, the first ones; all if ``None``.
        policy: policy that plays the model of the training's ``start``.
        played: suite -> episodes of each of its tasks that it plays, failures included; none if ``None``.
        image_size: height and width of the recorded images in pixels.
        stride: control steps from one recorded observation to the next.
        cameras: recorded cameras.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    suites: dict[str, PositiveInt]
    tasks: tuple[str, ...] | None = Field(default=None, min_length=1)
    episodes: PositiveInt | None = None
    policy: str | None = None
    played: dict[str, PositiveInt] | None = None
    image_size: tuple[PositiveInt, PositiveInt]
    stride: PositiveInt
    cameras: tuple[str, ...]

    def folder(self, suite: str, episodes: int, model: str | None = None) -> str:
        """Name of the folder of a recorded data set; data sets of other tasks have other names.

        Args:
            suite: suite that is played.
            episodes: episodes of each task.
            model: training of the model that plays; ``None`` for the expert.
        """
        parts = [suite, str(episodes)]
        if self.tasks is not None:
            parts.append(hashlib.sha256(",".join(sorted(self.tasks)).encode()).hexdigest()[:6])
        return "-".join([*parts, *([model] if model else [])])


class TrainingConfig(BaseModel):
    """A training.

    Attributes:
        title: the model in words.
        task: ``module:Class`` of a :class:`TrainingTask`.
        settings: its settings.
        start: name of the training whose model this one begins with; ``None`` for random weights.
        data: data sets.
        steps: training steps.
        batch: samples of a step, over all processes.
        learning_rate: largest learning rate, reached after ``warmup`` steps and followed by half a cosine down to 0.
        warmup: steps in which the learning rate grows.
        weight_decay: of AdamW.
        clip: largest norm of a gradient.
        ema: decay of the exponential moving average of the weights, which is the result.
        seed: of weights, samples, times and noise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    task: str = Field(pattern=r"^\w+(\.\w+)*:\w+$")
    settings: dict[str, Any] = Field(default_factory=dict)
    start: str | None = None
    data: DataConfig
    steps: PositiveInt
    batch: PositiveInt = 64
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup: int = Field(default=500, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.999, ge=0, lt=1)
    seed: int = 0

    @model_validator(mode="after")
    def _has_a_model_that_plays(self) -> TrainingConfig:
        if self.data.played and not (self.start and self.data.policy):
            raise ValueError("`played` needs `policy`, and the training of its model as `start`")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of everything that determines the result, the data apart."""
        return hashlib.sha256(self.model_dump_json(exclude={"title"}, exclude_none=True).encode()).hexdigest()


class TrainingTask(Protocol):
    """A model with its data and its objective, as the trainer sees them.

    The constructor receives the settings of the training, the folders of the data sets, the number of episodes of each
    task that are used of them (all if ``None``), and the file of the model that the training begins with (random
    weights, drawn from PyTorch's global generator, if ``None``).

    Attributes:
        model: the model with its encoders; the state dict of its moving average is the result.
        samples: number of training samples.
    """

    model: nn.Module
    samples: int

    def __init__(
        self, settings: Mapping[str, Any], folders: Sequence[Path], episodes: int | None, start: Path | None
    ) -> None: ...

    def losses(self, samples: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of a batch by name; ``total`` is minimised.

        Args:
            samples: int64 (B,), numbers of samples.
            generator: draws times and noise.
        """

    def save(self, path: Path, tensors: Mapping[str, Tensor], provenance: Mapping[str, Any]) -> None:
        """Write a model that its policy can load.

        Args:
            path: the file.
            tensors: state dict of the model.
            provenance: origin of the weights.
        """


def load_training(name: str) -> TrainingConfig:
    """A training by name, or by the path of its YAML file.

    Raises:
        UserError: an unknown name, or a faulty file.
    """
    if name.endswith((".yaml", ".yml")):
        return read_yaml(Path(name), TrainingConfig)
    return load_named("training", "training", name, TrainingConfig)


def make_task(config: TrainingConfig, folders: Sequence[Path], start: Path | None) -> TrainingTask:
    """The task of a training, with its data sets and the file of the model that it begins with.

    Raises:
        UserError: its class cannot be imported, or settings or data do not fit.
    """
    module, _, name = config.task.partition(":")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"training task {config.task!r} cannot be imported: {error}") from error
    task: TrainingTask = kind(config.settings, folders, config.data.episodes, start)
    return task
