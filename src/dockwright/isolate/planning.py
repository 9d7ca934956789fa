"""Plans the worlds of a run: what is separated, which daemon and images, what stays visible."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from dockwright._files import write_file
from dockwright._text import listed
from dockwright.engine import Engine
from dockwright.errors import DockwrightError, EngineError, UsageError
from dockwright.isolate.images import Image, PreparedImages, all_images, named, remembered
from dockwright.isolate.inside import view
from dockwright.isolate.inside.keeper import sweep
from dockwright.isolate.inside.plan import (
    ALONE,
    HOOKS,
    HOOKS_DIRECTORY,
    LEVEL,
    PLAN,
    RUN,
    SUMMARY,
    SWEEP,
    Plan,
    start,
)
from dockwright.isolate.inside.users import is_rootless
from dockwright.isolate.notes import Notes
from dockwright.isolate.rights import is_root, require_possible, with_rights
from dockwright.isolate.usage import used_images
from dockwright.paths import cache_directory, project_hash
from dockwright.untrusted import json_value, read_plain

PARTS: Mapping[str, str] = {
    "engine": "engine",
    "net": "network",
    "pid": "processes",
    "home": "home directory",
}
"""What can be separated, in the words that users read."""

_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TOOLS_HOME = (".local/bin", ".local/lib", ".docker/cli-plugins")
_DAEMON_SETTINGS = Path("/etc/docker/daemon.json")
_TUNNELS = Path("/dev/net/tun")
_SETTINGS_BYTES = 1 << 20
_KEPT_SETTINGS = (
    "bip",
    "default-address-pools",
    "default-shm-size",
    "default-ulimits",
    "dns",
    "experimental",
    "fixed-cidr-v6",
    "insecure-registries",
    "ipv6",
    "registry-mirrors",
    "userland-proxy",
)
_OLDER_STORE = {"containerd-snapshotter": False}
_TRIAL_S = 60.0
_ASK = """
import socket
try:
    with socket.socket(socket.AF_UNIX) as engine:
        engine.connect("/run/docker.sock")
        engine.sendall(b"GET /_ping HTTP/1.0\\r\\n\\r\\n")
        answer = engine.recv(64)
except OSError as failure:
    answer = str(failure).encode()
raise SystemExit(0 if b" 200 " in answer else f"it says: {answer.decode()}")
"""


@dataclass(frozen=True, slots=True)
class IsolationRequest:
    """What a user asks for.

    Attributes:
        root: the project's directory.
        parts: what is separated (see `PARTS`); empty: everything.
        images: further images for the engines of worlds.
        shown: what else stays visible and writable in home and temporary directories.
        outside: whether worlds have a way out of their network.
        reached: ports of the machine's loopback that worlds reach.
        dockerd: the daemon's program; empty: that of the machine.
    """

    root: Path
    parts: frozenset[str] = frozenset()
    images: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    outside: bool = False
    reached: tuple[int, ...] = ()
    dockerd: str = ""

    @property
    def separated(self) -> frozenset[str]:
        """What is separated in the end."""
        parts = self.parts or frozenset(PARTS)
        # Two engines in one network would undo each other's rules.
        return parts | {"net"} if "engine" in parts else parts


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, ready to be used.

    Attributes:
        plan: the plan.
        summary: it in words, for pytest's header.
        lock: the descriptor that keeps its images, to be left open; None: there are none.
    """

    plan: Plan
    summary: str
    lock: int | None

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that hand the plan on."""
        return {PLAN: self.plan.to_json(), SUMMARY: self.summary}


def prepare(
    request: IsolationRequest, connect: Callable[[], Engine], note: Callable[[str], None]
) -> Prepared:
    """Plan the worlds of a run and prepare their images; needs root's rights, see `rights`.

    Args:
        request: what is asked for.
        connect: connects to the engine that the images come from.
        note: called with a line about what takes long or is missing.

    Raises:
        UsageError: worlds cannot be made here, or what is asked for contradicts itself.
        StoreError: the images cannot be prepared.
    """
    parts = request.separated
    require_possible(engine="engine" in parts)
    remove_dead_worlds()
    plan = Plan(
        worlds=str(worlds_directory()),
        python=sys.executable,
        engine="engine" in parts,
        home="home" in parts,
        net="net" in parts,
        dockerd=find_dockerd(request.dockerd) if "engine" in parts else "",
        rootless=is_rootless(),
        settings=daemon_settings(_DAEMON_SETTINGS),
        outside=find_way_out() if request.outside and "net" in parts else "",
        reached=request.reached,
        shown=(str(request.root), *request.shown),
        tools=tuple(_tools(os.environ)),
        notes=str(_notes_file(request.root)),
        plugins=_plugins(os.environ),
    )
    _check_home(plan, request.root)
    known = Notes.read(Path(plan.notes))
    proposed = known.busy.proposed if known.busy else 0
    plan = replace(plan, workers=proposed, files_s=dict(known.files_s))
    if not plan.engine:
        return Prepared(plan, _summary(parts, None), None)
    plan = replace(plan, masked=tuple(_files_of_engine(connect)))
    _require_engine(plan)
    images = choose_images(request, known, connect, note)
    if not images:
        return Prepared(plan, _summary(parts, images), None)
    store = PreparedImages(cache_directory(os.environ) / "world-images")
    place, lock = store.get(connect(), images, plan, note)
    return Prepared(replace(plan, images=str(place)), _summary(parts, images), lock)


def _files_of_engine(connect: Callable[[], Engine]) -> Iterator[str]:
    """Yield the socket and the data directory of the user's engine, if it is on this machine."""
    sockets = [os.environ.get(name, "") for name in ("DOCKER_HOST", "CONTAINER_HOST")]
    with suppress(DockwrightError):  # there is none: then there are no images either
        engine = connect()
        sockets.append(engine.endpoint.url)
        if engine.endpoint.is_local and (data := engine.info().get("DockerRootDir")):
            yield str(data)
    for socket in dict.fromkeys(sockets):
        if socket.startswith("unix://"):
            yield socket.removeprefix("unix://")


