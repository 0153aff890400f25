"""The settings of a LIBERO-Plus protocol card, checked before anything is started."""

from __future__ import annotations

from typing import Literal

from wam_eval.sim.libero.settings import LiberoSettings


class LiberoPlusSettings(LiberoSettings):
    """See ``suites/benchmarks/libero_plus.yaml``; those of LIBERO and one more.

    Attributes:
        prompt: which sentence a policy is given; see :class:`wam_eval.sim.libero_plus.manifest.Prompts`.
    """

    prompt: Literal["base", "bddl", "upstream"]
