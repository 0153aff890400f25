"""Configuration: the YAML files of suites/, policies/ and reports/, and environment variables.

In a clone the folders are read where they are; an installed wheel has them inside the package. Folders named in
``WAM_EVAL_PATH`` (each with ``suites/`` or ``policies/`` in it) come first. Benchmarks and policies of other packages
are found by the entry points ``wam_eval.benchmarks`` and ``wam_eval.policies``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from wam_eval.errors import UserError, unknown

PACKAGE = Path(__file__).resolve().parent
Model = TypeVar("Model", bound=BaseModel)

BENCHMARKS, POLICIES = "wam_eval.benchmarks", "wam_eval.policies"
"""Groups of entry points by which other packages provide benchmarks and policies."""


class Environment(BaseSettings):
    """Environment variables of this package; benchmarks and models have further ones of their own.

    Attributes:
        path: ``WAM_EVAL_PATH``, folders of the user's own YAML files, separated like ``PATH``.
        runs: ``WAM_EVAL_RUNS``, folder of all runs; see :func:`runs_folder`.
        home: ``WAM_EVAL_HOME``, folder of all places; see :mod:`wam_eval.places`.
        ray_address: ``RAY_ADDRESS``, the Ray cluster to join; empty to start Ray on this machine.
    """

    model_config = SettingsConfigDict(env_prefix="WAM_EVAL_", env_ignore_empty=True, extra="ignore")

    path: str = ""
    runs: Path | None = None
    home: Path | None = None
    ray_address: str = Field(default="", validation_alias="RAY_ADDRESS")


def runs_folder() -> Path:
    """Folder of all runs: ``WAM_EVAL_RUNS``, else ``WAM_EVAL_HOME/runs``, else ``results/runs`` in this directory."""
    given = Environment()
    return given.runs or (given.home.expanduser() / "runs" if given.home else Path("results/runs"))


def run_names() -> list[str]:
    """Names of all runs."""
    return sorted(path.parent.name for path in runs_folder().glob("*/run.json"))


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskConfig(_Config):
    """One task of a suite.

    A YAML file may give the name alone. The instruction is then the name with spaces for underscores, without the words
    in capitals at its beginning, which name a scene.

    Attributes:
        name: the benchmark's own name of the task.
        instruction: the sentence given to the policy; a title if the benchmark words it anew in each episode.
        step_limit: control steps, if the benchmark has a limit for each task.
        axes: value of the task on each axis of its benchmark; see :class:`wam_eval.benchmark.Axis`.
        base: name of the task that it perturbs, if the benchmark perturbs another benchmark's tasks.
        scene: name of the simulator's scene, if tasks share one.
        not_run: reason why the task cannot be played on this machine; empty if it can.
    """

    name: str
    instruction: str
    step_limit: PositiveInt | None = None
    axes: dict[str, str | int] = Field(default_factory=dict)
    base: str = ""
    scene: str = ""
    not_run: str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        value = {"name": value} if isinstance(value, str) else value
        if isinstance(value, dict) and isinstance(value.get("name"), str) and "instruction" not in value:
            value = {**value, "instruction": re.sub(r"^([A-Z0-9]+_)+", "", value["name"]).replace("_", " ")}
        return value


class ProtocolCard(_Config):
    """A way of evaluating a benchmark, as a paper or a repository does it.

    Attributes:
        source: paper or repository, with the reason for the versions.
        seed: seed of the simulator's random state before each reset.
        versions: package -> version that the simulator runs with; installed versions if absent.
        trials: episodes per task of the full suite; the suite's own number if absent.
        settings: settings of the benchmark.
        rules: properties of the simulator that no setting changes, in words.
        sample: share of each suite's tasks that is played by default; all if absent.
        sample_seed: random seed of the sample.
    """

    source: str
    seed: int
    versions: dict[str, str] = Field(default_factory=dict)
    trials: PositiveInt | None = None
    settings: dict[str, Any]
    rules: dict[str, str]
    sample: float | None = Field(default=None, gt=0, le=1)
    sample_seed: int = 0


class BenchmarkConfig(_Config):
    """The configuration that the suites of a benchmark share.

    Attributes:
        benchmark: ``module:Class`` of a :class:`wam_eval.benchmark.Benchmark`.
        python: interpreter of the simulator processes; this one if absent.
        assets: path of the benchmark's assets; searched for if absent.
        default_protocol: name of the protocol card that is used by default.
        demonstrations: name of the protocol card with which training data are recorded, whose starting states are not
            part of the benchmark; ``None`` if there is none.
        protocols: name -> protocol card.
    """

    benchmark: str = Field(pattern=r"^\w+(\.\w+)*:\w+$")
    python: str | None = None
    assets: str | None = None
    default_protocol: str
    demonstrations: str | None = None
    protocols: dict[str, ProtocolCard]

    @model_validator(mode="after")
    def _named_protocols_exist(self) -> BenchmarkConfig:
        for field, name in (("default_protocol", self.default_protocol), ("demonstrations", self.demonstrations)):
            if name is not None and name not in self.protocols:
                raise ValueError(f"{field} {name!r} is none of the protocols")
        return self


class SuiteConfig(_Config):
    """A suite: either ``suites`` (a group of other suites) or tasks of a benchmark.

    Attributes:
        title: name for people and tables.
        suites: names of the elementary suites of a group, in order.
        benchmark: name of the benchmark.
        axes: values that all tasks of the suite have on axes of the benchmark.
        step_limits: protocol card -> control steps, the largest limit of any task.
        trials: episodes per task of the full suite.
        tasks: in official order.
        base: suite whose tasks are perturbed here.
        size: number of tasks, if the benchmark's own data list them; see
            :meth:`wam_eval.benchmark.Installation.with_tasks`.
    """

    title: str
    suites: tuple[str, ...] = ()
    benchmark: str | None = None
    axes: dict[str, str | int] = Field(default_factory=dict)
    step_limits: dict[str, PositiveInt] = Field(default_factory=dict)
    trials: int = Field(default=0, ge=0)
    tasks: tuple[TaskConfig, ...] = ()
    base: str | None = None
    size: PositiveInt | None = None

    @model_validator(mode="after")
    def _group_or_tasks(self) -> SuiteConfig:
        if [bool(self.suites), bool(self.tasks), bool(self.size)].count(True) != 1:
            raise ValueError("a suite has either `suites` or `tasks`, or the `size` of a list in its benchmark's data")
        if not self.suites and not (self.benchmark and self.trials):
            raise ValueError("a suite with `tasks` needs `benchmark` and `trials`")
        return self

    @property
    def task_count(self) -> int:
        """Number of tasks, also if they are not listed here."""
        return self.size or len(self.tasks)


class EnvironmentConfig(_Config):
    """A virtual environment that ``wam-eval setup NAME`` creates in the user's cache.

    Attributes:
        name: name of the environment; policies with the same requirements may share it.
        python: version of its interpreter, such as ``3.12``; that of this one if empty.
        requirements: packages as pip takes them. They need exact versions, and msgpack and numpy among them.
    """

    name: str = Field(pattern=r"^[a-z0-9_]+(-[a-z0-9_]+)*$")
    python: str = Field(default="", pattern=r"^(3\.\d+)?$")
    requirements: tuple[str, ...] = Field(min_length=1)


class PolicyTimeouts(_Config):
    """Time limits of a policy in another interpreter, in seconds.

    Attributes:
        start: for its constructor, and for its preparation.
        answer: for any other call.
    """

    start: float = Field(default=1800.0, gt=0)
    answer: float = Field(default=600.0, gt=0)


class PolicyConfig(_Config):
    """A policy: its class and its settings.

    Attributes:
        title: name for people and tables.
        policy: ``module:Class`` of a :class:`wam_eval.policy.Policy`.
        settings: settings of the policy.
        benchmarks: benchmark -> settings that replace those of ``settings`` on it. A policy with this field plays only
            the benchmarks in it, one without plays all.
        protocol_settings: settings of the benchmark that the policy needs, such as the type of its actions. They
            replace those of the protocol card, and settings of the run replace them.
        checkpoint: meaning of ``--ckpt`` for this policy, in words; a policy without this field takes no checkpoint.
        gpus: GPUs, or share of one, that a worker with this policy takes.
        python: interpreter in which the policy runs, in a process of its own; it comes before ``environment``.
        environment: environment in which it runs, likewise. A policy without both runs in this interpreter.
        timeouts: time limits of a policy in another interpreter.
    """

    title: str
    policy: str = Field(pattern=r"^\w+(\.\w+)*:\w+$")
    settings: dict[str, Any] = Field(default_factory=dict)
    benchmarks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    protocol_settings: dict[str, Any] = Field(default_factory=dict)
    checkpoint: str | None = None
    gpus: float = Field(default=0.0, ge=0.0)
    python: str | None = None
    environment: EnvironmentConfig | None = None
    timeouts: PolicyTimeouts = PolicyTimeouts()

    @property
    def hosted(self) -> bool:
        """True if the policy runs in another interpreter."""
        return self.python is not None or self.environment is not None

    @field_validator("settings", "benchmarks", "protocol_settings")
    @classmethod
    def _as_in_json(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Settings as they are after a round trip through run.json, with which they are compared."""
        try:
            plain: dict[str, Any] = json.loads(json.dumps(settings, allow_nan=False))
        except TypeError as error:
            raise ValueError(str(error)) from error
        return plain


