"""Connections to a server: as many at a time as it serves, all with the same metadata."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgpack
import pytest
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

from tests.policies.openpi_server import GOOD, HANG_UP, Server
from tests.policies.remote.conftest import Client, Start, ask, observation
from wam_eval.policies.remote import Remote
from wam_eval.policies.remote.connections import PolicyChanged
from wam_eval.policy import PolicyUnavailable


def together(count: int) -> Any:
    """An answer that waits until as many requests have arrived."""
    barrier = threading.Barrier(count, timeout=5.0)

    def answer(request: dict[str, Any]) -> bytes:
        barrier.wait()
        return GOOD

    return answer


def ask_at_once(remote: Remote, count: int) -> None:
    """Ask from several threads, each with an observation."""
    with ThreadPoolExecutor(count) as pool:
        for answered in [pool.submit(ask, remote, observation(step)) for step in range(count)]:
            answered.result()


def named(*names: str) -> Any:
    """Greetings of the first connections; the last one is that of all further ones."""
    return lambda number: msgpack.packb({"name": names[min(number, len(names)) - 1]})


def test_requests_that_wait_at_the_same_time_are_answered_at_the_same_time(start: Start, client: Client) -> None:
    server = start([together(4)])
    remote = client(server.address)
    remote.prepare([])
    ask_at_once(remote, 4)
    assert server.busiest == 4 and server.connections == 4


def test_a_server_that_answers_one_after_the_other_gets_the_same_requests(start: Start, client: Client) -> None:
    server = start([GOOD], serial=True)
    remote = client(server.address)
    remote.prepare([])
    ask_at_once(remote, 4)
    assert server.busiest == 1 and len(server.requests) == 4


def test_connections_are_used_again(start: Start, client: Client) -> None:
    server = start([GOOD])
    remote = client(server.address)
    ask(remote, *(observation(step) for step in range(5)))
    assert server.connections == 1


def test_the_card_may_limit_the_connections(start: Start, client: Client) -> None:
    server = start([GOOD])
    remote = client(server.address, connections=2)
    remote.prepare([])
    ask_at_once(remote, 6)
    assert server.connections == 2 and len(server.requests) == 6
    alone = start([GOOD])
    remote = client(alone.address, connections=1)
    remote.prepare([])
    ask_at_once(remote, 3)
    assert alone.connections == 1


def test_a_server_that_serves_one_client_is_used_over_one_connection(start: Start, client: Client) -> None:
    server = start([GOOD], most=1)
    remote = client(server.address)
    remote.prepare([])
    ask_at_once(remote, 4)
    assert server.connections == 1 and len(server.requests) == 4


def test_a_server_that_lets_further_clients_wait_is_used_over_one_connection(start: Start, client: Client) -> None:
    clients: list[int] = []
    released = threading.Event()

    def wait(connection: ServerConnection, request: Request) -> Response | None:
        clients.append(len(clients))
        if len(clients) > 1:
            released.wait(5.0)
        return None

    server = start([GOOD], process_request=wait)
    remote = client(server.address)
    remote.prepare([])
    ask_at_once(remote, 3)
    assert server.connections == 1 and len(server.requests) == 3
    released.set()


class LastClientOnly(Server):
    """Hangs up on a client when another one comes."""

    def _answer_all(self, connection: Any, number: int) -> None:
        with self._lock:
            others = [one for one in self._serving if one is not connection]
        for other in others:
            other.close_socket()
        super()._answer_all(connection, number)


def test_a_server_that_serves_the_last_client_is_used_over_one_connection(client: Client) -> None:
    server = LastClientOnly([GOOD])
    remote = client(server.address)
    remote.prepare([])
    ask_at_once(remote, 4)
    assert server.connections == 2 and len(server.requests) == 4
    server.close()


def test_a_server_that_serves_few_clients_is_used_over_as_many(start: Start, client: Client) -> None:
    """Requests wait for a connection, and none is lost."""
    server = start([GOOD, GOOD, together(2), together(2)], most=2)
    server.answers = [together(2)]
    remote = client(server.address)
    remote.prepare([])
    ask_at_once(remote, 6)
    assert server.connections == 2 and server.busiest == 2 and len(server.requests) == 6


def test_after_a_restart_of_the_server_all_connections_are_made_again(start: Start, client: Client) -> None:
    server = start([together(3)])
    remote = client(server.address)
    remote.prepare([])
    ask_at_once(remote, 3)
    server.answers = [HANG_UP] * 4 + [GOOD]
    ask(remote)
    server.answers = [together(3)]
    ask_at_once(remote, 3)
    assert server.busiest == 3


# Metadata


def test_metadata_are_facts_before_the_first_episode(start: Start, client: Client) -> None:
    server = start([GOOD], msgpack.packb({"name": "pi0", "started": 12, "pose": [0.0, 1.0]}))
    remote = client(server.address, ignored_metadata=["started"])
    remote.prepare([])
    assert remote.identity() == {"server": {"name": "pi0", "pose": [0.0, 1.0]}} and not server.requests


def test_a_server_may_say_nothing_about_itself(start: Start, client: Client) -> None:
    remote = client(start([GOOD]).address)
    remote.prepare([])
    assert remote.identity() == {"server": {}}
    silent = client(start([GOOD], None).address, greeting=False)
    silent.prepare([])
    assert silent.identity() == {"server": {}} and ask(silent)


def test_a_server_without_a_greeting_is_told_from_one_that_is_slow(start: Start, client: Client) -> None:
    with pytest.raises(PolicyUnavailable, match=r"sent no greeting: no answer within 0\.2 s.*`greeting: false`"):
        client(start([GOOD], None).address, timeout=0.2).prepare([])


def test_another_policy_at_the_same_address_stops_the_run(start: Start, client: Client) -> None:
    server = start([GOOD, HANG_UP, GOOD], named("pi0", "pi0.5"))
    remote = client(server.address)
    ask(remote)
    with pytest.raises(PolicyChanged, match=r"name: 'pi0' then, 'pi0\.5' now.*`ignored_metadata`"):
        ask(remote)
    assert len(server.requests) == 2, "the new policy is asked nothing"


def test_two_policies_behind_one_address_are_noticed(start: Start, client: Client) -> None:
    server = start([GOOD], named("pi0", "pi0.5"))
    with pytest.raises(PolicyChanged, match="another policy answers at ws://"):
        client(server.address).prepare([])


def test_metadata_that_change_with_every_connection_may_be_ignored(start: Start, client: Client) -> None:
    server = start([GOOD, HANG_UP, GOOD], named("1", "2", "3"))
    remote = client(server.address, ignored_metadata=["name"])
    remote.prepare([])
    ask(remote, observation(0), observation(1))
    assert server.connections >= 3


def test_a_further_run_of_a_loaded_policy_may_meet_another_server(start: Start, client: Client) -> None:
    server = start([GOOD], named("pi0", "pi0", "pi0.5"))
    remote = client(server.address)
    for name in ("pi0", "pi0.5"):
        remote.prepare([])
        assert remote.identity()["server"]["name"] == name


def test_closing_ends_requests_in_progress(start: Start, client: Client) -> None:
    server = start([30.0])
    remote = client(server.address, timeout=20.0)
    remote.prepare([])
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, remote)
        while not server.requests:
            pass
        remote.close()
        with pytest.raises(PolicyUnavailable, match="its connections were closed"):
            asked.result(5.0)
