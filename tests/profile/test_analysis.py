"""The pure part: slices without gap or overlap, the innermost cause, what the engine adds."""

from __future__ import annotations

import marshal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockwright.profile.analysis import CAUSES, attribute
from dockwright.profile.analysis.advice import advise
from dockwright.profile.analysis.commands import read_command
from dockwright.profile.analysis.records import (
    Container,
    EngineEvent,
    EngineFacts,
    Frame,
    Probe,
    Process,
    Span,
    read_processes,
)
from dockwright.profile.analysis.result import cause_totals
from dockwright.profile.analysis.timeline import Loops, Slice, flatten

ID = "ab" * 32


def call(kind: str, begin: float, end: float, *, line: int = 1, **detail: object) -> Span:
    return Span(kind, begin, end, 1, (Frame("suite.py", line, "helper"),), detail)


def process(*spans: Span, **others: object) -> Process:
    """A pytest process from 0 to 100 s."""
    fields = {
        "pid": 1, "parent": 0, "argv": (), "in_test": False, "begin": 0.0, "end": 100.0,
        "session": {"controller": False, "worker": ""}, "thread": 1,
    }  # fmt: skip
    return Process(spans=spans, **(fields | others))  # type: ignore[arg-type]  # fields by name


def in_test(*spans: Span) -> Process:
    """A process whose one test, from 10 to 90 s, did what the spans say in its call phase."""
    return process(
        Span("test", 10, 90, 1, (), {"test": "t"}),
        Span("phase", 10, 90, 1, (), {"phase": "call"}),
        *spans,
    )


def told(*processes: Process, facts: EngineFacts | None = None) -> dict[str, float]:
    """Return the seconds by cause, of which those of all lanes add up."""
    lanes = attribute(processes, 0.0, 100.0, facts)
    for lane in lanes:
        assert lane[0].begin == 0.0
        assert lane[-1].end == 100.0
        assert all(a.end == b.begin for a, b in pairwise(lane))
    totals = cause_totals(piece for lane in lanes for piece in lane)
    return {each.cause: round(each.seconds, 3) for each in totals if each.seconds > 1e-6}


@st.composite
def nested(draw: st.DrawFn, begin: float = 0.0, end: float = 100.0, depth: int = 3) -> list[Span]:
    """Spans as calls make them."""
    edges = sorted(draw(st.lists(st.floats(begin, end), max_size=4)))
    spans = list[Span]()
    for inner, outer in zip(edges[::2], edges[1::2], strict=False):
        spans.append(Span("sleep", inner, outer))
        if depth:
            spans += draw(nested(inner, outer, depth - 1))
    return spans


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(nested())
def test_pieces_have_no_gap_and_no_overlap_and_lie_in_their_spans(spans: list[Span]) -> None:
    at = 0.0
    for begin, end, chain in flatten(spans, 0.0, 100.0):
        assert begin == at < end
        assert all(span.begin <= begin and end <= span.end for span in chain)
        at = end
    assert at == 100.0


def test_the_innermost_cause_counts_except_in_a_client() -> None:
    path = f"/v1.41/containers/{ID}/json"
    seen = told(
        in_test(
            call("client", 20, 24),
            call("engine", 21, 23, method="GET", path="/version", status=200),
            call("engine", 30, 33, method="GET", path=path, status=200),
            call("engine", 40, 41, method="GET", path=f"{path[:-5]}/stats?stream=False"),
            call("engine", 42, 43, method="GET", path=f"{path[:-5]}/stats?stream=0&one-shot=True"),
            call("engine", 50, 52, method="POST", path="/v1.41/images/create?tag=1"),
            call("engine", 60, 61, method="DELETE", path=f"/containers/{ID}", status=404),
        )
    )
    assert seen == {
        "pytest": 20.0, "body": 68.0, "client": 4.0, "engine": 4.0, "statistics": 1.0,
        "pull": 2.0, "cleanup": 1.0,
    }  # fmt: skip


