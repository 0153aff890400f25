"""Make docs/images/robotwin.png: the first image of all tasks of the embedded RoboTwin, clean above randomized.

python docs/images/robotwin.py
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from wam_eval.benchmark import load_benchmark
from wam_eval.benchmarks.robotwin.benchmark import miniature
from wam_eval.benchmarks.robotwin.miniature import TASK_NAMES
from wam_eval.benchmarks.robotwin.miniature.source import MiniatureSource
from wam_eval.benchmarks.robotwin.source import CONDITIONS
from wam_eval.episode import Episode
from wam_eval.hosting.process import SimulatorProcess
from wam_eval.observation import Request

CAMERA = "head_camera"
COLUMNS, GAP, BAND = 10, 4, 18
SIZE = (160, 120)
"""Size of an image in the figure, pixels."""


def first_seed(task: str, condition: str) -> int:
    """The first seed whose scene comes to rest, from another one on for each task, since it gives the textures."""
    source = MiniatureSource({"cameras": []})
    for seed in itertools.count(100000 + TASK_NAMES.index(task)):
        with contextlib.suppress(source.unstable):
            source.task(task).setup_demo(seed=seed, **source.arguments(task, condition))
            return seed
    raise AssertionError


def first_images(condition: str) -> dict[str, Image.Image]:
    """Task -> the first image of its first seed."""
    _, card = load_benchmark("robotwin").card(None)
    spec = miniature().spec(card.settings)
    found = {}
    with tempfile.TemporaryDirectory() as folder, SimulatorProcess(spec, Path(folder) / "simulator.log") as simulator:
        for number, task in enumerate(TASK_NAMES):
            seed = first_seed(task, condition)
            episode = Episode(f"robotwin_{condition}", number, condition, 0, task, "", seed, 1)
            image = Image.fromarray(simulator.load(episode, Request((CAMERA,))).images[CAMERA])
            found[task] = image.resize(SIZE, Image.Resampling.LANCZOS)
    return found


def contact_sheet(clean: dict[str, Image.Image], randomized: dict[str, Image.Image]) -> Image.Image:
    """The images in rows: the name of a task, its clean image, its randomized image."""
    width, height = SIZE
    block = BAND + 2 * height + 2 * GAP
    rows = -(-len(clean) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (width + GAP) - GAP, rows * block), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for number, task in enumerate(clean):
        row, column = divmod(number, COLUMNS)
        left, top = column * (width + GAP), row * block
        draw.text((left + 1, top + 2), task, fill="black", font=font)
        sheet.paste(clean[task], (left, top + BAND))
        sheet.paste(randomized[task], (left, top + BAND + height + GAP))
    return sheet


def main() -> None:
    """Draw and save the figure."""
    figure = contact_sheet(*(first_images(condition) for condition in CONDITIONS))
    figure.quantize(256, kmeans=1, dither=Image.Dither.FLOYDSTEINBERG).save(
        Path(__file__).with_name("robotwin.png"), optimize=True
    )


if __name__ == "__main__":
    main()
