"""Comparisons are played as ordinary runs: shared, continued, with what is missing named, and estimated before."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.reproduction.test_tables import card
from tests.toy import CATALOG
from tests.toy.runs import play as play_toy
from wam_eval.reproduction import playing
from wam_eval.reproduction.cards import Comparison, load_comparisons
from wam_eval.reproduction.page import markdown, plot, write_page
from wam_eval.reproduction.playing import START_SECONDS, estimate, find_player, plan_work
from wam_eval.reproduction.results import ComparisonResult, collect, read_results, write_result
from wam_eval.reproduction.tables import results_of, terminal_of

WEAK = {"push": 0.1}


def toy() -> Comparison:
    """The toy's comparison."""
    (found,) = load_comparisons(["toy"])
    return found


@pytest.fixture(scope="module")
def played_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of the quick extent, played in this process."""
    folder = tmp_path_factory.mktemp("played") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAM_EVAL_RUNS", str(folder))
        patch.setenv("WAM_EVAL_PATH", str(CATALOG))
        players, _ = plan_work(toy(), quick=True)
        play_toy(tasks="0,1", episodes=2, name=players[0].run)
        play_toy(tasks="0,1", episodes=2, name=players[1].run, settings=WEAK)
    return folder


@pytest.fixture
def played(runs: Path, played_once: Path) -> Path:
    """A folder with these runs."""
    shutil.copytree(played_once, runs)
    return runs


def collected() -> ComparisonResult:
    """The results of the toy's runs."""
    players, _ = plan_work(toy(), quick=True)
    return collect(toy(), players, {}, "")


def test_models_with_the_same_settings_share_a_run(runs: Path) -> None:
    players, work = plan_work(toy(), quick=True)
    assert [one.run for one in players] == ["miniature-toy-push", "miniature-toy-push-push_0.1", ""]
    assert players[2].missing == "there is no policy nothing_like_this"
    assert [(one.planned, len(one.left)) for one in work] == [(4, 4), (4, 4)]
    other = card("another label", "b")
    assert find_player(other, other.entries[0]).run == players[0].run


def test_finished_episodes_are_not_planned_again(played: Path) -> None:
    assert [len(one.left) for one in plan_work(toy(), quick=True)[1]] == [0, 0]
    assert [len(one.left) for one in plan_work(toy(), quick=False)[1]] == [4, 4]


def test_the_time_counts_an_episode_of_two_comparisons_once(runs: Path) -> None:
    _, work = plan_work(toy(), quick=True)
    first, second = estimate([work, work], cores=2)
    assert (first.models, first.planned, first.left) == (2, 8, 8)
    assert first.seconds == 2 * START_SECONDS + 8 * toy().seconds
    assert (second.planned, second.left, second.seconds) == (8, 0, 0.0)
    assert estimate([work], cores=8)[0].seconds == first.seconds / 4


def test_a_benchmark_that_is_not_installed_is_named(runs: Path) -> None:
    absent = card("one", "two", suites=("toy",), tasks="99")
    players, work = plan_work(absent, quick=True)
    assert work == []
    assert {one.missing for one in players} == {"task '99': toy has tasks 0 to 2"}


def test_weights_are_those_that_come_with_the_package_else_those_that_were_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="models need PyTorch: make setup MODELS=1")
    from wam_eval.models.small import model

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(model, "WEIGHTS", tmp_path / "weights")
    assert playing.find_weights("small") is None
    trained = playing.TRAININGS / "small" / "model.safetensors"
    trained.parent.mkdir(parents=True)
    trained.write_bytes(b"trained")
    assert playing.find_weights("small") == (str(trained), trained)
    (tmp_path / "weights").mkdir()
    shipped = tmp_path / "weights" / "small.safetensors"
    shipped.write_bytes(b"shipped")
    assert playing.find_weights("small") == ("small", shipped)


def test_a_model_that_is_not_trained_is_listed(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="models need PyTorch: make setup MODELS=1")
    monkeypatch.chdir(tmp_path)
    entries = [{"label": "one", "policy": "skilled", "checkpoint": "able"}, {"label": "two", "policy": "push"}]
    compared = card("one", "two", entries=entries)
    assert find_player(compared, compared.entries[0]).missing == "not trained yet: wam-eval train able"
    Path("able").write_text("1.0")
    found = find_player(compared, compared.entries[0])
    assert (found.missing, found.checkpoint) == ("", "able")
    before = found.run
    Path("able").write_text("0.5")
    assert find_player(compared, compared.entries[0]).run != before, "other weights are another run"


# Results and the page


def test_results_are_read_from_the_runs(played: Path) -> None:
    found = collected()
    strong, weak, unknown = found.entries
    assert found.episodes == ("toy/00/000", "toy/00/001", "toy/01/000", "toy/01/001")
    assert (strong.outcomes, weak.outcomes) == ("1111", "0000")
    assert unknown.missing == "there is no policy nothing_like_this"
    assert set(found.columns) == {"toy"} and found.assets == ("official",)
    assert strong.steps < weak.steps


def test_results_are_stored_and_read_again(played: Path, tmp_path: Path) -> None:
    write_result(collected(), tmp_path)
    assert read_results([toy()], tmp_path) == {"toy": collected()}
    assert read_results([card("a", "b", name="other")], tmp_path) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("1111", "111"), "another number of episodes; delete it, and play the comparison again"),
        (("strong", "stronger"), "has other models than the comparison: play it again"),
    ],
)
def test_stored_results_that_do_not_fit_are_named(
    played: Path, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    from wam_eval.errors import UserError

    write_result(collected(), tmp_path)
    path = tmp_path / "toy.json"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(UserError, match=message):
        read_results([toy()], tmp_path)


def test_the_page_begins_with_what_miniatures_are_not(played: Path, tmp_path: Path) -> None:
    write_result(collected(), tmp_path)
    write_page([toy(), card("a", "b", name="other")], tmp_path, tmp_path / "page.md", tmp_path, "")
    title, _, first, *_ = (tmp_path / "page.md").read_text().splitlines()
    assert title.startswith("# ") and first.startswith("**Miniatures are not evidence about the papers' models.**")
    text = (tmp_path / "page.md").read_text()
    assert "| [Strong against weak](#strong-against-weak) | weak: cannot tell from strong |" in text
    assert "| [A toy](#a-toy) | nothing can be told yet |" in text
    assert "![Strong against weak: success rates and differences](miniature_toy.png)" in text
    assert (tmp_path / "miniature_toy.png").stat().st_size > 5_000
    assert "miniature_other" not in text and not (tmp_path / "miniature_other.png").exists()


def test_the_plot_shows_models_with_a_rate(played: Path) -> None:
    figure = plot(results_of(toy(), collected()))
    rates, _ = figure.axes
    assert [label.get_text() for label in rates.get_yticklabels()] == ["strong (n = 4)", "weak (n = 4)"]


def test_the_terminal_shows_the_question_and_the_table(played: Path) -> None:
    shown: Any = terminal_of(results_of(toy(), collected()))
    assert shown.row_count == 3 and str(shown.caption).startswith(toy().question)


def test_the_page_is_pure(played: Path) -> None:
    tables = [results_of(toy(), collected())]
    assert markdown(tables, "images/") == markdown(tables, "images/")
