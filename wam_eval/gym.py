"""Tasks as Gymnasium environments: ``gymnasium.make("wam_eval.gym:wam_eval/<suite>-<task>")``.

Importing this module registers ``wam_eval/<suite>-<task>`` for every task that a suite's configuration lists, those of
other packages included. Suites whose tasks are listed in the benchmark's own data have thousands of them; they are made
with ``TaskEnv(suite, task)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from wam_eval import config
from wam_eval.benchmark import load_benchmark
from wam_eval.episode import Episode
from wam_eval.errors import UserError, unknown
from wam_eval.hosting.process import SimulatorProcess
from wam_eval.observation import Observation, Request
from wam_eval.places import temporary_file
from wam_eval.run.plan import make_episodes, make_protocol
from wam_eval.run.task_selection import select_tasks

SEARCHED = 10
"""Number of a task's episodes if they have to be searched for first, which takes time; see :class:`TaskEnv`."""

GymObservation = dict[str, Any]
"""Camera -> image, and ``state`` -> proprioception."""


class TaskEnv(gymnasium.Env[GymObservation, NDArray[np.float32]]):
    """A task of a suite. Every reset begins one of its episodes, by the same protocol as a run.

    An observation has a uint8 (H, W, 3) RGB image for each camera, by the camera's name, and ``state``, float32, the
    proprioception in the units of the protocol. An action is float32 (d,) of the benchmark's action space, for one
    control step. The reward is 1 for the step that reaches the goal, which terminates the episode, and 0 for all
    others. The step limit of the protocol truncates the episode. ``info`` has the episode's ``key`` and
    ``instruction``, the ``steps`` taken, and ``success``.

    Args:
        suite: name of an elementary suite.
        task: index of the task in it.
        protocol: name of a protocol card; the benchmark's default if ``None``.
        cameras: cameras to render; all of the benchmark's if ``None``. Without any, no renderer is needed.
        settings: settings of the benchmark that replace those of the protocol card, such as the type of actions.
        episodes: number of the task's episodes, from the first one on. By default all of the protocol's, or
            :data:`SEARCHED` if the benchmark has to search for them. Those that earlier searches found are kept on
            disk.

    Raises:
        UserError: an unknown name or setting, a missing installation, or a number of episodes that the task lacks.
    """

    def __init__(
        self,
        suite: str,
        task: int,
        protocol: str | None = None,
        cameras: Sequence[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        episodes: int | None = None,
    ) -> None:
        suite_config = config.load_suite(suite)
        if suite_config.suites:
            raise UserError(f"{suite} is a group: name one of its suites, {', '.join(suite_config.suites)}")
        benchmark = load_benchmark(str(suite_config.benchmark)).with_settings(settings or {})
        if episodes is None and not benchmark.lists_episodes:
            episodes = SEARCHED
        card_name, card = benchmark.card(protocol)
        here = benchmark.detect(card.versions)
        suite_config = here.with_tasks(suite_config)
        rules = make_protocol(suite, suite_config, benchmark, card_name, here)
        existing = {camera.name: camera for camera in benchmark.cameras(rules.settings)}
        cameras = tuple(existing if cameras is None else cameras)
        for camera in cameras:
            if camera not in existing:
                raise unknown(f"camera of {suite}", camera, existing)
        space = benchmark.action_space(rules.settings)
        shapes = {name: (existing[name].height, existing[name].width, 3) for name in cameras}
        state_shape = (benchmark.state_dim(rules.settings),)
        self.observation_space: spaces.Dict[Any] = spaces.Dict(
            {
                **{name: spaces.Box(0, 255, shape, np.uint8) for name, shape in shapes.items()},
                "state": spaces.Box(-np.inf, np.inf, state_shape, np.float32),
            }
        )
        self.action_space = spaces.Box(space.low, space.high, (space.dim,), np.float32)
        tasks = select_tasks(str(task), [one.name for one in suite_config.tasks], suite)
        if reason := suite_config.tasks[tasks[0]].not_run:
            raise UserError(f"{suite}, task {task}: cannot be played here: {reason}")
        planned = make_episodes(suite, suite_config, benchmark, rules, tasks, episodes, here)
        self._episodes = {episode.key: episode for episode in planned}
        self._request = Request(cameras=cameras)
        self._simulator = SimulatorProcess(
            here.spec(rules.settings, images=bool(cameras)),
            log=temporary_file("gym.log"),
        )
        self._dim = space.dim
        self._episode: Episode | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[GymObservation, dict[str, Any]]:
        """Begin an episode: the one with the key ``options["episode"]``, else one drawn from ``np_random``.

        Raises:
            UserError: the task has no such episode, or the option is unknown.
            SimulatorError: the simulator failed; the next reset starts a new one.
        """
        super().reset(seed=seed)
        episode = self._choose(options or {})
        observation = self._simulator.load(episode, self._request)
        self._episode = episode
        return _arrays(observation), _info(episode, 0, False)

    def step(self, action: NDArray[np.float32]) -> tuple[GymObservation, float, bool, bool, dict[str, Any]]:
        """Execute one control step.

        Raises:
            ValueError: the action has another shape, or numbers that are not finite.
            ResetNeeded: no episode has begun, or it is over.
            SimulatorError: the simulator failed; the next reset starts a new one.
        """
        if self._episode is None:
            raise ResetNeeded("the episode is over, or none has begun: call reset()")
        action = np.asarray(action, np.float32)
        if action.shape != (self._dim,) or not np.isfinite(action).all():
            raise ValueError(f"an action is {self._dim} finite numbers, not {action!r}")
        episode = self._episode
        self._episode = None  # If the simulator fails, only a reset helps.
        progress, observation = self._simulator.step(action[None], self._request)
        assert observation is not None  # The only action of the call was executed.
        if not progress.done:
            self._episode = episode
        info = _info(episode, progress.steps, progress.success)
        truncated = progress.done and not progress.success
        return _arrays(observation), float(progress.success), progress.success, truncated, info

    def close(self) -> None:
        """End the simulator's process. Its log is kept if it has failed."""
        failed = self._simulator.pid is None
        self._simulator.close()
        self._episode = None
        if not failed:
            self._simulator.log.unlink(missing_ok=True)

    def _choose(self, options: dict[str, Any]) -> Episode:
        for option in options.keys() - {"episode"}:
            raise unknown("reset option", option, ["episode"])
        if "episode" not in options:
            return list(self._episodes.values())[self.np_random.integers(len(self._episodes))]
        if options["episode"] not in self._episodes:
            raise unknown("episode of this task", str(options["episode"]), self._episodes)
        return self._episodes[options["episode"]]


def register_envs() -> None:
    """Register the tasks of all suites with Gymnasium; the import of this module calls it."""
    for suite in config.names("suites"):
        suite_config = config.load_suite(suite)
        for task in range(len(suite_config.tasks)):
            name = f"wam_eval/{suite}-{task:02d}"
            if name not in gymnasium.registry:
                settings = {"suite": suite, "task": task}
                gymnasium.register(name, entry_point="wam_eval.gym:TaskEnv", kwargs=settings)


def _arrays(observation: Observation) -> GymObservation:
    """Copies of the observation's arrays, which the user may keep and change."""
    return {
        **{name: image.copy() for name, image in observation.images.items()},
        "state": observation.state.copy(),
    }


def _info(episode: Episode, steps: int, success: bool) -> dict[str, Any]:
    return {"key": episode.key, "instruction": episode.instruction, "steps": steps, "success": success}


register_envs()
