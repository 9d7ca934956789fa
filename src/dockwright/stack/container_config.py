"""What the engine is asked to create for a service: the container's configuration."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from dockwright._text import parse_duration
from dockwright.model import Json, ServiceSpec
from dockwright.stack.naming import Names

_RECURSIVE = {
    "disabled": "NonRecursive",
    "readonly": "ReadOnlyForceRecursive",
    "writable": "ReadOnlyNonRecursive",
}


def volume_entries(service: ServiceSpec) -> list[Mapping[str, Json]]:
    """Return the service's ``volumes`` in the long form, as the file has them."""
    return list(cast("Sequence[Mapping[str, Json]]", service.config.get("volumes") or ()))


def anonymous_targets(service: ServiceSpec, image_volumes: Sequence[str]) -> list[str]:
    """Return the mount targets whose volume has no name: declared ones and the image's VOLUMEs."""
    entries = volume_entries(service)
    declared = [
        str(entry["target"])
        for entry in entries
        if entry["type"] == "volume" and not entry.get("source")
    ]
    taken = {str(entry["target"]).rstrip("/") for entry in entries}
    taken |= {text.split(":")[0].rstrip("/") for text in _tmpfs_texts(service)}
    return declared + [path for path in image_volumes if path.rstrip("/") not in taken]


def mounts_of(service: ServiceSpec, names: Names, anonymous: Mapping[str, str]) -> dict[str, Json]:
    """Return ``Mounts``, ``Binds``, ``Tmpfs`` and ``VolumesFrom`` of a service's container."""
    mounts: list[Json] = []
    binds: list[Json] = []
    for entry in volume_entries(service):
        if entry["type"] == "bind" and _wants_host_path(entry):
            binds.append(_bind_text(entry))
        elif entry["type"] != "volume" or entry.get("source"):
            mounts.append(_mount(entry, names))
    mounts += [
        {"Type": "volume", "Source": volume, "Target": target}
        for target, volume in anonymous.items()
    ]
    mounts += _file_mounts(service, names)
    host: dict[str, Json] = {}
    if mounts:
        host["Mounts"] = mounts
    if binds:
        host["Binds"] = binds
    tmpfs = dict(_split_tmpfs(text) for text in _tmpfs_texts(service))
    if tmpfs:
        host["Tmpfs"] = cast("Json", tmpfs)
    others = cast("Sequence[str]", service.config.get("volumes_from") or ())
    if others:
        host["VolumesFrom"] = [names.lender(text) for text in others]
    return host


def _wants_host_path(entry: Mapping[str, Json]) -> bool:
    # Only "Binds" lets the engine create a missing host path; a colon cannot be written there.
    options = cast("Mapping[str, Json]", entry.get("bind") or {})
    if options.get("recursive") not in (None, "enabled"):
        return False
    paths = f"{entry.get('source')}{entry['target']}"
    return bool(options.get("create_host_path")) and ":" not in paths


def _bind_text(entry: Mapping[str, Json]) -> str:
    options = cast("Mapping[str, Json]", entry.get("bind") or {})
    flags = ["ro" if entry.get("read_only") else "rw"]
    flags += [str(options[key]) for key in ("selinux", "propagation") if options.get(key)]
    return f"{entry['source']}:{entry['target']}:{','.join(flags)}"


def _mount(entry: Mapping[str, Json], names: Names) -> dict[str, Json]:
    kind = str(entry["type"])
    mount: dict[str, Json] = {
        "Type": kind,
        "Target": entry["target"],
        "ReadOnly": bool(entry.get("read_only")),
    }
    source = entry.get("source")
    if source:
        mount["Source"] = names.volume(str(source)) if kind == "volume" else source
    if entry.get("consistency"):
        mount["Consistency"] = entry["consistency"]
    options = cast("Mapping[str, Json]", entry.get(kind) or {})
    bind = _bind_options(options) if kind == "bind" else {}
    if bind:
        mount["BindOptions"] = bind
    if kind == "volume" and (options.get("nocopy") or options.get("subpath")):
        mount["VolumeOptions"] = {
            "NoCopy": bool(options.get("nocopy")),
            "Subpath": options.get("subpath") or "",
        }
    if kind == "tmpfs":
        mount["TmpfsOptions"] = {
            "SizeBytes": int(str(options.get("size") or 0)),
            "Mode": options.get("mode") or 0o1777,
        }
    return mount


