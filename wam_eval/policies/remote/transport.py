"""Transport: messages to and from a policy server over a websocket.

A failure states its kind, which decides what is tried next, and what the user can do. Keys come from environment
variables and appear in no text.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from enum import Enum, auto
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from websockets.exceptions import (
    ConnectionClosed,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)
from websockets.protocol import State
from websockets.sync.client import ClientConnection, connect
from websockets.uri import parse_uri

from wam_eval.errors import UserError, first_line

MOST_BYTES = 128 * 2**20
"""Size of the largest message that is received."""
PING_SECONDS = 20.0
"""Seconds between pings, which keep an idle connection open in routers and proxies. A busy server need not answer."""
LONGEST_RETRY_AFTER = 30.0
"""Longest pause in seconds that a server may ask for."""

VARIABLE = re.compile(r"\$\{(\w+)\}")
"""An environment variable in a header or an address."""
SECRET = re.compile(r"auth|key|token|secret|passw|cookie|credential|signature|^sig$", re.IGNORECASE)
"""Names of headers and of parts of an address that may hold a key."""
SECRET_FIELD = re.compile(
    r"(^|[_-])(api[_-]?key|access[_-]?key|token|secret|passw(or)?d|credentials?|authorization)$", re.IGNORECASE
)
"""Names of fields of a request that hold a key. Many other fields are keys in the sense of a map."""

_LOST_CODES = (1001, 1005, 1006, 1012, 1013, 1014)  # the server or a proxy goes away, and may come back
_REFUSED_CODES = (1002, 1003, 1007, 1008, 1009, 1010)  # every message like this one is refused


class Fault(Enum):
    """Kind of a failure of the transport."""

    UNREACHABLE = auto()
    """There is no connection; the server may be starting."""
    SILENT = auto()
    """No answer in time."""
    LOST = auto()
    """The connection broke; the server may be there again."""
    FAILED = auto()
    """The server closed the connection because of this request."""
    REFUSED = auto()
    """Trying again would give the same."""


class TransportError(Exception):
    """A message could not be exchanged.

    Args:
        what: description of the failure.
        advice: what the user can do.
        fault: kind of the failure.
        pause: seconds for which the server asks to wait before the next attempt.
    """

    def __init__(self, what: str, advice: str, fault: Fault, pause: float = 0.0) -> None:
        super().__init__(what)
        self.what, self.advice, self.fault, self.pause = what, advice, fault, pause


class Connection(Protocol):
    """A connection to a server, for one thread at a time. All methods raise :class:`TransportError`."""

    def send(self, message: bytes) -> None:
        """Send a message."""

    def receive(self, timeout: float | None = None) -> bytes | str:
        """The next message, in binary or in text.

        Args:
            timeout: seconds to wait; those of the endpoint if ``None``.
        """

    def answers(self, seconds: float) -> bool:
        """True if the other side shows within some time that it still uses this connection."""

    @property
    def open(self) -> bool:
        """False if the connection is known to be closed."""

    def close(self) -> None:
        """Close the connection; it may be closed already, and another thread may be receiving from it."""


class Endpoint:
    """The address of a websocket server, and the headers with which it is contacted.

    Args:
        uri: as the user gave it, from :func:`server_uri`; may contain ``${VARIABLE}``.
        headers: name -> value, which may contain ``${VARIABLE}``.
        timeout: seconds to wait for a connection or an answer.
        others: further texts that may contain ``${VARIABLE}``.
    """

    def __init__(self, uri: str, headers: Mapping[str, str], timeout: float, others: Iterable[str] = ()) -> None:
        self.uri, self.headers, self.timeout = uri, headers, timeout
        self._named = variables([uri, *headers.values(), *others])
        self._reached = False

    def connect(self, timeout: float | None = None) -> Connection:
        """Open a connection.

        Args:
            timeout: seconds to wait; those of the endpoint if ``None``.

        Raises:
            TransportError: it cannot be opened.
        """
        seconds = timeout or self.timeout
        stack = ExitStack()
        try:
            opened = connect(
                expand(self.uri),
                compression=None,
                max_size=MOST_BYTES,
                ping_interval=PING_SECONDS,
                # A busy server does not answer pings; `timeout` detects one that has died.
                ping_timeout=None,
                # It does not complete handshakes either while it answers another client.
                open_timeout=seconds,
                close_timeout=1.0,
                # Proxies from the environment are not meant for servers in the local network.
                proxy=True if self.uri.startswith("wss:") else None,
                additional_headers={name: expand(value) for name, value in self.headers.items()},
                create_connection=_NoRedirects,
            )
            connection = stack.enter_context(opened)
        except (OSError, WebSocketException, ValueError) as error:
            raise self._not_opened(error) from None  # a chained error might show the address with its key
        self._reached = True
        timeval = struct.pack("@ll", int(self.timeout), int(self.timeout % 1 * 1e6))
        with suppress(OSError):  # it may be closed already, which the first message shows
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)  # else sending may block
        return _WebsocketConnection(connection, stack, self)

    def redact(self, text: str) -> str:
        """A text without the values of the environment variables that the address, the headers and others name."""
        for name in self._named:
            value = os.environ.get(name, "")
            if len(value) > 2:
                text = text.replace(value, f"${{{name}}}")
        return text

    def _not_opened(self, error: Exception) -> TransportError:
        text = f"no connection: {self.redact(first_line(error))}"
        match error:
            case InvalidStatus():
                return self._bad_status(error)
            case _Redirected():
                return TransportError(text, "Give that address, if it is the right one.", Fault.REFUSED)
            case ssl.SSLCertVerificationError():
                advice = "Is it the right host? Add the server's certificate authority to SSL_CERT_FILE."
                return TransportError(text, advice, Fault.REFUSED)
            case ssl.SSLError():
                return TransportError(text, "Does it use TLS? If not, write ws://.", Fault.REFUSED)
            case socket.gaierror() | UnicodeError() if not self._reached:
                text = f"no connection: the host's name cannot be resolved ({self.redact(first_line(error))})"
                return TransportError(text, "Is it right?", Fault.REFUSED)
            case InvalidMessage() if isinstance(error.__cause__, EOFError):
                text = "no connection: it closed the connection during the handshake"
                return TransportError(text, "Look at its log.", Fault.UNREACHABLE)
            case InvalidMessage():
                text += f" ({self.redact(first_line(error.__cause__))})" if error.__cause__ else ""
                advice = "Does a websocket server listen at this port? If it uses TLS, write wss://."
                return TransportError(text, advice, Fault.REFUSED)
            case OSError():
                return TransportError(text, "Does it run at this host and port?", Fault.UNREACHABLE)
        return TransportError(text, "Does a websocket server listen at this address?", Fault.REFUSED)

    def _bad_status(self, error: InvalidStatus) -> TransportError:
        response = error.response
        status = response.status_code
        said = re.sub(r"\s+", " ", (response.body or b"").decode("utf-8", "replace")).strip()
        text = f"no connection: HTTP {status}" + (f": {self.redact(said)[:200]}" if said else "")
        used = variables(self.headers.values())
        if status in (408, 425, 429) or status >= 500:
            try:
                pause = float(response.headers.get("Retry-After", "0"))
            except ValueError:  # a date
                pause = 0.0
            advice = "It is overloaded, or still starting."
            return TransportError(text, advice, Fault.UNREACHABLE, min(max(pause, 0.0), LONGEST_RETRY_AFTER))
        if status in (401, 403, 407):
            advice = (
                f"Is the key in {', '.join(used)} right?"
                if used
                else "It wants a key: put it into an environment variable and name that in the card, such as headers: "
                '{Authorization: "Api-Key ${MY_KEY}"}.'
            )
        elif status == 404:
            advice = "There is a web server, but nothing at this path."
        else:
            advice = "Is it a websocket server?"
        return TransportError(text, advice, Fault.REFUSED)


class _Redirected(WebSocketException):
    """The server sends its clients elsewhere. This is not followed, because the headers are meant for this server."""


class _NoRedirects(ClientConnection):
    """A connection that treats a redirect as an error."""

    def handshake(self, *arguments: Any, **options: Any) -> None:
        try:
            super().handshake(*arguments, **options)
        except InvalidStatus as error:
            if 300 <= error.response.status_code < 400:
                where = str(error.response.headers.get("Location", "nowhere"))
                raise _Redirected(f"HTTP {error.response.status_code}: moved to {where[:200]}") from None
            raise


class _WebsocketConnection:
    """A websocket of :class:`Endpoint`; see :class:`Connection`."""

    def __init__(self, connection: ClientConnection, stack: ExitStack, endpoint: Endpoint) -> None:
        self._connection, self._stack, self._endpoint = connection, stack, endpoint

    @property
    def open(self) -> bool:
        """See :class:`Connection`."""
        return self._connection.protocol.state is State.OPEN

    def send(self, message: bytes) -> None:
        """See :class:`Connection`."""
        try:
            self._connection.send(message)
        except ConnectionClosed as error:
            if isinstance(error.__cause__, BlockingIOError):
                raise TransportError("it does not read its requests", "Look at its log.", Fault.SILENT) from None
            raise self._closed(error, sent=False) from None
        except (OSError, WebSocketException) as error:
            raise self._broken(error) from None

    def receive(self, timeout: float | None = None) -> bytes | str:
        """See :class:`Connection`."""
        seconds = timeout or self._endpoint.timeout
        try:
            message: bytes | str = self._connection.recv(timeout=seconds)
        except TimeoutError:
            advice = "Look at its log; a slow model needs a longer `timeout` in the policy's YAML."
            raise TransportError(f"no answer within {seconds:g} s", advice, Fault.SILENT) from None
        except ConnectionClosed as error:
            raise self._closed(error, sent=True) from None
        except (OSError, WebSocketException) as error:
            raise self._broken(error) from None
        return self._endpoint.redact(message) if isinstance(message, str) else message

    def answers(self, seconds: float) -> bool:
        """See :class:`Connection`."""
        try:
            return self._connection.ping().wait(seconds) and self.open
        except (OSError, WebSocketException):
            return False

    def close(self) -> None:
        """See :class:`Connection`."""
        with suppress(OSError, WebSocketException):
            self._stack.close()

    def _closed(self, error: ConnectionClosed, sent: bool) -> TransportError:
        """The failure in a closing frame.

        Args:
            sent: True if the server had a request to answer.
        """
        if error.rcvd is None and error.sent is not None and error.sent.code == 1009:
            text = f"it sent a message of more than {MOST_BYTES // 2**20} MiB"
            return TransportError(text, "A reply needs only actions.", Fault.REFUSED)
        if error.rcvd is None:
            return self._broken(error)
        code, reason = error.rcvd.code, self._endpoint.redact(error.rcvd.reason).strip()
        text = f"it closed the connection with code {code}" + (f": {reason}" if reason else "")
        if code in _REFUSED_CODES:
            advice = {
                1003: "Does it expect text instead of msgpack?",
                1008: "Does it want a key, or serve other clients only?",
                1009: "The request is too large for it: raise its limit (`max_size`), or send smaller images.",
            }.get(code, "Does it speak openpi's protocol?")
            return TransportError(text, advice, Fault.REFUSED)
        # A server whose model computes for long may miss the pongs to its own pings.
        if not sent or code in _LOST_CODES or "keepalive" in reason:
            return TransportError(f"the connection broke: {text}", "Look at its log.", Fault.LOST)
        return TransportError(text, "Look at its log.", Fault.FAILED)

    def _broken(self, error: Exception) -> TransportError:
        text = f"the connection broke: {self._endpoint.redact(first_line(error))}"
        return TransportError(text, "Look at its log: has it crashed?", Fault.LOST)


def server_uri(address: str) -> str:
    """The websocket URI of an address, in which environment variables are still named.

    Raises:
        UserError: the address is not valid, or contains a key.
    """
    bare = "://" not in address
    uri = f"ws://{address}" if bare else address
    plain = VARIABLE.sub("x", uri)
    try:
        parse_uri(plain)
        good = not re.search(r"\s", plain) and (not bare or re.search(r":\d+$", plain) is not None)
    except (InvalidURI, ValueError):
        good = False
    found = _literal_secret(uri) if good else None
    if found:
        raise UserError(
            f"the address of the policy server contains {found}, which would be stored with the run: write ${{NAME}}, "
            "the name of an environment variable, in its place, or use `headers` in the policy's YAML"
        )
    if not good:
        shown = re.sub(r"//[^/]*@", "//…@", address)
        raise UserError(
            f"{shown!r} is not the address of a policy server: give host:port, ws://host:port or wss://host:port"
        )
    return uri


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse headers that cannot be sent, or that contain a key instead of the name of an environment variable.

    Raises:
        ValueError: the text contains no value of a header.
    """
    for name, value in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
            raise ValueError(f"{name!r} is not the name of a header")
        if not value.isprintable() or not value.isascii():
            raise ValueError(f"the header {name} has characters that cannot be sent")
        if SECRET.search(name) and not VARIABLE.search(value):
            raise ValueError(
                f"the value of the header {name} would be stored with the run: put the key into an environment "
                "variable, and write its name, such as ${MY_KEY}, in its place"
            )


