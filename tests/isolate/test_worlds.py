"""A world cannot see, reach or kill what is outside, and can do what it was let do."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from dockwright.isolate.inside import view
from dockwright.isolate.inside.plan import PLAN
from tests._support.isolate.runs import Worlds

ATTEMPTS = """
import ctypes, glob, json, os, pathlib, signal, socket, subprocess, sys

facts = json.loads(os.environ["FACTS"])


def attempt(do):
    try:
        return str(do())
    except Exception as failure:
        return type(failure).__name__


def connect(family, address):
    with socket.socket(family) as one:
        one.settimeout(2)
        one.connect(address)
        return one.recv(8).decode()


def found_in_proc():
    seen = [pathlib.Path(each).read_bytes() for each in glob.glob("/proc/[0-9]*/cmdline")]
    return any(facts["token"].encode() in each and b"FIND-ME" in each for each in seen)


def groups():
    return any(facts["group"] in path for path, _, _ in os.walk("/sys/fs/cgroup"))


def pkill():
    return subprocess.run(["pkill", "-9", "-f", facts["token"] + ".*FIND-ME"]).returncode


def host_name():
    socket.sethostname("renamed")
    return socket.gethostname()


def trace():
    return ctypes.CDLL(None).ptrace(16, facts["pid"], 0, 0)


def leaks():
    found = set()
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            place = os.readlink(link)
            if os.path.isdir(link) and facts["cache"] in place:
                found.add(place)
        except OSError:
            pass
    return sorted(found)


def through(root):
    return pathlib.Path(root + facts["home"]).read_text()


def listening():
    return any(line.split()[3] == "0A" for line in open("/proc/net/tcp").readlines()[1:])


def shared_memory():
    return ctypes.CDLL(None).shmget(facts["key"], 1, 0)


