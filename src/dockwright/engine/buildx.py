"""A build by BuildKit, through the docker command and its buildx plugin."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from dockwright.engine.build_request import BuildRequest, BuildWatch
from dockwright.engine.deadline import ending, expiring
from dockwright.engine.endpoint import Endpoint
from dockwright.errors import EngineError, EngineTimeoutError

_PROBE_TIMEOUT_S = 20.0


def has_buildx() -> bool:
    """Tell whether the docker command and its buildx plugin are installed."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        probe = subprocess.run(
            [docker, "buildx", "version"],
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


def build_with_buildx(endpoint: Endpoint, request: BuildRequest, watch: BuildWatch) -> str:
    """Build an image and load it into the engine.

    Args:
        endpoint: the engine.
        request: what to build.
        watch: sees its output; `timeout_s` is how long the whole build may take.

    Returns:
        The image's id.

    Raises:
        EngineError: the build failed; its reason is in the lines.
    """
    with tempfile.TemporaryDirectory(prefix="dockwright-build-") as directory:
        id_file = Path(directory) / "id"
        command = ["docker", "buildx", "build", f"--iidfile={id_file}", *arguments(request)]
        _run(command, endpoint, request, watch)
        return id_file.read_text().strip()


def arguments(request: BuildRequest) -> list[str]:
    """Return the options of ``docker buildx build`` that say what `request` says."""
    options = ["--load", "--progress=plain"]
    values: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("tag", request.tags),
        ("build-arg", tuple(f"{key}={value}" for key, value in request.args.items())),
        ("label", tuple(f"{key}={value}" for key, value in request.labels.items())),
        ("target", (request.target,) if request.target else ()),
        ("cache-from", request.cache_from),
        ("cache-to", request.cache_to),
        ("network", (request.network,) if request.network else ()),
        ("platform", request.platforms),
        ("secret", tuple(f"id={key},src={path}" for key, path in request.secret_files.items())),
        ("secret", tuple(f"id={key},env={name}" for key, name in request.secret_variables.items())),
        ("ssh", request.ssh),
        ("add-host", request.extra_hosts),
        ("shm-size", (str(request.shm_size_bytes),) if request.shm_size_bytes else ()),
        ("build-context", tuple(f"{k}={v}" for k, v in request.additional_contexts.items())),
    )
    options += [f"--{name}={value}" for name, several in values for value in several]
    options += ["--no-cache"] if request.no_cache else []
    options += ["--pull"] if request.pull else []
    inline = request.dockerfile_inline is not None
    options += ["--file", "-" if inline else str(request.dockerfile_path)]
    return [*options, "--", str(request.context)]


def _run(command: list[str], endpoint: Endpoint, request: BuildRequest, watch: BuildWatch) -> None:
    with tempfile.TemporaryFile("w+") as inline:
        inline.write(request.dockerfile_inline or "")
        inline.seek(0)
        process = subprocess.Popen(
            command,
            env=_environment(endpoint),
            stdin=inline,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    with (
        process,
        ending(watch.unwanted, process.kill),
        expiring(watch.timeout_s, process.kill) as expired,
    ):
        try:
            for line in process.stdout or ():
                watch.on_line(line.rstrip())
        except BaseException:  # also Ctrl-C
            process.kill()  # or leaving the block would wait for its end
            raise
    if expired.is_set():
        raise EngineTimeoutError(
            f"cannot build image {request.name}: it took longer than {watch.timeout_s:g} s",
            hint="give it more time, or look at its last step",
        )
    if process.returncode:
        raise EngineError(f"`docker buildx build` ended with exit code {process.returncode}")


def _environment(endpoint: Endpoint) -> dict[str, str]:
    """Return the environment in which the docker command uses `endpoint` and no other."""
    ours = {"DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"}
    environ = {key: value for key, value in os.environ.items() if key not in ours}
    environ["DOCKER_HOST"] = endpoint.url
    if tls := endpoint.tls:
        environ["DOCKER_TLS_VERIFY" if tls.verify else "DOCKER_TLS"] = "1"
        if known := tls.ca or tls.cert:
            environ["DOCKER_CERT_PATH"] = str(known.parent)
    return environ
