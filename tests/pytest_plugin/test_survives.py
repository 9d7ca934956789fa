"""Whatever fails below a hook of ours: one line says so, and the run goes on as it was."""

from __future__ import annotations

import pytest

from tests._support.suite import Suite, output

SOCKETS_FORBIDDEN = """
    import socket

    import pytest


    class Forbidden(socket.socket):
        def __new__(cls, *args, **kwargs):
            raise RuntimeError("A test tried to use socket.socket.")


    @pytest.hookimpl(trylast=True)
    def pytest_runtest_call(item):
        socket.socket = Forbidden
"""
"""As pytest-socket does it: from a test's call on, also for what its report needs."""

TESTS = """
    def test_plain(): pass

    def test_fails(stack):
        assert stack.project == ""

    def test_passes(stack): pass
"""

BREAKS = """
import {module}

def broken(*args, **kwargs):
    raise {error}

{module}.{name}  # exists, or nothing would be broken
{module}.{name} = {made}
"""

RAISES = "OSError(5, 'Input/output error')"


def breaking(*names: str, error: str = RAISES, made: str = "broken") -> str:
    """Return a conftest.py in which functions of dockwright raise."""
    places = (name.partition(":") for name in names)
    return "".join(
        BREAKS.format(module=module, name=attribute, error=error, made=made)
        for module, _, attribute in places
    )


@pytest.mark.engine
def test_a_failing_test_that_must_not_use_sockets_ends_nothing(suite: Suite) -> None:
    suite.write("conftest.py", SOCKETS_FORBIDDEN)
    suite.write("test_it.py", TESTS)
    result = suite.run()
    result.assert_outcomes(passed=2, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "no logs: RuntimeError: A test tried to use socket.socket." in output(result)
    assert "INTERNALERROR" not in output(result)
    assert suite.left() == []


REMOVAL = "wait until its stacks are removed: *"

BELOW_HOOKS: tuple[dict[str, str], ...] = (
    {
        "dockwright.pool.session:RunSession.prepare": "start stacks before a test asks for one",
        "dockwright.pool.session:RunSession.log_sections": "show the logs of *::test_fails",
        "dockwright.pool.session:RunSession.close": REMOVAL,
        "dockwright.pytest_plugin.run:Run.summary_lines": "say where the time went",
        "dockwright.pytest_plugin.run:Run.ask_git": "ask git which source was tested",
    },
    {
        "dockwright.pytest_plugin.run:Run.close": REMOVAL,
        "dockwright.pytest_plugin.run:Run.start_recording": "record this run",
    },
    {"dockwright.pytest_plugin.run:Run.conclude": "record and report this run"},
    {"dockwright.recording:Recorder.attempt": "record this run"},
    {
        "dockwright.recording:Recorder.set_up": "record this run",
        "dockwright.recording:Recorder.ended": "record this run",
    },
    {"dockwright.redact:Redactor.of": ""},
)
"""Functions that raise in one run, and what the run then says that it could not do."""

IN_WORKERS: tuple[dict[str, str], ...] = (
    {
        "dockwright.pytest_plugin.run:Run.receive": "collect what a worker recorded",
        "dockwright.pytest_plugin.run:Run.receive_worker_end": "collect what a worker did",
        "dockwright.pool.session:RunSession.close": REMOVAL,
    },
    {
        "dockwright.pytest_plugin.run:Run.worker_end": "hand over what a worker did",
        "dockwright.recording:Recorder.attempt": "record this run",
    },
)


def assert_each_is_one_line(result: pytest.RunResult, broken: dict[str, str]) -> None:
    result.assert_outcomes(passed=2, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "INTERNALERROR" not in output(result)
    for what in filter(None, broken.values()):
        result.stdout.fnmatch_lines([f"dockwright could not {what}: OSError: *Input/output error"])


@pytest.mark.soak(sample=3)
@pytest.mark.engine
@pytest.mark.parametrize("broken", BELOW_HOOKS, ids=lambda broken: ", ".join(broken))
def test_failures_below_hooks_are_one_line_each(suite: Suite, broken: dict[str, str]) -> None:
    suite.write("conftest.py", breaking(*broken))
    suite.write("test_it.py", TESTS)
    result = suite.run("--dockwright-record=on", "--junitxml=report.xml")
    assert_each_is_one_line(result, broken)
    assert "OSError(5" not in output(result)


@pytest.mark.engine
@pytest.mark.parametrize("broken", IN_WORKERS, ids=lambda broken: ", ".join(broken))
def test_failures_in_a_worker_are_one_line_each(suite: Suite, broken: dict[str, str]) -> None:
    suite.write("conftest.py", breaking(*broken))
    suite.write("test_it.py", TESTS)
    result = suite.run("-n", "1", "--dockwright-record=on")
    assert_each_is_one_line(result, broken)


@pytest.mark.engine
@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ("dockwright.recording.store:RunStore.add", "warning: could not save this run: OSError: *"),
        ("dockwright.recording.store:RunStore.history", "report: *report.html"),
        (
            "dockwright.recording.record:RunRecord.to_json",
            "dockwright could not record *: OSError: *",
        ),
    ],
)
def test_a_failing_store_or_report_changes_no_outcome(suite: Suite, broken: str, line: str) -> None:
    suite.write("conftest.py", breaking(broken))
    suite.write("test_it.py", "def test_it(stack): pass\n")
    reports = ["--dockwright-report=report.html", "--dockwright-report=report.json"]
    result = suite.run(*reports)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines([line])


