"""YAML files: faults with file, line and field; names, variants and entry points; environment variables."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wam_eval import config
from wam_eval.benchmark import load_benchmark
from wam_eval.config import Environment, PolicyConfig, SuiteConfig, TaskConfig, read_yaml
from wam_eval.errors import UserError
from wam_eval.policy import make_policy, policy_class

# Faults


def fault(tmp_path: Path, text: str, model: type = SuiteConfig) -> str:
    """The error of a file with this text."""
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_yaml(path, model)
    return str(caught.value).replace(str(tmp_path), "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("title: [unclosed\n", "/suite.yaml:2: not valid YAML"),
        ("title: T\ntasks:\n  - instruction: a\n", "/suite.yaml:3: tasks.0.name: Field required"),
        ("title: T\nbenchmark: b\ntrials: many\ntasks: []\n", "/suite.yaml:3: trials: Input should be a valid integer"),
        ("title: T\nbenchmark: b\ntrails: 50\n", "/suite.yaml:3: trails: Extra inputs are not permitted (found 50)"),
        ("title: T\n", "/suite.yaml:1: file: a suite has either `suites` or `tasks`"),
        (
            "title: T\nbenchmark: b\nsize: 3\n",
            "/suite.yaml:1: file: a suite with `tasks` needs `benchmark` and `trials`",
        ),
        (
            "title: T\nsuites: [a]\nsize: 3\n",
            "/suite.yaml:1: file: a suite has either `suites` or `tasks`, or the `size`",
        ),
        ("", "/suite.yaml:1: title: Field required"),
        ("- a\n", "/suite.yaml: expected `field: value` lines, found ['a']"),
        ("title: 2001-02-30\n", "/suite.yaml: not valid YAML"),
        ("variants: [a]\n", "/suite.yaml: variants: expected a mapping"),
    ],
)
def test_a_fault_is_located(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in fault(tmp_path, text)


def test_a_policy_without_a_class_is_located(tmp_path: Path) -> None:
    assert "/suite.yaml:2: policy: String should match pattern" in fault(
        tmp_path, "title: T\npolicy: x\n", PolicyConfig
    )


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"bytes\.yaml: not valid YAML"):
        read_yaml(tmp_path / "bytes.yaml", SuiteConfig)
    with pytest.raises(UserError, match=r"nothing\.yaml: cannot be read: No such file"):
        config.load_policy(str(tmp_path / "nothing.yaml"))


# Tasks by name


@pytest.mark.parametrize(
    ("name", "instruction"),
    [
        ("open_the_drawer", "open the drawer"),
        ("KITCHEN_SCENE3_turn_on_the_stove", "turn on the stove"),
        ("LIVING_ROOM_SCENE2_put_both_the_can_and_the_box_down", "put both the can and the box down"),
        ("put_the_TV_on", "put the TV on"),
    ],
)
def test_the_instruction_follows_from_the_name_of_a_task(name: str, instruction: str) -> None:
    assert TaskConfig.model_validate(name) == TaskConfig(name=name, instruction=instruction)
    assert TaskConfig.model_validate({"name": name, "axes": {"level": 1}}).instruction == instruction
    assert TaskConfig.model_validate({"name": name, "instruction": "do it"}).instruction == "do it"


# Files that extend others, and variants


@pytest.fixture
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes policies' YAML files into the user's own folder: name -> text."""
    folder = tmp_path / "policies"
    folder.mkdir()
    monkeypatch.setenv("WAM_EVAL_PATH", str(tmp_path))

    def write(**texts: str) -> None:
        for name, text in texts.items():
            (folder / f"{name}.yaml").write_text(text)

    return write


BASE = """
title: Base
policy: m:C
settings: {size: full, steps: {video: 10, action: 20}}
gpus: 1
"""


