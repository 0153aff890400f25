"""The contract of ImageWAM's backbones: the editing model's keys and values, and the actions that attend to them.

An image-editing model runs once over the instruction, the robot's state and the observed image: the prefix. Its keys
and values serve every denoising step of the action expert, a narrower transformer of the same structure. The image that
the editing model would draw, which is the frame at the end of the chunk, is denoised only on request.
Source: ImageWAM (arXiv 2606.19531).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from wam_eval.models.nn.transformer import KeyValue, Layer, layer

Image = TypeVar("Image", bound=nn.Module)
Action = TypeVar("Action", bound=nn.Module)


@dataclass(frozen=True)
class Inputs:
    """A batch of observations as the network receives them.

    Attributes:
        text: embeddings of the instructions (B, L, text_dim), padded at the end.
        lengths: int64 (B,), tokens of each instruction without padding.
        states: (B, state_dim), normalised.
        reference: tokens of the observed images (B, N, channels), row by row.
        grid: rows and columns of these tokens.
        cut: length to which the only text of a batch may be cut, as the official code does where it answers single
            observations. If ``None``, padding is masked instead, so that shapes do not depend on the text.
    """

    text: Tensor
    lengths: Tensor
    states: Tensor
    reference: Tensor
    grid: tuple[int, int]
    cut: int | None = None


@dataclass(frozen=True)
class Prefix:
    """The prefix after one run of the editing model.

    Attributes:
        cache: keys and values (B, P, heads * d), layer by layer.
        mask: bool (B, 1, 1, P), False at padding.
        image: positions in the prefix of the tokens of the observed image.
    """

    cache: Sequence[KeyValue]
    mask: Tensor
    image: slice


class ImageExpert(nn.Module):
    """The image transformer, under the name that it has in the official checkpoint."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer


class Backbone(nn.Module, ABC, Generic[Image, Action]):
    """An image-editing transformer with its action expert and the encoder of the robot's state.

    The state dict has the keys of the official checkpoint (``mixtures.video.transformer.…``, ``mixtures.action.…`` and
    ``proprio_encoder.…``) without the second names that this gives to the layers of the image transformer.

    Args:
        image: the image transformer.
        action: the action expert.
        state_dim, action_dim: numbers of the robot's state and of an action.
        text_dim: width of the embedding of a prompt.

    Attributes:
        action_dim: numbers of an action.
    """

    def __init__(self, image: Image, action: Action, *, state_dim: int, action_dim: int, text_dim: int) -> None:
        super().__init__()
        self.action_dim = action_dim
        self.mixtures = nn.ModuleDict({"video": ImageExpert(image), "action": action})
        self.proprio_encoder = nn.Linear(state_dim, text_dim)

    @property
    def image(self) -> Image:
        """The image transformer."""
        return cast(Image, self.mixtures["video"].transformer)

    @property
    def action(self) -> Action:
        """The action expert."""
        return cast(Action, self.mixtures["action"])

    @property
    def dtype(self) -> torch.dtype:
        """Number format of weights and activations."""
        return self.proprio_encoder.weight.dtype

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.proprio_encoder.weight.device

    @property
    def text_dim(self) -> int:
        """Width of the embedding of a prompt."""
        return self.proprio_encoder.out_features

    @abstractmethod
    def prefill(self, inputs: Inputs, run: Layer = layer) -> Prefix:
        """Run the prefix once; ``run`` computes a layer, here and below."""

    @abstractmethod
    def action_time(self, timestep: Tensor) -> Any:
        """The part of an action step that depends only on its timestep, (1,), 1000 at pure noise."""

    @abstractmethod
    def action_velocity(self, actions: Tensor, time: Any, prefix: Prefix, run: Layer = layer) -> Tensor:
        """Velocity of noisy actions (B, horizon, action_dim), at a time that :meth:`action_time` prepared."""

    def noise_shape(self, inputs: Inputs) -> tuple[int, ...]:
        """Shape in which the noise of a generated image is drawn; that of its tokens by default."""
        return tuple(inputs.reference.shape[1:])

    def tokens(self, latents: Tensor) -> Tensor:
        """Tokens (B, N, channels) of noise that was drawn in :meth:`noise_shape`."""
        return latents

    @abstractmethod
    def image_velocity(self, target: Tensor, timestep: Tensor, inputs: Inputs, run: Layer = layer) -> Tensor:
        """Velocity of the tokens of a noisy image (B, N, channels) at a timestep (1,)."""
