"""A service's volumes, bind mounts and tmpfs as the Engine API takes them (pure translation)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from dockwright.model import Json, ServiceSpec
from dockwright.stack.names import Names

_RECURSIVE = {
    "disabled": "NonRecursive",
    "readonly": "ReadOnlyForceRecursive",
    "writable": "ReadOnlyNonRecursive",
}


def volume_entries(service: ServiceSpec) -> list[Mapping[str, Json]]:
    """Return the service's ``volumes`` in the long form, as the file has them."""
    return list(cast("Sequence[Mapping[str, Json]]", service.config.get("volumes") or ()))


def anonymous_targets(service: ServiceSpec, image_volumes: Sequence[str]) -> list[str]:
    """Return the mount targets whose volume has no name: declared ones and the image's VOLUMEs."""
    entries = volume_entries(service)
    declared = [
        str(entry["target"])
        for entry in entries
        if entry["type"] == "volume" and not entry.get("source")
    ]
    taken = {str(entry["target"]).rstrip("/") for entry in entries}
    taken |= {text.split(":")[0].rstrip("/") for text in _tmpfs_texts(service)}
    return declared + [path for path in image_volumes if path.rstrip("/") not in taken]


def mounts_of(service: ServiceSpec, names: Names, anonymous: Mapping[str, str]) -> dict[str, Json]:
    """Return ``Mounts``, ``Binds``, ``Tmpfs`` and ``VolumesFrom`` of a service's container."""
    mounts: list[Json] = []
    binds: list[Json] = []
    for entry in volume_entries(service):
        if entry["type"] == "bind" and _wants_host_path(entry):
            binds.append(_bind_text(entry))
        elif entry["type"] != "volume" or entry.get("source"):
            mounts.append(_mount(entry, names))
    mounts += [
        {"Type": "volume", "Source": volume, "Target": target}
        for target, volume in anonymous.items()
    ]
    mounts += _file_mounts(service, names)
    host: dict[str, Json] = {}
    if mounts:
        host["Mounts"] = mounts
    if binds:
        host["Binds"] = binds
    tmpfs = dict(_split_tmpfs(text) for text in _tmpfs_texts(service))
    if tmpfs:
        host["Tmpfs"] = cast("Json", tmpfs)
    others = cast("Sequence[str]", service.config.get("volumes_from") or ())
    if others:
        host["VolumesFrom"] = [names.lender(text) for text in others]
    return host


def _wants_host_path(entry: Mapping[str, Json]) -> bool:
    # Only "Binds" lets the engine create a missing host path; a colon cannot be written there.
    options = cast("Mapping[str, Json]", entry.get("bind") or {})
    if options.get("recursive") not in (None, "enabled"):
        return False
    paths = f"{entry.get('source')}{entry['target']}"
    return bool(options.get("create_host_path")) and ":" not in paths


def _bind_text(entry: Mapping[str, Json]) -> str:
    options = cast("Mapping[str, Json]", entry.get("bind") or {})
    flags = ["ro" if entry.get("read_only") else "rw"]
    flags += [str(options[key]) for key in ("selinux", "propagation") if options.get(key)]
    return f"{entry['source']}:{entry['target']}:{','.join(flags)}"


def _mount(entry: Mapping[str, Json], names: Names) -> dict[str, Json]:
    kind = str(entry["type"])
    mount: dict[str, Json] = {
        "Type": kind,
        "Target": entry["target"],
        "ReadOnly": bool(entry.get("read_only")),
    }
    source = entry.get("source")
    if source:
        mount["Source"] = names.volume(str(source)) if kind == "volume" else source
    if entry.get("consistency"):
        mount["Consistency"] = entry["consistency"]
    options = cast("Mapping[str, Json]", entry.get(kind) or {})
    bind = _bind_options(options) if kind == "bind" else {}
    if bind:
        mount["BindOptions"] = bind
    if kind == "volume" and (options.get("nocopy") or options.get("subpath")):
        mount["VolumeOptions"] = {
            "NoCopy": bool(options.get("nocopy")),
            "Subpath": options.get("subpath") or "",
        }
    if kind == "tmpfs":
        mount["TmpfsOptions"] = {
            "SizeBytes": int(str(options.get("size") or 0)),
            "Mode": options.get("mode") or 0o1777,
        }
    return mount


def _bind_options(options: Mapping[str, Json]) -> dict[str, Json]:
    bind: dict[str, Json] = {}
    if options.get("propagation"):
        bind["Propagation"] = options["propagation"]
    recursive = _RECURSIVE.get(str(options.get("recursive")))
    if recursive:
        bind[recursive] = True
    return bind


def _file_mounts(service: ServiceSpec, names: Names) -> list[Json]:
    """Bind the configs and secrets that are files; the others are written into the container."""
    mounts: list[Json] = []
    for kind in ("configs", "secrets"):
        declared = cast("Mapping[str, Mapping[str, Json]]", names.spec.document.get(kind) or {})
        for use in cast("Sequence[Mapping[str, Json]]", service.config.get(kind) or ()):
            file = declared.get(str(use["source"]), {}).get("file")
            if file:
                mounts.append(
                    {
                        "Type": "bind",
                        "Source": file,
                        "Target": file_target(kind, use),
                        "ReadOnly": True,
                    }
                )
    return mounts


def file_target(kind: str, use: Mapping[str, Json]) -> str:
    """Return where a config or secret (`kind`: configs, secrets) appears in the container."""
    target = str(use.get("target") or use["source"])
    if target.startswith("/"):
        return target
    return f"/run/secrets/{target}" if kind == "secrets" else f"/{target}"


def tmpfs_targets(service: ServiceSpec) -> list[str]:
    """Return where a service has file systems in memory, empty at each start."""
    mounted = [
        str(entry["target"]) for entry in volume_entries(service) if entry["type"] == "tmpfs"
    ]
    return [*mounted, *(_split_tmpfs(text)[0] for text in _tmpfs_texts(service))]


def _tmpfs_texts(service: ServiceSpec) -> list[str]:
    declared = service.config.get("tmpfs") or ()
    return [declared] if isinstance(declared, str) else list(cast("Sequence[str]", declared))


def _split_tmpfs(text: str) -> tuple[str, str]:
    path, _, options = text.partition(":")
    return path, options
