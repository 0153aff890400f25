"""Writing stand-in assets into a checkout."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from wam_eval.benchmarks.robotwin.miniature.world import TEXTURES, pattern
from wam_eval.benchmarks.robotwin.standins import FOLDERS, MARKER, VERSION, marker_text, objects, read_marker, robot
from wam_eval.errors import UserError
from wam_eval.files import write_atomic

_TEXTURE_SIZE = 64  # pixels; 1,000 uncompressed textures of this size are 12 MB


def write_standins(root: Path) -> None:
    """Write stand-in assets into a checkout without assets.

    Files that are there already are kept, so that the same call finishes what was interrupted.

    Args:
        root: folder of the checkout; that it is one is not tested.

    Raises:
        UserError: there are assets already that are not stand-ins of this version, or a file cannot be written.
    """
    _refuse_other_assets(root)
    try:
        if not (root / MARKER).is_file():
            write_atomic(root / MARKER, marker_text(complete=False))
        for name, content in _files():
            path = root / "assets" / name
            if not path.exists():
                write_atomic(path, content)
        write_atomic(root / MARKER, marker_text(complete=True))
    except OSError as error:
        raise UserError(f"{error.filename or root}: cannot be written: {error.strerror or error}") from error


def _refuse_other_assets(root: Path) -> None:
    """Raise an error if there are assets that are not stand-ins of this version."""
    marker = read_marker(root)
    found = [name for name in FOLDERS if (root / name).exists()]
    if marker is None and found:
        raise UserError(
            f"{root} has assets already: {', '.join(found)}. Stand-ins are written only where there are none, because "
            "they would be mixed with the official files: name a checkout without assets"
        )
    if marker is not None and marker.version != VERSION:
        raise UserError(
            f"{root} has stand-ins of version {marker.version}, and those of this wam-eval are {VERSION}: remove "
            f"{', '.join((*found, MARKER))} there, and type this command again"
        )


def _files() -> Iterator[tuple[str, bytes]]:
    """Name and content of each file, relative to ``assets``."""
    for name, content in robot.files():
        yield f"embodiments/aloha-agilex/{name}", content
    for number in range(TEXTURES):
        yield f"background_texture/unseen/{number}.png", _texture(number)
    for name, content in objects.files():
        yield f"objects/{name}", content


def _texture(number: int) -> bytes:
    """A PNG file, uncompressed, so that its size does not depend on the compressor."""
    buffer = io.BytesIO()
    Image.fromarray(pattern(number).image(_TEXTURE_SIZE)[..., :3]).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()
