"""Builds that need not be repeated: nothing that their image is made from has changed.

A build that finds all its steps in the engine's layer cache still sends its context and walks
through the steps. The key of a build is made of everything that goes into it; under it is noted
which image came out. As long as the tag names this image, a build would only give it once more.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dockwright._files import write_file
from dockwright.cache.files import FileDigests
from dockwright.cache.savings import Savings
from dockwright.engine import BuildRequest, Engine
from dockwright.engine.build import base_images, context_files
from dockwright.errors import DockwrightError, ImageMissingError, NoSuchObjectError

MISSING = "not there yet"
"""Stands for an image that the engine does not have."""

_FETCHES = re.compile(r"^\s*ADD\s(?:.*\s)?\[?[\"']?(?:https?|git|ssh|ftp)[:@]", re.I | re.M)
"""A builder looks whether what is at an address has changed."""

_UNUSED_S = 30 * 86_400.0

_log = logging.getLogger(__name__)


def image_id(engine: Engine, reference: str) -> str:
    """Return the id of an image, or `MISSING`."""
    try:
        return str(engine.inspect_image(reference)["Id"])
    except (ImageMissingError, NoSuchObjectError):
        return MISSING


def build_key(request: BuildRequest, files: FileDigests, id_of: Callable[[str], str]) -> str:
    """Return a hash of everything that an image is built from; where that lies does not count.

    Args:
        request: the build.
        files: reads the files.
        id_of: returns the id of a base image, or `MISSING`.

    Raises:
        ImageBuildError: the context or the Dockerfile cannot be read.
    """
    text = request.dockerfile_text()
    places = {name: Path(place) for name, place in request.additional_contexts.items()}
    places |= request.secret_files
    contexts = {name: files.state(place) for name, place in places.items() if place.exists()}
    inputs = {
        "dockerfile": text,
        "context": files.listed(request.context, context_files(request)),
        "contexts": contexts,
        "bases": [id_of(name) for name in base_images(text, request.args)],
        "args": dict(request.args),
        "labels": dict(request.labels),
        "tags": request.tags,
        "others": [
            request.target,
            request.network,
            request.platforms,
            request.extra_hosts,
            request.shm_size_bytes,
            os.environ.get("DOCKER_DEFAULT_PLATFORM", ""),
        ],
    }
    content = json.dumps(inputs, sort_keys=True).encode(errors="surrogateescape")
    return hashlib.sha256(content).hexdigest()


class Builds:
    """Remembers which image each build gave.

    Args:
        directory: where; made when the first is written.
        files: reads contexts.
    """

    def __init__(self, directory: Path, files: FileDigests) -> None:
        self.directory = directory
        self._files = files

    def key(self, engine: Engine, request: BuildRequest) -> str:
        """Return the key of a build; empty: it has to be done in any case."""
        beyond = (request.ssh, request.secret_variables, request.cache_to, request.cache_from)
        if any(beyond) or request.no_cache or request.pull:
            return ""
        if any(not Path(each).exists() for each in request.additional_contexts.values()):
            return ""
        missing: list[str] = []

        def id_of(name: str) -> str:
            found = image_id(engine, name)
            missing.extend([name] if found == MISSING else [])
            return found

        try:
            if _FETCHES.search(request.dockerfile_text()):
                return ""
            key = build_key(request, self._files, id_of)
        except (DockwrightError, OSError):
            return ""  # the build says what is wrong
        return "" if missing else key

    def find(self, engine: Engine, key: str, request: BuildRequest) -> Mapping[str, Any] | None:
        """Return the description of the image that a build would give; None: it has to be built."""
        file = self.directory / f"{key}.json"
        try:
            found = json.loads(file.read_bytes())
            image, seconds = str(found["image"]), float(found["seconds"])
            details = [engine.inspect_image(tag) for tag in request.tags]
        except (OSError, ValueError, KeyError, TypeError, ImageMissingError, NoSuchObjectError):
            return None
        if not details or any(each["Id"] != image for each in details):
            return None
        with suppress(OSError):
            os.utime(file)
            Savings(self.directory).add(1, seconds)
        return details[0]

    def put(self, key: str, image: str, seconds: float) -> None:
        """Note which image a build gave, and how long it took."""
        text = json.dumps({"image": image, "seconds": round(seconds, 3)})
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_file(self.directory / f"{key}.json", text.encode())
            self._tidy()
        except OSError as failure:
            _log.info("a build is not remembered: %s", failure)

    def count(self) -> int:
        """Return how many builds are remembered."""
        return sum(1 for _ in self.directory.glob("?" * 64 + ".json"))

    def clear(self, unused_s: float = 0.0) -> int:
        """Forget the builds that were not used for so long; return how many."""
        then, gone = time.time() - unused_s, 0
        for file in self.directory.glob("?" * 64 + ".json"):
            with suppress(OSError):
                if file.stat().st_mtime <= then:
                    file.unlink()
                    gone += 1
        return gone

    def _tidy(self) -> None:
        self.clear(_UNUSED_S)
