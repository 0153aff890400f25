"""Errors for unknown names suggest the nearest ones, in whatever notation they were given, or list what there is."""

from __future__ import annotations

import pytest

from wam_eval.errors import UserError, nearest, unknown

METHODS = ["dp", "fast-wam", "fast-wam-idm", "imagewam-flux2-4b", "imagewam-ovis-u1", "openvla-oft", "pi0", "pi0.5"]
NAMES = {"Diffusion Policy": "dp", "π0.5": "pi0.5"}


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("tyo", ["toy", "other"], "unknown suite 'tyo': did you mean toy?"),
        ("libero_x", ["libero_a", "libero_b"], "unknown suite 'libero_x': did you mean libero_b or libero_a?"),
        ("zzz", {"b": 1, "a": 2}, "unknown suite 'zzz': known: a, b"),
        ("zzz", [], "unknown suite 'zzz': none are known"),
        ("---", ["a"], "unknown suite '---': known: a"),
    ],
)
def test_an_unknown_name_is_an_error_with_a_hint(name: str, known: list[str], text: str) -> None:
    error = unknown("suite", name, known)
    assert isinstance(error, UserError) and str(error) == text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[(name, ["fast-wam"]) for name in ("Fast-WAM", "fastwam", "FAST_WAM", "fast wam", "Fäst-WAM")],
        *[(name, ["pi0.5"]) for name in ("pi-0.5", "PI05", "pi_0.5", "π0.5", "π₀.₅", "π_{0.5}", "Π0.5")],
        ("imagewam", ["imagewam-flux2-4b", "imagewam-ovis-u1"]),
        ("fast-wam-id", ["fast-wam-idm"]),
        ("openvla-oft-v2", ["openvla-oft"]),
        ("openvlaoft", ["openvla-oft"]),
        ("OpenVLA OTF", ["openvla-oft"]),
        ("diffusion_policy", ["dp"]),
        ("diffusion", ["dp"]),
        ("something else", []),
    ],
)
def test_near_names(name: str, expected: list[str]) -> None:
    assert nearest(name, METHODS, NAMES) == expected


def test_thousands_of_names_are_not_listed() -> None:
    many = [f"task_{i}" for i in range(10_000)]
    message = str(unknown("task", "pick the bowl", many))
    assert message.endswith("… (10,000 in all)") and len(message) < 700
    assert str(unknown("task", "task", many)).count(", ") < 40
