"""``dockwright doctor``: each finding has a status and a remedy, with and without an engine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests._support.project import COMMAND, LIMIT_S, Project, clean_environment


def doctor(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "doctor", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_doctor_without_an_engine_checks_everything_else(tmp_path: Path) -> None:
    environ = clean_environment(tmp_path, DOCKER_HOST="unix:///nonexistent")
    done = doctor(environ, "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["ok"] is False
    findings = {each["name"]: each for each in found["findings"]}
    assert findings["engine"]["status"] == "fail"
    assert "no engine at unix:///nonexistent (from DOCKER_HOST)" in findings["engine"]["detail"]
    assert "start Docker or Podman" in findings["engine"]["remedy"]
    assert findings["pytest"]["status"] == "ok"
    assert findings["state directory"]["detail"] == str(tmp_path / "dockwright")
    text = doctor(environ)
    assert text.returncode == 1
    assert text.stderr.startswith("fail: engine: start Docker or Podman")


def test_a_state_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environ = clean_environment(tmp_path / "file", DOCKER_HOST="unix:///nonexistent")
    findings = json.loads(doctor(environ, "--json").stdout)["findings"]
    (finding,) = (each for each in findings if each["name"] == "state directory")
    assert finding["status"] == "fail"
    assert "cannot write to" in finding["detail"]
    assert "XDG_STATE_HOME" in finding["remedy"]


@pytest.mark.engine
def test_doctor_with_an_engine(project: Project) -> None:
    result = project.run("doctor", "--json")
    findings = {each["name"]: each for each in json.loads(result.out)["findings"]}
    version = project.engine.version()
    assert f"{version.kind} {version.server}, API {version.api}" in findings["engine"]["detail"]
    assert "(from DOCKER_HOST)" in findings["engine"]["detail"]
    assert findings["engine"]["status"] == "ok"
    assert findings["permission"]["status"] == "ok"
    assert "bridge network" in findings["networks"]["detail"]
    assert sys.version.split()[0] in findings["python"]["detail"]
    assert "leftovers" in findings
    known = r"not known yet: .*|volumes are (layers|filled: .*)"
    assert re.fullmatch(known, findings["cached baselines"]["detail"])
    assert all(each["remedy"] for each in findings.values() if each["status"] != "ok")
    assert result.code == (any(each["status"] == "fail" for each in findings.values()))
