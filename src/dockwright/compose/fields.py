"""Every key of a Compose file, once: the type of its value, and what each pass does with it.

The keys of a mapping stand in the order in which Compose prints them; the last ones of each are not
printed. `Shape` explains the rules.
"""

from __future__ import annotations

import re
from dataclasses import replace

from dockwright.compose import canonical_values as write
from dockwright.compose import short_forms as short
from dockwright.compose.merge import (
    by_config_target,
    by_name,
    by_path,
    by_port,
    by_secret_target,
    by_target,
    merge_hosts,
    merge_limit,
    merge_logging,
    merge_pairs,
    merge_pools,
    replace_whole,
)
from dockwright.compose.paths import (
    absolute,
    rebase_context,
    rebase_contexts,
    rebase_keys,
    rebase_mount,
    rebase_path,
    rebase_volume,
    rebase_watched,
)
from dockwright.compose.shapes import (
    AnyOf,
    Anything,
    EntryKey,
    ListOf,
    MapOf,
    Scalar,
    Shape,
    Struct,
    Support,
)
from dockwright.compose.units import to_bool, to_float, to_int


def choice(*choices: str, pattern: str = "") -> Shape:
    """Return the shape of a word that is one of these, or matches the pattern."""
    also = re.compile(pattern) if pattern else None
    return Scalar(("string",), choices, pattern=also, write=write.TEXT)


def ignored(message: str) -> Support:
    """Return the rule for a key that only causes a warning."""
    return Support("ignored", message)


def refused(message: str) -> Support:
    """Return the rule for a key whose absence a test would notice."""
    return Support("refused", message)


def newer(message: str) -> Support:
    """Return the rule for such a key that Compose 2.26 does not know."""
    return Support("newer", message)


NAME = re.compile(r"[a-zA-Z0-9._-]+")
NEWER_POLICY = r"refresh|daily|weekly|every_([0-9]+[wdhms])+"
NEWER = Anything(write=write.hidden)
"""A key that Compose 2.26 does not know: any value."""

NULL = Scalar(("null",))
STR = Scalar(("string",), write=write.TEXT)
HIDDEN = replace(STR, write=write.hidden)
FILE = replace(STR, rebase=absolute)
SPAN = replace(STR, write=write.SPAN)
LONG_SPAN = replace(STR, write=write.LONG_SPAN)

UNCAST_FLAG = Scalar(("boolean", "string"), write=write.FLAG)
FLAG = replace(UNCAST_FLAG, cast=to_bool)
OPTIONAL_FLAG = replace(FLAG, write=write.OPTIONAL_FLAG)

INT = Scalar(("integer", "string"), write=write.WHOLE)
NUMBER = Scalar(("number", "string"), write=write.REAL)
WHOLE = replace(NUMBER, cast=to_int, write=write.WHOLE)
REAL = replace(NUMBER, cast=to_float)
NATURAL = replace(INT, cast=to_int, write=write.OPTIONAL_NATURAL)
REPLICAS = replace(INT, cast=to_int, write=write.OPTIONAL_WHOLE)
SIZE = replace(NUMBER, write=write.SIZE)
WHOLE_SIZE = replace(INT, write=write.SIZE)

LIST = ListOf(STR, write=write.TEXTS)
LIST_BY_NAME = replace(LIST, entry_key=by_name)
DISTINCT = replace(LIST, unique=True)
NUMBERS = ListOf(NUMBER, write=write.TEXTS)
ONE_OR_MORE = AnyOf((STR, LIST), expand=short.listed, write=write.TEXTS)
COMMAND = AnyOf((NULL, STR, LIST), write=write.ARGV)

_TEXTS_BY_NAME = MapOf(Scalar(("string", "number", "boolean", "null")))
PAIRS = AnyOf((_TEXTS_BY_NAME, LIST), expand=short.pairs, merge=merge_pairs, write=write.labels)
VARIABLES = replace(PAIRS, write=write.variables)
DISTINCT_PAIRS = AnyOf((_TEXTS_BY_NAME, DISTINCT), expand=short.pairs, write=write.labels)
DRIVER_OPTIONS = MapOf(Scalar(("string", "number")), write=write.labels)
HOSTS = AnyOf(
    (MapOf(AnyOf((STR, LIST))), DISTINCT),
    expand=short.hosts,
    merge=merge_hosts,
    write=write.HOSTS,
)


