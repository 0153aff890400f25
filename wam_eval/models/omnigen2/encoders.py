"""OmniGen2's text encoder (the language model of Qwen2.5-VL) and autoencoder: from files, or of random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase
from transformers.models.qwen2_5_vl import Qwen2_5_VLTextConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

from wam_eval.models.autoencoder import SampledAutoencoder, load_autoencoder, random_autoencoder
from wam_eval.models.files import renamed
from wam_eval.models.omnigen2.files import (
    NOT_TEXT,
    OMNIGEN2,
    QWEN,
    TEXT_ENCODER_RULES,
    VAE_CONFIG,
    text_encoder_config,
)
from wam_eval.models.weights import load_file_weights, place_rotary_buffers, random_weights, read_tensors

Size = Literal["full", "tiny"]
TEXT_SIZES: Mapping[Size, Mapping[str, int]] = {
    "full": {"vocabulary": 151_936, "width": 2048, "mlp_width": 11_008, "layers": 36, "key_value_width": 256},
    "tiny": {"vocabulary": 259, "width": 32, "mlp_width": 32, "layers": 2, "key_value_width": 32},
}
"""Sizes of Qwen2.5-VL 3B, and of a tiny model whose tokens are bytes."""
VAE_SIZES: Mapping[Size, Mapping[str, Any]] = {
    "full": VAE_CONFIG,
    "tiny": {**VAE_CONFIG, "block_out_channels": (8, 8, 8, 8), "norm_num_groups": 8},
}
"""Settings of the autoencoder."""


class OmniGen2TextEncoder:
    """Text encoder and tokenizer in memory.

    A prompt is encoded as it is, without a chat. It is padded to a fixed length as in the official evaluation, because
    the rounding of results depends on the number of tokens, and because some models receive a token of the padding.

    Args:
        model: the language model of Qwen2.5-VL.
        tokenizer: its tokenizer.
        length: tokens of a prompt with its padding; a longer prompt is cut off.
    """

    def __init__(self, model: Qwen2_5_VLTextModel, tokenizer: PreTrainedTokenizerBase, length: int) -> None:
        self.model = model
        self._tokenizer = tokenizer
        self._length = length

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> list[Tensor]:
        """Embeddings (n + 1, hidden size) on the CPU: of each prompt's n tokens, then of the first of its padding.

        The last row is zero if there is no padding.
        """
        return [self._encode(prompt) for prompt in prompts]

    def _encode(self, prompt: str) -> Tensor:
        tokens = self._tokenizer(
            prompt,
            padding="max_length",
            padding_side="right",
            truncation=True,
            max_length=self._length,
            return_tensors="pt",
        ).to(self.model.device)
        (states,) = self.model(
            input_ids=tokens.input_ids, attention_mask=tokens.attention_mask, use_cache=False
        ).last_hidden_state
        count = int(tokens.attention_mask.sum())
        return torch.nn.functional.pad(states, (0, 0, 0, 1))[: count + 1].cpu()


def load_text_encoder(
    folder: Path, size: Size, length: int, dtype: torch.dtype, device: torch.device
) -> OmniGen2TextEncoder:
    """Load text encoder and tokenizer from a folder. Tensors of the visual part are not read.

    Raises:
        UserError: a file is missing, damaged, or belongs to another model.
    """
    weights = QWEN.weights(folder, "text_encoder")
    tensors = {
        renamed(name, TEXT_ENCODER_RULES): tensor
        for name, tensor in read_tensors(weights).items()
        if not name.startswith(NOT_TEXT)
    }
    model = _empty_text_encoder(size)
    load_file_weights(model, tensors, weights[0], "the language model of Qwen2.5-VL 3B", dtype, device)
    place_rotary_buffers(model, device)
    return OmniGen2TextEncoder(model, QWEN.load_tokenizer(folder), length)


def random_text_encoder(size: Size, length: int, dtype: torch.dtype, device: torch.device) -> OmniGen2TextEncoder:
    """A text encoder with random weights and bytes as tokens, for tests and measurements without downloads."""
    model = random_weights(_empty_text_encoder(size), 0, dtype, device)
    place_rotary_buffers(model, device)
    return OmniGen2TextEncoder(model, ByT5Tokenizer(extra_ids=0), length)


def load_vae(folder: Path, size: Size, dtype: torch.dtype, device: torch.device) -> SampledAutoencoder:
    """Load the autoencoder from a folder.

    Raises:
        UserError: its file is missing, damaged, or belongs to another model.
    """
    (file, *_) = OMNIGEN2.weights(folder, "vae")
    return load_autoencoder(VAE_SIZES[size], read_tensors([file]), file, "the autoencoder of OmniGen2", dtype, device)


def random_vae(size: Size, dtype: torch.dtype, device: torch.device) -> SampledAutoencoder:
    """An autoencoder with random weights, for tests and measurements without downloads."""
    return random_autoencoder(VAE_SIZES[size], 0, dtype, device)


def _empty_text_encoder(size: Size) -> Qwen2_5_VLTextModel:
    with torch.device("meta"):
        return Qwen2_5_VLTextModel(Qwen2_5_VLTextConfig(**text_encoder_config(**TEXT_SIZES[size])))
