"""Images built: by BuildKit where the docker command has buildx, else by the classic builder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from string import Template
from typing import IO, TYPE_CHECKING, NamedTuple, TypeAlias

from dockwright.engine.capabilities import Capabilities
from dockwright.engine.containers import EngineCalls
from dockwright.engine.endpoint import Endpoint
from dockwright.engine.errors import build_failed
from dockwright.engine.http import Call
from dockwright.engine.images import ImageCalls
from dockwright.engine.parallel import Unwanted, ending, expiring
from dockwright.engine.streams import json_lines
from dockwright.errors import (
    EngineError,
    EngineTimeoutError,
    EngineUnreachableError,
    ImageBuildError,
)
from dockwright.model import Build

if TYPE_CHECKING:
    from dockwright.engine.http import Transport


@dataclass(frozen=True, slots=True)
class BuildRequest(Build):
    """One image to build.

    Attributes:
        secret_files: files that ``RUN --mount=type=secret`` may read, by id.
        secret_variables: environment variables of ours for the same, by id.
    """

    secret_files: Mapping[str, Path] = field(default_factory=dict)
    secret_variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, build: Build, tag: str) -> BuildRequest:
        """Return the request for the image `tag` of a service."""
        declared = {each.name: getattr(build, each.name) for each in fields(build)}
        return cls(**{**declared, "tags": (tag, *build.tags)})

    @property
    def dockerfile_path(self) -> Path:
        """Where the Dockerfile is, if it is not inline."""
        return self.context / (self.dockerfile or "Dockerfile")

    @property
    def name(self) -> str:
        """What messages call the image."""
        return self.tags[0] if self.tags else str(self.context)

    def dockerfile_text(self) -> str:
        """Return the Dockerfile.

        Raises:
            ImageBuildError: it, or the context, is not there or cannot be read.
        """
        if not self.context.is_dir():
            raise ImageBuildError(
                f"cannot build image {self.name}: its context {self.context} is not a directory",
                hint="check `build: context:`",
            )
        if self.dockerfile_inline is not None:
            return self.dockerfile_inline
        try:
            return self.dockerfile_path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise ImageBuildError(
                f"cannot build image {self.name}: the Dockerfile cannot be read: {exc}",
                hint="check `build: dockerfile:`, which is relative to the context",
            ) from exc


@dataclass(frozen=True, slots=True)
class BuildWatch:
    """Who watches a build.

    Attributes:
        on_line: called with each line of the builder's output.
        timeout_s: how long it is waited for, in seconds.
        unwanted: returns whether the build is to end.
    """

    on_line: Callable[[str], None]
    timeout_s: float
    unwanted: Unwanted | None = None


_FEATURES = (
    (re.compile(r"RUN\s+(?:--\S+\s+)*--(mount|network|security)\b", re.I), "RUN --{}"),
    (
        re.compile(
            r"(?:COPY|ADD)\s+(?:--\S+\s+)*--(link|chmod|parents|exclude|checksum|keep-git-dir)\b",
            re.I,
        ),
        "COPY or ADD --{}",
    ),
    (re.compile(r"(?:RUN|COPY|ADD)\s(?:.*\s)?\d*<<-?[\"']?[A-Za-z_]", re.I | re.S), "a heredoc"),
    (
        re.compile(r"FROM\s.*\$\{?((?:BUILD|TARGET)(?:PLATFORM|OS|ARCH|VARIANT))\b", re.I),
        "${} in FROM",
    ),
)
_FROM = re.compile(r"FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.I)
_ARG = re.compile(r"ARG\s+(\w+)(?:=(\S*))?", re.I)
_COPIED = re.compile(r"(?:COPY|ADD)\s+(?:--\S+\s+)*--from=(\S+)()", re.I)
_SYNTAX = re.compile(r"#\s*syntax\s*=\s*(\S+)", re.I)
_ESCAPE = re.compile(r"#\s*escape\s*=\s*(\S)", re.I)
_DIRECTIVE = re.compile(r"#\s*\w+\s*=")


class Feature(NamedTuple):
    """A use of a feature: its name, and the line (from 1) of the Dockerfile."""

    name: str
    line: int


def buildkit_feature(text: str) -> Feature | None:
    """Return the first thing in a Dockerfile that the classic builder cannot do, if any.

    A ``# syntax=docker/dockerfile...`` line alone is none: it is a comment for the classic builder,
    and what it stands for is looked for itself. Another front end is one.
    """
    escape = "\\"
    for number, line in enumerate(text.splitlines(), 1):
        if not _DIRECTIVE.match(line):
            break  # directives stand before everything else
        if (syntax := _SYNTAX.match(line)) and "docker/dockerfile" not in syntax[1]:
            return Feature(f"# syntax={syntax[1]}", number)
        if found := _ESCAPE.match(line):
            escape = found[1]
    for number, instruction in _instructions(text, escape):
        for pattern, name in _FEATURES:
            if found := pattern.match(instruction):
                return Feature(name.format(*found.groups()), number)
    return None


def base_images(text: str, arguments: Mapping[str, str]) -> list[str]:
    """Return the images that a Dockerfile's stages are made from, as far as it says their names.

    Args:
        text: the Dockerfile.
        arguments: the build's.
    """
    values: dict[str, str] = {}
    stages = {"scratch"}
    found: list[str] = []
    for _, instruction in _instructions(text, "\\"):
        if argument := _ARG.match(instruction):
            values[argument[1]] = arguments.get(argument[1], (argument[2] or "").strip("\"'"))
        elif source := _FROM.match(instruction) or _COPIED.match(instruction):
            name = Template(source[1]).safe_substitute(values)
            if name.lower() not in stages and not name.isdecimal():
                found.append(name)
            if source[2]:
                stages.add(source[2].lower())
    return list(dict.fromkeys(found))


def _instructions(text: str, escape: str) -> Iterator[tuple[int, str]]:
    """Yield each instruction as one line, with the number of its first."""
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if not parts:
            first = number
        parts.append(stripped.removesuffix(escape))
        if not stripped.endswith(escape):
            yield first, " ".join(parts)
            parts = []
    if parts:
        yield first, " ".join(parts)


OnLine: TypeAlias = Callable[[str], None]

BUILD_TIMEOUT_S = 1800.0
_LINES_IN_ERROR = 30


class BuildCalls(EngineCalls):
    """The call that builds an image."""

    def build_image(
        self,
        request: BuildRequest,
        *,
        on_progress: OnLine | None = None,
        timeout_s: float = BUILD_TIMEOUT_S,
        unwanted: Unwanted | None = None,
    ) -> str:
        """Build an image on the engine.

        Args:
            request: what to build.
            on_progress: called with each line of the builder's output.
            timeout_s: how long BuildKit may take, or the classic builder be silent, in seconds.
            unwanted: returns whether the build is to end; called from another thread.

        Returns:
            Its id.

        Raises:
            ImageBuildError: it failed, or needs BuildKit and only the classic builder is there;
                the message ends with the builder's last lines.
        """
        text = request.dockerfile_text()
        last: deque[str] = deque(maxlen=_LINES_IN_ERROR)

        def note(line: str) -> None:
            if line.strip():
                last.append(line)
                if on_progress is not None:
                    on_progress(line)

        watch = BuildWatch(note, timeout_s, unwanted)
        try:
            image = self._build(request, text, watch)
            # By name: what a builder reports may be an id that the engine does not know.
            reference = request.tags[0] if request.tags else image
            return str(ImageCalls(self._http).inspect_image(reference)["Id"])
        except (ImageBuildError, EngineTimeoutError, EngineUnreachableError):
            raise
        except EngineError as exc:
            raise build_failed(request.name, exc.message, list(last)) from exc

    def _build(self, request: BuildRequest, dockerfile: str, watch: BuildWatch) -> str:
        if self._http.can.builds_with_buildx and has_buildx():
            return build_with_buildx(self._http.endpoint, request, watch)
        _refuse_beyond_the_api(request, self._http.can)
        if not self._http.can.builds_any_dockerfile:
            _refuse_buildkit_syntax(request, dockerfile)
        return build_classic(self._http, request, watch)


def _refuse_beyond_the_api(request: BuildRequest, can: Capabilities) -> None:
    """Refuse what no engine's own build call takes: it would be left out without a word."""
    options = {
        "secrets": request.secret_files or request.secret_variables,
        "ssh": request.ssh,
        "additional_contexts": request.additional_contexts,
        "cache_to": request.cache_to,
        "several platforms": request.platforms[1:],
    }
    for name in (name for name, used in options.items() if used):
        wanted = f"`build:` asks for {name}"
        if can.builds_with_buildx:
            raise _needs_buildkit(request, wanted)
        raise ImageBuildError(
            f"cannot build image {request.name}: {wanted}, which this engine's API does not take",
            hint="build the image beforehand (`podman build`) and name it with `image:` alone, or "
            "leave the key out",
        )


