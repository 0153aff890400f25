"""Sections of the report: heat maps, curves, drops, conditions and published results as plain values."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders.runs import (
    LIBERO,
    change_suites,
    libero_plus_record,
    perturbation,
    records_of,
    run_record,
    write_run,
)
from tests.report.test_page_html import libero, plus, robotwin, simulate
from wam_eval.analysis.estimates import estimates, summarize
from wam_eval.analysis.frame import read_run, run_data
from wam_eval.papers.published import Method, Number, Paper, Published, read_published
from wam_eval.report import page_sections as sections
from wam_eval.report.page_html import write_report
from wam_eval.report.page_sections import baselines


def test_some_tasks_are_not_called_all() -> None:
    whole = libero_plus_record("whole")
    part = libero_plus_record("part", dict.fromkeys(whole.suites, range(9)))
    both = [run_data(record, simulate(record)) for record in (whole, part)]
    assert sections.suite_rows(both[:1])[-1]["label"] == "libero_plus, all tasks"
    assert sections.suite_rows(both)[-1]["label"] == "libero_plus, tasks that count"


def test_the_row_below_the_suites_is_the_average_of_the_conditions() -> None:
    twin, four = robotwin(), libero()
    assert sections.suite_rows([run_data(twin, simulate(twin))])[-1]["label"] == "robotwin, average of the conditions"
    row = sections.suite_rows([run_data(four, simulate(four))])[-1]
    assert (row["label"], row["total"]) == ("libero, average of the suites", True)


def test_one_suite_is_not_ranked_among_totals_of_four() -> None:
    goal = libero_plus_record("goal", {"libero_plus_goal": range(2591)})
    for record, ranked in ((goal, False), (libero_plus_record("whole"), True)):
        found = baselines([run_data(record, simulate(record))], ["mine"], "libero_plus", read_published())
        assert found is not None
        assert ("total" in found.conditions) is ranked


def test_tasks_of_both_conditions_stand_in_one_row() -> None:
    record = robotwin()
    run = run_data(record, simulate(record))
    cells = sections.task_grid([run], ["r"], "robotwin")
    assert cells is not None
    assert cells.columns == [("r", "clean"), ("r", "randomized")]
    assert (cells.n == 4).all()
    assert cells.n.shape == (3, 2)
    counted = run.counted[run.counted["condition"] == "randomized"]
    assert cells.successes[:, 1].tolist() == counted.groupby("task")["success"].sum().tolist()


def test_two_tasks_with_one_instruction_are_two_rows() -> None:
    """As in LIBERO-90, where scenes share instructions."""
    record = run_record("mine", {"libero_90": 2}, 5)
    tasks = record.suites["libero_90"].tasks
    alike = {index: task.model_copy(update={"instruction": "open the drawer"}) for index, task in tasks.items()}
    record = change_suites(record, tasks=alike)
    cells = sections.task_grid([run_data(record, simulate(record))], ["mine"], "libero")
    assert cells is not None
    assert cells.groups == [("libero_90", ["00  open the drawer", "01  open the drawer"])]
    assert cells.n.tolist() == [[5], [5]]


def test_too_many_tasks_are_drawn_by_suite_and_condition() -> None:
    kinds = [perturbation(name, level) for name in ("noise", "camera") for level in (1, 2)]
    record = run_record("p", {"libero_plus_10": 300}, 1, "libero_plus", {"libero_plus_10": kinds * 75})
    cells = sections.task_grid([run_data(record, simulate(record))], ["p"], "libero_plus")
    assert cells is not None
    assert cells.by_suite
    assert cells.groups == [("p", ["libero_plus_10"])]
    assert cells.columns == [("", "camera"), ("", "noise")]
    assert cells.n.tolist() == [[150, 150]]


def test_drops_are_of_the_same_tasks_ordered_by_the_first_run() -> None:
    record = robotwin(trials=2)
    won = np.array([True, True, True, True, False, False, True, True, False, False, False, False])
    runs = [run_data(record, records_of(record, won)), run_data(robotwin("s", 2), simulate(robotwin("s", 2)))]
    (found,) = sections.drops(runs, ["r", "s"], "robotwin")
    assert (found.reference, found.other) == ("clean", "randomized")
    assert found.tasks == ["robotwin_clean_task_1", "robotwin_clean_task_0", "robotwin_clean_task_2"]
    first = found.rows[0]
    assert first.rates.tolist() == [[1, 0], [1, 1], [0, 0]]
    assert (first.reference.rate, first.other.rate) == pytest.approx((4 / 6, 2 / 6))
    assert first.drop.absolute == pytest.approx(2 / 6)
    assert [row.label for row in found.rows] == ["r", "s"]
    clean = run_record("c", {"robotwin_clean": 1}, 2, "robotwin", {"robotwin_clean": [{"condition": "clean"}]})
    assert sections.drops([run_data(clean, simulate(clean))], ["c"], "robotwin") == []
    assert sections.drops([run_data(libero(), simulate(libero()))], ["l"], "libero") == []


def test_conditions_with_their_totals_and_levels() -> None:
    record = plus("p", perturbation("light", 2), perturbation("camera", 1), perturbation("camera", 3))
    run = run_data(record, records_of(record, np.array([True, True, False])))
    found = sections.conditions([run], ["mine"], "libero_plus")
    assert found is not None
    assert found.names == found.counted == ["camera", "light"], "the papers' order"
    assert found.totals == ["total (tasks)", "mean of 2 of 7 dimensions"]
    rates = {name: estimate.rate for name, estimate in found.runs[0][1].items()}
    assert rates == {"camera": 0.5, "light": 1.0, "total (tasks)": 2 / 3, "mean of 2 of 7 dimensions": 0.75}
    ((axis, graded, levels),) = found.levels
    assert (axis.name, graded) == ("difficulty", ["camera", "light"])
    assert {key: estimate.rate for key, estimate in levels[0][1].items()} == {
        ("camera", 1): 1.0, ("camera", 3): 0.0, ("light", 2): 1.0
    }  # fmt: skip
    twin = robotwin()
    assert sections.conditions([run_data(twin, simulate(twin))], ["r"], "robotwin") is None, "it has a reference"


def test_intervals_are_those_of_the_summary() -> None:
    record = run_record("mine", {"libero_goal": 1, "libero_spatial": 3}, 4)
    run = run_data(record, simulate(record))
    shown = {row["label"]: row["cells"][0][0] for row in sections.suite_rows([run])}
    assert {suite.suite: suite.estimate for suite in summarize(run).suites} == {
        suite: shown[suite] for suite in record.suites
    }


def test_curves_end_at_the_rate_and_at_the_limit() -> None:
    record = libero()
    run = run_data(record, simulate(record))
    for suite, (curve,) in sections.curves([run], ["mine"]):
        assert curve.steps[0] == curve.solved[0] == 0
        assert curve.steps[-1] == curve.limit == 280
        assert curve.solved[-1] == estimates(run.frame, "suite")[suite].rate
        assert (np.diff(curve.steps) >= 0).all()


def number(method: str, value: str, **changes: Any) -> Number:
    fields: dict[str, Any] = {
        "paper": "a", "arxiv": None, "table": "1", "method": method, "printed_as": method, "benchmark": "libero",
        "condition": "libero_goal", "task": None, "metric": "success_rate", "unit": "%", "value": Decimal(value),
        "trials": None, "pretraining": None, "training": "LIBERO", "measured_by": "cited", "status": "primary",
        "note": None,
    }  # fmt: skip
    fields |= {"cited_from": None if "measured_by" in changes else "2401.00001"}
    return Number.model_validate(fields | changes)


def test_baselines_are_the_best_citable_ones_as_their_authors_measured_them() -> None:
    numbers = [
        *(number(f"m{i}", str(80 + i)) for i in range(14)),
        number("m13", "70.0", paper="b", measured_by="own", trials=500),
        number("liar", "100", status="secondary"),
        number("other", "99", condition="libero_object"),
        number("one-task", "99", task="a_task"),
    ]
    papers = {key: Paper(title=key, arxiv=None, url="u", kind="paper") for key in "ab"}
    published = Published(tuple(numbers), papers, {n.method: Method(name=n.method, kind="WAM") for n in numbers})
    record = run_record("mine", {"libero_goal": 2}, 10)
    run = run_data(record, records_of(record, np.arange(20) < 17))
    table = baselines([run], ["mine"], "libero", published)
    assert table is not None
    assert table.conditions == ["libero_goal"]
    assert [line.label for line in table.lines] == [f"m{i}" for i in range(12, 4, -1)] + [
        "mine",
        "m4",
        "m3",
        "m2",
        "m1",
    ]
    assert table.lines[8].values["libero_goal"].n == 20
    assert table.lines[0].episodes == "unknown"
    own = baselines([run], ["mine"], "libero", Published((numbers[13], numbers[14]), papers, published.methods))
    assert own is not None
    value = own.lines[-1].values["libero_goal"]
    assert (own.lines[-1].label, value.rate, value.n) == ("m13", 0.7, 500)
    assert value.low < 0.7 < value.high


def test_a_run_of_some_tasks_is_not_ranked_among_averages(runs: Path, tmp_path: Path) -> None:
    record = change_suites(run_record("some", dict.fromkeys(LIBERO, 2), 50), size=10)
    write_run(record, records_of(record, np.ones(400, bool)))
    text = write_report(["some"], tmp_path).read_text()
    assert "only 8 of 40 tasks: 2 of 10 tasks of libero_spatial" in text
    found = baselines([read_run("some")], ["some"], "libero", read_published())
    assert found is not None and all("average" not in line.values for line in found.lines if line.run is not None)
