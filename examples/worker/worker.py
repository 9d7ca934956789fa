"""Counts the words of the texts in the list `jobs`, one result a job; needs nothing but Python."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from typing import BinaryIO

Reply = bytes | int | list["Reply"] | None


class Queue:
    """One connection to Redis that speaks just enough of its protocol."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=5)
        self._socket.settimeout(None)  # waiting for a job may take for ever
        self._replies: BinaryIO = self._socket.makefile("rb")

    def call(self, *words: str) -> Reply:
        encoded = [word.encode() for word in words]
        parts = [b"*%d\r\n" % len(encoded)]
        parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded]
        self._socket.sendall(b"".join(parts))
        return self._reply()

    def _reply(self) -> Reply:
        line = self._replies.readline()
        if not line:
            raise ConnectionError("the queue has gone")
        kind, text = line[:1], line[1:-2]
        if kind == b"-":
            raise ValueError(text.decode())
        if kind == b"$":
            return None if text == b"-1" else self._replies.read(int(text) + 2)[:-2]
        if kind == b"*":
            return [self._reply() for _ in range(int(text))]
        return int(text) if kind == b":" else text


def count_words(job: bytes, number: int) -> dict[str, object]:
    """Return the result of one job; `number` counts what this worker has done since it started."""
    text = json.loads(job)["text"]
    return {"number": number, "words": len(text.split())}


def work(queue: Queue) -> None:
    number = 0
    while True:
        taken = queue.call("BLPOP", "jobs", "0")
        job = taken[1] if isinstance(taken, list) and isinstance(taken[1], bytes) else b""
        try:
            result = count_words(job, number + 1)
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            print(f"failed: {job!r}: {exc!r}", flush=True)
            queue.call("RPUSH", "failed", job.decode(errors="replace"))
        else:
            number += 1
            queue.call("INCR", "done")
            queue.call("RPUSH", "results", json.dumps(result))


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    queue = Queue(os.environ["QUEUE_ADDRESS"])
    print("waiting for jobs", flush=True)
    try:
        work(queue)
    except ConnectionError as exc:
        sys.exit(f"the worker ends: {exc}")


if __name__ == "__main__":
    main()
