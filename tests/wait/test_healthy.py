"""Declared health checks, run by us in the container: quickly, boundedly, also without a shell."""

from __future__ import annotations

import io
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from dockwright.engine import Engine
from dockwright.errors import WaitCancelledError, WaitFailedError, WaitTimeoutError
from dockwright.model import Healthcheck, Json
from dockwright.wait import (
    CancelToken,
    ContainerTarget,
    Continue,
    Exec,
    Healthy,
    Ready,
    WaitOptions,
    health,
    until,
    wait_for,
)
from dockwright.wait.health import declared_healthcheck, probe_command
from tests._support.owned import Owned

pytestmark = pytest.mark.engine

LONG_S = 30.0
HOUR_NS = 3600 * 10**9
"""An interval at which the engine's own first probe never comes."""

Run = Callable[..., ContainerTarget]


@pytest.fixture
def run(engine: Engine, owned: Owned, scratch: str) -> Run:
    """Start a container with a script and a health check."""

    def start(
        script: str, *test: str, timeout_s: float = 10, image: str = scratch, **config: Json
    ) -> ContainerTarget:
        body: dict[str, Json] = {"HostConfig": {"NetworkMode": "none", "Init": True}}
        if test:
            body["Healthcheck"] = {
                "Test": list(test),
                "Interval": HOUR_NS,
                "Timeout": int(timeout_s * 10**9),
            }
        container = owned.run(image, "sh", "-c", script, **(body | config))
        return ContainerTarget(engine, container, name="db")

    return start


def commands_in(target: ContainerTarget) -> list[str]:
    return [" ".join(row) for row in target.engine.top(target.container_id)["Processes"]]


def test_a_check_is_run_long_before_the_engines_interval(run: Run) -> None:
    target = run("sleep 0.3; touch /tmp/ready; sleep 600", "CMD-SHELL", "test -f /tmp/ready")
    report = wait_for(target, Healthy(), timeout_s=LONG_S)
    assert 0.1 < report.elapsed_s < 10


def test_a_checks_arguments_reach_it_as_they_are(run: Run) -> None:
    target = run("touch '/tmp/a  $HOME\"'; sleep 600", "CMD", "test", "-f", '/tmp/a  $HOME"')
    wait_for(target, Healthy(), timeout_s=LONG_S)


def test_a_check_has_the_containers_environment_user_and_directory(run: Run) -> None:
    target = run(
        "sleep 600",
        "CMD-SHELL",
        '[ "$GREETING $(id -un) $PWD" = "hello nobody /data" ]',
        Env=["GREETING=hello"],
        User="nobody",
        WorkingDir="/data",
    )
    wait_for(target, Healthy(), timeout_s=LONG_S)


def test_the_error_for_a_failing_check_has_the_end_of_its_output(run: Run) -> None:
    target = run("echo started; sleep 600", "CMD-SHELL", "seq 1000; echo refused >&2; exit 2")
    with pytest.raises(WaitTimeoutError) as caught:
        wait_for(target, Healthy(), timeout_s=4)
    head, *rest = caught.value.message.splitlines()
    assert " for db to be healthy; last seen: its health check failed (run " in head
    assert head.endswith("998 999 1000 refused")
    assert ": exit code 2: " in head
    assert len(head) < 400
    assert rest == [
        f"  container {target.container_id[:12]} is running, health starting",
        "  last log lines:",
        "    started",
    ]


def test_a_container_that_exits_fails_the_wait_at_once(run: Run) -> None:
    target = run("echo no config; sleep 0.3; exit 3", "CMD", "false")
    with pytest.raises(WaitFailedError) as caught:
        wait_for(target, Healthy(), timeout_s=LONG_S)
    assert caught.value.elapsed_s < 10
    assert caught.value.message.endswith(
        ": it exited with code 3\n  last log lines:\n    no config"
    )


def test_a_disabled_check_asks_only_that_the_container_runs(run: Run) -> None:
    assert wait_for(run("sleep 600", "NONE"), Healthy(), timeout_s=LONG_S).elapsed_s < 5
    assert wait_for(run("sleep 600"), Healthy(), timeout_s=LONG_S).elapsed_s < 5


