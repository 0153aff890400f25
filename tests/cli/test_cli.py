"""Commands as a user types them: a user's error is one message and status 2, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.builders.runs import LIBERO, draw_outcomes, records_of, run_record, write_run
from tests.toy import CATALOG
from tests.toy.benchmark import Toy
from wam_eval.cli.app import app, names_in, pairs_in, settings_in
from wam_eval.errors import UserError


def wam_eval(*arguments: str, **environment: str) -> Result:
    """The result of a command in this process."""
    variables = {"COLUMNS": "200", "WAM_EVAL_LIBERO_ASSETS": "stand-in", "WAM_EVAL_LIBERO_PLUS_ROOT": ""}
    return CliRunner().invoke(app, list(arguments), env={**variables, **environment})


RUN = ("run", "--suite", "toy", "--policy", "push")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("run", "--suite", "libero_objct", "--policy", "hold"),
            "wam-eval run: unknown suite 'libero_objct': did you mean libero_object",
        ),
        (("run", "--suite", "toy", "--policy", "pus"), "unknown policy 'pus': did you mean push"),
        ((*RUN, "--protocol", "plian"), "unknown protocol 'plian': did you mean plain"),
        ((*RUN, "--tasks", "7"), "toy has tasks 0 to 2"),
        ((*RUN, "--episodes", "0"), "toy has 1 to 20"),
        ((*RUN, "--video", "some"), "'some' is not one of 'none', 'failures', 'all'"),
        ((*RUN, "--ckpt", "x"), "policy 'Push' takes no checkpoint"),
        (("run", "--suite", "toy", "--policy", "remote"), "needs --ckpt (CKPT=…): address of the server"),
        ((*RUN, "--filter", "wether=calm"), "unknown axis of toy 'wether': did you mean weather"),
        ((*RUN, "--filter", "weather"), "--filter 'weather': write --filter axis=value,value"),
        ((*RUN, "--filter", "weather=calm", "--filter", "weather=windy"), "--filter: weather is given twice"),
        ((*RUN, "--set", "puase=1"), "unknown setting of toy 'puase': did you mean pause"),
        ((*RUN, "--set", "pause=-1"), "settings.pause: Input should be greater than or equal to 0"),
        ((*RUN, "--set", "pause=[1"), "--set pause=[1: not a YAML value"),
        ((*RUN, "--sample", "20"), "a sample of 20: give the share"),
        ((*RUN, "--sample-seed", "1"), "--sample-seed needs a share of the tasks: add --sample"),
        (("show", "nothing"), "unknown run 'nothing'"),
        (("play", "nothing", "toy/00/000"), "unknown run 'nothing'"),
        (("compare", "nothing", "random"), "unknown run or published method 'nothing'"),
        (("compare", "fast-wam"), "a comparison needs at least two entries"),
        (("compare", "fast-wam", "fast-wam@fastwam"), "compared with itself"),
        (("compare", "fast-wam", "fast-wam"), "compared with itself"),
        (("compare", "fast-wam@fastwan", "motus"), "unknown paper 'fastwan': did you mean fastwam"),
        (("table", "imagewam-tabel3"), "unknown table 'imagewam-tabel3': did you mean imagewam-table3"),
        (("table", "imagewam-table3", "--format", "tex"), "'tex' is not one of 'md', 'latex', 'csv', 'html'"),
        (("table", "imagewam-table3", "--with", "nothing"), "unknown run 'nothing'"),
        (("report", "nothing"), "unknown run 'nothing'"),
        (("convert", "nothing"), "unknown run 'nothing'"),
        (("merge", "both", "nothing", "more"), "unknown run 'nothing'"),
        (("list", "suits"), "'suits' is not one of 'suites'"),
        (("list", "tasks"), "wam-eval list tasks --suite SUITE"),
        (("list", "tasks", "--suite", "nope"), "unknown suite 'nope'"),
        (("drop", "nothing", "at all"), "unknown run 'nothing'"),
        (("setup", "libero-plus"), "wam-eval setup: unknown benchmark 'libero-plus': did you mean libero_plus"),
        (("setup", "toy"), "Toy needs no setup"),
        (("fingerprint", "toyy"), "unknown suite 'toyy': did you mean toy"),
        (("sead", "verify"), "No such command 'sead'"),
    ],
)
def test_a_user_error_is_one_message(runs: Path, arguments: tuple[str, ...], message: str) -> None:
    result = wam_eval(*arguments)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_a_cluster_that_cannot_be_reached_is_reported(runs: Path) -> None:
    result = wam_eval(*RUN, "--episodes", "1", RAY_ADDRESS="127.0.0.1:1")
    assert result.exit_code == 2 and "cannot reach the Ray cluster at RAY_ADDRESS=127.0.0.1:1" in result.stderr


def test_any_other_error_is_a_traceback(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("wam_eval.api.load_run", fails)
    assert isinstance(wam_eval("show", "mine").exception, ZeroDivisionError)


def test_a_run_is_shown_listed_and_played_again(runs: Path, ray_cluster: str) -> None:
    result = wam_eval(*RUN, "--tasks", "0", "--episodes", "2", "--run", "mine", RAY_ADDRESS=ray_cluster)
    assert result.exit_code == 0, result.output
    assert "2/2" in result.stdout and "Saved in" in result.stdout
    for name in ("run.json", "episodes.jsonl", "summary.json", "table.md", "table.csv", "trajectories/toy/00/001.npz"):
        assert (runs / "mine" / name).is_file(), name

    shown = json.loads(wam_eval("show", "mine", "--json").stdout)
    assert shown == json.loads((runs / "mine" / "summary.json").read_text())
    (row,) = json.loads(wam_eval("list", "runs", "--json").stdout)
    assert (row["episodes"], row["successes"], row["assets"]) == ("2/2", 2, "official")

    again = wam_eval("play", "mine", "toy/00/001")
    assert again.exit_code == 0 and "The outcome repeats" in again.stdout
    assert (runs / "mine" / "videos/toy/00/001.mp4").is_file()
    assert "did you mean toy/00/001" in wam_eval("play", "mine", "toy/00/01").stderr
    assert "has the current format already" in wam_eval("convert", "mine").stdout


def test_the_help_lists_all_commands_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['wam-eval', '--help']\n"
        "from wam_eval.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'ray', 'mujoco', 'robosuite', 'sapien', 'pandas', 'scipy', 'matplotlib', 'jinja2'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip().endswith("heavy: []"), done.stdout + done.stderr
    for command in ("run", "play", "list", "show", "compare", "report", "merge", "convert", "setup", "doctor", "seeds"):
        assert f" {command} " in done.stdout, command


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, wam_eval, wam_eval.config, wam_eval.episode, wam_eval.observation, wam_eval.policy\n"
        "print(sorted({'torch', 'ray', 'mujoco', 'robosuite', 'libero', 'sapien'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


class Equipped(Toy):
    """A toy with a setup and a command of its own."""

    commands = {"rehearse": "tests.cli.test_cli:rehearse", "list": "tests.cli.test_cli:rehearse"}  # noqa: RUF012

    def setup(
        self, *, version: Annotated[str, typer.Option(help="Version to install.")] = "1", folder: Path = Path()
    ) -> str:
        """Install a toy
        of some version.

        Returns:
            A message.
        """
        return f"installed {self.name} {version} in {folder!r}"


rehearse = typer.Typer()


@rehearse.command()
def _rehearse(times: int = 1) -> None:
    """Rehearse with the toy."""
    raise UserError(f"rehearsed {times} times")


@pytest.fixture
def equipped(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark ``equipped`` beside the toy, and ``broken``, which cannot be imported."""
    folder = tmp_path / "configuration" / "suites" / "benchmarks"
    folder.mkdir(parents=True)
    toy = (CATALOG / "suites" / "benchmarks" / "toy.yaml").read_text()
    for name, place in (("equipped", "tests.cli.test_cli:Equipped"), ("broken", "nowhere:Broken")):
        (folder / f"{name}.yaml").write_text(toy.replace("tests.toy.benchmark:Toy", place))
    monkeypatch.setenv("WAM_EVAL_PATH", os.pathsep.join([str(folder.parents[1]), os.environ["WAM_EVAL_PATH"]]))


