"""One copy of a stack on a real engine."""

from __future__ import annotations

import gc
import sys
import time
import urllib.request
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from dockwright.engine import Engine, current_owner
from dockwright.errors import (
    ComposeError,
    ConflictError,
    ImageMissingError,
    NoSuchObjectError,
    PortInUseError,
    StackError,
    UnknownServiceError,
)
from dockwright.model import Ownership, ProcessSpec
from dockwright.stack import Identity, NativeProcess, Stack, StartProgress, UnitEvent, statuses
from tests._support.owned import leftovers
from tests.stack.conftest import StackMaker

pytestmark = pytest.mark.engine

SERVER = """
    image: IMAGE
    command: ["sh", "-c", "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 8000 -h /www"]
    healthcheck: {test: ["CMD", "wget", "-q", "-O", "-", "http://127.0.0.1:8000/"], interval: 30s}
"""
SLEEPER = 'image: IMAGE, command: ["sh", "-c", "while :; do sleep 0.1; done"]'


def test_a_started_stack_is_ready_and_answers(make_stack: StackMaker) -> None:
    stack = make_stack(f"services:\n  web:{SERVER}    ports: ['8000:8000']\n")
    began = time.monotonic()
    stack.start()
    elapsed_s = time.monotonic() - began
    with urllib.request.urlopen(f"http://{stack.address('web', 8000)}/", timeout=5) as answer:
        assert answer.read() == b"hello\n"
    # The declared interval is 30 s: whoever waits for the engine's own check is not here yet.
    assert elapsed_s < 20


def test_a_declared_ready_condition_replaces_the_health_check(make_stack: StackMaker) -> None:
    service = SERVER.replace(
        '["CMD", "wget", "-q", "-O", "-", "http://127.0.0.1:8000/"]', '"false"'
    )
    stack = make_stack(
        f"services:\n  web:{service}    x-dockwright: {{ready: {{http: {{port: 8000, url: /}}}}}}\n"
    )
    stack.start()
    with urllib.request.urlopen(f"http://{stack.address('web', 8000)}/", timeout=5) as answer:
        assert answer.status == 200


def test_copies_of_one_stack_live_side_by_side(make_stack: StackMaker) -> None:
    text = f"services:\n  web:{SERVER}    ports: ['8000:8000']\n    container_name: fixed\n"
    one, two = make_stack(text), make_stack(text)
    one.start()
    two.start()
    assert one.address("web", 8000) != two.address("web", 8000)
    assert one.exec("web", ["touch", "/mark"]).exit_code == 0
    assert two.exec("web", ["ls", "/mark"]).exit_code != 0


def test_a_unit_starts_after_what_it_depends_on(make_stack: StackMaker) -> None:
    stack = make_stack(
        f"""
services:
  app: {{{SLEEPER}, depends_on: {{seed: {{condition: service_completed_successfully}}}}}}
  seed:
    image: IMAGE
    command: ["sh", "-c", "wget -q -O /shared/page http://web:8000/"]
    volumes: ["shared:/shared"]
    depends_on: {{web: {{condition: service_healthy}}}}
  web:{SERVER}
volumes: {{shared: }}
"""
    )
    events: list[UnitEvent] = []
    stack.start(listener=events.append)
    ready = [event.unit for event in events if event.state == "ready"]
    assert ready == ["web", "seed", "app"]


def test_a_container_that_exits_fails_the_start_with_its_last_log_lines(
    make_stack: StackMaker,
) -> None:
    stack = make_stack(
        """
services:
  db:
    image: IMAGE
    command: ["sh", "-c", "echo starting; echo disk is on fire >&2; exit 7"]
    healthcheck: {test: ["CMD", "false"]}
"""
    )
    with pytest.raises(StackError) as caught:
        stack.start()
    assert "db" in str(caught.value)
    assert "exited with code 7" in str(caught.value)
    assert "disk is on fire" in str(caught.value)


def test_the_error_for_an_unhealthy_stack_says_what_was_seen(make_stack: StackMaker) -> None:
    stack = make_stack(
        f"services: {{db: {{{SLEEPER}, healthcheck: {{test: 'echo not yet; exit 1'}}}}}}",
        ready_timeout_s=1.0,
    )
    with pytest.raises(StackError) as caught:
        stack.start()
    assert "waited 1.0 s" in str(caught.value)
    assert "not yet" in str(caught.value)


