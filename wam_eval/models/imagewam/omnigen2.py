"""ImageWAM on OmniGen2: the network, and its order of tokens: text and state, observed image, generated image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from wam_eval.models.imagewam.backbone import Backbone, Inputs, Prefix
from wam_eval.models.nn.transformer import KeyValue, Stream, continued, grid_rotation
from wam_eval.models.omnigen2.transformer import (
    ActionTransformer,
    Condition,
    ImageTransformer,
    OmniGen2Sizes,
    rotation_at,
    typed,
)


@dataclass(frozen=True)
class OmniGen2Config:
    """Sizes of a model.

    Attributes:
        state_dim, action_dim: numbers of the robot's state and of an action.
        image, action: sizes of the image transformer and of the action expert.
    """

    state_dim: int
    action_dim: int
    image: OmniGen2Sizes
    action: OmniGen2Sizes

    @classmethod
    def of_size(cls, size: Literal["full", "tiny"], state_dim: int, action_dim: int) -> OmniGen2Config:
        """ImageWAM on OmniGen2, or a tiny model."""
        image = OmniGen2Sizes()
        if size == "tiny":
            image = OmniGen2Sizes(
                dim=48, layers=2, refiners=1, heads=4, groups=2, head_dim=12, text_dim=32, axes=(4, 4, 4)
            )
        action = replace(image, dim=1024 if size == "full" else 32, refiners=0, time_scale=1.0)
        return cls(state_dim, action_dim, image, action)


class ImageExpert(nn.Module):
    """The image transformer, under the name that it has in the official checkpoint."""

    def __init__(self, sizes: OmniGen2Sizes) -> None:
        super().__init__()
        self.transformer = ImageTransformer(sizes)


class OmniGen2Backbone(Backbone):
    """The network.

    The state dict has the keys of the official checkpoint (``mixtures.video.transformer.…``, ``mixtures.action.…`` and
    ``proprio_encoder.…``) without the second names that this gives to the layers of the image transformer.

    Args:
        config: sizes of the model.
    """

    def __init__(self, config: OmniGen2Config) -> None:
        super().__init__()
        self.config = config
        self.mixtures = nn.ModuleDict(
            {"video": ImageExpert(config.image), "action": ActionTransformer(config.action, config.action_dim)}
        )
        self.proprio_encoder = nn.Linear(config.state_dim, config.image.text_dim)

    @property
    def image(self) -> ImageTransformer:
        """The image transformer."""
        expert = self.mixtures["video"]
        assert isinstance(expert, ImageExpert)
        return expert.transformer

    @property
    def action(self) -> ActionTransformer:
        """The action expert."""
        expert = self.mixtures["action"]
        assert isinstance(expert, ActionTransformer)
        return expert

    @property
    def action_dim(self) -> int:
        """Numbers of an action."""
        return self.config.action_dim

    def prefill(self, inputs: Inputs) -> Prefix:
        """Run text, state and observed image once, at time 0."""
        time = self.image.time_caption_embed.timestep_embedder(inputs.reference.new_zeros(1))
        x, mask, positions = self._prefix(inputs, time)
        square = mask.expand(-1, -1, mask.shape[-1], -1)
        condition = Condition(time, rotation_at(positions, self.config.image.axes))
        *layers, last = typed(self.image.layers)
        cache: list[KeyValue] = []
        for block in layers:
            (x,), own = self.run((block,), (x,), (condition,), None, square)
            cache.append(own)
        cache.append(last.project(x, condition).own)  # The output of the last layer is not needed.
        return Prefix(cache, mask, slice(mask.shape[-1] - inputs.reference.shape[1], mask.shape[-1]))

    def action_time(self, timestep: Tensor) -> Tensor:
        """The embedded time."""
        embedded: Tensor = self.action.timestep_embedder(timestep)
        return embedded

    def action_velocity(self, actions: Tensor, time: Tensor, prefix: Prefix) -> Tensor:
        """Run the action expert on noisy actions (B, horizon, action_dim)."""
        expert, horizon = self.action, actions.shape[1]
        rotation = grid_rotation((self.config.action.head_dim,), (horizon,)).to(actions.device)
        conditions = [Condition(time, rotation)] * len(expert.blocks)
        mask = pad(prefix.mask, (0, horizon), value=True).expand(-1, -1, horizon, -1)
        stream = Stream(expert.action_encoder(actions), conditions)
        x = continued(typed(expert.blocks), stream, prefix.cache, self.run, mask)
        velocity: Tensor = expert.head(x, time)
        return velocity

    def noise_shape(self, inputs: Inputs) -> tuple[int, ...]:
        """Noise of a generated image is drawn in the shape of its latents: (channels, rows, columns)."""
        height, width = inputs.grid
        return self.config.image.channels // 4, 2 * height, 2 * width

    def tokens(self, latents: Tensor) -> Tensor:
        """Each token has the latents of 2 x 2 places."""
        return tokens_of(latents)

    def image_velocity(self, target: Tensor, timestep: Tensor, inputs: Inputs) -> Tensor:
        """Run the image transformer on all tokens, the generated image last. The prefix has the image's time here."""
        time = self.image.time_caption_embed.timestep_embedder(timestep)
        prefix, mask, positions = self._prefix(inputs, time)
        height, width = inputs.grid
        start = (inputs.lengths + 1 + max(height, width)).view(-1, 1)
        own = _image_positions(start, height, width)
        refined = self._refined(
            self.image.noise_refiner,
            self.image.x_embedder(target),
            Condition(time, rotation_at(own, self.config.image.axes)),
            mask.new_ones(1, 1, 1, target.shape[1]),
        )
        x = torch.cat([prefix, refined], dim=1)
        count = target.shape[1]
        square = pad(mask, (0, count), value=True).repeat(1, 1, x.shape[1], 1)
        square[:, :, :-count, -count:] = False
        rotation = rotation_at(torch.cat([positions, own], dim=1), self.config.image.axes)
        for block in typed(self.image.layers):
            (x,), _ = self.run((block,), (x,), (Condition(time, rotation),), None, square)
        velocity: Tensor = self.image.norm_out(x[:, -count:], time)
        return velocity

    def _prefix(self, inputs: Inputs, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Refined tokens of text, state and observed image, which of them are valid, and their positions (B, P, 3)."""
        image, (height, width) = self.image, inputs.grid
        text = inputs.text
        if len(text) == 1:  # A single text needs no padding, and the official code has none.
            text = text[:, : int(inputs.lengths[0])]
        rows = torch.arange(len(inputs.lengths), device=text.device)
        context = pad(text, (0, 0, 0, 1)).index_put((rows, inputs.lengths), self.proprio_encoder(inputs.states))
        count = context.shape[1]
        valid = (torch.arange(count, device=text.device) <= inputs.lengths[:, None])[:, None, None]
        places = torch.arange(count, device=text.device).view(1, -1, 1).expand(len(text), -1, 3)
        words = self._refined(
            image.context_refiner,
            image.time_caption_embed.caption_embedder(context),
            Condition(None, rotation_at(places, self.config.image.axes)),
            valid,
        )
        positions = _image_positions((inputs.lengths + 1).view(-1, 1), height, width)
        seen = self._refined(
            image.ref_image_refiner,
            image.ref_image_patch_embedder(inputs.reference) + image.image_index_embedding[0],
            Condition(time, rotation_at(positions, self.config.image.axes)),
            valid.new_ones(1, 1, 1, height * width),
        )
        mask = pad(valid, (0, height * width), value=True)
        return torch.cat([words, seen], dim=1), mask, torch.cat([places, positions], dim=1)

    def _refined(self, blocks: nn.ModuleList, x: Tensor, condition: Condition, mask: Tensor) -> Tensor:
        for block in typed(blocks):
            (x,), _ = self.run((block,), (x,), (condition,), None, mask)
        return x


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
