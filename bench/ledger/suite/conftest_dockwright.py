"""dockwright: nothing is declared."""

import psycopg
import pytest

SEEN: list[str] = []


@pytest.fixture
def ledger(stack, request):
    """Yield a connection to the books, and where the web service is."""
    request.node.user_properties.append(("is_first", not SEEN))
    SEEN.append(request.node.nodeid)
    where = stack.address("store", 5432)
    url = f"postgresql://clerk:ledger@{where.host}:{where.port}/books"
    with psycopg.connect(url, autocommit=True) as books:
        yield books, stack.url("web", 8000)
