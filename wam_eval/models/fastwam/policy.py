"""Fast-WAM as a policy: from a batch of observations to action chunks, with the time of each stage.

Source: Fast-WAM (arXiv 2603.16666) and the experiments for LIBERO and RoboTwin 2.0 in its repository.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from transformers import UMT5Config, UMT5EncoderModel

from wam_eval.benchmark import Check
from wam_eval.errors import UserError
from wam_eval.models.fastwam.checkpoint import PROMPT, ROBOTS, check_training, make_model, needed_gib, open_checkpoint
from wam_eval.models.fastwam.model import FastWAM, FastWAMConfig, Size, Variant
from wam_eval.models.fastwam.sampling import FRAMES, HORIZON, Sampler
from wam_eval.models.nn.acceleration import Accelerator
from wam_eval.models.nn.cuda_graphs import StagedFunction
from wam_eval.models.policy import Inference, ModelPolicy, ModelSettings, padded
from wam_eval.models.preprocessing import Normaliser, find_statistics
from wam_eval.models.stages import FlopCounter, Watch, flops_of_steps, parameter_count, shapes_only
from wam_eval.models.wan.encoders import LENGTH, TEXT_SIZES, VideoVAE, WanEncoders
from wam_eval.models.wan.files import WAN
from wam_eval.models.weights import check_memory
from wam_eval.observation import ImaginedFrames
from wam_eval.policy import Costs, checkpoint_digest

FRAME_INTERVAL = HORIZON // (FRAMES - 1) // 4
"""Actions from one imagined frame to the next; each latent frame after the first decodes to four frames."""


class FastWAMSettings(ModelSettings):
    """Settings of Fast-WAM, and those of :class:`wam_eval.models.policy.ModelSettings`.

    Attributes:
        checkpoint: the official file (``.pt``), or a safetensors file with its names. The statistics of the training
            data are found beside it.
        variant: inference of the actions; see :data:`wam_eval.models.fastwam.model.Variant`.
        size: ``full``, or ``tiny`` for tests.
        execute: actions of a chunk of 32 that are executed before the policy is asked again.
        wan: folder with Wan2.2's VAE and text encoder; found automatically if ``None``.
    """

    robot: Literal["libero", "robotwin"] = "libero"
    variant: Variant = "first_frame"
    size: Size = "full"
    execute: int = Field(default=10, ge=1, le=HORIZON)
    wan: str | None = None


class ImageCodec(Protocol):
    """An image encoder with its decoder: Wan2.2's VAE, or that of a small model."""

    def encode(self, images: Tensor) -> Tensor:
        """Latents (B, C, 1, h, w) of images (B, 3, H, W) in -1..1."""

    def decode(self, latents: Tensor) -> NDArray[np.uint8]:
        """Frames uint8 (B, T, H, W, 3) of latents (B, C, t, h, w)."""


@dataclass(frozen=True)
class FastWAMInference(Inference):
    """Result of one call of the model.

    Attributes:
        video: latents of the imagined video, as in :class:`wam_eval.models.fastwam.sampling.Sample`.
        latents, context: inputs of the sampler, for a video that is imagined later.
    """

    video: Tensor | None
    latents: Tensor
    context: Tensor

    def tensors(self) -> list[Tensor]:
        """All results, to compare rows of a batch."""
        return [self.actions, self.latents, *([] if self.video is None else [self.video])]


