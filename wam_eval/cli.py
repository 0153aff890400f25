"""The command line's entry point."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from wam_eval.commands import evaluate, results, setup  # noqa: F401 - importing them registers their commands
from wam_eval.commands.terminal import app
from wam_eval.errors import UserError


def main() -> None:
    """Entry point of ``wam-eval``: a user's mistake is a message, not a traceback."""
    from wam_eval.policies.policy import PolicyUnavailable
    from wam_eval.sim.process import SimulatorError
    from wam_eval.sim.renderer import RendererError

    try:
        app()
    except (UserError, RendererError, SimulatorError, PolicyUnavailable) as error:
        said = str(error)
    except OSError as error:  # a disk that is full, a folder that cannot be written
        said = f"{error.strerror or error}: {error.filename or 'results'}"
    else:
        return
    print(f"{Path(sys.argv[0]).name} {shlex.join(sys.argv[1:2])}: {said}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
