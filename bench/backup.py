"""Backup and restore of one volume: rate against tar and a compressor, and peak memory."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.bench import HERE, LABEL, Bench, SkippedError, alternately, timed
from bench.results import Row, speedup, value
from dockwright.model import Json

_NAME = "backup"
_USUAL_MB, _QUICK_MB = 1000, 60
_MEMORY_MB = 64
_COMMAND = """
import atexit, sys
from pathlib import Path

place = Path(sys.argv.pop(1))
atexit.register(lambda: place.write_text(Path("/proc/self/status").read_text()))
from dockwright.cli import main
main()
"""
"""One of our commands, which tells at its end what Linux knows of it. (What `wait4` tells of its
memory is at least that of this process, from which it was forked.)"""


def measure(bench: Bench) -> Iterator[Row]:
    """Back up and restore in every way, alternately, on the same data."""
    megabytes = _QUICK_MB if bench.quick else _USUAL_MB
    zstd = shutil.which("zstd") is not None
    if not zstd:
        bench.skip("backup against `tar | zstd`: there is no zstd here; gzip takes its place")
    work = _Work.make(bench, megabytes, "zstd" if zstd else "gzip")
    try:
        yield from _measured(bench, work, megabytes)
    finally:
        work.command("uninstall", "--all", "--force")


def _measured(bench: Bench, work: _Work, megabytes: int) -> Iterator[Row]:
    backups = alternately(
        bench, bench.rounds(3), {"dockwright": work.back_up, "tar": work.tar_and_compress}
    )
    restores = alternately(
        bench,
        bench.rounds(5),
        {
            "dockwright": work.restore,
            "tar": work.decompress_and_untar,
            "engine": work.decompress_into_engine,
        },
    )
    what = f"of {megabytes} MB in a volume"
    ours, theirs = backups["dockwright"], backups["tar"]
    note = "with the start of the command, and until all is on the disk"
    rival = f"tar into {work.tool}"
    yield speedup(_NAME, f"backup {what}", ours, rival, theirs, at_least=0.7, note=note)
    ours, theirs = restores["dockwright"], restores["tar"]
    note = "with the start of the command, and the verification of every byte"
    rival = f"{work.tool} -d into tar"
    yield speedup(_NAME, f"restore {what}", ours, rival, theirs, at_least=0.7, note=note)
    rival = f"{work.tool} -d into the engine"
    yield speedup(_NAME, f"restore {what}", ours, rival, restores["engine"])
    for name, peaks in work.peaks_mb.items():
        yield value(_NAME, f"peak memory of a {name}", "MB", peaks, at_most=_MEMORY_MB)


@dataclass(frozen=True)
class _Work:
    """The data in a directory, for tar, and in a volume, for us."""

    bench: Bench
    directory: Path
    tool: str
    peaks_mb: dict[str, list[float]]

    @classmethod
    def make(cls, bench: Bench, megabytes: int, tool: str) -> _Work:
        if shutil.which("tar") is None:
            raise SkippedError("there is no tar here")
        directory = bench.directory / "backup"
        write_data(directory / "data", megabytes)
        work = cls(bench, directory, tool, {"backup": [], "restore": []})
        work.command("start")
        (container,) = bench.engine.list_containers({"com.docker.compose.project": work.project})
        work._into(container["Id"], "/", ["tar", "-c", "data"])
        return work

    @property
    def project(self) -> str:
        return f"dwbench-{self.bench.run}"

    @property
    def archive(self) -> Path:
        return self.directory / ("a.tar.zst" if self.tool == "zstd" else "a.tar.gz")

    @property
    def other(self) -> Path:
        return self.directory / "tar.out"

    def command(self, *arguments: str) -> float:
        """Run one of our commands in a process of its own; return its peak memory in MB."""
        environ = os.environ | {
            "BENCH_RUN": self.bench.run,
            "DOCKER_HOST": self.bench.engine.endpoint.url,
            "XDG_STATE_HOME": str(self.directory / "state"),
            "XDG_CONFIG_HOME": str(self.directory / "config"),
        }
        project = ["-f", str(HERE / "backup.yaml"), "-p", self.project]
        log, status = self.directory / "log", self.directory / "status"
        argv = [sys.executable, "-c", _COMMAND, str(status), "stack", *arguments, *project]
        with log.open("wb") as output:
            done = subprocess.run(argv, env=environ, stdout=output, stderr=output, check=False)
        if done.returncode:
            raise RuntimeError(f"stack {arguments[0]} failed: {log.read_text()}")
        (peak,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 1024

    def back_up(self) -> float:
        def run() -> None:
            peak = self.command("backup", "--output", str(self.archive), "--force")
            self.peaks_mb["backup"].append(peak)

        return timed(run)

    def restore(self) -> float:
        self.command("uninstall", "--volumes", "--force")

        def run() -> None:
            peak = self.command("restore", str(self.archive), "--no-start")
            self.peaks_mb["restore"].append(peak)

        return timed(run)

    def tar_and_compress(self) -> float:
        return timed(lambda: self._shell(f"tar -c data | {self.tool} -c >{self._quoted_other}"))

    def decompress_and_untar(self) -> float:
        place = self.directory / "untarred"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        line = f"{self.tool} -dc <{self._quoted_other} | tar -C {shlex.quote(str(place))} -x"
        return timed(lambda: self._shell(line))

    def decompress_into_engine(self) -> float:
        """Do what no restore on an engine can do without: unpack by the engine's archive call."""
        engine, name = self.bench.engine, f"{self.project}-floor"
        labels: dict[str, Json] = {"Labels": {LABEL: self.bench.run}}
        engine.create_volume(name, labels)
        mount: Json = {"Type": "volume", "Source": name, "Target": "/there"}
        body: dict[str, Json] = {
            "Image": "busybox:1",
            "Cmd": ["true"],
            "HostConfig": {"Mounts": [mount]},
            **labels,
        }
        container = engine.create_container(name, body)
        try:
            return timed(lambda: self._into(container, "/there", [self.tool, "-dc", self.other]))
        finally:
            engine.remove_container(container)
            engine.remove_volume(name)

    def _into(self, container: str, target: str, command: list[str | Path]) -> None:
        """Let the engine unpack what a command prints."""
        with subprocess.Popen(command, cwd=self.directory, stdout=subprocess.PIPE) as packing:
            output = packing.stdout
            if output is None:
                raise RuntimeError("a pipe was asked for")
            chunks = iter(lambda: output.read(1 << 18), b"")
            self.bench.engine.archive_in(container, target, chunks)

    @property
    def _quoted_other(self) -> str:
        return shlex.quote(str(self.other))

    def _shell(self, line: str) -> None:
        subprocess.run(["sh", "-ec", line], cwd=self.directory, check=True)


def write_data(directory: Path, megabytes: int) -> None:
    """Write files that a database and an application might have: half of it compresses well."""
    random_ = random.Random(1)
    words = [random_.randbytes(4).hex().encode() for _ in range(2000)]
    for number in range(max(1, megabytes // 20)):
        folder = directory / f"part{number % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        text = b" ".join(random_.choices(words, k=111_000))  # 1 MB
        with (folder / f"table{number}").open("wb") as file:
            for _ in range(8):
                file.write(text)
                file.write(random_.randbytes(1_000_000))
        for small in range(40):
            content = random_.randbytes(50_000) + text[:50_000]
            (folder / f"file{number}-{small}").write_bytes(content)
