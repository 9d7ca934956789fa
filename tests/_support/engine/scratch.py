"""The image of the tests: busybox and nothing else, made here where nothing can be pulled."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockwright.errors import ConflictError, DockwrightError

if TYPE_CHECKING:
    from dockwright.engine import Engine

SCRATCH = "dockwright-test/scratch:1"

APPLETS = (
    "cat cp date dd echo env false grep head hostname httpd id kill ls mkdir mv nc od ps printf "
    "rm sed seq sh sha256sum sleep stat stty sync tail tee test touch tr true tty wc wget yes"
)


@contextmanager
def scratch_image(engine: Engine) -> Iterator[str]:
    """Yield the image's name; the last process that uses the image removes it.

    Each process of a run (every worker of xdist, and those of other runs on this machine) holds a
    shared lock as long as it may use the image.
    """
    with _lock_file("scratch").open("w") as making, _lock_file("scratch-users").open("w") as users:
        fcntl.flock(making, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        if not engine.has_image(SCRATCH):
            _make_scratch(engine)
        fcntl.flock(making, fcntl.LOCK_UN)
        yield SCRATCH
        fcntl.flock(making, fcntl.LOCK_EX)
        with suppress(BlockingIOError, ConflictError):  # somebody else still uses it
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_with_descendants(engine)


def _remove_with_descendants(engine: Engine) -> None:
    """Remove the image, and what builds made of it and left without a name (failed steps)."""
    [layer] = engine.inspect_image(SCRATCH)["RootFS"]["Layers"]
    for image in engine.sdk.api.images(filters={"dangling": True}):
        if engine.inspect_image(image["Id"])["RootFS"]["Layers"][:1] == [layer]:
            engine.remove_image(image["Id"])
    engine.remove_image(SCRATCH)


def _lock_file(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"dockwright-test-{os.getuid()}-{name}.lock"


def _make_scratch(engine: Engine) -> None:
    if busybox := _static_busybox():
        # The whole name as "repository": Podman 4 knows no parameter for the tag.
        engine.sdk.api.import_image_from_data(_image_tar(busybox), repository=SCRATCH)
        return
    try:
        engine.pull_image("busybox:stable")
    except DockwrightError as exc:
        pytest.fail(f"no busybox: not here, not from the distribution, not from a registry: {exc}")
    engine.tag_image("busybox:stable", SCRATCH)


def _static_busybox() -> bytes | None:
    """Return a busybox that needs no libraries: the host's, or the distribution's package."""
    installed = shutil.which("busybox")
    if installed and b"ld-linux" not in (content := Path(installed).read_bytes()):
        return content
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return None
    with tempfile.TemporaryDirectory() as directory:
        # Downloaded and unpacked, not installed: no root is needed and the host stays as it is.
        fetched = subprocess.run(
            ["apt-get", "download", "-q", "busybox-static"],
            cwd=directory,
            capture_output=True,
            timeout=100,
            check=False,
        )
        packages = [str(package) for package in Path(directory).glob("*.deb")]
        if fetched.returncode or not packages:
            return None
        subprocess.run(["dpkg-deb", "-x", packages[0], directory], timeout=60, check=True)
        for place in ("bin/busybox", "usr/bin/busybox"):
            if (path := Path(directory) / place).is_file():
                return path.read_bytes()
    return None


def _image_tar(busybox: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for directory in ("bin", "etc", "tmp", "data"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            tar.addfile(entry)
        for name, mode, content in (
            ("bin/busybox", 0o755, busybox),
            ("etc/passwd", 0o644, b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"),
            ("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n"),
        ):
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = mode, len(content)
            tar.addfile(entry, io.BytesIO(content))
        for applet in APPLETS.split():
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return buffer.getvalue()
