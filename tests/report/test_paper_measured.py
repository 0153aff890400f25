"""Measured costs in papers' tables: beside the printed numbers, with their conditions, and only in tables of costs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.builders.runs import LIBERO, draw_outcomes, records_of, run_record, write_run
from wam_eval.errors import UserError
from wam_eval.papers.published import read_published
from wam_eval.policy import Acceleration
from wam_eval.report.paper_layout import load_layout
from wam_eval.report.paper_measured import decimal
from wam_eval.report.paper_render import FORMATS, render_table
from wam_eval.report.paper_table import PaperTable, paper_table
from wam_eval.run.bench import Bench, Latency, Machine, Timing, Variant, bench_folder, write_bench


def timing(ms: float, batch: int = 1) -> Timing:
    latency = Latency(median=ms, p95=1.1 * ms)
    return Timing(
        batch=batch,
        calls=20,
        first_ms=ms,
        total=latency,
        stages={"act": latency},
        chunks_per_second=9.0,
        memory_gb=1.0,
    )


def bench_of(name: str = "mine", eager: float = 200.0, accelerated: float | None = 80.0, **changes: object) -> Bench:
    times: dict[Acceleration | None, float | None] = {None: eager}
    if accelerated:
        times = {"none": eager, "layers": accelerated}
    bench = Bench(
        name=name,
        created=datetime(2026, 5, 4, tzinfo=UTC),
        command=("wam-eval", "bench"),
        policy="p",
        title="Fast",
        settings={"steps": 10, "variant": "first_frame", "random_weights": True, "size": "tiny"},
        facts={"dtype": "bfloat16"},
        machine=Machine(
            device="GPU 9000", memory="CUDA", platform="Linux", cpus=2, threads=2, python="3.11.0", torch="2.13.0"
        ),
        parameters={"all": 5},
        flops=2.058e12,
        variants=tuple(
            Variant(accelerate=how, load_s=1.0, prepare_s=1.0, memory_gb=1.0, timings=(timing(ms), timing(ms, 4)))
            for how, ms in times.items()
            if ms
        ),
    )
    return bench.model_copy(update=changes)


def table_of(name: str, *benches: Bench) -> PaperTable:
    return paper_table(load_layout(name), read_published(), benches=benches)


def test_a_bench_is_a_row_for_each_variant_below_the_printed_ones() -> None:
    table = table_of("imagewam-table5", bench_of())
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["Fast-WAM-IDM", "1081", "63.65", "video"],
        ["Fast-WAM (1 step)", "302", "13.21", "cache"],
        ["ImageWAM", "263", "9.72", "cache"],
        ["Fast, eager", "200.0", "2.06", "cache"],
        ["Fast + compiled prefill", "80.0", "2.06", "cache"],
    ]
    assert [row.section for row in table.rows] == ["", "", "", "Measured by us", ""]
    assert "Only ratios within one bench can be compared" in table.notes[-1]


def test_footnotes_name_device_dtype_steps_batch_and_date() -> None:
    table = table_of("imagewam-table5", bench_of())
    conditions = "GPU 9000, bfloat16, 10 denoising steps, tiny size, random weights, 2026-05-04"
    assert table.footnotes == {
        "a": f"bench mine: {conditions}; batch 1, median of 20 calls (95 % of them within 220.0 ms)",
        "b": f"bench mine: {conditions}; batch 1, median of 20 calls (95 % of them within 88.0 ms)",
    }


def test_a_speed_up_is_against_the_first_variant_of_the_same_bench() -> None:
    table = table_of("imagewam-table11", bench_of())
    assert [[cell.text for cell in row.cells] for row in table.rows[-2:]] == [
        ["Fast, eager", "200.0", "1.00"],
        ["Fast + compiled prefill", "80.0", "2.50"],
    ]
    assert table.footnotes["c"] == "speed-up against Fast, eager of the same bench"
    assert table.rows[-1].cells[0].letters == ("b", "c")
    (alone,) = table_of("imagewam-table11", bench_of(accelerated=None)).rows[-1:]
    assert [cell.text for cell in alone.cells] == ["Fast", "200.0", "–"]


@pytest.mark.parametrize(("variant", "fact"), [("first_frame", "cache"), ("joint", "video"), ("idm", "video")])
def test_facts_follow_from_the_settings_of_the_policy(variant: str, fact: str) -> None:
    assert table_of("imagewam-table5", bench_of(settings={"variant": variant})).rows[-1].cells[-1].text == fact


def test_values_that_a_policy_does_not_state_are_dashes() -> None:
    row = table_of("imagewam-table5", bench_of(accelerated=None, settings={}, flops=None)).rows[-1]
    assert [cell.text for cell in row.cells] == ["Fast", "200.0", "–", "–"]


def test_a_bench_without_batch_1_is_refused() -> None:
    variant = bench_of(accelerated=None).variants[0].model_copy(update={"timings": (timing(3.0, batch=4),)})
    with pytest.raises(UserError, match="bench mine has no batch of 1, which papers print"):
        table_of("imagewam-table5", bench_of(variants=(variant,)))


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(1081.26, 1, "1081.3"), (0.1, 1, "0.1"), (0.004211, 2, "0.0042"), (0.0, 2, "0.00"), (0.0099, 2, "0.0099")],
)
def test_small_numbers_keep_two_digits(value: float, digits: int, text: str) -> None:
    assert decimal(value, digits) == text


@pytest.fixture
def ours(runs: Path) -> None:
    """A bench and a run of ours."""
    write_bench(bench_of("gpu"), bench_folder() / "gpu.json")
    record = run_record("played", dict.fromkeys(LIBERO, 10), 2)
    write_run(record, records_of(record, draw_outcomes(record, 0.9, 0)))


@pytest.mark.parametrize("format", FORMATS)
def test_a_bench_is_found_by_name_and_by_path(ours: None, format: str) -> None:
    text = render_table("imagewam-table5", ["gpu"], format)
    assert "Fast + compiled prefill" in text and "GPU 9000" in text
    assert text == render_table("imagewam-table5", [str(bench_folder() / "gpu.json")], format)


def test_runs_and_benches_are_not_interchangeable(ours: None, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="played is a run; imagewam-table5 shows costs, which `wam-eval bench`"):
        render_table("imagewam-table5", ["played"])
    with pytest.raises(UserError, match="gpu is a bench; fastwam-table2 shows success rates, which `wam-eval run`"):
        render_table("fastwam-table2", ["gpu"])
    with pytest.raises(UserError, match="unknown bench 'gpuu': did you mean gpu"):
        render_table("imagewam-table11", ["gpuu"])
    broken = tmp_path / "broken.json"
    broken.write_text('{"name": "x"}')
    with pytest.raises(UserError, match=r"broken\.json: not a file of `wam-eval bench`: created: Field required"):
        render_table("imagewam-table5", [str(broken)])
