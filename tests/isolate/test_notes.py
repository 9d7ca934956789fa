"""What isolated runs note, and what later ones make of it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from dockwright.isolate.images import Image, remembered
from dockwright.isolate.inside.busy import Busy
from dockwright.isolate.inside.hooks.dockwright_isolate import Reports, missed
from dockwright.isolate.inside.plan import note
from dockwright.isolate.inside.watch import used
from dockwright.isolate.notes import Notes

BUSY = Busy(2, 100.0, 40.0, 2, 99)


def _event(action: str, **attributes: str) -> dict[str, object]:
    return {"Action": action, "Actor": {"ID": "x", "Attributes": attributes}}


def test_images_of_containers_are_noted_once_but_not_those_made_inside() -> None:
    events: list[dict[str, object]] = [
        _event("create", image="redis:7", name="one"),
        _event("create", image="redis:7", name="two"),
        _event("tag", name="app:test"),
        _event("create", image="app:test", name="three"),
        _event("load", name="loaded:1"),
        {"Action": "create", "Actor": None},
        {"status": "create"},
        _event("create", image="postgres:15"),
    ]
    assert list(used(iter(events))) == ["redis:7", "postgres:15"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Unable to find image 'redis:7' locally\ndocker: Error", ["redis:7"]),
        ('docker.errors.ImageNotFound: 404 ("No such image: busybox:1")', ["busybox:1"]),
        ('{"message":"No such image: busybox"}', ["busybox:latest"]),
        ("pull access denied for my/app, repository does not exist", ["my/app:latest"]),
        (
            'failed to resolve reference "docker.io/library/redis:7": failed to do request',
            ["redis:7"],
        ),
        ("Unable to find image 'host:5000/app' locally", ["host:5000/app:latest"]),
        ("No such image: a@sha256:" + "0" * 64, ["a@sha256:" + "0" * 64]),
        ("No such container: redis", []),
    ],
)
def test_missing_images_are_found_in_what_a_test_says(text: str, names: list[str]) -> None:
    assert missed(text) == names


def test_notes_are_read_back_the_latest_first(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    note(str(file), image="redis:7")
    note(str(file), busy={**BUSY.to_facts(), "workers": 1})
    note(str(file), image="postgres:15")
    note(str(file), image="redis:7")
    note(str(file), busy=BUSY.to_facts())
    note(str(file), files_s={"test_a.py": 1})
    note(str(file), files_s={"test_b.py": 2.5})
    assert Notes.read(file) == Notes(("redis:7", "postgres:15"), BUSY, {"test_b.py": 2.5})


def test_nothing_is_known_without_a_file_and_where_nothing_can_be_noted(tmp_path: Path) -> None:
    note("", image="redis:7")
    note(str(tmp_path / "no" / "directory"), image="redis:7")
    assert Notes.read(tmp_path / "no" / "directory") == Notes()
    assert Notes.read(tmp_path) == Notes()


def test_lines_that_are_old_or_broken_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    old = {"image": "old:1", "at": time.time() - 91 * 86_400}
    lines = [json.dumps(old), "[1]", "{", '{"image": "late:1", "at": "x"}', "\0"]
    file.write_text("\n".join(lines) + "\n")
    note(str(file), image="redis:7")
    note(str(file), busy={"another": "version"})
    note(str(file), files_s={"test_a.py": "long"})
    assert Notes.read(file).images == ("redis:7",)
    assert Notes.read(file).busy is None


def test_a_long_file_is_shortened(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    for number in range(2_000):
        note(str(file), image=f"image:{number % 150}")
    known = Notes.read(file)
    assert len(known.images) == 100
    assert file.stat().st_size < 10_000
    assert Notes.read(file) == known


def test_images_that_are_gone_from_the_engine_are_forgotten() -> None:
    redis = Image("sha256:" + "a" * 64, ("redis:7",), 100)
    assert remembered([redis], ["postgres:15", "redis:7", "a" * 12]) == [redis, redis]


@pytest.mark.parametrize(
    ("busy", "proposed"),
    [
        (Busy(2, 100, 40, 2, 99), 8),
        (Busy(2, 100, 40, 2, 3), 3),
        (Busy(4, 100, 190, 2, 99), 4),
        (Busy(4, 100, 1, 2, 2), 4),
        (Busy(2, 4, 1, 2, 99), 2),
    ],
)
def test_the_number_of_workers_that_a_run_proposes(busy: Busy, proposed: int) -> None:
    assert busy.proposed == proposed


def _report(nodeid: str, duration: float, longrepr: str = "") -> SimpleNamespace:
    return SimpleNamespace(
        nodeid=nodeid, duration=duration, failed=bool(longrepr), longrepr=longrepr, sections=[]
    )


def test_reports_add_up_to_the_durations_of_files() -> None:
    reports = Reports()
    for nodeid, duration_s in (("a.py::x", 1.0), ("a.py::y[::]", 0.52), ("c.py::z", 0.01)):
        reports.pytest_runtest_logreport(_report(nodeid, duration_s))
    reports.pytest_runtest_logreport(_report("b.py::t", 3.0, "No such image: redis:7"))
    assert reports.long_files() == {"b.py": 3.0, "a.py": 1.5, "c.py": 0.0}
    assert list(reports.missing) == ["redis:7"]
