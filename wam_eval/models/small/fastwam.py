"""Small Fast-WAM: its training, and the policy of a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from wam_eval.errors import UserError
from wam_eval.models.fastwam.loss import Objective, losses, total
from wam_eval.models.fastwam.model import FastWAM, FastWAMConfig, Variant
from wam_eval.models.fastwam.policy import FastWAMPolicy, FastWAMSettings, ImageCodec
from wam_eval.models.fastwam.sampling import Sampler
from wam_eval.models.nn.acceleration import Accelerator
from wam_eval.models.small.model import SmallConfig, SmallModel
from wam_eval.models.small.policy import SmallPolicy, SmallPolicySettings
from wam_eval.models.small.task import SmallSettings, SmallTraining
from wam_eval.models.wan.transformer import WanSizes

FAMILY = "fastwam"


def wan_sizes(config: SmallConfig) -> WanSizes:
    """Sizes of a transformer of Wan's architecture, the same for all experts of a small model."""
    return WanSizes(
        dim=config.width,
        ffn_dim=4 * config.width,
        layers=config.layers,
        heads=config.heads,
        head_dim=config.head_dim,
        text_dim=config.width,
        time_dim=config.width,
    )


class FastWAMTrainingSettings(SmallSettings):
    """Settings of a training.

    Attributes:
        variant: inference that the model is trained for.
        video_weight: weight of the video loss; 0 to train without video co-training.
        shift: shift of the distribution of the times.
    """

    variant: Variant = "first_frame"
    video_weight: float = Field(default=0.5, ge=0)
    shift: float = Field(default=5.0, gt=0)


class SmallFastWAMTraining(SmallTraining):
    """The training of a small Fast-WAM."""

    family = FAMILY
    Settings: ClassVar = FastWAMTrainingSettings
    settings: FastWAMTrainingSettings

    @staticmethod
    def make_model(config: SmallConfig) -> SmallModel:
        """The model of a description."""
        sizes, robot = wan_sizes(config), config.robot
        network = FastWAM(
            FastWAMConfig(
                robot.model_state_dim, robot.model_action_dim, sizes, sizes, latent_channels=config.components
            )
        )
        return SmallModel(config, network, config.width)

    def losses(self, samples: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """See :class:`wam_eval.training.config.TrainingTask`."""
        chosen, network = self.settings, network_of(self.model)
        objective = Objective(chosen.variant, chosen.video_weight, chosen.shift)
        context = network.context(self.text(samples)[0], self.states(samples))
        found = losses(network, objective, self.video(samples), self.actions(samples), context, generator)
        return {"total": total(found, objective), **found}


def network_of(model: SmallModel) -> FastWAM:
    """The network of a small model, with its type."""
    assert isinstance(model.network, FastWAM)
    return model.network


class SmallFastWAMSettings(SmallPolicySettings, FastWAMSettings):
    """Settings of a small Fast-WAM.

    Attributes:
        variant: inference of the actions; that of the training if ``None``.
    """

    variant: Variant | None = None  # type: ignore[assignment]


class SmallFastWAMPolicy(SmallPolicy, FastWAMPolicy):
    """A small Fast-WAM.

    Args:
        settings: the settings.

    Raises:
        UserError: the file is missing, broken, of another family or robot, or was not trained for the variant.
    """

    family = FAMILY
    Settings = SmallFastWAMSettings

    def __init__(self, settings: SmallFastWAMSettings) -> None:
        path, config = self._described(settings)
        trained = config.settings["variant"]
        if settings.variant not in (None, trained):
            raise UserError(f"{path} was trained for the variant {trained}, not for {settings.variant}")
        self._take(settings, path, config, SmallFastWAMTraining.make_model(config))
        self._accelerator = Accelerator.of(settings.accelerate)
        self._text_length = config.words
        self._variant = trained
        self._frame_interval = config.stride
        self.spec = replace(self.spec, imagines=config.settings["video_weight"] > 0, shows_attention=True)

    @cached_property
    def _sampler(self) -> Sampler:
        return Sampler(
            network_of(self._small).to(self._dtype),
            self._variant,
            self._settings.steps,
            self._settings.shift,
            horizon=self._small.config.horizon,
            frames=self._small.config.frames,
            accelerator=self._accelerator,
        )

    @cached_property
    def _vae(self) -> ImageCodec:
        return self._small.codec

    def _components(self) -> Mapping[str, nn.Module]:
        network = network_of(self._small)
        return {
            "video expert": network.video,
            "action expert": network.action,
            "state encoder": network.proprio_encoder,
        }
