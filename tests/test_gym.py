"""Gymnasium environments: a real simulator under Gymnasium's checker."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

import wam_eval.gym
from wam_eval import config
from wam_eval.errors import UserError
from wam_eval.gym import TaskEnv
from wam_eval.observation import ActionChunk
from wam_eval.policies.expert import Expert

ID = "wam_eval/libero_object-00"
KEY = "libero_object/00/003"
STILL = np.array([0, 0, 0, 0, 0, 0, -1], np.float32)
PUSH = np.array([0.5, 0, -0.5, 0, 0, 0.3, 1], np.float32)


def make(**settings: Any) -> TaskEnv:
    env = gymnasium.make(ID, disable_env_checker=True, **settings).unwrapped
    assert isinstance(env, TaskEnv)
    return env


@pytest.fixture(scope="module")
def env() -> Iterator[TaskEnv]:
    made = make()
    yield made
    made.close()


@pytest.fixture(scope="module")
def blind() -> Iterator[TaskEnv]:
    made = make(cameras=())
    yield made
    made.close()


def test_every_listed_task_is_registered() -> None:
    suites = {name: config.load_suite(name) for name in config.names("suites")}
    expected = {f"wam_eval/{name}-{n:02d}" for name, suite in suites.items() for n in range(len(suite.tasks))}
    assert len(expected) >= 230 and expected <= gymnasium.registry.keys()
    registered = {name.removeprefix("wam_eval/").rpartition("-")[0] for name in gymnasium.registry}
    assert not {"libero", "robotwin"} & registered, "groups have no tasks of their own"


def test_groups_are_refused() -> None:
    with pytest.raises(UserError, match="libero is a group: name one of its suites, libero_spatial"):
        TaskEnv("libero", 0)


def test_registering_again_is_harmless() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wam_eval.gym.register_envs()


@pytest.mark.filterwarnings("ignore:.*Box observation space")  # proprioception has no known bounds
@pytest.mark.filterwarnings("error:.*WARN")
def test_passes_gymnasiums_checker(env: TaskEnv, blind: TaskEnv) -> None:
    check_env(env)
    check_env(blind)
    assert set(blind.observation_space.spaces) == {"state"}


def test_the_same_seed_and_options_give_the_same_episode(env: TaskEnv, blind: TaskEnv) -> None:
    first, info = env.reset(options={"episode": KEY})
    instruction = "pick up the alphabet soup and place it in the basket"
    assert info == {"key": KEY, "instruction": instruction, "steps": 0, "success": False}
    assert first in env.observation_space
    assert first["agentview"].shape == (256, 256, 3) and first["agentview"].std() > 10
    after, reward, terminated, truncated, info = env.step(PUSH)
    assert (reward, terminated, truncated, info["steps"]) == (0.0, False, False, 1)
    # Neither rendering nor other episodes in between change the simulation.
    blind.reset(seed=5)
    blind.step(PUSH)
    seen, _ = blind.reset(options={"episode": KEY})
    assert np.array_equal(seen["state"], first["state"])
    assert np.array_equal(blind.step(PUSH)[0]["state"], after["state"])
    assert not np.array_equal(first["state"], after["state"])


def test_without_options_the_seed_chooses(blind: TaskEnv) -> None:
    keys = [blind.reset(seed=seed)[1]["key"] for seed in (1, 1, 2, None)]
    assert keys[0] == keys[1] and len(set(keys)) == 3
    assert all(key.startswith("libero_object/00/") for key in keys)


def test_some_cameras_and_episodes_of_another_protocol_with_another_setting() -> None:
    with make(cameras=["agentview"], protocol="fastwam", settings={"resolution": 128}, episodes=4) as env:
        assert set(env.observation_space.spaces) == {"agentview", "state"}
        assert env.observation_space["agentview"].shape == (128, 128, 3)
        assert env._episodes[KEY].step_limit == 400 and env._episodes[KEY].seed == 42 and len(env._episodes) == 4


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"protocol": "openvlaa"}, "openvla"),
        ({"cameras": ["agentviev"]}, "agentview"),
        ({"settings": {"resolutio": 128}}, "resolution"),
        ({"episodes": 51}, "51 episodes per task: libero_object has 1 to 50"),
        ({"suite": "libero_objekt"}, "libero_object"),
        ({"task": 10}, "tasks 0 to 9"),
        ({"task": -1}, "unknown task"),
    ],
)
def test_unknown_names(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        TaskEnv(**{"suite": "libero_object", "task": 0, **settings})


def expert_actions(key: str) -> np.ndarray:
    """Actions of the scripted expert in an episode, float32 (steps, 7); the last one reaches the goal."""
    with make(cameras=()) as env:
        episode, simulator, policy = env._episodes[key], env._simulator, Expert.create()
        policy.begin(episode)
        actions, observation = [], simulator.load(episode, policy.spec.request)
        done = False
        while not done:
            answer = policy.act([observation])[0]
            assert isinstance(answer, ActionChunk)
            actions.append(answer.actions)
            progress, observation = simulator.step(actions[-1], policy.spec.request)
            done = progress.done
        assert progress.success
        return np.concatenate(actions)


def test_success_terminates_with_reward(blind: TaskEnv) -> None:
    blind.reset(options={"episode": KEY})
    steps = [blind.step(action) for action in expert_actions(KEY)]
    assert all(step[1:4] == (0.0, False, False) for step in steps[:-1])
    seen, *rest, info = steps[-1]
    assert rest == [1.0, True, False]
    assert info["success"] and info["steps"] == len(steps)
    assert not np.array_equal(seen["state"], steps[-2][0]["state"])
    with pytest.raises(ResetNeeded):
        blind.step(STILL)


def test_the_step_limit_truncates_and_is_observed(blind: TaskEnv) -> None:
    blind.reset(seed=0)
    steps = [blind.step(PUSH if number % 2 else STILL) for number in range(280)]
    assert not any(terminated or truncated for _, _, terminated, truncated, _ in steps[:-1])
    seen, reward, terminated, truncated, info = steps[-1]
    assert (reward, terminated, truncated, info["steps"]) == (0.0, False, True, 280)
    assert not np.array_equal(seen["state"], steps[-2][0]["state"])
    with pytest.raises(ResetNeeded):
        blind.step(STILL)


def test_invalid_actions_and_options_are_refused() -> None:
    env = make(cameras=())
    with pytest.raises(ResetNeeded):
        env.step(STILL)
    for options in ({"episode": "libero_object/01/000"}, {"episode": 3}, {"epsiode": KEY}):
        with pytest.raises(UserError, match=r"did you mean|known"):
            env.reset(options=options)
    env.reset(seed=0)
    for action in (np.zeros(6, np.float32), np.full(7, np.nan, np.float32), np.zeros((1, 7), np.float32)):
        with pytest.raises(ValueError, match="7 finite numbers"):
            env.step(action)
    assert env.step(STILL)[4]["steps"] == 1
    env.close()
    with pytest.raises(ResetNeeded):
        env.step(STILL)


def test_closing_ends_the_process_and_removes_its_log() -> None:
    env = make(cameras=())
    env.close()  # before it was started
    env.reset(seed=0)
    simulator = env._simulator
    assert simulator.pid and simulator.log.is_file()
    env.close()
    env.close()
    assert simulator.pid is None and not simulator.log.exists()