print(json.dumps({
    "signal": attempt(lambda: os.kill(facts["pid"], 0)),
    "proc": attempt(found_in_proc),
    "pkill": attempt(pkill),
    "tcp": attempt(lambda: connect(socket.AF_INET, ("127.0.0.1", facts["port"]))),
    "socket in /run": attempt(lambda: connect(socket.AF_UNIX, facts["run"])),
    "socket in /tmp": attempt(lambda: connect(socket.AF_UNIX, facts["temporary"])),
    "abstract socket": attempt(lambda: connect(socket.AF_UNIX, "\\0" + facts["token"])),
    "ptrace": attempt(trace),
    "open files": attempt(leaks),
    "home by /proc/1/root": attempt(lambda: through("/proc/1/root")),
    "home by /proc/1/cwd": attempt(lambda: through("/proc/1/cwd/../../../../../..")),
    "home by the project": attempt(lambda: through(os.getcwd() + "/../../../../../../..")),
    "home by a link": attempt(lambda: pathlib.Path(facts["link"]).read_text()),
    "ports": attempt(listening),
    "other address": attempt(lambda: connect(socket.AF_INET, (facts["address"], facts["open"]))),
    "IPv6 loopback": attempt(lambda: connect(socket.AF_INET6, ("::1", facts["port6"]))),
    "sockets of engines": attempt(lambda: glob.glob("/run/*.sock") + glob.glob("/run/*/*.sock")),
    "message queues": attempt(lambda: open("/proc/sysvipc/msg").read().count(chr(10))),
    "home": attempt(lambda: pathlib.Path(facts["home"]).read_text()),
    "write home": attempt(lambda: (pathlib.Path.home() / facts["token"]).write_text("inside")),
    "write /tmp": attempt(lambda: pathlib.Path("/tmp", facts["token"]).write_text("inside")),
    "/dev/shm": attempt(lambda: pathlib.Path("/dev/shm", facts["token"]).read_text()),
    "shared memory": attempt(shared_memory),
    "control groups": attempt(groups),
    "host name": attempt(host_name),
    "mount": attempt(lambda: subprocess.run(["mount", "-t", "tmpfs", "x", "/mnt"]).returncode),
}))
"""


@pytest.fixture
def outside(worlds: Worlds) -> Iterator[dict[str, object]]:
    """Things outside that a world might find, and what they are called."""
    token = f"dwtest-{uuid.uuid4().hex[:10]}"
    home = Path.home() / f".{token}"
    temporary = Path("/tmp", f"{token}.sock")
    run = Path("/run", f"{token}.sock")
    shared = Path("/dev/shm", token)
    code = f"import time; time.sleep(600)  # {token} FIND-ME"
    with contextlib.ExitStack() as stack:
        process = subprocess.Popen([sys.executable, "-c", code])
        stack.callback(process.wait)
        stack.callback(process.kill)
        for path in (home, shared):
            path.write_text("outside")
            stack.callback(path.unlink)
        link = worlds.suite / "link"
        link.symlink_to(home)
        own_address = _own_address()
        servers = [
            socket.create_server(("127.0.0.1", 0)),
            socket.create_server((own_address, 0)),
            socket.create_server(("::1", 0), family=socket.AF_INET6),
        ]
        for address in (str(run), str(temporary), f"\0{token}"):
            server = socket.socket(socket.AF_UNIX)
            server.bind(address)
            server.listen()
            servers.append(server)
        for path in (run, temporary):
            stack.callback(path.unlink)
        for server in servers:
            stack.enter_context(server)
            threading.Thread(target=_greet, args=(server,), daemon=True).start()
        yield {
            "token": token,
            "pid": process.pid,
            "port": servers[0].getsockname()[1],
            "address": own_address,
            "open": servers[1].getsockname()[1],
            "port6": servers[2].getsockname()[1],
            "link": str(link),
            "cache": str(worlds.cache),
            "run": str(run),
            "temporary": str(temporary),
            "home": str(home),
            "group": worlds.cache.name,
            "key": 0x5EED,
        }
        assert process.poll() is None, "what runs outside was killed"


def _own_address() -> str:
    """Return an address of this machine that is not of its loopback."""
    return next(
        each.address
        for name, addresses in psutil.net_if_addrs().items()
        for each in addresses
        if each.family == socket.AF_INET and name != "lo"
    )


def _greet(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            one, _ = server.accept()
            with one:
                one.sendall(b"hello")


def _attempt(worlds: Worlds, facts: dict[str, object], **changed: object) -> dict[str, str]:
    plan = replace(worlds.plan(), engine=False, **changed)  # type: ignore[arg-type]
    return worlds.answers(plan, ATTEMPTS, FACTS=json.dumps(facts))


def test_nothing_outside_can_be_seen_reached_or_killed(
    worlds: Worlds, outside: dict[str, object]
) -> None:
    assert _attempt(worlds, outside) == {
        "signal": "ProcessLookupError",
        "proc": "False",
        "pkill": "1",
        "tcp": "ConnectionRefusedError",
        "socket in /run": "FileNotFoundError",
        "socket in /tmp": "FileNotFoundError",
        "abstract socket": "ConnectionRefusedError",
        "home": "FileNotFoundError",
        "write home": "6",
        "write /tmp": "6",
        "/dev/shm": "FileNotFoundError",
        "shared memory": "-1",
        "control groups": "False",
        "ptrace": "-1",
        "open files": "[]",
        "home by /proc/1/root": "FileNotFoundError",
        "home by /proc/1/cwd": "FileNotFoundError",
        "home by the project": "FileNotFoundError",
        "home by a link": "FileNotFoundError",
        "ports": "False",
        "other address": "OSError",
        "IPv6 loopback": "ConnectionRefusedError",
        "sockets of engines": "[]",
        "message queues": "1",
        "host name": "renamed",
        "mount": "0",
    }
    token = str(outside["token"])
    assert not Path.home().joinpath(token).exists()
    assert not Path("/tmp", token).exists()
    assert socket.gethostname() != "renamed"
    assert not os.path.ismount("/mnt")


@pytest.mark.soak
def test_the_same_attempts_succeed_where_home_and_network_are_shared(
    worlds: Worlds, outside: dict[str, object]
) -> None:
    found = _attempt(worlds, outside, net=False, home=False)
    Path.home().joinpath(str(outside["token"])).unlink()
    Path("/tmp", str(outside["token"])).unlink()
    reached = ("tcp", "socket in /run", "socket in /tmp", "abstract socket")
    assert {name: found[name] for name in reached} == dict.fromkeys(reached, "hello")
    assert found["home"] == "outside"


def test_shown_files_and_allowed_ports_are_accessible(
    worlds: Worlds, outside: dict[str, object]
) -> None:
    home = str(outside["home"])
    shown = (*worlds.plan().shown, home)
    found = _attempt(worlds, outside, shown=shown, reached=(int(str(outside["port"])),))
    assert found["home"] == "outside"
    assert found["tcp"] == "hello"
    assert found["socket in /run"] == "FileNotFoundError"


@pytest.mark.soak
def test_outside_reaches_other_addresses_but_not_the_loopback(worlds: Worlds) -> None:
    program = shutil.which("slirp4netns")
    if program is None:
        pytest.skip("scripts/ensure-isolation installs slirp4netns")
    address = _own_address()
    script = """
