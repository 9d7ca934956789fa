"""What is around a server: its container, which a reset in place promises to leave as it was.

At the baseline each container that a reset keeps is looked at: its inspect, its files, its
processes. After each exclusive lease it is looked at again. One that differs is to be replaced.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from dockwright.engine import parallel
from dockwright.engine.inside import DataDirectory, EngineInside, Process, Sign, received
from dockwright.engine.types import Document
from dockwright.errors import NoSuchObjectError
from dockwright.model import Trace
from dockwright.stack.entries import Entries
from dockwright.stack.stack import Stack

_PAUSES_S, _ENOUGH_FOR_FILES = (0.02, 0.02, 0.1, 0.2, 0.4), 2
"""A difference has to last: health checks come and go, and a loop's next command takes its time."""

_FEW = 3
_RENEWED = ("EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "MacAddress", "IPv6Gateway",
            "GlobalIPv6Address", "GlobalIPv6PrefixLen", "DNSNames", "GwPriority")  # fmt: skip
"""What a container gets from each start of it."""
_SHARED = ("host", "container:")
"""Modes of networks whose traffic is not that of one container."""


Difference: TypeAlias = tuple[str, int]
"""What differs, in words, and the pid where it is a process."""


@dataclass(frozen=True, slots=True)
class _Inside:
    """What is inside a container.

    Attributes:
        files: its files.
        processes: its processes.
        mounts: what is mounted inside.
    """

    files: Mapping[str, Sign]
    processes: Mapping[int, Process]
    mounts: frozenset[str]

    @property
    def programs(self) -> Counter[str]:
        """How many processes run each program; a loop starts one command after the other."""
        return Counter(each.name for each in self.processes.values())


@dataclass
class _Known:
    """What one service's container is like at the baseline.

    Attributes:
        owned: the names of files in its data directory that its server writes; None: no strategy
            knows what the service keeps.
        details: its inspect.
        stamp: when the engine last wrote down something about it; None: this host cannot see that.
        ground: where its data is.
        first: what was inside at the baseline.
        files: its files, with what the service changed by itself since.
        processes: its processes, likewise.
        mounts: what is mounted inside.
        churn: what the service was seen to change by itself.
        restarted: whether it was started again since.
        traces: what differed when it was last compared, in detail; what the service changed by
            itself is uncertain.
        shows_writes: whether it runs and every write to its files can be seen from here.
        received: what had reached it by network when the stack was last settled; None: this host
            cannot see that.
    """

    owned: re.Pattern[str] | None
    details: Document
    stamp: tuple[int, ...] | None
    ground: DataDirectory
    first: _Inside
    files: Mapping[str, Sign]
    processes: Mapping[int, Process]
    mounts: frozenset[str]
    shows_writes: bool
    churn: set[str] = field(default_factory=set)
    restarted: bool = False
    traces: dict[str, Trace] = field(default_factory=dict)
    received: tuple[int, ...] | None = None

    def restart(self) -> None:
        """Take note of a new start: its processes are others."""
        self.restarted, self.processes = True, {}

    def sorted_out(self, processes: Mapping[int, Process]) -> tuple[dict[int, Process], set[int]]:
        """Return the processes that are the service's own, and the pids of all others.

        Its own are those of the baseline and what they forked. Unless a strategy knows the server,
        the programs that they started count too; those stay in their session.
        """
        init = processes.get(int(self.details["State"]["Pid"]))
        ids = {(each.pid, each.started) for each in self.processes.values()}
        known = [each for each in processes.values() if (each.pid, each.started) in ids]
        if init is not None and self.restarted:
            known += [each for each in processes.values() if each.session == init.session]
        kins = {each.kin for each in known}
        sessions = {each.session for each in known} if self.owned is None else set()
        own = {
            pid: each
            for pid, each in processes.items()
            if each.kin in kins or each.session in sessions
        }
        return own, processes.keys() - own.keys()

    def trace(
        self, differences: Iterable[Difference], files: Mapping[str, Sign], *, certain: bool
    ) -> None:
        """Remember differences in detail.

        Args:
            differences: what differs.
            files: the files as they are now.
            certain: whether the service itself did not do it.
        """
        for what, _ in sorted(differences):
            self.traces[what] = _trace(what, self, files, certain=certain)

    def missing(self, own: Mapping[int, Process]) -> set[Difference]:
        """Return the programs of the baseline that do not run any more."""
        if self.restarted:
            return set()
        # One of the two looks may have met a shell that was about to run another program.
        gone = self.first.programs & Counter(each.name for each in self.processes.values())
        gone.subtract(each.name for each in own.values())
        return {(f"process {name}", 0) for name, count in gone.items() if count > 0}


