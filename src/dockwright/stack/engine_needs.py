"""Which Compose keys need a newer Engine API than the oldest one that dockwright works with.

Source of the versions: the Engine API's version history. An older engine ignores such a key without
a word: what runs would not be what the file says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dockwright.engine import EngineVersion
from dockwright.errors import ComposeUnsupportedError
from dockwright.model import Json, ServiceSpec, SpecWarning, StackSpec


@dataclass(frozen=True, slots=True)
class Need:
    """A key that only newer engines know.

    Attributes:
        api: the first version of the Engine API that has it.
        product: the first Docker that speaks that.
        instead: what happens on older engines; empty: the key is refused there.
        value: the only value that needs it; None: any.
    """

    api: str
    product: str
    instead: str = ""
    value: Json = None


SERVICE_KEYS: Mapping[str, Need] = {
    "annotations": Need("1.43", "Docker 24"),
    "healthcheck.start_interval": Need(
        "1.44", "Docker 25", "the engine runs its own checks at the usual interval from the start"
    ),
    "networks.*.mac_address": Need("1.44", "Docker 25"),
    "volumes.*.bind.recursive": Need("1.44", "Docker 25"),
    "volumes.*.volume.subpath": Need("1.45", "Docker 26"),
}
"""By the path within a service; ``*`` stands for any name or entry."""

NETWORK_KEYS: Mapping[str, Need] = {"enable_ipv4": Need("1.48", "Docker 28", value=False)}
"""By the key of a network."""


def require_engine(spec: StackSpec, services: Iterable[str], version: EngineVersion) -> None:
    """Refuse what the engine is too old for.

    Raises:
        ComposeUnsupportedError: names the key and the version that has it.
    """
    for path, need in _missing(spec, services, version):
        if not need.instead:
            raise ComposeUnsupportedError(
                f"needs an engine with API {need.api} ({need.product}) or newer; "
                f"this one has API {version.api} ({version.kind} {version.server})",
                path=path,
                hint="use a newer engine, or leave the key out",
            )


def engine_warnings(spec: StackSpec, version: EngineVersion) -> tuple[SpecWarning, ...]:
    """Return what the engine is too old for, but a stack runs without."""
    found = _missing(spec, spec.services, version)
    return tuple(
        SpecWarning(path, f"is not used: it needs API {need.api} ({need.product}); {need.instead}")
        for path, need in found
        if need.instead
    )


def _missing(
    spec: StackSpec, services: Iterable[str], version: EngineVersion
) -> Iterator[tuple[str, Need]]:
    for name in services:
        for path, need in _uses(spec.services[name]):
            if not version.api_at_least(need.api):
                yield f"services.{name}.{path}", need
    for name, network in spec.section("networks").items():
        for key, need in NETWORK_KEYS.items():
            if network.get(key) is need.value and not version.api_at_least(need.api):
                yield f"networks.{name}.{key}", need


def _uses(service: ServiceSpec) -> Iterator[tuple[str, Need]]:
    for path, need in SERVICE_KEYS.items():
        for place, value in _found(service.config, path.split("."), ""):
            if value and not _known_earlier(service, place, value):
                yield place, need


def _known_earlier(service: ServiceSpec, place: str, value: Json) -> bool:
    """Return whether every engine supports this use of a key."""
    if place.endswith(".bind.recursive"):
        return value in ("enabled", "disabled")
    first = next(iter(service.networks), "")  # it is there that a container's own one counts
    return place == f"networks.{first}.mac_address"


def _found(value: Json, keys: list[str], place: str) -> Iterator[tuple[str, Json]]:
    if not keys:
        yield place, value
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            if keys[0] in ("*", key):
                yield from _found(entry, keys[1:], f"{place}.{key}" if place else key)
    elif isinstance(value, (list, tuple)) and keys[0] == "*":
        for number, entry in enumerate(value):
            yield from _found(entry, keys[1:], f"{place}[{number}]")
