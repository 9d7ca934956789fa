"""What a world sees of the machine's files: replaced directories, and what shows through."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from dockwright.isolate.inside import kernel, users
from dockwright.isolate.inside.plan import Plan

RUNTIME = Path("/run/dockwright")
IMAGES = RUNTIME / "images"
_DATA_ROOT = Path("/var/lib/docker")
_OTHER_ENGINE_FILES = (Path("/etc/docker"), Path("/var/lib/containerd"))
_SMALL_FILES = ("link", "lower", "committed")


def homes() -> list[Path]:
    """Return the home directories of this user: that of HOME, and that of the system's list."""
    found = [Path(os.environ["HOME"])] if os.environ.get("HOME") else []
    behind_sudo = os.environ.get("SUDO_UID", "")
    others = [int(behind_sudo)] if behind_sudo.isdecimal() else []
    for user in dict.fromkeys((os.getuid(), users.outside_user(), *others)):
        with suppress(KeyError):  # a user without an entry
            found.append(Path(pwd.getpwuid(user).pw_dir))
    real = (path.resolve() for path in found)
    return list(dict.fromkeys(path for path in real if path.is_dir() and path != Path("/")))


def replaced(plan: Plan) -> list[Path]:
    """Return the directories that a world has for itself because of ``home``."""
    if not plan.home:
        return []
    temporary = [path for path in (Path("/tmp"), Path("/var/tmp")) if path.is_dir()]  # noqa: S108
    return [*homes(), *(path.resolve() for path in temporary)]


def arrange(plan: Plan, world: Path) -> None:
    """Give this process's mount namespace the view of a world.

    Args:
        plan: what is separated.
        world: the directory with the world's data.

    Raises:
        OSError: this machine does not allow it.
    """
    kernel.mount("", "/", flags=kernel.PRIVATE | kernel.RECURSIVE)
    hidden = replaced(plan)
    shown = _outermost(plan.shown, hidden)
    tools = [path for path in _outermost(plan.tools, hidden) if not _is_below(path, shown)]
    opened = {path: os.open(path, os.O_PATH) for path in (*tools, *shown)}
    sources = {place.name: os.open(place, os.O_PATH) for place in world.iterdir()}
    own = os.open(world, os.O_PATH)
    images = os.open(plan.images, os.O_PATH) if plan.images else None
    data = os.open(plan.data_root or world / "docker", os.O_PATH) if plan.engine else None
    kernel.mount("proc", "/proc", "proc", kernel.PLAIN)
    for number, directory in sorted(enumerate(hidden), key=lambda each: len(each[1].parts)):
        directory.mkdir(parents=True, exist_ok=True)  # it may be below one that was just replaced
        kernel.bind(_opened(sources[f"home{number}"]), str(directory))
    for path, descriptor in opened.items():
        _make_room(path, descriptor)
        if path in shown:
            kernel.bind(_opened(descriptor), str(path))
        else:
            _show_tool(path, descriptor, Path(_opened(own)))
    _show_plugins(plan)
    _own_runtime(plan)
    if plan.engine:
        _mask(plan.masked)
        _engine_data(data, images)
    for each in (*opened.values(), *sources.values(), own, images, data):
        if each is not None:
            os.close(each)


def fill(plan: Plan, world: Path) -> None:
    """Make the directories of a world; a few milliseconds, whatever the size of the images."""
    for number, directory in enumerate(replaced(plan)):
        own = world / f"home{number}"
        own.mkdir(exist_ok=True)
        own.chmod(directory.stat().st_mode & 0o7777)
    if plan.engine and not plan.data_root:
        (world / "docker").mkdir(mode=0o710, exist_ok=True)
        if plan.images:
            link_images(Path(plan.images), world / "docker")


def link_images(prepared: Path, data_root: Path) -> None:
    """Give an engine's data root the images of a prepared one, without copying their layers.

    The directory of each layer is a link to the prepared one. An engine that removes an image
    removes the link.
    """
    shutil.copytree(prepared / "image", data_root / "image", dirs_exist_ok=True)
    layers = data_root / "overlay2"
    (layers / "l").mkdir(parents=True)
    for layer in (prepared / "overlay2").iterdir():
        if not (layer / "diff").is_dir():
            continue
        own = layers / layer.name
        own.mkdir()
        (own / "diff").symlink_to(IMAGES / "overlay2" / layer.name / "diff")
        (own / "work").mkdir()
        for name in _SMALL_FILES:
            if (layer / name).is_file():
                shutil.copyfile(layer / name, own / name)
        link = (layer / "link").read_text()
        (layers / "l" / link).symlink_to(f"../{layer.name}/diff")


