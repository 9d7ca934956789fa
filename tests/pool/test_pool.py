"""Leases on real stacks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.engine import PREFIX, Engine
from dockwright.engine.http import Transport
from dockwright.errors import (
    DockwrightError,
    LeaseClosedError,
    LeaseError,
    PoolClosedError,
    UnknownServiceError,
)
from dockwright.pool import Lease, Pool, SeedKey
from dockwright.stack import COMPOSE_PROJECT
from tests._support import served
from tests._support.engine.scratch import SCRATCH
from tests._support.project import free_port
from tests.pool.conftest import PoolMaker, eventually, exclusively, shared

pytestmark = pytest.mark.engine
WAIT_S = 60.0


def dirty(lease: Lease) -> None:
    assert lease.leased.exec("box", ["touch", "/dirty"]).exit_code == 0


def is_clean(lease: Lease) -> bool:
    return lease.leased.exec("box", ["test", "-e", "/dirty"]).exit_code == 1


def test_readers_share_one_stack(make_pool: PoolMaker) -> None:
    pool = make_pool()
    with ThreadPoolExecutor(6) as threads:
        leases = list(
            threads.map(
                lambda number: pool.acquire(shared(f"reader {number}"), timeout_s=WAIT_S), range(6)
            )
        )
    assert len({lease.leased.project for lease in leases}) == 1
    assert pool.statistics().started == 1
    for lease in leases:
        pool.release(lease)
    assert [stack["state"] for stack in pool.statistics().stacks] == ["clean"]
    assert pool.statistics().resets == 0


def test_every_exclusive_lease_starts_from_the_baseline(make_pool: PoolMaker) -> None:
    pool = make_pool()
    for number in range(4):
        lease = pool.acquire(exclusively(f"writer {number}"), timeout_s=WAIT_S)
        assert is_clean(lease)
        dirty(lease)
        pool.release(lease)


def test_writers_are_never_together_and_never_with_readers(make_pool: PoolMaker) -> None:
    pool = make_pool(max_stacks=1)
    inside: list[str] = []
    overlaps: list[list[str]] = []

    def use(kind: str, number: int) -> None:
        require = exclusively if kind == "writer" else shared
        # The first word stands for a process: one that holds a stack and waits gets one more.
        lease = pool.acquire(require(f"{number} {kind}"), timeout_s=WAIT_S)
        inside.append(kind)
        if "writer" in inside and len(inside) > 1:
            overlaps.append(list(inside))
        assert is_clean(lease)
        if kind == "writer":
            dirty(lease)
        inside.remove(kind)
        pool.release(lease)

    with ThreadPoolExecutor(5) as threads:
        jobs = [
            threads.submit(use, kind, number)
            for number, kind in enumerate(["reader", "writer", "reader", "writer", "reader"])
        ]
    for job in jobs:
        job.result()
    assert overlaps == []


def test_a_lease_cannot_be_used_after_its_end(make_pool: PoolMaker) -> None:
    pool = make_pool()
    lease = pool.acquire(shared("tests/test_a.py::test_reads"), timeout_s=WAIT_S)
    pool.release(lease)
    pool.release(lease)  # twice does no harm
    with pytest.raises(LeaseClosedError) as caught:
        lease.leased.exec("box", ["true"])
    assert "after the lease of tests/test_a.py::test_reads ended" in str(caught.value)


def test_a_wait_for_a_stack_times_out(make_pool: PoolMaker) -> None:
    pool = make_pool(max_stacks=1)
    held = pool.acquire(exclusively("1 holder"), timeout_s=WAIT_S)
    with pytest.raises(LeaseError) as caught:
        pool.acquire(exclusively("2 waiter"), timeout_s=0.2)
    pool.release(held)
    assert "became free for 2 waiter" in str(caught.value)
    assert "held by: 1 holder" in str(caught.value)


def test_a_stopped_container_is_back_for_the_next_one(make_pool: PoolMaker) -> None:
    pool = make_pool(max_stacks=1)
    lease = pool.acquire(exclusively("breaker"), timeout_s=WAIT_S)
    lease.leased.kill("box")
    pool.release(lease)
    lease = pool.acquire(shared("next"), timeout_s=WAIT_S)
    assert lease.leased.exec("box", ["echo", "alive"]).stdout == "alive\n"
    pool.release(lease)


def test_a_stack_broken_by_a_reader_is_not_leased_again(make_pool: PoolMaker) -> None:
    pool = make_pool(max_stacks=1)
    lease = pool.acquire(shared("vandal"), timeout_s=WAIT_S)
    lease.leased.kill("box")
    pool.release(lease)
    for number in range(3):
        lease = pool.acquire(shared(f"next {number}"), timeout_s=WAIT_S)
        assert lease.leased.exec("box", ["echo", "alive"]).stdout == "alive\n"
        pool.release(lease)


def test_a_removed_container_gets_the_whole_stack_replaced(
    make_pool: PoolMaker, engine: Engine
) -> None:
    pool = make_pool(max_stacks=1)
    lease = pool.acquire(exclusively("destroyer"), timeout_s=WAIT_S)
    engine.remove_container(lease.leased.container("box"))
    pool.release(lease)
    lease = pool.acquire(exclusively("next"), timeout_s=WAIT_S)
    assert is_clean(lease)
    pool.release(lease)


def test_a_stack_that_cannot_start_fails_its_waiters_with_the_reason(
    make_pool: PoolMaker, engine: Engine, scratch: str, tmp_path: Path, session_id: str
) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(
        f"services: {{box: {{image: '{scratch}', command: [sh, -c, 'echo no luck; exit 3'],"
        "healthcheck: {test: [CMD, 'false']}}}"
    )
    pool = make_pool(files={"broken": file})
    with ThreadPoolExecutor(2) as threads:
        jobs = [
            threads.submit(pool.acquire, shared(str(number), "broken"), timeout_s=WAIT_S)
            for number in range(2)
        ]
    for job in jobs:
        failure = job.exception()
        assert isinstance(failure, DockwrightError)
        assert "exited with code 3" in str(failure)
        assert "no luck" in str(failure)
    with pytest.raises(DockwrightError, match="exited with code 3"):  # and again, at once
        pool.acquire(shared("later", "broken"), timeout_s=WAIT_S)


def test_an_unknown_stack_names_those_that_are_declared(make_pool: PoolMaker) -> None:
    with pytest.raises(UnknownServiceError) as caught:
        make_pool().acquire(shared("somebody", "mail"), timeout_s=WAIT_S)
    assert str(caught.value) == "no stack 'mail' is declared\n  hint: the stacks are: tiny"


def test_closing_ends_waits_and_starts(make_pool: PoolMaker) -> None:
    pool = make_pool(max_stacks=1)
    held = pool.acquire(exclusively("1 holder"), timeout_s=WAIT_S)
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            pool.acquire(exclusively("2 waiter"), timeout_s=WAIT_S)
        except PoolClosedError as failure:
            failures.append(failure)

    waiter = threading.Thread(target=wait)
    waiter.start()
    pool.close()
    waiter.join(WAIT_S)
    assert "the pool is closed" in str(failures[0])
    pool.release(held)


def test_an_abandoned_wait_ends_when_it_is_woken(make_pool: PoolMaker) -> None:
    pool = make_pool(max_stacks=1)
    held = pool.acquire(exclusively("1 holder"), timeout_s=WAIT_S)
    gone = threading.Event()
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(PoolClosedError, match="request cancelled"):
            pool.acquire(exclusively("2 waiter"), timeout_s=WAIT_S, abandoned=gone.is_set)
        ended.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    gone.set()
    pool.wake()
    assert ended.wait(WAIT_S)
    waiter.join()
    pool.release(held)


def test_a_kept_stack_is_left_alone(make_pool: PoolMaker, engine: Engine, session_id: str) -> None:
    pool = make_pool()
    lease = pool.acquire(exclusively("failed test"), timeout_s=WAIT_S)
    dirty(lease)
    stack = lease.stack
    pool.release(lease, keep=True)
    pool.close()
    try:
        assert stack.exec("box", ["ls", "/dirty"]).exit_code == 0
        assert engine.list_containers({f"{PREFIX}session": session_id})
    finally:
        stack.remove()


def test_a_process_that_holds_all_copies_gets_one_more(make_pool: PoolMaker) -> None:
    pool = make_pool(max_stacks=1)
    module = pool.acquire(exclusively("7 tests/test_m.py"), timeout_s=WAIT_S)
    inner = pool.acquire(exclusively("7 tests/test_m.py::test_alone"), timeout_s=WAIT_S)
    assert module.leased.project != inner.leased.project
    pool.release(inner)
    pool.release(module)


def test_a_test_that_waits_as_long_as_a_start_takes_gets_another_stack(
    make_pool: PoolMaker,
) -> None:
    pool = make_pool()
    one = pool.acquire(exclusively("one"), timeout_s=WAIT_S)
    two = pool.acquire(exclusively("two"), timeout_s=WAIT_S)
    assert one.leased.project != two.leased.project
    pool.release(one)
    pool.release(two)


def test_statistics_name_the_holders(make_pool: PoolMaker) -> None:
    pool = make_pool()
    lease = pool.acquire(exclusively("somebody"), timeout_s=WAIT_S)
    (stack,) = pool.statistics().stacks
    assert (stack["stack"], stack["state"]) == ("tiny", "exclusive")
    assert stack["holders"] == ["somebody"]
    pool.release(lease)


def test_counts_are_reported_once(make_pool: PoolMaker) -> None:
    pool: Pool = make_pool()
    pool.release(pool.acquire(shared("one"), timeout_s=WAIT_S))
    assert pool.drain_counts()["leases"] == 1
    assert pool.drain_counts()["leases"] == 0


def test_an_idle_pool_starts_the_spare_that_a_writer_would_wait_for(
    make_pool: PoolMaker,
) -> None:
    pool: Pool = make_pool(max_stacks=2)
    pool.start_spares()
    assert pool.statistics().stacks == ()
    for holder in ("one", "two"):
        lease = pool.acquire(exclusively(holder), timeout_s=WAIT_S)
        dirty(lease)
        pool.release(lease)
    pool.start_spares()
    eventually(lambda: states(pool) == ["clean", "clean"], "the spare to be clean")
    pool.start_spares()
    assert len(states(pool)) == 2


def test_after_a_run_with_one_writer_no_spare_is_started(make_pool: PoolMaker) -> None:
    pool: Pool = make_pool(max_stacks=4)
    pool.prepare("tiny", exclusive=1)
    pool.release(pool.acquire(exclusively("one"), timeout_s=WAIT_S))
    pool.start_spares()
    eventually(lambda: states(pool) == ["clean"], "the reset")
    assert len(states(pool)) == 1


def test_a_spare_is_seeded_and_used_while_another_copy_is_reset(make_pool: PoolMaker) -> None:
    pool: Pool = make_pool(max_stacks=4, seed=SeedKey("digest", lasting=False))
    pool.prepare("tiny", exclusive=12)
    used = set()
    for number in range(12):
        while (lease := pool.acquire(exclusively(f"{number}"), timeout_s=WAIT_S)).seeding:
            pool.seeded(lease, None)
        used.add(lease.facts.project)
        assert states(pool).count("unseeded") <= 1
        dirty(lease)
        pool.release(lease)
    assert len(used) > 1
    assert len(states(pool)) <= len(used) + 1


def test_a_spare_that_cannot_start_fails_no_test(
    make_pool: PoolMaker, scratch: str, tmp_path: Path
) -> None:
    needed = tmp_path / "needed"
    needed.touch()
    file = tmp_path / "needy.yaml"
    file.write_text(
        f"services: {{box: {{image: '{scratch}', command: [sleep, '600'],"
        " x-dockwright: {reset: none}, volumes: [{type: bind, source: ./needed, target: /needed,"
        " bind: {create_host_path: false}}]}}"
    )
    pool: Pool = make_pool(max_stacks=2, files={"needy": file})
    pool.release(pool.acquire(exclusively("one", "needy"), timeout_s=WAIT_S))
    needed.unlink()
    pool.start_spares()
    eventually(lambda: states(pool) == ["clean"], "the spare to be given up")
    pool.release(pool.acquire(exclusively("two", "needy"), timeout_s=WAIT_S))


def states(pool: Pool) -> list[object]:
    return [stack["state"] for stack in pool.statistics().stacks]


def test_a_stack_in_the_host_network_has_one_copy(
    make_pool: PoolMaker, compose_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "host.yaml"
    text = compose_file.read_text().replace("    image:", "    network_mode: host\n    image:")
    file.write_text(text)
    pool = make_pool(files={"tiny": file})
    first = pool.acquire(exclusively("a 1"), timeout_s=WAIT_S)
    with pytest.raises(LeaseError) as caught:
        pool.acquire(exclusively("b 2"), timeout_s=3.0)
    assert caught.value.hint == (
        "there can be only one copy: service box is in the host's network, where each port "
        "exists only once"
    )
    dirty(first)
    pool.release(first)
    second = pool.acquire(exclusively("b 2"), timeout_s=WAIT_S)
    assert is_clean(second)
    pool.release(second)
    assert len(pool.statistics().stacks) == 1


def test_the_idle_copy_of_an_earlier_declaration_goes_before_its_successor_starts(
    make_pool: PoolMaker, compose_file: Path, tmp_path: Path, engine: Engine
) -> None:
    port = free_port()
    serve = f"command: [sh, -c, 'mkdir /www; exec httpd -f -p {port} -h /www']"
    file = tmp_path / "host.yaml"
    file.write_text(
        f"services: {{box: {{image: {SCRATCH}, network_mode: host, {serve}, ports: ['{port}']}}}}"
    )
    pool = make_pool(files={"tiny": file})
    first = pool.acquire(exclusively("a 1"), timeout_s=WAIT_S)
    pool.release(first)
    eventually(lambda: pool.statistics().stacks[0]["state"] == "clean", "a clean stack")
    factory = replace(pool._registry.factories["tiny"])
    pool.declare("tiny-edited", factory)
    second = pool.acquire(exclusively("b 2", "tiny-edited"), timeout_s=WAIT_S)
    project = first.facts.project
    assert second.facts.project != project
    assert engine.list_containers({COMPOSE_PROJECT: project}) == []
    pool.release(second)


def lie(engine: Engine, lease: Lease) -> None:
    """Change a container as a test does: not through the pool's own engine."""
    transport = Transport(engine.endpoint, timeout_s=WAIT_S, pool_size=1)
    with closing(Engine(transport)) as own:
        assert own.exec(lease.leased.container("box"), ["touch", "/dirty"]).exit_code == 0


