"""An image-editing model that ImageWAM builds on: its network, its files and its encoders, as a policy uses them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wam_eval.benchmark import Check
from wam_eval.models.files import ModelFiles
from wam_eval.models.imagewam.backbone import Backbone
from wam_eval.models.policy import padded
from wam_eval.models.prompt_cache import PromptCache


class EditingModel(ABC):
    """Network and encoders of an image-editing model. The constructor reads no weights; :meth:`load` does.

    Args:
        size: ``full``, or ``tiny`` for tests.
        context: tokens of a prompt with its padding; a longer prompt is cut off.
        packed: True if the state follows the last word of a prompt, False if it follows the padding.
        dtype, device: of the encoders.

    Attributes:
        name: name of the backbone in settings.
        files: of the encoders.
        folder: folder of these files; ``None`` for random weights.
        stride: pixels along each side of an image token.
    """

    name: ClassVar[str]
    files: ClassVar[ModelFiles]
    stride: ClassVar[int] = 16

    def __init__(
        self, size: Literal["full", "tiny"], context: int, packed: bool, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.size = size
        self.context = context
        self.packed = packed
        self.dtype = dtype
        self.device = device
        self.folder: Path | None = None

    @classmethod
    def checks(cls) -> Sequence[Callable[[], Check]]:
        """Checks that the files are on this machine."""
        return (cls.files.check,)

    def find(self, folder: str | None) -> None:
        """Find the files, in a folder or as :meth:`wam_eval.models.files.ModelFiles.find` does.

        Raises:
            UserError: a part is missing; the message says how to get it.
        """
        self.folder = self.files.find(folder)

    @abstractmethod
    def network(self, state_dim: int, action_dim: int) -> Backbone:
        """The network for a robot, on the present default device."""

    @property
    @abstractmethod
    def prompt_dim(self) -> int:
        """Width of the embeddings in the prompt cache."""

    @abstractmethod
    def prompt_cache(self) -> PromptCache:
        """A cache of prompt embeddings, which loads the text encoder only if a prompt is new."""

    @abstractmethod
    def digest(self) -> str:
        """Digest of the weights that :meth:`load` reads, for a run's record."""

    @abstractmethod
    def load(self) -> None:
        """Load all encoders but that of the prompt cache. Raises :class:`UserError` if a file is damaged."""

    @property
    def resident(self) -> int:
        """Parameters that :meth:`load` loads besides an autoencoder."""
        return 0

    @abstractmethod
    def encoders(self) -> Mapping[str, nn.Module]:
        """Name -> encoder that :meth:`load` loads."""

    @abstractmethod
    def encode(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """Tokens (B, N, channels) of images, row by row.

        Args:
            images: (B, 3, H, W) in -1..1, H and W multiples of ``stride``.
            seeds: seed of each image's noise, for an encoder that draws a sample.
        """

    @abstractmethod
    def decode(self, tokens: Tensor, grid: tuple[int, int]) -> NDArray[np.uint8]:
        """Images (B, H, W, 3) RGB of tokens (B, N, channels) on a grid of rows and columns."""

    def condition(self, prompts: Sequence[Tensor], images: Tensor, fixed: bool) -> tuple[Tensor, list[int]]:
        """The text that the network receives. By default it is the prompt; a model may also look at the image.

        Args:
            prompts: embeddings of each prompt (n, ``prompt_dim``), as the prompt cache has them.
            images: as in :meth:`encode`.
            fixed: True if L must not depend on the prompts.

        Returns:
            (B, L, text_dim), padded at the end, and the tokens of each row without padding.
        """
        del images, fixed
        return padded(prompts, self.context)
