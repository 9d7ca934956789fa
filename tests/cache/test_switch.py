"""The setting that switches the keeping of baselines off, down to the broker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dockwright.errors import SettingsError
from dockwright.pool.session import RunSession
from dockwright.recording import decoded, encoded
from dockwright.settings import Settings, Source, resolve


@pytest.mark.parametrize(("text", "kept"), [(None, True), ("yes", True), ("no", False)])
def test_the_setting_reaches_the_broker(tmp_path: Path, text: str | None, kept: bool) -> None:
    values = {} if text is None else {"cache_baselines": text}
    settings = resolve(tmp_path, [Source("environment", values, tmp_path)])
    session = RunSession(settings, {"DOCKER_HOST": "tcp://x:1"})
    received = decoded(Settings, json.loads(json.dumps(encoded(session.pool_options().settings))))
    assert received.cache_baselines is kept


def test_other_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cache_baselines = 'some': expected one of true"):
        resolve(tmp_path, [Source("environment", {"cache_baselines": "some"}, tmp_path)])
