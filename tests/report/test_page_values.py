"""Values in the report: the table, the courses of episodes with kept states and rollbacks, and the plots."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.report.test_page_html import section
from tests.toy.runs import play
from wam_eval.analysis.frame import read_run
from wam_eval.report.page_html import write_report
from wam_eval.report.page_values import EPISODES_SHOWN, course, values
from wam_eval.trajectory import ChunkExecuted, RolledBack, StateKept, Trajectory


def chunk(length: int, value: float) -> ChunkExecuted:
    return ChunkExecuted(np.zeros((length, 7), np.float32), value)


def test_a_course_has_the_steps_as_they_were_executed() -> None:
    events = (StateKept("peak"), chunk(4, 0.5), chunk(4, 0.4), RolledBack("peak", 8, 0.1), chunk(2, 0.45))
    found = course("mine", "suite/00/000", "success", Trajectory(events))
    assert found.executed == ((0, 0.5), (4, 0.4), (8, 0.45))
    assert found.kept == ((0, 0.5),) and found.rejected == ((8, 0.1),)


def test_the_page_shows_values_and_rollbacks(runs: Path, tmp_path: Path) -> None:
    folder = play("wavering", tasks="0,1", episodes=10)
    part = section(write_report(["test"], tmp_path).read_text(encoding="utf-8"), "values")
    assert (
        "AUROC by task" in part
        and "toy 01</td>" in part
        and part.count("<svg") == 2
        and "not executed: rollback" in part
    )
    found = values([read_run("test")], ["mine"])
    assert found is not None and len(found.courses) == EPISODES_SHOWN
    assert found.courses[0].rejected and found.rows[0].values.rollbacks > 0
    for key in read_run("test").values:
        folder.trajectory_file(key).unlink()
    without = section(write_report(["test"], tmp_path).read_text(encoding="utf-8"), "values")
    assert without.count("<svg") == 1


def test_a_policy_without_values_has_no_such_section(runs: Path, tmp_path: Path) -> None:
    play("push")
    assert values([read_run("test")], ["mine"]) is None
    assert 'id="values"' not in write_report(["test"], tmp_path).read_text(encoding="utf-8")
