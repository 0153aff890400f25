"""Small ImageWAM on a FLUX.2 of a few million parameters: its training, and the policy of a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from wam_eval.models.flux2.transformer import Flux2Sizes
from wam_eval.models.imagewam.backbone import Inputs
from wam_eval.models.imagewam.editing import EditingModel
from wam_eval.models.imagewam.flux2 import Flux2Backbone, Flux2Config
from wam_eval.models.imagewam.loss import Objective, losses, total
from wam_eval.models.imagewam.policy import ImageWAMPolicy, ImageWAMSettings
from wam_eval.models.imagewam.sampling import Sampler
from wam_eval.models.nn.acceleration import Accelerator
from wam_eval.models.prompt_cache import PromptCache
from wam_eval.models.small.encoders import PATCH, image_latents, image_tokens
from wam_eval.models.small.model import SmallConfig, SmallModel
from wam_eval.models.small.policy import SmallPolicy, SmallPolicySettings
from wam_eval.models.small.task import SmallSettings, SmallTraining

FAMILY = "imagewam"


class ImageWAMTrainingSettings(SmallSettings):
    """Settings of a training. Half of the layers are double blocks; the image is the one at the end of the chunk.

    Attributes:
        image_weight: weight of the image's loss; 0 to train the actions alone.
        shift: shift of the distribution of the times.
    """

    image_weight: float = Field(default=0.5, ge=0)
    shift: float = Field(default=5.0, gt=0)
    stride: int = 16

    @model_validator(mode="after")
    def _check_image(self) -> ImageWAMTrainingSettings:
        if (self.frames, self.stride) != (2, self.horizon):
            raise ValueError("the image is the one at the end of the chunk: `frames: 2`, and `stride` as `horizon`")
        return self


class SmallImageWAMTraining(SmallTraining):
    """The training of a small ImageWAM."""

    family = FAMILY
    Settings: ClassVar = ImageWAMTrainingSettings
    settings: ImageWAMTrainingSettings

    @staticmethod
    def make_model(config: SmallConfig) -> SmallModel:
        """The model of a description."""
        share = config.head_dim // 8 * 2  # of a head's channels for each axis; they are turned in pairs
        image = Flux2Sizes(
            dim=config.width,
            heads=config.heads,
            head_dim=config.head_dim,
            double=config.layers // 2,
            single=config.layers - config.layers // 2,
            text_dim=config.width,
            channels=4 * config.components,
            time_dim=config.width,
            axes=(config.head_dim - 3 * share, share, share, share),
        )
        action = replace(image, mlp_ratio=4.0)  # as in the published models
        robot = config.robot
        network = Flux2Backbone(Flux2Config(robot.model_state_dim, robot.model_action_dim, image, action))
        return SmallModel(config, network, config.width)

    def losses(self, samples: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """See :class:`wam_eval.training.config.TrainingTask`."""
        objective = Objective(self.settings.image_weight, self.settings.shift)
        observed, target = self.video(samples).split(1, dim=2)
        text, lengths = self.text(samples)
        grid = grid_of(observed)
        inputs = Inputs(text, lengths, self.states(samples), image_tokens(observed), grid)
        found = losses(
            network_of(self.model), objective, inputs, image_tokens(target), self.actions(samples), generator
        )
        return {"total": total(found, objective), **found}


def network_of(model: SmallModel) -> Flux2Backbone:
    """The network of a small model, with its type."""
    assert isinstance(model.network, Flux2Backbone)
    return model.network


def grid_of(latents: Tensor) -> tuple[int, int]:
    """Rows and columns of the tokens of latents (B, C, T, h, w)."""
    return latents.shape[3] // 2, latents.shape[4] // 2


class SmallEditing(EditingModel):
    """The encoders of a small model, as an image-editing model has them.

    Args:
        small: the model.
        prompts: its prompt cache.
        dtype, device: of the tokens.
    """

    name = "small"
    stride = 2 * PATCH

    def __init__(self, small: SmallModel, prompts: PromptCache, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__("tiny", small.config.words, True, dtype, device)
        self._small = small
        self._prompts = prompts

    def network(self, state_dim: int, action_dim: int) -> Flux2Backbone:
        """The network of the model."""
        del state_dim, action_dim
        return network_of(self._small)

    @property
    def prompt_dim(self) -> int:
        """Width of the word embeddings."""
        return self._small.config.width

    def prompt_cache(self) -> PromptCache:
        """The prompt cache of the model."""
        return self._prompts

    def digest(self) -> str:
        """Digest of the model's file."""
        return self._prompts.digest

    def load(self) -> None:
        """Nothing is left to load."""

    def encoders(self) -> Mapping[str, nn.Module]:
        """The word embeddings."""
        return {"words": self._small.words}

    def encode(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """Tokens of images; the seeds are not used."""
        del seeds
        return image_tokens(self._small.codec.encode(images.float())).to(self.dtype)

    def condition(self, prompts: Sequence[Tensor], images: Tensor, fixed: bool) -> tuple[Tensor, list[int]]:
        """The words of the prompts; further ones than the model receives are cut off."""
        return super().condition([prompt[: self.context] for prompt in prompts], images, fixed)

    def decode(self, tokens: Tensor, grid: tuple[int, int]) -> NDArray[np.uint8]:
        """Images of tokens."""
        return self._small.codec.decode(image_latents(tokens.float(), grid))[:, 0]


class SmallImageWAMSettings(SmallPolicySettings, ImageWAMSettings):  # type: ignore[misc]
    """Settings of a small ImageWAM."""


class SmallImageWAMPolicy(SmallPolicy, ImageWAMPolicy):
    """A small ImageWAM.

    Args:
        settings: the settings.

    Raises:
        UserError: the file is missing, broken, or of another family or robot.
    """

    family = FAMILY
    Settings = SmallImageWAMSettings  # type: ignore[assignment]

    def __init__(self, settings: SmallImageWAMSettings) -> None:
        path, config = self._described(settings)
        self._take(settings, path, config, SmallImageWAMTraining.make_model(config))
        self._editing = SmallEditing(self._small, self._prompts, self._dtype, self._device)
        self._horizon = config.horizon
        self.spec = replace(self.spec, imagines=config.settings["image_weight"] > 0, shows_attention=True)

    @cached_property
    def _sampler(self) -> Sampler:
        return Sampler(
            network_of(self._small).to(self._dtype),
            self._settings.steps,
            self._settings.shift,
            self._small.config.horizon,
            Accelerator.of(self._settings.accelerate),
        )

    def _components(self) -> Mapping[str, nn.Module]:
        network = network_of(self._small)
        return {
            "image expert": network.image,
            "action expert": network.action,
            "state encoder": network.proprio_encoder,
        }
