"""A stack's life: as the pool leases it, and from the command line."""

from __future__ import annotations

import json
import signal
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.cli.project import LIMIT_S, Project, plain_service
from tests.integration.helpers import FOREVER, put, without_engine, write_app

if TYPE_CHECKING:
    from dockwright import LeasedStack, StackServiceManager

pytestmark = pytest.mark.engine

BALANCES = {"alice": "10000", "bob": "5000", "carol": "250"}


def sql(stack: LeasedStack, query: str) -> str:
    result = stack.exec("db", ["psql", "-qAtX", "-U", "app", "-c", query])
    assert result.exit_code == 0, result.stderr
    return result.stdout.strip()


def redis(stack: LeasedStack, *words: str) -> str:
    return stack.exec("cache", ["redis-cli", *words]).stdout.strip()


def page(stack: LeasedStack) -> bytes:
    with urllib.request.urlopen(stack.url("web", 8000), timeout=10) as answer:
        content: bytes = answer.read()
    return content


# -- the pool's stack, read alone ------------------------------------------------------------------


@pytest.mark.stateless
@pytest.mark.parametrize(("name", "cents"), BALANCES.items())
def test_the_database_holds_its_data(stack: LeasedStack, name: str, cents: str) -> None:
    assert sql(stack, f"SELECT cents FROM accounts WHERE name = '{name}'") == cents


@pytest.mark.stateless
@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("SELECT count(*) FROM accounts", "3"),
        ("SELECT count(*) FROM payments", "0"),
        ("SELECT sum(cents) FROM accounts", "15250"),
        ("SELECT last_value, is_called FROM payments_id_seq", "1|f"),
        ("SELECT current_user", "app"),
    ],
)
def test_the_database_is_at_its_baseline(stack: LeasedStack, query: str, answer: str) -> None:
    assert sql(stack, query) == answer


@pytest.mark.stateless
def test_the_cache_is_empty(stack: LeasedStack) -> None:
    assert redis(stack, "dbsize") == "0"


@pytest.mark.stateless
def test_the_web_service_answers(stack: LeasedStack) -> None:
    assert page(stack) == b"hello\n"


@pytest.mark.stateless
@pytest.mark.parametrize(("service", "port"), [("db", 5432), ("cache", 6379), ("web", 8000)])
def test_published_ports_are_on_the_loopback_address(
    stack: LeasedStack, service: str, port: int
) -> None:
    address = stack.address(service, port)
    assert (address.host, address.port != port) == ("127.0.0.1", True)
    assert stack.env[f"{service.upper()}_PORT"] == str(address.port)


@pytest.mark.stateless
def test_the_stack_names_its_units(stack: LeasedStack) -> None:
    assert set(stack.services) == {"db", "cache", "web", "helper"}
    assert stack.project.startswith("dw-integration-")


@pytest.mark.stateless
def test_the_native_process_was_told_where_the_web_service_is(stack: LeasedStack) -> None:
    address = stack.address("web", 8000)
    assert f"helping {address.host}:{address.port}" in stack.logs("helper")


@pytest.mark.stateless
@pytest.mark.parametrize("service", ["db", "cache"])
def test_logs_tell_that_a_service_is_up(stack: LeasedStack, service: str) -> None:
    assert "ready to accept connections" in stack.logs(service).lower()


# -- the pool's stack, changed ---------------------------------------------------------------------


@pytest.mark.stateful
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE accounts SET cents = 0",
        "DELETE FROM accounts",
        "INSERT INTO payments (payer, cents) VALUES ('bob', 5), ('bob', 6)",
        "DROP TABLE payments; DROP TABLE accounts",
        "CREATE TABLE more (a int); CREATE ROLE somebody",
        "ALTER TABLE accounts ADD note text DEFAULT 'x'",
        "TRUNCATE accounts CASCADE",
    ],
)
def test_changes_to_the_database_are_seen_by_nobody_else(stack: LeasedStack, change: str) -> None:
    assert sql(stack, "SELECT sum(cents) FROM accounts") == "15250"
    assert sql(stack, "SELECT count(*) FROM payments") == "0"
    sql(stack, change)


@pytest.mark.stateful
@pytest.mark.parametrize("words", ["set key value", "lpush list a b", "config set hz 11"])
def test_changes_to_the_cache_are_seen_by_nobody_else(stack: LeasedStack, words: str) -> None:
    assert (redis(stack, "dbsize"), redis(stack, "config", "get", "hz").split()[-1]) == ("0", "10")
    redis(stack, *words.split())


