"""Networks and volumes on the real engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dockwright.engine import Engine
from dockwright.engine.containers import with_first_endpoint, with_mac_address_at_endpoint
from dockwright.errors import AddressPoolError, ConflictError, EngineError, NoSuchObjectError
from dockwright.model import Json
from tests._support.owned import Owned

pytestmark = pytest.mark.engine


@pytest.fixture
def network(engine: Engine, owned: Owned) -> Iterator[str]:
    made = engine.create_network(owned.name, {"Labels": owned.labels})
    yield made
    for container in engine.list_containers(owned.labels):
        engine.remove_container(container["Id"])
    engine.remove_network(made)


def test_containers_find_each_other_by_alias(
    engine: Engine, owned: Owned, scratch: str, network: str
) -> None:
    one, two = owned.run(scratch, "sleep", "600"), owned.run(scratch, "sleep", "600")
    engine.connect_network(network, one, {"Aliases": ["db"]})
    engine.connect_network(network, two)
    addresses = engine.inspect_network(network)["Containers"]
    address = addresses[one]["IPv4Address"].partition("/")[0]
    # Not ping or wget: a static binary's own resolver crashes without glibc's modules.
    found = engine.exec(two, ["busybox", "nslookup", "db"])
    assert f"Address: {address}" in found.stdout.decode()


def test_a_container_is_created_in_several_networks(
    engine: Engine, owned: Owned, scratch: str
) -> None:
    addresses = {f"{owned.name}-{each}": f"02:42:ac:11:65:4{each}" for each in (1, 2)}
    for name in addresses:
        engine.create_network(name, {"Labels": owned.labels})
    first, second = addresses
    container = owned.run(
        scratch,
        "sleep",
        "600",
        MacAddress=addresses[first],
        HostConfig={"NetworkMode": first},
        NetworkingConfig={
            "EndpointsConfig": {
                first: {"Aliases": ["db"]},
                second: {"Aliases": ["db"], "MacAddress": addresses[second]},
            }
        },
    )
    found = engine.inspect_container(container)["NetworkSettings"]["Networks"]
    assert found.keys() == addresses.keys()
    assert all("db" in endpoint["Aliases"] for endpoint in found.values())
    # Engines that take one endpoint at create ignore the hardware address of the others.
    kept = addresses if engine.can.all_endpoints_at_create else [first]
    assert {name: found[name]["MacAddress"] for name in kept} == {
        name: addresses[name] for name in kept
    }


def test_a_hardware_address_moves_to_the_endpoint_that_it_belongs_to() -> None:
    moved = with_mac_address_at_endpoint
    endpoint = {"NetworkingConfig": {"EndpointsConfig": {"default": {"MacAddress": "02:01"}}}}
    assert moved({"Image": "x", "MacAddress": "02:01"}) == {"Image": "x", **endpoint}
    bridge = {"MacAddress": "02:01", "HostConfig": {"NetworkMode": "bridge"}}
    assert moved(bridge)["NetworkingConfig"] == {
        "EndpointsConfig": {"bridge": {"MacAddress": "02:01"}}
    }
    own = {"EndpointsConfig": {"n": {"MacAddress": "02:02"}, "m": {}}}
    both = {"MacAddress": "02:01", "HostConfig": {"NetworkMode": "n"}, "NetworkingConfig": own}
    assert moved(both)["NetworkingConfig"] == own
    for mode in ("host", "none", "container:x"):  # the engine says what is wrong
        refused = {"MacAddress": "02:01", "HostConfig": {"NetworkMode": mode}}
        assert moved(refused) == refused
    assert moved({"Image": "x"}) == {"Image": "x"}


def test_the_first_endpoint_is_that_of_the_network_mode() -> None:
    body = {
        "HostConfig": {"NetworkMode": "b"},
        "NetworkingConfig": {"EndpointsConfig": {"a": {"Aliases": ["x"]}, "b": {}, "c": {}}},
    }
    first, others = with_first_endpoint(body)
    assert first["NetworkingConfig"] == {"EndpointsConfig": {"b": {}}}
    assert others == {"a": {"Aliases": ["x"]}, "c": {}}
    assert with_first_endpoint({"Image": "x"}) == ({"Image": "x"}, {})


def test_a_network_in_use_cannot_be_removed(
    engine: Engine, owned: Owned, scratch: str, network: str
) -> None:
    container = owned.run(scratch, "sleep", "600", HostConfig={"NetworkMode": owned.name})
    with pytest.raises(ConflictError, match=r"has active endpoints|is being used") as caught:
        engine.remove_network(network)
    assert "remove the containers that use it first" in str(caught.value.hint)
    engine.remove_container(container)
    engine.remove_network(network)
    engine.remove_network(network)  # gone: fine
    with pytest.raises(NoSuchObjectError):
        engine.inspect_network(network)


def test_a_networks_name_is_not_given_twice(engine: Engine, owned: Owned, network: str) -> None:
    with pytest.raises(ConflictError, match="already exists"):
        engine.create_network(owned.name, {"Labels": owned.labels})


def test_networks_are_listed_by_label(engine: Engine, owned: Owned, network: str) -> None:
    assert [each["Id"] for each in engine.list_networks(owned.labels)] == [network]
    assert engine.list_networks({"dockwright-test": "another"}) == []


def test_a_subnet_that_another_network_has(engine: Engine, owned: Owned, network: str) -> None:
    subnet = engine.inspect_network(network)["IPAM"]["Config"][0]["Subnet"]
    config: dict[str, Json] = {"Labels": owned.labels, "IPAM": {"Config": [{"Subnet": subnet}]}}
    with pytest.raises(AddressPoolError, match=r"overlaps|is already used") as caught:
        engine.create_network(f"{owned.name}-2", config)
    assert "choose another under `ipam:`" in str(caught.value.hint)


def test_volumes_are_made_listed_and_removed(engine: Engine, owned: Owned) -> None:
    engine.create_volume(owned.name, {"Labels": owned.labels})
    engine.create_volume(owned.name, {"Labels": owned.labels})  # exists: left as it is
    assert [each["Name"] for each in engine.list_volumes(owned.labels)] == [owned.name]
    assert engine.inspect_volume(owned.name)["Labels"] == dict(owned.labels)
    engine.remove_volume(owned.name)
    engine.remove_volume(owned.name)  # gone: fine
    assert owned.left() == []


def test_a_volume_in_use_cannot_be_removed(engine: Engine, owned: Owned, scratch: str) -> None:
    engine.create_volume(owned.name, {"Labels": owned.labels})
    owned.create(scratch, "true", HostConfig={"Binds": [f"{owned.name}:/data"]})
    with pytest.raises(ConflictError, match=r"volume is (in use|being used)"):
        engine.remove_volume(owned.name)


def test_a_missing_driver_is_reported(engine: Engine, owned: Owned) -> None:
    with pytest.raises(EngineError, match=f"cannot create volume {owned.name}: .*no-such-driver"):
        engine.create_volume(owned.name, {"Driver": "no-such-driver", "Labels": owned.labels})


def test_the_check_finds_no_leak(engine: Engine, owned: Owned, assert_no_leaks: object) -> None:
    assert callable(assert_no_leaks)
    assert_no_leaks(owned.labels)
    engine.create_volume(owned.name, {"Labels": owned.labels})
    with pytest.raises(AssertionError):
        assert_no_leaks(owned.labels)
