"""OpenGL: the choice of a renderer and of the GPU that a simulator renders on, from plain data and on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

import pytest

from wam_eval.hosting import opengl
from wam_eval.hosting.opengl import (
    Device,
    choose_device,
    choose_renderer,
    device_for,
    list_devices,
    try_renderer,
    visible_gpus,
)
from wam_eval.hosting.renderer import RendererError, is_gpu
from wam_eval.simulator import Renderer

# The renderer

Attempts = tuple[dict[str, Renderer | str], list[str]]


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Attempts]:
    """Results of attempts by name in place of this machine's, where a text is an error; and the attempts in order."""
    results: dict[str, Renderer | str] = {}
    order: list[str] = []

    def attempt(name: str) -> Renderer:
        order.append(name)
        result = results[name]
        if isinstance(result, str):
            raise RendererError(f"{name}: {result}")
        return result

    monkeypatch.setattr(opengl, "try_renderer", attempt)
    for name in opengl.SETTINGS:  # Importing OpenCV sets LD_LIBRARY_PATH.
        monkeypatch.delenv(name, raising=False)
    choose_renderer.cache_clear()
    yield results, order
    choose_renderer.cache_clear()


SOFTWARE = Renderer("osmesa", "llvmpipe", gpu=False)


def test_egl_comes_first_and_is_tried_once(attempts: Attempts) -> None:
    results, order = attempts
    results["egl"] = Renderer("egl", "NVIDIA H100", gpu=True)
    assert choose_renderer() is choose_renderer()
    assert order == ["egl"]
    assert str(choose_renderer()) == "egl on GPU: NVIDIA H100"


def test_osmesa_is_used_if_egl_does_not_work(attempts: Attempts) -> None:
    results, order = attempts
    results.update(egl="no device", osmesa=SOFTWARE)
    assert choose_renderer() == SOFTWARE
    assert order == ["egl", "osmesa"]