def test_the_error_for_a_missing_image_names_the_service(make_stack: StackMaker) -> None:
    stack = make_stack(
        "services: {web: {image: 'dockwright.invalid/no/such:image', pull_policy: never}}"
    )
    with pytest.raises(ImageMissingError) as caught:
        stack.start()
    assert "service web" in str(caught.value)
    assert "dockwright.invalid/no/such:image" in str(caught.value)


def test_the_error_for_a_used_port_has_its_number(make_stack: StackMaker, unique_name: str) -> None:
    text = f"services: {{a: {{{SLEEPER}, ports: ['127.0.0.1:28761:80']}}}}\n"
    make_stack(f"{text}name: {unique_name}-first", isolated=False).start()
    with pytest.raises(PortInUseError) as caught:
        make_stack(f"{text}name: {unique_name}-second", isolated=False).start()
    assert "28761" in str(caught.value)


def test_a_restarted_service_is_ready_and_its_new_port_is_known(make_stack: StackMaker) -> None:
    stack = make_stack(f"services:\n  web:{SERVER}    ports: ['8000']\n")
    stack.start()
    stack.address("web", 8000)
    stack.restart(["web"])
    with urllib.request.urlopen(f"http://{stack.address('web', 8000)}/", timeout=5) as answer:
        assert answer.status == 200


def test_a_stopped_service_can_be_started_again(make_stack: StackMaker) -> None:
    stack = make_stack(f"services: {{box: {{{SLEEPER}, stop_grace_period: 0s}}}}")
    stack.start()
    stack.stop(["box"])
    assert [status.state for status in statuses(stack)] == ["exited"]
    stack.start(["box"])
    assert [status.state for status in statuses(stack)] == ["running"]


def test_a_recreated_service_has_empty_volumes_and_a_clean_container(
    make_stack: StackMaker,
) -> None:
    stack = make_stack(
        f"services: {{box: {{{SLEEPER}, volumes: ['data:/data', '/anonymous']}}}}\n"
        "volumes: {data: }"
    )
    stack.start()
    for path in ("/data/x", "/anonymous/x", "/x"):
        assert stack.exec("box", ["touch", path]).exit_code == 0
    stack.recreate(["box"])
    assert stack.exec("box", ["ls", "/data", "/anonymous"]).stdout == "/anonymous:\n\n/data:\n"
    assert stack.exec("box", ["ls", "/x"]).exit_code != 0


def test_removal_never_waits_for_a_stop_grace(make_stack: StackMaker, engine: Engine) -> None:
    stack = make_stack(
        "services: {stubborn: {image: IMAGE, stop_grace_period: 60s, "
        'command: ["sh", "-c", "trap : TERM; while :; do sleep 1; done"]}}'
    )
    stack.start()
    container = stack.container("stubborn")
    stack.remove()
    with pytest.raises(NoSuchObjectError):
        engine.inspect_container(container)


