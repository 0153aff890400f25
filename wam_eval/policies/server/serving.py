"""Serving: load a policy and let other programs ask it over a protocol of theirs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from wam_eval import config
from wam_eval.benchmark import Benchmark, load_benchmark
from wam_eval.errors import UserError, unknown
from wam_eval.policies.remote.policy import RemoteSettings
from wam_eval.policies.remote.reverse_mapping import ReverseMapping
from wam_eval.policies.server.dialogue import Dialogue
from wam_eval.policies.server.gr00t import Gr00tDialogue
from wam_eval.policies.server.listeners import Address, Limits, listen_tcp, listen_websocket
from wam_eval.policies.server.openpi import OpenPiDialogue
from wam_eval.policies.server.service import BATCH_WAIT, Service
from wam_eval.policies.server.vla_eval import VlaEvalDialogue
from wam_eval.policies.server.xpolicylab import XPolicyLabDialogue, XPolicyLabTcpDialogue
from wam_eval.policy import Policy, checkpoint_digest, make_policy, policy_arguments

DIALOGUES: Mapping[str, type[Dialogue]] = {
    "openpi": OpenPiDialogue,
    "vla-eval": VlaEvalDialogue,
    "xpolicylab": XPolicyLabDialogue,
    "xpolicylab-tcp": XPolicyLabTcpDialogue,
    "gr00t": Gr00tDialogue,
}
"""Name of a protocol -> its server side."""
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
CLIENT = "wam_eval.policies.remote:Remote"
"""Class of the policies whose YAML files describe layouts."""


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class ServeRequest:
    """A policy to serve.

    Attributes:
        policy: name of the policy, or path of its YAML file.
        protocol: a key of :data:`DIALOGUES`.
        suite: suite whose cameras, state and actions the clients use.
        checkpoint: that of the policy.
        layout: policy whose YAML file describes the keys of requests and replies, or path of such a file; the one that
            fits if ``None``.
        settings: settings of the benchmark.
        host, port: address to listen at; the protocol's usual port if ``None``, any free one if 0.
        key: name of the environment variable with the API key; no key if ``None``.
        limits: limits for clients.
        batch_wait: seconds for which a batch waits for further clients.
    """

    policy: str
    protocol: str
    suite: str
    checkpoint: str | None = None
    layout: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int | None = None
    key: str | None = None
    limits: Limits = DEFAULT_LIMITS
    batch_wait: float = BATCH_WAIT


@dataclass(frozen=True)
class Served:
    """A policy that is being served.

    Attributes:
        address: URI for clients.
        layout: name of the layout.
        service: the service.
        exposed: True if other machines can reach it and need no key.
    """

    address: str
    layout: str
    service: Service
    exposed: bool


def serve(request: ServeRequest, ready: Callable[[Served], None]) -> None:
    """Serve a policy until the process is stopped.

    Args:
        ready: called when clients may connect.

    Raises:
        UserError: a name is unknown, the policy does not fit the suite or the layout, or the address is taken.
    """

    async def run() -> None:
        async with serving(request) as served:
            ready(served)
            await asyncio.Event().wait()

    asyncio.run(run())


@asynccontextmanager
async def serving(request: ServeRequest) -> AsyncIterator[Served]:
    """Serve a policy inside of a block. Raises the errors of :func:`serve`."""
    if request.protocol not in DIALOGUES:
        raise unknown("protocol", request.protocol, DIALOGUES)
    kind, key = DIALOGUES[request.protocol], _key(request.key)
    if key is not None and kind.framing is not None and not kind.checks_key:
        raise UserError(f"the protocol {request.protocol} has no place for an API key: use another protocol")
    benchmark, suites = _benchmark(request)
    policy, layout, service = _load(request, benchmark, suites)
    listen = listen_websocket if kind.framing is None else partial(listen_tcp, framing=kind.framing)
    port = kind.port if request.port is None else request.port
    runner = asyncio.create_task(service.batches.run())
    try:
        async with listen(
            kind, service=service, host=request.host, port=port, limits=request.limits, key=key
        ) as address:
            exposed = request.host not in LOCAL_HOSTS and key is None
            yield Served(_uri(kind, address), layout, service, exposed)
    finally:
        runner.cancel()
        service.batches.close()
        policy.close()


def layouts(protocol: str) -> list[str]:
    """Names of all policies whose YAML files describe layouts of a protocol."""
    default = RemoteSettings.model_fields["protocol"].default
    return [
        name
        for name in config.names("policies")
        for card in [config.load_policy(name)]
        if card.policy == CLIENT and card.settings.get("protocol", default) == protocol
    ]


def _benchmark(request: ServeRequest) -> tuple[Benchmark, list[str]]:
    """The benchmark of the suite with the settings of policy and request, and the elementary suites."""
    suites = config.elementary(request.suite)
    benchmark = load_benchmark(str(config.load_suite(suites[0]).benchmark))
    settings = {**config.load_policy(request.policy).protocol_settings, **request.settings}
    return benchmark.with_settings(settings), suites


def _load(request: ServeRequest, benchmark: Benchmark, suites: list[str]) -> tuple[Policy, str, Service]:
    card = config.load_policy(request.policy)
    arguments = policy_arguments(card, request.checkpoint, {benchmark.name})
    settings = benchmark.card(None)[1].settings
    space, cameras = benchmark.action_space(settings), benchmark.cameras(settings)
    policy = make_policy(card, arguments)
    try:
        if policy.spec.privileged:
            raise UserError(f"policy {card.title!r} reads the simulator's own state, which no client sends")
        if policy.spec.action_dim not in (None, space.dim):
            raise UserError(
                f"policy {card.title!r} gives actions of {policy.spec.action_dim} numbers; {request.suite} takes "
                f"{space.dim}"
            )
        make = partial(
            ReverseMapping,
            cameras=cameras,
            wanted=policy.spec.cameras,
            state_dim=benchmark.state_dim(settings),
            space=space,
        )
        layout, keys, mapping = _layout(request, make)
        policy.action_spaces = dict.fromkeys(suites, space)
        tasks = {
            task.instruction: (suite, index, task.name)
            for suite in suites
            for index, task in enumerate(config.load_suite(suite).tasks)
        }
        policy.prepare(list(tasks))
        identity = {"policy": card.title, **policy.identity()}
        if digest := checkpoint_digest(arguments.get("checkpoint")):
            identity["checkpoint_sha256"] = digest
    except BaseException:
        policy.close()
        raise
    return policy, layout, Service(policy, keys, mapping, suites[0], tasks, identity, request.batch_wait)


def _layout(
    request: ServeRequest, make: Callable[[RemoteSettings], ReverseMapping]
) -> tuple[str, RemoteSettings, ReverseMapping]:
    """The layout that the request names, or the only one that fits."""
    if request.layout is not None:
        card = config.load_policy(request.layout)
        if card.policy != CLIENT:
            raise UserError(f"{request.layout} is no layout; those of {request.protocol}: {_listed(request.protocol)}")
        settings = _settings(card.settings)
        if settings.protocol != request.protocol:
            raise UserError(f"{request.layout} is a layout of the protocol {settings.protocol}, not {request.protocol}")
        return request.layout, settings, make(settings)
    fitting, reasons = {}, []
    for name in layouts(request.protocol):
        try:
            settings = _settings(config.load_policy(name).settings)
            fitting[name] = name, settings, make(settings)
        except UserError as error:
            reasons.append(f"{name}: {error}")
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if fitting:
        raise UserError(f"several layouts of {request.protocol} fit: choose one of {', '.join(fitting)} with --layout")
    raise UserError(f"no layout of {request.protocol} fits {request.policy} on {request.suite}: {'; '.join(reasons)}")


def _settings(settings: Mapping[str, Any]) -> RemoteSettings:
    """The settings of a layout. What concerns the connection of a client is left out."""
    used = {name: value for name, value in settings.items() if name not in ("headers", "checkpoint", "begin", "end")}
    return RemoteSettings.model_validate({"checkpoint": "localhost:1", **used})


def _listed(protocol: str) -> str:
    return ", ".join(layouts(protocol)) or "none"


def _key(name: str | None) -> str | None:
    """The API key in an environment variable. Raises :class:`UserError` if it is not set."""
    if name is None:
        return None
    if key := os.environ.get(name, "").strip():
        return key
    raise UserError(f"the environment variable {name}, which should hold the API key, is not set")


def _uri(kind: type[Dialogue], address: Address) -> str:
    scheme = "ws" if kind.framing is None else "tcp"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{scheme}://{host}:{address.port}"
