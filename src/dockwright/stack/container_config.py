"""What the engine is asked to create for a service: the container's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dockwright._text import parse_duration
from dockwright.model import Limits, Mount, ServiceSpec
from dockwright.stack.naming import Names

_RECURSIVE = {
    "disabled": "NonRecursive",
    "readonly": "ReadOnlyForceRecursive",
    "writable": "ReadOnlyNonRecursive",
}


def anonymous_targets(service: ServiceSpec, image_volumes: Sequence[str]) -> list[str]:
    """Return the mount targets whose volume has no name: declared ones and the image's VOLUMEs."""
    declared = [
        mount.target for mount in service.mounts if mount.kind == "volume" and not mount.source
    ]
    taken = {mount.target.rstrip("/") for mount in service.mounts}
    taken |= {target.rstrip("/") for target in service.tmpfs}
    return declared + [path for path in image_volumes if path.rstrip("/") not in taken]


def mounts_of(service: ServiceSpec, names: Names, anonymous: Mapping[str, str]) -> dict[str, Any]:
    """Return ``Mounts``, ``Binds``, ``Tmpfs`` and ``VolumesFrom`` of a service's container."""
    mounts: list[dict[str, Any]] = []
    binds: list[str] = []
    for mount in service.mounts:
        if mount.kind == "bind" and _wants_host_path(mount):
            binds.append(_bind_text(mount))
        elif mount.kind != "volume" or mount.source:
            mounts.append(_mount(mount, names))
    mounts += [
        {"Type": "volume", "Source": volume, "Target": target}
        for target, volume in anonymous.items()
    ]
    mounts += [
        {"Type": "bind", "Source": file.file, "Target": file.target, "ReadOnly": True}
        for file in service.files
        if file.file
    ]
    host: dict[str, Any] = {
        "Mounts": mounts,
        "Binds": binds,
        "Tmpfs": dict(service.tmpfs),
        "VolumesFrom": [names.lender(text) for text in service.volumes_from],
    }
    return {key: value for key, value in host.items() if value}


def _wants_host_path(mount: Mount) -> bool:
    # Only "Binds" lets the engine create a missing host path; a colon cannot be written there.
    if mount.options.get("recursive") not in (None, "enabled"):
        return False
    return bool(mount.options.get("create_host_path")) and ":" not in mount.source + mount.target


def _bind_text(mount: Mount) -> str:
    flags = ["ro" if mount.read_only else "rw"]
    flags += [mount.options[key] for key in ("selinux", "propagation") if mount.options.get(key)]
    return f"{mount.source}:{mount.target}:{','.join(flags)}"


def _mount(mount: Mount, names: Names) -> dict[str, Any]:
    options = mount.options
    body: dict[str, Any] = {
        "Type": mount.kind,
        "Target": mount.target,
        "ReadOnly": mount.read_only,
    }
    if mount.source:
        body["Source"] = names.volume(mount.source) if mount.is_named_volume else mount.source
    if mount.consistency:
        body["Consistency"] = mount.consistency
    if mount.kind == "bind" and (bind := _bind_options(options)):
        body["BindOptions"] = bind
    if mount.kind == "volume" and (options.get("nocopy") or options.get("subpath")):
        body["VolumeOptions"] = {
            "NoCopy": bool(options.get("nocopy")),
            "Subpath": options.get("subpath") or "",
        }
    if mount.kind == "tmpfs":
        body["TmpfsOptions"] = {
            "SizeBytes": int(options.get("size") or 0),
            "Mode": options.get("mode") or 0o1777,
        }
    return body


def _bind_options(options: Mapping[str, Any]) -> dict[str, Any]:
    bind: dict[str, Any] = {}
    if options.get("propagation"):
        bind["Propagation"] = options["propagation"]
    recursive = _RECURSIVE.get(options.get("recursive") or "")
    if recursive:
        bind[recursive] = True
    return bind


def tmpfs_targets(service: ServiceSpec) -> list[str]:
    """Return where a service has file systems in memory, empty at each start."""
    mounted = [mount.target for mount in service.mounts if mount.kind == "tmpfs"]
    return [*mounted, *service.tmpfs]


