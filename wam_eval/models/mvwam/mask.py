"""The cross-modality causal mask of MV-WAM (arXiv 2606.21088, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from wam_eval.models.mvwam.model import MVWAMConfig


def joint_mask(config: MVWAMConfig, tokens: int) -> Tensor:
    """The attention mask of all tokens: the video, frame by frame, then the state, the actions, and the value.

    The video attends to itself; state and actions attend to the video and to themselves; the value attends to all. With
    ``frame_causal`` no token attends to a later frame, where the state belongs to the first frame, the value to the
    last one, and an action to the latent frame that contains the frame after it. The paper describes the first part;
    which frame an action belongs to is our choice.

    Args:
        config: the model.
        tokens: tokens of a latent frame; 0 if there is no video.

    Returns:
        bool (S, S); ``True`` if the token of a row attends to the token of a column.
    """
    video = config.frames * tokens
    kind = torch.tensor([0] * video + [1] * (1 + config.horizon) + [2] * config.value)
    mask = kind[:, None] >= kind
    if config.frame_causal:
        per_frame = config.horizon // (config.frames - 1)
        acting = [0, *(1 + action // per_frame for action in range(config.horizon))]
        frame = torch.cat(
            [
                torch.arange(config.frames).repeat_interleave(tokens),
                torch.tensor(acting + [config.frames - 1] * config.value),
            ]
        )
        mask &= frame[:, None] >= frame
    return mask
