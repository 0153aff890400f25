"""Training samples: the part of a data set that is used, numbers of actions, normalisation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="models need PyTorch: make setup MODELS=1")
pytest.importorskip("pyarrow", reason="data sets need pyarrow: make setup MODELS=1")

from torch import Tensor  # noqa: E402

from tests.models.small.builders import data, demonstration  # noqa: E402
from wam_eval.demonstrations import write_demonstrations  # noqa: E402
from wam_eval.errors import UserError  # noqa: E402
from wam_eval.models.preprocessing import Scaling  # noqa: E402
from wam_eval.models.small.data import load_data  # noqa: E402
from wam_eval.models.small.robots import ROBOTS  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tasks with three episodes each, of which the second fails."""
    episodes = [
        demonstration(number, rows=2 + number, success=number != 1, task=task) for task in (0, 1) for number in range(3)
    ]
    write_demonstrations(tmp_path / "data", episodes, "libero", 5.0, {})
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("episodes", "failures", "rows"),
    [
        (None, True, [2, 3, 4, 2, 3, 4]),
        (None, False, [2, 4, 2, 4]),
        (2, True, [2, 3, 2, 3]),
        (2, False, [2, 2]),
        (9, False, [2, 4, 2, 4]),
    ],
)
def test_the_first_episodes_of_each_task_are_used(
    folder: Path, episodes: int | None, failures: bool, rows: list[int]
) -> None:
    found = load_data([folder], ROBOTS, episodes, failures)
    assert found.last.unique_consecutive(return_counts=True)[1].tolist() == rows
    assert len(found) == sum(rows) == len(found.pictures)


def test_actions_that_follow_the_one_after_an_observation_are_counted(tmp_path: Path) -> None:
    whole, cut = demonstration(0, rows=3), replace(demonstration(1, rows=3), steps=10)
    write_demonstrations(tmp_path / "data", [whole, cut], "libero", 5.0, {})
    assert load_data([tmp_path / "data"], ROBOTS).remaining.tolist() == [11, 7, 3, 9, 5, 1]


def test_failures_alone_are_no_demonstrations(tmp_path: Path) -> None:
    folder = data(tmp_path / "data", count=2, success=False)
    with pytest.raises(UserError, match="data: no episode succeeded"):
        load_data([folder], ROBOTS)


def test_numbers_are_normalised_by_their_deviation_or_to_their_range(tmp_path: Path) -> None:
    found = load_data([data(tmp_path / "data")], ROBOTS)

    def scaled(action: Scaling) -> Tensor:
        numbers = found.actions * torch.from_numpy(action.scale) + torch.from_numpy(action.offset)
        assert not numbers[:, 2:6].any(), "constant numbers are shifted to 0"
        return numbers[:, [0, 1, 6]]

    assert np.allclose(scaled(found.normaliser("z_score").action).std(dim=0), 1, atol=1e-3)
    least, most = scaled(found.normaliser("range").action).aminmax(dim=0)
    assert np.allclose([least, most], [[-1] * 3, [1] * 3], atol=1e-5)