_HOSTCONFIG_PLAIN_KEYS = {
    "cap_add": "CapAdd",
    "cap_drop": "CapDrop",
    "cgroup": "CgroupnsMode",
    "cgroup_parent": "CgroupParent",
    "cpu_count": "CpuCount",
    "cpu_percent": "CpuPercent",
    "cpu_period": "CpuPeriod",
    "cpu_quota": "CpuQuota",
    "cpu_rt_period": "CpuRealtimePeriod",
    "cpu_rt_runtime": "CpuRealtimeRuntime",
    "cpu_shares": "CpuShares",
    "cpuset": "CpusetCpus",
    "device_cgroup_rules": "DeviceCgroupRules",
    "dns": "Dns",
    "dns_opt": "DnsOptions",
    "dns_search": "DnsSearch",
    "init": "Init",
    "isolation": "Isolation",
    "oom_kill_disable": "OomKillDisable",
    "oom_score_adj": "OomScoreAdj",
    "privileged": "Privileged",
    "read_only": "ReadonlyRootfs",
    "runtime": "Runtime",
    "security_opt": "SecurityOpt",
    "storage_opt": "StorageOpt",
    "sysctls": "Sysctls",
    "userns_mode": "UsernsMode",
    "uts": "UTSMode",
    "annotations": "Annotations",
}
_NUMBER_KEYS = {  # which the canonical form writes as texts
    "mem_swappiness": "MemorySwappiness",
    "memswap_limit": "MemorySwap",
    "shm_size": "ShmSize",
}
_RESTART_CONDITIONS = {
    "any": "always",
    "none": "no",
    "on-failure": "on-failure",
    "always": "always",
    "unless-stopped": "unless-stopped",
}
_BLKIO_RATES = {
    "device_read_bps": "BlkioDeviceReadBps",
    "device_read_iops": "BlkioDeviceReadIOps",
    "device_write_bps": "BlkioDeviceWriteBps",
    "device_write_iops": "BlkioDeviceWriteIOps",
}


def host_config(service: ServiceSpec, names: Names, anonymous: Mapping[str, str]) -> dict[str, Any]:
    """Return the ``HostConfig`` of a service's container, without its port bindings."""
    config = service.config
    host: dict[str, Any] = {
        api: config[key]
        for key, api in _HOSTCONFIG_PLAIN_KEYS.items()
        if config.get(key) is not None
    }
    host |= {api: int(config[key]) for key, api in _NUMBER_KEYS.items() if config.get(key)}
    host |= mounts_of(service, names, anonymous)
    host |= _namespaces(service, names)
    host |= _limits(service.limits)
    if config.get("group_add"):
        host["GroupAdd"] = list(config["group_add"])
    if config.get("extra_hosts"):
        host["ExtraHosts"] = [entry.replace("=", ":", 1) for entry in config["extra_hosts"]]
    host |= _devices(config)
    host |= _logging(config)
    host |= _blkio(config)
    ulimits = _ulimits(config)
    return host | ({"Ulimits": ulimits} if ulimits else {}) | _restart(config, names)


def _namespaces(service: ServiceSpec, names: Names) -> dict[str, Any]:
    modes = {
        api: names.shared(service.config[key])
        for key, api in (("pid", "PidMode"), ("ipc", "IpcMode"), ("network_mode", "NetworkMode"))
        if service.config.get(key)
    }
    first = [names.network(key) for key in service.networks][:1]
    return {"NetworkMode": first[0] if first else "none", **modes}


def _limits(limits: Limits) -> dict[str, Any]:
    host = {
        "NanoCpus": round(limits.cpus * 1e9) if limits.cpus else None,
        "Memory": limits.memory_bytes,
        "MemoryReservation": limits.memory_reservation_bytes,
        "PidsLimit": limits.pids,
    }
    return {api: value for api, value in host.items() if value is not None}


def _restart(config: Mapping[str, Any], names: Names) -> dict[str, Any]:
    name, _, count = (config.get("restart") or "no").partition(":")
    policy = (config.get("deploy") or {}).get("restart_policy")
    if policy:  # as in Compose, it wins
        name = _RESTART_CONDITIONS[policy.get("condition") or "any"]
        count = policy.get("max_attempts") or 0
    # A copy that outlived its owner must not come back when the engine restarts.
    if names.isolated and name in ("always", "unless-stopped"):
        name = "on-failure"
    return {"RestartPolicy": {"Name": name, "MaximumRetryCount": int(count or 0)}}


