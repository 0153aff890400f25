"""Checkpoints of ImageWAM: robots, training configurations, the layout with its second names, loading.

A published checkpoint is a folder with ``model.pt``, ``dataset_stats.json`` and ``train_config.yaml``. Source of the
robots: configs/data and scripts of the ImageWAM repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wam_eval.errors import UserError
from wam_eval.models.imagewam.backbone import Backbone
from wam_eval.models.preprocessing import Robot, Tile
from wam_eval.models.training_config import entry, read_training_config
from wam_eval.models.weights import (
    Checkpoint,
    Layout,
    check_layout,
    first_names,
    layout_of,
    read_checkpoint,
    recognise,
    shapes_of,
)

PROMPT = "A video recorded from a robot's point of view executing the following instruction: {task}"
"""The text in which the model receives an instruction."""

LIBERO = Robot(
    name="libero",
    rows=((Tile("agentview", 224, 224), Tile("robot0_eye_in_hand", 224, 224)),),
    crop=True,
    state_dim=8,
    action_dim=7,
    normalisation="min_max",
    replan=12,
    signed_gripper=True,
)
ROBOTWIN = Robot(
    name="robotwin",
    rows=((Tile("head_camera", 192, 256),), (Tile("left_camera", 96, 128), Tile("right_camera", 96, 128))),
    crop=False,
    state_dim=14,
    action_dim=14,
    normalisation="z_score",
    replan=16,
    signed_gripper=False,
)
ROBOTWIN_16 = Robot(**{**vars(ROBOTWIN), "name": "robotwin-16", "placeholders": (7, 15)})
"""RoboTwin's joints in the 16 numbers of the model that was pretrained on InternData-A1: the seven numbers of each arm,
then a zero."""
ROBOTS = {robot.name: robot for robot in (LIBERO, ROBOTWIN, ROBOTWIN_16)}

TRANSFORMER = "mixtures.video.transformer."
"""Beginning of the first name of every tensor of the image transformer."""
SECOND_NAMES = ("double_blocks", "single_blocks", "blocks")
"""Parts of the image transformer that a checkpoint contains twice: in ``mixtures.video.transformer`` and beside it."""

OTHER_FILES = {
    "mixtures.video.blocks.0.self_attn.": "a checkpoint of Fast-WAM, which is another model",
    "module.": "weights of a model that is still wrapped for training on several GPUs",
    "double_blocks.": "an image transformer alone, without the action expert",
    "transformer_blocks.": "an image transformer alone in the layout of diffusers, without the action expert",
    "layers.0.attn.": "OmniGen2's transformer alone, without the action expert",
    "encoder.conv_in.": "an image autoencoder",
    "model.embed_tokens.": "a text encoder",
    "mixtures.action.lora_": "a checkpoint with low-rank adapters; save it with merged weights",
}
"""Prefix of a name in a file -> description of the file."""

_FACTORY = "imagewam.runtime.create_imagewam_"


@dataclass(frozen=True)
class Training:
    """The training of a checkpoint, as its ``train_config.yaml`` describes it.

    Attributes:
        backbone: ``flux2-4b``, ``flux2-9b``, ``omnigen2`` or ``ovis-u1``; ``None`` if unknown.
        action_dim, state_dim: numbers of an action and of a state; ``None`` if unknown.
        image_size: height and width of the picture; ``None`` if unknown.
        shift: shift of the schedule at inference; ``None`` if unknown.
        packed: True if the state follows the last word of a padded text, False if it follows the padding; ``None`` if
            unknown.
    """

    backbone: str | None = None
    action_dim: int | None = None
    state_dim: int | None = None
    image_size: tuple[int, int] | None = None
    shift: float | None = None
    packed: bool | None = None


def read_training(path: Path) -> Training:
    """Read a ``train_config.yaml``.

    Raises:
        UserError: the file is damaged, or is not a training of ImageWAM.
    """
    content = read_training_config(path)
    target = str(entry(content, "model", "_target_") or "")
    if not target.startswith(_FACTORY):
        raise UserError(f"{path} is not the configuration of an ImageWAM training (model._target_ is {target!r})")
    kind = target.removeprefix(_FACTORY)
    variant = str(entry(content, "model", "variant") or "")
    backbones = {
        "flux2_klein": f"flux2-{'9b' if '9b' in variant.lower() else '4b'}",
        "omnigen2": "omnigen2",
        "ovis_u1": "ovis-u1",
    }
    size = entry(content, "data", "train", "video_size")
    return Training(
        backbone=backbones.get(kind),
        action_dim=_whole(entry(content, "data", "train", "processor", "action_output_dim")),
        state_dim=_whole(entry(content, "data", "train", "processor", "proprio_output_dim")),
        image_size=(size[0], size[1]) if isinstance(size, list) and len(size) == 2 else None,
        shift=_number(entry(content, "model", "action_scheduler", "infer_shift")),
        packed=_flag(entry(content, "model", "pack_proprio_after_text")),
    )


def check_training(
    checkpoint: Path, training: Training, backbone: str, robot: Robot, shift: float, packed: bool
) -> None:
    """Compare the training of a checkpoint with the policy that is to use it.

    Raises:
        UserError: they differ; the message names every difference.
    """
    # Texts of Ovis-U1 have no padding, so that the state follows the last word in any case.
    trained_packed = None if training.backbone == "ovis-u1" else training.packed
    pairs = (
        ("backbone", training.backbone, backbone),
        ("numbers of an action", training.action_dim, robot.model_action_dim),
        ("numbers of a state", training.state_dim, robot.model_state_dim),
        ("picture (height, width)", training.image_size, robot.image_size),
        ("shift of the schedule", training.shift, shift),
        ("pack_proprio", trained_packed, packed),
    )
    faults = [
        f"{what}: {trained} in the training, {used} here"
        for what, trained, used in pairs
        if trained not in (None, used)
    ]
    if faults:
        policy = f"imagewam-{training.backbone or backbone}" + ("-packed" if trained_packed and not packed else "")
        raise UserError(
            f"{checkpoint} does not fit this policy, according to train_config.yaml: {'; '.join(faults)}. "
            f"Choose the policy of its training, such as --policy {policy}"
        )


def open_checkpoint(path: Path, model: Backbone, title: str) -> Checkpoint:
    """Memory-map a checkpoint and compare its layout with that of the model. The weights are not read yet.

    Args:
        path: ``model.pt``, or a safetensors file with its names.
        model: the model, on the meta device.
        title: name of the model, for messages.

    Raises:
        UserError: the file is not a checkpoint; a tensor is missing, unexpected or of another shape; or the two
            names of a tensor have different content.
    """
    checkpoint = read_checkpoint(path, OTHER_FILES)
    if description := recognise(checkpoint.tensors, OTHER_FILES):
        raise UserError(f"{path} does not fit {title}. {description}")
    tensors = without_second_names(checkpoint.tensors, path)
    check_layout(shapes_of(tensors), layout_of(model), path, title, explain_layout)
    return Checkpoint(tensors, checkpoint.step, checkpoint.dtype)


def without_second_names(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Remove the second names of the image transformer's blocks, after comparing both.

    Training saves both names of a tensor, which share memory. Tools that convert a file may drop all second names.

    Raises:
        UserError: some second names are missing, have no first name, or have other content.
    """
    kept: dict[str, Tensor] = {}
    seconds: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        part = name.removeprefix("mixtures.video.").partition(".")[0]
        second = name.startswith("mixtures.video.") and part in SECOND_NAMES
        (seconds if second else kept)[name] = tensor
    if not seconds:
        return kept
    pairs = {second: _first_name(second, kept) for second in seconds}
    lonely = [second for second, first in pairs.items() if first is None]
    if lonely:
        raise UserError(
            f"{path}: {first_names(lonely)}: there is no tensor of the same name in mixtures.video.transformer"
        )
    firsts = {first for first in pairs.values() if first is not None}
    parts = {_part(first) for first in firsts}
    absent = sorted({name for name in kept if name.startswith(TRANSFORMER) and _part(name) in parts} - firsts)
    if absent:
        raise UserError(
            f"{path}: second names of {first_names(absent)} are missing, while others are there. Save it again"
        )
    different = [
        second for second, first in pairs.items() if first is not None and not _same(seconds[second], kept[first])
    ]
    if different:
        raise UserError(
            f"{path}: {first_names(different)}: the two names of a tensor have different content: it is unclear "
            "which was trained. Save the checkpoint again from the model"
        )
    return kept