def folders(kind: str) -> list[Path]:
    """Folders with the files of a kind (``suites``, ``reports/tables`` ...), the user's own first."""
    roots = [Path(part) for part in Environment().path.split(os.pathsep) if part]
    for root in roots:
        if not root.is_dir():
            raise UserError(f"WAM_EVAL_PATH names {root}, which is not a folder")
    own = [root / kind for root in roots]
    clone = PACKAGE.parent
    ours = clone / kind if (clone / "pyproject.toml").is_file() else PACKAGE / "data" / kind
    return [folder for folder in (*own, ours) if folder.is_dir()]


def names(kind: str) -> list[str]:
    """Names of all YAML files of a kind and of their variants, and of what other packages provide."""
    found: set[str] = set(_provided(kind))
    for folder in folders(kind):
        for path in folder.glob("*.yaml"):
            found.add(path.stem)
            found.update(f"{path.stem}-{variant}" for variant in _variants(path))
    return sorted(found)


def load_suite(name: str) -> SuiteConfig:
    """Read a suite by name. Raises :class:`UserError` for an unknown name or a faulty file."""
    return load_named("suites", "suite", name, SuiteConfig)


def load_policy(name: str) -> PolicyConfig:
    """Read a policy by name, or from the path of a YAML file."""
    if name.endswith((".yaml", ".yml")):
        return read_yaml(Path(name), PolicyConfig)
    return load_named("policies", "policy", name, PolicyConfig)


