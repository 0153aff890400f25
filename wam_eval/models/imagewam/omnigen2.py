"""ImageWAM on OmniGen2: the network, its order of tokens (text and state, observed image, generated image), and the
encoders that it is used with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad

from wam_eval.benchmark import Check
from wam_eval.models.autoencoder import SampledAutoencoder
from wam_eval.models.files import content_digest, files_digest
from wam_eval.models.imagewam.backbone import Backbone, Inputs, Prefix
from wam_eval.models.imagewam.editing import EditingModel
from wam_eval.models.nn.transformer import KeyValue, Layer, Rotation, Stream, continued, grid_rotation, layer, typed
from wam_eval.models.omnigen2.encoders import load_text_encoder, load_vae, random_text_encoder, random_vae
from wam_eval.models.omnigen2.files import OMNIGEN2, QWEN
from wam_eval.models.omnigen2.transformer import (
    ActionTransformer,
    Condition,
    ImageTransformer,
    OmniGen2Block,
    OmniGen2Sizes,
    rotation_at,
)
from wam_eval.models.policy import padded
from wam_eval.models.prompt_cache import PromptCache
from wam_eval.places import portable_folder


@dataclass(frozen=True)
class OmniGen2Config:
    """Sizes of a model.

    Attributes:
        state_dim, action_dim: numbers of the robot's state and of an action.
        image, action: sizes of the image transformer and of the action expert.
        packed: True if the state follows the last word of a text. False for models that were trained while it followed
            the padding: there the image transformer receives the first token of the padding in place of the state,
            which only the words see, in the blocks that refine them.
    """

    state_dim: int
    action_dim: int
    image: OmniGen2Sizes
    action: OmniGen2Sizes
    packed: bool = True

    @classmethod
    def of_size(
        cls, size: Literal["full", "tiny"], state_dim: int, action_dim: int, packed: bool = True
    ) -> OmniGen2Config:
        """ImageWAM on OmniGen2, or a tiny model."""
        image = OmniGen2Sizes()
        if size == "tiny":
            image = OmniGen2Sizes(
                dim=48, layers=2, refiners=1, heads=4, groups=2, head_dim=12, text_dim=32, axes=(4, 4, 4)
            )
        action = replace(image, dim=1024 if size == "full" else 32, refiners=0, time_scale=1.0)
        return cls(state_dim, action_dim, image, action, packed)


class OmniGen2Backbone(Backbone[ImageTransformer, ActionTransformer]):
    """The network.

    Args:
        config: sizes of the model.
    """

    def __init__(self, config: OmniGen2Config) -> None:
        super().__init__(
            ImageTransformer(config.image),
            ActionTransformer(config.action, config.action_dim),
            state_dim=config.state_dim,
            action_dim=config.action_dim,
            text_dim=config.image.text_dim,
        )
        self.config = config
        self._rotation = lru_cache(maxsize=4)(self._new_rotation)

    def prefill(self, inputs: Inputs, run: Layer = layer) -> Prefix:
        """Run text, state and observed image once, at time 0."""
        time = self.image.time_caption_embed.timestep_embedder(inputs.reference.new_zeros(1))
        x, mask, positions = self._prefix(inputs, time, run)
        square = mask.expand(-1, -1, mask.shape[-1], -1)
        condition = Condition(time, rotation_at(positions, self.config.image.axes))
        *layers, last = typed(self.image.layers, OmniGen2Block)
        cache: list[KeyValue] = []
        for block in layers:
            (x,), own = run((block,), (x,), (condition,), None, square)
            cache.append(own)
        cache.append(last.project(x, condition).own)  # The output of the last layer is not needed.
        return Prefix(cache, mask, slice(mask.shape[-1] - inputs.reference.shape[1], mask.shape[-1]))

    def action_time(self, timestep: Tensor) -> Tensor:
        """The embedded time."""
        embedded: Tensor = self.action.timestep_embedder(timestep)
        return embedded

    def action_velocity(self, actions: Tensor, time: Tensor, prefix: Prefix, run: Layer = layer) -> Tensor:
        """Run the action expert on noisy actions (B, horizon, action_dim)."""
        expert, horizon = self.action, actions.shape[1]
        rotation = self._rotation(horizon)
        conditions = [Condition(time, rotation)] * len(expert.blocks)
        mask = pad(prefix.mask, (0, horizon), value=True).expand(-1, -1, horizon, -1)
        stream = Stream(expert.action_encoder(actions), conditions)
        x = continued(typed(expert.blocks, OmniGen2Block), stream, prefix.cache, run, mask)
        velocity: Tensor = expert.head(x, time)
        return velocity

    def noise_shape(self, inputs: Inputs) -> tuple[int, ...]:
        """Noise of a generated image is drawn in the shape of its latents: (channels, rows, columns)."""
        height, width = inputs.grid
        return self.config.image.channels // 4, 2 * height, 2 * width

    def tokens(self, latents: Tensor) -> Tensor:
        """Each token has the latents of 2 x 2 places."""
        return tokens_of(latents)

    def image_velocity(self, target: Tensor, timestep: Tensor, inputs: Inputs, run: Layer = layer) -> Tensor:
        """Run the image transformer on all tokens, the generated image last. The prefix has the image's time here."""
        time = self.image.time_caption_embed.timestep_embedder(timestep)
        prefix, mask, positions = self._prefix(inputs, time, run)
        height, width = inputs.grid
        start = (inputs.lengths + 1 + max(height, width)).view(-1, 1)
        own = _image_positions(start, height, width)
        refined = self._refined(
            self.image.noise_refiner,
            self.image.x_embedder(target),
            Condition(time, rotation_at(own, self.config.image.axes)),
            mask.new_ones(1, 1, 1, target.shape[1]),
            run,
        )
        x = torch.cat([prefix, refined], dim=1)
        count = target.shape[1]
        square = pad(mask, (0, count), value=True).repeat(1, 1, x.shape[1], 1)
        square[:, :, :-count, -count:] = False
        rotation = rotation_at(torch.cat([positions, own], dim=1), self.config.image.axes)
        for block in typed(self.image.layers, OmniGen2Block):
            (x,), _ = run((block,), (x,), (Condition(time, rotation),), None, square)
        velocity: Tensor = self.image.norm_out(x[:, -count:], time)
        return velocity

    def _prefix(self, inputs: Inputs, time: Tensor, run: Layer) -> tuple[Tensor, Tensor, Tensor]:
        """Refined tokens of text, state and observed image, which of them are valid, and their positions (B, P, 3)."""
        image, (height, width) = self.image, inputs.grid
        rows, end = torch.arange(len(inputs.lengths), device=inputs.text.device), inputs.text.shape[1]
        # The official code pads a text before it adds the state; only the refiners run on the padding.
        state_at = inputs.lengths if self.config.packed else torch.full_like(inputs.lengths, end)
        context = pad(inputs.text, (0, 0, 0, 1)).index_put((rows, state_at), self.proprio_encoder(inputs.states))
        index = torch.arange(end + 1, device=rows.device)
        valid = (index <= inputs.lengths[:, None])[:, None, None]
        places = index.view(1, -1, 1).expand(len(rows), -1, 3)
        # A state behind the padding has no position, and the first token of the padding is computed but is no key.
        refined_keys = ((index < inputs.lengths[:, None]) | (index == state_at[:, None]))[:, None, None]
        positioned = valid.view(len(rows), -1, 1, 1)
        rotation = Rotation(*(part * positioned for part in rotation_at(places, self.config.image.axes)))
        words = self._refined(
            image.context_refiner,
            image.time_caption_embed.caption_embedder(context),
            Condition(None, rotation),
            refined_keys,
            run,
        )
        if inputs.cut is not None:  # The official code leaves out the padding here.
            count = inputs.cut + 1
            words, valid, places = words[:, :count], valid[..., :count], places[:, :count]
        positions = _image_positions((inputs.lengths + 1).view(-1, 1), height, width)
        seen = self._refined(
            image.ref_image_refiner,
            image.ref_image_patch_embedder(inputs.reference) + image.image_index_embedding[0],
            Condition(time, rotation_at(positions, self.config.image.axes)),
            valid.new_ones(1, 1, 1, height * width),
            run,
        )
        mask = pad(valid, (0, height * width), value=True)
        return torch.cat([words, seen], dim=1), mask, torch.cat([places, positions], dim=1)

    def _new_rotation(self, horizon: int) -> Rotation:
        """Rotation of the actions. It is kept, because CUDA graphs refer to its memory."""
        return grid_rotation((self.config.action.head_dim,), (horizon,)).to(self.device)

    def _refined(self, blocks: nn.ModuleList, x: Tensor, condition: Condition, mask: Tensor, run: Layer) -> Tensor:
        for block in typed(blocks, OmniGen2Block):
            (x,), _ = run((block,), (x,), (condition,), None, mask)
        return x