def test_setup_has_the_parameters_of_the_benchmark_as_options(equipped: None) -> None:
    result = wam_eval("setup", "equipped", "--version", "2", "--folder", "there")
    assert result.exit_code == 0 and result.stdout == "installed equipped 2 in PosixPath('there')\n", result.output
    help_text = " ".join(wam_eval("setup", "equipped", "--help").stdout.split())
    assert "Install a toy of some version." in help_text and "Version to install." in help_text
    assert "Returns" not in help_text
    assert "No such option" in wam_eval("setup", "equipped", "--target", "x").stderr


def test_commands_of_benchmarks_are_found_and_a_broken_benchmark_hides_none(equipped: None) -> None:
    result = wam_eval("rehearse", "--times", "3")
    assert (result.exit_code, result.stderr) == (2, "wam-eval rehearse: rehearsed 3 times\n")
    help_text = wam_eval("--help").stdout
    assert "Rehearse with the toy." in help_text and " seeds " in help_text
    assert "wam-eval list tasks --suite SUITE" in wam_eval("list", "tasks").stderr, "the kernel's own list"
    assert "nowhere:Broken" in wam_eval("setup", "broken").stderr


def test_values_of_settings_are_yaml_and_pairs_are_split_once() -> None:
    texts = ["engine=reference", "hz = 20", "speed=0.5", "fast=true", "cameras=[a, b]", "note=a=b"]
    assert settings_in(texts) == {
        "engine": "reference", "hz": 20, "speed": 0.5, "fast": True, "cameras": ["a", "b"], "note": "a=b"
    }  # fmt: skip
    assert pairs_in("--filter", ["dimension=camera,noise", "difficulty=1-3"], "") == {
        "dimension": "camera,noise",
        "difficulty": "1-3",
    }
    assert settings_in(None) == {}
    assert names_in("versions.numpy, trials,trials,") == ["versions.numpy", "trials"]


