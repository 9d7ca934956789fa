"""The shape of a Compose file: which keys exist, and of which type their values are."""

from __future__ import annotations

from dockwright.compose.shapes import (
    BOOL,
    COMMAND,
    DISTINCT,
    DISTINCT_PAIRS,
    HOOK,
    HOSTS,
    INT,
    LIMITS,
    LIST,
    MOUNTS,
    NAME,
    NEWER,
    NEWER_POLICY,
    NULL,
    NUMBER,
    ONE_OR_MORE,
    OPTIONS,
    PAIRS,
    STR,
    AnyOf,
    Anything,
    ListOf,
    MapOf,
    Scalar,
    Shape,
    Struct,
    choice,
)

_BUILD = Struct(
    {
        "context": STR,
        "dockerfile": STR,
        "dockerfile_inline": STR,
        "entitlements": LIST,
        "args": PAIRS,
        "ssh": DISTINCT_PAIRS,
        "labels": PAIRS,
        "cache_from": LIST,
        "cache_to": LIST,
        "no_cache": BOOL,
        "additional_contexts": PAIRS,
        "network": STR,
        "pull": BOOL,
        "target": STR,
        "shm_size": INT,
        "extra_hosts": HOSTS,
        "isolation": STR,
        "privileged": BOOL,
        "secrets": MOUNTS,
        "tags": LIST,
        "ulimits": LIMITS,
        "platforms": LIST,
        "no_cache_filter": NEWER,
        "provenance": NEWER,
        "sbom": NEWER,
    }
)
_RATES = ListOf(Struct({"path": STR, "rate": INT}, extensions=False))
_BLKIO = Struct(
    {
        "device_read_bps": _RATES,
        "device_read_iops": _RATES,
        "device_write_bps": _RATES,
        "device_write_iops": _RATES,
        "weight": INT,
        "weight_device": ListOf(Struct({"path": STR, "weight": INT}, extensions=False)),
    },
    extensions=False,
)
_DEPENDENCY = Struct(
    {
        "restart": BOOL,
        "required": Scalar(("boolean",)),
        "condition": choice("service_started", "service_healthy", "service_completed_successfully"),
    },
    required=("condition",),
)
_DEVICE: dict[str, Shape] = {
    "capabilities": DISTINCT,
    "count": INT,
    "device_ids": DISTINCT,
    "driver": STR,
    "options": DISTINCT_PAIRS,
}
_UPDATE = Struct(
    {
        "parallelism": INT,
        "delay": STR,
        "failure_action": STR,
        "monitor": STR,
        "max_failure_ratio": NUMBER,
        "order": choice("start-first", "stop-first"),
    }
)
_GENERIC = Struct({"discrete_resource_spec": Struct({"kind": STR, "value": NUMBER})})
_DEPLOY = Struct(
    {
        "mode": STR,
        "endpoint_mode": STR,
        "replicas": INT,
        "labels": PAIRS,
        "rollback_config": _UPDATE,
        "update_config": _UPDATE,
        "resources": Struct(
            {
                "limits": Struct({"cpus": NUMBER, "memory": STR, "pids": INT}),
                "reservations": Struct(
                    {
                        "cpus": NUMBER,
                        "memory": STR,
                        "generic_resources": ListOf(_GENERIC),
                        "devices": ListOf(Struct(_DEVICE, required=("capabilities",))),
                    }
                ),
            }
        ),
        "restart_policy": Struct(
            {"condition": STR, "delay": STR, "max_attempts": INT, "window": STR}
        ),
        "placement": Struct(
            {
                "constraints": LIST,
                "preferences": ListOf(Struct({"spread": STR})),
                "max_replicas_per_node": INT,
            }
        ),
    }
)
_WATCH = Struct(
    {
        "ignore": ONE_OR_MORE,
        "path": STR,
        "action": choice("rebuild", "sync", "restart", "sync+restart", "sync+exec"),
        "target": STR,
        "exec": HOOK,
        "include": NEWER,
        "initial_sync": NEWER,
    },
    required=("path", "action"),
)
_HEALTHCHECK = Struct(
    {
        "disable": BOOL,
        "interval": STR,
        "retries": NUMBER,
        "test": AnyOf((STR, LIST)),
        "timeout": STR,
        "start_period": STR,
        "start_interval": STR,
    }
)
_ATTACHMENT = Struct(
    {
        "aliases": LIST,
        "ipv4_address": STR,
        "ipv6_address": STR,
        "link_local_ips": LIST,
        "mac_address": STR,
        "driver_opts": OPTIONS,
        "priority": Scalar(("number",)),
        "gw_priority": Scalar(("number",)),
        "interface_name": NEWER,
    }
)
_PORT = Struct(
    {
        "name": STR,
        "mode": STR,
        "host_ip": STR,
        "target": INT,
        "published": INT,
        "protocol": STR,
        "app_protocol": STR,
    }
)
_VOLUME_MOUNT = Struct(
    {
        "type": STR,
        "source": STR,
        "target": STR,
        "read_only": BOOL,
        "consistency": STR,
        "bind": Struct(
            {
                "propagation": STR,
                "create_host_path": BOOL,
                "recursive": choice("enabled", "disabled", "writable", "readonly"),
                "selinux": choice("z", "Z"),
            }
        ),
        "volume": Struct({"nocopy": BOOL, "subpath": STR, "labels": NEWER}),
        "image": NEWER,
        "tmpfs": Struct({"size": Scalar(("integer", "string"), low=0), "mode": NUMBER}),
    },
    required=("type",),
)
_ENV_FILE = Struct(
    {"path": STR, "format": STR, "required": BOOL}, required=("path",), extensions=False
)