def test_a_command_is_its_start_and_what_waits_for_it() -> None:
    seen = told(
        in_test(
            call("spawn", 20, 21, pid=7, argv=["docker", "compose", "up"], cwd=""),
            call("wait", 30, 35, pid=7),
            call("spawn", 40, 41, pid=8, argv=["sh", "-c", "sleep 3"], cwd=""),
            call("wait", 41, 44, pid=8),
            call("system", 50, 52, argv=["docker pull x"]),
        )
    )
    assert seen == {"pytest": 20.0, "body": 68.0, "compose": 6.0, "sleep": 4.0, "pull": 2.0}


@pytest.mark.parametrize(
    ("line", "slept_s"),
    [
        ("docker compose up -d >log 2>&1 && sleep 3", 3.0),
        ("sleep .5s; docker compose up; sleep 1", 1.5),
        ("docker compose up -d; sleep $T", 0.0),
        ("docker compose up -d & sleep 1 | cat", 0.0),
        ("docker compose up -d || sleep 1", 0.0),
        ("docker compose up -d; sleep 1h", 0.0),  # it did not take that long
    ],
)
def test_a_sleep_beside_a_command_is_a_cause_of_its_own(line: str, slept_s: float) -> None:
    up = call("spawn", 20, 20.1, pid=7, argv=[line], cwd="")
    seen = told(in_test(up, call("wait", 20.1, 30, pid=7)))
    assert (seen["compose"], seen.get("sleep", 0.0)) == (10.0 - slept_s, slept_s)


def test_a_python_child_is_profiled() -> None:
    child = process(call("sleep", 32, 36), pid=7, parent=1, begin=31.0, end=39.0, session={})
    spawn = call("spawn", 30, 31, pid=7, argv=["python", "x.py"], cwd="")
    seen = told(in_test(spawn, call("wait", 31, 40, pid=7)), child)
    assert seen == {"pytest": 20.0, "body": 70.0, "subprocess": 6.0, "sleep": 4.0}


def test_a_process_pool_is_profiled_where_it_is_awaited() -> None:
    pool = process(call("sleep", 30, 36), pid=7, parent=1, begin=25.0, end=50.0, session={})
    server = process(call("sleep", 31, 39), pid=8, parent=1, begin=15.0, end=80.0, session={})
    start = call("spawn", 14, 15, pid=8, argv=["python", "server.py"], cwd="")
    result = call("thread", 28, 40, timed_out=False)
    seen = told(in_test(start, result), pool, server)
    assert (seen["thread"], seen["sleep"]) == (6.0, 6.0)


def test_workers_are_lanes_and_what_tests_start_is_not() -> None:
    controller = process(session={"controller": True, "worker": ""})
    workers = [
        process(
            Span("test", 10, 90, 1, (), {"test": f"t{number}"}),
            Span("thread", 91, 99, 1, (), {"timed_out": False}),
            pid=10 + number,
            session={"controller": False, "worker": f"gw{number}"},
        )
        for number in range(2)
    ]
    nested = process(call("sleep", 20, 30), pid=20, in_test=True)
    assert told(controller, *workers, nested) == {"pytest": 184.0, "idle": 16.0}


def test_a_pytest_run_started_by_a_test_is_not_a_lane() -> None:
    script = process(pid=2, parent=1, begin=20.0, end=60.0, session={})
    nested = process(call("sleep", 40, 50), pid=3, parent=2, begin=30.0, end=59.0)
    assert told(in_test(), script, nested) == {"pytest": 20.0, "body": 80.0}


def test_only_pytest_processes_are_called_pytest() -> None:
    assert told(process(session={})) == {"program": 100.0}


def test_processes_that_follow_each_other_share_a_lane() -> None:
    first, second = process(begin=10.0, end=40.0), process(begin=50.0, end=60.0)
    assert told(first, second) == {"outside": 60.0, "pytest": 40.0}


def test_without_processes_everything_is_outside() -> None:
    assert told() == {"outside": 100.0}


