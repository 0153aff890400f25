"""Every check of the project that needs a GPU, with one command, on a machine without network.

    python perf/gpu_check.py --wheels FOLDER --out gpu_check.json     # Python 3.12 and torch are enough
    python -m perf.gpu_check --cpu                                    # the same in tiny sizes, without a GPU
    python -m perf.gpu_check --only rendering,fastwam-run             # some of them, in the environment of this Python
    python -m perf.gpu_check --tables gpu_check.json                  # the tables of docs/reports/performance.md

Measured are the full-size models with random weights: latency, throughput and memory of Fast-WAM and ImageWAM, and the
difference between compiled and eager answers. LIBERO is rendered with EGL, and tiny models play an episode each. Each
check is a process of its own with a time limit, the most important first; what no time is left for is not run. The file
is written anew after each check, so that nothing is lost if one crashes or the command is interrupted.

With --wheels, all wheels of the folder are installed into a temporary environment, in which the packages of this Python
are visible, too: a package that it has need not be in the folder, and torch must not be. On a machine with network, in
the repository after `make setup`, these commands fill the folder:

    grep -vE '^(torch|bddl)==' locks/models.txt > wheels.txt
    .venv/bin/pip download -r wheels.txt -d FOLDER --no-deps --only-binary=:all: --python-version 3.12 \\
      --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 \\
      --platform manylinux2014_x86_64
    .venv/bin/pip wheel bddl==1.0.1 -w FOLDER --no-deps --no-build-isolation      # published as source only
"""

# Only the standard library is imported here: the command starts before anything is installed. Functions of PARTS run in
# the installed environment and import what they measure.
from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import site
import subprocess
import sys
import sysconfig
import tempfile
import time
import traceback
import venv
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wam_eval.policy import Policy

ROOT = Path(__file__).resolve().parent.parent
KIND = "wam-eval GPU check"
"""Value of ``kind`` in the file, by which it is recognised."""
BUDGET = 480.0
"""Seconds of all checks together, the installation included, by default."""
PATIENCE = 3.0
"""A check is ended when it has taken its share times this number."""
GRACE = 10.0
"""Seconds from the request to end to the kill."""
OUTPUT_LINES = 30
"""Lines of a failed check's output that are kept."""
TOLERANCE = 1e-4
"""Largest difference between compiled and eager actions of a tiny model in float32."""
OBSERVATIONS = 4
"""Observations with which compiled and eager answers are compared."""
BLANK = 2.0
"""Standard deviation of the pixels, of 255, below which an image counts as blank."""
SUITE = "libero_object"
"""Suite of which the first episode is rendered and played."""

PAPER_MS = {"none": 198.0, "actions": 85.0, "layers": 77.0, "graphs": 69.0}
"""Milliseconds in ImageWAM (arXiv 2606.19531), Table 11, with 3 steps, by the setting ``accelerate``."""

Json = dict[str, Any]


class ArgumentError(Exception):
    """An argument that is not possible; the text says why."""


class CheckFailed(Exception):
    """A check whose result is not as it should be; the text says what was found."""


class Interrupted(KeyboardInterrupt):
    """A signal that stops the command.

    Attributes:
        signal: the signal.
    """

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(self.signal.name)


# ---------------------------------------------------------------------- checks


@dataclass(frozen=True)
class Check:
    """A check.

    Attributes:
        name: name in ``--only`` and in the file.
        title: title of its table; benches with the same title share one.
        share: seconds of the budget that must remain to start it. They are estimates: measured are the seconds in the
            file.
        arguments: arguments of the interpreter; ``{out}`` stands for the file of the result.
        result: key of the result in the file: ``bench`` for the file of `wam-eval bench`, else ``numbers``.
    """

    name: str
    title: str
    share: float
    arguments: tuple[str, ...]
    result: Literal["bench", "numbers"] = "numbers"

    def command(self, out: Path) -> list[str]:
        """Arguments of the interpreter with the file of the result."""
        return [str(out) if argument == "{out}" else argument for argument in self.arguments]


def bench_check(name: str, title: str, share: float, policy: str, *options: str) -> Check:
    """A check that runs `wam-eval bench` with some options."""
    return Check(name, title, share, ("-m", "wam_eval", "bench", policy, *options, "--out", "{out}"), "bench")


def part_check(name: str, title: str, share: float, part: Callable[..., None], **arguments: Any) -> Check:
    """A check that calls a function of :data:`PARTS` in the installed environment."""
    code = "import sys; from perf.gpu_check import run_part; run_part(*sys.argv[1:])"
    return Check(name, title, share, ("-c", code, part.__name__, json.dumps(arguments), "{out}"))


def agreement_check(share: float, name: str, policy: str, accelerations: Sequence[str], **arguments: Any) -> Check:
    """A check that compares compiled with eager answers."""
    title = "Compiled against eager answers"
    return part_check(name, title, share, compare_answers, policy=policy, accelerations=accelerations, **arguments)


