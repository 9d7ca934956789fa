"""How a client connects to a service: the URL that follows from what its file declares.

What a service is follows from its strategy, its image, its variables, or the port that it declares.
The users, passwords and databases are those that the official images read from variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dockwright.model import Connection, ServiceSpec, StackSpec

_IMAGE = re.compile(r"(?:.*/)?([^/:@]+)(?::[^/@]*)?(?:@.*)?")


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of server.

    Attributes:
        scheme: of its URLs.
        port: on which it listens, if nothing else is declared.
        images: the last part of the names of images that hold it.
        user: the variables that may name the user, the strongest first.
        password: the variables that may hold the password; ``NAME_FILE`` names a file with it.
        database: the variables that may name the database.
        usual_user: the user, if no variable names one and there is a password.
    """

    scheme: str
    port: int
    images: tuple[str, ...]
    user: tuple[str, ...] = ()
    password: tuple[str, ...] = ()
    database: tuple[str, ...] = ()
    usual_user: str = ""


_KINDS: Mapping[str, _Kind] = {
    "postgres": _Kind(
        "postgresql",
        5432,
        ("postgres", "postgresql", "postgis", "pgvector", "timescaledb", "timescaledb-ha"),
        ("POSTGRES_USER", "POSTGRESQL_USERNAME"),
        ("POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD"),
        ("POSTGRES_DB", "POSTGRESQL_DATABASE", "POSTGRES_USER", "POSTGRESQL_USERNAME"),
        "postgres",
    ),
    "mysql": _Kind(
        "mysql",
        3306,
        ("mysql", "mysql-server", "mariadb", "percona", "percona-server"),
        ("MARIADB_USER", "MYSQL_USER"),
        ("MARIADB_PASSWORD", "MYSQL_PASSWORD", "MARIADB_ROOT_PASSWORD", "MYSQL_ROOT_PASSWORD"),
        ("MARIADB_DATABASE", "MYSQL_DATABASE"),
        "root",
    ),
    "redis": _Kind(
        "redis",
        6379,
        ("redis", "valkey", "keydb", "redis-stack", "redis-stack-server"),
        (),
        ("REDIS_PASSWORD", "VALKEY_PASSWORD"),
    ),
    "rabbitmq": _Kind(
        "amqp",
        5672,
        ("rabbitmq", "lavinmq"),
        ("RABBITMQ_DEFAULT_USER",),
        ("RABBITMQ_DEFAULT_PASS",),
        ("RABBITMQ_DEFAULT_VHOST",),
    ),
    "mongodb": _Kind(
        "mongodb",
        27017,
        ("mongo", "mongodb", "mongodb-community-server"),
        ("MONGO_INITDB_ROOT_USERNAME",),
        ("MONGO_INITDB_ROOT_PASSWORD",),
    ),
    "nats": _Kind("nats", 4222, ("nats",)),
    "mqtt": _Kind("mqtt", 1883, ("eclipse-mosquitto", "emqx")),
    "memcached": _Kind("memcached", 11211, ("memcached",)),
    "elasticsearch": _Kind("http", 9200, ("elasticsearch", "opensearch")),
}


def connections(spec: StackSpec) -> dict[str, Connection]:
    """Return how to connect to the services of a stack, without those for which that is unknown."""
    found = {name: _connection(spec, service) for name, service in spec.services.items()}
    return {name: each for name, each in found.items() if each is not None}


def _connection(spec: StackSpec, service: ServiceSpec) -> Connection | None:
    ports = [port.number for port in service.declared_ports if port.protocol == "tcp"]
    kind = _kind(service, ports)
    if kind is None:
        return _of_unknown(service)
    password = _variable(spec, service, kind.password)
    user = _variable(spec, service, kind.user) or kind.usual_user
    database = _variable(spec, service, kind.database) or (user if kind.port == 5432 else "")
    port = kind.port if kind.port in ports or not ports else ports[0]
    return Connection(kind.scheme, port, user, password, database)


def _of_unknown(service: ServiceSpec) -> Connection | None:
    """Return how to connect to an unknown server: as declared, or by HTTP on its one port."""
    ports = [port for port in service.declared_ports if port.protocol == "tcp"]
    named = [port for port in ports if port.app_protocol]
    if named:
        return Connection(named[0].app_protocol, named[0].number)
    return Connection("http", ports[0].number) if len(ports) == 1 else None


def _kind(service: ServiceSpec, ports: list[int]) -> _Kind | None:
    if service.reset is not None and service.reset in _KINDS:
        return _KINDS[service.reset]
    image = _IMAGE.fullmatch(service.image or "")
    by_image = [each for each in _KINDS.values() if image and image[1] in each.images]
    names = service.environment.keys()
    by_variable = [
        each for each in _KINDS.values() if names & {*each.user, *each.password, *each.database}
    ]
    by_port = [each for each in _KINDS.values() if each.port in ports]
    for found in (by_image, [each for each in by_port if each in by_variable], by_port):
        if found:
            return found[0]
    return None


def _variable(spec: StackSpec, service: ServiceSpec, names: tuple[str, ...]) -> str:
    """Return the first of some variables that has a value, its own or that of a file it names."""
    for name in names:
        if value := service.environment.get(name):
            return value
        if file := service.environment.get(f"{name}_FILE"):
            return _content(spec, service, file)
    return ""


def _content(spec: StackSpec, service: ServiceSpec, path: str) -> str:
    """Return what a service finds in a file that its project gives it."""
    for given in service.files:
        if given.target == path:
            if given.content is not None:
                return given.content.strip()
            if given.variable is not None:
                return spec.contents.get(given.variable, "").strip()
            return _read(given.file)
    for mount in service.mounts:
        if mount.kind == "bind" and mount.target == path:
            return _read(mount.source)
    return ""


def _read(file: str | None) -> str:
    try:
        return Path(file or "").read_text().strip()
    except (OSError, ValueError):  # it is not on this host
        return ""