def _bind_options(options: Mapping[str, Json]) -> dict[str, Json]:
    bind: dict[str, Json] = {}
    if options.get("propagation"):
        bind["Propagation"] = options["propagation"]
    recursive = _RECURSIVE.get(str(options.get("recursive")))
    if recursive:
        bind[recursive] = True
    return bind


def _file_mounts(service: ServiceSpec, names: Names) -> list[Json]:
    """Bind the configs and secrets that are files; the others are written into the container."""
    mounts: list[Json] = []
    for kind in ("configs", "secrets"):
        declared = cast("Mapping[str, Mapping[str, Json]]", names.spec.document.get(kind) or {})
        for use in cast("Sequence[Mapping[str, Json]]", service.config.get(kind) or ()):
            file = declared.get(str(use["source"]), {}).get("file")
            if file:
                mounts.append(
                    {
                        "Type": "bind",
                        "Source": file,
                        "Target": file_target(kind, use),
                        "ReadOnly": True,
                    }
                )
    return mounts


def file_target(kind: str, use: Mapping[str, Json]) -> str:
    """Return where a config or secret (`kind`: configs, secrets) appears in the container."""
    target = str(use.get("target") or use["source"])
    if target.startswith("/"):
        return target
    return f"/run/secrets/{target}" if kind == "secrets" else f"/{target}"


def tmpfs_targets(service: ServiceSpec) -> list[str]:
    """Return where a service has file systems in memory, empty at each start."""
    mounted = [
        str(entry["target"]) for entry in volume_entries(service) if entry["type"] == "tmpfs"
    ]
    return [*mounted, *(_split_tmpfs(text)[0] for text in _tmpfs_texts(service))]


def _tmpfs_texts(service: ServiceSpec) -> list[str]:
    declared = service.config.get("tmpfs") or ()
    return [declared] if isinstance(declared, str) else list(cast("Sequence[str]", declared))


def _split_tmpfs(text: str) -> tuple[str, str]:
    path, _, options = text.partition(":")
    return path, options


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
    "pids_limit": "PidsLimit",
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
    "mem_limit": "Memory",
    "mem_reservation": "MemoryReservation",
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


def host_config(
    service: ServiceSpec, names: Names, anonymous: Mapping[str, str]
) -> dict[str, Json]:
    """Return the ``HostConfig`` of a service's container, without its port bindings."""
    config = service.config
    host: dict[str, Json] = {
        api: config[key]
        for key, api in _HOSTCONFIG_PLAIN_KEYS.items()
        if config.get(key) is not None
    }
    host |= {api: int(str(config[key])) for key, api in _NUMBER_KEYS.items() if config.get(key)}
    host |= mounts_of(service, names, anonymous)
    host |= _namespaces(service, names)
    host |= _deploy(config)
    if config.get("cpus"):
        host["NanoCpus"] = round(float(str(config["cpus"])) * 1e9)
    if config.get("group_add"):
        host["GroupAdd"] = [str(group) for group in cast("Sequence[Json]", config["group_add"])]
    if config.get("extra_hosts"):
        host["ExtraHosts"] = [
            str(entry).replace("=", ":", 1)
            for entry in cast("Sequence[Json]", config["extra_hosts"])
        ]
    host |= _devices(config)
    host |= _logging(config)
    host |= _blkio(config)
    ulimits = _ulimits(config)
    return host | ({"Ulimits": ulimits} if ulimits else {}) | _restart(config, names)


def _namespaces(service: ServiceSpec, names: Names) -> dict[str, Json]:
    config = service.config
    modes: dict[str, Json] = {
        api: names.shared(str(config[key]))
        for key, api in (("pid", "PidMode"), ("ipc", "IpcMode"), ("network_mode", "NetworkMode"))
        if config.get(key)
    }
    networks = cast("Mapping[str, Json]", config.get("networks") or {})
    if "NetworkMode" not in modes:
        modes["NetworkMode"] = _first_network(service, names) if networks else "none"
    return modes


def _first_network(service: ServiceSpec, names: Names) -> str:
    networks = cast("Mapping[str, Mapping[str, Json] | None]", service.config["networks"])
    first = max(
        networks, key=lambda key: int(cast("int", (networks[key] or {}).get("priority") or 0))
    )
    return names.network(first)


