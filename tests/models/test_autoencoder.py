"""Autoencoders with seeded samples."""

from __future__ import annotations

import numpy as np
import torch

from wam_eval.models.autoencoder import SampledAutoencoder, random_autoencoder

torch.set_num_threads(1)  # With models this small, more threads are slower.

CONFIG = {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 8, "latent_channels": 4, "scaling_factor": 0.5}


def autoencoder(**config: float) -> SampledAutoencoder:
    """A tiny autoencoder."""
    return random_autoencoder({**CONFIG, **config}, 0)


def test_a_sample_depends_on_its_seed_only() -> None:
    vae, images = autoencoder(), torch.rand(1, 3, 32, 48) * 2 - 1
    one, same, other = (vae.encode(images, [seed]) for seed in (3, 3, 4))
    assert one.shape == (1, 4, 4, 6)
    assert torch.equal(one, same) and not torch.allclose(one, other, atol=1e-2)
    both = vae.encode(torch.cat([-images, images]), [9, 3])
    assert torch.allclose(both[1:], one, atol=1e-5)


def test_latents_are_scaled() -> None:
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    plain, moved = autoencoder(scaling_factor=1.0), autoencoder(scaling_factor=0.25, shift_factor=0.5)
    latents = plain.encode(images, [0])
    assert torch.allclose(moved.encode(images, [0]), 0.25 * (latents - 0.5), atol=1e-6)
    frames = plain.decode(latents)
    assert frames.shape == (1, 32, 32, 3) and frames.dtype == np.uint8
    assert np.abs(frames.astype(int) - moved.decode(0.25 * (latents - 0.5))).max() <= 1
