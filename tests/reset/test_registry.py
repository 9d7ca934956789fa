"""Strategies come from us and from other distributions' entry points, and only when asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dockwright.engine import Engine
from dockwright.model import ServiceSpec
from dockwright.reset import Registry, choose
from tests._support.reset.services import RealService


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution that offers the strategies ``mongo`` and (in vain) ``redis``."""
    (tmp_path / "mongo_reset.py").write_text(
        "class MongoReset:\n    manner = 'in place'\n    def __init__(self, service): ...\n"
    )
    metadata = tmp_path / "mongo_reset-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mongo-reset\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[dockwright.reset]\nmongo = mongo_reset:MongoReset\nredis = mongo_reset:MongoReset\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("plugin")
@pytest.mark.engine
def test_a_strategy_of_another_distribution_is_found(engine: Engine) -> None:
    service = RealService(engine, "x", ServiceSpec("db", {}, reset="mongo"))
    strategy = choose(service, Registry())
    assert type(strategy).__name__ == "MongoReset"


@pytest.mark.usefixtures("plugin")
def test_built_in_names_cannot_be_replaced() -> None:
    assert Registry()["redis"].__name__ == "RedisReset"  # type: ignore[attr-defined]  # a class
    assert list(Registry()).count("redis") == 1


def test_every_built_in_strategy_can_be_loaded() -> None:
    registry = Registry()
    assert sorted(registry) == [
        "command", "mysql", "none", "postgres", "recreate", "redis", "volume",
    ]  # fmt: skip
    assert len([registry[name] for name in registry]) == len(registry)


def test_drivers_are_imported_only_when_a_server_is_contacted() -> None:
    script = (
        "import sys, dockwright.reset as r; [r.STRATEGIES[n] for n in r.STRATEGIES];"
        "print({'psycopg', 'redis', 'pymysql', 'docker'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "set()"
