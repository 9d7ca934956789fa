"""Planned runs: order, distribution among xdist's workers, dependencies, shards."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from dockwright.schedule import Block, Test

_DEPENDING = """
    import pytest

    @pytest.mark.dependency(depends=["test_b"])
    def test_a(): pass

    @pytest.mark.dependency(depends=["third"])
    def test_b(): pass

    @pytest.mark.dependency(name="third")
    def test_c(): pass

    @pytest.mark.order(after="test_f")
    def test_d(): pass

    @pytest.mark.order("last")
    def test_e(): pass

    @pytest.mark.order(1)
    def test_f(): pass

    @pytest.mark.order("first")
    def test_g(): pass
"""


def _run(bare: pytest.Pytester, *options: str) -> list[tuple[str, str]]:
    """Run the tests; return the worker and the name of each, in the order in which they ended."""
    result = bare.runpytest_subprocess("-v", *options)
    assert result.ret == 0, result.outlines
    ended = (
        re.match(r"(?:\[(gw\d+)\] \[.*\] PASSED )?\S*::(\w+\S*)", line) for line in result.outlines
    )
    if any(option.startswith("-n") for option in options):
        return [(found[1], found[2]) for found in ended if found and found[1]]
    return [("", found[2]) for found in ended if found]


def test_remaining_blocks_are_taken_in_the_order_of_the_plan() -> None:
    from dockwright.pytest_plugin.scheduler import Remaining

    blocks = [Block((Test(f"t{number}", 1.0),)) for number in range(6)]
    remaining = Remaining((float(number), block) for number, block in enumerate(blocks))
    # t0 to t2 are left to workers that are free before this one is
    taken = [remaining.take(0.0), remaining.take(2.5), remaining.take(0.0), remaining.take(9.0)]
    assert [block.tests[0].name for block in taken] == ["t0", "t4", "t1", "t5"]
    remaining.put_back([blocks[4]])
    rest = []
    while remaining:
        rest.append(remaining.take(0.0).tests[0].name)
    assert rest == ["t4", "t2", "t3"]


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["one process", "workers"])
def test_tests_follow_those_that_they_depend_on(
    bare: pytest.Pytester, options: tuple[str, ...]
) -> None:
    bare.makepyfile(_DEPENDING)
    ended = _run(bare, *options)
    names = [name for _, name in ended]
    for chain in (["test_c", "test_b", "test_a"], ["test_g", "test_f", "test_d"]):
        assert [name for name in names if name in chain] == chain
    assert names.index("test_f") < names.index("test_e")
    worker = {name: worker for worker, name in ended}
    assert worker["test_a"] == worker["test_b"] == worker["test_c"]


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["one process", "workers"])
def test_a_circle_of_dependencies_is_a_usage_error(
    bare: pytest.Pytester, options: tuple[str, ...]
) -> None:
    bare.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.dependency(depends=["test_b"])
        def test_a(): pass

        @pytest.mark.dependency(depends=["test_a"])
        def test_b(): pass
        """
    )
    result = bare.runpytest_subprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        "*tests depend on each other in a circle: "
        "test_it.py::test_a -> test_it.py::test_b -> test_it.py::test_a"
    )


def test_groups_and_fixtures_of_a_module_stay_in_one_worker(bare: pytest.Pytester) -> None:
    bare.makepyfile(
        test_groups="""
        import pytest

        @pytest.mark.parametrize("number", range(12))
        def test_free(number): pass

        @pytest.mark.xdist_group("one")
        @pytest.mark.parametrize("number", range(4))
        def test_grouped(number): pass
        """,
        test_fixture="""
        import pytest

        @pytest.fixture(scope="module")
        def server(): pass

        @pytest.mark.parametrize("number", range(3))
        def test_server(server, number): pass
        """,
    )
    ended = _run(bare, "-n2")
    assert len(ended) == 19
    for name in ("test_grouped", "test_server"):
        assert len({worker for worker, test in ended if test.startswith(name)}) == 1


