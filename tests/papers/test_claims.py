"""Claims of papers: every kind of check can hold and fail on made-up numbers."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from tests.builders.published import kinds, number, published, robotwin_column
from wam_eval.errors import UserError
from wam_eval.papers.averages import Range
from wam_eval.papers.claims import (
    FAILED_READING,
    FAILS,
    HOLDS,
    KINDS,
    ROUNDED,
    UNKNOWN,
    Claim,
    check_claims,
    read_claims,
)

TABLE = published(
    *robotwin_column([90] * 49 + [88], "90.0"),  # 89.96
    *robotwin_column([50] * 49 + [60], "50.2", method="n"),
    number("20.0", "randomized", benchmark="robotwin"),
    number("10.0", "randomized", benchmark="robotwin", method="n"),
    number("60", benchmark="robotwin", training="few"),
    number("70", benchmark="robotwin", training="many"),
)
CLEAN_M, CLEAN_N = {"method": "m", "condition": "clean"}, {"method": "n", "condition": "clean"}
RANDOM_M = {"method": "m", "condition": "randomized"}
EITHER = ["clean", "randomized"]
BOTH_CLEAN, BOTH_RANDOM = {"condition": "clean"}, {"condition": "randomized"}


@pytest.mark.parametrize(
    ("kind", "holding", "failing"),
    [
        ("value", {"of": CLEAN_M, "printed": (90,)}, {"of": CLEAN_M, "printed": ("91.0",)}),
        ("values", {"of": BOTH_CLEAN, "printed": (90, "50.2")}, {"of": BOTH_CLEAN, "printed": (90, "51.3")}),
        ("sum", {"of": BOTH_CLEAN, "printed": ("140.2",)}, {"of": BOTH_CLEAN, "printed": ("141.0",)}),
        ("mean", {"of": BOTH_CLEAN, "printed": ("70.1",)}, {"of": BOTH_CLEAN, "printed": ("70.3",)}),
        (
            "difference",
            {"of": CLEAN_M, "against": CLEAN_N, "printed": ("39.76",), "unit": "%"},
            {"of": CLEAN_M, "against": CLEAN_N, "printed": ("39.1",)},
        ),
        (
            "ratio",
            {"of": CLEAN_M, "against": RANDOM_M, "printed": (4,), "at_least": True},
            {"of": CLEAN_M, "against": RANDOM_M, "printed": (5,), "at_least": True},
        ),
        (
            "relative drop",
            {"of": CLEAN_M, "against": RANDOM_M, "printed": ("77.8",)},
            {"of": CLEAN_M, "against": RANDOM_M, "printed": ("70.0",)},
        ),
        ("range of values", {"of": BOTH_CLEAN, "printed": ("50.2", 90)}, {"of": BOTH_CLEAN, "printed": (10, 90)}),
        (
            "range of drops",
            {"of": BOTH_CLEAN, "against": BOTH_RANDOM, "printed": (40, 70)},
            {"of": BOTH_CLEAN, "against": BOTH_RANDOM, "printed": (40, 80)},
        ),
        (
            "range of relative drops",
            {"of": BOTH_CLEAN, "against": BOTH_RANDOM, "printed": (78, 80)},
            {"of": BOTH_CLEAN, "against": BOTH_RANDOM, "printed": (78, 90)},
        ),
        ("highest", {"of": CLEAN_M, "against": CLEAN_N}, {"of": CLEAN_N, "against": CLEAN_M}),
        (
            "highest in most",
            {"of": {"method": "m", "task": "any"}, "against": {"task": "any"}},
            {"of": CLEAN_N, "against": CLEAN_M},
        ),
        ("lowest", {"of": CLEAN_N, "against": CLEAN_M}, {"of": CLEAN_M, "against": CLEAN_N}),
        ("above all", {"of": CLEAN_M, "against": CLEAN_N}, {"of": CLEAN_N, "against": CLEAN_M}),
        ("above most", {"of": CLEAN_M, "against": CLEAN_N}, {"of": CLEAN_N, "against": CLEAN_M}),
        (
            "above each",
            {"of": {"training": "many"}, "against": {"training": "few"}},
            {"of": {"training": "few"}, "against": {"training": "many"}},
        ),
        (
            "largest gap",
            {"of": {"method": "m", "condition": EITHER}, "against": {"method": "n"}, "at": "clean"},
            {"of": {"method": "m", "condition": EITHER}, "against": {"method": "n"}, "at": "randomized"},
        ),
        ("trials", {"of": {"task": "any"}, "printed": (50,)}, {"of": {"task": "any"}, "printed": (3,)}),
        ("printed there", {"of": CLEAN_M}, {"of": {"table": "Table 9"}}),
        ("stated twice", {"printed": (100, 100)}, {"printed": (100, 300)}),
    ],
)
def test_kinds_of_claims(kind: str, holding: dict[str, Any], failing: dict[str, Any]) -> None:
    assert verdict(kind, **holding) == HOLDS
    assert verdict(kind, **failing) == FAILS


def verdict(kind: str, **fields: Any) -> str:
    claim = Claim(paper="a", where="Section 1", what="something", kind=kind, **fields)
    return check_claims(TABLE, [claim]).listing[1][-1]


def test_every_kind_of_claim_is_tested() -> None:
    tested = {mark.args[1][i][0] for mark in test_kinds_of_claims.pytestmark for i in range(len(mark.args[1]))}
    assert tested | {"no table"} == set(KINDS)


def test_claims_that_only_rounded_means_bear_out() -> None:
    """90.0 less 50.2 is 39.8, but 89.96 less 50.20 is 39.76."""
    claim = {"of": CLEAN_M, "against": CLEAN_N, "printed": ("39.80",)}
    assert verdict("difference", **claim) == ROUNDED


def test_claims_without_tables_and_readings() -> None:
    assert verdict("no table", printed=(33,)) == UNKNOWN
    reading = Claim(paper="a", where="x", what="y", kind="stated twice", printed=(Decimal(1), Decimal(2)), reading=True)
    assert kinds(check_claims(TABLE, [reading])) == [FAILED_READING]


@pytest.mark.parametrize(
    "claim",
    [
        {"kind": "highst"},
        {"kind": "value", "of": {"method": "z"}},
        {"kind": "value", "of": BOTH_CLEAN},
        {"kind": "values", "of": BOTH_CLEAN},
        {"kind": "highest", "of": CLEAN_M, "against": RANDOM_M},
        {"kind": "above each", "of": CLEAN_M, "against": RANDOM_M},
    ],
)
def test_claims_that_name_nothing(claim: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="something"):
        verdict(**{"printed": (1,), **claim})


def test_ranges_divide() -> None:
    assert Range(Fraction(-1), Fraction(1)) / Range(Fraction(2), Fraction(4)) == Range(Fraction(-1, 2), Fraction(1, 2))


def test_every_claim_of_the_project_is_of_a_known_kind() -> None:
    assert {claim.kind for claim in read_claims()} == set(KINDS)
