"""The MV-WAM network (arXiv 2606.21088, section 3.1): a video expert, and an expert for state, actions and value.

The paper gives widths and depths; the public training code with the paper's numbers settles the rest, such as the
layers of encoders and decoders. All sizes of the action-value expert follow from both: it has 436,473,344 parameters,
and 437,966,848 with the value branch, which are the 436.5 and 438.0 million of that code. The names of the parameters
are ours, because no checkpoint is public: ``video.…`` as in Wan's own checkpoints, ``action.…`` alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from wam_eval.models.nn.transformer import KeyValue
from wam_eval.models.wan.transformer import WanSizes, WanTransformer, WanVideoTransformer

Size = Literal["full", "tiny"]
ValueReading = Literal["mean", "first"]
"""The place of the value, which is one number, among the channels of its token:

- ``mean``: it is repeated in all channels that an action uses, and read as their mean.
- ``first``: it is in the first channel alone.

The paper does not say; the public code gives the value's token the mask of the actions, hence ``mean``.
"""

MASK_CHANNELS = 4
"""Channels of the video's input that tell given frames (1) from others (0): one for each frame in a latent frame."""


@dataclass(frozen=True)
class MVWAMConfig:
    """Sizes and options of a model; the defaults are the paper's.

    Attributes:
        video: sizes of the video expert; by default those of Wan2.1-1.3B and WoW-1.3B.
        action: sizes of the action-value expert. Layers, heads and ``head_dim`` equal those of the video expert,
            because the action-value expert attends to it.
        visual_dim: width of the SigLIP2 tokens.
        channels: numbers of a state and of an action in the layout of RDT (:mod:`wam_eval.models.mvwam.layout`).
        horizon: actions of a chunk.
        frames: latent frames of the video, of which the first is given. They decode to ``4 (frames - 1) + 1`` frames,
            one for each action and one for the present.
        latent_channels: channels of the VAE's latents.
        patch: latents along each side that form a token.
        value: True for a model with the value branch.
        value_reading: place of the value in the channels of its token.
        frame_causal: True if video tokens and actions attend to earlier frames only; an option of the public code that
            its configurations do not use.
    """

    video: WanSizes = field(default_factory=lambda: WanSizes(dim=1536, ffn_dim=8960, heads=12))
    action: WanSizes = field(default_factory=lambda: WanSizes(dim=768, ffn_dim=3072, heads=12, cross_norm=False))
    visual_dim: int = 1152
    channels: int = 128
    horizon: int = 32
    frames: int = 9
    latent_channels: int = 16
    patch: int = 2
    value: bool = True
    value_reading: ValueReading = "mean"
    frame_causal: bool = False

    @classmethod
    def of_size(cls, size: Size, value: bool = True) -> MVWAMConfig:
        """The model of the paper, or a tiny one of the same architecture, with or without the value branch."""
        if size == "full":
            return cls(value=value)
        video = WanSizes(dim=96, ffn_dim=128, layers=2, heads=4, head_dim=24, text_dim=32, time_dim=32)
        action = replace(video, dim=64, ffn_dim=96, cross_norm=False)
        return cls(video, action, visual_dim=48, value=value)

    @property
    def samples(self) -> int:
        """Tokens of the action-value expert that are denoised: the actions, and the value after them."""
        return self.horizon + self.value


