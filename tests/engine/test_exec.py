"""Commands in a container: output, exit codes, timeouts, ending the reading."""

from __future__ import annotations

import os
import threading
import time

import pytest

from dockwright.engine import Engine
from dockwright.errors import EngineTimeoutError, NoSuchObjectError
from tests._support.owned import Owned

pytestmark = pytest.mark.engine


@pytest.fixture
def container(owned: Owned, scratch: str) -> str:
    return owned.run(scratch, "sleep", "600")


def test_stdout_and_stderr_are_separate(engine: Engine, container: str) -> None:
    result = engine.exec(container, ["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (result.exit_code, result.stdout, result.stderr) == (3, b"out\n", b"err\n")


def test_user_directory_and_environment_are_passed_on(engine: Engine, container: str) -> None:
    result = engine.exec(
        container,
        ["sh", "-c", "id -un; cd .; echo $PWD $GREETING"],
        user="nobody",
        workdir="/data",
        env={"GREETING": "hello"},
    )
    assert result.stdout.decode().split() == ["nobody", "/data", "hello"]


def test_large_output_arrives_whole(engine: Engine, container: str) -> None:
    result = engine.exec(container, ["sh", "-c", "yes 0123456789 | head -c 3000000"])
    assert len(result.stdout) == 3_000_000
    assert result.stdout.startswith(b"0123456789\n0123456789\n")


def test_a_command_that_takes_too_long_is_a_timeout(engine: Engine, container: str) -> None:
    began = time.monotonic()
    with pytest.raises(EngineTimeoutError, match=r"'sleep 30' in container .* longer than 0.3 s"):
        engine.exec(container, ["sleep", "30"], timeout_s=0.3)
    assert time.monotonic() - began < 5


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to end processes of a container")
def test_root_ends_a_command_that_takes_too_long_and_what_it_has_started(
    engine: Engine, container: str
) -> None:
    tree = "sleep 31 & (sleep 32 &) ; sh -c 'sleep 33; true'"
    with pytest.raises(EngineTimeoutError) as caught:
        engine.exec(container, ["sh", "-c", tree], timeout_s=0.5)
    assert caught.value.hint == "allow it more time, or find out why it hangs"
    rows = engine.top(container)["Processes"]
    assert [row[-1] for row in rows if "Z" not in row and "defunct" not in row[-1]] == ["sleep 600"]


def test_the_error_says_that_the_command_may_still_run(
    engine: Engine, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EngineTimeoutError) as caught:
        engine.exec(container, ["sleep", "30"], timeout_s=0.3)
    assert caught.value.hint == (
        "allow it more time, or find out why it hangs; it may still run there"
    )


def test_a_command_that_does_not_exist_has_the_shells_exit_code(
    engine: Engine, container: str
) -> None:
    assert engine.exec(container, ["no-such-command"]).exit_code in {126, 127}


def test_a_container_that_is_gone_is_named(engine: Engine) -> None:
    with pytest.raises(NoSuchObjectError, match="cannot exec in container no-such-container"):
        engine.exec("no-such-container", ["true"])


def test_stream_yields_output_while_the_command_runs(engine: Engine, container: str) -> None:
    with engine.exec_stream(container, ["sh", "-c", "echo first; cat /data/never; sleep 60"]) as it:
        pieces = iter(it)
        # Their order is not that of the command: engines read each stream on its own.
        first = dict([next(pieces), next(pieces)])
        assert first.keys() == {"stdout", "stderr"}
        assert first["stdout"] == b"first\n"
        assert it.exit_code() is None


def test_closing_from_another_thread_ends_the_reading_at_once(
    engine: Engine, container: str
) -> None:
    stream = engine.exec_stream(container, ["sh", "-c", "echo ready; sleep 60"])
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


def test_exit_code_of_a_stream_is_known_after_its_end(engine: Engine, container: str) -> None:
    with engine.exec_stream(container, ["sh", "-c", "exit 7"]) as stream:
        assert list(stream) == []
        assert stream.exit_code() == 7


def test_a_command_that_closes_its_output_is_waited_for(engine: Engine, container: str) -> None:
    result = engine.exec(container, ["sh", "-c", "exec >&- 2>&-; sleep 0.4; exit 5"])
    assert result.exit_code == 5
    with pytest.raises(EngineTimeoutError, match=r"longer than 0\.3 s"):
        engine.exec(container, ["sh", "-c", "exec >&- 2>&-; sleep 30"], timeout_s=0.3)


def test_a_session_is_spoken_to(engine: Engine, container: str) -> None:
    with engine.exec_session(container, ["cat"]) as session:
        output = session.output()
        for word in (b"one\n", b"two\n"):
            session.write(word)
            assert next(output) == ("stdout", word)
