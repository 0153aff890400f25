"""Fingerprints of a suite on this machine: SHA-256 digests of the simulation under fixed actions.

Two machines whose fingerprints are equal simulate these episodes alike. From episodes 0 and 1 of each task, 40 fixed
actions are executed, those of :meth:`wam_eval.benchmark.ActionSpace.probe` with the random stream ``default_rng(123)``.
The benchmark's ``fingerprint_settings`` and ``fingerprint_seed`` replace these settings and the seeds of the protocol;
all other settings stay those of the protocol card.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from wam_eval import config
from wam_eval.benchmark import ActionSpace
from wam_eval.episode import Episode
from wam_eval.hosting.process import SimulatorProcess
from wam_eval.observation import Request
from wam_eval.places import temporary_log
from wam_eval.run.plan import plan_run

STEPS = (10, 20, 40)
"""Control steps after which the state is hashed."""
EPISODES = 2
"""Episodes of each task, or fewer if its suite has fewer."""


def fingerprint_suite(
    suite: str,
    tasks: str | None = None,
    protocol: str | None = None,
    settings: Mapping[str, Any] | None = None,
    images: bool = True,
) -> list[dict[str, Any]]:
    """Fingerprint the tasks of a suite.

    Args:
        suite, tasks, protocol, settings: as in :func:`wam_eval.run.plan.plan_run`.
        images: True to render the first observation; otherwise no renderer is needed and ``frames`` are empty.

    Returns:
        A list of ``{suite, task, index, fixtures, state: {settled, 10, 20, 40}, frames: {camera: ...}}``. All digests
        are SHA-256: ``state`` and ``fixtures`` as :meth:`wam_eval.simulator.Simulator.fingerprint` gives them,
        ``fixtures`` before the first action and empty if a benchmark has none; ``frames`` of the images of the first
        observation. Tasks that cannot be played here are left out.

    Raises:
        UserError: an unknown name or a missing installation.
        SimulatorError: the simulator failed.
    """
    found = []
    episodes = min(EPISODES, *(config.load_suite(name).trials for name in config.elementary(suite)))
    for plan in plan_run(suite, protocol, tasks, episodes, settings=settings):
        benchmark = plan.benchmark
        used = {**plan.protocol.settings, **benchmark.fingerprint_settings}
        space = benchmark.action_space(used)
        request = Request(cameras=tuple(camera.name for camera in benchmark.cameras(used)) if images else ())
        spec = plan.installation.spec(used, images=images)
        with temporary_log("fingerprint.log") as log, SimulatorProcess(spec, log) as simulator:
            playable = [episode for episode in plan.episodes if episode.key not in plan.not_run]
            for episode in tqdm(playable, desc=plan.name, unit="episode", leave=False):
                seed = episode.seed if benchmark.fingerprint_seed is None else benchmark.fingerprint_seed
                episode = replace(episode, seed=seed, step_limit=STEPS[-1])
                found.append(_fingerprint(simulator, episode, request, space))
    return found


def _fingerprint(simulator: SimulatorProcess, episode: Episode, request: Request, space: ActionSpace) -> dict[str, Any]:
    observation = simulator.load(episode, request)
    settled = simulator.fingerprint()
    state = {"settled": settled["state"]}
    actions = space.probe(observation.state, STEPS[-1], np.random.default_rng(123))
    for start, end in zip((0, *STEPS), STEPS, strict=False):
        simulator.step(actions[start:end], None)
        state[str(end)] = simulator.fingerprint()["state"]
    return {
        "suite": episode.suite,
        "task": episode.task,
        "index": episode.index,
        "fixtures": settled.get("fixtures", ""),
        "state": state,
        "frames": {name: hashlib.sha256(image.tobytes()).hexdigest() for name, image in observation.images.items()},
    }
