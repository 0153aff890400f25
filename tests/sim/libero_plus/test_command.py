"""``wam-eval setup libero_plus``: what is there is kept, what cannot be had is said."""

from pathlib import Path

import pytest

from wam_eval.errors import UserError
from wam_eval.sim.libero_plus import command
from wam_eval.sim.libero_plus.command import setup
from wam_eval.sim.libero_plus.root import VARIABLE


@pytest.fixture
def checkout(copy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(command, "clone", lambda *_: pytest.fail("cloned what is there"))
    return copy.parent.parent


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="holds something else than LIBERO-Plus, or half of it"):
        setup(tmp_path)


def test_a_checkout_gets_its_assets(checkout: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def fetch(data_set: str, archive: str, folder: Path, target: Path, marker: str) -> None:
        fetched.append((data_set, archive, folder, marker))
        for name in ("new_objects", "scenes", "textures"):
            (target / name).mkdir(parents=True)

    monkeypatch.setattr(command, "fetch_archive", fetch)
    for _ in range(2):
        assert f"export {VARIABLE}={checkout}" in setup(checkout)
    assert fetched == [("Sylvest/LIBERO-plus", "assets.zip", copy, "new_objects")]


def test_without_a_hub_most_tasks_can_be_played(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UserError("assets.zip cannot be downloaded")

    monkeypatch.setattr(command, "fetch_archive", refuse)
    with pytest.raises(UserError, match=rf"cannot be downloaded\nThe 6,983 tasks .* export {VARIABLE}="):
        setup(checkout)
