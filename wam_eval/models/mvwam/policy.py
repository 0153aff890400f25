"""MV-WAM as a policy: action chunks with their predicted value, and value-guided rollback.

Source: MV-WAM (arXiv 2606.21088). Where the paper is silent, the settings say what was chosen.
"""

from __future__ import annotations

import hashlib
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
from wam_eval.episode import Episode
from wam_eval.errors import UserError
from wam_eval.models.mvwam.checkpoint import PROMPT, body_of, open_checkpoint, read_quantiles
from wam_eval.models.mvwam.encoders import LENGTH, ImageTower, MVWAMEncoders, SampledVideoVAE, camera_pictures
from wam_eval.models.mvwam.files import SIGLIP2
from wam_eval.models.mvwam.layout import WIDTH, gathered, libero_state, spread
from wam_eval.models.mvwam.model import MVWAM, MVWAMConfig, Size
from wam_eval.models.mvwam.sampling import Inputs, Mode, Sampler, Target
from wam_eval.models.nn.acceleration import Accelerator
from wam_eval.models.policy import Inference, ModelPolicy, ModelSettings, padded
from wam_eval.models.preprocessing import find_statistics
from wam_eval.models.quantiles import Quantiles
from wam_eval.models.stages import FlopCounter, Watch, flops_of_steps, parameter_count, shapes_only
from wam_eval.models.wan.files import WAN21
from wam_eval.models.weights import Checkpoint, check_memory, load_checkpoint
from wam_eval.observation import ActionChunk, ImaginedFrames, Observation, Rollback
from wam_eval.policy import Costs, checkpoint_digest
from wam_eval.value_guide import RollbackSettings, ValueGuide

FRAME_INTERVAL = 4
"""Actions from one imagined frame to the next that is kept; the model gives one for each action."""
WORKING_GIB = 4.0
"""Memory for inference besides weights; computed from shapes, not measured on a GPU."""
ENCODER_PARAMETERS = 127_000_000 + 413_000_000
"""Parameters of Wan2.1's VAE and of SigLIP2's image tower, which stay in memory; rounded up."""


class MVWAMSettings(ModelSettings):
    """Settings of MV-WAM, and those of :class:`wam_eval.models.policy.ModelSettings`.

    Attributes:
        checkpoint: a file in the layout of :mod:`wam_eval.models.mvwam.checkpoint`.
        size: ``full``, or ``tiny`` for tests.
        execute: actions of a chunk of 32 that are executed before the policy is asked again.
        steps: denoising steps, shared by video, actions and value.
        mode: inference; see :data:`wam_eval.models.mvwam.sampling.Mode`.
        action_target, video_target: prediction targets that the model was trained for.
        value: True for a model with the value branch.
        frame_causal: True if video and actions attend to earlier frames only.
        rollback: when to return to the best state so far; without the value branch it is not used.
        wan: folder with Wan2.1's VAE and text encoder; found automatically if ``None``.
        siglip2: folder with SigLIP2; found automatically if ``None``.
    """

    robot: Literal["libero", "robotwin"] = "robotwin"
    size: Size = "full"
    execute: int = Field(default=8, ge=1, le=32)
    steps: int = Field(default=5, ge=1, le=10)
    mode: Mode = "joint"
    action_target: Target = "x0"
    video_target: Target = "velocity"
    value: bool = True
    frame_causal: bool = False
    rollback: RollbackSettings = RollbackSettings()
    wan: str | None = None
    siglip2: str | None = None

    @model_validator(mode="after")
    def _check_rollback(self) -> MVWAMSettings:
        if not self.value and "rollback" in self.model_fields_set:
            raise ValueError("`rollback` needs the value branch: leave it out with `value: false`")
        return self


@dataclass(frozen=True)
class MVWAMInference(Inference):
    """Result of one call of the model; the actions are in RDT's layout.

    Attributes:
        value: predicted values float32 (B,) on the CPU; ``None`` without the value branch.
        video: latents of the video (B, C, T, h, w); ``None`` in the mode ``action_only``.
        inputs: inputs of the network, for a video or a map of the attention that is computed later.
    """

    value: Tensor | None
    video: Tensor | None
    inputs: Inputs

    def tensors(self) -> list[Tensor]:
        """All results, to compare rows of a batch."""
        return [x for x in (self.actions, self.value, self.video) if x is not None]


