"""A tiny image registry, for an engine's mirror setting: serves saved images, or hangs."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import subprocess
import tarfile
import threading
from io import BytesIO
from typing import Literal

_SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class Registry:
    """Serves what `publish` gave it under the names of Docker's library.

    `mood` says how it behaves: it serves, or it takes a request and never answers.
    """

    def __init__(self) -> None:
        self.mood: Literal["serves", "hangs"] = "serves"
        self._documents: dict[str, tuple[str, bytes]] = {"/v2/": ("application/json", b"{}")}
        self._closing = threading.Event()
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry._answer(self)

            def do_HEAD(self) -> None:
                registry._answer(self)

            def log_request(self, code: object = "-", size: object = "-") -> None:
                """Keep the test's output to itself."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def publish(self, image: str) -> None:
        """Offer an image of the default engine under its own name and tag."""
        saved = subprocess.run(
            ["docker", "save", image], capture_output=True, check=True, timeout=60
        )
        with tarfile.open(fileobj=BytesIO(saved.stdout)) as archive:

            def read(name: str) -> bytes:
                member = archive.extractfile(name)
                assert member is not None
                return member.read()

            entry = json.loads(read("manifest.json"))[0]
            config = read(entry["Config"])
            layers = [gzip.compress(read(name), 1) for name in entry["Layers"]]
        name, _, tag = image.partition(":")
        manifest = {
            "schemaVersion": 2,
            "mediaType": _SCHEMA2,
            "config": self._add_blob(name, _CONFIG, config),
            "layers": [self._add_blob(name, _LAYER, layer) for layer in layers],
        }
        body = json.dumps(manifest).encode()
        for reference in (tag, _digest(body)):
            self._documents[f"/v2/library/{name}/manifests/{reference}"] = (_SCHEMA2, body)

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)

    def _add_blob(self, name: str, media_type: str, body: bytes) -> dict[str, object]:
        digest = _digest(body)
        path = f"/v2/library/{name}/blobs/{digest}"
        self._documents[path] = ("application/octet-stream", body)
        return {"mediaType": media_type, "size": len(body), "digest": digest}

    def _answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        if self.mood == "hangs":
            self._closing.wait(timeout=60)
            return
        found = self._documents.get(handler.path.partition("?")[0])
        kind, body = found or ("application/json", b'{"errors": [{"code": "NOT_FOUND"}]}')
        handler.send_response(200 if found else 404)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        if found and kind == _SCHEMA2:
            handler.send_header("Docker-Content-Digest", _digest(body))
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(body)


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