def _own_runtime(plan: Plan) -> None:
    """Replace what holds sockets and locks; ``/dev/shm`` goes with the IPC namespace."""
    places = [Path("/run")]
    if not Path("/var/run").is_symlink() and Path("/var/run").is_dir():
        places.append(Path("/var/run"))
    if not plan.net:
        places = []
    for place in places:
        kernel.mount("tmpfs", str(place), "tmpfs", 0, "mode=755")
    if Path("/dev/shm").is_dir():  # noqa: S108
        kernel.mount("tmpfs", "/dev/shm", "tmpfs", kernel.PLAIN, "mode=1777")  # noqa: S108
    if places:
        Path("/run/lock").mkdir()
        own = os.environ.get("XDG_RUNTIME_DIR", "")
        if own.startswith("/run/"):
            Path(own).mkdir(parents=True, mode=0o700, exist_ok=True)


def _show_plugins(plan: Plan) -> None:
    """Have the docker command find the plugins of a ``DOCKER_CONFIG`` that is not passed on."""
    link = Path(os.environ.get("HOME", "/root"), ".docker", "cli-plugins")
    if plan.home and plan.plugins and not link.exists():
        link.parent.mkdir(exist_ok=True, parents=True)
        link.symlink_to(plan.plugins)


def _mask(paths: Iterable[str]) -> None:
    """Cover what belongs to the user's engine, wherever that keeps it."""
    for path in map(Path, paths):
        if path.is_dir():
            kernel.mount("tmpfs", str(path), "tmpfs", kernel.PLAIN, "mode=711")
        elif os.access(path, os.F_OK):
            kernel.bind(os.devnull, str(path))


def _engine_data(own: int | None, images: int | None) -> None:
    assert own is not None
    RUNTIME.mkdir(mode=0o711)
    data_root().mkdir(exist_ok=True)
    kernel.bind(_opened(own), str(data_root()))
    if images is not None:
        IMAGES.mkdir()
        kernel.bind(_opened(images), str(IMAGES), read_only=True)
    for other in _OTHER_ENGINE_FILES:
        if other.is_dir():
            kernel.mount("tmpfs", str(other), "tmpfs", kernel.PLAIN, "mode=711")


def data_root() -> Path:
    """Return where an engine keeps its data, as seen inside: the usual place if that exists."""
    return _DATA_ROOT if _DATA_ROOT.is_dir() else RUNTIME / "docker"


def _outermost(paths: Iterable[str], hidden: Iterable[Path]) -> list[Path]:
    """Return the existing paths below hidden directories, without those inside another one."""
    existing = sorted({Path(path).resolve() for path in paths if os.access(path, os.F_OK)})
    covered = [path for path in existing if _is_below(path, hidden)]
    return [path for path in covered if not any(each in path.parents for each in covered)]


def _is_below(path: Path, directories: Iterable[Path]) -> bool:
    return any(path == each or each in path.parents for each in directories)


def _make_room(path: Path, descriptor: int) -> None:
    """Make an empty file or directory to mount something like it on."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        if Path(_opened(descriptor)).is_dir():
            path.mkdir()
        else:
            path.touch()


def _show_tool(path: Path, descriptor: int, world: Path) -> None:
    """Show a directory whose changes stay in the world; read-only where that cannot be done."""
    layer = world / f"tool{descriptor}"
    for name in ("changes", "work"):
        (layer / name).mkdir(parents=True)
    parts = {
        "lowerdir": _opened(descriptor),
        "upperdir": layer / "changes",
        "workdir": layer / "work",
    }
    options = ",".join(f"{name}={place}" for name, place in parts.items())
    if users.is_rootless():
        options += ",userxattr"
    try:
        kernel.mount("overlay", str(path), "overlay", options=options)
    except OSError:  # a file, or a file system that cannot be a layer
        kernel.bind(_opened(descriptor), str(path), read_only=True)


def _opened(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"
