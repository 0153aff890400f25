"""ImageWAM on FLUX.2 klein: the network, its order of tokens (text and state, observed image, generated image), and
the encoders that it is used with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad

from wam_eval.models.files import content_digest, files_digest
from wam_eval.models.flux2.encoders import ImageVAE, load_text_encoder, load_vae, random_text_encoder, random_vae
from wam_eval.models.flux2.files import FLUX2
from wam_eval.models.flux2.transformer import (
    ActionTransformer,
    Condition,
    Flux2Sizes,
    ImageTransformer,
    action_positions,
    image_positions,
    rotation_at,
    text_positions,
)
from wam_eval.models.imagewam.backbone import Backbone, Inputs, Prefix
from wam_eval.models.imagewam.editing import EditingModel
from wam_eval.models.nn.flow import TRAIN_TIMESTEPS
from wam_eval.models.nn.transformer import KeyValue, Layer, Rotation, Stream, continued, layer
from wam_eval.models.prompt_cache import PromptCache
from wam_eval.places import portable_folder

REFERENCE_TIME, TARGET_TIME = 10.0, 0.0
"""Positions of the observed and of the generated image on the time axis."""


@dataclass(frozen=True)
class Flux2Config:
    """Sizes of a model.

    Attributes:
        state_dim, action_dim: numbers of the robot's state and of an action.
        image, action: sizes of the image transformer and of the action expert.
    """

    state_dim: int
    action_dim: int
    image: Flux2Sizes
    action: Flux2Sizes

    @classmethod
    def of_size(cls, size: Literal["4b", "9b", "tiny"], state_dim: int, action_dim: int) -> Flux2Config:
        """ImageWAM on FLUX.2 klein 4B or 9B, or a tiny model."""
        if size == "4b":
            image, action = Flux2Sizes(), Flux2Sizes(dim=1024, mlp_ratio=4.0)
        elif size == "9b":
            image = Flux2Sizes(dim=4096, heads=32, double=8, single=24, text_dim=12_288)
            action = Flux2Sizes(dim=1024, heads=32, double=8, single=24, mlp_ratio=4.0)
        else:
            shared = Flux2Sizes(heads=2, head_dim=32, double=2, single=2, text_dim=48, axes=(8, 8, 8, 8))
            image, action = _with_width(shared, 64, 3.0), _with_width(shared, 32, 4.0)
        return cls(state_dim, action_dim, image, action)


class _Time(NamedTuple):
    """The embedded time, and the modulations of double and single blocks, of images or actions and of texts."""

    embedded: Tensor
    double: Sequence[Tensor]
    text: Sequence[Tensor]
    single: Sequence[Tensor]


class Flux2Backbone(Backbone[ImageTransformer, ActionTransformer]):
    """The network.

    Args:
        config: sizes of the model.
    """

    def __init__(self, config: Flux2Config) -> None:
        super().__init__(
            ImageTransformer(config.image),
            ActionTransformer(config.action, config.action_dim),
            state_dim=config.state_dim,
            action_dim=config.action_dim,
            text_dim=config.image.text_dim,
        )
        self.config = config
        self._rotation = lru_cache(maxsize=16)(self._new_rotation)

    def prefill(self, inputs: Inputs, run: Layer = layer) -> Prefix:
        """Run text, state and observed image once, at time 0."""
        text, valid = self._text(inputs)
        image = self.image.img_in(inputs.reference)
        count = text.shape[1]
        mask = torch.cat([valid, valid.new_ones(image.shape[:2])], dim=1)[:, None, None]
        time = self._image_time(inputs.reference.new_zeros(1))
        square = mask.expand(-1, -1, mask.shape[-1], -1)
        cache, _ = self._run_image(
            text, image, time, self._image_rotations(count, inputs.grid, False), square, run, cached=True
        )
        return Prefix(cache, mask, slice(count, mask.shape[-1]))

    def action_time(self, timestep: Tensor) -> _Time:
        """Embedded time and modulations of the action expert."""
        expert = self.action
        embedded = expert.time_in(timestep / TRAIN_TIMESTEPS)
        return _Time(
            embedded, expert.double_stream_modulation_img(embedded), (), expert.single_stream_modulation(embedded)
        )

    def action_velocity(self, actions: Tensor, time: _Time, prefix: Prefix, run: Layer = layer) -> Tensor:
        """Run the action expert on noisy actions (B, horizon, action_dim)."""
        expert, horizon = self.action, actions.shape[1]
        rotation = self._rotation("actions", horizon, 1)
        double = [Condition(time.double, rotation)] * len(expert.double_blocks)
        conditions = double + [Condition(time.single, rotation)] * len(expert.single_blocks)
        mask = pad(prefix.mask, (0, horizon), value=True).expand(-1, -1, horizon, -1)
        x = continued(expert.layers, Stream(expert.action_encoder(actions), conditions), prefix.cache, run, mask)
        velocity: Tensor = expert.head(x, time.embedded)
        return velocity

    def image_velocity(self, target: Tensor, timestep: Tensor, inputs: Inputs, run: Layer = layer) -> Tensor:
        """Run the image transformer on all tokens, the generated image last. The prefix has the image's time here."""
        text, valid = self._text(inputs)
        image = self.image.img_in(torch.cat([inputs.reference, target], dim=1))
        count, generated = text.shape[1], target.shape[1]
        mask = torch.cat([valid, valid.new_ones(image.shape[:2])], dim=1)[:, None, None]
        mask = mask.repeat(1, 1, mask.shape[-1], 1)
        mask[:, :, :-generated, -generated:] = False
        time = self._image_time(timestep / TRAIN_TIMESTEPS)
        _, x = self._run_image(
            text, image, time, self._image_rotations(count, inputs.grid, True), mask, run, cached=False
        )
        velocity: Tensor = self.image.final_layer(x[:, -generated:], time.embedded)
        return velocity

    def _text(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Tokens of text and state (B, L + 1, dim), the state after the last word, and which are valid (B, L + 1)."""
        rows = torch.arange(len(inputs.lengths), device=inputs.text.device)
        context = pad(inputs.text, (0, 0, 0, 1)).index_put((rows, inputs.lengths), self.proprio_encoder(inputs.states))
        valid = torch.arange(context.shape[1], device=context.device) <= inputs.lengths[:, None]
        return self.image.txt_in(context), valid

    def _image_time(self, time: Tensor) -> _Time:
        image = self.image
        embedded = image.time_in(time)
        modulations = (
            image.double_stream_modulation_img(embedded),
            image.double_stream_modulation_txt(embedded),
            image.single_stream_modulation(embedded),
        )
        return _Time(embedded, *modulations)

    def _run_image(
        self,
        text: Tensor,
        image: Tensor,
        time: _Time,
        rotations: tuple[Rotation, Rotation],
        mask: Tensor,
        run: Layer,
        *,
        cached: bool,
    ) -> tuple[list[KeyValue], Tensor]:
        """Keys and values of all layers, and all tokens after the last layer, which is left out if ``cached``."""
        cache = []
        conditions = Condition(time.text, rotations[0]), Condition(time.double, rotations[1])
        for blocks in self.image.joint_layers:
            (text, image), own = run(blocks, (text, image), conditions, None, mask)
            cache.append(own)
        x = torch.cat([text, image], dim=1)
        joined = Rotation(*(torch.cat(parts) for parts in zip(*rotations, strict=True)))
        condition = Condition(time.single, joined)
        *_, last = self.image.shared_layers
        for block in self.image.shared_layers:
            if cached and block is last:
                cache.append(block.project(x, condition).own)
            else:
                (x,), own = run((block,), (x,), (condition,), None, mask)
                cache.append(own)
        return cache, x

    def _image_rotations(self, texts: int, grid: tuple[int, int], target: bool) -> tuple[Rotation, Rotation]:
        image = self._rotation("reference", *grid)
        if target:
            image = Rotation(*(torch.cat(parts) for parts in zip(image, self._rotation("target", *grid), strict=True)))
        return self._rotation("text", texts, 1), image

    def _new_rotation(self, kind: str, height: int, width: int) -> Rotation:
        """Rotation of the tokens of one kind. It is kept, because CUDA graphs refer to its memory."""
        positions = {
            "text": lambda: text_positions(height, self.dtype),
            "reference": lambda: image_positions(REFERENCE_TIME, height, width, self.dtype),
            "target": lambda: image_positions(TARGET_TIME, height, width, self.dtype),
            "actions": lambda: action_positions(height, self.dtype),
        }[kind]()
        return rotation_at(positions, self.config.image).to(self.device)


class Flux2Klein4B(EditingModel):
    """FLUX.2 klein 4B, with Qwen3-4B as text encoder. Its autoencoder draws no samples."""

    name = "flux2-4b"
    files = FLUX2["4b"]
    _parameters: ClassVar[Literal["4b", "9b"]] = "4b"

    def network(self, state_dim: int, action_dim: int) -> Flux2Backbone:
        """The network for a robot, on the present default device."""
        return Flux2Backbone(Flux2Config.of_size(self._size, state_dim, action_dim))

    @property
    def prompt_dim(self) -> int:
        """Width of the embedding of a prompt."""
        return Flux2Config.of_size(self._size, 1, 1).image.text_dim

    def prompt_cache(self) -> PromptCache:
        """A cache of prompt embeddings, which loads Qwen3 only if a prompt is new."""
        if self.folder is None:
            open_random = partial(random_text_encoder, self._size, self.context, self.dtype, self.device)
            return PromptCache(open_random, f"random {self._size}", None, self.context)
        open_encoder = partial(load_text_encoder, self.files, self.folder, self.context, self.dtype, self.device)
        weights = files_digest(self.files.weights(self.folder, "text_encoder"))
        files = self.files.tokenizer(self.folder).iterdir()
        tokenizer = sorted(file for file in files if file.suffix in (".json", ".jinja"))
        digest = content_digest(f"{self.dtype} {self.context} {weights}", tokenizer)
        return PromptCache(open_encoder, digest, portable_folder("prompts"), self.context)

    def digest(self) -> str:
        """Digest of the autoencoder's weights."""
        if self.folder is None:
            return f"random {self._size}"
        return files_digest(self.files.weights(self.folder, "vae"))

    def load(self) -> None:
        """Load the autoencoder."""
        _ = self._vae

    def encoders(self) -> Mapping[str, nn.Module]:
        """The autoencoder."""
        return {"image encoder and decoder": self._vae.model}

    def encode(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """Tokens of images; the seeds are not used."""
        del seeds
        return self._vae.encode(images)

    def decode(self, tokens: Tensor, grid: tuple[int, int]) -> NDArray[np.uint8]:
        """Images of tokens."""
        return self._vae.decode(tokens, grid)

    @cached_property
    def _vae(self) -> ImageVAE:
        if self.folder is None:
            return random_vae(self.size, 0, self.dtype, self.device)
        return load_vae(self.files, self.folder, self.dtype, self.device)

    @property
    def _size(self) -> Literal["4b", "9b", "tiny"]:
        return self._parameters if self.size == "full" else "tiny"


class Flux2Klein9B(Flux2Klein4B):
    """FLUX.2 klein 9B, with Qwen3-8B as text encoder."""

    name = "flux2-9b"
    files = FLUX2["9b"]
    _parameters = "9b"


def _with_width(sizes: Flux2Sizes, dim: int, mlp_ratio: float) -> Flux2Sizes:
    return Flux2Sizes(**{**vars(sizes), "dim": dim, "mlp_ratio": mlp_ratio})
