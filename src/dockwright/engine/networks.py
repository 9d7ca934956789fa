"""Networks and volumes: made, joined, listed, removed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from dockwright.engine.containers import EngineCalls
from dockwright.engine.http import Call, LabelFilter, label_filter, matching, path
from dockwright.engine.types import Document
from dockwright.errors import ConflictError, NoSuchObjectError
from dockwright.model import Json


class NetworkCalls(EngineCalls):
    """The calls about networks; each takes an id or a name."""

    def create_network(self, name: str, config: Mapping[str, Json] | None = None) -> str:
        """Create a network.

        Args:
            name: its name.
            config: the rest of the body of the Engine API's *NetworkCreate*.

        Returns:
            Its id.

        Raises:
            AddressPoolError: the engine has no subnet left.
            ConflictError: the name is taken.
        """
        # Engines before API 1.44 make a second network of the same name unless asked to check.
        body: dict[str, Json] = {"CheckDuplicate": True, **(config or {}), "Name": name}
        call = Call("POST", "/networks/create", "create network", name, json=body)
        return str(self._http.document(call)["Id"])

    def remove_network(self, network: str, *, cut_off: bool = False) -> None:
        """Remove a network; one that is gone is fine.

        Args:
            network: its id or name.
            cut_off: whether a container that is still attached to it is disconnected.
        """
        try:
            if not self._http.can.guards_networks_by_id:
                network = str(self.inspect_network(network)["Name"])
            call = Call("DELETE", path("networks", network), "remove network", network)
            try:
                self._http.send(call)
            except ConflictError:
                if not cut_off:
                    raise
                for container in self.inspect_network(network).get("Containers") or {}:
                    self._cut_off(network, container)
                self._http.send(call)
        except NoSuchObjectError:
            return

    def _cut_off(self, network: str, container: str) -> None:
        body: dict[str, Json] = {"Container": container, "Force": True}
        target = path("networks", network, "disconnect")
        with suppress(NoSuchObjectError):  # it has gone meanwhile
            self._http.send(Call("POST", target, "disconnect", container, json=body))

    def inspect_network(self, network: str) -> Document:
        """Return everything that the engine knows about the network."""
        call = Call("GET", path("networks", network), "inspect network", network)
        return self._http.document(call)

    def list_networks(self, labels: LabelFilter) -> list[Document]:
        """Return the networks that have all `labels`; a value of None means any."""
        params = {"filters": label_filter(labels)}
        call = Call("GET", "/networks", "list networks", params=params)
        return matching(self._http.documents(call), labels)

    def disconnect_network(self, network: str, container: str) -> None:
        """Detach a container from a network, whether it runs or not; one that is gone is fine."""
        body: dict[str, Json] = {"Container": container, "Force": True}
        call = Call(
            "POST",
            path("networks", network, "disconnect"),
            "disconnect",
            f"container {container} from network {network}",
            json=body,
        )
        try:
            self._http.send(call)
        except NoSuchObjectError:
            return


class VolumeCalls(EngineCalls):
    """The calls about volumes."""

    def create_volume(self, name: str, config: Mapping[str, Json] | None = None) -> None:
        """Create a volume; one of this name that exists is left as it is.

        Args:
            name: its name.
            config: the rest of the body of the Engine API's *VolumeCreate*.
        """
        body: dict[str, Json] = {**(config or {}), "Name": name}
        self._http.send(Call("POST", "/volumes/create", "create volume", name, json=body))

    def remove_volume(self, name: str) -> None:
        """Remove a volume; one that is gone is fine."""
        try:
            self._http.send(Call("DELETE", path("volumes", name), "remove volume", name))
        except NoSuchObjectError:
            return

    def inspect_volume(self, name: str) -> Document:
        """Return everything that the engine knows about the volume."""
        return self._http.document(Call("GET", path("volumes", name), "inspect volume", name))

    def list_volumes(self, labels: LabelFilter) -> list[Document]:
        """Return the volumes that have all `labels`; a value of None means any."""
        params = {"filters": label_filter(labels)}
        call = Call("GET", "/volumes", "list volumes", params=params)
        return matching(self._http.document(call).get("Volumes") or [], labels)
