"""Cache of prompt embeddings in memory and on disk, so that the text encoder does not have to stay on the GPU."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import safetensors
import safetensors.torch
import torch
from torch import Tensor


class TextEncoder(Protocol):
    """A text encoder in memory."""

    def encode(self, prompts: Sequence[str]) -> list[Tensor]:
        """Embeddings of each prompt's tokens, (n, text_dim) on the CPU, without padding."""


class PromptCache:
    """Embeddings of prompts, each computed once.

    Args:
        open_encoder: loads the text encoder. It is called only if a prompt is new, and the encoder is then dropped.
        digest: identifies the encoder; entries on disk are kept apart by it.
        folder: folder of the entries on disk; ``None`` to keep entries in memory only.
        length: tokens of an embedding with its padding.

    Attributes:
        digest: as given.
    """

    def __init__(self, open_encoder: Callable[[], TextEncoder], digest: str, folder: Path | None, length: int) -> None:
        self.digest = digest
        self._open_encoder = open_encoder
        self._folder = folder / digest[:16] if folder else None
        self._length = length
        self._tokens: dict[str, Tensor] = {}

    def prepare(self, prompts: Sequence[str]) -> None:
        """Compute the embeddings of all new prompts with one load of the encoder.

        Each prompt is encoded alone, so that its embedding does not depend on which others were new.
        """
        new = []
        for prompt in dict.fromkeys(prompts):
            if prompt not in self._tokens:
                tokens = self._read(prompt)
                if tokens is None:
                    new.append(prompt)
                else:
                    self._tokens[prompt] = tokens
        if not new:
            return
        encoder = self._open_encoder()
        for prompt in new:
            (tokens,) = encoder.encode([prompt])
            self._tokens[prompt] = tokens
            self._write(prompt, tokens)
        del encoder
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def tokens(self, prompt: str) -> Tensor:
        """The embedding of a prompt; computed now if :meth:`prepare` has not seen the prompt.

        Returns:
            (n, text_dim) in the encoder's dtype, on the CPU, without padding.
        """
        if prompt not in self._tokens:
            self.prepare([prompt])
        return self._tokens[prompt]

    def embedding(self, prompt: str) -> Tensor:
        """The embedding of a prompt with its padding: (length, text_dim), zero after the last token."""
        tokens = self.tokens(prompt)
        return torch.nn.functional.pad(tokens, (0, 0, 0, self._length - len(tokens)))

    def _path(self, prompt: str) -> Path | None:
        name = hashlib.sha256(prompt.encode()).hexdigest()
        return self._folder / f"{name}.safetensors" if self._folder else None

    def _read(self, prompt: str) -> Tensor | None:
        """The entry on disk; ``None`` if it is absent or damaged."""
        path = self._path(prompt)
        if path is None or not path.is_file():
            return None
        try:
            tokens = safetensors.torch.load(path.read_bytes())["tokens"]
        except (OSError, safetensors.SafetensorError, KeyError):
            return None
        plausible = tokens.dim() == 2 and 0 < len(tokens) <= self._length and tokens.is_floating_point()
        return tokens if plausible and tokens.isfinite().all() else None

    def _write(self, prompt: str, tokens: Tensor) -> None:
        path = self._path(prompt)
        if path is None:
            return
        # Workers of one run write the same entry at the same time, so each needs a temporary file of its own.
        temporary = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.tmp")
        with contextlib.suppress(OSError):  # Without disk space the next start encodes again; this run is not affected.
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(safetensors.torch.save({"tokens": tokens}))
            temporary.replace(path)
