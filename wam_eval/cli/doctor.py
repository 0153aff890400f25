"""Checks of this machine: the interpreter, its packages, benchmarks, policies, Ray, GPUs, memory, places of files."""

from __future__ import annotations

import os
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
from wam_eval import config, places
from wam_eval.benchmark import Check, Status, load_benchmark
from wam_eval.errors import UserError
from wam_eval.files import lock_problem
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

PLACES: dict[str, Callable[[], places.Place]] = {
    "cache": places.cache_place,
    "temporary files": places.temporary_place,
    "Ray's session": places.session_place,
}
"""Name of a place -> function that finds it."""

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
        *((f"place: {name}", partial(check_place, name)) for name in PLACES),
        (f"place: {places.PORTABLE}", check_portable_cache),
        ("place: runs", check_runs_folder),
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


def check_place(name: str) -> Check:
    """A place of files, one of :data:`PLACES`: the folder, the variable that names it, its disk."""
    label = f"place: {name}"
    try:
        place = PLACES[name]()
    except UserError as error:
        return Check(label, "fail", str(error), places.REMEDY)
    passed_over = "".join(f"; {text}" for text in (*place.faults, *place.too_long))
    detail = f"{place.path} (from {place.source}), {places.file_system(place.path)}{passed_over}"
    free = psutil.disk_usage(str(place.path)).free / GB
    detail += f", {free:.1f} GB free"
    return Check(label, "warn", detail, places.REMEDY) if place.faults or free < 1 else Check(label, "ok", detail)


def check_portable_cache() -> Check:
    """The folder of cached files that come from another machine, or go to one; it may be a folder to read from."""
    label, given = f"place: {places.PORTABLE}", os.environ.get(places.PORTABLE)
    if not given:
        return Check(label, "ok", "not set: seeds and embeddings are in the cache")
    folder = Path(given).absolute()
    if not folder.is_dir():
        return Check(label, "warn", f"{folder} is no folder yet", f"correct or unset {places.PORTABLE}")
    fault = places.problem(folder)
    use = f"can only be read ({fault})" if fault else "can be written"
    return Check(label, "ok", f"{folder}, {places.file_system(folder)}, {use}")


def check_runs_folder() -> Check:
    """The folder of all runs, which is not created here, and the locks of its file system."""
    label, folder = "place: runs", config.runs_folder().absolute()
    sources = [name for name in ("WAM_EVAL_RUNS", places.VARIABLE) if os.environ.get(name)]
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    detail = f"{folder} (from {sources[0] if sources else 'the working directory'}), {places.file_system(folder)}"
    if fault := places.problem(existing):
        return Check(label, "fail", f"{detail}: {existing} cannot be written ({fault})", places.REMEDY)
    if fault := lock_problem(existing):
        without = f"{detail}; it has no locks ({fault})"
        return Check(label, "warn", without, "do not start two processes on one run, or move the runs (WAM_EVAL_RUNS)")
    return judge_disk(psutil.disk_usage(str(existing)).free / GB, detail)


def judge_disk(free: float, detail: str) -> Check:
    """The check of the folder of all runs by the disk space that is free in it, in GB."""
    status: Status = "fail" if free < 1 else "warn" if free < 5 else "ok"
    remedy = "" if status == "ok" else f"free some disk space, or set {places.VARIABLE} to a folder on another disk"
    return Check("place: runs", status, f"{detail}, {free:.0f} GB free", remedy)


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
