"""Standard output and error that never end a command: closed streams, terminals that are gone or lack a character."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
import unicodedata
from typing import Any

_ERRORS = "wam_eval_plain"
"""Name of the error handler that writes characters in letters which every encoding has."""
_GONE = (errno.EPIPE, errno.EIO, errno.ECONNRESET)
"""Errors of an output whose reader has ended, or whose terminal was closed."""
_PLAIN = {
    **dict.fromkeys("‐‑‒–—−", "-"),
    **dict.fromkeys("‘’‚′", "'"),
    **dict.fromkeys("“”„″", '"'),
    **dict.fromkeys("·•●", "*"),
    "→": "->",
    "←": "<-",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "≈": "~",
    "±": "+-",
    "×": "x",
    "⁄": "/",
    "√": "sqrt",
    "∞": "inf",
}


class Output(io.TextIOWrapper):
    """A standard stream. If its reader has ended, the rest of the output is dropped, and the command goes on.

    Args:
        stream: the stream that it replaces.
        name: name for errors.
        optional: True to drop output that cannot be written for another reason, such as a full disk.
    """

    def __init__(self, stream: Any, name: str, optional: bool) -> None:
        super().__init__(stream.buffer, stream.encoding, _ERRORS, None, stream.line_buffering, stream.write_through)
        self._replaced = stream  # its end would close the file
        self._name = name
        self._optional = optional

    def write(self, text: str) -> int:
        """Write a text; see the class."""
        try:
            return super().write(text)
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        """Write what is in memory; see the class."""
        try:
            super().flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        """Drop what is in memory, and all further output.

        Raises:
            OSError: the output is not optional, and was not closed by its reader.
        """
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
        with contextlib.suppress(OSError):
            super().flush()
        if error.errno not in _GONE and not self._optional:
            raise OSError(error.errno, error.strerror, self._name) from error


def protect_streams() -> None:
    """Replace the standard streams of this process by ones that never end a command."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The next file that is opened would get the number, and all output of libraries with it.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    codecs.register_error(_ERRORS, _in_plain_letters)
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name) or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        if hasattr(stream, "buffer"):
            setattr(sys, name, Output(stream, "standard output", optional=name == "stderr"))


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    """Handler of characters that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(plain, error.object[error.start : error.end])), error.end


def plain(character: str) -> str:
    """A character in ASCII: a similar one, its name if it is Greek, or ``?``."""
    if character in _PLAIN:
        return _PLAIN[character]
    if "\udc80" <= character <= "\udcff":  # a byte of a file's name that is no text
        return f"\\x{ord(character) - 0xDC00:02x}"
    parts = unicodedata.normalize("NFKD", character)
    letters = "".join(_PLAIN.get(part, part) for part in parts if not unicodedata.combining(part))
    if letters.isascii():
        return letters
    if "GREEK" in (name := unicodedata.name(character, "")):
        word = name.partition(" WITH ")[0].rpartition(" ")[2]
        return word.capitalize() if character.isupper() else word.lower()
    return "?"
