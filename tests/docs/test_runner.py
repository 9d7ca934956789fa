"""The runner notices when a page is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import Command, File, Page
from tests.docs.runner import PageError, Runner, first_missing

PAGE = """# A page

```python
# tests/test_it.py
assert True
```

```console
$ ls tests
test_it.py
$ printf 'a b\\n%s\\n' \\
  c
a b
c
```

```python
not_a_file()
```

```console exit=3
$ exit 3
```
"""


def _page(directory: Path, text: str) -> Page:
    (directory / "page.md").write_text(text)
    return Page(directory / "page.md")


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path, tmp_path)


def test_files_and_commands_come_in_the_order_of_the_page(tmp_path: Path) -> None:
    assert list(_page(tmp_path, PAGE).steps()) == [
        File("tests/test_it.py", "# tests/test_it.py\nassert True\n"),
        Command("ls tests", ("test_it.py",), 0, 9),
        Command("printf 'a b\\n%s\\n' \\\n  c", ("a b", "c"), 0, 11),
        Command("exit 3", (), 3, 22),
    ]


def test_a_right_page_passes(
    tmp_path: Path, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = "```console\n$ cat *.yaml\nkey: 1\n$ test ! -e b.yaml\n```"
    page = _page(tmp_path, f"<!-- goes on from: first.md -->\n\n{commands}")
    assert runner.run(page) == 2


def test_the_environment_of_the_tests_does_not_leak_in(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKWRIGHT_COMPOSE", "elsewhere.yaml")
    monkeypatch.setenv("CI", "1")
    runner.execute(Command('echo "[$DOCKWRIGHT_COMPOSE$CI]"', ("[]",), 0, 1), "page")
