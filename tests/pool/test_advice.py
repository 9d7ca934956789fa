"""What a run's summary advises: only what was worth it, and once."""

from __future__ import annotations

from dockwright.model import Trace
from dockwright.pool.timeline import Advice
from dockwright.stack import ServiceReset


def test_a_reset_that_replaces_several_services_counts_once() -> None:
    advice = Advice()
    for began_s in (1.0, 5.0, 9.0):
        for service in ("worker", "web"):
            advice.replaced("shop", service, began_s, 2.0)
    [text] = advice.drain()
    assert text == (
        "hint: 3 resets of stack shop gave web and worker a new container, 2.00 s each time\n"
        "  a service without state of its own is spared that by x-dockwright: {reset: none}"
    )
    assert advice.drain() == ()


def test_each_service_is_explained_in_one_line() -> None:
    advice = Advice()
    services = {
        "store": ServiceReset("Redis on port 6379", "in place", ""),
        "queue": ServiceReset("", "recreate", ""),
        "web": ServiceReset("", "recreate", "", may_stay=True),
    }
    advice.resets("shop", services)
    assert advice.drain() == (
        "stack shop: store (Redis on port 6379) is reset in place; queue gets a new container; web "
        "is kept while it writes no file and no test fails (x-dockwright: {reset: recreate} "
        "replaces it after each test)",
    )


def test_small_costs_give_no_hint() -> None:
    advice = Advice()
    for began_s in (1.0, 5.0):
        advice.replaced("few", "web", began_s, 2.0)
    for began_s in range(5):
        advice.replaced("quick", "web", began_s, 0.1)
    assert advice.drain() == ()


def test_a_silent_port_names_stack_service_and_ports() -> None:
    advice = Advice()
    advice.silent("shop", "web", (5678, 9229))
    [text] = advice.drain()
    assert text.startswith("warning: stack shop: nothing listened on port 5678 and 9229 of web")
    assert advice.drain() == ()


def test_a_stack_of_one_copy_says_why_once() -> None:
    advice = Advice()
    for _ in range(3):
        advice.sole(
            "shop", "service web is in the host's network, where each port exists only once"
        )
    assert advice.drain() == (
        "hint: stack shop had one copy only, so that tests waited for each other: "
        "service web is in the host's network, where each port exists only once",
    )
    assert advice.drain() == ()


def test_a_strategy_that_gave_way_is_reported_with_its_reason_and_its_cost() -> None:
    advice = Advice()
    advice.gave_way("shop", "db", "strategy postgres cannot work: no password")
    for seconds in (2.0, 3.0):
        advice.replaced_after_all("shop", "db", seconds)
    assert advice.drain() == (
        "warning: stack shop: db is not reset in place: "
        "strategy postgres cannot work: no password\n"
        "  2 resets gave it a new container, 2.50 s each time; "
        "x-dockwright: {reset: recreate} silences this",
    )
    advice.gave_way("shop", "db", "strategy postgres cannot work: no password")
    assert advice.drain() == ()


def test_a_strategy_that_gave_way_is_reported_in_a_run_without_resets() -> None:
    advice = Advice()
    advice.gave_way("shop", "db", "strategy postgres cannot work: no password")
    [text] = advice.drain()
    assert text.endswith(
        "\n  each reset gives it a new container; x-dockwright: {reset: recreate} silences this"
    )


def test_a_strategy_that_gave_way_is_reported_to_every_run_that_it_slows_down() -> None:
    advice = Advice()
    advice.gave_way("shop", "db", "strategy postgres cannot work: no password")
    assert len(advice.drain()) == 1
    advice.replaced_after_all("shop", "db", 2.0)
    [text] = advice.drain()
    assert "no password\n  1 reset gave it a new container, 2.00 s each time" in text


def test_a_service_that_tests_changed_beside_its_data_is_named_with_the_change() -> None:
    advice = Advice()
    for why in ("/tmp/x changed", "/tmp/x changed", "name changed"):
        advice.differed("shop", "db", why, 2.0)
    assert advice.drain() == (
        "hint: 3 resets of stack shop gave db a new container, 2.00 s each, "
        "because its tests change more than its data: /tmp/x changed\n"
        "  a test that undoes this itself saves that time; "
        "the reset strategies' reference has what is looked at",
    )
    assert advice.drain() == ()


def test_tests_that_changed_a_shared_stack_are_named() -> None:
    advice = Advice()
    shared_by = [f"1 test_shop.py::test_{number}" for number in (1, 2, 1)]
    traces = [Trace("table", "orders", "1 row added", "db"), Trace("key", "left", "", "cache")]
    advice.healed("shop", traces, shared_by)
    [text] = advice.drain()
    assert text == (
        "warning: stack shop: tests marked stateless changed it (db: table orders (1 row added); "
        "cache: key left); it was reset before the next test used it\n"
        "  one or more of these tests should be marked stateful:\n"
        "    test_shop.py::test_1\n"
        "    test_shop.py::test_2"
    )
    assert advice.drain() == ()


def test_only_the_first_of_many_tests_that_shared_a_stack_are_named() -> None:
    advice = Advice()
    traces = [Trace("key", str(number), service="cache") for number in range(12)]
    advice.healed("shop", traces, [f"1 test_{number}" for number in range(30)])
    [text] = advice.drain()
    assert "cache: key 9; and 2 more); " in text
    assert text.endswith("    test_9\n    and 20 more")
