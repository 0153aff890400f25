"""Entries of comparisons: runs by name, methods by name and, where papers differ, by paper and training."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.builders import published as builders
from tests.builders.published import published
from tests.builders.runs import draw_outcomes, records_of, run_record, write_run
from wam_eval.analysis.comparison import PublishedMethod, find_entries
from wam_eval.analysis.frame import RunData
from wam_eval.errors import UserError
from wam_eval.papers.published import Number, Published


def number(paper: str, method: str, condition: str, value: str, **fields: Any) -> Number:
    source = {"paper": paper, "arxiv": "2600.00001", "method": method, "printed_as": method}
    return builders.number(value, condition, **{**source, **fields})


def found(*names: str, among: Published) -> PublishedMethod:
    """The only entry of these names, a published method."""
    (method,) = find_entries(names, lambda: among)
    assert isinstance(method, PublishedMethod)
    return method


SPATIAL, AVERAGE = "libero_spatial", "average"


def test_a_run_takes_precedence_over_a_method_of_the_same_name(runs: Path) -> None:
    record = run_record("wam", {SPATIAL: 1}, 2)
    write_run(record, records_of(record, draw_outcomes(record, 0.5, 0)))
    printed = published(number("a", "wam", SPATIAL, "90.0"), number("a", "pi", SPATIAL, "80.0"))
    run, method = find_entries(["wam", "pi"], lambda: printed)
    assert isinstance(run, RunData) and isinstance(method, PublishedMethod)
    assert method.printed["libero"].numbers[SPATIAL, None].value == 80


def test_the_authors_own_numbers_take_precedence(runs: Path) -> None:
    printed = published(
        number("theirs", "wam", SPATIAL, "70.0", measured_by="reproduced"),
        number("own", "wam", SPATIAL, "90.0", measured_by="own"),
    )
    method = found("wam", among=printed)
    assert method.printed["libero"].title == "WAM (own, LIBERO)"
    method = found("wam@theirs", among=printed)
    assert method.printed["libero"].numbers[SPATIAL, None].value == 70


def test_papers_that_agree_to_the_fewer_decimals_are_one(runs: Path) -> None:
    printed = published(number("a", "wam", AVERAGE, "91.8"), number("b", "wam", AVERAGE, "91.83"))
    method = found("wam", among=printed)
    assert method.printed["libero"].numbers[AVERAGE, None].value == Decimal("91.8")


@pytest.mark.parametrize("change", [{"value": Decimal("91.9")}, {"training": "LIBERO-Plus"}])
def test_papers_that_disagree_must_be_told_apart(runs: Path, change: dict[str, Any]) -> None:
    first = number("a", "wam", AVERAGE, "91.8")
    printed = published(first, first.model_copy(update={"paper": "b", **change}))
    with pytest.raises(UserError, match=r"different results on libero; choose one of:\n  \"wam@a:LIBERO\""):
        find_entries(["wam"], lambda: printed)
    method = found("wam@b", among=printed)
    assert list(method.printed["libero"].numbers) == [(AVERAGE, None)]


def test_two_trainings_of_one_paper_are_two_entries(runs: Path) -> None:
    printed = published(
        number("a", "wam", AVERAGE, "84.0", training="clean only", measured_by="own"),
        number("a", "wam", AVERAGE, "93.4", training="clean + randomized", measured_by="own", table="Table 2"),
    )
    with pytest.raises(UserError, match="clean only"):
        find_entries(["wam@a"], lambda: printed)
    method = found("wam@a:clean only", among=printed)
    assert method.printed["libero"].numbers[AVERAGE, None].value == 84


def test_of_several_tables_the_one_with_most_decimals_counts(runs: Path) -> None:
    printed = published(number("a", "wam", AVERAGE, "91.8"), number("a", "wam", AVERAGE, "91.83", table="Table 3"))
    method = found("wam", among=printed)
    assert method.printed["libero"].numbers[AVERAGE, None].table == "Table 3"


def test_secondary_pages_and_other_metrics_are_no_entries(runs: Path) -> None:
    printed = published(
        number("a", "page", AVERAGE, "99.0", status="secondary"),
        number("a", "fast", AVERAGE, "190", metric="latency", unit="ms"),
    )
    for name in ("page", "fast"):
        with pytest.raises(UserError, match=f"no success rate of {name} was published"):
            find_entries([name], lambda: printed)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wan", "unknown run or published method 'wan': did you mean wam"),
        ("wam@c", "unknown paper 'c'"),
        ("wam@a:LIBERO-Plus", "did you mean 'wam@a:LIBERO'"),
    ],
)
def test_errors_name_the_nearest_entries(runs: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_entries([name], lambda: published(number("a", "wam", AVERAGE, "91.8")))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wam", "no success rate of wam was published: did you mean 'wam-large' or 'wam-small'?"),
        ("WAM_Large", "unknown run or published method 'WAM_Large': did you mean wam-large?"),
        ("πzero@a", "unknown run or published method 'πzero': did you mean pi-zero?"),
        ("pi-zero@a:libero", "no success rate of pi-zero@a:libero was published: did you mean 'pi-zero@a:LIBERO'?"),
    ],
)
def test_a_family_of_methods_is_named(runs: Path, name: str, expected: str) -> None:
    printed = published(
        number("a", "wam-small", AVERAGE, "91.8"),
        number("a", "wam-large", AVERAGE, "91.9"),
        number("a", "pi-zero", AVERAGE, "91.9"),
        number("a", "wam", AVERAGE, "190", metric="latency", unit="ms"),
    )
    with pytest.raises(UserError) as caught:
        find_entries([name], lambda: printed)
    assert str(caught.value) == expected


def test_entries_need_a_benchmark_in_common(runs: Path) -> None:
    record = run_record("robot", {"robotwin_clean": 1}, 2, "robotwin")
    write_run(record, records_of(record, draw_outcomes(record, 0.5, 0)))
    with pytest.raises(UserError, match=r"no benchmark in common \(robot: robotwin; wam: libero\)"):
        find_entries(["robot", "wam"], lambda: published(number("a", "wam", AVERAGE, "91.8")))
