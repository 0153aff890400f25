"""OpenGL for MuJoCo without a display: EGL or OSMesa, whichever works here, and the GPU that a simulator renders on.

EGL numbers devices in its own order, and counts devices that are no GPUs. NVIDIA's driver reports which CUDA device an
EGL device is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from wam_eval.hosting.renderer import (
    RendererError,
    described_settings,
    is_gpu,
    print_choice,
    settings_at_fault,
    try_in_process,
)
from wam_eval.simulator import Renderer

DEBIAN_PACKAGES = ("libegl1", "libegl-mesa0", "libgl1-mesa-dri", "libgl1", "libglx-mesa0", "libosmesa6")
"""Debian's software OpenGL, for both renderers; all of it works without a GPU and without a display."""

NAMES = ("egl", "osmesa")
NO_RENDERER = Renderer("none", "no images are rendered", gpu=False, environment={"MUJOCO_GL": "disabled"})
DEVICE_VARIABLE = "MUJOCO_EGL_DEVICE_ID"
SETTINGS = (
    *("MUJOCO_GL", DEVICE_VARIABLE, "EGL_PLATFORM", "__EGL_VENDOR_LIBRARY_FILENAMES", "__EGL_VENDOR_LIBRARY_DIRS"),
    *("__GLX_VENDOR_LIBRARY_NAME", "LIBGL_DRIVERS_PATH", "LIBGL_ALWAYS_SOFTWARE", "GALLIUM_DRIVER", "GBM_BACKEND"),
    *("MESA_LOADER_DRIVER_OVERRIDE", "MESA_GL_VERSION_OVERRIDE", "DRI_PRIME", "DISPLAY", "LD_LIBRARY_PATH"),
    "LD_PRELOAD",
)
"""Environment variables that may be settings of another machine."""
TIMEOUT = 60.0  # seconds; a first import on a cold disk takes 10
DEVICES_TIMEOUT = 120.0  # seconds, for all devices together

# Some drivers create a context and cannot render, so the probe also creates an MjrContext, which needs framebuffers.
# The process ends without cleaning up, because at exit a context may print a traceback although everything worked.
PROBE = """
import json, os
try:
    import mujoco
    context = mujoco.GLContext(64, 64)
    context.make_current()
    from OpenGL import GL
    mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_100)
    answer = [(GL.glGetString(name) or b"?").decode() for name in (GL.GL_VENDOR, GL.GL_RENDERER)]
except Exception as error:
    answer = f"{type(error).__name__}: {error}"
print(json.dumps(answer), flush=True)
os._exit(0)
"""


# 0x323A is EGL_CUDA_DEVICE_NV. A device that does not render has no name. MuJoCo lists at most ten devices.
DEVICES_PROBE = """
import ctypes, json, os
try:
    import mujoco, mujoco.egl
    from mujoco.egl import egl_ext
    from OpenGL.raw.GL.VERSION import GL_1_1 as GL
    found = egl_ext.eglQueryDevicesEXT()
    query = egl_ext.EGL.eglGetProcAddress("eglQueryDeviceAttribEXT")
    if query:
        query = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_ssize_t))(query)
    answer = []
    for index, device in enumerate(found):
        cuda = ctypes.c_ssize_t(-1)
        if not (query and query(ctypes.cast(device, ctypes.c_void_p), 0x323A, ctypes.byref(cuda))):
            cuda.value = -1
        os.environ["MUJOCO_EGL_DEVICE_ID"] = str(index)
        mujoco.egl.EGL_DISPLAY = None
        try:
            context = mujoco.GLContext(64, 64)
            context.make_current()
            names = [GL.glGetString(name) for name in (GL.GL_VENDOR, GL.GL_RENDERER)]
            name = b" ".join(ctypes.cast(text, ctypes.c_char_p).value or b"" for text in names).decode()
        except Exception:
            name = ""
        answer.append(f"{cuda.value} {name}")
except Exception as error:
    answer = f"{type(error).__name__}: {error}"
print(json.dumps(answer), flush=True)
os._exit(0)
"""


@cache
def choose_renderer() -> Renderer:
    """Find a renderer by trying them: the one in ``MUJOCO_GL`` if it is set, else EGL, then OSMesa.

    Raises:
        RendererError: none works, or ``MUJOCO_GL`` names one that needs a display.
    """
    wanted = os.environ.get("MUJOCO_GL", "").strip().lower()
    if wanted and wanted not in NAMES:
        raise RendererError(
            f"MUJOCO_GL={wanted} needs a display or renders nothing; set it to egl or osmesa, or unset it"
        )
    failures = []
    for name in (wanted,) if wanted else NAMES:
        try:
            return try_renderer(name)
        except RendererError as error:
            failures.append(str(error))
        if name == "egl" and not wanted and (fault := _settings_fault(failures, ("egl",))):
            raise fault  # a setting that does not fit must not select the slower renderer
    if fault := _settings_fault(failures):
        raise fault
    hint = "Unset MUJOCO_GL to try the other one, or install" if wanted else "Install"
    raise RendererError(
        "\n".join(
            [
                "MuJoCo cannot render here:",
                *(f"  {line}" for line in failures),
                f"{hint} software OpenGL (Debian, Ubuntu), as root:",
                f"  apt-get install -y {' '.join(DEBIAN_PACKAGES)}",
            ]
        )
    )


