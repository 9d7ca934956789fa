"""``dockwright isolate`` and ``--dockwright-isolate``: what they pass on, and what they refuse."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dockwright.engine import Engine
from dockwright.errors import UsageError
from dockwright.isolate.inside.busy import Busy
from dockwright.isolate.inside.plan import note
from dockwright.isolate.planning import find_way_out
from dockwright.paths import project_hash
from tests._support.isolate.runs import COMMAND, Worlds

WITHOUT_ENGINE = ("--home", "--net")

_WHERE = """
import os, pathlib

def test_where():
    assert not os.environ.get("DOCKWRIGHT_ISOLATE_PLAN")
    assert "dockwright_isolate" not in os.environ.get("PYTEST_PLUGINS", "")
    assert "inside/hooks" not in os.environ.get("PYTHONPATH", "")
    assert os.environ["DOCKWRIGHT_WORLD_LEVEL"] == "worker"
    (pathlib.Path.home() / ".tool").mkdir()
"""


def test_each_worker_has_a_home_of_its_own(worlds: Worlds) -> None:
    for number in range(2):
        (worlds.suite / f"test_{number}.py").write_text(_WHERE)
    code, text = worlds.isolate(*WITHOUT_ENGINE, "--", *worlds.pytest("-n", "2"))
    assert code == 0, text
    assert "2 passed" in text
    assert not (Path.home() / ".tool").exists()


def test_the_tests_of_a_file_stay_in_one_worker(worlds: Worlds) -> None:
    body = "import os\nMADE = os.path.expanduser('~/.made')\n" + "\n".join(
        f"def test_{each}(): assert os.path.exists(MADE) == {bool(each)}; open(MADE, 'a').close()"
        for each in range(6)
    )
    for name in ("one", "two"):
        (worlds.suite / f"test_{name}.py").write_text(body)
    code, text = worlds.isolate(*WITHOUT_ENGINE, "--", *worlds.pytest("-n", "2"))
    assert (code, "12 passed" in text) == (0, True), text


@pytest.mark.soak
def test_files_that_took_long_begin_first_in_the_next_run(worlds: Worlds) -> None:
    for number, pause_s in enumerate((0, 0, 2, 0.5)):
        text = f"import time\ndef test_one(): time.sleep({pause_s})\n"
        (worlds.suite / f"test_{number}.py").write_text(text)
    (worlds.suite / "pytest.ini").write_text("[pytest]\n")
    for first in ("test_0.py", "test_2.py"):
        words = worlds.pytest("-n", "1", "-vv", "-p", "no:randomly")
        code, text = worlds.isolate(*WITHOUT_ENGINE, "--", *words)
        assert code == 0, text
        passed = [line.split()[-1] for line in text.splitlines() if "PASSED" in line]
        assert passed[0].startswith(first), text


@pytest.mark.soak
def test_another_distribution_is_kept(worlds: Worlds) -> None:
    (worlds.suite / "test_one.py").write_text("def test_one(): pass\n")
    options = ("-n", "2", "--dist", "loadscope", "-vv")
    _, text = worlds.isolate(*WITHOUT_ENGINE, "--", *worlds.pytest(*options))
    assert "LoadScopeScheduling" in text


@pytest.mark.soak
def test_workers_adds_to_the_options_of_pytest(worlds: Worlds) -> None:
    (worlds.suite / "test_one.py").write_text("def test_one(): pass\n")
    words = worlds.pytest("-vv")
    code, text = worlds.isolate(
        *WITHOUT_ENGINE, "--workers", "2", "--", *words, PYTEST_ADDOPTS="-rA"
    )
    assert code == 0, text
    assert "2 workers" in text
    assert "PASSED test_one.py::test_one" in text


@pytest.mark.soak
def test_auto_means_as_many_workers_as_the_last_run_proposes(worlds: Worlds) -> None:
    notes = worlds.cache / "isolated-runs" / f"{project_hash(worlds.suite)}.jsonl"
    notes.parent.mkdir()
    busy = Busy(workers=1, wall_s=100, used_s=80, cores=2, most=99)
    note(str(notes), busy=busy.to_facts())
    for number in range(2):
        (worlds.suite / f"test_{number}.py").write_text("def test_one(): pass\n")
    (worlds.suite / "pytest.ini").write_text("[pytest]\n")
    words = worlds.pytest("-vv")
    code, text = worlds.isolate(*WITHOUT_ENGINE, "--workers", "auto", "--", *words)
    assert (code, "created: 2/2 workers" in text) == (0, True), text


_ASKING = """
import subprocess

