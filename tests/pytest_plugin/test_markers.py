"""Markers and decorators say which stack a test gets, and whether to itself."""

from __future__ import annotations

import pytest

from dockwright.pytest_plugin.markers import requirement_of
from tests._support.engine.scratch import SCRATCH
from tests._support.suite import Suite, output


@pytest.mark.engine
def test_every_marker_gives_its_lease(suite: Suite) -> None:
    suite.write(
        "test_modes.py",
        """
        import pytest
        from dockwright import stateful, stateless

        seen = {}

        def put(stack, name):
            assert stack.exec("web", ["touch", f"/data/{name}"]).exit_code == 0

        def names(stack):
            return stack.exec("web", ["ls", "/data"]).stdout.split()

        @pytest.mark.stateless
        def test_reader(stack):
            assert names(stack) == ["www"]
            seen["reader"] = stack.project

        @stateless
        def test_second_reader_shares(stack):
            assert stack.project == seen["reader"]

        @pytest.mark.stateful
        def test_writer(stack):
            put(stack, "written")

        @stateful
        def test_next_writer_finds_the_baseline(stack):
            assert names(stack) == ["www"]
            put(stack, "written")

        def test_unmarked_is_stateful(stack):
            assert names(stack) == ["www"]
            put(stack, "written")

        @stateless
        class TestClosestWins:
            def test_class(self, stack):
                assert names(stack) == ["www"]
                seen["class"] = stack.project

            @stateful
            def test_function(self, stack):
                assert names(stack) == ["www"]
                put(stack, "written")

            @stateless
            def test_reader_after_it(self, stack):
                assert names(stack) == ["www"]
        """,
    )
    suite.write(
        "test_per_module.py",
        """
        import pytest
        from dockwright import module_cleanup, stateless

        pytestmark = module_cleanup
        seen = []

        def names(stack):
            return stack.exec("web", ["ls", "/data"]).stdout.split()

        def test_first(stack):
            assert names(stack) == ["www"]
            stack.exec("web", ["touch", "/data/mark"])
            seen.append(stack.project)

        def test_same_stack_and_state(stack):
            assert (stack.project, names(stack)) == (seen[0], ["mark", "www"])

        @stateless
        def test_closest_wins(stack):
            assert names(stack) == ["www"]
        """,
    )
    suite.write(
        "test_then.py",
        """
        def test_the_module_was_cleaned_up(stack):
            assert stack.exec("web", ["ls", "/data"]).stdout.split() == ["www"]
        """,
    )
    result = suite.passes(passed=12)
    # 5 readers and writers each, one lease for the two tests of the module.
    result.stdout.fnmatch_lines(["*started, 11 leases, *reset*"])


@pytest.mark.engine
def test_several_named_stacks(suite: Suite) -> None:
    suite.compose("mail.yaml")
    suite.write("pytest.ini", "[pytest]\ndockwright_stacks = mail=mail.yaml\n")
    suite.write(
        "test_named.py",
        """
        import pytest

        @pytest.mark.stack("mail")
        class TestMail:
            def test_named(self, stack):
                assert stack.name == "mail"

            @pytest.mark.stack("default")
            def test_closest_wins(self, stack):
                assert stack.name == "default"
        """,
    )
    suite.passes(passed=2)


THREE = f"""
services:
  web:
    image: {SCRATCH}
    command: [sleep, "3600"]
    stop_signal: SIGKILL
    depends_on: [db]
  db:
    image: {SCRATCH}
    command: [sleep, "3600"]
    stop_signal: SIGKILL
    volumes: ["data:/data"]
  mail:
    image: {SCRATCH}
    command: [sleep, "3600"]
    stop_signal: SIGKILL
    profiles: [mail]
volumes: {{data: {{}}}}
x-dockwright:
  processes:
    worker: {{command: [sleep, "3600"], depends_on: [db]}}
"""