@pytest.mark.soak(sample=2)
@pytest.mark.engine
@pytest.mark.parametrize(
    "broken",
    [
        "dockwright.pool.session:connect_engine",
        "dockwright.pool.session:find_endpoint",
        "dockwright.pool.client:PoolClient._connect",
        "dockwright.pool.client:PoolClient.declare",
        "dockwright.pool.client:PoolClient.acquire",
    ],
)
def test_a_test_without_a_stack_says_why_and_others_run(suite: Suite, broken: str) -> None:
    suite.write("conftest.py", breaking(broken, error="RuntimeError('no sockets here')"))
    suite.write("test_it.py", "def test_plain(): pass\n\ndef test_it(stack, docker_client): pass\n")
    result = suite.run()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["RuntimeError: no sockets here"])
    result.stdout.no_fnmatch_line("*/dockwright/*.py*")
    assert suite.left() == []


def test_settings_that_cannot_be_resolved_concern_only_tests_with_a_stack(
    bare: pytest.Pytester,
) -> None:
    bare.makepyfile(
        broken="""
        import dockwright.pytest_plugin.plugin

        def broken(*args, **kwargs):
            raise OSError(5, "Input/output error")

        dockwright.pytest_plugin.plugin.settings_of = broken
        """,
        test_it="def test_plain(): pass\n\ndef test_it(stack): pass\n",
    )
    bare.syspathinsert()
    result = bare.runpytest_subprocess("-p", "broken")
    result.assert_outcomes(passed=1, errors=1)
    text = "dockwright could not be set up, so that no test gets a stack: OSError: *"
    result.stdout.fnmatch_lines(["*= dockwright =*", text])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("KeyboardInterrupt()", pytest.ExitCode.INTERRUPTED),
        ("pytest.exit.Exception('enough')", pytest.ExitCode.INTERRUPTED),
        ("pytest.UsageError('not so')", pytest.ExitCode.USAGE_ERROR),
    ],
)
def test_exceptions_that_end_a_run_are_not_caught(
    bare: pytest.Pytester, error: str, code: pytest.ExitCode
) -> None:
    bare.makeconftest(
        "import pytest\n"
        "import dockwright.pytest_plugin.markers\n"
        f"def broken(item): raise {error}\n"
        "dockwright.pytest_plugin.markers.uses_stack = broken\n"
    )
    bare.makepyfile("def test_plain(): pass")
    assert bare.runpytest_subprocess().ret == code


@pytest.mark.engine
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_run_that_fails_though_all_tests_passed_says_why_last(suite: Suite, workers: str) -> None:
    suite.write(
        "conftest.py",
        """
        import dockwright.pool.session
        from dockwright.recording import Summary

        def close(self, close=dockwright.pool.session.PoolClient.close, **options):
            close(self, **options)
            return Summary(problems=("could not remove every stack:\\n  no answer",))

        dockwright.pool.session.PoolClient.close = close
        """,
    )
    suite.write("test_it.py", "def test_it(stack): pass\n")
    result = suite.run("-n", workers)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert [line for line in result.outlines if line][-1] == (
        "dockwright: no test failed, but the exit status is 1: could not remove every stack: "
        "(see the problems above)"
    )
