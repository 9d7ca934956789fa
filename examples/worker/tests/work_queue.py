"""The worker's queue as a test sees it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dockwright import LeasedStack


class WorkQueue:
    """The queue of one stack, asked with redis-cli in its container."""

    def __init__(self, stack: LeasedStack) -> None:
        self.stack = stack

    def call(self, *command: str) -> str:
        result = self.stack.exec("queue", ["redis-cli", "-e", *command])
        assert result.exit_code == 0, result.stderr
        return result.stdout.strip()

    def put(self, text: object) -> None:
        self.call("RPUSH", "jobs", json.dumps({"text": text}))

    def take(self, name: str = "results") -> Any:
        """Wait up to 5 s for the next entry of a list; Redis answers as soon as there is one."""
        answer = self.call("BLPOP", name, "5").splitlines()
        assert answer[:1] == [name], f"nothing came into {name} within 5 s"
        return json.loads(answer[1])

    def assert_baseline(self) -> None:
        assert self.call("DBSIZE") == "0"
