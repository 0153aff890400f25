"""HarmoWAM as a policy: two experts, and a gate that decides at each observation which one acts.

Source: HarmoWAM (arXiv 2605.10942). Neither code nor weights are public, so that nothing can be compared with the
authors' outputs; what the paper leaves open is a setting, or a field of
:class:`wam_eval.models.harmowam.config.HarmoWAMConfig`.
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
from pydantic import Field
from torch import Tensor

from wam_eval.benchmark import Check
from wam_eval.errors import UserError
from wam_eval.models.autoencoder import pixels
from wam_eval.models.harmowam.checkpoint import PROMPT, body_of, open_checkpoint, read_quantiles
from wam_eval.models.harmowam.config import Conditioning, HarmoWAMConfig, Size
from wam_eval.models.harmowam.encoders import LENGTH, FrameEncoder, HarmoWAMEncoders
from wam_eval.models.harmowam.files import DINOV2
from wam_eval.models.harmowam.gate import THRESHOLD, GateMode
from wam_eval.models.harmowam.model import HarmoWAM
from wam_eval.models.harmowam.sampling import Inputs, Sample, Sampler
from wam_eval.models.mvwam.encoders import ImageTower, camera_pictures
from wam_eval.models.mvwam.files import SIGLIP2
from wam_eval.models.nn.acceleration import Accelerator
from wam_eval.models.policy import Inference, ModelPolicy, ModelSettings, padded
from wam_eval.models.preprocessing import find_statistics
from wam_eval.models.quantiles import Quantiles
from wam_eval.models.stages import FlopCounter, Watch, parameter_count, shapes_only
from wam_eval.models.wan.encoders import VideoVAE
from wam_eval.models.wan.files import WAN
from wam_eval.models.weights import Checkpoint, check_memory, load_checkpoint
from wam_eval.observation import Acting, ImaginedFrames, Observation
from wam_eval.policy import Costs, checkpoint_digest

PREDICTIVE, REACTIVE, BOTH = EXPERTS = ("predictive", "reactive", "both")
"""Names under which runs record the experts; ``both`` for a mean of their actions."""
FRAME_INTERVAL = 4
"""Actions from one imagined frame to the next that is kept; the model gives one for each action."""
WORKING_GIB = 4.0
"""Memory for inference besides weights; computed from shapes, not measured on a GPU."""
ENCODER_PARAMETERS = 705_000_000 + 413_000_000 + 87_000_000
"""Parameters of Wan2.2's VAE, SigLIP2's image tower and DINOv2, which stay in memory; rounded up."""


class HarmoWAMSettings(ModelSettings):
    """Settings of HarmoWAM, and those of :class:`wam_eval.models.policy.ModelSettings`.

    Attributes:
        checkpoint: a file in the layout of :mod:`wam_eval.models.harmowam.checkpoint`.
        size: ``full``, or ``tiny`` for tests.
        execute: actions of a chunk of 12 that are executed before the policy is asked again.
        steps: denoising steps of the world model; 5 in the paper.
        action_steps: denoising steps of the predictive expert; not stated by the paper.
        gate: combination of the experts; see :data:`wam_eval.models.harmowam.gate.GateMode`.
        state: True for a model that receives the robot's state.
        feature_layer: layer of the world model that gives the features; that of the configuration if ``None``.
        feature_step: denoising step in which they are read; negative numbers count from the end.
        conditioning: contexts of the predictive expert's layers.
        wan: folder with Wan2.2's VAE and text encoder; found automatically if ``None``.
        siglip2: folder with SigLIP2; likewise.
        dinov2: folder with DINOv2; likewise.
    """

    robot: Literal["libero", "robotwin"] = "libero"
    size: Size = "full"
    execute: int = Field(default=12, ge=1, le=12)
    steps: int = Field(default=5, ge=1)
    action_steps: int = Field(default=10, ge=1, le=1000)
    gate: GateMode = "hard"
    state: bool = False
    feature_layer: int | None = None
    feature_step: int = -1
    conditioning: Conditioning = "joined"
    wan: str | None = None
    siglip2: str | None = None
    dinov2: str | None = None


@dataclass(frozen=True)
class HarmoWAMInference(Inference):
    """Result of one call of the model.

    Attributes:
        sample: scores of the gate, and the video.
    """

    sample: Sample

    def tensors(self) -> list[Tensor]:
        """All results, to compare rows of a batch."""
        return [self.actions, self.sample.score, self.sample.video]


class HarmoWAMPolicy(ModelPolicy):
    """The complete model on one device.

    The constructor checks everything that can be checked quickly; :meth:`prepare` loads the weights.

    Args:
        settings: the settings.

    Raises:
        UserError: the checkpoint, its statistics, the encoders' files or the device do not fit the settings.
    """

    Settings = HarmoWAMSettings
    prompt = PROMPT
    _settings: HarmoWAMSettings

    def __init__(self, settings: HarmoWAMSettings) -> None:
        self._body = body_of(settings.robot, settings.size)
        robot = self._body.robot
        super().__init__(settings, robot, tiny=settings.size == "tiny")
        config = HarmoWAMConfig.of_size(settings.size, robot.action_dim, robot.state_dim if settings.state else None)
        layer = config.feature_layer if settings.feature_layer is None else settings.feature_layer
        changes = {"feature_layer": layer, "feature_step": settings.feature_step, "conditioning": settings.conditioning}
        try:
            config = replace(config, **changes)  # type: ignore[arg-type]
        except ValueError as error:
            raise UserError(f"HarmoWAM: {error}") from error
        if not -settings.steps <= settings.feature_step < settings.steps:
            raise UserError(f"`feature_step: {settings.feature_step}`: the video has {settings.steps} denoising steps")
        with torch.device("meta"):
            self._empty = HarmoWAM(config)
        self._text_dim = config.predictive.text_dim
        self._opened: Checkpoint | None = None
        if settings.random_weights:
            lengths = robot.state_dim, robot.action_dim
            self._state_quantiles, self._action_quantiles = map(Quantiles.identity, lengths)
        elif settings.checkpoint is None:
            raise UserError("HarmoWAM needs a checkpoint (CKPT=…), or the setting `random_weights: true`")
        else:
            path = Path(settings.checkpoint)
            self._opened = open_checkpoint(path, self._empty)
            statistics = find_statistics(path)
            self._state_quantiles, self._action_quantiles = read_quantiles(statistics, settings.robot)
            self._facts["statistics_sha256"] = checkpoint_digest(str(statistics))
            self._facts["checkpoint_step"] = self._opened.step
        parameters = parameter_count(self._empty) + (ENCODER_PARAMETERS if settings.size == "full" else 0)
        check_memory(parameters * self._dtype.itemsize / 2**30 + WORKING_GIB, self._device)
        folders = ((WAN, settings.wan), (SIGLIP2, settings.siglip2), (DINOV2, settings.dinov2))
        wan, siglip2, dinov2 = (None if settings.random_weights else files.find(folder) for files, folder in folders)
        self._encoders = HarmoWAMEncoders(wan, siglip2, dinov2, settings.size, self._dtype, self._device)
        self._prompts = self._encoders.prompt_cache()
        self._facts |= {"text_encoder": self._prompts.digest, "image_encoder": self._encoders.image_digest()}
        self.spec = replace(self.spec, cameras=self._body.cameras, experts=EXPERTS)

    @classmethod
    def checks(cls) -> Sequence[Callable[[], Check]]:
        """Checks for the encoders."""
        return WAN.check, SIGLIP2.check, DINOV2.check

    def costs(self) -> Costs:
        """Parameters by component, and operations for one chunk without those that the prompt cache saves.

        With a hard gate both experts run, and so they are counted, as in ``soft`` and ``average``.
        """
        self._load()
        chosen, parts = self._settings, (self._sampler.model, self._vae, self._tower, self._frame_encoder)
        flops = stage_flops(
            *parts, self._robot.image_size, len(self._body.cameras), chosen.gate, chosen.steps, chosen.action_steps
        )
        return Costs(parameters_by_component(*parts), float(sum(flops.values())))

    @cached_property
    def _sampler(self) -> Sampler:
        chosen = self._settings
        return Sampler(
            load_checkpoint(self._opened, self._empty, self._dtype, self._device),
            self._vae,
            self._frame_encoder,
            chosen.gate,
            chosen.steps,
            chosen.action_steps,
            chosen.shift,
            Accelerator.of(chosen.accelerate),
        )

    @cached_property
    def _vae(self) -> VideoVAE:
        return self._encoders.vae()

    @cached_property
    def _tower(self) -> ImageTower:
        return self._encoders.tower()

    @cached_property
    def _frame_encoder(self) -> FrameEncoder:
        return self._encoders.frame_encoder()

    def _load(self) -> None:
        _ = self._sampler, self._tower

    def _preprocess(self, observations: Sequence[Observation]) -> list[Tensor]:
        """The first frame of the video, and the cameras' pictures for SigLIP, uint8 (B, cameras, side, side, 3)."""
        pictures = camera_pictures(observations, self._body.cameras, self._robot.image_size, self._tower.side)
        return [*super()._preprocess(observations), pictures.to(self._device)]

    @torch.inference_mode()
    def _infer(
        self, images: Sequence[Tensor], texts: Sequence[Tensor], states: Tensor, seeds: Sequence[int], watch: Watch
    ) -> HarmoWAMInference:
        frames, pictures = images
        with watch("vae"):
            first_frame = self._vae.encode(frames)
        with watch("images"):
            visual = self._tower.encode(pictures)
        state = states if self._settings.state else None
        sample = self._sampler.sample(Inputs(first_frame, padded(texts, LENGTH)[0], visual, state), seeds, watch)
        return HarmoWAMInference(sample.actions, sample)

    def _acting(self, row: int, inference: HarmoWAMInference) -> Acting:
        """The expert, or both, and the phase that the gate sees, whichever acts."""
        score, share = float(inference.sample.score[row]), float(inference.sample.share[row])
        return Acting({0.0: REACTIVE, 1.0: PREDICTIVE}.get(share, BOTH), score, score > THRESHOLD)

    @torch.inference_mode()
    def _imagined(self, row: int, inference: HarmoWAMInference, seed: int, watch: Watch) -> ImaginedFrames:
        """Every fourth frame of the video of one row."""
        del seed
        with watch("decode"):
            frames = pixels(self._vae.decoded(inference.sample.video[row, None].clone()))
        return ImaginedFrames(frames[0, ::FRAME_INTERVAL], FRAME_INTERVAL)

    def _state(self, observation: Observation) -> NDArray[np.float32]:
        return self._state_quantiles.normalise(observation.state)

    def _commands(self, actions: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._robot.commands(self._action_quantiles.denormalise(np.clip(actions, -1, 1)))


def parameters_by_component(
    model: HarmoWAM, vae: VideoVAE, tower: ImageTower, frame_encoder: FrameEncoder
) -> Mapping[str, int]:
    """Number of parameters of each component that stays in memory."""
    return {
        "world model": parameter_count(model.world),
        "predictive expert": parameter_count(model.predictive),
        "reactive expert": parameter_count(model.reactive),
        "gate": parameter_count(model.gate),
        "image encoder and decoder": parameter_count(vae.model),
        "image tower": parameter_count(tower.model),
        "frame encoder": parameter_count(frame_encoder.model),
    }


def stage_flops(
    model: HarmoWAM,
    vae: VideoVAE,
    tower: ImageTower,
    frame_encoder: FrameEncoder,
    image_size: tuple[int, int],
    cameras: int,
    mode: GateMode,
    steps: int,
    action_steps: int,
) -> dict[str, int]:
    """Floating-point operations for one chunk by stage; see :class:`wam_eval.models.stages.FlopCounter`.

    Args:
        model, vae, tower, frame_encoder: their weights may be on the meta device.
        image_size: height and width of the video in pixels.
        cameras: number of pictures for SigLIP.
        mode: combination of the experts, which decides which of them run.
        steps: denoising steps of the world model.
        action_steps: denoising steps of the predictive expert.
    """
    counter = FlopCounter()
    device, dtype = model.device, model.dtype
    with shapes_only():
        with counter("vae"):
            first = vae.encode(torch.empty(1, 3, *image_size, dtype=dtype, device=device))
        with counter("images"):
            visual = tower.encode(torch.empty(1, cameras, tower.side, tower.side, 3, dtype=torch.uint8, device=device))
        text = torch.empty(1, LENGTH, model.config.predictive.text_dim, dtype=dtype, device=device)
        state = None if model.config.state_dim is None else torch.empty(1, model.config.state_dim, device=device)
        sampler = Sampler(model, vae, frame_encoder, mode, steps, action_steps)
        sampler.sample(Inputs(first, text, visual, state), [0], counter)
    return counter.flops
