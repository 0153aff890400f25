"""The part that the trainings of all small models share: settings, data, encoders, batches, the file.

A family adds its network, its objective and the losses of a batch; see :class:`SmallTraining`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from wam_eval.errors import UserError
from wam_eval.models.small.data import Normalisation, load_data
from wam_eval.models.small.encoders import Words, words_of
from wam_eval.models.small.model import SmallConfig, SmallModel, check_family, load_small, read_small_config, save_small
from wam_eval.models.small.robots import ROBOTS

FIT_IMAGES = 2000
"""Training images from which the image codec is computed."""


class SmallSettings(BaseModel):
    """Settings of a training. Families add those of their objective.

    Attributes:
        width, layers, heads, head_dim, components, horizon, stride, frames: see
            :class:`wam_eval.models.small.model.SmallConfig`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = 128
    layers: int = 4
    heads: int = 4
    head_dim: int = 32
    components: int = 32
    horizon: int = 16
    stride: int = 8
    frames: int = 2


class SmallTraining(ABC):
    """The training of a small model; a :class:`wam_eval.training.config.TrainingTask`.

    Args:
        settings: fields of ``Settings``.
        folders: data sets.
        episodes: episodes of each task that are used of a data set; all if ``None``.
        start: file of the model that the training begins with, whose encoders and normalisation it keeps; random
            weights if ``None``.

    Raises:
        UserError: settings or data do not fit, or the file has another family, robot or other sizes.

    Attributes:
        family: name of the model family.
        Settings: type of the settings.
        normalisation: of states and actions.
        failures: True if the model also learns from episodes that failed.
    """

    family: ClassVar[str]
    Settings: ClassVar[type[SmallSettings]]
    normalisation: ClassVar[Normalisation] = "z_score"
    failures: ClassVar[bool] = False

    def __init__(
        self,
        settings: Mapping[str, Any],
        folders: Sequence[Path],
        episodes: int | None = None,
        start: Path | None = None,
    ) -> None:
        try:
            self.settings = self.Settings.model_validate(settings)
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
            raise UserError(f"settings of the training: {'; '.join(faults)}") from error
        self.data = data = load_data(folders, ROBOTS, episodes, self.failures)
        self.samples = len(data)
        sizes = self.settings.model_dump(include=set(SmallSettings.model_fields))
        objective = self.settings.model_dump(exclude=set(SmallSettings.model_fields))
        if start is None:
            self.config = SmallConfig(
                family=self.family,
                robot=data.robot,
                vocabulary=tuple(Words.vocabulary_of(data.instructions)),
                words=max(len(words_of(text)) for text in data.instructions),
                settings=objective,
                **sizes,
            )
            self.model = self.make_model(self.config)
            self.model.set_normaliser(data.normaliser(self.normalisation))
            self.model.codec.fit(_scaled(data.pictures[:: max(1, len(data) // FIT_IMAGES)]))
        else:
            self.config = replace(_started(start, self.family, data.robot.name, sizes), settings=objective)
            self.model = self.make_model(self.config)
            load_small(start, self.model)
        codec, normaliser = self.model.codec, self.model.normaliser
        self._latents = torch.cat([codec.encode(_scaled(part)).half() for part in data.pictures.split(512)])
        self._states = torch.from_numpy(normaliser.normalise_state(data.states.numpy()))
        action = normaliser.action
        self._actions = data.actions * torch.from_numpy(action.scale) + torch.from_numpy(action.offset)
        numbers = [self.model.words.numbers(text)[: self.config.words] for text in data.instructions]
        self._lengths = torch.tensor([len(one) for one in numbers])
        self._numbers = torch.tensor([one + [0] * (self.config.words - len(one)) for one in numbers])

    @staticmethod
    @abstractmethod
    def make_model(config: SmallConfig) -> SmallModel:
        """The model of a description, with random weights."""

    @abstractmethod
    def losses(self, samples: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """See :class:`wam_eval.training.config.TrainingTask`."""

    def save(self, path: Path, tensors: Mapping[str, Tensor], provenance: Mapping[str, Any]) -> None:
        """See :class:`wam_eval.training.config.TrainingTask`."""
        save_small(path, replace(self.config, provenance=provenance), tensors)

    # ------------------------------------------------------------------ batches, on the model's device

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.model.state_scale.device

    def video(self, samples: Tensor) -> Tensor:
        """Latents float32 (B, C, frames, h, w), the observed frame first."""
        offsets = [self.config.stride * number for number in range(self.config.frames)]
        frames = self._latents[self.data.following(samples, offsets)]  # B, T, C, 1, h, w
        return frames.squeeze(3).transpose(1, 2).float().to(self.device)

    def actions(self, samples: Tensor) -> Tensor:
        """Normalised actions float32 (B, horizon, d)."""
        return self._actions[self.data.chunk_steps(samples, self.config.horizon)].to(self.device)

    def states(self, samples: Tensor) -> Tensor:
        """Normalised states float32 (B, s)."""
        return self._states[samples].to(self.device)

    def text(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of the instructions (B, words, dim), zero where they are padded, and their lengths int64 (B,)."""
        rows = self.data.text[samples]
        lengths = self._lengths[rows].to(self.device)
        embedded = self.model.words.embedding(self._numbers[rows].to(self.device))
        valid = torch.arange(self.config.words, device=self.device) < lengths[:, None]
        return embedded * valid.unsqueeze(2), lengths


def _started(path: Path, family: str, robot: str, sizes: Mapping[str, int]) -> SmallConfig:
    """The description of a model that a training begins with. Raises :class:`UserError` if it does not fit."""
    config = read_small_config(path)
    check_family(path, config, family)
    if config.robot.name != robot:
        raise UserError(f"{path} was trained for the robot {config.robot.name}; the data sets are of {robot}")
    if differing := [name for name, size in sizes.items() if getattr(config, name) != size]:
        name = differing[0]
        raise UserError(f"{path} has {name} {getattr(config, name)}, the training {sizes[name]}")
    return config


def _scaled(pictures: Tensor) -> Tensor:
    """Pictures uint8 (N, H, W, 3) as float32 (N, 3, H, W) in -1..1."""
    return pictures.permute(0, 3, 1, 2).float() * (2.0 / 255.0) - 1.0
