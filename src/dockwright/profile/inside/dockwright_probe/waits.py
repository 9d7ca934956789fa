"""Notes what blocks a thread: sleeps, subprocesses and their pipes, other threads."""

from __future__ import annotations

import functools
import io
import os
import time
from _thread import get_ident

from .log import LOG, clock, frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MOST_WORDS = 60
_LONGEST_WORD = 400
_LEAST_WAIT_S = 0.005
_LEAST_READ_S = 0.0002  # what has arrived already is read faster
_MAIN_THREAD = get_ident()


def patch_now() -> None:
    """Patch what every interpreter has from its start."""
    # By name: for a type checker they are functions of their own, not places for others.
    vars(time)["sleep"] = _sleeping(time.sleep)
    vars(os)["system"] = _system(os.system)


def same_name(wrapper: Any, real: Any, module: str) -> Any:
    """Let `wrapper` be pickled and shown as `real`."""
    wrapper.__name__, wrapper.__qualname__ = real.__name__, real.__qualname__
    wrapper.__module__, wrapper.__doc__ = module, real.__doc__
    return wrapper


def _sleeping(real: Callable[..., None]) -> Callable[..., None]:
    def sleep(*args: Any, **options: Any) -> None:
        __tracebackhide__ = True
        begin = clock()
        try:
            real(*args, **options)
        finally:
            LOG.span("sleep", begin, frames())

    wrapper: Callable[..., None] = same_name(sleep, real, "time")
    return wrapper


def _system(real: Callable[[Any], int]) -> Callable[[Any], int]:
    def system(command: Any) -> int:
        __tracebackhide__ = True
        begin = clock()
        try:
            return real(command)
        finally:
            LOG.span("system", begin, frames(), argv=words(command))

    wrapper: Callable[[Any], int] = same_name(system, real, "os")
    return wrapper


def words(command: Any) -> list[str]:
    """Return a command line as plain text; one word where it is a line for the shell."""
    parts = [command] if isinstance(command, (str, bytes, os.PathLike)) else list(command)
    return [os.fsdecode(part)[:_LONGEST_WORD] for part in parts[:_MOST_WORDS]]


def _patch_subprocess(module: Any) -> None:
    module.io = _PipesOfChildren()
    popen = module.Popen
    popen.__init__ = _spawning(popen.__init__)
    popen.wait = _waiting(popen.wait)
    popen.communicate = _waiting(popen.communicate)


def _spawning(real: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(real)
    def spawn(self: Any, args: Any, *rest: Any, **options: Any) -> None:
        __tracebackhide__ = True
        begin = clock()
        try:
            real(self, args, *rest, **options)
        finally:
            end = clock()
            for stream in (getattr(self, "stdout", None), getattr(self, "stderr", None)):
                raw = getattr(getattr(stream, "buffer", stream), "raw", stream)
                if isinstance(raw, _PipeOfChild):
                    raw.pid = getattr(self, "pid", None)
            record = {
                "pid": getattr(self, "pid", None),
                "argv": _shell_words(args),
                "cwd": os.fsdecode(options.get("cwd") or ""),
            }
            # Whatever its length: what is waited for later is told by its pid.
            LOG.write(("spawn", begin, end, get_ident(), frames(), record))

    return spawn


class _PipeOfChild(io.FileIO):
    """The end of a child's pipe that this process reads; notes what a read waits for."""

    pid: int | None = None

    def readinto(self, *args: Any) -> Any:
        __tracebackhide__ = True
        return self._noted(super().readinto, *args)

    def read(self, *args: Any) -> Any:
        __tracebackhide__ = True
        return self._noted(super().read, *args)

    def readall(self) -> Any:
        __tracebackhide__ = True
        return self._noted(super().readall)

    def _noted(self, real: Callable[..., Any], *args: Any) -> Any:
        __tracebackhide__ = True
        begin = clock()
        try:
            return real(*args)
        finally:
            if clock() - begin >= _LEAST_READ_S:
                LOG.span("wait", begin, frames(3), pid=self.pid)


class _PipesOfChildren:
    """Stands for the module ``io`` in ``subprocess``, where it only opens pipes of children."""

    def __getattr__(self, name: str) -> Any:
        return getattr(io, name)

    def open(self, file: Any, mode: str = "r", buffering: int = -1, **options: Any) -> Any:
        if not (isinstance(file, int) and mode == "rb") or options:
            return io.open(file, mode, buffering, **options)  # noqa: UP020 - as Popen does
        raw = _PipeOfChild(file, mode)
        if buffering == 0:
            return raw
        return io.BufferedReader(raw, buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE)


def _shell_words(args: Any) -> list[str]:
    try:
        return words(args)
    except TypeError:
        return []  # not a command line: Popen itself says so


def _waiting(real: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(real)
    def wait(self: Any, *args: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        begin = clock()
        try:
            return real(self, *args, **options)
        finally:
            LOG.span("wait", begin, frames(), pid=self.pid)

    return wait


def _patch_multiprocessing(module: Any) -> None:
    process = module.BaseProcess
    process.join = _joining(process.join)


def _joining(real: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(real)
    def join(self: Any, *args: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        begin = clock()
        result = real(self, *args, **options)
        LOG.span("wait", begin, frames(), pid=self.pid)  # a closed one has none: that raised
        return result

    return join


def _patch_threading(module: Any) -> None:
    module.Condition.wait = _waiting_for_thread(module.Condition.wait)
    module.Thread.join = _waiting_for_thread(module.Thread.join)


def _waiting_for_thread(real: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(real)
    def wait(self: Any, *args: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        if get_ident() != _MAIN_THREAD:
            return real(self, *args, **options)
        begin = clock()
        result = None
        try:
            result = real(self, *args, **options)
        finally:
            if clock() - begin >= _LEAST_WAIT_S:
                LOG.span("thread", begin, frames(), timed_out=result is False)
        return result

    return wait


def _patch_tasks(module: Any) -> None:
    real = module.sleep

    async def sleep(*args: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        begin = clock()
        done = False
        try:
            result = await real(*args, **options)
            done = True
        finally:
            LOG.span("async-sleep", begin, frames(), done=done)
        return result

    module.sleep = same_name(sleep, real, real.__module__)


def _patch_async_subprocess(module: Any) -> None:
    process = module.Process
    process.wait = _awaiting(process.wait)
    process.communicate = _awaiting(process.communicate)


def _awaiting(real: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(real)
    async def wait(self: Any, *args: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        begin = clock()
        try:
            return await real(self, *args, **options)
        finally:
            LOG.span("async-wait", begin, frames(), pid=self.pid, done=True)

    return wait


PATCHES: dict[str, Callable[[Any], None]] = {
    "subprocess": _patch_subprocess,
    "threading": _patch_threading,
    "multiprocessing.process": _patch_multiprocessing,
    "asyncio.tasks": _patch_tasks,
    "asyncio.subprocess": _patch_async_subprocess,
}
