"""The commands ``wam-eval seeds verify`` and ``wam-eval seeds import``."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.table import Table

from wam_eval import config
from wam_eval.benchmark import load_benchmark
from wam_eval.benchmarks.robotwin.benchmark import RoboTwin, RoboTwinInstallation
from wam_eval.benchmarks.robotwin.seeds import Manifest, SeedSearch, VerifiedSeed, Verifier, accepted, ensure_seeds
from wam_eval.benchmarks.robotwin.source import CONDITIONS
from wam_eval.errors import UserError, unknown

FORMS = 'vla-eval\'s {"provenance": [...], "tasks": {task: {"episodes": [...]}}}, or {task: [seeds]}'

Protocol = Annotated[str | None, typer.Option(help="Protocol card; the benchmark's default if absent.")]
Workers = Annotated[int, typer.Option(min=1, help="Number of simultaneous processes.")]

app = typer.Typer(
    help="RoboTwin: verify seeds with the expert, or import lists of verified seeds.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command("verify")
def verify_command(
    suite: Annotated[str, typer.Option(help="robotwin, robotwin_clean or robotwin_randomized.")] = "robotwin",
    protocol: Protocol = None,
    tasks: Annotated[str | None, typer.Option(help="Tasks, such as 0,3,5-7 or names; all if absent.")] = None,
    episodes: Annotated[
        int | None, typer.Option(help="Verified seeds per task; the suite's number of episodes if absent.")
    ] = None,
    workers: Workers = 2,
) -> None:
    """Search for the seeds that the expert solves. The same command resumes a search."""
    _print(verify(suite, protocol, tasks, episodes, workers))


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(help="JSON file: {task: [seeds]}, or vla-eval's lists.")],
    condition: Annotated[str, typer.Option(help="clean or randomized.")],
    protocol: Protocol = None,
    workers: Workers = 2,
) -> None:
    """Import lists of verified seeds."""
    if condition not in CONDITIONS:
        raise unknown("condition", condition, CONDITIONS)
    here, start_seed = _detect("robotwin", protocol)
    _print([import_seeds(here, file, condition, start_seed, workers)])


def verify(suite: str, protocol: str | None, tasks: str | None, episodes: int | None, workers: int) -> list[Manifest]:
    """Search for the seeds of a suite.

    Args:
        suite: ``robotwin`` or one of its parts.
        protocol: protocol card with the start seed; the benchmark's default if ``None``.
        tasks: tasks, such as ``0,3,5-7`` or names; all if ``None``.
        episodes: verified seeds per task; the suite's number of episodes if ``None``.
        workers: number of simultaneous processes.

    Returns:
        The manifest of each part of the suite, with the chosen tasks only.

    Raises:
        UserError: an unknown name, or the expert does not work on this machine.
    """
    manifests = []
    for name in config.elementary(suite):
        suite_config = config.load_suite(name)
        here, start_seed = _detect(str(suite_config.benchmark), protocol)
        chosen = _parse_tasks(tasks, [task.name for task in suite_config.tasks], name)
        chosen = here.filter_tasks(chosen, suite_config, tasks is not None)
        names = [suite_config.tasks[task].name for task in chosen]
        count = suite_config.trials if episodes is None else episodes
        if not 1 <= count <= suite_config.trials:
            raise UserError(f"{count} episodes per task: {name} has 1 to {suite_config.trials}")
        search = here.search(str(suite_config.axes["condition"]), start_seed)
        manifest = ensure_seeds(search, names, count, workers)
        manifests.append(manifest.model_copy(update={"tasks": {task: manifest.tasks[task] for task in names}}))
    return manifests


class _TaskEntry(BaseModel):
    """A task of vla-eval's lists."""

    episodes: list[VerifiedSeed]


class _PublishedLists(BaseModel):
    """vla-eval's lists."""

    provenance: list[dict[str, Any]]
    tasks: dict[str, _TaskEntry]


def import_seeds(here: RoboTwinInstallation, file: Path, condition: str, start_seed: int, workers: int) -> Manifest:
    """Create a manifest from a file with verified seeds.

    Lists with instructions are imported without a test. Plain lists of seeds are tried by the expert on this machine,
    because an instruction says which arm did what; seeds that it does not solve are left out and reported.

    Args:
        here: the simulator that will play the seeds.
        file: JSON file in one of the forms of :data:`FORMS`.
        condition, start_seed: condition and start seed of the seeds.
        workers: number of simultaneous processes that try plain seeds.

    Raises:
        UserError: the file has another form, or its seeds are of another simulator or start seed.
    """
    search = here.search(condition, start_seed)
    if any(search.manifest().tasks.values()):
        raise UserError(f"{search.path} contains seeds already: remove it to import others")
    content = _read(file)
    if "provenance" in content:
        published = _published(content, file)
        verified_by = _provenance(published, file, here)
        tasks = {task: entry.episodes for task, entry in published.tasks.items()}
    else:
        verified_by = f"a list imported from {file.name}, tried by {search.expert}"
        tasks = _try_plain(file, content, search, workers, here)
    for task, found in tasks.items():
        _check_task(file, task, here)
        _check_seeds(file, task, [entry.seed for entry in found], start_seed)
    manifest = Manifest(
        simulator=search.simulator, condition=condition, start_seed=start_seed, verified_by=verified_by, tasks=tasks
    )
    manifest.write(search.path)
    return manifest


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{file}: not valid JSON: {error}") from error
    if not isinstance(content, dict) or not content or ("provenance" in content) != ("tasks" in content):
        raise UserError(f"{file}: expected {FORMS}")
    return content


