"""Videos of the report: failures spread over tasks, and imagined frames and attention with their scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.builders.runs import records_of, run_record, write_run
from tests.report.test_page_html import section
from wam_eval.analysis.frame import read_run
from wam_eval.episode import Outcome
from wam_eval.report.page_html import write_report
from wam_eval.report.page_videos import EMBEDDED, FAILURES_SHOWN, failures, studied
from wam_eval.run.folder import RunFolder, study_name, video_name
from wam_eval.run.playback import encode

VIDEO = encode([np.full((16, 36, 3), shade, np.uint8) for shade in (0, 250)], 5)
PRESENT = {"reconstruction_psnr": 30.0, "reconstruction_ssim": 0.95}


@pytest.fixture
def imagining(runs: Path) -> RunFolder:
    """Six episodes; the first three imagined, the third ended before any future, the fourth is an error."""
    record = run_record("mine", {"libero_goal": 2}, 3)
    records = records_of(record, np.array([True, False, True, True, True, True]))
    for place, scores in enumerate(
        ({"imagined_psnr": 20.0, "imagined_ssim": 0.8}, {"imagined_psnr": 22.0, "imagined_ssim": 0.9}, {})
    ):
        records[place] = records[place].model_copy(update={"measured": {"chunks": 2.0, **PRESENT, **scores}})
    records[3] = records[3].model_copy(update={"outcome": Outcome.TIMEOUT, "measured": {"imagined_psnr": 99.0}})
    folder = write_run(record, records)
    folder.write_artefacts((study_name("imagined", one.key, ".mp4"), VIDEO) for one in records[:2])
    return folder


def test_means_are_over_the_episodes_that_count_and_have_a_score(imagining: RunFolder, tmp_path: Path) -> None:
    part = studied("imagined", [read_run("mine")], ["mine"], tmp_path)
    assert part is not None
    (mean,) = part.means
    assert mean.episodes == 3
    assert mean.scores == pytest.approx({"imagined_psnr": 21.0, "imagined_ssim": 0.85, **PRESENT})
    assert [(video.key, scores["imagined_psnr"]) for video, scores in part.videos] == [
        ("libero_goal/00/000", 20.0),
        ("libero_goal/00/001", 22.0),
    ]
    video, _ = part.videos[0]
    assert (
        video.video
        and (tmp_path / video.link).resolve() == (imagining.path / "imagined/libero_goal/00/000.mp4").resolve()
    )


def test_the_page_shows_scores_and_videos(imagining: RunFolder, tmp_path: Path) -> None:
    page = write_report(["mine"], tmp_path).read_text(encoding="utf-8")
    part = section(page, "imagined")
    assert "<b>21.0</b>" in part and "<b>0.850</b>" in part and "30.0" in part
    assert part.count("<video") == 2 and "PSNR 22.0 dB, SSIM 0.900" in part and "<em>failure</em>" in part
    assert '<a href="#imagined">' in page


def test_an_episode_without_a_future_has_no_number_and_no_nan(imagining: RunFolder, tmp_path: Path) -> None:
    imagining.write_artefacts([(study_name("imagined", "libero_goal/00/002", ".mp4"), VIDEO)])
    part = section(write_report(["mine"], tmp_path).read_text(encoding="utf-8"), "imagined")
    assert "PSNR – dB, SSIM –" in part


def test_the_page_shows_attention_beside_the_change_of_the_image(runs: Path, tmp_path: Path) -> None:
    record = run_record("mine", {"libero_goal": 1}, 2)
    records = records_of(record, np.array([True, False]))
    scores = {"attention_on_change": 0.3, "changed_area": 0.2, "attention_on_image": 0.75}
    still = {"attention_on_change": 0.0, "changed_area": 0.0, "attention_on_image": 0.5}
    records = [
        one.model_copy(update={"measured": measured}) for one, measured in zip(records, (scores, still), strict=True)
    ]
    folder = write_run(record, records)
    folder.write_artefacts([(study_name("attention", records[0].key, ".mp4"), VIDEO)])
    part = section(write_report(["mine"], tmp_path).read_text(encoding="utf-8"), "attention")
    assert "<b>15.0 %</b></td><td>10.0 %</td><td><b>1.50</b></td><td>62.5 %" in part
    assert part.count("<video") == 1 and "30.0 % of the attention on 20.0 % of the image" in part


def test_a_run_that_imagines_nothing_has_no_such_section(runs: Path, tmp_path: Path) -> None:
    record = run_record("mine", {"libero_goal": 2}, 1)
    write_run(record, records_of(record, np.array([True, False])))
    assert studied("imagined", [read_run("mine")], ["mine"], tmp_path) is None
    assert "imagined" not in write_report(["mine"], tmp_path).read_text(encoding="utf-8").lower()


def test_failures_spread_over_tasks_and_a_broken_video_is_marked(runs: Path, tmp_path: Path) -> None:
    record = run_record("mine", {"libero_goal": 30}, 2)
    folder = write_run(record, records_of(record, np.zeros(60, dtype=bool)))
    for key in read_run("mine").frame["key"]:
        folder.write_artefacts([(video_name(key), b"no video" if key == "libero_goal/00/000" else VIDEO)])
    run = read_run("mine")
    shown = failures([run], ["mine"], tmp_path)
    assert len(shown) == FAILURES_SHOWN
    assert len({one.key.rpartition("/")[0] for one in shown}) == FAILURES_SHOWN
    assert sum(one.video is not None for one in shown) == EMBEDDED
    assert [one.key for one in shown if one.jpeg is None] == ["libero_goal/00/000"]
    assert (tmp_path / shown[0].link).resolve() == (RunFolder("mine").path / "videos/libero_goal/00/000.mp4").resolve()
    assert failures([run], ["mine"], tmp_path) == shown
