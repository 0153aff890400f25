"""What the command line does with LIBERO-Plus: get it."""

from __future__ import annotations

from pathlib import Path

from wam_eval.errors import UserError
from wam_eval.sim.libero_plus.files import CLASSIFICATION
from wam_eval.sim.libero_plus.root import VARIABLE, find_assets, find_data
from wam_eval.sim.upstream import clone, fetch_archive

REPOSITORY = "https://github.com/sylvestf/LIBERO-plus"
COMMIT = "4976dc30028e805ff8094b55501d532c48fec182"
HUB_DATASET = "Sylvest/LIBERO-plus"


def setup(target: Path) -> str:
    """``wam-eval setup libero_plus``: clone its task data and download its assets.

    Args:
        target: folder of the checkout; what is there already is kept.

    Returns:
        What to do next.

    Raises:
        UserError: no git, or no way to the code or to the assets; says what to do by hand.
    """
    target = target.expanduser().resolve()
    data = target / "libero" / "libero"
    if not (data / CLASSIFICATION).is_file():
        if target.is_dir() and any(target.iterdir()):
            raise UserError(f"{target} holds something else than LIBERO-Plus, or half of it: name another --target")
        clone(REPOSITORY, COMMIT, target, VARIABLE)
    data = find_data(str(target))
    try:
        if find_assets(data) is None:
            fetch_archive(HUB_DATASET, "assets.zip", data, data / "assets", marker="new_objects")
    except UserError as error:
        raise UserError(
            f"{error}\nThe 6,983 tasks that need no assets can be played: export {VARIABLE}={target}"
        ) from error
    return f"LIBERO-Plus is in {target}. Type: export {VARIABLE}={target}"