def _published(content: Mapping[str, Any], file: Path) -> _PublishedLists:
    try:
        return _PublishedLists.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise UserError(f"{file}: {where}: {fault['msg']}; expected {FORMS}") from error


def _provenance(content: _PublishedLists, file: Path, here: RoboTwinInstallation) -> str:
    """Origin of vla-eval's lists, in words. Raises :class:`UserError` if they are of another simulator."""
    if not here.has_official_assets:
        raise UserError(
            f"{file} lists seeds of the official benchmark; installed here is {here.assets.detail}. "
            "The same seeds give other scenes there"
        )
    recorded = {str(build.get("sapien")) for build in content.provenance}
    if recorded != {here.identity.sapien}:
        raise UserError(
            f"{file} was verified with sapien {', '.join(sorted(recorded))}, here is {here.identity.sapien}: scenes "
            "may come to rest differently. Name an interpreter with that version, or verify the seeds: "
            "wam-eval seeds verify"
        )
    builds = ["; ".join(f"{name} {build[name]}" for name in sorted(build)) for build in content.provenance]
    return f"imported: {' | '.join(builds)}"


def _try_plain(
    file: Path, content: Mapping[str, Any], search: SeedSearch, workers: int, here: RoboTwinInstallation
) -> dict[str, list[VerifiedSeed]]:
    for task, seeds in content.items():
        if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds):
            raise UserError(f"{file}: {task}: expected a list of seeds; the file may contain {FORMS}")
        _check_task(file, task, here)
        _check_seeds(file, task, seeds, search.start_seed)
    found = Verifier(search, workers).try_seeds(content)
    for task, verdicts in found.items():
        for verdict in verdicts:
            if not verdict["accepted"]:
                print(f"{task}: seed {verdict['seed']} is left out: {verdict['why']}", file=sys.stderr)
    return {task: accepted(verdicts) for task, verdicts in found.items()}


def _check_task(file: Path, task: str, here: RoboTwinInstallation) -> None:
    if task not in here.tasks:
        raise UserError(f"{file}: {task} is no task of {here.assets.detail}")


def _check_seeds(file: Path, task: str, seeds: list[int], start_seed: int) -> None:
    if seeds != sorted(set(seeds)) or (seeds and (seeds[0] < start_seed or seeds[-1] >= 2**32)):
        raise UserError(f"{file}: {task}: seeds must ascend from {start_seed} on; name their protocol with --protocol")


def _detect(name: str, protocol: str | None) -> tuple[RoboTwinInstallation, int]:
    """The installation, and the start seed of a protocol card."""
    benchmark = load_benchmark(name)
    if not isinstance(benchmark, RoboTwin):
        raise UserError(f"the benchmark {name} has no seeds to verify; robotwin has")
    _, card = benchmark.card(protocol)
    return benchmark.detect(card.versions), int(card.settings["start_seed"])


def _parse_tasks(text: str | None, names: list[str], suite: str) -> list[int]:
    """Task indices from text such as ``0,3,5-7`` or names of tasks."""
    if text is None:
        return list(range(len(names)))
    chosen: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        if part in names:
            chosen.add(names.index(part))
        elif match := re.fullmatch(r"(\d+)(?:-(\d+))?", part):
            span = range(int(match[1]), int(match[2] or match[1]) + 1)
            if not span or span[-1] >= len(names):
                raise UserError(f"task {part!r}: {suite} has tasks 0 to {len(names) - 1}")
            chosen.update(span)
        else:
            raise unknown(f"task of {suite}", part, names)
    if not chosen:
        raise UserError(f"{text!r} selects no task of {suite}")
    return sorted(chosen)


def _print(manifests: list[Manifest]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("condition", "task", "verified", "last seed", "by"):
        table.add_column(heading)
    for manifest in manifests:
        for task, seeds in sorted(manifest.tasks.items()):
            last = str(seeds[-1].seed) if seeds else ""
            table.add_row(manifest.condition, task, str(len(seeds)), last, manifest.verified_by)
    Console().print(table)
