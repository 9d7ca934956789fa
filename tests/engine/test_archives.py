"""Files in and out of containers and volumes, never held whole."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
from collections.abc import Iterator

import pytest

from dockwright.engine import Engine
from dockwright.errors import NoSuchObjectError
from dockwright.model import Json
from tests._support.owned import Owned

pytestmark = pytest.mark.engine

SIZE = 96_000_000


def tar_of(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_files_go_into_a_volume_through_a_container_that_never_ran(
    engine: Engine, owned: Owned, scratch: str
) -> None:
    engine.create_volume(owned.name, {"Labels": owned.labels})
    binds: dict[str, Json] = {"HostConfig": {"Binds": [f"{owned.name}:/data"]}}
    engine.archive_in(owned.create(scratch, "true", **binds), "/data", tar_of(hello=b"world"))
    other = owned.create(scratch, "true", **binds)
    data = b"".join(engine.archive_out(other, "/data/hello"))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        file = tar.extractfile("hello")
        assert file is not None
        assert file.read() == b"world"


def big_tar() -> Iterator[bytes]:
    entry = tarfile.TarInfo("big")
    entry.size = SIZE
    yield entry.tobuf()
    block = b"0123456789abcdef" * 4096
    left = SIZE
    while left:
        yield block[:left]
        left -= min(left, len(block))
    yield bytes(-SIZE % 512 + 1024)


def test_a_large_file_streams_in_and_out_in_constant_memory(
    engine: Engine, owned: Owned, scratch: str
) -> None:
    container = owned.create(scratch, "true")
    tracemalloc.start()
    engine.archive_in(container, "/tmp", big_tar())
    received = sum(len(chunk) for chunk in engine.archive_out(container, "/tmp/big"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert received > SIZE
    assert peak < 2_000_000


def test_a_download_may_be_given_up(engine: Engine, owned: Owned, scratch: str) -> None:
    container = owned.create(scratch, "true")
    chunks = engine.archive_out(container, "/bin")
    assert next(iter(chunks))
    chunks.close()
    engine.ping()


def test_a_path_that_is_not_there(engine: Engine, owned: Owned, scratch: str) -> None:
    container = owned.create(scratch, "true")
    with pytest.raises(NoSuchObjectError, match=r"cannot read files of container .* \(/absent\)"):
        list(engine.archive_out(container, "/absent"))
    if not engine.can.whole_archives:
        return  # Podman makes the directory
    with pytest.raises(NoSuchObjectError, match=r"cannot write files of container .* \(/absent\)"):
        engine.archive_in(container, "/absent", tar_of(a=b"b"))
