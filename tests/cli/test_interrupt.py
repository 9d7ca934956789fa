"""Ctrl-C while a command works: what is under way ends first."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from dockwright.cli.errors import interruptible


def test_a_signal_during_a_start_ends_its_work() -> None:
    for _ in range(50):
        cancelled, ended = threading.Event(), threading.Event()

        def work(cancelled: threading.Event = cancelled, ended: threading.Event = ended) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            cancelled.wait()
            ended.set()

        with pytest.raises(KeyboardInterrupt):
            interruptible(work, cancelled.set, doing="ending")
        assert ended.is_set()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_result_is_returned() -> None:
    assert interruptible(lambda: 7, lambda: None, doing="ending") == 7
