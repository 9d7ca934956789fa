"""The GitHub Action: its shell parts do what they say, and it passes them what they read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from dockwright.paths import project_hash, runs_file
from tests._support.history.records import Suite, store_with

ROOT = Path(__file__).parents[2]
USUAL = Suite()
SLOWER = replace(USUAL, call_s={**USUAL.call_s, 4: 2.0}, branch="feature")


@dataclass(frozen=True)
class Job:
    """A job of GitHub Actions in a directory of its own."""

    directory: Path

    def run(self, script: str, **environ: str) -> subprocess.CompletedProcess[str]:
        tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        files = {
            name: str(self.directory / name)
            for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")
        }
        cache = str(self.directory / "cache")
        base = {"PATH": tools, "HOME": str(self.directory), "DOCKWRIGHT_CACHE_DIR": cache}
        return subprocess.run(
            [str(ROOT / "scripts" / "action" / script)],
            cwd=self.directory,
            env={**base, **files, **environ},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def written(self, name: str) -> str:
        return (self.directory / name).read_text()

    def remember(self, *parts: tuple[Suite, int]) -> None:
        environ = {"DOCKWRIGHT_CACHE_DIR": str(self.directory / "cache")}
        store_with(runs_file(environ, project_hash(self.directory)), *parts)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "pytest.ini").touch()
    return Job(tmp_path)


def test_the_action_passes_what_its_scripts_read() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    steps = [step for step in action["runs"]["steps"] if "run" in step]
    scripts = [re.search(r"scripts/action/(\w+)", step["run"]) for step in steps]
    assert [each and each[1] for each in scripts] == ["setup", "run", "summarise"]
    for step in steps:
        assert step["shell"] == "bash"
        name = step["run"].rpartition("/")[2]
        script = ROOT / "scripts" / "action" / name
        assert os.access(script, os.X_OK)
        read = set(re.findall(r"\$\{?([A-Z]+)\b", script.read_text())) - {"HOME"}
        assert read == set(step["env"])
        for value in step["env"].values():  # an input in `run` itself could hold shell code
            assert re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", value)[1] in action["inputs"]  # type: ignore[index]  # then it fails as it should


def test_the_tests_run_with_a_report(job: Job) -> None:
    done = job.run("run", COMMAND='echo "report: $DOCKWRIGHT_REPORT"; exit 5', REPORT="out.html")
    assert (done.returncode, done.stdout) == (5, "report: out.html\n")


def test_the_summary_has_what_became_slower(job: Job) -> None:
    job.remember((USUAL, 20), (SLOWER, 1))
    done = job.run("summarise", BASE="main", FAIL="false")
    assert (done.returncode, done.stderr) == (0, "")
    assert "### dockwright: 1 slower, 0 other changes" in job.written("GITHUB_STEP_SUMMARY")
    assert job.written("GITHUB_OUTPUT") == "regressions=1\n"
    failing = job.run("summarise", BASE="main", FAIL="true")
    assert (failing.returncode, failing.stderr) == (
        1,
        "1 tests or stacks became slower: see the summary of the job\n",
    )


def test_a_first_run_has_nothing_to_compare(job: Job) -> None:
    done = job.run("summarise", BASE="main", FAIL="true")
    assert (done.returncode, done.stderr) == (0, "no recorded run: nothing to compare\n")
    job.remember((USUAL, 1))
    done = job.run("summarise", BASE="main", FAIL="true")
    assert done.returncode == 0
    assert "no earlier run of main" in done.stderr
    assert "no regression in 1 run" in job.written("GITHUB_STEP_SUMMARY")


@pytest.mark.engine
def test_the_setup_names_the_cache_and_checks_the_engine(job: Job) -> None:
    done = job.run("setup", INSTALL="")
    assert done.returncode == 0, done.stdout + done.stderr
    cache = job.directory / "cache"
    assert job.written("GITHUB_OUTPUT") == f"cache={cache}\n"
    assert job.written("GITHUB_ENV") == f"DOCKWRIGHT_CACHE_DIR={cache}\n"
    assert cache.is_dir()
