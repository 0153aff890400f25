"""ImageWAM as a policy: from a batch of observations to action chunks, with the time of each stage.

Source: ImageWAM (arXiv 2606.19531) and the evaluation scripts of its repository.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from wam_eval.benchmark import Check
from wam_eval.errors import UserError
from wam_eval.models.flux2.encoders import STRIDE, Flux2Encoders, ImageVAE
from wam_eval.models.flux2.files import FLUX2
from wam_eval.models.imagewam.backbone import Backbone, Inputs
from wam_eval.models.imagewam.checkpoint import (
    PROMPT,
    ROBOTS,
    check_training,
    make_model,
    open_checkpoint,
    read_training,
)
from wam_eval.models.imagewam.flux2 import Flux2Backbone, Flux2Config
from wam_eval.models.imagewam.sampling import HORIZON, Sampler
from wam_eval.models.policy import Inference, ModelPolicy, ModelSettings, padded
from wam_eval.models.preprocessing import Normaliser, find_statistics
from wam_eval.models.stages import FlopCounter, Watch, flops_of_steps, parameter_count, shapes_only
from wam_eval.models.weights import Checkpoint, check_memory
from wam_eval.observation import ImaginedFrames
from wam_eval.policy import Costs, PolicySpec, checkpoint_digest

WORKING_GIB = 4.0
"""Memory for inference besides weights at batch 16; computed from shapes, not measured on a GPU."""
EXAMPLE_TOKENS = 32
"""Tokens of the prompt for which operations are counted; their number does not depend on it, because it is padded."""


class ImageWAMSettings(ModelSettings):
    """Settings of ImageWAM, and those of :class:`wam_eval.models.policy.ModelSettings`.

    Attributes:
        backbone: image-editing model.
        robot: ``libero``, ``robotwin``, or ``robotwin-16`` for a model with placeholders in states and actions.
        execute: actions of a chunk of 16 that are executed before the policy is asked again.
        size: ``full``, or ``tiny`` for tests.
        context: tokens of a prompt with its padding; a longer prompt is cut off.
        encoders: folder with the backbone's image and text encoder; found automatically if ``None``.
    """

    backbone: Literal["flux2-4b", "flux2-9b"] = "flux2-4b"
    robot: Literal["libero", "robotwin", "robotwin-16"] = "libero"
    execute: int = Field(default=12, ge=1, le=HORIZON)
    size: Literal["full", "tiny"] = "full"
    context: int = Field(default=512, ge=16)
    encoders: str | None = None


@dataclass(frozen=True)
class ImageWAMInference(Inference):
    """Result of one call of the model.

    Attributes:
        inputs: inputs of the network, for an image that is imagined later.
    """

    inputs: Inputs


class ImageWAMPolicy(ModelPolicy):
    """The complete model on one device.

    The constructor checks everything that can be checked quickly; :meth:`prepare` loads the weights.

    Args:
        settings: the settings.

    Raises:
        UserError: the checkpoint, its statistics, its training, the encoders' files or the device do not fit the
            settings.
    """

    Settings = ImageWAMSettings
    prompt = PROMPT
    _settings: ImageWAMSettings

    def __init__(self, settings: ImageWAMSettings) -> None:
        super().__init__(settings, ROBOTS[settings.robot], tiny=settings.size == "tiny")
        size = settings.backbone.removeprefix("flux2-") if settings.size == "full" else "tiny"
        config = Flux2Config.of_size(size, self._robot.model_state_dim, self._robot.model_action_dim)  # type: ignore[arg-type]
        with torch.device("meta"):
            self._empty = Flux2Backbone(config)
        self._text_dim = config.image.text_dim
        self._opened: Checkpoint | None = None
        if settings.random_weights:
            self._normaliser = Normaliser.identity(self._robot)
        elif settings.checkpoint is None:
            raise UserError("ImageWAM needs a checkpoint (CKPT=…), or the setting `random_weights: true`")
        else:
            self._open(Path(settings.checkpoint))
        check_memory(self._needed_gib(), self._device)
        folder = None if settings.random_weights else FLUX2[size].find(settings.encoders)
        self._encoders = Flux2Encoders(size, folder, settings.context, self._dtype, self._device)  # type: ignore[arg-type]
        self._prompts = self._encoders.prompt_cache()
        self._facts |= {"text_encoder": self._prompts.digest, "image_encoder": self._encoders.vae_digest()}
        self.spec = PolicySpec(
            cameras=self._robot.cameras,
            action_dim=self._robot.action_dim,
            execute=settings.execute,
            imagines=True,
            largest_batch=settings.rows_on(self._device),
        )

    @classmethod
    def checks(cls) -> Sequence[Callable[[], Check]]:
        """Checks for the image and text encoders."""
        return tuple(files.check for files in FLUX2.values())

    def costs(self) -> Costs:
        """Parameters by component, and operations for one chunk without those of the text encoder."""
        model, vae = self._sampler.model, self._vae
        flops = stage_flops(model, vae, self._robot.image_size, self._settings.context, self._settings.steps)
        return Costs(parameters_by_component(model, vae), float(sum(flops.values())))

    @cached_property
    def _sampler(self) -> Sampler:
        model = make_model(self._opened, self._empty, self._dtype, self._device)
        return Sampler(model, self._settings.steps, self._settings.shift)

    @cached_property
    def _vae(self) -> ImageVAE:
        return self._encoders.vae()

    def _load(self) -> None:
        _ = self._sampler, self._vae

    def _open(self, path: Path) -> None:
        """Open a checkpoint and read its statistics and its training."""
        self._opened = open_checkpoint(path, self._empty, f"ImageWAM on {self._settings.backbone}")
        statistics = find_statistics(path)
        training = path.with_name("train_config.yaml")
        if training.is_file():
            check_training(path, read_training(training), self._settings.backbone, self._robot, self._settings.shift)
        self._normaliser = Normaliser.read(statistics, self._robot, ROBOTS.values())
        self._facts |= {
            "statistics_sha256": checkpoint_digest(str(statistics)),
            "training_sha256": checkpoint_digest(str(training)),
            "checkpoint_step": self._opened.step,
        }

    def _needed_gib(self) -> float:
        return parameter_count(self._empty) * self._dtype.itemsize / 2**30 + WORKING_GIB

    @torch.inference_mode()
    def _infer(
        self, images: Tensor, texts: Sequence[Tensor], states: Tensor, seeds: Sequence[int], watch: Watch
    ) -> ImageWAMInference:
        with watch("vae"):
            reference = self._vae.encode(images)
        with watch("text"):
            text, lengths = padded(texts, self._settings.context)
        grid = images.shape[2] // STRIDE, images.shape[3] // STRIDE
        inputs = Inputs(text, lengths, states.to(self._dtype), reference, grid)
        return ImageWAMInference(self._sampler.sample(inputs, seeds, watch), inputs)

    @torch.inference_mode()
    def _imagined(self, row: int, inference: ImageWAMInference, seed: int, watch: Watch) -> ImaginedFrames:
        """The image at the end of the chunk, after the present."""
        whole, own = inference.inputs, slice(row, row + 1)
        alone = Inputs(
            whole.text[own].clone(),
            whole.lengths[own].clone(),
            whole.states[own].clone(),
            whole.reference[own].clone(),
            whole.grid,
        )
        tokens = self._sampler.imagine(alone, [seed], watch)
        with watch("decode"):
            frames = self._vae.decode(torch.cat([alone.reference, tokens]), whole.grid)
        return ImaginedFrames(frames, HORIZON)


def parameters_by_component(model: Backbone, vae: ImageVAE) -> Mapping[str, int]:
    """Number of parameters of each component."""
    experts = {"image expert": model.mixtures["video"], "action expert": model.mixtures["action"]}
    counts = {name: parameter_count(module) for name, module in experts.items()}
    return counts | {
        "state encoder": parameter_count(model.proprio_encoder),
        "image encoder and decoder": parameter_count(vae.model),
    }


def stage_flops(
    model: Backbone, vae: ImageVAE, image_size: tuple[int, int], context: int, steps: int
) -> dict[str, int]:
    """Floating-point operations for one chunk by stage; see :class:`wam_eval.models.stages.FlopCounter`.

    Args:
        model, vae: their weights may be on the meta device.
        image_size: height and width of the picture.
        context: tokens of a prompt with its padding.
        steps: denoising steps.
    """
    grid = image_size[0] // STRIDE, image_size[1] // STRIDE
    encoding = FlopCounter()
    with shapes_only():
        with encoding("vae"):
            reference = vae.encode(torch.empty(1, 3, *image_size, dtype=model.dtype, device=model.device))
        text = torch.empty(1, context, model.text_dim, dtype=model.dtype, device=model.device)
        states = torch.empty(1, model.proprio_encoder.in_features, dtype=model.dtype, device=model.device)
        lengths = torch.tensor([EXAMPLE_TOKENS], device=model.device)

        def run(count: int, watch: Watch) -> None:
            Sampler(model, count).sample(Inputs(text, lengths, states, reference, grid), [0], watch)

        return encoding.flops | flops_of_steps(run, steps)
