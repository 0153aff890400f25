"""Checks of LIBERO for ``wam-eval doctor``, on machines that are in order and on machines that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from wam_eval.benchmark import Benchmark, Check, load_benchmark
from wam_eval.benchmarks.libero import checks
from wam_eval.benchmarks.libero.assets import Assets
from wam_eval.benchmarks.libero.checks import Comparison, compare_fingerprints
from wam_eval.benchmarks.libero.environments import environment
from wam_eval.hosting.renderer import RendererError
from wam_eval.protocol import AssetsRecord
from wam_eval.simulator import Renderer


@pytest.fixture
def libero(monkeypatch: pytest.MonkeyPatch) -> Benchmark:
    """LIBERO with the stand-ins."""
    monkeypatch.setenv("WAM_EVAL_LIBERO_ASSETS", "stand-in")
    return load_benchmark("libero")


@pytest.mark.parametrize(
    ("name", "version", "status"),
    [
        ("mujoco", "3.3.2", "ok"),
        ("mujoco", "3.3.7", "warn"),
        ("mujoco", "3.8.1", "warn"),
        ("mujoco", "3.10.0", "fail"),
        ("mujoco", "4.0.0", "fail"),
        ("robosuite", "1.4.1", "ok"),
        ("robosuite", "1.5.2", "fail"),
        ("numpy", "2.5.5", "warn"),
    ],
)
def test_versions_are_compared_with_the_tested_ones(
    monkeypatch: pytest.MonkeyPatch, name: str, version: str, status: str
) -> None:
    monkeypatch.setattr(checks, "version", {name: version}.__getitem__)
    check = checks.check_version(name)
    assert check.status == status and version in check.detail
    assert bool(check.fix) == (status != "ok")


def test_a_missing_package_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise checks.PackageNotFoundError(name)

    monkeypatch.setattr(checks, "version", missing)
    assert checks.check_version("mujoco").status == "fail"


def test_the_imported_packages_are_the_installed_ones() -> None:
    check = checks.check_imported_packages()
    assert check.status == "ok" and "robosuite" in check.detail


def test_the_renderer_or_the_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "choose_renderer", lambda: Renderer("egl", "llvmpipe", gpu=False))
    assert checks.check_renderer() == Check("renderer", "ok", "egl on CPU: llvmpipe")

    def fail() -> Renderer:
        raise RendererError("cannot render\n  apt-get install libegl1")

    monkeypatch.setattr(checks, "choose_renderer", fail)
    assert checks.check_renderer() == Check("renderer", "fail", "cannot render", "apt-get install libegl1")


@pytest.mark.parametrize(("kind", "status"), [("official", "ok"), ("partial", "warn"), ("stand-in", "warn")])
def test_assets_are_not_downloaded(monkeypatch: pytest.MonkeyPatch, libero: Benchmark, kind: str, status: str) -> None:
    def find_assets(configured: str | None, download: bool) -> Assets:
        assert configured is None and not download
        return Assets(Path("assets"), AssetsRecord(kind=kind, digest="", detail=f"{kind} assets"))

    monkeypatch.setattr(checks, "find_assets", find_assets)
    check = checks.check_assets(libero)
    assert (check.status, check.detail) == (status, f"{kind} assets")


def test_a_wrong_path_of_assets_fails(monkeypatch: pytest.MonkeyPatch, libero: Benchmark, tmp_path: Path) -> None:
    monkeypatch.setenv("WAM_EVAL_LIBERO_ASSETS", str(tmp_path / "nowhere"))
    check = checks.check_assets(libero)
    assert check.status == "fail" and "nowhere" in check.detail


def test_mujoco_versions_are_listed_with_the_protocol_cards_that_use_them(
    monkeypatch: pytest.MonkeyPatch, libero: Benchmark, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    check = checks.check_mujoco_versions(libero)
    assert check.status == "ok" and "3.3.2 for openvla, fastwam, imagewam, gr00t" in check.detail
    assert "not installed: 3.2.3 (openpi), 3.8.1 (lerobot), 3.3.7 (rlinf)" in check.detail
    assert "wam-eval setup libero --mujoco VERSION" in check.fix
    incomplete = environment("3.8.1").folder
    incomplete.mkdir(parents=True)
    check = checks.check_mujoco_versions(libero)
    assert check.status == "warn" and f"{incomplete} is incomplete" in check.detail
    assert check.fix == "wam-eval setup libero --mujoco 3.8.1"


def test_the_start_state_of_one_episode_is_checked(monkeypatch: pytest.MonkeyPatch, libero: Benchmark) -> None:
    assert checks.check_start_state(libero).status == "ok"
    monkeypatch.setattr("wam_eval.benchmarks.libero.benchmark.reference_for", lambda version: "3.8.1")
    check = checks.check_start_state(libero)
    assert check.status == "fail" and "initial state differs from MuJoCo 3.8.1" in check.detail


@pytest.mark.parametrize(
    ("equal", "versions", "processors", "status", "text"),
    [
        (80, {}, ("A", "B"), "ok", "80 of 80 episodes equal the stored ones to the bit"),
        (0, {"mujoco": ("3.3.2", "3.3.7")}, ("A", "A"), "warn", "different versions: mujoco 3.3.7 (stored 3.3.2)"),
        (12, {}, ("A", "B"), "warn", "different processor: B (stored A)"),
        (79, {}, ("A", "A"), "fail", "another cause changes the simulation"),
    ],
)
def test_a_difference_is_attributed_to_versions_or_to_the_processor(
    monkeypatch: pytest.MonkeyPatch,
    libero: Benchmark,
    equal: int,
    versions: dict[str, tuple[str, str]],
    processors: tuple[str, str],
    status: str,
    text: str,
) -> None:
    comparison = Comparison(equal, 80, versions, processors)
    monkeypatch.setattr(checks, "compare_fingerprints", lambda benchmark: comparison)
    check = checks.check_fingerprints(libero)
    assert check.status == status and text in check.detail


@pytest.mark.slow
def test_all_tasks_have_the_stored_fingerprints(libero: Benchmark) -> None:
    comparison = compare_fingerprints(libero)
    assert comparison.total == 80 and comparison.explained, str(comparison)


def test_fingerprints_are_checked_on_request_only(libero: Benchmark) -> None:
    assert len(libero.checks(simulate=True)) == len(libero.checks(simulate=False)) + 1


def test_the_size_of_the_scene_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert checks.check_scene_cache().detail.startswith("0.0 of at most 4 GB")
    folder = tmp_path / "wam-eval" / "scenes"
    folder.mkdir(parents=True)
    with (folder / "chunk").open("wb") as chunk:
        chunk.truncate(1_300_000_000)  # a sparse file, which takes no space
    assert checks.check_scene_cache().detail == f"1.3 of at most 4 GB in {folder}"
