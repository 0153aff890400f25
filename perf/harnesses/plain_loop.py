"""The plain loop of openpi's and OpenVLA-OFT's LIBERO scripts over LIBERO's own code, with a policy server.

One process per core plays its share of the episodes. A process has one environment per task; for each episode it sets
the seed, makes a hard reset, sets the initial state and executes the settle steps. Both cameras are rendered at
256 x 256 and resized to 224 x 224 in every control step; the policy is called once per chunk. The video that openpi
writes of every episode is left out, in favour of the loop. Source: examples/libero/main.py of
Physical-Intelligence/openpi, written anew.

    python -m perf.harnesses.plain_loop serve ...      # the policy server
    python -m perf.harnesses.plain_loop play ...       # one process of the loop
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websocket

from perf.harnesses import timers
from perf.harnesses.dummy import Dummy
from perf.harnesses.job import Job, free_port, run_all, served
from wam_eval.benchmarks.libero.package import bddl_file, import_envs, init_states_file, read_init_states
from wam_eval.policies.remote.codec import pack, unpack
from wam_eval.policies.remote.mapping import resize_with_padding

RENDERED, SENT = 256, 224
"""Height and width of the images in pixels, as rendered and as sent to the policy."""
SETTLE_ACTION = [0.0] * 6 + [-1.0]


def play(job: Job) -> None:
    """Play the episodes of a job: one policy server, one process of the loop per core.

    Raises:
        HarnessFailed: a process failed.
    """
    port = free_port()
    environment = job.variables()
    this_module = [sys.executable, "-m", __name__]
    server = [*this_module, "serve", "--port", str(port), "--policy", job.policy]
    commands = [
        [
            *(*this_module, "play", "--port", str(port), "--suite", job.suite, "--assets", str(job.assets)),
            *("--names", json.dumps(dict(zip(job.tasks, job.names, strict=True)))),
            *("--instructions", json.dumps(dict(zip(job.tasks, job.instructions, strict=True)))),
            *("--episodes", json.dumps(shard), "--steps", str(job.steps), "--settle", str(job.settle)),
        ]
        for shard in job.shards()
    ]
    with served(server, environment, port, job.folder / "server.log"):
        run_all(commands, environment, job.folder)


def serve(port: int, policy: str) -> None:
    """Serve the dummy by openpi's websocket protocol, in the encoding of :mod:`wam_eval.policies.remote.codec`.

    A call of the policy blocks all clients, as in openpi's server, which calls its policy in its event loop.
    """
    dummy = Dummy(policy)

    def answer(connection: ServerConnection) -> None:
        connection.send(pack({}))
        with suppress(ConnectionClosed):
            while True:
                task, index, step = unpack(connection.recv(decode=False))["seed"]
                (actions,) = dummy.answer([(task, index, step)])
                connection.send(pack({"actions": actions}))

    options: dict[str, Any] = {"compression": None, "max_size": None, "ping_interval": None}
    with serve_websocket(answer, "127.0.0.1", port, **options) as server:
        server.serve_forever()


class Client:
    """A connection to the policy server.

    Args:
        port: port of the server on this machine.
    """

    def __init__(self, port: int) -> None:
        self._connection = connect(f"ws://127.0.0.1:{port}", compression=None, max_size=None, ping_interval=None)
        self._connection.recv()

    def infer(self, request: dict[str, Any]) -> NDArray[np.float32]:
        """Send an observation and wait for the actions, float32 (n, 7)."""
        with timers.CLOCK.stage("policy"):
            self._connection.send(pack(request))
            actions: NDArray[np.float32] = unpack(self._connection.recv(decode=False))["actions"]
        return actions


def play_episodes(
    suite: str,
    names: dict[int, str],
    instructions: dict[int, str],
    episodes: Sequence[tuple[int, int]],
    steps: int,
    settle: int,
    assets: Path,
    client: Client,
) -> None:
    """Play episodes one after the other.

    Args:
        suite: name of the LIBERO suite.
        names, instructions: index of a task -> its name, its instruction.
        episodes: (task, index) of each episode, ordered by task.
        steps, settle: control steps and settle steps of an episode.
        assets: LIBERO asset tree.
        client: connection to the policy server.
    """
    import_envs(assets)
    from libero.libero.envs import OffScreenRenderEnv

    env, current = None, None
    for task, index in episodes:
        if task != current:
            if env:
                env.close()
            bddl = str(bddl_file(suite, names[task]))
            env = OffScreenRenderEnv(bddl_file_name=bddl, camera_heights=RENDERED, camera_widths=RENDERED)
            states, current = read_init_states(init_states_file(suite, names[task])), task
        assert env is not None
        env.seed(0)
        env.reset()
        raw = env.set_init_state(states[index])
        for _ in range(settle):
            raw, *_ = env.step(SETTLE_ACTION)
        actions: deque[NDArray[np.float32]] = deque()
        for step in range(steps):
            request = _observation(raw, instructions[task])
            if not actions:
                actions.extend(client.infer({**request, "seed": [task, index, step]}))
            raw, _, done, _ = env.step(actions.popleft().tolist())
            if done:
                break


def _observation(raw: dict[str, Any], instruction: str) -> dict[str, Any]:
    """The request to the policy server.

    Args:
        raw: observation of LIBERO's environment.
    """
    import robosuite.utils.transform_utils as transforms

    images = {
        key: resize_with_padding(np.ascontiguousarray(raw[camera][::-1, ::-1]), SENT, SENT)
        for key, camera in (
            ("observation/image", "agentview_image"),
            ("observation/wrist_image", "robot0_eye_in_hand_image"),
        )
    }
    rotation = transforms.quat2axisangle(np.array(raw["robot0_eef_quat"]))
    state = np.concatenate([raw["robot0_eef_pos"], rotation, raw["robot0_gripper_qpos"]])
    return {**images, "observation/state": state, "prompt": instruction}


def main() -> None:
    """Entry point of the processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    server, player = commands.add_parser("serve"), commands.add_parser("play")
    for command in (server, player):
        command.add_argument("--port", type=int, required=True)
    server.add_argument("--policy", required=True)
    for name in ("steps", "settle"):
        player.add_argument(f"--{name}", type=int, required=True)
    for name in ("suite", "assets", "names", "instructions", "episodes"):
        player.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    if arguments.command == "serve":
        serve(arguments.port, arguments.policy)
        return
    names, instructions = (
        {int(task): text for task, text in json.loads(table).items()}
        for table in (arguments.names, arguments.instructions)
    )
    play_episodes(
        suite=arguments.suite,
        names=names,
        instructions=instructions,
        episodes=[(task, index) for task, index in json.loads(arguments.episodes)],
        steps=arguments.steps,
        settle=arguments.settle,
        assets=Path(arguments.assets),
        client=Client(arguments.port),
    )


if __name__ == "__main__":
    main()
