"""The commands `wam-eval seeds verify` and `wam-eval seeds import`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wam_eval.benchmarks.robotwin import commands
from wam_eval.benchmarks.robotwin.benchmark import RoboTwin, RoboTwinInstallation
from wam_eval.benchmarks.robotwin.commands import import_seeds, verify
from wam_eval.benchmarks.robotwin.miniature import VERSION
from wam_eval.benchmarks.robotwin.seeds import ensure_seeds
from wam_eval.errors import UserError


def test_verify(here: RoboTwinInstallation) -> None:
    done = CliRunner().invoke(commands.app, ["verify", "--tasks", "click_bell", "--episodes", "1", "--workers", "1"])
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[:3] for row in rows[1:]] == [["clean", "click_bell", "1"], ["randomized", "click_bell", "1"]]
    for condition in ("clean", "randomized"):
        assert len(here.search(condition, 100000).manifest().tasks["click_bell"]) == 1


@pytest.mark.parametrize(
    ("suite", "tasks", "episodes", "fault"),
    [
        ("libero_spatial", None, 1, "the benchmark libero has no seeds to verify"),
        ("robotwin_clean", "click_bell", 101, "101 episodes per task: robotwin_clean has 1 to 100"),
        ("robotwin_clean", "click_ball", 1, "unknown task of robotwin_clean 'click_ball': did you mean click_bell"),
        ("robotwin_clean", "5-50", 1, "task '5-50': robotwin_clean has tasks 0 to 49"),
        ("robotwin_clean", "7-5", 1, "task '7-5'"),
        ("robotwin_clean", ",", 1, "',' selects no task"),
    ],
)
def test_requests_that_cannot_be_met_are_refused(
    here: RoboTwinInstallation, suite: str, tasks: str | None, episodes: int, fault: str
) -> None:
    with pytest.raises(UserError, match=fault):
        verify(suite, None, tasks, episodes, 1)


def test_tasks_are_numbers_or_names() -> None:
    names = ["a", "b_1", "c", "d"]
    assert commands._parse_tasks("2-3,b_1", names, "suite") == [1, 2, 3]
    assert commands._parse_tasks(None, names, "suite") == [0, 1, 2, 3]


def test_plain_seeds_are_tried_and_given_instructions(here: RoboTwinInstallation, tmp_path: Path) -> None:
    file = tmp_path / "seeds.json"
    file.write_text(json.dumps({"click_bell": [100000, 100003]}))
    done = CliRunner().invoke(commands.app, ["import", str(file), "--condition", "clean", "--workers", "1"])
    assert done.exit_code == 0, done.output
    search = here.search("clean", 100000)
    manifest = search.manifest()
    assert [entry.seed for entry in manifest.tasks["click_bell"]] == [100000, 100003]
    assert manifest.tasks["click_bell"][0].unseen
    assert manifest.verified_by == f"a list imported from seeds.json, tried by miniature {VERSION}"
    with pytest.raises(UserError, match="has too few seeds of click_bell"):  # instead of a new search
        ensure_seeds(search, ["click_bell"], 4)
    with pytest.raises(UserError, match="contains seeds already"):
        import_seeds(here, file, "clean", 100000, 1)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ([1], "expected vla-eval's"),
        ({"click_bell": ["100000"]}, "click_bell: expected a list of seeds"),
        ({"click_bell": [99999]}, "must ascend from 100000"),
        ({"open_drawer": [100000]}, "open_drawer is no task of"),
        ({"click_bell": [2**32]}, "must ascend from 100000"),
        ({"provenance": [{"sapien": "3.0.3"}], "tasks": {}}, "seeds of the official benchmark"),
        ({"provenance": 5, "tasks": {}}, "provenance: Input should be a valid list"),
        ({"provenance": [], "tasks": [1]}, "tasks: Input should be a valid dictionary"),
        (
            {"provenance": [], "tasks": {"x": {"episodes": [{"seed": "1", "seen": "a", "unseen": "b"}]}}},
            "valid integer",
        ),
    ],
)
def test_invalid_lists_are_refused(here: RoboTwinInstallation, tmp_path: Path, content: object, fault: str) -> None:
    file = tmp_path / "seeds.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=fault):
        import_seeds(here, file, "clean", 100000, 1)


def test_files_that_cannot_be_read_and_unknown_conditions_are_named(here: RoboTwinInstallation, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gone: cannot be read"):
        import_seeds(here, tmp_path / "gone", "clean", 100000, 1)
    (tmp_path / "torn").write_text("{")
    with pytest.raises(UserError, match="torn: not valid JSON"):
        import_seeds(here, tmp_path / "torn", "clean", 100000, 1)
    done = CliRunner().invoke(commands.app, ["import", "x", "--condition", "foggy"])
    assert isinstance(done.exception, UserError) and "unknown condition 'foggy'" in str(done.exception)


def official(here: RoboTwinInstallation, sapien: str) -> RoboTwinInstallation:
    """The same installation as if it were one of the official benchmark."""
    identity = here.identity.model_copy(update={"source": "official", "version": "bf44be51", "sapien": sapien})
    return replace(here, identity=identity, expert="another", tasks=("open_laptop",))


def test_published_lists_are_imported_for_the_same_sapien(here: RoboTwinInstallation, tmp_path: Path) -> None:
    file = tmp_path / "demo_clean.json"
    episodes = [{"seed": 100000 + 2 * i, "seen": f"do {i}", "unseen": f"make {i}"} for i in range(3)]
    tasks = {"open_laptop": {"fingerprint": "abc", "episodes": episodes}}
    file.write_text(json.dumps({"provenance": [{"sapien": "3.0.0b1", "curobo": "0.7.0"}], "tasks": tasks}))
    with pytest.raises(UserError, match=r"sapien 3\.0\.0b1, here is 3\.0\.3"):
        import_seeds(official(here, "3.0.3"), file, "clean", 100000, 1)
    same = official(here, "3.0.0b1")
    manifest = import_seeds(same, file, "clean", 100000, 1)
    assert manifest.verified_by == "imported: curobo 0.7.0; sapien 3.0.0b1"
    assert [entry.seed for entry in manifest.tasks["open_laptop"]] == [100000, 100002, 100004]
    with pytest.raises(UserError, match="has too few seeds of open_laptop"):
        ensure_seeds(same.search("clean", 100000), ["open_laptop"], 4)


def test_the_benchmark_declares_the_commands() -> None:
    assert RoboTwin.commands["seeds"] == f"{commands.__name__}:app"
