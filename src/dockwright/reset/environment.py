"""What a service's container was told when it started: users, passwords, ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import Template

from dockwright.errors import StackError
from dockwright.reset.base import Resettable


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables and the command line of a container, the image's own ones included."""

    service: Resettable
    variables: Mapping[str, str]
    words: Sequence[str]

    @classmethod
    def of(cls, service: Resettable) -> Environment:
        """Read them from the container."""
        config = service.engine.inspect_container(service.container())["Config"]
        pairs = (entry.partition("=") for entry in config.get("Env") or ())
        command = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
        # "sh -c 'redis-server --requirepass ...'" is one word to the engine.
        words = [word for part in command for word in (part.split() if " " in part else [part])]
        return cls(service, {name: value for name, _, value in pairs}, words)

    def argument(self, option: str) -> str | None:
        """Return what follows `option` on the command line, with variables filled in."""
        for word, following in pairwise(self.words):
            if word == option:
                return Template(following.strip("'\"")).safe_substitute(self.variables)
        return None

    def first(self, *names: str) -> str | None:
        """Return the first of these variables that is set; ``NAME_FILE`` counts as ``NAME``.

        Raises:
            StackError: the file that a ``NAME_FILE`` names cannot be read.
        """
        for name in names:
            if value := self.variables.get(name):
                return value
            if file := self.variables.get(f"{name}_FILE"):
                return self._content(file)
        return None

    def _content(self, file: str) -> str:
        result = self.service.engine.exec(self.service.container(), ["cat", file], user="0")
        if result.exit_code:
            raise StackError(
                f"service {self.service.spec.name}: cannot read {file} in its container: "
                f"{result.stderr.decode(errors='replace').strip()}"
            )
        return result.stdout.decode().rstrip("\n")
