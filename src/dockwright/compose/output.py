"""Write a stack spec as ``docker compose config`` does."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import Any

import yaml
from yaml.emitter import ScalarAnalysis

from dockwright.compose.loading import LoadOptions, load
from dockwright.compose.read_yaml import Timestamp, go_float, resolve
from dockwright.model import StackSpec

_AMBIGUOUS = re.compile(
    r"[yY]|[yY]es|YES|[oO]n|ON|[nN]|[nN]o|NO|[oO]ff|OFF"  # truth values to YAML 1.1
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"  # numbers of base 60 to YAML 1.1
)


def to_json(spec: StackSpec) -> str:
    """Return the spec as ``docker compose config --format json`` prints it."""
    return json.dumps(_doubled(spec.document), indent=2, ensure_ascii=False) + "\n"


def to_yaml(spec: StackSpec) -> str:
    """Return the spec as ``docker compose config`` prints it."""
    text: str = yaml.dump(
        _doubled(spec.yaml_document),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=2**31,
    )
    return text


def _doubled(value: Any) -> Any:
    """Return a document in which every dollar is doubled, so that it can be loaded again."""
    if isinstance(value, dict):
        return {_doubled(key): _doubled(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_doubled(entry) for entry in value]
    return value.replace("$", "$$") if isinstance(value, str) and "$" in value else value


class _Dumper(yaml.SafeDumper):
    """Indents list entries, and quotes as Go's yaml.v3 does.

    It resolves nothing itself: the representers below choose plain or quoted for every scalar.
    """

    yaml_implicit_resolvers = {}  # noqa: RUF012 - a class variable of PyYAML

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's signature
        """Indent the entries of lists below a key, which PyYAML does not."""
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        """Write values that are used twice out twice."""
        return True

    def check_simple_key(self) -> bool:
        """Write ``? key`` for a key of several lines or more than 128 bytes, as Go does."""
        if not isinstance(self.event, yaml.ScalarEvent):
            return bool(super().check_simple_key())
        self.analysis = self.analyze_scalar(self.event.value)
        return not self.analysis.multiline and len(self.event.value.encode()) <= 128

    def analyze_scalar(self, scalar: str) -> ScalarAnalysis:
        """Let blocks of several lines hold tabs, which PyYAML would quote."""
        analysis = super().analyze_scalar(scalar.replace("\t", " ") if "\n" in scalar else scalar)
        analysis.scalar = scalar
        return analysis


def _scalar(dumper: yaml.SafeDumper, text: str, style: str | None = None) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    if any(char > "\uffff" for char in value):  # escaped, as in Go
        return _scalar(dumper, value, '"')
    if "\n" in value:
        return _scalar(dumper, value, "|")
    meaning = resolve(value)
    plain = type(meaning) is str and not _AMBIGUOUS.fullmatch(value)
    return _scalar(dumper, value, None if plain else '"')


def _float(dumper: yaml.SafeDumper, value: float) -> yaml.Node:
    return _scalar(dumper, go_float(value))


def _other(dumper: yaml.SafeDumper, value: object) -> yaml.Node:
    return _scalar(dumper, "null" if value is None else str(value).lower())


_Dumper.add_representer(str, _text)
_Dumper.add_representer(Timestamp, lambda dumper, value: _scalar(dumper, str(value)))
_Dumper.add_representer(float, _float)
for _kind in (int, bool, type(None)):
    _Dumper.add_representer(_kind, _other)


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
