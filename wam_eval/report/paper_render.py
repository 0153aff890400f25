"""Papers' tables by name, as Markdown, LaTeX, CSV, HTML or on the terminal; the same table gives the same bytes."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from wam_eval.analysis.frame import read_run
from wam_eval.errors import UserError, unknown
from wam_eval.papers.published import read_published
from wam_eval.report.escaping import escape_latex, escape_markdown, safe_cell
from wam_eval.report.formats import markdown_table, render
from wam_eval.report.paper_layout import load_layout
from wam_eval.report.paper_measured import shows_costs
from wam_eval.report.paper_table import DASH, Cell, Group, PaperTable, Row, paper_table
from wam_eval.run.bench import bench_file, read_bench
from wam_eval.run.folder import RunFolder

LATEX_HEAD = "% Needs \\usepackage{booktabs}, \\usepackage{graphicx} and, for \\checkmark, \\usepackage{amssymb}."
LATEX_FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
LATEX_SIZES = ((8, "small", 5), (16, "scriptsize", 2), (1000, "tiny", 2))
"""Largest number of columns -> size of the letters, and space beside a column in pt."""
LATEX_COLUMN_WIDTH = 8
"""Number of characters after which a heading is broken into lines."""


def render_table(name: str, ours: Sequence[str] = (), format: str = "md") -> str:
    """A paper's table as text.

    Args:
        name: of a layout, see :func:`wam_eval.report.paper_layout.table_names`.
        ours: names of runs that become further rows or columns; of benches, or their files, in a table of costs.
        format: a key of :data:`FORMATS`.

    Raises:
        UserError: an unknown name, run, bench or format, or one that does not fit the table.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    if len(set(ours)) < len(ours):
        raise UserError(f"a run is named twice: {', '.join(ours)}")
    return FORMATS[format](_read_table(name, ours))


def _read_table(name: str, ours: Sequence[str]) -> PaperTable:
    layout, published = load_layout(name), read_published()
    if shows_costs(layout):
        for one in ours:
            if bench_file(one) is None and RunFolder(one).exists():
                raise UserError(f"{one} is a run; {name} shows costs, which `wam-eval bench` measures")
        return paper_table(layout, published, benches=[read_bench(one) for one in ours])
    for one in ours:
        if bench_file(one) is not None and not RunFolder(one).exists():
            raise UserError(f"{one} is a bench; {name} shows success rates, which `wam-eval run` measures")
    return paper_table(layout, published, [read_run(one) for one in ours])


def columns_of(table: PaperTable) -> list[tuple[Group, str]]:
    """The group and the heading of each column."""
    groups = [group for group in table.groups for _ in range(group.span)] or [Group("", 1)] * len(table.headings)
    return list(zip(groups, table.headings, strict=True))


# ---------------------------------------------------------------------- Markdown


def markdown(table: PaperTable) -> str:
    """A pipe table as GitHub shows it, its title above and its notes below."""
    headings = [
        f"{escape_markdown(group.text)}{_raised(group.letters)} {escape_markdown(text)}".strip()
        for group, text in columns_of(table)
    ]
    rows = []
    for row in table.rows:
        if row.section:
            rows.append([f"*{escape_markdown(row.section)}*", *([""] * (len(headings) - 1))])
        rows.append([_markdown_cell(cell) for cell in row.cells])
    notes = [escape_markdown(note) for note in table.notes]
    notes += [f"{_raised((letter,))} {escape_markdown(text)}" for letter, text in table.footnotes.items()]
    lines = markdown_table(headings, rows, "l" + "c" * (len(headings) - 1))
    return "\n".join([f"**{escape_markdown(table.title)}**", "", *lines, "", *(f"- {note}" for note in notes), ""])


def _markdown_cell(cell: Cell) -> str:
    text = escape_markdown(cell.text)
    if cell.bold or cell.underline:
        text = f"**{text}**" if cell.bold else f"<u>{text}</u>"
    return f"{text} {cell.interval}".strip() + _raised(cell.letters)


def _raised(letters: Sequence[str]) -> str:
    return f"<sup>{', '.join(letters)}</sup>" if letters else ""


# ---------------------------------------------------------------------- CSV and HTML


def comma_separated(table: PaperTable) -> str:
    """One line per row; ``low``, ``high`` and ``n`` follow each column with rates of runs, footnotes come last."""
    ours = [any(row.cells[j].n for row in table.rows) for j in range(len(table.headings))]
    headings = ["Section"]
    for (group, text), our in zip(columns_of(table), ours, strict=True):
        heading = f"{group.text} {text}".strip()
        headings += [heading, *(f"{heading} {name}" for name in ("low", "high", "n") if our)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(safe_cell, [*headings, "Footnotes"]))
    section = ""
    for row in table.rows:
        section = row.section or section
        cells = [text for cell, our in zip(row.cells, ours, strict=True) for text in _csv_cell(cell, our)]
        footnotes = "; ".join(table.footnotes[letter] for letter in _letters(table, row))
        writer.writerow(map(safe_cell, [section, *cells, footnotes]))
    return out.getvalue()


def _csv_cell(cell: Cell, our: bool) -> list[str]:
    texts = ["" if cell.text == DASH else cell.text]
    if our:
        texts += ["" if x is None else f"{x:.4f}" for x in (cell.low, cell.high)] + [str(cell.n or "")]
    return texts


