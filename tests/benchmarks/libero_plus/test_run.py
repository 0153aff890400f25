"""A sample of LIBERO-Plus's published tasks, from the plan to tables and the drop under perturbations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wam_eval import evaluate
from wam_eval.api import Run
from wam_eval.benchmarks.libero_plus.data import VARIABLE
from wam_eval.cli.app import app
from wam_eval.episode import Outcome
from wam_eval.policies.expert import Expert
from wam_eval.run.ledger import Record, read_ledger

DIMENSIONS = "camera,robot,language,noise,layout,light"


@pytest.fixture(autouse=True)
def machine(runs: Path, libero_plus_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with LIBERO-Plus's data, without its assets. Policies play in this process, which has the variables."""
    monkeypatch.setenv(VARIABLE, str(libero_plus_data))
    monkeypatch.setenv("WAM_EVAL_LIBERO_ASSETS", "stand-in")


def wam_eval(*arguments: str) -> str:
    """The output of a command."""
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def records(run: Run) -> dict[str, Record]:
    """The records of a run by key."""
    return {record.key: record for record in read_ledger(run.folder.ledger).records}


def test_a_sample_is_played_and_shown() -> None:
    filters = {"dimension": "noise,light"}
    run = evaluate(
        suite="libero_plus_object", policy=Expert.create(), filters=filters, sample=0.001, simulators=1, run="plus"
    )
    assert sorted(record.outcome.value for record in records(run).values()) == ["not_run", "success"]
    assert run.record.selections == [{"filters": filters, "sample": 0.001, "sample_seed": 0}]
    assert run.record.suites["libero_plus_object"].size == 2518
    assert "needs LIBERO-Plus assets (episodes: 1)" in " ".join(wam_eval("show", "plus").split())
    table = wam_eval("table", "imagewam-table3", "--with", "plus")
    assert "needs LIBERO-Plus assets (episodes: 1)" in table
    assert "the mean of 1 of 7 dimensions is 100.0" in table


@pytest.mark.slow
def test_two_runs_are_equal_and_have_a_drop() -> None:
    sample = {"filters": {"dimension": DIMENSIONS}, "sample": 0.003, "sample_seed": 7}
    first, second = (
        records(evaluate(suite="libero_plus", policy=Expert.create(), run=name, **sample))  # type: ignore[arg-type]
        for name in ("one", "two")
    )
    assert {key: (record.outcome, record.steps) for key, record in first.items()} == {
        key: (record.outcome, record.steps) for key, record in second.items()
    }
    missing = [record for record in first.values() if record.error == "needs LIBERO-Plus assets"]
    assert {record.condition.partition("-")[0] for record in missing} <= {"light", "layout"}
    counted = [record for record in first.values() if record.outcome.counts]
    assert {record.condition.partition("-")[0] for record in counted} == set(DIMENSIONS.split(",")) - {"light"}
    assert sum(record.outcome is Outcome.SUCCESS for record in counted) > len(counted) / 2

    evaluate(suite="libero", policy=Expert.create(), episodes=1, run="clean")
    found = json.loads(wam_eval("drop", "one", "clean", "--json"))
    assert found["drops"][0]["n"] == len(counted)
