"""The report's plots: each function takes plain values and returns a matplotlib figure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from wam_eval.report.page.details import Curve
from wam_eval.report.page.sections import Estimate
from wam_eval.report.page.style import INK, MUTED, PALETTE, WIDTH, short, styled_figure


def _percent(axis: Any) -> None:
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}"))


def _legend_columns(labels: Sequence[str]) -> int:
    """How many labels fit side by side."""
    return max(1, min(len(labels), int(WIDTH / (0.075 * max(map(len, labels)) + 0.6))))


def _with_legend(height: float, labels: Sequence[str]) -> Figure:
    """A figure with room for a legend above; one label needs none."""
    rows = -(-len(labels) // _legend_columns(labels)) if len(labels) > 1 else 0
    return Figure(figsize=(WIDTH, height + 0.18 * rows), layout="constrained")


def _legend(figure: Figure, handles: Mapping[str, Artist]) -> None:
    if len(handles) > 1:
        labels = list(handles)
        figure.legend(list(handles.values()), labels, loc="outside upper left", ncols=_legend_columns(labels))


def _whiskers(axes: Axes, at: float, estimate: Estimate, colour: str, upright: bool, size: float = 4.6) -> None:
    """A dot with its interval, or a hollow dot where the number of episodes is unknown."""
    x, y = (at, estimate.rate) if upright else (estimate.rate, at)
    if estimate.n is not None:
        line = axes.vlines if upright else axes.hlines
        line(at, estimate.low, estimate.high, color=colour, linewidth=1.2)
    face = "white" if estimate.n is None else colour
    axes.plot(x, y, "o", color=colour, markersize=size, markerfacecolor=face, markeredgewidth=1.0)


@styled_figure
def baselines(rows: Sequence[tuple[str, Mapping[str, Estimate], int | None]], conditions: Sequence[str]) -> Figure:
    """Runs among published numbers, one panel per condition.

    Args:
        rows: label, condition -> estimate, and the run's place among the runs or ``None`` for a published one; best
            first.
        conditions: of the panels.
    """
    figure = Figure(figsize=(WIDTH, 1.0 + 0.24 * len(rows)), layout="constrained")
    panels = figure.subplots(1, len(conditions), sharey=True, squeeze=False)[0]
    lowest = min(e.low if e.n is not None else e.rate for _, values, _ in rows for e in values.values())
    for axes, condition in zip(panels, conditions, strict=True):
        for place, (_, values, run) in enumerate(rows):
            if run is not None:
                axes.axhspan(place - 0.5, place + 0.5, color=PALETTE[run % len(PALETTE)], alpha=0.07, linewidth=0)
            if condition in values:
                colour = MUTED if run is None else PALETTE[run % len(PALETTE)]
                _whiskers(axes, place, values[condition], colour, upright=False)
        axes.set_title(condition.replace("_", " "))
        axes.set_xlim(max(-0.01, np.floor(lowest * 20 - 0.2) / 20), 1.01)
        axes.xaxis.set_major_locator(MaxNLocator(max(3, 9 - len(conditions)), steps=[1, 2, 5, 10]))
        _percent(axes.xaxis)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
    panels[0].set_yticks(range(len(rows)), [short(label, 48) for label, _, _ in rows])
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    for tick, (_, _, run) in zip(panels[0].get_yticklabels(), rows, strict=True):
        if run is not None:
            tick.set_color(PALETTE[run % len(PALETTE)])
            tick.set_fontweight("bold")
    figure.supxlabel("success rate, %", fontsize=8.5, color=MUTED)
    return figure


@styled_figure
def clean_randomized(
    tasks: Sequence[str], rates: Sequence[tuple[str, NDArray[np.float64]]], colours: Mapping[str, str]
) -> Figure:
    """A dumbbell per task: from the clean rate (hollow) to the randomized one (filled), a panel per run.

    Args:
        tasks: labels, in order.
        rates: run's label and its rates, float64 (tasks, 2), NaN where no episode counts.
    """
    figure = Figure(figsize=(WIDTH, 0.9 + 0.19 * len(tasks)), layout="constrained")
    panels = figure.subplots(1, len(rates), sharey=True, squeeze=False)[0]
    places = np.arange(len(tasks))
    for axes, (label, pair) in zip(panels, rates, strict=True):
        colour = colours[label]
        axes.hlines(places, pair[:, 0], pair[:, 1], color=colour, linewidth=1.6, alpha=0.35)
        axes.plot(pair[:, 0], places, "o", color=colour, markerfacecolor="white", markersize=4.6, label="clean")
        axes.plot(pair[:, 1], places, "o", color=colour, markersize=4.6, label="randomized")
        axes.set_title(short(label, 90 // len(rates)))
        axes.set(xlim=(-0.02, 1.02), xlabel="success rate, %")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderpad=0.1, handletextpad=0.1)
        _percent(axes.xaxis)
        axes.spines["left"].set_visible(False)
    panels[0].set_yticks(places, [short(task, 48) for task in tasks], fontsize=7.5)
    panels[0].set_ylim(len(tasks) - 0.4, -0.6)
    return figure


@styled_figure
def dimensions(
    names: Sequence[str], runs: Sequence[tuple[str, Mapping[str, Estimate]]], colours: Mapping[str, str]
) -> Figure:
    """Bars with intervals by dimension, one colour per run; names from ``total`` on stand apart."""
    figure = _with_legend(3.1, [label for label, _ in runs])
    axes = figure.subplots()
    width = 0.8 / len(runs)
    bars: dict[str, Artist] = {}
    for number, (label, values) in enumerate(runs):
        colour = colours[label]
        for place, name in enumerate(names):
            at = place + (0.35 if name.startswith(("total", "mean")) else 0) + (number - (len(runs) - 1) / 2) * width
            if name in values:
                value = values[name]
                bars[label] = axes.bar(at, value.rate, width * 0.9, color=colour, alpha=0.85)[0]
                axes.vlines(at, value.low, value.high, color=INK, linewidth=0.9)
                if len(runs) < 4:
                    axes.text(at, value.high + 0.015, f"{100 * value.rate:.1f}", ha="center", fontsize=7.5)
    places = [i + (0.35 if name.startswith(("total", "mean")) else 0) for i, name in enumerate(names)]
    axes.set_xticks(places, [textwrap.fill(name, 12) for name in names], color=INK)
    axes.set(ylim=(0, 1.06), ylabel="success rate, %")
    axes.grid(axis="x", visible=False)
    _percent(axes.yaxis)
    _legend(figure, bars)
    return figure


@styled_figure
def difficulty(
    runs: Sequence[tuple[str, Mapping[tuple[str, int], Estimate]]], names: Sequence[str], colours: Mapping[str, str]
) -> Figure:
    """Success by difficulty level, a panel per dimension, a line per run."""
    figure = _with_legend(2.4, [label for label, _ in runs])
    lines: dict[str, Artist] = {}
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        for number, (label, values) in enumerate(runs):
            levels = sorted(level for dimension, level in values if dimension == name)
            colour = colours[label]
            shift = (number - (len(runs) - 1) / 2) * 0.07
            for level in levels:
                _whiskers(axes, level + shift, values[name, level], colour, upright=True, size=3.4)
            rates = [values[name, level].rate for level in levels]
            (lines[label],) = axes.plot([level + shift for level in levels], rates, color=colour, linewidth=1)
        axes.set_title(name)
        axes.set(ylim=(-0.02, 1.02), xlim=(0.5, 5.5), xticks=range(1, 6))
        axes.grid(axis="x", visible=False)
        _percent(axes.yaxis)
    panels[0].set_ylabel("success rate, %")
    figure.supxlabel("difficulty level", fontsize=8.5, color=MUTED)
    _legend(figure, lines)
    return figure


@styled_figure
def steps(panels: Sequence[tuple[str, Sequence[Curve]]], colours: Mapping[str, str]) -> Figure:
    """Cumulative share of episodes solved by control step n, a panel per suite, a line per run."""
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    shown = {curve.label for _, curves in panels for curve in curves}
    figure = _with_legend(0.4 + 2.1 * rows, [label for label in colours if label in shown])
    grid = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    seen: dict[str, Artist] = {}
    for axes, (suite, curves) in zip(grid, panels, strict=False):
        for curve in curves:
            (seen[curve.label],) = axes.plot(
                curve.steps, curve.solved, color=colours[curve.label], drawstyle="steps-post"
            )
        limits = sorted({curve.limit for curve in curves if curve.limit})
        for limit in limits:
            axes.axvline(limit, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        said = f"limit {', '.join(map(str, limits))}" if limits else "limits by task"
        axes.text(0.985, 0.03, said, ha="right", color=MUTED, fontsize=7.5, transform=axes.transAxes)
        axes.set_title(suite)
        axes.set(ylim=(-0.015, 1.02), xlim=(0, max(int(curve.steps[-1]) for curve in curves) * 1.02))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
        _percent(axes.yaxis)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    figure.supylabel("solved, % of episodes", fontsize=8.5, color=MUTED)
    figure.supxlabel("control step", fontsize=8.5, color=MUTED)
    _legend(figure, {label: seen[label] for label in colours if label in seen})
    return figure


@styled_figure
def seconds(runs: Sequence[tuple[str, Mapping[str, NDArray[np.float64]]]], colours: Mapping[str, str]) -> Figure:
    """Where the time of an episode went: boxes per stage (5, 25, 50, 75, 95 %), a row per run.

    Args:
        runs: label, and stage -> seconds of each played episode.
    """
    stages = list(runs[0][1])
    figure = Figure(figsize=(WIDTH, 1.0 + 0.32 * len(runs)), layout="constrained")
    panels = figure.subplots(1, len(stages), sharey=True, squeeze=False)[0]
    for axes, stage in zip(panels, stages, strict=True):
        for place, (label, values) in enumerate(runs):
            colour = colours[label]
            low, first, middle, third, high = np.percentile(values[stage], (5, 25, 50, 75, 95))
            axes.hlines(place, low, high, color=colour, linewidth=1)
            axes.hlines(place, first, third, color=colour, linewidth=7, alpha=0.45)
            axes.plot(middle, place, "|", color=INK, markersize=11, markeredgewidth=1.6)
        axes.set_title(stage)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
    panels[0].set_yticks(range(len(runs)), [short(label, 48) for label, _ in runs])
    panels[0].set_ylim(len(runs) - 0.4, -0.6)
    figure.supxlabel("seconds per episode", fontsize=8.5, color=MUTED)
    return figure