LOOPS = """
def fixed():
    for _ in range(3):
        sleep()                 # 4
def until():
    while not ready():
        sleep()                 # 7
def tries():
    for _ in range(3):
        if ready():
            break
        sleep()                 # 12
def for_ever():
    while True:
        try:
            return ready()
        except OSError:
            sleep()             # 18
def inner():
    for _ in range(3):
        for each in every():
            break
        sleep()                 # 23
def plain():
    sleep()                     # 25
"""


@pytest.mark.parametrize(
    ("line", "loop"), [(4, None), (7, 6), (12, 9), (18, 14), (23, None), (25, None)]
)
def test_a_loop_that_can_end_early_polls(tmp_path: Path, line: int, loop: int | None) -> None:
    file = tmp_path / "loops.py"
    file.write_text(LOOPS)
    found = Loops().polling([Frame(str(file), line, "f")])
    assert (found.line if found else None) == loop


def polling(tmp_path: Path, at: str = "json") -> tuple[Span, ...]:
    """Two sleeps of a poll loop, with a look at a container between them."""
    file = tmp_path / "loops.py"
    file.write_text(LOOPS)
    frames = (Frame(str(file), 7, "until"),)
    look = call("engine", 30, 31, method="GET", path=f"/containers/{ID}/{at}", status=200)
    return Span("sleep", 20, 30, 1, frames), look, Span("sleep", 31, 41, 1, frames)


def test_half_of_the_last_sleep_of_a_poll_counts_as_late(tmp_path: Path) -> None:
    seen = told(in_test(*polling(tmp_path)))
    assert seen == {"pytest": 20.0, "body": 59.0, "awaited": 15.0, "polling": 5.0, "engine": 1.0}


def test_engine_events_show_how_late_a_poll_was(tmp_path: Path) -> None:
    facts = EngineFacts((EngineEvent("container", "die", ID, 33.0),))
    seen = told(in_test(*polling(tmp_path)), facts=facts)
    assert seen == {"pytest": 20.0, "body": 59.0, "awaited": 12.0, "polling": 8.0, "engine": 1.0}


def test_engine_events_do_not_show_when_a_log_line_came(tmp_path: Path) -> None:
    facts = EngineFacts((EngineEvent("container", "die", ID, 33.0),))
    assert told(in_test(*polling(tmp_path, "logs")), facts=facts)["polling"] == 5.0


@pytest.mark.parametrize(("line", "late_s"), [(6, 8.0), (25, 5.0)])
def test_a_call_after_a_loop_is_not_part_of_the_poll(
    tmp_path: Path, line: int, late_s: float
) -> None:
    *_, sleep = polling(tmp_path)
    frames = (Frame(sleep.frames[0].file, line, "until"),)
    look = {"method": "GET", "path": f"/containers/{ID}/json", "status": 200}
    facts = EngineFacts((EngineEvent("container", "die", ID, 33.0),))
    seen = told(in_test(sleep, Span("engine", 41, 42, 1, frames, look)), facts=facts)
    assert seen["polling"] == late_s


def test_a_health_interval_covers_the_polling_loop(tmp_path: Path) -> None:
    facts = EngineFacts(
        (
            EngineEvent("container", "start", ID, 15.0),
            EngineEvent("container", "health_status", ID, 36.0, detail="healthy"),
        ),
        {ID: Container(ID, "web", "busybox:1")},
        {ID: ((Probe(35.0, 35.9, good=True),),)},
    )
    seen = told(in_test(*polling(tmp_path)), facts=facts)
    assert seen == {"pytest": 20.0, "body": 59.0, "health": 15.0, "awaited": 1.0, "polling": 5.0}


def test_half_of_the_interval_after_a_failed_probe_is_lost() -> None:
    facts = EngineFacts(
        (
            EngineEvent("container", "start", ID, 10.0),
            EngineEvent("container", "health_status", ID, 31.0, detail="healthy"),
        ),
        probes={ID: ((Probe(20.0, 20.0, good=False), Probe(30.0, 31.0, good=True)),)},
    )
    ((loss),) = facts.losses()
    assert (loss.begin, loss.end, loss.certain) == (25.0, 30.0, False)


def _stop(signal: str, at_s: float) -> EngineEvent:
    return EngineEvent("container", "kill", ID, at_s, detail=signal)


