"""Weights of a model: read from checkpoint files, compared with the layout, loaded on a device, or drawn at random.

Files are memory-mapped, so that tensors cost nothing until they are used. A file that cannot be a checkpoint is
described in the error message: a Git LFS pointer, a saved web page, an incomplete download.
"""

from __future__ import annotations

import functools
import mmap
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor, nn

from wam_eval.errors import UserError, first_line

Layout = Mapping[str, tuple[int, ...]]
"""Name of a tensor -> shape."""
Model = TypeVar("Model", bound=nn.Module)

FLOATS = (torch.bfloat16, torch.float16, torch.float32)
"""Number formats of a checkpoint's tensors. A checkpoint may mix them; loading casts to the model's format."""
SHOWN = 3
"""Names of tensors that a message lists."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, memory-mapped.

    Attributes:
        tensors: name in the model's ``state_dict`` -> tensor on the CPU, as it was saved.
        step: training step, if the file contains it.
        dtype: the smallest number format that represents all tensors.
    """

    tensors: dict[str, Tensor]
    step: int | None
    dtype: torch.dtype


def read_checkpoint(path: Path, known: Mapping[str, str]) -> Checkpoint:
    """Read a checkpoint as training saves it (``.pt``), or a safetensors file with the names of the model.

    A ``.pt`` file contains the transformers' tensors under ``mot`` and those of the state encoder under
    ``proprio_encoder``. An optimizer's state in it is ignored. The format is detected from the content, not from the
    name of the file.

    Args:
        path: the file.
        known: prefix of a tensor's name -> description of the files that contain such names, for the error message.

    Raises:
        UserError: the file is missing, or is not such a checkpoint.
    """
    payload = read_tensor_file(path)
    tensors = _named_tensors(payload, path, known)
    step = payload.get("step")
    dtype = functools.reduce(torch.promote_types, {tensor.dtype for tensor in tensors.values()})
    return Checkpoint(tensors, step if isinstance(step, int) else None, dtype)


def read_tensor_file(path: Path) -> Any:
    """The content of a PyTorch or safetensors file, memory-mapped; of the latter a dictionary of tensors.

    Only tensors and plain values are loaded, because loading other objects can run arbitrary code.

    Raises:
        UserError: the file is missing, incomplete, or of another format.
    """
    head = _head(path)
    header_length = int.from_bytes(head[:8], "little")
    if head.startswith(b"PK\x03\x04"):
        return _load_pickle(path)
    if head[8:9] == b"{" and header_length < 100_000_000:  # the limit of the safetensors format
        return _load_safetensors(path)
    raise UserError(f"{path} is not a file of weights: {_describe_head(head)}")


