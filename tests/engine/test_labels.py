"""Whose a resource is, and whether its owner still lives."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.queues import Queue

import pytest

from dockwright.engine import (
    PREFIX,
    current_owner,
    owner_is_alive,
    ownership_labels,
    parse_ownership,
)
from dockwright.model import Owner, Ownership


def ownership(owner: Owner | None) -> Ownership:
    return Ownership(
        session="s1",
        project="p1",
        stack="shop",
        owner=owner,
        created=1700000000.125,
        version="0.1.0",
    )


def test_labels_are_read_back_as_they_were_written() -> None:
    mine = ownership(current_owner())
    labels = ownership_labels(mine)
    assert all(key.startswith(PREFIX) and isinstance(value, str) for key, value in labels.items())
    assert parse_ownership({**labels, "com.docker.compose.project": "x"}) == mine


def test_a_long_lived_stack_has_no_owner() -> None:
    assert parse_ownership(ownership_labels(ownership(None))) == ownership(None)


@pytest.mark.parametrize(
    ("key", "value"),
    [("owner.pid", "many"), ("owner.pid", None), ("created", "today"), ("session", None)],
)
def test_broken_labels_have_no_owner(key: str, value: str | None) -> None:
    labels = ownership_labels(ownership(current_owner()))
    if value is None:
        del labels[PREFIX + key]
    else:
        labels[PREFIX + key] = value
    assert parse_ownership(labels) is None


def test_labels_of_other_tools_have_no_owner() -> None:
    assert parse_ownership(None) is None
    assert parse_ownership({"session": "x"}) is None


def test_this_process_is_alive() -> None:
    assert current_owner().pid == os.getpid()
    assert owner_is_alive(current_owner())


def _child_owner() -> tuple[Owner, subprocess.Popen[bytes]]:
    code = (
        "from dockwright.engine import current_owner as o; import sys;"
        "c = o(); print(c.pid, c.started, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    pid, started = process.stdout.readline().split()
    return replace(current_owner(), pid=int(pid), started=float(started)), process


def test_another_process_is_alive_until_it_ends_also_as_a_zombie() -> None:
    owner, process = _child_owner()
    with process:
        assert owner_is_alive(owner)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, but not yet reaped
        assert not owner_is_alive(owner)
    assert not owner_is_alive(owner)


def test_a_later_process_with_the_same_pid_is_another() -> None:
    assert not owner_is_alive(replace(current_owner(), started=current_owner().started - 5))


def test_an_owner_of_another_boot_of_this_machine_is_dead() -> None:
    assert not owner_is_alive(replace(current_owner(), boot_id="another"))


def test_an_owner_on_another_machine_counts_as_alive() -> None:
    far = Owner(boot_id="another", pid=1, started=0.0, host="far/1/pid:[1]")
    assert owner_is_alive(far)


def _report(queue: Queue[Owner]) -> None:
    queue.put(current_owner())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12 on, with threads
def test_a_forked_child_is_an_owner_of_its_own() -> None:
    parent = current_owner()
    context = get_context("fork")
    queue: Queue[Owner] = context.Queue()
    child = context.Process(target=_report, args=(queue,))
    child.start()
    owner = queue.get(timeout=10)
    child.join(10)
    assert owner.pid == child.pid != parent.pid
    assert not owner_is_alive(owner)
