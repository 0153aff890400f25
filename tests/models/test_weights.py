"""Weights: checkpoints are read, other files are described, layouts are compared, and loading is strict."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.builders.systems import preloaded
from wam_eval.errors import UserError
from wam_eval.models.weights import (
    Layout,
    check_free,
    check_layout,
    check_memory,
    find_device,
    layout_of,
    load_weights,
    random_weights,
    read_checkpoint,
    recognise,
)

KNOWN = {"dit": "an old checkpoint", "encoder.conv1.": "a VAE"}
Save = Callable[..., Path]


def weights(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype)


def payload() -> dict[str, Any]:
    """The content of a file that training saves, with one tensor of each part."""
    return {
        "mot": {"mixtures.video.head.weight": weights(4, 3), "mixtures.action.head.weight": weights(7, 5)},
        "proprio_encoder": {"weight": weights(6, 8), "bias": weights(6)},
        "step": 20000,
        "torch_dtype": "torch.bfloat16",
    }


def flat() -> dict[str, Tensor]:
    """The same tensors under the names of the model."""
    parts = payload()
    return parts["mot"] | {f"proprio_encoder.{name}": tensor for name, tensor in parts["proprio_encoder"].items()}


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def save(content: Any, name: str = "step_020000.pt", **options: Any) -> Path:
        if name.endswith(".safetensors"):
            save_file(content, tmp_path / name)
        else:
            torch.save(content, tmp_path / name, **options)
        return tmp_path / name

    return save


def fault(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_checkpoint(path, KNOWN)
    return str(caught.value)


def assert_is_payload(tensors: dict[str, Tensor]) -> None:
    assert tensors.keys() == flat().keys()
    for name, tensor in flat().items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype


def test_the_parts_of_a_training_checkpoint_are_joined(save: Save) -> None:
    checkpoint = read_checkpoint(save(payload()), KNOWN)
    assert_is_payload(checkpoint.tensors)
    assert (checkpoint.step, checkpoint.dtype) == (20000, torch.bfloat16)


def test_safetensors_have_the_same_names(save: Save) -> None:
    checkpoint = read_checkpoint(save(flat(), "model.safetensors"), KNOWN)
    assert_is_payload(checkpoint.tensors)
    assert checkpoint.step is None


@pytest.mark.parametrize("content", [payload(), flat()], ids=["parts", "flat"])
def test_the_format_is_detected_from_the_content(save: Save, content: dict[str, Any]) -> None:
    assert_is_payload(read_checkpoint(save(content, "weights.bin"), KNOWN).tensors)
    renamed = save(flat(), "x.safetensors").rename(save(content).parent / "y.pt")
    assert_is_payload(read_checkpoint(renamed, KNOWN).tensors)


def test_the_state_of_an_optimizer_is_ignored(save: Save) -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    assert_is_payload(read_checkpoint(save(payload() | {"optimizer": optimizer.state_dict()}), KNOWN).tensors)


def test_a_file_is_mapped_and_not_read(save: Save) -> None:
    path = save({"mot": {"large": torch.zeros(25_000_000)}})
    before = anonymous_memory()
    checkpoint = read_checkpoint(path, KNOWN)
    assert anonymous_memory() - before < 50_000_000
    assert checkpoint.tensors["large"].nbytes == 100_000_000


def anonymous_memory() -> int:
    """Memory of this process in bytes, without mapped files."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) * 1024


def test_number_formats_may_be_mixed(save: Save) -> None:
    content = payload()
    content["proprio_encoder"]["bias"] = weights(6, dtype=torch.float32)
    assert read_checkpoint(save(content), KNOWN).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn, torch.float64])
def test_other_number_formats_are_refused(save: Save, dtype: torch.dtype) -> None:
    content = payload()
    content["mot"]["mixtures.video.head.weight"] = torch.zeros(4, 3).to(dtype)
    expected = f"mixtures.video.head.weight is {str(dtype).removeprefix('torch.')}, allowed are bfloat16"
    assert expected in fault(save(content))