def load_named(kind: str, noun: str, name: str, model: type[Model]) -> Model:
    """Read what has a name: a YAML file, a variant in a file, or what another package provides, in this order.

    Args:
        kind: folder of the files, as of :func:`names`.
        noun: the kind in messages.
        name: the name.
        model: type of the content.

    Raises:
        UserError: an unknown name, or a faulty file.
    """
    for folder in folders(kind):
        if (folder / f"{name}.yaml").is_file():
            return read_yaml(folder / f"{name}.yaml", model)
        for path in folder.glob("*.yaml"):
            variant = name.removeprefix(f"{path.stem}-")
            if variant != name and variant in _variants(path):
                return read_yaml(path, model, variant)
    provided: Mapping[str, Model] = _provided(kind)
    if name in provided:
        return provided[name]
    raise unknown(noun, name, names(kind), _titles(kind))


def load_benchmark_config(name: str) -> BenchmarkConfig:
    """Read the configuration of a benchmark."""
    return load_named("suites/benchmarks", "benchmark", name, BenchmarkConfig)


def elementary(name: str) -> list[str]:
    """Names of the elementary suites of a suite: itself, or the members of the group."""
    parts = load_suite(name).suites
    for part in parts:
        if part == name or load_suite(part).suites:
            raise UserError(f"suite {name}: its part {part} is a group itself; name the elementary suites")
    return list(parts) or [name]


def read_yaml(path: Path, model: type[Model], variant: str = "") -> Model:
    """Read a YAML file into a pydantic model.

    A file with ``extends: NAME`` changes or adds fields of the file of that name in the same folder; mappings are
    merged. A file with ``variants`` holds, for each variant, fields that are changed or added likewise.

    Args:
        variant: name of the variant; the file without any if empty.

    Raises:
        UserError: names the file, the line, the field, and the expected value.
    """
    try:
        root, values = _parse(path)
        if variant:
            values = _merged(values, {str(name): fields for name, fields in values["variants"].items()}[variant])
        values.pop("variants", None)
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError("\n".join(_describe(path, root, fault) for fault in error.errors())) from error


def find(kind: str, noun: str, name: str) -> Path:
    """The YAML file of a name. Raises :class:`UserError` with the nearest names if there is none."""
    for folder in folders(kind):
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    raise unknown(noun, name, names(kind), _titles(kind))


