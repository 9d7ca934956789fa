"""The runner notices when a page is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests._support.docs.pages import Command, File, Page
from tests._support.docs.runner import PageError, Runner, first_missing

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


def test_a_correct_page_passes(
    tmp_path: Path, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = _page(tmp_path, PAGE)
    monkeypatch.setattr("tests._support.docs.pages.ROOT", tmp_path)
    assert runner.run(page) == 3


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (Command("echo one", ("two",), 0, 7), r"page:7: \$ echo one\ndoes not print 'two'.*\none"),
        (Command("echo one; exit 2", ("one",), 0, 7), r"exit code 2, not 0:\none"),
        (Command("true", (), 1, 7), r"exit code 0, not 1"),
    ],
)
def test_a_wrong_page_fails_with_the_line(runner: Runner, command: Command, message: str) -> None:
    with pytest.raises(PageError, match=message):
        runner.execute(command, "page")


def test_dots_stand_for_anything_and_white_space_may_differ() -> None:
    output = "====== 6 passed in 1.23s ======\n  start   0.10 s\nend\n"
    assert first_missing(["=== 6 passed in ...s ===", "...", "end"], output) is None
    assert first_missing(["start ... s"], output) is None
    assert first_missing(["start ... 0.10 s"], output) is None
    assert first_missing(["end", "start ... s"], output) == "start ... s"


def test_a_page_can_continue_another_page(
    tmp_path: Path, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests._support.docs.pages.ROOT", tmp_path)
    first = "```yaml\n# a.yaml\nkey: 1\n```\n```yaml\n# b.yaml\n```\n```console\n$ rm b.yaml\n```\n"
    (tmp_path / "first.md").write_text(first)
    commands = "```console\n$ cat *.yaml\nkey: 1\n$ test ! -e b.yaml\n```"
    page = _page(tmp_path, f"<!-- goes on from: first.md -->\n\n{commands}")
    assert runner.run(page) == 2


def test_the_environment_of_the_tests_does_not_leak_in(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKWRIGHT_COMPOSE", "elsewhere.yaml")
    monkeypatch.setenv("CI", "1")
    runner.execute(Command('echo "[$DOCKWRIGHT_COMPOSE$CI]"', ("[]",), 0, 1), "page")
