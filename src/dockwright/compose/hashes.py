"""The configuration hash of each service, as ``docker compose config --hash`` prints it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from dockwright.compose.loading import load
from dockwright.compose.options import LoadOptions

_LEFT_OUT = ("build", "pull_policy", "scale")


def service_hashes(options: LoadOptions) -> dict[str, str]:
    """Return SHA-256 (hex) over each enabled service, without what does not change its container.

    Raises:
        ComposeError: as `load`.
    """
    spec = load(replace(options, resolve_env_files=False))
    return {name: _hash(dict(service.config)) for name, service in spec.services.items()}


def _hash(config: dict[str, object]) -> str:
    config = {key: value for key, value in config.items() if key not in _LEFT_OUT}
    deploy = config.get("deploy")
    if isinstance(deploy, dict):
        config["deploy"] = {key: value for key, value in deploy.items() if key != "replicas"}
    text = json.dumps(config, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&\u2028\u2029":  # as Go's encoding/json writes them
        text = text.replace(char, f"\\u{ord(char):04x}")
    return hashlib.sha256(text.encode()).hexdigest()
