"""FLUX.2 klein's text encoder (Qwen3) and image autoencoder: loaded from files, or of random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers import AutoencoderKLFlux2
from numpy.typing import NDArray
from torch import Tensor
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase, Qwen3Config, Qwen3Model

from wam_eval.models.autoencoder import pixels
from wam_eval.models.files import ModelFiles, renamed
from wam_eval.models.flux2.files import TEXT_ENCODER_RULES, VAE_RULES, text_encoder_config, vae_config
from wam_eval.models.weights import (
    check_layout,
    config_of,
    load_file_weights,
    load_weights,
    place_rotary_buffers,
    random_weights,
    read_tensors,
    shapes_of,
)

LAYERS = (9, 18, 27)
"""Layers of Qwen3 whose hidden states, side by side, are the embedding of a token."""
CHANNELS = 128
"""Channels of an image token: 32 of the latents in each of 2 x 2 places."""
COUNTER = "bn.num_batches_tracked"
"""A counter of the training in the autoencoder's file; it is not a weight."""

TextSize = Literal["4b", "9b", "tiny"]
TEXT_SIZES: Mapping[TextSize, Mapping[str, Any]] = {
    "4b": {
        "vocab_size": 151_936,
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    "9b": {
        "vocab_size": 151_936,
        "hidden_size": 4096,
        "intermediate_size": 12_288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    "tiny": {
        "vocab_size": 259,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 28,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
    },
}
"""Size of the transformer -> sizes of its text encoder: Qwen3-4B, Qwen3-8B, and a tiny one whose tokens are bytes."""

_TINY_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


class Flux2TextEncoder:
    """Text encoder and tokenizer in memory.

    A prompt is the user's message of a chat without thinking. It is padded to a fixed length, as in training, because
    the rounding of results depends on the number of tokens.

    Args:
        model: Qwen3 without its language head.
        tokenizer: with a chat template.
        length: tokens of a prompt with its padding.
    """

    def __init__(self, model: Qwen3Model, tokenizer: PreTrainedTokenizerBase, length: int) -> None:
        self.model = model
        self._tokenizer = tokenizer
        self._length = length

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> list[Tensor]:
        """Embeddings of each prompt's tokens, (n, 3 * hidden size) on the CPU, without padding."""
        return [self._encode(prompt) for prompt in prompts]

    def _encode(self, prompt: str) -> Tensor:
        message = [{"role": "user", "content": prompt}]
        chat = self._tokenizer.apply_chat_template(
            message, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        tokens = self._tokenizer(
            chat, padding="max_length", truncation=True, max_length=self._length, return_tensors="pt"
        ).to(self.model.device)
        states = self.model(
            input_ids=tokens.input_ids,
            attention_mask=tokens.attention_mask,
            output_hidden_states=True,
            use_cache=False,
        ).hidden_states
        embedded = torch.cat([states[layer][0] for layer in LAYERS], dim=-1)
        return embedded[tokens.attention_mask[0].bool()].cpu()


class ImageVAE:
    """The autoencoder with the packing of its latents into tokens and their normalisation.

    It is deterministic: a latent is the mean of its distribution, not a sample.
    """

    def __init__(self, model: AutoencoderKLFlux2) -> None:
        self.model = model

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Tokens of images, row by row.

        Args:
            images: (B, 3, H, W) in -1..1, H and W multiples of 16, in the model's dtype and on its device.

        Returns:
            (B, H/16 * W/16, 128), normalised.
        """
        latents = torch.nn.functional.pixel_unshuffle(self.model.encode(images).latent_dist.mean, 2)
        tokens: Tensor = self.model.bn(latents).flatten(2).transpose(1, 2)
        return tokens

    @torch.no_grad()
    def decode(self, tokens: Tensor, grid: tuple[int, int]) -> NDArray[np.uint8]:
        """Images of tokens.

        Args:
            tokens: (B, N, 128), normalised, in the model's dtype and on its device.
            grid: rows and columns of the tokens.

        Returns:
            uint8 (B, H, W, 3) RGB, rounded down.
        """
        norm = self.model.bn
        deviation = torch.sqrt(norm.running_var + norm.eps)
        latents = (tokens * deviation + norm.running_mean).transpose(1, 2).unflatten(2, grid)
        return pixels(self.model.decode(torch.nn.functional.pixel_shuffle(latents, 2)).sample)


def load_text_encoder(
    files: ModelFiles, folder: Path, length: int, dtype: torch.dtype, device: torch.device
) -> Flux2TextEncoder:
    """Load text encoder and tokenizer from a folder.

    Raises:
        UserError: a file is missing, damaged, or belongs to another model.
    """
    weights = files.weights(folder, "text_encoder")
    tensors = {renamed(name, TEXT_ENCODER_RULES): tensor for name, tensor in read_tensors(weights).items()}
    tensors.pop("lm_head.weight", None)  # the language head, which is not used
    title = f"the text encoder of {files.name}"
    config = Qwen3Config(**config_of(text_encoder_config, tensors, weights[0], title))
    with torch.device("meta"):
        model = Qwen3Model(config)
    load_file_weights(model, tensors, weights[0], title, dtype, device)
    place_rotary_buffers(model, device)
    return Flux2TextEncoder(model, files.load_tokenizer(folder), length)


def random_text_encoder(
    size: TextSize, length: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Flux2TextEncoder:
    """A text encoder with random weights and bytes as tokens, for tests and measurements without downloads."""
    config = Qwen3Config(**TEXT_SIZES[size], rms_norm_eps=1e-6)
    with torch.device("meta"):
        model = Qwen3Model(config)
    random_weights(model, 0, dtype, device)
    place_rotary_buffers(model, device)
    tokenizer = ByT5Tokenizer(extra_ids=0)
    tokenizer.chat_template = _TINY_TEMPLATE
    return Flux2TextEncoder(model, tokenizer, length)


def load_vae(files: ModelFiles, folder: Path, dtype: torch.dtype, device: torch.device) -> ImageVAE:
    """Load the autoencoder from a folder.

    Raises:
        UserError: a file is missing, damaged, or belongs to another model.
    """
    (file, *_) = files.weights(folder, "vae")
    title = f"the autoencoder of {files.name}"
    tensors = {renamed(name, VAE_RULES): tensor for name, tensor in read_tensors([file]).items() if name != COUNTER}
    for name, tensor in tensors.items():  # FLUX.2's own file has the attention's projections as 1 x 1 convolutions.
        if ".attentions." in name and tensor.dim() == 4:
            tensors[name] = tensor[:, :, 0, 0]
    config = config_of(vae_config, tensors, file, title)
    with torch.device("meta"):
        model = AutoencoderKLFlux2(**config)
    # The statistics of the latents are in the file, but are no parameters.
    expected = {name: shape for name, shape in shapes_of(model.state_dict()).items() if name != COUNTER}
    check_layout(shapes_of(tensors), expected, file, title)
    load_weights(model, tensors, str(file), dtype, device)
    model.bn.num_batches_tracked = None
    return ImageVAE(model)


def random_vae(
    size: Literal["full", "tiny"], seed: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> ImageVAE:
    """An autoencoder with random weights, for tests and measurements without downloads."""
    config = {} if size == "full" else {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 8}
    with torch.device("meta"):
        model = AutoencoderKLFlux2(**config)
    random_weights(model, seed, dtype, device)
    model.bn.running_mean.zero_()
    model.bn.running_var.fill_(1.0)
    model.bn.num_batches_tracked = None
    return ImageVAE(model)
