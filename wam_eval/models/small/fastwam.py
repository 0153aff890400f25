"""Small Fast-WAM: its training, and the policy of a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from wam_eval.errors import UserError
from wam_eval.models.fastwam.loss import Objective, losses, total
from wam_eval.models.fastwam.model import FastWAM, FastWAMConfig, Variant
from wam_eval.models.fastwam.policy import FastWAMPolicy, FastWAMSettings, ImageCodec
from wam_eval.models.fastwam.sampling import Sampler
from wam_eval.models.nn.acceleration import Accelerator
from wam_eval.models.policy import ModelPolicy, padded
from wam_eval.models.prompt_cache import PromptCache
from wam_eval.models.small.data import load_data
from wam_eval.models.small.encoders import PATCH, Words, words_of
from wam_eval.models.small.model import SmallConfig, SmallModel, load_small, read_small_config, save_small, weights_file
from wam_eval.models.small.robots import ROBOTS
from wam_eval.models.stages import Watch, flops_of_steps, parameter_count, shapes_only
from wam_eval.models.wan.transformer import WanSizes
from wam_eval.policy import Costs, PolicySpec, checkpoint_digest

FAMILY = "fastwam"
FIT_IMAGES = 2000
"""Training images from which the image codec is computed."""


def make_model(config: SmallConfig) -> SmallModel:
    """The model of a description; both experts have the same sizes."""
    sizes = WanSizes(
        dim=config.width,
        ffn_dim=4 * config.width,
        layers=config.layers,
        heads=config.heads,
        head_dim=config.head_dim,
        text_dim=config.width,
        time_dim=config.width,
    )
    state, action = config.robot.model_state_dim, config.robot.model_action_dim
    network = FastWAM(FastWAMConfig(state, action, video=sizes, action=sizes, latent_channels=config.components))
    return SmallModel(config, network, config.width)


class SmallFastWAMObjective(BaseModel):
    """Settings of a training.

    Attributes:
        variant: inference that the model is trained for.
        video_weight: weight of the video loss; 0 to train without video co-training.
        shift: shift of the distribution of the times.
        width, layers, heads, head_dim, components, horizon, stride, frames: see
            :class:`wam_eval.models.small.model.SmallConfig`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: Variant = "first_frame"
    video_weight: float = Field(default=0.5, ge=0)
    shift: float = Field(default=5.0, gt=0)
    width: int = 128
    layers: int = 4
    heads: int = 4
    head_dim: int = 32
    components: int = 32
    horizon: int = 16
    stride: int = 8
    frames: int = 2