def test_only_the_users_choice_is_tried(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    results, order = attempts
    results.update(egl="no device", osmesa=SOFTWARE)
    monkeypatch.setenv("MUJOCO_GL", "EGL")
    with pytest.raises(RendererError, match="Unset MUJOCO_GL"):
        choose_renderer()
    assert order == ["egl"]


@pytest.fixture
def renders_without(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Variables that must not be set for EGL to render, in place of this machine's."""
    bad: set[str] = set()

    def attempt(name: str, variables: Sequence[str]) -> Renderer:
        if name != "egl" or any(variable in os.environ and variable not in variables for variable in bad):
            raise RendererError(f"{name}: no")
        return Renderer("egl", "NVIDIA H100", gpu=True)

    for name in opengl.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(opengl, "_try_without", attempt)
    monkeypatch.setattr(opengl, "list_devices", lambda: (Device(0, "NVIDIA H100"), Device(1, "")))
    attempts[0].update(egl="no device", osmesa=SOFTWARE)
    yield bad


def test_settings_of_another_machine_are_named_with_their_values(
    renders_without: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    renders_without |= {"MUJOCO_EGL_DEVICE_ID", "GALLIUM_DRIVER"}
    monkeypatch.setenv("GALLIUM_DRIVER", "zink")
    monkeypatch.setenv("DISPLAY", ":7")
    with pytest.raises(RendererError) as caught:
        choose_renderer()
    text = str(caught.value)
    assert "with GALLIUM_DRIVER=zink:\n  egl: no device" in text and "apt-get" not in text
    assert text.endswith("Unset GALLIUM_DRIVER: MuJoCo renders with egl on GPU: NVIDIA H100 without it")
    choose_renderer.cache_clear()
    monkeypatch.setenv("MUJOCO_EGL_DEVICE_ID", "7")
    with pytest.raises(RendererError) as caught:
        choose_renderer()
    assert "with MUJOCO_EGL_DEVICE_ID=7 and GALLIUM_DRIVER=zink:" in str(caught.value)
    assert "the EGL devices of this machine are 0 (NVIDIA H100), 1 (does not render), and are chosen by trial" in str(
        caught.value
    )


def test_settings_that_change_nothing_are_not_blamed(
    renders_without: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    renders_without |= {"PATH"}
    monkeypatch.setenv("DISPLAY", ":7")
    assert choose_renderer() == SOFTWARE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value"), [("MUJOCO_EGL_DEVICE_ID", "99"), ("__EGL_VENDOR_LIBRARY_FILENAMES", "/absent.json")]
)
def test_advice_fits_this_machine(variable: str, value: str) -> None:
    command = [sys.executable, "-m", "wam_eval.hosting.opengl"]
    if not subprocess.run(command, capture_output=True, text=True).stdout.startswith("egl"):
        pytest.skip("EGL does not render here")
    done = subprocess.run(command, env={**os.environ, variable: value}, capture_output=True, text=True)
    assert f"MuJoCo cannot render with {variable}={value}" in done.stdout and f"Unset {variable}" in done.stdout


@pytest.mark.parametrize("platform", ["glx", "osmesa"])
def test_a_platform_of_another_renderer_reaches_no_simulator(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setenv("PYOPENGL_PLATFORM", platform)
    monkeypatch.setattr(opengl, "try_in_process", lambda *_: ["Mesa", "llvmpipe"])
    assert try_renderer("egl").environment == {"MUJOCO_GL": "egl", "PYOPENGL_PLATFORM": "egl"}


def test_a_renderer_that_needs_a_display_is_refused(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    with pytest.raises(RendererError, match="MUJOCO_GL=glfw needs a display"):
        choose_renderer()
    assert attempts[1] == []


def test_the_error_names_every_attempt_and_the_command(attempts: Attempts) -> None:
    attempts[0].update(egl="no device", osmesa="no library")
    with pytest.raises(RendererError) as caught:
        choose_renderer()
    text = str(caught.value)
    assert "egl: no device" in text and "osmesa: no library" in text
    assert f"apt-get install -y {' '.join(opengl.DEBIAN_PACKAGES)}" in text


@pytest.mark.parametrize(
    ("maker", "renderer", "gpu"),
    [
        ("Mesa", "llvmpipe (LLVM 15.0.6, 256 bits)", False),
        ("Mesa/X.org", "softpipe", False),
        ("Google Inc.", "SwiftShader Device", False),
        ("NVIDIA Corporation", "NVIDIA H200/PCIe/SSE2", True),
        ("AMD", "AMD Radeon RX 7900 (radeonsi)", True),
    ],
)
def test_software_renderers_are_known_by_name(maker: str, renderer: str, gpu: bool) -> None:
    assert is_gpu(f"{maker} {renderer}") is gpu


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit(3)", "the probe ended with status 3"),
        ("print('\"ImportError: no EGL\"')", "ImportError: no EGL"),
        ("pass", "the probe printed nothing"),
        ("import time; time.sleep(9)", "no answer within"),
    ],
)
def test_a_failed_attempt_has_a_reason_in_one_line(monkeypatch: pytest.MonkeyPatch, code: str, reason: str) -> None:
    monkeypatch.setattr(opengl, "PROBE", code)
    monkeypatch.setattr(opengl, "TIMEOUT", 1.0 if "sleep" in code else 60.0)
    with pytest.raises(RendererError, match=reason) as caught:
        try_renderer("egl")
    assert "\n" not in str(caught.value)


def test_this_machine_renders() -> None:
    """``make setup`` prints the renderer that works here."""
    command = [sys.executable, "-m", "wam_eval.hosting.opengl"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " on CPU: " in done.stdout or " on GPU: " in done.stdout


def test_the_choice_of_a_renderer_imports_no_simulator() -> None:
    """The installation asks for it before anything else is known to work, and a worker stays small."""
    code = (
        "import sys, wam_eval.hosting.opengl, wam_eval.hosting.vulkan; "
        "print({'mujoco', 'OpenGL', 'sapien', 'torch', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# The device

# EGL's order is the reverse of CUDA's, and a software device is in between.
NODE = (
    Device(0, "NVIDIA Corporation NVIDIA H100/PCIe/SSE2", 2),
    Device(1, "NVIDIA Corporation NVIDIA H100/PCIe/SSE2", 1),
    Device(2, "Mesa/X.org llvmpipe (LLVM 15.0.6, 256 bits)"),
    Device(3, "NVIDIA Corporation NVIDIA H100/PCIe/SSE2", 0),
    Device(4, ""),
)
MESA = (Device(0, "AMD AMD Radeon RX 7900 (radeonsi)"), Device(1, "AMD AMD Radeon RX 7900 (radeonsi)"))


@pytest.mark.parametrize(
    ("devices", "gpus", "chosen"),
    [
        (NODE, (0,), "3 3 3 3"),
        (NODE, (2,), "0 0 0 0"),
        (NODE, (1, 2), "0 1 0 1"),
        (NODE, (), "0 1 3 0"),
        (NODE, (7,), "0 1 3 0"),  # a GPU that EGL does not know
        (MESA, (0,), "0 1 0 1"),  # no driver that knows CUDA
    ],
)
def test_simulators_render_on_the_gpus_of_their_worker_else_on_all_in_turn(
    devices: Sequence[Device], gpus: Sequence[int], chosen: str
) -> None:
    found = [choose_device(devices, gpus, slot) for slot in range(4)]
    assert found == [{"MUJOCO_EGL_DEVICE_ID": index} for index in chosen.split()]


@pytest.mark.parametrize("devices", [(), (NODE[2],), (NODE[4],)])
def test_no_device_is_chosen_if_no_gpu_renders(devices: Sequence[Device]) -> None:
    assert choose_device(devices, (0,), 0) == {}


@pytest.mark.parametrize(
    ("variable", "gpus"),
    [("3", (3,)), ("0,2", (0, 2)), (" 1 , 2", (1, 2)), ("", ()), (None, ()), ("GPU-8932f937,GPU-1", ()), ("-1", ())],
)
def test_the_gpus_of_a_worker_are_those_that_cuda_may_see(variable: str | None, gpus: tuple[int, ...]) -> None:
    assert visible_gpus(variable) == gpus


@pytest.fixture
def on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a worker on a node with GPUs, and the user has chosen no device."""
    monkeypatch.setattr(opengl, "choose_renderer", lambda: Renderer("egl", "NVIDIA H100", gpu=True))
    monkeypatch.setattr(opengl, "list_devices", lambda: NODE)
    monkeypatch.delenv("MUJOCO_EGL_DEVICE_ID", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")


def test_each_simulator_of_a_worker_gets_its_device(on_gpus: None) -> None:
    assert device_for({"MUJOCO_GL": "egl"}, 5) == {"MUJOCO_EGL_DEVICE_ID": "1"}
    assert device_for({"MUJOCO_GL": "osmesa"}, 5) == {}
    assert device_for({}, 5) == {}


def test_a_device_that_the_user_chose_is_kept(on_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_EGL_DEVICE_ID", "0")
    assert device_for({"MUJOCO_GL": "egl"}, 5) == {}


def test_the_default_device_renders_if_devices_cannot_be_listed(on_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash() -> NoReturn:
        raise RendererError("egl: the probe ended with status -11")

    monkeypatch.setattr(opengl, "list_devices", crash)
    assert device_for({"MUJOCO_GL": "egl"}, 5) == {}


def test_the_devices_of_this_machine_are_listed() -> None:
    if choose_renderer().name != "egl":
        pytest.skip("this machine has no EGL")
    devices = list_devices()
    assert [device.index for device in devices] == list(range(len(devices)))
    assert any(device.name for device in devices)
    assert choose_renderer().gpu or choose_device(devices, (), 0) == {}
