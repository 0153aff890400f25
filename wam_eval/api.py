"""The Python API: evaluate a policy, load a run, compare runs and published methods. The commands are built on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING, Any

from wam_eval import config
from wam_eval.config import PolicyConfig
from wam_eval.errors import UserError
from wam_eval.policy import Policy, policy_arguments
from wam_eval.run.execute import RunProgress, RunRequest, check_label, default_name, execute
from wam_eval.run.folder import RunFolder, RunRecord, check_name, made_name
from wam_eval.run.identical_errors import IDENTICAL_ERRORS
from wam_eval.run.plan import SuitePlan, plan_run
from wam_eval.run.recording import Recording, write_recordings
from wam_eval.run.task_selection import TaskSelection
from wam_eval.signals import interrupting, received

if TYPE_CHECKING:
    import pandas as pd

    from wam_eval.analysis.comparison import Comparison
    from wam_eval.analysis.estimates import Estimate, Summary
    from wam_eval.analysis.frame import RunData


class Run:
    """A run on disk, finished or not.

    Args:
        name: name of the run.

    Raises:
        UserError: no such run, or a broken file.
    """

    def __init__(self, name: str) -> None:
        self.folder = RunFolder(name)
        self.record: RunRecord = self.folder.read()

    def __repr__(self) -> str:
        return f"Run({self.name!r}: {self.record.policy.full_title} on {', '.join(self.record.suites)})"

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.folder.name

    @property
    def path(self) -> Path:
        """Folder of the run."""
        return self.folder.path

    @cached_property
    def data(self) -> RunData:
        """The run as read from its ledger."""
        from wam_eval.analysis.frame import read_run

        return read_run(self.name)

    @property
    def frame(self) -> pd.DataFrame:
        """One row per planned episode; see :mod:`wam_eval.analysis.frame`."""
        return self.data.frame

    @cached_property
    def table(self) -> Summary:
        """Success rates of tasks, suites and averages, with intervals, coverage and notes."""
        from wam_eval.analysis.estimates import summarize

        return summarize(self.data)

    @property
    def estimate(self) -> Estimate:
        """The success rate over all episodes that count, with its interval."""
        from wam_eval.analysis.estimates import estimate

        return estimate(self.frame)

    @property
    def success_rate(self) -> float | None:
        """The success rate over all episodes that count, a fraction; ``None`` if none counts."""
        return self.estimate.rate


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C or another signal during :func:`evaluate`. Finished episodes are on disk, and the tables are up to date.

    Attributes:
        run: the run; the same call of :func:`evaluate` continues it.
        signal: the signal; SIGINT for Ctrl-C.
    """

    def __init__(self, run: Run, signal: Signals) -> None:
        super().__init__(f"run {run.name} was interrupted by {signal.name}")
        self.run = run
        self.signal = signal


