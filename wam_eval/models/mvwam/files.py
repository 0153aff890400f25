"""Files of SigLIP2, and the names of the tensors in them. Those of Wan2.1 are in :mod:`wam_eval.models.wan.files`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from wam_eval.models.files import ModelFiles

SIGLIP2 = ModelFiles(
    name="SigLIP2",
    setting="siglip2",
    variable="WAM_EVAL_SIGLIP2",
    repository="google/siglip2-so400m-patch14-384",
    parts={"weights": ()},
    flat=True,
)

TOWER = "vision_model."
"""Prefix of the image tower's tensors in a file that contains the text tower too."""
POOLING = "head."
"""Prefix, after the tower's, of the pooling of all tokens to one, which MV-WAM does not use."""

T = TypeVar("T")


def tower_tensors(tensors: Mapping[str, T]) -> dict[str, T]:
    """The tensors of the image tower under the names of ``SiglipVisionModel``, without those of the pooling."""
    if any(name.startswith(TOWER) for name in tensors):
        tensors = {name.removeprefix(TOWER): tensor for name, tensor in tensors.items() if name.startswith(TOWER)}
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(POOLING)}