def _restart(config: Mapping[str, Json], names: Names) -> dict[str, Json]:
    name, _, count = str(config.get("restart") or "no").partition(":")
    deploy = cast("Mapping[str, Mapping[str, Json]]", config.get("deploy") or {})
    policy = deploy.get("restart_policy")
    if policy:  # as in Compose, it wins
        name = _RESTART_CONDITIONS[str(policy.get("condition") or "any")]
        count = str(policy.get("max_attempts") or 0)
    # A copy that outlived its owner must not come back when the engine restarts.
    if names.isolated and name in ("always", "unless-stopped"):
        name = "on-failure"
    return {"RestartPolicy": {"Name": name, "MaximumRetryCount": int(count or 0)}}


def _deploy(config: Mapping[str, Json]) -> dict[str, Json]:
    deploy = cast("Mapping[str, Json]", config.get("deploy") or {})
    resources = cast("Mapping[str, Mapping[str, Json]]", deploy.get("resources") or {})
    limits = resources.get("limits") or {}
    reservations = resources.get("reservations") or {}
    host: dict[str, Json] = {}
    if limits.get("cpus"):
        host["NanoCpus"] = round(float(str(limits["cpus"])) * 1e9)
    if limits.get("memory"):
        host["Memory"] = int(str(limits["memory"]))
    if limits.get("pids"):
        host["PidsLimit"] = limits["pids"]
    if reservations.get("memory"):
        host["MemoryReservation"] = int(str(reservations["memory"]))
    return host


def _devices(config: Mapping[str, Json]) -> dict[str, Json]:
    devices = cast("Sequence[Mapping[str, Json]]", config.get("devices") or ())
    mapped: list[Json] = [
        {
            "PathOnHost": device.get("source"),
            "PathInContainer": device.get("target") or device.get("source"),
            "CgroupPermissions": device.get("permissions") or "rwm",
        }
        for device in devices
    ]
    requests = [_device_request(each) for each in _requested_devices(config)]
    host: dict[str, Json] = {}
    if mapped:
        host["Devices"] = mapped
    if requests:
        host["DeviceRequests"] = cast("Json", requests)
    return host