def test_files_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    assert "none.pt cannot be read: No such file" in fault(tmp_path / "none.pt")
    (tmp_path / "empty.pt").touch()
    assert "empty.pt is empty. Download it again" in fault(tmp_path / "empty.pt")
    assert "is a folder; give the checkpoint's file. It contains empty.pt" in fault(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_an_incomplete_download(save: Save, share: float) -> None:
    path = save({"mot": {"a": weights(1000)}})
    path.write_bytes(path.read_bytes()[: 10 + int(share * (path.stat().st_size - 11))])
    assert f"is incomplete: its end is missing after {path.stat().st_size} bytes" in fault(path)


@pytest.mark.parametrize("size", [12, 40, 500])
def test_an_incomplete_download_of_safetensors(save: Save, size: int) -> None:
    path = save({"a": weights(1000)}, "model.safetensors")
    path.write_bytes(path.read_bytes()[:size])
    assert "is incomplete or damaged" in fault(path)
    assert f"{size} bytes" in fault(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12041813092\n", "Git LFS pointer"),
        (b"<!DOCTYPE html>\n<html><title>Sign in</title>", "it is a text.*<!DOCTYPE html> <html><title>Sign in"),
        (b"Entry not found", "it is a text.*Entry not found"),
        (bytes(range(129, 256)), "begins neither like a PyTorch file nor like a safetensors file"),
        (b"\x00" * 64, "begins neither like"),
        (b"PK\x03\x04 but not an archive", "is incomplete"),
    ],
)
def test_other_files_saved_under_the_name(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(UserError, match=expected):
        read_checkpoint(tmp_path / "model.pt", KNOWN)


def test_archives_that_pytorch_did_not_write(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "runs.zip", "w") as archive:
        archive.writestr("run/notes.txt", "lr 1e-4")
    assert "is not a PyTorch file, or is damaged" in fault(tmp_path / "runs.zip")


def test_files_of_old_pytorch_can_be_saved_again(save: Save) -> None:
    assert "bare pickle" in fault(save(payload(), _use_new_zipfile_serialization=False))


class Harm:
    """An object whose pickle creates a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_objects_are_not_loaded_and_run_no_code(save: Save, tmp_path: Path) -> None:
    message = fault(save(payload() | {"extra": Harm(tmp_path / "harm")}))
    assert "contains objects other than tensors (posix.mkdir)" in message
    assert "refused" in message
    assert not (tmp_path / "harm").exists()
    assert "(argparse.Namespace)" in fault(save(payload() | {"arguments": argparse.Namespace()}))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([1, 2], "contains a list, not a dictionary of weights"),
        ({}, "contains nothing, but no weights under 'mot'"),
        (
            {"model": {}, "epoch": 3},
            "model, epoch, but no weights under 'mot'. Training saves checkpoints as checkpoints/",
        ),
        ({"dit": {}}, "It looks like an old checkpoint"),
        ({"mot": {}}, "contains no tensors"),
        ({"mot": [1]}, r"mot is not a dictionary of tensors \(found \[1\]\)"),
        ({"mot": {"a": 3}}, r"a is not a tensor \(found 3\)"),
        ({"mot": {"a": weights(1)}, "proprio_encoder": None}, "proprio_encoder is not a dictionary of tensors"),
        ({"mot": {"proprio_encoder.a": weights(1)}, "proprio_encoder": {"a": weights(1)}}, "proprio_encoder.a twice"),
        ({"mot": {"a": weights(1).to_sparse()}}, "a is not a dense tensor"),
    ],
)
def test_other_contents(save: Save, content: Any, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        read_checkpoint(save(content), KNOWN)


MODEL: Layout = {"video.weight": (4, 3), "action.weight": (7, 5), "encoder.weight": (6, 8), "encoder.bias": (6,)}


def misfit(found: Layout, explain: Callable[[Layout, Layout], str] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        check_layout(found, MODEL, Path("step.pt"), "the model", explain)
    return str(caught.value)


def test_differences_are_counted_and_the_first_are_named() -> None:
    check_layout(dict(MODEL), MODEL, Path("step.pt"), "the model")
    found: Layout = {**MODEL, **{f"extra.{i}": (1,) for i in range(5)}, "video.weight": (9,)}
    found = {name: shape for name, shape in found.items() if name != "encoder.bias"}
    expected = (
        "step.pt does not fit the model, which has 4 tensors: 1 missing (encoder.bias), 5 unexpected (extra.0, "
        "extra.1, extra.2, …), 1 of another shape (video.weight 9 instead of 4x3)"
    )
    assert misfit(found) == expected
    assert misfit(found, lambda found, expected: f"Of {len(expected)} it has {len(found)}") == (
        expected + ". Of 4 it has 8"
    )


def test_files_are_recognised_by_a_prefix() -> None:
    assert recognise({"encoder.conv1.weight": (1,), "a": (2,)}, KNOWN) == "It looks like a VAE"
    assert recognise({"a": (2,)}, KNOWN) == ""


class Tied(nn.Module):
    """A model with two names for one parameter, and a normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 2)
        self.second = nn.Linear(3, 2, bias=False)
        self.second.weight = self.first.weight
        self.norm = nn.LayerNorm(2)


