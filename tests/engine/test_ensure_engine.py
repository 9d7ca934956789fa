"""scripts/ensure-engine: uses what answers, starts an engine only where that is ours to do.

Where no engine may answer, the script runs in mount and network namespaces of its own, which hide
the machine's real one; that needs root. Only commands that would change the machine are stubs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from dockwright.engine import Engine

SCRIPT = Path(__file__).parents[2] / "scripts" / "ensure-engine"
TOOLS = (
    "bash cat chmod env flock grep id ip kill ln mkdir mount nohup printf rm sed setpriv setsid sh "
    "sleep tail timeout uname unshare ls"
)

HIDE = """
set -e
mount --make-rprivate /
mkdir -p "$SCRATCH/lib"
{before}
mount -t tmpfs tmpfs /run
mount --bind "$SCRATCH/lib" /var/lib/docker
ip link set lo up
set +e
{body}
"""


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    """A directory for PATH whose commands only note that they were called."""
    directory = tmp_path / "stubs"
    directory.mkdir()
    for name in ("apt-get", "apt-cache", "dockerd", "systemctl"):
        _stub(directory, name, f'echo "{name} $*" >>"{tmp_path}/called"')
    return directory


def _stub(directory: Path, name: str, body: str) -> None:
    path = directory / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def _called(tmp_path: Path) -> list[str]:
    path = tmp_path / "called"
    return path.read_text().splitlines() if path.exists() else []


def _run(
    tmp_path: Path,
    *command: str,
    path: str = "",
    **environ: str,
) -> subprocess.CompletedProcess[str]:
    known = {k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "XDG_"))}
    known |= {"HOME": str(tmp_path / "home"), "SCRATCH": str(tmp_path)}
    known["PATH"] = path or known["PATH"]
    return subprocess.run(
        command or (str(SCRIPT),),
        env=known | environ,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def _hidden(
    tmp_path: Path, body: str, *, before: str = "", path: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a script where none of the machine's engines is to be seen."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("hiding the machine's engine needs root and unshare")
    text = HIDE.format(before=before, body=body)
    return _run(tmp_path, "unshare", "-m", "-n", "bash", "-c", text, path=path, **environ)


def _with_own_sbin(tmp_path: Path) -> str:
    """Return a body that runs the script with an empty /usr/sbin: many containers have a policy."""
    (tmp_path / "sbin").mkdir()
    return f'mount --bind "$SCRATCH/sbin" /usr/sbin; {SCRIPT}'


def _only(directory: Path, *more: str) -> str:
    """Make a PATH of the few tools that the script uses, so that nothing else is installed."""
    for tool in (*TOOLS.split(), *more):
        if (found := shutil.which(tool)) and not (directory / tool).exists():
            (directory / tool).symlink_to(found)
    (directory / "python3").symlink_to(Path(sys.executable).resolve())
    return str(directory)


@pytest.mark.engine
def test_an_engine_that_answers_is_not_touched(engine: Engine, stubs: Path, tmp_path: Path) -> None:
    before = engine.info()["Name"]
    done = _run(tmp_path, path=f"{stubs}:{os.environ['PATH']}", DOCKER_HOST=engine.endpoint.url)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "answer" in done.stderr
    assert "is used" in done.stderr
    assert _called(tmp_path) == []
    assert engine.info()["Name"] == before


@pytest.mark.engine
def test_without_the_docker_command_sockets_are_asked_directly(
    engine: Engine, stubs: Path, tmp_path: Path
) -> None:
    if not engine.endpoint.url.startswith("unix://"):
        pytest.skip("the engine is not at a socket")
    done = _run(tmp_path, path=_only(stubs), DOCKER_HOST=engine.endpoint.url)
    assert done.returncode == 0, done.stderr
    assert _called(tmp_path) == []


@pytest.mark.engine
@pytest.mark.parametrize("more", [(), ("docker",)])
def test_a_machine_without_the_timeout_command_will_do(
    engine: Engine, stubs: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    if not engine.endpoint.url.startswith("unix://"):
        pytest.skip("the engine is not at a socket")
    path = _only(stubs, *more)
    (stubs / "timeout").unlink()  # as on macOS
    done = _run(tmp_path, path=path, DOCKER_HOST=engine.endpoint.url)
    assert done.returncode == 0, done.stderr
    assert _called(tmp_path) == []


def test_a_docker_host_that_is_dead_is_an_error_and_nothing_is_started(
    stubs: Path, tmp_path: Path
) -> None:
    done = _run(
        tmp_path,
        path=f"{stubs}:{os.environ['PATH']}",
        DOCKER_HOST=f"unix://{tmp_path}/none.sock",
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"ensure-engine: DOCKER_HOST=unix://{tmp_path}/none.sock does not answer; "
        "start that engine, or unset DOCKER_HOST.\n"
    )
    assert _called(tmp_path) == []


@pytest.mark.skipif(not shutil.which("docker"), reason="contexts are the docker command's")
def test_a_context_that_is_dead_is_an_error(stubs: Path, tmp_path: Path) -> None:
    meta = tmp_path / "config/contexts/meta" / sha256(b"far").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    host = f"unix://{tmp_path}/none.sock"
    meta.write_text(
        f'{{"Name":"far","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}"}}}}}}'
    )
    done = _run(
        tmp_path,
        path=f"{stubs}:{os.environ['PATH']}",
        DOCKER_CONFIG=str(tmp_path / "config"),
        DOCKER_CONTEXT="far",
    )
    assert done.returncode == 1
    assert "docker context far does not answer; start its engine" in done.stderr
    assert _called(tmp_path) == []


@pytest.mark.engine
def test_an_engine_at_another_usual_socket_is_named_on_standard_output(
    engine: Engine, stubs: Path, tmp_path: Path
) -> None:
    socket = tmp_path / "run/podman/podman.sock"
    socket.parent.mkdir(parents=True)
    socket.touch()
    done = _hidden(
        tmp_path,
        str(SCRIPT),
        before=f"mount --bind {engine.endpoint.url.removeprefix('unix://')} {socket}",
        path=f"{stubs}:{os.environ['PATH']}",
        XDG_RUNTIME_DIR=str(tmp_path / "run"),
    )
    assert (done.returncode, done.stdout) == (0, f"DOCKER_HOST=unix://{socket}\n"), done.stderr
    assert _called(tmp_path) == []


@pytest.mark.engine
def test_a_user_without_permission_learns_what_to_do(
    engine: Engine, stubs: Path, tmp_path: Path
) -> None:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("becoming another user needs root and setpriv")
    if engine.endpoint.url != "unix:///var/run/docker.sock":
        pytest.skip("another engine than that of the default socket is used")
    command = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-s")
    done = subprocess.run(
        command,
        input=SCRIPT.read_text(),
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
    )
    assert done.returncode == 1
    assert "this user may not use /var/run/docker.sock; run `sudo usermod -aG docker" in done.stderr


@pytest.mark.parametrize(
    ("command", "output", "message"),
    [
        ("uname", "Darwin", "install and start Docker Desktop, OrbStack, Colima or Podman."),
        ("id", "1000", "only root can start one; install Docker (https://docs.docker.com/engine/"),
    ],
)
def test_on_unknown_systems_the_script_says_what_to_install(
    stubs: Path, tmp_path: Path, command: str, output: str, message: str
) -> None:
    _stub(stubs, command, f"echo {output}")
    done = _hidden(tmp_path, str(SCRIPT), path=f"{stubs}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert "no engine answers" in done.stderr
    assert message in done.stderr
    assert _called(tmp_path) == []


def test_on_another_distribution_it_says_what_to_install(stubs: Path, tmp_path: Path) -> None:
    for name in ("apt-get", "apt-cache", "dockerd"):
        (stubs / name).unlink()
    done = _hidden(tmp_path, str(SCRIPT), path=_only(stubs))
    assert done.returncode == 1
    assert "install Docker with this system's package manager" in done.stderr


def test_on_debian_the_package_is_installed_without_starting_services(
    stubs: Path, tmp_path: Path
) -> None:
    (stubs / "dockerd").unlink()
    _stub(
        stubs,
        "apt-get",
        f'echo "apt-get $*" >>"{tmp_path}/called"\n'
        f'[[ "$*" == *install* ]] || exit 0\n'
        f'echo "policy $(/usr/sbin/policy-rc.d; echo $?) $DEBIAN_FRONTEND" >>"{tmp_path}/called"\n'
        f"printf '#!/bin/bash\\necho broken dockerd\\nexit 1\\n' >\"{stubs}/dockerd\"\n"
        f'chmod 755 "{stubs}/dockerd"',
    )
    done = _hidden(tmp_path, _with_own_sbin(tmp_path), path=_only(stubs))
    assert "no engine answers; installing docker.io." in done.stderr
    calls = _called(tmp_path)
    assert calls[0] == "apt-get -qq update"
    assert "apt-get -qq install -y --no-install-recommends docker.io ca-certificates" in calls[2]
    assert calls[3] == "policy 101 noninteractive"
    assert list((tmp_path / "sbin").iterdir()) == []
    assert done.returncode == 1
    assert "broken dockerd" in done.stderr


def test_a_failed_installation_is_reported(stubs: Path, tmp_path: Path) -> None:
    (stubs / "dockerd").unlink()
    _stub(stubs, "apt-get", "echo E: no network >&2; exit 100")
    done = _hidden(tmp_path, _with_own_sbin(tmp_path), path=_only(stubs))
    assert done.returncode == 1
    assert "E: no network" in done.stderr
    assert "docker.io could not be installed (see above); install Docker by hand" in done.stderr
    assert list((tmp_path / "sbin").iterdir()) == []


@pytest.mark.parametrize(
    ("last_words", "advice"),
    [
        ("failed to start daemon: iptables v1.8.9 (nf_tables): Could not fetch", "at iptables"),
        ("Devices cgroup isn't mounted", "at cgroups; mount them (package cgroupfs-mount)"),
        ("mount: operation not permitted", "does not allow an engine"),
        ("something else", "see the log above"),
    ],
)
def test_a_dockerd_that_dies_is_quoted_and_explained(
    stubs: Path, tmp_path: Path, last_words: str, advice: str
) -> None:
    _stub(stubs, "dockerd", f'echo "{last_words}" >&2; exit 1')
    done = _hidden(tmp_path, str(SCRIPT), path=_only(stubs))
    assert done.returncode == 1
    assert last_words in done.stderr
    assert advice in done.stderr


def test_dockerd_is_tried_with_legacy_iptables_where_the_other_fails(
    stubs: Path, tmp_path: Path
) -> None:
    _stub(stubs, "iptables-legacy", "echo legacy")
    _stub(stubs, "iptables", "echo nft")
    _stub(
        stubs,
        "dockerd",
        f'echo "dockerd with $(iptables)" >>"{tmp_path}/called"\n'
        "echo 'failed: iptables (nf_tables)'; exit 1",
    )
    done = _hidden(tmp_path, str(SCRIPT), path=_only(stubs))
    assert _called(tmp_path) == ["dockerd with nft", "dockerd with legacy"]
    assert "trying iptables-legacy" in done.stderr


def test_with_systemd_the_service_is_started(stubs: Path, tmp_path: Path) -> None:
    body = f"mkdir -p /run/systemd/system; {SCRIPT}"
    done = _hidden(tmp_path, body, path=_only(stubs))
    assert _called(tmp_path) == ["systemctl start docker"]
    assert "docker.service runs, but does not answer at /var/run/docker.sock" in done.stderr


@pytest.mark.engine
def test_it_starts_a_real_engine_and_again_after_it_was_killed(tmp_path: Path) -> None:
    if not (shutil.which("dockerd") and shutil.which("docker")):
        pytest.skip("dockerd is not installed")
    body = f"""
{SCRIPT} || exit 1
docker version --format 'first {{{{.Server.Os}}}}'
{SCRIPT} && echo second
pid=$(cat /run/dockwright-engine/dockerd.pid)
kill -9 $pid
while [ -d /proc/$pid ]; do sleep 0.05; done
{SCRIPT} && docker version --format 'third {{{{.Server.Os}}}}'
pid=$(cat /run/dockwright-engine/dockerd.pid)
kill $pid
while [ -d /proc/$pid ]; do sleep 0.05; done
"""
    done = _hidden(tmp_path, body)
    assert done.stdout.split() == ["first", "linux", "second", "third", "linux"], done.stderr
    assert done.stderr.count("starting dockerd; its log is") == 2
    assert done.stderr.count("an engine answers at /var/run/docker.sock; it is used.") == 1


def test_help_and_unknown_arguments(tmp_path: Path) -> None:
    shown = _run(tmp_path, str(SCRIPT), "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith("usage: scripts/ensure-engine")
    wrong = _run(tmp_path, str(SCRIPT), "--start")
    assert wrong.returncode == 2
    assert "unknown argument --start" in wrong.stderr