def _notes_file(root: Path) -> Path:
    """Return the file with the notes of a project's runs; its directory exists."""
    file = cache_directory(os.environ) / "isolated-runs" / f"{project_hash(root)}.jsonl"
    with suppress(OSError):  # then nothing is noted
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return file


def worlds_directory() -> Path:
    """Return where worlds keep their data."""
    return cache_directory(os.environ) / "worlds"


def remove_dead_worlds() -> int:
    """Remove what worlds left whose processes were all killed at once; return how many."""
    worlds = worlds_directory()
    if is_root() or not worlds.is_dir() or not any(worlds.iterdir()):
        return len(sweep(worlds))
    # Files of containers belong to other ids of this user.
    command = with_rights(start(sys.executable, SWEEP, str(worlds)))
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TRIAL_S, check=False)
    return len(done.stdout.splitlines())


def find_dockerd(chosen: str) -> str:
    """Return the path of the daemon's program.

    Raises:
        UsageError: there is none.
    """
    path = os.pathsep.join((os.environ.get("PATH", ""), _PLACES))
    found = shutil.which(chosen or "dockerd", path=path)
    if found is None:
        raise UsageError(
            f"--dockerd {chosen}: no such program" if chosen else "dockerd is not installed",
            hint="install Docker's engine, name its program with --dockerd, or separate only "
            "--home --net --pid",
        )
    return str(Path(found).resolve())


def daemon_settings(file: Path) -> str:
    """Return the settings of the engine of a world, as text.

    Of the machine's settings those count that a suite may notice, such as address pools. Others are
    about the machine's engine: its socket, its data, its log driver.
    """
    try:
        known = json_value(read_plain(file, limit_bytes=_SETTINGS_BYTES))
    except (OSError, ValueError):
        known = {}
    known = known if isinstance(known, dict) else {}
    features = known.get("features")
    kept = {name: known[name] for name in _KEPT_SETTINGS if name in known}
    # Layers can be linked into the older store of images only.
    own = {"features": {**(features if isinstance(features, dict) else {}), **_OLDER_STORE}}
    return json.dumps({**kept, **own})


def find_way_out() -> str:
    """Return the path of the program that makes a way out of a network.

    Raises:
        UsageError: it is not installed.
    """
    found = shutil.which("slirp4netns")
    if found is None:
        raise UsageError(
            "--outside needs slirp4netns",
            hint="install it (the package has the same name), or leave out --net and --engine",
        )
    if not os.access(_TUNNELS, os.R_OK | os.W_OK):
        raise UsageError(
            f"--outside needs {_TUNNELS}, which this user may not open or which is not there",
            hint=f"`sudo modprobe tun`, `sudo chmod 666 {_TUNNELS}`, or leave out --net and "
            "--engine",
        )
    return found


def choose_images(
    request: IsolationRequest,
    notes: Notes,
    connect: Callable[[], Engine],
    note: Callable[[str], None],
) -> list[Image]:
    """Return the images that the engines of worlds start with.

    Those that were asked for, that the project's files name, and that earlier runs used or missed.

    Raises:
        UsageError: one that was asked for is not on the engine.
    """
    try:
        known = all_images(connect())
    except DockwrightError as failure:
        if request.images:
            raise
        note(f"the engines of the workers start without images: {failure.message}")
        return []
    chosen = [
        *named(known, request.images),
        *used_images(request.root, known),
        *remembered(known, notes.images),
    ]
    return list({each.id: each for each in chosen}.values())


def in_world(environ: Mapping[str, str]) -> bool:
    """Return whether worlds are prepared for this run, or this process is in one."""
    return PLAN in environ or environ.get(LEVEL, RUN) != RUN


