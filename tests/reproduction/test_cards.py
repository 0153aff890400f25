"""The project's comparisons: complete, answerable in half an hour, and played with models that can be trained."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import pytest

from wam_eval import config
from wam_eval.errors import UserError
from wam_eval.papers.published import read_published
from wam_eval.policy import check_settings, policy_class
from wam_eval.reproduction.cards import FOLDER, Comparison, Entry, Extent, load_comparisons
from wam_eval.reproduction.playing import START_SECONDS
from wam_eval.training.config import load_training

COMPARISONS = {one.name: one for one in load_comparisons()}


@pytest.fixture(params=list(COMPARISONS))
def comparison(request: pytest.FixtureRequest) -> Comparison:
    """Each comparison of the project."""
    return COMPARISONS[request.param]


def benchmark_of(comparison: Comparison, entry: Entry) -> str:
    """Name of the benchmark that an entry plays."""
    return str(config.load_suite(config.elementary(comparison.suites_of(entry)[0])[0]).benchmark)


def test_every_family_is_compared() -> None:
    assert {name.partition("-")[0] for name in COMPARISONS} == {"fastwam", "imagewam", "mvwam", "harmowam"}


def test_the_paper_is_one_of_those_whose_results_are_published(comparison: Comparison) -> None:
    papers = {f"(arXiv {paper.arxiv})" for paper in read_published().papers.values() if paper.arxiv}
    assert any(comparison.paper.endswith(arxiv) for arxiv in papers)


def test_the_full_extent_holds_the_quick_one(comparison: Comparison) -> None:
    quick, full = comparison.quick, comparison.full
    assert quick.episodes <= full.episodes and (quick.sample or 1) <= (full.sample or 1)


def test_suites_are_of_one_benchmark(comparison: Comparison) -> None:
    suites = {suite for entry in comparison.entries for suite in comparison.suites_of(entry)}
    parts = [name for suite in suites for name in config.elementary(suite)]
    assert len({config.load_suite(name).benchmark for name in parts}) == 1


def test_policies_have_the_settings_of_the_comparison(comparison: Comparison) -> None:
    pytest.importorskip("torch", reason="models need PyTorch: make setup MODELS=1")
    for entry in comparison.entries:
        card = config.load_policy(entry.policy)
        settings = {**card.settings, **card.benchmarks[benchmark_of(comparison, entry)], **entry.settings}
        check_settings(policy_class(card), {**settings, "checkpoint": "x"})


def test_every_model_can_be_trained(comparison: Comparison) -> None:
    for entry in comparison.entries:
        own = config.load_policy(entry.policy).benchmarks[benchmark_of(comparison, entry)]
        assert load_training(entry.checkpoint or own["checkpoint"])


def test_an_unknown_comparison_has_a_suggestion() -> None:
    with pytest.raises(UserError, match="unknown comparison 'fastwam-variant': did you mean fastwam-variants"):
        load_comparisons(["fastwam-variant"])


def test_two_models_of_one_label_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    text = (config.folders(FOLDER)[0] / "mvwam-steps.yaml").read_text().replace("4 steps", "5 steps")
    (folder / "twice.yaml").write_text(text)
    monkeypatch.setenv("WAM_EVAL_PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"twice.yaml:1: .*two entries have the same label"):
        load_comparisons(["twice"])


def planned(comparison: Comparison, extent: Extent) -> int:
    """Largest number of episodes of each model: a sample of each part is rounded up."""
    suites = [name for suite in comparison.suites for name in config.elementary(suite)]
    tasks = sum(config.load_suite(name).task_count for name in suites)
    if comparison.tasks is not None:
        tasks = len(suites) * len(comparison.tasks.split(","))
    if extent.sample is not None:
        parts = sum(len(values.split(",")) for values in comparison.filters.values())
        tasks = ceil(tasks * extent.sample) + parts
    return tasks * extent.episodes


def test_the_quick_extent_of_all_comparisons_takes_at_most_half_an_hour_on_two_cores() -> None:
    """Models that several comparisons play count once."""
    seconds: dict[tuple[str, ...], float] = {}
    for comparison in COMPARISONS.values():
        for entry in comparison.entries:
            run = (*comparison.suites_of(entry), entry.policy, str(entry.checkpoint), str(entry.settings))
            mine = START_SECONDS + planned(comparison, comparison.quick) * comparison.seconds
            seconds[run] = max(seconds.get(run, 0.0), mine)
    assert sum(seconds.values()) <= 30 * 60