def mounts(mode: Shape, entry_key: EntryKey | None = None) -> Shape:
    """Return the shape of a list of secrets or configs that a service or build uses."""
    long = Struct({"source": STR, "target": STR, "uid": STR, "gid": STR, "mode": mode})
    return ListOf(AnyOf((STR, long), expand=short.text_as("source")), entry_key=entry_key)


def limits(number: Shape, limit: AnyOf) -> Shape:
    """Return the shape of limits by name: `limit` is one number, or a soft and a hard one."""
    both = Struct({"soft": number, "hard": number}, required=("soft", "hard"))
    return MapOf(replace(limit, options=(INT, both), write=write.limit), re.compile(r"[a-z]+"))


_OPTIONAL_MODE = replace(NUMBER, write=write.OPTIONAL_NATURAL)
_MODE = replace(_OPTIONAL_MODE, cast=to_int)
_LIMIT_PART = replace(INT, cast=to_int)

HOOK = Struct(
    {
        "command": COMMAND,
        "user": STR,
        "privileged": UNCAST_FLAG,
        "working_dir": STR,
        "environment": replace(DISTINCT_PAIRS, write=write.variables),
        "per_replica": NEWER,
    }
)
_SWARM = ignored("is not used outside a swarm")
_WINDOWS = ignored("is not used: it applies to Windows containers")
_NOT_BUILT = ignored("is not passed on to the build")
_ATTESTATION = ignored("is not supported: builds create no attestations")
_BUILD = Struct(
    {
        "context": replace(STR, rebase=rebase_context),
        "dockerfile": STR,
        "dockerfile_inline": STR,
        "entitlements": replace(LIST, support=_NOT_BUILT),
        "args": VARIABLES,
        "ssh": replace(DISTINCT_PAIRS, rebase=rebase_keys, write=write.TEXTS),
        "labels": PAIRS,
        "cache_from": LIST,
        "cache_to": LIST,
        "no_cache": FLAG,
        "additional_contexts": replace(PAIRS, expand=short.contexts, rebase=rebase_contexts),
        "pull": FLAG,
        "extra_hosts": HOSTS,
        "isolation": replace(STR, support=_WINDOWS),
        "network": STR,
        "target": STR,
        "secrets": replace(
            mounts(_OPTIONAL_MODE),
            support=ignored("is not passed on: build the image first, with pull_policy: never"),
        ),
        "shm_size": WHOLE_SIZE,
        "tags": LIST_BY_NAME,
        "ulimits": replace(limits(INT, AnyOf(())), support=_NOT_BUILT),
        "platforms": LIST,
        "privileged": replace(FLAG, support=_NOT_BUILT),
        "no_cache_filter": replace(
            NEWER, support=ignored("is not supported: it is not passed on to the build")
        ),
        "provenance": replace(NEWER, support=_ATTESTATION),
        "sbom": replace(NEWER, support=_ATTESTATION),
    }
)
_WATCH = Struct(
    {
        "path": replace(STR, rebase=rebase_watched),
        "action": choice("rebuild", "sync", "restart", "sync+restart", "sync+exec"),
        "target": STR,
        "exec": replace(HOOK, inline=True),
        "ignore": ONE_OR_MORE,
        "include": NEWER,
        "initial_sync": NEWER,
    },
    required=("path", "action"),
)


def _device_rates(**number: Shape) -> Shape:
    fields = {"path": replace(STR, write=write.OPTIONAL_TEXT), **number}
    return ListOf(Struct(fields, extensions="refused", complete=True, titled_in_json=True))


