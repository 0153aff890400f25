"""Batches of a learned policy: of a fixed shape, so that an answer does not depend on its batch, or of any size.

A library chooses its algorithm, and with it the order of its sums, by the shape of a batch. The same observation
therefore gets an answer that differs in its last bits in batches of other sizes. A fixed number of rows excludes this:
fewer observations are filled up with copies, more are answered in several calls.

With one row, every observation is computed alone, with the shapes of the official code. With more rows an observation
may be in any of them, and rows are not always computed alike: on a CPU, several threads divide a product so that some
rows are in an incomplete block, which is added in another order. :func:`rows_alike` finds out on the device itself.

The order of sums also depends on the number of threads of a CPU, and this on the number of workers. Fixed batches are
therefore computed by one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from wam_eval.errors import UserError
from wam_eval.policy import PolicySettings

DEFAULT_ROWS = {"cpu": 1, "cuda": 4}
"""Rows of a fixed batch by type of device. A CPU gains little from larger batches. A GPU reads all weights and starts
all kernels for each call, however small, so that a few rows should cost little more than one; four is a choice, not
the result of a measurement."""

T = TypeVar("T")
Rowwise = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""A function such as a model. The first dimension of its arguments and of its results is the batch."""


class BatchSettings(PolicySettings):
    """Settings of every policy that answers batches with a model.

    Attributes:
        batch: ``fixed`` for answers that do not depend on the other observations of a batch; ``fast`` to answer all
            waiting observations with one call of any size.
        rows: rows of a fixed batch; :data:`DEFAULT_ROWS` if ``None``.
    """

    batch: Literal["fixed", "fast"] = "fixed"
    rows: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _check_rows(self) -> BatchSettings:
        if self.batch == "fast" and self.rows is not None:
            raise ValueError("`rows` is the number of rows of a fixed batch: leave it out with `batch: fast`")
        return self

    def rows_on(self, device: torch.device) -> int | None:
        """Requested or default rows of a fixed batch on a device; ``None`` for fast batches."""
        return None if self.batch == "fast" else self.rows or DEFAULT_ROWS[device.type]

    @contextmanager
    def threads_on(self, device: torch.device) -> Iterator[None]:
        """A context with one thread for fixed batches on a CPU, and the previous number of threads after it."""
        before = torch.get_num_threads()
        if self.batch == "fast" or device.type != "cpu" or before == 1:
            yield
            return
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@dataclass(frozen=True)
class Batches:
    """Division of observations into calls of a model.

    Attributes:
        rows: rows of each call; ``None`` for one call of any size.
        powers: True if a call of any size is filled up to a power of two, so that few shapes are compiled and recorded.
    """

    rows: int | None
    powers: bool = False

    def groups(self, items: Sequence[T]) -> Iterator[Sequence[T]]:
        """The items of each call, in order."""
        size = self.rows or max(len(items), 1)
        for start in range(0, len(items), size):
            yield items[start : start + size]

    def filled(self, items: Sequence[T]) -> list[T]:
        """The rows of a call: the items of a group, then copies of the last one.

        Fill up before rows are joined to a tensor, so that full and partial groups take the same path: a tensor of
        another memory layout would be computed by another algorithm.
        """
        rows = self.rows or (1 << (len(items) - 1).bit_length() if self.powers else len(items))
        return [*items, *[items[-1]] * (rows - len(items))]


def choose_batches(
    settings: BatchSettings, device: torch.device, accelerate: bool, alike: Callable[[int], bool]
) -> Batches:
    """The division that settings ask for.

    Args:
        settings: settings of the policy.
        device: device of the model.
        accelerate: True if each shape of a batch is compiled and recorded.
        alike: tells if all rows of a batch of some size are computed alike, by :func:`rows_alike`. It is not called for
            one row. Where the default number of rows fails, one row is used instead.

    Raises:
        UserError: the requested number of rows fails.
    """
    rows = settings.rows_on(device)
    if rows is None:
        return Batches(None, powers=accelerate)
    if rows == 1 or alike(rows):
        return Batches(rows)
    if settings.rows is None:
        return Batches(1)
    raise UserError(
        f"`rows: {rows}`: on this device the rows of such a batch are not computed alike, so that an answer would "
        "depend on its row. Use `rows: 1`, another number of rows, or `batch: fast` if answers may depend on the batch"
    )


def rows_alike(function: Rowwise, inputs: Sequence[Tensor]) -> bool:
    """True if results of a row depend neither on its place nor on the other rows, bit for bit, on the inputs' device.

    The first row is computed together with the others, and in a batch of copies of itself; all results are compared.

    Args:
        function: the model.
        inputs: random inputs of as many different rows as a batch has.
    """
    mixed = [x[:1].clone() for x in function(inputs)]
    copies = function([x[:1].expand_as(x).clone() for x in inputs])
    return all(torch.equal(x, first.expand_as(x)) for x, first in zip(copies, mixed, strict=True))
