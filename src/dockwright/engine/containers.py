"""Containers: their life, what they are and what they use."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from math import ceil
from typing import TYPE_CHECKING, Any, TypeAlias

from dockwright.engine.http import Call, LabelFilter, label_filter, matching, path, short
from dockwright.engine.inside import EngineInside, look_inside
from dockwright.engine.streams import json_lines
from dockwright.engine.types import Document
from dockwright.errors import ConflictError, EngineError, NoSuchObjectError
from dockwright.model import Json

if TYPE_CHECKING:
    from dockwright.engine.http import Transport

_LONGEST_S = 60.0


class PausedContainers:
    """Knows which containers are paused; any thread may ask."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def of(self, container: str) -> Iterator[None]:
        """Have `wait` block for this container inside the block."""
        with self._changed:
            self._held[container] += 1
        try:
            yield
        finally:
            with self._changed:
                self._held[container] -= 1
                self._changed.notify_all()

    def wait(self, container: str) -> None:
        """Wait until nothing uses the container, or for a minute."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held[container], _LONGEST_S)


class EngineCalls:
    """A group of calls; `Engine` is made of them.

    Args:
        transport: the connections to the engine.
    """

    def __init__(self, transport: Transport) -> None:
        self._http = transport
        self._paused = PausedContainers()


_STOP_MARGIN_S = 30.0
"""How much longer than its grace a stop may take before the call counts as hanging."""

_DEPENDENTS_S, _PAUSE_S = 5.0, 0.05

_FREEZES = 3
"""With cgroup version 1, freezing may fail while processes of the container start others; runc
then thaws what it froze and says so."""


class ContainerCalls(EngineCalls):
    """The calls about containers; each takes an id or a name."""

    def create_container(
        self, name: str, config: Mapping[str, Json], *, platform: str | None = None
    ) -> str:
        """Create a container, without starting it.

        Args:
            name: its name.
            config: the body of the Engine API's *ContainerCreate*. It may have any number of
                endpoints; where engines take one only, the others are connected afterwards.
            platform: e.g. ``linux/arm64``, where the image has several.

        Returns:
            Its id.

        Raises:
            ImageMissingError: the image is not on the engine.
            ConflictError: the name is taken.
        """
        params = {"name": name, "platform": platform}
        others: Mapping[str, _Body]
        if self._http.can.all_endpoints_at_create:
            config, others = with_mac_address_at_endpoint(config), {}
        else:
            config, others = with_first_endpoint(config)
        call = Call(
            "POST", "/containers/create", "create container", name, params=params, json=config
        )
        container = str(self._http.document(call)["Id"])
        for network, endpoint in others.items():
            self.connect_network(network, container, endpoint)
        return container

    def connect_network(
        self, network: str, container: str, config: Mapping[str, Json] | None = None
    ) -> None:
        """Attach a container to a network.

        Args:
            network: the network.
            container: the container.
            config: the *EndpointConfig*: ``Aliases``, ``IPAMConfig``, ...
        """
        body: dict[str, Json] = {"Container": container, "EndpointConfig": config or {}}
        call = Call(
            "POST",
            path("networks", network, "connect"),
            "connect",
            f"container {container} to network {network}",
            json=body,
        )
        self._http.send(call)

    def start_container(self, container: str) -> None:
        """Start a container; one that runs already is left as it is."""
        self._http.send(_post(container, "start"))

    def kill_container(self, container: str, signal: str = "SIGKILL") -> None:
        """Send a signal to the container's first process; one that does not run is left alone."""
        try:
            self._http.send(_post(container, "kill", signal=signal))
        except EngineError as exc:  # Docker's words, then Podman's
            if not ("is not running" in exc.message or "can only kill running" in exc.message):
                raise

    def stop_container(self, container: str, grace_s: float = 10.0) -> None:
        """Ask the container to end, and kill it after `grace_s` seconds."""
        self._http.send(
            _post(container, "stop", timeout_s=grace_s + _STOP_MARGIN_S, t=ceil(grace_s))
        )

    def restart_container(self, container: str, grace_s: float = 10.0) -> None:
        """Stop the container as `stop_container` does, and start it again."""
        self._http.send(
            _post(container, "restart", timeout_s=grace_s + _STOP_MARGIN_S, t=ceil(grace_s))
        )

    def pause_container(self, container: str) -> None:
        """Freeze all processes of the container."""
        for left in reversed(range(_FREEZES)):
            try:
                self._http.send(_post(container, "pause"))
            except EngineError as exc:
                if left == 0 or "unable to freeze" not in exc.message:
                    raise
            else:
                return

    def unpause_container(self, container: str) -> None:
        """Let them go on; what is not paused, or is gone, is left alone."""
        try:
            self._http.send(_post(container, "unpause"))
        except NoSuchObjectError:
            return
        except EngineError as exc:  # Docker's words, then Podman's
            if "is not paused" not in exc.message:
                raise

    @contextmanager
    def paused(self, container: str) -> Iterator[None]:
        """Pause a container inside the block; `inspect_container` waits for its end.

        What is gone by the end is left alone.
        """
        with self._paused.of(container):
            self.pause_container(container)
            try:
                yield
            finally:
                self.unpause_container(container)

    def rename_container(self, container: str, name: str) -> None:
        """Give the container another name."""
        self._http.send(_post(container, "rename", name=name))

    def remove_container(self, container: str, *, volumes: bool = True) -> None:
        """Kill and remove a container, and return once it is gone.

        A container that is gone already is fine. If another caller is removing it, wait for that.
        Where an engine first wants those removed that share its namespaces, wait for that as well:
        they usually go at the same time.

        Args:
            container: its id or name.
            volumes: whether its anonymous volumes go with it.
        """
        if not self._http.can.kills_on_removal:
            self._end(container)
        call = Call(
            "DELETE",
            path("containers", container),
            "remove container",
            container,
            params={"force": True, "v": volumes},
        )
        deadline = time.monotonic() + _DEPENDENTS_S
        while True:
            try:
                self._http.send(call)
            except NoSuchObjectError:
                return
            except EngineError as exc:
                if "removal" in exc.message and "in progress" in exc.message:
                    self._await_removal(container)
                    return
                if "has dependent containers" not in exc.message or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)  # other threads are removing those
            else:
                return

    def _end(self, container: str) -> None:
        with suppress(NoSuchObjectError, ConflictError):  # another caller is at it
            self.unpause_container(container)
            self.kill_container(container)

    def _await_removal(self, container: str) -> None:
        """Wait for another caller's removal: until then, volumes and networks are in use."""
        wait = Call(
            "POST",
            path("containers", container, "wait"),
            "wait for the removal of container",
            container,
            params={"condition": "removed"},
            timeout_s=_LONGEST_S,
        )
        with suppress(NoSuchObjectError):
            self._http.send(wait)

    def await_unpaused(self, container: str) -> None:
        """Wait until no block of `paused` holds the container."""
        self._paused.wait(container)

    def inspect_container(self, container: str) -> Document:
        """Return everything that the engine knows about the container."""
        self._paused.wait(container)
        details = self._http.document(_get(container, "json", "inspect container"))
        state = details.get("State") or {}
        if "Status" in state:
            state["Status"] = usual_status(state["Status"])
        return details

    def list_containers(self, labels: LabelFilter, *, all: bool = True) -> list[Document]:  # noqa: A002
        """Return the containers that have all `labels`, in one call, sparsely described.

        Args:
            labels: what they must be labelled with; a value of None means any.
            all: whether stopped ones are wanted too.
        """
        params: dict[str, str | bool] = {"all": all, "filters": label_filter(labels)}
        call = Call("GET", "/containers/json", "list containers", params=params)
        found = matching(self._http.documents(call), labels)
        for each in found:
            each["State"] = usual_status(str(each.get("State", "")))
        return found

    def top(self, container: str, ps_args: str = "-ef") -> Document:
        """Return the container's processes: ``Titles`` and ``Processes``."""
        call = _get(container, "top", "list processes of container", ps_args=ps_args)
        return self._http.document(call)

    def changes(self, container: str) -> list[Document]:
        """Return each ``Path`` of its layer that differs from the image, with its ``Kind``."""
        return self._http.documents(_get(container, "changes", "list changed files of container"))

    def inside(self, details: Document) -> EngineInside:
        """Return what can be seen of the inside of a container.

        Args:
            details: what `inspect_container` returned.
        """
        local = self._http.endpoint.url.startswith("unix:")
        return look_inside(self, details, local=local)

    def stats(self, container: str) -> Document:
        """Return one sample of what the container uses, without the engine's wait for a second one.

        Its ``precpu_stats`` are empty: whoever wants a rate compares two samples. Docker 20.10
        still answers at its collector's next tick only, up to a second later, for all containers
        at once; newer engines answer immediately.
        """
        if self._http.can.samples_once:
            once = {"stream": False, "one-shot": True}
            return self._http.document(_get(container, "stats", "sample container", **once))
        with self._http.stream(_get(container, "stats", "sample container", stream=True)) as stream:
            return next(json_lines(stream))


