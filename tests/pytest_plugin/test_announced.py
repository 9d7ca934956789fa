"""Stacks that fixtures of a wider scope lease start while pytest gets ready, too."""

from __future__ import annotations

import pytest

from tests._support.suite import COMPOSE, Suite

pytestmark = pytest.mark.engine

RECORDER = """
    import pytest

    prepared = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(session):
        from dockwright.pytest_plugin.run import RUN
        prepared.extend(each.stack for each in session.config.stash[RUN].announced)

    @pytest.fixture(scope="session")
    def mail(stack_factory):
        with stack_factory.lease("mail") as stack:
            yield stack
"""

OTHER_FILE = """
    @pytest.fixture(scope="session")
    def docker_compose_file(pytestconfig):
        return pytestconfig.rootpath / "other.yaml"
"""


def test_the_stacks_of_stack_factory_are_known_from_the_last_run(suite: Suite) -> None:
    suite.compose("mail.yaml")
    suite.write("pytest.ini", "[pytest]\ndockwright_stacks = mail=mail.yaml\n")
    suite.write("conftest.py", RECORDER)
    for expected in ([], ["mail"]):
        suite.write(
            "test_mail.py",
            f"""
            from conftest import prepared

            def test_mail(mail):
                assert prepared == {expected}
            """,
        )
        suite.passes(passed=1)
    suite.write("test_mail.py", "import conftest\n\ndef test(): assert not conftest.prepared\n")
    suite.passes(passed=1)


def test_docker_services_is_announced_by_default_and_by_the_last_run(suite: Suite) -> None:
    suite.compose("tests/docker-compose.yml")
    suite.write("pytest.ini", "[pytest]\ndockwright_compat = pytest-docker\n")
    suite.write("conftest.py", RECORDER)
    test = "from conftest import prepared\n\ndef test_it(docker_services): assert prepared == {}\n"
    suite.write("test_it.py", test.format(["tests/docker-compose.yml"]))
    suite.passes(passed=1)
    suite.compose("other.yaml", COMPOSE)
    (suite.path / "tests/docker-compose.yml").unlink()
    suite.write("conftest.py", RECORDER + OTHER_FILE)
    for expected in ([], ["other.yaml"]):
        suite.write("test_it.py", test.format(expected))
        suite.passes(passed=1)
