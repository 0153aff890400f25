"""Statistics of a run's actions, and warnings about conventions of the benchmark that its policy seems to miss.

The benchmark's action space says what is plausible. A warning is a fact about the executed actions, the benchmark's
convention, and a remedy. There are two kinds. *Violations*, such as a gripper between 0 and 1 where -1 opens it, hardly
occur with the right convention; they are reported unless at least half of the episodes succeed. *Suspicions*, such as a
gripper that never closes, may also be how a poor policy acts; they are reported if at most one in ten succeeds, most of
them from several episodes on. Success of other policies is no evidence, and neither are images: that cameras are
flipped, or left and right are exchanged, cannot be seen in actions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wam_eval import config
from wam_eval.analysis.frame import RunData
from wam_eval.benchmark import ActionPart, ActionSpace, Gripper, load_benchmark
from wam_eval.run.action_statistics import ActionStatistics

SUCCESSFUL = 0.5
"""Success rate from which on nothing is reported: the conventions must be right."""
FAILING = 0.1
"""Largest success rate at which suspicions are reported."""
STEPS = 50
"""Control steps below which nothing is reported about a run, and no episode is compared with others."""
EPISODES = 3
"""Episodes below which nothing is said about behaviour."""
EPISODES_INVERTED = 5
"""Episodes below which a gripper is not said to be inverted."""

OFTEN = 0.1
"""Share of values outside the range from which on a number is reported."""
FAR = 0.25
"""Distance from the range, in half ranges, beyond which at least one of them has to be."""
FAINT, NEAR_END = 0.1, 0.75
"""Commands of a gripper, from 0 in the middle to 1 at open and closed: the largest one that hardly commands it, the
smallest one that is near an end."""
SMALL_UNIT = 0.1
"""Largest scale of a part at which values in its physical unit are recognisably smaller than proper ones."""
NARROW = 0.03
"""Largest share of the plausible range to which targets of a robot that does not move are limited."""
JUMP = 0.08
"""Smallest share of the plausible range that is a jump from the start to the first target."""
STEADY = 0.05
"""Largest number of changes of a gripper per control step, for it not to be random."""
FEW_DEGREES, MANY_DEGREES = 7.0, 400.0
"""Largest absolute values of angles that are taken for degrees; radians beyond two pi are rare."""
SAME_ROTATION, OTHER_ROTATION = 0.35, 1.0
"""Angles, rad: largest between two similar rotations, smallest between two different ones."""
UNIT_NORM = (0.8, 1.25)
"""Norms of quaternions that count as 1."""


@dataclass(frozen=True)
class ActionData:
    """Statistics of the actions of a run in one action space.

    Attributes:
        benchmark, title: name of the benchmark, and for people.
        suites: suites of the run with this action space.
        space: the action space.
        steps: control steps of each episode that has statistics, int (n,).
        episodes: their statistics.
        success: True for those that succeeded, bool (n,).
        rate: success rate over all episodes that count; ``None`` if none does.
    """

    benchmark: str
    title: str
    suites: tuple[str, ...]
    space: ActionSpace
    steps: NDArray[np.int64]
    episodes: tuple[ActionStatistics, ...]
    success: NDArray[np.bool_]
    rate: float | None

    @property
    def low(self) -> NDArray[np.float64]:
        """Smallest value of each number in each episode, (n, d)."""
        return np.array([one.low for one in self.episodes])

    @property
    def high(self) -> NDArray[np.float64]:
        """Largest value of each number in each episode, (n, d)."""
        return np.array([one.high for one in self.episodes])

    @property
    def outside(self) -> NDArray[np.float64]:
        """Share of the values of each number that are outside the plausible range, (d,)."""
        counts = np.zeros(self.space.dim)
        for one in self.episodes:
            for number, count in one.outside.items():
                counts[number] += count
        return counts / self.steps.sum()

    @property
    def total(self) -> int:
        """Control steps of all episodes."""
        return int(self.steps.sum())

    def as_dict(self) -> dict[str, Any]:
        """The statistics over all episodes as plain values; those of grippers are shares of the control steps."""
        grippers = zip(*(one.grippers for one in self.episodes), strict=True)
        return {
            "benchmark": self.benchmark,
            "suites": list(self.suites),
            "episodes": len(self.episodes),
            "steps": self.total,
            "low": self.low.min(axis=0).tolist(),
            "high": self.high.max(axis=0).tolist(),
            "outside": self.outside.tolist(),
            "grippers": [
                {
                    "index": convention.index,
                    "open": sum(one.open for one in uses) / self.total,
                    "closed": sum(one.closed for one in uses) / self.total,
                    "changes_per_episode": sum(one.changes for one in uses) / len(uses),
                }
                for convention, uses in zip(self.space.grippers, grippers, strict=True)
            ],
        }


def action_data(run: RunData) -> list[ActionData]:
    """The statistics of a run's actions, for each action space that its suites have.

    Suites without statistics are left out, as are those whose benchmark is not installed or has other actions by now.
    """
    spaces: dict[tuple[Any, ...], tuple[ActionSpace, str, list[str]]] = {}
    for benchmark in run.record.benchmarks:
        played = run.frame.loc[(run.frame["benchmark"] == benchmark) & run.frame["key"].isin(run.actions), "suite"]
        if played.empty or benchmark not in config.names("suites/benchmarks"):
            continue
        definition = load_benchmark(benchmark)
        for suite in sorted(set(played)):
            space = definition.action_space(run.record.suites[suite].protocol.settings)
            same = (benchmark, type(space), space.dim, space.low.tobytes(), space.high.tobytes())
            spaces.setdefault(same, (space, definition.title, []))[2].append(suite)
    found = []
    for (benchmark, *_), (space, title, suites) in spaces.items():
        rows = run.frame[run.frame["suite"].isin(suites)]
        chosen = rows[rows["key"].map(lambda key, space=space: _fits(run.actions.get(key), space))]
        if chosen.empty:
            continue
        counted = rows[rows["counts"]]
        found.append(
            ActionData(
                benchmark=benchmark,
                title=title,
                suites=tuple(suites),
                space=space,
                steps=chosen["steps"].to_numpy(np.int64),
                episodes=tuple(run.actions[key] for key in chosen["key"]),
                success=chosen["success"].to_numpy(np.bool_),
                rate=float(counted["success"].mean()) if len(counted) else None,
            )
        )
    return found


def action_warnings(found: Sequence[ActionData]) -> list[str]:
    """Warnings about actions, a line each; see this module for their conditions."""
    return [f"Actions: {text}" for data in found for text in warnings_of(data)]


def warnings_of(data: ActionData) -> list[str]:
    """Warnings about actions in one action space. They do not depend on the order of the episodes."""
    rate = data.rate or 0.0
    if data.total < STEPS or rate >= SUCCESSFUL:
        return []
    suspected = rate <= FAILING
    if all(one.still for one in data.episodes):
        text = f"all actions of {_all(data)} are the no-op of {data.title}: the policy holds the robot still."
        return [text] if suspected else []
    return [*_violations(data), *(_suspicions(data) if suspected else ())]


def _fits(actions: ActionStatistics | None, space: ActionSpace) -> bool:
    """True if there are statistics, and they are of an action space of this structure."""
    if actions is None:
        return False
    kinds = [part.kind for part in space.parts]
    expected = (space.dim, len(space.grippers), kinds.count("target"), kinds.count("quaternion"))
    return expected == tuple(map(len, (actions.low, actions.grippers, actions.start, actions.quaternions)))


# ---------------------------------------------------------------------- violations


def _violations(data: ActionData) -> Iterator[str]:
    far = _far_outside(data)
    grippers = [gripper.index for gripper in data.space.grippers]
    arms = far.copy()
    arms[grippers] = False
    if arms.any():
        yield _out_of_range(data, arms)
    yield from _gripper_ranges(data, far & ~arms.any())
    yield from _quaternion_faults(data)


def _far_outside(data: ActionData) -> NDArray[np.bool_]:
    """Numbers that are often and far outside the plausible range, bool (d,)."""
    low, high = data.space.low.astype(float), data.space.high.astype(float)
    half = np.where(high > low, (high - low) / 2, 1.0)
    beyond = np.maximum(data.high.max(axis=0) - high, low - data.low.min(axis=0))
    far: NDArray[np.bool_] = (data.outside >= OFTEN) & (beyond > FAR * half)
    return far


def _out_of_range(data: ActionData, bad: NDArray[np.bool_]) -> str:
    space, numbers = data.space, np.flatnonzero(bad)
    low, high = data.low.min(axis=0), data.high.max(axis=0)
    ranges = sorted({_range(space.low[i], space.high[i]) for i in numbers})
    expected = ranges[0] if len(ranges) == 1 else "the range"
    share = 100 * data.outside[numbers].max()
    values = _from_to(low[numbers].min(), high[numbers].max())
    seen = f"{_names(space, numbers)} {values}, up to {share:.0f} % of the values"
    effect = (
        f"outside {expected}, to which {data.title} clips" if space.clips else f"outside {expected} of {data.title}"
    )
    parts = [part for part in space.parts if bad[part.first : part.first + part.size].any()]
    largest = float(max(abs(low[numbers]).max(), abs(high[numbers]).max()))
    units = "; ".join(f"1 is {part.scale:g} {part.unit} of {part.name}" for part in parts if part.unit)
    units = f" ({units})" if units else ""
    if parts and all(part.unit == "rad" for part in parts) and FEW_DEGREES < largest < MANY_DEGREES:
        return f"{seen} {effect}. Are these degrees? Convert them{units}."
    return f"{seen} {effect}. Undo the normalisation of the model's training, and check the units{units}."


def _gripper_ranges(data: ActionData, far: NDArray[np.bool_]) -> Iterator[str]:
    """Commands of grippers that cannot be of the benchmark's convention, grippers with the same fault in one line."""
    faults: dict[str, list[Gripper]] = {}
    for gripper in data.space.grippers:
        fault = "" if not far[gripper.index] else "range"
        faults.setdefault(fault or _gripper_fault(data, gripper), []).append(gripper)
    for fault, grippers in faults.items():
        if not fault:
            continue
        seen = f"{_gripper_range(data, grippers)} in {data.total:,} steps"
        if fault == "range":
            effect = "but"
        elif fault == "middle":
            effect = "in the middle between open and closed:"
        else:
            used = sum(_uses(data, gripper, fault) for gripper in grippers)
            effect = f"so that it {'hardly ever' if used else 'never'} {fault}:"
        yield f"{seen}, {effect} {_convention(data, grippers[0])}."


