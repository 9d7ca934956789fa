"""One real service in a container of its own, as a strategy sees it, and its states compared."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path

import pytest

from dockwright.engine import Engine
from dockwright.model import Address, Json, ServiceSpec
from dockwright.wait import ContainerTarget, Healthy, wait_for
from tests._support.owned import Owned


@dataclass(slots=True)
class RealService:
    """Implements `Resettable`.

    Attributes:
        engine: where its container runs.
        identifier: the container's id.
        spec: how it is declared.
        scratch: for files.
        reachable: whether this process reaches its ports.
        others: the variables of other services.
    """

    engine: Engine
    identifier: str
    spec: ServiceSpec
    scratch: Path = Path()
    reachable: bool = True
    others: list[Mapping[str, str]] = field(default_factory=list)

    def container(self) -> str:
        return self.identifier

    def volumes(self) -> Mapping[str, str]:
        return {}

    def layered(self) -> bool:
        return False

    def restore_volumes(self) -> bool:
        return False

    def address(self, port: int) -> Address:
        details = self.engine.inspect_container(self.identifier)
        [network] = details["NetworkSettings"]["Networks"].values()
        return Address(network["IPAddress"] if self.reachable else "127.0.0.1", port)

    def environments(self) -> Sequence[Mapping[str, str]]:
        return self.others

    def run(self, *command: str, user: str = "") -> str:
        """Run a command in the container and return what it wrote; it must succeed."""
        result = self.engine.exec(self.identifier, command, user=user)
        assert result.exit_code == 0, result
        return result.stdout.decode()

    def await_answer(self, check: str, *, user: str = "") -> None:
        """Wait until a shell command in the container succeeds, for at most a minute."""
        deadline = time.monotonic() + 60
        while self.engine.exec(self.identifier, ["sh", "-c", check], user=user).exit_code:
            assert time.monotonic() < deadline, check
            time.sleep(0.3)

    def await_ready(self) -> None:
        target = ContainerTarget(
            self.engine, self.identifier, name=self.spec.name, address_of=self.address
        )
        wait_for(target, Healthy(), timeout_s=300)


def start(
    owned: Owned,
    image: str,
    *command: str,
    check: str,
    env: Mapping[str, str] | None = None,
    options: Mapping[str, Json] | None = None,
) -> RealService:
    """Start a service and wait until its health check succeeds."""
    if not owned.engine.has_image(image):
        pytest.skip(f"needs the image {image}: scripts/ensure-images gets it")
    container = owned.run(
        image,
        *command,
        Env=[f"{name}={value}" for name, value in (env or {}).items()],
        Healthcheck={"Test": ["CMD-SHELL", check]},
    )
    spec = ServiceSpec("db", {"image": image}, options=options or {})
    service = RealService(owned.engine, container, spec)
    service.await_ready()
    return service


def assert_same(before: str, after: str) -> None:
    """Fail with the lines that differ; pytest would show only where the first ones are."""
    lines = list(unified_diff(before.splitlines(), after.splitlines(), "before", "after", n=0))
    assert not lines, "\n".join(lines)
