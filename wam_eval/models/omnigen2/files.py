"""Files of OmniGen2's encoders, and the names of the tensors in them."""

from __future__ import annotations

from typing import Any

from wam_eval.models.files import ModelFiles, Rules

OMNIGEN2 = ModelFiles(
    name="OmniGen2",
    setting="encoders",
    variable="WAM_EVAL_OMNIGEN2",
    repository="OmniGen2/OmniGen2",
    parts={"vae": ()},
)
QWEN = ModelFiles(
    name="OmniGen2",
    setting="encoders",
    variable="WAM_EVAL_OMNIGEN2",
    repository="Qwen/Qwen2.5-VL-3B-Instruct",
    parts={"text_encoder": (), "tokenizer": ()},
    flat=True,
)
"""The text encoder: the published Qwen2.5-VL, as in ImageWAM's evaluation, not its copy in OmniGen2's folder ``mllm``.
Both downloads may share a folder."""

VAE_CONFIG = {
    "block_out_channels": (128, 256, 512, 512),
    "latent_channels": 16,
    "norm_num_groups": 32,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
}
"""Settings of diffusers' ``AutoencoderKL``: the autoencoder of FLUX.1."""

TEXT_ENCODER_RULES: Rules = ((r"^model\.(language_model\.)?", ""),)
"""From the names of Qwen2.5-VL, in older and newer files, to those of transformers' ``Qwen2_5_VLTextModel``."""
NOT_TEXT = ("visual.", "model.visual.", "lm_head.")
"""Prefixes of the tensors of Qwen2.5-VL that a text encoder does not have."""


def text_encoder_config(
    vocabulary: int, width: int, mlp_width: int, layers: int, key_value_width: int
) -> dict[str, Any]:
    """Settings of transformers' ``Qwen2_5_VLTextModel`` with these sizes. Its heads have 128 channels."""
    head_dim = min(128, width)
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": mlp_width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // head_dim,
        "num_key_value_heads": key_value_width // head_dim,
        "rms_norm_eps": 1e-6,
        "bos_token_id": None,
        "eos_token_id": None,
        # Shares of the three axes of positions; a text has the same position on all of them.
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1_000_000.0,
            "mrope_section": [head_dim // 8, head_dim * 3 // 16, head_dim * 3 // 16],
        },
    }
