"""What a test really runs and reads, seen by running it alone: without dockwright and testmon."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests._support.forking import ForkingPytest

PLUGIN = """
import hashlib, json, os, sys

ROOT, SEEN, ENDED, BUSY = os.getcwd() + "/", {}, [], []

def see(kind, name, value=""):
    SEEN.setdefault(kind, {})[name] = value

def trace(frame, event, argument):
    file = frame.f_code.co_filename
    if not file.startswith(ROOT):
        return None
    lines = text_of(file)
    def line(frame, event, argument):
        if event == "line" and 0 < frame.f_lineno <= len(lines):
            see("lines", file + ":" + lines[frame.f_lineno - 1].strip())
        return line
    return line

TEXTS = {}
def text_of(file):
    if file not in TEXTS:
        BUSY.append(1)
        with open(file) as stream:
            TEXTS[file] = stream.read().splitlines()
        BUSY.pop()
    return TEXTS[file]

def hook(event, args):
    if BUSY or event not in ("open", "os.listdir"):
        return
    path = os.path.abspath(args[0]) if isinstance(args[0], (str, os.PathLike)) else ""
    if not path.startswith(ROOT) or path.endswith((".py", ".pyc")) or "__pycache__" in path:
        return
    reader = sys._getframe(1).f_globals.get("__name__", "")
    if reader.startswith(("_pytest", "importlib", "_frozen")):
        return
    BUSY.append(1)
    if event == "open" and os.path.isfile(path):
        with open(path, "rb") as stream:
            see("files", path, hashlib.sha256(stream.read()).hexdigest())
    elif event == "os.listdir":
        see("listings", path, sorted(set(os.listdir(path)) - {"__pycache__"}))
    BUSY.pop()

class Environ(type(os.environ)):
    def __getitem__(self, name):
        if name.startswith("SHOP"):
            see("variables", name, self._data.get(name.encode(), b"").decode())
        return super().__getitem__(name)

os.environ.__class__ = Environ
sys.addaudithook(hook)
sys.settrace(trace)

def pytest_runtest_logreport(report):
    ENDED.append((report.when, report.outcome))

def pytest_unconfigure(config):
    sys.settrace(None)
    told = {"seen": SEEN, "ended": ENDED}
    with open(ROOT + "../truth.json", "w") as stream:
        json.dump(told, stream, sort_keys=True)
"""


def truths(
    pytest: ForkingPytest, suite: Path, tests: Iterable[str], options: Iterable[str] = ()
) -> Mapping[str, str]:
    """Return for each test all that it runs and reads, and how it ends, as a text.

    Args:
        pytest: runs each test in a process of its own; the plugin ``truth`` is on its path.
        suite: its directory.
        tests: node ids.
        options: of each run.
    """
    found = {}
    for test in tests:
        answer = suite.parent / "truth.json"
        answer.unlink(missing_ok=True)
        pytest.run(
            ["-p", "truth", "-p", "no:dockwright", "-p", "no:cacheprovider", "-q", *options, test],
            suite,
        )
        found[test] = answer.read_text() if answer.exists() else json.dumps("none")
    return found
