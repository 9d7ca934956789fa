"""A suite that does not use dockwright, in an environment where it is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests._support.suite import output

NAMES = (
    "artifacts",
    "backup_dir",
    "client",
    "compose",
    "config_dir",
    "container",
    "database",
    "db",
    "docker_client",
    "docker_compose_file",
    "docker_ip",
    "docker_services",
    "engine",
    "lease",
    "network",
    "pool",
    "services",
    "session",
    "stack",
    "stack_factory",
    "stack_services",
    "stack_urls",
)

BROKEN = "services: [this is: no Compose file\n"


def assert_untouched(result: pytest.RunResult, state: Path) -> None:
    """Check that a run printed nothing of dockwright and kept nothing on disk."""
    lines = [line for line in output(result).splitlines() if not line.startswith("plugins: ")]
    assert "dockwright" not in "\n".join(lines)
    assert not state.exists()


@pytest.fixture
def bystander(bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A directory with a broken Compose file, and an engine that does not exist."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{bare.path}/no-engine.sock")
    (bare.path / "compose.yaml").write_text(BROKEN)
    return bare


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.runpytest_subprocess("-p", "no:randomly", "-p", "no:cacheprovider", *arguments)


def test_fixtures_with_the_names_of_ours(bystander: pytest.Pytester) -> None:
    for directory in ("conftest", "module"):
        (bystander.path / directory).mkdir()
    fixtures = "import pytest\n" + "".join(
        f"@pytest.fixture\ndef {name}():\n    return 'own {name}'\n" for name in NAMES
    )
    tests = "".join(
        f"def test_{name}({name}):\n    assert {name} == 'own {name}'\n" for name in NAMES
    )
    (bystander.path / "conftest/conftest.py").write_text(fixtures)
    (bystander.path / "conftest/test_from_conftest.py").write_text(tests)
    (bystander.path / "module/test_in_module.py").write_text(fixtures + tests)

    result = run(bystander)

    result.assert_outcomes(passed=2 * len(NAMES))
    assert_untouched(result, bystander.path / "state")


def test_parameters_classes_and_doctests_with_the_name_stack(bystander: pytest.Pytester) -> None:
    bystander.makepyfile(
        '''
        import unittest

        import pytest

        @pytest.mark.parametrize("stack", [[], [1]])
        def test_parameter(stack):
            """Push.

            >>> stack = [1]
            >>> stack.pop()
            1
            """
            stack.append(2)

        class TestOwn:
            @pytest.fixture(params=["a", "b"])
            def stack(self, request):
                return request.param

            def test_method(self, stack):
                assert stack in "ab"

        class TestCase(unittest.TestCase):
            stack = ()

            def test_it(self):
                assert self.stack == ()
        '''
    )
    result = run(bystander, "--doctest-modules")
    result.assert_outcomes(passed=6)
    assert_untouched(result, bystander.path / "state")


def test_markers_with_the_names_of_ours(bystander: pytest.Pytester) -> None:
    bystander.makepyfile(
        """
        import pytest

        pytestmark = [pytest.mark.stack("web", "db", layer=2), pytest.mark.stateless(True)]

        @pytest.mark.stateful
        @pytest.mark.stateless
        def test_it(): pass
        """
    )
    result = run(bystander)
    result.assert_outcomes(passed=1)
    assert_untouched(result, bystander.path / "state")


def test_a_fixture_that_extends_ours_counts(bystander: pytest.Pytester) -> None:
    bystander.makepyfile(
        """
        import pytest

        @pytest.fixture
        def stack(stack):
            return stack

        def test_it(stack): pass
        """
    )
    result = run(bystander)
    result.assert_outcomes(errors=1)
    assert "no-engine.sock" in output(result) or "compose.yaml" in output(result)
