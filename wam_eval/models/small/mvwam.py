"""Small MV-WAM: its training, and the policy of a trained model with its value guide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad

from wam_eval.errors import UserError
from wam_eval.models.mvwam.loss import Batch, Objective, losses, monte_carlo_values, total
from wam_eval.models.mvwam.model import MVWAM, MVWAMConfig
from wam_eval.models.mvwam.policy import MVWAMInference, MVWAMPolicy, MVWAMSettings
from wam_eval.models.mvwam.sampling import Inputs, Sampler, Target
from wam_eval.models.nn.acceleration import Accelerator
from wam_eval.models.policy import padded
from wam_eval.models.small.encoders import image_tokens
from wam_eval.models.small.fastwam import wan_sizes
from wam_eval.models.small.model import SmallConfig, SmallModel
from wam_eval.models.small.policy import SmallPolicy, SmallPolicySettings
from wam_eval.models.small.task import SmallSettings, SmallTraining
from wam_eval.models.stages import Watch
from wam_eval.observation import ImaginedFrames
from wam_eval.value_guide import ValueGuide

FAMILY = "mvwam"


class MVWAMTrainingSettings(SmallSettings):
    """Settings of a training.

    Attributes:
        action_target: prediction target of actions and value.
        video_target: prediction target of the video.
        value: True for a model with the value branch.
        shift: shift of the distribution of the video's times.
    """

    action_target: Target = "x0"
    video_target: Target = "velocity"
    value: bool = True
    shift: float = Field(default=5.0, gt=0)


class SmallMVWAMTraining(SmallTraining):
    """The training of a small MV-WAM.

    Video and values are learned from all episodes, actions from successful ones.
    """

    family = FAMILY
    Settings: ClassVar = MVWAMTrainingSettings
    normalisation = "range"
    failures = True
    settings: MVWAMTrainingSettings

    @staticmethod
    def make_model(config: SmallConfig) -> SmallModel:
        """The model of a description. It has the numbers of its robot in place of RDT's 128."""
        sizes, robot = wan_sizes(config), config.robot
        network = MVWAM(
            MVWAMConfig(
                video=sizes,
                action=replace(sizes, cross_norm=False),
                visual_dim=4 * config.components,
                channels=max(robot.model_state_dim, robot.model_action_dim),
                horizon=config.horizon,
                frames=config.frames,
                latent_channels=config.components,
                value=config.settings["value"],
            )
        )
        return SmallModel(config, network, config.width)

    def losses(self, samples: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """See :class:`wam_eval.training.config.TrainingTask`."""
        chosen, network = self.settings, network_of(self.model)
        video, success = self.video(samples), self.data.success[samples]
        actions = self.actions(samples)
        batch = Batch(
            inputs=make_inputs(
                network.config, video[:, :, :1], self.text(samples)[0], self.states(samples), actions.shape[2]
            ),
            video=video,
            actions=pad(actions, (0, network.config.channels - actions.shape[2])),
            values=monte_carlo_values(success, self.data.remaining[samples]).to(self.device),
            imitated=success.to(self.device),
        )
        objective = Objective(chosen.action_target, chosen.video_target, chosen.shift)
        found = losses(network, objective, batch, generator)
        return {"total": total(found, network.config), **found}


def network_of(model: SmallModel) -> MVWAM:
    """The network of a small model, with its type."""
    assert isinstance(model.network, MVWAM)
    return model.network


def make_inputs(config: MVWAMConfig, first_frame: Tensor, text: Tensor, states: Tensor, action_dim: int) -> Inputs:
    """Inputs of the network, in which the observed picture takes the place of SigLIP2's tokens.

    Args:
        config: the network.
        first_frame: latents of the observed picture (B, C, 1, h, w).
        text: (B, L, text_dim).
        states: (B, s), normalised.
        action_dim: numbers of an action.
    """
    rows, channels = len(states), torch.arange(config.channels, device=states.device)
    return Inputs(
        first_frame=first_frame,
        text=text,
        visual=image_tokens(first_frame).unsqueeze(1),
        state=pad(states, (0, config.channels - states.shape[1])),
        state_mask=(channels < states.shape[1]).to(states).expand(rows, -1),
        action_mask=(channels < action_dim).to(states).expand(rows, -1),
    )


class SmallMVWAMSettings(SmallPolicySettings, MVWAMSettings):
    """Settings of a small MV-WAM. The prediction targets are those of the training."""

    action_target: None = None  # type: ignore[assignment]
    video_target: None = None  # type: ignore[assignment]


class SmallMVWAMPolicy(SmallPolicy, MVWAMPolicy):
    """A small MV-WAM.

    Args:
        settings: the settings.

    Raises:
        UserError: the file is missing, broken, of another family or robot, or was trained with or without the value
            branch in contrast to the settings.
    """

    family = FAMILY
    Settings = SmallMVWAMSettings  # type: ignore[assignment]

    def __init__(self, settings: SmallMVWAMSettings) -> None:
        path, config = self._described(settings)
        if settings.value != config.settings["value"]:
            trained = str(config.settings["value"]).lower()
            raise UserError(f"{path} was trained with `value: {trained}`: use the same setting of the policy")
        self._take(settings, path, config, SmallMVWAMTraining.make_model(config))
        self._guide = ValueGuide(settings.rollback)
        self.spec = replace(self.spec, shows_attention=settings.mode != "action_only")

    @cached_property
    def _sampler(self) -> Sampler:
        chosen, trained = self._settings, self._small.config.settings
        return Sampler(
            network_of(self._small).to(self._dtype),
            chosen.steps,
            chosen.mode,
            trained["action_target"],
            trained["video_target"],
            chosen.shift,
            Accelerator.of(chosen.accelerate),
        )

    def _load(self) -> None:
        _ = self._sampler

    @torch.inference_mode()
    def _infer(
        self, images: Sequence[Tensor], texts: Sequence[Tensor], states: Tensor, seeds: Sequence[int], watch: Watch
    ) -> MVWAMInference:
        with watch("vae"):
            first_frame = self._small.codec.encode(images[0].float())
        robot = self._small.config.robot
        text = padded(texts, self._small.config.words)[0]
        inputs = make_inputs(network_of(self._small).config, first_frame, text, states, robot.model_action_dim)
        sample = self._sampler.sample(inputs, seeds, watch)
        # Normalised actions are from -1 to 1.
        actions = sample.actions[..., : robot.model_action_dim].clamp(-1, 1)
        return MVWAMInference(actions, sample.value, sample.video, inputs)

    def _frames(self, video: Tensor) -> ImaginedFrames:
        return ImaginedFrames(self._small.codec.decode(video)[0], self._small.config.stride)

    def _components(self) -> Mapping[str, nn.Module]:
        network = network_of(self._small)
        return {"video expert": network.video, "action-value expert": network.action}