def test_configs_and_secrets_are_in_the_container(
    make_stack: StackMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key.txt").write_text("from a file")
    monkeypatch.setenv("DW_TEST_SECRET", "from the environment")
    stack = make_stack(
        f"""
services:
  box: {{{SLEEPER}, secrets: [key, token], configs: [{{source: text, target: /etc/app.conf}}]}}
secrets:
  key: {{file: ./key.txt}}
  token: {{environment: DW_TEST_SECRET}}
configs:
  text: {{content: "a = 1"}}
"""
    )
    stack.start()
    paths = ["/run/secrets/key", "/run/secrets/token", "/etc/app.conf"]
    texts = [stack.exec("box", ["cat", path]).stdout for path in paths]
    assert texts == ["from a file", "from the environment", "a = 1"]


def test_a_process_runs_beside_the_containers_and_knows_their_addresses(
    make_stack: StackMaker,
) -> None:
    script = (
        "import os, sys, urllib.request, http.server\n"
        "print(urllib.request.urlopen(os.environ['PAGE']).read(), flush=True)\n"
        "http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), "
        "bind='127.0.0.1')\n"
    )
    stack = make_stack(
        f"services:\n  web:{SERVER}    ports: ['8000']\n"
        f"""
x-dockwright:
  processes:
    helper:
      command: [{sys.executable}, -c, {script!r}, "{{self.port:9000}}"]
      environment: {{PAGE: "{{web.url:8000}}/"}}
      depends_on: {{web: {{condition: service_healthy}}}}
      ready: {{tcp: 9000}}
"""
    )
    stack.start()
    assert stack.last_lines("helper", 10)[0] == "b'hello\\n'"
    with urllib.request.urlopen(f"http://{stack.address('helper', 9000)}/", timeout=5) as answer:
        assert answer.status == 200
    process = stack.processes["helper"]
    assert process.running
    stack.remove()
    assert not process.running


def test_a_process_that_outlives_its_object_causes_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", raised.append)
    ownership = Ownership("none", "test", "default", current_owner(), time.time(), "0")
    spec = ProcessSpec("helper", ("sleep", "600"), {}, tmp_path)
    process = NativeProcess(spec, Identity("none", ownership), tmp_path / "log", "")
    process.start(spec.command, {})
    assert process.pid is not None
    outliving = psutil.Process(process.pid)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del process
        gc.collect()
    assert outliving.is_running()
    outliving.kill()
    assert raised == []


def test_a_job_that_is_done_does_not_fail_the_start(make_stack: StackMaker) -> None:
    stack = make_stack("services: {job: {image: IMAGE, command: ['true']}}")
    stack.start()
    assert statuses(stack)[0].name == "job"


def test_a_job_that_fails_fails_the_start(make_stack: StackMaker) -> None:
    stack = make_stack(
        "services: {job: {image: IMAGE, command: [sh, -c, 'exit 5']}, app: {image: IMAGE, "
        "command: ['true'], depends_on: {job: {condition: service_completed_successfully}}}}"
    )
    with pytest.raises(StackError, match="exited with code 5"):
        stack.start()


def test_a_service_without_a_health_check_is_not_said_to_be_awaited_for_its_health(
    make_stack: StackMaker,
) -> None:
    stack = make_stack("services: {web: {image: IMAGE, command: [sh, -c, 'exit 5'], expose: [80]}}")
    with pytest.raises(StackError, match=r"waiting for web to be ready after .*exited with code 5"):
        stack.start()


def test_a_stack_without_an_enabled_service_is_not_said_to_be_ready(
    make_stack: StackMaker,
) -> None:
    stack = make_stack("services: {web: {image: IMAGE, profiles: [more]}}")
    with pytest.raises(ComposeError, match="has nothing to start: no service is enabled"):
        stack.start()


def test_a_process_that_ends_while_awaited_fails_the_start(make_stack: StackMaker) -> None:
    stack = make_stack(
        f"""
services: {{box: {{{SLEEPER}}}}}
x-dockwright:
  processes:
    helper:
      command: [{sys.executable}, -c, "print('no config', flush=True); raise SystemExit(4)"]
      ready: {{log: listening}}
"""
    )
    with pytest.raises(StackError) as caught:
        stack.start()
    assert "helper" in str(caught.value)
    assert "exited with code 4" in str(caught.value)
    assert "no config" in str(caught.value)


def test_a_missing_command_is_reported(make_stack: StackMaker) -> None:
    stack = make_stack(
        f"""
services: {{box: {{{SLEEPER}}}}}
x-dockwright: {{processes: {{helper: {{command: [/no/such/program]}}}}}}
"""
    )
    with pytest.raises(StackError) as caught:
        stack.start()
    assert "process helper: cannot start '/no/such/program'" in str(caught.value)
    assert "x-dockwright.processes.helper.command" in str(caught.value)


def test_unknown_names_list_the_known_ones(make_stack: StackMaker) -> None:
    stack = make_stack(f"services: {{box: {{{SLEEPER}}}}}")
    with pytest.raises(UnknownServiceError) as caught:
        stack.address("bix", 80)
    assert "no service 'bix'" in str(caught.value)
    assert "the services are: box" in str(caught.value)
    with pytest.raises(NoSuchObjectError, match="has no container"):
        stack.exec("box", ["true"])


@pytest.mark.parametrize("command", ["ls -l /", [], ""])
def test_a_command_is_a_list_of_words(make_stack: StackMaker, command: Sequence[str]) -> None:
    stack = make_stack(f"services: {{box: {{{SLEEPER}}}}}")
    with pytest.raises(TypeError, match=r"a command is a list of words, such as \['ls', '-l'\]"):
        stack.exec("box", command)


def test_a_number_of_lines_is_a_number(make_stack: StackMaker) -> None:
    stack = make_stack(f"services: {{box: {{{SLEEPER}}}}}")
    with pytest.raises(TypeError, match="the number of lines is a whole number, not 'all'"):
        stack.last_lines("box", "all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the number of lines is 0 or more, not -1"):
        stack.last_lines("box", -1)


def test_a_command_in_a_stopped_service_says_so(make_stack: StackMaker) -> None:
    stack = make_stack(f"services: {{box: {{{SLEEPER}}}}}")
    stack.start()
    stack.kill(["box"])
    with pytest.raises(ConflictError) as caught:
        stack.exec("box", ["true"])
    assert caught.value.message.startswith("service box: cannot exec in container ")
    assert caught.value.message.endswith("is not running")
    assert stack.containers["box"] not in caught.value.message
    assert caught.value.hint
    assert 'stack.start("box") starts it' in caught.value.hint


def test_another_process_finds_a_running_stack_by_its_labels(make_stack: StackMaker) -> None:
    text = f"services: {{box: {{{SLEEPER}}}}}"
    stack = make_stack(text)
    stack.start()
    other = make_stack(text)
    other.identity = stack.identity
    assert other.attach().exec("box", ["echo", "hi"]).stdout == "hi\n"


def test_without_a_health_check_a_service_is_ready_once_it_listens(make_stack: StackMaker) -> None:
    late = 'command: ["sh", "-c", "sleep 0.7; exec httpd -f -p 8000 -h /bin"]'
    stack = make_stack(
        f"services:\n  web:\n    image: IMAGE\n    {late}\n    ports: ['8000:8000']\n"
    )
    stack.start()
    address = stack.address("web", 8000)
    with urllib.request.urlopen(f"http://{address}/busybox", timeout=5) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("service", "top", "message"),
    [
        ("configs: [c]", "configs: {c: {external: true}}", "configs.c: external config 'c' needs"),
        ("secrets: [s]", "secrets: {s: {external: true}}", "secrets.s: external secret 's' needs"),
        (
            "build: 'https://example.com/x/y.git#main'",
            "",
            "services.web.build.context: the build context https://example.com/x/y.git#main is on",
        ),
        ("build: {context: 'git@example.com:x/y.git'}", "", "context git@example.com:x/y.git is"),
        (
            "volumes: ['d:/data']",
            "volumes: {d: {}}",
            "services.web.volumes: 'd:/data' is not an abs",
        ),
        (
            "secrets: [s]",
            "secrets: {s: {environment: NOT_SET}}",
            "secrets.s.environment: service web needs the secret 's', but the variable NOT_SET "
            "that it is made from is not set",
        ),
        (
            "configs: [{source: c, target: /c}]",
            "configs: {c: {environment: NOT_SET}}",
            "configs.c.environment: service web needs the config 'c', but the variable NOT_SET",
        ),
    ],
)
def test_an_unsupported_key_is_refused_before_anything_is_created(
    make_stack: StackMaker, engine: Engine, service: str, top: str, message: str
) -> None:
    sleeper = "  cache: {image: IMAGE, command: sleep 600}\n"
    stack = make_stack(f"services:\n{sleeper}  web:\n    image: IMAGE\n    {service}\n{top}\n")
    with pytest.raises(ComposeError) as caught:
        stack.start()
    assert message in str(caught.value)
    assert caught.value.hint
    assert leftovers(engine, stack.identity.selector()) == []


