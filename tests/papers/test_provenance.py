"""Provenance: a cited number is looked up in its source, and a number without a known source is listed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.published import PAPER, kinds, number, published
from wam_eval.papers import provenance
from wam_eval.papers.provenance import ABSENT, OLDER, OWNERS, UNKNOWN, check_provenance
from wam_eval.papers.published import Method, Published, read_published

SOURCE = number("91.84", paper="b", measured_by="own")


@pytest.mark.parametrize(
    ("value", "fields", "expected"),
    [
        ("91.84", {}, []),
        ("91.8", {}, []),
        ("91.9", {}, [ABSENT]),
        ("91.84", {"condition": "libero_goal"}, [ABSENT]),
        ("91.84", {"method": "n"}, [ABSENT]),
        ("91.84", {"benchmark": "libero_plus", "condition": "total"}, [ABSENT]),
        ("50", {"cited_from": "2401.00001"}, []),
        ("50", {"cited_from": "https://example.org/board"}, []),
        ("50", {"cited_from": "2306.03309"}, [OLDER]),  # LIBERO is 2306.03310
    ],
)
def test_a_cited_number_is_looked_up(value: str, fields: dict[str, Any], expected: list[str]) -> None:
    cited = number(value, **{"cited_from": "b", **fields})
    check = check_provenance(published(SOURCE, cited))
    assert kinds(check) == expected
    assert check.count == 1


def test_an_absent_number_is_shown_beside_the_one_that_is_there() -> None:
    (finding,) = check_provenance(published(SOURCE, number("42.9", cited_from="b"))).findings
    assert finding.detail == "b: average 42.9 (91.84 there)"
    assert finding.where == "a, Table 1: m"


def test_unknown_provenance_comes_with_what_is_known() -> None:
    unknown = number("51.5", measured_by="unknown", note="perhaps re-run")
    same = number("51.5", paper="c", measured_by="own")
    both = published(SOURCE, unknown, same)
    method = Method(name="M", kind="WAM", arxiv="2401.00009")
    owner = PAPER.model_copy(update={"arxiv": "2401.00009"})
    held = Published(both.numbers, {**both.papers, "b": owner}, {"m": method})
    (finding,) = [one for one in check_provenance(held).findings if one.kind == UNKNOWN]
    assert finding.detail == (
        "average 51.5: perhaps re-run; 0 of 1 are in the method's own paper (b); 1 of 1 are also in c"
    )


def test_a_method_of_another_paper_is_not_the_papers_own() -> None:
    mine = number("91.8", arxiv="2401.00001", measured_by="own")
    there = published(mine)
    method = Method(name="M", kind="WAM", arxiv="2402.00002")
    assert kinds(check_provenance(Published(there.numbers, there.papers, {"m": method}))) == [OWNERS]
    same = method.model_copy(update={"arxiv": "2401.00001"})
    assert kinds(check_provenance(Published(there.numbers, there.papers, {"m": same}))) == []


def test_citations_of_the_projects_data() -> None:
    """All cited numbers of held sources are there, except for UniVLA's total, which ImageWAM prints as 42.9."""
    check = provenance.check_provenance(read_published())
    by_kind = {kind: [f.where for f in check.findings if f.kind == kind] for kind in (ABSENT, OLDER, OWNERS, UNKNOWN)}
    assert by_kind[ABSENT] == ["imagewam, Table 3: univla"]
    assert by_kind[OLDER] == by_kind[OWNERS] == []
    assert "imagewam, Table 3: fast-wam" in by_kind[UNKNOWN]
    details = {f.where: f.detail for f in check.findings}
    assert "0 of 8 are in the method's own paper (fastwam)" in details["imagewam, Table 3: fast-wam"]
