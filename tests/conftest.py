"""Fixtures that all tests share: a folder for runs, a Ray cluster, a browser, and assets of the benchmarks."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from wam_eval import places

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_ASSETS = REPOSITORY.parent / "shared" / "data" / "libero_assets"
SHARED_LIBERO_PLUS = REPOSITORY.parent / "shared" / "data" / "libero_plus.tar.xz"

# `make test-all` uses the profile "thorough".
settings.register_profile("fast", max_examples=30, deadline=None)
settings.register_profile("thorough", max_examples=200, deadline=None)
settings.load_profile("fast")

# Ray's workers and the simulator processes import tests.toy.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
# Tests with a cache of their own would compile robosuite's functions again, which takes seconds for each simulator.
if "NUMBA_CACHE_DIR" not in os.environ:
    NUMBA_CACHE = places.cache_folder("libraries") / "numba"
    NUMBA_CACHE.mkdir(parents=True, exist_ok=True)
    os.environ["NUMBA_CACHE_DIR"] = str(NUMBA_CACHE)

BROWSER_OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run --window-size=1200,1400"
)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for runs. The toy's suites and policies can be found by name."""
    from tests.toy import CATALOG

    folder = tmp_path / "runs"
    monkeypatch.setenv("WAM_EVAL_RUNS", str(folder))
    monkeypatch.setenv("WAM_EVAL_PATH", str(CATALOG))
    monkeypatch.setenv("TOY_MARKER", str(tmp_path / "died_once"))
    return folder


@pytest.fixture(scope="session")
def session_cluster() -> Iterator[str]:
    """The address of a Ray cluster that all runs of a test process share, because starting one takes seconds.

    All ports are free ones, so that each process of pytest-xdist can have its own cluster.
    """
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "include_dashboard": False, "dashboard_agent_listen_port": 0}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    yield cluster.address
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def ray_cluster(session_cluster: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a Ray cluster with two CPUs, on which the runs of this test are played."""
    monkeypatch.setenv("RAY_ADDRESS", session_cluster)
    return session_cluster


@pytest.fixture(scope="session")
def standins() -> Path:
    """The embedded stand-ins of LIBERO's assets."""
    from wam_eval.benchmarks.libero.assets import standin_assets

    return standin_assets().path


@pytest.fixture(scope="session")
def shared_assets() -> Path:
    """LIBERO's own assets: the user's tree, or that of this machine, in which 22 visual files are replaced."""
    from wam_eval.benchmarks.libero.assets import HUB_DATASET, VARIABLE, LiberoEnvironment

    given = LiberoEnvironment().assets
    path = Path(given) if given not in ("", "stand-in") else SHARED_ASSETS
    if not path.is_dir():
        pytest.skip(f"no LIBERO assets: type `hf download {HUB_DATASET} --repo-type dataset`, and set {VARIABLE}")
    return path


@pytest.fixture(scope="session")
def libero_plus_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LIBERO-Plus's task data: the user's own copy, or the shared archive, unpacked once."""
    from wam_eval.benchmarks.libero_plus.data import STAND_IN, VARIABLE, data_in

    if (given := os.environ.get(VARIABLE)) and given != STAND_IN:
        return data_in(Path(given))
    if not SHARED_LIBERO_PLUS.is_file():
        pytest.skip(f"no copy of LIBERO-Plus: type `wam-eval setup libero_plus`, and set {VARIABLE}")
    folder = tmp_path_factory.mktemp("libero_plus")
    subprocess.run(["tar", "xf", SHARED_LIBERO_PLUS, "-C", folder], check=True)  # tarfile takes three times as long
    return data_in(folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in BROWSER_OPTIONS.split():
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(service=webdriver.ChromeService(driver), options=options)
    yield started
    started.quit()
