"""Worlds of users who are not root: root in a namespace of their own, with or without an engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dockwright.engine import Engine
from dockwright.isolate.inside import kernel, users
from dockwright.isolate.inside.users import Ids, given_ids
from dockwright.wait import Continue, Ready, until
from tests._support.isolate.legacy import write_suite
from tests._support.isolate.others import MAIN, SOURCE, Other, other, user_with_ids

_WHERE = """
import os, pathlib, subprocess

def test_where():
    assert os.getuid() == 0
    assert subprocess.run(["pkill", "-f", "sleep 6[0]1"]).returncode == 1
    (pathlib.Path.home() / ".tool").mkdir()
    pathlib.Path("written-NUMBER").touch()
"""


@pytest.fixture
def nobody() -> Iterator[Other]:
    """A user without ids of its own for containers."""
    with other() as made:
        yield made


def test_home_network_and_processes_are_separated_for_any_user(nobody: Other) -> None:
    for number in range(2):
        nobody.write(f"test_{number}.py", _WHERE.replace("NUMBER", str(number)))
    separated = ("isolate", "--home", "--net", "--")
    with subprocess.Popen(["sleep", "601"]) as outside:
        code, text = nobody.run(*nobody.dockwright(*separated, *nobody.pytest("-n", "2")))
        assert outside.poll() is None
        outside.kill()
    assert (code, "2 passed" in text) == (0, True), text
    # What the suite writes belongs to the user who ran it, not to root.
    assert [(nobody.project / f"written-{each}").stat().st_uid for each in range(2)] == [
        nobody.user,
        nobody.user,
    ]
    assert list(nobody.cache.glob("worlds/*")) == []


def test_without_further_ids_an_engine_is_refused_in_one_sentence(nobody: Other) -> None:
    code, text = nobody.run(*nobody.dockwright("isolate", "--", "true"))
    assert code == 2
    assert text.startswith(
        f"error: user {nobody.user} cannot give workers an engine of their own: containers need "
        "more than one user id\n  hint: "
    )


def test_a_run_that_cannot_be_isolated_does_not_start(nobody: Other) -> None:
    nobody.write("test_one.py", "def test_one(): raise SystemExit('it ran')\n")
    code, text = nobody.run(*nobody.pytest("--dockwright-isolate"))
    assert code == 4
    assert "cannot give workers an engine of their own" in text
    assert "it ran" not in text


_REFUSING = """
import os, sys
sys.path.insert(0, sys.argv[1])
from dockwright.isolate.inside import kernel
kernel.unshare(kernel.NEW_USERS)
os.write(1, b".")
os.read(0, 1)
open("/proc/sys/user/max_user_namespaces", "w").write("0")
os.setgroups([]); os.setgid(65534); os.setuid(65534)
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_a_machine_that_allows_no_user_namespaces_is_named(nobody: Other) -> None:
    """In a user namespace whose limit is none at all, as administrators set it."""
    command = nobody.dockwright("isolate", "--home", "--", "true")
    with subprocess.Popen(
        [sys.executable, "-c", _REFUSING, str(SOURCE), *command],
        cwd=nobody.project, env=nobody.environ, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.read(1) == "."
        for kind in ("uid", "gid"):
            Path(f"/proc/{process.pid}/{kind}_map").write_text("0 0 65536")
        text, _ = process.communicate("x", timeout=60)
    assert process.returncode == 2
    assert text.startswith(
        "error: user 65534 cannot give workers a world of their own: this machine allows no user "
        "namespaces (unshare: "
    )


def test_ids_are_those_of_the_user_by_name_or_number(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text(f"somebody:1:2\nroot:100000:10\n\nbroken\n{os.getuid()}:200000:65536\n")
    assert given_ids(file) == Ids(200000, 65536)
    assert given_ids(tmp_path / "none") is None


def test_the_first_process_of_a_namespace_is_forked_once() -> None:
    """And this process, with its later children, stays where it is."""
    if os.geteuid() != 0:
        pytest.skip("only root can make namespaces")
    pid = kernel.fork_into_processes()
    if not pid:
        os._exit(7 if os.getpid() == 1 else 8)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    later = os.fork()
    if not later:
        os._exit(7 if os.getpid() > 1 else 8)
    assert os.waitstatus_to_exitcode(os.waitpid(later, 0)[1]) == 7


@pytest.mark.soak
def test_a_killed_run_leaves_nothing(nobody: Other) -> None:
    """Although control groups do not hold together what such a user's run has started."""
    script = "setsid sleep 633 & touch ready; sleep 633"
    command = nobody.dockwright("isolate", "--home", "--net", "--", "sh", "-c", script)

    def left() -> list[str]:
        found = [str(each) for each in nobody.cache.glob("worlds/*")]
        for process in psutil.process_iter(["environ"]):
            if (process.info["environ"] or {}).get("DOCKWRIGHT_CACHE_DIR") == str(nobody.cache):
                found.append(str(process))
        return found

    with nobody.start(*command) as process:
        until(
            lambda: Ready() if (nobody.project / "ready").exists() else Continue("not yet"),
            subject="the command to run",
            timeout_s=60,
        )
        assert len(left()) > 3
        process.kill()
    until(
        lambda: Continue(", ".join(found)) if (found := left()) else Ready(),
        subject="everything of the run to go",
        timeout_s=20,
    )


@pytest.mark.soak
def test_a_process_knows_whether_its_root_is_that_of_the_machine(nobody: Other) -> None:
    script = "from dockwright.isolate.inside.users import *; print(is_rootless(), outside_user())"
    command = nobody.dockwright("isolate", "--home", "--", nobody.python, "-c", script)
    assert nobody.run(*command) == (0, f"True {nobody.user}\n")
    assert users.outside_user() == os.getuid()


@pytest.mark.engine
@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_user_with_ids_has_engines_for_workers(engine: Engine, scratch: str) -> None:
    """Also for containers with files of many users, and with the images of the user's engine."""
    with user_with_ids() as user:
        write_suite(user.project, files=2, pause_s=0.05, image=scratch)
        images = ("--image", scratch, "--image", "busybox:1")
        isolated = user.dockwright("isolate", *images, "--", *user.pytest("-n", "2"))
        code, text = user.run(*isolated)
        assert (code, "1 failed, 8 passed, 1 skipped" in text) == (1, True), text
        script = (
            "docker run --rm busybox:1 sh -c 'touch /file && chown 33:33 /file && ls -ln /file'"
        )
        code, text = user.run(*user.dockwright("isolate", *images, "--", "sh", "-c", script))
        assert (code, " 33 " in text) == (0, True), text
        assert list(user.cache.glob("worlds/*")) == []


@pytest.mark.engine
@pytest.mark.soak
@pytest.mark.timeout(300)
def test_doctor_and_clean_work_for_a_user_with_ids() -> None:
    with user_with_ids() as user:
        code, text = user.run(*user.dockwright("doctor", "--isolate"))
        assert code == 0, text
        assert "one in a world of its own started and ended in" in text
        dead = user.cache / "worlds" / "dockwright-dead"
        script = (
            f"mkdir -p {dead}/docker && chown 7:7 {dead}/docker && echo [] > {dead}/groups.json"
        )
        made = user.dockwright("isolate", "--home", "--", "sh", "-c", script)
        assert user.run(*made) == (0, "")
        code, text = user.run(user.python, "-c", MAIN, "clean")
        assert (code, "removed 1 world of killed workers" in text) == (0, True), text
