"""Configuration files that training writes into the folder of its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from wam_eval.errors import UserError, first_line


def read_training_config(path: Path) -> Any:
    """The content of a YAML file; only plain values are loaded.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read: {first_line(error)}") from error


def entry(content: Any, *keys: str) -> Any:
    """The value under some keys, from the outermost to the innermost; ``None`` if there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content
