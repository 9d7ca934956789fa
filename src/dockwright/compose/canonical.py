"""The canonical form: what ``docker compose config`` prints, key by key and in its order."""

from __future__ import annotations

from typing import Any

from dockwright.compose.canonical_values import (
    ARGV,
    COMPLETE_NATURAL,
    COMPLETE_SIZE,
    COMPLETE_WHOLE,
    COUNT,
    FILLED_TEXTS,
    FLAG,
    HOSTS,
    LONG_SPAN,
    NATURAL,
    OPTIONAL_FLAG,
    OPTIONAL_NATURAL,
    OPTIONAL_TEXT,
    OPTIONAL_WHOLE,
    REAL,
    SIZE,
    SPAN,
    TEXT,
    TEXTS,
    WHOLE,
    Form,
    ListOf,
    MapOf,
    Place,
    Record,
    env_files,
    labels,
    limit,
    options,
    variables,
)
from dockwright.compose.source import Origins, Tree

_MOUNT = Record(
    {"source": TEXT, "target": TEXT, "uid": TEXT, "gid": TEXT, "mode": OPTIONAL_NATURAL}
)
_DEVICE_REQUEST = Record(
    {
        "capabilities": TEXTS,
        "driver": TEXT,
        "count": COUNT,
        "device_ids": TEXTS,
        "options": labels,
    },
    extensions=False,
)
_HOOK = Record(
    {
        "command": ARGV,
        "user": TEXT,
        "privileged": FLAG,
        "working_dir": TEXT,
        "environment": variables,
    },
    always=("command",),
)
_BUILD = Record(
    {
        "context": TEXT,
        "dockerfile": TEXT,
        "dockerfile_inline": TEXT,
        "entitlements": TEXTS,
        "args": variables,
        "ssh": TEXTS,
        "labels": labels,
        "cache_from": TEXTS,
        "cache_to": TEXTS,
        "no_cache": FLAG,
        "additional_contexts": labels,
        "pull": FLAG,
        "extra_hosts": HOSTS,
        "isolation": TEXT,
        "network": TEXT,
        "target": TEXT,
        "secrets": ListOf(_MOUNT),
        "shm_size": SIZE,
        "tags": TEXTS,
        "ulimits": MapOf(limit),
        "platforms": TEXTS,
        "privileged": FLAG,
    }
)
_WATCH = Record(
    {
        "path": TEXT,
        "action": TEXT,
        "target": TEXT,
        "exec": Record(_HOOK.fields, inline=True, always=("command",)),
        "ignore": TEXTS,
    }
)
_WEIGHT = Record(
    {"path": OPTIONAL_TEXT, "weight": COMPLETE_NATURAL}, complete=True, titled_in_json=True
)
_RATE = Record({"path": OPTIONAL_TEXT, "rate": COMPLETE_SIZE}, complete=True, titled_in_json=True)
_RATES = ListOf(_RATE)
_BLKIO = Record(
    {
        "weight": NATURAL,
        "weight_device": ListOf(_WEIGHT),
        "device_read_bps": _RATES,
        "device_read_iops": _RATES,
        "device_write_bps": _RATES,
        "device_write_iops": _RATES,
    }
)
_UPDATE = Record(
    {
        "parallelism": OPTIONAL_NATURAL,
        "delay": LONG_SPAN,
        "failure_action": TEXT,
        "monitor": LONG_SPAN,
        "max_failure_ratio": REAL,
        "order": TEXT,
    }
)
_RESOURCE = Record(
    {
        "cpus": REAL,
        "memory": SIZE,
        "pids": WHOLE,
        "devices": ListOf(_DEVICE_REQUEST),
        "generic_resources": ListOf(
            Record(
                {
                    "discrete_resource_spec": Record(
                        {"kind": OPTIONAL_TEXT, "value": COMPLETE_WHOLE}, complete=True
                    )
                }
            )
        ),
    }
)
_DEPLOY = Record(
    {
        "mode": TEXT,
        "replicas": OPTIONAL_WHOLE,
        "labels": labels,
        "update_config": _UPDATE,
        "rollback_config": _UPDATE,
        "resources": Record({"limits": _RESOURCE, "reservations": _RESOURCE}, inline=True),
        "restart_policy": Record(
            {
                "condition": TEXT,
                "delay": SPAN,
                "max_attempts": OPTIONAL_NATURAL,
                "window": SPAN,
            }
        ),
        "placement": Record(
            {
                "constraints": TEXTS,
                "preferences": ListOf(Record({"spread": TEXT})),
                "max_replicas_per_node": NATURAL,
            },
            inline=True,
        ),
        "endpoint_mode": TEXT,
    }
)
_HEALTHCHECK = Record(
    {
        "test": TEXTS,
        "timeout": SPAN,
        "interval": SPAN,
        "retries": OPTIONAL_NATURAL,
        "start_period": SPAN,
        "start_interval": SPAN,
        "disable": FLAG,
    }
)
_ATTACHMENT = Record(
    {
        "priority": WHOLE,
        "aliases": TEXTS,
        "ipv4_address": TEXT,
        "ipv6_address": TEXT,
        "link_local_ips": TEXTS,
        "mac_address": TEXT,
        "driver_opts": labels,
    }
)
_PORT = Record(
    {
        "name": TEXT,
        "mode": TEXT,
        "host_ip": TEXT,
        "target": WHOLE,
        "published": TEXT,
        "protocol": TEXT,
        "app_protocol": TEXT,
    }
)
_VOLUME_MOUNT = Record(
    {
        "type": TEXT,
        "source": TEXT,
        "target": TEXT,
        "read_only": FLAG,
        "consistency": TEXT,
        "bind": Record(
            {"selinux": TEXT, "propagation": TEXT, "create_host_path": FLAG, "recursive": TEXT}
        ),
        "volume": Record({"nocopy": FLAG, "subpath": TEXT}),
        "tmpfs": Record({"size": SIZE, "mode": NATURAL}),
    }
)
_SERVICE = Record(
    {
        "profiles": TEXTS,
        "annotations": labels,
        "attach": OPTIONAL_FLAG,
        "build": _BUILD,
        "develop": Record({"watch": ListOf(_WATCH)}),
        "blkio_config": _BLKIO,
        "cap_add": TEXTS,
        "cap_drop": TEXTS,
        "cgroup_parent": TEXT,
        "cgroup": TEXT,
        "cpu_count": WHOLE,
        "cpu_percent": REAL,
        "cpu_period": WHOLE,
        "cpu_quota": WHOLE,
        "cpu_rt_period": WHOLE,
        "cpu_rt_runtime": WHOLE,
        "cpus": REAL,
        "cpuset": TEXT,
        "cpu_shares": WHOLE,
        "command": ARGV,
        "configs": ListOf(_MOUNT),
        "container_name": TEXT,
        "credential_spec": Record({"config": TEXT, "file": TEXT, "registry": TEXT}),
        "depends_on": MapOf(
            Record({"condition": TEXT, "restart": FLAG, "required": OPTIONAL_FLAG})
        ),
        "deploy": _DEPLOY,
        "device_cgroup_rules": TEXTS,
        "devices": ListOf(Record({"source": TEXT, "target": TEXT, "permissions": TEXT})),
        "dns": FILLED_TEXTS,
        "dns_opt": TEXTS,
        "dns_search": TEXTS,
        "domainname": TEXT,
        "entrypoint": ARGV,
        "environment": variables,
        "env_file": env_files,
        "expose": TEXTS,
        "extends": Record({"file": TEXT, "service": TEXT}),
        "external_links": TEXTS,
        "extra_hosts": HOSTS,
        "group_add": TEXTS,
        "gpus": ListOf(_DEVICE_REQUEST),
        "hostname": TEXT,
        "healthcheck": _HEALTHCHECK,
        "image": TEXT,
        "init": OPTIONAL_FLAG,
        "ipc": TEXT,
        "isolation": TEXT,
        "labels": labels,
        "links": TEXTS,
        "logging": Record({"driver": TEXT, "options": labels}),
        "mem_limit": SIZE,
        "mem_reservation": SIZE,
        "memswap_limit": SIZE,
        "mem_swappiness": SIZE,
        "mac_address": TEXT,
        "network_mode": TEXT,
        "networks": MapOf(_ATTACHMENT, nullable=True),
        "oom_kill_disable": FLAG,
        "oom_score_adj": WHOLE,
        "pid": TEXT,
        "pids_limit": WHOLE,
        "platform": TEXT,
        "ports": ListOf(_PORT),
        "privileged": FLAG,
        "pull_policy": TEXT,
        "read_only": FLAG,
        "restart": TEXT,
        "runtime": TEXT,
        "scale": OPTIONAL_WHOLE,
        "secrets": ListOf(_MOUNT),
        "security_opt": TEXTS,
        "shm_size": SIZE,
        "stdin_open": FLAG,
        "stop_grace_period": SPAN,
        "stop_signal": TEXT,
        "storage_opt": options,
        "sysctls": labels,
        "tmpfs": TEXTS,
        "tty": FLAG,
        "ulimits": MapOf(limit),
        "user": TEXT,
        "userns_mode": TEXT,
        "uts": TEXT,
        "volumes": ListOf(_VOLUME_MOUNT),
        "volumes_from": TEXTS,
        "working_dir": TEXT,
        "post_start": ListOf(_HOOK),
        "pre_stop": ListOf(_HOOK),
    },
    always=("command", "entrypoint"),
)
_NETWORK = Record(
    {
        "name": TEXT,
        "driver": TEXT,
        "driver_opts": labels,
        "ipam": Record(
            {
                "driver": TEXT,
                "config": ListOf(
                    Record(
                        {
                            "subnet": TEXT,
                            "gateway": TEXT,
                            "ip_range": TEXT,
                            "aux_addresses": labels,
                        },
                        extensions=False,
                    )
                ),
            },
            inline=True,
        ),
        "external": FLAG,
        "internal": FLAG,
        "attachable": FLAG,
        "labels": labels,
        "enable_ipv4": OPTIONAL_FLAG,
        "enable_ipv6": OPTIONAL_FLAG,
    }
)
_VOLUME = Record(
    {"name": TEXT, "driver": TEXT, "driver_opts": labels, "external": FLAG, "labels": labels}
)
_FILE_OBJECT = Record(
    {
        "name": TEXT,
        "file": TEXT,
        "environment": TEXT,
        "content": TEXT,
        "external": FLAG,
        "labels": labels,
        "driver": TEXT,
        "driver_opts": options,
        "template_driver": TEXT,
    }
)
_PROJECT = Record(
    {
        "name": TEXT,
        "services": MapOf(_SERVICE),
        "networks": MapOf(_NETWORK),
        "volumes": MapOf(_VOLUME),
        "secrets": MapOf(_FILE_OBJECT),
        "configs": MapOf(_FILE_OBJECT),
    },
    extensions_in_json=True,
)


def canonical(project: Tree, origins: Origins, form: Form) -> dict[str, Any]:
    """Return a normalised project as ``docker compose config --format {form}`` prints it.

    Only a literal dollar differs: it is ``$`` here, and doubled when the form is written out.

    Raises:
        ComposeError: a duration, size, number or command line that cannot be read.
    """
    document: dict[str, Any] = _PROJECT(project, Place((), origins, form))
    document = {"name": project["name"], "services": {}} | document
    return dict(sorted(document.items())) if form == "json" else document
