"""Commands about what is available on this machine: list, setup, doctor."""

from __future__ import annotations

import functools
import json
from enum import Enum
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from wam_eval import config
from wam_eval.cli.app import AsJson, Row, app, console, table_of
from wam_eval.errors import UserError


class Kind(str, Enum):
    """Kinds of things that can be listed."""

    SUITES = "suites"
    POLICIES = "policies"
    TRAININGS = "trainings"
    BENCHMARKS = "benchmarks"
    TASKS = "tasks"
    RUNS = "runs"
    TABLES = "tables"
    METHODS = "methods"
    RESULTS = "results"


@app.command("list")
def list_(
    kind: Annotated[Kind, typer.Argument(help="Kind of things to list.")],
    suite: Annotated[str | None, typer.Option(help="Suite whose tasks to list.")] = None,
    benchmark: Annotated[str | None, typer.Option(help="Benchmark whose published results to list.")] = None,
    regime: Annotated[
        str | None, typer.Option(help="Training regime of the results, such as clean or full; a wrong one lists all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List suites, policies, trainings, benchmarks, tasks, runs, tables of papers, and published methods or results."""
    if kind is not Kind.RESULTS and (benchmark or regime):
        raise UserError("--benchmark and --regime are for `wam-eval list results`")
    if kind is Kind.TASKS:
        if suite is None:
            raise UserError("name a suite: wam-eval list tasks --suite SUITE; `wam-eval list suites` names them")
        rows = tasks(suite)
    elif kind is Kind.RESULTS:
        rows = results(benchmark, regime)
    else:
        rows = ROWS[kind]()
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        console.print(table_of(rows))


def suites() -> list[Row]:
    """One row per suite."""
    rows = []
    for name in config.names("suites"):
        suite = config.load_suite(name)
        parts = [config.load_suite(part) for part in config.elementary(name)]
        rows.append(
            {
                "suite": name,
                "title": f"{suite.title}: {' + '.join(suite.suites)}" if suite.suites else suite.title,
                "tasks": sum(part.task_count for part in parts),
                "episodes": sum(part.task_count * part.trials for part in parts),
                "protocols": ", ".join(sorted({card for part in parts for card in part.step_limits})),
            }
        )
    return rows


def policies() -> list[Row]:
    """One row per policy."""
    return [
        {"policy": name, "title": policy.title, "GPUs": policy.gpus, "checkpoint": policy.checkpoint or ""}
        for name in config.names("policies")
        for policy in [config.load_policy(name)]
    ]


def trainings() -> list[Row]:
    """One row per training of a small model."""
    from wam_eval.training.config import load_training

    return [
        {
            "training": name,
            "title": training.title,
            "steps": training.steps,
            "suites": ", ".join(training.data.suites),
            "start": training.start or "",
        }
        for name in config.names("training")
        for training in [load_training(name)]
    ]


def benchmarks() -> list[Row]:
    """One row per benchmark, with the keys of ``--set`` and ``--filter``."""
    from wam_eval.benchmark import load_benchmark

    rows = []
    for name in config.names("suites/benchmarks"):
        benchmark = load_benchmark(name)
        rows.append(
            {
                "benchmark": name,
                "title": benchmark.title,
                "protocols": ", ".join(benchmark.config.protocols),
                "settings": ", ".join(benchmark.Settings.model_fields),
                "axes": "; ".join(f"{axis.name}: {', '.join(map(str, axis.values))}" for axis in benchmark.axes),
            }
        )
    return rows


def tasks(suite: str) -> list[Row]:
    """One row per task of a suite."""
    from wam_eval.benchmark import suite_with_tasks

    rows = []
    for name in config.elementary(suite):
        part = suite_with_tasks(name)
        for index, task in enumerate(part.tasks):
            axes = {**part.axes, **task.axes}
            rows.append({"suite": name, "task": index, "name": task.name, **axes, "instruction": task.instruction})
    return rows


def runs() -> list[Row]:
    """One row per run; a broken one has its error in place of the policy."""
    from wam_eval.episode import Outcome
    from wam_eval.run.folder import RunFolder
    from wam_eval.run.ledger import read_ledger

    rows: list[Row] = []
    for name in config.run_names():
        row: Row = {"run": name, "policy": "", "suites": "", "episodes": "", "successes": "", "assets": ""}
        try:
            folder = RunFolder(name)
            record = folder.read()
            counted = [one for one in read_ledger(folder.ledger).records if one.outcome.counts]
        except UserError as error:
            rows.append({**row, "policy": str(error)})
            continue
        planned = sum(task.episodes for suite in record.suites.values() for task in suite.tasks.values())
        row["policy"] = record.policy.full_title
        row["suites"] = ", ".join(record.suites)
        row["episodes"] = f"{len(counted)}/{planned}"
        row["successes"] = sum(one.outcome is Outcome.SUCCESS for one in counted)
        row["assets"] = ", ".join(sorted({suite.protocol.assets.kind for suite in record.suites.values()}))
        rows.append(row)
    return rows


def tables() -> list[Row]:
    """One row per table of a paper."""
    from wam_eval.report.paper_layout import load_layout

    return [{"table": name, "title": load_layout(name).title} for name in config.names("reports/tables")]


def methods() -> list[Row]:
    """One row per method with published success rates: its benchmarks, and the papers that print them."""
    from wam_eval.papers.published import read_published

    published = read_published()
    rates = [number for number in published.citable() if number.metric == "success_rate"]
    return [
        {
            "method": key,
            "name": method.name,
            "benchmarks": ", ".join(sorted({n.benchmark for n in rates if n.method == key})),
            "printed by": ", ".join(sorted({f"{n.paper} ({n.training})" for n in rates if n.method == key})),
        }
        for key, method in published.methods.items()
        if any(number.method == key for number in rates)
    ]


def results(benchmark: str | None, regime: str | None) -> list[Row]:
    """One row per published result: a method in a table of a source, with all that decides what it compares with."""
    from wam_eval.papers.published import read_published
    from wam_eval.papers.results import results as published_results

    return [
        {
            "method": one.method,
            **({} if benchmark else {"benchmark": one.benchmark}),
            "rates": ", ".join(f"{condition} {rate}" for condition, rate in one.rates.items()),
            "regime": one.regime,
            "instructions": one.instructions,
            "averaging": one.averaging,
            "simulator": one.simulator,
            "measured": one.measured,
            "source": f"{one.paper}, {one.table}",
            "status": one.status,
        }
        for one in published_results(read_published(), benchmark, regime)
    ]


ROWS = {
    Kind.SUITES: suites,
    Kind.POLICIES: policies,
    Kind.TRAININGS: trainings,
    Kind.BENCHMARKS: benchmarks,
    Kind.RUNS: runs,
    Kind.TABLES: tables,
    Kind.METHODS: methods,
}
"""Functions that give the rows of each kind but tasks, which need a suite, and results, which can be chosen."""


class Setups(TyperGroup):
    """The commands ``wam-eval setup NAME`` for benchmarks, and for the environments of policies.

    Options are the keyword parameters of the benchmark's ``setup``.
    """

    def list_commands(self, context: Any) -> list[str]:
        """Names of the benchmarks that have a setup of their own, and of the environments."""
        from wam_eval.benchmark import Benchmark, load_benchmark
        from wam_eval.hosting.environments import named_environments

        benchmarks = [
            name
            for name in config.names("suites/benchmarks")
            if type(load_benchmark(name)).setup is not Benchmark.setup
        ]
        return [*benchmarks, *sorted(named_environments())]

    def get_command(self, context: Any, name: str) -> Any:
        """The command of a name. Raises :class:`wam_eval.errors.UserError` for an unknown one."""
        from wam_eval.benchmark import load_benchmark
        from wam_eval.hosting.environments import create, named_environments

        if name not in config.names("suites/benchmarks") and (wanted := named_environments().get(name)):

            def make() -> None:
                console.print(f"Installing {', '.join(wanted.requirements)} …", markup=False, highlight=False)
                console.print(f"{name} is in {create(wanted).folder}", markup=False, highlight=False)

            one = typer.Typer(add_completion=False)
            one.command(name, help="Create the environment of policies that need other packages.")(make)
            return typer.main.get_command(one)
        benchmark = load_benchmark(name)

        @functools.wraps(benchmark.setup)
        def set_up(**options: Any) -> None:
            console.print(benchmark.setup(**options), markup=False, highlight=False)

        # The first paragraph says what the command does; the sections after it are for callers from Python.
        described = (benchmark.setup.__doc__ or "").strip().partition("\n\n")[0]
        one = typer.Typer(add_completion=False)
        one.command(name, help=" ".join(described.split()))(set_up)
        return typer.main.get_command(one)


app.add_typer(
    typer.Typer(cls=Setups, no_args_is_help=True, help="Install a benchmark, or what a policy needs."),
    name="setup",
)


@app.command()
def doctor(
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Also compare simulations with stored fingerprints (minutes).")
    ] = False,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Check every node of the Ray cluster in RAY_ADDRESS instead.")
    ] = False,
) -> None:
    """Check this machine; for each problem, print what to type."""
    if cluster:
        if simulate:
            raise UserError("--simulate checks this machine only: leave out --cluster")
        from wam_eval.cli.doctor_cluster import diagnose_cluster, table_of_nodes, table_of_problems

        reports = diagnose_cluster()
        console.print(table_of_nodes(reports))
        if any(report.status != "ok" for report in reports):
            console.print()
            console.print(table_of_problems(reports))
        raise typer.Exit(1 if any(report.status == "fail" for report in reports) else 0)
    from wam_eval.cli.doctor import diagnose, table_of_checks

    checks = diagnose(simulate)
    console.print(table_of_checks(checks))
    raise typer.Exit(1 if any(check.status == "fail" for check in checks) else 0)