def test_changes_of_a_reader_are_undone_before_the_next_lease(
    make_pool: PoolMaker, engine: Engine
) -> None:
    pool = make_pool(max_stacks=1)
    reader = pool.acquire(shared("1 test_that_lies"), timeout_s=WAIT_S)
    lie(engine, reader)
    pool.release(reader)
    writer = pool.acquire(exclusively("1 test_after_it"), timeout_s=WAIT_S)
    assert is_clean(writer)


def test_a_shared_stack_is_checked_when_it_is_idle(make_pool: PoolMaker, engine: Engine) -> None:
    pool = make_pool(max_stacks=1)
    reader = pool.acquire(shared("1 test_that_lies"), timeout_s=WAIT_S)
    project = reader.leased.project
    lie(engine, reader)
    pool.release(reader)
    eventually(lambda: pool.statistics().stacks[0]["state"] == "resetting", "the check to begin")
    eventually(lambda: pool.statistics().stacks[0]["state"] == "clean", "the check to end")
    second = pool.acquire(shared("1 test_after_it"), timeout_s=WAIT_S)
    assert second.leased.project == project
    assert is_clean(second)


def test_honest_readers_cost_no_container(make_pool: PoolMaker) -> None:
    pool = make_pool(max_stacks=1)
    reader = pool.acquire(shared("1 test_that_reads"), timeout_s=WAIT_S)
    container = reader.leased.container("box")
    assert is_clean(reader)
    pool.release(reader)
    writer = pool.acquire(exclusively("1 test_after_it"), timeout_s=WAIT_S)
    assert writer.leased.container("box") == container
    assert pool.statistics().resets == 0


