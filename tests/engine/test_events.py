"""Events: one connection, fanned out, nothing lost, quickly closed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from dockwright.engine import Endpoint, Engine, Event, Subscription, connect
from dockwright.model import Json
from tests._support.engine.answering import VERSION, answering, reply
from tests._support.owned import Owned


def until(
    subscription: Subscription, action: str, owner: str | None = None, timeout_s: float = 30
) -> Event:
    """Take events until one of this action comes (of this test's own objects)."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        event = subscription.get(deadline - time.monotonic())
        if event is None or event.action != action:
            continue
        if owner is None or event.attributes.get("dockwright-test") == owner:
            return event
    pytest.fail(f"no event {action!r} within {timeout_s} s")


@pytest.fixture
def own_engine(engine: Engine) -> Iterator[Engine]:
    mine = connect(Endpoint(engine.endpoint.url, "test of events", engine.endpoint.tls))
    yield mine
    mine.close()


@pytest.mark.engine
def test_events_after_subscribing_are_seen_at_once(
    own_engine: Engine, owned: Owned, scratch: str
) -> None:
    with own_engine.events.subscribe() as events:  # the first: the connection begins only now
        container = owned.run(scratch, "sh", "-c", "exit 3")
        assert until(events, "create", owned.name).id == container
        assert until(events, "start", owned.name).attributes["image"].endswith(scratch)
        died = until(events, "die", owned.name)
    assert died.type == "container"
    assert died.attributes["exitCode"] == "3"
    assert died.attributes["dockwright-test"] == owned.name
    assert abs(died.time_s - time.time()) < 60


@pytest.mark.engine
def test_a_subscription_gets_only_the_requested_events(
    own_engine: Engine, owned: Owned, scratch: str
) -> None:
    one, two = owned.create(scratch, "true"), owned.create(scratch, "true")
    hub = own_engine.events
    with (
        hub.subscribe(container=one, actions=("die",)) as by_id,
        hub.subscribe(container=own_engine.inspect_container(two)["Name"][1:]) as by_name,
        hub.subscribe(types=("volume",)) as volumes,
    ):
        own_engine.start_container(one)
        own_engine.start_container(two)
        own_engine.create_volume(owned.name, {"Labels": owned.labels})
        assert until(by_id, "die").id == one
        assert until(by_name, "die").id == two
        assert until(volumes, "create").id == owned.name
        assert by_id.get(0) is None
        assert not by_id.lost


@pytest.mark.engine
def test_only_events_of_containers_with_the_labels_arrive(
    own_engine: Engine, owned: Owned, scratch: str
) -> None:
    mine, other = {"project": "shop", "service": "web"}, {"project": "mail", "service": "web"}
    hub = own_engine.events
    with hub.subscribe(labels=mine, actions=("create",)) as events, hub.subscribe() as all_of_them:
        owned.create(scratch, "true", Labels={**owned.labels, **other})
        owned.create(scratch, "true", Labels={**owned.labels, "project": "shop"})
        wanted = owned.create(scratch, "true", Labels={**owned.labels, **mine, "more": "1"})
        assert until(events, "create").id == wanted
        assert events.get(0) is None
        for _ in range(3):
            until(all_of_them, "create", owned.name)


@pytest.mark.engine
def test_health_events_come_and_exec_events_do_not(
    own_engine: Engine, owned: Owned, scratch: str
) -> None:
    if not own_engine.can.reports_health:
        pytest.skip("this engine has no events for health checks")
    check: Json = {"Test": ["CMD", "true"], "Interval": 200_000_000, "Retries": 1}
    container = owned.create(scratch, "sleep", "600", Healthcheck=check)
    with own_engine.events.subscribe(container=container) as events:
        own_engine.start_container(container)
        own_engine.exec(container, ["true"])
        seen: list[str] = []
        while "health_status: healthy" not in seen:
            event = events.get(10)
            assert event is not None, seen
            seen.append(event.action)
    assert not [action for action in seen if action.startswith("exec_")]


@pytest.mark.engine
def test_network_events_are_found_by_their_container(
    own_engine: Engine, owned: Owned, scratch: str
) -> None:
    if not own_engine.can.reports_networks:
        pytest.skip("this engine has no events for networks")
    network = own_engine.create_network(owned.name, {"Labels": owned.labels})
    container = owned.create(scratch, "sleep", "600", HostConfig={"NetworkMode": owned.name})
    with own_engine.events.subscribe(container=container, types=("network",)) as events:
        own_engine.start_container(container)
        assert until(events, "connect").id == network


@pytest.mark.engine
def test_subscriptions_are_cheap_and_share_one_connection(own_engine: Engine) -> None:
    with own_engine.events.subscribe():
        before = threading.active_count()
        began = time.monotonic()
        for _ in range(1000):
            own_engine.events.subscribe().close()
        assert time.monotonic() - began < 0.5
        assert threading.active_count() == before
    calls = own_engine.statistics().by_call
    assert sum(each.count for name, each in calls.items() if name == "listen to events") <= 1


@pytest.mark.engine
def test_closing_ends_the_thread_at_once(own_engine: Engine) -> None:
    own_engine.events.subscribe()
    own_engine.ping()
    began = time.monotonic()
    own_engine.close()
    assert time.monotonic() - began < 0.5
    with pytest.raises(RuntimeError, match="the engine's events were closed"):
        own_engine.events.subscribe()


@pytest.mark.engine
def test_a_slow_consumer_learns_that_it_missed_events(
    own_engine: Engine, owned: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockwright.engine.events._QUEUE_LENGTH", 2)
    with (
        own_engine.events.subscribe(types=("volume",)) as slow,
        own_engine.events.subscribe(types=("network",), actions=("destroy",)) as end,
    ):
        for number in range(4):
            own_engine.create_volume(f"{owned.name}-{number}", {"Labels": owned.labels})
        own_engine.remove_network(own_engine.create_network(owned.name, {"Labels": owned.labels}))
        until(end, "destroy")
        assert [slow.lost, slow.lost] == [True, False]  # told once
        assert slow.get(0) is not None


# --- what a real engine cannot be made to do --------------------------------------------------


def event_line(action: str, nanoseconds: int) -> bytes:
    document = (
        f'{{"Type":"container","Action":"{action}","Actor":{{"ID":"c1","Attributes":{{}}}},'
        f'"time":{nanoseconds // 10**9},"timeNano":{nanoseconds}}}\n'
    )
    return document.encode()


def test_a_broken_event_stream_resumes_without_repeating() -> None:
    queries: list[str] = []
    first, second = 1_700_000_000_000_000_001, 1_700_000_000_000_000_002

    def answer(request: BaseHTTPRequestHandler) -> None:
        if "/events" not in request.path:
            reply(request, {**VERSION, "SystemTime": "2023-11-14T22:13:20.5Z"})
            return
        queries.append(request.path)
        if len(queries) == 1:
            reply(request, event_line("start", first))  # and the connection ends
        elif len(queries) == 2:
            reply(request, event_line("start", first) + event_line("die", second) + b'{"cut')
        else:
            reply(request, b"")

    with answering(answer) as address:
        engine = connect(Endpoint(address, "a test"))
        with engine.events.subscribe() as events:
            assert until(events, "start").time_s == pytest.approx(first / 1e9)
            actions = [event.action for event in iter(lambda: events.get(2), None)]
            while "die" not in actions:
                event = events.get(5)
                assert event is None or event.action == "die"
                actions += [event.action] if event else []
            assert actions == ["die"]
            assert events.lost
        engine.close()
    assert "since=17000000" in queries[0]  # the engine's clock, not ours
    assert "since=1700000000.000000001" in queries[1]


def test_an_engine_that_ends_wakes_who_waits() -> None:
    gone = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        if "/events" in request.path:
            gone.wait(10)
            reply(request, b"")
        else:
            reply(request, {**VERSION, "SystemTime": "2023-11-14T22:13:20Z"})

    with answering(answer) as address:
        engine = connect(Endpoint(address, "a test"))
        with engine.events.subscribe() as events:
            gone.set()
            began = time.monotonic()
            assert events.get(10) is None
            assert time.monotonic() - began < 5
            assert events.lost
        engine.close()


def test_podmans_words_are_read_as_dockers() -> None:
    attributes = {"name": "web", "containerExitCode": "3"}
    documents = [
        {"Type": "container", "Action": "exec_died", "Actor": {"ID": "c1"}, "timeNano": 1},
        {
            "Type": "container",
            "Action": "die",
            "Actor": {"ID": "c1", "Attributes": attributes},
            "timeNano": 2,
        },
        {
            "Type": "volume",
            "Action": "remove",
            "Actor": {"ID": "", "Attributes": {"name": "v1"}},
            "timeNano": 3,
        },
    ]

    def answer(request: BaseHTTPRequestHandler) -> None:
        if "/events" in request.path:
            reply(request, b"\n".join(json.dumps(each).encode() for each in documents))
        else:
            reply(request, {**VERSION, "SystemTime": "2023-11-14T22:13:20Z"})

    with answering(answer) as address:
        engine = connect(Endpoint(address, "a test"))
        with engine.events.subscribe(types=("container", "volume")) as events:
            died, removed = events.get(10), events.get(10)
        engine.close()
    assert died is not None
    assert (died.action, died.attributes["exitCode"]) == ("die", "3")
    assert removed is not None
    assert (removed.action, removed.id) == ("destroy", "v1")