def test_a_check_may_be_given_instead_of_the_declared_one(run: Run) -> None:
    target = run("sleep 600", "CMD", "false")
    wait_for(target, Healthy(Healthcheck(("CMD", "true"))), timeout_s=LONG_S)


def test_a_hanging_check_is_ended_after_its_timeout_and_tried_again(run: Run) -> None:
    script = "test -f /tmp/hung && exit 0; touch /tmp/hung; exec sleep 599"
    target = run("sleep 600", "CMD-SHELL", script, timeout_s=0.2)
    report = wait_for(target, Healthy(), timeout_s=LONG_S)
    assert 1.0 < report.elapsed_s < 10
    assert not any("sleep 599" in command for command in commands_in(target))


def test_a_check_that_always_hangs_is_reported(run: Run) -> None:
    target = run("sleep 600", "CMD", "sleep", "599", timeout_s=0.1)
    with pytest.raises(
        WaitTimeoutError, match=r"\(run \d\): it took longer than its timeout of 100"
    ):
        wait_for(target, Healthy(), timeout_s=3)


TREE = "sleep 591 & (sleep 592 & sleep 593 &) ; sh -c 'sleep 594; true' & sleep 595; true"
"""A check that hangs, with children, a grandchild, and orphans."""


def wait_until_no_check_is_left(target: ContainerTarget) -> None:
    def look() -> Ready | Continue:
        left = [each for each in commands_in(target) if "sleep 59" in each or "/proc/up" in each]
        return Continue(f"left: {left}") if left else Ready()

    until(look, subject="the checks to end", timeout_s=10)


@pytest.mark.parametrize("image", ["scratch", "redis:7"], ids=["busybox", "debian"])
def test_a_check_that_hangs_leaves_none_of_its_processes(
    run: Run, scratch: str, image: str
) -> None:
    name = scratch if image == "scratch" else image
    target = run("exec sleep 600", "CMD-SHELL", TREE, timeout_s=0.1, image=name)
    with pytest.raises(WaitTimeoutError, match="took longer than its timeout"):
        wait_for(target, Healthy(), timeout_s=4)
    wait_until_no_check_is_left(target)


@pytest.mark.parametrize("image", ["scratch", "redis:7"], ids=["busybox", "debian"])
def test_a_check_that_outlives_the_wait_leaves_no_process(
    run: Run, scratch: str, image: str
) -> None:
    name = scratch if image == "scratch" else image
    target = run("exec sleep 600", "CMD-SHELL", TREE, image=name)
    with pytest.raises(WaitTimeoutError, match="has not ended yet"):
        wait_for(target, Healthy(), timeout_s=1)
    wait_until_no_check_is_left(target)


def test_a_failed_check_leaves_none_of_its_processes(run: Run) -> None:
    target = run("exec sleep 600", "CMD-SHELL", "sleep 591 & (sleep 592 &); exit 1")
    with pytest.raises(WaitTimeoutError, match=r"\(run [1-4]\): exit code 1, without output"):
        wait_for(target, Healthy(), timeout_s=3)
    wait_until_no_check_is_left(target)


@pytest.fixture
def without_shell(run: Run) -> Callable[..., ContainerTarget]:
    """Start a container without a shell; its check hangs and has a child in another session."""
    tree = "import subprocess as s; s.Popen(['sleep', '591'], start_new_session=True).wait()"

    def start(*test: str, timeout_s: float = 0.5) -> ContainerTarget:
        script = "rm /bin/sh /bin/dash /bin/bash; exec sleep 600"
        test = test or ("CMD", "python", "-c", tree)
        target = run(script, *test, timeout_s=timeout_s, image="python:3.11-slim")
        wait_for(target, Exec(["test", "!", "-e", "/bin/bash"]), timeout_s=LONG_S)
        return target

    return start