def test_a_shared_copy_that_is_removed_is_not_checked(make_pool: PoolMaker) -> None:
    """A check would create again what the removal has removed; the fixture looks for it."""
    pool = make_pool()
    reader = pool.acquire(shared("1 test_that_reads"), timeout_s=WAIT_S)
    pool.release(reader)
    pool.drain()
    assert pool.statistics().stacks == ()
    writer = pool.acquire(exclusively("1 test_after_it"), timeout_s=WAIT_S)  # takes longer
    assert is_clean(writer)
    assert pool.statistics().resets == 0


def test_a_copy_with_a_service_in_doubt_is_leased_only_to_tests_that_can_be_repeated(
    make_pool: PoolMaker, engine: Engine, tmp_path: Path
) -> None:
    if missing := [image for image in served.IMAGES if not engine.has_image(image)]:
        pytest.skip(f"needs the image {missing[0]}: scripts/ensure-images gets it")
    file = tmp_path / "served.yaml"
    file.write_text(served.COMPOSE)
    pool = make_pool(max_stacks=1, files={"served": file})

    def use(holder: str, *, repeatable: bool) -> tuple[str, tuple[str, ...]]:
        asked = replace(exclusively(holder, "served"), repeatable=repeatable)
        lease = pool.acquire(asked, timeout_s=WAIT_S)
        served.visit(lease.leased.url("web", 8000))
        container = lease.leased.container("web")
        pool.release(lease)
        return container, lease.doubted

    first, doubted = use("first", repeatable=True)
    assert doubted == ()
    assert use("second", repeatable=True) == (first, ("web",))
    second, doubted = use("third", repeatable=False)
    assert (second != first, doubted) == (True, ())
    third, doubted = use("fourth", repeatable=True)  # the one before was not repeatable
    assert (third != second, doubted) == (True, ())
    eventually(lambda: states(pool) == ["clean"], "reset")
    pool.start_spares()  # the run is over
    fourth, doubted = use("fifth", repeatable=True)
    assert (fourth != third, doubted) == (True, ())