def evaluate(
    *,
    suite: str,
    policy: str | Policy,
    checkpoint: str | None = None,
    label: str | None = None,
    protocol: str | None = None,
    tasks: str | None = None,
    episodes: int | None = None,
    filters: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    sample: float | None = None,
    sample_seed: int | None = None,
    workers: int | None = None,
    simulators: int | None = None,
    run: str | None = None,
    video: str = "none",
    imagine: int = 0,
    attention: int = 0,
    record: str | Path | None = None,
    recording: Recording | None = None,
    retry_errors: bool = False,
    max_identical_errors: int = IDENTICAL_ERRORS,
    command: Sequence[str] | None = None,
    planned: Callable[[Sequence[SuitePlan]], None] | None = None,
    progress: Callable[[RunProgress], None] | None = None,
    track: Sequence[str] = (),
) -> Run:
    """Evaluate a policy on a suite. The same call continues a run that was stopped.

    Called in the main thread, signals of :data:`wam_eval.signals.STOPPING` that have no handler interrupt the run as
    Ctrl-C does, instead of ending this process at once. Handlers of the caller stay.

    Args:
        suite: name of a suite or a group of suites.
        policy: name of a policy, path of its YAML file, or a policy object. An object plays in this process, for
            example inside a training script; it stays loaded.
        checkpoint: path of a checkpoint, or address of a policy server.
        label: your own label of the policy's version, such as that of the model behind a server. It is shown with the
            policy's title, and a run is continued only with the same label.
        protocol: name of a protocol card; the benchmark's default if ``None``.
        tasks: tasks of each suite, such as ``0,3,5-7`` or names; all if ``None``.
        episodes: episodes per task; all of the suite's if ``None``.
        filters: axis of the benchmark -> values, such as ``{"dimension": "camera,noise"}``.
        settings: settings of the benchmark that replace those of the protocol card and of the policy.
        sample: share of the tasks, above 0 and at most 1.
        sample_seed: random seed of the sample.
        workers: number of workers; chosen if ``None``.
        simulators: number of simulators per worker; measured at the start if ``None``.
        run: name of the run. By default it is made from the other arguments; for a policy object it is new in every
            call.
        video: ``none``, ``failures`` or ``all``.
        imagine: number of episodes of each task, the first ones, whose imagined frames are compared with executed
            frames.
        attention: number of episodes of each task, the first ones, whose attention is compared with what changed.
        record: folder in which the played episodes are written as a data set in LeRobot's format, for training.
        recording: image size, stride and cameras of the data set.
        retry_errors: play episodes again that ended in an error or that the policy declined.
        max_identical_errors: stop if so many episodes in a row end in the same error of the policy; 0 to go on.
        command: command line, for the record; that of this process if ``None``.
        planned: called with the plan before the first episode.
        progress: called after each episode; a progress bar is shown on the terminal if ``None``.
        track: trackers that show the rates live: ``tensorboard``, ``wandb``, ``mlflow``, or of another package; see
            :mod:`wam_eval.exchange.tracking`.

    Returns:
        The run. Its folder also has ``summary.json``, ``table.md`` and ``table.csv``.

    Raises:
        UserError: something does not exist or does not fit; the text says what to do.
        RunInterrupted: Ctrl-C, or another signal.
    """
    from wam_eval.report.tables import write_results

    check_label(label)
    if run is not None:
        check_name(run)
    if track:
        from wam_eval.exchange.tracking import find_trackers

        trackers = find_trackers(track)
    selection = TaskSelection(filters=dict(filters or {}), sample=sample, sample_seed=sample_seed)
    if isinstance(policy, str):
        policy_name, policy_config, loaded = policy, config.load_policy(policy), None
    else:
        policy_name, policy_config, loaded = type(policy).__name__, _config_of(policy), policy
    if loaded is None:  # before planning, which may search for episodes for hours
        benchmarks = {str(config.load_suite(name).benchmark) for name in config.elementary(suite)}
        policy_arguments(policy_config, checkpoint, benchmarks)
    settings = {**policy_config.protocol_settings, **(settings or {})}
    plans = plan_run(suite, protocol, tasks, episodes, selection, settings)
    if planned:
        planned(plans)
    recording = recording or Recording() if record is not None else None
    name = run or default_name(suite, policy_name, plans[0].protocol.card, checkpoint, label)
    if loaded and not run:
        name = made_name(name + datetime.now(UTC).strftime("-%Y%m%dT%H%M%S.%f"))
    folder = RunFolder(name)
    tracking = None
    if track:
        from wam_eval.exchange.tracking import Tracking

        facts = {"suite": suite, "policy": policy_config.title, "checkpoint": checkpoint or "", "label": label or ""}
        tracking = Tracking(trackers, name, folder.path, {**facts, "protocol": plans[0].protocol.card})
    request = RunRequest(
        name=name,
        plans=plans,
        policy_name=policy_name,
        policy=policy_config,
        loaded=loaded,
        checkpoint=checkpoint,
        label=label,
        workers=workers,
        simulators=simulators,
        video=video,
        recording=recording,
        studies={"imagined": imagine, "attention": attention},
        retry_errors=retry_errors,
        identical_errors=max_identical_errors,
        command=sys.argv if command is None else command,
        progress=progress,
        watch=tracking,
    )
    with interrupting():
        try:
            try:
                execute(request)
            finally:
                if tracking:
                    tracking.close()
            write_results(folder)
            if record is not None and recording is not None:
                keys = {episode.key for plan in plans for episode in plan.episodes}
                write_recordings(folder, keys, recording, Path(record))
        except KeyboardInterrupt as interrupt:
            if not folder.exists():  # interrupted before there was anything to keep
                raise
            write_results(folder)
            raise RunInterrupted(Run(name), received() or Signals.SIGINT) from interrupt
        except UserError:
            with suppress(UserError):
                if folder.exists():
                    write_results(folder)
            raise
    return Run(name)


