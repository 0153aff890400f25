"""Checks of published numbers for what is not expected: each finds a planted case, and nothing in sound numbers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.published import kinds, libero_plus_row, libero_row, number, published
from wam_eval.papers import plausibility
from wam_eval.papers.published import Number, read_published

EVEN_TIE, UP, DOWN = ("94.1", "94.2", "94.1", "94.2"), "94.2", "94.1"  # 94.15


def test_ties() -> None:
    up, down = libero_row(*EVEN_TIE, UP), libero_row(*EVEN_TIE, DOWN, method="n")
    check = plausibility.check_ties(published(*up, *down))
    assert kinds(check) == ["ties rounded both ways"]
    assert check.findings[0].detail == "up: m 94.15 → 94.2; down: n 94.15 → 94.1"
    assert (check.count, kinds(plausibility.check_ties(published(*up)))) == (2, [])
    elsewhere = libero_row(*EVEN_TIE, DOWN, method="n", table="Table 2")
    assert kinds(plausibility.check_ties(published(*up, *elsewhere))) == []
    wrong = libero_row(*EVEN_TIE, "95.0", method="n")
    assert kinds(plausibility.check_ties(published(*up, *wrong))) == []
    by_task = libero_plus_row(*["94.1", "94.2"] * 3, "94.15", "94.2")
    assert plausibility.check_ties(published(*by_task)).count == 0


def task_rates(values: dict[str, list[int]], **fields: Any) -> list[Number]:
    """Rates of tasks by condition."""
    shared = {"benchmark": "robotwin", "trials": 100, **fields}
    return [number(str(v), c, task=f"t{i}", **shared) for c, column in values.items() for i, v in enumerate(column)]


def test_a_harder_condition_with_higher_rates() -> None:
    clearly = task_rates({"clean": [50, 90, 90, 90, 90], "randomized": [80, 80, 80, 80, 80]})
    (finding,) = plausibility.check_harder_conditions(published(*clearly)).findings
    assert (finding.kind, finding.where) == ("randomized above clean", "a, Table 1: m")
    assert finding.detail == "in 1 of 5 cells; clearly in t0 50 → 80"
    slightly = task_rates({"clean": [79, 90, 90, 90, 90], "randomized": [80, 80, 80, 80, 80]})
    assert kinds(plausibility.check_harder_conditions(published(*slightly))) == []
    often = task_rates({"clean": [79, 79, 90, 90, 90], "randomized": [80, 80, 80, 80, 80]})
    (finding,) = plausibility.check_harder_conditions(published(*often)).findings
    assert finding.detail == "in 2 of 5 cells"
    means = [number("80.1", "clean", benchmark="robotwin"), number("80.2", "randomized", benchmark="robotwin")]
    (finding,) = plausibility.check_harder_conditions(published(*means)).findings
    assert finding.detail == "in the mean: 80.1 → 80.2"


def test_conditions_of_other_trainings_and_benchmarks_are_not_compared() -> None:
    trainings = [
        number("10", "clean", benchmark="robotwin", training="few"),
        number("90", "randomized", benchmark="robotwin", training="many"),
    ]
    assert (
        plausibility.check_harder_conditions(published(*trainings, *libero_row("1", "2", "3", "4", "2.5"))).count == 0
    )


def test_more_demonstrations_with_lower_rates() -> None:
    def shots(few: list[int], many: list[int]) -> list[Number]:
        return [
            *task_rates({"clean": few}, training="40 tasks, 1-shot"),
            *task_rates({"clean": many}, training="40 tasks, 10-shot"),
        ]

    (finding,) = plausibility.check_more_data(published(*shots([82, 50], [9, 60]))).findings
    assert finding.detail == "1-shot above 10-shot in 1 of 2 cells; clearly in t0 clean 82 → 9"
    assert kinds(plausibility.check_more_data(published(*shots([50, 50], [49, 60])))) == []
    means = [
        number("75.7", "clean", benchmark="robotwin", training="5-shot"),
        number("74.6", "clean", benchmark="robotwin", training="10-shot"),
    ]
    (finding,) = plausibility.check_more_data(published(*means)).findings
    assert finding.detail == "5-shot above 10-shot in 0 of 0 cells; in the mean: clean 75.7 → 74.6"


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        ([0, 90, 90], [[95, 90, 90], [99, 90, 90]], True),
        ([0, 90, 90], [[95, 90, 90], [20, 90, 90]], False),  # one other method only
        ([0, 10, 20], [[95, 90, 90], [99, 90, 90]], False),  # a weak method
        ([20, 90, 90], [[95, 90, 90], [99, 90, 90]], False),  # not near zero
    ],
)
def test_cells_that_look_like_failed_runs(ours: list[int], theirs: list[list[int]], found: bool) -> None:
    others = [n for name, values in zip("no", theirs, strict=True) for n in task_rates({"clean": values}, method=name)]
    check = plausibility.check_failed_cells(published(*task_rates({"clean": ours}), *others))
    assert kinds(check) == ["looks like a failed run"] * found
    assert not found or check.findings[0].detail == "t0 clean 0 (n 95, o 99)"


def cost(value: str, condition: str, metric: str = "latency", unit: str = "ms", **fields: Any) -> Number:
    return number(value, condition, benchmark="efficiency", metric=metric, unit=unit, **fields)


def test_costs_of_two_papers() -> None:
    one = [cost("190", "GPU 1", note="10 steps"), cost("810", "GPU 1", method="n")]
    other = [cost("302", "GPU 2", paper="b"), cost("1081", "GPU 2", paper="b", method="n")]
    check = plausibility.check_costs(published(*one, *other))
    assert kinds(check) == ["other devices, steps or scopes", "ratio differs by paper"]
    assert check.findings[0].detail.startswith("a: m 190 ms (GPU 1; 10 steps), n 810 ms (GPU 1); b: m 302 ms (GPU 2)")
    assert check.findings[1].detail == "n over m: 4.26 (a), 3.58 (b)"
    assert (check.count, len(check.listing)) == (4, 5)
    assert kinds(plausibility.check_costs(published(*one))) == []
    size = cost("6", "whole", "parameters", "B", paper="b")
    assert kinds(plausibility.check_costs(published(*one, size))) == []


def test_findings_in_the_projects_data() -> None:
    """Cases that were found by hand in the papers are found by the rules."""
    published_here = read_published()
    checks = (
        plausibility.check_ties,
        plausibility.check_harder_conditions,
        plausibility.check_more_data,
        plausibility.check_failed_cells,
        plausibility.check_costs,
    )
    found = {(f.where, f.detail) for check in checks for f in check(published_here).findings}

    def one(where: str, start: str) -> bool:
        return any(place == where and start in detail for place, detail in found)

    assert one("fastwam, Table 2", "down: pi0 94.15 → 94.1")
    assert one("mvwam, Table 2: mv-wam", "in 16 of 40 cells; clearly in pick_dual_bottles")
    assert one("mvwam, Table 2: mv-wam", "0-shot above 1-shot in 6 of 20 cells")
    assert one("mvwam, Table 7: fast-wam", "stack_blocks_three clean 0")
    assert one("latency", "fast-wam-idm over fast-wam: 4.26 (fastwam)")
