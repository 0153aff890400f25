"""Checks of a GPU: the CPU mode for real, its tables, time limits, interruptions, arguments, offline installation."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from perf import gpu_check
from perf.gpu_check import Check, Session, cpu_checks, gpu_checks, tables
from wam_eval.cli.app import app
from wam_eval.policy import Acceleration
from wam_eval.run.bench import Bench, Latency, Machine, Timing, Variant

SCRIPT = Path(gpu_check.__file__)
WRITE = "import sys, json; json.dump({'found': 1}, open(sys.argv[1], 'w'))"
"""Code of a check that passes."""


def check(name: str, code: str, share: float = 30.0) -> Check:
    """A check that runs some code, which receives the file of its numbers as its argument."""
    return Check(name, name, share, ("-c", code, "{out}"))


def run(
    folder: Path, checks: Sequence[Check], budget: float = 60.0, on_cpu: bool = True, wheels: Sequence[Path] = ()
) -> tuple[int, dict[str, Any]]:
    """The exit status of a session, and its file."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        status = Session(checks, folder / "out.json", budget, on_cpu, wheels).run()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return status, json.loads((folder / "out.json").read_text())


def outcomes(document: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Outcome and reason of each check."""
    return [(one["outcome"], one.get("reason")) for one in document["checks"]]


def alive(pid: int) -> bool:
    """True if a process runs."""
    with suppress(ProcessLookupError, FileNotFoundError):
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
    return False


# The checks themselves


def call(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the script in a folder, as on a machine without the package."""
    command = [sys.executable, str(SCRIPT), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1200)


def test_checks_on_a_cpu_and_their_tables(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = call("--cpu", "--only", "torch,imagewam-eager,rendering", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((tmp_path / "gpu_check.json").read_text())
    assert outcomes(document) == [("passed", None)] * 3
    assert document["mode"] == "cpu" and "goals" not in document and document["machine"]["cpus"] > 0
    torch, bench, rendering = document["checks"]
    assert torch["numbers"]["torch"]
    assert Bench.model_validate(bench["bench"]).variants[0].accelerate == "none"
    assert rendering["numbers"]["ms_with_cameras"] > rendering["numbers"]["ms_without_cameras"] > 0
    assert all(image["spread"] > 10 for image in rendering["numbers"]["images"].values())
    shown = call("--tables", "gpu_check.json", folder=tmp_path).stdout
    assert "| stage | `none`, 1 |" in shown and "| prefill |" in shown
    assert rendering["numbers"]["renderer"] in shown and "| image of agentview | 256 × 256" in shown
    assert f"torch {torch['numbers']['torch']}" in shown and "Goals" not in shown


@pytest.mark.slow
def test_all_checks_on_a_cpu(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = call("--cpu", "--budget", "1100", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((tmp_path / "gpu_check.json").read_text())
    checks = {one["name"]: one for one in document["checks"]}
    assert {one["outcome"] for one in checks.values()} == {"passed"} and len(checks) == len(cpu_checks())
    for policy in ("fastwam", "imagewam"):
        compared = checks[f"{policy}-agreement"]["numbers"]["compared"]["layers"]
        assert compared["difference"] <= gpu_check.TOLERANCE and compared["repeats"]
        assert checks[f"{policy}-run"]["numbers"]["outcome"] in ("success", "failure")
        assert checks["rows"]["numbers"][f"{policy}-tiny, float32"] == 1
    shown = tables(document)
    assert "| stage | `none`, 1 | `none`, 2 | `layers`, 1 | `layers`, 2 |" in shown
    assert "| fastwam-tiny | float32 | `layers` |" in shown and "| fastwam-tiny | failure | 280 | 28 |" in shown


def test_checks_of_a_gpu_are_possible_commands() -> None:
    """Policies and options exist: without a GPU, each bench is refused for the lack of one."""
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("the benches would start here")
    names = [one.name for one in (*gpu_checks(), *cpu_checks())]
    assert {goal.check for goal in gpu_check.GOALS} <= set(names)
    for one in gpu_checks():
        if one.result == "bench":
            assert one.arguments[:2] == ("-m", "wam_eval")
            words = [*one.arguments[2:-1], "bench.json"]
            refused = CliRunner().invoke(app, words)
            assert refused.exit_code == 2 and "finds no NVIDIA GPU" in refused.output, (words, refused.output)


def test_parts_are_called_with_arguments_that_they_have() -> None:
    for one in (*gpu_checks(), *cpu_checks()):
        if one.result == "numbers":
            _, _, part, arguments, out = one.arguments
            inspect.signature(gpu_check.PARTS[part]).bind({}, **json.loads(arguments))
            assert out == "{out}"


def test_all_checks_but_the_last_two_and_the_installation_fit_into_the_budget() -> None:
    assert sum(one.share for one in gpu_checks()[:-2]) < gpu_check.BUDGET - 40


def test_the_command_needs_only_the_standard_library() -> None:
    done = subprocess.run([sys.executable, "-I", "-S", SCRIPT, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--wheels FOLDER" in done.stdout


# Outcomes


def test_a_check_whose_share_does_not_remain_is_not_run(tmp_path: Path) -> None:
    checks = [check("first", WRITE, 1), check("second", WRITE, 1000), check("third", WRITE, 1)]
    status, document = run(tmp_path, checks, budget=30)
    first, second, third = document["checks"]
    assert status == 1
    assert first["outcome"] == third["outcome"] == "passed" and first["numbers"] == {"found": 1}
    assert second["outcome"] == "not run" and "seconds" not in second
    assert second["reason"].startswith("of the budget, ") and second["reason"].endswith("its share is 1000 s")


def test_a_failed_check_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    raises = f"{WRITE}; raise ValueError('wrong\\nand more')"
    codes = [
        "import os; os.abort()",
        raises,
        "pass",
        "import sys; sys.exit(3)",
        "print('wam-eval bench: too small\\nand more')\nexit(2)",
    ]
    status, document = run(tmp_path, [*(check(str(n), code) for n, code in enumerate(codes)), check("last", WRITE)])
    assert status == 1
    assert outcomes(document) == [
        ("failed", "ended by SIGABRT"),
        ("failed", "ValueError: wrong"),
        ("failed", "it ended without a result"),
        ("failed", "ended with status 3 and no output"),
        ("failed", "too small"),
        ("passed", None),
    ]
    assert document["checks"][1]["numbers"] == {"found": 1}, "numbers found before the error"
    assert document["checks"][1]["output"][-1] == "and more"
    assert "| 1 | failed | ValueError: wrong | 0 |" in tables(document)


def test_a_check_that_hangs_is_ended_with_its_processes(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = f"""
import pathlib, subprocess, time
child = subprocess.Popen(["sleep", "600"])
pathlib.Path({str(file)!r}).write_text(str(child.pid))
time.sleep(600)
"""
    _, document = run(tmp_path, [check("hangs", code, share=1), check("last", WRITE)])
    assert outcomes(document) == [("failed", "not finished within 3 s"), ("passed", None)]
    assert not alive(int(file.read_text()))


def test_errors_of_a_part_are_one_line_with_the_numbers_found_before(tmp_path: Path) -> None:
    checks = [
        gpu_check.part_check("unknown", "unknown", 30, gpu_check.find_rows, policies=["fastwam-tni"], device="cpu"),
    ]
    _, document = run(tmp_path, checks)
    (found,) = document["checks"]
    assert found["outcome"] == "failed" and found["numbers"] == {}
    assert found["reason"].startswith("UserError: unknown policy 'fastwam-tni': did you mean")


@pytest.mark.parametrize(
    ("number", "status", "reason"),
    [
        (signal.SIGINT, 130, "interrupted by SIGINT while it ran"),
        (signal.SIGTERM, 143, "interrupted by SIGTERM while it ran"),
        (signal.SIGKILL, -9, "the command ended while it ran"),
    ],
)
def test_an_interrupted_command_leaves_what_was_done(
    tmp_path: Path, number: signal.Signals, status: int, reason: str
) -> None:
    out, file = tmp_path / "out.json", tmp_path / "pid"
    sleep = f"import os, pathlib, time; pathlib.Path({str(file)!r}).write_text(str(os.getpid())); time.sleep(600)"
    code = f"""
import sys
from pathlib import Path
from perf.gpu_check import Check, Session
codes = {{"first": {WRITE!r}, "second": {sleep!r}, "third": {WRITE!r}}}
checks = [Check(name, name, 1000, ("-c", code, "{{out}}")) for name, code in codes.items()]
sys.exit(Session(checks, Path({str(out)!r}), 5000, True).run())
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    driver = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 60
        while not (file.exists() and file.read_text()) and time.monotonic() < until:
            time.sleep(0.05)
        driver.send_signal(number)
        driver.communicate(timeout=30)
    finally:
        driver.kill()
        if number == signal.SIGKILL:
            os.kill(int(file.read_text()), signal.SIGKILL)
    assert driver.returncode == status
    document = json.loads(out.read_text())
    assert outcomes(document) == [("passed", None), ("not run", reason), ("not run", "the command ended before it")]
    assert "| second | not run |" in tables(document)
    if number != signal.SIGKILL:
        assert not alive(int(file.read_text()))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "pid"]


# Arguments


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--wheels nowhere", "--wheels nowhere: there is no such folder"),
        ("--wheels empty", "--wheels empty: there are no wheels (*.whl) in this folder"),
        ("--wheels with_torch", "remove torch-2.13.0-cp312-cp312-linux_x86_64.whl, since the torch of this machine"),
        ("--out nowhere/out.json", "--out nowhere/out.json: not a file in a folder that exists"),
        ("--out empty", "--out empty: not a file in a folder that exists"),
        ("--budget 0", "--budget 0: give a positive number of seconds"),
        ("--budget nan", "--budget nan: give a positive number of seconds"),
        ("--only torch,tocrh", "--only: there is no check 'tocrh'; there are torch, imagewam-4b-graphs"),
        ("--cpu --only imagewam-9b", "--only: there is no check 'imagewam-9b'; there are torch, imagewam-layers"),
        ("--tables nowhere.json", "--tables nowhere.json: cannot be read: No such file"),
        ("--tables other.json", "--tables other.json: not a file that this command has written"),
        ("--tables broken.json", "--tables broken.json: not a file that this command has written"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_starts(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "with_torch").mkdir()
    (tmp_path / "with_torch/torch-2.13.0-cp312-cp312-linux_x86_64.whl").touch()
    (tmp_path / "other.json").write_text("[]")
    (tmp_path / "broken.json").write_text("{")
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["gpu_check", *words.split()])
    assert gpu_check.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
    assert sorted(tmp_path.iterdir()) == before


# Installation


def write_wheel(folder: Path, name: str, code: str) -> Path:
    """A wheel of one module, made by hand."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    entries = {
        f"{name}.py": code,
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{entry},,\n" for entry in (*entries, f"{name}-1.0.dist-info/RECORD"))
    with zipfile.ZipFile(path, "w") as wheel:
        for entry, content in {**entries, f"{name}-1.0.dist-info/RECORD": record}.items():
            wheel.writestr(entry, content)
    return path


def test_wheels_are_installed_beside_the_packages_of_this_python(tmp_path: Path) -> None:
    """A wheel takes precedence over a package of this Python, which is that of a virtual environment."""
    wheels = [write_wheel(tmp_path, "gpu_check_example", "X = 7"), write_wheel(tmp_path, "yaml", "X = 8")]
    code = """
import json, sys
import gpu_check_example, numpy, wam_eval, yaml
found = [gpu_check_example.X, yaml.X, numpy.__file__, wam_eval.__file__]
json.dump({"found": found, "prefix": sys.prefix}, open(sys.argv[1], "w"))
"""
    import numpy

    import wam_eval

    status, document = run(tmp_path, [check("imports", code)], wheels=wheels)
    assert status == 0, document
    numbers = document["checks"][0]["numbers"]
    assert numbers["found"] == [7, 8, numpy.__file__, wam_eval.__file__] and numbers["prefix"] != sys.prefix
    assert document["installation"]["outcome"] == "passed" and document["installation"]["wheels"] == 2
    assert not Path(numbers["prefix"]).exists(), "the environment is temporary"


def test_nothing_runs_if_the_wheels_cannot_be_installed(tmp_path: Path) -> None:
    broken = tmp_path / "broken-1.0-py3-none-any.whl"
    broken.write_text("no archive")
    status, document = run(tmp_path, [check("first", WRITE)], wheels=[broken])
    assert status == 1
    assert document["installation"]["outcome"] == "failed" and "broken" in document["installation"]["reason"]
    assert outcomes(document) == [("not run", "the wheels could not be installed")]


# Goals and tables


def make_bench(medians: Mapping[Acceleration, list[tuple[int, float]]]) -> Bench:
    """A bench of some accelerations: batch sizes and milliseconds of each."""

    def timing(batch: int, ms: float) -> Timing:
        latency = Latency(median=ms, p95=ms + 1)
        return Timing(
            batch=batch,
            calls=20,
            first_ms=2000,
            total=latency,
            stages={"vae": latency, **({"record": latency} if ms < 50 else {})},
            chunks_per_second=1000 * batch / ms,
            memory_gb=9 + batch,
        )

    variants = [
        Variant(
            accelerate=name,
            load_s=1,
            prepare_s=2,
            memory_gb=12,
            timings=tuple(timing(*one) for one in found),
        )
        for name, found in medians.items()
    ]
    return Bench(
        name="example",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        command=("bench",),
        policy="example",
        title="Example",
        settings={"steps": 3},
        facts={"dtype": "bfloat16"},
        machine=Machine(device="GPU", memory="", platform="", cpus=1, threads=1, python="3", torch="2"),
        parameters={},
        flops=None,
        variants=tuple(variants),
        notes=("batch 64 does not fit into memory",),
    )


def bench_check(name: str, bench: Bench) -> Check:
    """A check of some name whose result is a bench."""
    code = f"import sys; open(sys.argv[1], 'w').write({bench.model_dump_json()!r})"
    return Check(name, f"Table of {name}", 10, ("-c", code, "{out}"), "bench")


def test_goals_are_judged_from_the_benches(tmp_path: Path) -> None:
    steps: dict[Acceleration, list[tuple[int, float]]] = {
        "none": [(1, 100.0)],
        "actions": [(1, 60.0)],
        "graphs": [(1, 34.5)],
    }
    checks = [
        bench_check("fastwam-graphs", make_bench({"graphs": [(1, 45.0), (16, 120.0)]})),
        bench_check("imagewam-4b-3-steps", make_bench(steps)),
    ]
    _, document = run(tmp_path, checks, on_cpu=False)
    goals = {(goal["check"], goal["goal"]): (goal["measured"], goal["met"]) for goal in document["goals"]}
    assert goals == {
        ("imagewam-4b-graphs", "at most 60 ms"): (None, None),
        ("fastwam-graphs", "under 45 ms"): (45.0, False),
        ("fastwam-graphs", "at least 6 times"): (pytest.approx(6.0), True),
        ("fastwam-graphs", "at most 20 GB"): (25.0, False),
        ("imagewam-4b-3-steps", "at most 34.5 ms"): (34.5, True),
        ("imagewam-9b", "at most 110 ms"): (None, None),
    }
    shown = tables(document).splitlines()
    assert "| Fast-WAM, 10 steps, batch 1 | under 45 ms | 45.0 ms | not met |" in shown
    assert "| ImageWAM, FLUX.2 klein 9B, 10 steps, batch 1 | at most 110 ms | – | not measured |" in shown
    assert "### Table of imagewam-4b-3-steps" in shown
    assert "| stage | `none`, 1 | `actions`, 1 | `graphs`, 1 |" in shown
    assert "| record | – | – | 34.5 (35.5) |" in shown
    assert "| `none` | 198 | 100.0 | 1.98 |" in shown and "| `layers` | 77 | – | – |" in shown
    assert "| `graphs` | 69 | 34.5 | 2.00 |" in shown
    assert any("batch 64 does not fit into memory." in line for line in shown)
