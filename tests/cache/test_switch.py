"""The setting that switches the keeping of baselines off, down to the broker's command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockwright.errors import SettingsError
from dockwright.pool.session import RunSession
from dockwright.settings import Source, resolve


@pytest.mark.parametrize(("text", "kept"), [(None, True), ("yes", True), ("no", False)])
def test_the_setting_decides_whether_the_broker_has_a_store(
    tmp_path: Path, text: str | None, kept: bool
) -> None:
    values = {} if text is None else {"cache_baselines": text}
    settings = resolve(tmp_path, [Source("environment", values, tmp_path)])
    session = RunSession(
        settings, {"DOCKWRIGHT_CACHE_DIR": str(tmp_path), "DOCKER_HOST": "tcp://x:1"}
    )
    assert session.pool_options().cache == (tmp_path / "baselines" if kept else None)


def test_other_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cache_baselines = 'some': expected one of true"):
        resolve(tmp_path, [Source("environment", {"cache_baselines": "some"}, tmp_path)])
