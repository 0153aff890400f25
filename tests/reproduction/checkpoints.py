"""Small models with random weights, as a training writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.models.small.test_fastwam import TINY, data
from wam_eval.models.small.fastwam import SmallFastWAMTraining


def random_model(folder: Path, name: str, **settings: Any) -> Path:
    """Write ``results/training/NAME/model.safetensors`` in a folder: a model of some thousand random weights."""
    recorded = folder / "data"
    training = SmallFastWAMTraining({**TINY, **settings}, [recorded if recorded.exists() else data(recorded, count=2)])
    path = folder / "results" / "training" / name / "model.safetensors"
    training.save(path, training.model.state_dict(), {"origin": "random weights"})
    return path
