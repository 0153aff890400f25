"""The command line: thin commands around the Python API and the tables of the reports."""

from __future__ import annotations

from wam_eval.cli.output import protect_streams
from wam_eval.cli.stopping import stoppable


def main() -> None:
    """Entry point of ``wam-eval``."""
    protect_streams()
    with stoppable():
        from wam_eval.cli.app import app  # this takes a moment, in which a signal may arrive already

        app()