class Surroundings:
    """Remembers what the containers of one copy are like, and finds those that differ.

    Args:
        stack: the copy, which is started.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._engine = stack.engine
        self._entries = Entries(stack.engine, stack.identity.project)
        self._known: dict[str, _Known] = {}
        self._bridges: dict[str, str] = {}
        self._links: dict[str, frozenset[str]] = {}
        self._guests: set[str] = set()

    def capture(self, owned: Mapping[str, re.Pattern[str] | None]) -> None:
        """Remember what containers are like; nobody uses the stack.

        Args:
            owned: the services whose containers a reset keeps; each with the names of the files
                that its server writes into its data directory, None where nothing knows them.
        """
        parallel.run([partial(self._remember, *item) for item in owned.items()])

    def settle(self, *, checked: bool = False) -> None:
        """Take what is now as the baseline: nobody has entered, and who is connected may stay.

        Other containers stay connected only if they were when this was first called.

        Args:
            checked: it was only checked: what was sent to services until now still counts.
        """
        if not self._bridges:
            names = list(self._networks())
            found = parallel.run([partial(self._engine.inspect_network, name) for name in names])
            self._bridges = {name: _bridge(each) for name, each in zip(names, found, strict=True)}
            self._guests = {guest for each in found for guest in each.get("Containers") or {}}
        self._links = {name: _links(bridge) for name, bridge in self._bridges.items()}
        for known in self._known.values():
            if not checked or known.received is None:
                known.received = received(known.details)
        self._entries.forget()

    def outside(self, names: Iterable[str]) -> dict[str, str]:
        """Compare inspects; return in words what differs, by service.

        Other containers that came to the copy's networks are detached.
        """
        for known in self._known.values():
            known.traces.clear()
        if any(each.owned is None for each in self._known.values()):
            self._entries.catch_up()
        self._detach_strangers()
        names = [name for name in names if self._may_differ(name)]
        reasons = parallel.run([partial(self._compare_inspect, name) for name in names])
        return {name: why for name, why in zip(names, reasons, strict=True) if why}

    def inside(self, names: Collection[str]) -> dict[str, str]:
        """Compare files and processes; return in words what differs, by service."""
        reasons = [self._compare_inside(name) for name in names]
        return {name: why for name, why in zip(names, reasons, strict=True) if why}

    def traces(self, name: str) -> tuple[Trace, ...]:
        """Return in detail what differed when a service was last looked at, by `inside`."""
        return tuple(self._known[name].traces.values())

    def written(self, names: Collection[str]) -> dict[str, str]:
        """Compare containers with the baseline, whoever changed them; call `outside` before.

        Returns:
            In words what differs, by service; also where somebody entered it.
        """
        found = {name: self._why_written(name) for name in names}
        return {name: why for name, why in found.items() if why}

    def shows_writes(self, name: str) -> bool:
        """Return whether a service runs and every write to its files can be seen from here."""
        return name in self._known and self._known[name].shows_writes

    def contacted(self, name: str) -> bool:
        """Return whether anything may have reached a service since the stack was settled."""
        known = self._known[name]
        own_network = not str(known.details["HostConfig"]["NetworkMode"]).startswith(_SHARED)
        shares = any(each["RW"] for each in known.details["Mounts"])
        if known.received is None or not own_network or shares:
            return True
        return known.restarted or received(known.details) != known.received

    def close(self) -> None:
        """Stop listening to the engine."""
        self._entries.close()

    # -- one container -----------------------------------------------------------------------

    def _remember(self, name: str, owned: re.Pattern[str] | None) -> None:
        details = self._engine.inspect_container(self._stack.container(name))
        view = self._engine.inside(details)
        ground = DataDirectory(view.working_directories(), owned) if owned else DataDirectory()
        forked, files = view.processes(), view.files(ground)
        processes = _without_execs(_settled(forked, view.processes()), details["State"]["Pid"])
        now = _Inside(files, processes, view.mounts())
        self._known[name] = _Known(
            owned,
            details,
            _stamp(details),
            ground,
            now,
            now.files,
            now.processes,
            now.mounts,
            shows_writes=_runs(details) and _shows_writes(details, now, complete=view.complete),
        )

    def _may_differ(self, name: str) -> bool:
        known = self._known[name]
        return known.stamp is None or _stamp(known.details) != known.stamp

    def _compare_inspect(self, name: str) -> str | None:
        known = self._known[name]
        stamp = _stamp(known.details)  # first: what is written later is seen the next time
        try:
            details = self._engine.inspect_container(self._stack.container(name))
        except NoSuchObjectError:
            return "its container was removed"
        restarted = known.details["State"]["StartedAt"] != details["State"]["StartedAt"]
        # One that does not run has neither addresses nor ports.
        renewed = restarted or not (_runs(details) and _runs(known.details))
        was, now = (_facts(each, renewed=renewed) for each in (known.details, details))
        changed = {key for key in was.keys() | now.keys() if was.get(key) != now.get(key)}
        if changed:
            return f"{_listed(changed)} changed"
        if restarted:
            known.restart()
        known.details, known.stamp = details, stamp
        return None

    def _compare_inside(self, name: str) -> str | None:
        traces = self._known[name].traces
        traces.clear()
        lasting = {what for what, _ in _lasting(partial(self._look, name))}
        for what in [what for what, each in traces.items() if each.certain and what not in lasting]:
            del traces[what]
        return f"{_listed(lasting)} changed" if lasting else None

    def _look(self, name: str) -> set[Difference]:
        """Return what differs inside; take over what the service changed by itself."""
        known, container = self._known[name], self._stack.container(name)
        view = self._engine.inside(known.details)
        files, processes, mounts = view.files(known.ground), view.processes(), view.mounts()
        own, strangers = known.sorted_out(processes)
        changed = _changed_files(known.files, files, view)
        if changed:
            changed -= {(path, 0) for path in view.open_files(own)}
        if strangers:
            strangers = self._without_checks(strangers, processes, view, name)
        halted = {pid for pid, each in own.items() if each.halted}
        changed |= {(f"process {processes[pid].name}", pid) for pid in strangers | halted}
        changed |= {(f"mount {each}", 0) for each in mounts ^ known.mounts}
        if known.owned is None:
            everything = changed | known.missing(own)
            changed = self._by_others(known, everything, container)
            # Its own processes come and go; files stay.
            kept = {each for each in everything - changed if each[0].startswith("/")}
            known.trace(kept, files, certain=False)
        known.trace(changed, files, certain=True)
        if not changed:
            known.files, known.processes, known.mounts = files, own, mounts
        return changed

    def _look_strictly(self, name: str) -> set[Difference]:
        """Return what differs from the baseline, whoever changed it."""
        known = self._known[name]
        view = self._engine.inside(known.details)
        files, processes, mounts = view.files(known.ground), view.processes(), view.mounts()
        own, strangers = known.sorted_out(processes)
        if strangers:
            strangers = self._without_checks(strangers, processes, view, name)
        changed = _changed_files(known.first.files, files, view)
        changed |= {(f"mount {each}", 0) for each in mounts ^ known.first.mounts}
        changed |= {(f"process {processes[pid].name}", pid) for pid in strangers}
        was, now = known.first.programs, _Inside(files, own, mounts).programs
        changed |= {(f"process {name}", 0) for name in was | now if was[name] != now[name]}
        return changed | {(f"process {each.name}", pid) for pid, each in own.items() if each.halted}

    def _why_written(self, name: str) -> str | None:
        known, container = self._known[name], self._stack.container(name)
        if why := self._may_differ(name) and self._compare_inspect(name):
            return why
        if self._entries.signalled(container) or self._entries.entered(container, known.details):
            return "a command or a signal came from outside"
        lasting = {what for what, _ in _lasting(partial(self._look_strictly, name))}
        return f"{_listed(lasting)} changed" if lasting else None

    def _by_others(
        self, known: _Known, changed: set[Difference], container: str
    ) -> set[Difference]:
        """Return what somebody else than the service itself may have changed."""
        if self._entries.signalled(container) and not known.restarted:
            return {*changed, ("signalled process", 0)}
        changed = {(what, pid) for what, pid in changed if what not in known.churn}
        if changed and not self._entries.entered(container, known.details):
            known.churn |= {what for what, _ in changed}
            return set()
        return changed

    def _without_checks(
        self, pids: set[int], processes: Mapping[int, Process], view: EngineInside, name: str
    ) -> set[int]:
        """Leave out the processes of health checks, and of commands that we run ourselves."""
        details, container = self._known[name].details, self._stack.container(name)
        leaders = {processes[pid].session for pid in pids}
        spared = {pid for pid in leaders if self._entries.is_check(view.command(pid), details)}
        # A command that the runtime is about to start; nobody waits for it: a health check.
        spared |= {pid for pid in pids if processes[pid].name.startswith("runc:[")}
        if leaders - spared:
            spared |= self._engine.exec_pids(container)
            spared |= self._entries.check_pids(container, details)
        return {pid for pid in pids if processes[pid].session not in spared}

    # -- networks ----------------------------------------------------------------------------

    def _networks(self) -> list[str]:
        names = self._stack.names
        declared = names.spec.section("networks").items()
        return [names.network(key) for key, each in declared if not each.get("external")]

    def _detach_strangers(self) -> None:
        """Detach other containers from the copy's networks, unless the baseline had them."""
        doubtful = [
            name
            for name, bridge in self._bridges.items()
            if not os.path.exists(bridge) or _links(bridge) != self._links[name]
        ]
        found = parallel.run([partial(self._engine.inspect_network, name) for name in doubtful])
        welcome = self._guests.union(self._stack.containers.values())
        parallel.run(
            [
                partial(self._engine.disconnect_network, name, container)
                for name, details in zip(doubtful, found, strict=True)
                for container in details.get("Containers") or {}
                if container not in welcome
            ]
        )