_RATES = _device_rates(rate=replace(INT, write=write.COMPLETE_SIZE))
_BLKIO = Struct(
    {
        "weight": replace(INT, write=write.NATURAL),
        "weight_device": _device_rates(weight=replace(INT, write=write.COMPLETE_NATURAL)),
        "device_read_bps": _RATES,
        "device_read_iops": _RATES,
        "device_write_bps": _RATES,
        "device_write_iops": _RATES,
    },
    extensions="refused",
)
_DEPENDENCY = Struct(
    {
        "condition": choice("service_started", "service_healthy", "service_completed_successfully"),
        "restart": FLAG,
        "required": Scalar(("boolean",), write=write.OPTIONAL_FLAG),
    },
    required=("condition",),
)
_DEVICE_REQUEST = Struct(
    {
        "capabilities": DISTINCT,
        "driver": STR,
        "count": replace(INT, write=write.COUNT),
        "device_ids": DISTINCT,
        "options": DISTINCT_PAIRS,
    },
    extensions="dropped",
)
_UPDATE = Struct(
    {
        "parallelism": NATURAL,
        "delay": LONG_SPAN,
        "failure_action": STR,
        "monitor": LONG_SPAN,
        "max_failure_ratio": REAL,
        "order": choice("start-first", "stop-first"),
    },
    support=_SWARM,
)
_GENERIC_RESOURCE = Struct(
    {
        "discrete_resource_spec": Struct(
            {
                "kind": replace(STR, write=write.OPTIONAL_TEXT),
                "value": replace(NUMBER, write=write.COMPLETE_WHOLE),
            },
            complete=True,
        )
    }
)
_MEMORY = replace(STR, write=write.SIZE)
_RESOURCES = Struct(
    {
        "limits": Struct({"cpus": NUMBER, "memory": _MEMORY, "pids": INT}),
        "reservations": Struct(
            {
                "cpus": NUMBER,
                "memory": _MEMORY,
                "devices": ListOf(replace(_DEVICE_REQUEST, required=("capabilities",))),
                "generic_resources": ListOf(_GENERIC_RESOURCE, support=_SWARM),
            }
        ),
    },
    inline=True,
)
_DEPLOY = Struct(
    {
        "mode": replace(STR, support=_SWARM),
        "replicas": REPLICAS,
        "labels": replace(
            PAIRS, support=ignored("is not used: these labels belong to a swarm's service")
        ),
        "update_config": _UPDATE,
        "rollback_config": _UPDATE,
        "resources": _RESOURCES,
        "restart_policy": Struct(
            {"condition": STR, "delay": SPAN, "max_attempts": NATURAL, "window": SPAN}
        ),
        "placement": Struct(
            {
                "constraints": LIST,
                "preferences": ListOf(Struct({"spread": STR})),
                "max_replicas_per_node": replace(NATURAL, write=write.NATURAL),
            },
            inline=True,
            support=_SWARM,
        ),
        "endpoint_mode": replace(STR, support=_SWARM),
    }
)
_HEALTHCHECK = Struct(
    {
        "test": AnyOf((STR, LIST), merge=replace_whole, write=write.TEXTS),
        "timeout": SPAN,
        "interval": SPAN,
        "retries": replace(NUMBER, cast=to_int, write=write.OPTIONAL_NATURAL),
        "start_period": SPAN,
        "start_interval": SPAN,
        "disable": FLAG,
    }
)
_ATTACHMENT = Struct(
    {
        "priority": Scalar(("number",), write=write.WHOLE),
        "aliases": LIST_BY_NAME,
        "ipv4_address": STR,
        "ipv6_address": STR,
        "link_local_ips": LIST_BY_NAME,
        "mac_address": STR,
        "driver_opts": DRIVER_OPTIONS,
        "gw_priority": Scalar(
            ("number",),
            write=write.hidden,
            support=ignored("is not used: the first network has the default gateway"),
        ),
        "interface_name": replace(NEWER, support=newer("interface names cannot be chosen")),
    }
)
_PORT = Struct(
    {
        "name": STR,
        "mode": STR,
        "host_ip": STR,
        "target": replace(INT, cast=to_int),
        "published": replace(INT, write=write.TEXT),
        "protocol": STR,
        "app_protocol": STR,
    }
)
_VOLUME_MOUNT = Struct(
    {
        "type": STR,
        "source": STR,
        "target": STR,
        "read_only": FLAG,
        "consistency": STR,
        "bind": Struct(
            {
                "selinux": choice("z", "Z"),
                "propagation": STR,
                "create_host_path": FLAG,
                "recursive": choice("enabled", "disabled", "writable", "readonly"),
            }
        ),
        "volume": Struct(
            {
                "nocopy": FLAG,
                "subpath": STR,
                "labels": replace(
                    NEWER,
                    support=ignored("is not supported: the volume gets no labels of its own"),
                ),
            }
        ),
        "tmpfs": Struct(
            {
                "size": Scalar(("integer", "string"), low=0, write=write.SIZE),
                "mode": replace(NUMBER, write=write.NATURAL),
            }
        ),
        "image": replace(NEWER, support=newer("images are not mounted as volumes")),
    },
    required=("type",),
)
_ENV_FILE = Struct(
    {"path": FILE, "format": STR, "required": FLAG}, required=("path",), extensions="refused"
)
_DEVICE = Struct({"source": STR, "target": STR, "permissions": STR}, required=("source",))

