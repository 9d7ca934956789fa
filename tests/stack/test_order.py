"""Who waits for whom."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dockwright.compose.spec import service_spec
from dockwright.model import Dependency, Json, StackSpec
from dockwright.stack.graph import Graph, creation_waves, entangled


def spec_of(**services: tuple[dict[str, Json], list[str]]) -> StackSpec:
    return StackSpec(
        name="order",
        working_dir=Path("/"),
        files=(),
        document={},
        services={
            name: replace(
                service_spec(name, config, {}), depends_on=tuple(Dependency(each) for each in after)
            )
            for name, (config, after) in services.items()
        },
        processes={},
        content_hash="",
    )


def test_units_come_after_what_they_depend_on() -> None:
    graph = Graph.of(
        spec_of(web=({}, ["db", "cache"]), db=({}, ["disk"]), cache=({}, []), disk=({}, []))
    )
    order = graph.ordered()
    assert order.index("disk") < order.index("db") < order.index("web")
    assert order.index("cache") < order.index("web")


def test_a_dependency_that_is_not_enabled_is_not_waited_for() -> None:
    graph = Graph.of(spec_of(web=({}, ["debugger"])))
    assert graph.dependencies == {"web": ()}


def test_waves_hold_independent_units_together() -> None:
    graph = Graph.of(spec_of(web=({}, ["db", "cache"]), db=({}, []), cache=({}, [])))
    assert graph.waves(["web", "db", "cache"]) == [["cache", "db"], ["web"]]
    assert graph.waves(["web"]) == [["web"]]


def test_dependencies_and_dependents_are_transitive() -> None:
    graph = Graph.of(spec_of(web=({}, ["api"]), api=({}, ["db"]), db=({}, []), mail=({}, [])))
    assert graph.with_dependencies(["web"]) == ["db", "api", "web"]
    assert graph.with_dependents(["db"]) == ["db", "api", "web"]
    assert graph.with_dependents(["mail"]) == ["mail"]


def test_completion_is_awaited_only_if_a_dependent_asks_for_it() -> None:
    graph = Graph(
        {
            "web": (Dependency("migrate", "service_completed_successfully"), Dependency("db")),
            "migrate": (),
            "db": (),
        }
    )
    assert graph.awaited_to_completion("migrate")
    assert not graph.awaited_to_completion("db")


def test_containers_that_share_a_namespace_are_created_one_after_the_other() -> None:
    spec = spec_of(
        sidecar=({"network_mode": "service:web"}, []),
        backup=({"volumes_from": ["web:ro"]}, []),
        watcher=({"pid": "service:sidecar"}, []),
        web=({}, []),
    )
    assert creation_waves(spec) == [["web"], ["backup", "sidecar"], ["watcher"]]


def test_services_that_share_a_volume_or_a_namespace_are_replaced_together() -> None:
    shared: dict[str, Json] = {"volumes": [{"type": "volume", "source": "data", "target": "/d"}]}
    spec = spec_of(
        db=(shared, []),
        backup=(shared, []),
        sidecar=({"network_mode": "service:backup"}, []),
        web=({}, ["db"]),
    )
    assert entangled(spec, ["db"]) == {"db", "backup", "sidecar"}
    assert entangled(spec, ["web"]) == {"web"}
