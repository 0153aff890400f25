"""The command that repeats the papers' comparisons with small models."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from wam_eval.cli.app import app, console, names_in, table_of
from wam_eval.cli.stopping import exit_status
from wam_eval.errors import UserError

if TYPE_CHECKING:
    from wam_eval.reproduction.cards import Comparison
    from wam_eval.reproduction.playing import Estimated, Player, Work
    from wam_eval.reproduction.results import Cost


FAILED = "its run failed: the same command continues it"
"""Reason for the lack of results in tables; the error itself is printed."""


@app.command()
def reproduce(
    quick: Annotated[
        bool, typer.Option("--quick", help="Few episodes, which take at most half an hour on two cores in all.")
    ] = False,
    only: Annotated[
        str | None, typer.Option(metavar="NAME[,NAME]", help="Comparisons, separated by commas. Default: all.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only state the episodes and the estimated time.")] = False,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Play episodes again that ended in an error.")
    ] = False,
) -> None:
    """Repeat the papers' comparisons with small models; the same command continues after a stop.

    Models that are not trained are listed and left out. Miniatures are not evidence about the papers' models.
    """
    from wam_eval.reproduction.cards import load_comparisons
    from wam_eval.reproduction.page import write_page
    from wam_eval.reproduction.playing import estimate, plan_work
    from wam_eval.reproduction.results import read_results, results_folder
    from wam_eval.reproduction.tables import results_of, terminal_of

    chosen = load_comparisons(names_in(only))
    planned = [plan_work(one, quick, retry_errors) for one in chosen]
    _print_plan(estimate([work for _, work in planned], os.cpu_count() or 1), [one for one, _ in planned], chosen)
    if plan:
        return
    failed, stopped = False, False
    try:
        for one, (players, work) in zip(chosen, planned, strict=True):
            failed |= not _play(one, players, work, retry_errors)
    except KeyboardInterrupt:
        stopped = True
    folder = results_folder()
    results = read_results(chosen, folder)
    for one in chosen:
        console.print(terminal_of(results_of(one, results.get(one.name))))
    console.print("Miniatures are not evidence about the papers' models.", highlight=False)
    if results:
        page = folder / "miniatures.md"
        write_page(load_comparisons(), folder, page, folder, "")
        console.print(f"Saved in {folder}; the page with plots is {page}", markup=False, highlight=False)
    if stopped:
        console.print("Stopped. Finished episodes are kept; the same command continues.")
    raise typer.Exit(exit_status() if stopped else int(failed))


def _print_plan(estimated: list[Estimated], players: list[list[Player]], comparisons: list[Comparison]) -> None:
    """Print the episodes and the time of all comparisons, and the models that cannot be played."""
    rows = [
        {
            "comparison": one.comparison,
            "models": one.models,
            "episodes": one.planned,
            "left": one.left,
            "minutes": f"{one.seconds / 60:.0f}",
        }
        for one in estimated
    ]
    if rows:
        console.print(table_of(rows))
    missing: dict[str, list[str]] = {}
    for comparison, found in zip(comparisons, players, strict=True):
        for one in found:
            if one.missing:
                missing.setdefault(one.missing, []).append(f"{comparison.name} ({one.entry.label})")
    for reason, places in missing.items():
        console.print(f"{reason} – left out of {', '.join(places)}", markup=False, highlight=False)
    left, minutes = sum(one.left for one in estimated), sum(one.seconds for one in estimated) / 60
    console.print(f"{left} episodes to play, about {minutes:.0f} minutes on this machine.", highlight=False)


def _play(comparison: Comparison, players: list[Player], work: list[Work], retry_errors: bool) -> bool:
    """Play a comparison, measure its costs and store its results.

    Returns:
        False if a run failed; its model is shown without results, and the others are played nevertheless.
    """
    from wam_eval.reproduction.costs import measure_costs
    from wam_eval.reproduction.playing import play
    from wam_eval.reproduction.results import collect, results_folder, write_result
    from wam_eval.run.bench import this_machine

    failures: list[str] = []
    failed: set[str] = set()
    costs: dict[str, Cost] = {}
    for part in work:
        if not part.left:
            continue
        console.print(f"{comparison.name}: {part.player.entry.label}", markup=False, highlight=False)
        try:
            play(part, sys.argv, retry_errors)
        except UserError as error:
            failures.append(f"{part.player.run}: {error}")
            failed.add(part.player.run)
    shown = [replace(one, missing=FAILED) if one.run in failed else one for one in players]
    try:
        costs = measure_costs([one for one in shown if not one.missing])
    except UserError as error:
        failures.append(f"costs of {comparison.name}: {error}")
    write_result(collect(comparison, shown, costs, this_machine().device), results_folder())
    for text in failures:
        print(f"wam-eval reproduce: {text}", file=sys.stderr)
    return not failures