def check_message(message: Any) -> None:
    """Refuse a request that contains a key instead of the name of an environment variable.

    Raises:
        ValueError: the text contains no value of the request.
    """
    if isinstance(message, list):
        for value in message:
            check_message(value)
    elif isinstance(message, dict):
        for name, value in message.items():
            if isinstance(value, str) and SECRET_FIELD.search(name) and not VARIABLE.search(value):
                raise ValueError(
                    f"the value of {name!r} would be stored with the run: put the key into an environment variable, "
                    "and write its name, such as ${MY_KEY}, in its place"
                )
            check_message(value)


def check_variables(texts: Iterable[str]) -> None:
    """Check that the environment variables in some texts are set.

    Raises:
        ValueError: names the variable.
    """
    for name in variables(texts):
        value = os.environ.get(name)
        if not value:
            raise ValueError(
                f"the environment variable {name} is not set on {socket.gethostname()}; set it where the run is "
                "started, and on every machine that has a worker"
            )
        if not value.isprintable() or not value.isascii():
            raise ValueError(
                f"the environment variable {name} has characters that cannot be sent, such as a line break"
            )


def variables(texts: Iterable[str]) -> list[str]:
    """Names of the environment variables in some texts, each once."""
    return list(dict.fromkeys(name for text in texts for name in VARIABLE.findall(text)))