class FastWAMPolicy(ModelPolicy):
    """The complete model on one device.

    The constructor checks everything that can be checked quickly; :meth:`prepare` loads the weights.

    Args:
        settings: the settings.

    Raises:
        UserError: the checkpoint, its statistics, the encoders' files or the device do not fit the settings.
    """

    Settings = FastWAMSettings
    prompt = PROMPT
    _settings: FastWAMSettings
    _variant: Variant
    _text_length = LENGTH
    _frame_interval = FRAME_INTERVAL

    def __init__(self, settings: FastWAMSettings) -> None:
        super().__init__(settings, ROBOTS[settings.robot], tiny=settings.size == "tiny")
        config = FastWAMConfig.of_size(settings.size, self._robot.state_dim, self._robot.action_dim)
        # Quick checks come before gigabytes are read or downloaded.
        opened = None
        if settings.random_weights:
            self._normaliser = Normaliser.identity(self._robot)
        elif settings.checkpoint is None:
            raise UserError("Fast-WAM needs a checkpoint (CKPT=…), or the setting `random_weights: true`")
        else:
            path = Path(settings.checkpoint)
            opened = open_checkpoint(path, config)
            check_training(path, settings.robot, settings.variant)
            statistics = find_statistics(path)
            self._normaliser = Normaliser.read(statistics, self._robot, ROBOTS.values())
            self._facts["statistics_sha256"] = checkpoint_digest(str(statistics))
            self._facts["checkpoint_step"] = opened.step
        check_memory(needed_gib(config, self._dtype), self._device)
        source = settings.size if settings.random_weights else WAN.find(settings.wan)
        encoders = WanEncoders(source, self._dtype, self._device)
        self._prompts = encoders.prompt_cache()
        self._facts |= {"text_encoder": self._prompts.digest, "image_encoder": encoders.vae_digest()}
        self._make_model = partial(make_model, opened, config, self._dtype, self._device)
        self._make_vae = encoders.vae
        self._accelerator = Accelerator.of(settings.accelerate)
        self._text_dim = config.video.text_dim
        self._variant = settings.variant
        self.spec = replace(self.spec, shows_attention=True)

    @classmethod
    def checks(cls) -> Sequence[Callable[[], Check]]:
        """Checks for the image and text encoders."""
        return (WAN.check,)

    def costs(self) -> Costs:
        """Parameters by component, and operations for one chunk without those of the text encoder.

        The text encoder is left out because each prompt is encoded only once.
        """
        chosen, model, vae = self._settings, self._sampler.model, self._vae
        assert isinstance(vae, VideoVAE)
        flops = stage_flops(model, vae, self._robot.image_size, chosen.variant, chosen.steps)
        return Costs(parameters_by_component(model, vae), float(sum(flops.values())))

    @cached_property
    def _sampler(self) -> Sampler:
        chosen = self._settings
        return Sampler(self._make_model(), self._variant, chosen.steps, chosen.shift, accelerator=self._accelerator)

    @cached_property
    def _vae(self) -> ImageCodec:
        return self._make_vae()

    @cached_property
    def _encode(self) -> StagedFunction:
        return self._accelerator.recorded(self._encode_images)

    def _load(self) -> None:
        _ = self._sampler, self._vae

    def _infer(
        self, images: Sequence[Tensor], texts: Sequence[Tensor], states: Tensor, seeds: Sequence[int], watch: Watch
    ) -> FastWAMInference:
        with watch("text"), torch.inference_mode():
            context = self._sampler.model.context(padded(texts, self._text_length)[0], states)
        (latents,) = self._encode(images, watch)
        sample = self._sampler.sample(latents, context, seeds, watch)
        return FastWAMInference(sample.actions, sample.video, latents, context)

    @torch.inference_mode()
    def _encode_images(self, inputs: Sequence[Tensor], watch: Watch) -> list[Tensor]:
        with watch("vae"):
            return [self._vae.encode(inputs[0])]

    def _imagined(self, row: int, inference: FastWAMInference, seed: int, watch: Watch) -> ImaginedFrames:
        """The decoded video of one row, computed alone. A variant that needs no video denoises one for it."""
        if inference.video is None:
            latents, context = inference.latents[row, None].clone(), inference.context[row, None].clone()
            video = self._sampler.imagine(latents, context, [seed], watch)
        else:
            video = inference.video[row, None].clone()
        with watch("decode"):
            return ImaginedFrames(self._vae.decode(video)[0], self._frame_interval)

    def _attention(self, row: int, inference: FastWAMInference, seed: int) -> NDArray[np.float32]:
        latents, context = inference.latents[row, None].clone(), inference.context[row, None].clone()
        (weights,) = self._sampler.attention(latents, context, [seed]).numpy()
        return weights


def parameters_by_component(model: FastWAM, vae: VideoVAE) -> dict[str, int]:
    """Number of parameters of each component."""
    # The text encoder of this width; it may not be loaded.
    (sizes,) = (sizes for sizes in TEXT_SIZES.values() if sizes["d_model"] == model.config.video.text_dim)
    with torch.device("meta"):
        text_encoder = UMT5EncoderModel(UMT5Config(**sizes))
    return {
        "video expert": parameter_count(model.video),
        "action expert": parameter_count(model.action),
        "state encoder": parameter_count(model.proprio_encoder),
        "image encoder and decoder": parameter_count(vae.model),
        "text encoder": parameter_count(text_encoder),
    }


def stage_flops(
    model: FastWAM, vae: VideoVAE, image_size: tuple[int, int], variant: Variant, steps: int
) -> dict[str, int]:
    """Floating-point operations for one chunk by stage; see :class:`wam_eval.models.stages.FlopCounter`.

    Args:
        model, vae: their weights may be on the meta device.
        image_size: height and width of the picture.
        variant: inference of the actions.
        steps: denoising steps.

    Returns:
        Stages in the order in which they run, with the names under which :meth:`FastWAMPolicy.act` measures their time.
    """
    weight = next(vae.model.parameters())
    encoding = FlopCounter()
    with shapes_only():
        with encoding("vae"):
            latents = vae.encode(torch.empty(1, 3, *image_size, dtype=weight.dtype, device=weight.device))
        context = torch.empty(1, LENGTH + 1, model.config.video.text_dim)

        def run(count: int, watch: Watch) -> None:
            Sampler(model, variant, count).sample(latents, context, [0], watch)

        return encoding.flops | flops_of_steps(run, steps)
