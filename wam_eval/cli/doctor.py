"""Checks of this machine: the interpreter and its packages, every benchmark and policy, Ray, GPUs, memory and disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
from rich.table import Table
from rich.text import Text

import wam_eval
from wam_eval import config
from wam_eval.benchmark import Check, Status, load_benchmark
from wam_eval.errors import UserError
from wam_eval.hosting.package_identity import own_code, source_folder
from wam_eval.policy import OPTIONAL_MODULES, policy_class

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}
REINSTALL = "make setup"
TESTED = {"numpy": "2.4.6", "ray": "2.60.0"}
"""Package -> version that the requirement files pin. Benchmarks check their own packages."""

GB = 1e9
SIMULATOR_GB = 1.4
"""Memory of a simulator of a tabletop scene with its renderer."""
WORKER_GB = 1.5
"""Memory of Ray and a worker before the first simulator starts."""

NamedCheck = tuple[str, Callable[[], Check]]
"""A check with its name for the case that it raises."""


def diagnose(simulate: bool = False) -> list[Check]:
    """Check everything that an evaluation needs. Nothing is installed or downloaded.

    Args:
        simulate: True to include checks of benchmarks that simulate for minutes.
    """
    checks: list[NamedCheck] = [
        ("Python", check_python),
        ("wam-eval", check_own_package),
        *((name, partial(check_package, name)) for name in TESTED),
        ("torch", check_torch),
        *benchmark_checks(simulate),
        *policy_checks(),
        ("Ray cluster", check_cluster),
        ("GPU", check_gpu),
        ("disk", check_disk),
        ("memory", check_memory),
        ("shared memory", check_shared_memory),
    ]
    results = []
    for name, check in checks:
        try:
            results.append(check())
        except Exception as error:  # A check that raises must not hide the others.
            results.append(Check(name, "fail", f"{type(error).__name__}: {error}", REINSTALL))
    return list(dict.fromkeys(results))  # Benchmarks of a family share some checks.


def table_of_checks(checks: list[Check]) -> Table:
    """The checks as a table for the terminal."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "check", "result", "what to do"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        table.add_row(Text(check.status, STYLES[check.status]), check.name, Text(check.detail), Text(check.fix))
    return table


def check_python() -> Check:
    """The interpreter of this process."""
    return Check("Python", "ok", f"{sys.version.split()[0]} ({sys.executable})")


def check_own_package() -> Check:
    """The code of this package, and that it is the installed one: another copy may come first on the import path."""
    folder, digest = own_code()
    detail = f"{wam_eval.__version__}, code {digest:.12} in {folder}"
    try:
        installed = source_folder("wam-eval") / folder.name
    except PackageNotFoundError:
        return Check("wam-eval", "ok", f"{detail}, not installed")
    if installed.resolve() == folder.resolve():
        return Check("wam-eval", "ok", detail)
    return Check("wam-eval", "warn", f"{detail}; the installed one is in {installed}", "unset PYTHONPATH")


def check_package(name: str) -> Check:
    """The version of a package of :data:`TESTED`."""
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name, "fail", "not installed", REINSTALL)
    if found == TESTED[name]:
        return Check(name, "ok", found)
    return Check(name, "warn", f"{found}, tested with {TESTED[name]}", REINSTALL)


def check_torch() -> Check:
    """The version of torch, which says if it can use a GPU without importing it. Only the models need torch."""
    try:
        found = version("torch")
    except PackageNotFoundError:
        return Check("torch", "ok", "not installed; only the models need it (make setup MODELS=1)")
    if "+cpu" in found and nvidia_gpus():
        return Check("torch", "warn", f"{found} cannot use this machine's GPU", "install torch's CUDA build")
    return Check("torch", "ok", found)


def check_cluster() -> Check:
    """The Ray cluster that runs would join."""
    from wam_eval.run.cluster import check_address

    address = config.Environment().ray_address
    if not address:
        return Check("Ray cluster", "ok", "RAY_ADDRESS is not set: a run starts Ray on this machine")
    try:
        check_address(address)
    except UserError as error:
        return Check("Ray cluster", "fail", str(error), "unset RAY_ADDRESS, or start the cluster")
    return Check("Ray cluster", "ok", f"{address} answers")


