"""What volumes hold: the way over this host and the way through the engine are one and the same."""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil
import pytest

from dockwright.engine import Engine, volumes
from dockwright.errors import DiskFullError, EngineError
from dockwright.model import Json
from tests._support.owned import Owned

pytestmark = pytest.mark.engine

TARGET = "/mnt/a, b&c.d\\e*"
"""Characters that mean something to those that rename a tar's entries."""


def target(engine: Engine) -> str:
    """Return where volumes are mounted: Podman takes a path to read for a pattern."""
    return TARGET if engine.can.whole_archives else "/mnt/a, b&c.d"


MAKE = r"""
mkdir -p sub/deep empty 'with space'
chmod 1777 empty
chown 1234:4321 sub
printf 'one\n' > sub/one
ln sub/one sub/two
ln -s one sub/relative
ln -s /etc/passwd absolute
ln -s ../absolute sub/climbs
touch -- .hidden '-dash' 'with space/a,b&c\d' sub/none "$(printf 'new\nline')" 'grüße'
mkfifo pipe
touch setuid
chmod 4751 setuid
mknod device c 1 3
printf x > "$(printf 'long%.0s' $(seq 60))"
dd if=/dev/zero of=hole bs=1 count=1 seek=3000000 2>/dev/null
touch -d '2001-02-03 04:05:06' sub/one
chmod 2710 .
chown 77:88 .
"""
LIST = r"""
find . -exec stat -c '%n %a %u %g %F %s %h %t %T' {} \; | sort
find . -type f -exec md5sum {} \; -exec stat -c '%n %Y' {} \; | sort
find . -type l -exec readlink {} \; | sort
"""

Read = Callable[[str, str], Iterable[bytes]]
Fill = Callable[[str, str, Iterable[bytes]], None]


class Place:
    """Volumes with containers that mount them."""

    def __init__(self, engine: Engine, owned: Owned, image: str) -> None:
        self._engine = engine
        self._owned = owned
        self._image = image
        self._count = 0

    def new(self, script: str = "") -> tuple[str, str]:
        """Make a volume, and run a script in it; return its name and a container."""
        self._count += 1
        volume = f"{self._owned.name}-{self._count}"
        self._engine.create_volume(volume, {"Labels": self._owned.labels})
        container = self._container(volume, "true")
        if script:
            self.run(volume, script)
        return volume, container

    def run(self, volume: str, script: str) -> str:
        """Run a shell script in a volume; return what it wrote."""
        container = self._container(volume, "tail", "-f", "/dev/null")
        self._engine.start_container(container)
        words = ["sh", "-ec", f"cd '{target(self._engine)}'; {script}"]
        result = self._engine.exec(container, words)
        assert result.exit_code == 0, result.stderr
        self._engine.kill_container(container)
        return result.stdout.decode()

    def _container(self, volume: str, *command: str) -> str:
        # Podman takes no comma in the target of one of "Mounts".
        binds: Json = [f"{volume}:{target(self._engine)}"]
        host: dict[str, Json] = {"Binds": binds, "CapAdd": ["MKNOD"]}
        return self._owned.create(self._image, *command, HostConfig=host)


@pytest.fixture
def place(engine: Engine, owned: Owned, scratch: str) -> Place:
    return Place(engine, owned, scratch)


def through(engine: Engine) -> tuple[Read, Fill]:
    def read(volume: str, container: str) -> Iterable[bytes]:
        return engine.archive_out(container, target(engine))

    def fill(volume: str, container: str, chunks: Iterable[bytes]) -> None:
        engine.archive_in(container, str(Path(target(engine)).parent), chunks)

    return read, fill


def whichever(engine: Engine) -> tuple[Read, Fill]:
    def read(volume: str, container: str) -> Iterable[bytes]:
        return engine.volume_out(volume, container, target(engine))

    def fill(volume: str, container: str, chunks: Iterable[bytes]) -> None:
        engine.volume_in(volume, container, target(engine), chunks)

    return read, fill


@pytest.fixture
def at_home(engine: Engine) -> None:
    if os.geteuid() != 0 or not engine.endpoint.url.startswith("unix:"):
        pytest.skip("only root reads an engine's volumes itself")


def archive_calls(engine: Engine) -> int:
    return calls(engine, "files of container")