_PODMANS_STATUS = {
    "configured": "created",
    "initialized": "created",
    "stopping": "running",
    "stopped": "exited",
}


def usual_status(status: str) -> str:
    """Return Docker's word for the status of a container; Podman has more of them."""
    return _PODMANS_STATUS.get(status, status)


_Body: TypeAlias = Mapping[str, Any]
"""Parts of the API's *ContainerCreate*; its fields are the API's, not ours to type."""


def with_first_endpoint(config: _Body) -> tuple[_Body, dict[str, _Body]]:
    """Return a container's body with one endpoint, and the others."""
    endpoints = dict((config.get("NetworkingConfig") or {}).get("EndpointsConfig") or {})
    if len(endpoints) < 2:
        return config, {}
    mode = (config.get("HostConfig") or {}).get("NetworkMode")
    first = mode if mode in endpoints else next(iter(endpoints))
    only = {first: endpoints.pop(first)}
    return {**config, "NetworkingConfig": {"EndpointsConfig": only}}, endpoints


def with_mac_address_at_endpoint(config: _Body) -> _Body:
    """Return a container's body whose hardware address is at the endpoint that it belongs to.

    The field of the container itself is deprecated since API 1.44, and gone in 1.52.
    """
    mac_address = config.get("MacAddress")
    mode = (config.get("HostConfig") or {}).get("NetworkMode") or "default"
    if not mac_address or mode in {"host", "none"} or mode.startswith("container:"):
        return config
    endpoints = dict((config.get("NetworkingConfig") or {}).get("EndpointsConfig") or {})
    endpoints[mode] = {"MacAddress": mac_address, **(endpoints.get(mode) or {})}
    rest = {key: value for key, value in config.items() if key != "MacAddress"}
    return {**rest, "NetworkingConfig": {"EndpointsConfig": endpoints}}


def _get(container: str, what: str, name: str, /, **params: str | bool) -> Call:
    return Call("GET", path("containers", container, what), name, container, params=params)


def _post(
    container: str, what: str, /, timeout_s: float | None = None, **params: str | int
) -> Call:
    return Call(
        "POST",
        path("containers", container, what),
        f"{what} container",
        short(container),
        params={key: str(value) for key, value in params.items()},
        timeout_s=timeout_s,
    )
