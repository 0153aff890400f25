"""Checkpoints of MV-WAM in this project's layout, their statistics, and the robots that they are for.

No checkpoint of the authors is public. A checkpoint here is a safetensors file, whose names are those of
:class:`wam_eval.models.mvwam.model.MVWAM`: ``video.…`` for the video expert with the names of Wan, ``action.…`` for the
action-value expert. ``dataset_stats.json`` lies beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from wam_eval.models import quantiles
from wam_eval.models.mvwam.layout import ALOHA_AGILEX, LIBERO_ARM, RobotLayout
from wam_eval.models.mvwam.model import MVWAM, Size
from wam_eval.models.preprocessing import Robot, Tile
from wam_eval.models.quantiles import Quantiles
from wam_eval.models.weights import (
    Checkpoint,
    Layout,
    check_layout,
    layout_of,
    read_checkpoint,
    recognise,
    shapes_of,
)

PROMPT = "{task}"
"""The text in which the model receives an instruction; the paper states no other."""

OTHER_FILES = {
    "mixtures.video.transformer.": "a checkpoint of ImageWAM, which is another model",
    "mixtures.": "a checkpoint of Fast-WAM, which is another model",
    "blocks.0.self_attn.": "a video model of Wan alone, without the action-value expert",
    "blocks.0.attn1.": "a video model of Wan alone in the layout of diffusers, without the action-value expert",
    "vision_model.": "the image tower of SigLIP2",
    "encoder.": "an encoder, not the model",
}
"""Prefix of a name in a file -> description of the file."""


@dataclass(frozen=True)
class Body:
    """A robot with its place in RDT's layout.

    Attributes:
        robot: its picture, which is the first frame of the video, and the numbers of its state and actions.
        cameras: cameras that SigLIP2 sees, in the order of the training.
        layout: names of its numbers.
    """

    robot: Robot
    cameras: tuple[str, ...]
    layout: RobotLayout

    @property
    def lengths(self) -> tuple[int, int]:
        """Numbers of a state and of an action whose statistics are known."""
        return len(self.layout.state), len(self.layout.action)


BODIES: Mapping[str, Body] = {
    "robotwin": Body(
        Robot(
            name="robotwin",
            rows=((Tile("head_camera", 240, 320),),),
            crop=False,
            state_dim=14,
            action_dim=14,
            normalisation="quantile",
            replan=8,
            signed_gripper=False,
        ),
        cameras=("head_camera", "right_camera", "left_camera"),
        layout=ALOHA_AGILEX,
    ),
    "libero": Body(
        Robot(
            name="libero",
            rows=((Tile("agentview", 256, 256),),),
            crop=False,
            state_dim=8,
            action_dim=7,
            normalisation="quantile",
            replan=8,
            signed_gripper=True,
        ),
        cameras=("agentview", "robot0_eye_in_hand"),
        layout=LIBERO_ARM,
    ),
}
"""Name of a robot -> robot. That of RoboTwin is the paper's; LIBERO's is ours, because the paper has no LIBERO."""


TINY_SIDE = 64
"""Height and width of a tiny model's picture in pixels."""


def body_of(name: str, size: Size) -> Body:
    """A robot of :data:`BODIES`; for a tiny model, with a small picture."""
    body = BODIES[name]
    if size == "full":
        return body
    return replace(body, robot=body.robot.with_square_picture(TINY_SIDE))


def open_checkpoint(path: Path, empty: MVWAM) -> Checkpoint:
    """Memory-map a checkpoint and compare its layout with that of the model. The weights are not read yet.

    Args:
        path: the file.
        empty: the model on the meta device.

    Raises:
        UserError: the file is not a checkpoint, or a tensor is missing, unexpected or of another shape.
    """
    checkpoint = read_checkpoint(path, OTHER_FILES)
    check_layout(shapes_of(checkpoint.tensors), layout_of(empty), path, "MV-WAM", explain_layout)
    return checkpoint


def explain_layout(found: Layout, expected: Layout) -> str:
    """Describe a checkpoint whose layout differs from that of the model; empty if it is not recognised."""
    if description := recognise(found, OTHER_FILES):
        return description
    trained, wanted = (any(name.startswith("action.value_") for name in names) for names in (found, expected))
    if trained and not wanted:
        return "It was trained with the value branch: set `value: true`"
    if wanted and not trained:
        return "It was trained without the value branch: set `value: false`"
    return ""


def read_quantiles(path: Path, name: str) -> tuple[Quantiles, Quantiles]:
    """Quantiles of states and of actions of a robot of :data:`BODIES`.

    Raises:
        UserError: as of :func:`wam_eval.models.quantiles.read_quantiles`.
    """
    return quantiles.read_quantiles(path, name, {other: body.lengths for other, body in BODIES.items()})