import json, socket
found = {}
for host, port in PORTS:
    try:
        with socket.create_connection((host, port), timeout=5) as one:
            found[host] = one.recv(8).decode()
    except OSError as failure:
        found[host] = type(failure).__name__
names = [line for line in open("/etc/resolv.conf") if line.startswith("nameserver")]
print(json.dumps({**found, "names": "".join(names)}))
"""
    with socket.create_server((address, 0)) as there, socket.create_server(("127.0.0.1", 0)) as own:
        for server in (there, own):
            threading.Thread(target=_greet, args=(server,), daemon=True).start()
        ports = [(address, there.getsockname()[1]), ("127.0.0.1", own.getsockname()[1])]
        script = script.replace("PORTS", repr(ports))
        closed = worlds.answers(worlds.plan(engine=False), script)
        opened = worlds.answers(worlds.plan(engine=False, outside=program), script)
    assert closed[address] == "OSError"
    assert opened == {
        address: "hello",
        "127.0.0.1": "ConnectionRefusedError",
        "names": "nameserver 10.0.2.3\n",
    }


@pytest.mark.soak
def test_changes_to_tools_below_home_stay_in_the_world(worlds: Worlds) -> None:
    tool = Path.home() / f".dwtest-{uuid.uuid4().hex[:10]}"
    tool.mkdir()
    script = f"""
import json, pathlib
place = pathlib.Path({str(tool)!r})
before = (place / "bin" / "program").read_text()
(place / "bin" / "program").write_text("changed")
(place / "made").mkdir()
(place / "removed").unlink()
print(json.dumps({{"before": before, "after": (place / "bin" / "program").read_text()}}))
"""
    try:
        (tool / "bin").mkdir()
        (tool / "bin" / "program").write_text("as it was")
        (tool / "removed").write_text("")
        plan = replace(worlds.plan(), engine=False)
        plan = plan.also(shown=[], tools=[str(tool)], reached=[])
        answers = worlds.answers(plan, script)
        left = sorted(str(each.relative_to(tool)) for each in tool.rglob("*"))
        content = (tool / "bin" / "program").read_text()
    finally:
        shutil.rmtree(tool)
    assert answers == {"before": "as it was", "after": "changed"}
    assert left == ["bin", "bin/program", "removed"]
    assert content == "as it was"


@pytest.mark.engine
def test_the_engine_inside_is_another_one(worlds: Worlds) -> None:
    """Also where variables name the user's engine."""
    words = ("docker", "info", "--format", "{{.ID}} {{.Containers}}")
    theirs = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    code, text = worlds.inside(
        worlds.plan(), *words, DOCKER_HOST="tcp://192.0.2.1:2375", DOCKER_CONTEXT="nowhere"
    )
    assert code == 0, text
    own, containers = text.split()
    assert own != theirs[0]
    assert containers == "0"


ONLY_VERSION_2 = """
mount --make-rprivate / || exit 9
cut -d' ' -f5 /proc/self/mountinfo | grep ^/sys/fs/cgroup | sort -r | xargs umount -l
mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 9
exec "$@"
"""


@pytest.mark.engine
@pytest.mark.soak
def test_worlds_work_with_control_groups_of_version_2_alone(worlds: Worlds) -> None:
    plan = worlds.plan()
    script = "docker info --format {{.CgroupVersion}}; grep ^0: /proc/self/cgroup"
    command = plan.command("alone", "sh", "-c", script)
    code, text = worlds.run(
        "unshare", "-m", "sh", "-c", ONLY_VERSION_2, "sh", *command, **{PLAN: plan.to_json()}
    )
    assert (code, text) == (0, "2\n0::/world\n")


