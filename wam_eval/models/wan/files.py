"""Files of Wan's VAE, text encoder and tokenizer, and the names of the tensors in them."""

from __future__ import annotations

from typing import Any

from wam_eval.models.files import ModelFiles, Rules, Shapes

WAN = ModelFiles(
    name="Wan2.2",
    setting="wan",
    variable="WAM_EVAL_WAN",
    repository="Wan-AI/Wan2.2-TI2V-5B-Diffusers",
    parts={
        "vae": ("Wan2.2_VAE.safetensors", "Wan2.2_VAE.pth"),
        "text_encoder": ("models_t5_umt5-xxl-enc-bf16.safetensors", "models_t5_umt5-xxl-enc-bf16.pth"),
        "tokenizer": ("google/umt5-xxl",),
    },
    folders=(  # as DiffSynth downloads them
        "DiffSynth-Studio/Wan-Series-Converted-Safetensors",
        "Wan-AI/Wan2.2-TI2V-5B",
        "Wan-AI/Wan2.1-T2V-1.3B",
    ),
)

WAN21 = ModelFiles(
    name="Wan2.1",
    setting="wan",
    variable="WAM_EVAL_WAN21",
    repository="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    parts={"vae": (), "text_encoder": (), "tokenizer": ()},
)
"""Wan2.1 in the layout of diffusers. Its text encoder is that of Wan2.2, its VAE is another."""

VAE_RULES: Rules = (
    (r"^conv1\.", "quant_conv."),
    (r"^conv2\.", "post_quant_conv."),
    (r"^(encoder|decoder)\.conv1\.", r"\1.conv_in."),
    (r"^(encoder|decoder)\.head\.0\.", r"\1.norm_out."),
    (r"^(encoder|decoder)\.head\.2\.", r"\1.conv_out."),
    (r"\.middle\.0\.", ".mid_block.resnets.0."),
    (r"\.middle\.1\.", ".mid_block.attentions.0."),
    (r"\.middle\.2\.", ".mid_block.resnets.1."),
    (r"\.(down|up)samples\.(\d+)\.\1samples\.\d+\.(?=resample|time_conv)", r".\1_blocks.\2.\1sampler."),
    (r"\.(down|up)samples\.(\d+)\.\1samples\.(\d+)\.", r".\1_blocks.\2.resnets.\3."),
    (r"\.residual\.0\.", ".norm1."),
    (r"\.residual\.2\.", ".conv1."),
    (r"\.residual\.3\.", ".norm2."),
    (r"\.residual\.6\.", ".conv2."),
    (r"\.shortcut\.", ".conv_shortcut."),
)
"""From the names in Wan's files to those of diffusers' ``AutoencoderKLWan``, which match no rule themselves."""

TEXT_ENCODER_RULES: Rules = (
    (r"^(token_embedding|encoder\.embed_tokens)\.", "shared."),
    (r"^norm\.", "encoder.final_layer_norm."),
    (r"^blocks\.(\d+)\.norm1\.", r"encoder.block.\1.layer.0.layer_norm."),
    (r"^blocks\.(\d+)\.pos_embedding\.embedding\.", r"encoder.block.\1.layer.0.SelfAttention.relative_attention_bias."),
    (r"^blocks\.(\d+)\.attn\.", r"encoder.block.\1.layer.0.SelfAttention."),
    (r"^blocks\.(\d+)\.norm2\.", r"encoder.block.\1.layer.1.layer_norm."),
    (r"^blocks\.(\d+)\.ffn\.gate\.0\.", r"encoder.block.\1.layer.1.DenseReluDense.wi_0."),
    (r"^blocks\.(\d+)\.ffn\.fc1\.", r"encoder.block.\1.layer.1.DenseReluDense.wi_1."),
    (r"^blocks\.(\d+)\.ffn\.fc2\.", r"encoder.block.\1.layer.1.DenseReluDense.wo."),
)
"""The same for transformers' ``UMT5EncoderModel``, whose shared embedding may be saved under either of two names."""


def vae_config(shapes: Shapes) -> dict[str, Any]:
    """Settings of diffusers' ``AutoencoderKLWan`` for tensors of these shapes, in the architecture of Wan2.2-TI2V-5B.

    Raises:
        KeyError: a tensor that every such model has is missing.
    """
    return {
        "base_dim": shapes["encoder.conv_in.weight"][0],
        "decoder_base_dim": shapes["decoder.norm_out.gamma"][0],
        "z_dim": shapes["post_quant_conv.weight"][0],
        "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "temperal_downsample": [False, True, True],
        "is_residual": True,
        "in_channels": 12,
        "out_channels": 12,
        "patch_size": 2,
        "scale_factor_spatial": 16,
    }


def text_encoder_config(shapes: Shapes) -> dict[str, Any]:
    """Settings of transformers' ``UMT5EncoderModel`` for tensors of these shapes.

    Raises:
        KeyError: a tensor that every such model has is missing.
    """
    attention = "encoder.block.0.layer.0.SelfAttention"
    buckets, heads = shapes[f"{attention}.relative_attention_bias.weight"]
    return {
        "vocab_size": shapes["shared.weight"][0],
        "d_model": shapes["shared.weight"][1],
        "d_kv": shapes[f"{attention}.q.weight"][0] // heads,
        "d_ff": shapes["encoder.block.0.layer.1.DenseReluDense.wi_0.weight"][0],
        "num_layers": sum(name.endswith("SelfAttention.q.weight") for name in shapes),
        "num_heads": heads,
        "relative_attention_num_buckets": buckets,
    }
