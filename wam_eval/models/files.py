"""Files of published models, such as image and text encoders: where they are on this machine.

A folder contains a model in the layout of diffusers (``vae``, ``text_encoder``, ``tokenizer``) or as its authors
publish it. It is named by a setting or an environment variable, or lies in the Hugging Face cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wam_eval.benchmark import Check
from wam_eval.errors import UserError, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Rules = tuple[tuple[str, str], ...]
"""Regular expression -> replacement, applied to a tensor's name in order."""
Shapes = Mapping[str, Sequence[int]]
"""Name of a tensor -> shape."""

TOKENIZER = "tokenizer"
"""Name of the part that has no weights."""
_TOKENIZER_FILES = ("tokenizer.json", "spiece.model", "tokenizer_config.json")
_SAMPLES = 256
_SAMPLE_BYTES = 4096


@dataclass(frozen=True)
class ModelFiles:
    """The files of a published model.

    Attributes:
        name: for people.
        setting: setting of policies that names their folder.
        variable: environment variable that names their folder.
        repository: on the Hugging Face hub, in the layout of diffusers.
        parts: folder of each part in that layout -> names of the files, or of the tokenizer's folder, in which its
            authors publish it.
        folders: folders to which other tools download these.
        gated: True if the repository can be downloaded only by users who have accepted its licence.
        flat: True if the repository has no folders: all parts are side by side.
    """

    name: str
    setting: str
    variable: str
    repository: str
    parts: Mapping[str, tuple[str, ...]]
    folders: tuple[str, ...] = ()
    gated: bool = False
    flat: bool = False

    def find(self, path: str | None = None, download: bool = True) -> Path:
        """The folder of the files: the given one, else that of the environment variable, else the Hugging Face cache.

        Args:
            path: a folder, from a policy's settings.
            download: True to download what the Hugging Face cache lacks.

        Raises:
            UserError: a part is missing; the message says how to get it.
        """
        given = path or os.environ.get(self.variable)
        if not given:
            return self._hub_folder(download)
        folder = Path(given).expanduser()
        source = f"the setting `{self.setting}`" if path else self.variable
        if not folder.is_dir():
            raise UserError(f"{source} names {folder}, which is not a folder. {self._advice(self.parts)}")
        missing = self.missing(folder)
        if missing:
            raise UserError(f"{source} names {folder}, which lacks {self._described(missing)}. {self._advice(missing)}")
        return folder

    def check(self) -> Check:
        """Check that the files are on this machine, for ``wam-eval doctor``. Nothing is downloaded."""
        parts = " and ".join(part.replace("_", " ") for part in self.parts if part != TOKENIZER)
        try:
            return Check(self.name, "ok", f"{parts} in {self.find(download=False)}")
        except UserError as error:
            if os.environ.get(self.variable):
                return Check(self.name, "fail", str(error), f"unset {self.variable}, or correct it")
            absent = f"not on this machine; only models based on {self.name} need it"
            return Check(self.name, "warn", absent, self._advice(self.parts))

    def missing(self, folder: Path) -> list[str]:
        """Parts that a folder does not contain completely."""
        return [part for part in self.parts if not self._files(folder, part)]

    def weights(self, folder: Path, part: str) -> list[Path]:
        """Files with the weights of a part.

        Raises:
            UserError: a file is missing.
        """
        files = self._files(folder, part)
        if not files:
            raise UserError(f"{folder} lacks {self._described([part])}. {self._advice([part])}")
        return files

    def tokenizer(self, folder: Path) -> Path:
        """The folder with the tokenizer's files.

        Raises:
            UserError: the tokenizer is missing.
        """
        return self.weights(folder, TOKENIZER)[0].parent

    def load_tokenizer(self, folder: Path) -> PreTrainedTokenizerBase:
        """Load the tokenizer.

        Raises:
            UserError: its files are missing or damaged.
        """
        from transformers import AutoTokenizer

        place = self.tokenizer(folder)
        try:
            return AutoTokenizer.from_pretrained(place, local_files_only=True)
        except Exception as error:  # tokenizers raises no more specific type
            raise UserError(f"{place}: the tokenizer cannot be read: {error}") from error

    def _files(self, folder: Path, part: str) -> list[Path]:
        """All files of a part, or none if one is missing."""
        converted = folder if self.flat else folder / part
        bases = [folder, *(folder / name for name in self.folders)]
        originals = [base / name for base in bases for name in self.parts[part]]
        if part == TOKENIZER:
            places = [converted, *originals]
            found = [[place / name for name in _TOKENIZER_FILES if (place / name).is_file()] for place in places]
            return next(filter(None, found), [])
        for index in sorted(converted.glob("*.safetensors.index.json")):
            return _shards(index)
        return sorted(converted.glob("*.safetensors")) or [file for file in originals if file.is_file()][:1]

    def _hub_folder(self, download: bool) -> Path:
        from huggingface_hub import snapshot_download
        from huggingface_hub.constants import HF_HUB_OFFLINE
        from huggingface_hub.errors import LocalEntryNotFoundError

        missing, fault = list(self.parts), "HF_HUB_OFFLINE is set" if download else "no download was tried"
        with contextlib.suppress(LocalEntryNotFoundError):
            folder = Path(snapshot_download(self.repository, local_files_only=True))
            missing = self.missing(folder)
        if missing and download and not HF_HUB_OFFLINE:
            print(
                f"downloading {self._described(missing)} ({self.repository}) from the Hugging Face hub", file=sys.stderr
            )
            try:
                folder = Path(snapshot_download(self.repository, allow_patterns=self._patterns(missing)))
                missing, fault = self.missing(folder), "the repository does not contain them"
            except Exception as error:  # The advice is the same for every failure of the hub, its client or a proxy.
                fault = first_line(error)
        if missing:
            raise UserError(
                f"{self._described(missing)}: not on this machine, and not downloaded ({fault}). "
                f"{self._advice(missing)}"
            )
        return folder

    def _patterns(self, parts: Collection[str]) -> list[str]:
        """Patterns of the names of some parts' files in the repository."""
        return ["*.safetensors", "*.json", "*.txt"] if self.flat else [f"{part}/*" for part in parts]

    def _described(self, parts: Collection[str]) -> str:
        return " and ".join(f"{self.name}'s {part.replace('_', ' ')}" for part in parts)

    def _advice(self, parts: Collection[str]) -> str:
        includes = " ".join(f"--include '{pattern}'" for pattern in self._patterns(parts))
        folder = self.name.lower().replace(" ", "-")
        originals = "" if self.flat else ", ".join(self.parts[part][0] for part in parts if self.parts[part])
        licence = f"accept the licence of {self.repository} on the Hugging Face hub, type `hf auth login`, then "
        return (
            f"On a machine with a network, {licence if self.gated else ''}"
            f"`hf download {self.repository} {includes} --local-dir {folder}` downloads what is missing; "
            f"then set {self.variable} to that folder"
        ) + (f". {self.name}'s original files work too: {originals}" if originals else "")


def files_digest(files: Sequence[Path]) -> str:
    """SHA-256 of the names, sizes and evenly spaced samples of large files.

    Hashing all bytes of many gigabytes would take too long at every start.
    """
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as weights:
            for sample in range(_SAMPLES):
                weights.seek(max(0, size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
                digest.update(weights.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def content_digest(text: str, files: Iterable[Path]) -> str:
    """SHA-256 of a text, then of the names and the whole content of small files."""
    digest = hashlib.sha256(text.encode())
    for file in files:
        digest.update(f"{file.name}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def renamed(name: str, rules: Rules) -> str:
    """The name of a tensor in its library; a name that already is the library's stays the same."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _shards(index: Path) -> list[Path]:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError):
        return []
    shards = [index.with_name(name) for name in sorted(names)]
    return shards if all(shard.is_file() for shard in shards) else []
