"""ImageWAM on Ovis-U1: the network, its order of tokens (text and state, generated image, observed image), and the
encoders that it is used with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle

from wam_eval.models.autoencoder import SampledAutoencoder
from wam_eval.models.files import content_digest, files_digest
from wam_eval.models.imagewam.backbone import Backbone, Inputs, Prefix
from wam_eval.models.imagewam.editing import EditingModel
from wam_eval.models.nn.flow import TRAIN_TIMESTEPS
from wam_eval.models.nn.transformer import KeyValue, Layer, Rotation, grid_rotation, layer, typed
from wam_eval.models.ovis.encoders import (
    ConditionEncoder,
    ConditionSizes,
    load_condition_encoder,
    load_vae,
    load_words,
    random_condition_encoder,
    random_vae,
    random_words,
)
from wam_eval.models.ovis.files import OVIS_U1
from wam_eval.models.ovis.transformer import (
    JOINT,
    OWN,
    ActionTransformer,
    Condition,
    DoubleBlock,
    ImageTransformer,
    SingleBlock,
    YakSizes,
)
from wam_eval.models.prompt_cache import PromptCache
from wam_eval.models.stages import parameter_count
from wam_eval.places import portable_folder

TARGET_TIME, REFERENCE_TIME, ACTION_TIME = 0, 1, 2
"""Positions of the generated image, of the observed image and of actions on the time axis."""


@dataclass(frozen=True)
class OvisConfig:
    """Sizes of a model.

    Attributes:
        state_dim, action_dim: numbers of the robot's state and of an action.
        sizes: of the image transformer and of the action expert.
    """

    state_dim: int
    action_dim: int
    sizes: YakSizes

    @classmethod
    def of_size(cls, size: Literal["full", "tiny"], state_dim: int, action_dim: int) -> OvisConfig:
        """ImageWAM on Ovis-U1, or a tiny model."""
        sizes = YakSizes()
        if size == "tiny":
            sizes = YakSizes(dim=32, heads=2, double=2, single=2, text_dim=32, axes=(4, 6, 6))
        return cls(state_dim, action_dim, sizes)


@dataclass(frozen=True)
class OvisPrefix(Prefix):
    """The prefix after one run of the editing model.

    Attributes:
        own: keys and values (B, N, dim) of the attention among images, of each double block.
    """

    own: Sequence[KeyValue]


class _Time(NamedTuple):
    """The embedded time, and the modulations of images or actions in each double and in each single block."""

    embedded: Tensor
    double: Sequence[Sequence[Tensor]]
    single: Sequence[Sequence[Tensor]]


class OvisBackbone(Backbone[ImageTransformer, ActionTransformer]):
    """The network.

    Args:
        config: sizes of the model.
    """

    def __init__(self, config: OvisConfig) -> None:
        super().__init__(
            ImageTransformer(config.sizes),
            ActionTransformer(config.sizes, config.action_dim),
            state_dim=config.state_dim,
            action_dim=config.action_dim,
            text_dim=config.sizes.text_dim,
        )
        self.config = config
        self._rotation = lru_cache(maxsize=16)(self._new_rotation)

    def prefill(self, inputs: Inputs, run: Layer = layer) -> OvisPrefix:
        """Run text, state and observed image once, at time 0."""
        text, summary, valid = self._text(inputs)
        image = self.image.img_in(inputs.reference)
        rotation = self._rotation(REFERENCE_TIME, *inputs.grid)
        mask = torch.cat([valid, valid.new_ones(image.shape[:2])], dim=1)[:, None, None]
        square = mask.expand(-1, -1, mask.shape[-1], -1)
        images = mask.new_ones(1, 1, image.shape[1], image.shape[1])
        embedded = self._image_time(inputs.reference.new_zeros(1), summary)
        cache, own, _ = self._run_image(text, image, embedded, rotation, square, images, run, cached=True)
        return OvisPrefix(cache, mask, slice(text.shape[1], mask.shape[-1]), own)

    def action_time(self, timestep: Tensor) -> _Time:
        """Embedded time and modulations of the action expert."""
        expert = self.action
        embedded = expert.time_in.of_time(timestep / TRAIN_TIMESTEPS)
        double = [block.img_mod(embedded) for block in typed(expert.double_blocks, DoubleBlock)]
        single = [block.modulation(embedded) for block in typed(expert.single_blocks, SingleBlock)]
        return _Time(embedded, double, single)

    def action_velocity(self, actions: Tensor, time: _Time, prefix: Prefix, run: Layer = layer) -> Tensor:
        """Run the action expert on noisy actions (B, horizon, action_dim)."""
        assert isinstance(prefix, OvisPrefix)
        expert, horizon = self.action, actions.shape[1]
        rotation = self._rotation(ACTION_TIME, horizon, 1)
        mask = pad(prefix.mask, (0, horizon), value=True).expand(-1, -1, horizon, -1)
        images = mask.new_ones(1, 1, horizon, prefix.own[0].key.shape[1] + horizon)
        x = expert.action_encoder(actions)
        double = typed(expert.double_blocks, DoubleBlock)
        for block, modulation, past, own in zip(double, time.double, prefix.cache, prefix.own, strict=False):
            (added,), _ = run((block.own,), (x,), (Condition(modulation[OWN], rotation),), own, images)
            (x,), _ = run((block.image,), (x,), (Condition(modulation[JOINT], rotation, added),), past, mask)
        single = zip(typed(expert.single_blocks, SingleBlock), time.single, prefix.cache[len(double) :], strict=True)
        for shared, modulation, past in single:
            (x,), _ = run((shared,), (x,), (Condition(modulation, rotation),), past, mask)
        velocity: Tensor = expert.head(x, time.embedded)
        return velocity

    def image_velocity(self, target: Tensor, timestep: Tensor, inputs: Inputs, run: Layer = layer) -> Tensor:
        """Run the image transformer on all tokens, the generated image before the observed one.

        As in the official code, all tokens attend to each other here, and the prefix has the image's time; only padding
        is masked, which the official code does not have here.
        """
        text, summary, valid = self._text(inputs)
        image = self.image.img_in(torch.cat([target, inputs.reference], dim=1))
        rotations = self._rotation(TARGET_TIME, *inputs.grid), self._rotation(REFERENCE_TIME, *inputs.grid)
        rotation = Rotation(*(torch.cat(parts) for parts in zip(*rotations, strict=True)))
        mask = None
        if inputs.cut is None:
            mask = torch.cat([valid, valid.new_ones(image.shape[:2])], dim=1)[:, None, None]
            mask = mask.expand(-1, -1, mask.shape[-1], -1)
        embedded = self._image_time(timestep / TRAIN_TIMESTEPS, summary)
        _, _, x = self._run_image(text, image, embedded, rotation, mask, None, run, cached=False)
        velocity: Tensor = self.image.final_layer(x[:, text.shape[1] :], embedded)
        return velocity[:, : target.shape[1]]

    def _text(self, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
        """Refined tokens of text and state (B, L + 1, dim), their summary (B, dim), which are valid (B, L + 1)."""
        text = inputs.text[:, : inputs.cut]
        rows = torch.arange(len(text), device=text.device)
        context = pad(text, (0, 0, 0, 1)).index_put((rows, inputs.lengths), self.proprio_encoder(inputs.states))
        valid = torch.arange(context.shape[1], device=text.device) <= inputs.lengths[:, None]
        refined, summary = self.image.txt_in(context, valid if inputs.cut is None else None)
        return refined, summary, valid

    def _image_time(self, time: Tensor, summary: Tensor) -> Tensor:
        """The embedded time with the summary of the text, (B, dim)."""
        image = self.image
        embedded: Tensor = image.time_in.of_time(time) + image.vector_in(summary)
        return embedded

    def _run_image(
        self,
        text: Tensor,
        image: Tensor,
        embedded: Tensor,
        rotation: Rotation,
        mask: Tensor | None,
        images: Tensor | None,
        run: Layer,
        *,
        cached: bool,
    ) -> tuple[list[KeyValue], list[KeyValue], Tensor]:
        """Run the image transformer.

        Args:
            text, image: tokens.
            embedded: time.
            rotation: positions of the images' tokens.
            mask, images: masks of the joint attention, and of the attention among images.
            run: computes a layer.
            cached: True to leave out the end of the last layer.

        Returns:
            Keys and values of all layers; of the attentions among images; all tokens after the last layer.
        """
        unmoved = _unrotated(text.shape[1], rotation)
        cache, owns = [], []
        for block in typed(self.image.double_blocks, DoubleBlock):
            modulation = block.img_mod(embedded)
            (added,), own = run((block.own,), (image,), (Condition(modulation[OWN], rotation),), None, images)
            conditions = Condition(block.txt_mod(embedded), unmoved), Condition(modulation[JOINT], rotation, added)
            (text, image), joint = run((block.text, block.image), (text, image), conditions, None, mask)
            cache.append(joint)
            owns.append(own)
        x = torch.cat([text, image], dim=1)
        whole = Rotation(*(torch.cat(parts) for parts in zip(unmoved, rotation, strict=True)))
        *layers, last = typed(self.image.single_blocks, SingleBlock)
        for shared in layers:
            (x,), joint = run((shared,), (x,), (Condition(shared.modulation(embedded), whole),), None, mask)
            cache.append(joint)
        condition = Condition(last.modulation(embedded), whole)
        if cached:
            return [*cache, last.project(x, condition).own], owns, x
        (x,), joint = run((last,), (x,), (condition,), None, mask)
        return [*cache, joint], owns, x

    def _new_rotation(self, time: int, height: int, width: int) -> Rotation:
        """Rotation of the tokens of an image at a time, row by row. It is kept, because CUDA graphs refer to it."""
        rotation = grid_rotation(self.config.sizes.axes, (time + 1, height, width))
        own = Rotation(*(part[-height * width :].float() for part in rotation))
        return own.to(self.device)


class OvisU1(EditingModel):
    """Ovis-U1. Its language model looks at the image and the prompt of every observation, so that it stays in memory.

    Only the embeddings of the prompt's words are cached.
    """

    name = "ovis-u1"
    files = OVIS_U1

    def network(self, state_dim: int, action_dim: int) -> OvisBackbone:
        """The network for a robot, on the present default device."""
        return OvisBackbone(OvisConfig.of_size(self.size, state_dim, action_dim))

    @property
    def prompt_dim(self) -> int:
        """Width of the embeddings of words."""
        return self._sizes.width

    @property
    def resident(self) -> int:
        """Parameters of the encoder of prompt and image."""
        with torch.device("meta"):
            return parameter_count(ConditionEncoder(self._sizes))

    def prompt_cache(self) -> PromptCache:
        """A cache of the embeddings of the prompts' words."""
        if self.folder is None:
            return PromptCache(partial(random_words, self._sizes, self.context), self.digest(), None, self.context)
        files = self.files.tokenizer(self.folder).iterdir()
        tokenizer = sorted(file for file in files if file.suffix in (".json", ".txt"))
        digest = content_digest(f"{self.context} {self.digest()}", tokenizer)
        open_words = partial(load_words, self.folder, self.context)
        return PromptCache(open_words, digest, portable_folder("prompts"), self.context)

    def digest(self) -> str:
        """Digest of the files, which contain all encoders."""
        if self.folder is None:
            return f"random {self.size}"
        return files_digest(self.files.weights(self.folder, "weights"))

    def load(self) -> None:
        """Load the encoder of prompt and image, and the autoencoder."""
        _ = self._encoder, self._vae

    def encoders(self) -> Mapping[str, nn.Module]:
        """The encoder of prompt and image, and the autoencoder."""
        return {"encoder of prompt and image": self._encoder, "image encoder and decoder": self._vae.model}

    def encode(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """Tokens of images; each has the latents of 2 x 2 places."""
        tokens = pixel_unshuffle(self._vae.encode(images, seeds), 2).flatten(2).transpose(1, 2)
        return tokens.contiguous()  # Another layout of memory would be computed by another algorithm.

    def decode(self, tokens: Tensor, grid: tuple[int, int]) -> NDArray[np.uint8]:
        """Images of tokens."""
        return self._vae.decode(pixel_shuffle(tokens.transpose(1, 2).unflatten(2, grid), 2))

    def condition(self, prompts: Sequence[Tensor], images: Tensor, fixed: bool) -> tuple[Tensor, list[int]]:
        """States of the language model after it has seen image and prompt."""
        length = self.context if fixed or len(prompts) > 1 else len(prompts[0])
        encoded: tuple[Tensor, list[int]] = self._encoder(images, prompts, length)
        return encoded

    @cached_property
    def _encoder(self) -> ConditionEncoder:
        if self.folder is None:
            return random_condition_encoder(self._sizes, 0, self.dtype, self.device)
        return load_condition_encoder(self.folder, self._sizes, self.dtype, self.device)

    @cached_property
    def _vae(self) -> SampledAutoencoder:
        if self.folder is None:
            return random_vae(self.size, 0, self.dtype, self.device)
        return load_vae(self.folder, self.size, self.dtype, self.device)

    @property
    def _sizes(self) -> ConditionSizes:
        return ConditionSizes.of_size(self.size)


def _unrotated(count: int, like: Rotation) -> Rotation:
    """The rotation of a text, which turns nothing."""
    shape = count, *like.cos.shape[1:]
    return Rotation(like.cos.new_ones(shape), like.sin.new_zeros(shape))