def _refuse_buildkit_syntax(request: BuildRequest, dockerfile: str) -> None:
    if feature := buildkit_feature(dockerfile):
        wanted = f"line {feature.line} of its Dockerfile uses {feature.name}"
        raise _needs_buildkit(request, wanted)


def _needs_buildkit(request: BuildRequest, wanted: str) -> ImageBuildError:
    return ImageBuildError(
        f"cannot build image {request.name}: {wanted}, which only BuildKit can do, and the "
        "docker command with its buildx plugin is not installed",
        hint="install both (packages docker-cli and docker-buildx, or docker-buildx-plugin), "
        "or write the Dockerfile without it",
    )


def build_classic(transport: Transport, request: BuildRequest, watch: BuildWatch) -> str:
    """Send the context and build it.

    Args:
        transport: the connections to the engine.
        request: what to build.
        watch: sees its output; `timeout_s` is how long the builder may be silent.

    Returns:
        The image's id.

    Raises:
        EngineError: the build failed; its message is the builder's reason.
    """
    from dockwright.engine.credentials import build_headers  # loads the Docker SDK

    with _context(request) as (dockerfile, tar):
        call = Call(
            "POST",
            "/build",
            "build image",
            request.name,
            params=_params(request, dockerfile, as_json=transport.can.lists_in_json),
            data=tar,
            headers={"Content-Type": "application/x-tar", **build_headers()},
            timeout_s=watch.timeout_s,
        )
        image = ""
        with transport.stream(call) as stream, ending(watch.unwanted, stream.close):
            for message in json_lines(stream):
                if error := message.get("error"):
                    raise EngineError(str(error))
                for line in str(message.get("stream") or message.get("status") or "").splitlines():
                    watch.on_line(line)
                image = (message.get("aux") or {}).get("ID") or image
    if not image:
        raise EngineError("the builder did not report an image")
    return image


