"""The HarmoWAM networks (arXiv 2605.10942). VAE, SigLIP, DINOv2 and text encoder are not part of them.

The names of the parameters are ours, because no checkpoint is public: ``world.…`` as in Wan's own checkpoints,
``predictive.…`` alike, ``reactive.…`` and ``gate.…``.
"""

from __future__ import annotations

import torch
from torch import nn

from wam_eval.models.harmowam.config import HarmoWAMConfig
from wam_eval.models.harmowam.gate import Gate
from wam_eval.models.harmowam.predictive import PredictiveExpert
from wam_eval.models.harmowam.reactive import ReactiveExpert
from wam_eval.models.wan.transformer import WanVideoTransformer


class HarmoWAM(nn.Module):
    """World model, both experts, and the gate.

    Args:
        config: sizes of the model.
    """

    def __init__(self, config: HarmoWAMConfig) -> None:
        super().__init__()
        self.config = config
        self.world = WanVideoTransformer(config.world, config.latent_channels, config.patch)
        self.predictive = PredictiveExpert(config)
        self.reactive = ReactiveExpert(config)
        self.gate = Gate(config)

    @property
    def dtype(self) -> torch.dtype:
        """Number format of weights and activations. Rotary angles and sums in normalisations are more precise."""
        return self.predictive.modulation.dtype

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.predictive.modulation.device
