"""The trainer: AdamW with warm-up and a cosine, a moving average of the weights, and a state that resumes bit for bit.

Each step draws its samples and its noise from generators of its own, seeded by the training's seed, the step and the
process, so that a resumed training continues exactly as if it had not been stopped. Started by ``torchrun``, several
processes share each batch and average their gradients.
"""

from __future__ import annotations

import copy
import csv
import hashlib
import io
import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from wam_eval.demonstrations import data_digest
from wam_eval.errors import UserError
from wam_eval.files import write_atomic
from wam_eval.hosting.package_identity import own_code
from wam_eval.training.config import TrainingConfig, TrainingTask, make_task

SAVE_SECONDS = 60.0
"""Time after which the state is saved, so that a stopped training loses at most this."""
LOG_STEPS = 10
"""Steps over which a line of the loss curve averages."""
STATE, MODEL, LOSSES, PLOT = "state.pt", "model.safetensors", "losses.csv", "losses.png"


@dataclass
class _State:
    """Everything that changes during a training.

    Attributes:
        step: finished steps.
        seconds: duration so far.
        optimizer: AdamW.
        average: moving average of the weights.
        curve: lines of the loss curve: step, learning rate, and losses by name.
    """

    step: int
    seconds: float
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    curve: list[dict[str, float]] = field(default_factory=list)


def train(
    config: TrainingConfig,
    data: Sequence[Path],
    folder: Path,
    stop_at: int | None = None,
    start: Path | None = None,
) -> Path:
    """Train a model, or continue a training that was stopped.

    Args:
        config: the training.
        data: folders of the data sets.
        folder: folder of the training: its state, the model, and the loss curve as CSV and as a plot.
        stop_at: number of finished steps at which to stop before the end.
        start: file of the model that the training begins with.

    Returns:
        The file of the model.

    Raises:
        UserError: data or settings do not fit, the folder has another training, or the disk is full; what was saved
            before is kept.
    """
    processes = _Processes()
    torch.manual_seed(config.seed)
    task = make_task(config, data, start)
    origin = {"config": config.digest, "data": hashlib.sha256("".join(map(data_digest, data)).encode()).hexdigest()}
    if start:
        origin["start"] = hashlib.sha256(start.read_bytes()).hexdigest()
    device = processes.device
    task.model.to(device)
    parameters = [parameter for parameter in task.model.parameters() if parameter.requires_grad]
    state = _State(
        step=0,
        seconds=0.0,
        optimizer=torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True),
        average=copy.deepcopy(task.model.state_dict()),
    )
    _restore(folder / STATE, task.model, state, origin)
    provenance = {
        **origin,
        "code": own_code()[1],
        "steps": config.steps,
        "seed": config.seed,
        "machine": f"{processes.count} x {_machine(device)}",
        "torch": torch.__version__,
    }
    goal = min(config.steps, stop_at or config.steps)
    saved = time.monotonic()
    pending: list[dict[str, float]] = []
    with tqdm(total=config.steps, initial=state.step, unit="step", disable=not processes.first) as bar:
        while state.step < goal:
            started = time.monotonic()
            found = _step(config, task, parameters, state, processes)
            state.step += 1
            state.seconds += time.monotonic() - started
            pending.append(found)
            bar.update()
            if state.step % LOG_STEPS == 0 or state.step == goal:
                line = {name: sum(one[name] for one in pending) / len(pending) for name in pending[0]}
                state.curve.append({"step": state.step, "seconds": round(state.seconds, 1), **line})
                pending.clear()
                bar.set_postfix_str(", ".join(f"{name} {value:.4f}" for name, value in line.items() if name != "rate"))
                # Saved at the ends of lines only, so that a resumed curve has the same lines.
                if processes.first and (state.step == goal or time.monotonic() - saved > SAVE_SECONDS):
                    _save(folder, task, state, origin, provenance)
                    saved = time.monotonic()
    if processes.first and not (folder / MODEL).is_file():
        _save(folder, task, state, origin, provenance)
    processes.close()
    return folder / MODEL