def gpu_checks() -> list[Check]:
    """The checks on a GPU, the most important first; the last two run if the others have left some of their shares."""
    four, nine, fast = "ImageWAM, FLUX.2 klein 4B", "ImageWAM, FLUX.2 klein 9B", "Fast-WAM on LIBERO"
    rows, run = "Rows of fixed batches", "Episodes of tiny models"
    random, single, many = "--random-weights", ("--batch", "1"), ("--batch", "1,16")
    eager, graphs = ("--accelerate", "none"), ("--accelerate", "graphs")
    compiled = ("layers", "graphs")
    tiny: Json = {"settings": {"device": "cuda"}, "tolerance": TOLERANCE}
    full: Json = {"settings": {"random_weights": True}}
    return [
        part_check("torch", "torch", 10, describe_torch, device="cuda"),
        bench_check("imagewam-4b-graphs", f"{four}, 10 steps", 55, "imagewam-flux2-4b", random, *graphs, *single),
        bench_check("imagewam-4b-eager", f"{four}, 10 steps", 20, "imagewam-flux2-4b", random, *eager, *single),
        bench_check("fastwam-graphs", fast, 55, "fastwam-libero", random, *graphs, *many),
        bench_check("fastwam-eager", fast, 20, "fastwam-libero", random, *eager, *many),
        bench_check(
            "imagewam-4b-3-steps", f"{four}, 3 steps", 55, "imagewam-flux2-4b", random, "--steps", "3", *single
        ),
        bench_check("imagewam-9b", f"{nine}, 10 steps", 50, "imagewam-flux2-9b", random, *graphs, *single),
        part_check("rendering", "Rendering of LIBERO", 15, render_libero, gpu=True, steps=50),
        agreement_check(20, "fastwam-agreement", "fastwam-tiny", compiled, **tiny),
        agreement_check(20, "imagewam-agreement", "imagewam-tiny", compiled, **tiny),
        part_check("rows", rows, 15, find_rows, policies=["fastwam-tiny", "imagewam-tiny"], device="cuda"),
        part_check("fastwam-run", run, 20, play_episode, policy="fastwam-tiny", device="cuda"),
        part_check("imagewam-run", run, 20, play_episode, policy="imagewam-tiny", device="cuda"),
        agreement_check(25, "fastwam-agreement-full", "fastwam-libero", ("graphs",), **full),
        agreement_check(25, "imagewam-agreement-full", "imagewam-flux2-4b", ("graphs",), **full),
        bench_check("fastwam-fixed", f"{fast}, fixed batches", 30, "fastwam-libero", random, *graphs, *many, "--fixed"),
        bench_check("fastwam-idm", "Fast-WAM-IDM on LIBERO", 45, "fastwam-libero-idm", random, *graphs, *single),
    ]


def cpu_checks() -> list[Check]:
    """The same checks in tiny sizes on a CPU."""
    image, fast = "ImageWAM, tiny", "Fast-WAM, tiny"
    rows, run = "Rows of fixed batches", "Episodes of tiny models"
    few, single, many = ("--steps", "2", "--repeats", "2"), ("--batch", "1"), ("--batch", "1,2")
    eager, layers = ("--accelerate", "none"), ("--accelerate", "layers")
    tiny: Json = {"settings": {"steps": 2}, "tolerance": TOLERANCE}
    return [
        part_check("torch", "torch", 10, describe_torch, device="cpu"),
        bench_check("imagewam-layers", image, 40, "imagewam-tiny", *layers, *few, *single),
        bench_check("imagewam-eager", image, 20, "imagewam-tiny", *eager, *few, *single),
        bench_check("fastwam-layers", fast, 60, "fastwam-tiny", *layers, *few, *many),
        bench_check("fastwam-eager", fast, 20, "fastwam-tiny", *eager, *few, *many),
        part_check("rendering", "Rendering of LIBERO", 30, render_libero, gpu=False, steps=3),
        agreement_check(40, "fastwam-agreement", "fastwam-tiny", ("layers",), **tiny),
        agreement_check(40, "imagewam-agreement", "imagewam-tiny", ("layers",), **tiny),
        part_check("rows", rows, 20, find_rows, policies=["fastwam-tiny", "imagewam-tiny"], device="cpu"),
        part_check("fastwam-run", run, 50, play_episode, policy="fastwam-tiny", device="cpu"),
        part_check("imagewam-run", run, 50, play_episode, policy="imagewam-tiny", device="cpu"),
    ]


def select(checks: Sequence[Check], only: str | None) -> list[Check]:
    """The checks of some names, in their order; all if ``None``.

    Raises:
        ArgumentError: there is no check of a name.
    """
    if only is None:
        return list(checks)
    names = [name.strip() for name in only.split(",")]
    known = [check.name for check in checks]
    for name in names:
        if name not in known:
            raise ArgumentError(f"--only: there is no check {name!r}; there are {', '.join(known)}")
    return [check for check in checks if check.name in names]


# ---------------------------------------------------------------------- goals


@dataclass(frozen=True)
class Goal:
    """A goal for a bench.

    Attributes:
        title: the quantity, with its conditions.
        check: name of the bench's check.
        relation, bound, unit: the goal, such as ``at most`` 60 ``ms``.
        measure: the quantity in a bench; ``None`` if it was not measured.
    """

    title: str
    check: str
    relation: Literal["at most", "under", "at least"]
    bound: float
    unit: str
    measure: Callable[[Json], float | None]

    def judged(self, bench: Json | None) -> Json:
        """The goal with what was measured, as plain JSON."""
        measured = self.measure(bench) if bench else None
        met = None
        if measured is not None:
            met = {
                "at most": measured <= self.bound,
                "under": measured < self.bound,
                "at least": measured >= self.bound,
            }[self.relation]
        goal = f"{self.relation} {self.bound:g} {self.unit}"
        return {
            "title": self.title,
            "check": self.check,
            "goal": goal,
            "measured": measured,
            "unit": self.unit,
            "met": met,
        }