def test_the_exit_code_is_that_of_the_command(worlds: Worlds) -> None:
    plan = replace(worlds.plan(), engine=False)
    assert worlds.inside(plan, "sh", "-c", "exit 7") == (7, "")
    assert worlds.inside(plan, "sh", "-c", "kill -9 $$") == (137, "")


def test_processes_that_outlive_the_command_end_with_the_world(worlds: Worlds) -> None:
    plan = replace(worlds.plan(), engine=False)
    code, text = worlds.inside(plan, "sh", "-c", "setsid sleep 600 & exit 0")
    assert (code, text) == (0, "")


def test_a_command_that_cannot_be_run_is_named(worlds: Worlds) -> None:
    plan = replace(worlds.plan(), engine=False)
    code, text = worlds.inside(plan, "no-such-command")
    assert (code, text) == (
        2,
        "dockwright: cannot run 'no-such-command': No such file or directory\n",
    )


@pytest.mark.engine
def test_an_engine_that_cannot_start_ends_its_world_with_its_log(worlds: Worlds) -> None:
    fake = worlds.suite / "dockerd"
    fake.write_text("#!/bin/sh\necho no iptables here >&2\nexit 3\n")
    fake.chmod(0o755)
    code, text = worlds.inside(worlds.plan(dockerd=str(fake)), "docker", "ps")
    assert code == 1
    lines = [line for line in text.splitlines() if "Cannot connect" not in line]  # docker's own
    assert lines == [
        "dockwright: the engine of a world exited with code 3, so the world ends; "
        "the end of its log:",
        "no iptables here",
    ]


def test_commands_get_the_signals_that_the_wrapper_gets(worlds: Worlds) -> None:
    plan = replace(worlds.plan(), engine=False)
    script = "trap 'echo asked to end; exit 5' TERM; echo ready; while :; do sleep 0.1; done"
    command = plan.command("alone", "sh", "-c", script)
    with worlds.start(*command, DOCKWRIGHT_ISOLATE_PLAN=plan.to_json()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.read() == "asked to end\n"
    assert process.returncode == 5


def test_a_signal_to_all_processes_ends_those_of_the_world_only(
    worlds: Worlds, outside: dict[str, object]
) -> None:
    plan = replace(worlds.plan(), engine=False)
    script = """
import os, signal, subprocess
other = subprocess.Popen(["sleep", "600"])
os.kill(-1, signal.SIGKILL)
print(other.wait())
"""
    assert worlds.inside(plan, sys.executable, "-c", script) == (0, "-9\n")


def test_sockets_and_data_of_an_engine_anywhere_are_covered(worlds: Worlds) -> None:
    """Outside of the directories that a world replaces anyway."""
    data = Path("/var/lib", f"dwtest-{uuid.uuid4().hex[:10]}")
    data.mkdir()
    address = data.with_suffix(".sock")
    script = f"""
import json, os, socket
with socket.socket(socket.AF_UNIX) as engine:
    try:
        engine.connect({str(address)!r})
        reached = "reached"
    except OSError as failure:
        reached = type(failure).__name__
print(json.dumps({{"socket": reached, "data": str(os.listdir({str(data)!r}))}}))
"""
    try:
        (data / "containers").mkdir()
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(address))
            server.listen()
            plan = worlds.plan(masked=(str(data), str(address), "/run/no.sock"))
            found = worlds.answers(plan, script)
    finally:
        address.unlink()
        shutil.rmtree(data)
    assert found == {"socket": "ConnectionRefusedError", "data": "[]"}


def test_plugins_of_a_docker_config_are_found(worlds: Worlds) -> None:
    """The rest of it could lead to an engine outside."""
    plugins = worlds.suite / "config" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-hello").touch()
    plan = worlds.plan(engine=False, plugins=str(plugins))
    script = "ls ~/.docker/cli-plugins; ls ~/.docker"
    assert worlds.inside(plan, "sh", "-c", script) == (0, "docker-hello\ncli-plugins\n")


def test_the_home_of_the_user_before_sudo_is_replaced_too(monkeypatch: pytest.MonkeyPatch) -> None:
    user = next(each for each in pwd.getpwall() if Path(each.pw_dir).is_dir() and each.pw_uid)
    monkeypatch.setenv("SUDO_UID", str(user.pw_uid))
    assert Path(user.pw_dir).resolve() in view.homes()
