"""Tables of comparisons: verdicts after Holm's correction, paired and independent, and what cannot be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from wam_eval.analysis.comparison import Verdict
from wam_eval.analysis.statistics import holm, mcnemar_exact
from wam_eval.reproduction.cards import Comparison
from wam_eval.reproduction.results import ComparisonResult, Cost, EntryResult
from wam_eval.reproduction.tables import Results, answer_of, cells_of, headings_of, markdown_lines, notes_of, results_of


def card(*labels: str, **fields: Any) -> Comparison:
    """A comparison of models with these labels."""
    entries = [{"label": label, "policy": "push"} for label in labels]
    given = {
        "name": "toy",
        "title": "A toy",
        "paper": "a paper",
        "question": "Which one?",
        "suites": ("toy",),
        "quick": {"episodes": 1},
        "full": {"episodes": 2},
        "seconds": 1.0,
        "entries": entries,
    }
    return Comparison.model_validate({**given, **fields})


def table(outcomes: Mapping[str, str], columns: str = "", **fields: Any) -> Results:
    """The table of models with these outcomes, a letter for each episode of two tasks.

    Outcomes that begin with a letter besides the known ones are a reason for the lack of results.
    """
    count = max(map(len, (text for text in outcomes.values() if set(text) <= set("10e-"))), default=0)
    entries = [
        EntryResult(label=label, outcomes=text) if set(text) <= set("10e-") else EntryResult(label=label, missing=text)
        for label, text in outcomes.items()
    ]
    result = ComparisonResult(
        comparison="toy",
        created="2026-11-30",
        episodes=tuple(f"toy/{number % 2:02d}/{number // 2:03d}" for number in range(count)),
        columns=tuple("even" if number % 2 == 0 else "odd" for number in range(count)) if columns else ("",) * count,
        entries=tuple(entries),
    )
    return results_of(card(*outcomes, columns=columns, **fields), result)


def verdicts(found: Results) -> dict[str, Verdict]:
    """Label -> verdict."""
    return {row.label: verdict.verdict for row, verdict in found.compared}


def test_models_are_better_or_worse_than_the_first_one_or_it_cannot_be_told() -> None:
    half = "10" * 20
    found = table({"first": half, "strong": "1" * 40, "weak": "0" * 40, "similar": "10" * 18 + "0101"})
    assert verdicts(found) == {"strong": Verdict.BETTER, "weak": Verdict.WORSE, "similar": Verdict.UNSURE}
    assert answer_of(found) == "strong: better than first; weak: worse than first; similar: cannot tell from first"
    first, strong, *_ = found.rows
    assert first.verdict is None and first.estimate is not None and first.estimate.rate == 0.5
    assert strong.verdict is not None and strong.verdict.difference == 0.5 and strong.verdict.low > 0.2


def test_p_values_are_corrected_over_the_verdicts_of_the_table() -> None:
    """Six successes more are significant alone, p = 0.031, but not as one of two verdicts."""
    alone = table({"first": "0" * 20, "other": "1" * 6 + "0" * 14})
    assert verdicts(alone) == {"other": Verdict.BETTER}
    both = table({"first": "0" * 20, "other": "1" * 6 + "0" * 14, "third": "0" * 20})
    assert verdicts(both) == {"other": Verdict.UNSURE, "third": Verdict.UNSURE}
    expected = holm([mcnemar_exact(6, 0), 1.0])
    assert [verdict.p_holm for _, verdict in both.compared] == pytest.approx(expected)


def test_the_same_episodes_are_compared_one_by_one() -> None:
    """The rates are the same in both tables; only pairs that differ count."""
    nested = table({"first": "1" * 20 + "0" * 20, "other": "1" * 27 + "0" * 13})
    crossed = table({"first": "1" * 20 + "0" * 20, "other": "0" * 10 + "1" * 27 + "0" * 3})
    assert verdicts(nested) == {"other": Verdict.BETTER}
    assert verdicts(crossed) == {"other": Verdict.UNSURE}


def test_other_suites_are_compared_as_independent() -> None:
    entries = [{"label": "clean", "policy": "push"}, {"label": "windy", "policy": "push", "suites": ("toy_weather",)}]
    found = table({"clean": "1" * 20 + "-" * 20, "windy": "-" * 20 + "0" * 20}, entries=entries)
    assert verdicts(found) == {"windy": Verdict.WORSE}
    assert [row.estimate.n for row in found.rows if row.estimate] == [20, 20]
    assert "windy played other episodes: compared as independent (Boschloo)." in notes_of(found)


def test_all_models_are_shown_over_the_same_episodes() -> None:
    found = table({"first": "1100", "stopped": "11--", "faulty": "1e10", "absent": "not trained yet: train it"})
    assert [row.estimate and (row.estimate.successes, row.estimate.n) for row in found.rows] == [(1, 1)] * 3 + [None]
    notes = notes_of(found)
    assert "first: 3 further episodes, which not all models have finished." in notes
    assert "faulty: 1 episodes ended in an error and do not count." in notes
    assert cells_of(found, found.rows[3])[:2] == ["absent", "not trained yet: train it"]


def test_there_is_no_verdict_without_the_reference() -> None:
    found = table({"first": "not trained yet: train it", "other": "1" * 10})
    assert verdicts(found) == {} and answer_of(found) == "nothing can be told yet"
    assert "No verdict without first, with which the others are compared." in notes_of(found)
    assert found.rows[1].estimate is not None


def test_models_without_a_common_episode_are_not_compared() -> None:
    found = table({"first": "1---", "other": "-111"})
    assert verdicts(found) == {}
    assert {row.missing for row in found.rows} == {"no episode that all models have finished"}


def test_a_comparison_that_was_never_played_says_so() -> None:
    found = results_of(card("one", "two"), None)
    assert [row.missing for row in found.rows] == ["not played yet"] * 2
    assert "| one | not played yet |" in "\n".join(markdown_lines(found))


def test_columns_show_the_rates_of_parts() -> None:
    found = table({"first": "1010", "other": "1111"}, columns="suite")
    assert headings_of(found)[:4] == ["model", "even", "odd", "success % [95 %]"]
    assert [cells_of(found, row)[1:3] for row in found.rows] == [["100", "0"], ["100", "100"]]
    ordered = table({"first": "1010", "other": "1111"}, columns="parity", filters={"parity": "odd,even"})
    assert ordered.columns == ("odd", "even"), "the order of the card"


def test_costs_and_rollbacks_are_shown_if_there_are_any() -> None:
    cost = Cost(parameters=2_500_000, flops=1.5e9, milliseconds=40.0, ratio=(1.0, 0.9, 1.1))
    entries = (
        EntryResult(label="first", outcomes="11", cost=cost, rollbacks=3),
        EntryResult(label="other", outcomes="10", cost=cost.model_copy(update={"ratio": (2.5, 2.0, 3.0)})),
    )
    result = ComparisonResult(
        comparison="toy",
        created="2026-11-30",
        machine="CPU (a processor)",
        assets=("stand-in",),
        episodes=("toy/00/000", "toy/00/001"),
        columns=("", ""),
        entries=entries,
    )
    found = results_of(card("first", "other"), result)
    costs = ["2.50", "1.50", "2.50 × (2.00 to 3.00); 40 ms", "0.00"]
    assert headings_of(found)[-4:] == [
        "parameters, M",
        "GFLOPs per chunk",
        "time of an answer",
        "rollbacks per episode",
    ]
    assert cells_of(found, found.rows[1])[-4:] == costs
    assert cells_of(found, found.rows[0])[-1] == "1.50"
    assert "Assets: stand-in." in notes_of(found)
    assert any("CPU (a processor)" in note and "ratio to first" in note for note in notes_of(found))


def test_results_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValidationError, match="another number of episodes"):
        ComparisonResult(
            comparison="toy", created="", episodes=("a",), columns=("",), entries=(EntryResult(label="x"),)
        )
