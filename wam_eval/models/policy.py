"""The part that the policies of all World Action Models share: settings, batches, pictures, normalisation, timing.

A model family adds its network, its checkpoints and its encoders; see :class:`ModelPolicy`.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.metadata import version
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, field_validator, model_validator
from torch import Tensor

from wam_eval.models.batches import Batches, BatchSettings, choose_batches, rows_alike
from wam_eval.models.preprocessing import Normaliser, Robot
from wam_eval.models.prompt_cache import PromptCache
from wam_eval.models.stages import Stopwatch, Watch, unwatched
from wam_eval.models.weights import DTYPES, find_device
from wam_eval.observation import Acting, ActionChunk, ImaginedFrames, Observation, Rollback
from wam_eval.policy import Acceleration, NotSupported, Policy, PolicySpec

PER_EPISODE = "episode"
"""Value of ``seed`` for different noise in each episode."""
IDENTITY = ("checkpoint_step", "statistics_sha256", "training_sha256", "text_encoder", "image_encoder")
"""Facts that identify a policy; others depend on the machine."""


class ModelSettings(BatchSettings):
    """Settings of every World Action Model, and those of :class:`wam_eval.models.batches.BatchSettings`.

    Attributes:
        checkpoint: file of the weights. The statistics of the training data are found beside it.
        robot: cameras, state, actions and their normalisation.
        random_weights: True to use random weights, without checkpoint and downloads, for tests and speed measurements.
        execute: actions of a chunk that are executed before the policy is asked again.
        steps: denoising steps.
        shift: shift of the schedule.
        seed: seed of the noise, which is the same for every chunk as in the papers' evaluations; or ``episode`` for
            different noise in each episode.
        dtype: ``bfloat16``, with which the published results were obtained, or ``float32``.
        device: ``cuda`` or ``cpu``; Ray selects the GPU.
        accelerate: what is compiled and replayed; see :data:`wam_eval.policy.Acceleration`.
    """

    model_config = ConfigDict(strict=True)

    checkpoint: str | None = None
    robot: str
    random_weights: bool = False
    execute: int = Field(ge=1)
    steps: int = Field(default=10, ge=1)
    shift: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    seed: int | str = 42
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    device: str = "cuda"
    accelerate: Acceleration = "none"

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
    def _check_weights(self) -> ModelSettings:
        if self.random_weights and self.checkpoint is not None:
            raise ValueError("a checkpoint and `random_weights: true` exclude each other; leave one of them out")
        return self


@dataclass(frozen=True)
class Inference:
    """Result of one call of a model. Families add what they need to imagine frames.

    Attributes:
        actions: float32 (B, horizon, action_dim) on the CPU, normalised.
    """

    actions: Tensor

    def tensors(self) -> list[Tensor]:
        """All results, to compare rows of a batch."""
        return [self.actions]


class ModelPolicy(Policy):
    """A World Action Model on one device.

    The constructor of a family checks everything that can be checked quickly, calls that of this class, and sets
    ``_normaliser``, ``_prompts`` and ``_text_dim``, the width of their embeddings; it changes what differs in ``spec``.
    :meth:`prepare` loads the weights.

    Args:
        settings: the settings.
        robot: the robot that the model controls.
        tiny: True for a model of a few thousand parameters, for which one thread is faster than several.

    Raises:
        UserError: PyTorch does not find the device.
    """

    prompt: ClassVar[str]
    """Text in which the model receives an instruction ``{task}``."""

    _normaliser: Normaliser
    _prompts: PromptCache
    _text_dim: int

    def __init__(self, settings: ModelSettings, robot: Robot, tiny: bool) -> None:
        self._settings = settings
        self._robot = robot
        self._device, self._dtype = find_device(settings.device), DTYPES[settings.dtype]
        self._facts: dict[str, Any] = {"dtype": settings.dtype}
        self._facts |= {name: version(name) for name in ("torch", "diffusers", "transformers")}
        if self._device.type == "cuda" and self._dtype is torch.float32:
            torch.backends.cudnn.allow_tf32 = False  # Otherwise convolutions would keep only 10 bits of the mantissa.
        if tiny:
            torch.set_num_threads(1)
        self._embedded = lru_cache(maxsize=256)(self._embedded_on_device)
        self.spec = PolicySpec(
            cameras=robot.cameras,
            action_dim=robot.action_dim,
            execute=settings.execute,
            imagines=True,
            largest_batch=settings.rows_on(self._device),
        )

    # ------------------------------------------------------------------ implemented by a family

    @abstractmethod
    def _load(self) -> None:
        """Load the weights of all networks but the text encoder."""

    @abstractmethod
    def _infer(
        self, images: Sequence[Tensor], texts: Sequence[Tensor], states: Tensor, seeds: Sequence[int], watch: Watch
    ) -> Inference:
        """Answer a batch.

        Args:
            images: of :meth:`_preprocess`.
            texts: embedding of each prompt (n, text_dim), without padding, in the model's dtype.
            states: float32 (B, state_dim), normalised.
            seeds: seed of each row's noise.
            watch: receives the stages.
        """

    @abstractmethod
    def _imagined(self, row: int, inference: Any, seed: int, watch: Watch) -> ImaginedFrames:
        """Frames that the model imagines for one row of an :class:`Inference` of its own, computed alone."""

    def _attention(self, row: int, inference: Any, seed: int) -> NDArray[np.float32]:
        """Attention (h, w) of the actions to the view, for one row of an :class:`Inference`, computed alone.

        Families whose specification says that they show it implement it.
        """
        raise NotSupported(f"{type(self).__name__} does not show its attention")

    def _acting(self, row: int, inference: Any) -> Acting | None:
        """The expert that gave one row of an :class:`Inference`; ``None`` for a family without experts."""
        del row, inference
        return None

    # ------------------------------------------------------------------ shared

    @cached_property
    def _batches(self) -> Batches:
        return choose_batches(self._settings, self._device, self._settings.accelerate != "none", self._rows_alike)

    def prepare(self, instructions: Sequence[str]) -> None:
        """Compute the embeddings of the run's prompts, then load the model.

        In this order the text encoder and the model are never on the device at the same time.

        Raises:
            UserError: a weight is not finite, a file of the encoders is damaged, or the rows of a fixed batch are not
                computed alike on this device.
        """
        with self._settings.threads_on(self._device):
            self._prompts.prepare([self.prompt.format(task=instruction) for instruction in instructions])
            self._load()
        _ = self._batches

    def identity(self) -> Mapping[str, Any]:
        """Training step of the checkpoint, and digests of the files beside it and of the encoders."""
        return {name: self._facts[name] for name in IDENTITY if name in self._facts}

    def facts(self) -> Mapping[str, Any]:
        """Device, dtype, versions, digests of statistics and encoders, and the rows of a fixed batch."""
        name = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "CPU"
        rows = self._batches.rows
        return {**self._facts, "device": name, **({"rows": rows} if rows else {})}

    def act(self, observations: Sequence[Observation]) -> list[ActionChunk | Rollback]:
        """One chunk for each observation, computed in batches as the settings say."""
        watch = Stopwatch(self._device)
        groups = self._batches.groups(observations)
        with self._settings.threads_on(self._device):
            answers = [answer for group in groups for answer in self._answer(group, watch)]
        measured = {f"ms_{stage}": spent for stage, spent in watch.milliseconds.items()}
        measured["batch"] = float(len(observations))
        return [replace(answer, measured=measured) for answer in answers]

    def view(self, observation: Observation) -> NDArray[np.uint8]:
        """The picture composed of the cameras, which the model receives."""
        return self._robot.compose(observation.images)

    def example(self, index: int) -> Observation:
        """An observation with random images and a random state."""
        stream = np.random.default_rng(index)
        images = {camera: stream.integers(0, 256, (240, 320, 3), np.uint8) for camera in self.spec.cameras}
        state = stream.normal(size=self._robot.state_dim).astype(np.float32)
        return Observation(f"example/{index:03d}", 0, images, state, f"put example {index} on the table")

    def _answer(self, observations: Sequence[Observation], watch: Stopwatch) -> list[ActionChunk]:
        """Commands, imagined frames and attention for the observations of one call of the model."""
        filled = self._batches.filled
        with watch("total"):
            with watch("preprocess"):
                images = self._preprocess(filled(observations))
                # Copied, because kernels may add in another order if memory is aligned as numpy aligns it.
                states = torch.tensor(np.stack(filled([self._state(one) for one in observations])), device=self._device)
            with watch("text"):
                texts = filled([self._embedded(one.instruction) for one in observations])
            seeds = filled([self._noise_seed(one.key) for one in observations])
            inference = self._infer(images, texts, states, seeds, watch)
            with watch("postprocess"):
                actions = self._commands(inference.actions.numpy())
        return [
            ActionChunk(
                actions[row, : self.spec.execute],
                imagined=self._imagined(row, inference, seeds[row], watch) if one.imagine else None,
                attention=self._attention(row, inference, seeds[row]) if one.attention else None,
                value=self._value(row, inference),
                acting=self._acting(row, inference),
            )
            for row, one in enumerate(observations)
        ]

    def _rows_alike(self, rows: int) -> bool:
        generator = torch.Generator().manual_seed(0)

        def random(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator).to(self._device)

        def infer(inputs: Sequence[Tensor]) -> list[Tensor]:
            *images, texts, states = inputs
            return self._infer(images, list(texts), states, [0] * rows, unwatched).tensors()

        examples = [self.example(index) for index in range(rows)]
        images, states = self._preprocess(examples), torch.tensor(np.stack([self._state(one) for one in examples]))
        texts = random(rows, 16, self._text_dim).to(self._dtype)
        with self._settings.threads_on(self._device):
            return rows_alike(infer, [*images, texts, states.to(self._device)])

    def _preprocess(self, observations: Sequence[Observation]) -> list[Tensor]:
        """Images as the model receives them; the first dimension of each tensor is the batch.

        By default these are the views, (B, 3, H, W) in -1..1, scaled in the model's dtype as in the official
        implementations. Families add further images.
        """
        views = np.stack([self.view(one) for one in observations])
        images = torch.from_numpy(views).permute(0, 3, 1, 2).to(self._device, self._dtype)
        return [images * (2.0 / 255.0) - 1.0]

    def _commands(self, actions: NDArray[np.float32]) -> NDArray[np.float32]:
        """Commands of the benchmark (B, horizon, d) for normalised actions of the model."""
        return self._robot.commands(self._normaliser.denormalise_action(actions))

    def _value(self, row: int, inference: Any) -> float | None:
        """Predicted value of one row of an :class:`Inference`; ``None`` for a family that predicts none."""
        del row, inference
        return None

    def _state(self, observation: Observation) -> NDArray[np.float32]:
        return self._normaliser.normalise_state(self._robot.with_placeholders(observation.state))

    def _embedded_on_device(self, instruction: str) -> Tensor:
        return self._prompts.tokens(self.prompt.format(task=instruction)).to(self._device, self._dtype)

    def _noise_seed(self, key: str) -> int:
        if isinstance(self._settings.seed, int):
            return self._settings.seed
        return int.from_bytes(hashlib.sha256(f"{key}\0noise".encode()).digest()[:4], "little")


def padded(texts: Sequence[Tensor], length: int) -> tuple[Tensor, list[int]]:
    """Embeddings of prompts as one tensor.

    Args:
        texts: embeddings (n, text_dim), n at most ``length``.
        length: tokens of the result.

    Returns:
        (B, length, text_dim), zero after each prompt, and the tokens of each prompt.
    """
    rows = [torch.nn.functional.pad(text, (0, 0, 0, length - len(text))) for text in texts]
    return torch.stack(rows), [len(text) for text in texts]
