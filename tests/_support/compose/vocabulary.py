"""The words of generated projects: scalars by the place where they stand, names, other files.

Left out on purpose is what dockwright is known to take otherwise than Compose
(docs/reference/compose-support.md), and what Compose itself takes now so, now otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from dockwright.compose.shapes import Scalar
from dockwright.compose.source import DocPath

Texts = tuple[str, ...]

Rule = TypeVar("Rule")


class Patterns(Generic[Rule]):
    """Rules by dotted path pattern; ``*`` stands for any one key or index."""

    def __init__(self, rules: Iterable[tuple[str, Rule]]) -> None:
        self._by_end: dict[tuple[int, str | int], list[tuple[tuple[str, ...], Rule]]] = {}
        for pattern, rule in rules:
            parts = tuple(pattern.split("."))
            self._by_end.setdefault((len(parts), parts[-1]), []).append((parts, rule))

    def find(self, path: DocPath) -> Rule | None:
        """Return the rule whose pattern matches the whole path, or None."""
        for end in (path[-1], "*") if path else ():
            for parts, rule in self._by_end.get((len(path), end), ()):
                if all(part in ("*", have) for part, have in zip(parts, path, strict=True)):
                    return rule
        return None


ODD: Texts = (
    *(
        "yes",
        "no",
        "on",
        "010",
        "0o17",
        "0x1F",
        "1_000",
        "1.5",
        "1e3",
        "2024-01-01",
        "~",
        "null",
        "''",
    ),
    *(
        ".5",
        "+1",
        "-1",
        "1:30",
        "12e03",
        "'007'",
        "true",
        "False",
        "'1.0'",
        "1.0",
        "10000000000",
        "0.1",
    ),
    *(
        '"a\\nb"',
        '"tab\\there"',
        "'#x'",
        "'a: b'",
        "'- a'",
        "é",
        "[]",
        "{}",
        "[a, 1]",
        "{a: 1}",
        "0",
    ),
    *(
        "2024-01-01 10:00:00",
        "!!str 5",
        "'*'",
        "'&a'",
        "'!x'",
        "'%x'",
        "'@x'",
        "'$$x'",
        "a$$b",
        "08",
    ),
)
ENVIRONMENT = {"ONE": "1", "EMPTY": "", "NAME": "value", "SPACE": "a b", "A": "from-caller"}
OTHER_FILES = {
    ".env": "DOT=1\nNAME=dotenv\nB=${DOT}2\nC='q q'\n",
    "e1.env": 'E1=one\nA=1\nB="x $ONE ${UNSET:-d}"\n# no\nexport C=3 # c\n',
    "e2.env": "E2\nA=2\nNAME\nD=\nF='$x'\nG=a$$b\n",
    "part/.env": "DOT=part\n",
    "part/e1.env": "E1=part\n",
    "part/e2.env": "",
    "one.labels": "a.b=1\nc=2\n",
    "part/one.labels": "a.b=part\n",
}
NAMES = {
    "*": ["A", "B", "c.d", "e-f", "G9", "G10", "'1x'", "NAME"],
    "networks": ["front", "back", "default"],
    "volumes": ["data", "logs"],
    "secrets": ["token", "key"],
    "configs": ["conf"],
    "depends_on": ["db"],
    "ulimits": ["nofile", "nproc", "core"],
    "build.ulimits": ["nofile", "nproc"],
    "labels": ["a.b", "traefik.enable", "'a/b'", "c", '"d e"'],
    "extra_hosts": ["host", "other.local"],
    "build.extra_hosts": ["host", "other.local"],
    "build.ssh": ["default"],
    "build.additional_contexts": ["base", "other"],
}

EXCLUSIVE = (
    ("count", "device_ids"),
    ("network_mode", "networks"),
    ("build", "platform"),
    ("dockerfile", "dockerfile_inline"),
    ("scale", "deploy"),
    ("scale", "container_name"),
)
NEEDED: Patterns[Texts] = Patterns(
    [
        ("services.*.ports.[]", ("target",)),
        ("services.*.volumes.[]", ("target", "source")),
        ("services.*.devices.[]", ("target",)),
        ("services.*.secrets.[]", ("source",)),
        ("services.*.configs.[]", ("source",)),
        ("services.*.build.secrets.[]", ("source",)),
        ("services.*.develop.watch.*", ("target",)),
    ]
)

_WORDS: Texts = (
    "a",
    "b",
    "word",
    "'two words'",
    '"quoted"',
    "x.y",
    "''",
    "1.0.0",
    "a-b",
    "/p/q",
    "é",
)
_WHOLE: Texts = ("0", "1", "2", "100", "'3'", "010", "0x10")
_REAL: Texts = ("0.5", "1", "1.25", "'0.1'", "2.0", ".5", "'3'")
_SPAN: Texts = ("10s", "1m30s", "0s", "1.5s", "500ms", "'1h'", "90s", "2h45m", "100us")
_SIZE: Texts = ("64m", "1gb", "'512'", "1.5g", "1024k", "0", "33554432", "10MB", "'1 GiB'")
_PATH: Texts = ("./a", "../b", "/abs/c", "~/d", "e/f", ".", "./a/../b/", "'${PWD2:-./g}'")
_ADDRESS: Texts = ("10.0.0.2", "'::1'", "'[::1]'", "host-gateway", "1.1.1.1")
_PORTS: Texts = (
    *('"80"', "80", '"8080:80"', '"127.0.0.1:8081:81"', '"127.0.0.1::53/udp"', '"3000-3002"'),
    *(
        '"3000-3002:4000-4002"',
        '"8000-8003:80"',
        '"53:53/udp"',
        '"[::1]:90:90"',
        '":85"',
        "8080:80",
    ),
    *('"6060:6060/tcp"', '"0.0.0.0:9:9"', '"9-9:9"', '"80/sctp"'),
)
_MOUNTS: Texts = (
    *('"data:/d"', '"./src:/app"', '"/h:/i:ro"', '"~/c:/c:rw,z"', "/anonymous", '"logs:/l:nocopy"'),
    *(
        '"../up:/up:rshared,ro"',
        '"data:/d2/"',
        '".:/code"',
        '"./a b:/x"',
        '"/var/run/x.sock:/x.sock"',
    ),
)
_PAIRS: Texts = (
    "A=1",
    "B",
    "C=",
    '"D=a b"',
    "E=x=y",
    '"F=$$x"',
    "NAME",
    "'G=\"q\"'",
    "A=2",
    '"H=${ONE}"',
)
_ANY: Texts = (
    "1",
    "text",
    "true",
    "null",
    "1.5",
    "''",
    "0.10",
    "'yes'",
    "no",
    '"two words"',
    "1000000",
)
_COMMAND: Texts = (
    *(
        "echo hi",
        "'a \"b c\" d'",
        "\"sh -c 'x y'\"",
        "''",
        "a\\ b",
        '"a $$b $$(c)"',
        "'a=b -c --d=\"e f\"'",
    ),
    *("top -b", '"a  b\\tc"'),
)
_TEST: Texts = ("curl -f http://localhost", '"pg_isready -U $${USER}"', "'exit 0'")
_WORDS_OF_TEST: Texts = ("CMD", "NONE", "CMD-SHELL")

_TEXTS: Patterns[Texts] = Patterns(
    [
        ("services.*.image", ("x", "'repo/app:1.2'", "a@sha256:12", "'reg:5000/a/b'")),
        ("services.*.command", _COMMAND),
        ("services.*.entrypoint", _COMMAND),
        ("services.*.healthcheck.test", _TEST),
        ("services.*.healthcheck.test.[]", _WORDS_OF_TEST),
        ("services.*.ports.[]", _PORTS),
        ("services.*.ports.*.target", ("80", "'81'", "443")),
        ("services.*.ports.*.published", ("8080", "'8081'", "'9000-9005'", "'0'")),
        ("services.*.ports.*.host_ip", ("127.0.0.1", "'::'")),
        ("services.*.ports.*.protocol", ("tcp", "udp")),
        ("services.*.ports.*.mode", ("ingress", "host")),
        ("services.*.expose.[]", ("80", "'81'", "'82-84'", "'53/udp'")),
        ("services.*.volumes.[]", _MOUNTS),
        ("services.*.volumes.*.type", ("bind", "volume", "volume", "tmpfs")),
        ("services.*.volumes.*.source", ("data", "data", "logs", "./src")),
        ("services.*.volumes.*.target", ("/t", "/t/", "/u/../v", "w")),
        ("services.*.volumes.*.tmpfs.size", _SIZE),
        ("services.*.volumes.*.tmpfs.mode", ("0755", "1777", "0")),
        ("services.*.env_file", ("e1.env", "./e2.env", "/dev/null")),
        ("services.*.env_file.[]", ("e1.env", "./e2.env")),
        ("services.*.env_file.*.path", ("e1.env", "e2.env", "missing.env")),
        ("services.*.env_file.*.required", ("false", "true", "'false'")),
        ("services.*.env_file.*.format", ("''",)),
        ("services.*.label_file", ("one.labels",)),
        ("services.*.label_file.[]", ("one.labels",)),
        ("services.*.depends_on.[]", ("db",)),
        ("services.*.networks.[]", ("front", "back", "default")),
        ("services.*.networks.*.priority", ("1", "1000", "0")),
        ("services.*.secrets.[]", ("token", "key")),
        ("services.*.secrets.*.source", ("token", "key")),
        ("services.*.configs.[]", ("conf",)),
        ("services.*.configs.*.source", ("conf",)),
        ("services.*.build.secrets.[]", ("token", "key")),
        ("services.*.build.secrets.*.source", ("token", "key")),
        ("services.*.build", (".", "./dir", "https://example.com/a.git#main", "../up")),
        ("services.*.build.context", (".", "./dir", "https://example.com/a.git", "git@x:y")),
        ("services.*.build.additional_contexts.[]", ("base=./c", "'a=docker-image://x'")),
        ("services.*.build.additional_contexts.*", ("./b", "'docker-image://x'")),
        ("services.*.build.ssh.[]", ("default",)),
        ("services.*.build.ssh.*", ("null",)),
        ("services.*.networks.*.aliases.[]", ("a", "b", "c.d")),
        ("services.*.profiles.[]", ("one", "two", "''")),
        ("services.*.restart", ('"no"', "always", "unless-stopped", "on-failure:3")),
        ("services.*.network_mode", ("host", "none", "bridge", "'service:db'", "'container:x'")),
        ("services.*.ipc", ("host", "'service:db'", "shareable")),
        ("services.*.pid", ("host", "'service:db'")),
        ("services.*.links.[]", ("db", "'db:alias'")),
        ("services.*.volumes_from.[]", ("db", "'db:ro'", "'container:x'")),
        ("services.*.devices.[]", ("'/dev/a:/dev/b'", "/dev/c", "'/dev/d:/dev/e:r'")),
        ("services.*.extra_hosts.[]", ("'a=10.0.0.2'", "'a:10.0.0.3'", "'h=::1'", "'b=[::2]'")),
        ("services.*.build.extra_hosts.[]", ("'a=10.0.0.2'", "'a:10.0.0.3'", "'h=::1'")),
        ("services.*.dns", _ADDRESS),
        ("services.*.tmpfs", ("/t", "'/t:size=1m,mode=1777'")),
        ("services.*.tmpfs.[]", ("/t", "'/t:size=1m'", "/u")),
        ("services.*.container_name", ("one", "two")),
        ("services.*.scale", ("1", "'1'", "0")),
        ("services.*.deploy.replicas", ("1", "'1'", "0")),
        ("services.*.develop.watch.*.path", _PATH),
        ("services.*.group_add.[]", ("1000", "audio", "'0'")),
        ("services.*.oom_score_adj", ("-500", "0", "1000", "'5'")),
        ("services.*.cpu_percent", ("50", "0", "'12'")),
        ("networks.*.ipam.config.*.subnet", ("10.1.0.0/16", "'fd00::/64'")),
        ("networks.*.name", ("net", "other_net")),
        ("volumes.*.driver", ("local", "nfs")),
        ("volumes.*.driver_opts.*", ("bind", "./dev", "nfs4", "1", "1.5")),
        ("volumes.*.external", ("false", "true", "'true'")),
        ("networks.*.external", ("false", "true", "'no'")),
        ("secrets.*.external", ("false", "true")),
        ("configs.*.external", ("false", "true")),
        ("services.*.extra_hosts.*", _ADDRESS),
        ("services.*.build.extra_hosts.*", _ADDRESS),
        ("services.*.networks.*", ("null",)),
        ("services.*.storage_opt.*", ("1G", "'5'")),
        ("secrets.*.file", _PATH),
        ("configs.*.file", _PATH),
    ]
)
_BY_KEY: dict[str, Texts] = {
    **dict.fromkeys(("interval", "timeout", "start_period", "start_interval"), _SPAN),
    **dict.fromkeys(("stop_grace_period", "delay", "monitor", "window"), _SPAN),
    **dict.fromkeys(("mem_limit", "mem_reservation", "memswap_limit", "memory", "shm_size"), _SIZE),
    **dict.fromkeys(("mem_swappiness", "rate"), _SIZE),
    **dict.fromkeys(("cpus", "max_failure_ratio"), _REAL),
    **dict.fromkeys(("mode",), ("0444", "'0440'", "256")),
    **dict.fromkeys(("retries", "weight"), ("0", "3", "10")),
}


_PAIRED = (
    "environment",
    "labels",
    "args",
    "annotations",
    "sysctls",
    "additional_contexts",
    "options",
)


def texts(path: tuple[str, ...], shape: Scalar | None) -> Texts:
    """Return the scalars that may stand at a path."""
    found = _TEXTS.find(path) or _BY_KEY.get(path[-1])
    if found:
        return found
    if shape and shape.choices:
        return shape.choices
    types = shape.types if shape else ("string",)
    if types == ("null",):
        return ("null",)
    if "boolean" in types and "number" not in types:
        return (
            ("true", "false", "'true'", "'no'", "yes") if "string" in types else ("true", "false")
        )
    if "number" in types and "null" in types:
        return _ANY
    if "number" in types or "integer" in types:
        return _WHOLE if "string" in types else ("1", "2", "0")
    if path[-1] == "[]" and path[-2] in _PAIRED:
        return _PAIRS
    return _WORDS