def test_image():
    subprocess.run(["docker", "run", "--rm", "IMAGE", "true"], check=True)

def test_other():
    subprocess.run(["docker", "run", "--rm", "no/such:image", "true"], check=True)
"""


@pytest.mark.engine
@pytest.mark.soak
def test_images_that_tests_missed_are_there_in_the_next_run(
    worlds: Worlds, engine: Engine, scratch: str
) -> None:
    """Also those that the project's files do not name as a whole."""
    name, _, tag = scratch.rpartition(":")
    (worlds.suite / "test_one.py").write_text(_ASKING.replace('"IMAGE"', f"'{name}' ':{tag}'"))
    (worlds.suite / "pytest.ini").write_text("[pytest]\n")
    _, text = worlds.isolate("--", *worlds.pytest("-n", "1"))
    assert "2 failed" in text, text
    assert f"the engines of workers did not have {scratch}, no/such:image: the next run" in text
    for _ in range(2):  # missed by the run before, and used by it
        _, text = worlds.isolate("--", *worlds.pytest("-n", "1"))
        assert "1 failed, 1 passed" in text, text


def test_a_command_without_pytest_is_isolated_as_a_whole(worlds: Worlds) -> None:
    """All but HOME and /tmp, where a command leaves what it makes."""
    report = worlds.suite.parent / "report"
    script = f"ps ax | wc -l; ip -o link | wc -l; echo made > {report}"
    code, text = worlds.isolate(*WITHOUT_ENGINE, "--", "sh", "-c", script)
    assert code == 0, text
    processes, links = map(int, text.split())
    assert processes < 10
    assert links == 1
    assert report.read_text() == "made\n"


@pytest.mark.soak
def test_servers_of_plugins_in_the_main_process_are_reached(worlds: Worlds) -> None:
    """Workers of pytest-rerunfailures ask a server in the main process."""
    (worlds.suite / "test_flaky.py").write_text(
        "import pathlib\nMARK = pathlib.Path.home() / '.mark'\n"
        "def test_flaky():\n    seen = MARK.exists(); MARK.touch(); assert seen\n"
    )
    options = ("-n", "2", "-p", "pytest_rerunfailures", "--reruns", "1")
    code, text = worlds.isolate(*WITHOUT_ENGINE, "--", *worlds.pytest(*options))
    assert (code, "1 passed, 1 rerun" in text) == (0, True), text


@pytest.mark.soak
def test_files_in_tmp_path_are_kept_after_the_run(worlds: Worlds) -> None:
    (worlds.suite / "test_one.py").write_text(
        "def test_one(tmp_path): (tmp_path / 'kept').write_text('here')\n"
    )
    base = worlds.suite.parent / "base"
    options = ("-n", "1", f"--basetemp={base}")
    code, text = worlds.isolate(*WITHOUT_ENGINE, "--", *worlds.pytest(*options))
    assert code == 0, text
    assert [each.read_text() for each in base.glob("popen-gw0/test_one0/kept")] == ["here"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dockerd", "/no/dockerd", "--", "true"), "--dockerd /no/dockerd: no such program"),
        (("--", "no-such-command"), "cannot run 'no-such-command': no such command"),
        (("--home",), "Missing argument 'COMMAND...'"),
        (("--workers", "0", "--", "true"), "'0' is neither a number from 1 on nor auto"),
        (("--workers", "two", "--", "true"), "'two' is neither a number from 1 on nor auto"),
    ],
)
def test_invalid_requests_are_refused(
    worlds: Worlds, options: tuple[str, ...], message: str
) -> None:
    code, text = worlds.isolate(*options)
    assert code == 2
    assert message in text


@pytest.mark.soak
@pytest.mark.engine
def test_the_engine_can_stay_shared(worlds: Worlds) -> None:
    """Also in workers that have a home directory of their own."""
    words = ("docker", "info", "--format", "{{.ID}}")
    own = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    (worlds.suite / "test_one.py").write_text(
        "import subprocess\n"
        f"def test_one(): assert subprocess.check_output({words!r}, text=True).strip() == {own!r}\n"
    )
    code, text = worlds.isolate("--home", "--", *worlds.pytest("-n", "1"))
    assert code == 0, text


@pytest.mark.engine
def test_an_image_that_the_engine_does_not_have_is_refused(worlds: Worlds) -> None:
    code, text = worlds.isolate("--image", "no/such:image", "--", "true")
    assert (code, text) == (
        2,
        "error: --image no/such:image: the engine has no such image\n"
        "  hint: get it first: docker pull no/such:image\n",
    )


