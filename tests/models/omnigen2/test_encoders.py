"""OmniGen2's encoders: the numbers of the official code, sizes, files in both layouts, and faults of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor
from transformers import Qwen2_5_VLTextConfig, Qwen2_5_VLTextModel

from wam_eval.errors import UserError
from wam_eval.models.imagewam.checkpoint import PROMPT
from wam_eval.models.omnigen2.encoders import (
    TEXT_SIZES,
    OmniGen2TextEncoder,
    load_text_encoder,
    load_vae,
    random_text_encoder,
    random_vae,
)
from wam_eval.models.omnigen2.files import OMNIGEN2, QWEN, text_encoder_config
from wam_eval.models.weights import layout_of

torch.set_num_threads(1)  # With models this small, more threads are slower.

CPU = torch.device("cpu")
BOWL = PROMPT.format(task="put the bowl on the plate")
# Of the official code (ImageWAM 5d4a341, transformers 4.51.3) with the weights below and a context of 128 tokens, which
# are bytes here: first and last four channels of the first and the last token, and of the first of the padding.
EXPECTED = {
    torch.float32: {
        0: ((0.63724, 1.26615, -1.39516, -0.42775), (0.32746, 0.51897, -1.25209, 0.87946)),
        108: ((-0.17793, 2.09706, 0.02413, 0.31554), (0.27772, 1.16012, -0.41802, -0.24176)),
        109: ((-0.00708, 0.33595, 0.08952, 0.23983), (2.02285, 2.03089, -0.65141, -0.72163)),
    },
    torch.bfloat16: {
        0: ((0.63281, 1.26562, -1.39844, -0.43164), (0.32812, 0.51172, -1.25781, 0.89062)),
        108: ((-0.17676, 2.09375, 0.02966, 0.31836), (0.2832, 1.15625, -0.42188, -0.22949)),
        109: ((-0.00427, 0.33594, 0.09473, 0.23047), (2.01562, 2.03125, -0.64844, -0.72266)),
    },
}
WITHIN = {torch.float32: 2e-5, torch.bfloat16: 0.02}


def encoder(dtype: torch.dtype = torch.float32, length: int = 128) -> OmniGen2TextEncoder:
    """A tiny text encoder with random weights."""
    return random_text_encoder("tiny", length, dtype, CPU)


@pytest.mark.parametrize("dtype", WITHIN)
def test_embeddings_are_those_of_the_official_code(dtype: torch.dtype) -> None:
    (embedded,) = encoder(dtype).encode([BOWL])
    assert embedded.shape == (110, 32) and embedded.dtype == dtype
    for token, (first, last) in EXPECTED[dtype].items():
        assert embedded[token, :4].tolist() == pytest.approx(first, abs=WITHIN[dtype])
        assert embedded[token, -4:].tolist() == pytest.approx(last, abs=WITHIN[dtype])


def test_a_long_prompt_is_cut_off_and_has_no_padding() -> None:
    long, short = encoder(length=32).encode([BOWL, "short"])
    assert long.shape == (33, 32) and not long[-1].any()
    assert short.shape == (7, 32) and short[-1].any()


def test_the_published_encoders_have_these_parameters() -> None:
    with torch.device("meta"):
        text = layout_of(Qwen2_5_VLTextModel(Qwen2_5_VLTextConfig(**text_encoder_config(**TEXT_SIZES["full"]))))
    vae = layout_of(random_vae("full", torch.float32, CPU).model)
    assert text["layers.35.self_attn.k_proj.bias"] == (256,) and text["norm.weight"] == (2048,)
    assert len(text) == 434 and sum(torch.Size(shape).numel() for shape in text.values()) == 3_085_938_688
    assert vae["decoder.conv_in.weight"] == (512, 16, 3, 3) and "quant_conv.weight" not in vae
    assert sum(torch.Size(shape).numel() for shape in vae.values()) == 83_819_683


# Files


def write_omnigen2_encoders(
    folder: Path, prefix: str = "model.", visual: str = "visual.", text: OmniGen2TextEncoder | None = None
) -> None:
    """A folder with both downloads: the autoencoder, and Qwen2.5-VL in two files with an index and its tokenizer.

    Args:
        folder: it is created.
        prefix, visual: prefixes of the tensors of the language model and of the visual part.
        text: the language model; tiny with random weights by default.
    """
    folder.mkdir(exist_ok=True)
    text = text or encoder()
    tensors = {f"{prefix}{name}": tensor for name, tensor in text.model.state_dict().items()}
    tensors |= {f"{visual}blocks.0.attn.qkv.weight": torch.zeros(2, 2), "lm_head.weight": torch.zeros(2, 2)}
    write_shards(folder, tensors)
    text._tokenizer.save_pretrained(folder)
    random_vae("tiny", torch.float32, CPU).model.save_pretrained(folder / "vae")


def write_shards(folder: Path, tensors: dict[str, Tensor]) -> None:
    """The files of weights of Qwen2.5-VL."""
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: tensors[name].contiguous() for name in part}, folder / file)
    places = {name: file for file, part in shards.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


@pytest.mark.parametrize(
    ("prefix", "visual"), [("model.", "visual."), ("model.language_model.", "model.visual.")], ids=["old", "new"]
)
def test_a_folder_gives_both_encoders(tmp_path: Path, prefix: str, visual: str) -> None:
    text = encoder()
    write_omnigen2_encoders(tmp_path, prefix, visual, text)
    assert OMNIGEN2.find(str(tmp_path)) == QWEN.find(str(tmp_path)) == tmp_path
    loaded = load_text_encoder(tmp_path, "tiny", 128, torch.float32, CPU)
    assert torch.equal(loaded.encode([BOWL])[0], text.encode([BOWL])[0])
    vae, same = load_vae(tmp_path, "tiny", torch.float32, CPU), random_vae("tiny", torch.float32, CPU)
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(vae.encode(images, [0]), same.encode(images, [0]))
    config = AutoencoderKL.load_config(tmp_path / "vae")
    assert (config["scaling_factor"], config["shift_factor"]) == (0.3611, 0.1159)


def test_faults_of_a_file_are_named(tmp_path: Path) -> None:
    text = encoder()
    write_omnigen2_encoders(tmp_path, text=text)
    tensors = {f"model.{name}": tensor for name, tensor in text.model.state_dict().items()}
    changed = {**tensors, "model.norm.weight": torch.ones(3), "other.weight": torch.ones(1)}
    changed.pop("model.layers.1.self_attn.k_proj.bias")
    write_shards(tmp_path, changed)
    with pytest.raises(UserError, match=r"Qwen2\.5-VL.*1 missing \(layers\.1\.self_attn\.k_proj\.bias\), 1 unexpected"):
        load_text_encoder(tmp_path, "tiny", 128, torch.float32, CPU)
    write_shards(tmp_path, {**tensors, "model.norm.weight": torch.full((32,), torch.inf)})
    with pytest.raises(UserError, match=r"norm\.weight contains numbers that are not finite"):
        load_text_encoder(tmp_path, "tiny", 128, torch.float32, CPU)
    with pytest.raises(UserError, match=r"does not fit the autoencoder of OmniGen2, which has 244 tensors"):
        load_vae(tmp_path, "full", torch.float32, CPU)


def test_missing_files_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAM_EVAL_OMNIGEN2", str(tmp_path))
    with pytest.raises(UserError, match=r"lacks OmniGen2's vae\. .*hf download OmniGen2/OmniGen2 --include 'vae/\*'"):
        OMNIGEN2.find()
    with pytest.raises(
        UserError, match=r"lacks OmniGen2's text encoder and .*hf download Qwen/Qwen2\.5-VL-3B-Instruct"
    ):
        QWEN.find()
    with pytest.raises(UserError, match=r"the setting `encoders` names .* lacks OmniGen2's vae"):
        OMNIGEN2.find(str(tmp_path))
