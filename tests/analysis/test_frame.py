"""A run as a data frame: every planned episode has its row, and what is wrong with a run is said by name."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulated import LIBERO, card_of, draw, records_of, write_run
from wam_eval.analysis.frame import (
    COLUMNS,
    MISSING,
    coverage_of,
    mixtures,
    read_run,
    run_data,
    split_condition,
)
from wam_eval.episode import Outcome
from wam_eval.errors import UserError

CARD = card_of("test", {"libero_object": 2, "libero_goal": 1}, 3)
WON = np.array([True, False, True, True, True, False, False, True, True])
RECORDS = records_of(CARD, WON)


def test_every_planned_episode_has_a_row_with_or_without_a_record() -> None:
    run = run_data(CARD, RECORDS[:4])
    assert list(run.frame.columns) == list(COLUMNS) and len(run.frame) == 9
    assert list(run.frame["suite"][:3]) == ["libero_goal"] * 3, "ordered by suite"
    missing = run.frame[run.frame["outcome"] == MISSING]
    assert len(missing) == 5 and not missing["counts"].any() and not missing["success"].any()
    assert run.problems == ("coverage 44.4%: 5 missing",)


def test_a_sound_run_has_no_problems_and_its_numbers() -> None:
    run = run_data(CARD, RECORDS)
    assert run.problems == ()
    assert run.frame["success"].sum() == WON.sum()
    first = run.frame.set_index("key").loc["libero_object/00/000"]
    assert (first["task_name"], first["condition"], first["load"]) == ("libero_object_task_0", "libero_object", 0.5)


@given(st.permutations(RECORDS))
def test_the_order_of_the_ledger_does_not_matter(records: list) -> None:
    assert run_data(CARD, records).frame.equals(run_data(CARD, RECORDS).frame)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("", ("libero_object", None)),
        ("clean", ("clean", None)),
        ("camera-3", ("camera", 3)),
        ("sim-to-real", ("sim-to-real", None)),
        ("-3", ("-3", None)),
    ],
)
def test_a_condition_holds_its_difficulty(condition: str, expected: tuple[str, int | None]) -> None:
    assert split_condition(condition, "libero_object") == expected


def test_libero_plus_episodes_carry_dimension_and_difficulty() -> None:
    conditions = {"libero_plus_goal": ["camera-1", "camera-2", "light"]}
    card = card_of("plus", {"libero_plus_goal": 3}, 1, "libero_plus", conditions)
    frame = run_data(card, records_of(card, np.array([True, True, False]))).frame
    assert list(frame["condition"]) == ["camera", "camera", "light"]
    assert list(frame["difficulty"].fillna(0)) == [1, 2, 0]
    assert frame["key"][0] == "libero_plus_goal/00/camera-1/000"


def test_errors_lower_the_coverage_and_are_named() -> None:
    broken = [
        record.model_copy(update={"outcome": outcome})
        for record, outcome in zip(
            RECORDS[:3], [Outcome.SIMULATOR_ERROR, Outcome.TIMEOUT, Outcome.TIMEOUT], strict=True
        )
    ]
    assert coverage_of(run_data(CARD, [*broken, *RECORDS[3:]]).frame) == "coverage 66.7%: 1 simulator error, 2 timeout"
    assert coverage_of(run_data(CARD, []).frame) == "empty: no episode counts"
    assert coverage_of(run_data(CARD, RECORDS).frame) is None


def test_duplicates_are_faults_but_a_repeated_error_is_none(runs: Path) -> None:
    folder = write_run(CARD, RECORDS)
    assert read_run("test").faults == ()
    error = RECORDS[0].model_copy(update={"outcome": Outcome.TIMEOUT})
    lines = [record.model_dump_json() for record in [error, *RECORDS]]
    folder.write_text("episodes.jsonl", "\n".join(lines) + "\n")
    assert read_run("test").faults == ()
    folder.write_text("episodes.jsonl", "\n".join([*lines, lines[3]]) + "\n")
    assert read_run("test").faults == ("duplicate episodes in the ledger: 1, such as libero_object/00/002",)


def test_episodes_that_nobody_planned_are_a_fault() -> None:
    stranger = RECORDS[0].model_copy(update={"key": "libero_object/00/044", "index": 44})
    assert run_data(CARD, [*RECORDS, stranger]).faults == (
        "episodes that were not planned: 1, such as libero_object/00/044",
    )


def test_a_record_whose_key_is_not_its_own_is_a_fault() -> None:
    crossed = RECORDS[0].model_copy(update={"task": 1})
    assert run_data(CARD, [crossed, *RECORDS[1:]]).faults == (
        "records whose key is not their suite, task and index: 1, such as libero_object/00/000",
    )


def test_a_copied_folder_is_a_run_of_its_own_name(runs: Path) -> None:
    shutil.copytree(write_run(CARD, RECORDS).path, runs / "copy")
    assert read_run("copy").name == "copy"


@pytest.mark.parametrize("name", ["../runs/test", "/tmp/test", ".."])
def test_a_path_is_no_run(runs: Path, name: str) -> None:
    write_run(CARD, RECORDS)
    with pytest.raises(UserError, match="unknown run"):
        read_run(name)


def test_a_run_card_must_cover_its_selection(runs: Path) -> None:
    folder = write_run(CARD, RECORDS)
    folder.write(CARD.model_copy(update={"conditions": {"libero_goal": {0: ""}}}))
    with pytest.raises(UserError, match=r"run.json: run: Value error, conditions lacks libero_object"):
        read_run("test")


def test_a_changed_protocol_is_a_fault() -> None:
    card = CARD.model_copy(update={"hashes": {**CARD.hashes, "libero_goal": "0"}})
    assert run_data(card, RECORDS).faults == ("libero_goal: the protocol in run.json is not the one of its hash",)


def test_mixed_protocols_are_named() -> None:
    card = card_of("mixed", dict.fromkeys(LIBERO, 1), 1)
    other = card_of("other", {"libero_goal": 1}, 1, seed=42).protocols["libero_goal"]
    card = card.model_copy(
        update={
            "protocols": {**card.protocols, "libero_goal": other},
            "hashes": {**card.hashes, "libero_goal": other.digest},
        }
    )
    run = run_data(card, records_of(card, draw(card, 0.5, 0)))
    (said,) = run.problems
    assert said == "mixed seed: libero_10 0, libero_goal 42, libero_object 0, libero_spatial 0"
    assert mixtures(card, ["libero_10", "libero_object"]) == []


def test_an_unknown_run_is_a_users_error(runs: Path) -> None:
    write_run(CARD, RECORDS)
    with pytest.raises(UserError, match="did you mean test"):
        read_run("tset")
