"""Vulkan for SAPIEN: a GPU if there is one, else the CPU with Mesa's lavapipe driver.

A device is accepted if SAPIEN itself opens it. If the user names drivers in ``VK_DRIVER_FILES`` or
``VK_ICD_FILENAMES``, only these are tried. Otherwise the system's drivers are tried, of which SAPIEN prefers NVIDIA's,
and then the lavapipe driver that ``make setup`` downloads (:mod:`wam_eval.hosting.lavapipe`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, partial

from wam_eval.hosting import lavapipe
from wam_eval.hosting.renderer import (
    RendererError,
    described_settings,
    is_gpu,
    print_choice,
    settings_at_fault,
    try_in_process,
)
from wam_eval.simulator import Renderer

CHOICE = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")
"""Variables that name drivers; loaders read the first if both are set."""

SETTINGS = (
    *CHOICE,
    "VK_ADD_DRIVER_FILES",
    "VK_LOADER_DRIVERS_SELECT",
    "VK_LOADER_DRIVERS_DISABLE",
    "VK_LOADER_DEVICE_SELECT",
    "VK_INSTANCE_LAYERS",
    "VK_LAYER_PATH",
    "MESA_VK_DEVICE_SELECT",
    "CUDA_VISIBLE_DEVICES",
    "DISPLAY",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
)
"""Environment variables that may be settings of another machine."""

TIMEOUT = 60.0  # seconds; a first import on a cold disk takes 10

# Opens the device and draws nothing, because the first image takes a CPU at least 7 s of shader compilation.
# The process ends without cleaning up, because renderers have been seen to hang there.
PROBE = """
import json, os, warnings
warnings.simplefilter("ignore")
try:
    import sapien
    answer = [sapien.render.RenderSystem().device.name]
except Exception as error:
    answer = f"{type(error).__name__}: {error}"
print(json.dumps(answer), flush=True)
os._exit(0)
"""


@cache
def choose_device(python: str = sys.executable) -> Renderer:
    """Find a Vulkan device by trying them.

    Args:
        python: interpreter whose SAPIEN renders.

    Raises:
        RendererError: there is none; the text says what was tried and what to type.
    """
    chosen = any(os.environ.get(name) for name in CHOICE)
    candidates: dict[str, dict[str, str]] = {"the chosen driver" if chosen else "the system's drivers": {}}
    if not chosen and lavapipe.environment():
        candidates["lavapipe"] = lavapipe.environment()
    failures = []
    for name, environment in candidates.items():
        try:
            return try_device(name, environment, python)
        except RendererError as error:
            failures.append(str(error))
    if variables := settings_at_fault(SETTINGS, partial(_works_without, python)):
        raise RendererError(
            f"SAPIEN cannot render with {described_settings(variables)}:\n"
            + "".join(f"  {line}\n" for line in failures)
            + f"Unset {' and '.join(variables)}: SAPIEN renders here without it"
        )
    hint = f"Unset {' and '.join(filter(os.environ.get, CHOICE))} to try others, or fetch" if chosen else "Fetch"
    raise RendererError(
        "\n".join(
            [
                "SAPIEN cannot render here:",
                *(f"  {line}" for line in failures),
                f"{hint} Mesa's CPU driver (Debian, Ubuntu):",
                f"  {sys.executable} -m wam_eval.hosting.lavapipe",
            ]
        )
    )


def try_device(name: str, environment: dict[str, str], python: str = sys.executable) -> Renderer:
    """Open a device with SAPIEN, in a process of its own.

    Args:
        name: name of the attempt, for errors.
        environment: environment variables that choose the driver.
        python: interpreter.

    Raises:
        RendererError: it failed; the text is one line.
    """
    (device,) = try_in_process(name, python, PROBE, {**os.environ, **_cuda(), **environment}, TIMEOUT)
    gpu = is_gpu(device)
    return Renderer("vulkan", device, gpu, {**_cuda(), **environment} if gpu else environment)


def _works_without(python: str, variables: Sequence[str]) -> bool:
    """Try to open a device without some environment variables."""
    removed = {name: value for name, value in os.environ.items() if name not in variables}
    for environment in ({}, lavapipe.environment()):
        with suppress(RendererError):
            try_in_process("another driver", python, PROBE, {**removed, **environment}, TIMEOUT)
            return True
        if any(removed.get(name) for name in CHOICE):
            return False
    return False


def _cuda() -> dict[str, str]:
    """Keep the GPUs of this process visible: SAPIEN's denoiser computes on the one that renders.

    CUDA reads a list of devices up to the first one that does not exist.
    """
    return {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(16)))}


if __name__ == "__main__":
    sys.exit(print_choice(choose_device))
