"""What is different on a terminal: colours, a live table, questions."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from collections.abc import Mapping

import pytest

from tests._support.project import COMMAND, LIMIT_S, Project, plain_service

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo terminals")


def on_terminal(
    project: Project,
    *arguments: str,
    answer: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run the real command on a terminal; type an answer when a text appears."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.directory)
        variables = {**project.environ, "TERM": "xterm-256color", **(environ or {})}
        os.execve(COMMAND[0], [*COMMAND, *arguments], variables)
    shown = ""
    pending = dict(answer or {})
    deadline = time.monotonic() + LIMIT_S
    while select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            data = os.read(terminal, 65_536)
        except OSError:  # Linux: the other end was closed
            break
        if not data:
            break
        shown += data.decode(errors="replace")
        for text in [text for text in pending if text in shown]:
            os.write(terminal, pending.pop(text).encode())
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), shown.replace("\r\n", "\n")


WEB = plain_service("web", "exec tail -f /dev/null")


@pytest.mark.engine
def test_a_start_is_shown_live_and_uninstall_asks(project: Project) -> None:
    project.write(WEB)
    code, shown = on_terminal(project, "stack", "start")
    assert code == 0
    assert "\x1b[?25l" in shown  # the cursor is hidden while a table is drawn over and over
    assert "\x1b[32mready\x1b[0m" in shown
    assert shown.endswith(" s\n")

    code, shown = on_terminal(project, "stack", "uninstall", answer={"[y/N]": "n\n"})
    assert code == 1
    assert shown.endswith("nothing was removed\n")
    assert project.running() == {"web"}
    code, shown = on_terminal(project, "stack", "uninstall", answer={"[y/N]": "y\n"})
    assert code == 0
    assert project.left() == []


@pytest.mark.engine
def test_backup_progress_shows_sizes(project: Project) -> None:
    web = plain_service("web", "exec tail -f /dev/null", ["volumes: ['data:/data']"])
    project.write(web, "volumes: {data: {}}")
    project.done("stack", "start")
    code, shown = on_terminal(project, "stack", "backup", "-o", "a.tar.zst")
    assert code == 0
    last = [line for line in shown.splitlines() if "reading volume data" in line][-1]
    assert "kB" in last
    assert "0/0 bytes" not in shown


@pytest.mark.engine
def test_ctrl_c_on_the_terminal_ends_watching(project: Project) -> None:
    project.write(WEB)
    code, shown = on_terminal(project, "stack", "status", "--watch", answer={"missing": "\x03"})
    assert code == 0
    assert "error" not in shown


@pytest.mark.engine
@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours(project: Project, environ: dict[str, str], coloured: bool) -> None:
    project.write(WEB)
    code, shown = on_terminal(project, "stack", "strat", environ=environ)
    assert code == 2
    assert ("\x1b[31m" in shown) is coloured
    code, shown = on_terminal(project, "doctor", environ=environ)
    assert ("\x1b[32mok" in shown) is coloured
