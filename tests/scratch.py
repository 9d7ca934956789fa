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
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockwright.errors import DockwrightError

if TYPE_CHECKING:
    from dockwright.engine import Engine

SCRATCH = "dockwright-test/scratch:1"
"""It stays on the engine for the next run."""

APPLETS = (
    "cat cp date dd echo env false grep head hostname httpd id kill ls mkdir mv nc od ps printf "
    "rm sed seq sh sha256sum sleep stat stty sync tail tee test touch tr true tty wc wget yes"
)


def ensure_scratch(engine: Engine) -> str:
    """Return the image's name; make it if the engine does not have it."""
    with _locked("scratch"):
        if not engine.has_image(SCRATCH):
            _make_scratch(engine)
    return SCRATCH


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Keep out the other xdist workers, and other runs on this machine."""
    lock = Path(tempfile.gettempdir()) / f"dockwright-test-{os.getuid()}-{name}.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