class SmallFastWAMTraining:
    """The training of a small Fast-WAM; a :class:`wam_eval.training.config.TrainingTask`.

    Args:
        settings: fields of :class:`SmallFastWAMObjective`.
        folders: data sets.

    Raises:
        UserError: settings or data do not fit.
    """

    def __init__(self, settings: Mapping[str, Any], folders: Sequence[Path]) -> None:
        try:
            chosen = SmallFastWAMObjective.model_validate(settings)
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
            raise UserError(f"settings of the training: {'; '.join(faults)}") from error
        data = load_data(folders, ROBOTS)
        sizes = chosen.model_dump(exclude={"variant", "video_weight", "shift"})
        self.config = SmallConfig(
            family=FAMILY,
            robot=data.robot,
            vocabulary=tuple(Words.vocabulary_of(data.instructions)),
            words=max(len(words_of(text)) for text in data.instructions),
            settings={"variant": chosen.variant, "video_weight": chosen.video_weight, "shift": chosen.shift},
            **sizes,
        )
        self.model = make_model(self.config)
        self.samples = len(data)
        self._objective = Objective(chosen.variant, chosen.video_weight, chosen.shift)
        self._data = data
        self.model.set_normaliser(data.normaliser())
        every = max(1, len(data) // FIT_IMAGES)
        self.model.codec.fit(_scaled(data.pictures[::every]))
        parts = [self.model.codec.encode(_scaled(part)).half() for part in data.pictures.split(512)]
        self._latents = torch.cat(parts)  # (N, C, 1, h, w)
        normaliser = self.model.normaliser
        self._states = torch.from_numpy(normaliser.normalise_state(data.states.numpy()))
        actions = normaliser.action
        self._actions = data.actions * torch.from_numpy(actions.scale) + torch.from_numpy(actions.offset)

    def losses(self, samples: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """See :class:`wam_eval.training.config.TrainingTask`."""
        device = self.model.state_scale.device
        offsets = [self.config.stride * number for number in range(self.config.frames)]
        frames = self._latents[self._data.following(samples, offsets)]  # B, T, C, 1, h, w
        latents = frames.squeeze(3).transpose(1, 2).float().to(device)
        actions = self._actions[self._data.chunk_steps(samples, self.config.horizon)].to(device)
        count = self.config.words
        texts = [self.model.words(text)[:count] for text in self._data.instructions]
        text = padded(texts, count)[0][self._data.text[samples].to(device)]
        context = network_of(self.model).context(text, self._states[samples].to(device))
        found = losses(network_of(self.model), self._objective, latents, actions, context, generator)
        return {"total": total(found, self._objective), **found}

    def save(self, path: Path, tensors: Mapping[str, Tensor], provenance: Mapping[str, Any]) -> None:
        """See :class:`wam_eval.training.config.TrainingTask`."""
        save_small(path, replace(self.config, provenance=provenance), tensors)


def network_of(model: SmallModel) -> FastWAM:
    """The network of a small model, with its type."""
    assert isinstance(model.network, FastWAM)
    return model.network


class SmallFastWAMSettings(FastWAMSettings):
    """Settings of a small Fast-WAM, besides those of every World Action Model.

    Attributes:
        checkpoint: file that the training wrote, or the name of a model that comes with wam-eval.
        variant: inference of the actions; that of the training if ``None``.
    """

    variant: Variant | None = None  # type: ignore[assignment]
    execute: int = Field(default=8, ge=1)
    dtype: Literal["bfloat16", "float32"] = "float32"
    device: str = "cpu"


class SmallFastWAMPolicy(FastWAMPolicy):
    """A small Fast-WAM: the same network, sampler and answers as the full-size model, with its own encoders.

    Args:
        settings: the settings.

    Raises:
        UserError: the file is missing, broken, of another family or robot, or was not trained for the variant.
    """

    Settings = SmallFastWAMSettings
    prompt = "{task}"

    def __init__(self, settings: SmallFastWAMSettings) -> None:
        if settings.checkpoint is None:
            raise UserError(
                "a small Fast-WAM needs a checkpoint (CKPT=…): train one with `wam-eval train small-fastwam`"
            )
        path = weights_file(settings.checkpoint)
        config = read_small_config(path)
        check_family(path, config, FAMILY)
        trained = config.settings["variant"]
        if settings.variant not in (None, trained):
            raise UserError(f"{path} was trained for the variant {trained}, not for {settings.variant}")
        if settings.robot != config.robot.name:
            raise UserError(f"{path} was trained for the robot {config.robot.name}, not for {settings.robot}")
        if settings.execute > config.horizon:
            raise UserError(f"`execute: {settings.execute}`: a chunk of {path} has {config.horizon} actions")
        ModelPolicy.__init__(self, settings, config.robot, tiny=True)
        self._small = make_model(config)
        load_small(path, self._small)
        self._small.to(self._device).eval().requires_grad_(False)
        self._normaliser = self._small.normaliser
        digest = checkpoint_digest(str(path)) or ""
        self._facts |= {"weights_sha256": digest}
        self._prompts = PromptCache(lambda: self._small.words, digest, None, config.words)
        self._accelerator = Accelerator.of(settings.accelerate)
        self._text_dim, self._text_length = config.width, config.words
        self._variant = trained
        self._frame_interval = config.stride
        self.spec = PolicySpec(
            cameras=config.robot.cameras,
            action_dim=config.robot.action_dim,
            execute=settings.execute,
            imagines=config.settings["video_weight"] > 0,
            shows_attention=True,
            largest_batch=settings.rows_on(self._device),
        )

    def identity(self) -> Mapping[str, Any]:
        """Digest of the weights."""
        return {"weights_sha256": self._facts["weights_sha256"]}

    def costs(self) -> Costs:
        """Parameters by component, and operations for one chunk without those of the encoders."""
        network, config = network_of(self._small), self._small.config
        height, width = (side // PATCH for side in config.robot.image_size)
        latents = torch.empty(1, config.components, 1, height, width)
        context = torch.empty(1, config.words + 1, config.width)

        def run(steps: int, watch: Watch) -> None:
            self._make_sampler(steps, Accelerator()).sample(latents, context, [0], watch)

        with shapes_only():
            flops = flops_of_steps(run, self._settings.steps)
        parameters = {
            "video expert": parameter_count(network.video),
            "action expert": parameter_count(network.action),
            "state encoder": parameter_count(network.proprio_encoder),
            "words": parameter_count(self._small.words),
        }
        return Costs(parameters, float(sum(flops.values())))

    @cached_property
    def _sampler(self) -> Sampler:
        return self._make_sampler(self._settings.steps, self._accelerator)

    def _make_sampler(self, steps: int, accelerator: Accelerator) -> Sampler:
        return Sampler(
            network_of(self._small).to(self._dtype),
            self._variant,
            steps,
            self._settings.shift,
            horizon=self._small.config.horizon,
            frames=self._small.config.frames,
            accelerator=accelerator,
        )

    @cached_property
    def _vae(self) -> ImageCodec:
        return self._small.codec


def check_family(path: Path, config: SmallConfig, family: str) -> None:
    """Refuse a model of another family. Raises :class:`UserError`."""
    if config.family != family:
        raise UserError(
            f"{path} is a small model of the family {config.family}, not {family}: use policy small-{config.family}"
        )


def _scaled(pictures: Tensor) -> Tensor:
    """Pictures uint8 (N, H, W, 3) as float32 (N, 3, H, W) in -1..1."""
    return pictures.permute(0, 3, 1, 2).float() * (2.0 / 255.0) - 1.0
