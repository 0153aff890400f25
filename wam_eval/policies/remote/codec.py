"""Codec: openpi's encoding of messages, msgpack with numpy arrays as maps of their bytes, dtype and shape.

Source: Physical-Intelligence/openpi, packages/openpi-client. Decoding runs no code of the sender, and its memory is
bounded by the size of the message.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

from wam_eval.errors import first_line

MOST_PARTS = 2**20
"""Largest number of lists and maps in a message; each takes far more memory than its bytes in the message."""

_DTYPE = re.compile(r"[<>|=]?[biufc]\d{1,2}")  # plain numbers: no objects, no records
_BFLOAT16 = ("bfloat16", "<V2", "|V2")


class DecodeError(ValueError):
    """Bytes that are not a message; the text says what was found."""


def pack(message: Mapping[str, Any]) -> bytes:
    """Encode plain values and arrays."""
    encoded: bytes = msgpack.packb(message, default=_encode)
    return encoded


def unpack(data: bytes) -> Any:
    """Decode a message; arrays are read-only views of ``data``.

    Raises:
        DecodeError: it is not msgpack, has an array of other values than numbers, or too many parts.
    """
    parts = 0

    def count(value: Any) -> Any:
        nonlocal parts
        parts += 1
        if parts > MOST_PARTS:
            raise ValueError(f"more than {MOST_PARTS:,} lists and maps")
        return value

    try:
        return msgpack.unpackb(
            data,
            object_hook=lambda value: _decode(count(value)),
            list_hook=count,
            strict_map_key=False,
            max_ext_len=1024,
        )
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise DecodeError(f"{len(data):,} bytes that cannot be decoded ({first_line(error)})") from error


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        head = {b"__ndarray__": True, b"dtype": value.dtype.str, b"shape": value.shape}
        return {**head, b"data": value.tobytes()}
    raise TypeError(f"cannot send a {type(value).__name__}")


def _decode(value: dict[Any, Any]) -> Any:
    if b"__npgeneric__" in value:
        return value.get(b"data")
    if b"__ndarray__" not in value:
        return value
    data, dtype, shape = (value.get(name) for name in (b"data", b"dtype", b"shape"))
    if dtype in _BFLOAT16:
        raise ValueError(f"an array of type {dtype!r}, which looks like bfloat16")
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
        raise ValueError(f"an array of type {dtype!r:.40}")
    if not isinstance(shape, list) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"an array of shape {shape!r:.40}")
    size = np.dtype(dtype).itemsize * math.prod(shape)
    if not isinstance(data, bytes) or len(data) != size:
        raise ValueError(f"an array of shape {shape!r:.40} without its {size} bytes")
    return np.frombuffer(data, dtype).reshape(shape)
