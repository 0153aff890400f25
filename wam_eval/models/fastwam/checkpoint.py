"""Checkpoints of Fast-WAM: the robots and variants that they were trained for, their layout, loading.

Source of the robots and of the prompt: configs/data and experiments of the Fast-WAM repository.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from wam_eval.errors import UserError
from wam_eval.models.fastwam.model import FastWAM, FastWAMConfig
from wam_eval.models.preprocessing import Robot, Tile
from wam_eval.models.stages import parameter_count
from wam_eval.models.training_config import entry, read_training_config
from wam_eval.models.weights import (
    Checkpoint,
    Layout,
    check_layout,
    layout_of,
    load_checkpoint,
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
    replan=10,
    signed_gripper=True,
)
ROBOTWIN = Robot(
    name="robotwin",
    rows=((Tile("head_camera", 256, 320),), (Tile("left_camera", 128, 160), Tile("right_camera", 128, 160))),
    crop=False,
    state_dim=14,
    action_dim=14,
    normalisation="z_score",
    replan=24,
    signed_gripper=False,
)
ROBOTS = {robot.name: robot for robot in (LIBERO, ROBOTWIN)}


OTHER_FILES = {
    "mixtures.video.transformer.": "a checkpoint of ImageWAM, which is another model",
    "model.mot.": "a LeRobot port of Fast-WAM; use the original checkpoint from which it was made",
    "module.": "weights of a model that is still wrapped for training on several GPUs",
    "blocks.0.self_attn.": "a video model of Wan alone, without the action expert",
    "blocks.0.attn1.": "a video model of Wan alone in the layout of diffusers, without the action expert",
    "encoder.conv1.": "the VAE of Wan",
    "token_embedding.": "the text encoder of Wan",
    "dit": "an old checkpoint of the video expert alone",
    "backbone_state_dict": "the action expert's weights before training (preprocess_action_dit_backbone.py)",
}
"""Prefix of a name in a file -> description of the file."""

SUPPORTED = {
    "first_frame": ("first_frame",),
    "joint": ("joint",),
    "idm": ("idm",),
    "optional_idm": ("idm", "first_frame"),
}
"""Variant of the training -> variants of inference that its checkpoints support, the usual one first."""

WORKING_GIB = 4.0
"""Memory for inference besides weights at batch 16: keys and values of the text (0.1 GiB per observation) and of three
frames (as much), activations, and the libraries' own. Computed from shapes; not measured on a GPU."""
VAE_PARAMETERS = 704_700_000

_FACTORIES = {
    "create_fastwam": "first_frame",
    "create_fastwam_joint": "joint",
    "create_fastwam_idm": "idm",
    "create_fastwam_optional_idm": "optional_idm",
}
# Official names of checkpoints and of training runs, such as libero_uncond_2cam224.pt or robotwin_joint_3cam_384_1e-4.
_NAME = re.compile(r"(libero|robotwin)_(uncond|joint|optional_idm|idm)_(?:2cam224|3cam_384)(?:_1e-4)?")


def open_checkpoint(path: Path, config: FastWAMConfig) -> Checkpoint:
    """Memory-map a checkpoint and compare its layout with that of the model. The weights are not read yet.

    Raises:
        UserError: the file is not a checkpoint, or a tensor is missing, unexpected or of another shape.
    """
    checkpoint = read_checkpoint(path, OTHER_FILES)
    check_layout(shapes_of(checkpoint.tensors), layout_of(_empty(config)), path, "Fast-WAM", explain_layout)
    return checkpoint


def make_model(
    checkpoint: Checkpoint | None, config: FastWAMConfig, dtype: torch.dtype, device: torch.device
) -> FastWAM:
    """Load the model of a checkpoint, or draw random weights if there is none.

    Raises:
        UserError: a weight is not finite.
    """
    return load_checkpoint(checkpoint, _empty(config), dtype, device)


