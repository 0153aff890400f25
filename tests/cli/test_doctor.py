"""Checks of this machine, on machines that are in order and on machines that are not."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.toy import CATALOG
from tests.toy.benchmark import Toy
from wam_eval.benchmark import Check
from wam_eval.cli import doctor
from wam_eval.cli.app import app
from wam_eval.policies.simple import Hold

LOCKS = Path(__file__).resolve().parents[2] / "locks"


def test_the_pinned_versions_are_the_tested_ones() -> None:
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", (LOCKS / "eval.txt").read_text(), re.MULTILINE))
    assert {name: pins[name] for name in doctor.TESTED} == doctor.TESTED


def test_versions_of_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.check_package("numpy") == Check("numpy", "ok", version("numpy"))
    monkeypatch.setitem(doctor.TESTED, "numpy", "0.1")
    check = doctor.check_package("numpy")
    assert check.status == "warn" and check.detail == f"{version('numpy')}, tested with 0.1" and check.fix
    check = doctor.check_package("no-such-distribution")
    assert (check.status, check.detail) == ("fail", "not installed") and check.fix


def test_another_copy_of_this_package_is_named(tmp_path: Path) -> None:
    assert doctor.check_own_package().status == "ok"
    shutil.copytree(Path(doctor.__file__).parents[1], tmp_path / "wam_eval")
    code = "from wam_eval.cli.doctor import check_own_package as check; print(check())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "status='warn'" in done.stdout and f"in {tmp_path}/wam_eval; the installed one is in" in done.stdout


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program of the name nvidia-smi with a given shell script in front of PATH."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))

    def write(script: str) -> None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)

    return write


def test_gpus_are_those_that_the_driver_lists(nvidia_smi: Callable[[str], None]) -> None:
    nvidia_smi("echo 'NVIDIA H100, 81559 MiB'")
    assert doctor.nvidia_gpus() == ["NVIDIA H100, 81559 MiB"]
    assert doctor.check_gpu() == Check("GPU", "ok", "NVIDIA H100, 81559 MiB")
    nvidia_smi("echo 'NVIDIA-SMI has failed'; exit 9")
    assert doctor.nvidia_gpus() == [] and doctor.check_gpu().status == "warn"


def test_a_machine_without_a_gpu_is_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.check_gpu().status == "ok" and doctor.nvidia_gpus() == []


@pytest.mark.parametrize(
    ("installed", "script", "status"),
    [
        ("2.13.0+cpu", "echo 'NVIDIA H100, 81559 MiB'", "warn"),
        ("2.13.0+cpu", "exit 9", "ok"),
        ("2.13.0", "echo 'NVIDIA H100, 81559 MiB'", "ok"),
    ],
)
def test_a_cpu_build_of_torch_beside_a_gpu_is_reported(
    nvidia_smi: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, installed: str, script: str, status: str
) -> None:
    nvidia_smi(script)
    monkeypatch.setattr(doctor, "version", {"torch": installed}.__getitem__)
    check = doctor.check_torch()
    assert check.status == status and installed in check.detail


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_a_cluster_that_answers_and_one_that_does_not(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("RAY_ADDRESS", form.format(server.getsockname()[1]))
        assert doctor.check_cluster().status == "ok"
    assert doctor.check_cluster().status == "fail"


@pytest.mark.parametrize(("address", "status"), [("", "ok"), ("auto", "ok"), ("head-node", "fail")])
def test_addresses_that_need_no_connection(monkeypatch: pytest.MonkeyPatch, address: str, status: str) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert doctor.check_cluster().status == status


@pytest.mark.parametrize(("free", "status"), [(0.5, "fail"), (3, "warn"), (50, "ok")])
def test_disk_space(free: float, status: str) -> None:
    assert doctor.judge_disk(free, "/somewhere").status == status
    assert str(Path.cwd()) in doctor.check_runs_folder().detail


def test_every_place_of_files_is_shown_with_its_variable_and_its_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAM_EVAL_HOME", str(tmp_path))
    monkeypatch.delenv("WAM_EVAL_RUNS", raising=False)
    for name in ("cache", "temporary files"):
        check = doctor.check_place(name)
        assert check.status == "ok" and str(tmp_path) in check.detail and "(from WAM_EVAL_HOME)" in check.detail
        assert re.search(r"[\d.]+ GB free", check.detail)
    assert f"{tmp_path}/runs (from WAM_EVAL_HOME)" in doctor.check_runs_folder().detail
    assert not (tmp_path / "runs").exists()


def test_a_place_that_is_not_the_wanted_one_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    check = doctor.check_place("temporary files")
    assert check.status == "warn" and "absent cannot be written (there is no such folder)" in check.detail
    assert check.fix == "Set WAM_EVAL_HOME to a folder that can be written"
    monkeypatch.setenv("WAM_EVAL_HOME", str(tmp_path / "file"))
    assert doctor.check_place("cache").status == "fail"
    monkeypatch.setenv("WAM_EVAL_RUNS", str(tmp_path / "file"))
    assert doctor.check_runs_folder().status == "fail"


def test_a_cache_that_can_only_be_read_is_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAM_EVAL_CACHE", str(tmp_path))
    assert doctor.check_portable_cache().status == "ok"
    monkeypatch.setenv("WAM_EVAL_CACHE", str(tmp_path / "absent"))
    assert doctor.check_portable_cache().status == "warn"


@pytest.mark.parametrize(("free", "status", "simulators"), [(2, "fail", 0), (3.5, "warn", 1), (24, "ok", 16)])
def test_memory_in_simulators(free: float, status: str, simulators: int) -> None:
    check = doctor.judge_memory(free)
    assert check.status == status and f"room for about {simulators} simulators" in check.detail
    assert re.match(r"\d+ GB free", doctor.check_memory().detail)


@pytest.mark.parametrize(("total", "status"), [(0.064, "warn"), (8, "ok")])
def test_the_small_shared_memory_of_a_container_is_reported(total: float, status: str) -> None:
    assert doctor.judge_shared_memory(total).status == status


class Checked(Toy):
    """A toy whose third check raises."""

    def checks(self, simulate: bool) -> Sequence[Callable[[], Check]]:
        quick: list[Callable[[], Check]] = [check_toy, check_toy, check_that_raises]
        return [*quick, lambda: Check("toy simulation", "fail", "differs", "[nothing]")] if simulate else quick


def check_toy() -> Check:
    return Check("toy", "warn", "not painted", "paint it")


def check_that_raises() -> Check:
    raise ZeroDivisionError("division by zero")


class CheckedPolicy(Hold):
    """A policy that checks its weights."""

    @classmethod
    def checks(cls) -> Sequence[Callable[[], Check]]:
        return (lambda: Check("weights of hold", "ok", "none needed"),)


@pytest.fixture
def checked(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only benchmarks and policies are those of this module and some that cannot be loaded."""
    benchmarks, policies = tmp_path / "suites" / "benchmarks", tmp_path / "policies"
    benchmarks.mkdir(parents=True)
    policies.mkdir()
    toy = (CATALOG / "suites" / "benchmarks" / "toy.yaml").read_text()
    for name, place in (("checked", "tests.cli.test_doctor:Checked"), ("broken", "nowhere:Broken")):
        (benchmarks / f"{name}.yaml").write_text(toy.replace("tests.toy.benchmark:Toy", place))
    for name, place in (("one", "CheckedPolicy"), ("two", "CheckedPolicy"), ("lost", "Missing")):
        (policies / f"{name}.yaml").write_text(f"title: {name}\npolicy: tests.cli.test_doctor:{place}\n")
    monkeypatch.setattr("wam_eval.config.folders", lambda kind: [tmp_path / kind])