def explain_layout(found: Layout, expected: Layout) -> str:
    """Describe a checkpoint whose layout differs from that of the model; empty if it is not recognised."""
    if (backbone := recognise_backbone(found)) and backbone != recognise_backbone(expected):
        return f"It is a checkpoint of ImageWAM on {backbone}: use the policy imagewam-{backbone}"
    dims = {"mixtures.action.action_encoder.weight": "model_action_dim", "proprio_encoder.weight": "model_state_dim"}
    for name, dim in dims.items():
        if name in found and name in expected and found[name][1] != expected[name][1]:
            owners = [robot.name for robot in ROBOTS.values() if getattr(robot, dim) == found[name][1]]
            trained_for = f"robot {owners[0]!r}" if owners else "another robot"
            return f"It was trained for {trained_for}: {name} takes {found[name][1]} numbers, not {expected[name][1]}"
    return ""


def recognise_backbone(layout: Layout) -> str:
    """Name of the backbone that a layout belongs to; empty if it is none of ImageWAM's."""
    if f"{TRANSFORMER}double_blocks.0.img_self_attn.qkv.weight" in layout:
        return "ovis-u1"
    if f"{TRANSFORMER}context_refiner.0.attn.to_q.weight" in layout:
        return "omnigen2"
    if f"{TRANSFORMER}double_stream_modulation_img.lin.weight" in layout:
        blocks = {name.split(".")[4] for name in layout if name.startswith(f"{TRANSFORMER}double_blocks.")}
        return "flux2-9b" if len(blocks) > 5 else "flux2-4b"
    return ""


def _first_name(second: str, names: Mapping[str, Tensor]) -> str | None:
    """The first name of a tensor, in ``mixtures.video.transformer``."""
    rest = second.removeprefix("mixtures.video.")
    candidates = (rest, rest.replace("blocks.", "layers.", 1))
    return next((name for part in candidates if (name := TRANSFORMER + part) in names), None)


def _part(first: str) -> str:
    """The part of the image transformer that a first name belongs to."""
    return first.removeprefix(TRANSFORMER).partition(".")[0]


def _same(one: Tensor, two: Tensor) -> bool:
    shared = one.data_ptr() == two.data_ptr() and one.stride() == two.stride() and one.dtype == two.dtype
    return one.shape == two.shape and (shared or torch.equal(one, two))


def _whole(value: Any) -> int | None:
    return value if type(value) is int else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
