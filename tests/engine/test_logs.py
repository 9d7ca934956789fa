"""Logs, line by line: streams, times, following, terminals, endless lines."""

from __future__ import annotations

import threading
import time
import tracemalloc

import pytest

from dockwright.engine import Engine, LogLine
from dockwright.engine.logs import split_lines
from dockwright.errors import NoSuchObjectError
from tests._support.owned import Owned

WRITE = "echo one; echo two >&2; echo three"


def wait_for_end(engine: Engine, container: str) -> None:
    with engine.logs(container, follow=True) as lines:
        for _ in lines:
            pass


@pytest.mark.engine
def test_lines_know_their_stream(engine: Engine, owned: Owned, scratch: str) -> None:
    container = owned.run(scratch, "sh", "-c", WRITE)
    wait_for_end(engine, container)
    lines = list(engine.logs(container))
    assert sorted(lines, key=lambda line: line.text) == [
        LogLine("stdout", "one"),
        LogLine("stdout", "three"),
        LogLine("stderr", "two"),
    ]


@pytest.mark.engine
def test_tail_times_and_intervals(engine: Engine, owned: Owned, scratch: str) -> None:
    container = owned.run(scratch, "sh", "-c", "for i in 1 2 3 4 5; do echo $i; done")
    wait_for_end(engine, container)
    assert [line.text for line in engine.logs(container, tail=2)] == ["4", "5"]
    lines = list(engine.logs(container, timestamps=True))
    assert [line.text for line in lines] == ["1", "2", "3", "4", "5"]
    times = [line.time_s for line in lines if line.time_s is not None]
    assert len(times) == 5
    assert times == sorted(times)
    assert list(engine.logs(container, since=times[-1] + 5)) == []
    assert list(engine.logs(container, until=times[0] - 5)) == []
    assert len(list(engine.logs(container, since=times[0] - 5))) == 5


@pytest.mark.engine
def test_a_terminals_output_is_one_stream(engine: Engine, owned: Owned, scratch: str) -> None:
    container = owned.run(scratch, "sh", "-c", WRITE, Tty=True)
    wait_for_end(engine, container)
    assert list(engine.logs(container)) == [
        LogLine("stdout", "one"),
        LogLine("stdout", "two"),
        LogLine("stdout", "three"),
    ]


@pytest.mark.engine
def test_following_ends_with_the_container(engine: Engine, owned: Owned, scratch: str) -> None:
    container = owned.run(scratch, "sh", "-c", "echo begun; cat; echo ended", OpenStdin=True)
    lines = iter(engine.logs(container, follow=True))
    assert next(lines).text == "begun"
    engine.kill_container(container)
    assert list(lines) == []


@pytest.mark.engine
@pytest.mark.parametrize("tty", [False, True])
def test_closing_from_another_thread_ends_the_following_at_once(
    engine: Engine, owned: Owned, scratch: str, tty: bool
) -> None:
    container = owned.run(scratch, "sh", "-c", "echo ready; sleep 600", Tty=tty)
    stream = engine.logs(container, follow=True)
    ready, ended = threading.Event(), threading.Event()

    def read() -> None:
        for _ in stream:
            ready.set()
        ended.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert ready.wait(10)
    began = time.monotonic()
    stream.close()
    assert ended.wait(1)
    assert time.monotonic() - began < 0.5
    reader.join()


@pytest.mark.engine
def test_a_follow_may_be_silent_for_longer_than_any_timeout(
    engine: Engine, owned: Owned, scratch: str
) -> None:
    from dockwright.engine import Endpoint, connect

    impatient = connect(Endpoint(engine.endpoint.url, "impatient"), timeout_s=2.0)
    container = owned.run(scratch, "sh", "-c", "sleep 3; echo late")
    assert [line.text for line in impatient.logs(container, follow=True)] == ["late"]
    impatient.close()


@pytest.mark.engine
def test_an_endless_line_is_never_held(engine: Engine, owned: Owned, scratch: str) -> None:
    megabytes = 24
    command = f"yes 0123456789abcde | tr -d '\\n' | head -c {megabytes}000000"
    container = owned.run(
        scratch, "sh", "-c", command, HostConfig={"LogConfig": {"Type": "json-file"}}
    )
    wait_for_end(engine, container)
    tracemalloc.start()
    total, longest = 0, 0
    for line in engine.logs(container):
        total += len(line.text)
        longest = max(longest, len(line.text))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == megabytes * 1_000_000
    assert longest == 64 * 1024
    assert peak < 2_000_000


@pytest.mark.engine
def test_a_container_that_is_gone(engine: Engine) -> None:
    with pytest.raises(NoSuchObjectError, match="cannot read log of no-such-container"):
        engine.logs("no-such-container")


def test_pieces_are_joined_to_lines_for_each_stream() -> None:
    pieces = [
        ("stdout", b"a"),
        ("stderr", b"X\nY"),
        ("stdout", b"b\n\nc\n"),
        ("stderr", b"Z"),
    ]
    assert list(split_lines(iter(pieces))) == [  # type: ignore[arg-type]  # literals read as str
        ("stderr", b"X"),
        ("stdout", b"ab"),
        ("stdout", b""),
        ("stdout", b"c"),
        ("stderr", b"YZ"),
    ]
