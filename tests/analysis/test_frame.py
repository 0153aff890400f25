"""Data frames of runs: every planned episode has a row, and everything wrong with a run is named."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.runs import (
    LIBERO,
    Axes,
    change_suites,
    draw_outcomes,
    perturbation,
    protocol,
    records_of,
    run_record,
    with_protocols,
    write_run,
)
from tests.toy import CATALOG
from wam_eval.analysis.frame import COLUMNS, MISSING, coverage_of, read_run, run_data
from wam_eval.episode import Outcome
from wam_eval.errors import UserError
from wam_eval.run.folder import mixed_protocols

RECORD = run_record("test", {"libero_object": 2, "libero_goal": 1}, 3)
WON = np.array([True, False, True, True, True, False, False, True, True])
RECORDS = records_of(RECORD, WON)


def test_every_planned_episode_has_a_row_with_or_without_a_record() -> None:
    run = run_data(RECORD, RECORDS[:4])
    assert list(run.frame.columns) == list(COLUMNS) and len(run.frame) == 9
    assert list(run.frame["suite"][:3]) == ["libero_goal"] * 3, "ordered by suite"
    missing = run.frame[run.frame["outcome"] == MISSING]
    assert len(missing) == 5 and not missing["counts"].any() and not missing["success"].any()
    assert run.problems == ("coverage 44.4%: 5 missing",)


def test_a_sound_run_has_no_problems_and_its_numbers() -> None:
    run = run_data(RECORD, RECORDS)
    assert run.problems == ()
    assert run.frame["success"].sum() == WON.sum()
    first = run.frame.set_index("key").loc["libero_object/00/000"]
    assert (first["task_name"], first["condition"], first["load"]) == ("libero_object_task_0", "libero_object", 0.5)


@given(st.permutations(RECORDS))
def test_the_order_of_the_ledger_does_not_matter(records: list) -> None:
    assert run_data(RECORD, records).frame.equals(run_data(RECORD, RECORDS).frame)


def test_the_condition_is_a_value_of_the_axis_that_papers_print_by_and_other_axes_have_columns() -> None:
    axes = {"libero_plus_goal": [perturbation("camera", 1), perturbation("camera", 2), perturbation("light")]}
    record = run_record("plus", {"libero_plus_goal": 3}, 1, "libero_plus", axes)
    frame = run_data(record, records_of(record, np.array([True, True, False]))).frame
    assert list(frame.columns) == [*COLUMNS, "difficulty"]
    assert list(frame["condition"]) == ["camera", "camera", "light"]
    assert list(frame["difficulty"].fillna(0)) == [1, 2, 0]
    assert frame["key"][0] == "libero_plus_goal/00/camera-1/000"


def test_axes_of_a_benchmark_that_averages_suites_are_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAM_EVAL_PATH", str(CATALOG))
    axes: dict[str, list[Axes]] = {"toy": [{"weather": "calm", "level": 1}, {"weather": "windy"}, {}]}
    frame = run_data(run_record("mine", {"toy": 3}, 1, "toy", axes), []).frame
    assert set(frame["condition"]) == {"toy"}
    assert list(frame["weather"].fillna("")) == ["calm", "windy", ""]
    assert list(frame["level"].fillna(0)) == [1, 0, 0]


def test_a_benchmark_that_is_not_installed_has_suites_as_conditions() -> None:
    record = run_record("mine", {"my_suite": 1}, 1, "my_benchmark", {"my_suite": [{"colour": "red"}]})
    frame = run_data(record, []).frame
    assert list(frame["condition"]) == ["my_suite"]
    assert list(frame.columns) == list(COLUMNS)


def test_errors_lower_the_coverage_and_are_named() -> None:
    broken = [
        record.model_copy(update={"outcome": outcome})
        for record, outcome in zip(
            RECORDS[:3], [Outcome.SIMULATOR_ERROR, Outcome.TIMEOUT, Outcome.TIMEOUT], strict=True
        )
    ]
    assert (
        coverage_of(run_data(RECORD, [*broken, *RECORDS[3:]]).frame) == "coverage 66.7%: 1 simulator error, 2 timeout"
    )
    assert coverage_of(run_data(RECORD, []).frame) == "empty: no episode counts"
    assert coverage_of(run_data(RECORD, RECORDS).frame) is None


def test_duplicates_are_faults_but_a_repeated_error_is_none(runs: Path) -> None:
    folder = write_run(RECORD, RECORDS)
    assert read_run("test").faults == ()
    error = RECORDS[0].model_copy(update={"outcome": Outcome.TIMEOUT})
    lines = [record.model_dump_json() for record in [error, *RECORDS]]
    folder.write_text("episodes.jsonl", "\n".join(lines) + "\n")
    assert read_run("test").faults == ()
    folder.write_text("episodes.jsonl", "\n".join([*lines, lines[3]]) + "\n")
    assert read_run("test").faults == ("duplicate episodes in the ledger: 1, such as libero_object/00/002",)


def test_unplanned_episodes_are_a_fault() -> None:
    unplanned = RECORDS[0].model_copy(update={"key": "libero_object/00/044", "index": 44})
    assert run_data(RECORD, [*RECORDS, unplanned]).faults == (
        "episodes that were not planned: 1, such as libero_object/00/044",
    )


def test_a_record_whose_key_is_not_its_own_is_a_fault() -> None:
    crossed = RECORDS[0].model_copy(update={"task": 1})
    assert run_data(RECORD, [crossed, *RECORDS[1:]]).faults == (
        "records whose key does not match their suite, task and index: 1, such as libero_object/00/000",
    )


def test_a_copied_folder_is_a_run_of_its_own_name(runs: Path) -> None:
    shutil.copytree(write_run(RECORD, RECORDS).path, runs / "copy")
    assert read_run("copy").name == "copy"


@pytest.mark.parametrize("name", ["../runs/test", "/tmp/test", ".."])
def test_a_path_is_not_a_run(runs: Path, name: str) -> None:
    write_run(RECORD, RECORDS)
    with pytest.raises(UserError, match="unknown run"):
        read_run(name)


def test_a_changed_protocol_is_a_fault() -> None:
    record = change_suites(RECORD, "libero_goal", protocol_sha256="0")
    assert run_data(record, RECORDS).faults == ("libero_goal: the protocol in run.json does not match its hash",)


def test_mixed_protocols_are_named() -> None:
    record = run_record("mixed", dict.fromkeys(LIBERO, 1), 1)
    record = with_protocols(record, {"libero_goal": protocol("libero_goal", 1, seed=42)})
    run = run_data(record, records_of(record, draw_outcomes(record, 0.5, 0)))
    (problem,) = run.problems
    assert problem == "mixed seed: libero_10 0, libero_goal 42, libero_object 0, libero_spatial 0"
    assert mixed_protocols(record, ["libero_10", "libero_object"]) == []


def test_an_unknown_run_is_an_error_with_the_nearest_name(runs: Path) -> None:
    write_run(RECORD, RECORDS)
    with pytest.raises(UserError, match="did you mean test"):
        read_run("tset")
