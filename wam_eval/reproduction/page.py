"""The page on the comparisons in miniature: ``python -m wam_eval.reproduction.page`` writes it to docs/reports.

It is made of the cards in ``reports/miniatures`` and the stored results in ``results/miniatures`` alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from wam_eval import config
from wam_eval.analysis.comparison import Verdict
from wam_eval.report.escaping import escape_markdown
from wam_eval.report.formats import markdown_table
from wam_eval.report.page_plots import ACCENT, INK, MUTED, PALETTE, WIDTH, save, styled_figure
from wam_eval.reproduction.cards import Comparison, load_comparisons
from wam_eval.reproduction.results import read_results
from wam_eval.reproduction.tables import Results, answer_of, markdown_lines, notes_of, results_of

CLONE = config.PACKAGE.parent
DOCUMENT = CLONE / "docs" / "reports" / "miniatures.md"
IMAGES = CLONE / "docs" / "images"
STORED = CLONE / "results" / "miniatures"
"""Results of the project's own models, which the document shows."""
COLOURS = {Verdict.BETTER: PALETTE[2], Verdict.WORSE: PALETTE[1], Verdict.UNSURE: MUTED, Verdict.NONE: MUTED}

HEAD = """\
# Miniatures of the papers' comparisons

**Miniatures are not evidence about the papers' models.** The models below have the papers' networks with a few million
parameters and small encoders. They were trained for minutes or hours on demonstrations of a scripted expert, and play
with stand-ins for the benchmarks' assets, or embedded miniatures of the benchmarks. A model that is better here may be
worse at full size. The comparisons show that everything works together, from training to verdict.

`wam-eval reproduce` (`make reproduce`) plays the comparisons, measures the costs, and prints these tables; see
[small models](../small_models.md#the-papers-comparisons-in-miniature). This document is generated from stored results
by `python -m wam_eval.reproduction.page`, and a test fails if it is out of date.

All models of a table are shown over the same episodes, whose starting states no training has seen. *Cannot tell* means
that the p-value is at least 0.05 after Holm's correction over the verdicts of the table. The models may then differ by
less than the smallest detectable difference (at a power of 80 %), or not at all: it never means that they are equal.
Intervals are 95 % intervals over episodes of these tasks, for one training of each model. Another random seed of the
training may give another order.
"""


def markdown(tables: Sequence[Results], images: str) -> str:
    """The whole document.

    Args:
        tables: in order.
        images: prefix of the addresses of the plots.
    """
    rows = [
        (f"[{escape_markdown(one.comparison.title)}](#{anchor_of(one.comparison)})", escape_markdown(answer_of(one)))
        for one in tables
    ]
    parts = [HEAD, *markdown_table(("comparison", "verdicts"), rows, "ll"), ""]
    for one in tables:
        parts += _section(one, images)
    return "\n".join(parts)


def anchor_of(comparison: Comparison) -> str:
    """The anchor of a comparison's heading, as MkDocs and GitHub make it."""
    return re.sub(r"[^\w\s-]", "", comparison.title).strip().lower().replace(" ", "-")


def image_name(comparison: Comparison) -> str:
    """Name of a comparison's plot, without its ending."""
    return f"miniature_{comparison.name.replace('-', '_')}"


def _section(table: Results, images: str) -> Iterator[str]:
    card = table.comparison
    yield from (f"## {card.title}", "")
    source = f"{card.paper}, {card.source}" if card.source else f"a question of ours about {card.paper}"
    yield from (f"{escape_markdown(card.question)} *Source: {escape_markdown(source)}.*", "")
    yield from (*markdown_lines(table), "")
    for note in notes_of(table):
        yield f"- {escape_markdown(note)}"
    command = f"wam-eval reproduce --only {card.name}"
    date = f"As of {table.result.created}. " if table.result else ""
    suites = ", ".join(dict.fromkeys(suite for entry in card.entries for suite in card.suites_of(entry)))
    yield from (f"- {date}Suites: {suites}. `{command}` plays {_extent(card)} with each model.", "")
    if any(row.estimate for row in table.rows):
        yield from (f"![{card.title}: success rates and differences]({images}{image_name(card)}.png)", "")


def _extent(card: Comparison) -> str:
    tasks = "each task" if card.full.sample is None else f"each task in a sample of {100 * card.full.sample:g} %"
    return f"{card.full.episodes} episode{'s' * (card.full.episodes > 1)} of {tasks}"


@styled_figure
def plot(table: Results) -> Figure:
    """Success rates with intervals, and differences to the reference, coloured by the verdict.

    Args:
        table: a comparison with at least one rate.
    """
    rows = [row for row in table.rows if row.estimate is not None]
    figure = Figure(figsize=(WIDTH * 0.8, 0.9 + 0.32 * len(rows)), layout="constrained")
    rates, differences = figure.subplots(1, 2, sharey=True)
    for place, row in enumerate(rows):
        one, found = row.estimate, row.verdict
        assert one is not None and one.rate is not None and one.low is not None and one.high is not None
        colour = COLOURS[found.verdict] if found else ACCENT
        rates.hlines(place, 100 * one.low, 100 * one.high, color=colour)
        rates.plot(100 * one.rate, place, "o", color=colour, markersize=5)
        if found and found.difference is not None and found.low is not None and found.high is not None:
            differences.hlines(place, 100 * found.low, 100 * found.high, color=colour)
            differences.plot(100 * found.difference, place, "o", color=colour, markersize=5)
            differences.annotate(
                found.verdict.value,
                (100 * found.high, place),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
                color=colour,
            )
    differences.axvline(0, color=INK, linewidth=0.8)
    rates.set(xlim=(-2, 102), xlabel="success rate in %")
    rates.set_yticks(range(len(rows)), [f"{row.label} (n = {row.estimate.n})" for row in rows if row.estimate])
    rates.set_ylim(len(rows) - 0.4, -0.6)
    differences.set(xlim=(-105, 125), xlabel=f"minus {table.comparison.entries[0].label}, percentage points")
    for axes in (rates, differences):
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
    return figure


def write_page(comparisons: Sequence[Comparison], stored: Path, document: Path, images: Path, prefix: str) -> None:
    """Write the page and its plots.

    Args:
        comparisons: the comparisons, in order.
        stored: folder of the stored results.
        document: file of the page.
        images: folder of the plots.
        prefix: prefix of the addresses of the plots in the page.
    """
    results = read_results(comparisons, stored)
    tables = [results_of(one, results.get(one.name)) for one in comparisons]
    document.write_text(markdown(tables, prefix), encoding="utf-8")
    for table in tables:
        if any(row.estimate for row in table.rows):
            name = image_name(table.comparison)
            save(plot(table), images, name)
            (images / f"{name}.pdf").unlink()


def main() -> None:
    """Write the document of a clone, which has docs/."""
    if not DOCUMENT.parent.is_dir():
        raise SystemExit(f"{DOCUMENT.parent} is not a folder: this is a document of a clone of the project")
    write_page(load_comparisons(), STORED, DOCUMENT, IMAGES, "../images/")
    print(f"wrote {DOCUMENT.name} and its plots")


if __name__ == "__main__":
    main()