def _titles(kind: str) -> dict[str, str]:
    """Titles of YAML files -> their names; a file that cannot be read has none."""
    titles = {}
    for path in (path for folder in folders(kind) for path in folder.glob("*.yaml")):
        with suppress(OSError, UnicodeDecodeError):
            if found := re.search(r"^title: *(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE):
                titles[found[1].strip("'\"")] = path.stem
    return titles


def _parse(path: Path, extended: tuple[Path, ...] = ()) -> tuple[yaml.Node | None, dict[str, Any]]:
    """The YAML nodes of a file, for line numbers, and its values over those of the file that it extends."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except ValueError as error:  # such as a date that does not exist
        raise UserError(f"{path}: not valid YAML: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{where}: not valid YAML: {getattr(error, 'problem', error)}") from error
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected `field: value` lines, found {values!r:.60}")
    variants = values.get("variants", {})
    if not isinstance(variants, dict) or not all(isinstance(fields, dict) for fields in variants.values()):
        raise UserError(f"{path}: variants: expected a mapping of each variant's name to the fields that it changes")
    if (base := values.pop("extends", None)) is not None:
        parent = path.parent / f"{base}.yaml"
        if not parent.is_file():
            raise UserError(f"{path}: extends {base!r}, but there is no {parent}")
        if parent in (path, *extended):
            raise UserError(f"{path}: extends {base!r}, which extends this file")
        values = _merged({k: v for k, v in _parse(parent, (path, *extended))[1].items() if k != "variants"}, values)
    return root, values


def _merged(base: Any, changes: Any) -> Any:
    """Mappings merged recursively; any other value of ``changes`` replaces that of ``base``."""
    if not (isinstance(base, dict) and isinstance(changes, dict)):
        return changes
    return {**base, **{name: _merged(base.get(name), value) for name, value in changes.items()}}


def _variants(path: Path) -> list[str]:
    """Names of the variants of a file; a faulty file has none, and the error is raised when it is read by name."""
    try:
        return _variants_of(path, path.stat().st_mtime_ns)
    except (OSError, UserError):
        return []


@cache
def _variants_of(path: Path, modified: int) -> list[str]:
    del modified
    text = path.read_text(encoding="utf-8")
    return [str(name) for name in _parse(path)[1].get("variants", {})] if "variants:" in text else []


def _provided(kind: str) -> Mapping[str, Any]:
    """Configurations of a kind that other packages provide by entry point."""
    if kind == "policies":
        return _provided_policies()
    if kind in ("suites", "suites/benchmarks"):
        suites, benchmarks = _provided_benchmarks()
        return suites if kind == "suites" else benchmarks
    return {}


@cache
def _provided_policies() -> dict[str, PolicyConfig]:
    """Policies of other packages: a policy's class, titled by its docstring's first line, or a PolicyConfig."""
    found = {}
    for point in entry_points(group=POLICIES):
        value = _loaded(point)
        if not isinstance(value, PolicyConfig):
            title = (value.__doc__ or point.name).strip().splitlines()[0].rstrip(".")
            value = PolicyConfig(title=title, policy=f"{value.__module__}:{value.__qualname__}")
        found[point.name] = value
    return found


@cache
def _provided_benchmarks() -> tuple[dict[str, SuiteConfig], dict[str, BenchmarkConfig]]:
    """Suites and configurations of benchmarks of other packages, from ``suites`` and ``config`` of their classes."""
    suites: dict[str, SuiteConfig] = {}
    benchmarks: dict[str, BenchmarkConfig] = {}
    for point in entry_points(group=BENCHMARKS):
        provided = _loaded(point)
        if provided.default_config is not None:
            benchmarks[point.name] = provided.default_config
        suites |= provided.suites
    return suites, benchmarks


def _loaded(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:  # whatever another package does at its import
        raise UserError(
            f"{point.value}, which provides {point.name} to {point.group}, cannot be imported: {error}. "
            "Repair or uninstall its package"
        ) from error


def _describe(path: Path, root: yaml.Node | None, fault: Any) -> str:
    line = 1
    node = root
    for part in fault["loc"]:
        node, line = _descend(node, part, line)
    field = ".".join(str(part) for part in fault["loc"]) or "file"
    got = "" if fault["type"] == "missing" else f" (found {fault['input']!r:.60})"
    return f"{path}:{line}: {field}: {fault['msg'].removeprefix('Value error, ')}{got}"


def _descend(node: yaml.Node | None, part: str | int, line: int) -> tuple[yaml.Node | None, int]:
    """The child of a YAML node and its line; the parent's line if there is no such child."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark.line + 1
    return None, line
