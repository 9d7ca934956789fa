"""Fixtures of any scope lease stacks of their own."""

from __future__ import annotations

import pytest

from tests._support.suite import Suite, output

pytestmark = pytest.mark.engine


def test_fixtures_of_all_scopes_lease_stacks(suite: Suite) -> None:
    suite.compose("mail.yaml")
    suite.write("pytest.ini", "[pytest]\ndockwright_stacks = mail=mail.yaml\n")
    suite.write(
        "conftest.py",
        """
        import pytest

        @pytest.fixture(scope="session")
        def mail(stack_factory):
            with stack_factory.lease("mail", exclusive=False) as stack:
                yield stack

        @pytest.fixture(scope="module")
        def own(stack_factory):
            with stack_factory.lease() as stack:
                yield stack

        @pytest.fixture(scope="class")
        def by_hand(stack_factory):
            lease = stack_factory.lease("mail", exclusive=False)
            yield lease
            lease.close()
            lease.close()  # harmless
        """,
    )
    for module in ("test_one", "test_two"):
        suite.write(
            f"{module}.py",
            """
            import pytest
            from dockwright.errors import LeaseClosedError, UnknownServiceError

            def names(stack):
                return stack.exec("web", ["ls", "/data"]).stdout.split()

            def test_writes(own, mail):
                assert (mail.name, own.name) == ("mail", "default")
                assert names(own) == ["www"]
                own.exec("web", ["touch", "/data/mark"])

            def test_sees_it(own, stack):
                # The test has a second stack to itself, beside its fixture's.
                assert stack.project != own.project
                assert (names(own), names(stack)) == (["mark", "www"], ["www"])

            class TestByHand:
                def test_shared(self, by_hand, mail):
                    assert by_hand.stack.project == mail.project
                    assert "lease of by_hand (conftest.py:" in repr(by_hand)

            def test_misuse(stack_factory):
                with pytest.raises(UnknownServiceError, match="the stacks are: default, mail"):
                    stack_factory.lease("mial")
                with stack_factory.lease("mail", exclusive=False) as stack:
                    held = stack
                with pytest.raises(LeaseClosedError, match="test_misuse"):
                    held.url("web", 8000)
                lease = stack_factory.lease("mail", exclusive=False)
                lease.close()
                with pytest.raises(LeaseClosedError, match="after it was closed"):
                    lease.stack
            """,
        )
    # One copy is allowed, three leases are held at once: that must not end in a deadlock.
    suite.passes("--dockwright-max-stacks", "1", passed=8)


def test_workers_that_hold_all_stacks_and_want_more_are_served(suite: Suite) -> None:
    suite.write(
        "test_it.py",
        """
        import pytest

        @pytest.fixture(scope="session")
        def own(stack_factory):
            with stack_factory.lease() as stack:
                yield stack

        @pytest.mark.parametrize("number", range(4))
        def test_it(own, stack, number):
            assert stack.project != own.project
        """,
    )
    suite.passes("-n", "2", "--dockwright-max-stacks", "2", passed=4)


def test_a_lease_left_open_is_closed_with_a_warning(suite: Suite) -> None:
    suite.write(
        "test_it.py",
        """
        import pytest

        @pytest.fixture(scope="module")
        def leaky(stack_factory):
            return stack_factory.lease(exclusive=False).stack

        def test_it(leaky):
            assert leaky.services == ("web",)
            leaky.exec("web", ["sh", "-c", "echo last words > /proc/1/fd/1"])
            assert False
        """,
    )
    result = suite.passes(failed=1, warnings=1)
    assert "the lease of leaky (test_it.py:5) was never closed" in output(result)
    result.stdout.fnmatch_lines(["*log of web since the test began*", "last words"])