@pytest.mark.engine
def test_a_test_can_start_only_some_services(suite: Suite) -> None:
    suite.compose(text=THREE)
    suite.write(
        "conftest.py",
        """
        def dockwright_seed(stack, name):
            assert (stack.name, name) == ("default", "default")
            stack.exec("db", ["touch", "/data/seeded"])
        """,
    )
    suite.write(
        "test_some.py",
        """
        import pytest

        @pytest.fixture(scope="session")
        def session_db(stack_factory):
            with stack_factory.lease(services=["db"]) as stack:
                yield stack

        @pytest.mark.stack(services=["web"])
        def test_with_what_it_depends_on(stack):
            assert set(stack.services) == {"web", "db"}
            assert stack.exec("db", ["ls", "/data"]).stdout == "seeded\\n"
            assert stack.name == "default"

        @pytest.mark.stack(services=["worker"])
        def test_a_native_process(stack):
            assert set(stack.services) == {"db", "worker"}

        def test_by_a_fixture(session_db):
            assert session_db.services == ("db",)
        """,
    )
    suite.passes(passed=3)


@pytest.mark.engine
def test_a_service_that_does_not_exist_is_named(suite: Suite) -> None:
    suite.compose(text=THREE)
    suite.write(
        "test_wrong.py",
        """
        import pytest

        @pytest.mark.stack(services=["webb"])
        def test_it(stack): pass
        """,
    )
    result = suite.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "*compose.yaml: no service 'webb' is declared",
            "*hint: the services are: web, db, worker",
        ]
    )


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ("@pytest.mark.stack(services=['b', 'a', 'b'])", "default[a,b]"),
        ("@pytest.mark.stack('mail', services=('a',))", "mail[a]"),
    ],
)
def test_a_selection_has_a_name_of_its_own(
    pytester: pytest.Pytester, marks: str, expected: str
) -> None:
    item = pytester.getitem(f"import pytest\n{marks}\ndef test_func(): pass")
    assert requirement_of(item).stack == expected


def test_a_closer_marker_selects_services_of_a_stack_named_further_out(
    pytester: pytest.Pytester,
) -> None:
    items = pytester.getitems(
        """
        import pytest

        pytestmark = pytest.mark.stack("mail", services=["a"])

        def test_module(): pass

        @pytest.mark.stack(services=["b"])
        def test_other_services(): pass

        @pytest.mark.stack("shop")
        def test_all_of_another_stack(): pass
        """
    )
    assert [requirement_of(item).stack for item in items] == ["mail[a]", "mail[b]", "shop"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param(
            "@pytest.mark.stateless\n@pytest.mark.stateful\ndef test_it(stack): pass",
            "test_wrong.py::test_it: is marked stateless and stateful at once",
            id="both at once",
        ),
        pytest.param(
            "@pytest.mark.module_cleanup\n@pytest.mark.stateless\nclass TestIt:\n"
            "    def test_it(self, stack): pass",
            "test_wrong.py::TestIt::test_it: is marked stateless and module_cleanup at once",
            id="both on a class",
        ),
        pytest.param(
            "@pytest.mark.stateless('mail')\ndef test_it(stack): pass",
            "test_wrong.py::test_it: the stateless marker takes no arguments*mark.stack('mail')",
            id="a name in the wrong marker",
        ),
        pytest.param(
            "@pytest.mark.stateful(reset='none')\ndef test_it(stack): pass",
            "test_wrong.py::test_it: the stateful marker takes no arguments*reset: ...",
            id="an option in the wrong place",
        ),
        pytest.param(
            "@pytest.mark.stack('mial')\ndef test_it(stack): pass",
            "test_wrong.py::test_it: no stack 'mial' is declared*the stacks are: default, mail",
            id="unknown stack",
        ),
        pytest.param(
            "@pytest.mark.stack\ndef test_it(stack): pass",
            "test_wrong.py::test_it: the stack marker takes one name",
            id="no name",
        ),
        pytest.param(
            "@pytest.mark.stack('a', 'b')\ndef test_it(stack): pass",
            "test_wrong.py::test_it: the stack marker takes one name",
            id="two names",
        ),
        pytest.param(
            "@pytest.mark.stack(7)\ndef test_it(stack): pass",
            "test_wrong.py::test_it: the stack marker takes one name",
            id="not a name",
        ),
        pytest.param(
            "@pytest.mark.stack()\ndef test_it(stack): pass",
            "test_wrong.py::test_it: the stack marker takes one name, and services",
            id="nothing",
        ),
        pytest.param(
            "@pytest.mark.stack('mail', service=['web'])\ndef test_it(stack): pass",
            "test_wrong.py::test_it: the stack marker takes one name, and services*"
            "@pytest.mark.stack(services=['web'])",
            id="a misspelt argument",
        ),
        pytest.param(
            "@pytest.mark.stack(services='web')\ndef test_it(stack): pass",
            "test_wrong.py::test_it: the stack marker: services must be a list of names, not 'web'*"
            "write services=['db', 'web']",
            id="services as a text",
        ),
        pytest.param(
            "@pytest.mark.stack(services=[])\ndef test_it(stack): pass",
            "test_wrong.py::test_it: the stack marker: services is empty*"
            "or leave it out to start all services",
            id="no services",
        ),
        pytest.param(
            "@pytest.mark.stack(services=['web,db'])\ndef test_it(stack): pass",
            "the stack marker: 'web,db' in services is not the name of a service",
            id="two services in one text",
        ),
        pytest.param(
            "@pytest.mark.stack(services=[None])\ndef test_it(stack): pass",
            "the stack marker: None in services is not the name of a service",
            id="not a name of a service",
        ),
        pytest.param(
            "pytestmark = pytest.mark.stack('mail', services='web')\n"
            "@pytest.mark.stack(services=['web'])\ndef test_it(stack): pass",
            "the stack marker: services must be a list of names, not 'web'",
            id="wrong services on the module",
        ),
        pytest.param(
            "@pytest.mark.stack('mial', services=['web'])\ndef test_it(stack): pass",
            "test_wrong.py::test_it: no stack 'mial' is declared*the stacks are: default, mail",
            id="services of an unknown stack",
        ),
    ],
)
def test_misused_markers_name_the_test(bare: pytest.Pytester, source: str, said: str) -> None:
    bare.makeini("[pytest]\ndockwright_stacks = mail=mail.yaml\n")
    bare.makepyfile(test_wrong=f"import pytest\n{source}\n")
    result = bare.runpytest_inprocess("-p", "no:randomly")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = output(result)
    for part in said.split("*"):
        assert part in text
    assert "Traceback" not in text