@pytest.mark.stateful
@pytest.mark.parametrize("service", ["web", "cache", "db"])
def test_a_stopped_service_comes_back(stack: LeasedStack, service: str) -> None:
    stack.stop(service)
    stack.start(service)
    assert (page(stack), sql(stack, "SELECT 1"), redis(stack, "ping")) == (b"hello\n", "1", "PONG")


@pytest.mark.stateful
def test_what_a_test_breaks_is_whole_for_the_next_one(stack: LeasedStack) -> None:
    assert page(stack) == b"hello\n"
    stack.kill()


@pytest.mark.stateful
def test_the_next_one_finds_it_whole(stack: LeasedStack) -> None:
    assert (page(stack), sql(stack, "SELECT 1"), redis(stack, "ping")) == (b"hello\n", "1", "PONG")


@pytest.mark.stateful
def test_services_are_managed_in_blocks(stack_services: StackServiceManager) -> None:
    before = stack_services.running
    with stack_services.stopped("web"):
        assert "web" not in stack_services.running
    assert stack_services.running == before


@pytest.mark.module_cleanup
@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_tests_of_a_module_share_one_stack(stack: LeasedStack, number: int) -> None:
    sql(stack, f"INSERT INTO payments (payer, cents) VALUES ('bob', {number})")
    assert int(sql(stack, "SELECT count(*) FROM payments")) >= 1


# -- a long-lived stack, from the command line -----------------------------------------------------


@pytest.mark.stateless
def test_status_tells_every_service(app: Project) -> None:
    told = json.loads(app.done("stack", "status", "--json").out)["services"]
    assert {each["name"]: each["state"] for each in told} == {"web": "running", "side": "running"}


@pytest.mark.stateless
@pytest.mark.parametrize("service", ["web", "side"])
def test_logs_tell_what_a_service_wrote(app: Project, service: str) -> None:
    assert f"{service} is up" in app.done("stack", "logs", service).out


@pytest.mark.stateless
@pytest.mark.parametrize("command", ["logs", "stop", "restart", "start"])
def test_an_unknown_service_names_the_valid_ones(app: Project, command: str) -> None:
    result = app.run("stack", command, "nobody")
    assert result.code == 2
    assert "web" in result.err
    assert "side" in result.err


@pytest.mark.stateless
def test_starting_what_runs_changes_nothing(app: Project) -> None:
    before = app.container("web")
    app.done("stack", "start")
    assert app.container("web") == before


@pytest.mark.stateful
def test_stop_keeps_data_and_start_brings_it_back(started: Project) -> None:
    started.done("stack", "stop")
    assert started.running() == set()
    started.done("stack", "start")
    assert put(started, "cat /data/a/one") == "one\n"


@pytest.mark.stateful
def test_restart_of_one_service_leaves_the_other_alone(started: Project) -> None:
    def since(service: str) -> str:
        document = started.engine.inspect_container(started.container(service))
        return str(document["State"]["StartedAt"])

    web, side = since("web"), since("side")
    started.done("stack", "restart", "web")
    assert (since("web") != web, since("side")) == (True, side)


@pytest.mark.stateful
def test_a_start_that_fails_leaves_nothing(project: Project) -> None:
    project.write(plain_service("web", "echo no luck; exit 3", ["healthcheck: {test: 'false'}"]))
    result = project.run("stack", "start")
    assert result.code == 1
    assert "no luck" in result.err
    assert project.left() == []


@pytest.mark.stateful
def test_ctrl_c_in_a_start_leaves_nothing(project: Project) -> None:
    project.write(plain_service("web", FOREVER, ["healthcheck: {test: 'false'}"]))
    with project.popen("stack", "start") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "waiting until it is ready" in line:
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert project.left() == []


@pytest.mark.stateful
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("services: [", "compose.yaml"),
        ("services: {web: {imag: x}}", "imag"),
        (
            "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}",
            "wait for each other",
        ),
    ],
)
def test_a_wrong_compose_file_is_told(project: Project, text: str, told: str) -> None:
    (project.directory / "compose.yaml").write_text(text)
    result = project.run("stack", "start")
    assert result.code in (1, 2)
    assert told in result.err


@pytest.mark.stateful
def test_an_engine_that_is_gone_is_told_and_found_again(project: Project) -> None:
    write_app(project, token=False)
    gone = without_engine(project).run("stack", "start")
    assert gone.code == 1
    assert "nowhere.sock" in gone.err
    project.done("stack", "start")
    assert project.running() == {"web", "side"}