SERVICE = Struct(
    {
        "profiles": LIST_BY_NAME,
        "annotations": PAIRS,
        "attach": replace(UNCAST_FLAG, write=write.OPTIONAL_FLAG),
        "build": AnyOf((STR, _BUILD), expand=short.text_as("context")),
        "develop": AnyOf(
            (Struct({"watch": ListOf(_WATCH)}), NULL),
            support=ignored("is not used: nothing is watched or rebuilt during tests"),
        ),
        "blkio_config": _BLKIO,
        "cap_add": LIST_BY_NAME,
        "cap_drop": LIST_BY_NAME,
        "cgroup_parent": STR,
        "cgroup": choice("host", "private"),
        "cpu_count": Scalar(("string", "integer"), low=0, cast=to_int, write=write.WHOLE),
        "cpu_percent": Scalar(
            ("string", "integer"), low=0, high=100, cast=to_float, write=write.REAL
        ),
        "cpu_period": WHOLE,
        "cpu_quota": WHOLE,
        "cpu_rt_period": WHOLE,
        "cpu_rt_runtime": WHOLE,
        "cpus": REAL,
        "cpuset": STR,
        "cpu_shares": WHOLE,
        "command": replace(COMMAND, merge=replace_whole),
        "configs": mounts(_MODE, by_config_target),
        "container_name": STR,
        "credential_spec": Struct({"config": STR, "file": STR, "registry": STR}, support=_WINDOWS),
        "depends_on": AnyOf((DISTINCT, MapOf(_DEPENDENCY, NAME)), expand=short.depends_on),
        "deploy": AnyOf((_DEPLOY, NULL)),
        "device_cgroup_rules": DISTINCT,
        "devices": ListOf(AnyOf((STR, _DEVICE), expand=short.device), entry_key=by_target),
        "dns": replace(ONE_OR_MORE, entry_key=by_name, write=write.FILLED_TEXTS),
        "dns_opt": LIST_BY_NAME,
        "dns_search": replace(ONE_OR_MORE, entry_key=by_name),
        "domainname": STR,
        "entrypoint": replace(COMMAND, merge=replace_whole),
        "environment": VARIABLES,
        "env_file": AnyOf(
            (STR, ListOf(AnyOf((STR, _ENV_FILE), expand=short.env_file))),
            expand=short.listed,
            entry_key=by_path,
            write=write.env_files,
        ),
        "expose": replace(NUMBERS, entry_key=str),
        "extends": AnyOf(
            (
                STR,
                Struct({"file": FILE, "service": STR}, ("service",), extensions="refused"),
            ),
            expand=short.text_as("service"),
        ),
        "external_links": DISTINCT,
        "extra_hosts": HOSTS,
        "group_add": replace(NUMBERS, unique=True),
        "gpus": AnyOf((choice("all"), ListOf(_DEVICE_REQUEST)), expand=short.gpus),
        "hostname": STR,
        "healthcheck": _HEALTHCHECK,
        "image": STR,
        "init": OPTIONAL_FLAG,
        "ipc": STR,
        "isolation": replace(STR, support=_WINDOWS),
        "labels": PAIRS,
        "links": LIST_BY_NAME,
        "logging": Struct(
            {
                "driver": STR,
                "options": MapOf(Scalar(("string", "number", "null")), write=write.labels),
            },
            merge=merge_logging,
        ),
        "mem_limit": SIZE,
        "mem_reservation": WHOLE_SIZE,
        "memswap_limit": SIZE,
        "mem_swappiness": WHOLE_SIZE,
        "mac_address": STR,
        "network_mode": STR,
        "networks": AnyOf(
            (DISTINCT, MapOf(AnyOf((_ATTACHMENT, NULL)), NAME)), expand=short.attachments
        ),
        "oom_kill_disable": FLAG,
        "oom_score_adj": Scalar(
            ("string", "integer"), low=-1000, high=1000, cast=to_int, write=write.WHOLE
        ),
        "pid": Scalar(("string", "null"), write=write.TEXT),
        "pids_limit": WHOLE,
        "platform": STR,
        "ports": ListOf(AnyOf((NUMBER, _PORT), expand=short.port), entry_key=by_port),
        "privileged": FLAG,
        "pull_policy": choice(
            *("always", "never", "if_not_present", "build", "missing"), pattern=NEWER_POLICY
        ),
        "read_only": FLAG,
        "restart": STR,
        "runtime": STR,
        "scale": REPLICAS,
        "secrets": mounts(_MODE, by_secret_target),
        "security_opt": DISTINCT,
        "shm_size": SIZE,
        "stdin_open": FLAG,
        "stop_grace_period": SPAN,
        "stop_signal": STR,
        "storage_opt": MapOf(Anything(), write=write.options),
        "sysctls": PAIRS,
        "tmpfs": replace(ONE_OR_MORE, entry_key=by_name),
        "tty": FLAG,
        "ulimits": limits(_LIMIT_PART, AnyOf((), cast=to_int, merge=merge_limit)),
        "user": STR,
        "userns_mode": STR,
        "uts": STR,
        "volumes": ListOf(
            AnyOf((STR, _VOLUME_MOUNT), expand=short.volume, rebase=rebase_mount),
            entry_key=by_target,
        ),
        "volumes_from": DISTINCT,
        "working_dir": STR,
        "post_start": ListOf(
            HOOK,
            support=refused("dockwright does not run hooks after the start of a container"),
        ),
        "pre_stop": ListOf(
            HOOK,
            support=refused("dockwright does not run hooks before the stop of a container"),
        ),
        "label_file": AnyOf(
            (STR, ListOf(FILE)), expand=short.listed, entry_key=by_name, write=write.hidden
        ),
        "models": replace(
            NEWER,
            support=newer(
                "models are run by Docker Desktop's model runner, which tests cannot count on"
            ),
        ),
        "pre_start": replace(
            NEWER,
            support=refused("dockwright does not run hooks before the start of a container"),
        ),
        "provider": replace(
            NEWER,
            support=newer("services provided by something other than the engine are not run"),
        ),
        "pull_refresh_after": replace(
            NEWER, support=ignored("is not supported: images are pulled only if they are missing")
        ),
        "use_api_socket": replace(
            NEWER,
            support=newer("the engine's socket is not given to containers"),
        ),
    }
)