class MVWAMPolicy(ModelPolicy):
    """The complete model on one device.

    The constructor checks everything that can be checked quickly; :meth:`prepare` loads the weights.

    Args:
        settings: the settings.

    Raises:
        UserError: the checkpoint, its statistics, the encoders' files or the device do not fit the settings.
    """

    Settings = MVWAMSettings
    prompt = PROMPT
    _settings: MVWAMSettings

    def __init__(self, settings: MVWAMSettings) -> None:
        self._body = body_of(settings.robot, settings.size)
        super().__init__(settings, self._body.robot, tiny=settings.size == "tiny")
        config = replace(MVWAMConfig.of_size(settings.size, settings.value), frame_causal=settings.frame_causal)
        with torch.device("meta"):
            self._empty = MVWAM(config)
        self._text_dim = config.action.text_dim
        self._opened: Checkpoint | None = None
        if settings.random_weights:
            self._state_quantiles, self._action_quantiles = map(Quantiles.identity, self._body.lengths)
        elif settings.checkpoint is None:
            raise UserError("MV-WAM needs a checkpoint (CKPT=…), or the setting `random_weights: true`")
        else:
            path = Path(settings.checkpoint)
            self._opened = open_checkpoint(path, self._empty)
            statistics = find_statistics(path)
            self._state_quantiles, self._action_quantiles = read_quantiles(statistics, settings.robot)
            self._facts["statistics_sha256"] = checkpoint_digest(str(statistics))
            self._facts["checkpoint_step"] = self._opened.step
        parameters = parameter_count(self._empty) + (ENCODER_PARAMETERS if settings.size == "full" else 0)
        check_memory(parameters * self._dtype.itemsize / 2**30 + WORKING_GIB, self._device)
        random = settings.random_weights
        wan, siglip2 = None if random else WAN21.find(settings.wan), None if random else SIGLIP2.find(settings.siglip2)
        self._encoders = MVWAMEncoders(wan, siglip2, settings.size, self._dtype, self._device)
        self._prompts = self._encoders.prompt_cache()
        self._facts |= {"text_encoder": self._prompts.digest, "image_encoder": self._encoders.image_digest()}
        self._guide = ValueGuide(settings.rollback)
        self._state_mask, self._action_mask = (
            torch.from_numpy(spread(np.zeros(len(names), np.float32), names)[1]).to(self._device)
            for names in (self._body.layout.state, self._body.layout.action)
        )
        self.spec = replace(self.spec, cameras=self._body.cameras, shows_attention=settings.mode != "action_only")

    @classmethod
    def checks(cls) -> Sequence[Callable[[], Check]]:
        """Checks for the encoders."""
        return WAN21.check, SIGLIP2.check

    def begin(self, episode: Episode) -> None:
        """Begin an episode without rollbacks."""
        self._guide.begin(episode.key)

    def end(self, key: str) -> None:
        """Forget the episode's values."""
        self._guide.end(key)

    def act(self, observations: Sequence[Observation]) -> list[ActionChunk | Rollback]:
        """A chunk for each observation, or a rollback if its predicted value is too low."""
        answers = super().act(observations)
        if not self._settings.value:
            return answers
        return [self._decided(one.key, answer) for one, answer in zip(observations, answers, strict=True)]

    def costs(self) -> Costs:
        """Parameters by component, and operations for one chunk without those that the prompt cache saves."""
        self._load()
        model, vae, tower, chosen = self._sampler.model, self._vae, self._tower, self._settings
        cameras = len(self._body.cameras)
        flops = stage_flops(model, vae, tower, self._robot.image_size, cameras, chosen.mode, chosen.steps)
        return Costs(parameters_by_component(model, vae, tower), float(sum(flops.values())))

    def _decided(self, key: str, answer: ActionChunk | Rollback) -> ActionChunk | Rollback:
        assert isinstance(answer, ActionChunk) and answer.value is not None
        return self._guide.decide(key, answer, answer.value)

    @cached_property
    def _sampler(self) -> Sampler:
        chosen = self._settings
        return Sampler(
            load_checkpoint(self._opened, self._empty, self._dtype, self._device),
            chosen.steps,
            chosen.mode,
            chosen.action_target,
            chosen.video_target,
            chosen.shift,
            Accelerator.of(chosen.accelerate),
        )

    @cached_property
    def _vae(self) -> SampledVideoVAE:
        return self._encoders.vae()

    @cached_property
    def _tower(self) -> ImageTower:
        return self._encoders.tower()

    def _load(self) -> None:
        _ = self._sampler, self._vae, self._tower

    def _preprocess(self, observations: Sequence[Observation]) -> list[Tensor]:
        """The first frame of the video, and the cameras' pictures for SigLIP2, uint8 (B, cameras, side, side, 3)."""
        pictures = camera_pictures(observations, self._body.cameras, self._robot.image_size, self._tower.side)
        return [*super()._preprocess(observations), pictures.to(self._device)]

    @torch.inference_mode()
    def _infer(
        self, images: Sequence[Tensor], texts: Sequence[Tensor], states: Tensor, seeds: Sequence[int], watch: Watch
    ) -> MVWAMInference:
        frames, pictures = images
        rows = len(frames)
        with watch("vae"):
            first_frame = self._vae.encode(frames, self._vae.noise(seeds, *self._robot.image_size))
        with watch("images"):
            visual = self._tower.encode(pictures)
        inputs = Inputs(
            first_frame,
            padded(texts, LENGTH)[0],
            visual,
            states,
            self._state_mask.expand(rows, -1),
            self._action_mask.expand(rows, -1),
        )
        sample = self._sampler.sample(inputs, seeds, watch)
        return MVWAMInference(sample.actions, sample.value, sample.video, inputs)

    @torch.inference_mode()
    def _imagined(self, row: int, inference: MVWAMInference, seed: int, watch: Watch) -> ImaginedFrames:
        """The video of one row. The mode ``action_only`` denoises one for it."""
        if inference.video is None:
            video = self._sampler.imagine(_alone(inference.inputs, row), [seed], watch)
        else:
            video = inference.video[row, None].clone()
        with watch("decode"):
            return self._frames(video)

    def _frames(self, video: Tensor) -> ImaginedFrames:
        """Every fourth decoded frame of the latents of one row."""
        return ImaginedFrames(self._vae.decode(video)[0, ::FRAME_INTERVAL], FRAME_INTERVAL)

    def _attention(self, row: int, inference: MVWAMInference, seed: int) -> NDArray[np.float32]:
        (weights,) = self._sampler.attention(_alone(inference.inputs, row), [seed]).numpy()
        return weights

    def _value(self, row: int, inference: MVWAMInference) -> float | None:
        return None if inference.value is None else float(inference.value[row])

    def _state(self, observation: Observation) -> NDArray[np.float32]:
        """The normalised state in RDT's layout, float32 (128,)."""
        state = libero_state(observation.state) if self._settings.robot == "libero" else observation.state
        return spread(self._state_quantiles.normalise(state), self._body.layout.state)[0]

    def _commands(self, actions: NDArray[np.float32]) -> NDArray[np.float32]:
        own = gathered(np.clip(actions, -1, 1), self._body.layout.action)
        return self._robot.commands(self._action_quantiles.denormalise(own))

    def _noise_seed(self, key: str) -> int:
        """Noise of an episode: the same for each chunk, as in the public code, until a rollback; then other noise."""
        seed, rollbacks = super()._noise_seed(key), self._guide.rollbacks(key)
        if not rollbacks:
            return seed
        return int.from_bytes(hashlib.sha256(f"{seed}\0{key}\0rollback {rollbacks}".encode()).digest()[:4], "little")


