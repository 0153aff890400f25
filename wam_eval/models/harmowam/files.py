"""Files of DINOv2, and the names of the tensors in them.

Those of Wan2.2 are in :mod:`wam_eval.models.wan.files`, and those of SigLIP2 in :mod:`wam_eval.models.mvwam.files`.
"""

from __future__ import annotations

from wam_eval.models.files import ModelFiles, Rules

DINOV2 = ModelFiles(
    name="DINOv2",
    setting="dinov2",
    variable="WAM_EVAL_DINOV2",
    repository="facebook/dinov2-base",
    parts={"weights": ()},
    flat=True,
)

DINOV2_RULES: Rules = (
    (r"\.attention\.attention\.query\.", ".attention.q_proj."),
    (r"\.attention\.attention\.key\.", ".attention.k_proj."),
    (r"\.attention\.attention\.value\.", ".attention.v_proj."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
)
"""From the names in the published file to those of transformers' ``Dinov2Model``, which match no rule themselves."""