def find_timing(bench: Json, accelerate: str, batch: int) -> Json | None:
    """The timing of an acceleration and a batch size in a bench; ``None`` if it was not measured."""
    for variant in bench["variants"]:
        if variant["accelerate"] == accelerate:
            for timing in variant["timings"]:
                if timing["batch"] == batch:
                    return dict(timing)
    return None


def latency_ms(bench: Json) -> float | None:
    """Median milliseconds of a call with one observation, with CUDA graphs."""
    timing = find_timing(bench, "graphs", 1)
    return timing["total"]["median"] if timing else None


def gain_of_16(bench: Json) -> float | None:
    """Chunks per second at batch size 16 as a multiple of those at batch size 1, with CUDA graphs."""
    single, many = find_timing(bench, "graphs", 1), find_timing(bench, "graphs", 16)
    return many["chunks_per_second"] / single["chunks_per_second"] if single and many else None


def peak_gb(bench: Json) -> float | None:
    """Peak of the memory in 10^9 bytes, from the construction of the policy to its last answer."""
    return max(one["memory_gb"] for variant in bench["variants"] for one in (variant, *variant["timings"]))


GOALS = (
    Goal("ImageWAM, FLUX.2 klein 4B, 10 steps, batch 1", "imagewam-4b-graphs", "at most", 60, "ms", latency_ms),
    Goal("Fast-WAM, 10 steps, batch 1", "fastwam-graphs", "under", 45, "ms", latency_ms),
    Goal("Fast-WAM, chunks per second, batch 16 over batch 1", "fastwam-graphs", "at least", 6, "times", gain_of_16),
    Goal("Fast-WAM, peak memory", "fastwam-graphs", "at most", 20, "GB", peak_gb),
    Goal("ImageWAM, FLUX.2 klein 4B, 3 steps, batch 1", "imagewam-4b-3-steps", "at most", 34.5, "ms", latency_ms),
    Goal("ImageWAM, FLUX.2 klein 9B, 10 steps, batch 1", "imagewam-9b", "at most", 110, "ms", latency_ms),
)
"""Goals for an NVIDIA H200; that for 3 steps is half of the time in the paper."""


# ---------------------------------------------------------------------- parts, which run in the installed environment


