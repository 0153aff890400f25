"""Videos of the report: failures, and what studies compared, with their scores."""

from __future__ import annotations

import base64
import io
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import av
import numpy as np

from wam_eval.analysis.frame import MISSING, RunData
from wam_eval.run.folder import RunFolder, study_name, video_name
from wam_eval.run.ledger import read_ledger

FAILURES_SHOWN = 24
STUDIED_SHOWN = 12
EMBEDDED = 12
"""Largest number of videos that a gallery embeds; others are links."""
LARGEST = 1_000_000
"""Largest size in bytes of a video that is embedded."""
SCORES = {
    "imagined": ("imagined_psnr", "imagined_ssim", "reconstruction_psnr", "reconstruction_ssim"),
    "attention": ("attention_on_change", "changed_area", "attention_on_image"),
}
"""Study -> measurements of an episode; see the functions ``score`` of :mod:`wam_eval.run.imagination` and
:mod:`wam_eval.run.attention`."""
_FIELDS = ["key", "suite", "task", "instruction", "outcome"]


class Candidate(NamedTuple):
    """An episode with a video.

    Attributes:
        run, label: name of the run, and its label in the report.
        key, suite, task, instruction, outcome: of the episode.
        path: file of the video.
    """

    run: str
    label: str
    key: str
    suite: str
    task: int
    instruction: str
    outcome: str
    path: Path


@dataclass(frozen=True)
class Thumbnail:
    """A video of a gallery.

    Attributes:
        run, label, key, instruction, outcome: of the episode.
        jpeg: last frame of the video, base64; ``None`` if the video cannot be read.
        video: the file of the video, base64, if it is small; else ``None``.
        link: path of the video, relative to the report.
    """

    run: str
    label: str
    key: str
    instruction: str
    outcome: str
    jpeg: str | None
    video: str | None
    link: str


def failures(runs: Sequence[RunData], labels: Sequence[str], folder: Path) -> list[Thumbnail]:
    """At most :data:`FAILURES_SHOWN` failures with videos, spread over runs and tasks; the same ones each time.

    Args:
        runs, labels: the runs, and their labels in the report.
        folder: folder of the report, for the links.
    """
    return thumbnails(spread(_failed(runs, labels), FAILURES_SHOWN), folder)


def _failed(runs: Sequence[RunData], labels: Sequence[str]) -> list[Candidate]:
    found = []
    for run, label in zip(runs, labels, strict=True):
        folder = RunFolder(run.name).path
        rows = run.frame[~run.frame["success"] & (run.frame["outcome"] != MISSING)]
        for key, suite, task, instruction, outcome in rows.sort_values("key")[_FIELDS].itertuples(
            index=False, name=None
        ):
            video = folder / video_name(key)
            if video.is_file():
                found.append(Candidate(run.name, label, key, suite, task, instruction, outcome, video))
    return found


def thumbnails(chosen: Sequence[Candidate], folder: Path, side: int = 320) -> list[Thumbnail]:
    """Thumbnails of the chosen episodes, of which the first :data:`EMBEDDED` small videos are embedded.

    Args:
        chosen: the episodes.
        folder: folder of the report, for the links.
        side: largest side of a frame in pixels.
    """
    made: list[Thumbnail] = []
    embedded = 0
    for shown in chosen:
        jpeg = last_frame(shown.path, side)
        fits = jpeg is not None and embedded < EMBEDDED and shown.path.stat().st_size < LARGEST
        embedded += fits
        made.append(
            Thumbnail(
                *(shown.run, shown.label, shown.key, shown.instruction, shown.outcome.replace("_", " ")),
                jpeg=jpeg,
                video=_base64(shown.path.read_bytes()) if fits else None,
                link=quote(Path(os.path.relpath(shown.path.resolve(), folder.resolve())).as_posix()),
            )
        )
    return made


def spread(candidates: Sequence[Candidate], most: int) -> list[Candidate]:
    """Choose episodes evenly over tasks: one of as many tasks as possible, then a second one of each, and so on."""
    tasks: dict[tuple[str, str, int], list[Candidate]] = {}
    for candidate in candidates:
        tasks.setdefault((candidate.run, candidate.suite, candidate.task), []).append(candidate)
    chosen: list[Candidate] = []
    depth = 0
    while len(chosen) < most and (waiting := [t[depth] for t in tasks.values() if len(t) > depth]):
        room = min(most - len(chosen), len(waiting))
        chosen += [waiting[int(place)] for place in np.linspace(0, len(waiting) - 1, room).round()]
        depth += 1
    order = {candidate: place for place, candidate in enumerate(candidates)}
    return sorted(chosen, key=order.__getitem__)


def last_frame(video: Path, side: int) -> str | None:
    """The last frame of a video as a base64 JPEG with sides of at most ``side`` pixels; ``None`` for another file."""
    try:
        with av.open(str(video)) as container:
            frames = deque(container.decode(video=0), maxlen=1)
    except (av.error.FFmpegError, IndexError, OSError):
        return None
    if not frames:
        return None
    image = frames[0].to_image()
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=82, optimize=True)
    return _base64(file.getvalue())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


# ---------------------------------------------------------------------- studies


@dataclass(frozen=True)
class MeanScores:
    """Scores of a study in a run.

    Attributes:
        label: label of the run.
        episodes: number of episodes with a score.
        scores: name -> mean over the episodes that have this score.
    """

    label: str
    episodes: int
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Studied:
    """The section of the report on a study.

    Attributes:
        means: of the runs that have scores.
        videos: some of their videos, each with the episode's scores by name.
    """

    means: Sequence[MeanScores]
    videos: Sequence[tuple[Thumbnail, Mapping[str, float]]]


def studied(study: str, runs: Sequence[RunData], labels: Sequence[str], folder: Path) -> Studied | None:
    """Scores of all runs, and at most :data:`STUDIED_SHOWN` videos over runs and tasks; ``None`` without scores.

    Args:
        study: name of the study.
        runs, labels: the runs, and their labels in the report.
        folder: folder of the report, for the links.
    """
    means: list[MeanScores] = []
    candidates: list[Candidate] = []
    by_episode: dict[tuple[str, str], Mapping[str, float]] = {}
    for run, label in zip(runs, labels, strict=True):
        scored = _scores(study, run)
        if not scored:
            continue
        values = {name: [scores[name] for scores in scored.values() if name in scores] for name in SCORES[study]}
        mean = {name: sum(found) / len(found) for name, found in values.items() if found}
        means.append(MeanScores(label, len(scored), mean))
        rows = run.counted[run.counted["key"].isin(scored)].sort_values("key")
        for key, suite, task, instruction, outcome in rows[_FIELDS].itertuples(index=False, name=None):
            video = RunFolder(run.name).path / study_name(study, key, ".mp4")
            if video.is_file():
                candidates.append(Candidate(run.name, label, key, suite, task, instruction, outcome, video))
                by_episode[run.name, key] = scored[key]
    if not means:
        return None
    shown = thumbnails(spread(candidates, STUDIED_SHOWN), folder, side=640)
    return Studied(means, [(video, by_episode[video.run, video.key]) for video in shown])


def _scores(study: str, run: RunData) -> dict[str, dict[str, float]]:
    """The scores of each counted episode with any, ordered by key."""
    counted = set(run.counted["key"])
    found = {
        record.key: {name: record.measured[name] for name in SCORES[study] if name in record.measured}
        for record in read_ledger(RunFolder(run.name).ledger).records
        if record.key in counted
    }
    return {key: scores for key, scores in sorted(found.items()) if scores}
