"""Images: looked up, pulled, tagged, removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from dockwright.engine.containers import EngineCalls
from dockwright.engine.errors import pull_failed
from dockwright.engine.http import Call, LabelFilter, label_filter, matching, path
from dockwright.engine.parallel import Unwanted, ending
from dockwright.engine.streams import ByteStream, json_lines
from dockwright.engine.types import Document, split_reference
from dockwright.errors import (
    EngineError,
    EngineUnreachableError,
    ImageMissingError,
    NoSuchObjectError,
)


class ImageCalls(EngineCalls):
    """The calls about images; each takes a reference (``name[:tag|@digest]``) or an id."""

    def inspect_image(self, reference: str) -> Document:
        """Return everything that the engine knows about the image.

        Raises:
            ImageMissingError: it is not on the engine.
        """
        call = Call("GET", path("images", reference, "json"), "inspect image", reference)
        return self._http.document(call)

    def has_image(self, reference: str) -> bool:
        """Return whether the image is on the engine."""
        try:
            self.inspect_image(reference)
        except (ImageMissingError, NoSuchObjectError):
            return False
        return True

    def tag_image(self, reference: str, tag: str) -> None:
        """Give the image another name, ``name[:tag]``."""
        name, label = split_reference(tag)
        call = Call(
            "POST",
            path("images", reference, "tag"),
            "tag image",
            f"{reference} as {tag}",
            params={"repo": name, "tag": label},
        )
        self._http.send(call)

    def remove_image(self, reference: str, *, force: bool = False) -> None:
        """Remove a name of an image, and the image with its last one; one that is gone is fine.

        Args:
            reference: the name or id.
            force: whether to remove it though it has other names or stopped containers.
        """
        call = Call(
            "DELETE",
            path("images", reference),
            "remove image",
            reference,
            params={"force": force},
        )
        try:
            self._http.send(call)
        except (ImageMissingError, NoSuchObjectError):
            return

    def export_images(self, references: list[str]) -> ByteStream:
        """Return an archive of images as a stream, as ``docker save`` writes it.

        Args:
            references: names, which the archive contains, or ids.
        """
        call = Call(
            "GET",
            "/images/get",
            "export images",
            ", ".join(references),
            params={"names": references},
            timeout_s=_SILENCE_TIMEOUT_S,
        )
        return self._http.stream(call)

    def list_images(self, labels: LabelFilter) -> list[Document]:
        """Return the images that have all `labels`; a value of None means any."""
        call = Call("GET", "/images/json", "list images", params={"filters": label_filter(labels)})
        return matching(self._http.documents(call), labels)


_SILENCE_TIMEOUT_S = 300.0
"""How long an engine may say nothing during a pull: unpacking one large layer is silent."""

_ASK_TIMEOUT_S = 20.0

_REPORT_INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull is.

    Attributes:
        image: the reference being pulled.
        layers: how many layers are known by now.
        done: how many of them are there.
        received_bytes: what was downloaded of those whose size is known.
        total_bytes: their size; both grow while the engine learns of more layers.
    """

    image: str
    layers: int
    done: int
    received_bytes: int
    total_bytes: int


OnPull: TypeAlias = Callable[[PullProgress], None]


class PullCalls(EngineCalls):
    """The call that fetches an image."""

    def pull_image(
        self,
        reference: str,
        *,
        platform: str | None = None,
        on_progress: OnPull | None = None,
        unwanted: Unwanted | None = None,
    ) -> None:
        """Fetch an image, even if the engine has one of this name.

        Args:
            reference: ``name``, ``name:tag`` or ``name@digest``; without both: ``latest``.
            platform: e.g. ``linux/arm64``; None: the engine's own.
            on_progress: called about ten times a second, and once at the end.
            unwanted: returns whether the pull is to end; called from another thread.

        Raises:
            ImageMissingError: it cannot be had; the message says why.
        """
        from dockwright.engine.credentials import pull_headers  # loads the Docker SDK

        name, version = split_reference(reference)
        call = Call(
            "POST",
            "/images/create",
            "pull image",
            reference,
            params={"fromImage": name, "tag": version, "platform": platform},
            headers=pull_headers(name),
            timeout_s=_SILENCE_TIMEOUT_S,
        )
        progress = _Progress(reference, on_progress)
        try:
            with self._http.stream(call) as stream, ending(unwanted, stream.close):
                for message in _messages(stream):
                    progress.note(message)
        except EngineUnreachableError:
            raise
        except EngineError as exc:
            # Old engines refuse with a status, newer ones with a line in the stream: one error.
            reason = exc.message.removeprefix(f"cannot {call.action}: ")
            raise pull_failed(reference, reason) from exc
        progress.report(final=True)

    def remote_digest(self, reference: str) -> str:
        """Return the digest that the image's registry has under this name now; nothing is pulled.

        Raises:
            ImageMissingError: it cannot be had; the message says why.
        """
        from dockwright.engine.credentials import pull_headers  # loads the Docker SDK

        call = Call(
            "GET",
            path("distribution", reference, "json"),
            "ask the registry for",
            reference,
            headers=pull_headers(split_reference(reference)[0]),
            timeout_s=_ASK_TIMEOUT_S,
        )
        try:
            return str(self._http.document(call)["Descriptor"]["digest"])
        except EngineUnreachableError:
            raise
        except EngineError as exc:
            raise pull_failed(
                reference, exc.message.removeprefix(f"cannot {call.action}: ")
            ) from exc


def _messages(stream: ByteStream) -> Iterator[Document]:
    for message in json_lines(stream):
        if error := message.get("error") or message.get("errorDetail", {}).get("message"):
            raise EngineError(str(error))
        yield message


class _Progress:
    """Adds up the messages of all layers, and reports progress now and then."""

    def __init__(self, reference: str, listener: OnPull | None) -> None:
        self._reference = reference
        self._listener = listener
        self._layers: dict[str, tuple[int, int]] = {}
        self._done: set[str] = set()
        self._reported = 0.0

    def note(self, message: Document) -> None:
        layer, status = message.get("id"), str(message.get("status", ""))
        if not layer or status.startswith("Pulling from"):
            return
        if status in {"Pull complete", "Already exists"}:
            self._done.add(layer)
        detail = message.get("progressDetail") or {}
        received, total = self._layers.get(layer, (0, 0))
        if status == "Downloading" and detail.get("total"):
            received, total = int(detail.get("current") or 0), int(detail["total"])
        elif status in {"Download complete", "Pull complete"}:
            received = total
        self._layers[layer] = (received, total)
        self.report()

    def report(self, *, final: bool = False) -> None:
        now = time.monotonic()
        if self._listener is None or (not final and now - self._reported < _REPORT_INTERVAL_S):
            return
        self._reported = now
        self._listener(
            PullProgress(
                image=self._reference,
                layers=len(self._layers),
                done=len(self._done),
                received_bytes=sum(received for received, _ in self._layers.values()),
                total_bytes=sum(total for _, total in self._layers.values()),
            )
        )
