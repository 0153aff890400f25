"""Small models that come with wam-eval, and files of others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="models need PyTorch: make setup MODELS=1")

from tests.conftest import REPOSITORY  # noqa: E402
from wam_eval import config  # noqa: E402
from wam_eval.errors import UserError  # noqa: E402
from wam_eval.models.small import model  # noqa: E402
from wam_eval.models.small.model import read_small_config, weights_file  # noqa: E402
from wam_eval.policy import policy_arguments, policy_class  # noqa: E402
from wam_eval.reproduction.cards import load_comparisons  # noqa: E402
from wam_eval.reproduction.playing import find_player  # noqa: E402

SHIPPED = sorted(model.WEIGHTS.glob("*.safetensors"))
CARDS = [name for name in config.names("policies") if name.startswith("small-")]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the models that come with wam-eval, with one empty file."""
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "small-one.safetensors").touch()
    monkeypatch.setattr(model, "WEIGHTS", folder)
    return folder


def test_a_model_is_named_or_given_by_its_path(weights: Path, tmp_path: Path) -> None:
    shipped = weights / "small-one.safetensors"
    assert weights_file("small-one") == shipped
    own = Path(shutil.copy(shipped, tmp_path / "own.safetensors"))
    assert weights_file(str(own)) == own


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ("small-two", r"comes without the small model 'small-two' \(it has small-one\): train it .* --ckpt"),
        ("results/small-one", "results/small-one: there is no such file"),
        ("small-one.safetensors", "small-one.safetensors: there is no such file"),
    ],
)
def test_a_missing_model_is_named(weights: Path, checkpoint: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        weights_file(checkpoint)


@pytest.mark.parametrize("name", CARDS)
def test_every_card_names_its_model_for_each_benchmark(name: str) -> None:
    card = config.load_policy(name)
    for benchmark in card.benchmarks:
        assert policy_arguments(card, None, [benchmark])["checkpoint"].startswith("small-")
        assert policy_arguments(card, "own.safetensors", [benchmark])["checkpoint"] == "own.safetensors"


# The models that come with wam-eval


def test_they_are_small() -> None:
    sizes = [path.stat().st_size for path in SHIPPED]
    assert all(size <= 6e6 for size in sizes)
    assert sum(sizes) <= 40e6


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_card_or_a_comparison_plays_it(path: Path) -> None:
    cards = [config.load_policy(name) for name in CARDS]
    users: list[tuple[config.PolicyConfig, str | None, str]] = [
        (card, None, benchmark) for card in cards for benchmark in card.benchmarks
    ]
    players = [find_player(comparison, entry) for comparison in load_comparisons() for entry in comparison.entries]
    # Comparisons share the run of a model with the same settings.
    runs = {player.run: player for player in players if player.checkpoint == path.stem}
    users += [(player.policy, player.checkpoint, player.benchmark) for player in runs.values() if player.policy]
    played = 0
    for card, checkpoint, benchmark in users:
        arguments = policy_arguments(card, checkpoint, [benchmark])
        if arguments["checkpoint"] == path.stem:
            policy_class(card).create(**arguments).prepare([])
            played += 1
    assert played
    provenance = read_small_config(path).provenance
    assert {"data", "code", "config", "step", "hours", "machine", "curve", "seed"} <= set(provenance)


def test_a_wheel_contains_them() -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="the build tool is not installed")
    packed = {file.distribution_path for file in wheel.WheelBuilder(str(REPOSITORY)).recurse_included_files()}
    assert "wam_eval/models/small/model.py" in packed
    assert {f"wam_eval/models/small/weights/{path.name}" for path in SHIPPED} <= packed
