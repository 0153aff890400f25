"""Fast-WAM as a policy: from a batch of observations to action chunks, with the time of each stage.

Source: Fast-WAM (arXiv 2603.16666) and the experiments for LIBERO and RoboTwin 2.0 in its repository.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, field_validator, model_validator
from torch import Tensor
from transformers import UMT5Config, UMT5EncoderModel

from wam_eval.benchmark import Check
from wam_eval.errors import UserError
from wam_eval.models.batches import Batches, BatchSettings, choose_batches, rows_alike
from wam_eval.models.fastwam.checkpoint import PROMPT, ROBOTS, check_training, make_model, needed_gib, open_checkpoint
from wam_eval.models.fastwam.model import FastWAM, FastWAMConfig, Size, Variant
from wam_eval.models.fastwam.sampling import FRAMES, HORIZON, Sample, Sampler
from wam_eval.models.nn.cuda_graphs import GraphedFunction, StagedFunction
from wam_eval.models.preprocessing import Normaliser, find_statistics
from wam_eval.models.stages import (
    FlopCounter,
    Stopwatch,
    Watch,
    flops_of_steps,
    parameter_count,
    shapes_only,
    unwatched,
)
from wam_eval.models.wan.encoders import LENGTH, TEXT_SIZES, VideoVAE, WanEncoders
from wam_eval.models.wan.files import WAN
from wam_eval.models.weights import DTYPES, check_memory, find_device
from wam_eval.observation import ActionChunk, ImaginedFrames, Observation, Rollback
from wam_eval.policy import Costs, Policy, PolicySpec, checkpoint_digest

FRAME_INTERVAL = HORIZON // (FRAMES - 1) // 4
"""Actions from one imagined frame to the next; each latent frame after the first decodes to four frames."""
PER_EPISODE = "episode"
"""Value of ``seed`` for different noise in each episode."""


class FastWAMSettings(BatchSettings):
    """Settings of Fast-WAM, and those of :class:`wam_eval.models.batches.BatchSettings`.

    Attributes:
        checkpoint: the official file (``.pt``), or a safetensors file with its names. The statistics of the training
            data are found beside it.
        robot: cameras, state, actions and their normalisation.
        variant: inference of the actions; see :data:`wam_eval.models.fastwam.model.Variant`.
        size: ``full``, or ``tiny`` for tests.
        random_weights: True to use random weights, without checkpoint and downloads, for tests and speed measurements.
        execute: actions of a chunk that are executed before the policy is asked again.
        steps: denoising steps.
        shift: shift of the schedule.
        seed: seed of the noise, which is the same for every chunk as in the papers' evaluations; or ``episode`` for
            different noise in each episode.
        dtype: ``bfloat16``, with which the published results were obtained, or ``float32``.
        device: ``cuda`` or ``cpu``; Ray selects the GPU.
        wan: folder with Wan2.2's VAE and text encoder; found automatically if ``None``.
        accelerate: compile the layers and replay CUDA graphs.
    """

    model_config = ConfigDict(strict=True)

    checkpoint: str | None = None
    robot: Literal["libero", "robotwin"] = "libero"
    variant: Variant = "first_frame"
    size: Size = "full"
    random_weights: bool = False
    execute: int = Field(default=10, ge=1, le=HORIZON)
    steps: int = Field(default=10, ge=1)
    shift: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    seed: int | str = 42
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    device: str = "cuda"
    wan: str | None = None
    accelerate: bool = False

    @field_validator("seed", mode="before")
    @classmethod
    def _check_seed(cls, seed: Any) -> int | str:
        if seed == PER_EPISODE or (type(seed) is int and 0 <= seed < 2**63):
            return seed
        raise ValueError(
            f"expected an integer from 0 to 2**63 - 1, or {PER_EPISODE!r} for noise that differs by episode"
        )

    @field_validator("device")
    @classmethod
    def _check_device(cls, device: str) -> str:
        if device not in ("cuda", "cpu"):
            raise ValueError("expected 'cuda' or 'cpu'; CUDA_VISIBLE_DEVICES selects the GPU")
        return device

    @model_validator(mode="after")
    def _check_weights(self) -> FastWAMSettings:
        if self.random_weights and self.checkpoint is not None:
            raise ValueError("a checkpoint and `random_weights: true` exclude each other; leave one of them out")
        return self


class FastWAMPolicy(Policy):
    """The complete model on one device.

    The constructor checks everything that can be checked quickly; :meth:`prepare` loads the weights.

    Args:
        settings: the settings.

    Raises:
        UserError: the checkpoint, its statistics, the encoders' files or the device do not fit the settings.
    """

    Settings = FastWAMSettings

    def __init__(self, settings: FastWAMSettings) -> None:
        self._settings = settings
        self._robot = ROBOTS[settings.robot]
        config = FastWAMConfig.of_size(settings.size, self._robot.state_dim, self._robot.action_dim)
        self._device, dtype = find_device(settings.device), DTYPES[settings.dtype]
        self._facts: dict[str, Any] = {"dtype": settings.dtype}
        self._facts |= {name: version(name) for name in ("torch", "diffusers", "transformers")}
        if self._device.type == "cuda" and dtype is torch.float32:
            torch.backends.cudnn.allow_tf32 = False  # Otherwise convolutions would keep only 10 bits of the mantissa.
        if settings.size == "tiny":
            torch.set_num_threads(1)  # With layers this small, more threads are slower.
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
        check_memory(needed_gib(config, dtype), self._device)
        source = settings.size if settings.random_weights else WAN.find(settings.wan)
        encoders = WanEncoders(source, dtype, self._device)
        self._prompts = encoders.prompt_cache()
        self._facts |= {"text_encoder": self._prompts.digest, "image_encoder": encoders.vae_digest()}
        self._text = lru_cache(maxsize=256)(self._text_on_device)
        self._threads = partial(settings.threads_on, self._device)
        self._make_model = partial(make_model, opened, config, dtype, self._device)
        self._make_vae = encoders.vae
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
        return (WAN.check,)

    @cached_property
    def _sampler(self) -> Sampler:
        chosen = self._settings
        return Sampler(self._make_model(), chosen.variant, chosen.steps, chosen.shift, accelerate=chosen.accelerate)

    @cached_property
    def _vae(self) -> VideoVAE:
        return self._make_vae()

    @cached_property
    def _encode(self) -> StagedFunction:
        return GraphedFunction(self._encode_images) if self._settings.accelerate else self._encode_images

    @cached_property
    def _batches(self) -> Batches:
        return choose_batches(self._settings, self._device, self._settings.accelerate, self._rows_alike)

    def prepare(self, instructions: Sequence[str]) -> None:
        """Compute the embeddings of the run's prompts, then load the model.

        In this order the text encoder (11 GB) and the model are never on the device at the same time.

        Raises:
            UserError: a weight is not finite, a file of the encoders is damaged, or the rows of a fixed batch are not
                computed alike on this device.
        """
        with self._threads():
            self._prompts.prepare([PROMPT.format(task=instruction) for instruction in instructions])
        _ = self._sampler, self._vae, self._batches

    def facts(self) -> Mapping[str, Any]:
        """Device, dtype, versions, digests of statistics and encoders, and the rows of a fixed batch."""
        name = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "CPU"
        rows = self._batches.rows
        return {**self._facts, "device": name, **({"rows": rows} if rows else {})}

    def act(self, observations: Sequence[Observation]) -> list[ActionChunk | Rollback]:
        """One chunk for each observation, computed in batches as the settings say."""
        watch = Stopwatch(self._device)
        groups = self._batches.groups(observations)
        with self._threads():
            answers = [answer for group in groups for answer in self._answer(group, watch)]
        measured = {f"ms_{stage}": spent for stage, spent in watch.milliseconds.items()}
        measured["batch"] = float(len(observations))
        return [ActionChunk(actions[: self.spec.execute], measured, imagined) for actions, imagined in answers]

    def _answer(
        self, observations: Sequence[Observation], watch: Stopwatch
    ) -> list[tuple[NDArray[np.float32], ImaginedFrames | None]]:
        """Commands and imagined frames for the observations of one call of the model."""
        filled = self._batches.filled
        with watch("total"):
            with watch("preprocess"):
                images = self._images(filled([self.view(one) for one in observations]))
                # Copied, because kernels may add in another order if memory is aligned as numpy aligns it.
                states = torch.tensor(
                    np.stack(filled([self._normaliser.normalise_state(one.state) for one in observations])),
                    device=self._device,
                )
            with watch("text"):
                text = torch.stack(filled([self._text(one.instruction) for one in observations]))
            seeds = filled([self._noise_seed(one.key) for one in observations])
            latents, context, sample = self._infer((images, text, states), seeds, watch)
            with watch("postprocess"):
                actions = self._robot.commands(self._normaliser.denormalise_action(sample.actions.numpy()))
        imagined = [
            self._imagined(row, latents, context, sample, seeds[row], watch) if one.imagine else None
            for row, one in enumerate(observations)
        ]
        return list(zip(actions[: len(observations)], imagined, strict=True))

    def _infer(self, inputs: Sequence[Tensor], seeds: Sequence[int], watch: Watch) -> tuple[Tensor, Tensor, Sample]:
        """Latents of the observed frames, context, and sample, for images, texts and states."""
        images, text, states = inputs
        with watch("text"), torch.inference_mode():
            context = self._sampler.model.context(text, states)
        (latents,) = self._encode([images], watch)
        return latents, context, self._sampler.sample(latents, context, seeds, watch)

    def _rows_alike(self, rows: int) -> bool:
        generator = torch.Generator().manual_seed(0)
        text_dim = self._sampler.model.config.video.text_dim
        shapes = (3, *self._robot.image_size), (LENGTH, text_dim), (self._robot.state_dim,)
        dtype = self._sampler.model.dtype

        def infer(inputs: Sequence[Tensor]) -> list[Tensor]:
            latents, _, sample = self._infer(inputs, [0] * rows, unwatched)
            return [latents, sample.actions, *([] if sample.video is None else [sample.video])]

        images, text, states = (torch.randn(rows, *shape, generator=generator).to(self._device) for shape in shapes)
        with self._threads():
            return rows_alike(infer, [images.to(dtype), text.to(dtype), states])

    def view(self, observation: Observation) -> NDArray[np.uint8]:
        """The picture composed of the cameras, which the model receives."""
        return self._robot.compose(observation.images)

    def example(self, index: int) -> Observation:
        """An observation with random images and a random state."""
        stream = np.random.default_rng(index)
        images = {camera: stream.integers(0, 256, (240, 320, 3), np.uint8) for camera in self.spec.cameras}
        state = stream.normal(size=self._robot.state_dim).astype(np.float32)
        return Observation(f"example/{index:03d}", 0, images, state, f"put example {index} on the table")

    def costs(self) -> Costs:
        """Parameters by component, and operations for one chunk without those of the text encoder.

        The text encoder is left out because each prompt is encoded only once.
        """
        chosen, model = self._settings, self._sampler.model
        flops = stage_flops(model, self._vae, self._robot.image_size, chosen.variant, chosen.steps)
        return Costs(parameters_by_component(model, self._vae), float(sum(flops.values())))

    def _images(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Pictures (B, 3, H, W) in -1..1, scaled in the model's dtype as in the official implementation."""
        images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(self._device, self._sampler.model.dtype)
        return images * (2.0 / 255.0) - 1.0

    @torch.inference_mode()
    def _encode_images(self, inputs: Sequence[Tensor], watch: Watch) -> list[Tensor]:
        with watch("vae"):
            return [self._vae.encode(inputs[0])]

    def _text_on_device(self, instruction: str) -> Tensor:
        return self._prompts.embedding(PROMPT.format(task=instruction)).to(self._device, self._sampler.model.dtype)

    def _noise_seed(self, key: str) -> int:
        if isinstance(self._settings.seed, int):
            return self._settings.seed
        return int.from_bytes(hashlib.sha256(f"{key}\0noise".encode()).digest()[:4], "little")

    def _imagined(
        self, row: int, latents: Tensor, context: Tensor, sample: Sample, seed: int, watch: Stopwatch
    ) -> ImaginedFrames:
        """The decoded video of one row, computed alone. A variant that needs no video denoises one for it."""
        if sample.video is None:
            video = self._sampler.imagine(latents[row, None].clone(), context[row, None].clone(), [seed], watch)
        else:
            video = sample.video[row, None].clone()
        with watch("decode"):
            return ImaginedFrames(self._vae.decode(video)[0], FRAME_INTERVAL)


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
