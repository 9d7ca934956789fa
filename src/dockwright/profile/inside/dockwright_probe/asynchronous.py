"""Notes what coroutines wait for: sleeps and subprocesses of asyncio."""

from __future__ import annotations

import functools

from .blocking import same_name
from .log import LOG, clock, frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


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


def _patch_subprocess(module: Any) -> None:
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
    "asyncio.tasks": _patch_tasks,
    "asyncio.subprocess": _patch_subprocess,
}
