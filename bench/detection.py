"""Measures how late readiness is detected: from the instant a service is ready to `wait_for`'s end.

Three kinds of service, each started anew for each run:

file      a health check that costs nothing; ready at a random instant that is known exactly, since
          the host makes the file that the check looks for.
postgres  `pg_isready`; ready when it logs so, by the engine's time stamp of the line.
python    an HTTP server that is asked by `python3 -c ...`, a check of some 50 ms of processor time;
          ready when it logs so.

Nobody can know it sooner than one run of the check takes: that is measured beside it.

Needs a local engine, which shares this host's clock.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dockwright.engine import Engine, connect
from dockwright.model import Json
from dockwright.wait import ContainerTarget, Healthy, wait_for

EARLIEST_S, LATEST_S = 0.2, 3.0
CHECKS = 20
PYTHON_SERVER = """
import http.server, socketserver, sys, time
time.sleep({delay})
server = socketserver.TCPServer(("", 8000), http.server.SimpleHTTPRequestHandler)
print("ready to accept", flush=True)
server.serve_forever()
"""
FILE_PROBE = "test -f /flag/ready"
POSTGRES_PROBE = "pg_isready -h 127.0.0.1 -U postgres"
PYTHON_PROBE = "python3 -c 'import urllib.request as r; r.urlopen(\"http://127.0.0.1:8000/\")'"


def main() -> None:
    arguments = _arguments()
    engine = connect()
    if not engine.endpoint.is_local:
        sys.exit("a local engine is needed: the two clocks have to be one")
    results = {}
    for name in arguments.kind or CASES:
        image, run = CASES[name]
        if not engine.has_image(image):
            print(f"{name}: skipped, there is no image {image}", file=sys.stderr)
            continue
        found = [run(engine, image) for _ in range(arguments.runs)]
        results[name] = _summary([1000 * each.delay_s for each in found])
        if not arguments.json:
            print(f"{name:9}", *(f"{key} {value:g}" for key, value in results[name].items()))
    if arguments.json:
        print(json.dumps(results, indent=2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=60, help="runs of each kind (default: 60)")
    parser.add_argument("--kind", action="append", choices=list(CASES), help="only this kind")
    parser.add_argument("--json", action="store_true", help="print JSON, delays in milliseconds")
    return parser.parse_args()


def _summary(delays_ms: list[float]) -> dict[str, float]:
    ranks = statistics.quantiles(delays_ms, n=100, method="inclusive")
    shown = {
        "p50_ms": ranks[49],
        "p90_ms": ranks[89],
        "p99_ms": ranks[98],
        "max_ms": max(delays_ms),
    }
    return {"runs": len(delays_ms)} | {key: round(value, 1) for key, value in shown.items()}


@contextmanager
def _container(engine: Engine, **config: Json) -> Iterator[ContainerTarget]:
    name = f"dockwright-bench-{uuid.uuid4().hex[:8]}"
    container = engine.create_container(
        name, {"Labels": {"dockwright-bench": "detection"}, **config}
    )
    try:
        engine.start_container(container)
        yield ContainerTarget(engine, container, name=name)
    finally:
        engine.remove_container(container)


@dataclass(frozen=True, slots=True)
class Detection:
    """How late readiness was detected, and how long the check itself takes, in seconds."""

    delay_s: float
    check_s: float


_REAL_COMMANDS = "PATH=$(echo /usr/lib/postgresql/*/bin):$PATH"
"""Not Debian's wrappers of PostgreSQL's commands, which the wait goes round too."""


def _check_s(target: ContainerTarget, test: str) -> float:
    """Return how long one run of a check takes, within its container."""

    def run(times: int) -> float:
        loop = f"while [ $i -lt {times} ]; do {test}; i=$((i+1)); done >/dev/null"
        began = time.perf_counter()
        target.engine.exec(target.container_id, ["sh", "-c", f"{_REAL_COMMANDS}; i=0; {loop}"])
        return time.perf_counter() - began

    return max(0.0, run(CHECKS) - run(0)) / CHECKS


def _healthcheck(test: str) -> dict[str, Json]:
    return {"Test": ["CMD-SHELL", test], "Interval": 10_000_000_000}  # an ordinary interval


def _file(engine: Engine, image: str) -> Detection:
    with tempfile.TemporaryDirectory() as directory:
        config: dict[str, Json] = {
            "Image": image,
            "Cmd": ["sleep", "600"],
            "Healthcheck": _healthcheck(FILE_PROBE),
            "HostConfig": {"Binds": [f"{directory}:/flag"], "NetworkMode": "none"},
        }
        ready_at: list[float] = []

        def make_ready() -> None:
            (Path(directory) / "ready").touch()
            ready_at.append(time.time())

        with _container(engine, **config) as target:
            timer = threading.Timer(random.uniform(EARLIEST_S, LATEST_S), make_ready)
            timer.start()
            wait_for(target, Healthy())
            detected_at = time.time()
            timer.join()
            return Detection(detected_at - ready_at[0], _check_s(target, FILE_PROBE))


def _postgres(engine: Engine, image: str) -> Detection:
    config: dict[str, Json] = {
        "Image": image,
        "HostConfig": {"NetworkMode": "none"},
        "Env": ["POSTGRES_PASSWORD=bench"],
        # By TCP: the server that runs during the initialisation listens on its socket only.
        "Healthcheck": _healthcheck(POSTGRES_PROBE),
    }
    return _by_log(engine, config, "ready to accept connections", POSTGRES_PROBE)


def _python(engine: Engine, image: str) -> Detection:
    server = PYTHON_SERVER.format(delay=random.uniform(EARLIEST_S, LATEST_S))
    config: dict[str, Json] = {
        "Image": image,
        "HostConfig": {"NetworkMode": "none"},
        "Cmd": ["python3", "-c", server],
        "Healthcheck": _healthcheck(PYTHON_PROBE),
    }
    return _by_log(engine, config, "ready to accept", PYTHON_PROBE)


def _by_log(engine: Engine, config: dict[str, Json], line: str, test: str) -> Detection:
    with _container(engine, **config) as target:
        wait_for(target, Healthy())
        detected_at = time.time()
        with engine.logs(target.container_id, timestamps=True) as log:
            times = [each.time_s for each in log if line in each.text]
        return Detection(detected_at - (times[-1] or 0.0), _check_s(target, test))


CASES: dict[str, tuple[str, Callable[[Engine, str], Detection]]] = {
    "file": ("busybox:1", _file),
    "postgres": ("postgres:15", _postgres),
    "python": ("python:3.11-slim", _python),
}

if __name__ == "__main__":
    main()
