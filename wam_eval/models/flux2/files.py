"""Files of FLUX.2 klein's autoencoder and text encoder, and the names of the tensors in them."""

from __future__ import annotations

from typing import Any

from wam_eval.models.files import ModelFiles, Rules, Shapes

FLUX2 = {
    "4b": ModelFiles(
        name="FLUX.2 klein 4B",
        setting="encoders",
        variable="WAM_EVAL_FLUX2_4B",
        repository="black-forest-labs/FLUX.2-klein-base-4B",
        parts={"vae": ("ae.safetensors",), "text_encoder": (), "tokenizer": ("text_encoder",)},
    ),
    "9b": ModelFiles(
        name="FLUX.2 klein 9B",
        setting="encoders",
        variable="WAM_EVAL_FLUX2_9B",
        repository="black-forest-labs/FLUX.2-klein-base-9B",
        parts={"vae": ("ae.safetensors",), "text_encoder": (), "tokenizer": ("text_encoder",)},
        gated=True,
    ),
}
"""Size of the transformer -> files. The text encoders are Qwen3-4B and Qwen3-8B; both share the autoencoder."""

VAE_RULES: Rules = (
    (r"^(en|de)coder\.((?:post_)?quant_conv)\.", r"\2."),
    (r"\.down\.(\d+)\.block\.", r".down_blocks.\1.resnets."),
    (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
    *((rf"\.up\.{level}\.block\.", f".up_blocks.{3 - level}.resnets.") for level in range(4)),
    *((rf"\.up\.{level}\.upsample\.", f".up_blocks.{3 - level}.upsamplers.0.") for level in range(4)),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
    (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"^(encoder|decoder)\.norm_out\.", r"\1.conv_norm_out."),
)
"""From the names in FLUX.2's own file to those of diffusers' ``AutoencoderKLFlux2``, which match no rule themselves."""

TEXT_ENCODER_RULES: Rules = ((r"^model\.", ""),)
"""From the names of Qwen3 with its language head to those of transformers' ``Qwen3Model``."""


def vae_config(shapes: Shapes) -> dict[str, Any]:
    """Settings of diffusers' ``AutoencoderKLFlux2`` for tensors of these shapes.

    Raises:
        KeyError: a tensor that every such model has is missing.
    """
    levels = [shapes[f"encoder.down_blocks.{level}.resnets.0.conv1.weight"][0] for level in range(4)]
    return {
        "block_out_channels": levels,
        "latent_channels": shapes["post_quant_conv.weight"][0],
        "norm_num_groups": min(32, levels[0]),
    }


def text_encoder_config(shapes: Shapes) -> dict[str, Any]:
    """Settings of transformers' ``Qwen3Model`` for tensors of these shapes.

    Raises:
        KeyError: a tensor that every such model has is missing.
    """
    attention = "layers.0.self_attn"
    head_dim = shapes[f"{attention}.q_norm.weight"][0]
    vocabulary, width = shapes["embed_tokens.weight"]
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": shapes["layers.0.mlp.gate_proj.weight"][0],
        "num_hidden_layers": sum(name.endswith("self_attn.q_proj.weight") for name in shapes),
        "num_attention_heads": shapes[f"{attention}.q_proj.weight"][0] // head_dim,
        "num_key_value_heads": shapes[f"{attention}.k_proj.weight"][0] // head_dim,
        "head_dim": head_dim,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
        "rms_norm_eps": 1e-6,
    }
