"""Where services are reached, and what is told where they are not."""

from __future__ import annotations

import pytest

from dockwright.errors import StackError
from tests.stack.conftest import StackMaker

pytestmark = pytest.mark.engine

SLEEPER = "image: IMAGE, command: [sleep, '600']"


def test_the_error_says_that_a_service_has_ended(make_stack: StackMaker) -> None:
    stack = make_stack(f"services: {{web: {{{SLEEPER}, ports: ['8000']}}}}")
    stack.start()
    stack.kill(["web"])
    with pytest.raises(StackError) as caught:
        stack.address("web", 8000)
    assert "service web does not run: it exited with code 137" in str(caught.value)
    assert 'stack.logs("web") shows why' in str(caught.value)


def test_copies_with_a_fixed_address_live_side_by_side(make_stack: StackMaker) -> None:
    text = f"""
services:
  web: {{{SLEEPER}, networks: {{inner: {{ipv4_address: 10.213.7.10}}}}}}
networks:
  inner: {{ipam: {{config: [{{subnet: 10.213.7.0/24}}]}}}}
"""
    for _ in range(2):
        stack = make_stack(text)
        stack.start()
        shown = stack.exec("web", ["cat", "/proc/net/fib_trie"])
        assert shown.exit_code == 0
        assert "10.213.7." not in shown.stdout
