"""The fixtures, in suites run by pytest itself."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from dockwright.engine import PREFIX, Engine
from dockwright.wait import Continue, Outcome, Ready, until
from tests._support.owned import leftovers
from tests._support.suite import COMPOSE, TIMEOUT_S, Suite, output
from tests.pytest_plugin.conftest import bare, suite
from tests.resources.conftest import workspaces

__all__ = ["bare", "suite"]

# `state` comes from the conftest of this directory, and so does a project directory of its own.


@pytest.fixture
def at_home(bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go back to the suite's directory; return its state directory."""
    monkeypatch.chdir(bare.path)
    return bare.path / "state" / "dockwright"


def test_directories_are_given_and_gone_and_nothing_heavy_is_loaded(
    bare: pytest.Pytester, at_home: Path
) -> None:
    bare.makepyfile(
        """
        import os, sys
        import pytest
        from dockwright import TestArtifactTracker
        from dockwright.errors import SizeLimitError

        seen = []

        def test_config(config_dir):
            assert os.environ["DOCKWRIGHT_CONFIG_DIR"] == str(config_dir)
            seen.append(config_dir)

        def test_config_is_gone():
            assert not seen[0].exists()
            assert "DOCKWRIGHT_CONFIG_DIR" not in os.environ

        @pytest.mark.parametrize("config_dir", ["APP_CONFIG"], indirect=True)
        def test_other_variable(config_dir):
            assert os.environ["APP_CONFIG"] == str(config_dir)
            assert "DOCKWRIGHT_CONFIG_DIR" not in os.environ

        @pytest.mark.parametrize("backup_dir", [{"limit_bytes": 10}], indirect=True)
        def test_backup(backup_dir):
            (backup_dir / "a").write_bytes(b"x" * 11)

        def test_artifacts(artifacts, tmp_path):
            artifacts.track_file(tmp_path / "x").touch()
            assert artifacts.test == "test_it.py::test_artifacts"
            assert type(artifacts) is TestArtifactTracker
            assert "docker" not in sys.modules
        """
    ).rename("test_it.py")
    result = bare.runpytest_subprocess("-p", "no:randomly", "-p", "no:xdist", "test_it.py")
    result.assert_outcomes(passed=5, errors=1)
    text = output(result)
    assert "SizeLimitError: backup directory" in text
    assert "holds 11 B in 1 files, more than its limit of 10 B" in text
    assert workspaces(at_home) == []


@pytest.mark.parametrize(
    ("fixture", "value", "said"),
    [
        ("config_dir", "'A=B'", "an environment variable cannot be called 'A=B'"),
        ("backup_dir", "{'needs': 3}", "unexpected keyword argument 'needs'"),
        ("backup_dir", "{'needs_bytes': 10**18}", "are needed\n  hint: free some space"),
    ],
)
def test_misused_fixtures_are_reported_without_a_traceback(
    bare: pytest.Pytester, at_home: Path, fixture: str, value: str, said: str
) -> None:
    bare.makepyfile(
        f"""
        import pytest

        @pytest.mark.parametrize("{fixture}", [{value}], ids=["x"], indirect=True)
        def test_it({fixture}): pass
        """
    )
    result = bare.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(errors=1)
    text = output(result)
    assert f"::test_it[x]: {fixture}: " in text
    assert said in text
    assert "dockwright/fixtures.py" not in text
    assert not list(at_home.glob("sessions/*"))


def test_artifacts_of_the_first_failed_test_are_kept_on_request(
    bare: pytest.Pytester, at_home: Path
) -> None:
    bare.makepyfile(
        """
        import pathlib

        def make(artifacts, backup_dir, name):
            artifacts.track_file(name).touch()
            (backup_dir / name).touch()

        def test_passes(artifacts, backup_dir):
            make(artifacts, backup_dir, "passes")

        def test_fails(artifacts, backup_dir):
            assert not artifacts.failed
            make(artifacts, backup_dir, "fails")
            raise ValueError("on purpose")

        def test_fails_later(artifacts, backup_dir):
            make(artifacts, backup_dir, "fails_later")
            raise ValueError("on purpose")
        """
    )
    result = bare.runpytest_subprocess("-p", "no:randomly", "--dockwright-keep-failed")
    result.assert_outcomes(passed=1, failed=2)
    text = output(result)
    assert "::test_fails:\n  file " in text
    assert text.count("remove: dockwright clean --kept") == 2
    left = {path.name for path in bare.path.iterdir()}
    assert "fails" in left
    assert {"passes", "fails_later"}.isdisjoint(left)
    assert len(workspaces(at_home)) == 2


