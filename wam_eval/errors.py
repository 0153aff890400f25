"""Errors for users: the text says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping

MOST_SUGGESTED = 3
"""Largest number of suggestions that are similar by their letters only."""
MOST_LISTED = 40
"""Largest number of names that a message lists; a suite may have thousands of tasks."""


class UserError(Exception):
    """An error that the user can correct. Commands print its text without a traceback and exit with status 2."""


def unknown(kind: str, name: str, known: Iterable[str], aliases: Mapping[str, str] | None = None) -> UserError:
    """An error for a name that does not exist, with the most similar existing ones.

    Args:
        kind: word for what the name should be of, such as ``suite``.
        name: as given.
        known: existing names.
        aliases: other words, such as display names, -> an existing name.
    """
    names = sorted(known)
    if near := nearest(name, names, aliases):
        hint = f"did you mean {one_of(near)}?"
    elif names:
        hint = f"known: {listed(names)}"
    else:
        hint = "none are known"
    return UserError(f"unknown {kind} {name!r}: {hint}")


def nearest(name: str, known: Iterable[str], aliases: Mapping[str, str] | None = None) -> list[str]:
    """Existing names for a wrong one: those in another notation, else those that begin with it, else similar ones.

    Notation is case, accents, spaces, dashes, underscores, dots, sub- and superscripts, and Greek letters, which may be
    written out: ``π₀.₅`` and ``PI_0.5`` are ``pi0.5``.

    Args:
        name: as given.
        known: existing names; the order is kept within a group.
        aliases: other words -> an existing name.
    """
    forms: dict[str, list[str]] = {}
    for word, target in [*((word, word) for word in known), *(aliases or {}).items()]:
        forms.setdefault(_letters(word), []).append(target)
    wanted = _letters(name)
    if not wanted:
        return []
    alike = [form for form in forms if form == wanted] or [form for form in forms if _begins(form, wanted)]
    if not 0 < len(alike) <= MOST_LISTED:
        alike = difflib.get_close_matches(wanted, forms, n=MOST_SUGGESTED)
    if not alike:
        alike = [form for form in forms if _begins(wanted, form)]
    return list(dict.fromkeys(target for form in alike for target in forms[form]))


def one_of(names: Iterable[str]) -> str:
    """Words for a choice, such as ``a, b or c``."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def listed(names: Iterable[str]) -> str:
    """The first names, and the number of all if there are more."""
    found = list(names)
    more = f" … ({len(found):,} in all)" if len(found) > MOST_LISTED else ""
    return ", ".join(found[:MOST_LISTED]) + more


def first_line(error: BaseException) -> str:
    """The first line of an error's text; its type if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _letters(text: str) -> str:
    """The letters and digits of a name, without case and accents, Greek letters written out."""
    plain = "".join(
        unicodedata.name(c).rpartition(" ")[2] if "GREEK" in unicodedata.name(c, "") else c
        for c in unicodedata.normalize("NFKD", text)
        if not unicodedata.combining(c)
    )
    return re.sub(r"[\W_]", "", plain.casefold())


def _begins(name: str, beginning: str) -> bool:
    """True if a name begins with another one, which is more than a letter or two."""
    return len(beginning) > 2 and name.startswith(beginning)