def check_gpu() -> Check:
    """The GPUs of this machine; a machine without any is in order."""
    gpus = nvidia_gpus()
    if gpus:
        return Check("GPU", "ok", "; ".join(gpus))
    if shutil.which("nvidia-smi"):
        return Check("GPU", "warn", "the NVIDIA driver lists none", "read the output of nvidia-smi")
    return Check("GPU", "ok", "none: models run on the CPU, slowly")


def nvidia_gpus() -> list[str]:
    """Name and memory of every GPU that the NVIDIA driver lists; empty without a driver."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return []
    return [line.strip() for line in listed.stdout.splitlines()] if listed.returncode == 0 else []


def check_disk() -> Check:
    """Disk space for ledgers, videos and Ray's temporary files."""
    folder = Path.cwd()
    return judge_disk(psutil.disk_usage(str(folder)).free / GB, folder)


def judge_disk(free: float, folder: Path) -> Check:
    """The check of the disk space that is free in a folder, in GB."""
    status: Status = "fail" if free < 1 else "warn" if free < 5 else "ok"
    return Check("disk", status, f"{free:.0f} GB free in {folder}", "" if status == "ok" else "free some disk space")


def check_memory() -> Check:
    """Memory for simulators."""
    return judge_memory(psutil.virtual_memory().available / GB)


def judge_memory(free: float) -> Check:
    """The check of the memory that is available, in GB."""
    fit = max(0, int((free - WORKER_GB) / SIMULATOR_GB))
    detail = f"{free:.0f} GB free: room for about {fit} simulators, without a model"
    if fit == 0:
        return Check("memory", "fail", detail, "close other programs")
    return Check("memory", "ok" if fit > 1 else "warn", detail, "" if fit > 1 else "add --workers 1 --simulators 1")


def check_shared_memory() -> Check:
    """Shared memory, through which Ray and simulators exchange images."""
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return Check("shared memory", "warn", f"{folder} does not exist")
    return judge_shared_memory(psutil.disk_usage(str(folder)).total / GB)


def judge_shared_memory(total: float) -> Check:
    """The check of the size of the shared memory, in GB. Containers often have 64 MB only."""
    if total < 0.5:
        return Check("shared memory", "warn", f"{total:.2f} GB", "start the container with --shm-size=2g")
    return Check("shared memory", "ok", f"{total:.1f} GB")


def benchmark_checks(simulate: bool) -> Iterator[NamedCheck]:
    """Checks of every known benchmark; one that cannot be loaded is itself a failed check."""
    try:
        names = config.names("suites/benchmarks")
    except UserError as error:
        yield "benchmarks", _failed("benchmarks", error)
        return
    for name in names:
        try:
            checks = load_benchmark(name).checks(simulate)
        except Exception as error:  # A benchmark of another package may raise anything.
            yield name, _failed(name, error)
            continue
        yield from ((name, check) for check in checks)


def policy_checks() -> Iterator[NamedCheck]:
    """Checks of every known policy's class; classes that need packages which are not installed have none."""
    try:
        policies = {name: config.load_policy(name) for name in config.names("policies")}
    except UserError as error:
        yield "policies", _failed("policies", error)
        return
    places: set[str] = set()
    for name, policy in policies.items():
        if policy.policy in places:
            continue
        places.add(policy.policy)
        try:
            checks = policy_class(policy).checks()
        except UserError as error:
            cause = error.__cause__
            if not (isinstance(cause, ModuleNotFoundError) and str(cause.name).partition(".")[0] in OPTIONAL_MODULES):
                yield name, _failed(name, error)
            continue
        yield from ((name, check) for check in checks)


def _failed(name: str, error: Exception) -> Callable[[], Check]:
    text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return lambda: Check(name, "fail", text, "repair or uninstall the package that provides it")