def needed_gib(config: FastWAMConfig, dtype: torch.dtype) -> float:
    """Memory for the model, the VAE and inference at batch 16, in GiB."""
    return (parameter_count(_empty(config)) + VAE_PARAMETERS) * dtype.itemsize / 2**30 + WORKING_GIB


def explain_layout(found: Layout, expected: Layout) -> str:
    """Describe a checkpoint whose layout differs from that of the model; empty if it is not recognised."""
    if description := recognise(found, OTHER_FILES):
        return description
    for name, dims in (("mixtures.action.head.weight", "action_dim"), ("proprio_encoder.weight", "state_dim")):
        axis = 0 if dims == "action_dim" else 1
        if name in found and name in expected and len(found[name]) == 2 and found[name][axis] != expected[name][axis]:
            owners = [robot.name for robot in ROBOTS.values() if getattr(robot, dims) == found[name][axis]]
            trained_for = f"robot {owners[0]!r}" if owners else "another robot"
            return f"It was trained for {trained_for} ({dims} {found[name][axis]}, not {expected[name][axis]})" + (
                f": use the policy fastwam-{owners[0]}" if owners else ""
            )
    if any(name.startswith("mixtures.") for name in found) and "proprio_encoder.weight" not in found:
        return "It was trained without the robot's state, which the published models have"
    return ""


def trained_robot(path: Path) -> str | None:
    """Name of the robot that a checkpoint was trained for; ``None`` if it cannot be determined.

    The source is ``config.yaml``, which training writes into the run's folder, two above the checkpoint's, else an
    official name of the file or of one of its folders.
    """
    return _training(path)[0]


def trained_variant(path: Path) -> str | None:
    """Variant that a checkpoint was trained as, a key of ``SUPPORTED``. Found like :func:`trained_robot`."""
    return _training(path)[1]


def check_training(path: Path, robot: str, variant: str) -> None:
    """Compare the training of a checkpoint with the policy that is to use it.

    Args:
        path: the checkpoint.
        robot: name of the policy's robot.
        variant: variant of the policy: ``first_frame``, ``joint`` or ``idm``.

    Raises:
        UserError: they differ; the message names the right policy. A training that cannot be determined passes.
    """
    found_robot, found_variant, source = _training(path)
    wrong_robot = found_robot not in (None, robot)
    if not wrong_robot and (found_variant is None or variant in SUPPORTED[found_variant]):
        return
    training = " ".join(filter(None, [found_variant, f"for {found_robot}" if found_robot else None]))
    policy = f"fastwam-{found_robot or robot}"
    if found_variant not in (None, "first_frame"):
        policy += "-" + str(found_variant).replace("_", "-")
    raise UserError(
        f"{path} was trained as {training} (according to {source}), but this policy uses {variant} for {robot}: "
        f"choose --policy {policy} (POLICY={policy})"
    )


def _empty(config: FastWAMConfig) -> FastWAM:
    """The model without memory for its weights."""
    with torch.device("meta"):
        return FastWAM(config)


def _training(path: Path) -> tuple[str | None, str | None, str]:
    """Robot and variant of a checkpoint's training, and the source of this information."""
    folders = list(path.absolute().parents)[:4]
    for folder in folders:
        config = folder / "config.yaml"
        if found := _training_of(config):
            return *found, str(config)
    for name in (path.name, *(folder.name for folder in folders)):
        if match := _NAME.fullmatch(name.removesuffix(".pt").removesuffix(".safetensors")):
            return match[1], "first_frame" if match[2] == "uncond" else match[2], f"the name {name}"
    return None, None, ""


def _training_of(path: Path) -> tuple[str | None, str | None] | None:
    """Robot and variant in the configuration of a training; ``None`` if the file is not one of Fast-WAM's."""
    try:
        content = read_training_config(path)
    except UserError:
        return None
    module, _, name = str(entry(content, "model", "_target_")).rpartition(".")
    if module != "fastwam.runtime" or name not in _FACTORIES:
        return None
    size = entry(content, "data", "train", "processor", "action_output_dim")
    return next((robot.name for robot in ROBOTS.values() if robot.action_dim == size), None), _FACTORIES[name]
