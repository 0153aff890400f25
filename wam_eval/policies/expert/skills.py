"""What the expert can do: closed-loop skills, written as generators of actions that are sent states."""

from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import count

import numpy as np

from wam_eval.observation import Privileged
from wam_eval.policies.expert.approach import hold_point, is_held, ways_to_grasp
from wam_eval.policies.expert.grasps import BASES, GRASPS, KNOBS, PLACES, category
from wam_eval.policies.expert.motion import (
    CLOSE,
    OPEN,
    Action,
    Matrix,
    Vector,
    about_vertical,
    matrix,
    pointing_down,
    servo,
)

#: Direction of the gripper's x axis with the last joint in the middle of its range.
MIDDLE: Vector = np.array([-1.0, 1.0, 0.0])

#: A skill yields actions, is sent the state that followed each, and returns the last one.
Skill = Generator[Action, Privileged, Privileged]

#: Steps after which a motion that has not arrived is given up; the longest takes about 40.
PATIENCE = 60
#: Least and most steps that the fingers are given to close or to open, and the motion in metres per step
#: below which they have come to rest.
FINGERS_LEAST, FINGERS_MOST, FINGERS_REST = 4, 20, 0.0005
#: Steps in which the gripper turns a knob.
TWISTING = 25
#: Distance in metres at which a motion has arrived.
ARRIVED = 0.008
#: Height in metres above a grasp from which the open gripper descends.
HOVER = 0.08
#: Least height in metres that an object is lifted further before it is carried, and the slope of its descent.
CLIMB, STEEPNESS = 0.03, 4.0
#: Height in metres to which a grasped object is lifted to see whether it follows.
LIFT = 0.06
#: Horizontal distance in metres from its place within which an object counts as put there.
PLACED = 0.06


def play(state: Privileged) -> Skill:
    """Work on the goal's predicates in turn, again and again, until the episode ends."""
    for attempt in count():
        for aim in [aim for aim in state.goal if not seems_done(state, aim)] or state.goal:
            state = yield from achieve(state, aim, attempt)
            state = yield from drive(state, OPEN)
            state = yield from rise(state, OPEN, HOVER)
    return state


def achieve(state: Privileged, aim: tuple[str, ...], attempt: int) -> Skill:
    """One try at making a predicate of the goal true."""
    relation, thing, *where = aim
    if relation == "turnon":
        return (yield from twist(state, thing))
    state = yield from pick(state, thing, attempt)
    if is_held(state, thing):
        state = yield from put(state, thing, *where)
    return state


def seems_done(state: Privileged, aim: tuple[str, ...]) -> bool:
    """Whether a predicate seems to hold; only the simulator knows for certain."""
    relation, thing, *where = aim
    if relation == "turnon":
        return state.joints[f"{thing}_{KNOBS[category(thing)].joint}"] > KNOBS[category(thing)].on
    away = state.poses[thing] - state.poses[where[0]]
    return float(np.hypot(away[0], away[1])) < PLACED


def pick(state: Privileged, thing: str, attempt: int) -> Skill:
    """Take hold of an object and lift it a little; later attempts come from other sides."""
    ways = ways_to_grasp(state, thing)
    way, rim = ways[attempt % len(ways)], GRASPS[category(thing)].rim

    def target(now: Privileged) -> Vector:
        return hold_point(now, thing) + rim * way

    state = yield from move(state, target, across(way), OPEN, target(state)[2] + HOVER)
    state = yield from drive(state, CLOSE)
    return (yield from rise(state, CLOSE, LIFT))


def put(state: Privileged, thing: str, where: str) -> Skill:
    """Carry the object in the gripper to its place and lower it."""
    place, base = PLACES[category(where)], BASES[category(thing)]

    def target(now: Privileged) -> Vector:
        gripper, there = now.poses["gripper"][:3], now.poses[where][:3]
        goal = there + np.array([0.0, 0.0, base + place.height]) + gripper - now.poses[thing][:3]
        goal[2] = max(goal[2], there[2] + place.gripper)
        return goal

    cruise = max(target(state)[2] + place.clear, state.poses["gripper"][2] + CLIMB)
    state = yield from rise(state, CLOSE, cruise - state.poses["gripper"][2])
    rotation = matrix(state.poses["gripper"][3:])
    return (yield from move(state, target, rotation, CLOSE, cruise, lambda now: not is_held(now, thing)))


def twist(state: Privileged, thing: str) -> Skill:
    """Take a knob from above and turn it counter-clockwise."""
    knob, pose = KNOBS[category(thing)], state.poses[thing]
    turned = matrix(pose[3:])
    point = pose[:3] + turned @ np.array(knob.point)
    start = across(turned @ np.array(knob.across))
    end = about_vertical(knob.turn) @ start
    state = yield from move(state, lambda _: point, start, OPEN, point[2] + HOVER)
    state = yield from drive(state, CLOSE)
    for _ in range(TWISTING):
        state = yield servo(state.poses["gripper"], point, end, CLOSE)
    return state


def across(way: Vector) -> Matrix:
    """Orientation that looks down and closes along a direction, with the last joint nearer its middle."""
    return pointing_down(way if way @ MIDDLE >= 0 else -way)


def move(
    state: Privileged,
    target: Callable[[Privileged], Vector],
    rotation: Matrix,
    fingers: float,
    cruise: float = -np.inf,
    give_up: Callable[[Privileged], bool] = lambda _: False,
) -> Skill:
    """Bring the gripper to ``target(state)``, in metres in the world frame, unless ``give_up(state)``.

    Args:
        cruise: height in metres, in the world frame, kept until the gripper is almost over the target.
    """
    for _ in range(PATIENCE):
        gripper = state.poses["gripper"]
        error = target(state) - gripper[:3]
        if np.linalg.norm(error) < ARRIVED or give_up(state):
            break
        aside = float(np.hypot(error[0], error[1]))
        above = max(0.0, min(STEEPNESS * (aside - ARRIVED), cruise - gripper[2] - error[2]))
        state = yield servo(gripper, gripper[:3] + error + (0.0, 0.0, above), rotation, fingers)
    return state


def rise(state: Privileged, fingers: float, height: float) -> Skill:
    """Move straight up by a height in metres."""
    gripper = state.poses["gripper"]
    top = gripper[:3] + np.array([0.0, 0.0, height])
    return (yield from move(state, lambda _: top, matrix(gripper[3:]), fingers))


def drive(state: Privileged, fingers: float) -> Skill:
    """Open or close the fingers until they rest, keeping the gripper where it is."""
    gripper = state.poses["gripper"]
    for step in range(FINGERS_MOST):
        before = state.joints["gripper"]
        state = yield servo(state.poses["gripper"], gripper[:3], matrix(gripper[3:]), fingers)
        if step >= FINGERS_LEAST and abs(state.joints["gripper"] - before) < FINGERS_REST:
            break
    return state