SERVICE = Struct(
    {
        "develop": AnyOf((Struct({"watch": ListOf(_WATCH)}), NULL)),
        "deploy": AnyOf((_DEPLOY, NULL)),
        "annotations": PAIRS,
        "attach": BOOL,
        "build": AnyOf((STR, _BUILD)),
        "blkio_config": _BLKIO,
        "cap_add": LIST,
        "cap_drop": LIST,
        "cgroup": choice("host", "private"),
        "cgroup_parent": STR,
        "command": COMMAND,
        "configs": MOUNTS,
        "container_name": STR,
        "cpu_count": Scalar(("string", "integer"), low=0),
        "cpu_percent": Scalar(("string", "integer"), low=0, high=100),
        "cpu_shares": NUMBER,
        "cpu_quota": NUMBER,
        "cpu_period": NUMBER,
        "cpu_rt_period": NUMBER,
        "cpu_rt_runtime": NUMBER,
        "cpus": NUMBER,
        "cpuset": STR,
        "credential_spec": Struct({"config": STR, "file": STR, "registry": STR}),
        "depends_on": AnyOf((DISTINCT, MapOf(_DEPENDENCY, NAME))),
        "device_cgroup_rules": DISTINCT,
        "devices": ListOf(
            AnyOf(
                (
                    STR,
                    Struct(
                        {"source": STR, "target": STR, "permissions": STR}, required=("source",)
                    ),
                )
            )
        ),
        "dns": ONE_OR_MORE,
        "dns_opt": LIST,
        "dns_search": ONE_OR_MORE,
        "domainname": STR,
        "entrypoint": COMMAND,
        "env_file": AnyOf((STR, ListOf(AnyOf((STR, _ENV_FILE))))),
        "label_file": AnyOf((STR, LIST)),
        "environment": PAIRS,
        "expose": ListOf(NUMBER),
        "extends": AnyOf(
            (STR, Struct({"service": STR, "file": STR}, required=("service",), extensions=False))
        ),
        "external_links": DISTINCT,
        "extra_hosts": HOSTS,
        "gpus": AnyOf((choice("all"), ListOf(Struct(_DEVICE)))),
        "group_add": ListOf(NUMBER, unique=True),
        "healthcheck": _HEALTHCHECK,
        "hostname": STR,
        "image": STR,
        "init": BOOL,
        "ipc": STR,
        "isolation": STR,
        "labels": PAIRS,
        "links": LIST,
        "logging": Struct({"driver": STR, "options": MapOf(Scalar(("string", "number", "null")))}),
        "mac_address": STR,
        "mem_limit": NUMBER,
        "mem_reservation": INT,
        "mem_swappiness": INT,
        "memswap_limit": NUMBER,
        "network_mode": STR,
        "networks": AnyOf((DISTINCT, MapOf(AnyOf((_ATTACHMENT, NULL)), NAME))),
        "oom_kill_disable": BOOL,
        "oom_score_adj": Scalar(("string", "integer"), low=-1000, high=1000),
        "pid": Scalar(("string", "null")),
        "pids_limit": NUMBER,
        "platform": STR,
        "ports": ListOf(AnyOf((NUMBER, _PORT))),
        "post_start": ListOf(HOOK),
        "pre_start": NEWER,
        "pre_stop": ListOf(HOOK),
        "privileged": BOOL,
        "profiles": LIST,
        "pull_policy": choice(
            *("always", "never", "if_not_present", "build", "missing"), pattern=NEWER_POLICY
        ),
        "read_only": BOOL,
        "restart": STR,
        "runtime": STR,
        "scale": INT,
        "security_opt": DISTINCT,
        "shm_size": NUMBER,
        "secrets": MOUNTS,
        "sysctls": PAIRS,
        "stdin_open": BOOL,
        "stop_grace_period": STR,
        "stop_signal": STR,
        "storage_opt": MapOf(Anything()),
        "tmpfs": ONE_OR_MORE,
        "tty": BOOL,
        "ulimits": LIMITS,
        "user": STR,
        "uts": STR,
        "userns_mode": STR,
        "volumes": ListOf(AnyOf((STR, _VOLUME_MOUNT))),
        "volumes_from": DISTINCT,
        "working_dir": STR,
        "models": NEWER,
        "provider": NEWER,
        "pull_refresh_after": NEWER,
        "use_api_socket": NEWER,
    }
)


