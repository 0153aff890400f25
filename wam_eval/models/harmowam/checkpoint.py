"""Checkpoints of HarmoWAM in this project's layout, their statistics, and the robots that they are for.

No checkpoint of the authors is public. A checkpoint here is a safetensors file, whose names are those of
:class:`wam_eval.models.harmowam.model.HarmoWAM`: ``world.…`` with the names of Wan, ``predictive.…``, ``reactive.…``
and ``gate.…``. ``dataset_stats.json`` lies beside it. The paper evaluates real robots only; both robots here, their
cameras and the normalisation by quantiles are our choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from wam_eval.models import quantiles
from wam_eval.models.harmowam.config import Size
from wam_eval.models.harmowam.model import HarmoWAM
from wam_eval.models.preprocessing import Robot, Tile
from wam_eval.models.quantiles import Quantiles
from wam_eval.models.weights import Checkpoint, Layout, check_layout, layout_of, read_checkpoint, recognise, shapes_of

PROMPT = "{task}"
"""The text in which the model receives an instruction; the paper states no other."""

OTHER_FILES = {
    "mixtures.": "a checkpoint of Fast-WAM or ImageWAM, which are other models",
    "video.": "a checkpoint of MV-WAM, which is another model",
    "blocks.0.": "a video model of Wan alone",
    "vision_model.": "the image tower of SigLIP2",
    "encoder.": "an encoder, not the model",
}
"""Prefix of a name in a file -> description of the file."""


@dataclass(frozen=True)
class Body:
    """A robot of the model.

    Attributes:
        robot: its picture, which is the first frame of the video, and the numbers of its state and actions.
        cameras: cameras that SigLIP sees.
    """

    robot: Robot
    cameras: tuple[str, ...]


BODIES: Mapping[str, Body] = {
    "robotwin": Body(
        Robot(
            name="robotwin",
            rows=((Tile("head_camera", 256, 320),),),
            crop=False,
            state_dim=14,
            action_dim=14,
            normalisation="quantile",
            replan=12,
            signed_gripper=False,
        ),
        cameras=("head_camera", "right_camera", "left_camera"),
    ),
    "libero": Body(
        Robot(
            name="libero",
            rows=((Tile("agentview", 256, 256),),),
            crop=False,
            state_dim=8,
            action_dim=7,
            normalisation="quantile",
            replan=12,
            signed_gripper=True,
        ),
        cameras=("agentview", "robot0_eye_in_hand"),
    ),
}
"""Name of a robot -> robot."""

TINY_SIDE = 64
"""Height and width of a tiny model's picture in pixels."""


def body_of(name: str, size: Size) -> Body:
    """A robot of :data:`BODIES`; for a tiny model, with a small picture."""
    body = BODIES[name]
    if size == "full":
        return body
    return replace(body, robot=body.robot.with_square_picture(TINY_SIDE))


def open_checkpoint(path: Path, empty: HarmoWAM) -> Checkpoint:
    """Memory-map a checkpoint and compare its layout with that of the model. The weights are not read yet.

    Args:
        path: the file.
        empty: the model on the meta device.

    Raises:
        UserError: the file is not a checkpoint, or a tensor is missing, unexpected or of another shape.
    """
    checkpoint = read_checkpoint(path, OTHER_FILES)
    check_layout(shapes_of(checkpoint.tensors), layout_of(empty), path, "HarmoWAM", _explained)
    return checkpoint


def _explained(found: Layout, expected: Layout) -> str:
    """Description of a checkpoint whose layout differs from that of the model; empty if it is not recognised."""
    del expected
    return recognise(found, OTHER_FILES)


def read_quantiles(path: Path, name: str) -> tuple[Quantiles, Quantiles]:
    """Quantiles of states and of actions of a robot of :data:`BODIES`.

    Raises:
        UserError: as of :func:`wam_eval.models.quantiles.read_quantiles`.
    """
    return quantiles.read_quantiles(
        path, name, {other: (body.robot.state_dim, body.robot.action_dim) for other, body in BODIES.items()}
    )
