"""Policy servers for tests: one that speaks openpi's protocol and follows a script, and one that never reads."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.sync.server import ServerConnection, serve

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1\nValueError: no such prompt\n'
HANG_UP = object()


def array(values: Any, dtype: str = "<f4") -> dict[bytes, Any]:
    """An array as openpi's server encodes it."""
    values = np.asarray(values, dtype)
    head = {b"__ndarray__": True, b"dtype": values.dtype.str, b"shape": values.shape}
    return {**head, b"data": values.tobytes()}


def reply(actions: Any, **others: Any) -> bytes:
    """A reply with an encoded array of actions."""
    encoded: bytes = msgpack.packb({"actions": actions, **others})
    return encoded


GOOD = reply(array(np.full((8, 7), 0.25)), server_timing={"infer_ms": 12.5})


def claim(name: bytes, value: Any) -> bytes:
    """A reply whose array has a wrong description."""
    return reply({**array([[1.0]]), name: value})


MALFORMED = {
    "nothing": b"",
    "no msgpack": b"\xc1 garbage",
    "trailing bytes": GOOD + b"\x00",
    "torn": GOOD[:-3],
    "no map": msgpack.packb([1, 2]),
    "no actions": msgpack.packb({"action": 1}),
    "text": reply(array([["x"]], "<U1")),
    "dates": reply(array([[0]], "<M8[s]")),
    "complex": reply(array([[0]], "<c8")),
    "objects": claim(b"dtype", "|O"),
    "records": claim(b"dtype", "<f2,<f2"),
    "subarrays": claim(b"dtype", "(2,)<f2"),
    "no such type": claim(b"dtype", "<f3"),
    "type is no text": claim(b"dtype", 7),
    "too few bytes": claim(b"shape", (2, 7)),
    "negative shape": claim(b"shape", (-1, -1)),
    "huge shape": claim(b"shape", (2**40, 2**40)),
    "empty and huge": reply({**array(np.zeros((0, 7))), b"shape": (2**62, 2**62, 0)}),
    "shape is no list": claim(b"shape", 1),
    "shape is no integer": claim(b"shape", (1.0, 1.0)),
    "no bytes": claim(b"data", "abcd"),
}


@dataclass(frozen=True)
class Close:
    """An answer that closes the connection with a code and a reason instead of a reply."""

    code: int
    reason: str = ""


class Server:
    """Answers the n-th request with ``answers[n]``, and all later ones with the last answer.

    Args:
        answers: each is bytes or text to send, ``HANG_UP``, a :class:`Close`, seconds to be silent, or a function of
            the request that gives one of these.
        greeting: first message to each client, or a function of the number of the connection that gives it; ``None``
            for no greeting.
        listener: listening socket; a new one on a free port if ``None``.
        process_request: looks at the HTTP request before the connection is opened, as in websockets.
        most: clients that are served at a time; further ones are hung up on.
        serial: True to answer one request at a time.

    Attributes:
        requests: all requests, in order of arrival.
        connections: number of clients that were served so far.
        threads: number of the connection of each request.
        busiest: largest number of requests that were answered at the same time.
    """

    def __init__(
        self,
        answers: Sequence[Any],
        greeting: Any = b"\x80",
        listener: socket.socket | None = None,
        process_request: Callable[[ServerConnection, Request], Response | None] | None = None,
        most: int | None = None,
        serial: bool = False,
    ) -> None:
        self.answers, self.greeting = answers, greeting
        self.requests: list[dict[Any, Any]] = []
        self.threads: list[int] = []
        self.connections = self.busiest = 0
        self._answering = 0
        self._serving: set[ServerConnection] = set()
        self._most = most
        self._turn: contextlib.AbstractContextManager[Any] = threading.Lock() if serial else contextlib.nullcontext()
        self._lock = threading.Lock()
        self._released = threading.Event()
        listener = listener or socket.create_server(("127.0.0.1", 0))
        self._server = serve(
            self._handle, sock=listener, compression=None, max_size=None, process_request=process_request
        )
        self.address = f"127.0.0.1:{self._server.socket.getsockname()[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _handle(self, connection: ServerConnection) -> None:
        with self._lock:
            if self._most is not None and len(self._serving) >= self._most:
                connection.close_socket()
                return
            self._serving.add(connection)
            self.connections += 1
            number = self.connections
        try:
            self._answer_all(connection, number)
        except ConnectionClosed:
            pass
        finally:
            with self._lock:
                self._serving.discard(connection)

    def _answer_all(self, connection: ServerConnection, number: int) -> None:
        greeting = self.greeting(number) if callable(self.greeting) else self.greeting
        if greeting is not None:
            connection.send(greeting)
        for message in connection:
            with self._lock:
                self.requests.append(msgpack.unpackb(message, strict_map_key=False))
                self.threads.append(number)
                request, count = self.requests[-1], len(self.requests)
            with self._turn:
                with self._lock:
                    self._answering += 1
                    self.busiest = max(self.busiest, self._answering)
                answer = self.answers[min(count, len(self.answers)) - 1]
                if callable(answer):
                    answer = answer(request)
                with self._lock:
                    self._answering -= 1
            if answer is HANG_UP:
                connection.close_socket()
                return
            if isinstance(answer, Close):
                connection.close(answer.code, answer.reason)
                return
            if isinstance(answer, float):
                self._released.wait(answer)
                return
            connection.send(answer)
            if isinstance(answer, str):
                connection.close(1011, "as openpi does")
                return

    def close(self) -> None:
        """Close the port and all connections, as a server that is killed does."""
        self._released.set()
        self._server.shutdown()
        with self._lock:
            serving = list(self._serving)
        for connection in serving:
            connection.close_socket()


class DeafServer:
    """Completes the handshake, greets, and never reads again."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._accepted: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> DeafServer:
        threading.Thread(target=self._greet, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in (self._listener, *self._accepted):
            connection.close()

    def _greet(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._accepted.append(connection)
                protocol = ServerProtocol()
                protocol.receive_data(connection.recv(65536))
                (request,) = protocol.events_received()
                assert isinstance(request, Request)
                protocol.send_response(protocol.accept(request))
                protocol.send_binary(msgpack.packb({}))
                connection.sendall(b"".join(protocol.data_to_send()))
