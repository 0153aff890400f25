"""The dummy policy as a policy of lerobot, and lerobot-eval with it; runs in lerobot's environment."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.processor import PolicyProcessorPipeline
from lerobot.scripts.lerobot_eval import main

from benchmarks import timers
from benchmarks.sides.dummy import Dummy


@PreTrainedConfig.register_subclass("dummy")
@dataclass
class DummyConfig(PreTrainedConfig):
    """Settings of :class:`DummyPolicy`; see :class:`Dummy`."""

    settings: str = ""
    observation_delta_indices = None
    action_delta_indices = None
    reward_delta_indices = None

    def get_optimizer_preset(self) -> Any:
        """Nothing is trained."""
        raise NotImplementedError

    def get_scheduler_preset(self) -> Any:
        """Nothing is trained."""
        raise NotImplementedError

    def validate_features(self) -> None:
        """It takes any."""


class DummyPolicy(PreTrainedPolicy):
    """One call of the dummy per chunk for the whole batch of environments, as lerobot's own policies do."""

    config_class = DummyConfig
    name = "dummy"

    def __init__(self, config: DummyConfig, **_: Any) -> None:
        super().__init__(config)
        self._dummy = Dummy(config.settings)
        self._step = 0
        self.reset()

    def reset(self) -> None:
        """Forget the chunk."""
        self._queue: deque[torch.Tensor] = deque()

    def select_action(self, batch: dict[str, Any], **_: Any) -> torch.Tensor:
        """The next action of each environment, float32 (n, 7)."""
        if not self._queue:
            self._queue.extend(self.predict_action_chunk(batch).transpose(0, 1))
        return self._queue.popleft()

    def predict_action_chunk(self, batch: dict[str, Any], **_: Any) -> torch.Tensor:
        """A chunk for each environment, float32 (n, chunk, 7)."""
        count = next(value.shape[0] for value in batch.values() if isinstance(value, torch.Tensor))
        self._step += 1
        with timers.CLOCK.stage("policy"):
            return torch.from_numpy(np.stack(self._dummy.answer([(0, n, self._step) for n in range(count)])))

    def forward(self, batch: dict[str, Any]) -> Any:
        """Nothing is trained."""
        raise NotImplementedError

    def get_optim_params(self) -> Any:
        """Nothing is trained."""
        raise NotImplementedError


def make_dummy_pre_post_processors(config: DummyConfig, **_: Any) -> tuple[Any, Any]:
    """Found by lerobot under this name: processors that change nothing."""
    del config
    from lerobot.processor.converters import policy_action_to_transition, transition_to_policy_action

    return PolicyProcessorPipeline(steps=[]), PolicyProcessorPipeline(
        steps=[], to_transition=policy_action_to_transition, to_output=transition_to_policy_action
    )


if __name__ == "__main__":
    main()