@pytest.mark.parametrize("killed", ["9", "SIGKILL"])
def test_a_stop_grace_is_subtracted_from_the_stop_call(killed: str) -> None:
    facts = EngineFacts((_stop("15", 31.0), _stop(killed, 38.0)))
    stop = call("engine", 30, 40, method="POST", path=f"/v1.41/containers/{ID}/stop", status=204)
    other = call("engine", 50, 51, method="POST", path="/containers/other/stop", status=204)
    seen = told(in_test(stop, other), facts=facts)
    assert seen == {"pytest": 20.0, "body": 69.0, "engine": 4.0, "grace": 7.0}


def test_stop_graces_of_other_containers_do_not_count() -> None:
    facts = EngineFacts((_stop("15", 31.0), _stop("9", 38.0)))
    stop = call("engine", 30, 40, method="POST", path="/containers/other/stop", status=204)
    assert "grace" not in told(in_test(stop), facts=facts)


def test_a_stop_that_was_handled_has_no_grace() -> None:
    died = EngineEvent("container", "die", ID, 32.0)
    assert not list(EngineFacts((_stop("15", 31.0), died, _stop("9", 38.0))).losses())


@pytest.mark.parametrize(
    ("project", "cause"), [("mine", "compose"), ("somebody", "cleanup"), ("min", "cleanup")]
)
def test_a_cleanup_is_needless_if_its_project_has_nothing(project: str, cause: str) -> None:
    facts = EngineFacts((EngineEvent("container", "destroy", ID, 31.0, "mine-web-1", "", "mine"),))
    argv = ["docker", "compose", "-p", project, "down"]
    down = call("spawn", 30, 32, pid=3, argv=argv, cwd="")
    assert told(in_test(down), facts=facts)[cause] == 2.0


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("docker rm -f mine-web-1", "docker"),
        (f"docker rm -f {ID[:12]}", "docker"),
        ("docker rm -f other", "cleanup"),
        ("docker rm -f $(docker ps -aq)", "docker"),
        ("docker ps -aq | xargs -r docker rm -f", "docker"),
        ("docker container prune -f --filter label=other", "docker"),
        ("docker-compose down", "compose"),
    ],
)
def test_a_cleanup_is_needless_if_nothing_it_names_exists(line: str, cause: str) -> None:
    facts = EngineFacts((EngineEvent("container", "destroy", ID, 31.0, "mine-web-1"),))
    remove = call("spawn", 30, 32, pid=3, argv=["sh", "-c", line], cwd="")
    assert told(in_test(remove), facts=facts)[cause] == 2.0


@pytest.mark.parametrize(
    ("line", "waited_s"),
    [("docker rm other", 0), ("docker stop $(docker ps -q)", 7), (f"docker stop {ID[:8]}", 7),
     ("docker-compose ps", 0), ("docker-compose down", 7), ("docker-compose -p x down", 0)],
)  # fmt: skip
def test_a_command_waits_only_for_what_it_may_concern(line: str, waited_s: float) -> None:
    facts = EngineFacts(
        (_stop("15", 31.0), _stop("9", 38.0)), {ID: Container(ID, "web", project="shop")}
    )
    stop = call("spawn", 30, 40, pid=3, argv=[line], cwd="")
    assert told(in_test(stop), facts=facts).get("grace", 0) == waited_s


