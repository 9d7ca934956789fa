"""The way into a PostgreSQL server as its superuser, whoever set it up and however.

First names and passwords are tried over the network, as other services use them. Then the server's
own socket, as the user of the operating system that runs it: where initdb left its usual rules
(peer, trust), that opens. From there a login of our own is made, so that a driver can be used.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath

from dockwright.errors import DockwrightError, EngineError, StackError
from dockwright.reset.base import Environment, Resettable
from dockwright.reset.credentials import Credential, candidates
from dockwright.reset.postgres.baseline import open_own_database
from dockwright.reset.postgres.session import (
    Access,
    DriverSession,
    PostgresSession,
    PsqlSession,
    identifier,
    quoted,
)
from dockwright.reset.postgres.survey import PREFIX
from dockwright.reset.recognise import Server, greeting, server_of
from dockwright.reset.session import with_driver

_SCHEMES = ("postgres", "postgresql", "postgis", "timescaledb")
_FIRST_DATABASES = ("postgres", "template1")
_SOCKET_LINE = 4  # of postmaster.pid
_WITHIN_S = 5.0
_KNOWN = f"SELECT to_jsonb(count(*))::text FROM pg_roles WHERE rolname = {quoted(PREFIX)}"

_KNOCK = """
superuser() {
  PGUSER=$1 PGPASSWORD=$2 PGDATABASE=$3 psql -wqAtXc "$ask"
}
ask="SELECT rolsuper, (SELECT rolname FROM pg_roles WHERE oid = 10) FROM pg_roles
     WHERE rolname = current_user"
try() {
  answer=$(superuser "$@") || return 1
  [ "${answer%%|*}" = t ] && { printf '%s\\n' opened "$@"; exit; }
  first=${answer#*|}
  [ "$first" = "$1" ] || try "$first" "$2" "$3"
}
me=$(id -un)
for database in postgres template1; do try "$me" '' $database; done
for n in $NUMBERS; do
  eval "user=\\$USER_$n password=\\$PASSWORD_$n database=\\$DATABASE_$n"
  try "${user:-$me}" "$password" "${database:-postgres}"
done
exit 1
"""
"""Tries names at the socket; prints who came in as a superuser, with which password and where.

The role with the number 10 is the one that initdb made.
"""


def enter(service: Resettable) -> tuple[Access, PostgresSession, int]:
    """Find a way in as a superuser, and enter our own database.

    Returns:
        The way, the session, and the server's version.

    Raises:
        StackError: there is none.
    """
    environment = Environment.of(service)
    declared = Access.of(service)
    server = server_of(service, "postgres")
    if server is not None and server.port:
        declared = replace(declared, port=server.port)
    if server is None or service.spec.options.get("user"):
        return declared, *open_own_database(declared)
    credentials = _credentials(service, environment, declared)
    failures: list[StackError] = []
    for access in _ways(declared, server, credentials):
        try:
            return access, *open_own_database(access)
        except StackError as failure:
            failures.append(failure)
    raise _no_way_in(server, failures)


def _ways(declared: Access, server: Server, credentials: list[Credential]) -> Iterator[Access]:
    """Yield accesses that are likely to work: at most one through the network and one inside."""
    if server.reachable and _answers(declared):
        for each in credentials:
            access = _with(declared, each)
            if _opens(access):
                yield access
                break
    inside = _at_socket(declared, server, credentials)
    if inside is None:
        yield declared
        return
    outside = _from_outside(inside) if server.reachable else None
    yield outside or inside


def _answers(access: Access) -> bool:
    """Return whether this host reaches the server."""
    with suppress(DockwrightError):
        return greeting(access.service.address(access.port)) == "postgres"
    return False


def _credentials(
    service: Resettable, environment: Environment, declared: Access
) -> list[Credential]:
    first = Credential(declared.user, declared.password, declared.first_database)
    found = candidates(service, environment, *_SCHEMES)
    named = [replace(each, user=each.user or declared.user) for each in found]
    # Whoever was given a password may have been given the superuser's.
    superuser = [replace(each, user="postgres", database="") for each in found]
    return list(dict.fromkeys([first, *named, *superuser]))


def _with(access: Access, credential: Credential) -> Access:
    return replace(
        access,
        user=credential.user,
        password=credential.password,
        first_database=credential.database or _FIRST_DATABASES[0],
    )


def _at_socket(declared: Access, server: Server, credentials: list[Credential]) -> Access | None:
    """Return the access of the user who runs the server; None: the server lets nobody in."""
    service, user = declared.service, str(server.program.user)
    lines = server.program.lock_file.splitlines()
    directory = lines[_SOCKET_LINE] if len(lines) > _SOCKET_LINE else ""
    directory = directory or str(PurePosixPath(server.socket or "/none").parent)
    variables = {
        "PATH": f"{PurePosixPath(server.program.file).parent}:{_path(declared)}",
        "PGHOST": directory if server.socket else "127.0.0.1",
        "PGPORT": str(server.port or _port_of(server.socket)),
        "PGCONNECT_TIMEOUT": "2",
    }
    knock = {"NUMBERS": " ".join(map(str, range(len(credentials))))}
    for number, each in enumerate(credentials):
        knock[f"USER_{number}"] = each.user
        knock[f"PASSWORD_{number}"] = each.password
        knock[f"DATABASE_{number}"] = each.database
    try:
        result = service.engine.exec(
            service.container(),
            ["sh", "-c", _KNOCK],
            user=user,
            env={**variables, **knock},
            timeout_s=_WITHIN_S,
        )
    except EngineError:
        return None
    opened = result.stdout.decode(errors="replace").split("\n")
    if opened[0] != "opened":
        return None
    return replace(
        declared,
        user=opened[1],
        password=opened[2],
        first_database=opened[3],
        port=int(variables["PGPORT"]),
        host=variables["PGHOST"],
        runs_as=user,
        path=variables["PATH"],
    )


def _path(access: Access) -> str:
    return Environment.of(access.service).variables.get("PATH", "/usr/bin:/bin")


def _port_of(socket: str) -> int:
    number = socket.rpartition(".")[2]
    return int(number) if number.isdigit() else 5432


def _from_outside(inside: Access) -> Access | None:
    """Return an access through the network, without a password or by a login made for it.

    None: the server lets neither in, or there is no driver.
    """
    if _opens(inside):
        return inside
    password, name = secrets.token_hex(16), identifier(PREFIX)
    access = replace(inside, user=PREFIX, password=password, host="", runs_as="", path="")
    session = PsqlSession(inside, inside.first_database)
    try:
        known = session.ask(_KNOWN)
        verb = "ALTER" if known else "CREATE"
        session.run(f"{verb} ROLE {name} SUPERUSER LOGIN PASSWORD {quoted(password)}")
        if _opens(access):
            return access
        if not known:
            session.run(f"DROP ROLE {name}")
    finally:
        session.close()
    return None


def _opens(access: Access) -> bool:
    """Return whether a driver gets in as a superuser."""
    with suppress(StackError):
        session = with_driver(
            access.service, "psycopg", lambda: DriverSession(access, access.first_database)
        )
        if session is not None:
            session.close()
            return True
    return False


def _no_way_in(server: Server, failures: list[StackError]) -> StackError:
    why = failures[0].message.strip().splitlines()[0] if failures else "nobody is let in"
    return StackError(
        f"no way into {server} as a superuser: {why}",
        hint="set POSTGRES_USER and POSTGRES_PASSWORD to a superuser's name and password, or let "
        "the server's own user in at its socket (`local all all peer` in pg_hba.conf)",
    )