def test_a_daemon_that_does_not_start_is_refused_with_its_log(worlds: Worlds) -> None:
    fake = worlds.suite / "dockerd"
    fake.write_text("#!/bin/sh\necho no iptables here >&2\nexit 3\n")
    fake.chmod(0o755)
    code, text = worlds.isolate("--dockerd", str(fake), "--", "echo", "it ran")
    assert code == 1
    assert [line for line in text.splitlines() if not line.startswith("it says: ")] == [
        "error: workers cannot have engines of their own: the engine of a world exited with code "
        "3, so the world ends; the end of its log:",
        "no iptables here",
        "  hint: leave out the engine (--home --net --pid), or name another one with --dockerd",
    ]


def test_a_project_that_is_the_home_directory_is_refused(worlds: Worlds) -> None:
    code, text = worlds.isolate(*WITHOUT_ENGINE, "--", "true", HOME=str(worlds.suite))
    assert code == 2
    assert f"the project directory is {worlds.suite}, which each worker would see empty" in text


def test_doctor_says_whether_worlds_can_be_made(worlds: Worlds) -> None:
    code, text = worlds.run(*COMMAND, "doctor", "--isolate")
    assert code == 0, text
    for name in ("rights", "control groups", "namespaces", "dockerd", "engine"):
        assert f"isolate: {name}" in text


@pytest.mark.soak
def test_a_profile_sees_what_isolated_workers_do(worlds: Worlds) -> None:
    for number in range(2):
        text = "import time\ndef test_sleeps(): time.sleep(0.5)\n"
        (worlds.suite / f"test_{number}.py").write_text(text)
    profile = worlds.suite.parent / "profile.json"
    isolated = (*COMMAND, "isolate", *WITHOUT_ENGINE, "--", *worlds.pytest("-n", "2"))
    code, text = worlds.run(*COMMAND, "profile", "--json", str(profile), "--", *isolated)
    assert code == 0, text
    assert text.count("fixed sleeps: time.sleep") == 2
    assert "test_0.py:2 in test_sleeps" in text


@pytest.mark.soak
def test_paths_relative_to_the_project_do_not_lead_out(worlds: Worlds) -> None:
    """Above the project is the world's own home directory."""
    (worlds.suite.parent / "secret").write_text("outside")
    (worlds.suite / "test_up.py").write_text(
        "import os\ndef test_up(): assert sorted(os.listdir('..')) == ['cache', 'suite']\n"
    )
    code, text = worlds.isolate(
        *WITHOUT_ENGINE, "--show", str(worlds.cache), "--", *worlds.pytest("-n", "1")
    )
    assert code == 0, text


ENSURE = Path(__file__).parents[2] / "scripts" / "ensure-isolation"


def _ensure(*words: str, path: str) -> tuple[int, str]:
    done = subprocess.run(
        [ENSURE, *words], env={"PATH": path}, capture_output=True, text=True, timeout=100
    )
    return done.returncode, done.stdout + done.stderr


def test_the_script_for_all_options_says_what_it_does(tmp_path: Path) -> None:
    code, text = _ensure("--help", path="/usr/bin:/bin")
    assert (code, "usage: scripts/ensure-isolation [--help]" in text) == (0, True)
    assert _ensure("--what", path="/usr/bin:/bin")[0] == 2


def test_the_script_for_all_options_names_what_it_cannot_install(tmp_path: Path) -> None:
    """And does nothing where everything is installed."""
    for name in ("bash", "id", "cat"):
        (tmp_path / name).symlink_to(f"/bin/{name}" if name != "id" else "/usr/bin/id")
    code, text = _ensure(path=str(tmp_path))
    assert (code, text) == (
        1,
        "ensure-isolation: install slirp4netns uidmap (names of packages on Debian) to test all "
        "options of dockwright isolate.\n",
    )
    for name in ("slirp4netns", "newuidmap"):
        (tmp_path / name).touch(0o755)
    assert _ensure(path=str(tmp_path)) == (0, "")


def test_a_way_out_that_cannot_be_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="--outside needs slirp4netns"):
        find_way_out()
    (tmp_path / "slirp4netns").touch(0o755)
    monkeypatch.setattr("dockwright.isolate.planning._TUNNELS", tmp_path / "tun")
    with pytest.raises(UsageError, match="which this user may not open or which is not there"):
        find_way_out()
    (tmp_path / "tun").touch()
    assert find_way_out() == str(tmp_path / "slirp4netns")
