"""Makes a world and runs a command in it: three processes, of which the world needs all.

    wrapper   in the place of the command, outside: same standard streams, same exit code
      ├─ keeper   outside: removes what is left, whoever dies
      └─ first process of the world: starts the engine and the command, ends with the command

The kernel kills the first process when the wrapper dies, and everything in the world with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn

from dockwright.isolate.inside import control_groups, keeper, kernel, relay, view
from dockwright.isolate.inside.engine import WorldEngine
from dockwright.isolate.inside.outside import WayOut
from dockwright.isolate.inside.plan import (
    ENGINE_VARIABLES,
    LEVEL,
    PLAN,
    RUN,
    WORKER,
    WORLD,
    Plan,
    leave_outside,
)

PREFIX = "dockwright-"
"""What the names of worlds begin with: their directories and control groups."""

_LAST_PID, _PIDS = Path("/proc/sys/kernel/ns_last_pid"), 32_768
_FORWARDED = (signal.SIGTERM, signal.SIGHUP)
_CANNOT = "run `dockwright doctor --isolate` to see what is missing"


@dataclass(frozen=True)
class World:
    """A world that is about to begin.

    Attributes:
        directory: its data.
        plan: what it is made of.
        level: what it is for: ``run``, ``worker`` or ``alone``.
        command: what runs in it.
    """

    directory: Path
    plan: Plan
    level: str
    command: list[str]

    @property
    def reached(self) -> tuple[int, ...]:
        """The ports outside that it reaches; those that it has for itself need no way."""
        return self.plan.reached if self.plan.net else ()


def main(arguments: list[str]) -> NoReturn:
    """Run ``LEVEL COMMAND...`` in a world, as the plan in the environment says, and exit."""
    level, *command = arguments
    plan = Plan.from_json(os.environ[PLAN])
    around = os.environ.get(WORLD)
    worlds = Path(around, "worlds") if around else Path(plan.worlds)
    directory = worlds / f"{PREFIX}{os.urandom(6).hex()}"
    plan = plan.for_run() if level == RUN else plan
    try:
        worlds.mkdir(parents=True, exist_ok=True, mode=0o700)
        if level == RUN and plan.lock >= 0:
            os.set_inheritable(plan.lock, False)  # noqa: FBT003 - held here, not by the command
        wrapper = _Wrapper(World(directory, plan, level, command))
    except OSError as failure:
        os._exit(cannot_begin(failure))
    os._exit(wrapper.run())


class Ways(NamedTuple):
    """What leads out of a world's network.

    Attributes:
        ports: where sockets go that the outside answers; None: no port is reached.
        out: the way to everything else; None: there is none.
    """

    ports: socket.socket | None
    out: WayOut | None


class _Wrapper:
    """The process in the place of the command, outside of the world.

    Args:
        world: the world that it makes.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._me = os.pidfd_open(os.getpid())
        self._parent = os.pidfd_open(os.getppid()) if world.level == WORKER else None
        world.directory.mkdir(mode=0o700)
        self._lock = os.open(world.directory, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._groups = control_groups.places(world.directory.name)
        names = [str(group) for group in self._groups]
        (world.directory / keeper.GROUPS).write_text(json.dumps(names))
        self._keep()

    def run(self) -> int:
        """Run the world to its end, and return the exit code of its command."""
        interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command gets it by itself
        try:
            first = self._begin(interrupted)
            for number in _FORWARDED:
                signal.signal(number, lambda received, _: os.kill(first, received))
            code = self._wait(first)
        except OSError as failure:
            code = cannot_begin(failure)
        os.close(self._open)
        os.waitpid(self._keeper, 0)
        return code

    def _keep(self) -> None:
        self._keeper, self._open = keeper.start(
            self._world.directory,
            self._me,
            self._parent,
            self._lock,
            self._world.plan.usage,
        )

    def _begin(self, interrupted: object) -> int:
        """Start the first process of the world, in a process namespace of its own."""
        made = control_groups.create(self._groups)
        view.fill(self._world.plan, self._world.directory)
        passed = relay.start(lambda: os.close(self._open)) if self._world.reached else None
        way_out = WayOut(self._world.plan.outside) if self._world.plan.outside else None
        pid = kernel.fork_into_processes()  # a later keeper has to be outside
        if not pid:
            os.close(self._open)
            first_process(self._world, made, self._me, Ways(passed, way_out), interrupted)
        if passed is not None:
            passed.close()
        if way_out is not None:
            way_out.open(pid)
        return pid

    def _wait(self, first: int) -> int:
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == first:
                return exit_code(status)
            if pid == self._keeper:  # killed: the world must not be without one
                os.close(self._open)
                self._keep()


def exit_code(status: int) -> int:
    """Return a process's exit code as a shell would."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def cannot_begin(failure: OSError) -> int:
    """Say why there is no world, and return the exit code for that."""
    place = f" ({failure.filename})" if failure.filename else ""
    say(f"cannot make a world here: {failure.strerror}{place}; {_CANNOT}")
    return 1


def say(text: str) -> None:
    """Print a line to standard error."""
    with suppress(OSError):
        os.write(2, f"dockwright: {text}\n".encode())


def first_process(
    world: World,
    groups: list[Path],
    wrapper: int,
    ways: Ways,
    interrupted: object,
) -> NoReturn:
    """Arrange the world from inside, run its command, and exit as that does.

    Args:
        world: the world.
        groups: its control groups.
        wrapper: the process that must not be dead already (a pidfd).
        ways: what leads out of its network.
        interrupted: what the command does at Ctrl-C.
    """
    code = 1
    try:
        kernel.end_with_parent()
        if select.select([wrapper], [], [], 0)[0]:
            os._exit(code)
        log = os.open(world.directory / "engine.log", os.O_CREAT | os.O_RDWR, 0o600)
        notes = _opened_notes(world.plan.notes)
        directory = _separate(world, groups)
        if ways.ports is not None:
            relay.listen(world.reached, ways.ports)
        if ways.out is not None:
            ways.out.wait(directory)
        _close_what_leads_out({log, notes})
        engine = WorldEngine(world.plan, log, notes) if world.plan.engine else None
        if engine and world.level == WORKER:
            engine.start()
        code = _Inside(engine).run(_start(world, interrupted))
    except OSError as failure:
        code = cannot_begin(failure)
    finally:
        os._exit(code)


def _close_what_leads_out(kept: set[int | None]) -> None:
    """Close what the first process opened outside: all processes inside can use it by ``/proc``.

    What was passed to the command by whoever started it, such as pipes of ``make``, stays.
    """
    for number in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        with suppress(OSError):  # the one with which the list was read
            if number > 2 and number not in kept and not os.get_inheritable(number):
                os.close(number)


def _opened_notes(path: str) -> int | None:
    """Open the file for notes while it is in sight."""
    with suppress(OSError):
        return os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600) if path else None
    return None


def _separate(world: World, groups: list[Path]) -> int:
    """Enter the world's namespaces, and return its directory, which may be out of sight then."""
    here = Path.cwd()
    separated = kernel.NEW_MOUNTS | kernel.NEW_IPC | kernel.NEW_UTS
    kernel.unshare(separated | (kernel.NEW_NETWORK if world.plan.net else 0))
    directory = os.open(world.directory, os.O_RDONLY | os.O_DIRECTORY)
    view.arrange(world.plan, world.directory)
    control_groups.enter(groups)
    if world.plan.net:
        kernel.raise_loopback()
    # The directory of before may be covered: `..` would lead to the home directory outside.
    os.chdir(here if here.is_dir() else "/")
    with suppress(OSError):  # records of several worlds are read together: few equal numbers
        _LAST_PID.write_text(str(int.from_bytes(os.urandom(2), "big") % (_PIDS // 2)))
    return directory


def _start(world: World, interrupted: object) -> int:
    """Start the command of the world, in its environment."""
    pid = os.fork()
    if pid:
        return pid
    try:
        environ = dict(os.environ)
        environ[WORLD], environ[LEVEL] = str(world.directory), world.level
        if world.level == RUN:
            for name in ENGINE_VARIABLES if world.plan.engine else ():
                environ.pop(name, None)
        else:
            environ.pop(PLAN)
            leave_outside(environ, world.plan)
        kernel.restore_signals()
        if interrupted is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.execvpe(world.command[0], world.command, environ)
    except OSError as failure:
        say(f"cannot run {world.command[0]!r}: {failure.strerror}")
    finally:
        os._exit(2)


class _Inside:
    """The first process at work: starts the engine when it is needed, and waits for the command.

    Args:
        engine: of the world; None: it has none of its own.
    """

    def __init__(self, engine: WorldEngine | None) -> None:
        self._engine = engine

    def run(self, command: int) -> int:
        """Wait until the command has ended, and return its exit code."""
        for number in _FORWARDED:
            signal.signal(number, lambda received, _: os.kill(command, received))
        woken, waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _nothing)
        while True:
            ended = self._reap(command)
            if ended is not None:
                return ended
            watched: list[int] = [woken]
            if self._engine and not self._engine.pid:
                watched.append(self._engine.listening.fileno())
            ready = select.select(watched, [], [])[0]
            if woken in ready:
                os.read(woken, 4096)
            elif self._engine:
                self._engine.start()

    def _reap(self, command: int) -> int | None:
        """Collect what has ended; return the exit code if the world ends with it."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 1
            if not pid:
                return None
            if pid == command:
                return exit_code(status)
            if self._engine and pid == self._engine.pid:
                say(self._engine.why_ended(exit_code(status)))
                return 1


def _nothing(number: int, frame: FrameType | None) -> None:
    """Be woken by a signal."""
