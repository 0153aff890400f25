"""The search for a copy of LIBERO-Plus and its assets, and the messages if there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from wam_eval.benchmarks.libero.package import package_folder
from wam_eval.benchmarks.libero_plus.data import (
    ASSET_FOLDERS,
    ASSETS_VARIABLE,
    CLASSIFICATION,
    MODELS,
    VARIABLE,
    assets_in,
    data_in,
    find_assets,
    find_data,
    model_file,
    packed_in,
)
from wam_eval.errors import UserError


@pytest.mark.parametrize("above", [0, 1, 2])
def test_the_path_may_be_the_checkout_or_a_folder_below_it(
    data: Path, above: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [data, *data.parents][above]
    monkeypatch.setenv(VARIABLE, str(given))
    assert find_data(None) == data


def test_the_variable_comes_before_the_yaml(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_data(str(tmp_path / "elsewhere")) == data
    monkeypatch.delenv(VARIABLE)
    assert find_data(str(data)) == data


def test_without_a_path_there_is_no_copy(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "stand-in")
    assert find_data(str(data)) is None, "the word asks for the stand-ins"
    monkeypatch.delenv(VARIABLE)
    assert find_data(None) is None
    assert find_data("stand-in") is None


def test_assets_without_a_copy_are_refused(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Someone who has the assets does not want to play the stand-ins."""
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv(ASSETS_VARIABLE, str(tmp_path))
    with pytest.raises(
        UserError, match=f"no copy of its task data is named: set {VARIABLE}, .* or unset {ASSETS_VARIABLE}"
    ):
        find_data(None)


def test_another_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(UserError, match="is not a folder"):
        find_data(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="is not LIBERO-Plus: it contains no libero/libero/bddl_files"):
        find_data(str(tmp_path))
    with pytest.raises(
        UserError, match=r"is not LIBERO-Plus: it has no benchmark/task_classification\.json; LIBERO itself"
    ):
        find_data(str(package_folder()))


def test_a_packed_archive_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    archive = tmp_path / "libero_plus.tar.xz"
    archive.touch()
    with pytest.raises(UserError, match="is a file; unpack the archive"):
        find_data(str(archive))
    with pytest.raises(UserError, match=r"unpack libero_plus\.tar\.xz there"):
        find_data(str(tmp_path))


def test_missing_parts_are_named(data: Path) -> None:
    (data / "init_files").rename(data / "elsewhere")
    with pytest.raises(UserError, match="partial copy of LIBERO-Plus: it has no init_files"):
        find_data(None)
    (data / CLASSIFICATION).unlink()
    with pytest.raises(UserError, match=r"no init_files and no benchmark/task_classification\.json"):
        find_data(None)


def test_the_assets_are_below_the_data_or_at_the_path_of_the_variable(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_assets(data) is None
    (data / "assets" / "scenes").mkdir(parents=True)
    assert find_assets(data) is None, "only one of the three folders exists"
    for name in ("new_objects", "textures"):
        (data / "assets" / name).mkdir()
    assert find_assets(data) == data / "assets"
    monkeypatch.setenv(ASSETS_VARIABLE, str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match=r"no folder has new_objects, scenes, textures: unpack assets\.zip"):
        find_assets(data)


def make_archive(folder: Path) -> Path:
    for name in ASSET_FOLDERS:
        (folder / name).mkdir(parents=True)
    return folder


@pytest.mark.parametrize("outer", ["", "assets"])
def test_the_assets_are_found_below_the_archives_own_folders(
    data: Path, monkeypatch: pytest.MonkeyPatch, outer: str
) -> None:
    """Upstream's archive contains the folders of the machine on which it was packed."""
    inner = make_archive(data / outer / "inspire/hdd/project/lab/public/someone/new/release/dataset/plus/assets")
    assert find_assets(data) == inner
    monkeypatch.setenv(ASSETS_VARIABLE, str(inner.parents[4]))
    assert find_assets(data.parent) == inner


def test_an_archive_that_is_being_unpacked_is_not_used(data: Path) -> None:
    make_archive(data / "assets.unpacking" / "assets")
    assert assets_in(data) is None


@pytest.mark.parametrize("place", ["assets.zip", "assets/assets.zip"])
def test_a_packed_archive_of_assets_is_named_with_the_command_to_unpack_it(
    data: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (data / "assets").mkdir()
    packed = data / place
    assert packed_in(data) is None
    packed.touch()
    assert packed_in(data) == packed
    for given in (packed, packed.parent):
        monkeypatch.setenv(ASSETS_VARIABLE, str(given))
        with pytest.raises(UserError, match=rf"type `python -m zipfile -e {packed} {packed.parent}`"):
            find_assets(data)


def test_functions_of_a_folder_ignore_the_variables(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    monkeypatch.setenv(ASSETS_VARIABLE, str(make_archive(tmp_path / "other")))
    assert data_in(data) == data
    assert assets_in(data) is None


def test_model_files_have_upstreams_paths() -> None:
    file = model_file("bottle_of_barbecue_sauce__2")
    assert file == "new_objects/bottle_of_barbecue_sauce/nkqvex/usd/MJCF/nkqvex.xml"
    assert len(MODELS) == 13