def _shows_writes(details: Document, inside: _Inside, *, complete: bool) -> bool:
    mounts = [each for each in details["Mounts"] if each["RW"]]
    if complete:
        return all(each["Type"] == "volume" and each["Driver"] == "local" for each in mounts)
    # The API shows which paths of the layer differ from the image, and nothing else.
    return not (mounts or details["HostConfig"].get("Tmpfs") or inside.files)


def _settled(processes: Mapping[int, Process], later: Mapping[int, Process]) -> dict[int, Process]:
    """Return processes, with their later names: a shell forks before it runs another program."""
    return {
        pid: later[pid] if pid in later and later[pid].started == each.started else each
        for pid, each in processes.items()
    }


def _lasting(look: Callable[[], set[Difference]]) -> set[Difference]:
    """Return what differs, and still differs a moment later."""
    lasting = look()
    for count, pause_s in enumerate(_PAUSES_S):
        if count >= _ENOUGH_FOR_FILES and any(what.startswith("/") for what, _ in lasting):
            break
        if not lasting:
            break
        time.sleep(pause_s)
        lasting &= look()
    return lasting


def _changed_files(
    before: Mapping[str, Sign], now: Mapping[str, Sign], view: EngineInside
) -> set[Difference]:
    """Return the paths that differ, without unchanged copies of the image's files."""
    return {
        (path, 0)
        for path in now.keys() | before.keys()
        if now.get(path) != before.get(path) and (path in before or not view.like_the_image(path))
    }