def _devices(config: Mapping[str, Any]) -> dict[str, Any]:
    mapped = [
        {
            "PathOnHost": device.get("source"),
            "PathInContainer": device.get("target") or device.get("source"),
            "CgroupPermissions": device.get("permissions") or "rwm",
        }
        for device in config.get("devices") or ()
    ]
    resources = (config.get("deploy") or {}).get("resources") or {}
    reserved = (resources.get("reservations") or {}).get("devices") or ()
    requests = [_device_request(each) for each in (*reserved, *(config.get("gpus") or ()))]
    return ({"Devices": mapped} if mapped else {}) | (
        {"DeviceRequests": requests} if requests else {}
    )


def _device_request(device: Mapping[str, Any]) -> dict[str, Any]:
    count = device.get("count")
    return {
        "Driver": device.get("driver") or "",
        "Count": -1 if count in ("all", None) and not device.get("device_ids") else count or 0,
        "DeviceIDs": device.get("device_ids"),
        "Capabilities": [list(device.get("capabilities") or ("gpu",))],
        "Options": device.get("options") or {},
    }


def _logging(config: Mapping[str, Any]) -> dict[str, Any]:
    logging = config.get("logging")
    if not logging:
        return {}
    return {
        "LogConfig": {"Type": logging.get("driver") or "", "Config": logging.get("options") or {}}
    }


def _ulimits(config: Mapping[str, Any]) -> list[Any]:
    return [
        {"Name": name, "Soft": limit, "Hard": limit}
        if isinstance(limit, int)
        else {"Name": name, "Soft": limit.get("soft", 0), "Hard": limit.get("hard", 0)}
        for name, limit in (config.get("ulimits") or {}).items()
    ]


def _blkio(config: Mapping[str, Any]) -> dict[str, Any]:
    declared = config.get("blkio_config") or {}
    host: dict[str, Any] = {}
    if declared.get("weight"):
        host["BlkioWeight"] = declared["weight"]
    if declared.get("weight_device"):
        host["BlkioWeightDevice"] = [
            {"Path": _cased(each, "path"), "Weight": _cased(each, "weight")}
            for each in declared["weight_device"]
        ]
    for key, api in _BLKIO_RATES.items():
        if declared.get(key):
            host[api] = [
                {"Path": _cased(each, "path"), "Rate": int(_cased(each, "rate"))}
                for each in declared[key]
            ]
    return host


def _cased(mapping: Mapping[str, Any], key: str) -> Any:
    # The canonical form writes these keys with a capital; the files write them without.
    return mapping[key] if key in mapping else mapping[key.capitalize()]


_PLAIN_KEYS = {
    "user": "User",
    "hostname": "Hostname",
    "domainname": "Domainname",
    "working_dir": "WorkingDir",
    "tty": "Tty",
    "stdin_open": "OpenStdin",
    "stop_signal": "StopSignal",
}


@dataclass(frozen=True, slots=True)
class BodyContext:
    """What a container body needs to know beside its service.

    Attributes:
        names: of this copy of the stack.
        image: the image reference to run.
        labels: of ownership and of Compose.
        anonymous: volume names by mount target, for the volumes that have no name of their own.
        host_ports: the bindings of the ports that an isolated copy publishes.
        guests: the other services that are in its network: their ports are published with its own.
        mounts: further mounts, as the Engine API has them.
    """

    names: Names
    image: str
    labels: Mapping[str, str]
    anonymous: Mapping[str, str] = field(default_factory=dict)
    host_ports: Mapping[str, list[dict[str, str]]] = field(default_factory=dict)
    guests: tuple[ServiceSpec, ...] = ()
    mounts: tuple[Any, ...] = ()


def container_body(service: ServiceSpec, context: BodyContext) -> dict[str, Any]:
    """Return the body for ``POST /containers/create``."""
    config = service.config
    bindings = _port_bindings(service, context)
    host = host_config(service, context.names, context.anonymous)
    if context.mounts:
        host["Mounts"] = [*(host.get("Mounts") or []), *context.mounts]
    body: dict[str, Any] = {
        "Image": context.image,
        "Env": [
            key if value is None else f"{key}={value}" for key, value in service.environment.items()
        ],
        "Labels": {**(config.get("labels") or {}), **context.labels},
        "ExposedPorts": {port: {} for port in (*_own_exposed(service, context), *bindings)},
        "HostConfig": host | {"PortBindings": bindings},
        "NetworkingConfig": {"EndpointsConfig": _endpoints(service, context.names)},
    }
    body |= {api: config[key] for key, api in _PLAIN_KEYS.items() if config.get(key) is not None}
    commands = (("command", "Cmd"), ("entrypoint", "Entrypoint"))
    body |= {api: list(config[key]) for key, api in commands if config.get(key) is not None}
    mac_address = _mac_address(service, context.names)
    if mac_address:
        body["MacAddress"] = mac_address
    if service.stop_grace_s is not None:
        body["StopTimeout"] = int(service.stop_grace_s)
    if config.get("healthcheck"):
        body["Healthcheck"] = _healthcheck(config["healthcheck"])
    return body


