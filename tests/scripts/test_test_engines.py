"""scripts/test-engines and scripts/try-engine: their arguments, and the table that is written."""

from __future__ import annotations

import subprocess
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"

JUNIT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="30" time="1"/>
</testsuites>
"""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/test-engines as a module."""
    loader = SourceFileLoader("test_engines_script", str(SCRIPTS / "test-engines"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    monkeypatch.setitem(__import__("sys").modules, loader.name, module)
    loader.exec_module(module)
    return module


def test_the_table_has_a_row_for_each_engine(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(JUNIT)
    good, bad = script.Result(passed=12), script.read(report)
    assert (good.is_good, bad.is_good) == (True, False)
    tried = [
        script.Tried("docker-forky-store", "Docker 28.5.2", {"shop": good, "engine": bad}),
        script.Tried(
            "podman-forky", "Podman 5.8.6", {"shop": script.Result(problem="did not run")}
        ),
    ]
    page = tmp_path / "engines.md"
    page.write_text(f"before\n{script.BEGIN}\nold\n{script.END}\nafter\n")
    monkeypatch.setattr(script, "PAGE", page)
    script.write(tried)
    assert page.read_text().split("\n") == [
        "before",
        script.BEGIN,
        "",
        "| engine | shop | engine |",
        "| --- | --- | --- |",
        "| Docker 28.5.2, containerd store | 12 pass | 24 pass, 3 fail, 3 skipped |",
        "| Podman 5.8.6 | did not run |  |",
        "",
        script.END,
        "after",
        "",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["start", "docker-woody"], "no engine docker-woody; one of: docker-trixie "),
        (["run", "docker-forky"], "run needs more"),
        (["prune"], "no command prune"),
    ],
)
def test_wrong_usage_of_try_engine_is_named(arguments: list[str], message: str) -> None:
    done = subprocess.run(
        [SCRIPTS / "try-engine", *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
