"""The document on the project's miniatures is made of its cards and stored results."""

from __future__ import annotations

from wam_eval.reproduction import page
from wam_eval.reproduction.cards import load_comparisons
from wam_eval.reproduction.results import read_results
from wam_eval.reproduction.tables import results_of


def test_the_document_and_its_plots_are_current() -> None:
    comparisons = load_comparisons()
    results = read_results(comparisons, page.STORED)
    tables = [results_of(one, results.get(one.name)) for one in comparisons]
    assert page.DOCUMENT.read_text(encoding="utf-8") == page.markdown(tables, "../images/"), (
        "run: python -m wam_eval.reproduction.page"
    )
    shown = {page.image_name(one.comparison) for one in tables if any(row.estimate for row in one.rows)}
    assert {path.stem for path in page.IMAGES.glob("miniature_*.png")} == shown