def _healthcheck(declared: Mapping[str, Any]) -> dict[str, Any]:
    if declared.get("disable"):
        return {"Test": ["NONE"]}
    body: dict[str, Any] = {}
    if declared.get("test"):
        body["Test"] = list(declared["test"])
    for key, api in (
        ("interval", "Interval"),
        ("timeout", "Timeout"),
        ("start_period", "StartPeriod"),
        ("start_interval", "StartInterval"),
    ):
        if declared.get(key):
            body[api] = round(parse_duration(str(declared[key])) * 1e9)
    if declared.get("retries") is not None:
        body["Retries"] = declared["retries"]
    return body


def _own_exposed(service: ServiceSpec, context: BodyContext) -> list[str]:
    if ":" in service.network_mode:
        return []  # an engine takes them only where the network is the container's own
    return [str(port) for each in (service, *context.guests) for port in each.exposed]


def has_own_ports(service: ServiceSpec) -> bool:
    """Return whether a service publishes ports itself: it is in no other container's network."""
    return service.network_mode in ("", "bridge")


def _port_bindings(service: ServiceSpec, context: BodyContext) -> dict[str, list[dict[str, str]]]:
    if not has_own_ports(service):
        return {}
    if context.names.isolated:
        return dict(context.host_ports)
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in (port for each in (service, *context.guests) for port in each.ports):
        binding = {"HostIp": port.host_ip, "HostPort": port.published}
        bindings.setdefault(str(port), []).append(binding)
    return bindings


_ADDRESSES = {
    "ipv4_address": "IPv4Address",
    "ipv6_address": "IPv6Address",
    "link_local_ips": "LinkLocalIPs",
}


def _endpoint(service: ServiceSpec, key: str, names: Names) -> dict[str, Any]:
    """Return the Engine API's EndpointSettings for one network of a service."""
    attachment = service.networks[key]
    endpoint: dict[str, Any] = {
        "Aliases": [*names.aliases(service.name), *attachment.aliases],
        "Links": _links(service, names),
    }
    # Isolated copies have no subnet of their own choice (see `Creator`), nor an address in it.
    if attachment.addresses and not names.isolated:
        endpoint["IPAMConfig"] = {
            _ADDRESSES[name]: address for name, address in attachment.addresses.items()
        }
    first = key == next(iter(service.networks))
    mac_address = _mac_address(service, names) if first else attachment.mac_address
    if mac_address and not _crowded(key, names):
        endpoint["MacAddress"] = mac_address
    if attachment.driver_opts:
        endpoint["DriverOpts"] = dict(attachment.driver_opts)
    return endpoint


def _links(service: ServiceSpec, names: Names) -> list[str]:
    links = []
    for text in service.links:
        other, _, alias = text.partition(":")
        links.append(f"{names.container(other)}:{alias or other}")
    external = service.config.get("external_links") or ()
    return [*links, *(names.external_link(text) for text in external)]


def _endpoints(service: ServiceSpec, names: Names) -> dict[str, dict[str, Any]]:
    """Return the endpoints of a container, that of the network that it is in by name first."""
    return {names.network(key): _endpoint(service, key, names) for key in service.networks}


def _mac_address(service: ServiceSpec, names: Names) -> str:
    """Return the fixed hardware address of the container in its first network, if any."""
    own: str = service.config.get("mac_address") or ""
    for key, attachment in service.networks.items():
        return "" if _crowded(key, names) else own or attachment.mac_address
    return own


def _crowded(key: str, names: Names) -> bool:
    """Return whether several copies share the network, where each address must be unique."""
    return names.isolated and names.spec.is_external("networks", key)