def test_benchmarks_and_policies_bring_their_checks_and_a_broken_one_hides_none(checked: None) -> None:
    checks = doctor.diagnose()
    found = {check.name: check for check in checks}
    assert len(found) == len(checks), "each once, although two policies share a class"
    assert found["toy"] == Check("toy", "warn", "not painted", "paint it")
    assert found["checked"] == Check("checked", "fail", "ZeroDivisionError: division by zero", doctor.REINSTALL)
    assert found["broken"].status == "fail" and "nowhere:Broken" in found["broken"].detail
    assert found["weights of hold"].status == "ok"
    assert found["lost"].status == "fail" and "Missing" in found["lost"].detail
    assert {
        "Python",
        "wam-eval",
        "numpy",
        "ray",
        "torch",
        "Ray cluster",
        "GPU",
        "place: cache",
        "place: runs",
        "memory",
        "shared memory",
    } < set(found)
    assert "toy simulation" not in found
    assert "toy simulation" in {check.name for check in doctor.diagnose(simulate=True)}


def test_the_command_fails_if_a_check_fails(checked: None) -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1 and "paint it" in result.stdout and "ZeroDivisionError" in result.stdout


def test_texts_are_shown_as_they_are() -> None:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(doctor.table_of_checks([Check("odd", "fail", "[odd] text", "type [this]")]))
    assert "[odd] text" in capture.get() and "type [this]" in capture.get()
