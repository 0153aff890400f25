"""Small HarmoWAM: the two stages of its training, and the combinations of its experts."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="models need PyTorch: make setup MODELS=1")
pytest.importorskip("pyarrow", reason="data sets need pyarrow: make setup MODELS=1")

from safetensors.torch import load_file  # noqa: E402

from tests.models.small.builders import (  # noqa: E402
    LEFT,
    RIGHT,
    TINY,
    answer,
    chunks,
    data,
    demonstration,
    observation,
    trained,
)
from wam_eval.demonstrations import write_demonstrations  # noqa: E402
from wam_eval.errors import UserError  # noqa: E402
from wam_eval.models.small.data import load_data  # noqa: E402
from wam_eval.models.small.encoders import PatchCodec  # noqa: E402
from wam_eval.models.small.harmowam import (  # noqa: E402
    SmallHarmoWAMPolicy,
    SmallHarmoWAMTraining,
    VideoCodec,
    interaction,
)
from wam_eval.models.small.robots import ROBOTS  # noqa: E402
from wam_eval.training.trainer import LOSSES  # noqa: E402

SIZES: dict[str, Any] = {"layers": 2, "stride": 4, "frames": 3, "decoder_dim": 8}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world model after two steps."""
    return trained(tmp_path_factory.mktemp("model"), "harmowam", name="world", stage="world", **SIZES)


@pytest.fixture(scope="module")
def model(world: Path) -> Path:
    """A model whose experts were trained with it."""
    return trained(world.parent.parent, "harmowam", steps=50, start=world, world_steps=1, **SIZES)


def policy(path: Path, **settings: Any) -> SmallHarmoWAMPolicy:
    found = SmallHarmoWAMPolicy(SmallHarmoWAMPolicy.Settings(checkpoint=str(path), steps=1, **settings))
    found.prepare([RIGHT, LEFT])
    return found


def test_the_second_stage_changes_the_experts_and_not_the_world_model(world: Path, model: Path) -> None:
    before, after = load_file(world), load_file(model)
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"predictive", "reactive", "gate"}


def test_each_loss_falls(model: Path) -> None:
    rows = list(csv.DictReader((model.parent / LOSSES).open()))
    for name in ("predictive", "reactive", "gate", "total"):
        assert float(rows[-1][name]) < 0.8 * float(rows[0][name])


def test_the_experts_are_combined(model: Path) -> None:
    predictive, reactive, average = (answer(policy(model, gate=gate)) for gate in ("predictive", "reactive", "average"))
    assert not np.array_equal(predictive, reactive)
    assert average == pytest.approx((predictive + reactive) / 2, abs=1e-5)
    gated = policy(model)
    (chunk,) = chunks(gated, observation(0.5, RIGHT))
    assert np.array_equal(chunk.actions, {"predictive": predictive, "reactive": reactive}[chunk.acting.expert])


def test_it_imagines_a_frame_every_four_actions(model: Path) -> None:
    (chunk,) = chunks(policy(model), replace(observation(0.1, RIGHT), imagine=True))
    assert chunk.imagined.frames.shape == (3, 64, 128, 3)
    assert chunk.imagined.every == 4


def test_costs_are_counted_without_changing_the_answer(model: Path) -> None:
    found = policy(model)
    costs = found.costs()
    assert costs.flops > 0
    assert sum(costs.parameters.values()) == sum(parameter.numel() for parameter in found._small.parameters())
    assert np.array_equal(answer(found), answer(policy(model)))


def test_a_world_model_alone_does_not_act(world: Path) -> None:
    with pytest.raises(UserError, match="is a world model without experts"):
        policy(world)


def test_experts_need_a_world_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="need a trained world model: name its training as `start`"):
        SmallHarmoWAMTraining({**TINY, **SIZES}, [data(tmp_path / "data", count=2)])


def test_a_horizon_has_four_actions_for_each_later_frame(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a latent frame has 4 actions"):
        SmallHarmoWAMTraining({**TINY, **SIZES, "frames": 2}, [])


def test_interaction_is_around_a_change_of_the_gripper(tmp_path: Path) -> None:
    episode = demonstration(0, rows=30)
    episode.actions[15:, :, -1] = 1.0  # opened until action 60
    write_demonstrations(tmp_path / "data", [episode, demonstration(1, rows=2)], "libero", 5.0, {})
    labels = interaction(load_data([tmp_path / "data"], ROBOTS))
    assert labels.nonzero().flatten().tolist() == list(range(10, 21)), "observations 20 actions before and after"


def test_frames_between_latent_frames_are_blended() -> None:
    codec = PatchCodec(192)
    codec.fit(torch.rand(30, 3, 16, 24, generator=torch.Generator().manual_seed(0)))
    video = VideoCodec(codec, (16, 24))
    dark, bright = (torch.full((1, 3, 16, 24), shade) for shade in (-0.5, 0.5))
    frames = video.decoded(torch.cat([codec.encode(dark), codec.encode(bright)], dim=2))
    assert frames.mean(dim=(0, 1, 3, 4)).tolist() == pytest.approx([-0.5, -0.25, 0.0, 0.25, 0.5], abs=1e-3)
    assert video.encode(dark).shape == (1, 6, 192)
    assert video.grid == (2, 3)