_EXTERNAL = AnyOf((FLAG, Struct({"name": STR})), cast=to_bool, write=write.FLAG)
_POOL = Struct(
    {
        "subnet": STR,
        "gateway": STR,
        "ip_range": STR,
        "aux_addresses": MapOf(STR, write=write.labels),
    },
    extensions="dropped",
)
_NETWORK = Struct(
    {
        "name": STR,
        "driver": STR,
        "driver_opts": DRIVER_OPTIONS,
        "ipam": Struct(
            {
                "driver": STR,
                "config": ListOf(_POOL, merge=merge_pools),
                "options": MapOf(STR, write=write.hidden),
            },
            inline=True,
        ),
        "external": _EXTERNAL,
        "internal": FLAG,
        "attachable": FLAG,
        "labels": PAIRS,
        "enable_ipv4": OPTIONAL_FLAG,
        "enable_ipv6": OPTIONAL_FLAG,
    }
)
_VOLUME = Struct(
    {
        "name": STR,
        "driver": STR,
        "driver_opts": DRIVER_OPTIONS,
        "external": _EXTERNAL,
        "labels": replace(DISTINCT_PAIRS, merge=merge_pairs),
    }
)
_SECRET = Struct(
    {
        "name": STR,
        "file": replace(STR, rebase=rebase_path),
        "environment": STR,
        "external": _EXTERNAL,
        "labels": DISTINCT_PAIRS,
        "driver": STR,
        "driver_opts": replace(DRIVER_OPTIONS, write=write.options),
        "template_driver": STR,
    },
    expand=short.external,
)
_CONFIG = Struct(
    {
        "name": STR,
        "file": replace(STR, rebase=rebase_path),
        "environment": STR,
        "content": STR,
        "external": _EXTERNAL,
        "labels": DISTINCT_PAIRS,
        "template_driver": STR,
    },
    expand=short.external,
)
_INCLUDE = Struct(
    {"path": ONE_OR_MORE, "env_file": ONE_OR_MORE, "project_directory": STR}, extensions="refused"
)
PROJECT = Struct(
    {
        "name": STR,
        "services": MapOf(SERVICE, NAME),
        "networks": MapOf(AnyOf((_NETWORK, NULL), expand=short.external), NAME),
        "volumes": MapOf(AnyOf((_VOLUME, NULL), expand=short.external, rebase=rebase_volume), NAME),
        "secrets": MapOf(_SECRET, NAME),
        "configs": MapOf(_CONFIG, NAME),
        "version": HIDDEN,
        "include": ListOf(AnyOf((STR, _INCLUDE), expand=short.text_as("path")), write=write.hidden),
        "models": NEWER,
    },
    extensions="both",
)