def _facts(details: Document, *, renewed: bool) -> dict[str, Any]:
    """Return what of an inspect has to stay, by its place there.

    Args:
        details: the inspect.
        renewed: leave out what a container gets from each start of it.
    """
    network = details["NetworkSettings"]
    facts = {"name": details["Name"], "mounts": sorted(details["Mounts"], key=str)}
    facts |= {f"HostConfig.{key}": value for key, value in details["HostConfig"].items()}
    facts |= {f"Config.{key}": value for key, value in details["Config"].items()}
    for name, endpoint in (network.get("Networks") or {}).items():
        stay = (
            endpoint.items()
            if not renewed
            else [(key, value) for key, value in endpoint.items() if key not in _RENEWED]
        )
        facts[f"network {name}"] = dict(stay)
    return facts if renewed else {**facts, "published ports": network.get("Ports")}


def _runs(details: Document) -> bool:
    return bool(details["State"]["Running"])


def _stamp(details: Document) -> tuple[int, ...] | None:
    """Return when the engine last wrote down something about a container, where we can see that.

    Docker writes these files whenever it changes a container: its state, its networks, its limits.
    """
    directory = os.path.dirname(str(details.get("HostsPath") or "/nowhere/hosts"))
    try:
        looks = [os.stat(f"{directory}/{name}") for name in ("config.v2.json", "hostconfig.json")]
    except OSError:
        return None
    return tuple(number for look in looks for number in (look.st_ino, look.st_mtime_ns))