def test_markers_are_registered(bare: pytest.Pytester) -> None:
    result = bare.runpytest_inprocess("--markers")
    result.stdout.fnmatch_lines(
        [
            "@pytest.mark.stateless: only reads*",
            "@pytest.mark.stateful: changes state*",
            "@pytest.mark.module_cleanup: *",
            "@pytest.mark.stack(name, services): *",
        ]
    )


def note_demands(bare: pytest.Pytester) -> None:
    """Let each process of a run write what it prepares into the file `announced`."""
    bare.makeconftest(
        f"""
        from dockwright.pool.session import RunSession

        def prepare(self, demand):
            with open({str(bare.path / "announced")!r}, "a") as announced:
                print(demand, file=announced)

        RunSession.prepare = prepare
        """
    )


@pytest.mark.parametrize(("processes", "share"), [("0", 5), ("2", 3)])
def test_each_process_announces_its_share_of_the_leases(
    bare: pytest.Pytester, processes: str, share: int
) -> None:
    note_demands(bare)
    bare.makepyfile(
        """
        import pytest
        pytestmark = pytest.mark.skip

        @pytest.mark.parametrize("number", range(5))
        def test_writer(stack, number): pass

        @pytest.mark.stateless
        def test_reader(stack): pass
        """
    )
    bare.runpytest_subprocess("-n", processes).assert_outcomes(skipped=6)
    announced = set((bare.path / "announced").read_text().splitlines())
    announced.discard("{'default': 0}")  # a later process starts ahead what an earlier one needs
    assert announced == {f"{{'default': {share}}}"}


def test_selected_services_are_announced_and_started_ahead_by_the_next_run(
    bare: pytest.Pytester,
) -> None:
    note_demands(bare)
    bare.makepyfile(
        """
        import pytest
        pytestmark = [pytest.mark.skip, pytest.mark.stack(services=["db"])]

        def test_writer(stack): pass
        """
    )
    for _ in range(2):
        bare.runpytest_subprocess().assert_outcomes(skipped=1)
    announced = (bare.path / "announced").read_text().splitlines()
    assert announced == ["{'default[db]': 1}", "{'default[db]': 0}", "{'default[db]': 1}"]