def context_files(request: BuildRequest) -> set[str]:
    """Return the names of what a build may copy, relative to its context."""
    from docker.utils import build as context_utils  # loads the Docker SDK

    own = request.dockerfile_path.with_name(f"{request.dockerfile_path.name}.dockerignore")
    # BuildKit takes a Dockerfile's own list instead: then nothing is left out.
    ignored = [] if own.exists() else _ignored(request)
    found: set[str] = context_utils.exclude_paths(
        str(request.context.resolve()), ignored, dockerfile=request.dockerfile or "Dockerfile"
    )
    return found


def _params(
    request: BuildRequest, dockerfile: str, *, as_json: bool
) -> dict[str, str | int | bool | list[str] | None]:
    hosts = list(request.extra_hosts)
    return {
        "version": "1",
        "dockerfile": dockerfile,
        "t": list(request.tags),
        "buildargs": json.dumps(dict(request.args)),
        "labels": json.dumps(dict(request.labels)),
        "cachefrom": json.dumps(list(request.cache_from)),
        "target": request.target,
        "networkmode": request.network,
        "platform": request.platforms[0] if request.platforms else None,
        # Some engines read one JSON list where Docker reads the parameter several times.
        "extrahosts": json.dumps(hosts) if as_json and hosts else hosts,
        "shmsize": request.shm_size_bytes,
        "nocache": request.no_cache,
        "pull": request.pull,
        "rm": True,
        "forcerm": True,
    }


@contextmanager
def _context(request: BuildRequest) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the Dockerfile's name in the context and the context's tar, in a file on disk."""
    from docker.utils import build as context_utils  # loads the Docker SDK

    root = request.context.resolve()
    dockerfile = request.dockerfile_path.resolve()
    text: str | None = None
    if request.dockerfile_inline is None and dockerfile.is_relative_to(root):
        name = str(dockerfile.relative_to(root))
    else:
        # Not a file of the context: put into the archive, and kept out of COPY.
        text = request.dockerfile_text()
        name = f".dockerfile.{sha256(text.encode()).hexdigest()[:20]}"
    with tempfile.TemporaryFile(prefix="dockwright-context-") as file:
        try:
            context_utils.tar(
                root, exclude=_ignored(request), dockerfile=(name, text), fileobj=file
            )
        except OSError as exc:
            raise ImageBuildError(
                f"cannot build image {request.name}: its context cannot be read: {exc}",
                hint="list in .dockerignore what does not belong in the image",
            ) from exc
        yield name, file


def _ignored(request: BuildRequest) -> list[str]:
    try:
        text = (request.context / ".dockerignore").read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return []
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


_PROBE_TIMEOUT_S = 20.0


def has_buildx() -> bool:
    """Return whether the docker command and its buildx plugin are installed."""
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
        The id that buildx reports.

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
            hint="allow it more time, or check its last step",
        )
    if process.returncode:
        raise EngineError(f"`docker buildx build` ended with exit code {process.returncode}")


def _environment(endpoint: Endpoint) -> dict[str, str]:
    """Return the environment in which the docker command uses `endpoint` and no other."""
    ours = {"DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"}
    environ = {key: value for key, value in os.environ.items() if key not in ours}
    environ["DOCKER_HOST"] = endpoint.url
    # Attestations hold times: with them an unchanged image would have another id after each build.
    environ["BUILDX_NO_DEFAULT_ATTESTATIONS"] = "1"
    if tls := endpoint.tls:
        environ["DOCKER_TLS_VERIFY" if tls.verify else "DOCKER_TLS"] = "1"
        if known := tls.ca or tls.cert:
            environ["DOCKER_CERT_PATH"] = str(known.parent)
    return environ