def test_a_declared_port_that_never_listens_is_an_error(make_stack: StackMaker) -> None:
    text = "services: {web: {image: IMAGE, command: [sleep, '600'], ports: ['8000'], expose: [9]}}"
    made = make_stack(text)
    options = replace(made.options, listen_timeout_s=None, ready_timeout_s=1.0)
    stack = Stack(made.spec, made.engine, made.identity, options)
    with pytest.raises(StackError, match=r"web .*nothing listens on port 9, 8000 yet") as caught:
        stack.start()
    assert caught.value.hint is not None
    assert "declare a health check for web" in caught.value.hint
    assert "dockwright_listen_timeout = 10s" in caught.value.hint


def test_an_image_that_was_removed_meanwhile_is_built_again(
    make_stack: StackMaker, engine: Engine, tmp_path: Path, unique_name: str, scratch: str
) -> None:
    tag = f"dockwright-test/removed:{unique_name}"
    context = tmp_path / "web"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {scratch}\nRUN echo {unique_name} > /built\n")
    stack = make_stack(f"services: {{web: {{image: '{tag}', build: web, command: sleep 600}}}}")
    stack.ensure_image("web", StartProgress())
    engine.remove_image(tag)
    try:
        stack.start()
        assert stack.exec("web", ["cat", "/built"]).stdout == f"{unique_name}\n"
    finally:
        stack.remove()
        engine.remove_image(tag)