class ActionValueExpert(WanTransformer):
    """The transformer over the tokens of the state, of the actions, and of the value, in this order.

    Its layers are those of Wan without a normalisation before the cross-attention, which is to the language in layers
    0, 2, 4, … and to the tokens of SigLIP2 in layers 1, 3, 5, … The decoders' last layers are zero before training.

    Args:
        config: sizes of the model.
    """

    def __init__(self, config: MVWAMConfig) -> None:
        super().__init__(config.action)
        dim, channels = config.action.dim, config.channels
        self._horizon = config.horizon
        self.visual_projector = nn.Sequential(nn.Linear(config.visual_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.action_encoder = _encoder(channels, dim)
        self.action_decoder = _decoder(channels, dim)
        self.value_encoder = _encoder(channels, dim) if config.value else None
        self.value_decoder = _decoder(channels, dim) if config.value else None
        self.norm = nn.LayerNorm(dim, eps=config.action.eps, elementwise_affine=False)
        self.modulation = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)

    def contexts(self, text: Tensor, visual: Tensor, positions: Tensor) -> list[KeyValue]:
        """Keys and values for the cross-attention of each layer. They do not depend on the denoising step.

        Args:
            text: (B, L, text_dim), zero where the prompt is padded. The padding is not masked, as in training.
            visual: tokens of SigLIP2 (B, cameras, N, visual_dim).
            positions: of :func:`camera_positions`.
        """
        words = self.text_embedding(text)
        seen = (self.visual_projector(visual) + positions).flatten(1, 2)
        return [layer.cross_attn.keys_values(seen if index % 2 else words) for index, layer in enumerate(self.layers)]

    def tokens(self, state: Tensor, samples: Tensor) -> Tensor:
        """Tokens of state, actions and value.

        Args:
            state: (B, 1, 2 channels); each token has its numbers first and then its mask, 1 for numbers that are used.
            samples: actions, and the value after them, likewise (B, T, 2 channels).

        Returns:
            (B, 1 + T, dim).
        """
        acting = self.action_encoder(torch.cat([state, samples[:, : self._horizon]], dim=1))
        if self.value_encoder is None:
            return acting
        return torch.cat([acting, self.value_encoder(samples[:, self._horizon :])], dim=1)

    def predictions(self, x: Tensor, time: Tensor) -> Tensor:
        """Predictions for actions and value (B, T, channels).

        Args:
            x: tokens (B, 1 + T, dim) after the last layer. The state's is not decoded.
            time: embedded time (1, 1, dim).
        """
        shift, scale = (self.modulation + time).unsqueeze(2).unbind(1)
        x = self.norm(x) * (1 + scale) + shift
        actions = self.action_decoder(x[:, 1 : self._horizon + 1])
        if self.value_decoder is None:
            return actions
        return torch.cat([actions, self.value_decoder(x[:, self._horizon + 1 :])], dim=1)


class MVWAM(nn.Module):
    """A mixture of two transformers. VAE, SigLIP2 and text encoder are not part of it.

    Args:
        config: sizes of the model.
    """

    def __init__(self, config: MVWAMConfig) -> None:
        super().__init__()
        self.config = config
        channels = 2 * config.latent_channels + MASK_CHANNELS
        self.video = WanVideoTransformer(config.video, channels, config.patch, config.latent_channels)
        self.action = ActionValueExpert(config)

    @property
    def dtype(self) -> torch.dtype:
        """Number format of weights and activations. Rotary angles and sums in normalisations are more precise."""
        return self.action.modulation.dtype

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.action.modulation.device


def video_condition(first: Tensor, frames: int) -> Tensor:
    """The part of the video expert's input that tells it the observed frame, as in Wan's image-to-video models.

    All frames have noise in the other channels, the first one too, and the same time. The public code has zeros for the
    frames after the first, while Wan's own code encodes grey frames.

    Args:
        first: latents of the observed frame (B, C, 1, h, w).
        frames: latent frames of the video.

    Returns:
        (B, 4 + C, frames, h, w): the mask, then the latents.
    """
    given = torch.cat([torch.ones_like(first[:, :MASK_CHANNELS]), first], dim=1)
    return pad(given, (0, 0, 0, 0, 0, frames - 1))


def camera_positions(cameras: int, dim: int) -> Tensor:
    """Fixed embedding of the cameras, float64 (cameras, 1, dim): sines, then cosines.

    All tokens of a camera have the same. The embedding is that of RDT, in which an axis of length 1, here the history
    of images, takes no channels.
    """
    frequencies = 10_000.0 ** -(torch.arange(dim // 2, dtype=torch.float64) / (dim // 2))
    angles = torch.outer(torch.arange(cameras, dtype=torch.float64), frequencies)
    return torch.cat([angles.sin(), angles.cos()], dim=1).unsqueeze(1)


def _encoder(channels: int, dim: int) -> nn.Sequential:
    """An encoder of numbers and their mask."""
    return nn.Sequential(nn.Linear(2 * channels, dim), nn.SiLU(), nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))


def _decoder(channels: int, dim: int) -> nn.Sequential:
    last = nn.Linear(channels, channels)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(dim, channels), nn.SiLU(), last)
