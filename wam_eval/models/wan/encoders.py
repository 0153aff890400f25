"""Wan's text encoder (umT5-XXL) and Wan2.2's video VAE: loaded from files, or of random weights."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ftfy
import numpy as np
import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanRMS_norm
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase, UMT5Config, UMT5EncoderModel

from wam_eval.errors import UserError
from wam_eval.models.autoencoder import pixels
from wam_eval.models.files import ModelFiles, Rules, content_digest, files_digest, renamed
from wam_eval.models.prompt_cache import PromptCache
from wam_eval.models.wan.files import TEXT_ENCODER_RULES, VAE_RULES, WAN, text_encoder_config, vae_config
from wam_eval.models.weights import config_of, load_file_weights, random_weights, read_tensor_file
from wam_eval.places import portable_folder

LENGTH = 128
"""Tokens of a prompt with its end token in Fast-WAM; a longer prompt is cut off."""
TEXT_SIZES = {
    "full": {"vocab_size": 256_384, "d_model": 4096, "d_kv": 64, "d_ff": 10_240, "num_layers": 24, "num_heads": 64},
    "tiny": {"vocab_size": 259, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
}
"""Sizes of umT5-XXL, and of a tiny encoder whose tokens are bytes."""
CHANNELS = 48
"""Channels of the latents."""

# Mean and standard deviation of each channel of the latents, as published with Wan2.2's VAE.
# fmt: off
LATENT_MEAN = (
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891,
    0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,
    -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723,
    -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
)
LATENT_STD = (
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
    0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
    0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
    0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
)
# fmt: on


@dataclass(frozen=True)
class WanEncoders:
    """Source of the text encoder and of the VAE.

    Attributes:
        source: folder of Wan's files (:data:`wam_eval.models.wan.files.WAN`), or the size (``full`` or ``tiny``)
            of encoders with random weights.
        dtype, device: of both.
        length: tokens of a prompt with its end token; a longer prompt is cut off.
    """

    source: Path | str
    dtype: torch.dtype
    device: torch.device
    length: int = LENGTH

    def vae(self) -> VideoVAE:
        """Load the VAE. Raises :class:`UserError` if its file is damaged."""
        if isinstance(self.source, str):
            return random_vae(self.source, 0, self.dtype, self.device)
        return load_vae(self.source, self.dtype, self.device)

    def vae_digest(self) -> str:
        """Digest of the VAE's weights, for a run's record."""
        if isinstance(self.source, str):
            return f"random {self.source}"
        return files_digest(WAN.weights(self.source, "vae"))

    def prompt_cache(self) -> PromptCache:
        """A cache of prompt embeddings, which loads the text encoder only if a prompt is new."""
        if isinstance(self.source, str):
            open_random = partial(random_text_encoder, self.source, 0, self.dtype, self.device, self.length)
            return PromptCache(open_random, f"random {self.source}", None, self.length)
        open_encoder = partial(load_text_encoder, self.source, self.dtype, self.device, WAN, self.length)
        digest = text_encoder_digest(self.source, self.dtype, WAN, self.length)
        return PromptCache(open_encoder, digest, portable_folder("prompts"), self.length)


class WanTextEncoder:
    """Text encoder and tokenizer in memory.

    Attributes:
        model: the encoder.
        digest: identifies weights, tokenizer, dtype and length.
        length: tokens of a prompt with its end token; a longer prompt is cut off.
    """

    def __init__(
        self, model: UMT5EncoderModel, tokenizer: PreTrainedTokenizerBase, digest: str, length: int = LENGTH
    ) -> None:
        self.model = model
        self.digest = digest
        self.length = length
        self._tokenizer = tokenizer

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> list[Tensor]:
        """Embeddings of each prompt's tokens.

        Args:
            prompts: any number of prompts; they are cleaned first, as in training.

        Returns:
            For each prompt (n, text_dim) in the model's dtype, on the CPU. n is the number of its tokens without
            padding.
        """
        tokens = self._tokenizer(
            [cleaned(prompt) for prompt in prompts],
            padding="max_length",
            truncation=True,
            max_length=self.length,
            return_tensors="pt",
        ).to(self.model.device)
        embedded = self.model(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state.cpu()
        lengths = tokens.attention_mask.sum(dim=1).tolist()
        return [embedding[:length].clone() for embedding, length in zip(embedded, lengths, strict=True)]


def cleaned(prompt: str) -> str:
    """A prompt with repaired Unicode, resolved HTML entities (twice) and single spaces."""
    text = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return re.sub(r"\s+", " ", text).strip()


def text_encoder_digest(folder: Path, dtype: torch.dtype, wan: ModelFiles = WAN, length: int = LENGTH) -> str:
    """SHA-256 of everything that determines the embeddings, without loading the encoder.

    The weight files are sampled (:func:`wam_eval.models.files.files_digest`), the tokenizer's files are read
    completely.

    Args:
        folder, dtype, wan, length: as of :func:`load_text_encoder`.

    Raises:
        UserError: a file is missing.
    """
    weights = files_digest(wan.weights(folder, "text_encoder"))
    tokenizer = sorted(path for path in wan.tokenizer(folder).iterdir() if path.is_file())
    other_length = "" if length == LENGTH else f" {length}"
    return content_digest(f"{dtype} {weights}{other_length}\n", tokenizer)


def load_text_encoder(
    folder: Path, dtype: torch.dtype, device: torch.device | str, wan: ModelFiles = WAN, length: int = LENGTH
) -> WanTextEncoder:
    """Load text encoder and tokenizer from a folder of Wan's files.

    Args:
        folder: the folder.
        dtype, device: of the encoder.
        wan: describes the files.
        length: tokens of a prompt with its end token.

    Raises:
        UserError: a file is missing, damaged, or belongs to another model.
    """
    title = f"{wan.name}'s text encoder"
    files = wan.weights(folder, "text_encoder")
    tensors = _read_weights(files, TEXT_ENCODER_RULES)
    config = config_of(text_encoder_config, tensors, files[0], title)
    with torch.device("meta"):
        # The eager attention rounds as the original implementation does.
        model = UMT5EncoderModel(UMT5Config(**config, attn_implementation="eager"))
    load_file_weights(model, tensors, files[0], title, dtype, device)
    model.set_input_embeddings(model.shared)  # the second name of the shared embedding
    digest = text_encoder_digest(folder, dtype, wan, length)
    return WanTextEncoder(model, wan.load_tokenizer(folder), digest, length)


def random_text_encoder(
    size: str,
    seed: int,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    length: int = LENGTH,
) -> WanTextEncoder:
    """A text encoder with random weights and bytes as tokens, for tests and measurements without downloads.

    Args:
        size: ``full``, or ``tiny`` with embeddings of width 32.
        seed: of the weights.
        dtype, device: of the encoder.
        length: tokens of a prompt with its end token.
    """
    tokenizer = ByT5Tokenizer(extra_ids=0)
    with torch.device("meta"):
        model = UMT5EncoderModel(UMT5Config(**TEXT_SIZES[size], attn_implementation="eager"))
    random_weights(model, seed, dtype, device)
    model.set_input_embeddings(model.shared)  # the second name of the shared embedding
    digest = hashlib.sha256(f"random {size} {seed} {dtype}".encode()).hexdigest()
    return WanTextEncoder(model, tokenizer, digest, length)


class ChannelNorm(nn.Module):
    """Root-mean-square normalisation of channels in the dtype of the input, as the published VAE computes it.

    Fast-WAM was trained on its bfloat16 latents. diffusers computes in float32, which rounds differently.
    """

    def __init__(self, gamma: nn.Parameter) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, ...) over C."""
        return nn.functional.normalize(x, dim=1) * len(self.gamma) ** 0.5 * self.gamma


