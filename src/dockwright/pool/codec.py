"""How Compose options and leases travel between a broker and its clients."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from dockwright.compose import LoadOptions
from dockwright.model import Json, Owner, Ownership
from dockwright.pool.lease import Facts, Lease


def load_options_to_json(options: LoadOptions) -> dict[str, Json]:
    """Return options with all paths absolute: the broker lives in another directory."""

    def paths(given: tuple[Path, ...]) -> list[Json]:
        return [str(path.absolute()) for path in given]

    return {
        "files": paths(options.files),
        "project_name": options.project_name,
        "working_dir": str(options.working_dir.absolute()) if options.working_dir else None,
        "profiles": list(options.profiles),
        "env_files": paths(options.env_files),
        "environ": dict(options.environ),
        "start": str((options.start or Path.cwd()).absolute()),
    }


def load_options_from_json(values: dict[str, Any]) -> LoadOptions:
    """Read what `load_options_to_json` returned."""
    working_dir, start = values["working_dir"], values["start"]
    return LoadOptions(
        files=tuple(map(Path, values["files"])),
        project_name=values["project_name"],
        working_dir=Path(working_dir) if working_dir else None,
        profiles=tuple(values["profiles"]),
        env_files=tuple(map(Path, values["env_files"])),
        environ=values["environ"],
        start=Path(start),
    )


def lease_to_json(lease: Lease) -> dict[str, Json]:
    """Return what a client needs to use the leased stack without asking the engine for it."""
    stack = lease.stack
    return {
        "facts": asdict(lease.facts),
        "ownership": asdict(stack.identity.ownership),
        "containers": dict(stack.containers),
        "networks": stack.addresses.known(),
        "directory": str(stack.options.log_directory),
        "waited_s": lease.waited_s,
        "seeding": lease.seeding,
    }


def facts_from_json(values: dict[str, Any]) -> Facts:
    """Read the facts of a leased stack."""
    return Facts(**{**values, "units": tuple(values["units"])})


def ownership_from_json(values: dict[str, Any]) -> Ownership:
    """Read the ownership of a leased stack."""
    owner = values["owner"]
    return Ownership(**{**values, "owner": None if owner is None else Owner(**owner)})
