"""A small model with its encoders and the normalisation of its data, and the file that holds them all.

The file is in the safetensors format, float16, and its metadata describe the model: family, sizes, robot, words,
settings and provenance. Nothing in it is unpickled.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from wam_eval.errors import UserError
from wam_eval.models.preprocessing import Normaliser, Robot, Scaling, Tile
from wam_eval.models.small.encoders import PatchCodec, Words

FORMAT = "wam-eval small model 1"
WEIGHTS = Path(__file__).resolve().parent / "weights"
"""Folder of the trained models that come with wam-eval, ``NAME.safetensors``."""


@dataclass(frozen=True)
class SmallConfig:
    """Description of a small model.

    Attributes:
        family: name of the model family, such as ``fastwam``.
        robot: cameras, state and actions.
        vocabulary: words that it knows.
        words: words of an instruction that it receives; further ones are cut off.
        components: channels of the image latents.
        width, layers, heads, head_dim: sizes of the transformers.
        horizon: actions of a chunk.
        stride: actions from one frame of a video to the next.
        frames: frames of a video, with the observed one.
        settings: settings of the training objective.
        provenance: data, code, duration and machine of the training.
    """

    family: str
    robot: Robot
    vocabulary: tuple[str, ...]
    words: int
    components: int = 32
    width: int = 128
    layers: int = 4
    heads: int = 4
    head_dim: int = 32
    horizon: int = 16
    stride: int = 8
    frames: int = 2
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The description as text, for the metadata of a file."""
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str, path: Path) -> SmallConfig:
        """The description in a file. Raises :class:`UserError` if it is broken, or of another format."""
        try:
            content = json.loads(text)
            if content.pop("format") != FORMAT:
                raise UserError(f"{path} was written by another version of wam-eval: train the model again")
            robot = content.pop("robot")
            rows = tuple(tuple(Tile(**tile) for tile in row) for row in robot.pop("rows"))
            robot["placeholders"] = tuple(robot["placeholders"])
            content["vocabulary"] = tuple(content["vocabulary"])
            return cls(robot=Robot(rows=rows, **robot), **content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path}: the description of the model is broken: {error!r}") from error


class SmallModel(nn.Module):
    """A network with its encoders and normalisation.

    Args:
        config: description of the model.
        network: the network of its family.
        text_dim: width of the word embeddings.
    """

    def __init__(self, config: SmallConfig, network: nn.Module, text_dim: int) -> None:
        super().__init__()
        self.config = config
        self.network = network
        self.words = Words(config.vocabulary, text_dim)
        self.codec = PatchCodec(config.components)
        for name, length in (("state", config.robot.model_state_dim), ("action", config.robot.model_action_dim)):
            self.register_buffer(f"{name}_scale", torch.ones(length))
            self.register_buffer(f"{name}_offset", torch.zeros(length))

    state_scale: Tensor
    state_offset: Tensor
    action_scale: Tensor
    action_offset: Tensor

    @property
    def normaliser(self) -> Normaliser:
        """Normalisation of states and actions."""
        numbers = [
            buffer.numpy(force=True).astype(np.float32)
            for buffer in (self.state_scale, self.state_offset, self.action_scale, self.action_offset)
        ]
        return Normaliser(Scaling(*numbers[:2]), Scaling(*numbers[2:]))

    def set_normaliser(self, normaliser: Normaliser) -> None:
        """Set the normalisation."""
        for name, scaling in (("state", normaliser.state), ("action", normaliser.action)):
            getattr(self, f"{name}_scale").copy_(torch.from_numpy(scaling.scale))
            getattr(self, f"{name}_offset").copy_(torch.from_numpy(scaling.offset))


def save_small(path: Path, config: SmallConfig, tensors: Mapping[str, Tensor]) -> None:
    """Write a model. The file appears under its name only when it is complete.

    Args:
        path: the file.
        config: its description.
        tensors: state dict of its :class:`SmallModel`; weights are stored as float16, normalisation as float32.
    """
    stored = {
        name: tensor.detach().cpu().to(torch.float32 if _precise(name) else torch.float16).contiguous()
        for name, tensor in tensors.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    safetensors.torch.save_file(stored, partial, {"model": config.to_json()})
    partial.chmod(0o644)
    partial.replace(path)


def weights_file(checkpoint: str) -> Path:
    """The file of a small model.

    Args:
        checkpoint: name of a model that comes with wam-eval, or the path of a ``.safetensors`` file.

    Raises:
        UserError: there is no file.
    """
    path = Path(checkpoint)
    if path.suffix == ".safetensors" or len(path.parts) > 1:
        if not path.is_file():
            raise UserError(f"small model {path}: there is no such file")
        return path
    shipped = sorted(file.stem for file in WEIGHTS.glob("*.safetensors"))
    if checkpoint not in shipped:
        raise UserError(
            f"wam-eval comes without the small model {checkpoint!r}"
            + (f" (it has {', '.join(shipped)})" if shipped else "")
            + f": train it with `wam-eval train {checkpoint}`, and name the file that this writes with --ckpt (CKPT=…)"
        )
    return WEIGHTS / f"{checkpoint}.safetensors"


def read_small_config(path: Path) -> SmallConfig:
    """The description of a model, without its weights.

    Raises:
        UserError: the file is missing or broken, or is not a small model.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"small model {path} cannot be read: {error}") from error
    if "model" not in metadata:
        raise UserError(f"{path} is not a small model of wam-eval: its metadata do not describe one")
    return SmallConfig.from_json(metadata["model"], path)


def check_family(path: Path, config: SmallConfig, family: str) -> None:
    """Refuse a model of another family. Raises :class:`UserError`."""
    if config.family != family:
        raise UserError(
            f"{path} is a small model of the family {config.family}, not {family}: use policy small-{config.family}"
        )


def load_small(path: Path, model: SmallModel) -> None:
    """Load the weights of a file into a model of its description.

    Raises:
        UserError: a tensor is missing, unexpected, of another shape, or not finite.
    """
    tensors = {name: tensor.float() for name, tensor in safetensors.torch.load_file(path).items()}
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if found != expected:
        wrong = sorted(set(found.items()) ^ set(expected.items()))
        raise UserError(f"{path} does not fit its own description, for example {wrong[0][0]}: train the model again")
    if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise UserError(f"{path}: {broken[0]} has numbers that are not finite: train the model again")
    model.load_state_dict(tensors)


def _precise(name: str) -> bool:
    return name.endswith(("_scale", "_offset")) or name.startswith("codec.")
