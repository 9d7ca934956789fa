"""How results are saved, reused, verified and shown."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests._support.known import KnownSuite
from tests._support.project import COMMAND

TESTS = {
    "conftest.py": """
        import os, pytest

        def note(text):
            with open(os.environ.get("NOTES", os.devnull), "a") as notes:
                notes.write(text)

        @pytest.fixture(scope="module")
        def log():
            note("up ")
            yield []
            note("down ")
        """,
    "test_a.py": """
        def test_one(log):
            log.append(1)

        def test_two(log):
            pass
        """,
    "test_b.py": """
        def test_three(log): pass
        """,
}


@pytest.fixture
def suite(tmp_path: Path) -> KnownSuite:
    path = tmp_path / "suite"
    path.mkdir()
    found = KnownSuite(path, tmp_path / "place")
    found.write(TESTS)
    return found


def test_a_second_run_reuses_all_results_and_says_so(suite: KnownSuite) -> None:
    first = suite.run()
    assert "3 tests ran: no saved result" in first.text
    second = suite.run("-rA")
    assert second.reused == {"test_one", "test_two", "test_three"}
    assert second.exit_code == 0
    assert "results: 3 of 3 tests reused" in second.text
    assert "3 reused in " in second.text


def test_the_dots_of_reused_tests_differ(suite: KnownSuite) -> None:
    suite.run()
    assert "test_a.py ==" in suite.run("-q").text


def test_off_neither_reuses_nor_saves(suite: KnownSuite) -> None:
    assert "dockwright ==" not in suite.run(mode="off").text
    assert suite.run().reused == frozenset()
    assert suite.run(mode="off").reused == frozenset()


DOUBTS = {
    "fails": "assert False",
    "is_skipped": "pytest.skip('not now')",
    "is_expected_to_fail": "pytest.xfail('later')",
    "fails_at_its_end": "request.addfinalizer(lambda: 1 / 0)",
    "has_no_fixture": "request.getfixturevalue('broken')",
    "starts_a_process": "subprocess.run(['true'])",
    "runs_a_shell": "os.system('true')",
    "forks": "os.waitpid(os.fork() or os._exit(0), 0)",
    "connects": "socket.create_connection(('127.0.0.1', int(os.environ['THE_PORT']))).close()",
    "reads_a_file_of_the_host": "open('/etc/hostname').close()",
    "reads_a_new_file": "os.utime(DATA); DATA.read_text()",
    "traces": "sys.settrace(lambda *_: None)",
}


def test_a_test_in_doubt_runs_each_time(suite: KnownSuite) -> None:
    tests = "".join(f"def test_{name}(request):\n    {body}\n\n" for name, body in DOUBTS.items())
    head = """
        import os, pathlib, pytest, socket, subprocess, sys
        DATA = pathlib.Path(__file__).with_name("data.txt")

        @pytest.fixture
        def broken():
            1 / 0

        def test_that_is_known():
            pass
        """
    suite.write({"test_a.py": head, "data.txt": "data"})
    with (suite.path / "test_a.py").open("a") as file:
        file.write(f"\n{tests}")
    with socket.create_server(("127.0.0.1", 0)) as server:
        environ = {"THE_PORT": str(server.getsockname()[1])}
        first = suite.run("test_a.py", environ=environ)
        second = suite.run("test_a.py", environ=environ)
    assert second.reused == {"test_that_is_known"}, first.text
    assert second.ran == {f"test_{name}" for name in DOUBTS}
    for why in ("it starts processes", "it replaced Python's trace function", "which is not its"):
        assert f"cannot be reused later: {why}" in first.text or why in first.text


def test_files_and_servers_of_a_test_itself_cause_no_doubt(suite: KnownSuite) -> None:
    suite.write(
        {
            "test_a.py": """
            import pathlib, socket, tempfile

            def test_it(tmp_path, monkeypatch):
                (tmp_path / "a").write_text("x")
                assert (tmp_path / "a").read_text() == "x"
                with tempfile.TemporaryFile() as file:
                    file.write(b"x")
                with socket.create_server(("127.0.0.1", 0)) as server:
                    socket.create_connection(server.getsockname()).close()
                monkeypatch.setenv("A", "b")
            """
        }
    )
    first = suite.run("test_a.py")
    assert suite.run("test_a.py").reused == {"test_it"}, first.text


def test_declared_inputs_settle_doubts(suite: KnownSuite) -> None:
    suite.write(
        {
            "test_a.py": """
            import pytest, subprocess

            @pytest.mark.results(inputs=["data/*.txt", "env:COLOUR"])
            def test_it(): subprocess.run(["cat", "data/a.txt"])
            """,
            "data/a.txt": "a",
        }
    )
    suite.run("test_a.py")
    assert suite.run("test_a.py").reused == {"test_it"}
    suite.write({"data/b.txt": "b"})
    assert suite.run("test_a.py").ran == {"test_it"}
    assert suite.run("test_a.py").reused == {"test_it"}
    assert suite.run("test_a.py", environ={"COLOUR": "red"}).ran == {"test_it"}


@pytest.mark.soak(sample=1)
@pytest.mark.parametrize("arguments", ["'a'", "inputs='a'", "files=['a']", ""])
def test_an_invalid_marker_is_a_usage_error(suite: KnownSuite, arguments: str) -> None:
    suite.write(
        {
            "test_a.py": f"""
            import pytest

            @pytest.mark.results({arguments})
            def test_it(): pass
            """
        }
    )
    done = suite.run("test_a.py")
    assert done.exit_code == 4
    assert "ERROR: test_a.py::test_it: the results marker takes a list of files" in done.text


@pytest.mark.soak
def test_an_unknown_mode_is_a_usage_error(suite: KnownSuite) -> None:
    done = suite.run(mode="always")
    assert done.exit_code == 4
    assert "results = 'always': expected one of: off, use, verify" in done.text


def test_without_testmon_the_error_says_what_to_install(suite: KnownSuite) -> None:
    suite.write({"testmon.py": "raise ImportError('no testmon')"})
    done = suite.run(environ={"PYTHONPATH": str(suite.path)})
    assert done.exit_code == 4
    assert "dockwright_results needs pytest-testmon: " in done.text
    assert "pip install 'dockwright[results]'" in done.text


@pytest.mark.soak(sample=1)
@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--testmon"], "pytest-testmon's own plugin is switched on"),
        (["--trace-config", "--pdb"], "a debugger or another tracer is active"),
    ],
)
def test_another_tracer_switches_results_off(
    suite: KnownSuite, options: list[str], why: str
) -> None:
    environ = {
        "PYTEST_ADDOPTS": "-p no:hypothesispytest -p no:pytest_databases"
    }  # testmon's own plugin stays
    suite.run(environ=environ)
    done = suite.run(*options, environ=environ)
    assert done.ran == {"test_one", "test_two", "test_three"}, done.text
    assert f"dockwright: results are neither reused nor saved in this run: {why}" in done.text


def test_junit_counts_reused_tests_as_passed_and_says_why(suite: KnownSuite) -> None:
    suite.run()
    suite.run("--junitxml=report.xml")
    [found] = ET.parse(suite.path / "report.xml").getroot()
    assert {name: found.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3",
        "failures": "0",
        "errors": "0",
        "skipped": "0",
    }
    notes = [each.get("value") or "" for each in found.iter("property")]
    assert len(notes) == 3
    assert all(note.startswith("reused: it passed ") for note in notes)


def test_workers_of_xdist_reuse_and_save(suite: KnownSuite) -> None:
    first = suite.run("-n2")
    assert first.exit_code == 0, first.text
    second = suite.run("-n2")
    assert "results: 3 of 3 tests reused" in second.text
    assert "3 reused in " in second.text
    assert suite.run().reused == {"test_one", "test_two", "test_three"}


def test_fixtures_of_an_earlier_test_are_torn_down_before_the_next_test(suite: KnownSuite) -> None:
    notes = suite.place / "notes"
    environ = {"NOTES": str(notes)}
    suite.place.mkdir()
    suite.run(environ=environ)
    notes.unlink()
    suite.replace("test_a.py", "log.append(1)", "log.append(2)")
    suite.write({"test_c.py": "def test_four(log): pass\n"})
    done = suite.run(environ=environ)
    assert done.ran == {"test_one", "test_four"}, done.text
    assert notes.read_text() == "up down up down "


@pytest.mark.soak
def test_a_failed_teardown_is_reported(suite: KnownSuite) -> None:
    suite.write({"test_a.py": TESTS["test_a.py"] + "\n        def test_z():\n            pass\n"})
    suite.run()
    suite.replace("test_a.py", "log.append(1)", "log.append('note'); del log[:]; log.extend('x')")
    suite.replace("conftest.py", "yield []", "found = []; yield found; assert found == []")
    done = suite.run()
    assert "test_z" in done.reused, done.text
    assert done.exit_code == 1
    assert "ERROR" in done.text


def test_verify_runs_a_part_and_fails_if_an_outcome_differs(suite: KnownSuite) -> None:
    suite.write(
        {
            "test_a.py": """
            import pathlib
            def test_it():
                flag = pathlib.Path("flag")
                assert not flag.exists() or flag.read_text() == "flag"
            """
        }
    )
    suite.run("test_a.py")
    same = suite.run("test_a.py", mode="verify")
    assert same.ran == {"test_it"}
    assert "results: 0 of 1 test reused, 1 result verified" in same.text
    suite.write({"flag": ""})
    assert suite.run("test_a.py").reused == {"test_it"}
    done = suite.run("test_a.py", mode="verify")
    assert done.exit_code == 1
    assert "test_a.py::test_it: its saved result is wrong: it passed" in done.text
    assert "  not part of its result: it reads flag\n" in done.text
    assert suite.run("test_a.py").ran == {"test_it"}


@pytest.mark.soak
def test_verify_fails_if_a_test_is_skipped_now(suite: KnownSuite) -> None:
    suite.write(
        {
            "test_a.py": """
            import pathlib, pytest
            def test_it():
                if pathlib.Path("flag").exists():
                    pytest.skip("flag")
            """
        }
    )
    suite.run("test_a.py")
    suite.write({"flag": ""})
    done = suite.run("test_a.py", mode="verify")
    assert done.exit_code == 1
    assert "but now it was skipped" in done.text


@pytest.mark.soak
def test_no_result_is_saved_if_a_file_changes_during_the_run(suite: KnownSuite) -> None:
    suite.write(
        {
            "helper.py": "def value(): return 1\n",
            "test_a.py": """
            import os, helper
            def test_it():
                assert helper.value() == 1
            def test_edit():
                with open(helper.__file__, "w") as file:
                    file.write("def value(): return 2\\n")
            """,
        }
    )
    first = suite.run("test_a.py")
    assert "helper.py changed during the run" in first.text
    assert "test_it" in suite.run("test_a.py").ran


def test_a_test_that_others_depend_on_runs_with_them(suite: KnownSuite) -> None:
    suite.write(
        {
            "dependency.py": """
            import pytest

            ENDED = set()

            def pytest_configure(config):
                config.addinivalue_line("markers", "dependency: as in pytest-dependency")

            def pytest_runtest_makereport(item, call):
                if call.when == "call" and item.get_closest_marker("dependency"):
                    ENDED.add(item.name)

            def pytest_runtest_setup(item):
                for mark in item.iter_markers("dependency"):
                    if not ENDED.issuperset(mark.kwargs.get("depends", ())):
                        pytest.skip("what it depends on did not pass")
            """,
            "test_a.py": """
            import pytest

            @pytest.mark.dependency
            def test_first():
                assert True

            @pytest.mark.dependency(depends=["test_first"])
            def test_second():
                assert 1

            def test_other():
                pass
            """,
        }
    )
    options = ("-p", "dependency", "test_a.py")
    environ = {"PYTHONPATH": str(suite.path)}
    suite.run(*options, environ=environ)
    assert suite.run(*options, environ=environ).reused == {
        "test_first",
        "test_second",
        "test_other",
    }
    suite.replace("test_a.py", "assert 1", "assert 2")
    done = suite.run(*options, environ=environ)
    assert done.ran == {"test_first", "test_second"}, done.text
    assert "2 passed, 1 reused" in done.text
    assert "1 test ran: a test that runs may depend on it" in done.text


def test_results_travel_to_another_checkout_and_cache(suite: KnownSuite, tmp_path: Path) -> None:
    suite.run()
    archive = tmp_path / "results.tar.gz"
    environ = {**os.environ, "DOCKWRIGHT_CACHE_DIR": str(suite.place / "cache")}
    there = KnownSuite(tmp_path / "elsewhere" / "deeper", tmp_path / "another place")
    shutil.copytree(suite.path, there.path, ignore=shutil.ignore_patterns("__pycache__"))

    def command(*arguments: str, cwd: Path) -> str:
        words = [*COMMAND, "cache", *arguments, str(archive)]
        done = subprocess.run(
            words, cwd=cwd, env=environ, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout + done.stderr

    assert "wrote 3 results to " in command("export", cwd=suite.path)
    environ["DOCKWRIGHT_CACHE_DIR"] = str(there.place / "cache")
    assert "added 3 results" in command("import", cwd=there.path)
    there.replace("test_a.py", "log.append(1)", "log.append(2)")
    done = there.run()
    assert done.reused == {"test_two", "test_three"}, done.text
    assert done.ran == {"test_one"}


@pytest.mark.soak
def test_a_test_with_a_damaged_result_runs(suite: KnownSuite) -> None:
    suite.run()
    files = sorted((suite.place / "cache" / "results").rglob("*.json"))
    for file in files:
        file.write_bytes(file.read_bytes()[:-5])
    done = suite.run()
    assert done.ran == {"test_one", "test_two", "test_three"}
    assert done.exit_code == 0