def merge(out: str, runs: Sequence[str], *, keep_first: bool = False, command: Sequence[str] | None = None) -> Run:
    """Merge runs of one policy that were played on machines without a common Ray cluster.

    Messages, such as episodes that are left out, are printed on standard error; see :mod:`wam_eval.run.merge` for the
    rules.

    Args:
        out: name of the new run. :func:`evaluate` continues it under this name.
        runs: names or folders of at least two runs.
        keep_first: take the result of the run named first if runs have different results of an episode.
        command: command line, for the record; that of this process if ``None``.

    Raises:
        UserError: the new run exists, or the runs do not fit together; every difference is named.
    """
    from wam_eval.report.tables import write_results
    from wam_eval.run.merge import merge_runs

    for message in merge_runs(out, runs, keep_first, sys.argv if command is None else command):
        print(message, file=sys.stderr)
    write_results(RunFolder(out))
    return Run(out)


def import_results(
    files: Sequence[str | Path],
    *,
    run: str | None = None,
    title: str | None = None,
    suite: str | None = None,
    task: str | None = None,
    trials: int | None = None,
    in_order: bool = False,
    command: Sequence[str] | None = None,
) -> Run:
    """Import results of another program as a run; see :mod:`wam_eval.exchange.importing`.

    Args:
        files: files of one kind, which is recognised by their content.
        run: name of the run; made of the program and the policy if ``None``.
        title: name of the policy; that in the files if ``None``.
        suite, task, trials: elementary suite, task, and number of episodes of each task, where the files lack them.
        in_order: True if result n of a task is that of the task's n-th initial state or seed.
        command: command line, for the record; that of this process if ``None``.

    Raises:
        UserError: a file is broken, of no known kind, or lacks a fact; nothing is written.
    """
    from wam_eval.exchange.importing import import_results as read
    from wam_eval.foreign import Given
    from wam_eval.report.tables import write_results

    given = Given(suite, task, trials, in_order)
    folder = read(list(map(Path, files)), run, title, given, sys.argv if command is None else command)
    write_results(folder)
    return Run(folder.name)


def export(run: str, target: str, *, folder: str | Path = ".", facts: Mapping[str, str] | None = None) -> list[Path]:
    """Export a run to a program, a leaderboard or CSV; see :mod:`wam_eval.exchange.exporting`.

    Args:
        run: name of the run.
        target: ``vla-eval``, ``lerobot``, ``csv``, or a leaderboard.
        folder: folder of the new files.
        facts: facts for an entry of a leaderboard that the run does not state.

    Returns:
        Paths of the files.

    Raises:
        UserError: the run does not meet the target's definition, or a file exists already.
    """
    from wam_eval.exchange.exporting import export_run

    return export_run(run, target, facts or {}, Path(folder))


def load_run(name: str) -> Run:
    """Load a run by name.

    Raises:
        UserError: no such run, or a broken file.
    """
    return Run(name)


def compare(names: Sequence[str], accept: Sequence[str] = ()) -> Comparison:
    """Compare a candidate with other runs or published methods.

    Args:
        names: the candidate, then the others: names of runs, or ``method``, ``method@paper``.
        accept: fields in which the protocols may differ, such as ``versions.numpy``.

    Returns:
        Differences with intervals, p-values and verdicts, or the reasons why there is no verdict.

    Raises:
        UserError: an unknown name, nothing in common, or a field that cannot be accepted.
    """
    from wam_eval.analysis.comparison import compare as compare_entries
    from wam_eval.analysis.comparison import find_entries

    return compare_entries(find_entries(names), accept)


def _config_of(policy: Policy) -> PolicyConfig:
    """A configuration that names the class of a policy object."""
    kind = type(policy)
    title = (kind.__doc__ or kind.__name__).strip().splitlines()[0].rstrip(".")
    return PolicyConfig(title=title, policy=f"{kind.__module__}:{kind.__name__}")
