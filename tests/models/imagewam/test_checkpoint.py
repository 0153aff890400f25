"""Checkpoints of ImageWAM: second names, layouts, trainings, and what is wrong with a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from tests.models.imagewam.test_flux2 import tiny
from wam_eval.errors import UserError
from wam_eval.models.imagewam.checkpoint import (
    LIBERO,
    ROBOTWIN,
    check_training,
    open_checkpoint,
    read_training,
    recognise_backbone,
)
from wam_eval.models.imagewam.flux2 import Flux2Backbone, Flux2Config
from wam_eval.models.weights import layout_of, load_checkpoint

TITLE = "ImageWAM on flux2-4b"


def empty(size: Any = "tiny", state_dim: int = 8, action_dim: int = 7) -> Flux2Backbone:
    """A model without memory for its weights."""
    with torch.device("meta"):
        return Flux2Backbone(Flux2Config.of_size(size, state_dim, action_dim))


def payload(model: Flux2Backbone | None = None) -> dict[str, Any]:
    """A checkpoint as the official training saves it, with both names of the blocks."""
    state = dict((model or tiny()).state_dict())
    mot = {name: tensor for name, tensor in state.items() if name.startswith("mixtures.")}
    for name, tensor in list(mot.items()):
        for part in ("double_blocks", "single_blocks"):
            if name.startswith(f"mixtures.video.transformer.{part}."):
                mot[name.replace("transformer.", "")] = tensor
    proprio = {name.partition(".")[2]: tensor for name, tensor in state.items() if name.startswith("proprio_encoder.")}
    return {"mot": mot, "proprio_encoder": proprio, "step": 1000, "torch_dtype": "torch.float32"}


def saved(folder: Path, content: Any) -> Path:
    """The path of a saved checkpoint."""
    torch.save(content, folder / "model.pt")
    return folder / "model.pt"


def refusal(path: Path, model: Flux2Backbone | None = None) -> str:
    """The message with which a checkpoint is refused."""
    with pytest.raises(UserError) as caught:
        open_checkpoint(path, model or empty(), TITLE)
    return str(caught.value)


def test_a_checkpoint_is_loaded(tmp_path: Path) -> None:
    original = tiny()
    opened = open_checkpoint(saved(tmp_path, payload(original)), empty(), TITLE)
    assert opened.step == 1000
    loaded = load_checkpoint(opened, empty(), torch.float32, torch.device("cpu"))
    for name, tensor in original.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_a_converted_file_without_second_names_is_loaded(tmp_path: Path) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in tiny().state_dict().items()}
    save_file(tensors, tmp_path / "model.safetensors")
    assert set(open_checkpoint(tmp_path / "model.safetensors", empty(), TITLE).tensors) == set(tensors)


def test_two_names_with_different_content_are_refused(tmp_path: Path) -> None:
    content = payload()
    name = "mixtures.video.single_blocks.1.linear1.weight"
    content["mot"][name] = content["mot"][name] + 1
    assert f"{name}: the two names of a tensor have different content" in refusal(saved(tmp_path, content))


def test_a_missing_second_name_is_refused(tmp_path: Path) -> None:
    content = payload()
    del content["mot"]["mixtures.video.double_blocks.0.img_attn.proj.weight"]
    message = refusal(saved(tmp_path, content))
    assert "second names of mixtures.video.transformer.double_blocks.0.img_attn.proj.weight are missing" in message


def test_a_second_name_without_a_first_is_refused(tmp_path: Path) -> None:
    content = payload()
    del content["mot"]["mixtures.video.transformer.double_blocks.0.img_attn.proj.weight"]
    message = refusal(saved(tmp_path, content))
    assert "mixtures.video.double_blocks.0.img_attn.proj.weight: there is no tensor of the same name" in message


@pytest.mark.parametrize("change", ["missing", "unexpected", "of another shape"])
def test_a_layout_that_differs_is_named(tmp_path: Path, change: str) -> None:
    content = payload()
    name = "mixtures.action.head.linear.weight"
    if change == "missing":
        del content["mot"][name]
    elif change == "unexpected":
        name = "mixtures.action.extra.weight"
        content["mot"][name] = torch.zeros(1)
    else:
        content["mot"][name] = torch.zeros(2, 2)
    message = refusal(saved(tmp_path, content))
    assert f"1 {change} ({name}" in message and TITLE in message


def test_a_weight_that_is_not_finite_is_named(tmp_path: Path) -> None:
    content = payload()
    content["mot"]["mixtures.action.head.linear.weight"][0, 0] = torch.nan
    opened = open_checkpoint(saved(tmp_path, content), empty(), TITLE)
    with pytest.raises(UserError, match=r"mixtures\.action\.head\.linear\.weight contains numbers that are not finite"):
        load_checkpoint(opened, empty(), torch.float32, torch.device("cpu"))


def test_a_checkpoint_of_another_robot_is_recognised(tmp_path: Path) -> None:
    message = refusal(saved(tmp_path, payload()), empty(state_dim=14, action_dim=14))
    assert "It was trained for robot 'libero'" in message


@pytest.mark.parametrize(
    ("names", "description"),
    [
        (["mixtures.video.blocks.0.self_attn.q.weight"], "a checkpoint of Fast-WAM"),
        (["double_blocks.0.img_attn.qkv.weight"], "an image transformer alone"),
        (["encoder.conv_in.weight"], "an image autoencoder"),
        (["mixtures.video.transformer.double_blocks.0.img_self_attn.qkv.weight"], "ImageWAM on ovis-u1"),
        (["mixtures.video.transformer.context_refiner.0.attn.to_q.weight"], "ImageWAM on omnigen2"),
    ],
)
def test_other_files_are_recognised(tmp_path: Path, names: list[str], description: str) -> None:
    tensors: dict[str, Tensor] = {name: torch.zeros(1) for name in names}
    assert description in refusal(saved(tmp_path, tensors))


@pytest.mark.parametrize("size", ["4b", "9b"])
def test_the_size_of_the_backbone_is_recognised(size: str) -> None:
    assert recognise_backbone(layout_of(empty(size))) == f"flux2-{size}"


def training(folder: Path, **changes: Any) -> Path:
    """A ``train_config.yaml`` with the entries that are read; ``changes`` replace them."""
    values = {"variant": "klein-base-4b", "action_dim": 7, "state_dim": 8, "size": [224, 448], "shift": 5.0, **changes}
    processor = {"action_output_dim": values["action_dim"], "proprio_output_dim": values["state_dim"]}
    content = {
        "model": {
            "_target_": "imagewam.runtime.create_imagewam_flux2_klein",
            "variant": values["variant"],
            "pack_proprio_after_text": True,
            "action_scheduler": {"infer_shift": values["shift"]},
        },
        "data": {"train": {"video_size": values["size"], "processor": processor}},
    }
    (folder / "train_config.yaml").write_text(yaml.safe_dump(content))
    return folder / "train_config.yaml"


def test_a_training_that_fits_passes(tmp_path: Path) -> None:
    check_training(tmp_path / "model.pt", read_training(training(tmp_path)), "flux2-4b", LIBERO, 5.0, True)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"variant": "klein-base-9b"}, "backbone: flux2-9b in the training, flux2-4b here"),
        ({"action_dim": 14, "state_dim": 14}, "numbers of an action: 14 in the training, 7 here"),
        ({"size": [288, 256]}, r"picture \(height, width\): \(288, 256\) in the training, \(224, 448\) here"),
        ({"shift": 1.0}, "shift of the schedule: 1.0 in the training, 5.0 here"),
    ],
)
def test_a_training_that_differs_is_refused(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    found = read_training(training(tmp_path, **changes))
    with pytest.raises(UserError, match=named):
        check_training(tmp_path / "model.pt", found, "flux2-4b", LIBERO, 5.0, True)


def test_the_policy_of_the_training_is_named(tmp_path: Path) -> None:
    found = read_training(training(tmp_path, variant="klein-base-9b"))
    with pytest.raises(UserError, match="--policy imagewam-flux2-9b"):
        check_training(tmp_path / "model.pt", found, "flux2-4b", ROBOTWIN, 5.0, True)


def test_the_place_of_the_state_in_the_training_is_respected(tmp_path: Path) -> None:
    found = replace(read_training(training(tmp_path)), backbone="omnigen2")
    with pytest.raises(UserError, match=r"pack_proprio: True in the training, False here.*imagewam-omnigen2-packed"):
        check_training(tmp_path / "model.pt", found, "omnigen2", LIBERO, 5.0, False)
    behind = replace(found, packed=False)
    check_training(tmp_path / "model.pt", behind, "omnigen2", LIBERO, 5.0, False)
    check_training(tmp_path / "model.pt", replace(behind, backbone="ovis-u1"), "ovis-u1", LIBERO, 5.0, True)


@pytest.mark.parametrize("content", ["[", "a: b", "model: {_target_: fastwam.runtime.create_fastwam}"])
def test_a_file_that_is_no_training_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "train_config.yaml").write_text(content)
    with pytest.raises(UserError, match=r"train_config\.yaml"):
        read_training(tmp_path / "train_config.yaml")
