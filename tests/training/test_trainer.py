"""The trainer: it learns, continues bit for bit, shares batches between processes, and names what is wrong."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="training needs PyTorch: make setup MODELS=1")
pytest.importorskip("pyarrow", reason="data sets need pyarrow: make setup MODELS=1")

from safetensors.torch import load_file, save_file  # noqa: E402
from torch import Generator, Tensor  # noqa: E402

from tests.test_demonstrations import demonstration, write  # noqa: E402
from wam_eval.config import names  # noqa: E402
from wam_eval.errors import UserError  # noqa: E402
from wam_eval.training.config import TrainingConfig, load_training  # noqa: E402
from wam_eval.training.trainer import LOSSES, MODEL, PLOT, STATE, learning_rate, train  # noqa: E402


class Line:
    """A straight line that is fitted to noisy samples of another one."""

    def __init__(
        self, settings: Mapping[str, Any], folders: Sequence[Path], episodes: int | None, start: Path | None
    ) -> None:
        self.model = torch.nn.Linear(1, 1)
        self.samples = 100
        self._fault = settings.get("fault")
        if start:
            self.model.load_state_dict(load_file(start))

    def losses(self, samples: Tensor, generator: Generator) -> dict[str, Tensor]:
        x = samples[:, None] / 100
        wanted = 3 * x - 1 + 0.1 * torch.randn(x.shape, generator=generator)
        loss = (self.model(x) - wanted).square().mean()
        return {"total": loss * math.nan if self._fault == "nan" else loss}

    def save(self, path: Path, tensors: Mapping[str, Tensor], provenance: Mapping[str, Any]) -> None:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def config(**changes: Any) -> TrainingConfig:
    data = {"suites": {"toy": 1}, "image_size": (6, 8), "stride": 2, "cameras": ("front",)}
    fields = {"title": "line", "task": f"{__name__}:Line", "data": data, "steps": 300, "batch": 16, "warmup": 20}
    return TrainingConfig.model_validate({**fields, "learning_rate": 0.05, "ema": 0.9, **changes})


@pytest.fixture
def data(tmp_path: Path) -> list[Path]:
    return [write(tmp_path, demonstration(0))]


def test_it_finds_the_line(tmp_path: Path, data: list[Path]) -> None:
    found = load_file(train(config(), data, tmp_path / "out"))
    assert float(found["weight"]) == pytest.approx(3, abs=0.2)
    assert float(found["bias"]) == pytest.approx(-1, abs=0.2)


def test_a_stopped_training_continues_bit_for_bit(tmp_path: Path, data: list[Path]) -> None:
    whole = train(config(), data, tmp_path / "whole")
    for stop in (70, 130, None):
        pieces = train(config(), data, tmp_path / "pieces", stop)
    assert whole.read_bytes() == pieces.read_bytes()
    steps = [row["total"] for row in csv.DictReader((tmp_path / "whole" / LOSSES).open())]
    assert steps == [row["total"] for row in csv.DictReader((tmp_path / "pieces" / LOSSES).open())]


def test_the_curve_is_a_table_and_a_plot(tmp_path: Path, data: list[Path]) -> None:
    train(config(steps=40), data, tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / LOSSES).open()))
    assert [int(row["step"]) for row in rows] == [10, 20, 30, 40]
    assert float(rows[0]["total"]) > float(rows[-1]["total"])
    assert (tmp_path / "out" / PLOT).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("change", "message"), [({"seed": 1}, "other config"), ({"batch": 8}, "other config")])
def test_another_training_in_the_folder_is_refused(
    tmp_path: Path, data: list[Path], change: dict[str, Any], message: str
) -> None:
    train(config(steps=10), data, tmp_path / "out")
    with pytest.raises(UserError, match=message):
        train(config(steps=10, **change), data, tmp_path / "out")


def test_other_data_are_refused(tmp_path: Path, data: list[Path]) -> None:
    train(config(steps=20), data, tmp_path / "out", 10)
    other = [write(tmp_path / "other", demonstration(1))]
    with pytest.raises(UserError, match="other data"):
        train(config(steps=20), other, tmp_path / "out")


def test_a_training_begins_with_another_ones_model(tmp_path: Path, data: list[Path]) -> None:
    first = train(config(), data, tmp_path / "first")
    further = config(steps=1, learning_rate=1e-6)
    found = load_file(train(further, data, tmp_path / "second", start=first))
    assert float(found["weight"]) == pytest.approx(float(load_file(first)["weight"]), abs=1e-4)
    (tmp_path / "second" / MODEL).unlink()
    with pytest.raises(UserError, match="a training with other start"):
        train(further, data, tmp_path / "second", start=train(config(seed=1), data, tmp_path / "other"))


def test_a_broken_state_is_named(tmp_path: Path, data: list[Path]) -> None:
    train(config(steps=20), data, tmp_path / "out", 10)
    (tmp_path / "out" / STATE).write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"state.pt is broken .*Remove it to start again"):
        train(config(steps=20), data, tmp_path / "out")


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path: Path, data: list[Path]) -> None:
    with pytest.raises(UserError, match="the loss is not finite at step 1"):
        train(config(settings={"fault": "nan"}), data, tmp_path / "out")


def test_a_full_disk_keeps_the_state_saved_before(tmp_path: Path, data: list[Path]) -> None:
    out = tmp_path / "out"
    train(config(steps=40), data, out, 20)
    before = (out / STATE).read_bytes()
    code = (
        "import resource, sys; from pathlib import Path; from tests.training.test_trainer import config; "
        "from wam_eval.training.trainer import train; from wam_eval.errors import UserError\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: train(config(steps=40), [Path(sys.argv[1])], Path(sys.argv[2]))\n"
        "except UserError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, data[0], out], capture_output=True, text=True, check=True)
    assert "the state of step 40 cannot be saved" in done.stdout
    assert "free some space" in done.stdout
    assert (out / STATE).read_bytes() == before


@given(st.integers(1, 500), st.integers(0, 300))
def test_the_learning_rate_rises_and_falls(steps: int, warmup: int) -> None:
    chosen = config(steps=steps, warmup=warmup)
    rates = [learning_rate(chosen, step) for step in range(steps)]
    peak = min(warmup, steps - 1)
    assert all(0 <= rate <= chosen.learning_rate * 1.000001 for rate in rates)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


@pytest.mark.slow
def test_two_processes_share_a_batch_and_agree(tmp_path: Path, data: list[Path]) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.training.test_trainer import config; "
        "from wam_eval.training.trainer import train\n"
        "train(config(steps=60), [Path(sys.argv[1])], Path(sys.argv[2]))\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", script]
    subprocess.run([*map(str, command), str(data[0]), str(tmp_path / "two")], check=True, capture_output=True)
    alone = load_file(train(config(steps=60), data, tmp_path / "one"))
    together = load_file(tmp_path / "two" / MODEL)
    assert float(together["weight"]) == pytest.approx(float(alone["weight"]), abs=0.1)
    assert float(together["weight"]) != float(alone["weight"])  # other samples


# Descriptions of trainings


def test_every_training_of_the_repository_can_be_read() -> None:
    assert "small-fastwam" in names("training")
    for name in names("training"):
        assert load_training(name).steps > 0


def test_a_faulty_description_names_its_fields(tmp_path: Path) -> None:
    path = tmp_path / "training.yaml"
    path.write_text("title: x\ntask: nowhere\nsteps: 0\n")
    with pytest.raises(UserError, match=r"training.yaml:2: task: (.|\n)*data: Field required\n.*:3: steps: "):
        load_training(str(path))


def test_episodes_of_the_model_itself_need_a_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`played` needs `policy`, and the training of its model as `start`"):
        config(data={**config().data.model_dump(), "policy": "small-mvwam", "played": {"toy": 1}})


def test_an_unknown_training_is_refused() -> None:
    with pytest.raises(UserError, match="small-fastwam"):
        load_training("small-fastwan")
