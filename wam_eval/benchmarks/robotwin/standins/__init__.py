"""Stand-in assets for a checkout of RoboTwin: our objects, textures and robot in the official folder layout.

With them the official task code runs without its 20 GB of assets. Objects and robot are those of the embedded
benchmark; rigid objects are convex meshes here. A marker file says that the assets are stand-ins, so that no result is
compared with published numbers. This module needs no package besides the standard library.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from wam_eval.benchmarks.robotwin.miniature import VERSION as OBJECTS_VERSION

VERSION = f"{OBJECTS_VERSION}.1"
"""Version of the embedded benchmark's objects, then that of the way in which they are written."""

MARKER = "assets/stand_ins.json"
"""File of a checkout that marks its assets as stand-ins."""

FOLDERS = ("assets/background_texture", "assets/embodiments", "assets/objects")
"""Folders of the assets of a checkout."""


@dataclass(frozen=True)
class Marker:
    """Content of the marker.

    Attributes:
        version: version of the stand-ins.
        complete: True if all files are written.
    """

    version: str
    complete: bool


def marker_text(complete: bool) -> bytes:
    """Text of the marker of this version."""
    return json.dumps({"stand_ins": "wam-eval", "version": VERSION, "complete": complete}).encode() + b"\n"


def read_marker(root: Path) -> Marker | None:
    """The marker of a checkout; ``None`` if its assets are not marked as stand-ins.

    A marker that cannot be read is that of an unknown version which is not complete.
    """
    path = root / MARKER
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Marker(str(content["version"]), content["complete"] is True)
    except (ValueError, KeyError, TypeError):
        return Marker("unknown", complete=False)
