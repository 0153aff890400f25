"""Sizes of HarmoWAM (arXiv 2605.10942), and the choices that its paper leaves open.

Neither code nor weights of the authors are public. The description of each field says whether the paper states it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from wam_eval.models.wan.transformer import WanSizes

Size = Literal["full", "tiny"]
Conditioning = Literal["joined", "alternating"]
"""Cross-attention of the predictive expert to SigLIP tokens, text, and features of the world model:

- ``joined``: each layer attends to all of them as one sequence.
- ``alternating``: layers 0, 3, 6, … attend to the text, layers 1, 4, 7, … to SigLIP, layers 2, 5, 8, … to the features.

The paper does not say in which layers the cross-attentions are.
"""

ACTIONS_PER_LATENT = 4
"""Frames, and so actions, of each latent frame after the first; stated by Wan2.2's VAE."""


@dataclass(frozen=True)
class HarmoWAMConfig:
    """Sizes and choices of a model.

    Attributes:
        action_dim: numbers of an action: 7 for one arm (position, Euler angles, gripper) and 14 for two; stated by the
            paper.
        state_dim: numbers of the state, which is a token of the predictive expert; ``None`` for a model without state.
            The paper's robot measures its state, but the paper does not say that the model receives it.
        world: sizes of the world model; the paper's is Wan2.2-TI2V-5B.
        predictive: sizes of the predictive expert. The paper states 28 layers and about 1 billion parameters; the
            widths are our choice.
        visual_dim: width of the SigLIP tokens. The paper does not name the size of SigLIP; so400m is our choice.
        frame_dim: width of the DINOv2 tokens, to which features are pooled; 768 is stated by the paper.
        latent_channels: channels of the VAE's latents.
        patch: latents along each side that form a token.
        horizon: actions of a chunk, each with its predicted frame; 12 is stated by the paper.
        feature_layer: layer of the world model, counted from 0, whose output is the features; our choice is the middle.
        feature_step: denoising step in which the features are read; negative numbers count from the end. Our choice is
            the last one.
        conditioning: contexts of the predictive expert's layers; ``joined`` is our choice.
        noise_steps: steps of the predictive expert's diffusion in training. The paper says only that noise is
            predicted; this and the next two are our choice.
        noise_schedule: noise levels of these steps, as named by diffusers.
        clip: magnitude to which predicted clean actions are limited; normalised actions are within it.
        decoder_dim: width of the reactive expert's decoder; it and the next three are our choice.
        decoder_layers: layers of the decoder.
        dilations: dilations of the convolutions of a layer, one for each scale.
        cells: cells along each side of a grid of tokens, over which the decoder's last layer is averaged.
        gate_dim: width inside the gate, which the paper calls light; our choice.

    Raises:
        ValueError: fields contradict each other.
    """

    action_dim: int = 7
    state_dim: int | None = None
    world: WanSizes = field(default_factory=WanSizes)
    predictive: WanSizes = field(default_factory=lambda: WanSizes(dim=1536, ffn_dim=6144, layers=28, heads=12))
    visual_dim: int = 1152
    frame_dim: int = 768
    latent_channels: int = 48
    patch: int = 2
    horizon: int = 12
    feature_layer: int = 14
    feature_step: int = -1
    conditioning: Conditioning = "joined"
    noise_steps: int = 1000
    noise_schedule: str = "squaredcos_cap_v2"
    clip: float = 1.0
    decoder_dim: int = 256
    decoder_layers: int = 2
    dilations: tuple[int, ...] = (1, 2, 4)
    cells: int = 4
    gate_dim: int = 256

    def __post_init__(self) -> None:
        if self.horizon % ACTIONS_PER_LATENT:
            raise ValueError(f"a horizon of {self.horizon}: it must be a multiple of {ACTIONS_PER_LATENT}")
        if not 0 <= self.feature_layer < self.world.layers:
            raise ValueError(f"feature layer {self.feature_layer}: the world model has {self.world.layers} layers")
        if self.world.dim % self.frame_dim:
            raise ValueError(f"features of width {self.world.dim} cannot be pooled to width {self.frame_dim}")

    @classmethod
    def of_size(cls, size: Size, action_dim: int = 7, state_dim: int | None = None) -> HarmoWAMConfig:
        """The model of the paper, or a tiny one of the same architecture."""
        if size == "full":
            return cls(action_dim, state_dim)
        return cls(
            action_dim,
            state_dim,
            world=WanSizes(dim=96, ffn_dim=128, layers=3, heads=4, head_dim=24, text_dim=32, time_dim=32),
            predictive=WanSizes(dim=64, ffn_dim=96, layers=4, heads=4, head_dim=16, text_dim=32, time_dim=32),
            visual_dim=48,
            frame_dim=32,
            feature_layer=1,
            decoder_dim=16,
            cells=2,
            gate_dim=24,
        )

    @property
    def frames(self) -> int:
        """Latent frames of a video, of which the first is observed."""
        return 1 + self.horizon // ACTIONS_PER_LATENT
