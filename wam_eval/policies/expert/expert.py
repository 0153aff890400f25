"""The scripted expert as a policy: which episodes it plays, and a running script or the benchmark's plan for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wam_eval.episode import Episode
from wam_eval.observation import ActionChunk, Observation
from wam_eval.policies.expert.skills import Skill, play
from wam_eval.policies.policy import NotSupported, Policy, PolicySpec

#: Suite -> names of the tasks that have a script; empty where all have one.
SCRIPTED: Mapping[str, frozenset[str]] = {
    "libero_spatial": frozenset(),
    "libero_object": frozenset(),
    "libero_goal": frozenset(
        {
            "put_the_bowl_on_the_plate",
            "put_the_bowl_on_the_stove",
            "put_the_bowl_on_top_of_the_cabinet",
            "put_the_cream_cheese_in_the_bowl",
            "put_the_wine_bottle_on_the_rack",
            "put_the_wine_bottle_on_top_of_the_cabinet",
            "turn_on_the_stove",
        }
    ),
    "libero_10": frozenset(
        {
            "LIVING_ROOM_SCENE1_put_both_the_alphabet_soup_and_the_cream_cheese_box_in_the_basket",
            "LIVING_ROOM_SCENE2_put_both_the_alphabet_soup_and_the_tomato_sauce_in_the_basket",
            "LIVING_ROOM_SCENE5_put_the_white_mug_on_the_left_plate_and_put_the_yellow_and_white_mug_"
            "on_the_right_plate",
            "LIVING_ROOM_SCENE6_put_the_white_mug_on_the_plate_and_put_the_chocolate_pudding_to_the_right_of_the_plate",
        }
    ),
}


#: Benchmarks that bring an expert of their own, whose plan comes with the privileged state; by their suites' names.
PLANNED = ("robotwin",)


#: LIBERO's tasks under perturbations, which no script looks at; suites and tasks bear LIBERO's names and more.
PERTURBED = "libero_plus"


class Expert(Policy):
    """Picks and places by the simulator's own state; no learning, no cameras.

    An episode's script is a generator that is sent the state after each action, so what it does depends
    on that episode alone. Where a benchmark has an expert of its own, its plan is followed action by action.
    """

    spec = PolicySpec(cameras=(), action_dim=None, execute=1, privileged=True)

    def __init__(self) -> None:
        self._scripts: dict[str, Skill | None] = {}

    def begin(self, episode: Episode) -> None:
        """Start the episode's script anew; its first observation sets it going."""
        if episode.suite.startswith(PLANNED):
            return
        tasks = SCRIPTED.get(episode.suite.replace(PERTURBED, "libero"))
        if tasks is None:
            raise NotSupported(f"the scripted expert has no scripts for the suite {episode.suite}")
        if episode.suite.startswith(PERTURBED):
            if tasks and not episode.task_name.startswith(tuple(f"{task}_" for task in tasks)):
                raise NotSupported("the scripted expert has no script for the base task")
        elif tasks and episode.task_name not in tasks:
            raise NotSupported(f"the scripted expert has no script for the task {episode.task_name}")
        self._scripts[episode.key] = None

    def act(self, observations: Sequence[Observation]) -> list[ActionChunk]:
        """The next action of each episode's script.

        Raises:
            ValueError: an observation lacks the privileged state.
        """
        return [self._next(observation) for observation in observations]

    def end(self, key: str) -> None:
        self._scripts.pop(key, None)

    def _next(self, observation: Observation) -> ActionChunk:
        state = observation.privileged
        if state is None:
            raise ValueError(f"{observation.key}: the scripted expert needs the privileged state")
        if state.plan is not None:
            return ActionChunk(actions=state.plan[min(observation.step, len(state.plan) - 1)][None])
        script = self._scripts[observation.key]
        if script is None:
            script = self._scripts[observation.key] = play(state)
            action = next(script)
        else:
            action = script.send(state)
        return ActionChunk(actions=action[None])
