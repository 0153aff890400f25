"""The command line: parses, calls, prints. No logic."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from wam_eval.errors import UserError

app = typer.Typer(
    help="Evaluation of World Action Models and other robot policies in simulation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# Tables in a pipe or a log are not cut to 80 columns.
console = Console(width=None if sys.stdout.isatty() else 120)

Suite = Annotated[str, typer.Option(help="Suite to play; `wam-eval list suites`.")]
Protocol = Annotated[str | None, typer.Option(help="Protocol card; the benchmark's default if absent.")]
Tasks = Annotated[str | None, typer.Option(help="Tasks of each suite: 0,3,5-7 or names. All if absent.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def run(
    suite: Suite,
    policy: Annotated[str, typer.Option(help="Policy, or the path of its YAML; `wam-eval list policies`.")],
    ckpt: Annotated[str | None, typer.Option(help="Checkpoint; what that is stands in the policy's YAML.")] = None,
    protocol: Protocol = None,
    tasks: Tasks = None,
    episodes: Annotated[int | None, typer.Option(help="Episodes per task; all of the suite's if absent.")] = None,
    dimensions: Annotated[str | None, typer.Option(help="LIBERO-Plus: such as camera,noise.")] = None,
    difficulty: Annotated[str | None, typer.Option(help="LIBERO-Plus: such as 1-3.")] = None,
    sample: Annotated[float | None, typer.Option(help="Share of the tasks, such as 0.2.")] = None,
    sample_seed: Annotated[int | None, typer.Option(help="Of the sample's draw.")] = None,
    prompt: Annotated[str | None, typer.Option(help="LIBERO-Plus: base, bddl or upstream.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Ray workers; one per GPU or node if absent.")] = None,
    name: Annotated[str | None, typer.Option("--run", help="Name of the run; made from the others if absent.")] = None,
    video: Annotated[str, typer.Option(help="none, failures or all.")] = "none",
    imagine: Annotated[int, typer.Option(min=0, help="Score imagined frames in each task's first N episodes.")] = 0,
    retry_errors: Annotated[
        bool, typer.Option(help="Play episodes again that ended in an error or were not run.")
    ] = False,
) -> None:
    """Evaluate a policy on a suite. The same command continues a run that was stopped."""
    from wam_eval import catalog
    from wam_eval.errors import unknown
    from wam_eval.report.tables import side_by_side, terminal_of
    from wam_eval.results import write_results
    from wam_eval.runner.choice import Subset
    from wam_eval.runner.folder import RunFolder
    from wam_eval.runner.plan import plan_run
    from wam_eval.runner.run import RunRequest, default_name, execute

    if video not in ("none", "failures", "all"):
        raise unknown("value of --video", video, ("none", "failures", "all"))
    card = catalog.load_policy(policy)
    subset = Subset(dimensions, difficulty, sample, sample_seed)
    plans = plan_run(suite, protocol, tasks, episodes, subset, {"prompt": prompt} if prompt else None)
    for note in sorted({plan.protocol.assets.detail for plan in plans}):
        console.print(f"Assets: {note}", markup=False, highlight=False)
    request = RunRequest(
        name=name or default_name(suite, policy, plans[0].protocol.card, ckpt),
        plans=plans,
        policy_name=policy,
        policy=card,
        checkpoint=ckpt,
        workers=workers,
        video=video,
        imagine=imagine,
        retry_errors=retry_errors,
        subset=subset,
        command=sys.argv,
    )
    # A cluster's scheduler stops a run as Ctrl-C does; a shell's background job would ignore both.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    folder, stopped = RunFolder(request.name), False
    try:
        execute(request)
    except KeyboardInterrupt:
        stopped = True
    summary = write_results(folder)
    console.print(terminal_of(summary))
    if (beside := side_by_side(summary)) is not None:
        console.print(beside)
    for text, count in list(summary.errors.items())[:3]:
        console.print(f"{count} x {text}", markup=False, highlight=False)
    if summary.errors:
        console.print(f"Logs are in {folder.path}/logs. To play these again: --retry-errors (RETRY=1)", highlight=False)
    console.print(f"Saved in {folder.path}", markup=False, highlight=False)
    if stopped:
        console.print("Stopped. Finished episodes are kept; the same command continues this run.")
    raise typer.Exit(130 if stopped else 0 if any(suite.n for suite in summary.suites) else 1)


@app.command()
def show(run: str, as_json: AsJson = False) -> None:
    """Show the table of a run, finished or not."""
    from wam_eval.report.tables import side_by_side, terminal_of
    from wam_eval.results import summary_of
    from wam_eval.runner.folder import RunFolder

    summary = summary_of(RunFolder(run))
    if as_json:
        print(summary.model_dump_json(indent=1))
    else:
        console.print(terminal_of(summary))
        if (beside := side_by_side(summary)) is not None:
            console.print(beside)


@app.command()
def compare(
    contestants: Annotated[
        list[str],
        typer.Argument(metavar="A B …", help="The candidate, then whom to compare it with: runs, or method[@paper]."),
    ],
    fail_if_worse: Annotated[bool, typer.Option(help="Exit with status 1 if the candidate is worse overall.")] = False,
    fail_if_unsure: Annotated[bool, typer.Option(help="Exit with status 3 if there is no overall verdict.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say whether A is better or worse than B, and how sure that is."""
    from wam_eval.analysis.comparison import compare as compare_contestants
    from wam_eval.analysis.contestants import find_contestants
    from wam_eval.analysis.verdict import Verdict
    from wam_eval.report.comparison import plain_of, terminal_of

    comparison = compare_contestants(find_contestants(contestants))
    if as_json:
        print(json.dumps(plain_of(comparison), indent=1))
    else:
        for table in terminal_of(comparison):
            console.print(table)
    verdicts = comparison.verdicts()
    if fail_if_worse and Verdict.WORSE in verdicts:
        raise typer.Exit(1)
    if fail_if_unsure and not verdicts <= {Verdict.BETTER, Verdict.WORSE}:
        raise typer.Exit(3)