def _uses(data: ActionData, gripper: Gripper, verb: str) -> int:
    """Control steps in which a gripper opens, or in which it closes."""
    uses = [one.grippers[data.space.grippers.index(gripper)] for one in data.episodes]
    return sum(use.open if verb == "opens" else use.closed for use in uses)


def _gripper_fault(data: ActionData, gripper: Gripper) -> str:
    """``middle`` for commands near the middle only; ``opens`` or ``closes`` for the side on which there are none, if
    they fill the other one, as values from 0 to 1 do where -1 to 1 is expected; empty for a possible convention."""
    middle, half = (gripper.open + gripper.closed) / 2, abs(gripper.open - gripper.closed) / 2
    below = (middle - float(data.low[:, gripper.index].min())) / half
    above = (float(data.high[:, gripper.index].max()) - middle) / half
    if max(below, above) < FAINT:
        return "middle"
    for reach, other, value in ((above, below, gripper.open < middle), (below, above, gripper.open > middle)):
        if reach >= NEAR_END and abs(other) < FAINT:
            return "opens" if value else "closes"
    return ""


def _quaternion_faults(data: ActionData) -> Iterator[str]:
    parts = _parts(data, "quaternion")
    uses = list(zip(*(one.quaternions for one in data.episodes), strict=True))
    for part, episodes in zip(parts, uses, strict=bool(uses)):
        low, high = min(one.low for one in episodes), max(one.high for one in episodes)
        if sum(one.low < UNIT_NORM[0] or one.high > UNIT_NORM[1] for one in episodes) > len(episodes) / 2:
            yield (
                f"{part.name} has norms {_from_to(low, high)}, but {data.title} takes unit quaternions w, x, y, z. "
                "Is it another representation of rotations?"
            )
        elif all(one.start > OTHER_ROTATION and one.reordered < SAME_ROTATION for one in episodes):
            yield (
                f"{part.name} starts like the robot if read as x, y, z, w, in {_all(data)}, but {data.title} takes "
                "w, x, y, z (a remote policy's card reorders it with `action_order:`)."
            )


