"""Only what bears our whole set of labels and belongs to a dead owner is ever chosen."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockwright.engine import (
    PREFIX,
    current_owner,
    owner_is_alive,
    ownership_labels,
    parse_ownership,
)
from dockwright.model import Owner, Ownership
from dockwright.pool.reaper import Listing, abandoned, resources_by_owner
from dockwright.stack import COMPOSE_PROJECT
from tests._support.owned import Owned

PROJECT = "0123456789ab"
ALIVE = current_owner()
DEAD = Owner(boot_id=ALIVE.boot_id, pid=2**22 + 1, started=1.0, host=ALIVE.host)
ELSEWHERE = Owner(boot_id="other", pid=1, started=1.0, host="another machine")


def labels_of(owner: Owner | None, project: str = PROJECT, name: str = "dw-a-1") -> dict[str, str]:
    ownership = Ownership("s1", project, "default", owner, time.time(), "0")
    return {**ownership_labels(ownership), COMPOSE_PROJECT: name}


def chosen(*label_sets: dict[str, str], kept: tuple[str, ...] = ()) -> list[str]:
    documents = [{"Id": str(n), "Labels": labels} for n, labels in enumerate(label_sets)]
    doomed = abandoned(resources_by_owner(Listing(containers=documents), kept), PROJECT)
    return [container for owned in doomed for container in owned.containers]


def test_leftovers_of_a_dead_owner_of_this_project_are_chosen() -> None:
    assert chosen(labels_of(DEAD), labels_of(ALIVE, name="dw-b-1")) == ["0"]


def test_living_remote_long_lived_and_kept_stacks_are_spared() -> None:
    assert chosen(labels_of(ALIVE)) == []
    assert chosen(labels_of(ELSEWHERE)) == []
    assert chosen(labels_of(None)) == []
    assert chosen(labels_of(DEAD), kept=("dw-a-1",)) == []
    assert chosen(labels_of(DEAD, project="another root")) == []


def test_a_foreign_container_that_took_our_project_name_is_spared() -> None:
    foreign = {COMPOSE_PROJECT: "dw-a-1"}
    assert chosen(labels_of(DEAD), foreign, labels_of(ALIVE)) == ["0"]


@pytest.mark.engine
@pytest.mark.parametrize("owner", [DEAD, None], ids=["a copy", "a long-lived stack"])
def test_a_volume_that_the_engine_made_again_goes_with_the_container_of_a_copy(
    owned: Owned, scratch: str, owner: Owner | None
) -> None:
    name = f"dw-{owned.name}"
    owned.engine.create_volume(f"{name}-other", {"Labels": owned.labels})
    # The engine makes the first one now, as it does if somebody removes it at this moment.
    owned.create(
        scratch,
        "true",
        Labels={**owned.labels, **labels_of(owner, name=name)},
        HostConfig={"Binds": [f"{name}_data:/data", f"{name}-other:/other"]},
    )
    documents = owned.engine.list_containers({COMPOSE_PROJECT: name})
    [found] = resources_by_owner(Listing(containers=documents), kept=())
    try:
        assert found.volumes == ([f"{name}_data"] if owner else [])
    finally:
        owned.engine.remove_container(documents[0]["Id"])
        owned.engine.remove_volume(f"{name}_data")


OURS = labels_of(DEAD)
texts = st.text(max_size=12)
# Any labels at all, and ours with some missing or changed: near misses are what matters.
any_labels = st.dictionaries(
    st.one_of(texts, st.sampled_from(sorted(OURS)), texts.map(lambda text: PREFIX + text)),
    st.one_of(texts, st.sampled_from(sorted(OURS.values()))),
    max_size=14,
)
near_misses = st.builds(
    lambda missing, changes: {
        key: value for key, value in {**OURS, **changes}.items() if key not in missing
    },
    st.sets(st.sampled_from(sorted(OURS)), max_size=3),
    st.dictionaries(st.sampled_from(sorted(OURS)), texts, max_size=3),
)


@given(st.one_of(any_labels, near_misses))
def test_foreign_labels_are_never_chosen(labels: dict[str, str]) -> None:
    ownership = parse_ownership(labels)
    theirs_to_lose = (
        set(OURS) <= set(labels)
        and ownership is not None
        and ownership.project == PROJECT
        and ownership.owner is not None
        and not owner_is_alive(ownership.owner)
    )
    if not theirs_to_lose:
        assert chosen(labels) == []


@given(st.lists(near_misses, max_size=5))
def test_near_misses_are_never_reaped(crowd: list[dict[str, str]]) -> None:
    living = labels_of(ALIVE, name="dw-living")
    assert str(len(crowd)) not in chosen(*crowd, living)
