"""Output: terminals that lack characters, readers that end early, closed and full outputs. All with real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wam_eval.cli.output import plain

COMMAND = [sys.executable, "-m", "wam_eval"]
TITLE = "π₀.₅ → 日本 ± 2 – “über” \udcff"
SHOW = f"""
import sys
from wam_eval.cli.output import protect_streams
protect_streams()
print({TITLE!r})
print({TITLE!r}, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", 'pi0.5 -> ?? +- 2 - "uber" \\xff'),
        ("latin-1", 'pi0.5 -> ?? ± 2 - "über" \\xff'),
        ("cp1252", "pi0.5 -> ?? ± 2 – “über” \\xff"),
        ("utf-8", "π₀.₅ → 日本 ± 2 – “über” \\xff"),
    ],
)
def test_characters_that_an_encoding_lacks_are_written_in_plain_letters(encoding: str, shown: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", SHOW], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding).strip() == shown and done.stderr.decode(encoding).strip() == shown


@pytest.mark.parametrize(("character", "text"), [("Δ", "Delta"), ("ώ", "omega"), ("½", "1/2"), ("│", "?"), ("×", "x")])
def test_plain_letters(character: str, text: str) -> None:
    assert plain(character) == text


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"COLUMNS": "1", "TERM": "dumb"},
    ],
    ids=["ascii", "C", "narrow"],
)
def test_commands_print_in_any_terminal(variables: dict[str, str]) -> None:
    environment = {**os.environ, **variables}
    done = subprocess.run([*COMMAND, "show", "sñow"], env=environment, capture_output=True)
    assert done.returncode == 2 and b"unknown run" in done.stderr and b"Traceback" not in done.stderr
    done = subprocess.run([*COMMAND, "list", "policies"], env=environment, capture_output=True)
    assert done.returncode == 0 and b"Traceback" not in done.stderr


def shell(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(["bash", "-c", script, "bash", *COMMAND], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    "script",
    [
        '"$@" list runs | head -c 1 >/dev/null; exit ${PIPESTATUS[0]}',
        '"$@" list runs >&-',
        '"$@" list runs <&- >&- 2>&-',
    ],
    ids=["reader ended", "stdout closed", "all closed"],
)
def test_a_reader_that_ends_and_a_closed_output_end_no_command(script: str) -> None:
    done = shell(script)
    assert done.returncode == 0 and done.stderr == ""


def test_a_full_disk_under_the_output_is_an_error_of_the_output(tmp_path: Path) -> None:
    done = shell('"$@" list runs >/dev/full')
    assert (done.returncode, done.stderr) == (2, "wam-eval list: No space left on device: standard output\n")
    done = shell('"$@" show absent 2>/dev/full')
    assert done.returncode == 2, "messages are optional: it is the status of the command"


def test_a_working_directory_that_was_removed_is_named() -> None:
    done = shell('folder=$(mktemp -d) && cd "$folder" && rmdir "$folder" && "$@" list runs')
    assert (done.returncode, done.stderr) == (
        2,
        "wam-eval: the working directory does not exist any more: change to another one\n",
    )


@pytest.mark.slow
@pytest.mark.parametrize("output", ["2>&1 | head -c 1 >/dev/null; exit ${PIPESTATUS[0]}", ">&- 2>&-", "2>/dev/full"])
def test_a_run_goes_on_without_its_output(runs: Path, output: str) -> None:
    done = shell(f'"$@" run --suite toy --policy push --tasks 0 --episodes 2 --run test {output}')
    assert done.returncode == 0, done.stderr
    assert len((runs / "test" / "episodes.jsonl").read_text().splitlines()) == 2


@pytest.mark.slow
def test_a_run_ends_well_in_a_terminal_that_is_not_utf_8(runs: Path) -> None:
    done = shell('"$@" run --suite toy --policy push --tasks 0 --episodes 1 --run test', PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "Traceback" not in done.stderr and "Saved in" in done.stdout
