"""The ``HostConfig`` part of a container's body: limits, namespaces, mounts (pure translation)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from dockwright.model import Json, ServiceSpec
from dockwright.stack.mounts import mounts_of
from dockwright.stack.names import Names

_PLAIN_KEYS = {
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
        api: config[key] for key, api in _PLAIN_KEYS.items() if config.get(key) is not None
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
        else {"Name": name, "Soft": limit["soft"], "Hard": limit["hard"]}
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
