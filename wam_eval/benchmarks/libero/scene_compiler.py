"""MuJoCo's compiler with a cache on disk: a model that this machine has compiled before is read, equal to the byte.

The compiler takes nearly all the time in which a LIBERO scene is built; its description takes 10 to 20 ms. The official
environment classes run unchanged. At the point where they would compile, the description and the content of every file
that it names are looked up in the cache. Tasks with equal descriptions share a model: there are 32 models for LIBERO's
130 tasks.

Models share meshes and textures, so the cache stores content-addressed chunks: 3.9 GB of models take 0.4 GB on disk. An
entry is an index file, which lists the SHA-256 of the entry and of its chunks, and one file per chunk, named by its
SHA-256. Reads verify the SHA-256 of the whole entry; if it differs, the index and the corrupt chunks are deleted. Files
therefore need no lock: two writers at the same time write the same content, and a writer that is killed loses only its
own entry.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from robosuite.utils.binding_utils import MjSim

from wam_eval.benchmarks.libero import SCENE_CACHE_LIMIT, scene_cache_folder


class ChunkStore:
    """Entries by name.

    Args:
        folder: folder of all files; created at the first write, accessible to this user only.
        limit: maximal total size in bytes. Beyond it, the chunks that were not read for the longest time are evicted.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit

    def __contains__(self, name: str) -> bool:
        """True if an entry was written and its index was not evicted; its chunks may have been."""
        return (self._folder / f"{name}.txt").exists()

    def write(self, name: str, content: memoryview, cuts: Sequence[int]) -> None:
        """Store an entry.

        Args:
            name: letters and digits.
            content: bytes of the entry.
            cuts: ascending positions at which the content is cut. Entries share chunks if they have the same content
                between two cuts.

        Raises:
            OSError: it could not be written.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        chunks, added = [], []
        try:
            for begin, end in pairwise((0, *cuts, len(content))):
                chunk = content[begin:end]
                chunks.append(hashlib.sha256(chunk).hexdigest())
                try:
                    os.utime(self._folder / chunks[-1])
                except FileNotFoundError:
                    self._write_file(chunks[-1], chunk)
                    added.append(chunks[-1])
            index = "\n".join([hashlib.sha256(content).hexdigest(), *chunks])
            self._write_file(f"{name}.txt", index.encode())
        except OSError:
            for chunk_name in added:  # do not leave the disk full
                (self._folder / chunk_name).unlink(missing_ok=True)
            raise
        self._evict()

    @contextmanager
    def read(self, name: str) -> Iterator[str | None]:
        """Assemble an entry in memory.

        Yields:
            Path of a file that exists until the end of the block; ``None`` if there is no such entry, or if it is
            corrupt.

        Raises:
            OSError: there is not enough memory.
        """
        index, chunks, whole = self._folder / f"{name}.txt", list[Path](), hashlib.sha256()
        with os.fdopen(os.memfd_create(name), "wb") as memory:
            digest = None
            with suppress(FileNotFoundError):
                digest, *names = re.findall("[0-9a-f]{64}", index.read_text(errors="replace")) or [None]
                chunks = [self._folder / chunk for chunk in names]
                for chunk in chunks:
                    content = chunk.read_bytes()
                    whole.update(content)
                    memory.write(content)
            memory.flush()
            valid = whole.hexdigest() == digest
            with suppress(OSError):  # another process may have deleted a file, or the files belong to another user
                if valid:
                    # The index first, so that an entry whose chunks were evicted counts as missing.
                    for file in (index, *chunks):
                        os.utime(file)
                else:
                    self._delete_corrupt(index, chunks)
            yield f"/proc/self/fd/{memory.fileno()}" if valid else None

    def _delete_corrupt(self, index: Path, chunks: Sequence[Path]) -> None:
        """Delete the index and every chunk whose SHA-256 does not match its name.

        Valid chunks may belong to other entries and are kept.
        """
        index.unlink(missing_ok=True)
        for chunk in chunks:
            if chunk.exists() and hashlib.sha256(chunk.read_bytes()).hexdigest() != chunk.name:
                chunk.unlink(missing_ok=True)

    def _write_file(self, name: str, content: bytes | memoryview) -> None:
        temporary = self._folder / f"{name}.{os.getpid()}"
        try:
            temporary.write_bytes(content)
            temporary.replace(self._folder / name)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def _evict(self) -> None:
        found = []
        for file in self._folder.iterdir():
            with suppress(FileNotFoundError):  # other processes write and evict, too
                status = file.stat()
                found.append((status.st_mtime_ns, status.st_size, file))
        excess = sum(size for _, size, _ in found) - self._limit
        for _, size, file in sorted(found):
            if excess <= 0:
                break
            file.unlink(missing_ok=True)
            excess -= size


_FORMAT = 1  # part of each key, so that entries of another format are not found
_LEAVES = ("mesh", "texture", "hfield", "skin")  # elements whose files name no other files
_ADDRESSES = {
    "bvh_child": "mesh_bvhadr",
    "bvh_nodeid": "mesh_bvhadr",
    "bvh_aabb": "mesh_bvhadr",
    "mesh_vert": "mesh_vertadr",
    "mesh_normal": "mesh_normaladr",
    "mesh_texcoord": "mesh_texcoordadr",
    "mesh_face": "mesh_faceadr",
    "mesh_facenormal": "mesh_faceadr",
    "mesh_facetexcoord": "mesh_faceadr",
    "mesh_polymapadr": "mesh_vertadr",
    "mesh_polymapnum": "mesh_vertadr",
    "tex_data": "tex_adr",
}
"""Large arrays of a compiled model, in their order -> array with the first row of each mesh or texture in them."""
_SMALLEST_CHUNK = 2**16  # bytes; meshes and textures below this size are no chunks of their own
_COMPILE = MjSim.__dict__["from_xml_string"]


def _disable_file_cache() -> None:
    """Disable MuJoCo's own cache of mesh and texture files.

    It identifies a file by path and time, while the cache here uses the content, and it would take 500 MB of the 1.5 GB
    that a simulator may use. From 3.2 to 3.3.3 its size can be set in the C library only; before there is none.
    """
    if hasattr(mujoco, "mj_setCacheCapacity"):
        mujoco.mj_setCacheCapacity(mujoco.mj_getCache(), 1)  # with a capacity of 0, MuJoCo 3.3.7 crashes
        return
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(str(next(Path(mujoco.__file__).parent.glob("libmujoco.*"), "")))
        library.mj_globalCache.restype = ctypes.c_void_p
        library.mj_setCacheSize(ctypes.c_void_p(library.mj_globalCache()), ctypes.c_size_t(1))


def _print_warnings() -> None:
    """Print MuJoCo's warnings into the simulator's log; by default they go to a file in the working directory."""
    if hasattr(mujoco, "set_mju_user_warning"):
        mujoco.set_mju_user_warning(lambda text: print(f"MuJoCo: {text}", file=sys.stderr))


_disable_file_cache()
_print_warnings()


@contextmanager
def cached_compilation() -> Iterator[None]:
    """Replace robosuite's compilation of models by :func:`compile_model` until the end of the block."""
    with _replaced_compilation(compile_model):
        yield