def read_tensors(files: Iterable[Path]) -> dict[str, Tensor]:
    """All tensors of some files, memory-mapped.

    Raises:
        UserError: a file is missing, incomplete, of another format, or contains anything else.
    """
    tensors: dict[str, Tensor] = {}
    for file in files:
        content = read_tensor_file(file)
        if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
            raise UserError(f"{file} contains objects other than tensors")
        tensors |= content
    return tensors


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of tensors."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def layout_of(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a model's parameters; a shared parameter occurs once."""
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def check_layout(
    found: Layout, expected: Layout, path: Path, model: str, explain: Callable[[Layout, Layout], str] | None = None
) -> None:
    """Compare the tensors of a file with those of a model.

    Args:
        found: layout of the file.
        expected: layout of the model.
        path: the file, for the message.
        model: name of the model, for the message.
        explain: describes a layout that differs, given both; empty if it cannot.

    Raises:
        UserError: tensors are missing, unexpected, or have another shape.
    """
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    misshapen = [
        f"{name} {_shape(found[name])} instead of {_shape(shape)}"
        for name, shape in expected.items()
        if name in found and tuple(found[name]) != tuple(shape)
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    faults = [f"{len(names)} {kind} ({first_names(names)})" for kind, names in kinds.items() if names]
    if faults:
        hint = explain(found, expected) if explain else ""
        raise UserError(
            f"{path} does not fit {model}, which has {len(expected)} tensors: {', '.join(faults)}{hint and '. ' + hint}"
        )


def first_names(names: Sequence[str]) -> str:
    """The first names of tensors, for messages."""
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def recognise(names: Mapping[str, Any], known: Mapping[str, str]) -> str:
    """Describe a file by the names in it; empty if none is known.

    Args:
        names: names of tensors, or other keys of the file.
        known: prefix of a name -> description.
    """
    matches = (what for prefix, what in known.items() if any(name.startswith(prefix) for name in names))
    return next((f"It looks like {what}" for what in matches), "")


def config_of(
    read: Callable[[Mapping[str, Sequence[int]]], dict[str, Any]], tensors: Mapping[str, Tensor], file: Path, title: str
) -> dict[str, Any]:
    """The settings of a library's model, which follow from the shapes of its tensors.

    Args:
        read: determines the settings; raises :class:`KeyError` if it needs a tensor that is not there.
        tensors: of the file, under the names of the library.
        file, title: the file, and the name of the model, for the message.

    Raises:
        UserError: a tensor is not there.
    """
    try:
        return read(shapes_of(tensors))
    except KeyError as error:
        raise UserError(f"{file} is not {title}: it has no tensor {error}") from error


def load_file_weights(
    model: Model,
    tensors: Mapping[str, Tensor],
    file: Path,
    title: str,
    dtype: torch.dtype,
    device: torch.device | str,
) -> Model:
    """Compare the tensors of a file with a model on the meta device, then load them into it.

    Args:
        model: the model.
        tensors: of the file, under the names of the model.
        file, title: the file, and the name of the model, for messages.
        dtype, device: of the loaded model.

    Returns:
        The model itself, as :func:`load_weights` leaves it.

    Raises:
        UserError: the layouts differ (:func:`check_layout`), or a weight is not finite.
    """
    check_layout(shapes_of(tensors), layout_of(model), file, title)
    return load_weights(model, tensors, str(file), dtype, device)


def load_weights(
    model: Model, tensors: Mapping[str, Tensor], source: str, dtype: torch.dtype, device: torch.device | str
) -> Model:
    """Load weights into a model on the meta device.

    Each tensor is copied from the mapped file to the device by itself, so that the model is in memory only once.

    Args:
        model: its parameters have the names and shapes of ``tensors`` (:func:`check_layout`).
        tensors: name -> tensor.
        source: name of the file or checkpoint, for the message.
        dtype, device: of the loaded model.

    Returns:
        The model itself, in evaluation mode and without gradients.

    Raises:
        UserError: a weight is not finite.
    """
    loaded = {}
    for name, tensor in tensors.items():
        loaded[name] = tensor.to(device, dtype).contiguous()
        if not loaded[name].isfinite().all():
            raise UserError(
                f"{source}: {name} contains numbers that are not finite: its training diverged, or the file is "
                "damaged. Compare its SHA-256 with the one that the publisher states"
            )
    # Not strict, because a shared parameter has further names in the state dict.
    model.load_state_dict(loaded, strict=False, assign=True)
    return model.eval().requires_grad_(False)


def random_weights(model: Model, seed: int, dtype: torch.dtype, device: torch.device | str) -> Model:
    """Draw random weights for a model on the meta device, for tests and for measuring speed without a checkpoint.

    The weights are drawn in place, so that the model is in memory only once. They are the same on every machine if
    ``device`` is the CPU. Scales of normalisations are 1; all other weights are drawn so that activations neither
    vanish nor explode. If ``device`` is the meta device, nothing is drawn: parameters and operations can be counted
    without memory for them.

    Returns:
        The model itself, in evaluation mode and without gradients.
    """
    nn.Module.to(model, dtype)  # Libraries override `to` to keep some parts in float32.
    if torch.device(device).type == "meta":
        return model.eval().requires_grad_(False)
    model.to_empty(device=device)
    generator = torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("gamma", "scale")) or ("norm" in name and name.endswith("weight")):
                parameter.fill_(1.0)
            else:
                spread = parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.02
                parameter.normal_(0.0, spread, generator=generator)
    return model.eval().requires_grad_(False)


def load_checkpoint(
    checkpoint: Checkpoint | None, model: Model, dtype: torch.dtype, device: torch.device | str
) -> Model:
    """Load a checkpoint into a model on the meta device, or draw random weights if there is none.

    Raises:
        UserError: a weight is not finite.
    """
    if checkpoint is None:
        return random_weights(model, 0, dtype, device)
    return load_weights(model, checkpoint.tensors, "the checkpoint", dtype, device)


def place_rotary_buffers(model: Any, device: torch.device | str) -> None:
    """Compute the rotary frequencies of one of transformers' language models.

    They are in no file, and have no content after the model was on the meta device.
    """
    model.rotary_emb = type(model.rotary_emb)(model.config).to(device)


def _head(path: Path) -> bytes:
    """The first bytes of a file."""
    try:
        if path.is_dir():
            files = sorted(file.name for file in path.iterdir() if file.suffix in (".pt", ".safetensors"))
            hint = f". It contains {first_names(files)}" if files else ""
            raise UserError(f"{path} is a folder; give the checkpoint's file{hint}")
        with path.open("rb") as file:
            head = file.read(200)
    except OSError as error:
        raise UserError(f"checkpoint {path} cannot be read: {error.strerror}") from error
    if not head:
        raise UserError(f"{path} is empty. Download it again")
    return head


