"""Names of the tensors of Wan's transformer in diffusers."""

from __future__ import annotations

from torch import Tensor

from wam_eval.models.wan.transformer import WanVideoTransformer

NAMES = (
    ("text_embedding.0.", "condition_embedder.text_embedder.linear_1."),
    ("text_embedding.2.", "condition_embedder.text_embedder.linear_2."),
    ("time_embedding.0.", "condition_embedder.time_embedder.linear_1."),
    ("time_embedding.2.", "condition_embedder.time_embedder.linear_2."),
    ("time_projection.1.", "condition_embedder.time_proj."),
    ("head.modulation", "scale_shift_table"),
    ("head.head.", "proj_out."),
    (".modulation", ".scale_shift_table"),
    (".self_attn.", ".attn1."),
    (".cross_attn.", ".attn2."),
    (".q.", ".to_q."),
    (".k.", ".to_k."),
    (".v.", ".to_v."),
    (".o.", ".to_out.0."),
    (".norm3.", ".norm2."),
    (".ffn.0.", ".ffn.net.0.proj."),
    (".ffn.2.", ".ffn.net.2."),
)
"""Part of a name of ours, and of the name in diffusers, in the order of replacement."""


def diffusers_state_dict(model: WanVideoTransformer) -> dict[str, Tensor]:
    """The weights of a transformer under the names of ``WanTransformer3DModel``."""
    renamed = {}
    for name, tensor in model.state_dict().items():
        for ours, theirs in NAMES:
            name = name.replace(ours, theirs)
        renamed[name] = tensor
    return renamed
