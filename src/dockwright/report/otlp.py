"""The report as OTLP spans, sent to a collector over HTTP; needs the extra ``dockwright[otlp]``.

One trace is one run: its tests, each with the parts of its time, and its stacks, each with what
happened to it. Attributes are named after OpenTelemetry's semantic conventions for tests and
version control, where these have a name.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from dockwright import __version__
from dockwright.errors import SettingsError
from dockwright.recording import RunRecord, Span, StackRecord, TestRecord
from dockwright.redact import Redactor
from dockwright.report.summary import FAILURES

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

_PATH = "/v1/traces"
_TIMEOUT_S = 5.0
_BATCH = 1000
_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
"""W3C Trace Context, as CI systems hand it on in the variable ``TRACEPARENT``."""


def require() -> None:
    """Check that the extra is installed.

    Raises:
        SettingsError: it is not.
    """
    try:
        found = find_spec("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError:  # of one of the packages above it
        found = None
    if found is None:
        raise SettingsError(
            "otlp: OpenTelemetry's exporter is not installed",
            hint="python -m pip install 'dockwright[otlp]'",
        )


def send(run: RunRecord, url: str, environ: Mapping[str, str]) -> str:
    """Send a run to a collector; return what a person should know of it.

    Args:
        run: without secrets.
        url: the collector's, with or without the path ``/v1/traces``.
        environ: the environment of the run.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import SpanExportResult

    shown = Redactor.of(environ)(url)
    with _quiet():
        exporter = OTLPSpanExporter(endpoint(url), timeout=_TIMEOUT_S)
        try:
            spans, sent = _Trace(run, environ).spans(), 0
            while batch := list(islice(spans, _BATCH)):
                if exporter.export(batch) is not SpanExportResult.SUCCESS:
                    return f"warning: {shown} accepted only {sent} spans of this run"
                sent += len(batch)
        finally:
            exporter.shutdown()  # type: ignore[no-untyped-call]  # the exporter's own omission
    return f"report: sent {sent} spans to {shown}"


def endpoint(url: str) -> str:
    """Return the address that takes spans."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith(_PATH) else path + _PATH))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own messages back: they hold the address, with its password."""
    logger = logging.getLogger("opentelemetry")
    handler, propagated = logging.NullHandler(), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = propagated
        logger.removeHandler(handler)


class _Trace:
    """Makes the spans of one run.

    Args:
        run: what happened.
        environ: may name the span that the run is a part of.
    """

    def __init__(self, run: RunRecord, environ: Mapping[str, str]) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._run = run
        above = _PARENT.fullmatch(environ.get("TRACEPARENT", ""))
        self._trace = int(above.group(1), 16) if above else secrets.randbits(128) or 1
        self._above = int(above.group(2), 16) if above else 0
        self._scope = InstrumentationScope("dockwright", __version__)
        self._resource = Resource.create(
            {"service.name": environ.get("OTEL_SERVICE_NAME", "pytest")}
        )

    def spans(self) -> Iterator[ReadableSpan]:
        """Return all spans; each after the one that it belongs to."""
        run = self._run
        facts: dict[str, str | int] = {
            "dockwright.run": run.id,
            "process.exit.code": run.exit_code,
            "vcs.ref.head.revision": run.git.revision,
            "vcs.ref.head.name": run.git.branch,
        }
        parent = self._context(self._above) if self._above else None
        root = self._span("pytest", 0.0, run.wall_s, parent, facts, failed=run.exit_code != 0)
        yield root
        for test in run.tests:
            yield from self._test(test, root.context)
        for stack in run.stacks:
            yield from self._stack(stack, root.context)

    def _test(self, test: TestRecord, parent: SpanContext) -> Iterator[ReadableSpan]:
        failed = test.outcome in FAILURES
        facts: dict[str, str | float] = {
            "test.case.name": test.nodeid,
            "test.suite.name": test.nodeid.partition("::")[0],
            "test.case.result.status": "fail" if failed else "pass",
            "dockwright.outcome": test.outcome,
            "dockwright.worker": test.worker,
            "dockwright.lane": test.lane,
            "dockwright.stack": test.stack,
            "dockwright.wall_s": round(test.wall_s, 6),
        }
        span = self._span(test.nodeid, test.began_s, test.elapsed_s, parent, facts, failed=failed)
        yield span
        for part in test.spans:
            if part.phase != "other":  # it is the sum of many
                yield self._part(part, span.context)

    def _stack(self, stack: StackRecord, parent: SpanContext) -> Iterator[ReadableSpan]:
        if not stack.spans:
            return
        began = min(span.began_s for span in stack.spans)
        ended = max(span.began_s + span.seconds for span in stack.spans)
        facts = {"dockwright.stack": stack.project}
        span = self._span(f"stack {stack.name}", began, ended - began, parent, facts)
        yield span
        for part in stack.spans:
            yield self._part(part, span.context)

    def _part(self, part: Span, parent: SpanContext) -> ReadableSpan:
        name = " ".join(each for each in (part.phase, part.name, part.step) if each)
        facts = {
            "dockwright.phase": part.phase,
            "dockwright.shared": part.shared,
            "dockwright.certain": part.certain,
        }
        return self._span(name, part.began_s, part.seconds, parent, facts)

    def _context(self, span: int) -> SpanContext:
        from opentelemetry.trace import SpanContext, TraceFlags

        return SpanContext(self._trace, span, is_remote=False, trace_flags=TraceFlags(1))

    def _span(
        self,
        name: str,
        began_s: float,
        seconds: float,
        parent: SpanContext | None,
        facts: Mapping[str, str | float],
        *,
        failed: bool = False,
    ) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.status import Status, StatusCode

        begin = self._run.began_s + began_s
        return ReadableSpan(
            name,
            context=self._context(secrets.randbits(64) or 1),
            parent=parent,
            resource=self._resource,
            attributes={key: value for key, value in facts.items() if value != ""},
            kind=SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
            start_time=_nanoseconds(begin),
            end_time=_nanoseconds(begin + seconds),
            instrumentation_scope=self._scope,
        )


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