def _letters(table: PaperTable, row: Row) -> list[str]:
    """All footnotes of a row: its own and those of the columns."""
    own = [letter for cell in row.cells for letter in cell.letters]
    return own + [letter for group in table.groups for letter in group.letters]


def html(table: PaperTable) -> str:
    """A fragment without scripts or external resources, all texts escaped."""
    return render("paper_table.html.j2", table=table)


# ---------------------------------------------------------------------- terminal


def terminal(table: PaperTable) -> Table:
    """The table for the terminal, with its sections; notes and footnotes below."""
    notes = [*table.notes, *(f"{letter}: {text}" for letter, text in table.footnotes.items())]
    shown = Table(title=Text(table.title), caption=Text("\n".join(notes)), caption_justify="left")
    for number, (group, heading) in enumerate(columns_of(table)):
        shown.add_column(Text(f"{group.text} {heading}".strip()), justify="right" if number else "left")
    for row in table.rows:
        if row.section:
            shown.add_section()
            shown.add_row(Text(row.section, style="italic"))
        shown.add_row(*map(_terminal_cell, row.cells))
    return shown


def _terminal_cell(cell: Cell) -> Text:
    style = "bold" if cell.bold else "underline" if cell.underline else ""
    text = Text(" ".join(filter(None, (cell.text, cell.interval))), style=style)
    return text.append(f" ({', '.join(cell.letters)})" if cell.letters else "", style="not bold not underline")


# ---------------------------------------------------------------------- LaTeX


def latex(table: PaperTable) -> str:
    """A LaTeX ``table`` with booktabs rules and the notes below."""
    columns = len(table.headings)
    size, space = next((size, space) for most, size, space in LATEX_SIZES if columns <= most)
    lines = [
        LATEX_HEAD,
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{escape_latex(table.title)}}}",
        r"\smallskip",
    ]
    lines += [rf"\{size}", rf"\setlength{{\tabcolsep}}{{{space}pt}}"]
    lines += [LATEX_FIT, rf"\begin{{tabular}}{{l{'c' * (columns - 1)}}}", r"\toprule", *_latex_groups(table.groups)]
    lines += [_latex_line([_latex_wrapped(heading, 1) for heading in table.headings]), r"\midrule"]
    for number, row in enumerate(table.rows):
        if row.section:
            lines += [r"\midrule"] if number else []
            lines += [rf"\multicolumn{{{columns}}}{{c}}{{\textit{{{escape_latex(row.section)}}}}} \\", r"\midrule"]
        lines += [r"\midrule"] if row.over_all else []
        lines += _latex_row(row)
    lines += [
        r"\bottomrule",
        r"\end{tabular}}",
        "",
        r"\smallskip",
        r"\begin{minipage}{\linewidth}\scriptsize\raggedright",
    ]
    lines += [rf"{escape_latex(note)}\par" for note in table.notes]
    lines += [rf"{_latex_raised((letter,))} {escape_latex(text)}\par" for letter, text in table.footnotes.items()]
    return "\n".join([*lines, r"\end{minipage}", r"\end{table}", ""])


def _latex_groups(groups: Sequence[Group]) -> Iterator[str]:
    if not groups:
        return
    start, rules = 1, []
    for group in groups:
        if group.text:
            rules.append(rf"\cmidrule(lr){{{start}-{start + group.span - 1}}}")
        start += group.span
    headings = [f"{_latex_wrapped(group.text, group.span)}{_latex_raised(group.letters)}" for group in groups]
    yield _latex_line(
        [rf"\multicolumn{{{group.span}}}{{c}}{{{heading}}}" for group, heading in zip(groups, headings, strict=True)]
    )
    yield "".join(rules)


def _latex_wrapped(text: str, span: int) -> str:
    lines = textwrap.wrap(text, LATEX_COLUMN_WIDTH * span, break_long_words=False, break_on_hyphens=False)
    stacked = r" \\ ".join(map(escape_latex, lines))
    return rf"\shortstack{{{stacked}}}" if len(lines) > 1 else stacked


def _latex_row(row: Row) -> list[str]:
    """A row; one of ours takes two lines, with the intervals on the second."""
    if not row.measured:
        return [
            _latex_line(
                [_latex_cell(cell) + rf" {{\tiny {cell.interval}}}" * bool(cell.interval) for cell in row.cells]
            )
        ]
    below = [rf"{{\tiny {cell.interval}}}" if cell.interval else "" for cell in row.cells]
    return [_latex_line([_latex_cell(cell) for cell in row.cells]) + "[-0.6ex]", _latex_line(below)]


def _latex_cell(cell: Cell) -> str:
    text = escape_latex(cell.text)
    if cell.bold or cell.underline:
        text = rf"\textbf{{{text}}}" if cell.bold else rf"\underline{{{text}}}"
    return text + _latex_raised(cell.letters)


def _latex_raised(letters: Sequence[str]) -> str:
    return rf"\textsuperscript{{{', '.join(letters)}}}" if letters else ""


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


FORMATS = {"md": markdown, "latex": latex, "csv": comma_separated, "html": html}
"""Name of a format -> its writer."""
