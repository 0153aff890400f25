"""Renderers: their errors, and the probe that tries one in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from textwrap import shorten

from wam_eval.hosting.interpreter import WITHOUT_WORKING_DIRECTORY
from wam_eval.simulator import Renderer


class RendererError(RuntimeError):
    """No renderer works here; the text says what was tried and what to type."""


def is_gpu(description: str) -> bool:
    """True if a GPU renders, judged from the driver's description; Mesa's software drivers are known by name."""
    software = ("llvmpipe", "softpipe", "swrast", "swiftshader", "software")
    return not any(word in description.lower() for word in software)


def settings_at_fault(names: Sequence[str], works_without: Callable[[Sequence[str]], bool]) -> list[str]:
    """Environment variables with which no renderer works, although one works without them; empty if that is not so.

    Args:
        names: variables that may be settings of another machine.
        works_without: tries to render without some of them.
    """
    given = [name for name in names if os.environ.get(name)]
    if not given or not works_without(given):
        return []
    return [one for one in given if not works_without([other for other in given if other != one])] or given


def described_settings(names: Sequence[str]) -> str:
    """Environment variables with their values."""
    return " and ".join(f"{name}={os.environ[name]}" for name in names)


def print_choice(choose: Callable[[], Renderer]) -> int:
    """Print the chosen renderer, or the instructions to get one; return an exit status. Used by the installation."""
    try:
        print(choose())
    except RendererError as error:
        print(error)
        return 1
    return 0


def try_in_process(name: str, python: str, code: str, environment: Mapping[str, str], seconds: float) -> list[str]:
    """Run a probe that may crash or hang.

    Args:
        name: name of the renderer, for errors.
        python: interpreter.
        code: program that prints JSON as its last line: a list of texts if it works, else a text with the reason.
        environment: environment variables of the process.
        seconds: time limit.

    Raises:
        RendererError: the probe failed; the text is one line.
    """
    try:
        command = [python, "-c", f"{WITHOUT_WORKING_DIRECTORY}\n{code}"]
        probe = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise RendererError(f"{name}: no answer within {seconds:.0f} s") from None
    except OSError as error:
        raise RendererError(f"{name}: {python} does not start: {os.strerror(error.errno or 0)}") from None
    if probe.returncode != 0:  # a crash in the driver
        raise RendererError(f"{name}: the probe ended with status {probe.returncode}")
    lines = probe.stdout.splitlines()
    if not lines:
        raise RendererError(f"{name}: the probe printed nothing")
    answer = json.loads(lines[-1])
    if isinstance(answer, str):
        raise RendererError(f"{name}: {shorten(answer, 120)}")
    return list(answer)