def _describe_head(head: bytes) -> str:
    """Describe a file of neither format by its first bytes."""
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, which stands for the file. Fetch the file itself: git lfs pull"
    if head[:1] == b"\x80":
        return "it is a bare pickle. If PyTorch before 1.6 wrote it, load it and save it again with torch.save"
    if re.fullmatch(rb"[\t\r\n\x20-\x7e]+", head):
        text = " ".join(head.decode("ascii").split())
        return f"it is a text, such as a web page or an error message saved by mistake ({text:.60}…). Download it again"
    return "it begins neither like a PyTorch file nor like a safetensors file. Download it again"


def _load_pickle(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        raise UserError(
            f"{path} is incomplete: its end is missing after {path.stat().st_size} bytes. Download it again"
        )
    try:
        return _load_mapped(path)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" ({named[1]})" if named else ""
        raise UserError(
            f"{path} contains objects other than tensors{what}. It is refused because loading them can run arbitrary "
            "code. Save it again with tensors and plain values only"
        ) from error
    except Exception as error:  # PyTorch raises errors of many types for archives that it did not write.
        reason = first_line(error)
        raise UserError(f"{path} is not a PyTorch file, or is damaged: {reason:.200}. Download it again") from error


def _load_mapped(path: Path) -> Any:
    """The content of a PyTorch file, mapped into memory, or read if its file system cannot map files."""
    try:
        with path.open("rb") as file:
            mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_READ).close()
        mapped = True
    except OSError:
        mapped = False
    return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except OSError:  # the file system cannot map files
        return load(path.read_bytes())
    except SafetensorError as error:
        size = path.stat().st_size
        raise UserError(f"{path} is incomplete or damaged ({error}; {size} bytes). Download it again") from error


def _named_tensors(payload: Any, path: Path, known: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors of a checkpoint under the names of the model."""
    if not isinstance(payload, Mapping):
        raise UserError(f"{path} contains a {type(payload).__name__}, not a dictionary of weights")
    if "mot" in payload:
        parts = {"": payload["mot"], "proprio_encoder.": payload.get("proprio_encoder", {})}
    elif payload and all(isinstance(value, Tensor) for value in payload.values()):
        parts = {"": payload}
    else:
        names = {str(name): None for name in payload}
        hint = recognise(names, known) or "Training saves checkpoints as checkpoints/weights/step_….pt"
        raise UserError(f"{path} contains {first_names(list(names)) or 'nothing'}, but no weights under 'mot'. {hint}")
    tensors: dict[str, Any] = {}
    for prefix, part in parts.items():
        if not isinstance(part, Mapping):
            raise UserError(
                f"{path}: {prefix.rstrip('.') or 'mot'} is not a dictionary of tensors (found {part!r:.60})"
            )
        for name, tensor in part.items():
            if f"{prefix}{name}" in tensors:
                raise UserError(f"{path} contains {prefix}{name} twice. Save it again with one of them")
            tensors[f"{prefix}{name}"] = tensor
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise UserError(f"{path}: {name} is not a tensor (found {tensor!r:.60})")
        if tensor.dtype not in FLOATS:
            allowed = ", ".join(_dtype(dtype) for dtype in FLOATS)
            raise UserError(f"{path}: {name} is {_dtype(tensor.dtype)}, allowed are {allowed}. Save it again as one")
        if tensor.layout != torch.strided or tensor.is_meta:
            raise UserError(
                f"{path}: {name} is not a dense tensor with content ({tensor.layout}, {tensor.device}). Save it again"
            )
    if not tensors:
        raise UserError(f"{path} contains no tensors")
    return tensors


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def find_device(name: str) -> torch.device:
    """The device ``cuda`` or ``cpu``. Ray selects the GPU that a worker sees as ``cuda``.

    Raises:
        UserError: PyTorch finds no GPU.
    """
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        among = "" if visible is None else f" among those of CUDA_VISIBLE_DEVICES={visible} (unset it to see all)"
        raise UserError(
            f"device {name!r}: PyTorch {torch.__version__} finds no NVIDIA GPU on this machine{among}. A policy with "
            "`device: cpu` and `gpus: 0` runs without one, at full size about half a minute per chunk; the policies "
            "named …-tiny are small enough for a CPU"
        )
    return device


def check_memory(needed: float, device: torch.device) -> None:
    """Check that a GPU has enough free memory; a CPU is not checked.

    Args:
        needed: GiB.
        device: device that the model is loaded to.

    Raises:
        UserError: less is free; it names both numbers.
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        check_free(needed, free / 2**30, f"{torch.cuda.get_device_name(device)} ({total / 2**30:.0f} GiB)")


def check_free(needed: float, free: float, name: str) -> None:
    """Raise :class:`UserError` if fewer GiB are free on the device of this name than are needed."""
    if free < needed:
        raise UserError(
            f"{name} has {free:.1f} GiB free; the model needs {needed:.1f} GiB. End other programs on it "
            "(nvidia-smi lists them), use a larger GPU, or set `dtype: bfloat16` if it is float32"
        )
