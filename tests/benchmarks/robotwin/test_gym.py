"""RoboTwin's tasks as Gymnasium environments, in the miniature."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from wam_eval.benchmarks.robotwin.benchmark import ROOT
from wam_eval.gym import TaskEnv
from wam_eval.hosting.renderer import RendererError
from wam_eval.hosting.vulkan import choose_device
from wam_eval.observation import Request

TASK = 37
"""Number of press_stapler."""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty cache, in which the seeds that a test finds serve the others."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("WAM_EVAL_CACHE", str(folder))
        patch.delenv(ROOT, raising=False)
        yield folder


def make(action_type: str = "qpos", cameras: tuple[str, ...] = (), episodes: int = 2) -> TaskEnv:
    """The environment of press_stapler."""
    name = f"wam_eval/robotwin_clean-{TASK}"
    settings = {"action_type": action_type}
    made = gymnasium.make(name, disable_env_checker=True, cameras=cameras, settings=settings, episodes=episodes)
    assert isinstance(made.unwrapped, TaskEnv)
    return made.unwrapped


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Box (observation|action) space", "ignore:.*symmetric and normalized")
@pytest.mark.filterwarnings("error:.*WARN")
@pytest.mark.parametrize("action_type", ["qpos", "ee"])
def test_passes_gymnasiums_checker(action_type: str) -> None:
    with make(action_type) as env:
        check_env(env)


def test_a_seed_chooses_one_of_the_episodes_that_were_found(cache: Path) -> None:
    with make() as env:
        assert [path.name for path in cache.rglob("*.json")] == ["clean-100000.json"]
        state, info = env.reset(seed=3)
        assert env.action_space.shape == (14,) and state in env.observation_space
        assert info["key"] in env._episodes and len(env._episodes) == 2
        assert "stapl" in info["instruction"].lower() and info["steps"] == 0 and not info["success"]
        again, same = env.reset(seed=3)
        assert same == info and np.array_equal(again["state"], state["state"])
        action = np.full(14, 0.6, np.float32)
        after, reward, terminated, truncated, info = env.step(action)
        assert (reward, terminated, truncated, info["steps"]) == (0.0, False, False, 1)
        np.testing.assert_allclose(after["state"], action, atol=1e-5)


def test_hand_poses_that_press_the_stapler_are_rewarded() -> None:
    with make("ee", episodes=1) as env:
        assert env.action_space.shape == (16,) and env.observation_space["state"].shape == (14,)
        (key,) = env._episodes
        observation = env._simulator.load(env._episodes[key], Request(privileged=True))
        assert observation.privileged is not None and observation.privileged.plan is not None
        env.reset(options={"episode": key})
        rewards = []
        for action in observation.privileged.plan:
            *_, reward, terminated, truncated, info = env.step(action)
            rewards.append(reward)
            if terminated:
                break
        assert terminated and not truncated and info["success"]
        assert sum(rewards) == rewards[-1] == 1.0


@pytest.mark.slow
def test_observations_have_the_images_of_the_cameras() -> None:
    try:
        choose_device()
    except RendererError as error:
        pytest.skip(str(error).splitlines()[0])
    with make(cameras=("head_camera", "left_camera"), episodes=1) as env:
        seen, _ = env.reset(seed=0)
        assert set(seen) == {"head_camera", "left_camera", "state"} and seen in env.observation_space
        assert all(
            seen[name].shape == (240, 320, 3) and seen[name].std() > 5 for name in ("head_camera", "left_camera")
        )