def expand(text: str) -> str:
    """A text with the values of its environment variables; an empty one if a variable is not set."""
    return VARIABLE.sub(lambda match: os.environ.get(match[1], ""), text)


def texts_of(message: Any) -> list[str]:
    """All texts in a request, without its keys."""
    if isinstance(message, dict | list):
        values = message.values() if isinstance(message, dict) else message
        return [text for value in values for text in texts_of(value)]
    return [message] if isinstance(message, str) else []


def map_texts(message: Any, change: Callable[[str], Any]) -> Any:
    """A request with each of its texts, but not its keys, replaced by what ``change`` makes of it."""
    if isinstance(message, dict):
        return {name: map_texts(value, change) for name, value in message.items()}
    if isinstance(message, list):
        return [map_texts(value, change) for value in message]
    return change(message) if isinstance(message, str) else message


def expand_message(message: Any) -> Any:
    """A request with the values of the environment variables that its texts name."""
    return map_texts(message, expand)


def _literal_secret(uri: str) -> str | None:
    """Description of a key in an address; ``None`` if there is none."""
    parts = urlsplit(uri)
    user = parts.netloc.rpartition("@")[0]
    if user and not VARIABLE.search(user.rpartition(":")[2]):
        return "a password or a user's name"
    for name, value in parse_qsl(parts.query):
        if SECRET.search(name) and not VARIABLE.search(value):
            return f"the value of {name!r}"
    return None