def precompile(build: Callable[[], object]) -> None:
    """Compile a model into the cache unless it is there.

    Args:
        build: constructs an environment; it is stopped at the point where its model would be compiled.
    """

    def compile_and_stop(xml: str) -> Any:
        key = _key(xml)
        if key and key not in _store():
            _compile(xml, key)
        raise _StopBuild

    with _replaced_compilation(compile_and_stop), suppress(_StopBuild):
        build()


def compile_model(xml: str) -> Any:
    """The ``mujoco.MjModel`` of an MJCF text, from the cache or from the compiler."""
    key = _key(xml)
    if not key:
        return mujoco.MjModel.from_xml_string(xml)
    with suppress(OSError, ValueError), _store().read(key) as path:
        if path:
            return mujoco.MjModel.from_binary_path(path)
    return _compile(xml, key)


def model_bytes(model: Any) -> bytearray:
    """The binary form of a compiled model."""
    content = bytearray(mujoco.mj_sizeModel(model))
    mujoco.mj_saveModel(model, None, np.frombuffer(content, np.uint8))
    return content


class _StopBuild(Exception):
    """The model is in the cache; the rest of the environment is not needed."""


@contextmanager
def _replaced_compilation(model_of: Callable[[str], Any]) -> Iterator[None]:
    if MjSim.__dict__["from_xml_string"] is not _COMPILE:  # inside another such block, which takes precedence
        yield
        return
    MjSim.from_xml_string = classmethod(lambda cls, xml: cls(model_of(xml)))
    try:
        yield
    finally:
        MjSim.from_xml_string = _COMPILE


def _compile(xml: str, key: str) -> Any:
    model = mujoco.MjModel.from_xml_string(xml)
    content = model_bytes(model)
    with suppress(OSError):  # the disk is full or not writable: the scene is compiled again next time
        _store().write(key, memoryview(content), _cuts(model, content))
    return model


def _store() -> ChunkStore:
    return ChunkStore(scene_cache_folder(), SCENE_CACHE_LIMIT)


def _key(xml: str) -> str | None:
    """SHA-256 of everything that determines a compiled model; ``None`` if its files may name further files."""
    whole = hashlib.sha256(f"{_FORMAT} {mujoco.__version__} {_machine()}\n{xml}".encode())
    for element in ElementTree.fromstring(xml).iter():
        for file in [value for name, value in element.attrib.items() if name.startswith("file")]:
            if element.tag not in _LEAVES or not Path(file).is_file():
                return None
            whole.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return whole.hexdigest()


@cache
def _machine() -> str:
    """Properties that the last bit of a compiled model may depend on: CPU instructions and C library."""
    processors = Path("/proc/cpuinfo")
    lines = processors.read_text().splitlines() if processors.is_file() else []
    instructions = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {platform.libc_ver()} {instructions}"


def _cuts(model: Any, content: bytearray) -> list[int]:
    """Positions in a model's bytes at which large meshes and textures begin and end.

    Any cuts reassemble correctly; cutting at mesh and texture boundaries lets models share chunks.
    """
    cuts: set[int] = set()
    position = 0
    for name, address in _ADDRESSES.items():
        array = getattr(model, name, None)
        if array is None:  # an older MuJoCo
            continue
        found = content.find(array[:_SMALLEST_CHUNK].tobytes()[:_SMALLEST_CHUNK], position)
        if found < 0:
            continue
        row = array.itemsize * array[:1].size
        starts = sorted({int(start) for start in getattr(model, address) if start >= 0} | {len(array)})
        for start, end in pairwise(starts):
            if (end - start) * row >= _SMALLEST_CHUNK:
                cuts |= {found + start * row, found + end * row}
        position = found + array.nbytes
    return sorted(cuts - {0, len(content)})
