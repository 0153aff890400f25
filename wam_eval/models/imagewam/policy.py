"""ImageWAM as a policy: from a batch of observations to action chunks, with the time of each stage.

Source: ImageWAM (arXiv 2606.19531) and the evaluation scripts of its repository.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from wam_eval.benchmark import Check
from wam_eval.errors import UserError
from wam_eval.models.imagewam.backbone import Backbone, Inputs
from wam_eval.models.imagewam.checkpoint import (
    PROMPT,
    ROBOTS,
    check_training,
    open_checkpoint,
    read_training,
)
from wam_eval.models.imagewam.editing import EditingModel
from wam_eval.models.imagewam.flux2 import Flux2Klein4B, Flux2Klein9B
from wam_eval.models.imagewam.omnigen2 import OmniGen2
from wam_eval.models.imagewam.ovis import OvisU1
from wam_eval.models.imagewam.sampling import HORIZON, Sampler
from wam_eval.models.nn.acceleration import Accelerator
from wam_eval.models.policy import Inference, ModelPolicy, ModelSettings
from wam_eval.models.preprocessing import Normaliser, find_statistics
from wam_eval.models.stages import FlopCounter, Watch, flops_of_steps, parameter_count, shapes_only
from wam_eval.models.weights import Checkpoint, check_memory, load_checkpoint
from wam_eval.observation import ImaginedFrames
from wam_eval.policy import Costs, checkpoint_digest

WORKING_GIB = 4.0
"""Memory for inference besides weights at batch 16; computed from shapes, not measured on a GPU."""
EXAMPLE_TOKENS = 32
"""Tokens of the prompt for which operations are counted."""

BACKBONES: Mapping[str, type[EditingModel]] = {
    model.name: model for model in (Flux2Klein4B, Flux2Klein9B, OmniGen2, OvisU1)
}
"""Name of a backbone in settings -> image-editing model."""


class ImageWAMSettings(ModelSettings):
    """Settings of ImageWAM, and those of :class:`wam_eval.models.policy.ModelSettings`.

    Attributes:
        backbone: image-editing model.
        robot: ``libero``, ``robotwin``, or ``robotwin-16`` for a model with placeholders in states and actions.
        execute: actions of a chunk of 16 that are executed before the policy is asked again.
        size: ``full``, or ``tiny`` for tests.
        context: tokens of a prompt with its padding; a longer prompt is cut off.
        pack_proprio: True if the robot's state follows the last word of a prompt; False if it follows the padding,
            which is possible on OmniGen2 only.
        encoders: folder with the backbone's image and text encoder; found automatically if ``None``.
    """

    backbone: Literal["flux2-4b", "flux2-9b", "omnigen2", "ovis-u1"] = "flux2-4b"
    robot: Literal["libero", "robotwin", "robotwin-16"] = "libero"
    execute: int = Field(default=12, ge=1, le=HORIZON)
    size: Literal["full", "tiny"] = "full"
    context: int = Field(default=512, ge=16)
    pack_proprio: bool = True
    encoders: str | None = None

    @model_validator(mode="after")
    def _check_packing(self) -> ImageWAMSettings:
        if not self.pack_proprio and self.backbone != OmniGen2.name:
            raise ValueError(f"`pack_proprio: false` is possible with `backbone: {OmniGen2.name}` only")
        return self


@dataclass(frozen=True)
class ImageWAMInference(Inference):
    """Result of one call of the model.

    Attributes:
        inputs: inputs of the network, for an image that is imagined later.
        lengths: tokens of each row's text without padding.
    """

    inputs: Inputs
    lengths: Sequence[int]


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
    _editing: EditingModel
    _horizon = HORIZON

    def __init__(self, settings: ImageWAMSettings) -> None:
        super().__init__(settings, ROBOTS[settings.robot], tiny=settings.size == "tiny")
        self._editing = BACKBONES[settings.backbone](
            settings.size, settings.context, settings.pack_proprio, self._dtype, self._device
        )
        with torch.device("meta"):
            self._empty = self._editing.network(self._robot.model_state_dim, self._robot.model_action_dim)
        self._text_dim = self._editing.prompt_dim
        self._opened: Checkpoint | None = None
        if settings.random_weights:
            self._normaliser = Normaliser.identity(self._robot)
        elif settings.checkpoint is None:
            raise UserError("ImageWAM needs a checkpoint (CKPT=…), or the setting `random_weights: true`")
        else:
            self._open(Path(settings.checkpoint))
        check_memory(self._needed_gib(), self._device)
        if not settings.random_weights:
            self._editing.find(settings.encoders)
        self._prompts = self._editing.prompt_cache()
        self._facts |= {"text_encoder": self._prompts.digest, "image_encoder": self._editing.digest()}
        self.spec = replace(self.spec, shows_attention=True)

    @classmethod
    def checks(cls) -> Sequence[Callable[[], Check]]:
        """Checks for the image and text encoders."""
        return tuple(check for model in BACKBONES.values() for check in model.checks())

    def costs(self) -> Costs:
        """Parameters by component, and operations for one chunk without those that the prompt cache saves."""
        self._load()
        model = self._sampler.model
        flops = stage_flops(model, self._editing, self._robot.image_size, self._settings.steps)
        return Costs(parameters_by_component(model, self._editing), float(sum(flops.values())))

    @cached_property
    def _sampler(self) -> Sampler:
        model = load_checkpoint(self._opened, self._empty, self._dtype, self._device)
        accelerator = Accelerator.of(self._settings.accelerate)
        return Sampler(model, self._settings.steps, self._settings.shift, accelerator=accelerator)

    def _load(self) -> None:
        _ = self._sampler
        self._editing.load()

    def _open(self, path: Path) -> None:
        """Open a checkpoint and read its statistics and its training."""
        self._opened = open_checkpoint(path, self._empty, f"ImageWAM on {self._settings.backbone}")
        statistics = find_statistics(path)
        training = path.with_name("train_config.yaml")
        if training.is_file():
            found, settings = read_training(training), self._settings
            check_training(path, found, settings.backbone, self._robot, settings.shift, settings.pack_proprio)
        self._normaliser = Normaliser.read(statistics, self._robot, ROBOTS.values())
        self._facts |= {
            "statistics_sha256": checkpoint_digest(str(statistics)),
            "training_sha256": checkpoint_digest(str(training)),
            "checkpoint_step": self._opened.step,
        }

    def _needed_gib(self) -> float:
        parameters = parameter_count(self._empty) + self._editing.resident
        return parameters * self._dtype.itemsize / 2**30 + WORKING_GIB

    @torch.inference_mode()
    def _infer(
        self, images: Sequence[Tensor], texts: Sequence[Tensor], states: Tensor, seeds: Sequence[int], watch: Watch
    ) -> ImageWAMInference:
        (views,) = images
        accelerated = self._settings.accelerate != "none"
        with watch("vae"):
            reference = self._editing.encode(views, seeds)
        with watch("text"):
            text, lengths = self._editing.condition(texts, views, fixed=accelerated)
        inputs = Inputs(
            text,
            torch.tensor(lengths, device=text.device),
            states.to(self._dtype),
            reference,
            grid_of(views.shape[2:], self._editing),
            cut=lengths[0] if len(lengths) == 1 and not accelerated else None,
        )
        return ImageWAMInference(self._sampler.sample(inputs, seeds, watch), inputs, lengths)

    @torch.inference_mode()
    def _imagined(self, row: int, inference: ImageWAMInference, seed: int, watch: Watch) -> ImaginedFrames:
        """The image at the end of the chunk, after the present."""
        alone = self._alone(row, inference)
        tokens = self._sampler.imagine(alone, [seed], watch)
        with watch("decode"):
            frames = self._editing.decode(torch.cat([alone.reference, tokens]), alone.grid)
        return ImaginedFrames(frames, self._horizon)

    def _attention(self, row: int, inference: ImageWAMInference, seed: int) -> NDArray[np.float32]:
        alone = self._alone(row, inference)
        (weights,) = self._sampler.attention(alone, [seed]).unflatten(1, alone.grid).numpy()
        return weights

    def _alone(self, row: int, inference: ImageWAMInference) -> Inputs:
        """The inputs of one row."""
        whole, own = inference.inputs, slice(row, row + 1)
        return Inputs(
            whole.text[own].clone(),
            whole.lengths[own].clone(),
            whole.states[own].clone(),
            whole.reference[own].clone(),
            whole.grid,
            cut=None if self._settings.accelerate != "none" else inference.lengths[row],
        )


def grid_of(image_size: Sequence[int], editing: EditingModel) -> tuple[int, int]:
    """Rows and columns of the tokens of an image (height, width)."""
    height, width = image_size
    return height // editing.stride, width // editing.stride


def parameters_by_component(model: Backbone, editing: EditingModel) -> Mapping[str, int]:
    """Number of parameters of each component."""
    experts = {"image expert": model.mixtures["video"], "action expert": model.mixtures["action"]}
    parts = {**experts, "state encoder": model.proprio_encoder, **editing.encoders()}
    return {name: parameter_count(module) for name, module in parts.items()}


def stage_flops(model: Backbone, editing: EditingModel, image_size: tuple[int, int], steps: int) -> dict[str, int]:
    """Floating-point operations for one chunk by stage; see :class:`wam_eval.models.stages.FlopCounter`.

    Args:
        model, editing: their weights may be on the meta device.
        image_size: height and width of the picture.
        steps: denoising steps.
    """
    encoding = FlopCounter()
    with shapes_only():
        images = torch.empty(1, 3, *image_size, dtype=model.dtype, device=model.device)
        with encoding("vae"):
            reference = editing.encode(images, [0])
        prompt = torch.empty(EXAMPLE_TOKENS, editing.prompt_dim, dtype=model.dtype, device=model.device)
        with encoding("text"):
            text, lengths = editing.condition([prompt], images, fixed=False)
        states = torch.empty(1, model.proprio_encoder.in_features, dtype=model.dtype, device=model.device)
        counts = torch.tensor(lengths, device=text.device)
        inputs = Inputs(text, counts, states, reference, grid_of(image_size, editing), cut=lengths[0])

        def run(count: int, watch: Watch) -> None:
            Sampler(model, count).sample(inputs, [0], watch)

        return encoding.flops | flops_of_steps(run, steps)
