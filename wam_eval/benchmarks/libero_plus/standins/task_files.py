"""BDDL files and initial states of the stand-ins.

A BDDL file is that of the base task in the installed LIBERO, with the numbers of the table or an instruction of
:mod:`wam_eval.benchmarks.libero_plus.standins.paraphrases`.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Iterable

import numpy as np

from wam_eval.benchmarks.libero.package import bddl_file
from wam_eval.benchmarks.libero_plus.standins.paraphrases import paraphrase
from wam_eval.benchmarks.libero_plus.standins.variants import ARM, Layout, Region, category_of, layout_of, room_name
from wam_eval.benchmarks.libero_plus.tasks import Variation, instruction_of

_PICKLE_PROTOCOL = 4  # protocol 5 pickles an array by another function of NumPy


def bddl_of(variation: Variation) -> str:
    """The BDDL file of a task."""
    base = bddl_file(variation.suite, variation.base).read_text(encoding="utf-8")
    if variation.light or variation.background:
        return re.sub(r"\(problem LIBERO_(\w+)\)", rf"(problem Libero_\1_{room_name(variation)})", base)
    if variation.language:
        return re.sub(r"\(:language [^)]*\)", f"(:language {sentence_for(variation)})", base)
    return _with_layout(base, layout_of(variation)) if variation.layout else base


def sentence_for(variation: Variation) -> str:
    """The instruction of a language task."""
    assert variation.language
    return paraphrase(instruction_of(variation.base), variation.language)


def init_state_of(variation: Variation) -> bytes:
    """The file of a layout task's initial state: the time, the positions, and velocities of zero.

    A free object has seven positions and six velocities, every other joint one of each.
    """
    layout = layout_of(variation)
    positions = np.concatenate([ARM, *layout.poses, layout.joints])
    state = np.concatenate([[0.0], positions, np.zeros(len(positions) - len(layout.poses))])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), pickle.dumps(state, _PICKLE_PROTOCOL))
    return content.getvalue()


def _with_layout(base: str, layout: Layout) -> str:
    """A BDDL file with other regions and further objects."""
    placed = dict(layout.added)
    targets = {region.name: region.target for region in layout.regions}
    categories = dict.fromkeys(category_of(name) for name in placed)
    objects = (
        f"{' '.join(sorted(name for name in placed if category_of(name) == category))} - {category}"
        for category in categories
    )
    facts = (f"(On {name} {targets[region]}_{region})" for name, region in layout.added)
    text = _replaced(base, ":regions", "".join(map(_region, layout.regions)), keep=False)
    text = _replaced(text, ":objects", _lines(objects))
    return _replaced(text, ":init", _lines(facts))


def _region(region: Region) -> str:
    """A region as BDDL."""
    fields = [f"(:target {region.target})"]
    for name, values in (("ranges", region.corners), ("yaw_rotation", region.yaw)):
        if values:
            fields.append(f"(:{name} (({' '.join(map(repr, values))})))")
    return f"\n    ({region.name}{_lines(fields, 6)}\n    )"


def _lines(parts: Iterable[str], indent: int = 4) -> str:
    return "".join(f"\n{' ' * indent}{part}" for part in parts)


def _replaced(bddl: str, section: str, content: str, keep: bool = True) -> str:
    """A BDDL file in which the content of a section is replaced, or extended if the old one is to be kept."""
    start = end = bddl.index(f"({section}") + len(section) + 1
    depth = 1
    while depth:
        depth += {"(": 1, ")": -1}.get(bddl[end], 0)
        end += 1
    old = bddl[start : end - 1].rstrip() if keep else ""
    return f"{bddl[:start]}{old}{content}\n  {bddl[end - 1 :]}"
