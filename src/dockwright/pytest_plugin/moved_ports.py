"""Explains a refused connection to a host port that the Compose file declares and a copy has not.

A copy of a stack has host ports of its own, so that several can run at once. A suite that connects
to the declared ones finds nothing there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from dockwright.untrusted import printable

if TYPE_CHECKING:
    import pytest

    from dockwright.pool import Lease

_REFUSED = re.compile(r"refused|errno 111\b|errno 61\b|could not connect|cannot connect", re.I)
_LONGEST = 2000  # of a local variable's text: longer ones are no addresses


def moved_ports(
    report: pytest.TestReport, call: pytest.CallInfo[None], leases: Iterable[Lease]
) -> list[tuple[str, str]]:
    """Return a section for the report of a failed test; none if its failure has another cause.

    Args:
        report: of the failed test.
        call: the phase that failed.
        leases: of the stacks that the test uses.
    """
    texts = [report.longreprtext, *(content for _, content in report.sections)]
    if not any(map(_REFUSED.search, texts)):
        return []
    error = call.excinfo.value if call.excinfo is not None else None
    named = {word for text in [*texts, *_values(error)] for word in re.findall(r"\d+", text)}
    lines = [line for lease in leases for line in _explained(lease, named)]
    return [("dockwright", printable("\n".join(dict.fromkeys(lines))))] if lines else []


def _explained(lease: Lease, named: set[str]) -> Iterator[str]:
    for unit, ports in lease.facts.declared.items():
        published = lease.published(unit)
        for port, host_port in ports.items():
            given = published.get(port, "").rpartition(":")[2]
            if host_port in named and given and given != host_port:
                number = port.partition("/")[0]
                yield (
                    f"{host_port} is declared for {unit}; this copy of the stack has {given}: use "
                    f'stack.address("{unit}", {number}), or set dockwright_ports = declared'
                )


def _values(error: BaseException | None) -> Iterator[str]:
    """Return the numbers and texts that the code had at hand where an error passed through it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield str(error)
        yield from _locals(error.__traceback__)
        error = error.__cause__ or error.__context__


def _locals(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        for value in list(trace.tb_frame.f_locals.values()):
            parts = value if isinstance(value, tuple | list) else (value,)
            for part in parts[:9]:
                if isinstance(part, int | str):
                    yield str(part)[:_LONGEST]
        trace = trace.tb_next
