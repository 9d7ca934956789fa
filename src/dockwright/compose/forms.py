"""Brings one document into long form: every short notation of Compose becomes its long one.

Merging and everything after it then know one form only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dockwright.compose.mappings import hosts, pairs
from dockwright.compose.mounts import parse_device, parse_volume
from dockwright.compose.patterns import Patterns
from dockwright.compose.ports import MAX_PORT, parse_port
from dockwright.compose.source import DocPath, Origins, Tree, is_extension

Form = Callable[[Tree], Tree]


def lengthen(tree: Tree, origins: Origins, path: DocPath = ()) -> Tree:
    """Return `tree` in long form.

    Raises:
        ComposeError: a short notation that cannot be read.
    """
    form = _FORMS.find(path)
    if form and tree is not None:
        try:
            tree = form(tree)
            if form in (_ports, _depends_on):  # few characters become many values
                origins.spend(path, values=3 * len(tree))
        except ValueError as exc:
            raise origins.error(path, str(exc)) from exc
    if isinstance(tree, dict):
        return type(tree)(
            (k, v if is_extension(path, k) else lengthen(v, origins, (*path, k)))
            for k, v in tree.items()
        )
    if isinstance(tree, list):
        entries = [lengthen(entry, origins, (*path, i)) for i, entry in enumerate(tree)]
        spread = path[2:] == ("ports",) and path[0] == "services"
        return [port for ports in entries for port in ports] if spread else entries
    return tree


def _listed(value: Tree) -> Tree:
    return [value] if isinstance(value, str) else value


def _ports(value: Tree) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        if "target" not in value:
            raise ValueError("names no target port")
        if isinstance(value["target"], int) and not 0 <= value["target"] <= MAX_PORT:
            raise ValueError(f"has the invalid target port {value['target']}")
        return [{"mode": "ingress", "protocol": "tcp"} | value]
    return parse_port(str(value))  # a float is told as the invalid port that it is


def _build(value: Tree) -> Tree:
    return {"context": value} if isinstance(value, str) else value


def _contexts(value: Tree) -> Tree:
    for entry in value if isinstance(value, list) else ():
        if "=" not in entry:
            raise ValueError(f"{entry!r} is not a name and a context, such as 'base=./base'")
    return pairs(value)


def _depends_on(value: Tree) -> Tree:
    if isinstance(value, list):
        return {name: {"condition": "service_started", "required": True} for name in value}
    return value


def _env_file(value: Tree) -> Tree:
    entries = [value] if isinstance(value, str) else value
    return [
        {"path": entry, "required": True} if isinstance(entry, str) else {"required": True} | entry
        for entry in entries
    ]


def _extends(value: Tree) -> Tree:
    return {"service": value} if isinstance(value, str) else value


def _attachments(value: Tree) -> Tree:
    return dict.fromkeys(value) if isinstance(value, list) else value


def _volume(value: Tree) -> Tree:
    return parse_volume(value) if isinstance(value, str) else value


def _device(value: Tree) -> Tree:
    return parse_device(value) if isinstance(value, str) else value


def _mount(value: Tree) -> Tree:
    return {"source": value} if isinstance(value, str) else value


def _gpus(value: Tree) -> Tree:
    return [{"count": -1}] if value == "all" else value


def _external(value: Tree) -> Tree:
    """Move the old ``external: {name: N}`` to ``external: true`` and ``name: N``."""
    external = value.get("external")
    if not isinstance(external, dict):
        return value
    name = external.get("name")
    if name and value.get("name", name) != name:
        raise ValueError("'name' and 'external.name' contradict each other")
    named = {"name": name} if "name" in external else {}
    return value | {"external": True} | named


def _include(value: Tree) -> Tree:
    return {"path": value} if isinstance(value, str) else value


_FORMS: Patterns[Form] = Patterns(
    [
        ("include.*", _include),
        ("include.*.path", _listed),
        ("include.*.env_file", _listed),
        ("services.*.annotations", pairs),
        ("services.*.build", _build),
        ("services.*.build.additional_contexts", _contexts),
        ("services.*.build.args", pairs),
        ("services.*.build.extra_hosts", hosts),
        ("services.*.build.labels", pairs),
        ("services.*.build.secrets.*", _mount),
        ("services.*.build.ssh", pairs),
        ("services.*.configs.*", _mount),
        ("services.*.depends_on", _depends_on),
        ("services.*.deploy.labels", pairs),
        ("services.*.deploy.resources.reservations.devices.*.options", pairs),
        ("services.*.develop.watch.*.exec.environment", pairs),
        ("services.*.develop.watch.*.ignore", _listed),
        ("services.*.devices.*", _device),
        ("services.*.dns", _listed),
        ("services.*.dns_search", _listed),
        ("services.*.env_file", _env_file),
        ("services.*.environment", pairs),
        ("services.*.extends", _extends),
        ("services.*.extra_hosts", hosts),
        ("services.*.gpus", _gpus),
        ("services.*.gpus.*.options", pairs),
        ("services.*.label_file", _listed),
        ("services.*.labels", pairs),
        ("services.*.networks", _attachments),
        ("services.*.ports.*", _ports),
        ("services.*.post_start.*.environment", pairs),
        ("services.*.pre_stop.*.environment", pairs),
        ("services.*.secrets.*", _mount),
        ("services.*.sysctls", pairs),
        ("services.*.tmpfs", _listed),
        ("services.*.volumes.*", _volume),
        ("networks.*", _external),
        ("networks.*.labels", pairs),
        ("volumes.*", _external),
        ("volumes.*.labels", pairs),
        ("secrets.*", _external),
        ("secrets.*.labels", pairs),
        ("configs.*", _external),
        ("configs.*.labels", pairs),
    ]
)
