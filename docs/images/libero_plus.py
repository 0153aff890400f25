"""Make docs/images/libero_plus.png: the first image of tasks of all dimensions of LIBERO-Plus.

WAM_EVAL_LIBERO_ASSETS=stand-in WAM_EVAL_LIBERO_PLUS_ROOT=stand-in python docs/images/libero_plus.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wam_eval.episode import Episode
from wam_eval.hosting.process import SimulatorProcess
from wam_eval.observation import Request
from wam_eval.run.plan import plan_run

SUITE = "libero_plus_spatial"
BASE = "pick_up_the_black_bowl_between_the_plate_and_the_ramekin_and_place_it_on_the_plate"
TASKS = (
    ("language: as the base task", "_language_1_view_0_0_100_0_0_initstate_0"),
    ("camera: 15° up, 15° round", "_view_15_15_100_0_0_initstate_0"),
    ("robot, while it settles", "_view_0_0_100_0_0_initstate_491"),
    ("layout: five added objects", "_add_25"),
    ("light", "_light_1"),
    ("background", "_table_1"),
    ("noise: motion blur, level 7", "_view_0_0_100_0_0_initstate_0_noise_7"),
    ("noise: fog, level 7", "_view_0_0_100_0_0_initstate_0_noise_37"),
)
"""Label, ending of the task's name. A language task has the first image of its base task."""
COLUMNS, GAP, BAND = 4, 6, 22
CAMERA = "agentview"


def first_images() -> list[tuple[str, NDArray[np.uint8]]]:
    """Labels and images, uint8 (256, 256, 3)."""
    (plan,) = plan_run(SUITE)
    spec = plan.installation.spec(plan.protocol.settings)
    found = []
    with tempfile.TemporaryDirectory() as folder, SimulatorProcess(spec, Path(folder) / "simulator.log") as simulator:
        for label, ending in TASKS:
            episode = Episode(SUITE, 0, "", 0, BASE + ending, "", plan.protocol.seed, 220)
            found.append((label, simulator.load(episode, Request((CAMERA,))).images[CAMERA].copy()))
    return found


def contact_sheet(images: list[tuple[str, NDArray[np.uint8]]]) -> Image.Image:
    """The images in rows, each under its label."""
    size = images[0][1].shape[0]
    rows = -(-len(images) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (size + GAP) - GAP, rows * (size + BAND + GAP) - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for number, (label, image) in enumerate(images):
        row, column = divmod(number, COLUMNS)
        left, top = column * (size + GAP), row * (size + BAND + GAP)
        draw.text((left, top + 3), label, fill="black", font=font)
        sheet.paste(Image.fromarray(image), (left, top + BAND))
    return sheet


def main() -> None:
    """Draw and save the figure."""
    figure = contact_sheet(first_images())
    figure.quantize(192, dither=Image.Dither.NONE).save(Path(__file__).with_name("libero_plus.png"), optimize=True)


if __name__ == "__main__":
    main()
