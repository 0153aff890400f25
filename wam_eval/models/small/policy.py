"""The part that the policies of all small models share: the file, its encoders, the checks, the costs.

A family's policy is a subclass of :class:`SmallPolicy` and of the policy of the full-size model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor, nn

from wam_eval.errors import UserError
from wam_eval.models.policy import ModelPolicy, ModelSettings
from wam_eval.models.prompt_cache import PromptCache
from wam_eval.models.small.model import (
    SmallConfig,
    SmallModel,
    check_family,
    load_small,
    read_small_config,
    weights_file,
)
from wam_eval.models.stages import FlopCounter, parameter_count, shapes_only, unwatched
from wam_eval.observation import Observation
from wam_eval.policy import Costs, checkpoint_digest


class SmallPolicySettings(ModelSettings):
    """Settings of every small model.

    Attributes:
        checkpoint: file that the training wrote, or the name of a model that comes with wam-eval.
        execute: actions of a chunk that are executed before the policy is asked again.
    """

    robot: Literal["libero", "robotwin"] = "libero"
    execute: int = Field(default=8, ge=1)
    dtype: Literal["bfloat16", "float32"] = "float32"
    device: str = "cpu"

    @field_validator("random_weights")
    @classmethod
    def _check_random(cls, random_weights: bool) -> bool:
        if random_weights:
            raise ValueError("a small model has none, since its checkpoint states its size; leave this setting out")
        return random_weights


class SmallPolicy(ModelPolicy):
    """A small model: network, sampler and answers of the full-size model, with encoders of its own.

    The constructor of a family calls :meth:`_take`, and then changes what differs in ``spec``.

    Attributes:
        family: name of the model family.
    """

    family: ClassVar[str]
    prompt = "{task}"
    _small: SmallModel

    def _take(self, settings: ModelSettings, path: Path, config: SmallConfig, model: SmallModel) -> None:
        """Load a model, after :meth:`_described` has read its description.

        Args:
            settings: the settings.
            path: the file.
            config: its description.
            model: the model of this description, with random weights.
        """
        ModelPolicy.__init__(self, settings, config.robot, tiny=True)
        load_small(path, model)
        self._small = model.to(self._device).eval().requires_grad_(False)
        self._normaliser = model.normaliser
        digest = checkpoint_digest(str(path)) or ""
        self._facts |= {"weights_sha256": digest}
        self._prompts = PromptCache(lambda: model.words, digest, None, config.words)
        self._text_dim = config.width

    def _described(self, settings: ModelSettings) -> tuple[Path, SmallConfig]:
        """The file that the settings name, and its description.

        Raises:
            UserError: there is none, or it was trained for another family, robot or shorter chunks.
        """
        if settings.checkpoint is None:
            raise UserError(
                f"a small model needs a checkpoint (CKPT=…): train one with `wam-eval train small-{self.family}`"
            )
        path = weights_file(settings.checkpoint)
        config = read_small_config(path)
        check_family(path, config, self.family)
        if settings.robot != config.robot.name:
            raise UserError(f"{path} was trained for the robot {config.robot.name}, not for {settings.robot}")
        if settings.execute > config.horizon:
            raise UserError(f"`execute: {settings.execute}`: a chunk of {path} has {config.horizon} actions")
        return path, config

    # Pictures, states and actions are not in the layouts of the full-size models.

    def _preprocess(self, observations: Sequence[Observation]) -> list[Tensor]:
        return ModelPolicy._preprocess(self, observations)

    def _state(self, observation: Observation) -> NDArray[np.float32]:
        return ModelPolicy._state(self, observation)

    def _commands(self, actions: NDArray[np.float32]) -> NDArray[np.float32]:
        return ModelPolicy._commands(self, actions)

    def identity(self) -> Mapping[str, Any]:
        """Digest of the weights."""
        return {"weights_sha256": self._facts["weights_sha256"]}

    def costs(self) -> Costs:
        """Parameters by component, and operations for one chunk."""
        config, counter = self._small.config, FlopCounter()
        images = self._preprocess([self.example(0)])
        texts = [torch.zeros(config.words, self._text_dim, dtype=self._dtype, device=self._device)]
        states = torch.zeros(1, config.robot.model_state_dim, device=self._device)
        # What networks and samplers keep, such as rotations, has to have a content.
        self._infer(images, texts, states, [0], unwatched)
        with shapes_only():
            self._infer(images, texts, states, [0], counter)
        parts = {**self._components(), "words": self._small.words}
        return Costs({name: parameter_count(part) for name, part in parts.items()}, float(sum(counter.flops.values())))

    def _components(self) -> Mapping[str, nn.Module]:
        """Name -> part of the network."""
        return dict(self._small.network.named_children())
