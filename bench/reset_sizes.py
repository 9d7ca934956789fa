"""What a reset of PostgreSQL costs by size, tables and change: ``python -m bench.reset_sizes``.

Arguments name other sizes (megabytes x tables): ``python -m bench.reset_sizes 10x10 1000x100``.
"""

from __future__ import annotations

import statistics
import sys
import time
import uuid

from bench.reset import Service, reset_s
from dockwright.engine import Engine, connect
from dockwright.model import Json, ServiceSpec
from dockwright.reset import STRATEGIES
from dockwright.wait import ContainerTarget, Healthy, wait_for

DEFAULT = [f"{size}x{tables}" for size in (10, 100, 1000) for tables in (10, 100, 1000)]
ROW_BYTES = 136
CLIENT = "psql -q -U shop"

SEED = """
DO $$BEGIN FOR n IN 1..{tables} LOOP
  EXECUTE format('CREATE TABLE t_%s (id int PRIMARY KEY, n int, note text)', n);
  EXECUTE format('INSERT INTO t_%s SELECT i, 0, repeat(''x'', 90)
    FROM generate_series(1, {rows}) i', n);
  COMMIT;
END LOOP; END$$;
CHECKPOINT
"""

CHANGES = {
    "one row": (20, "UPDATE t_1 SET n = n + 1 WHERE id = 7; INSERT INTO t_2 VALUES (-1);"),
    "1 % of rows": (
        3,
        "DO $$BEGIN FOR n IN 1..{tables} LOOP"
        " EXECUTE format('UPDATE t_%s SET n = n + 1 WHERE id <= {hundredth}', n);"
        " END LOOP; END$$;",
    ),
    "schema": (4, "ALTER TABLE t_1 ADD COLUMN more int;"),
}


def main() -> int:
    """Measure each size."""
    engine = connect()
    for each in sys.argv[1:] or DEFAULT:
        size, _, tables = each.partition("x")
        measure(engine, int(size), int(tables))
    return 0


def measure(engine: Engine, megabytes: int, tables: int) -> None:
    """Print one line for each kind of change to a database of one size."""
    name = f"dwbench-reset-{uuid.uuid4().hex[:8]}"
    body: dict[str, Json] = {
        "Image": "postgres:15",
        "Cmd": ["postgres", "-c", "fsync=off", "-c", "autovacuum=off"],
        "Env": ["POSTGRES_USER=shop", "POSTGRES_PASSWORD=shop"],
        "Healthcheck": {"Test": ["CMD-SHELL", "pg_isready -q -h 127.0.0.1 -U shop"]},
        "Labels": {"dockwright-bench": name},
    }
    container = engine.create_container(name, body)
    strategy = None
    try:
        engine.start_container(container)
        service = Service(engine, container, ServiceSpec("db", {"image": "postgres:15"}))
        target = ContainerTarget(engine, container, name="db", address_of=service.address)
        wait_for(target, Healthy(), timeout_s=60)
        rows = max(1, (megabytes << 20) // tables // ROW_BYTES)
        facts = {"tables": tables, "rows": rows, "hundredth": max(1, rows // 100)}
        service.run(CLIENT, SEED.format(**facts))
        strategy = STRATEGIES["postgres"](service)
        began = time.perf_counter()
        strategy.capture()
        capture_s = time.perf_counter() - began
        for what, (rounds, change) in CHANGES.items():
            times = sorted(
                reset_s(service, strategy, CLIENT, change.format(**facts)) for _ in range(rounds)
            )
            print(
                f"{megabytes:5} MB {tables:5} tables  {what:12} capture {capture_s:6.2f} s"
                f"   reset {1000 * statistics.median(times):8.1f} ms"
                f"   p95 {1000 * times[-1 - rounds // 20]:8.1f} ms"
                f"   most {1000 * times[-1]:8.1f} ms",
                flush=True,
            )
    finally:
        if strategy is not None:
            strategy.close()
        engine.remove_container(container)


if __name__ == "__main__":
    sys.exit(main())