def try_renderer(name: str) -> Renderer:
    """Create a rendering context with a renderer, in a process of its own.

    Raises:
        RendererError: it failed; the text is one line.
    """
    return _try_without(name, ())


def _try_without(name: str, variables: Sequence[str]) -> Renderer:
    """:func:`try_renderer` without some environment variables."""
    chosen = {"MUJOCO_GL": name, "PYOPENGL_PLATFORM": name}
    environment = {key: value for key, value in os.environ.items() if key not in variables}
    maker, renderer = try_in_process(name, sys.executable, PROBE, {**environment, **chosen}, TIMEOUT)
    return Renderer(name, renderer, is_gpu(f"{maker} {renderer}"), chosen)


def _settings_fault(failures: Sequence[str], names: Sequence[str] = NAMES) -> RendererError | None:
    """The error that names the user's settings without which a renderer works; ``None`` if it is none of them."""
    works: list[Renderer] = []

    def works_without(variables: Sequence[str]) -> bool:
        wanted = os.environ.get("MUJOCO_GL", "").strip().lower() if "MUJOCO_GL" not in variables else ""
        for name in (wanted,) if wanted else names:
            with suppress(RendererError):
                works.append(_try_without(name, variables))
                return True
        return False

    variables = settings_at_fault(SETTINGS, works_without)
    if not variables:
        return None
    here = f"MuJoCo renders with {works[0]} without it"
    if DEVICE_VARIABLE in variables:
        with suppress(RendererError):
            devices = [f"{device.index} ({device.name or 'does not render'})" for device in list_devices()]
            here = f"the EGL devices of this machine are {', '.join(devices)}, and are chosen by trial"
    return RendererError(
        f"MuJoCo cannot render with {described_settings(variables)}:\n"
        + "".join(f"  {line}\n" for line in failures)
        + f"Unset {' and '.join(variables)}: {here}"
    )


@dataclass(frozen=True)
class Device:
    """An EGL device.

    Attributes:
        index: MuJoCo's number of it, for ``MUJOCO_EGL_DEVICE_ID``.
        name: the driver's description; empty if it does not render.
        cuda: CUDA's number of it among all devices of the machine; ``None`` if the driver does not report it.
    """

    index: int
    name: str
    cuda: int | None = None

    @property
    def gpu(self) -> bool:
        """True for a GPU that renders."""
        return bool(self.name) and is_gpu(self.name)


@cache
def list_devices() -> tuple[Device, ...]:
    """All EGL devices of this machine, each tried in a process that ends before this returns.

    Raises:
        RendererError: there is no EGL here, or a driver crashed.
    """
    # CUDA counts visible devices only, and a worker sees its own GPUs only.
    without = ("CUDA_VISIBLE_DEVICES", "PYOPENGL_PLATFORM", DEVICE_VARIABLE)
    environment = {key: value for key, value in os.environ.items() if key not in without}
    found = try_in_process("egl", sys.executable, DEVICES_PROBE, {**environment, "MUJOCO_GL": "egl"}, DEVICES_TIMEOUT)
    parted = [text.partition(" ") for text in found]
    return tuple(Device(i, name, int(cuda) if int(cuda) >= 0 else None) for i, (cuda, _, name) in enumerate(parted))


def visible_gpus(variable: str | None) -> tuple[int, ...]:
    """CUDA's numbers of the GPUs in ``CUDA_VISIBLE_DEVICES``; none if it is unset or has names instead of numbers."""
    numbers = [part.strip() for part in (variable or "").split(",")]
    return tuple(map(int, numbers)) if all(number.isdecimal() for number in numbers) else ()


def choose_device(devices: Sequence[Device], gpus: Sequence[int], slot: int) -> dict[str, str]:
    """Environment variables that make a simulator render on a GPU of its worker, else on any GPU, in turn by slot.

    Args:
        devices: devices of the machine.
        gpus: CUDA's numbers of the worker's GPUs.
        slot: number of the simulator in its worker.

    Returns:
        An empty mapping if no GPU renders.
    """
    usable = [device for device in devices if device.gpu]
    own = [device for device in usable if device.cuda in gpus]
    pool = own or usable
    return {DEVICE_VARIABLE: str(pool[slot % len(pool)].index)} if pool else {}


def device_for(environment: Mapping[str, str], slot: int) -> dict[str, str]:
    """Environment variables of :func:`choose_device` with this process as the worker.

    Args:
        environment: environment variables of the simulator so far.
        slot: number of the simulator in this worker.

    Returns:
        An empty mapping if the user has chosen a device, or if no GPU renders.
    """
    if environment.get("MUJOCO_GL") != "egl" or DEVICE_VARIABLE in os.environ or not choose_renderer().gpu:
        return {}
    try:
        return choose_device(list_devices(), visible_gpus(os.environ.get("CUDA_VISIBLE_DEVICES")), slot)
    except RendererError:  # the devices cannot be listed; the default one renders
        return {}


if __name__ == "__main__":
    sys.exit(print_choice(choose_renderer))
