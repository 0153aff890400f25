"""Merging of runs: what fits together, what counts once, and what is refused."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import wam_eval
from tests.toy.runs import outcomes, play, records
from wam_eval import api
from wam_eval.config import run_names
from wam_eval.errors import UserError
from wam_eval.report.tables import markdown_of, summary_of
from wam_eval.run.folder import RunFolder
from wam_eval.run.merge import merge_runs


def merge(*runs: str, out: str = "both", keep_first: bool = False) -> tuple[RunFolder, list[str]]:
    """Merge runs; gives the new one and the messages."""
    messages = merge_runs(out, runs, keep_first, ["wam-eval", "merge", out, *runs])
    return RunFolder(out), messages


def change(folder: RunFolder, key: str, **fields: Any) -> None:
    """Change a line of a ledger."""
    lines = [json.loads(line) for line in folder.ledger.read_text().splitlines()]
    for line in lines:
        if line["key"] == key:
            line.update(fields)
    folder.ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))


def describe(folder: RunFolder, **fields: Any) -> None:
    """Change fields of the policy in run.json."""
    record = folder.read()
    folder.write(record.model_copy(update={"policy": record.policy.model_copy(update=fields)}))


def test_shards_of_two_machines_become_one_run(runs: Path, tmp_path: Path) -> None:
    """By name and by path; the same command continues the result."""
    first = play(name="a", tasks="0", episodes=2, video="all")
    play(name="b", tasks="1", episodes=2)
    (first.path / "incidents.jsonl").write_text('{"key": "toy/00/000", "attempt": 1, "what": "died"}\n')
    other = tmp_path / "copied from elsewhere" / "b"
    other.parent.mkdir()
    shutil.move(runs / "b", other)
    run = wam_eval.merge("both", ["a", str(other)], command=["merge"])
    assert outcomes("both") == {f"toy/{task:02d}/{index:03d}": "success" for task in (0, 1) for index in (0, 1)}
    assert run.estimate.n == 4 and run.estimate.coverage == 1 and not run.data.faults
    assert {index: task.episodes for index, task in run.record.suites["toy"].tasks.items()} == {0: 2, 1: 2}
    assert [(one.run, one.episodes, one.overlap) for one in run.record.sources] == [("a", 2, 0), ("b", 2, 0)]
    assert [worker["run"] for worker in run.record.workers] == ["a", "b"]
    names = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}
    assert {"trajectories/toy/00/001.npz", "trajectories/toy/01/001.npz", "videos/toy/00/000.mp4"} <= names
    assert {"summary.json", "table.md", "run.json", "episodes.jsonl"} <= names
    assert any(name.startswith("logs/2-b/") for name in names)
    assert json.loads((run.path / "incidents.jsonl").read_text())["run"] == "a"
    assert "Merged from a (episodes: 2), b (episodes: 2)." in markdown_of(summary_of(run.folder))
    assert sorted(path.name for path in runs.iterdir()) == ["a", "both"], "no temporary folder is left"
    play(name="both", tasks="0,1", episodes=3)
    assert len(outcomes("both")) == 6 and RunFolder("both").read().sources == run.record.sources


# Overlaps


def test_equal_results_of_an_episode_count_once(runs: Path) -> None:
    play(name="a", episodes=3)
    play(name="b", episodes=2, video="all")
    both, messages = merge("b", "a")
    assert messages == ["played in several runs: 2 episodes, all with the same result; each counts once"]
    assert len(both.ledger.read_text().splitlines()) == 3 and (both.path / "videos/toy/00/001.mp4").is_file()
    assert both.read().sources[1].overlap == 2


def test_a_choice_among_different_results_is_the_users(runs: Path) -> None:
    first, second = play(name="a", episodes=3), play(name="b", episodes=3)
    change(second, "toy/00/001", outcome="failure", steps=30)
    change(second, "toy/00/002", steps=9)
    with pytest.raises(UserError) as refused:
        merge("a", "b")
    assert "episodes with different results: 2\n  toy/00/001: success after 9 steps in" in str(refused.value)
    assert "--keep-first takes that of the run named first for all of them" in str(refused.value)
    assert not (runs / "both").exists() and len(list(runs.iterdir())) == 2
    both, _ = merge("b", "a", keep_first=True)
    assert records(both)["toy/00/001"].outcome.value == "failure" and records(both)["toy/00/002"].steps == 9
    note = "Played in several of them: 3 episodes, 1 with different outcomes. The results of the run named first are"
    assert note in markdown_of(summary_of(both))
    assert first.ledger.read_text().count("\n") == 3
    again, _ = merge("both", str(play(name="c", tasks="1").path), out="all")
    assert note in markdown_of(summary_of(again)), "also in a run that the merged one is merged into"


def test_a_result_comes_before_an_error_and_an_error_before_not_run(runs: Path) -> None:
    first, second = play(name="a", episodes=4), play(name="b", episodes=4)
    change(first, "toy/00/000", outcome="policy_error", error="no")
    change(second, "toy/00/001", outcome="timeout", error="late")
    change(first, "toy/00/002", outcome="not_run", error="no model")
    change(second, "toy/00/002", outcome="policy_error", error="no")
    change(first, "toy/00/003", outcome="policy_error", error="first")
    change(second, "toy/00/003", outcome="timeout", error="second")
    both, messages = merge("a", "b")
    assert list(outcomes(both).values()) == ["success", "success", "policy_error", "policy_error"]
    assert records(both)["toy/00/003"].error == "first" and not messages
    change(second, "toy/00/003", seed=9)
    with pytest.raises(UserError, match=r"toy/00/003 is another episode in each run: seed 0 in .*, 9 in"):
        merge("a", "b", out="other")


# Refusals


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"label": "v2"}, r"policy\.label: None in \S*/a, 'v2' in \S*/b"),
        ({"facts": {"server": {"name": "B"}}}, r"policy\.facts\.server\.name: None in .*, 'B' in"),
        ({"source": {"tests.toy.policies": "edited"}}, r"policy\.source\.tests\.toy\.policies: .*, 'edited' in"),
        ({"checkpoint_sha256": "abc"}, r"policy\.checkpoint_sha256: None in .*, 'abc' in"),
        ({"settings": {"push": 2}}, r"policy\.settings: \{\} in .*, \{'push': 2\} in"),
    ],
)
def test_runs_of_other_policies_are_refused(runs: Path, fields: dict[str, Any], fault: str) -> None:
    play(name="a")
    describe(play(name="b", tasks="1"), **fields)
    with pytest.raises(UserError, match=f"cannot be merged, because they were played differently:\n  {fault}"):
        merge("a", "b")
    assert not (runs / "both").exists()


def test_unknown_facts_are_named(runs: Path) -> None:
    play(name="a")
    describe(play(name="b", tasks="1"), facts=None)
    both, messages = merge("b", "a")
    assert messages == ["no facts identify the policy of b: it is compared by settings and label only"]
    assert both.read().policy.facts == {}


def test_other_protocols_and_assets_are_refused(runs: Path) -> None:
    play(name="a")
    other = play(name="b", tasks="1", protocol="slow")
    with pytest.raises(UserError, match=r"toy: settings\.pause: 0\.0 in .*, 0\.05 in"):
        merge("a", "b")
    record = play(name="c", tasks="1").read()
    suite = record.suites["toy"]
    assets = suite.protocol.assets.model_copy(update={"digest": "other", "detail": "other assets"})
    protocol = suite.protocol.model_copy(update={"assets": assets})
    suite = suite.model_copy(update={"protocol": protocol, "protocol_sha256": protocol.digest})
    RunFolder("c").write(record.model_copy(update={"suites": {"toy": suite}}))
    with pytest.raises(UserError, match=r"toy: assets: '' in .*, 'other assets' in"):
        merge("a", "c")
    play(name="d", suite="toy_weather", protocol="slow")
    with pytest.raises(UserError, match=r"because their suites differ:\n  mixed settings\.pause: toy 0\.0"):
        merge("a", "d")
    assert other.exists()


def test_strangers_are_named_and_left_out(runs: Path) -> None:
    """Lines that run.json does not select: by ``merge``, by ``show``, and by the next command of the run."""
    first, second = play(name="a"), play(name="b", tasks="1", episodes=2)
    with first.ledger.open("a") as file:
        file.write(second.ledger.read_text())
    assert "episodes that were not planned: 2, such as toy/01/000" in markdown_of(summary_of(first))
    with pytest.raises(UserError, match=r"has 2 episodes that its run\.json does not select, such as toy/01/000"):
        play(name="a", tasks="0,1", episodes=2)
    both, messages = merge("a", "b")
    assert "because its run.json does not select them: toy/01/000, toy/01/001" in messages[0]
    assert len(outcomes(both)) == 3


def test_ledgers_that_were_changed_by_hand_are_refused(runs: Path) -> None:
    first = play(name="a")
    play(name="b", tasks="1")
    line = first.ledger.read_text()
    first.ledger.write_text(line + line)
    with pytest.raises(UserError, match="was changed by hand:\n  two results of toy/00/000"):
        merge("a", "b")
    first.ledger.write_text(line.replace('"index":0', '"index":1'))
    with pytest.raises(UserError, match="a key that does not fit its episode: toy/00/000"):
        merge("a", "b")


def test_the_names_must_make_sense(runs: Path, tmp_path: Path) -> None:
    folder = play(name="a")
    for names, fault in [
        (("a",), "name at least two runs"),
        (("a", str(folder.path)), "are the same run"),
        (("a", "aa"), "unknown run 'aa': did you mean"),
        (("a", str(tmp_path)), "is no folder of a run"),
    ]:
        with pytest.raises(UserError, match=fault):
            merge(*names)
    play(name="b", tasks="1")
    with pytest.raises(UserError, match="exists already: give the merged run another name"):
        merge("a", "b", out="a")
    (runs / "empty").mkdir()
    with pytest.raises(UserError, match="exists already"):
        merge("a", "b", out="empty")
    with pytest.raises(UserError, match="cannot be the name of a run"):
        merge("a", "b", out="x/y")


def test_a_run_that_is_being_written_is_not_merged(runs: Path) -> None:
    play(name="a")
    folder = play(name="b", tasks="1")
    with folder.ledger.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"another process is writing .*b; wait for it"):
            merge("a", "b")


def test_a_folder_that_cannot_be_written_can_be_merged(runs: Path) -> None:
    play(name="a")
    folder = play(name="b", tasks="1")
    folder.ledger.chmod(0o400)
    before = folder.ledger.stat().st_mtime_ns
    merge("a", "b")
    assert folder.ledger.stat().st_mtime_ns == before


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_merge_that_is_stopped_leaves_no_run(runs: Path, sent: signal.Signals) -> None:
    """A real process; the copy of one trajectory never ends."""
    folder = play(name="a")
    play(name="b", tasks="1")
    trajectory = folder.trajectory_file("toy/00/000")
    code = (
        "import shutil, time\n"
        "shutil.copyfile = lambda *names: (print('copying', flush=True), time.sleep(600))\n"
        "from wam_eval.run.merge import merge_runs\n"
        "merge_runs('both', ['a', 'b'], False, [])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stdout is not None and process.stdout.readline() == "copying\n"
    process.send_signal(sent)
    process.communicate(timeout=60)
    assert not (runs / "both").exists() and trajectory.is_file()
    assert run_names() == ["a", "b"]
    merge("a", "b")
    assert len(outcomes("both")) == 2


def test_missing_trajectories_are_named(runs: Path) -> None:
    play(name="a").trajectory_file("toy/00/000").unlink()
    play(name="b", tasks="1")
    _, (message,) = merge("a", "b")
    assert message.startswith("missing in the runs: ") and message.endswith("a/trajectories/toy/00/000.npz")


def test_messages_reach_the_user(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    play(name="a")
    play(name="b")
    assert api.merge("both", ["a", "b"]).success_rate == 1.0
    assert "played in several runs: 1 episodes" in capsys.readouterr().err
