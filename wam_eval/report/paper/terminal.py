"""Shows a paper's table on the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from wam_eval.report.paper.paper_table import Cell, PaperTable
from wam_eval.report.paper.render import columns_of


def terminal(table: PaperTable) -> Table:
    """The table with its sections; notes and footnotes below."""
    notes = [*table.notes, *(f"{letter}: {text}" for letter, text in table.footnotes.items())]
    shown = Table(title=Text(table.title), caption=Text("\n".join(notes)), caption_justify="left")
    for number, (group, heading) in enumerate(columns_of(table)):
        shown.add_column(Text(f"{group.text} {heading}".strip()), justify="right" if number else "left")
    for row in table.rows:
        if row.section:
            shown.add_section()
            shown.add_row(Text(row.section, style="italic"))
        shown.add_row(*map(_text, row.cells))
    return shown


def _text(cell: Cell) -> Text:
    style = "bold" if cell.bold else "underline" if cell.underline else ""
    text = Text(" ".join(filter(None, (cell.text, cell.interval))), style=style)
    return text.append(f" ({', '.join(cell.letters)})" if cell.letters else "", style="not bold not underline")