def _requested_devices(config: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    deploy = cast("Mapping[str, Json]", config.get("deploy") or {})
    resources = cast("Mapping[str, Mapping[str, Json]]", deploy.get("resources") or {})
    reserved = (resources.get("reservations") or {}).get("devices") or ()
    return [
        *cast("Sequence[Mapping[str, Json]]", reserved),
        *cast("Sequence[Mapping[str, Json]]", config.get("gpus") or ()),
    ]


def _device_request(device: Mapping[str, Json]) -> dict[str, Json]:
    count = device.get("count")
    capabilities = cast("Sequence[str]", device.get("capabilities") or ("gpu",))
    return {
        "Driver": device.get("driver") or "",
        "Count": -1 if count in ("all", None) and not device.get("device_ids") else count or 0,
        "DeviceIDs": device.get("device_ids"),
        "Capabilities": [list(capabilities)],
        "Options": device.get("options") or {},
    }


def _logging(config: Mapping[str, Json]) -> dict[str, Json]:
    logging = cast("Mapping[str, Json]", config.get("logging") or {})
    if not logging:
        return {}
    return {
        "LogConfig": {"Type": logging.get("driver") or "", "Config": logging.get("options") or {}}
    }


def _ulimits(config: Mapping[str, Json]) -> list[Json]:
    declared = cast("Mapping[str, int | Mapping[str, int]]", config.get("ulimits") or {})
    return [
        {"Name": name, "Soft": limit, "Hard": limit}
        if isinstance(limit, int)
        else {"Name": name, "Soft": limit.get("soft", 0), "Hard": limit.get("hard", 0)}
        for name, limit in declared.items()
    ]


def _blkio(config: Mapping[str, Json]) -> dict[str, Json]:
    declared = cast("Mapping[str, Json]", config.get("blkio_config") or {})
    host: dict[str, Json] = {}
    if declared.get("weight"):
        host["BlkioWeight"] = declared["weight"]
    if declared.get("weight_device"):
        host["BlkioWeightDevice"] = [
            {"Path": _cased(each, "path"), "Weight": _cased(each, "weight")}
            for each in cast("Sequence[Mapping[str, Json]]", declared["weight_device"])
        ]
    for key, api in _BLKIO_RATES.items():
        if declared.get(key):
            host[api] = [
                {"Path": _cased(each, "path"), "Rate": int(str(_cased(each, "rate")))}
                for each in cast("Sequence[Mapping[str, Json]]", declared[key])
            ]
    return host


def _cased(mapping: Mapping[str, Json], key: str) -> Json:
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

_DEFAULT_GRACE_S = 10.0  # the Compose specification's


@dataclass(frozen=True, slots=True)
class BodyContext:
    """What a container body needs to know beside its service.

    Attributes:
        names: of this copy of the stack.
        image: the image reference to run.
        labels: of ownership and of Compose.
        anonymous: volume names by mount target, for the volumes that have no name of their own.
        publish_host: the host address on which ports are published in isolated copies.
        publish_exposed: whether ``expose``d ports are published too (where the test cannot reach
            the container's own address).
        guests: the other services that are in its network: their ports are published with its own.
        mounts: further mounts, as the Engine API has them.
    """

    names: Names
    image: str
    labels: Mapping[str, str]
    anonymous: Mapping[str, str] = field(default_factory=dict)
    publish_host: str = "127.0.0.1"
    publish_exposed: bool = False
    guests: tuple[ServiceSpec, ...] = ()
    mounts: tuple[Json, ...] = ()


def container_body(service: ServiceSpec, context: BodyContext) -> dict[str, Json]:
    """Return the body for ``POST /containers/create``."""
    config = service.config
    bindings = _port_bindings(service, context)
    host = host_config(service, context.names, context.anonymous)
    if context.mounts:
        host["Mounts"] = [*cast("list[Json]", host.get("Mounts") or []), *context.mounts]
    body: dict[str, Json] = {
        "Image": context.image,
        "Env": _environment(config),
        "Labels": {**cast("Mapping[str, str]", config.get("labels") or {}), **context.labels},
        "ExposedPorts": {port: {} for port in (*_own_exposed(service, context), *bindings)},
        "HostConfig": host | {"PortBindings": cast("Json", bindings)},
        "NetworkingConfig": {
            "EndpointsConfig": cast("Json", first_endpoint(service, context.names))
        },
    }
    body |= {api: config[key] for key, api in _PLAIN_KEYS.items() if config.get(key) is not None}
    body |= _commands(config)
    mac_address = _mac_address(service, context.names)
    if mac_address:  # newer engines read it of the network alone, see `endpoint_config`
        body["MacAddress"] = mac_address
    if config.get("stop_grace_period") is not None:
        body["StopTimeout"] = int(stop_grace_s(service))
    if config.get("healthcheck"):
        body["Healthcheck"] = _healthcheck(cast("Mapping[str, Json]", config["healthcheck"]))
    return body


def declared_ports(service: ServiceSpec) -> tuple[int, ...]:
    """Return the TCP ports of its own on which a service says that it serves others."""
    found = [key.partition("/") for key in port_keys(service)]
    return tuple(sorted({int(port) for port, _, protocol in found if protocol == "tcp"}))


def port_keys(service: ServiceSpec) -> tuple[str, ...]:
    """Return the ports that a service declares, as the engine has them: ``8000/tcp``."""
    if service.config.get("network_mode") == "none":
        return ()
    keys = [f"{port['target']}/{port.get('protocol') or 'tcp'}" for port in _published(service)]
    return (*keys, *_exposed(service.config))


def stop_grace_s(service: ServiceSpec) -> float:
    """Return how long the service may take to end when it is stopped, in seconds."""
    declared = service.config.get("stop_grace_period")
    return _DEFAULT_GRACE_S if declared is None else parse_duration(str(declared))


def _commands(config: Mapping[str, Json]) -> dict[str, Json]:
    commands: dict[str, Json] = {}
    for key, api in (("command", "Cmd"), ("entrypoint", "Entrypoint")):
        value = config.get(key)
        if isinstance(value, str):
            commands[api] = list(shlex.split(value))
        elif value is not None:
            commands[api] = list(cast("list[str]", value))
    return commands


def _environment(config: Mapping[str, Json]) -> list[Json]:
    environment = cast("Mapping[str, str | None]", config.get("environment") or {})
    return [key if value is None else f"{key}={value}" for key, value in environment.items()]


def _healthcheck(declared: Mapping[str, Json]) -> dict[str, Json]:
    if declared.get("disable"):
        return {"Test": ["NONE"]}
    body: dict[str, Json] = {}
    if declared.get("test"):
        body["Test"] = list(cast("list[str]", declared["test"]))
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
    if ":" in str(service.config.get("network_mode")):
        return []  # an engine takes them only where the network is the container's own
    return [key for each in (service, *context.guests) for key in _exposed(each.config)]


def _exposed(config: Mapping[str, Json]) -> list[str]:
    entries = cast("list[str]", config.get("expose") or [])
    found = []
    for entry in entries:
        ports, _, protocol = str(entry).partition("/")
        first, _, last = ports.partition("-")
        found += [
            f"{number}/{protocol or 'tcp'}" for number in range(int(first), int(last or first) + 1)
        ]
    return found


def _port_bindings(service: ServiceSpec, context: BodyContext) -> dict[str, list[dict[str, str]]]:
    if service.config.get("network_mode") not in (None, "bridge"):
        return {}
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in _published(service, *context.guests):
        key = f"{port['target']}/{port.get('protocol') or 'tcp'}"
        if context.names.isolated:
            bindings[key] = [{"HostIp": context.publish_host, "HostPort": ""}]
        else:
            binding = {
                "HostIp": str(port.get("host_ip") or ""),
                "HostPort": str(port.get("published") or ""),
            }
            bindings.setdefault(key, []).append(binding)
    if context.publish_exposed:
        for key in (key for each in (service, *context.guests) for key in _exposed(each.config)):
            bindings.setdefault(key, [{"HostIp": context.publish_host, "HostPort": ""}])
    return bindings


def _published(*services: ServiceSpec) -> list[Mapping[str, Json]]:
    return [
        port
        for service in services
        for port in cast("list[Mapping[str, Json]]", service.config.get("ports") or [])
    ]


def networks_of(service: ServiceSpec) -> dict[str, Mapping[str, Json]]:
    """Return the networks that the service joins, the one with the highest priority first."""
    if service.config.get("network_mode"):
        return {}
    declared = cast("Mapping[str, Mapping[str, Json] | None]", service.config.get("networks") or {})
    ordered = sorted(
        declared.items(), key=lambda item: -int(cast("int", (item[1] or {}).get("priority") or 0))
    )
    return {key: value or {} for key, value in ordered}


def endpoint_config(service: ServiceSpec, key: str, names: Names) -> dict[str, Json]:
    """Return the Engine API's EndpointSettings for one network of a service."""
    networks = networks_of(service)
    declared = networks[key]
    aliases = cast("list[str]", declared.get("aliases") or [])
    endpoint: dict[str, Json] = {
        "Aliases": [*names.aliases(service.name), *aliases],
        "Links": [*_links(service.config, names)],
    }
    addresses: dict[str, Json] = {
        api: declared[key]
        for key, api in (
            ("ipv4_address", "IPv4Address"),
            ("ipv6_address", "IPv6Address"),
            ("link_local_ips", "LinkLocalIPs"),
        )
        if declared.get(key)
    }
    # Isolated copies have no subnet of their own choice (see `Creator`), nor an address in it.
    if addresses and not names.isolated:
        endpoint["IPAMConfig"] = addresses
    first = key == next(iter(networks))
    mac_address = _mac_address(service, names) if first else declared.get("mac_address")
    if mac_address and not _crowded(key, names):
        endpoint["MacAddress"] = mac_address
    if declared.get("driver_opts"):
        endpoint["DriverOpts"] = declared["driver_opts"]
    return endpoint


def _links(config: Mapping[str, Json], names: Names) -> list[str]:
    links = []
    for text in cast("list[str]", config.get("links") or []):
        service, _, alias = text.partition(":")
        links.append(f"{names.container(service)}:{alias or service}")
    external = cast("list[str]", config.get("external_links") or [])
    return [*links, *(names.external_link(text) for text in external)]


def first_endpoint(service: ServiceSpec, names: Names) -> dict[str, dict[str, Json]]:
    """Return the endpoint that a container is created with.

    Engines before API 1.44 take only one there; the others are connected before the start.
    """
    for key in networks_of(service):
        return {names.network(key): endpoint_config(service, key, names)}
    return {}


def _mac_address(service: ServiceSpec, names: Names) -> Json:
    """Return the fixed hardware address of the container in its first network, if any."""
    for key, declared in networks_of(service).items():
        if _crowded(key, names):
            return None
        return service.config.get("mac_address") or declared.get("mac_address")
    return service.config.get("mac_address")


def _crowded(key: str, names: Names) -> bool:
    """Tell whether several copies meet in a network, in which no address may be there twice."""
    return names.isolated and names.is_external("networks", key)