def run_part(name: str, arguments: str, out: str) -> None:
    """Call a function of :data:`PARTS` and write its numbers, those found before an error included.

    Args:
        name: name of the function.
        arguments: its keyword arguments as JSON.
        out: file of the numbers.
    """
    numbers: Json = {}
    try:
        PARTS[name](numbers, **json.loads(arguments))
    except Exception as error:
        if not isinstance(error, CheckFailed):
            traceback.print_exc()
        kind = "" if isinstance(error, CheckFailed) else f"{type(error).__name__}: "
        print(f"error: {kind}{' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    finally:
        Path(out).write_text(json.dumps(numbers), encoding="utf-8")


def describe_torch(numbers: Json, device: str) -> None:
    """Versions of torch and CUDA, and the GPU as torch sees it.

    Raises:
        CheckFailed: torch finds no GPU, and one is needed.
    """
    import torch

    numbers |= {"torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version()}
    if device == "cpu":
        return
    if not torch.cuda.is_available():
        raise CheckFailed(f"torch {torch.__version__} finds no GPU")
    properties = torch.cuda.get_device_properties(0)
    numbers |= {
        "gpu": properties.name,
        "memory_gb": round(properties.total_memory / 1e9, 1),
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "cudnn": torch.backends.cudnn.version(),
    }


def render_libero(numbers: Json, gpu: bool, steps: int) -> None:
    """The renderer, the EGL devices, and milliseconds of a control step with all cameras and without.

    Args:
        gpu: True if a GPU has to render.
        steps: control steps that are timed.

    Raises:
        CheckFailed: an image is blank, or a CPU renders although a GPU should.
    """
    from dataclasses import asdict, replace
    from statistics import median

    from wam_eval.hosting.opengl import DEVICE_VARIABLE, choose_renderer, list_devices
    from wam_eval.hosting.process import SimulatorProcess
    from wam_eval.observation import Request
    from wam_eval.run.plan import plan_run

    renderer = choose_renderer()
    numbers |= {"renderer": str(renderer), "gpu": renderer.gpu}
    if renderer.name == "egl":
        numbers["devices"] = [asdict(device) for device in list_devices()]
    (plan,) = plan_run(SUITE, None, "0", 1)
    (episode,), settings, installation = plan.episodes, plan.protocol.settings, plan.installation
    spec = installation.spec(settings)
    spec = replace(spec, environment={**spec.environment, **installation.slot_environment(spec, 0)})
    numbers |= {"chosen_device": spec.environment.get(DEVICE_VARIABLE), "assets": installation.assets.kind}
    cameras, space = plan.benchmark.cameras(settings), plan.benchmark.action_space(settings)
    images = Request(tuple(camera.name for camera in cameras))
    with SimulatorProcess(spec, Path("simulator.log")) as simulator:
        started = time.perf_counter()
        observation = simulator.load(episode, images)
        numbers["first_s"] = time.perf_counter() - started
        for name, request in (("ms_with_cameras", images), ("ms_without_cameras", Request())):
            times = []
            for _ in range(steps):
                started = time.perf_counter()
                _, answer = simulator.step(space.hold(observation.state, 1), request)
                times.append(1000 * (time.perf_counter() - started))
                if answer is None:
                    raise CheckFailed(f"the episode ended within {2 * steps} steps without movement")
                if answer.images:
                    observation = answer
            numbers[name] = median(times)
    numbers["steps"] = steps
    numbers["images"] = {
        camera.name: {
            "height": observation.images[camera.name].shape[0],
            "width": observation.images[camera.name].shape[1],
            "mean": round(float(observation.images[camera.name].mean()), 1),
            "spread": round(float(observation.images[camera.name].std()), 1),
        }
        for camera in cameras
    }
    if blank := [name for name, image in numbers["images"].items() if image["spread"] < BLANK]:
        raise CheckFailed(f"the images of {', '.join(blank)} are blank")
    if gpu and not renderer.gpu:
        raise CheckFailed(f"LIBERO is rendered without the GPU: {renderer}")


def compare_answers(
    numbers: Json, policy: str, settings: Json, accelerations: list[str], tolerance: float | None = None
) -> None:
    """Differences between compiled and eager answers to the same observations, in the units of the actions.

    The last number of an action, the gripper's, has two values; those that differ are counted instead.

    Args:
        policy: name of the policy.
        settings: settings that replace those of its YAML file.
        accelerations: values of ``accelerate`` that are compared with ``none``.
        tolerance: largest difference that is allowed; any if ``None``.

    Raises:
        CheckFailed: a difference is larger, or an answer is not repeated bit for bit.
    """
    import numpy as np

    eager, _, facts = _answers(policy, {**settings, "accelerate": "none"})
    spread = float(eager[..., :-1].std())
    numbers |= {"policy": policy, "dtype": facts["dtype"], "device": facts["device"], "spread": spread, "compared": {}}
    for acceleration in accelerations:
        answers, again, _ = _answers(policy, {**settings, "accelerate": acceleration})
        difference = float(np.abs(answers - eager)[..., :-1].max())
        numbers["compared"][acceleration] = {
            "difference": difference,
            "relative": difference / spread,
            "grippers": int((answers[..., -1] != eager[..., -1]).sum()),
            "commands": int(eager[..., -1].size),
            "repeats": bool((again == answers[0]).all()),
        }
    for acceleration, found in numbers["compared"].items():
        if tolerance is not None and not found["difference"] <= tolerance:
            raise CheckFailed(f"{policy}, {acceleration}: actions differ by {found['difference']:.2g}")
        if not found["repeats"]:
            raise CheckFailed(f"{policy}, {acceleration}: the same observation gets another answer when it is repeated")


def _answers(policy: str, settings: Json) -> tuple[NDArray[np.float32], NDArray[np.float32], Mapping[str, Any]]:
    """Answers of a policy to single observations, the answer to the first of them once more, and the policy's facts."""
    import numpy as np

    made = _make_policy(policy, {"batch": "fast", **settings})
    try:
        examples = [made.example(index) for index in range(OBSERVATIONS)]
        made.prepare([example.instruction for example in examples])
        actions = [np.asarray(vars(made.act([example])[0])["actions"]) for example in (*examples, examples[0])]
        return np.stack(actions[:-1]), actions[-1], made.facts()
    finally:
        made.close()


def find_rows(numbers: Json, policies: list[str], device: str) -> None:
    """Rows of a fixed batch that a device computes alike, bit for bit, by policy and dtype; 1 if it does not.

    Args:
        policies: names of policies.
        device: ``cuda`` or ``cpu``.
    """
    for policy in policies:
        for dtype in ("float32", "bfloat16"):
            made = _make_policy(policy, {"batch": "fixed", "device": device, "dtype": dtype})
            try:
                made.prepare([made.example(0).instruction])
                numbers[f"{policy}, {dtype}"] = made.facts()["rows"]
            finally:
                made.close()


def _make_policy(name: str, settings: Json) -> Policy:
    """A policy with some settings replaced, after the memory of earlier ones has been released."""
    import gc

    import torch

    from wam_eval import config
    from wam_eval.policy import make_policy
    from wam_eval.run.bench import bench_arguments

    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    card = config.load_policy(name)
    return make_policy(card, bench_arguments(card, None, None, settings))


def play_episode(numbers: Json, policy: str, device: str) -> None:
    """Play an episode with Ray, a simulator process and a tiny policy, as `wam-eval run` does.

    Args:
        policy: name of the policy.
        device: ``cuda`` or ``cpu``.

    Raises:
        CheckFailed: the episode ended in an error.
    """
    from wam_eval import config, evaluate
    from wam_eval.run.ledger import read_ledger

    card = config.load_policy(policy).model_dump(mode="json", exclude_defaults=True)
    card["settings"]["device"] = device
    card["gpus"] = int(device == "cuda")
    file = Path(f"{policy}-{device}.yaml").absolute()
    file.write_text(json.dumps(card), encoding="utf-8")  # JSON is YAML.
    run = evaluate(suite=SUITE, policy=str(file), tasks="0", episodes=1, workers=1, simulators=1, run=file.stem)
    (record,) = read_ledger(run.folder.ledger).records
    (worker,) = run.folder.read().workers
    numbers |= {
        "policy": policy,
        "outcome": record.outcome.value,
        "steps": record.steps,
        "seconds": record.seconds,
        "measured": record.measured,
        "worker": json.loads(json.dumps(worker, default=str)),
    }
    if not record.outcome.counts:
        raise CheckFailed(f"{policy}: the episode ended as {record.outcome.value}: {record.error}")


PARTS: Mapping[str, Callable[..., None]] = {
    part.__name__: part for part in (describe_torch, render_libero, compare_answers, find_rows, play_episode)
}


# ---------------------------------------------------------------------- execution


class Session:
    """The checks of one call of the command, with the file of their results.

    Args:
        checks: checks in order.
        out: the file.
        budget: seconds for everything.
        on_cpu: True if the checks run on a CPU: GPUs are hidden and no goals are judged.
        wheels: wheels to install first; none to use the environment of this Python.
    """

    def __init__(
        self, checks: Sequence[Check], out: Path, budget: float, on_cpu: bool, wheels: Sequence[Path] = ()
    ) -> None:
        self._started = time.monotonic()
        self._out, self._budget, self._on_cpu, self._wheels = out, budget, on_cpu, wheels
        self._checks = checks
        self._python = sys.executable
        waiting = {"outcome": "not run", "reason": "the command ended before it"}
        self._results: dict[str, Json] = {
            check.name: {"name": check.name, "title": check.title, **waiting} for check in checks
        }
        self._installation: Json | None = {"wheels": len(wheels), **waiting} if wheels else None
        self._facts = {
            "kind": KIND,
            "mode": "cpu" if on_cpu else "gpu",
            "created": datetime.now().astimezone().isoformat(timespec="seconds"),
            "commit": _commit(),
            "machine": _machine(),
            "budget_s": budget,
        }

    def run(self) -> int:
        """Run the checks and return an exit status: 0 if all have passed, 1 if not, 128 + its number after a signal."""
        self._write()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        try:
            with tempfile.TemporaryDirectory(prefix="gpu-check-", ignore_cleanup_errors=True) as folder:
                self._run_in(Path(folder).resolve())
        except Interrupted as interrupt:
            print(f"Interrupted by {interrupt.signal.name}. What was measured is in {self._out}")
            return 128 + interrupt.signal
        print(f"Saved in {self._out}")
        return int(any(result["outcome"] != "passed" for result in self._results.values()))

    def _run_in(self, folder: Path) -> None:
        """Install the wheels and run the checks in a temporary folder."""
        if self._installation is not None:
            self._install(self._installation, folder / "environment", folder)
        for check in self._checks:
            result = self._results[check.name]
            if self._installation is not None and self._installation["outcome"] != "passed":
                result["reason"] = "the wheels could not be installed"
            elif (left := self._left()) < check.share:
                result["reason"] = f"of the budget, {max(left, 0):.0f} s are left, and its share is {check.share:g} s"
            else:
                self._run_check(check, result, folder)
            self._write()
            print(f"{check.name}: {result['outcome']}{_because(result)}", flush=True)

    def _left(self) -> float:
        """Seconds that are left of the budget."""
        return self._budget - (time.monotonic() - self._started)

    def _run_check(self, check: Check, result: Json, folder: Path) -> None:
        """Run a check and add its outcome and its result."""
        out = folder / f"{check.name}.json"
        limit = min(PATIENCE * check.share, self._left())
        self._execute([self._python, *check.command(out)], self._environment(folder), folder, limit, result)
        with suppress(FileNotFoundError, ValueError):  # absent or incomplete after a crash
            result[check.result] = json.loads(out.read_text(encoding="utf-8"))
        if result["outcome"] == "passed" and check.result not in result:
            result |= {"outcome": "failed", "reason": "it ended without a result"}

    def _install(self, result: Json, environment: Path, folder: Path) -> None:
        """Install the wheels into an environment in which the packages of this Python are visible."""
        # Without pip, which some systems do not allow to install; this Python's own installs into the environment.
        venv.EnvBuilder(system_site_packages=True, with_pip=False, symlinks=True).create(environment)
        self._python = str(environment / "bin/python")
        packages = environment / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
        # If this Python is that of a virtual environment, only the packages below that are visible by themselves.
        visible = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
        (packages / "gpu_check.pth").write_text("".join(f"{path}\n" for path in visible), encoding="utf-8")
        options = (
            "--no-index",
            "--no-deps",
            "--no-compile",
            "--no-cache-dir",
            "--disable-pip-version-check",
            "--quiet",
        )
        pip = [sys.executable, "-m", "pip", "--isolated", "install", *options, "--target", str(packages)]
        variables = {**os.environ, "PIP_CONFIG_FILE": os.devnull}
        self._execute([*pip, *map(str, self._wheels)], variables, folder, self._left(), result)
        result.pop("command")
        self._write()
        print(f"installation of {len(self._wheels)} wheels: {result['outcome']}{_because(result)}", flush=True)

    def _environment(self, folder: Path) -> dict[str, str]:
        """Environment variables of the checks: this repository's code, and folders of their own for everything else."""
        inductor = folder / "inductor"
        inductor.mkdir(exist_ok=True)
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        own = {
            "PYTHONPATH": path,
            "WAM_EVAL_HOME": str(folder / "home"),
            "WAM_EVAL_RUNS": str(folder / "runs"),
            "TORCHINDUCTOR_CACHE_DIR": str(inductor),  # A later check finds what an earlier one has compiled.
        }
        variables = {**os.environ, **own, **({"CUDA_VISIBLE_DEVICES": ""} if self._on_cpu else {})}
        if self._wheels:  # They were installed without bytecode, which the first import writes for the later ones.
            variables.pop("PYTHONDONTWRITEBYTECODE", None)
        return variables

    def _execute(
        self, command: list[str], environment: Mapping[str, str], folder: Path, limit: float, result: Json
    ) -> None:
        """Run a command with a time limit, and add its outcome and its seconds.

        Raises:
            Interrupted: a signal has arrived; the command has been ended.
        """
        log = folder / "output.log"
        shown = [word.replace(str(folder), "FOLDER") for word in command[1:]]
        result |= {"command": ["python", *shown], "limit_s": round(limit, 1)}
        result |= {"outcome": "not run", "reason": "the command ended while it ran"}
        self._write()
        started = time.monotonic()
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            status = None
            try:
                with suppress(subprocess.TimeoutExpired):
                    status = process.wait(limit)
            except Interrupted as interrupt:
                result["reason"] = f"interrupted by {interrupt.signal.name} while it ran"
                raise
            finally:
                _end(process)
                result["seconds"] = round(time.monotonic() - started, 1)
                self._write()
        if status == 0:
            del result["reason"]
            result["outcome"] = "passed"
            return
        output = log.read_text(encoding="utf-8", errors="replace").strip()
        reason = f"not finished within {limit:.0f} s" if status is None else failure(status, output)
        result |= {"outcome": "failed", "reason": reason, "output": output.splitlines()[-OUTPUT_LINES:]}

    def _write(self) -> None:
        """Write the file, so that it is complete at any time."""
        document: Json = {**self._facts, "seconds": round(time.monotonic() - self._started, 1)}
        if self._installation is not None:
            document["installation"] = self._installation
        if not self._on_cpu:
            known = {name: result.get("bench") for name, result in self._results.items()}
            document["goals"] = [goal.judged(known.get(goal.check)) for goal in GOALS]
        document["checks"] = list(self._results.values())
        temporary = self._out.with_name(f"{self._out.name}.tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._out)


def failure(status: int, output: str) -> str:
    """The reason why a process failed, in one line: the last error in its output.

    Args:
        status: exit status; negative for the number of a signal.
        output: its standard output and error.
    """
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    if errors := re.findall(r"^(?:error|wam-eval \w+): *(.+)", output, re.MULTILINE | re.IGNORECASE):
        return str(errors[-1])[:500]
    if (at := output.rfind("Traceback (most recent call last):")) >= 0:
        later = [line for line in output[at:].splitlines()[1:] if line and not line[0].isspace()]
        if later:
            return later[0][:500]
    return (output.splitlines() or [f"ended with status {status} and no output"])[-1][:500]


def _because(result: Json) -> str:
    """Seconds and reason of a result, for a line of text."""
    seconds = f" in {result['seconds']:.0f} s" if "seconds" in result else ""
    return seconds + (f": {result['reason']}" if "reason" in result else "")


def _interrupt(number: int, frame: object) -> NoReturn:
    """Handler of a signal: raise :class:`Interrupted`, once."""
    del frame
    for later in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(later, signal.SIG_IGN)
    raise Interrupted(number)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process with all processes of its group."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _machine() -> Json:
    """This machine, as far as the standard library and NVIDIA's driver know it."""
    with suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    query = ("nvidia-smi", "--query-gpu=name,memory.total,driver_version,power.limit", "--format=csv,noheader")
    names = ("name", "memory", "driver", "power_limit")
    listed = (_output(query) or "").splitlines()
    return {
        "gpus": [dict(zip(names, map(str.strip, line.split(",")), strict=False)) for line in listed],
        "cpu": found[1].strip() if found else platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def _commit() -> str | None:
    """The commit of the repository, with a ``+`` if tracked files were changed; ``None`` if it is not known."""
    commit = _output(("git", "-C", str(ROOT), "rev-parse", "HEAD"))
    changed = _output(("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"))
    return f"{commit}{'+' if changed else ''}" if commit else None


def _output(command: Sequence[str]) -> str | None:
    """Standard output of a command; ``None`` if it is not installed or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


# ---------------------------------------------------------------------- tables


def read_document(path: Path) -> Json:
    """Read a file of this command.

    Raises:
        ArgumentError: it does not exist, or is another file.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArgumentError(f"--tables {path}: cannot be read: {error.strerror}") from error
    except ValueError:
        document = None
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise ArgumentError(f"--tables {path}: not a file that this command has written")
    return document


def tables(document: Json) -> str:
    """The tables of a file in Markdown: machine, goals, benches, paper, rendering, answers, rows, episodes, checks."""
    checks = {check["name"]: check for check in document["checks"]}
    numbers = {name: check["numbers"] for name, check in checks.items() if check.get("numbers")}
    benches: dict[str, list[Json]] = {}
    for check in checks.values():
        if "bench" in check:
            benches.setdefault(check["title"], []).append(check["bench"])
    blocks = [_machine_line(document, numbers.get("torch", {}))]
    if goals := document.get("goals"):
        blocks += ["### Goals", _goal_table(goals)]
    for title, measured in benches.items():
        blocks += [f"### {title}", _bench_table(measured)]
    if steps := checks.get("imagewam-4b-3-steps", {}).get("bench"):
        blocks += ["### ImageWAM, Table 11", _paper_table(steps)]
    if "rendering" in numbers:
        blocks += ["### Rendering of LIBERO", _rendering_table(numbers["rendering"])]
    if compared := [found for found in numbers.values() if "compared" in found]:
        blocks += ["### Compiled against eager answers", _agreement_table(compared)]
    if "rows" in numbers:
        rows = [(*name.split(", "), str(count)) for name, count in numbers["rows"].items()]
        blocks += ["### Rows of fixed batches", _table(("policy", "dtype", "rows computed alike"), rows, texts=2)]
    if played := [found for found in numbers.values() if "outcome" in found]:
        blocks += ["### Episodes of tiny models", _episode_table(played)]
    blocks += ["### Checks", _check_table(checks.values())]
    return "\n\n".join(blocks)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A Markdown table.

    Args:
        headings: headings of the columns.
        rows: cells.
        texts: number of columns, from the left, that are aligned to the left.
    """
    rule = [":---" if number < texts else "---:" for number in range(len(headings))]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, rule, *cells))


def _machine_line(document: Json, torch: Json) -> str:
    machine = document["machine"]
    gpus = [", ".join(gpu.values()) for gpu in machine["gpus"]] if document["mode"] == "gpu" else []
    changed = ", with changes" if (document["commit"] or "").endswith("+") else ""
    commit = f"commit {document['commit'][:12]}{changed}" if document["commit"] else ""
    parts = [
        *(gpus or ["no GPU"]),
        f"{machine['cpus']} cores of {machine['cpu']}",
        f"torch {torch['torch']}" if "torch" in torch else "",
        f"CUDA {torch['cuda']}" if torch.get("cuda") and gpus else "",
        f"Python {machine['python']}",
        commit,
        document["created"][:10],
        f"{document['seconds']:.0f} s in all",
    ]
    return f"*{'; '.join(filter(None, parts))}.*"


def _goal_table(goals: Sequence[Json]) -> str:
    words = {True: "met", False: "not met", None: "not measured"}
    rows = []
    for goal in goals:
        measured = "–" if goal["measured"] is None else f"{goal['measured']:.1f} {goal['unit']}"
        rows.append((goal["title"], goal["goal"], measured, words[goal["met"]]))
    return _table(("", "goal", "measured", ""), rows)


def _bench_table(benches: Sequence[Json]) -> str:
    """Milliseconds of a call by stage, acceleration and batch size: median, 95th percentile in brackets."""
    order = [*PAPER_MS, None]
    variants = sorted(
        (one for bench in benches for one in bench["variants"]), key=lambda one: order.index(one["accelerate"])
    )
    columns = [(variant["accelerate"] or "as it is", timing) for variant in variants for timing in variant["timings"]]

    def cell(latency: Json | None) -> str:
        return f"{latency['median']:.1f} ({latency['p95']:.1f})" if latency else "–"

    stages = dict.fromkeys(stage for _, timing in columns for stage in timing["stages"])
    rows = [(stage, *(cell(timing["stages"].get(stage)) for _, timing in columns)) for stage in stages]
    rows.append(("total", *(cell(timing["total"]) for _, timing in columns)))
    rows.append(("chunks per second", *(f"{timing['chunks_per_second']:.1f}" for _, timing in columns)))
    rows.append(("first call, s", *(f"{timing['first_ms'] / 1000:.1f}" for _, timing in columns)))
    rows.append(("peak memory, GB", *(f"{timing['memory_gb']:.2f}" for _, timing in columns)))
    table = _table(("stage", *(f"`{name}`, {timing['batch']}" for name, timing in columns)), rows)
    facts = benches[0]["facts"]
    rows_of_batch = f", fixed batches of {facts['rows']}" if facts.get("rows") else ""
    calls = f"{facts['dtype']}, {benches[0]['settings']['steps']} steps{rows_of_batch}; ms per call"
    notes = [note for bench in benches for note in bench["notes"]]
    return f"{table}\n\n*{'. '.join((f'{calls}: median (95th percentile)', *notes))}.*"


def _paper_table(bench: Json) -> str:
    """Latencies of Table 11 beside ours, with 3 steps."""
    rows = []
    for accelerate, paper in PAPER_MS.items():
        timing = find_timing(bench, accelerate, 1)
        here = timing["total"]["median"] if timing else None
        cells = ("–", "–") if here is None else (f"{here:.1f}", f"{paper / here:.2f}")
        rows.append((f"`{accelerate}`", f"{paper:g}", *cells))
    return _table(("acceleration", "paper ms", "here ms", "paper / here"), rows)


def _rendering_table(found: Json) -> str:
    rows = [("renderer", found["renderer"])]
    for device in found.get("devices", ()):
        cuda = "" if device["cuda"] is None else f", CUDA device {device['cuda']}"
        rows.append((f"EGL device {device['index']}", f"{device['name'] or 'does not render'}{cuda}"))
    if found.get("chosen_device") is not None:
        rows.append(("device of the simulator", found["chosen_device"]))
    for name, image in found.get("images", {}).items():
        size = f"{image['height']} × {image['width']}"
        rows.append((f"image of {name}", f"{size}, pixels {image['mean']:.0f} ± {image['spread']:.0f}"))
    for key, title in (("ms_with_cameras", "with all cameras"), ("ms_without_cameras", "without cameras")):
        if key in found:
            rows.append((f"control step {title}, ms", f"{found[key]:.1f}"))
    if "first_s" in found:
        rows.append(("start of the simulator and first images, s", f"{found['first_s']:.1f}"))
    return _table(("", ""), rows, texts=2)


def _agreement_table(compared: Sequence[Json]) -> str:
    headings = ("policy", "dtype", "acceleration", "largest difference", "of the spread", "other gripper commands")
    rows = []
    for found in compared:
        for acceleration, one in found["compared"].items():
            numbers = (f"{one['difference']:.1e}", f"{one['relative']:.1e}", f"{one['grippers']} of {one['commands']}")
            rows.append((found["policy"], found["dtype"], f"`{acceleration}`", *numbers))
    return _table(headings, rows, texts=3)


def _episode_table(played: Sequence[Json]) -> str:
    headings = ("policy", "outcome", "steps", "chunks", "load s", "simulate s", "policy s")
    rows = []
    for found in played:
        seconds = [f"{found['seconds'].get(stage, 0):.1f}" for stage in ("load", "simulate", "policy")]
        chunks = f"{found['measured'].get('chunks', 0):.0f}"
        rows.append((found["policy"], found["outcome"], str(found["steps"]), chunks, *seconds))
    return _table(headings, rows, texts=2)


def _check_table(checks: Iterable[Json]) -> str:
    rows = []
    for check in checks:
        seconds = f"{check['seconds']:.0f}" if "seconds" in check else "–"
        rows.append((check["name"], check["outcome"], check.get("reason", ""), seconds))
    return _table(("check", "outcome", "reason", "s"), rows, texts=3)


# ---------------------------------------------------------------------- command


def find_wheels(folder: Path) -> list[Path]:
    """The wheels of a folder.

    Raises:
        ArgumentError: there are none, torch is among them, or this Python cannot install them.
    """
    if not folder.is_dir():
        raise ArgumentError(f"--wheels {folder}: there is no such folder")
    wheels = sorted(path.resolve() for path in folder.glob("*.whl"))
    if not wheels:
        raise ArgumentError(f"--wheels {folder}: there are no wheels (*.whl) in this folder")
    if torch := next((path.name for path in wheels if path.name.startswith("torch-")), None):
        raise ArgumentError(f"--wheels {folder}: remove {torch}, since the torch of this machine is measured")
    if importlib.util.find_spec("pip") is None:
        raise ArgumentError(f"--wheels {folder}: {sys.executable} has no pip to install them")
    return wheels


def make_session(arguments: argparse.Namespace) -> Session:
    """The session that the arguments ask for.

    Raises:
        ArgumentError: an argument is not possible.
    """
    out = arguments.out.absolute()
    if not out.parent.is_dir() or out.is_dir():
        raise ArgumentError(f"--out {arguments.out}: not a file in a folder that exists")
    if not os.access(out.parent, os.W_OK):
        raise ArgumentError(f"--out {arguments.out}: its folder cannot be written")
    if not 0 < arguments.budget < float("inf"):
        raise ArgumentError(f"--budget {arguments.budget:g}: give a positive number of seconds")
    checks = select(cpu_checks() if arguments.cpu else gpu_checks(), arguments.only)
    wheels = find_wheels(arguments.wheels) if arguments.wheels else []
    return Session(checks, out, arguments.budget, arguments.cpu, wheels)


def main() -> int:
    """Entry point of the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m perf.gpu_check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="folder of wheels to install first")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", default=Path("gpu_check.json"), help="JSON file (default: gpu_check.json)"
    )
    parser.add_argument(
        "--budget", type=float, default=BUDGET, metavar="SECONDS", help=f"time for everything (default: {BUDGET:g})"
    )
    parser.add_argument("--cpu", action="store_true", help="tiny models on a CPU; no goals are judged")
    parser.add_argument("--only", metavar="CHECK[,CHECK]", help="run only these checks")
    parser.add_argument("--tables", type=Path, metavar="FILE", help="print the tables of such a file; nothing is run")
    arguments = parser.parse_args()
    try:
        if arguments.tables:
            print(tables(read_document(arguments.tables)))
            return 0
        session = make_session(arguments)
    except ArgumentError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return session.run()


if __name__ == "__main__":
    sys.exit(main())
