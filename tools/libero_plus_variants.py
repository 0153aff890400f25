"""Write the table of LIBERO-Plus's variants from a copy of its task data.

    python -m tools.libero_plus_variants DATA

``DATA`` is a copy as ``WAM_EVAL_LIBERO_PLUS_ROOT`` names it. The table holds numbers and names of variants: the list of
tasks with their difficulties, the room of each light and background task, and regions, added objects and initial state
of each layout task. See :mod:`wam_eval.benchmarks.libero_plus.standins.variants` for its form. The instructions of
language tasks are not in it.
"""

from __future__ import annotations

import json
import lzma
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from wam_eval.benchmarks.libero.package import bddl_file, task_map
from wam_eval.benchmarks.libero_plus.data import CLASSIFICATION, data_in
from wam_eval.benchmarks.libero_plus.standins.variants import ARM, TABLE, category_of
from wam_eval.benchmarks.libero_plus.tasks import COUNTS, Variation, parse_name, read_classification

_PROBLEM = re.compile(r"\(problem\s+Libero_\w+?_Manipulation_(\w+)\s*\)")


def sections(bddl: str) -> dict[str, list[Any]]:
    """The sections of a BDDL file by their first word, as nested lists of words."""

    def read(words: list[str]) -> list[Any]:
        found: list[Any] = []
        while words:
            word = words.pop()
            if word == ")":
                break
            found.append(read(words) if word == "(" else word)
        return found

    (whole,) = read(re.findall(r"[()]|[^\s()]+", bddl)[::-1])
    return {section[0]: section[1:] for section in whole if isinstance(section, list)}


def objects_of(words: list[str]) -> list[tuple[str, str]]:
    """Name and type of each object in a section of objects."""
    names: list[str] = []
    found: list[tuple[str, str]] = []
    rest = iter(words)
    for word in rest:
        if word == "-":
            category = next(rest)
            found += [(name, category) for name in names]
            names = []
        else:
            names.append(word)
    return found


def region(words: list[Any]) -> list[Any]:
    """Target, name, corners and yaw of a region, as in the table."""
    fields = {field[0]: field[1:] for field in words[1:]}
    assert fields.keys() <= {":target", ":ranges", ":yaw_rotation"}, words
    corners, yaw = (fields[name][0] if name in fields else None for name in (":ranges", ":yaw_rotation"))
    assert all(len(one) == 1 for one in (corners, yaw) if one), words
    return [fields[":target"][0], words[0], *([float(n) for n in one[0]] if one else None for one in (corners, yaw))]


def layout(variation: Variation, data: Path) -> dict[str, Any]:
    """The entry of a layout task."""
    base = sections(bddl_file(variation.suite, variation.base).read_text())
    own = sections(variation.bddl_file(data).read_text())
    for name in ("problem", ":fixtures", ":obj_of_interest", ":goal"):
        assert own[name] == base[name], (variation.name, name)
    objects, facts = objects_of(base[":objects"]), base[":init"]
    added = objects_of(own[":objects"])[len(objects) :]
    placed = own[":init"][len(facts) :]
    assert objects_of(own[":objects"])[: len(objects)] == objects and own[":init"][: len(facts)] == facts
    regions = [region(words) for words in own[":regions"]]
    places = {f"{target}_{name}": name for target, name, *_ in regions}
    assert all(predicate == "On" for predicate, *_ in placed)
    # Objects are listed by category, in the order in which the categories are placed.
    names = [name for _, name, _ in placed]
    categories = list(dict.fromkeys(category_of(name) for name in names))
    assert added == [(n, c) for c in categories for n in sorted(names) if category_of(n) == c], variation.name
    state = variation.init_state(data)
    # A flat state is the time, the positions and the velocities; each object has 7 and 6 numbers, each joint 1 and 1.
    count = len(objects) + len(added)
    joints, odd = divmod(len(state) - 1 - 2 * len(ARM) - 13 * count, 2)
    positions = state[1 : 1 + len(ARM) + 7 * count + joints]
    assert not odd and state[0] == 0 and not state[1 + len(positions) :].any(), variation.name
    assert np.array_equal(positions[: len(ARM)], ARM), variation.name
    return {
        "regions": regions,
        "added": [[name, places[place]] for _, name, place in placed],
        "poses": positions[len(ARM) :][: 7 * count].reshape(count, 7).tolist(),
        "joints": positions[len(ARM) + 7 * count :].tolist(),
    }


def details(variation: Variation, data: Path) -> list[Any]:
    """The last part of a task's entry: its room or its layout; empty for other dimensions."""
    if variation.dimension == "layout":
        return [layout(variation, data)]
    if not variation.own_scene:
        return []
    found = _PROBLEM.search(variation.bddl_file(data).read_text())
    assert found, variation.name
    return [found[1]]


def main() -> None:
    """Write the table."""
    data = data_in(Path(sys.argv[1]))
    path = data / CLASSIFICATION
    listed = read_classification(path, path.read_bytes())
    table: dict[str, Any] = {}
    for suite in COUNTS:
        bases, rows = task_map()[suite], []
        for task in listed[suite]:
            variation = parse_name(task["name"], suite, bases)
            ending = variation.name[len(variation.base) :]
            number = bases.index(variation.base)
            rows.append([number, ending, task["difficulty_level"], *details(variation, data)])
        table[suite] = rows
    content = json.dumps(table, separators=(",", ":")).encode()
    TABLE.write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))
    print(f"{TABLE}: {TABLE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
