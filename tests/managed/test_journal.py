"""The journal of a backup or restore: whole or not there, private, and gone at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockwright.errors import StackError
from dockwright.managed.journal import RestoreJournal


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RestoreJournal:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return RestoreJournal.of("shop", "unix:///run/docker.sock")


def test_the_last_phase_written_is_read(journal: RestoreJournal) -> None:
    assert (journal.exists(), journal.read()) == (False, None)
    journal.write({"phase": "saving"})
    journal.write({"phase": "replacing"})
    assert journal.read() == {"phase": "replacing"}
    assert journal.directory.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in journal.directory.iterdir()} == {0o600}


def test_close_removes_the_journal(journal: RestoreJournal) -> None:
    journal.write({"phase": "saving"})
    (journal.safety / "volumes").mkdir(parents=True)
    journal.close()
    journal.close()
    assert not journal.exists()


def test_each_stack_on_each_engine_has_its_own_journal(journal: RestoreJournal) -> None:
    journal.write({"phase": "saving"})
    assert not RestoreJournal.of("shop", "ssh://me@host").exists()
    assert not RestoreJournal.of("mail", "unix:///run/docker.sock").exists()


def test_a_damaged_journal_names_where_the_data_is(journal: RestoreJournal) -> None:
    journal.write({"phase": "saving"})
    for content in ("", "5", "[1]", "[" * 100_000, "{"):
        (journal.directory / "journal.json").write_text(content)
        with pytest.raises(StackError, match=r"journal\.json is damaged") as caught:
            journal.read()
    assert f"if {journal.safety} exists, it has the previous data" in str(caught.value)
    assert f"remove {journal.directory}" in str(caught.value)