def test_a_file_changes_fields_of_the_file_that_it_extends(policies: Callable[..., None]) -> None:
    policies(base=BASE, small="extends: base\ntitle: Small\nsettings: {size: tiny, steps: {video: 1}, extra: [1]}\n")
    small = config.load_policy("small")
    assert (small.title, small.policy, small.gpus) == ("Small", "m:C", 1)
    assert small.settings == {"size": "tiny", "steps": {"video": 1, "action": 20}, "extra": [1]}
    assert config.load_policy("base").settings["size"] == "full"


def test_lists_are_replaced_and_not_merged(policies: Callable[..., None]) -> None:
    policies(
        base=BASE + "benchmarks: {one: {cameras: [a, b]}}\n", other="extends: base\nbenchmarks: {one: {cameras: [c]}}"
    )
    assert config.load_policy("other").benchmarks == {"one": {"cameras": ["c"]}}


VARIANTS = """
variants:
  tiny:
    title: Tiny
    settings: {size: tiny}
  fast:
    settings: {steps: {action: 1}}
"""


def test_a_variant_is_a_name_of_its_own(policies: Callable[..., None]) -> None:
    policies(model=BASE + VARIANTS)
    assert {"model", "model-tiny", "model-fast"} <= set(config.names("policies"))
    tiny, fast = config.load_policy("model-tiny"), config.load_policy("model-fast")
    assert (tiny.title, tiny.settings["size"], tiny.settings["steps"]["action"]) == ("Tiny", "tiny", 20)
    assert (fast.title, fast.settings["size"], fast.settings["steps"]) == ("Base", "full", {"video": 10, "action": 1})
    assert config.load_policy("model").settings["size"] == "full"
    with pytest.raises(UserError, match="unknown policy 'model-tyni': did you mean model-tiny"):
        config.load_policy("model-tyni")


def test_a_file_of_its_own_comes_before_a_variant(policies: Callable[..., None]) -> None:
    policies(**{"model": BASE + VARIANTS, "model-tiny": "title: Mine\npolicy: m:D\n"})
    assert config.load_policy("model-tiny").title == "Mine"


def test_variants_are_not_inherited(policies: Callable[..., None]) -> None:
    policies(model=BASE + VARIANTS, other="extends: model\ntitle: Other\n")
    assert not [name for name in config.names("policies") if name.startswith("other-")]
    assert config.load_policy("other").title == "Other"


def test_a_variant_may_be_a_number(policies: Callable[..., None]) -> None:
    policies(model=BASE + "variants: {2: {title: Two}}\n")
    assert config.load_policy("model-2").title == "Two"


def test_a_variant_of_a_file_that_extends_another(policies: Callable[..., None]) -> None:
    policies(base=BASE, other="extends: base\nvariants: {tiny: {settings: {size: tiny}}}\n")
    assert config.load_policy("other-tiny").settings == {"size": "tiny", "steps": {"video": 10, "action": 20}}


@pytest.mark.parametrize(
    ("texts", "name", "expected"),
    [
        ({"a": "extends: nothing\n"}, "a", r"a\.yaml: extends 'nothing', but there is no .*nothing\.yaml"),
        ({"a": "extends: ../nothing\n"}, "a", r"a\.yaml: extends '\.\./nothing', but there is no"),
        ({"a": "extends: a\n"}, "a", r"a\.yaml: extends 'a', which extends this file"),
        ({"a": "extends: b\n", "b": "extends: a\n"}, "a", r"b\.yaml: extends 'a', which extends this file"),
        ({"a": BASE + "variants: {x: {colour: red}}\n"}, "a-x", r"a\.yaml:\d+: colour: Extra inputs"),
        ({"a": BASE + "variants: 3\n"}, "a", r"a\.yaml: variants: expected a mapping"),
        ({"a": BASE + "variants: {x: 3}\n"}, "a", r"a\.yaml: variants: expected a mapping"),
        ({"a": BASE + "variants: {x: {title: X}\n"}, "a-x", "unknown policy 'a-x'"),
    ],
)
def test_faulty_extensions_and_variants_are_errors(
    policies: Callable[..., None], texts: dict[str, str], name: str, expected: str
) -> None:
    policies(**texts)
    with pytest.raises(UserError, match=expected):
        config.load_policy(name)


# Names