def _without_execs(processes: Mapping[int, Process], init: int) -> dict[int, Process]:
    """Leave out the commands that were run in the container from outside, such as health checks."""
    roots = {pid for pid, each in processes.items() if each.parent not in processes and pid != init}
    return {pid: each for pid, each in processes.items() if each.session not in roots}


def _bridge(network: Document) -> str:
    """Return where this host lists what is plugged into a network, if it is on this host."""
    options = network.get("Options") or {}
    device = options.get("com.docker.network.bridge.name") or f"br-{network['Id'][:12]}"
    return f"/sys/class/net/{device}/brif"


def _links(bridge: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(bridge))
    except OSError:
        return frozenset()


def _trace(what: str, known: _Known, files: Mapping[str, Sign], *, certain: bool) -> Trace:
    """Return a difference in detail."""
    if not what.startswith("/"):
        kind, _, name = what.partition(" ")
        return Trace(kind, name, "left running" if kind == "process" else "changed")
    before, now = known.files.get(what), files.get(what)
    how = "changed" if before and now else "deleted" if before or _hides(now) else "added"
    volumes = (
        str(mount["Destination"]) for mount in known.details["Mounts"] if mount["Type"] == "volume"
    )
    inside = max((each for each in volumes if what.startswith(f"{each}/")), key=len, default="")
    where = f" in the volume at {inside}" if inside else ""
    by = "" if certain else " by the service itself"
    return Trace("file", what, f"{how}{where}{by}", certain=certain)


def _hides(sign: Sign | None) -> bool:
    """Return whether a file of a container's layer hides one of the image, which was deleted."""
    return sign is not None and len(sign) > _DEVICE and stat.S_ISCHR(sign[0]) and not sign[_DEVICE]


_DEVICE = 3
"""In a `Sign`: the number of the device, after mode, owner and group."""


def _listed(changed: Collection[str]) -> str:
    """Return a few of many for a sentence."""
    names = sorted(changed)
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more
