"""Waiting for native processes: their log, their commands, their exit; several conditions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockwright.errors import UsageError, WaitFailedError, WaitTimeoutError
from dockwright.wait import (
    Cadence,
    Exec,
    Exited,
    File,
    Healthy,
    Log,
    ProcessExited,
    ProcessTarget,
    Running,
    Target,
    WaitOptions,
    all_of,
    any_of,
    poll_for_service_health,
    wait_for,
)

Launch = Callable[[str], ProcessTarget]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Start Python code whose output goes to a file, as the stack does it."""
    started: list[subprocess.Popen[bytes]] = []

    def run(code: str) -> ProcessTarget:
        log = tmp_path / f"{len(started)}.log"
        with log.open("wb") as output:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-u", "-c", f"import time\n{code}"],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=tmp_path,
                )
            )
        return ProcessTarget(started[-1], "worker", log_file=log, cwd=tmp_path)

    yield run
    for process in started:
        process.kill()
        process.wait()


def test_a_line_is_found_in_the_file_that_a_process_writes(launch: Launch) -> None:
    target = launch("time.sleep(0.2)\nprint('ready on 8080')\ntime.sleep(600)")
    assert wait_for(target, Log(r"ready on \d+"), timeout_s=20).value == "ready on 8080"


def test_lines_are_counted(launch: Launch) -> None:
    target = launch("print('tick 1')\nprint('tock')\nprint('tick 2')\ntime.sleep(600)")
    assert wait_for(target, Log("^tick", times=2), timeout_s=20).value == "tick 2"


def test_a_last_line_without_an_end_counts_once_the_process_has_exited(launch: Launch) -> None:
    target = launch("print('done', end='')")
    assert wait_for(target, Log("done"), timeout_s=20).value == "done"


def test_a_process_that_exits_ends_the_wait_with_code_and_log(launch: Launch) -> None:
    target = launch("print('starting')\nprint('no database')\nraise SystemExit(3)")
    with pytest.raises(WaitFailedError) as caught:
        wait_for(target, File("never"), timeout_s=20)
    head, *rest = caught.value.message.splitlines()
    assert head.startswith("stopped waiting for worker to make the file never after ")
    assert head.endswith(": it exited with code 3")
    assert rest == ["  last log lines:", "    starting", "    no database"]


