"""What the suites do to a long-lived project, and how they look at it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.cli.project import Project, plain_service

FOREVER = "exec tail -f /dev/null"
MAKE_DATA = "mkdir -p /data/a; echo one >/data/a/one; ln -s one /data/a/link; chmod 4711 /data/a"
SECRETS = "x-dockwright: {secrets: [TOKEN]}\nvolumes: {data: {}}"


def write_app(project: Project, *, token: bool = True) -> None:
    """Write a project of two services; ``web`` refuses to run on data that is marked as bad."""
    environment = ["environment: {TOKEN: '${TOKEN}'}"] if token else []
    web = plain_service(
        "web",
        f"test ! -e /data/bad || exit 3; echo web is up; {FOREVER}",
        [
            "healthcheck: {test: [CMD, test, '!', -e, /data/bad], interval: 1s}",
            "volumes: ['data:/data']",
            *environment,
        ],
    )
    side = plain_service("side", f"echo side is up; {FOREVER}")
    project.write(f"{web}\n{side}", SECRETS if token else "volumes: {data: {}}")


def put(project: Project, script: str, service: str = "web") -> str:
    """Run a shell script in a service's container; return what it wrote."""
    result = project.engine.exec(project.container(service), ["sh", "-ec", script])
    assert result.exit_code == 0, result.stderr
    return result.stdout.decode()


def listing(project: Project) -> str:
    """Return all that the data volume holds."""
    return put(project, "cd /data; find . | sort | while read f; do stat -c '%n %a %F' $f; done")


def home(project: Project) -> Path:
    """Return the project's config directory."""
    return Path(project.environ["XDG_CONFIG_HOME"], "dockwright", project.name)


def without_engine(project: Project) -> Project:
    """Return the project as it is where no engine answers."""
    nowhere = {"DOCKER_HOST": f"unix://{project.directory}/nowhere.sock"}
    return replace(project, environ={**project.environ, **nowhere})


def archives(project: Project) -> list[str]:
    """Name what backups wrote into the project's directory, drafts too."""
    return sorted(
        each.name
        for each in project.directory.iterdir()
        if "tar" in each.name or "part" in each.name
    )


def flip(source: Path, at: int) -> Path:
    """Copy a file with one wrong byte."""
    content = bytearray(source.read_bytes())
    content[at % len(content)] ^= 0x55
    target = source.with_name(f"flipped-{at}{''.join(source.suffixes)}")
    target.write_bytes(content)
    return target