def test_a_worker_that_dies_loses_only_its_running_test(bare: pytest.Pytester) -> None:
    bare.makepyfile(
        """
        import os, pytest

        @pytest.mark.xdist_group("one")
        def test_dies(): os._exit(1)

        @pytest.mark.xdist_group("one")
        @pytest.mark.parametrize("number", range(5))
        def test_later(number): pass

        @pytest.mark.parametrize("number", range(20))
        def test_free(number): pass
        """
    )
    result = bare.runpytest_subprocess("-n2", "-v")
    result.assert_outcomes(passed=25, failed=1)


@pytest.mark.parametrize(
    ("options", "scheduler"),
    [
        (["-n1"], "PlannedScheduling"),
        (["-n1", "--dockwright-schedule=off", "--dist", "dockwright"], "PlannedScheduling"),
        (["-n1", "--dist", "load"], "LoadScheduling"),
        (["-n1", "--dockwright-schedule=off"], "LoadScheduling"),
    ],
)
def test_the_planned_distribution_is_the_default_and_has_a_name(
    bare: pytest.Pytester, options: list[str], scheduler: str
) -> None:
    bare.makepyfile("def test_a(): pass")
    result = bare.runpytest_subprocess("-v", *options)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(f"*scheduling tests via {scheduler}")


def test_the_longest_test_of_a_costs_file_begins_first(bare: pytest.Pytester) -> None:
    bare.makepyfile(test_it="".join(f"def test_{name}(): pass\n" for name in "abcd"))
    (bare.path / ".test_durations").write_text(
        json.dumps({f"test_it.py::test_{name}": float(cost) for cost, name in enumerate("abcd")})
    )
    result = bare.runpytest_subprocess("-n1", "-v")
    assert next(line for line in result.outlines if "PASSED" in line).endswith("::test_d ")


def test_a_shard_runs_its_part_of_the_suite(bare: pytest.Pytester) -> None:
    bare.makepyfile(test_it="".join(f"def test_{number}(): pass\n" for number in range(12)))
    seen: Counter[str] = Counter()
    for number, options in ((1, ()), (2, ("-n1",)), (3, ())):
        result = bare.runpytest_subprocess("-v", f"--dockwright-shard={number}/3", *options)
        result.stdout.fnmatch_lines(f"dockwright: shard {number} of 3, by hash, without costs")
        seen.update(
            re.findall(r"test_it.py::(\w+) PASSED|PASSED test_it.py::(\w+)", str(result.stdout))
        )
    assert len(seen) == 12
    assert set(seen.values()) == {1}


def test_shards_by_costs_name_the_file_and_its_hash(bare: pytest.Pytester) -> None:
    bare.makepyfile(test_it="def test_a(): pass\ndef test_b(): pass\n")
    costs = bare.path / "costs.json"
    costs.write_text(json.dumps({"test_it.py::test_a": 1.0, "test_it.py::test_b": 2.0}))
    result = bare.runpytest_subprocess("--dockwright-shard=1/2", "--dockwright-costs=costs.json")
    result.assert_outcomes(passed=1, deselected=1)
    [line] = [line for line in result.outlines if line.startswith("dockwright: shard ")]
    assert re.fullmatch(r"dockwright: shard 1 of 2, by costs in costs.json \([0-9a-f]{12}\)", line)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2", "expected NUMBER/COUNT, such as 2/5"),
        ("0/5", "expected a number from 1 to 5 before the slash"),
        ("6/5", "expected a number from 1 to 5 before the slash"),
        ("1/0", "expected a number from 1 to 1 before the slash"),
        ("a/b", "expected NUMBER/COUNT, such as 2/5"),
    ],
)
def test_a_wrong_shard_is_a_usage_error(bare: pytest.Pytester, text: str, reason: str) -> None:
    result = bare.runpytest_inprocess(f"--dockwright-shard={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(f"*command line: shard = '{text}': {reason}*")


def test_unreadable_costs_are_a_usage_error(bare: pytest.Pytester, tmp_path: Path) -> None:
    bare.makepyfile("def test_a(): pass")
    result = bare.runpytest_inprocess("--dockwright-shard=1/2", "--dockwright-costs=missing.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines("*cannot read the costs in *missing.json: No such file*")
