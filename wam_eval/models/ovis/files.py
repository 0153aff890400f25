"""Files of Ovis-U1's encoders, and the names of the tensors in them."""

from __future__ import annotations

from wam_eval.models.files import ModelFiles

OVIS_U1 = ModelFiles(
    name="Ovis-U1",
    setting="encoders",
    variable="WAM_EVAL_OVIS_U1",
    repository="AIDC-AI/Ovis-U1-3B",
    parts={"weights": (), "tokenizer": ()},
    flat=True,
)

VAE = "visual_generator.vae."
"""Prefix of the autoencoder's tensors."""
TRANSFORMER = "visual_generator.backbone."
"""Prefix of the image transformer's tensors, which a checkpoint of ImageWAM contains in their trained form."""
LANGUAGE_HEAD = "llm.lm_head.weight"
"""A tensor that is not used. It is the same as the embeddings of the words."""