class VideoVAE:
    """The VAE. It is deterministic: a latent is the mean of its distribution, not a sample.

    The statistics of the latents are rounded to the model's dtype before they are applied, as in training.
    """

    def __init__(self, model: AutoencoderKLWan) -> None:
        self.model = model
        parameter = next(model.parameters())
        mean, deviation = torch.tensor(LATENT_MEAN), torch.tensor(LATENT_STD)
        self._mean = mean.to(parameter).view(1, CHANNELS, 1, 1, 1)
        self._scale = (1.0 / deviation).to(parameter).view(1, CHANNELS, 1, 1, 1)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Latents of single frames.

        Args:
            images: (B, 3, H, W) in -1..1, H and W multiples of 16, in the model's dtype and on its device.

        Returns:
            (B, 48, 1, H/16, W/16), normalised, in the model's dtype.
        """
        moments = self.model.encode(images.unsqueeze(2)).latent_dist
        return (moments.mode() - self._mean) * self._scale

    @torch.no_grad()
    def decode(self, latents: Tensor) -> NDArray[np.uint8]:
        """Frames of latents.

        Args:
            latents: (B, 48, T, h, w), normalised, in the model's dtype and on its device.

        Returns:
            uint8 (B, 1 + 4 (T - 1), 16 h, 16 w, 3) RGB, rounded down.
        """
        return pixels(self.decoded(latents))

    @torch.no_grad()
    def decoded(self, latents: Tensor) -> Tensor:
        """Frames of latents as tensors, for a model that sees them.

        Args:
            latents: as of :meth:`decode`.

        Returns:
            (B, 3, 1 + 4 (T - 1), 16 h, 16 w) in about -1..1, in the model's dtype and on its device.
        """
        frames: Tensor = self.model.decode(latents / self._scale + self._mean).sample
        return frames


def load_vae(folder: Path, dtype: torch.dtype, device: torch.device | str) -> VideoVAE:
    """Load the VAE from a folder of Wan's files.

    Raises:
        UserError: a file is missing, damaged, or belongs to another model.
    """
    files = WAN.weights(folder, "vae")
    tensors = _read_weights(files, VAE_RULES)
    config = config_of(vae_config, tensors, files[0], "Wan2.2's VAE")
    if config["z_dim"] != CHANNELS:
        raise UserError(f"{files[0]} is not Wan2.2's VAE: its latents have {config['z_dim']} channels, not {CHANNELS}")
    with torch.device("meta"):
        model = _autoencoder(config)
    load_file_weights(model, tensors, files[0], "Wan2.2's VAE", dtype, device)
    return VideoVAE(model)


def random_vae(
    size: str, seed: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> VideoVAE:
    """A VAE with random weights, for tests and measurements without downloads.

    Args:
        size: ``full`` or ``tiny``.
        seed: of the weights.
        dtype, device: of the VAE.
    """
    base, decoder_base = {"full": (160, 256), "tiny": (4, 4)}[size]
    shapes = {
        "encoder.conv_in.weight": (base,),
        "decoder.norm_out.gamma": (decoder_base,),
        "post_quant_conv.weight": (CHANNELS,),
    }
    with torch.device("meta"):
        model = _autoencoder(vae_config(shapes))
    return VideoVAE(random_weights(model, seed, dtype, device))


def _autoencoder(config: dict[str, Any]) -> AutoencoderKLWan:
    model = AutoencoderKLWan(**config)
    for name, module in list(model.named_modules()):
        if isinstance(module, WanRMS_norm):
            model.set_submodule(name, ChannelNorm(module.gamma))
    return model


def _read_weights(files: Sequence[Path], rules: Rules) -> dict[str, Tensor]:
    """The tensors of a model's files under the names of its library, memory-mapped."""
    return {renamed(name, rules): tensor for file in files for name, tensor in _tensors(file).items()}


def _tensors(file: Path) -> Mapping[str, Tensor]:
    content = read_tensor_file(file)
    if isinstance(content, dict) and len(content) == 1:
        # Training code may wrap the tensors in a dictionary.
        content = next((content[key] for key in ("model_state", "state_dict", "module") if key in content), content)
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{file} contains objects other than tensors, so it is not one of Wan's files")
    return content
