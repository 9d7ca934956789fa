"""Images built: by BuildKit where the docker command has buildx, else by the classic builder."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from dockwright.engine.build_request import BuildRequest, BuildWatch
from dockwright.engine.deadline import Unwanted
from dockwright.engine.dockerfile import buildkit_feature
from dockwright.engine.failures import build_failed
from dockwright.engine.group import EngineCalls
from dockwright.errors import (
    EngineError,
    EngineTimeoutError,
    EngineUnreachableError,
    ImageBuildError,
)

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
            unwanted: tells that the build is to end; it is asked from another thread.

        Returns:
            Its id.

        Raises:
            ImageBuildError: it failed, or needs BuildKit and only the classic builder is there;
                the message ends with the builder's last lines.
        """
        # Both load what only a build needs: the Docker SDK, and a look for the docker command.
        from dockwright.engine.buildx import build_with_buildx, has_buildx
        from dockwright.engine.classic import build_classic

        text = request.dockerfile_text()
        last: deque[str] = deque(maxlen=_LINES_IN_ERROR)

        def note(line: str) -> None:
            if line.strip():
                last.append(line)
                if on_progress is not None:
                    on_progress(line)

        watch = BuildWatch(note, timeout_s, unwanted)
        is_podman = self._http.version.kind == "podman"
        try:
            if not is_podman and has_buildx():
                return build_with_buildx(self._http.endpoint, request, watch)
            if not is_podman:  # Podman's own builder knows these, behind the classic call
                _refuse_buildkit_features(request, text)
            return build_classic(self._http, request, watch)
        except (ImageBuildError, EngineTimeoutError, EngineUnreachableError):
            raise
        except EngineError as exc:
            raise build_failed(request.name, exc.message, list(last)) from exc


def _refuse_buildkit_features(request: BuildRequest, dockerfile: str) -> None:
    options = {
        "secrets": request.secret_files or request.secret_variables,
        "ssh": request.ssh,
        "additional_contexts": request.additional_contexts,
        "cache_to": request.cache_to,
        "several platforms": request.platforms[1:],
    }
    wanted = next((f"`build:` asks for {name}" for name, used in options.items() if used), None)
    if wanted is None and (feature := buildkit_feature(dockerfile)):
        wanted = f"line {feature.line} of its Dockerfile uses {feature.name}"
    if wanted is not None:
        raise ImageBuildError(
            f"cannot build image {request.name}: {wanted}, which only BuildKit can do, and the "
            "docker command with its buildx plugin is not installed",
            hint="install both (packages docker-cli and docker-buildx, or docker-buildx-plugin), "
            "or write the Dockerfile without it",
        )