def empty() -> Tied:
    with torch.device("meta"):
        return Tied()


def tied_weights() -> dict[str, Tensor]:
    return {name: torch.ones(shape) for name, shape in layout_of(empty()).items()}


def test_a_shared_parameter_belongs_to_the_layout_once() -> None:
    assert layout_of(Tied()) == {
        "first.weight": (2, 3),
        "first.bias": (2,),
        "norm.weight": (2,),
        "norm.bias": (2,),
    }


def test_weights_are_loaded_cast_and_frozen() -> None:
    model = load_weights(empty(), tied_weights(), "a file", torch.bfloat16, "cpu")
    assert model.first.weight.dtype == torch.bfloat16 and (model.first.weight == 1).all()
    assert not model.training and not any(parameter.requires_grad for parameter in model.norm.parameters())


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(number: float) -> None:
    tensors = tied_weights()
    tensors["first.weight"][1, 2] = number
    with pytest.raises(UserError, match=r"a file: first\.weight contains numbers that are not finite"):
        load_weights(empty(), tensors, "a file", torch.float32, "cpu")


def randomised(seed: int, dtype: torch.dtype = torch.float32) -> Tied:
    return random_weights(empty(), seed, dtype, "cpu")


def test_random_weights_are_determined_by_the_seed() -> None:
    one, again, other = randomised(3), randomised(3), randomised(4)
    for (name, tensor), same in zip(one.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(tensor, same), name
    assert not torch.equal(one.first.weight, other.first.weight)


def test_random_weights_leave_the_global_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    randomised(0)
    assert torch.equal(torch.rand(1), expected)


def test_random_scales_of_normalisations_are_one() -> None:
    model = randomised(0)
    assert (model.norm.weight == 1).all()
    assert model.norm.bias.abs().max() < 0.2


def test_a_model_with_random_weights_is_ready_for_inference() -> None:
    model = randomised(0, torch.bfloat16)
    assert not model.training
    assert all(p.dtype == torch.bfloat16 and not p.requires_grad and p.isfinite().all() for p in model.parameters())


def test_a_missing_gpu_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("cpu") == torch.device("cpu")
    with pytest.raises(UserError, match="finds no NVIDIA GPU"):
        find_device("cuda")


def test_too_little_memory_names_both_numbers() -> None:
    check_free(15.5, 15.6, "GPU")
    check_memory(1e9, torch.device("cpu"))
    with pytest.raises(UserError, match=r"GeForce \(24 GiB\) has 9\.0 GiB free; the model needs 15\.5 GiB"):
        check_free(15.5, 9.0, "GeForce (24 GiB)")


NO_MAPPED_FILES = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static void *map(const char *name, void *address, size_t size, int protection, int flags, int file, off_t offset) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = file < 0 ? -1 : readlink(link, path, sizeof path - 1);
    if (length > 0 && (path[length] = 0, strstr(path, "/unmapped/"))) { errno = ENODEV; return MAP_FAILED; }
    void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, name);
    return real(address, size, protection, flags, file, offset);
}
void *mmap(void *a, size_t s, int p, int f, int file, off_t o) { return map("mmap", a, s, p, f, file, o); }
void *mmap64(void *a, size_t s, int p, int f, int file, off_t o) { return map("mmap64", a, s, p, f, file, o); }
"""


def test_weights_are_read_from_a_file_system_that_cannot_map_files(tmp_path: Path) -> None:
    folder = tmp_path / "unmapped"
    folder.mkdir()
    tensors = {"a": torch.arange(4.0)}
    torch.save(tensors, folder / "weights.pt")
    save_file(tensors, folder / "weights.safetensors")
    code = """
import sys
from pathlib import Path
from wam_eval.models.weights import _load_pickle, _load_safetensors
folder = Path(sys.argv[1])
print(_load_pickle(folder / "weights.pt")["a"].sum().item())
print(_load_safetensors(folder / "weights.safetensors")["a"].sum().item())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, **preloaded(NO_MAPPED_FILES, tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "6.0\n6.0\n", done.stderr
