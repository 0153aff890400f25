"""Commands for small models: record or convert demonstrations, and train on them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from wam_eval.cli.app import (
    Checkpoint,
    PolicyName,
    Settings,
    Simulators,
    Tasks,
    app,
    console,
    names_in,
    settings_in,
)
from wam_eval.errors import UserError

ImageSize = Annotated[str, typer.Option(metavar="N or HxW", help="Height and width of the images in pixels.")]
Stride = Annotated[int, typer.Option(min=1, help="Control steps from one observation to the next.")]
Cameras = Annotated[str | None, typer.Option(help="Cameras, separated by commas. Default: all.")]


@app.command()
def record(
    suite: Annotated[str, typer.Argument(help="Suite; see `wam-eval list suites`.")],
    out: Annotated[Path, typer.Option(help="Folder of the data set.")],
    episodes: Annotated[
        int | None, typer.Option(min=1, help="Episodes per task. Default: all, if the protocol limits them.")
    ] = None,
    tasks: Tasks = None,
    policy: PolicyName = "expert",
    ckpt: Checkpoint = None,
    protocol: Annotated[
        str | None, typer.Option(help="Protocol card. Default: the benchmark's own for demonstrations.")
    ] = None,
    settings: Settings = None,
    image_size: ImageSize = "64",
    stride: Stride = 4,
    cameras: Cameras = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Ray workers. Default: one per node.")] = None,
    simulators: Simulators = None,
) -> None:
    """Record demonstrations for training, by default from starting states that are not part of the benchmark.

    The data set has LeRobot's format, version 3. The same command continues a recording that was stopped.
    """
    from wam_eval import api, config
    from wam_eval.run.folder import made_name
    from wam_eval.run.plan import SuitePlan
    from wam_eval.run.recording import Recording

    height, width = size_in(image_size)
    chosen = tuple(names_in(cameras))
    changed = settings_in(settings)
    benchmarks = {str(config.load_suite(name).benchmark) for name in config.elementary(suite)}
    cards = {config.load_benchmark_config(benchmark).demonstrations for benchmark in benchmarks}
    if protocol is None and (None in cards or len(cards) > 1):
        raise UserError(
            f"{suite} has no protocol card for demonstrations: name one as `demonstrations` in its YAML file"
        )

    def planned(plans: Sequence[SuitePlan]) -> None:
        """Refuse the thousands of episodes that a protocol card for demonstrations allows."""
        for plan in plans:
            if episodes is None and plan.protocol.trials == plan.benchmark.card(plan.protocol.card)[1].trials:
                raise UserError("--episodes N is missing: the number of episodes of each task")

    parts = [suite, Path(policy).stem, protocol or "demonstrations", f"{height}x{width}", f"every{stride}", *chosen]
    parts += [Path(ckpt).name] if ckpt else []
    parts += [f"{key}={Path(str(value)).name}" for key, value in changed.items()]
    played = api.evaluate(
        suite=suite,
        policy=policy,
        checkpoint=ckpt,
        protocol=protocol or cards.pop(),
        tasks=tasks,
        episodes=episodes,
        settings=changed,
        workers=workers,
        simulators=simulators,
        run=made_name("-".join(map(str, parts))),
        record=out,
        planned=planned,
        recording=Recording(size=(height, width), stride=stride, cameras=chosen),
    )
    console.print(f"Saved in {out}; the run is {played.name}", markup=False, highlight=False)


@app.command()
def demonstrations(
    files: Annotated[list[Path], typer.Argument(help="Files of one benchmark's demonstrations (HDF5).")],
    out: Annotated[Path, typer.Option(help="Folder of the data set.")],
    image_size: ImageSize = "64",
    stride: Stride = 4,
    cameras: Cameras = None,
    instruction: Annotated[str, typer.Option(help="The task in words, for files that do not state it.")] = "",
) -> None:
    """Convert a benchmark's own demonstrations to a data set for training, as `record` writes it."""
    from wam_eval.exchange.demonstration_files import convert_demonstrations

    found = convert_demonstrations(files, out, size_in(image_size), stride, names_in(cameras), instruction)
    console.print(f"Saved {found.episodes} demonstrations of {found.robot} in {out}", markup=False, highlight=False)


def size_in(text: str) -> tuple[int, int]:
    """Height and width of ``N`` or ``HxW``. Raises :class:`UserError` for anything else."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip())
    if not match or not all(1 <= int(number) <= 4096 for number in match.groups() if number):
        raise UserError(f"--image-size {text!r}: write a number of pixels, or HEIGHTxWIDTH")
    return int(match[1]), int(match[2] or match[1])


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="Training: a name in training/, or the path of a YAML file.")],
    data: Annotated[
        Path, typer.Option(help="Folder of the data sets, one per suite. Missing ones are recorded.")
    ] = Path("data"),
    out: Annotated[
        Path | None, typer.Option(help="Folder of the training. Default: results/training and the name.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many steps; the same command continues later.")
    ] = None,
) -> None:
    """Train a small model on demonstrations. The same command continues a training that was stopped.

    A training that starts with another one's model comes after that one, and after the episodes that this model plays.
    """
    model = trained(config, data, out or Path("results") / "training" / Path(config).stem, steps)
    console.print(f"Saved in {model}", markup=False, highlight=False)


def trained(config: str, data: Path, out: Path, steps: int | None = None) -> Path:
    """Train a model, after the trainings and the data sets that it needs.

    Args:
        config: name of the training, or the path of its YAML file.
        data: folder of the data sets.
        out: folder of the training; that of its ``start`` is beside it.
        steps: number of finished steps at which to stop.

    Returns:
        The file of the model.
    """
    from wam_eval.training.config import load_training
    from wam_eval.training.trainer import train as train_model

    training = load_training(config)
    wanted = training.data
    start = trained(training.start, data, out.parent / Path(training.start).stem) if training.start else None
    sources: list[tuple[str, int, str, Path | None]] = [
        (suite, episodes, "expert", None) for suite, episodes in wanted.suites.items()
    ]
    sources += [(suite, episodes, str(wanted.policy), start) for suite, episodes in (wanted.played or {}).items()]
    folders = []
    for suite, episodes, policy, model in sources:
        folder = data / wanted.folder(suite, episodes, model.parent.name if model else None)
        folders.append(folder)
        if not (folder / "meta" / "info.json").is_file():
            record(
                suite=suite,
                episodes=episodes,
                out=folder,
                tasks=",".join(wanted.tasks) if wanted.tasks else None,
                policy=policy,
                ckpt=str(model) if model else None,
                image_size="x".join(map(str, wanted.image_size)),
                stride=wanted.stride,
                cameras=",".join(wanted.cameras),
            )
    return train_model(training, folders, out, steps, start)
