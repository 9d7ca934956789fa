"""Archives renamed and divided, for engines whose own archives leave names out."""

from __future__ import annotations

import io
import tarfile
from contextlib import ExitStack
from pathlib import PurePosixPath

from dockwright.engine.archives import below, renamed, split

LONG = "directory/" * 15 + "file"
CONTENT = bytes(range(256)) * 300


def archive(*names: str) -> bytes:
    """Return a tar: names that end with a slash are directories; a=b is a hard link to b."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            entry = tarfile.TarInfo(name.partition("=")[0].rstrip("/") or name)
            entry.uid, entry.mode, entry.pax_headers = 70, 0o640, {"SCHILY.xattr.user.a": "é"}
            if "=" in name:
                entry.type, entry.linkname = tarfile.LNKTYPE, name.partition("=")[2]
                tar.addfile(entry)
            elif name.endswith("/") or not name:
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            else:
                entry.size = len(CONTENT)
                tar.addfile(entry, io.BytesIO(CONTENT))
    return buffer.getvalue()


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
        for member in members:
            assert (member.uid, member.mode) == (70, 0o640)
            assert member.pax_headers["SCHILY.xattr.user.a"] == "é"
            if member.isreg():
                file = tar.extractfile(member)
                assert file is not None
                assert file.read() == CONTENT
    return [f"{each.name}={each.linkname}" if each.islnk() else each.name for each in members]


def test_names_without_their_root_get_it() -> None:
    data = archive("", "x", "/y/", f"y/{LONG}", "z=/x")
    pieces = [data[at : at + 700] for at in range(0, len(data), 700)]
    found = b"".join(renamed(iter(pieces), below("data")))
    assert names(found) == ["data", "data/x", "data/y", f"data/y/{LONG}", "data/z=data/x"]


def test_whole_names_stay() -> None:
    data = archive("data/", "data/x", "data/z=data/x")
    assert names(b"".join(renamed([data], below("data")))) == ["data", "data/x", "data/z=data/x"]


def test_an_archive_is_divided_by_mount_points() -> None:
    data = archive(
        "etc/conf", "data/", "data/x", f"data/{LONG}", "data/z=data/x", "data/inner/y", "database"
    )
    places = [PurePosixPath("/data"), PurePosixPath("/data/inner"), PurePosixPath("/unused")]
    with ExitStack() as files:
        found = split([data], PurePosixPath("/"), places, files)
        divided = {str(place): names(file.read()) for place, file in found.items()}
    assert list(divided) == ["/", "/data", "/data/inner"]
    assert divided == {
        "/": ["etc/conf", "database"],
        "/data": [".", "x", LONG, "z=x"],
        "/data/inner": ["y"],
    }