@pytest.mark.engine
def test_services_go_down_and_come_back(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(suite.path)
    process = "{job: {command: [sleep, '600']}}"
    suite.compose(text=f"{COMPOSE}x-dockwright: {{processes: {process}}}\n")
    suite.write(
        "test_services.py",
        """
        import pytest
        from dockwright import StackServiceManager, stateless
        from dockwright.errors import LeaseClosedError

        kept = []

        def test_down(stack, stack_services):
            assert type(stack_services) is StackServiceManager
            with stack_services.stopped("web"):
                assert stack_services.running == {"job"}
            with stack_services.stopped("job"):
                assert stack_services.running == {"web"}
            assert stack_services.running == {"web", "job"}
            assert stack.exec("web", ["cat", "/data/www/index.html"]).stdout == "hello\\n"
            stack_services.stop()
            kept.append(stack_services)

        def test_the_manager_ends_with_the_lease():
            with pytest.raises(LeaseClosedError, match="test_down ended"):
                kept[0].start()

        @stateless
        def test_shared(stack_services):
            pass
        """,
    )
    suite.write(
        "test_together.py",
        """
        from dockwright import module_cleanup

        pytestmark = module_cleanup

        def test_stops(stack_services):
            stack_services.stop()

        def test_runs_again(stack_services):
            assert stack_services.running == {"web", "job"}
        """,
    )
    result = suite.passes(passed=4, errors=1)
    text = output(result)
    assert "test_shared: stack_services changes the stack, which a stateless test shares" in text
    assert "hint: mark the test stateful" in text


@pytest.mark.engine
def test_workers_do_not_meet_and_what_a_killed_run_left_goes_with_the_next(
    suite: Suite, engine: Engine, scratch: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(suite.path)
    (suite.path / "foreign").write_text("stays")
    suite.write(
        "test_it.py",
        f"""
        import os
        import pathlib
        import signal
        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        def test_makes(artifacts, config_dir, backup_dir, docker_client, number):
            (config_dir / "key").touch()
            (backup_dir / "tar").touch()
            artifacts.track_file("foreign")
            artifacts.track_directory(f"made-{{number}}").mkdir()
            plain = artifacts.track_volume(artifacts.name("plain"))
            docker_client.volumes.create(plain)
            child = artifacts.create_container("{scratch}", "tail", "-f", "/dev/null")
            process = artifacts.start_process(["sleep", "600"])
            note = pathlib.Path(f"ready-{{number}}.new")
            note.write_text(f"{{plain}} {{child}} {{process.pid}}")
            if os.environ.get("HANG"):
                note.rename(f"ready-{{number}}")
                signal.pause()
        """,
    )
    state = tmp_path / "state" / "dockwright"
    monkeypatch.setenv("HANG", "1")
    arguments = [*suite.pytester._getpytestargs(), "-n", "2", "-p", "no:randomly"]
    process = suite.pytester.popen(arguments, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        ready = [suite.path / "ready-1", suite.path / "ready-2"]
        until(lambda: _all_there(ready), subject="the tests", timeout_s=TIMEOUT_S)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert len(suite.left()) == 2
    assert len(workspaces(state)) == 6
    made = [file.read_text().split() for file in ready]

    monkeypatch.delenv("HANG")
    for file in ready:
        file.unlink()
    suite.passes("-p", "no:xdist", passed=2)
    assert workspaces(state) == []
    volumes = [each["Name"] for each in engine.list_volumes({})]
    for plain, _, pid in made:
        assert plain not in volumes
        assert not Path(f"/proc/{pid}/environ").exists()
    assert leftovers(engine, {f"{PREFIX}owner.pid": str(process.pid)}) == []
    assert {path.name for path in suite.path.glob("made-*")} == set()
    assert (suite.path / "foreign").read_text() == "stays"


def _all_there(files: list[Path]) -> Outcome:
    missing = [file.name for file in files if not file.exists()]
    return Continue(f"{missing} are not there") if missing else Ready()
