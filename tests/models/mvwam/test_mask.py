"""The attention mask equals a written-out table."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")

from wam_eval.models.mvwam.mask import joint_mask
from wam_eval.models.mvwam.model import MVWAMConfig

SMALL = replace(MVWAMConfig.of_size("tiny"), horizon=4, frames=3)
"""Three latent frames, and two actions for each frame after the first."""


def drawn(config: MVWAMConfig, tokens: int) -> list[str]:
    """The mask as text: ``x`` if the token of a row attends to the token of a column."""
    return ["".join("x" if attends else "." for attends in row) for row in joint_mask(config, tokens).tolist()]


def test_the_value_sees_everything_and_nothing_sees_the_value() -> None:
    assert drawn(SMALL, 2) == [
        # video  s acts v
        "xxxxxx......",
        "xxxxxx......",
        "xxxxxx......",
        "xxxxxx......",
        "xxxxxx......",
        "xxxxxx......",
        "xxxxxxxxxxx.",  # state
        "xxxxxxxxxxx.",
        "xxxxxxxxxxx.",
        "xxxxxxxxxxx.",
        "xxxxxxxxxxx.",
        "xxxxxxxxxxxx",  # value
    ]


def test_without_value_branch() -> None:
    assert drawn(replace(SMALL, value=False), 1) == ["xxx.....", "xxx.....", "xxx....."] + ["xxxxxxxx"] * 5


def test_without_video() -> None:
    assert drawn(SMALL, 0) == ["xxxxx."] * 5 + ["xxxxxx"]


def test_frames_may_be_causal() -> None:
    assert drawn(replace(SMALL, frame_causal=True), 2) == [
        "xx..........",
        "xx..........",
        "xxxx........",
        "xxxx........",
        "xxxxxx......",
        "xxxxxx......",
        "xx....x.....",  # state
        "xxxx..xxx...",  # two actions of the second latent frame
        "xxxx..xxx...",
        "xxxxxxxxxxx.",
        "xxxxxxxxxxx.",
        "xxxxxxxxxxxx",  # value
    ]


def test_four_actions_belong_to_a_latent_frame() -> None:
    mask = joint_mask(replace(MVWAMConfig(), frame_causal=True), 1)
    assert mask[9:42, :9].sum(dim=1).tolist() == [1, *(frame for frame in range(2, 10) for _ in range(4))]
