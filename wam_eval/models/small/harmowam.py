"""Small HarmoWAM: both stages of its training, and the policy of a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from tqdm import tqdm

from wam_eval.errors import UserError
from wam_eval.models.harmowam.config import ACTIONS_PER_LATENT, HarmoWAMConfig
from wam_eval.models.harmowam.gate import ARM_DIM
from wam_eval.models.harmowam.loss import ExpertBatch, expert_losses, interaction_labels, total, world_loss
from wam_eval.models.harmowam.model import HarmoWAM
from wam_eval.models.harmowam.policy import EXPERTS, HarmoWAMInference, HarmoWAMPolicy, HarmoWAMSettings
from wam_eval.models.harmowam.reactive import Grid
from wam_eval.models.harmowam.sampling import Ahead, Inputs, Sampler
from wam_eval.models.nn.acceleration import Accelerator
from wam_eval.models.policy import padded
from wam_eval.models.small.data import SmallData
from wam_eval.models.small.encoders import PATCH, PatchCodec, image_tokens
from wam_eval.models.small.fastwam import wan_sizes
from wam_eval.models.small.model import SmallConfig, SmallModel
from wam_eval.models.small.policy import SmallPolicy, SmallPolicySettings
from wam_eval.models.small.task import SmallSettings, SmallTraining
from wam_eval.models.stages import Watch

FAMILY = "harmowam"
SEED = 42
"""Seed of the noise of the videos that the experts learn from, which is also the policies' seed."""
ROWS = 64
"""Observations whose videos are imagined together."""


class HarmoWAMTrainingSettings(SmallSettings):
    """Settings of a training.

    Attributes:
        stage: ``world`` to train the world model, ``experts`` to train both experts and the gate with a frozen one.
        world_steps: denoising steps of the videos that the experts learn from.
        shift: shift of the distribution of the world model's times, and of its schedule.
        decoder_dim: width of the reactive expert's decoder.
    """

    stage: Literal["world", "experts"] = "experts"
    world_steps: int = Field(default=5, ge=1)
    shift: float = Field(default=5.0, gt=0)
    decoder_dim: int = 32
    horizon: int = 8
    stride: int = ACTIONS_PER_LATENT
    frames: int = 3

    @model_validator(mode="after")
    def _check_frames(self) -> HarmoWAMTrainingSettings:
        if (self.stride, (self.frames - 1) * self.stride) != (ACTIONS_PER_LATENT, self.horizon):
            raise ValueError(
                f"a latent frame has {ACTIONS_PER_LATENT} actions: `stride: {ACTIONS_PER_LATENT}`, and a `horizon` "
                f"of {ACTIONS_PER_LATENT} times one frame less than `frames`"
            )
        return self


