"""Volumes that are thin layers above another one, mounted by the engine's ``local`` driver.

The lower volume stays as it is; what is written goes to the directory ``upper`` of a third volume.
Whether that works depends on the engine, its kernel and its file system: `obstacle` tries it.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dockwright.errors import DockwrightError

if TYPE_CHECKING:
    from dockwright.engine.client import Engine

_REMAPPING = ("name=rootless", "name=userns", "name=selinux")
"""Security options with which containers see other owners or labels of files than the engine."""


@dataclass(frozen=True, slots=True)
class VolumeAccess:
    """Reaches the files of volumes through a container that never starts.

    Attributes:
        engine: where.
        image: any image that is on the engine.
        image_volumes: the mount targets that the image declares, which get no volume here.
        labels: of the container.
    """

    engine: Engine
    image: str
    image_volumes: Iterable[str]
    labels: Mapping[str, str]

    def create(self, name: str, volumes: Mapping[str, str]) -> str:
        """Create the container; return its id. As long as it exists, the volumes stay.

        Args:
            name: its name.
            volumes: existing volumes by mount target.
        """
        mounts: list[dict[str, Any]] = [
            {
                "Type": "volume",
                "Source": volume,
                "Target": target,
                "VolumeOptions": {"NoCopy": True},
            }
            for target, volume in volumes.items()
        ]
        mounts += [{"Type": "tmpfs", "Target": target} for target in self.image_volumes]
        body: dict[str, Any] = {
            "Image": self.image,
            "Entrypoint": ["true"],
            "Labels": dict(self.labels),
            "HostConfig": {"Mounts": mounts, "NetworkMode": "none"},
        }
        return self.engine.create_container(name, body)

    @contextmanager
    def open(self, name: str, volumes: Mapping[str, str]) -> Iterator[str]:
        """Yield the id of a container that `create` makes, and remove it afterwards."""
        self.engine.remove_container(name)  # one that a killed process left
        container = self.create(name, volumes)
        try:
            yield container
        finally:
            self.engine.remove_container(container)


def layer_directories(roots: Iterable[tarfile.TarInfo]) -> bytes:
    """Return a tar of the directories for some layers: ``0/upper``, ``0/work``, ``1/upper``, ...

    Args:
        roots: the directory at the top of each lower volume: owner, mode and attributes of a
            layer's own top directory are those that containers see.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number, root in enumerate(roots):
            archive.addfile(_directory(f"{number}"))
            archive.addfile(root.replace(name=f"{number}/upper", deep=False))
            archive.addfile(_directory(f"{number}/work"))
    return buffer.getvalue()


def overlay_options(lower: str, layers: str, number: int) -> dict[str, str]:
    """Return the driver options of a volume that is a layer above another one.

    Args:
        lower: the directory of the lower volume on the engine's host.
        layers: the directory of the volume with the layers' directories.
        number: which of them.
    """
    directories = (
        f"lowerdir={lower},upperdir={layers}/{number}/upper,workdir={layers}/{number}/work"
    )
    # Directories can be renamed, and hard links stay links, as on any file system.
    options = f"{directories},redirect_dir=on,index=on"
    return {"type": "overlay", "device": "overlay", "o": options}


def obstacle(door: VolumeAccess, name: str) -> str:
    """Try a layer above a small volume; return why the engine cannot do it, or nothing.

    Args:
        door: its labels are those of everything that this makes, and removes.
        name: begins the names.
    """
    engine = door.engine
    version = engine.version()
    if not engine.can.overlay_volumes:
        return f"{version.kind} on {version.os} is not supported"
    security = {each.partition(",")[0] for each in engine.info().get("SecurityOptions") or ()}
    if found := security.intersection(_REMAPPING):
        return f"the engine runs with {found.pop().removeprefix('name=')}"
    volumes = [f"{name}.{part}" for part in ("lower", "layers", "overlay")]
    try:
        return "" if _hides_what_it_replaces(door, *volumes) else "its layers do not hide files"
    except DockwrightError as failure:
        return failure.message
    finally:
        for volume in reversed(volumes):
            engine.remove_volume(volume)


def _hides_what_it_replaces(door: VolumeAccess, lower: str, layers: str, overlay: str) -> bool:
    engine, labels = door.engine, {"Labels": dict(door.labels)}
    engine.create_volume(lower, labels)
    engine.create_volume(layers, labels)
    with door.open(f"{layers}-door", {"/lower": lower, "/layers": layers}) as container:
        before = _tar(_directory("replaced"), _directory("replaced/inside"), _directory("kept"))
        engine.archive_in(container, "/lower", before)
        engine.archive_in(container, "/layers", layer_directories([_directory("")]))
        below, above = (engine.inspect_volume(each)["Mountpoint"] for each in (lower, layers))
        options = overlay_options(below, above, 0)
        engine.create_volume(overlay, {**labels, "Driver": "local", "DriverOpts": options})
        with door.open(f"{overlay}-door", {"/overlay": overlay}) as writer:
            engine.archive_in(writer, "/overlay", _tar(tarfile.TarInfo("replaced")))
            now = _names(engine.archive_out(writer, "/overlay"))
        stayed = _names(engine.archive_out(container, "/lower"))
    return now == {"", "replaced", "kept"} and "replaced/inside" in stayed


def _directory(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    return member


def _tar(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member in members:
            archive.addfile(member)
    return buffer.getvalue()


def _names(chunks: Iterable[bytes]) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}
