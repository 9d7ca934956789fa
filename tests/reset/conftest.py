"""Both ways to speak to a server: with its driver, and as where no driver is installed."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator

import pytest

from dockwright.engine import Engine
from tests._support.owned import Owned


@pytest.fixture(scope="module")
def owned_by_module(engine: Engine) -> Iterator[Owned]:
    """A maker of containers that all tests of a module share."""
    name = f"dwtest-{uuid.uuid4().hex[:12]}"
    mine = Owned(engine, name, {"dockwright-test": name})
    yield mine
    mine.remove()


@pytest.fixture(scope="module", params=["driver", "client in the container"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the module's tests with the native drivers, and again without."""
    way: str = request.param
    with pytest.MonkeyPatch.context() as patch:
        if way != "driver":
            for driver in ("psycopg", "redis", "pymysql"):
                patch.setitem(sys.modules, driver, None)
        yield way