_EXTERNAL = AnyOf((BOOL, Struct({"name": STR})))
_NETWORK = Struct(
    {
        "name": STR,
        "driver": STR,
        "driver_opts": OPTIONS,
        "ipam": Struct(
            {
                "driver": STR,
                "config": ListOf(
                    Struct(
                        {
                            "subnet": STR,
                            "ip_range": STR,
                            "gateway": STR,
                            "aux_addresses": MapOf(STR),
                        }
                    )
                ),
                "options": MapOf(STR),
            }
        ),
        "external": _EXTERNAL,
        "internal": BOOL,
        "enable_ipv4": BOOL,
        "enable_ipv6": BOOL,
        "attachable": BOOL,
        "labels": PAIRS,
    }
)
_VOLUME = Struct(
    {
        "name": STR,
        "driver": STR,
        "driver_opts": OPTIONS,
        "external": _EXTERNAL,
        "labels": DISTINCT_PAIRS,
    }
)
_SECRET = Struct(
    {
        "name": STR,
        "environment": STR,
        "file": STR,
        "external": AnyOf((BOOL, Struct({"name": STR}))),
        "labels": DISTINCT_PAIRS,
        "driver": STR,
        "driver_opts": OPTIONS,
        "template_driver": STR,
    }
)
_CONFIG = Struct(
    {
        "name": STR,
        "content": STR,
        "environment": STR,
        "file": STR,
        "external": AnyOf((BOOL, Struct({"name": STR}))),
        "labels": DISTINCT_PAIRS,
        "template_driver": STR,
    }
)
_INCLUDE = Struct(
    {"path": ONE_OR_MORE, "env_file": ONE_OR_MORE, "project_directory": STR}, extensions=False
)
PROJECT = Struct(
    {
        "version": STR,
        "name": STR,
        "include": ListOf(AnyOf((STR, _INCLUDE))),
        "services": MapOf(SERVICE, NAME),
        "networks": MapOf(AnyOf((_NETWORK, NULL)), NAME),
        "volumes": MapOf(AnyOf((_VOLUME, NULL)), NAME),
        "secrets": MapOf(_SECRET, NAME),
        "configs": MapOf(_CONFIG, NAME),
        "models": NEWER,
    }
)