@app.command()
def drop(
    plus: Annotated[str, typer.Argument(help="A run on LIBERO-Plus.")],
    libero: Annotated[str, typer.Argument(help="The same policy's run on LIBERO.")],
    as_json: AsJson = False,
) -> None:
    """Say how far a policy's success drops from LIBERO to LIBERO-Plus, paired by base task."""
    from wam_eval.analysis.frame import read_run
    from wam_eval.analysis.robustness import robustness
    from wam_eval.report.robustness import plain_of, terminal_of

    found = robustness(read_run(plus), read_run(libero))
    if as_json:
        print(json.dumps(plain_of(found), indent=1))
    else:
        console.print(terminal_of(found, plus, libero))


@app.command()
def table(
    name: Annotated[str, typer.Argument(help="Table of a paper; `wam-eval list tables`.")],
    with_: Annotated[
        list[str] | None, typer.Option("--with", help="A run (a bench, in a table of costs) to add; may be repeated.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="md, latex, csv or html.")] = "md",
) -> None:
    """Print a paper's table, with our runs or benches beside the printed numbers."""
    from wam_eval.report.paper.command import render_table

    print(render_table(name, with_ or [], format_), end="")


@app.command()
def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN …", help="One or several runs.")],
) -> None:
    """Write a self-contained HTML report of runs, with its plots as PNG and PDF."""
    from wam_eval.report.page.html import write_report

    console.print(f"Report: {write_report(runs)}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def bench(
    policy: Annotated[str, typer.Argument(help="Policy, or the path of its YAML; `wam-eval list policies`.")],
    ckpt: Annotated[str | None, typer.Option(help="Checkpoint; what that is stands in the policy's YAML.")] = None,
    random_weights: Annotated[bool, typer.Option("--random-weights", help="No checkpoint: random weights.")] = False,
    size: Annotated[str | None, typer.Option(help="tiny or full; the policy's own if absent.")] = None,
    benchmark: Annotated[str | None, typer.Option(help="As played on which benchmark; the card's first.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda or cpu; the policy's own if absent.")] = None,
    batch: Annotated[str, typer.Option(help="Batch sizes.")] = "1,4,16",
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps; the policy's own if absent.")] = None,
    accelerate: Annotated[
        bool | None, typer.Option(help="Only the accelerated policy, or only the eager one; both if absent.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Timed calls of each batch size; 20, fewer where they are slow.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file to write; one in results/bench if absent.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what an answer of a policy costs: time by stage, computation, memory. Needs no simulator."""
    from wam_eval.bench.command import BenchRequest, batch_sizes, run_bench

    asked = {"size": size, "steps": steps, "device": device, "random_weights": random_weights or None}
    request = BenchRequest(
        policy=policy,
        batches=batch_sizes(batch),
        command=tuple(sys.argv),
        checkpoint=ckpt,
        benchmark=benchmark,
        overrides={name: value for name, value in asked.items() if value is not None},
        accelerate=accelerate,
        calls=repeats,
        out=out,
    )
    measured, path = run_bench(request)
    if as_json:
        print(measured.model_dump_json(indent=1))
        return
    from wam_eval.bench.tables import tables_of

    for shown in tables_of(measured):
        console.print(shown)
    console.print(f"Saved in {path}", markup=False, highlight=False)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="suites, policies, tasks, runs, tables or methods")],
    suite: Annotated[str, typer.Option(help="For tasks: of which suite.")] = "libero",
    as_json: AsJson = False,
) -> None:
    """List suites, policies, tasks, runs, or papers' tables and methods."""
    from wam_eval import listing
    from wam_eval.errors import unknown

    kinds = {
        "suites": listing.suites,
        "policies": listing.policies,
        "tasks": lambda: listing.tasks(suite),
        "runs": listing.runs,
        "tables": listing.tables,
        "methods": listing.methods,
    }
    if what not in kinds:
        raise unknown("thing to list", what, kinds)
    rows = kinds[what]()
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        console.print(listing.table(rows))


@app.command()
def play(run: str, key: str) -> None:
    """Play one episode of a run again, with a video, and say whether its outcome repeats."""
    from wam_eval.runner.again import play_again

    again = play_again(run, key)
    console.print(f"then: {again.then}\nnow:  {again.now}", highlight=False)
    console.print("The outcome repeats." if again.repeats else "[bold]The outcome does not repeat.[/bold]")
    if again.video:
        console.print(f"Video: {again.video}", highlight=False)
    raise typer.Exit(0 if again.repeats else 1)


@app.command()
def fingerprint(suite: Annotated[str, typer.Argument()], tasks: Tasks = None, as_json: AsJson = False) -> None:
    """Hash what the simulator does with fixed actions, to tell two machines apart."""
    from wam_eval import listing
    from wam_eval.fingerprint import fingerprint_suite

    prints = fingerprint_suite(suite, tasks)
    if as_json:
        print(json.dumps(prints, indent=1))
    else:
        console.print(listing.fingerprints(prints))


seeds = typer.Typer(
    help="RoboTwin's seeds: verify them with the expert, or import others' lists.", no_args_is_help=True
)
app.add_typer(seeds, name="seeds")


@seeds.command("verify")
def seeds_verify(
    suite: Annotated[str, typer.Option(help="robotwin, or one of its parts.")] = "robotwin",
    protocol: Protocol = None,
    tasks: Tasks = None,
    episodes: Annotated[int | None, typer.Option(help="Verified seeds per task; all of the suite's if absent.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 2,
) -> None:
    """Let the expert find the seeds that it solves; the same command continues."""
    from wam_eval import listing
    from wam_eval.sim.robotwin.command import seeds_verify as verify

    console.print(listing.table(verify(suite, protocol, tasks, episodes, workers)))


@seeds.command("import")
def seeds_import(
    file: Annotated[Path, typer.Argument(help="Verified seeds as JSON: {task: [seeds]}, or vla-eval's lists.")],
    condition: Annotated[str, typer.Option(help="clean or randomized.")],
    protocol: Protocol = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 2,
) -> None:
    """Take over seeds that others verified."""
    from wam_eval import listing
    from wam_eval.sim.robotwin.command import seeds_import as take

    console.print(listing.table(take(file, condition, protocol, workers)))


@app.command()
def setup(
    benchmark: Annotated[str, typer.Argument(help="robotwin or libero_plus")],
    target: Annotated[Path | None, typer.Option(help="Folder of the checkout; RoboTwin or LIBERO-plus.")] = None,
) -> None:
    """Get an official benchmark that is not on PyPI: its code and its assets."""
    from wam_eval.errors import unknown
    from wam_eval.sim.libero_plus.command import setup as set_up_libero_plus
    from wam_eval.sim.robotwin.command import setup as set_up_robotwin

    known = {"robotwin": (set_up_robotwin, "RoboTwin"), "libero_plus": (set_up_libero_plus, "LIBERO-plus")}
    if benchmark not in known:
        raise unknown("benchmark to set up", benchmark, known)
    set_up, folder = known[benchmark]
    console.print(set_up(target or Path(folder)), markup=False, highlight=False)


@app.command()
def doctor() -> None:
    """Check this machine: what is fine, what is not, and what to type."""
    from wam_eval.doctor import diagnose, render

    findings = diagnose()
    console.print(render(findings))
    raise typer.Exit(1 if any(finding.status == "fail" for finding in findings) else 0)


def main() -> None:
    """Entry point of ``wam-eval``: a user's mistake is a message, not a traceback."""
    from wam_eval.policies.policy import PolicyUnavailable
    from wam_eval.sim.process import SimulatorError
    from wam_eval.sim.renderer import RendererError

    try:
        app()
    except (UserError, RendererError, SimulatorError, PolicyUnavailable) as error:
        said = str(error)
    except OSError as error:  # a disk that is full, a folder that cannot be written
        said = f"{error.strerror or error}: {error.filename or 'results'}"
    else:
        return
    print(f"{Path(sys.argv[0]).name} {shlex.join(sys.argv[1:2])}: {said}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
