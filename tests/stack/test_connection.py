"""URLs follow from what a Compose file declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.model import Address
from dockwright.stack.connection import connections

AT = Address("127.0.0.1", 21000)


def urls(tmp_path: Path, text: str) -> dict[str, str]:
    file = tmp_path / "compose.yaml"
    file.write_text(text)
    spec = load(LoadOptions(files=(file,), environ={}))
    return {name: each.url(AT) for name, each in connections(spec).items()}


@pytest.mark.parametrize(
    ("service", "url"),
    [
        pytest.param(
            "image: postgres:15, environment: {POSTGRES_PASSWORD: 'a b/c'}",
            "postgresql://postgres:a%20b%2Fc@127.0.0.1:21000/postgres",
            id="postgres with its defaults",
        ),
        pytest.param(
            "image: postgis/postgis, environment: "
            "{POSTGRES_USER: shop, POSTGRES_PASSWORD: x, POSTGRES_DB: orders}",
            "postgresql://shop:x@127.0.0.1:21000/orders",
            id="postgres with a user and a database",
        ),
        pytest.param(
            "image: example/db, ports: ['5432'], environment: {POSTGRES_PASSWORD: x}",
            "postgresql://postgres:x@127.0.0.1:21000/postgres",
            id="another image by its port",
        ),
        pytest.param(
            "image: example/db, x-dockwright: {reset: mysql}, environment: "
            "{MYSQL_ROOT_PASSWORD: x, MYSQL_DATABASE: shop}",
            "mysql://root:x@127.0.0.1:21000/shop",
            id="another image by its strategy",
        ),
        pytest.param(
            "image: mariadb:10.11, environment: "
            "{MARIADB_USER: me, MARIADB_PASSWORD: x, MARIADB_ROOT_PASSWORD: y}",
            "mysql://me:x@127.0.0.1:21000",
            id="mariadb with a user",
        ),
        pytest.param("image: valkey/valkey:8", "redis://127.0.0.1:21000", id="redis"),
        pytest.param(
            "image: 'rabbitmq:3-management', ports: ['5672', '15672'], environment: "
            "{RABBITMQ_DEFAULT_USER: u, RABBITMQ_DEFAULT_PASS: p}",
            "amqp://u:p@127.0.0.1:21000",
            id="rabbitmq",
        ),
        pytest.param(
            "image: example/web, ports: ['8000']", "http://127.0.0.1:21000", id="the one port"
        ),
        pytest.param(
            "image: example/web, ports: ['1', {target: 2, app_protocol: ws}]",
            "ws://127.0.0.1:21000",
            id="a declared protocol",
        ),
    ],
)
def test_the_url_of_a_service(tmp_path: Path, service: str, url: str) -> None:
    assert urls(tmp_path, f"services: {{it: {{{service}}}}}") == {"it": url}


def test_a_service_of_unknown_kind_with_several_ports_has_none(tmp_path: Path) -> None:
    assert urls(tmp_path, "services: {it: {image: example/mail, ports: ['1025', '8025']}}") == {}


def test_a_password_in_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n")
    text = """
services:
  db:
    image: postgres:15
    environment: {POSTGRES_PASSWORD_FILE: /run/secrets/password}
    secrets: [password]
  bound:
    image: postgres:15
    environment: {POSTGRES_PASSWORD_FILE: /etc/password}
    volumes: ["./password:/etc/password"]
secrets:
  password: {file: ./password}
"""
    expected = "postgresql://postgres:from%20a%20file@127.0.0.1:21000/postgres"
    assert urls(tmp_path, text) == {"db": expected, "bound": expected}


def test_another_driver(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("services: {db: {image: 'postgres:15'}}")
    connection = connections(load(LoadOptions(files=(file,), environ={})))["db"]
    url = connection.url(AT, scheme="postgresql+asyncpg")
    assert url == "postgresql+asyncpg://postgres@127.0.0.1:21000/postgres"