def parameters_by_component(model: MVWAM, vae: SampledVideoVAE, tower: ImageTower) -> Mapping[str, int]:
    """Number of parameters of each component that stays in memory."""
    return {
        "video expert": parameter_count(model.video),
        "action-value expert": parameter_count(model.action),
        "image encoder and decoder": parameter_count(vae.model),
        "image tower": parameter_count(tower.model),
    }


def stage_flops(
    model: MVWAM,
    vae: SampledVideoVAE,
    tower: ImageTower,
    image_size: tuple[int, int],
    cameras: int,
    mode: Mode,
    steps: int,
) -> dict[str, int]:
    """Floating-point operations for one chunk by stage; see :class:`wam_eval.models.stages.FlopCounter`.

    Args:
        model, vae, tower: their weights may be on the meta device.
        image_size: height and width of the video in pixels.
        cameras: number of pictures for SigLIP2.
        mode: inference.
        steps: denoising steps.
    """
    encoding = FlopCounter()
    device, dtype = model.device, model.dtype
    with shapes_only():
        with encoding("vae"):
            frame = torch.empty(1, 3, *image_size, dtype=dtype, device=device)
            first = vae.encode(frame, vae.noise([0], *image_size))
        with encoding("images"):
            pictures = torch.empty(1, cameras, tower.side, tower.side, 3, dtype=torch.uint8, device=device)
            visual = tower.encode(pictures)
        text = torch.empty(1, LENGTH, model.config.action.text_dim, dtype=dtype, device=device)
        numbers = torch.empty(1, WIDTH, device=device)
        inputs = Inputs(first, text, visual, numbers, numbers, numbers)

        def run(count: int, watch: Watch) -> None:
            Sampler(model, count, mode).sample(inputs, [0], watch)

        return encoding.flops | flops_of_steps(run, steps)


def _alone(inputs: Inputs, row: int) -> Inputs:
    """The inputs of one row."""
    return Inputs(**{name: tensor[row, None].clone() for name, tensor in vars(inputs).items()})