# ---------------------------------------------------------------------- suspicions


def _suspicions(data: ActionData) -> Iterator[str]:
    yield from _small_changes(data)
    if (data.low == data.high).all():
        yield (
            f"within {'the episode' if len(data.episodes) == 1 else 'each of ' + _count(data)}, all actions are equal. "
            "Does the policy use what it observes?"
        )
        return
    yield from _one_way(data)
    if len(data.episodes) >= EPISODES:
        yield from _equal_episodes(data)
        yield from _constant_numbers(data)
        yield from _targets(data)
        yield from _gripper_behaviour(data)


def _small_changes(data: ActionData) -> Iterator[str]:
    """Changes in metres where 1 is a few centimetres."""
    for part in data.space.parts:
        largest = _largest(data, part)
        if part.kind == "change" and part.scale <= SMALL_UNIT and 0 < largest <= 1.2 * part.scale:
            yield (
                f"{part.name} never beyond ±{largest:.2g} in {data.total:,} steps, but in {data.title} 1 is "
                f"{part.scale:g} {part.unit}. Are the values in {part.unit}? Then divide them by {part.scale:g}."
            )


def _one_way(data: ActionData) -> Iterator[str]:
    """Changes that always have one direction, as absolute positions have."""
    far = _far_outside(data)
    for part in data.space.parts:
        if part.kind != "change" or part.unit not in ("m", "rad"):
            continue
        numbers = [i for i in range(part.first, part.first + part.size) if not far[i]]
        limit = 0.5 * data.space.high
        for i in numbers:
            low, high = float(data.low[:, i].min()), float(data.high[:, i].max())
            if low < high and (low > limit[i] or high < 0.5 * data.space.low[i]):
                yield (
                    f"number {i} of the actions ({part.name}) is always {_range(low, high)}, far to one side, but "
                    f"{data.title} takes changes. Are these absolute positions?"
                )