def test_the_error_names_the_signal_that_ended_a_process(launch: Launch) -> None:
    target = launch("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(WaitFailedError, match="it was ended by signal 9\n  it logged nothing"):
        wait_for(target, Log("ready"), timeout_s=20)


def test_a_timeout_shows_the_state_and_the_last_lines(launch: Launch) -> None:
    target = launch("print('warming up')\ntime.sleep(600)")
    wait_for(target, Log("warming"), timeout_s=20)
    with pytest.raises(WaitTimeoutError) as caught:
        wait_for(target, Log("ready", times=2), timeout_s=0.3)
    assert caught.value.message.splitlines()[1:] == [
        f"  process {target.process.pid} is running",
        "  last log lines:",
        "    warming up",
    ]
    assert "no line matched, the last is 'warming up'" in caught.value.message


def test_a_command_that_takes_too_long_is_killed_with_what_it_has_started(launch: Launch) -> None:
    target = launch("time.sleep(600)")
    marker = f"6{target.process.pid}"
    with pytest.raises(WaitTimeoutError, match=r"took longer than|has not ended yet"):
        wait_for(target, Exec(f"sleep {marker} & sleep {marker}"), timeout_s=0.5)
    wait_for(Target(), ProcessExited(f"sleep {marker}"), timeout_s=20)


def test_only_the_last_twenty_lines_are_shown(launch: Launch) -> None:
    target = launch("print(*range(100), sep='\\n')\nraise SystemExit(1)")
    with pytest.raises(WaitFailedError) as caught:
        wait_for(target, Log("ready"), timeout_s=20)
    shown = caught.value.message.splitlines()[2:]
    assert shown == [f"    {number}" for number in range(80, 100)]


def test_a_line_without_end_does_not_grow_in_memory(launch: Launch) -> None:
    code = (
        "for _ in range(50): print('x' * 10**5, end='')\nprint()\nprint('ready')\ntime.sleep(600)"
    )
    assert wait_for(launch(code), Log("^ready$"), timeout_s=20).value == "ready"


def test_an_exit_is_awaited_by_its_event(launch: Launch) -> None:
    events_only = WaitOptions(cadence=Cadence(first_s=30, ceiling_s=30))
    target = launch("time.sleep(0.2)")
    report = wait_for(target, Exited(0), timeout_s=20, options=events_only)
    assert (report.value, report.elapsed_s < 10) == (0, True)


def test_another_exit_code_is_a_failure(launch: Launch) -> None:
    with pytest.raises(WaitFailedError, match=r"for worker to exit with code 0 .* with code 4"):
        wait_for(launch("raise SystemExit(4)"), Exited(0), timeout_s=20)


def test_running_means_not_exited(launch: Launch) -> None:
    target = launch("time.sleep(600)")
    assert wait_for(target, Running()).attempts == 1
    assert poll_for_service_health(target)
    target.process.kill()
    target.process.wait()
    assert not poll_for_service_health(target)


def test_a_command_is_run_in_the_targets_directory_until_it_succeeds(
    launch: Launch, tmp_path: Path
) -> None:
    target = launch("time.sleep(0.2)\nopen('made', 'w').write('yes')\ntime.sleep(600)")
    assert wait_for(target, Exec("cat made | grep yes"), timeout_s=20).value == "yes\n"


@pytest.mark.parametrize(
    ("strategy", "seen"),
    [
        (Exec("echo no such table >&2; exit 2"), "exit code 2: no such table"),
        (Exec(("false",)), "exit code 1, without output"),
        (Exec(("true",), code=1), "exit code 0, without output"),
        (
            Exec(("no-such-command",)),
            "exit code 127: .* No such file .*: 'no-such-command'",
        ),
        (Exec("sleep 600", attempt_s=0.1), "the command took longer than 0.1 s"),
    ],
)
def test_a_failing_command_is_reported(strategy: Exec, seen: str) -> None:
    with pytest.raises(WaitTimeoutError, match=f"last seen: {seen}"):
        wait_for(Target(), strategy, timeout_s=0.5)


def test_all_conditions_have_to_hold(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.touch()
    both = all_of(File(one), File(two))
    with pytest.raises(WaitTimeoutError) as caught:
        wait_for(Target(), both, timeout_s=0)
    assert f"for this host to make the file {one} and to make the file {two}" in str(caught.value)
    assert f"last seen: to make the file {two}: {two} does not exist" in str(caught.value)
    two.touch()
    assert wait_for(Target(), both).value == (one, two)


def test_one_of_several_conditions_is_enough(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    either = any_of(File(one), File(two))
    with pytest.raises(WaitTimeoutError, match=r"1 does not exist; .*2 does not exist"):
        wait_for(Target(), either, timeout_s=0)
    two.touch()
    assert wait_for(Target(), either).value == two


def test_any_of_fails_when_all_have_failed(launch: Launch) -> None:
    with pytest.raises(WaitFailedError, match="it exited with code 2"):
        wait_for(launch("raise SystemExit(2)"), any_of(Log("a"), File("b")), timeout_s=20)


def test_all_of_fails_with_the_first_that_fails(launch: Launch) -> None:
    with pytest.raises(WaitFailedError, match="it exited with code 2"):
        wait_for(launch("raise SystemExit(2)"), all_of(Exited(0), Exited(2)), timeout_s=20)


@pytest.mark.parametrize("combine", [all_of, any_of])
def test_a_combination_of_nothing_is_refused(combine: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="at least one condition is required"):
        combine()


def test_a_condition_that_a_target_cannot_meet_is_refused(launch: Launch) -> None:
    with pytest.raises(UsageError, match="for the log of this host: it is neither a container nor"):
        wait_for(Target(), Log("x"))
    with pytest.raises(UsageError, match="for worker to be healthy: only containers have a health"):
        wait_for(launch("time.sleep(600)"), Healthy())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Log("("), r"'\(' is not a regular expression"),
        (lambda: Log("x", times=0), "lines to wait for is 1 or more, not 0"),
        (lambda: Log("x", stream="out"), "a stream is stdout or stderr, not 'out'"),  # type: ignore[arg-type]  # meant
        (lambda: Exec(()), "the command is empty"),
    ],
)
def test_an_impossible_condition_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