def require_world(plan: Plan) -> None:
    """Check that a world of a plan can be made, without its engine.

    Raises:
        UsageError: it cannot; says why.
    """
    if reason := try_world(replace(plan, engine=False, images="")):
        raise UsageError(
            f"workers cannot have a world of their own here: {reason.removeprefix('dockwright: ')}"
        )


def try_world(plan: Plan, *words: str) -> str:
    """Run a command in a world of a plan; return what went wrong, or an empty text."""
    command = with_rights(plan.command(ALONE, *(words or ("true",))))
    environ = {name: text for name, text in os.environ.items() if name != LEVEL}
    try:
        done = subprocess.run(
            command, env={**environ, PLAN: plan.to_json()}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=_TRIAL_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"it did not end within {_TRIAL_S:.0f} s"
    said = done.stderr.strip() or done.stdout.strip()
    return (said or f"exit code {done.returncode}") if done.returncode else ""


def try_engine(plan: Plan) -> str:
    """Start the engine of a world; return what went wrong, or an empty text."""
    trial = replace(plan, home=False, images="", outside="", reached=())
    return try_world(trial, plan.python, "-I", "-S", "-c", _ASK)


def _require_engine(plan: Plan) -> None:
    """Check that an engine starts in a world: once per boot and daemon, since it takes a second.

    Raises:
        EngineError: it does not; shows its log.
    """
    facts = {
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "dockerd": plan.dockerd,
        "changed": Path(plan.dockerd).stat().st_mtime,
        "rootless": plan.rootless,
    }
    text = json.dumps(facts).encode()
    checked = worlds_directory().with_name("worlds-checked.json")
    with suppress(OSError):
        if checked.read_bytes() == text:
            return
    if reason := try_engine(plan):
        raise EngineError(
            f"workers cannot have engines of their own: {reason.removeprefix('dockwright: ')}",
            hint="leave out the engine (--home --net --pid), or name another one with --dockerd",
        )
    with suppress(OSError):  # then it is checked again
        write_file(checked, text)


def enter(
    prepared: Prepared,
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    workers: str | None = None,
) -> NoReturn:
    """Become a command in a world, from which its workers get theirs.

    Args:
        prepared: the plan.
        command: its words.
        environ: its environment without the plan.
        workers: what pytest's ``-n`` is; None: as the command says.
    """
    if prepared.lock is not None:
        os.set_inheritable(prepared.lock, True)  # noqa: FBT003 - Python's own
        prepared = replace(prepared, plan=replace(prepared.plan, lock=prepared.lock))
    changed = {**environ, **prepared.environment}
    _prepend(changed, "PYTHONPATH", str(HOOKS_DIRECTORY), os.pathsep)
    _prepend(changed, "PYTEST_PLUGINS", HOOKS, ",")
    if workers is not None:
        changed["PYTEST_ADDOPTS"] = f"{environ.get('PYTEST_ADDOPTS', '')} -n {workers}".lstrip()
    words = prepared.plan.command(RUN, *command)
    os.execve(words[0], words, changed)


def _prepend(environ: dict[str, str], name: str, word: str, separator: str) -> None:
    environ[name] = separator.join(filter(None, (word, environ.get(name))))


def _check_home(plan: Plan, root: Path) -> None:
    hidden = view.replaced(plan)
    if (found := next((each for each in hidden if each == root.resolve()), None)) is not None:
        raise UsageError(
            f"the project directory is {found}, which each worker would see empty",
            hint="move the project into a subdirectory, or share the home directory: "
            "--engine --net --pid",
        )


def _tools(environ: Mapping[str, str]) -> list[str]:
    """Return what a suite may need to run below a home directory."""
    found = [sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), *filter(None, sys.path)]
    homes = view.homes()
    found += [str(home / name) for home in homes for name in _TOOLS_HOME]
    for entry in filter(None, environ.get("PATH", "").split(os.pathsep)):
        parent = Path(entry).parent
        shared = parent in homes or parent.name == ".local"
        found.append(entry if shared else str(parent))
    found += filter(None, [_plugins(environ)])
    return [path for path in found if Path(path) != Path("/")]


def _plugins(environ: Mapping[str, str]) -> str:
    """Return the directory of the docker command's plugins that a ``DOCKER_CONFIG`` has."""
    config = environ.get("DOCKER_CONFIG", "")
    plugins = Path(config, "cli-plugins")
    return str(plugins.absolute()) if config and plugins.is_dir() else ""


def _summary(parts: frozenset[str], images: Sequence[Image] | None) -> str:
    own = listed([word for part, word in PARTS.items() if part in parts])
    text = f"each worker has its own {own}"
    if images is None:
        return text
    names = ", ".join(sorted(image.references[0] for image in images))
    return f"{text}; images: {names or 'none'}"
