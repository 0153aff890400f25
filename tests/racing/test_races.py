"""Races of the toy's policies in this process: the best, a reference, a margin, errors, continuation, records."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import wam_eval
from tests.conftest import REPOSITORY
from tests.toy import CATALOG
from tests.toy.policies import Push, Skilled
from tests.toy.runs import play, records
from wam_eval.analysis.frame import read_run
from wam_eval.analysis.race import Decision
from wam_eval.errors import UserError
from wam_eval.racing import Contestant, Race, load_race, race, titles_of
from wam_eval.run.folder import RunFolder

RATES = (0.1, 1.0)


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of all episodes by contestants with the rates of `RATES`."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAM_EVAL_RUNS", str(folder / "runs"))
        patch.setenv("WAM_EVAL_PATH", str(CATALOG))
        for rate in RATES:
            (folder / f"{rate}.txt").write_text(str(rate))
            settings = {"checkpoint": str(folder / f"{rate}.txt")}
            play("skilled", name=name_of(rate), tasks="0,1", episodes=20, settings=settings)
    return folder / "runs"


@pytest.fixture
def finished(runs: Path, finished_once: Path) -> Path:
    """A folder with these runs, in which a race has nothing to play."""
    shutil.copytree(finished_once, runs)
    return runs


def name_of(rate: float) -> str:
    """Name of the run of such a contestant."""
    return f"toy-Skilled-plain-{rate}"


def skilled(tmp_path: Path, *rates: float) -> list[Contestant]:
    """Contestants with these success rates."""
    found = []
    for rate in rates:
        path = tmp_path / f"{rate}.txt"
        path.write_text(str(rate))
        policy = Skilled.create(checkpoint=str(path))
        found.append(Contestant(policy, title=str(rate)))
    return found


def hold(contestants: list[Contestant], **options: object) -> Race:
    """A race on two tasks of the toy."""
    given: dict[str, object] = {"suite": "toy", "tasks": "0,1", "simulators": 1, "name": "race", **options}
    return race(contestants, **given)  # type: ignore[arg-type]


def decisions(found: Race) -> list[Decision]:
    """The decisions about all contestants."""
    return [one.decision for one in found.standings]


def test_the_best_is_found_before_the_suite_ends(runs: Path, tmp_path: Path) -> None:
    found = hold(skilled(tmp_path, 0.1, 1.0))
    assert decisions(found) == [Decision.NOT_BEST, Decision.BEST] and found.over
    assert found.record.looks < 20 and found.played < 40
    worst, best = found.standings
    assert best.interval[0] < best.rate == 1.0
    assert worst.difference < 0 and worst.difference_interval[1] < 0, "the interval agrees with the decision"
    assert len(found.evidence) == found.record.looks and found.evidence[-1][0] > 20
    for one in found.record.contestants:
        run = wam_eval.load_run(one.run)
        assert run.record.race == "race" and run.estimate.n >= found.record.looks
        assert any("Stopped early: race race drew its episodes in random order" in text for text in run.data.remarks)
        assert "Stopped early: race race" in (run.path / "table.md").read_text()
        assert run.data.problems, "it has no verdict in an ordinary comparison"


def test_a_run_that_played_everything_is_like_any_other(finished: Path) -> None:
    folder = RunFolder(name_of(1.0))
    folder.write(folder.read().model_copy(update={"race": "race"}))
    assert read_run(folder.name).about_race is None


def test_equal_contestants_play_the_full_suite_and_nothing_is_told(finished: Path, tmp_path: Path) -> None:
    (same,) = skilled(tmp_path, 1.0)
    shutil.copytree(finished / name_of(1.0), finished / "toy-Push-plain")
    found = hold([same, Contestant(Push.create())])
    assert decisions(found) == [Decision.UNSURE, Decision.UNSURE] and found.over
    assert found.record.looks == 40 and found.played == 80


def test_the_same_call_continues_a_race_and_plays_nothing_twice(runs: Path, tmp_path: Path) -> None:
    contestants = skilled(tmp_path, 0.1, 1.0)

    class Stop(Exception):
        pass

    def stop(record: object) -> None:
        if record.looks == 4:  # type: ignore[attr-defined]
            raise Stop

    with pytest.raises(Stop):
        hold(contestants, changed=stop)
    before = {one: records(RunFolder(one)) for one in ("toy-Skilled-plain-0.1", "toy-Skilled-plain-1.0")}
    found = hold(contestants)
    assert decisions(found) == [Decision.NOT_BEST, Decision.BEST]
    for name, known in before.items():
        assert len(known) >= 4 and known.items() <= records(RunFolder(name)).items()
    again = hold(contestants)
    assert again.standings == found.standings and again.played == found.played
    assert load_race("race").standings == found.standings


def test_finished_runs_are_contestants_that_play_nothing(finished: Path, tmp_path: Path) -> None:
    before = [(finished / name_of(rate) / "episodes.jsonl").read_bytes() for rate in RATES]
    found = hold(skilled(tmp_path, *RATES))
    assert decisions(found) == [Decision.NOT_BEST, Decision.BEST]
    assert [(finished / name_of(rate) / "episodes.jsonl").read_bytes() for rate in RATES] == before


def test_candidates_race_against_a_finished_run(finished: Path, tmp_path: Path) -> None:
    found = hold(skilled(tmp_path, *RATES), against=name_of(1.0))
    assert decisions(found) == [Decision.WORSE, Decision.UNSURE] and found.record.paired
    worse, same = found.standings
    assert worse.looks < 20 and worse.difference_interval[1] < 0
    assert same.looks == 40 and same.difference == 0


def test_a_candidate_is_not_worse_by_more_than_a_margin(finished: Path, tmp_path: Path) -> None:
    """The worse one succeeds in half of the episodes."""
    found = hold(skilled(tmp_path, *RATES), against=name_of(1.0), margin=0.25)
    assert decisions(found) == [Decision.UNSURE, Decision.NOT_WORSE]
    found = hold(skilled(tmp_path, *RATES), against=name_of(1.0), margin=0.01, name="strict")
    assert decisions(found) == [Decision.WORSE_BY_MARGIN, Decision.UNSURE]


def test_a_run_with_another_seed_is_compared_without_pairs(finished: Path, tmp_path: Path) -> None:
    folder = RunFolder(name_of(1.0))
    record = folder.read()
    suite = record.suites["toy"]
    protocol = suite.protocol.model_copy(update={"seed": 5})
    suite = suite.model_copy(update={"protocol": protocol, "protocol_sha256": protocol.digest})
    folder.write(record.model_copy(update={"suites": {"toy": suite}}))
    ledger = folder.ledger.read_text()
    folder.ledger.write_text(ledger.replace('"seed":0', '"seed":5'))
    shutil.copytree(folder.path, finished / "other")
    shutil.rmtree(folder.path)
    found = hold(skilled(tmp_path, 0.1), against="other")
    assert decisions(found) == [Decision.WORSE] and not found.record.paired


def test_another_protocol_is_no_reference(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be raced against, because its protocol differs"):
        hold(skilled(tmp_path, 0.1), against=name_of(1.0), protocol="slow")


def test_only_episodes_of_the_reference_are_played(finished: Path, tmp_path: Path) -> None:
    lines = (finished / name_of(1.0) / "episodes.jsonl").read_text().splitlines(keepends=True)
    shutil.copytree(finished / name_of(1.0), finished / "short")
    (finished / "short" / "episodes.jsonl").write_text("".join(lines[:2]))
    found = hold(skilled(tmp_path, 1.0), against="short")
    assert len(found.record.order) == 2 and decisions(found) == [Decision.UNSURE]


def test_a_contestant_with_an_error_leaves_without_a_decision(finished: Path, tmp_path: Path) -> None:
    faults = {str(index): "raise" for index in range(20)}
    found = hold([*skilled(tmp_path, *RATES), Contestant(Push.create(faults=faults), title="broken")])
    assert decisions(found) == [Decision.NOT_BEST, Decision.BEST, Decision.UNSURE]
    assert "policy error in toy/" in found.standings[2].reason and "out of memory" in found.standings[2].reason


def test_a_race_is_not_continued_with_other_rules(finished: Path, tmp_path: Path) -> None:
    contestants = skilled(tmp_path, 0.1, 1.0)
    hold(contestants)
    with pytest.raises(UserError, match="race 'race' was started differently: it has seed 0"):
        hold(contestants, seed=1)
    with pytest.raises(UserError, match="it has another order"):
        hold(contestants, tasks="0")


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (1, {}, "a race needs at least two contestants, or one and a finished run"),
        (2, {"margin": 0.1}, "--margin compares with a reference: add a finished run"),
        (2, {"margin": 5.0, "against": "x"}, "a margin of 5: give a fraction from 0 to 1"),
        (1, {"against": "nothing"}, "run"),
    ],
)
def test_impossible_races_are_refused(runs: Path, tmp_path: Path, count: int, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        hold(skilled(tmp_path, 0.5, 0.6)[:count], **options)
    assert not (runs / "race").exists()


def test_titles_tell_contestants_apart() -> None:
    assert titles_of([Contestant("a"), Contestant("b.yaml")]) == ["a", "b"]
    checkpoints = [Contestant("a", f"runs/{one}/step_10.pt") for one in "xy"]
    assert titles_of(checkpoints) == ["x/step_10.pt", "y/step_10.pt"]
    assert titles_of([Contestant("a", "x.pt"), Contestant("b", "x.pt")]) == ["a x.pt", "b x.pt"]
    assert titles_of([Contestant("a"), Contestant("a")]) == ["a #1", "a #2"]


SCRIPT = """
import json, sys
from tests.toy.policies import Skilled
from wam_eval.racing import Contestant, race

