"""A stack's life: as the pool leases it, and from the command line."""

from __future__ import annotations

import json
import signal
import socket
from typing import TYPE_CHECKING, LiteralString

import pytest

from tests._support.project import Project, plain_service
from tests.integration.helpers import (
    BASELINE,
    FOREVER,
    UNITS,
    Services,
    change_data,
    cut_short,
    data,
    services_of,
    units,
    without_engine,
    write_tiny,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from dockwright import LeasedStack, StackServiceManager

pytestmark = pytest.mark.engine

BALANCES = {"alice": 10000, "bob": 5000, "carol": 250}

# -- the pool's stack, read alone ------------------------------------------------------------------


@pytest.mark.stateless
@pytest.mark.parametrize(("name", "cents"), BALANCES.items())
def test_the_database_holds_its_data(services: Services, name: str, cents: int) -> None:
    assert services.look() == BASELINE
    found = services.rows.execute("SELECT cents FROM accounts WHERE name = %s", (name,))
    assert found.fetchone() == (cents,)


@pytest.mark.stateless
@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("SELECT count(*), min(cents), max(cents) FROM accounts", (3, 250, 10000)),
        ("SELECT count(*) FROM accounts a JOIN payments p ON a.name = p.payer", (0,)),
        ("SELECT last_value, is_called FROM payments_id_seq", (1, False)),
        ("SELECT current_user::text", ("app",)),
        ("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", (2,)),
        ("SELECT count(*) FROM pg_roles WHERE rolname = 'somebody'", (0,)),
        ("SELECT count(*) FROM pg_constraint WHERE conrelid = 'payments'::regclass", (2,)),
    ],
)
def test_the_database_is_at_its_baseline(
    services: Services, query: LiteralString, answer: tuple[object, ...]
) -> None:
    assert services.look() == BASELINE
    assert services.rows.execute(query).fetchone() == answer


@pytest.mark.stateless
@pytest.mark.parametrize(("setting", "value"), [("hz", "10"), ("appendonly", "no")])
def test_the_cache_is_empty_and_as_it_was_configured(
    services: Services, setting: str, value: str
) -> None:
    assert services.look() == BASELINE
    assert services.keys.config_get(setting) == {setting: value}


@pytest.mark.stateless
@pytest.mark.parametrize(("service", "port"), [("db", 5432), ("cache", 6379), ("web", 8000)])
def test_published_ports_are_on_the_loopback_address(
    services: Services, service: str, port: int
) -> None:
    assert services.look() == BASELINE
    address = services.stack.address(service, port)
    assert (address.host, address.port != port) == ("127.0.0.1", True)
    assert services.stack.env[f"{service.upper()}_PORT"] == str(address.port)
    with socket.create_connection((address.host, address.port), timeout=10):
        pass


@pytest.mark.stateless
def test_the_stack_names_its_units(services: Services) -> None:
    assert services.look() == BASELINE
    assert set(services.stack.services) == {"db", "cache", "web", "helper"}
    assert services.stack.project.startswith("dw-integration-")


@pytest.mark.stateless
def test_the_native_process_gets_the_address_of_the_web_service(services: Services) -> None:
    assert services.look() == BASELINE
    stack = services.stack
    assert f"helping {stack.address('web', 8000)}" in stack.logs("helper")


@pytest.mark.stateless
@pytest.mark.parametrize("service", ["db", "cache"])
def test_logs_show_that_a_service_is_up(services: Services, service: str) -> None:
    assert services.look() == BASELINE
    assert "ready to accept connections" in services.stack.logs(service).lower()


# -- the pool's stack, changed ---------------------------------------------------------------------


@pytest.mark.stateful
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE accounts SET cents = 0",
        "UPDATE accounts SET cents = cents + 1 WHERE name = 'bob'",
        "UPDATE accounts SET name = 'robert' WHERE name = 'bob'",
        "DELETE FROM accounts",
        "DELETE FROM accounts WHERE name = 'carol'",
        "INSERT INTO accounts VALUES ('dave', 1)",
        "INSERT INTO payments (payer, cents) VALUES ('bob', 5), ('bob', 6)",
        "INSERT INTO payments (payer, cents) SELECT 'bob', n FROM generate_series(1, 500) n",
        "SELECT setval('payments_id_seq', 70)",
        "DROP TABLE payments; DROP TABLE accounts",
        "CREATE TABLE more (a int); CREATE ROLE somebody",
        "ALTER TABLE accounts ADD note text DEFAULT 'x'",
        "ALTER TABLE payments DROP CONSTRAINT payments_payer_fkey",
        "CREATE VIEW rich AS SELECT * FROM accounts WHERE cents > 1000",
        "TRUNCATE accounts CASCADE",
    ],
)
def test_changes_to_the_database_are_isolated(services: Services, change: LiteralString) -> None:
    assert services.look() == BASELINE
    services.rows.execute(change)