@pytest.mark.parametrize(
    ("argv", "cause", "action", "shown"),
    [
        (["sleep", "2"], "sleep", "", "sleep 2"),
        (["sh", "-c", "echo a; sleep 2"], "sleep", "", "sleep 2"),
        (["bash", "-ec", "cd x && docker compose -f a.yml up -d"], "compose", "up",
         "docker compose up -d"),
        (["docker-compose", "-p", "x", "--profile", "a", "down", "-v"], "compose", "down",
         "docker-compose down -v"),
        (["docker", "run", "-e", "PASSWORD=hunter2", "img"], "docker", "run", "docker run -e"),
        (["docker", "--context", "far", "volume", "rm", "x"], "docker", "volume rm",
         "docker volume rm"),
        (["docker", "login", "--password=hunter2"], "docker", "login", "docker login --password"),
        (["sudo", "-E", "docker", "pull", "x"], "pull", "pull", "docker pull"),
        (["docker", "stats", "--no-stream"], "statistics", "stats", "docker stats --no-stream"),
        (["env", "A=1", "timeout", "5", "podman", "ps"], "docker", "ps", "podman ps"),
        (["make", "hunter2"], "subprocess", "", "make"),
        (["sh", "-c", "echo 'open"], "subprocess", "", "echo"),
        ([], "subprocess", "", "a command without words"),
    ],
)  # fmt: skip
def test_commands_are_grouped_and_shown_without_values(
    argv: list[str], cause: str, action: str, shown: str
) -> None:
    command = read_command(argv)
    assert (command.cause, command.action, command.shown) == (cause, action, shown)


def test_truncated_and_foreign_records_are_skipped(tmp_path: Path) -> None:
    head = {"pid": 5, "ppid": 1, "argv": [], "in_test": ""}
    whole = marshal.dumps(("process", 1.0, 1.0, 1, (), head), 2)
    test = marshal.dumps(("begins", 2.0, 2.0, 1, (), {"test": "t"}), 2)
    sleep = marshal.dumps(("sleep", 3.0, 4.0, 1, (), {}), 2)
    (tmp_path / "5-1").write_bytes(whole + test + sleep + sleep[:-3])
    (tmp_path / "6-1").write_bytes(whole[:-3])
    (found,) = read_processes(tmp_path)
    assert [(each.kind, each.end) for each in found.spans] == [("sleep", 4.0), ("test", 4.0)]


def own(begin: float, end: float, cause: str, site: str, **more: Any) -> Slice:
    """A piece of time at a call site of the suite."""
    return Slice(begin, end, cause, site, own=True, call=(begin,), **more)


def test_advice_is_ranked_and_links_to_existing_pages() -> None:
    pieces = [
        own(0, 2, "client", "a"),
        own(2, 6, "client", "b"),
        own(6, 16, "sleep", "c"),
        Slice(20, 21, "body"),
        *(own(30, 31, cause, "e") for cause in ("grace", "health", "polling")),
        *(own(40, 41, cause, "e") for cause in ("statistics", "cleanup", "pull")),
    ]
    advice = advise(pieces, 50.0, 2)
    assert [round(each.saves_s, 2) for each in advice] == [10, 3, 1, 1, 1, 1, 1, 0.98]
    assert (advice[0].title, advice[0].wall_s) == ("a fixed sleep at c", 5.0)
    assert advice[1].sites == ("b: 4.00 s", "a: 2.00 s")
    root = Path(__file__).parents[2]
    assert [each.page for each in advice if not (root / each.page).is_file()] == []


