"""What a tar within a backup may hold: nothing that could reach beyond the place it is put."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePosixPath

from dockwright.errors import ArchiveError
from dockwright.lifecycle.archive_tar import Member, TarError, TarReader

_MOST_MEMBERS = 10_000_000
_MOST_LINKS = 500_000
_TRUST = "; where the backup is your own, --trust restores links that leave and devices as they are"


def check_members(
    chunks: Iterator[bytes], where: str, *, root: str, target: str, trust: bool = False
) -> None:
    """Read a whole tar, and refuse what must not be restored.

    Args:
        chunks: the tar.
        where: the backup and its part, for messages.
        root: the directory that all of it lies in.
        target: where that directory is mounted: absolute links below it stay inside.
        trust: also allow links that leave it, and devices: the backup is one's own.

    Raises:
        ArchiveError: it holds absolute or climbing paths, links that leave, devices, things that
            are put where a link leads or twice in one place, or too many; or it is no tar.
    """
    seen, links = _Names(), _Links()
    try:
        for member in TarReader(chunks).members():
            problem = _path_problem(member.name, root, links) or _link_problem(member, links)
            if not problem and not trust:
                problem = _kind_problem(member, root, target)
            if problem:
                raise ArchiveError(
                    f"{where}: {member.name!r} {problem}", hint="nothing was touched" + _TRUST
                )
            seen.add(member.name)
            if member.kind == "link" or (member.kind == "hard link" and member.link in links):
                links.add(member.name)
        seen.check()
    except TarError as exc:
        hint = "nothing was touched; backups of dockwright hold plain tars only"
        raise ArchiveError(f"{where} is not a right tar: {exc}", hint=hint) from exc


class _Names:
    """Finds a name that comes twice, in a few bytes for each; see `hash` for why it has a seed."""

    def __init__(self) -> None:
        self._count = 0
        self._hashes = [array("q") for _ in range(256)]

    def add(self, name: str) -> None:
        self._count += 1
        if self._count > _MOST_MEMBERS:
            raise TarError(f"it has more than {_MOST_MEMBERS:,} members")
        number = hash(name)
        self._hashes[number & 255].append(number)

    def check(self) -> None:
        if any(len(set(part)) < len(part) for part in self._hashes):
            raise TarError("two members have one name")


class _Links:
    """The symbolic links that a tar has made until now."""

    def __init__(self) -> None:
        self._hashes: set[int] = set()

    def add(self, name: str) -> None:
        if len(self._hashes) >= _MOST_LINKS:
            raise TarError(f"it has more than {_MOST_LINKS:,} symbolic links")
        self._hashes.add(hash(name))

    def __contains__(self, name: str) -> bool:
        return hash(name) in self._hashes

    def lead_to(self, name: str) -> bool:
        """Tell whether a path lies behind one."""
        if not self._hashes:
            return False
        return any(name[:index] in self for index, char in enumerate(name) if char == "/")


def _path_problem(name: str, root: str, links: _Links) -> str:
    parts = name.split("/")
    if name.startswith("/"):
        return "has an absolute path"
    if ".." in parts:
        return "has '..' in its path"
    if not _is_clean(parts, root):
        return f"is not below {root}"
    return "would be put where a link leads" if name in links or links.lead_to(name) else ""


def _is_clean(parts: list[str], root: str) -> bool:
    return parts[0] == root and not {"", ".", ".."} & set(parts)


def _link_problem(member: Member, links: _Links) -> str:
    if member.kind == "hard link" and links.lead_to(member.link):
        return f"is a hard link through a symbolic one: {member.link}"
    if "\0" in member.link or (not member.link and member.kind in ("link", "hard link")):
        return "is a link that leads nowhere"
    return ""


def _kind_problem(member: Member, root: str, target: str) -> str:
    if member.kind in ("character device", "device"):
        return "is a device"
    if member.kind == "hard link" and not _is_clean(member.link.split("/"), root):
        return f"is a link that leaves {root}: {member.link}"
    if member.kind == "link" and not _link_stays(member, root, target):
        return f"is a link that leaves {root}: {member.link}"
    return ""


def _link_stays(member: Member, root: str, target: str) -> bool:
    link = PurePosixPath(member.link)
    # A '..' behind a name may climb from elsewhere: what bears that name may be a link itself.
    if any(part == ".." and before != ".." for before, part in pairwise(link.parts)):
        return False
    if link.is_absolute():
        return link.is_relative_to(target)
    return _stays(PurePosixPath(member.name).parent / link, root)


def _stays(path: PurePosixPath, root: str) -> bool:
    """Tell whether a path, which may climb, never leaves `root`."""
    depth = 0
    for position, part in enumerate(path.parts):
        if position == 0:
            if part != root:
                return False
            continue
        depth += -1 if part == ".." else 1
        if depth < 0:
            return False
    return bool(path.parts)