@pytest.mark.parametrize(
    ("load", "name", "hint"),
    [
        (config.load_suite, "libero_spatail", "did you mean libero_spatial"),
        (config.load_suite, "LIBERO-Goal", "did you mean libero_goal"),
        (config.load_suite, "libero_long", "did you mean libero_10"),
        (config.load_policy, "exprt", "did you mean expert"),
        (config.load_policy, "zzz", r"known: expert, fastwam-libero, .* in all\)"),
        (config.load_benchmark_config, "robotvin", "unknown benchmark 'robotvin': did you mean robotwin"),
    ],
)
def test_an_unknown_name_gets_the_nearest_ones(load: Callable[[str], Any], name: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        load(name)


def test_the_users_folders_come_first(policies: Callable[..., None]) -> None:
    policies(expert="title: Mine\npolicy: my.module:Mine\n")
    assert config.load_policy("expert").title == "Mine"
    assert config.load_policy("random").title == "Random actions"


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAM_EVAL_PATH", os.pathsep.join([str(tmp_path), str(tmp_path / "nothing")]))
    with pytest.raises(UserError, match=r"WAM_EVAL_PATH names .*nothing, which is not a folder"):
        config.load_policy("expert")


def test_groups_consist_of_elementary_suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "suites"
    folder.mkdir()
    monkeypatch.setenv("WAM_EVAL_PATH", str(tmp_path))
    for name, parts in {"group": "[one, other]", "nested": "[group]", "own": "[own]"}.items():
        (folder / f"{name}.yaml").write_text(f"title: {name}\nsuites: {parts}\n")
    for name in ("one", "other"):
        (folder / f"{name}.yaml").write_text(f"title: {name}\nbenchmark: b\ntrials: 1\ntasks: [a]\n")
    assert config.elementary("group") == ["one", "other"] and config.elementary("one") == ["one"]
    for name in ("nested", "own"):
        with pytest.raises(UserError, match=f"suite {name}: its part .* is a group itself"):
            config.elementary(name)


# Other packages

PACKAGE = '''
"""A package with a benchmark and policies."""

from tests.toy.benchmark import Toy
from tests.toy.policies import Push
from wam_eval.config import BenchmarkConfig, PolicyConfig, ProtocolCard, SuiteConfig

CARD = ProtocolCard(source="made up", seed=0, settings={"cameras": ["front"], "pause": 0.0}, rules={})


class Ball(Toy):
    """A ball."""

    title = "Ball"
    default_config = BenchmarkConfig(benchmark="ballpark:Ball", default_protocol="own", protocols={"own": CARD})
    suites = {
        "ball": SuiteConfig(title="Ball", benchmark="ball", trials=2, step_limits={"own": 30}, tasks=("push_the_ball",))
    }


class Kick(Push):
    """Kicks the ball.

    Hard.
    """


gentle = PolicyConfig(title="Gentle", policy="ballpark:Kick", settings={"push": 0.5})
'''

ENTRY_POINTS = """
[wam_eval.benchmarks]
ball = ballpark:Ball

[wam_eval.policies]
kick = ballpark:Kick
gentle = ballpark:gentle
"""


def forget_packages() -> None:
    """Entry points are read once per process."""
    config._provided_policies.cache_clear()
    config._provided_benchmarks.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs a package with entry points: its module on the path, and the folder of its metadata."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(module: str = PACKAGE, points: str = ENTRY_POINTS) -> None:
        metadata = tmp_path / "ballpark-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: ballpark\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(points)
        (tmp_path / "ballpark.py").write_text(module)
        forget_packages()

    yield install
    forget_packages()
    sys.modules.pop("ballpark", None)


def test_the_users_files_come_before_other_packages(
    package: Callable[..., None], policies: Callable[..., None]
) -> None:
    package()
    policies(kick="title: Mine\npolicy: my.module:Mine\n")
    assert config.load_policy("kick").title == "Mine"


def test_other_packages_provide_benchmarks_suites_and_policies(package: Callable[..., None]) -> None:
    package()
    assert "ball" in config.names("suites/benchmarks") and "ball" in config.names("suites")
    assert {"kick", "gentle"} <= set(config.names("policies"))
    ball = load_benchmark("ball")
    assert (ball.name, ball.title, ball.card(None)[0]) == ("ball", "Ball", "own")
    assert config.load_suite("ball").tasks[0].instruction == "push the ball"
    assert config.elementary("ball") == ["ball"]
    kick = config.load_policy("kick")
    assert (kick.title, kick.policy) == ("Kicks the ball", "ballpark:Kick"), "a class is titled by its docstring"
    assert make_policy(kick, kick.settings).push == 1.0  # type: ignore[attr-defined]
    gentle = config.load_policy("gentle")
    assert (gentle.title, gentle.settings) == ("Gentle", {"push": 0.5})


def test_a_run_plays_a_benchmark_of_another_package(runs: Path, package: Callable[..., None]) -> None:
    from tests.toy.runs import outcomes, play

    package()
    assert outcomes(play("kick", suite="ball", tasks=None, episodes=2)) == {
        "ball/00/000": "success",
        "ball/00/001": "success",
    }


def test_a_package_that_cannot_be_imported_is_named(package: Callable[..., None]) -> None:
    package(module="raise RuntimeError('no licence')\n")
    expected = (
        "ballpark:(Kick|gentle), which provides (kick|gentle) to wam_eval.policies, cannot be imported: no licence. "
        "Repair or uninstall its package"
    )
    with pytest.raises(UserError, match=expected):
        config.load_policy("kick")
    assert config.load_policy("expert").title and config.load_suite("libero_object").title, "others need no package"
    with pytest.raises(UserError, match=r"ballpark:Ball, which provides ball to wam_eval\.benchmarks, cannot be"):
        config.load_suite("ball")


# Environment


def test_environment_variables_have_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WAM_EVAL_PATH", "WAM_EVAL_RUNS", "WAM_EVAL_HOME", "RAY_ADDRESS"):
        monkeypatch.setenv(name, "")
    assert Environment() == Environment(path="", runs=None, home=None)
    assert Environment().ray_address == ""
    assert config.runs_folder() == Path("results/runs")


def test_environment_variables_are_read_when_they_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAM_EVAL_HOME", str(tmp_path / "home"))
    assert config.runs_folder() == tmp_path / "home" / "runs"
    monkeypatch.setenv("WAM_EVAL_RUNS", str(tmp_path))
    monkeypatch.setenv("RAY_ADDRESS", "host:1")
    assert config.runs_folder() == tmp_path
    assert Environment().ray_address == "host:1"
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").touch()
    (tmp_path / "c").mkdir()
    assert config.run_names() == ["a", "b"]


# The files of this repository

UNSTATED = {"libero_90": {"rlinf"}}
"""Suite -> protocol cards whose source does not state a step limit for it."""


@pytest.mark.parametrize("name", config.names("suites"))
def test_every_suite_has_a_step_limit_for_each_protocol(name: str) -> None:
    for part in config.elementary(name):
        suite = config.load_suite(part)
        protocols = load_benchmark(str(suite.benchmark)).config.protocols
        assert set(suite.step_limits) == set(protocols) - UNSTATED.get(part, set())


@pytest.mark.parametrize("name", config.names("policies"))
def test_every_policy_is_valid(name: str) -> None:
    policy = config.load_policy(name)
    assert policy.title
    if name in ("hold", "random", "replay", "remote", "expert"):
        assert policy_class(policy).Settings


def test_the_four_suites_of_libero_are_two_thousand_episodes() -> None:
    parts = [config.load_suite(part) for part in config.elementary("libero")]
    assert sum(len(part.tasks) * part.trials for part in parts) == 2000
    limits = [config.load_suite(f"libero_{s}").step_limits for s in ("spatial", "object", "goal", "10", "90")]
    assert [limit["openvla"] for limit in limits] == [220, 280, 300, 520, 400]
    assert [limit["fastwam"] for limit in limits] == [400, 400, 400, 700, 700]