@pytest.mark.parametrize(
    ("chances", "flags", "status"),
    [
        ((0.9, 0.4), ["--fail-if-worse"], 0),
        ((0.4, 0.9), ["--fail-if-worse"], 1),
        ((0.4, 0.9), [], 0),
        ((0.7, 0.7), ["--fail-if-worse"], 0),
        ((0.7, 0.7), ["--fail-if-worse", "--fail-if-unsure"], 3),
    ],
)
def test_compare_as_a_gate(runs: Path, chances: tuple[float, float], flags: list[str], status: int) -> None:
    for name, chance, seed in zip(("new", "old"), chances, (0, 1), strict=True):
        record = run_record(name, {"libero_goal": 10}, 20)
        write_run(record, records_of(record, draw_outcomes(record, chance, seed)))
    assert wam_eval("compare", "new", "old", *flags).exit_code == status


def test_named_differences_are_accepted_and_others_are_refused(runs: Path) -> None:
    for name, numpy in (("new", "1.26.4"), ("old", "2.4.6")):
        record = run_record(name, {"libero_goal": 10}, 20, versions={"mujoco": "3.3.2", "numpy": numpy})
        write_run(record, records_of(record, draw_outcomes(record, 0.9, 0)))
    assert "no verdict" in wam_eval("compare", "new", "old").stdout
    compared = wam_eval("compare", "new", "old", "--accept", "versions.numpy, trials")
    assert "cannot tell" in compared.stdout and "no verdict" not in compared.stdout
    assert "accepted: versions.numpy: '1.26.4' against '2.4.6'" in compared.stdout
    refused = wam_eval("compare", "new", "old", "--accept", "seed")
    assert refused.exit_code == 2 and "seed changes the episodes and cannot be accepted" in refused.stderr


def test_compare_table_and_report_of_a_run(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = run_record("mine", dict.fromkeys(LIBERO, 10), 2)
    write_run(record, records_of(record, draw_outcomes(record, 0.9, 0)))
    compared = json.loads(wam_eval("compare", "mine", "fast-wam", "--json").stdout)
    assert {row["verdict"] for row in compared["rows"]} == {"no verdict"}
    assert "step_limit: 280, the paper 400" in str(compared)
    table = wam_eval("table", "fastwam-table2", "--with", "mine", "--format", "csv").stdout
    assert "Policy of mine" in table and "91.88" not in table
    monkeypatch.chdir(tmp_path)
    report = wam_eval("report", "mine")
    assert report.exit_code == 0, report.output
    assert (tmp_path / "reports/out/mine/report.html").is_file()


def test_lists_of_tables_methods_and_benchmarks() -> None:
    tables = json.loads(wam_eval("list", "tables", "--json").stdout)
    assert {"fastwam-table2", "imagewam-table3", "mvwam-table7"} <= {row["table"] for row in tables}
    methods = {row["method"]: row for row in json.loads(wam_eval("list", "methods", "--json").stdout)}
    assert "fastwam (clean + randomized)" in methods["fast-wam"]["printed by"]
    assert "mvwam (clean only)" in methods["fast-wam"]["printed by"]
    benchmarks = {row["benchmark"]: row for row in json.loads(wam_eval("list", "benchmarks", "--json").stdout)}
    assert "settle_steps" in benchmarks["libero"]["settings"]
    assert "condition: clean, randomized" in benchmarks["robotwin"]["axes"]


def test_comparisons_do_not_depend_on_the_order_of_hashing() -> None:
    command = [sys.executable, "-m", "wam_eval", "compare", "fast-wam", "pi0.5@fastwam", "--json"]
    outputs = {
        subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed}).stdout
        for seed in "01"
    }
    assert len(outputs) == 1 and json.loads(outputs.pop())["rows"]