def test_without_a_shell_root_ends_a_check_that_hangs(
    without_shell: Callable[..., ContainerTarget],
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to end processes of a container")
    target = without_shell()
    with pytest.raises(WaitTimeoutError, match=r"\(run [2-9]\): it took longer than its timeout"):
        wait_for(target, Healthy(), timeout_s=4)
    wait_until_no_check_is_left(target)


def test_without_a_shell_others_wait_for_the_end_of_a_check_that_hangs(
    without_shell: Callable[..., ContainerTarget], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    target = without_shell("CMD", "sleep", "591")
    with pytest.raises(WaitTimeoutError, match="took longer than its timeout"):
        wait_for(target, Healthy(), timeout_s=4)
    assert len([each for each in commands_in(target) if "sleep 591" in each]) == 1


def test_a_container_without_a_shell_is_probed(run: Run) -> None:
    target = run(
        "rm /bin/sh; sleep 0.3; touch /tmp/ready; exec sleep 600", "CMD", "test", "-f", "/tmp/ready"
    )
    wait_for(target, Healthy(), timeout_s=LONG_S)


def test_a_container_whose_sleep_rejects_fractions_is_probed(run: Run) -> None:
    target = run(
        "rm /bin/sleep; printf '#!/bin/sh\\nexit 1' > /bin/sleep; chmod +x /bin/sleep;"
        " busybox sleep 0.5; touch /tmp/ready; exec busybox sleep 600",
        "CMD-SHELL",
        "test -f /tmp/ready",
    )
    wait_for(target, Healthy(), timeout_s=LONG_S)


@pytest.fixture
def bare_image(engine: Engine, owned: Owned, scratch: str) -> Iterator[str]:
    """An image that holds nothing but one static program, called /probe."""
    source = owned.create(scratch, "true")
    content = b"".join(engine.archive_out(source, "/bin/busybox"))
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        program = tar.extractfile("busybox")
        assert program is not None
        data = program.read()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("probe", "sleep", "test"):
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = 0o755, len(data)
            tar.addfile(entry, io.BytesIO(data))
    engine.sdk.api.import_image_from_data(buffer.getvalue(), repository=owned.name, tag="1")
    yield f"{owned.name}:1"
    owned.remove()
    engine.remove_image(f"{owned.name}:1")


def test_an_image_of_one_static_program_is_probed(
    engine: Engine, owned: Owned, bare_image: str
) -> None:
    healthcheck: Json = {"Test": ["CMD", "/test", "-d", "/proc"], "Interval": HOUR_NS}
    container = owned.run(
        bare_image, "/sleep", "600", Healthcheck=healthcheck, HostConfig={"NetworkMode": "none"}
    )
    wait_for(ContainerTarget(engine, container), Healthy(), timeout_s=LONG_S)
    never: Json = {"Test": ["CMD", "/test", "-d", "/never"], "Interval": HOUR_NS}
    other = owned.run(
        bare_image, "/sleep", "600", Healthcheck=never, HostConfig={"NetworkMode": "none"}
    )
    with pytest.raises(WaitTimeoutError, match="exit code 1, without output"):
        wait_for(ContainerTarget(engine, other), Healthy(), timeout_s=1)


def test_the_engines_own_verdict_counts_when_it_comes_first(run: Run) -> None:
    # Only the engine's probe succeeds: ours is another.
    target = run(
        "sleep 600",
        Healthcheck={"Test": ["CMD", "true"], "Interval": 10**9, "Timeout": 10**9},
    )
    report = wait_for(target, Healthy(Healthcheck(("CMD", "false"))), timeout_s=LONG_S)
    assert report.elapsed_s < 10


def test_a_verdict_from_before_the_wait_does_not_count(run: Run) -> None:
    target = run(
        "touch /tmp/ready; sleep 600",
        Healthcheck={"Test": ["CMD", "true"], "Interval": 10**8, "Timeout": 10**9},
    )
    engine, container = target.engine, target.container_id

    def engine_says_healthy() -> Ready | Continue:
        health = engine.inspect_container(container)["State"]["Health"]["Status"]
        return Ready() if health == "healthy" else Continue(health)

    until(engine_says_healthy, subject="the engine's verdict", timeout_s=LONG_S)
    with pytest.raises(WaitTimeoutError, match="health healthy"):
        wait_for(target, Healthy(Healthcheck(("CMD", "false"))), timeout_s=0.5)


def test_a_paused_container_is_awaited(run: Run) -> None:
    target = run("touch /tmp/ready; sleep 600", "CMD-SHELL", "test -f /tmp/ready")
    wait_for(target, Healthy(), timeout_s=LONG_S)
    target.engine.pause_container(target.container_id)
    threading.Timer(0.2, target.engine.unpause_container, [target.container_id]).start()
    wait_for(target, Healthy(), timeout_s=LONG_S)


def test_a_container_that_restarts_while_it_is_awaited_is_probed_on(run: Run) -> None:
    target = run(
        "echo x >> /data/n; test $(wc -l < /data/n) -gt 1 && touch /tmp/ready;"
        " test -f /tmp/ready || { sleep 0.3; exit 1; }; sleep 600",
        "CMD-SHELL",
        "test -f /tmp/ready",
        HostConfig={"RestartPolicy": {"Name": "on-failure"}, "NetworkMode": "none"},
    )
    wait_for(target, Healthy(), timeout_s=LONG_S)


def test_a_cancel_ends_the_wait_at_once(run: Run) -> None:
    target = run("sleep 600", "CMD", "sleep", "500")
    token = CancelToken()
    threading.Timer(0.3, token.cancel, ["web failed"]).start()
    with pytest.raises(WaitCancelledError, match=r"for db to be healthy .*: web failed") as caught:
        wait_for(target, Healthy(), timeout_s=LONG_S, options=WaitOptions(cancel=token))
    assert caught.value.elapsed_s < 5


def test_the_loop_in_the_container_ends_soon_after_its_reader(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LIFETIME_S", 1.0)
    target = run("sleep 600", "CMD", "false")
    with pytest.raises(WaitTimeoutError):
        wait_for(target, Healthy(), timeout_s=0.3)

    def look() -> Ready | Continue:
        loops = [each for each in commands_in(target) if "/proc/uptime" in each]
        return Continue(f"{len(loops)} loops run") if loops else Ready()

    until(look, subject="the loop to end", timeout_s=10)


def test_a_wait_outlasts_the_loops_lifetime(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LIFETIME_S", 0.3)
    target = run("sleep 1.2; touch /tmp/ready; sleep 600", "CMD-SHELL", "test -f /tmp/ready")
    wait_for(target, Healthy(), timeout_s=LONG_S)


def test_a_cheap_check_leaves_the_processor_mostly_idle(run: Run) -> None:
    target = run("sleep 600", "CMD-SHELL", "echo $$; exit 1")
    began = time.process_time()
    with pytest.raises(WaitTimeoutError) as caught:
        wait_for(target, Healthy(), timeout_s=2)
    runs = int(caught.value.message.partition("(run ")[2].partition(")")[0])
    assert runs <= 2 / 0.010
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    ("test", "shell", "argv"),
    [
        (("CMD", "a", "b c"), None, ["a", "b c"]),
        (("CMD-SHELL", "a | b"), None, ["/bin/sh", "-c", "a | b"]),
        (("CMD-SHELL", "a"), ["/bin/bash", "-eo", "pipefail", "-c"], "/bin/bash -eo pipefail -c a"),
        (("NONE",), None, []),
        ((), None, []),
    ],
)
def test_a_check_is_run_as_the_engine_would(
    test: tuple[str, ...], shell: list[str] | None, argv: list[str] | str
) -> None:
    wanted = argv.split() if isinstance(argv, str) else argv
    assert probe_command(Healthcheck(test), {"Shell": shell}) == wanted


@pytest.mark.parametrize(
    ("config", "healthcheck"),
    [
        ({}, None),
        ({"Healthcheck": None}, None),
        ({"Healthcheck": {"Test": []}}, None),
        ({"Healthcheck": {"Test": ["CMD", "a"]}}, Healthcheck(("CMD", "a"), timeout_s=30)),
        (
            {"Healthcheck": {"Test": ["CMD", "a"], "Timeout": 5 * 10**8}},
            Healthcheck(("CMD", "a"), timeout_s=0.5),
        ),
    ],
)
def test_the_declared_check_is_read_from_the_container(
    config: dict[str, object], healthcheck: Healthcheck | None
) -> None:
    assert declared_healthcheck(config) == healthcheck
