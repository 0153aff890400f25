"""Main loop of a simulator process: reads calls from its parent and answers them until the parent ends.

Started by :mod:`wam_eval.hosting.process` only. Runs in the benchmark's own interpreter, so it needs Python 3.10, numpy
and msgpack only.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from typing import Any

from wam_eval.errors import UserError
from wam_eval.hosting.package_identity import ImportedPackages
from wam_eval.hosting.wire import Channel
from wam_eval.simulator import Simulator

CALLS = ("load", "step", "prepare", "snapshot", "restore", "fingerprint")


def die_with_parent() -> None:
    """End this process and those that it has started soon after its parent has ended, even if the parent was killed.

    Linux's parent death signal is not used: it is sent when the parent's thread ends, and threads end earlier.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.killpg(0, signal.SIGKILL)  # it leads a group of its own

    threading.Thread(target=watch, name="watch parent", daemon=True).start()


def make_simulator(path: str, settings: dict[str, Any]) -> Simulator:
    """Import ``module:Class`` and construct the simulator."""
    module, _, name = path.partition(":")
    simulator: Simulator = getattr(importlib.import_module(module), name)(settings)
    return simulator


def serve(channel: Channel, simulator: Simulator, packages: ImportedPackages) -> None:
    """Answer calls until the parent ends. Exceptions are sent as answers.

    Simulators import packages when they need them, so the imports are checked after each call.
    """
    while True:
        try:
            call, arguments = channel.receive()
        except EOFError:
            return
        try:
            if call not in (*CALLS, *simulator.calls):
                raise ValueError(f"unknown call {call!r}")
            answer = {"value": getattr(simulator, call)(*arguments)}
        except Exception as error:
            answer = failure(error)
        answer = checked(answer, packages)
        with contextlib.suppress(OSError):  # the disk of the log may be full, which must not fail the episode
            sys.stdout.flush()
        channel.send(answer)


def failure(error: Exception) -> dict[str, Any]:
    """The answer after an exception. One that the user must correct is a refusal: another attempt would not help."""
    traceback.print_exc()
    return {"refused": str(error)} if isinstance(error, UserError) else {"error": f"{type(error).__name__}: {error}"}


def checked(answer: dict[str, Any], packages: ImportedPackages) -> dict[str, Any]:
    """The answer, or a refusal if the process has imported other packages than the protocol records."""
    try:
        packages.check()
    except UserError as error:
        return {"refused": str(error)}
    return answer


def main() -> None:
    """Entry point; arguments are written by :mod:`wam_eval.hosting.process`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--simulator", required=True)
    parser.add_argument("--settings", required=True)
    parser.add_argument("--packages", required=True)
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--arena", type=int, required=True)
    arguments = parser.parse_args()
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    channel = Channel(socket.socket(fileno=arguments.socket), arguments.arena, places_arrays=True)
    packages = ImportedPackages(json.loads(arguments.packages), own=(arguments.simulator.partition(".")[0],))
    try:
        simulator = make_simulator(arguments.simulator, json.loads(arguments.settings))
    except Exception as error:
        channel.send(checked(failure(error), packages))
        return
    channel.send(checked({"value": "ready"}, packages))
    serve(channel, simulator, packages)
    with contextlib.suppress(Exception):
        simulator.close()
