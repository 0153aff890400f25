"""Warnings about actions appear wherever the numbers of a run do: tables, JSON, comparison and report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.builders.runs import planned_episodes, run_record, write_run
from tests.policies.openpi_server import Server, array, reply
from wam_eval import api
from wam_eval.analysis.frame import read_run
from wam_eval.benchmarks.libero.benchmark import PoseDelta
from wam_eval.cli.app import app
from wam_eval.episode import Outcome
from wam_eval.report.comparison import html_of, plain_of, terminal_of
from wam_eval.report.page_html import write_report
from wam_eval.report.page_sections import headline
from wam_eval.run.action_statistics import action_statistics
from wam_eval.run.ledger import Record

TEXT = "Actions: gripper from 0 to 1 in 1,120 steps, so that it never opens: LIBERO opens it at -1 and closes it at 1"


def write(name: str, low: float = 0.0, won: int = 0) -> None:
    """A run of four episodes with a gripper between ``low`` and 1, of which some succeed."""
    record, space = run_record(name, {"libero_object": 1}, 4), PoseDelta()
    records = []
    for index, episode in enumerate(planned_episodes(record)):
        actions = np.random.default_rng(index).uniform(-1, 1, (280, 7)).astype(np.float32)
        actions[:, 6] = np.where(np.arange(280) % 100 < 50, low, 1)
        records.append(
            Record.of(
                episode,
                outcome=Outcome.SUCCESS if index < won else Outcome.FAILURE,
                steps=280,
                attempt=1,
                seconds={"load": 1.0, "policy": 1.0, "simulate": 1.0},
                actions=action_statistics(actions, space, np.zeros(8, np.float32)),
            )
        )
    write_run(record, records)


def text_of(*shown: Any) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        for one in shown:
            console.print(one)
    return " ".join(capture.get().split())


def test_the_table_and_its_json_warn(runs: Path) -> None:
    write("bad")
    done = CliRunner().invoke(app, ["show", "bad"])
    assert TEXT in " ".join(done.stdout.split())
    plain = json.loads(CliRunner().invoke(app, ["show", "bad", "--json"]).stdout)
    assert [text.startswith(TEXT) for text in plain["warnings"]] == [True]
    (actions,) = plain["actions"]
    assert (actions["benchmark"], actions["steps"], actions["low"][6], actions["high"][6]) == ("libero", 1120, 0, 1)
    assert actions["grippers"][0]["open"] == 0


def test_proper_actions_are_stated_without_a_warning(runs: Path) -> None:
    write("good", low=-1.0)
    write("lucky", won=2)
    for name in ("good", "lucky"):
        plain = json.loads(CliRunner().invoke(app, ["show", name, "--json"]).stdout)
        assert plain["warnings"] == [] and len(plain["actions"]) == 1
        assert "Actions:" not in CliRunner().invoke(app, ["show", name]).stdout


def test_a_comparison_names_the_run(runs: Path) -> None:
    write("bad")
    write("good", low=-1.0)
    comparison = api.compare(["good", "bad"])
    (text,) = comparison.warnings
    assert text.startswith(f"bad: {TEXT}") and plain_of(comparison)["warnings"] == [text]
    assert f"bad: {TEXT}" in text_of(*terminal_of(comparison))
    assert TEXT not in html_of(comparison), "the report states warnings with each run"


def test_the_report_warns_apart_from_reasons_that_forbid_conclusions(runs: Path, tmp_path: Path) -> None:
    write("bad")
    head = headline(read_run("bad"), "bad")
    assert head["warnings"] == [] and head["actions"][0].startswith(TEXT)
    page = write_report(["bad"], tmp_path / "report").read_text()
    assert "Does the policy follow the benchmark's conventions?" in page
    assert TEXT in page and "draw no conclusions" not in page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "gripper", "expected"),
    [
        ([0.1, 0, 0, 0, 0, 0], (0, 1), "gripper from 0 to 1 in 280 steps, so that it never opens: LIBERO "),
        ([0.001, 0.0005, 0, 0, 0, 0], (-1, 1), "translation never beyond ±0.001 in 280 steps, but in LIBERO 1 is "),
        ([4.0, -2.5, 0, 0, 0, 0], (-1, 1), "translation from -2.5 to 4, up to 100 % of the values outside -1 to 1"),
    ],
)  # fmt: skip
def test_a_server_with_other_conventions(
    runs: Path, action: list[float], gripper: tuple[int, int], expected: str
) -> None:
    """One episode of LIBERO is enough for what no policy with the right convention sends."""
    count = 0

    def answer(_: Any) -> bytes:
        nonlocal count
        count += 1
        return reply(array([[*action, gripper[count % 2]]] * 5))

    server = Server([answer])
    try:
        run = api.evaluate(
            suite="libero_object",
            policy="remote",
            checkpoint=server.address,
            tasks="0",
            episodes=1,
            simulators=1,
        )
    finally:
        server.close()
    assert run.success_rate == 0
    (text, *_) = run.table.warnings
    assert text.startswith(f"Actions: {expected}")