class OmniGen2(EditingModel):
    """OmniGen2, with the language model of Qwen2.5-VL 3B as text encoder.

    The prompt cache has one token more than a prompt: the first of the padding, which a model that is not packed
    receives.
    """

    name = "omnigen2"
    files = OMNIGEN2
    _text_folder: Path | None = None

    @classmethod
    def checks(cls) -> Sequence[Callable[[], Check]]:
        """Checks for the autoencoder and the text encoder."""
        return OMNIGEN2.check, QWEN.check

    def find(self, folder: str | None) -> None:
        """Find the files of both; a folder that is named must contain both."""
        super().find(folder)
        self._text_folder = QWEN.find(folder)

    def network(self, state_dim: int, action_dim: int) -> OmniGen2Backbone:
        """The network for a robot, on the present default device."""
        return OmniGen2Backbone(OmniGen2Config.of_size(self.size, state_dim, action_dim, self.packed))

    @property
    def prompt_dim(self) -> int:
        """Width of the embedding of a prompt."""
        return OmniGen2Config.of_size(self.size, 1, 1).image.text_dim

    def prompt_cache(self) -> PromptCache:
        """A cache of prompt embeddings, which loads the language model only if a prompt is new."""
        if self._text_folder is None:
            open_random = partial(random_text_encoder, self.size, self.context, self.dtype, self.device)
            return PromptCache(open_random, f"random {self.size}", None, self.context + 1)
        open_encoder = partial(load_text_encoder, self._text_folder, self.size, self.context, self.dtype, self.device)
        weights = files_digest(QWEN.weights(self._text_folder, "text_encoder"))
        names = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json")
        files = (QWEN.tokenizer(self._text_folder) / name for name in names)
        digest = content_digest(f"{self.dtype} {self.context} {weights}", filter(Path.is_file, files))
        return PromptCache(open_encoder, digest, portable_folder("prompts"), self.context + 1)

    def digest(self) -> str:
        """Digest of the autoencoder's weights."""
        if self.folder is None:
            return f"random {self.size}"
        return files_digest(self.files.weights(self.folder, "vae"))

    def load(self) -> None:
        """Load the autoencoder."""
        _ = self._vae

    def encoders(self) -> Mapping[str, nn.Module]:
        """The autoencoder."""
        return {"image encoder and decoder": self._vae.model}

    def encode(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """Tokens of images; each has the latents of 2 x 2 places."""
        return tokens_of(self._vae.encode(images, seeds))

    def decode(self, tokens: Tensor, grid: tuple[int, int]) -> NDArray[np.uint8]:
        """Images of tokens."""
        return self._vae.decode(latents_of(tokens, grid))

    def condition(self, prompts: Sequence[Tensor], images: Tensor, fixed: bool) -> tuple[Tensor, list[int]]:
        """The prompts; the first token of the padding is not counted."""
        del images, fixed
        text, lengths = padded(prompts, self.context + 1)
        return text[:, : self.context], [length - 1 for length in lengths]

    @cached_property
    def _vae(self) -> SampledAutoencoder:
        if self.folder is None:
            return random_vae(self.size, self.dtype, self.device)
        return load_vae(self.folder, self.size, self.dtype, self.device)


def tokens_of(latents: Tensor) -> Tensor:
    """Tokens (B, h * w, 4 C) of latents (B, C, 2 h, 2 w), row by row; the channels of a place stay together."""
    parts = latents.unflatten(2, (-1, 2)).unflatten(4, (-1, 2))  # (B, C, h, 2, w, 2)
    return parts.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def latents_of(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Latents (B, C, 2 h, 2 w) of tokens (B, h * w, 4 C) on a grid of h x w."""
    height, width = grid
    parts = tokens.unflatten(1, (height, width)).unflatten(3, (2, 2, -1))  # (B, h, w, 2, 2, C)
    return parts.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)


def _image_positions(start: Tensor, height: int, width: int) -> Tensor:
    """Positions (B, height * width, 3) of an image that starts at ``start`` (B, 1) in the sequence."""
    rows = torch.arange(height, device=start.device).repeat_interleave(width)
    columns = torch.arange(width, device=start.device).repeat(height)
    place = start.expand(-1, height * width)
    return torch.stack([place, rows.expand_as(place), columns.expand_as(place)], dim=-1)
