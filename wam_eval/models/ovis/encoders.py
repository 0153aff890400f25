"""Ovis-U1's encoders: of prompt and image together, and the image autoencoder; from files, or of random weights.

The text that the image transformer receives is the state of a language model that has read a chat with the observed
image and the prompt. It is computed for every observation; only the embeddings of the prompt's words are cached.
Source: the code that is published with Ovis-U1 (arXiv 2506.23044), and the ImageWAM repository.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase, Qwen3Config, Qwen3Model

from wam_eval.errors import UserError
from wam_eval.models.autoencoder import SampledAutoencoder, load_autoencoder, random_autoencoder
from wam_eval.models.ovis.aimv2 import ViewSizes, VisualTokenizer
from wam_eval.models.ovis.files import LANGUAGE_HEAD, OVIS_U1, TRANSFORMER, VAE
from wam_eval.models.policy import padded
from wam_eval.models.weights import load_file_weights, random_weights, read_tensors

TITLE = "the encoder of Ovis-U1"
BEFORE_IMAGE = "<|im_start|>user\n"
"""Beginning of the chat, before the image."""
AFTER_IMAGE = "\n{prompt}<|im_end|>\n"
"""End of the chat, after the image."""
EMBEDDINGS = "llm.model.embed_tokens.weight"
"""Name of the embeddings of the words."""

_SHARED_VAE = {"latent_channels": 4, "scaling_factor": 0.13025}
VAE_CONFIG: Mapping[str, Mapping[str, Any]] = {
    "full": {**_SHARED_VAE, "block_out_channels": (128, 256, 512, 512)},
    "tiny": {**_SHARED_VAE, "block_out_channels": (8, 8, 8, 8), "norm_num_groups": 8},
}
"""Size -> settings of the autoencoder, which is that of Stable Diffusion XL."""

_FULL_LANGUAGE = {
    "vocab_size": 151_936,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
    "rms_norm_eps": 1e-6,
}
_TINY_LANGUAGE = {
    **_FULL_LANGUAGE,
    "vocab_size": 259,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}


@dataclass(frozen=True)
class ConditionSizes:
    """Sizes of the encoder of prompt and image.

    Attributes:
        view: of the visual part.
        language: settings of transformers' ``Qwen3Model``.
    """

    view: ViewSizes = field(default_factory=ViewSizes)
    language: Mapping[str, Any] = field(default_factory=lambda: _FULL_LANGUAGE)

    @classmethod
    def of_size(cls, size: Literal["full", "tiny"]) -> ConditionSizes:
        """Ovis-U1, or a tiny model whose words are bytes."""
        if size == "full":
            return cls()
        view = ViewSizes(dim=16, layers=2, heads=2, mlp_dim=32, positions=4, words=64, pixels=(50_176, 200_704))
        return cls(view, _TINY_LANGUAGE)

    @property
    def width(self) -> int:
        """Width of the embeddings of words."""
        return int(self.language["hidden_size"])


class ConditionEncoder(nn.Module):
    """The language model with its view of images.

    The state dict has the names of the published files.

    Args:
        sizes: sizes of the model.

    Attributes:
        start: embeddings (n, width) of the words before the image.
    """

    def __init__(self, sizes: ConditionSizes) -> None:
        super().__init__()
        self.visual_tokenizer = VisualTokenizer(sizes.view)
        self.vte = nn.Embedding(sizes.view.words, sizes.width)
        self._config = Qwen3Config(**sizes.language)
        self.llm = nn.ModuleDict({"model": Qwen3Model(self._config)})
        self.start = torch.empty(0, sizes.width)

    @property
    def language(self) -> Qwen3Model:
        """The language model."""
        model = self.llm["model"]
        assert isinstance(model, Qwen3Model)
        return model

    def begin(self, start: Tensor) -> None:
        """Set ``start`` and what is in no file, after the weights were loaded.

        Args:
            start: tokens (n,) of the words before the image.
        """
        weights = self.vte.weight
        self.start = self.language.embed_tokens(start.to(weights.device))
        rotary = type(self.language.rotary_emb)(self._config)
        # The official code converts the frequencies with the weights, which rounds them in bfloat16.
        rotary.inv_freq = rotary.inv_freq.to(weights.dtype)
        self.language.rotary_emb = rotary.to(weights.device)

    @torch.no_grad()
    def forward(self, images: Tensor, prompts: Sequence[Tensor], length: int) -> tuple[Tensor, list[int]]:
        """Encode a batch of observations.

        Rows are padded at the end, which causal attention does not see. The official code answers single rows, without
        padding.

        Args:
            images: (B, 3, H, W) in -1..1.
            prompts: embeddings of each prompt's words (n, width), n at most ``length``.
            length: words of a prompt with its padding.

        Returns:
            (B, L, 2 * width), the last two layers side by side, and the tokens of each row.
        """
        words = self.visual_tokenizer(images)
        # Two indicators are put around an image. The first of them is also a word that an image can have.
        marks = self.vte.weight[-5:-3]
        seen = torch.matmul(words, self.vte.weight[: words.shape[-1]])
        text, lengths = padded(prompts, length)
        rows = len(text)
        start, opening, closing = (part.expand(rows, -1, -1) for part in (self.start, marks[:1], marks[1:]))
        states = self.language(
            inputs_embeds=torch.cat([start, opening, seen, closing, text], dim=1),
            output_hidden_states=True,
            use_cache=False,
        ).hidden_states
        before = states[-1].shape[1] - text.shape[1]
        return torch.cat([states[-1], states[-2]], dim=-1), [before + length for length in lengths]


class Words:
    """The embeddings of a prompt's words, with their tokenizer, as :class:`wam_eval.models.prompt_cache.TextEncoder`.

    Args:
        embeddings: of all words (vocabulary, width).
        tokenizer: splits a text into words.
        length: words of a prompt at most; more are cut off.
    """

    def __init__(self, embeddings: Tensor, tokenizer: PreTrainedTokenizerBase, length: int) -> None:
        self._embeddings = embeddings
        self._tokenizer = tokenizer
        self._length = length

    def encode(self, prompts: Sequence[str]) -> list[Tensor]:
        """Embeddings (n, width) of the words after the image, for each prompt."""
        texts = [AFTER_IMAGE.format(prompt=prompt.strip()) for prompt in prompts]
        return [self._embeddings[tokens_of(text, self._tokenizer)[: self._length]] for text in texts]


def load_condition_encoder(
    folder: Path, sizes: ConditionSizes, dtype: torch.dtype, device: torch.device | str
) -> ConditionEncoder:
    """Load the encoder of prompt and image from a folder.

    Raises:
        UserError: a file is missing, damaged, or belongs to another model.
    """
    files = OVIS_U1.weights(folder, "weights")
    others = (VAE, TRANSFORMER, LANGUAGE_HEAD)
    tensors = {name: tensor for name, tensor in read_tensors(files).items() if not name.startswith(others)}
    with torch.device("meta"):
        model = ConditionEncoder(sizes)
    load_file_weights(model, tensors, files[0], TITLE, dtype, device)
    model.begin(tokens_of(BEFORE_IMAGE, OVIS_U1.load_tokenizer(folder)))
    return model


def random_condition_encoder(
    sizes: ConditionSizes, seed: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> ConditionEncoder:
    """An encoder with random weights and bytes as words, for tests and measurements without downloads."""
    with torch.device("meta"):
        model = ConditionEncoder(sizes)
    random_weights(model, seed, dtype, device)
    (scales,) = (part.weight for part in model.visual_tokenizer.head if isinstance(part, nn.LayerNorm))
    scales.fill_(1.0)  # Their name does not say that they belong to a normalisation.
    model.begin(tokens_of(BEFORE_IMAGE, ByT5Tokenizer(extra_ids=0)))
    return model


def load_words(folder: Path, length: int) -> Words:
    """The embeddings of all words, from a folder.

    Raises:
        UserError: a file is missing or damaged.
    """
    files = OVIS_U1.weights(folder, "weights")
    tensors = read_tensors(files)
    if EMBEDDINGS not in tensors:
        raise UserError(f"{files[0]} is not {TITLE}: it has no tensor {EMBEDDINGS}")
    return Words(tensors[EMBEDDINGS], OVIS_U1.load_tokenizer(folder), length)


def random_words(sizes: ConditionSizes, length: int) -> Words:
    """Random embeddings, with bytes as words."""
    count = sizes.language["vocab_size"]
    embeddings = torch.randn(count, sizes.width, generator=torch.Generator().manual_seed(0))
    return Words(embeddings * sizes.width**-0.5, ByT5Tokenizer(extra_ids=0), length)


def load_vae(
    folder: Path, size: Literal["full", "tiny"], dtype: torch.dtype, device: torch.device | str
) -> SampledAutoencoder:
    """Load the autoencoder from a folder.

    Raises:
        UserError: a file is missing, damaged, or belongs to another model.
    """
    files = OVIS_U1.weights(folder, "weights")
    tensors = {name.removeprefix(VAE): tensor for name, tensor in read_tensors(files).items() if name.startswith(VAE)}
    return load_autoencoder(VAE_CONFIG[size], tensors, files[0], "the autoencoder of Ovis-U1", dtype, device)


def random_vae(
    size: Literal["full", "tiny"], seed: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> SampledAutoencoder:
    """An autoencoder with random weights, for tests and measurements without downloads."""
    return random_autoencoder(VAE_CONFIG[size], seed, dtype, device)


def tokens_of(text: str, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Numbers (n,) of the words of a text."""
    numbers: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return torch.tensor(numbers)