def test_equal_advice_at_many_call_sites_is_one_group() -> None:
    pieces = [
        *(own(at, at + 1, "sleep", f"test_{at}.py:1") for at in range(5)),
        *(own(at, at + 2, "grace", "fixture", what=f"db-{at}") for at in range(10, 30, 4)),
        own(40, 44, "health", "fixture", what="web"),
    ]
    advice = advise(pieces, 60.0, 1)
    assert [(each.title, each.saves_s, len(each.sites)) for each in advice] == [
        ("5 containers ignore their stop signal until they are killed (db-10, db-14, db-18, ...)",
         10.0, 1),
        ("fixed sleeps at 5 call sites", 5.0, 5),
        ("web is checked only once in a health check interval", 4.0, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("cause", ["sleep", "polling", "client", "statistics", "cleanup", "pull"])
def test_calls_in_installed_packages_give_no_advice(cause: str) -> None:
    pieces = [Slice(at, at + 5, cause, "pkg/plugin.py:7", call=(at,)) for at in (0, 10)]
    assert advise(pieces, 60.0, 1) == ()


@pytest.mark.parametrize(
    ("begins", "saved_s"),
    [
        pytest.param([0], 1.98, id="one"),
        pytest.param([0, 3.5, 7], 3 * 1.98, id="pauses longer than a second"),
        pytest.param([0, 2, 4], 1.98 + 1 + 1, id="one after the other"),
        pytest.param([0, 2.4], 1.98 + 1.4, id="a short pause"),
    ],
)
def test_single_samples_are_taken_once_a_second(begins: list[float], saved_s: float) -> None:
    pieces = [own(begin, begin + 2, "statistics", "a") for begin in begins]
    (advice,) = advise(pieces, 60.0, 1)
    assert advice.saves_s == pytest.approx(saved_s)
    assert "`precpu_stats` are empty" in advice.how


def test_containers_that_do_one_job_are_not_advised_to_be_a_stack() -> None:
    job = [
        "POST /containers/create", "POST /containers/j1/start", "POST /containers/j1/wait?x=1",
        "DELETE /containers/j1",
    ]  # fmt: skip
    paths = [*job, *(path.replace("j1", "j2") for path in job)]
    pieces = [own(at, at + 1, "engine", "helper", path=path) for at, path in enumerate(paths)]
    runs = [["docker", "run", "--rm", "busybox", "true"], ["docker", "container", "run", "x"]]
    pieces += [
        own(20 + at, 21 + at, "docker", "cli", command=read_command(words))
        for at, words in enumerate(runs)
    ]
    assert advise(pieces, 60.0, 1) == ()
    detached = [["docker", "run", flag, "db"] for flag in ("-d", "--detach", "-itd")]
    pieces += [
        own(30 + at, 31 + at, "docker", "cli", command=read_command(words))
        for at, words in enumerate(detached)
    ]
    (advice,) = advise(pieces, 60.0, 1)
    assert advice.saves_s == pytest.approx(2.0)


def test_repeated_starts_are_advised_to_be_shared() -> None:
    up, down = read_command(["docker-compose", "up"]), read_command(["docker-compose", "down"])
    pieces = [
        Slice(at, at + 5, "compose", "a", command=command, call=(at,))
        for at, command in enumerate([up, down, up, down, up, down])
    ]
    (advice,) = advise(pieces, 60.0, 1)
    assert advice.saves_s == 20.0
    assert advise(pieces[:2], 60.0, 1) == ()


def test_time_inside_a_container_is_not_a_saving() -> None:
    pieces = [
        Slice(at, at + 1, "engine", "a", path=path, call=(at,))
        for at, path in enumerate(
            ["POST /containers/create", "POST /containers/x/start", "POST /containers/x/wait",
             "POST /containers/x/exec", "POST /containers/x/stop", "DELETE /containers/x",
             "POST /containers/y/start"]
        )
    ]  # fmt: skip
    (advice,) = advise(pieces, 60.0, 1)
    assert advice.saves_s == 2.5


def test_a_site_in_a_package_is_named_where_the_suite_has_none() -> None:
    package = Frame("/v/lib/python3.11/site-packages/pkg/plugin.py", 7, "execute", own=False)
    python = Frame("/lib/python3.11/subprocess.py", 1, "run", own=False)
    span = Span("sleep", 20, 30, 1, (python, package))
    (lane,) = attribute([in_test(span)], 0.0, 100.0, None)
    assert [each.site for each in lane if each.cause == "sleep"] == ["pkg/plugin.py:7 in execute"]


def test_every_cause_has_a_title() -> None:
    assert len({cause.title for cause in CAUSES.values()}) == len(CAUSES)


@pytest.mark.parametrize(
    "record",
    [
        5,
        ("process", "x", 2.0, 0, (), {}),
        ("process", 1.0, 2.0, 0, (), {}),
        ("process", 1.0, 2.0, 0, ((1,),), {}),
        ("process", 1.0, 2.0, 0, (), 5),
        ("process", 1.0, 2.0, 0, 7, {"pid": 1}),
    ],
)
def test_damaged_records_are_ignored(tmp_path: Path, record: Any) -> None:
    (tmp_path / "1").write_bytes(marshal.dumps(record))
    (tmp_path / "2").write_bytes(b"no record of ours")
    (tmp_path / "3").mkdir()
    assert read_processes(tmp_path) == []
