"""The predictive expert of HarmoWAM (arXiv 2605.10942): a diffusion transformer over the actions of a chunk.

It predicts the noise in the actions, and attends to SigLIP tokens of the observation, to the text, and to the features
of the world model for the present frame. Its layers are those of Wan, which is our choice.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wam_eval.models.harmowam.config import HarmoWAMConfig
from wam_eval.models.nn.transformer import KeyValue
from wam_eval.models.wan.transformer import WanTransformer


class PredictiveExpert(WanTransformer):
    """The transformer over the token of the state, if the model has one, and those of the actions, in this order.

    At full size with 7 numbers of an action and without state it has 1,094,853,127 parameters.

    Args:
        config: sizes of the model.
    """

    def __init__(self, config: HarmoWAMConfig) -> None:
        super().__init__(config.predictive)
        dim = config.predictive.dim
        self._conditioning = config.conditioning
        self._horizon = config.horizon
        self.visual_projector = _projector(config.visual_dim, dim)
        self.feature_norm = nn.LayerNorm(config.world.dim, eps=config.predictive.eps, elementwise_affine=False)
        self.feature_projector = _projector(config.world.dim, dim)
        self.action_encoder = nn.Linear(config.action_dim, dim)
        self.state_encoder = None if config.state_dim is None else nn.Linear(config.state_dim, dim)
        self.norm = nn.LayerNorm(dim, eps=config.predictive.eps, elementwise_affine=False)
        self.modulation = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)
        self.head = nn.Linear(dim, config.action_dim)

    def contexts(self, text: Tensor, visual: Tensor, features: Tensor, positions: Tensor) -> list[KeyValue]:
        """Keys and values for the cross-attention of each layer. They do not depend on the denoising step.

        Args:
            text: (B, L, text_dim), zero where the prompt is padded. The padding is not masked, as in Wan.
            visual: tokens of SigLIP (B, cameras, N, visual_dim).
            features: of the world model for the present frame (B, S, world.dim).
            positions: of :func:`wam_eval.models.mvwam.model.camera_positions`.
        """
        words = self.text_embedding(text)
        seen = (self.visual_projector(visual) + positions).flatten(1, 2)
        ahead = self.feature_projector(self.feature_norm(features))
        contexts = [words, seen, ahead]
        if self._conditioning == "joined":
            contexts = [torch.cat(contexts, dim=1)]
        return [
            layer.cross_attn.keys_values(contexts[index % len(contexts)]) for index, layer in enumerate(self.layers)
        ]

    def tokens(self, actions: Tensor, state: Tensor | None) -> Tensor:
        """Tokens (B, T, dim) of actions (B, horizon, action_dim), after that of a state (B, state_dim) if given."""
        acting: Tensor = self.action_encoder(actions)
        if self.state_encoder is None or state is None:
            return acting
        return torch.cat([self.state_encoder(state).unsqueeze(1), acting], dim=1)

    def noise(self, x: Tensor, time: Tensor) -> Tensor:
        """The predicted noise (B, horizon, action_dim).

        Args:
            x: tokens (B, T, dim) after the last layer. The state's is not decoded.
            time: embedded time (1, 1, dim).
        """
        shift, scale = (self.modulation + time).unsqueeze(2).unbind(1)
        predicted: Tensor = self.head(self.norm(x[:, -self._horizon :]) * (1 + scale) + shift)
        return predicted


def _projector(width: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, dim), nn.SiLU(), nn.Linear(dim, dim))