def _step(
    config: TrainingConfig,
    task: TrainingTask,
    parameters: Sequence[nn.Parameter],
    state: _State,
    processes: _Processes,
) -> dict[str, float]:
    """One step; returns the learning rate and the losses."""
    rate = learning_rate(config, state.step)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    seed = hashlib.sha256(f"{config.seed} {state.step} {processes.rank}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(seed[:7], "little"))
    samples = torch.randint(task.samples, (math.ceil(config.batch / processes.count),), generator=generator)
    task.model.train()
    losses = task.losses(samples, generator)
    if not losses["total"].isfinite():
        raise UserError(f"the loss is not finite at step {state.step + 1}: use a smaller learning_rate")
    state.optimizer.zero_grad(set_to_none=True)
    losses["total"].backward()
    processes.average(parameters)
    torch.nn.utils.clip_grad_norm_(parameters, config.clip)
    state.optimizer.step()
    # The average follows quickly at first, when weights still change much.
    decay = min(config.ema, (1 + state.step) / (10 + state.step))
    for name, tensor in task.model.state_dict().items():
        if tensor.is_floating_point():
            state.average[name].lerp_(tensor, 1 - decay)
        else:
            state.average[name].copy_(tensor)
    return {"rate": rate, **{name: float(loss.detach()) for name, loss in losses.items()}}


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The learning rate of a step, counted from 0."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(config.steps - config.warmup, 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _save(
    folder: Path, task: TrainingTask, state: _State, origin: Mapping[str, str], provenance: Mapping[str, Any]
) -> None:
    content = {
        "origin": dict(origin),
        "step": state.step,
        "seconds": state.seconds,
        "model": task.model.state_dict(),
        "average": state.average,
        "optimizer": state.optimizer.state_dict(),
        "curve": state.curve,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{STATE}.partial"
        torch.save(content, partial)
        partial.replace(folder / STATE)
        facts = {**provenance, "step": state.step, "hours": round(state.seconds / 3600, 2)}
        task.save(folder / MODEL, state.average, {**facts, "curve": _thinned(state.curve)})
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, fieldnames=list(state.curve[0]) if state.curve else ["step"])
        writer.writeheader()
        writer.writerows(state.curve)
        write_atomic(folder / LOSSES, text.getvalue().encode())
        _plot(folder / PLOT, state.curve)
    except (OSError, RuntimeError) as error:  # PyTorch reports a full disk as a RuntimeError
        raise UserError(
            f"the state of step {state.step} cannot be saved in {folder}: {error}. The state saved before is kept; "
            "free some space and type the same command again"
        ) from error


def _restore(path: Path, model: nn.Module, state: _State, origin: Mapping[str, str]) -> None:
    """Continue from a saved state, if there is one."""
    if not path.is_file():
        return
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        stored = content["origin"]
    except Exception as error:
        raise UserError(f"{path} is broken ({type(error).__name__}). Remove it to start again") from error
    if differing := [name for name in origin if stored.get(name) != origin[name]]:
        raise UserError(
            f"{path.parent} has a training with other {' and '.join(differing)}: choose another folder, or remove it"
        )
    model.load_state_dict(content["model"])
    state.optimizer.load_state_dict(content["optimizer"])
    state.average = {name: tensor.to(state.average[name].device) for name, tensor in content["average"].items()}
    state.step, state.seconds, state.curve = content["step"], content["seconds"], content["curve"]


def _thinned(curve: Sequence[Mapping[str, float]], lines: int = 100) -> list[dict[str, float]]:
    """About a hundred lines of the loss curve, for the provenance."""
    step = max(1, len(curve) // lines)
    return [{name: float(f"{value:.4g}") for name, value in line.items()} for line in curve[step - 1 :: step]]


def _plot(path: Path, curve: Sequence[Mapping[str, float]]) -> None:
    from matplotlib.figure import Figure

    if not curve:
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    steps = [line["step"] for line in curve]
    for name in curve[0]:
        if name not in ("step", "seconds", "rate"):
            axes.plot(steps, [line[name] for line in curve], label=name, linewidth=1)
    axes.set(xlabel="training step", ylabel="loss", yscale="log")
    axes.legend()
    figure.savefig(path, dpi=120)


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {torch.get_num_threads()} threads"


class _Processes:
    """The processes of a training: one, or those that ``torchrun`` started."""

    def __init__(self) -> None:
        self.count, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        cuda = torch.cuda.is_available()
        self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
        if self.count > 1:
            torch.distributed.init_process_group("nccl" if cuda else "gloo")

    @property
    def first(self) -> bool:
        """True in the process that reports and saves."""
        return self.rank == 0

    def average(self, parameters: Sequence[nn.Parameter]) -> None:
        """Average the gradients over all processes."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        torch.distributed.all_reduce(flat)
        parts = flat.div_(self.count).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def close(self) -> None:
        """Leave the group."""
        if self.count > 1:
            torch.distributed.destroy_process_group()
