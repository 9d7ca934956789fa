"""Starts and resets above a large cached baseline, and the same by other ways."""

from __future__ import annotations

import itertools
import secrets
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.bench import Bench, alternately, timed
from bench.results import Row, cost, speedup
from bench.shop import load_stack, new_stack
from dockwright.cache import BaselineStore, FrozenVolumes
from dockwright.engine.overlays import VolumeAccess, layer_directories, overlay_options
from dockwright.stack import Baseline, CachedStart, Stack

_NAME = "frozen"
_IMAGE = "busybox:1"
_USUAL_MB, _QUICK_MB = 1000, 50
_FILES = 100
_PAUSE_S = 0.005
# Fills its volume once, in many files, and then only waits.
_COMPOSE = """
name: frozen
services:
  box:
    image: busybox:1
    init: true
    command:
      - sh
      - -c
      - |
        if test ! -e /data/made; then
          for number in $$(seq FILES); do
            dd if=/dev/urandom of=/data/file$$number bs=KILOBYTESk count=1 2> /dev/null
          done
          cat /data/* | sha256sum > /data/made
        fi
        touch /tmp/ready
        exec sleep 1000
    volumes: ["data:/data"]
    healthcheck: {test: ["CMD", "test", "-e", "/tmp/ready"]}
    x-dockwright: {reset: recreate}
volumes: {data: {}}
"""


def measure(bench: Bench) -> Iterator[Row]:
    """Start and reset one service with a large volume, an empty one, and a filled one, in turn."""
    megabytes = _QUICK_MB if bench.quick else _USUAL_MB
    layered, empty = _Kept.of(bench, "layered", megabytes), _Kept.of(bench, "empty", 0)
    try:
        contenders = {
            "layered": layered.start,
            "empty": empty.start,
            "filled": layered.without_layers().start,
        }
        starts = alternately(bench, bench.rounds(5), contenders)
        resets = _resets(bench, layered)
    finally:
        layered.remove()
        empty.remove()
    what = f"start from a cached baseline of {megabytes} MB"
    yield cost(_NAME, what, starts["layered"], "of 0 MB", starts["empty"], at_most=1.2)
    yield speedup(_NAME, what, starts["layered"], "filled volumes", starts["filled"])
    what = f"reset by a new container, {megabytes} MB"
    yield cost(_NAME, what, resets["dockwright"], "bare API calls", resets["floor"], at_most=1.25)


@dataclass(frozen=True)
class _Kept:
    """A stack with a cached baseline.

    Attributes:
        bench: the run.
        file: the Compose file.
        store: what has the baseline.
    """

    bench: Bench
    file: Path
    store: BaselineStore
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    def of(cls, bench: Bench, name: str, megabytes: int) -> _Kept:
        """Make a baseline of this size, which takes a first start."""
        size = str(megabytes * 1000 // _FILES)
        text = _COMPOSE.replace("KILOBYTES", size).replace("FILES", str(_FILES))
        directory = bench.directory / name
        directory.mkdir()
        (directory / "compose.yaml").write_text(text)
        made = cls(bench, directory / "compose.yaml", BaselineStore(directory / "baselines"))
        with made.started() as (stack, start):
            start.read()
            start.keep(wanted=lambda: True)
            bench.say(f"made the baseline {name}: {made.store.entries()[0].size_bytes} bytes")
            del stack
        return made

    def without_layers(self) -> _Kept:
        """Return the same baseline as if the engine had no layers."""
        directory = self.file.parent / "filled"
        shutil.copytree(self.store.directory, directory)
        store = BaselineStore(directory)
        FrozenVolumes(self.bench.engine, store).give_up("for comparison")
        return _Kept(self.bench, self.file, store)

    @contextmanager
    def started(self) -> Iterator[tuple[Stack, CachedStart]]:
        """Yield a copy that was just started."""
        spec = load_stack([self.file], {})
        project = f"dwbench-{self.bench.run}-{id(self):x}-{next(self._numbers)}"
        stack = new_stack(spec, self.bench.engine, project, self.bench.directory)
        start = CachedStart(stack, self.store)
        try:
            start.run()
            yield stack, start
        finally:
            stack.remove()

    def start(self) -> float:
        """Start a copy; return how long it took, in seconds."""
        began = time.perf_counter()
        with self.started() as (_, start):
            seconds = time.perf_counter() - began
        if not start.from_cache:
            raise RuntimeError("the copy did not start from the cached baseline")
        return seconds

    def remove(self) -> None:
        """Remove the baseline, with its frozen volumes."""
        self.store.remove([each.manifest.key for each in self.store.entries()])
        FrozenVolumes(self.bench.engine, self.store).sweep()


def _resets(bench: Bench, kept: _Kept) -> dict[str, list[float]]:
    with kept.started() as (stack, _), kept.started() as (other, _):
        baseline = Baseline(stack, bench.directory / "scratch")
        baseline.capture()
        try:
            contenders = {"dockwright": baseline.reset, "floor": partial(_replace, other)}
            timers = {name: partial(timed, reset) for name, reset in contenders.items()}
            return alternately(bench, bench.rounds(10, 2), timers)
        finally:
            baseline.close()


def _replace(stack: Stack) -> None:
    """Replace the container and the layers of a copy by bare API calls, one after the other."""
    engine, volume = stack.engine, f"{stack.identity.project}_data"
    details = engine.inspect_container(stack.container("box"))
    old = engine.inspect_volume(volume)
    body = {**details["Config"], "HostConfig": details["HostConfig"]}
    body["NetworkingConfig"] = {"EndpointsConfig": {details["HostConfig"]["NetworkMode"]: {}}}
    lower = dict(part.split("=", 1) for part in old["Options"]["o"].split(","))["lowerdir"]
    engine.remove_container(details["Id"])
    engine.remove_volume(volume)
    layers = f"{volume}-{secrets.token_hex(3)}"
    labels = stack.identity.labels()
    engine.create_volume(layers, {"Labels": labels})
    door = VolumeAccess(engine, _IMAGE, (), labels).create(layers, {"/layers": layers})
    root = tarfile.TarInfo()
    root.type, root.mode = tarfile.DIRTYPE, 0o755
    engine.archive_in(door, "/layers", layer_directories([root]))
    options = overlay_options(lower, engine.inspect_volume(layers)["Mountpoint"], 0)
    engine.create_volume(volume, {"Labels": old["Labels"], "DriverOpts": options})
    container = engine.create_container(details["Name"].lstrip("/"), body)
    stack.containers["box"] = container
    engine.start_container(container)
    while engine.exec(container, ["test", "-e", "/tmp/ready"]).exit_code:
        time.sleep(_PAUSE_S)
