"""Images: looked up, pulled, tagged, removed."""

from __future__ import annotations

from dockwright.engine.calls import Call, LabelFilter, label_filter, matching, path
from dockwright.engine.group import EngineCalls
from dockwright.engine.references import split_reference
from dockwright.engine.types import Document
from dockwright.errors import ImageMissingError, NoSuchObjectError


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
        """Tell whether the image is on the engine."""
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

    def list_images(self, labels: LabelFilter) -> list[Document]:
        """Return the images that have all `labels`; a value of None means any."""
        call = Call("GET", "/images/json", "list images", params={"filters": label_filter(labels)})
        return matching(self._http.documents(call), labels)