class SmallHarmoWAMTraining(SmallTraining):
    """The training of a small HarmoWAM, one stage of it.

    The experts' videos are imagined once, before the first step.
    """

    family = FAMILY
    Settings: ClassVar = HarmoWAMTrainingSettings
    normalisation = "range"
    settings: HarmoWAMTrainingSettings

    def __init__(
        self,
        settings: Mapping[str, Any],
        folders: Sequence[Path],
        episodes: int | None = None,
        start: Path | None = None,
    ) -> None:
        super().__init__(settings, folders, episodes, start)
        if self.settings.stage == "world":
            return
        if start is None:
            raise UserError("the experts of HarmoWAM need a trained world model: name its training as `start`")
        # The videos are imagined by this world model from these words.
        network_of(self.model).world.requires_grad_(False)
        self.model.words.requires_grad_(False)
        self._interaction = interaction(self.data)

    @staticmethod
    def make_model(config: SmallConfig) -> SmallModel:
        """The model of a description. Its experts see the picture's patches in place of SigLIP and DINOv2 tokens."""
        sizes, robot = wan_sizes(config), config.robot
        network = HarmoWAM(
            HarmoWAMConfig(
                robot.model_action_dim,
                robot.model_state_dim,
                world=sizes,
                predictive=sizes,
                visual_dim=4 * config.components,
                frame_dim=config.components,
                latent_channels=config.components,
                horizon=config.horizon,
                feature_layer=config.layers // 2,
                decoder_dim=config.settings["decoder_dim"],
                gate_dim=config.width // 2,
            )
        )
        return SmallModel(config, network, config.width)

    def losses(self, samples: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """See :class:`wam_eval.training.config.TrainingTask`."""
        network = network_of(self.model)
        if self.settings.stage == "world":
            video, text = self.video(samples), self.text(samples)[0]
            return {"total": world_loss(network, video, text, generator, self.settings.shift)}
        video, features = (stored[samples].float().to(self.device) for stored in self._imagined)
        patches = self._codec.encode(self._codec.decoded(video)[:, :, 1:].transpose(1, 2).flatten(0, 1))
        batch = ExpertBatch(
            inputs=self._inputs(samples),
            ahead=Ahead(video, features, video, patches),
            grids=self._sampler.grids(video),
            actions=self.actions(samples),
            interaction=self._interaction[samples].to(self.device),
        )
        found = expert_losses(network, batch, generator)
        return {"total": total(found), **found}

    def _inputs(self, samples: Tensor) -> Inputs:
        first = self.video(samples)[:, :, :1]
        return Inputs(first, self.text(samples)[0], image_tokens(first).unsqueeze(1), self.states(samples))

    @cached_property
    def _codec(self) -> VideoCodec:
        return VideoCodec(self.model.codec, self.config.robot.image_size)

    @cached_property
    def _sampler(self) -> Sampler:
        chosen, codec = self.settings, self._codec
        return Sampler(network_of(self.model), codec, codec, steps=chosen.world_steps, shift=chosen.shift)

    @cached_property
    def _imagined(self) -> tuple[Tensor, Tensor]:
        """Videos and features of all observations, float16 on the CPU."""
        parts = []
        for samples in tqdm(torch.arange(self.samples).split(ROWS), desc="imagined videos", unit="batch"):
            ahead = self._sampler.look_ahead(self._inputs(samples), [SEED] * len(samples))
            parts.append((ahead.video.half().cpu(), ahead.features.half().cpu()))
        video, features = zip(*parts, strict=True)
        return torch.cat(video), torch.cat(features)


def interaction(data: SmallData) -> Tensor:
    """Labels of the observed frames, bool (N,); a gripper is open or closed on either side of its middle command."""
    grippers = data.actions[:, ARM_DIM - 1 :: ARM_DIM]
    least, most = grippers.aminmax(dim=0)
    _, rows = data.last.unique_consecutive(return_counts=True)
    episodes = (grippers - (least + most) / 2).split((data.stride * rows).tolist())
    return torch.cat([interaction_labels(commands)[:: data.stride] for commands in episodes])


def network_of(model: SmallModel) -> HarmoWAM:
    """The network of a small model, with its type."""
    assert isinstance(model.network, HarmoWAM)
    return model.network


class VideoCodec:
    """The image codec as a codec of videos: frames between two latent frames are blended from them.

    Args:
        codec: the image codec.
        image_size: height and width of the pictures.

    Attributes:
        grid: rows and columns of the patches of a frame.
    """

    def __init__(self, codec: PatchCodec, image_size: tuple[int, int]) -> None:
        self.codec = codec
        self.grid: Grid = (image_size[0] // PATCH, image_size[1] // PATCH)

    @torch.no_grad()
    def decoded(self, latents: Tensor) -> Tensor:
        """Frames (B, 3, 1 + 4 (T - 1), H, W) in about -1..1 of latents (B, C, T, h, w)."""
        frames = self.codec.decoded(latents.float())
        shares = torch.arange(1, ACTIONS_PER_LATENT + 1, device=frames.device) / ACTIONS_PER_LATENT
        earlier, later = (x.unsqueeze(3) for x in (frames[:, :, :-1], frames[:, :, 1:]))
        blended = torch.lerp(earlier, later, shares.view(-1, 1, 1)).flatten(2, 3)
        return torch.cat([frames[:, :, :1], blended], dim=2)

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """Tokens (B, P, C) of frames (B, 3, H, W) in -1..1, one for each patch."""
        return self.codec.encode(frames).flatten(2).transpose(1, 2)


class SmallHarmoWAMSettings(SmallPolicySettings, HarmoWAMSettings):
    """Settings of a small HarmoWAM."""


class SmallHarmoWAMPolicy(SmallPolicy, HarmoWAMPolicy):
    """A small HarmoWAM.

    Args:
        settings: the settings.

    Raises:
        UserError: the file is missing, broken, of another family or robot, or has a world model alone.
    """

    family = FAMILY
    Settings = SmallHarmoWAMSettings

    def __init__(self, settings: SmallHarmoWAMSettings) -> None:
        path, config = self._described(settings)
        if config.settings["stage"] != "experts":
            raise UserError(
                f"{path} is a world model without experts: train these with `wam-eval train small-harmowam`"
            )
        self._take(settings, path, config, SmallHarmoWAMTraining.make_model(config))
        self._codec = VideoCodec(self._small.codec, config.robot.image_size)
        self.spec = replace(self.spec, experts=EXPERTS)

    @cached_property
    def _sampler(self) -> Sampler:
        chosen = self._settings
        return Sampler(
            network_of(self._small).to(self._dtype),
            self._codec,
            self._codec,
            chosen.gate,
            chosen.steps,
            chosen.action_steps,
            chosen.shift,
            Accelerator.of(chosen.accelerate),
        )

    @property
    def _vae(self) -> VideoCodec:  # type: ignore[override]
        return self._codec

    def _load(self) -> None:
        _ = self._sampler

    @torch.inference_mode()
    def _infer(
        self, images: Sequence[Tensor], texts: Sequence[Tensor], states: Tensor, seeds: Sequence[int], watch: Watch
    ) -> HarmoWAMInference:
        with watch("vae"):
            first = self._small.codec.encode(images[0].float())
        text = padded(texts, self._small.config.words)[0]
        inputs = Inputs(first, text, image_tokens(first).unsqueeze(1), states)
        sample = self._sampler.sample(inputs, seeds, watch)
        return HarmoWAMInference(sample.actions.clamp(-1, 1), sample)  # Normalised actions are from -1 to 1.

    def _components(self) -> Mapping[str, nn.Module]:
        network = network_of(self._small)
        return {
            "world model": network.world,
            "predictive expert": network.predictive,
            "reactive expert": network.reactive,
            "gate": network.gate,
        }