def _equal_episodes(data: ActionData) -> Iterator[str]:
    """Failed episodes of equal length with equal actions; successful ones stop early and cannot be compared."""
    all_of = zip(data.steps.tolist(), data.episodes, data.success, strict=True)
    failed = [(steps, one.digest) for steps, one, won in all_of if not won and steps >= STEPS]
    lengths = {steps for steps, _ in failed}
    if lengths and len(set(failed)) == len(lengths) and len(failed) >= EPISODES * len(lengths):
        yield (
            f"the same actions in all {len(failed):,} failed episodes of equal length. "
            "Does the policy use what it observes?"
        )


def _constant_numbers(data: ActionData) -> Iterator[str]:
    """Numbers that never change; of targets only whole parts away from the start, since an arm may have no task."""
    low, high = data.low.min(axis=0), data.high.max(axis=0)
    constant = low == high
    starts = {part.name: [one.start[i] for one in data.episodes] for i, part in enumerate(_parts(data, "target"))}
    for part in data.space.parts:
        numbers = [i for i in range(part.first, part.first + part.size) if constant[i]]
        resting = part.kind == "target" and (len(numbers) < part.size or not min(starts[part.name]))
        if part.kind == "quaternion" or not numbers or resting:
            continue
        values = sorted({float(low[i]) for i in numbers})
        listed = f"number{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
        what = part.name if len(numbers) == part.size else f"{part.name} ({listed})"
        shown = f"always {_n(values[0])}" if len(values) == 1 else "constant"
        yield f"{what} is {shown} in {_all(data)}. Does the policy give actions of this robot, in this order?"


def _targets(data: ActionData) -> Iterator[str]:
    """Targets that are near the start throughout, or that begin far from it."""
    parts = _parts(data, "target")
    spans = np.array([(data.space.high - data.space.low)[part.first] for part in parts], float)
    if not parts or not (np.isfinite(spans) & (spans > 0)).all():
        return
    starts = np.array([one.start for one in data.episodes])  # (n, parts)
    ranges = np.array([(data.high - data.low)[:, p.first : p.first + p.size].max(axis=1) for p in parts]).T
    reach = ((starts + ranges) / spans).max()
    if reach <= NARROW:
        farthest = float((starts + ranges).max())
        yield (
            f"targets within {_n(farthest)} {parts[0].unit} of the start in {_all(data)}: the robot hardly moves. "
            f"{data.title} takes absolute targets; are these changes?"
        )
    jumping = [part for part, share in zip(parts, (starts / spans).min(axis=0), strict=True) if share > JUMP]
    if jumping:
        least = starts[:, [parts.index(part) for part in jumping]].min()
        normalised = max(_largest(data, part) for part in parts) <= 1.001
        advice = (
            "All are between -1 and 1: is the normalisation of the model's training undone?"
            if normalised
            else f"{data.title} takes absolute targets in {parts[0].unit}: check units and order of the numbers."
        )
        names = ", ".join(part.name for part in jumping)
        yield f"{names} first sent {_n(float(least))} {parts[0].unit} or more away in {_all(data)}. {advice}"