def calls(engine: Engine, words: str) -> int:
    by_call = engine.statistics().by_call
    return sum(each.count for name, each in by_call.items() if words in name)


@pytest.mark.parametrize("reader", [through, whichever])
@pytest.mark.parametrize("writer", [through, whichever])
def test_archives_of_one_method_can_be_written_by_the_other(
    engine: Engine,
    place: Place,
    reader: Callable[[Engine], tuple[Read, Fill]],
    writer: Callable[[Engine], tuple[Read, Fill]],
) -> None:
    if writer is through and not engine.can.whole_archives:
        pytest.skip("this engine's archive call does not restore the owners of directories")
    source, container = place.new(MAKE)
    expected = place.run(source, LIST)
    assert expected.count("\n") > 30
    copy, empty = place.new()
    writer(engine)[1](copy, empty, reader(engine)[0](source, container))
    found = place.run(copy, LIST)
    if reader is through and not engine.can.whole_archives:
        # Podman's archives lose the owners of directories.
        found, expected = (
            re.sub(r" \d+ \d+ directory", " directory", listing) for listing in (found, expected)
        )
    assert found == expected


@pytest.mark.usefixtures("at_home")
def test_root_does_not_trouble_the_engine(engine: Engine, place: Place) -> None:
    before = archive_calls(engine)
    volume, container = place.new("echo one > one")
    other, empty = place.new()
    inspections = calls(engine, "inspect container") + calls(engine, "engine's state")
    engine.volume_in(
        other, empty, target(engine), engine.volume_out(volume, container, target(engine))
    )
    # Nobody may look at a container that is held still meanwhile.
    assert calls(engine, "inspect container") + calls(engine, "engine's state") == inspections
    assert place.run(other, "cat one") == "one\n"
    assert archive_calls(engine) == before


def test_others_ask_the_engine(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = archive_calls(engine)
    volume, container = place.new("echo one > one")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    content = b"".join(engine.volume_out(volume, container, target(engine)))
    engine.volume_in(volume, container, target(engine), [content])
    assert archive_calls(engine) == before + 2


@pytest.mark.usefixtures("at_home")
def test_attributes_of_files_are_kept(engine: Engine, place: Place) -> None:
    volume, container = place.new("echo one > one")
    file = Path(engine.inspect_volume(volume)["Mountpoint"], "one")
    try:
        os.setxattr(file, "user.note", b"kept")
    except OSError as refusal:
        pytest.skip(f"the file system has no attributes: {refusal}")
    copy, empty = place.new()
    engine.volume_in(
        copy, empty, target(engine), engine.volume_out(volume, container, target(engine))
    )
    copied = Path(engine.inspect_volume(copy)["Mountpoint"], "one")
    assert os.getxattr(copied, "user.note") == b"kept"


@pytest.mark.parametrize("as_root", [True, False])
def test_content_that_is_not_a_tar_is_reported(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch, as_root: bool
) -> None:
    volume, container = place.new()
    if not as_root:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EngineError, match=r"cannot (fill volume|write files of container) "):
        engine.volume_in(volume, container, target(engine), [b"nonsense" * 1000])


@pytest.mark.usefixtures("at_home")
def test_a_reader_that_stops_leaves_nothing_behind(engine: Engine, place: Place) -> None:
    volume, container = place.new("dd if=/dev/zero of=big bs=1M count=40 2>/dev/null")
    chunks = engine.volume_out(volume, container, target(engine))
    next(chunks)
    chunks.close()
    assert not children_named("tar")


@pytest.mark.usefixtures("at_home")
def test_an_exception_of_the_chunks_ends_the_filling(engine: Engine, place: Place) -> None:
    volume, container = place.new()

    def failing() -> Iterator[bytes]:
        yield bytes(512)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine.volume_in(volume, container, target(engine), failing())
    assert not children_named("tar")


def test_a_full_disk_is_reported(small_disk: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("root/big")
        entry.size = 4_000_000
        tar.addfile(entry, io.BytesIO(os.urandom(entry.size)))
    with pytest.raises(DiskFullError, match=r"cannot fill it: .*big: Wrote only"):
        volumes.unpack(small_disk, "root", [buffer.getvalue()], "fill it")


def children_named(name: str) -> list[str]:
    return [each.name() for each in psutil.Process().children() if each.name() == name]
