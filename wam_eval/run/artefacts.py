"""Files that a command promises for finished episodes: trajectories, videos, imagined frames.

A file that is missing, for example because its simulator died while it filmed, is made by the next command of the run
from the recorded trajectory. Trajectories and imagined frames themselves are recorded only while an episode is played.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from wam_eval.episode import Outcome
from wam_eval.run.folder import RunFolder, imagined_name, video_name
from wam_eval.run.ledger import Record
from wam_eval.trajectory import Trajectory, read_trajectory, trajectory_name

VIDEO_OUTCOMES: Mapping[str, tuple[Outcome, ...]] = {
    "none": (),
    "failures": (Outcome.FAILURE,),
    "all": (Outcome.SUCCESS, Outcome.FAILURE),
}
"""Setting of the videos -> outcomes of the episodes that are recorded."""

MOST_NAMED = 3
"""Number of files that a message names."""


@dataclass(frozen=True)
class Restoration:
    """Files of a finished episode that are to be made again.

    Attributes:
        record: its line of the ledger.
        trajectory: its events.
        video: True to make its video.
        imagined: content of the file with its imagined frames, to compare them; ``None`` if nothing is to be compared.
    """

    record: Record
    trajectory: Trajectory
    video: bool
    imagined: bytes | None


@dataclass(frozen=True)
class MissingFiles:
    """Files that a command promises and that the run does not have.

    Attributes:
        restorations: key of the episode -> files that can be made again.
        names: paths of these files inside the run's folder.
        lost: paths of files that are recorded only while an episode is played.
    """

    restorations: Mapping[str, Restoration]
    names: tuple[str, ...]
    lost: tuple[str, ...]


def find_missing(folder: RunFolder, records: Collection[Record], video: str, imagine: int) -> MissingFiles:
    """Find the files that are missing.

    Args:
        records: finished episodes.
        video: key of :data:`VIDEO_OUTCOMES`.
        imagine: number of episodes of each task, the first ones, with imagined frames.
    """
    restorations: dict[str, Restoration] = {}
    names: list[str] = []
    lost: list[str] = []
    for record in records:
        path = folder.trajectory_file(record.key)
        if record.steps and not path.is_file():
            lost.append(trajectory_name(record.key))
        archive, compared = (imagined_name(record.key, suffix) for suffix in (".npz", ".mp4"))
        imagines = record.outcome.counts and record.index < imagine
        if imagines and not (folder.path / archive).is_file():
            lost.append(archive)
        films = record.outcome in VIDEO_OUTCOMES[video] and not (folder.path / video_name(record.key)).is_file()
        compares = imagines and (folder.path / archive).is_file() and not (folder.path / compared).is_file()
        if not (films or compares) or not path.is_file():
            continue
        try:
            trajectory = read_trajectory(path)
        except ValueError:
            lost.append(trajectory_name(record.key))
            continue
        imagined = (folder.path / archive).read_bytes() if compares else None
        restorations[record.key] = Restoration(record, trajectory, films, imagined)
        names += [name for name, wanted in ((video_name(record.key), films), (compared, compares)) if wanted]
    return MissingFiles(restorations, tuple(names), tuple(lost))


def listed(names: Collection[str]) -> str:
    """The first names of a list, and the number of the others."""
    first = list(names)[:MOST_NAMED]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")
