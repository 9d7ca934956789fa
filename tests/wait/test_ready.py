"""Ready conditions as they stand in a Compose file."""

from __future__ import annotations

import pytest

from dockwright.errors import ComposeError
from dockwright.model import Json
from dockwright.wait import (
    AllOf,
    AnyOf,
    Exec,
    Exited,
    File,
    FileDeleted,
    Healthy,
    Http,
    Log,
    Running,
    Tcp,
    WaitCondition,
    parse_ready,
)


@pytest.mark.parametrize(
    ("ready", "strategy"),
    [
        ({"tcp": 8080}, Tcp(8080)),
        ({"tcp": {"port": 8080, "host": "::1"}}, Tcp(8080, host="::1")),
        ({"http": "http://127.0.0.1:8000/health"}, Http("http://127.0.0.1:8000/health")),
        (
            {
                "http": {
                    "url": "/health",
                    "port": 8000,
                    "method": "POST",
                    "headers": {"A": "b"},
                    "body": "x",
                    "status": 204,
                    "answer": "ok",
                    "tls": True,
                    "verify": False,
                    "attempt_s": 1.5,
                }
            },
            Http(
                "/health",
                port=8000,
                method="POST",
                headers={"A": "b"},
                body=b"x",
                status=204,
                answer="ok",
                tls=True,
                verify=False,
                attempt_s=1.5,
            ),
        ),
        ({"log": "listening"}, Log("listening")),
        (
            {"log": {"pattern": "tick", "times": 2, "stream": "stderr"}},
            Log("tick", times=2, stream="stderr"),
        ),
        ({"exec": "test -f x"}, Exec("test -f x")),
        ({"exec": ["test", "-f", "x"]}, Exec(("test", "-f", "x"))),
        ({"exec": {"argv": ("a", "b"), "code": 3}}, Exec(("a", "b"), code=3)),
        ({"file": "run/ready"}, File("run/ready")),
        ({"file_deleted": "run/lock"}, FileDeleted("run/lock")),
        ({"exited": None}, Exited(0)),
        ({"exited": 3}, Exited(3)),
        ({"running": True}, Running()),
        ("running", Running()),
        ("healthy", Healthy()),
        ({"all_of": [{"tcp": 1}, {"log": "x"}]}, AllOf((Tcp(1), Log("x")))),
        ({"any_of": ({"tcp": 1}, "healthy")}, AnyOf((Tcp(1), Healthy()))),
    ],
)
def test_a_declared_condition_becomes_a_strategy(ready: Json, strategy: WaitCondition) -> None:
    assert parse_ready(ready, "x.ready") == strategy


@pytest.mark.parametrize(
    ("ready", "message"),
    [
        ({}, "x.ready: a ready condition is a mapping with one key"),
        ({"tcp": 1, "log": "x"}, "x.ready: a ready condition is a mapping with one key"),
        ("soon", "x.ready: a ready condition is a mapping with one key"),
        ([{"tcp": 1}], "x.ready: a ready condition is a mapping with one key"),
        (
            {"htpp": "http://x/"},
            "x.ready.htpp: unknown ready condition; the conditions are: healthy, running, exited, "
            "log, http, tcp, exec, file, file_deleted, all_of, any_of",
        ),
        ({"tcp": "8080"}, "x.ready.tcp: port must be a whole number, not '8080'"),
        ({"tcp": True}, "x.ready.tcp: port must be a whole number, not True"),
        ({"tcp": 0}, "x.ready.tcp: a port is a number from 1 to 65535, not 0"),
        ({"tcp": None}, "x.ready.tcp: the option port is required"),
        (
            {"tcp": {"prot": 1}},
            "x.ready.tcp: unknown option prot; the options are: port, host, attempt_s",
        ),
        ({"http": "localhost:80"}, "x.ready.http: 'localhost:80' is neither a path nor an http://"),
        ({"http": {"url": "/"}}, "x.ready.http: the path / needs a port, or use a complete URL"),
        (
            {"http": {"url": "http://x/", "headers": ["a"]}},
            "x.ready.http: headers must be a mapping, not ['a']",
        ),
        ({"log": "("}, "x.ready.log: '(' is not a regular expression: "),
        (
            {"log": {"pattern": "x", "stream": "out"}},
            "x.ready.log: a stream is stdout or stderr, not 'out'",
        ),
        ({"exec": []}, "x.ready.exec: the command is empty"),
        ({"exec": 3}, "x.ready.exec: argv must be a text or a list, not 3"),
        ({"running": 3}, "x.ready.running: it takes no options, not 3"),
        ({"healthy": {"a": 1}}, "x.ready.healthy: unknown option a; the options are: none"),
        ({"all_of": []}, "x.ready.all_of: a list of conditions is required"),
        ({"any_of": {"tcp": 1}}, "x.ready.any_of: a list of conditions is required"),
        (
            {"all_of": [{"tcp": 1}, {"tcp": 0}]},
            "x.ready.all_of[1].tcp: a port is a number from 1 to 65535, not 0",
        ),
    ],
)
def test_the_error_for_a_wrong_condition_names_its_place(ready: Json, message: str) -> None:
    with pytest.raises(ComposeError) as caught:
        parse_ready(ready, "x.ready")
    assert caught.value.message.startswith(message)
    assert caught.value.path is not None
