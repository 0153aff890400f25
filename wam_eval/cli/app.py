"""The application: its group of commands, the form of its errors, and options that several commands share."""

from __future__ import annotations

import errno
import importlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from wam_eval import config, places
from wam_eval.cli.stopping import exit_status
from wam_eval.errors import UserError
from wam_eval.signals import received

if TYPE_CHECKING:
    from wam_eval.api import Run

Row = dict[str, Any]

_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT)


class Commands(TyperGroup):
    """Commands of ``wam-eval``: its own, and those that benchmarks add.

    A benchmark's command is imported when it is named or listed in the help. An error that the user can correct becomes
    one message on standard error and exit status 2, a signal one with 128 + its number.
    """

    def list_commands(self, context: Any) -> list[str]:
        """Names of all commands; those of a benchmark that cannot be loaded are left out, and ``doctor`` reports it."""
        own = super().list_commands(context)
        return [*own, *(name for name in _benchmark_commands() if name not in own)]

    def get_command(self, context: Any, name: str) -> Any:
        """The command of a name, or ``None``."""
        if (own := super().get_command(context, name)) is not None:
            return own
        if (place := _benchmark_commands().get(name)) is None:
            return None
        module, _, attribute = place.partition(":")
        command = typer.main.get_command(getattr(importlib.import_module(module), attribute))
        command.name = name
        return command

    def invoke(self, context: Any) -> Any:
        """Run a command."""
        try:
            _check_working_directory()
            result = super().invoke(context)
            sys.stdout.flush()
            return result
        except KeyboardInterrupt:
            text, status = f"stopped by {(received() or signal.SIGINT).name}", exit_status()
        except Exception as error:
            if (message := _message(error)) is None:
                raise
            text, status = message, 2
        # Not by typer's own function, which replaces a stream whose encoding is ASCII.
        print(" ".join(filter(None, ("wam-eval", context.invoked_subcommand))) + f": {text}", file=sys.stderr)
        raise typer.Exit(status)


app = typer.Typer(
    cls=Commands,
    help="Evaluation of World Action Models and other robot policies in simulation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# Tables in a pipe or a log are not cut to 80 columns.
console = Console(width=None if sys.stdout.isatty() else 120)

Suite = Annotated[str, typer.Option(help="Suite to play; see `wam-eval list suites`.")]
PolicyName = Annotated[str, typer.Option(help="Policy, or path of its YAML file; see `wam-eval list policies`.")]
Checkpoint = Annotated[str | None, typer.Option(help="Checkpoint path, or address of a policy server.")]
Protocol = Annotated[str | None, typer.Option(help="Protocol card. Default: the benchmark's own.")]
Tasks = Annotated[str | None, typer.Option(help="Tasks of each suite, such as 0,3,5-7, or their names. Default: all.")]
Episodes = Annotated[int | None, typer.Option(help="Episodes per task. Default: all of the suite's.")]
Sample = Annotated[float | None, typer.Option(help="Play a random share of the tasks, such as 0.2.")]
SampleSeed = Annotated[int | None, typer.Option(help="Random seed for --sample.")]
Simulators = Annotated[int | None, typer.Option(min=1, help="Simulators per worker. Default: measured at the start.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Setting of the benchmark; repeatable. See `wam-eval list benchmarks`."
    ),
]
Accept = Annotated[
    str | None,
    typer.Option(
        help="Protocol fields that may differ, such as versions.numpy,settings.control_hz. Fields that change the "
        "episodes cannot be accepted."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def names_in(text: str | None) -> list[str]:
    """The names of a comma-separated list, without repeats."""
    return list(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))


def pairs_in(option: str, texts: Sequence[str] | None, example: str) -> dict[str, str]:
    """The values of a repeatable option ``KEY=VALUE``.

    Args:
        option: name of the option, for errors.
        example: a correct value, for errors.

    Raises:
        UserError: a value without ``=``, or a key that is given twice.
    """
    pairs: dict[str, str] = {}
    for text in texts or ():
        key, equals, value = (part.strip() for part in text.partition("="))
        if not (key and equals and value):
            raise UserError(f"{option} {text!r}: write {example}")
        if key in pairs:
            raise UserError(f"{option}: {key} is given twice")
        pairs[key] = value
    return pairs


def settings_in(texts: Sequence[str] | None) -> dict[str, Any]:
    """The values of ``--set``, each parsed as YAML.

    Raises:
        UserError: a value that is not ``KEY=VALUE`` or not valid YAML.
    """
    settings = {}
    for key, text in pairs_in("--set", texts, "--set key=value").items():
        try:
            settings[key] = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError) as error:
            raise UserError(f"--set {key}={text}: not a YAML value: {getattr(error, 'problem', error)}") from error
    return settings


def table_of(rows: Sequence[Row]) -> Table:
    """Rows with the same keys, as a table for the terminal."""
    table = Table()
    for column in rows[0] if rows else ["none"]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    return table


def _benchmark_commands() -> dict[str, str]:
    """Commands that benchmarks add: name -> ``module:attribute``."""
    from wam_eval.benchmark import load_benchmark

    found: dict[str, str] = {}
    try:
        names = config.names("suites/benchmarks")
    except UserError:
        return found
    for name in names:
        try:
            found |= load_benchmark(name).commands
        except UserError:
            continue
    return found


def _check_working_directory() -> None:
    """Refuse a working directory that was removed, in which libraries fail in unclear ways."""
    try:
        Path.cwd()
    except OSError as error:
        raise UserError("the working directory does not exist any more: change to another one") from error


def _message(error: Exception) -> str | None:
    """The message of an error that the user can correct; ``None`` for any other error."""
    from wam_eval.hosting.process import SimulatorError
    from wam_eval.hosting.renderer import RendererError
    from wam_eval.policy import EpisodeLost, PolicyUnavailable

    if isinstance(error, UserError | RendererError | SimulatorError | PolicyUnavailable | EpisodeLost):
        return str(error)
    return _os_message(error) if isinstance(error, OSError) else None


def _os_message(error: OSError) -> str:
    """The message of an error of the operating system, such as a full disk."""
    path, remedy = error.filename, ""
    if error.errno == errno.ENAMETOOLONG:
        remedy = ". Choose shorter names; that of a run is given with --run"
    elif error.errno in _UNWRITABLE and path and Path(path).absolute().is_relative_to(config.runs_folder().absolute()):
        remedy = f". {places.REMEDY}"
    return f"{error.strerror or error}: {path or 'results'}{remedy}"


def print_table(run: Run) -> None:
    """Print the table of a run, and its suites beside each other if they have the same tasks."""
    from wam_eval.report.tables import side_by_side, terminal_of

    console.print(terminal_of(run.table))
    if (beside := side_by_side(run.table)) is not None:
        console.print(beside)


# Importing these modules registers their commands, in the order of the help. They need the names above.
for module in ("run", "race", "plan", "results", "view", "training", "reproduce", "machine"):
    importlib.import_module(f"wam_eval.cli.{module}")