@pytest.mark.stateful
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda keys: keys.set("key", "value"), id="set"),
        pytest.param(lambda keys: keys.set("key", "value", ex=60), id="expiring"),
        pytest.param(lambda keys: keys.lpush("list", "a", "b"), id="lpush"),
        pytest.param(lambda keys: keys.hset("hash", "a", "b"), id="hset"),
        pytest.param(lambda keys: keys.config_set("hz", 11), id="config"),
    ],
)
def test_changes_to_the_cache_are_isolated(
    services: Services, change: Callable[[redis.Redis], object]
) -> None:
    assert services.look() == BASELINE
    assert change(services.keys)


@pytest.mark.stateful
@pytest.mark.parametrize("service", ["web", "cache", "db"])
def test_a_stopped_service_comes_back(stack: LeasedStack, service: str) -> None:
    stack.stop(service)
    stack.start(service)
    with services_of(stack) as services:
        assert services.look() == BASELINE


@pytest.mark.stateful
@pytest.mark.parametrize("number", [1, 2])
def test_what_one_test_breaks_works_in_the_next_one(stack: LeasedStack, number: int) -> None:
    with services_of(stack) as services:
        assert services.look() == BASELINE
    stack.kill()


@pytest.mark.stateful
def test_services_are_managed_in_blocks(stack_services: StackServiceManager) -> None:
    before = stack_services.running
    with stack_services.stopped("web"):
        assert "web" not in stack_services.running
    assert stack_services.running == before


# -- a long-lived stack, from the command line -----------------------------------------------------


@pytest.mark.stateless
def test_status_lists_every_service_and_process(app: Project) -> None:
    output = json.loads(app.done("stack", "status", "--json").out)["services"]
    assert {each["name"]: each["state"] for each in output} == dict.fromkeys(UNITS, "running")


@pytest.mark.stateless
@pytest.mark.parametrize(
    ("unit", "line"),
    [
        ("db", "ready to accept connections"),
        ("cache", "eady to accept connections"),
        ("web", "web is up"),
        ("helper", "helping 127.0.0.1:"),
    ],
)
def test_logs_print_what_a_service_wrote(app: Project, unit: str, line: str) -> None:
    assert line in app.done("stack", "logs", unit).out


@pytest.mark.stateless
@pytest.mark.parametrize("command", ["logs", "stop", "restart", "start"])
def test_an_unknown_service_is_an_error_that_lists_the_valid_ones(
    app: Project, command: str
) -> None:
    result = app.run("stack", command, "nobody")
    assert result.code == 2
    assert all(unit in result.err for unit in UNITS)


@pytest.mark.stateless
def test_starting_a_running_stack_changes_nothing(app: Project) -> None:
    before = {service: app.container(service) for service in app.running()}
    app.done("stack", "start")
    assert {service: app.container(service) for service in app.running()} == before


@pytest.mark.stateful
def test_stop_keeps_data_and_start_brings_it_back(changing_app: Project) -> None:
    change_data(changing_app, "stopped")
    before = data(changing_app)
    changing_app.done("stack", "stop")
    assert units(changing_app) == set()
    changing_app.done("stack", "start")
    assert (data(changing_app), units(changing_app)) == (before, UNITS)
    assert "stopped|" in before[0]


@pytest.mark.stateful
def test_restarting_one_service_leaves_the_other_alone(tiny: Project) -> None:
    def since(service: str) -> str:
        document = tiny.engine.inspect_container(tiny.container(service))
        return str(document["State"]["StartedAt"])

    web, side = since("web"), since("side")
    tiny.done("stack", "restart", "web")
    assert (since("web") != web, since("side")) == (True, side)


@pytest.mark.stateful
def test_a_start_that_fails_leaves_nothing(project: Project) -> None:
    project.write(plain_service("web", "echo no luck; exit 3", ["healthcheck: {test: 'false'}"]))
    result = project.run("stack", "start")
    assert result.code == 1
    assert "no luck" in result.err
    assert project.left() == []


@pytest.mark.stateful
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_start_leaves_nothing(project: Project, number: int, code: int) -> None:
    project.write(plain_service("web", FOREVER, ["healthcheck: {test: 'false'}"]))
    with cut_short(project, "waiting until it is ready", "stack", "start") as process:
        process.send_signal(number)
    assert (process.returncode, project.left()) == (code, [])


@pytest.mark.stateless
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("services: [", "compose.yaml"),
        ("services: {web: {imag: x}}", "imag"),
        (
            "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}",
            "circular dependency",
        ),
    ],
)
def test_an_invalid_compose_file_is_an_error(project: Project, text: str, message: str) -> None:
    (project.directory / "compose.yaml").write_text(text)
    result = project.run("stack", "start")
    assert result.code == 2
    assert message in result.err


@pytest.mark.stateful
def test_a_missing_engine_is_an_error_until_it_is_back(project: Project) -> None:
    write_tiny(project, token=False)
    gone = without_engine(project).run("stack", "start")
    assert gone.code == 1
    assert "nowhere.sock" in gone.err
    project.done("stack", "start")
    assert project.running() == {"web", "side"}