found = race(
    [Contestant(Skilled.create(checkpoint=path, seconds=0.05), title=path[-7:-4]) for path in sys.argv[1:]],
    suite="toy", tasks="0,1", simulators=1, name="race",
)
print(json.dumps([one.decision.value for one in found.standings]))
"""


def test_a_killed_process_loses_nothing(runs: Path, tmp_path: Path) -> None:
    skilled(tmp_path, *RATES)
    command = [sys.executable, "-c", SCRIPT, *(str(tmp_path / f"{rate}.txt") for rate in RATES)]
    process = subprocess.Popen(command, cwd=REPOSITORY)
    ledgers = [RunFolder(name_of(rate)).ledger for rate in RATES]
    for _ in range(6000):
        if all(ledger.exists() and ledger.read_bytes().count(b"\n") >= 2 for ledger in ledgers):
            break
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    before = [records(RunFolder(name_of(rate))) for rate in RATES]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["not the best", "the best"]
    for rate, known in zip(RATES, before, strict=True):
        assert len(known) < 40 and known.items() <= records(RunFolder(name_of(rate))).items()


def test_contestants_with_different_actions_do_not_play_the_same_episodes(runs: Path) -> None:
    contestants = [Contestant("remote_robotwin", "localhost:1"), Contestant("remote_x_vla", "localhost:2")]
    with pytest.raises(UserError, match=r"for \{'action_type': 'ee'\}: they do not play the same episodes"):
        race(contestants, suite="robotwin_clean")
