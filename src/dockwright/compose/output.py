"""Writes a stack spec as ``docker compose config`` does."""

from __future__ import annotations

import json
from typing import Any

import yaml

from dockwright.compose.scalars import go_float
from dockwright.model import StackSpec


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
    return str(value).replace("$", "$$") if isinstance(value, str) else value


class _Dumper(yaml.SafeDumper):
    """Indents list entries, and writes strings and floats as Go does."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _float(dumper: yaml.SafeDumper, value: float) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:float", go_float(value))


_Dumper.add_representer(str, _text)
_Dumper.add_representer(float, _float)
