"""openpi's protocol: the server greets with a map of metadata, then answers each request with one reply.

A message in text is the traceback of a server that failed. Other servers state an error in a map.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from wam_eval.policies.remote.codec import DecodeError, unpack

MOST_METADATA = 2**16
"""Characters of metadata, as JSON, above which only a digest is kept."""
OTHER_PROTOCOL = "Does it speak openpi's protocol (openpi's scripts/serve_policy.py)?"

_MOST_LISTED = 12
_SMALL = 64  # numbers of an array that are kept one by one


class RemoteError(Exception):
    """The server could not answer one request; the text is the error that it stated."""


class ReplyError(Exception):
    """A message that is not as expected. The text says what was found.

    Args:
        found: description of the message.
        advice: what the user can do.
    """

    def __init__(self, found: str, advice: str = OTHER_PROTOCOL) -> None:
        super().__init__(f"{found}. {advice}")
        self.found, self.advice = found, advice


def read_greeting(message: bytes | str) -> dict[str, Any]:
    """The metadata in a server's first message.

    Raises:
        ReplyError: it is no map of metadata.
    """
    if isinstance(message, str):
        raise ReplyError(f"its first message is the text {_last_line(message)!r:.200}, not a map of metadata")
    try:
        metadata = unpack(message)
    except DecodeError as error:
        raise ReplyError(f"its first message is {error}, not a map of metadata") from error
    if not isinstance(metadata, dict):
        raise ReplyError(f"its first message is {describe(metadata)}, not a map of metadata")
    return metadata


def read_reply(message: bytes | str) -> Any:
    """The content of a reply.

    Raises:
        RemoteError: the server failed; its traceback is a note of the error.
        ReplyError: it cannot be decoded.
    """
    if isinstance(message, bytes):
        try:
            return unpack(message)
        except DecodeError as error:
            advice = "Convert it to float32 on the server." if "bfloat16" in str(error) else OTHER_PROTOCOL
            raise ReplyError(f"its reply is {error}", advice) from error
    content = _json(message)
    if isinstance(content, dict) and stated_error(content) is None:
        raise ReplyError(f"its reply is JSON text, {describe(content)}; openpi's replies are msgpack")
    failure = RemoteError(stated_error(content) or _last_line(message))
    failure.add_note(f"The server said:\n{message}")
    raise failure


def stated_error(reply: Any) -> str | None:
    """The error that a reply without actions states, such as ``{"status": "error", "error": {"message": ...}}``."""
    if not isinstance(reply, dict):
        return None
    failed = any(str(reply.get(name, "")).lower() == "error" for name in ("status", "type", "message_type"))
    failed |= reply.get("ok") is False or reply.get("success") is False
    for name in ("error", "message", "detail", "traceback", "payload"):
        value = reply.get(name)
        if isinstance(value, dict) and (failed or name == "error"):
            value = next((value[key] for key in ("message", "error", "detail") if value.get(key)), value)
        if value and (failed or name in ("error", "traceback")):
            return _last_line(str(value))[:1000]
    return f"it stated an error, {describe(reply)}" if failed else None


def describe(value: Any) -> str:
    """A received value in words: its type, keys, shapes; never longer than some lines."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}, {value.dtype}"
    if isinstance(value, dict):
        if not value:
            return "an empty map"
        names = sorted(str(name) for name in value)
        more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
        parts = {str(name): _brief(one) for name, one in value.items()}
        return "a map with " + ", ".join(f"{name[:60]}{parts[name]}" for name in names[:_MOST_LISTED]) + more
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return f"the text {value!r:.200}"
    return f"a {type(value).__name__}" if value is not None else "nothing"


def plain(
    metadata: Mapping[Any, Any], ignored: Collection[str] = (), redact: Callable[[str], str] = str
) -> dict[str, Any]:
    """Metadata as plain JSON values, for the run's record. Long content is represented by its digest.

    Args:
        ignored: keys that say nothing about the policy.
        redact: removes keys of the user from a text.
    """
    kept = {name: value for name, value in metadata.items() if str(name) not in ignored}
    values: dict[str, Any] = _plain(kept, redact)
    text = json.dumps(values, sort_keys=True)
    if len(text) <= MOST_METADATA:
        return values
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"sha256": digest, "keys": sorted(values)[:_MOST_LISTED]}


def _plain(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {redact(str(name)): _plain(one, redact) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one, redact) for one in value]
    if isinstance(value, np.ndarray):
        if value.size <= _SMALL and value.dtype.kind != "c":
            return _plain(value.tolist(), redact)
        return {"array": f"{value.dtype.str} {value.shape}", "sha256": hashlib.sha256(value.tobytes()).hexdigest()}
    if isinstance(value, bytes):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(value) if isinstance(value, str) else str(value)[:200]


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f" {value.shape}"
    if isinstance(value, dict):
        names = sorted(str(name)[:40] for name in value)
        return " {" + ", ".join(names[:_MOST_LISTED]) + "}"
    return f" [{len(value)}]" if isinstance(value, list) else ""


def _json(text: str) -> Any:
    if not text.lstrip().startswith("{"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1].strip()
