"""Costs of small models, measured beside each other."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="models need PyTorch: make setup MODELS=1")
pytest.importorskip("pyarrow", reason="data sets need pyarrow: make setup MODELS=1")

from tests.reproduction.checkpoints import random_model
from tests.reproduction.test_tables import card
from wam_eval.reproduction.costs import measure_costs
from wam_eval.reproduction.playing import find_player


def test_joint_denoising_costs_more_than_first_frame_inference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random_model(tmp_path, "small-one")
    random_model(tmp_path, "small-joint", variant="joint")
    entries = [
        {"label": "one", "policy": "small-fastwam", "checkpoint": "small-one"},
        {"label": "joint", "policy": "small-fastwam", "checkpoint": "small-joint"},
        {"label": "one step", "policy": "small-fastwam", "checkpoint": "small-one", "settings": {"steps": 1}},
    ]
    compared = card("a", "b", suites=("libero_object",), entries=entries)
    players = [find_player(compared, entry) for entry in compared.entries]
    assert [one.missing for one in players] == [""] * 3
    costs = measure_costs(players)
    assert costs["one"].parameters == costs["joint"].parameters == costs["one step"].parameters
    assert costs["joint"].flops > costs["one"].flops > costs["one step"].flops
    assert costs["one"].ratio == (1.0, 1.0, 1.0)
    assert costs["joint"].ratio[0] > 1.0 > costs["one step"].ratio[0]
    low, high = costs["joint"].ratio[1:]
    assert low <= costs["joint"].ratio[0] <= high


def test_policies_without_examples_have_no_costs(runs: Path) -> None:
    compared = card("a", "b")
    assert measure_costs([find_player(compared, entry) for entry in compared.entries]) == {}
    assert measure_costs([]) == {}
