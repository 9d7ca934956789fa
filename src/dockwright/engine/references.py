"""The names of images: repository, tag or digest, registry."""

from __future__ import annotations


def split_reference(reference: str) -> tuple[str, str]:
    """Return an image's repository and its tag or digest (``latest`` where it has neither)."""
    name, at, digest = reference.partition("@")
    if at:
        return _split_tag(name)[0], digest
    name, tag = _split_tag(name)
    return name, tag or "latest"


def registry_of(reference: str) -> str:
    """Return the host that an image comes from; ``docker.io`` where the name does not tell."""
    first, slash, _ = reference.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    return first if is_host else "docker.io"


def _split_tag(name: str) -> tuple[str, str]:
    # A colon before the last slash is a registry's port.
    head, colon, tag = name.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name, "")
