"""LIBERO's assets: the search for a tree, its identification, and embedded stand-ins if there is none.

Search order: the user's path (``WAM_EVAL_LIBERO_ASSETS``, then ``assets`` of the benchmark's YAML; the word
``stand-in`` selects the stand-ins), hf-libero's own folders, the Hugging Face hub, the stand-ins.
``official_assets.sha1`` lists the git blob hash of every file that LIBERO's XML files and tables name, as of commit
8f1084e of the official repository. A tree is official if all of them match, independently of its origin.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from pydantic_settings import BaseSettings, SettingsConfigDict

from wam_eval.benchmarks.libero.package import LiberoMissing, package_folder
from wam_eval.benchmarks.libero.standins import VERSION, write_assets
from wam_eval.errors import UserError
from wam_eval.places import cache_folder, cached, home_problem, user_home
from wam_eval.protocol import AssetsRecord

VARIABLE = "WAM_EVAL_LIBERO_ASSETS"
HUB_DATASET = "lerobot/libero-assets"
_OFFICIAL = Path(__file__).with_name("official_assets.sha1")
_CONNECTION_TIMEOUT = 3.0  # seconds


class LiberoEnvironment(BaseSettings):
    """Environment variables of LIBERO.

    Attributes:
        assets: ``WAM_EVAL_LIBERO_ASSETS``, path of an asset tree, or ``stand-in``.
    """

    model_config = SettingsConfigDict(env_prefix="WAM_EVAL_LIBERO_", env_ignore_empty=True, extra="ignore")

    assets: str = ""


@dataclass(frozen=True)
class Assets:
    """A tree of LIBERO assets and its identification."""

    path: Path
    record: AssetsRecord


def find_assets(configured: str | None = None, download: bool = True) -> Assets:
    """The first tree in the search order.

    Args:
        configured: path from the benchmark's YAML.
        download: True to allow a download from the hub.

    Raises:
        UserError: the user's path is not a complete asset tree.
    """
    variable = LiberoEnvironment().assets
    given = variable or configured
    if given == "stand-in":
        return standin_assets()
    if given:
        source = VARIABLE if variable else "`assets` in the benchmark's YAML"
        return _identify(_complete_tree(Path(given).expanduser().resolve(), source))
    for folder in _hf_libero_folders():
        if not missing_files(folder):
            return _identify(folder)
    downloaded = _download() if download else None
    return _identify(downloaded) if downloaded else standin_assets()


def standin_assets() -> Assets:
    """The embedded stand-ins, written to the cache at their first use."""
    path = write_assets(cached(f"libero-standins-{VERSION}"))
    record = AssetsRecord(
        kind="stand-in",
        digest=VERSION,
        detail="embedded stand-ins: real sizes, masses and joints, but not LIBERO's appearance",
    )
    return Assets(path, record)


def official_files() -> dict[str, str]:
    """Relative path -> git blob SHA-1 of every file that LIBERO needs."""
    lines = _OFFICIAL.read_text(encoding="utf-8").splitlines()
    return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}


def missing_files(root: Path) -> list[str]:
    """Files that LIBERO needs and a tree lacks."""
    return [name for name in official_files() if not (root / name).is_file()]


def git_blob(path: Path) -> str:
    """SHA-1 of a file as git computes it for a blob."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _identify(root: Path) -> Assets:
    """Compare a complete tree with the official one."""
    official = official_files()
    found = {name: git_blob(root / name) for name in official}
    changed = [name for name, digest in official.items() if found[name] != digest]
    listing = "".join(f"{digest}  {name}\n" for name, digest in sorted(found.items()))
    digest = hashlib.sha256(listing.encode()).hexdigest()
    if not changed:
        return Assets(root, AssetsRecord(kind="official", digest=digest, detail=f"official assets in {root}"))
    example = f"{len(changed)} of {len(official)} files differ from the official ones, such as {changed[0]}"
    return Assets(root, AssetsRecord(kind="partial", digest=digest, detail=f"{root}: {example}"))


def _complete_tree(root: Path, source: str) -> Path:
    """The root of a complete tree.

    Args:
        source: variable or file that names the root, for errors.

    Raises:
        UserError: it is not a folder, or files are missing.
    """
    if not root.is_dir():
        raise UserError(f"{source} names {root}, which is not a folder")
    missing = missing_files(root)
    if missing:
        raise UserError(
            f"{source} names {root}, which is not a complete LIBERO asset tree: {len(missing)} files are missing, "
            f"such as {missing[0]}. Set it to the folder that contains `scenes` and `articulated_objects`."
        )
    return root


def _hf_libero_folders() -> Iterator[Path]:
    """Folders in which hf-libero and the Hugging Face hub keep the assets."""
    from huggingface_hub.constants import HF_HUB_CACHE

    with contextlib.suppress(LiberoMissing):
        yield package_folder() / "assets"
    yield _download_folder()
    yield from sorted(Path(HF_HUB_CACHE).glob(f"datasets--{HUB_DATASET.replace('/', '--')}/snapshots/*"))


def _download() -> Path | None:
    """Download the tree from the Hugging Face hub into hf-libero's cache; ``None`` if that is not possible."""
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0") or not _hub_reachable():
        return None
    from huggingface_hub import snapshot_download

    target = _download_folder()
    print(f"downloading LIBERO's assets ({HUB_DATASET}) to {target}", file=sys.stderr)
    try:
        snapshot_download(HUB_DATASET, repo_type="dataset", local_dir=target)
    except Exception as error:  # any failure of the hub, its client or a proxy leaves the stand-ins
        print(f"the download failed ({error}); using the embedded stand-ins", file=sys.stderr)
        return None
    if missing_files(target):
        print("the download is incomplete; using the embedded stand-ins", file=sys.stderr)
        return None
    return target


def _download_folder() -> Path:
    """The folder in which hf-libero keeps the assets; one in the cache if the user's home cannot be written."""
    home = user_home()
    own = home / ".cache" / "libero" / "assets" if home else None
    return own if own and (own.is_dir() or not home_problem()) else cache_folder("libero-assets")


def _hub_reachable() -> bool:
    """Try to connect to the hub or its proxy; the hub's client would retry for minutes without a network."""
    from huggingface_hub.constants import ENDPOINT

    proxy = getproxies().get("https")
    try:
        url = urlsplit(proxy if not proxy or "://" in proxy else f"http://{proxy}") if proxy else urlsplit(ENDPOINT)
        port = url.port or (80 if url.scheme == "http" else 443)
        with socket.create_connection((url.hostname or "", port), timeout=_CONNECTION_TIMEOUT):
            return True
    except (OSError, ValueError):
        return False