def _gripper_behaviour(data: ActionData) -> Iterator[str]:
    uses = [use for one in data.episodes for use in one.grippers]
    if not uses:
        return
    space = data.space
    known = any(_gripper_ranges(data, _far_outside(data)))
    for verb, used in (("opens", any(use.open for use in uses)), ("closes", any(use.closed for use in uses))):
        if not used and not known:
            noun = "gripper never" if len(space.grippers) == 1 else "no gripper ever"
            seen = _gripper_range(data, space.grippers)
            yield f"{noun} {verb} in {_count(data)} ({seen}): {_convention(data, space.grippers[0])}."
    steady = all(
        use.changes <= STEADY * steps
        for steps, one in zip(data.steps, data.episodes, strict=True)
        for use in one.grippers
    )
    opposed = all(use.opposes for use in uses) and steady and len(data.episodes) >= EPISODES_INVERTED
    later = sum(any(use.changes for use in one.grippers) for one in data.episodes)
    if opposed and later >= len(data.episodes) / 2:
        yield (
            f"in {_all(data)}, the first command of every gripper is the opposite of its state at the start; in "
            f"{later} it changes later. Is open exchanged with closed? {_convention(data, space.grippers[0])}."
        )


# ---------------------------------------------------------------------- words


def _parts(data: ActionData, kind: str) -> list[ActionPart]:
    return [part for part in data.space.parts if part.kind == kind]


def _largest(data: ActionData, part: ActionPart) -> float:
    numbers = slice(part.first, part.first + part.size)
    return float(max(abs(data.low[:, numbers]).max(), abs(data.high[:, numbers]).max()))


def _convention(data: ActionData, gripper: Gripper) -> str:
    return (
        f"{data.title} opens it at {_n(gripper.open)} and closes it at {_n(gripper.closed)} "
        "(a remote policy's card maps it with `gripper:`)"
    )


def _gripper_range(data: ActionData, grippers: Sequence[Gripper]) -> str:
    """The grippers and the range of their commands."""
    low = min(float(data.low[:, gripper.index].min()) for gripper in grippers)
    high = max(float(data.high[:, gripper.index].max()) for gripper in grippers)
    if len(data.space.grippers) == 1:
        return f"gripper {_from_to(low, high)}"
    which = " and ".join(str(data.space.grippers.index(gripper) + 1) for gripper in grippers)
    return f"gripper{'s' if len(grippers) > 1 else ''} {which} {_from_to(low, high)}"


def _names(space: ActionSpace, numbers: Sequence[int] | NDArray[np.int64]) -> str:
    """Names of the parts to which numbers belong; positions of numbers without a part."""
    of = {i: part.name for part in space.parts for i in range(part.first, part.first + part.size)}
    named = dict.fromkeys(of[i] for i in numbers if i in of)
    others = [str(i) for i in numbers if i not in of]
    unnamed = [f"number{'s' if len(others) > 1 else ''} {', '.join(others)} of the actions"] if others else []
    return ", ".join([*named, *unnamed])


def _count(data: ActionData) -> str:
    return "1 episode" if len(data.episodes) == 1 else f"{len(data.episodes):,} episodes"


def _all(data: ActionData) -> str:
    return "the episode" if len(data.episodes) == 1 else f"all {_count(data)}"


def _from_to(low: float, high: float) -> str:
    return f"always {_n(low)}" if low == high else f"from {_range(low, high)}"


def _range(low: float, high: float) -> str:
    return f"{_n(low)} to {_n(high)}"


def _n(value: float) -> str:
    return f"{value + 0.0:.3g}"  # no minus zero
