"""What a reset costs: ``python -m bench.reset`` prints medians, with drivers and without."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dockwright.engine import Engine, connect
from dockwright.model import Address, Json, ServiceSpec
from dockwright.reset import STRATEGIES, ResetStrategy
from dockwright.wait import ContainerTarget, Healthy, wait_for

ROUNDS = 20
SCRIPT_TIMEOUT_S = 900
PAUSE_S = 0.5
"""Between two resets, as a test would take: what a reset leaves to do is done meanwhile."""


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of server: how it is started, what it holds, what a test does to it."""

    strategy: str
    image: str
    env: tuple[str, ...]
    check: str
    client: str
    seed: str
    change: str


CASES = (
    Case(
        "postgres",
        "postgres:15",
        ("POSTGRES_USER=shop", "POSTGRES_PASSWORD=shop"),
        "pg_isready -q -h 127.0.0.1 -U shop",
        "psql -q -U shop",
        "CREATE TABLE orders AS SELECT n AS id, n::text AS note FROM generate_series(1, 1000) n;"
        "CREATE TABLE notes (id serial, note text);",
        "DELETE FROM orders; INSERT INTO notes (note) VALUES ('x');",
    ),
    Case("redis", "redis:7", (), "redis-cli ping", "redis-cli", "", "SET key value"),
    Case(
        "redis",
        "redis:7",
        (),
        "redis-cli ping",
        "redis-cli",
        "EVAL \"for i = 1, 1000 do redis.call('SET', i, 'value') end\" 0",
        "SET key value",
    ),
    Case(
        "mysql",
        "mariadb:10.11",
        ("MARIADB_ROOT_PASSWORD=root", "MARIADB_DATABASE=shop"),
        "mariadb-admin ping -h 127.0.0.1 -uroot -proot --silent",
        "mariadb -uroot -proot shop",
        "CREATE TABLE orders AS SELECT seq AS id, 'x' AS note FROM seq_1_to_1000;"
        "CREATE TABLE notes (id INT AUTO_INCREMENT PRIMARY KEY, note TEXT);",
        "DELETE FROM orders; INSERT INTO notes (note) VALUES ('x');",
    ),
)


@dataclass(slots=True)
class Service:
    """A container as a strategy sees it."""

    engine: Engine
    identifier: str
    spec: ServiceSpec
    scratch: Path = Path()

    def container(self) -> str:
        """Return its id."""
        return self.identifier

    def volumes(self) -> Mapping[str, str]:
        """Return none."""
        return {}

    def layered(self) -> bool:
        """Return that they are not."""
        return False

    def restore_volumes(self) -> bool:
        """Restore nothing."""
        return False

    def address(self, port: int) -> Address:
        """Return its own address on the engine's network."""
        details = self.engine.inspect_container(self.identifier)
        [network] = details["NetworkSettings"]["Networks"].values()
        return Address(network["IPAddress"], port)

    def run(self, client: str, script: str) -> None:
        """Feed a script to the client in the container."""
        command = ["sh", "-c", f"printf '%s\\n' \"$0\" | {client} > /dev/null", script]
        result = self.engine.exec(self.identifier, command, timeout_s=SCRIPT_TIMEOUT_S)
        if result.exit_code:
            raise RuntimeError(result.stderr.decode())


def main() -> int:
    """Measure each kind, first in this process, then in one that finds no drivers."""
    without_drivers = "--without-drivers" in sys.argv
    if without_drivers:
        sys.modules.update(dict.fromkeys(("psycopg", "redis", "pymysql")))  # type: ignore[arg-type]
    engine = connect()
    way = "client in the container" if without_drivers else "driver"
    for case in CASES:
        measure(engine, case, way)
    if without_drivers:
        return 0
    return subprocess.call([sys.executable, "-m", "bench.reset", "--without-drivers"])


def measure(engine: Engine, case: Case, way: str) -> None:
    """Print one line for one kind."""
    name = f"dwbench-reset-{uuid.uuid4().hex[:8]}"
    body: dict[str, Json] = {
        "Image": case.image,
        "Env": list(case.env),
        "Healthcheck": {"Test": ["CMD-SHELL", case.check]},
        "Labels": {"dockwright-bench": name},
    }
    container = engine.create_container(name, body)
    strategy: ResetStrategy | None = None
    try:
        engine.start_container(container)
        service = Service(engine, container, ServiceSpec("db", {"image": case.image}))
        target = ContainerTarget(engine, container, name="db", address_of=service.address)
        wait_for(target, Healthy(), timeout_s=60)
        if case.seed:
            service.run(case.client, case.seed)
        strategy = STRATEGIES[case.strategy](service)
        began = time.perf_counter()
        strategy.capture()
        capture_s = time.perf_counter() - began
        changed = [reset_s(service, strategy, case.client, case.change) for _ in range(ROUNDS)]
        time.sleep(PAUSE_S)
        strategy.reset()
        untouched = [reset_s(service, strategy, case.client, "") for _ in range(ROUNDS)]
        print(
            f"{case.strategy:9} {'seeded' if case.seed else 'empty':7} {way:24}"
            f" capture {1000 * capture_s:7.0f} ms"
            f"   reset {1000 * statistics.median(changed):7.2f} ms"
            f" (max {1000 * max(changed):7.1f})"
            f"   untouched {1000 * statistics.median(untouched):6.2f} ms",
            flush=True,
        )
    finally:
        if strategy is not None:
            strategy.close()
        engine.remove_container(container)


def reset_s(service: Service, strategy: ResetStrategy, client: str, change: str) -> float:
    """Return how long one reset takes, in seconds."""
    if change:
        service.run(client, change)
        time.sleep(PAUSE_S)
    began = time.perf_counter()
    strategy.reset()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
