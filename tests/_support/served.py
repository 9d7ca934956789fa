"""A stack with a database and a web service that nobody knows: what does it keep?"""

from __future__ import annotations

import json
from urllib.request import urlopen

SERVER = """
import http.server, os
visits = []
class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/remember":
            visits.append(1)
        if self.path == "/write":
            open("/tmp/written", "w").close()
        answer = str(len(visits)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
http.server.ThreadingHTTPServer(("", 8000), Web).serve_forever()
"""

COMPOSE = f"""
services:
  cache:
    image: redis:7
    healthcheck: {{test: [CMD, redis-cli, ping], interval: 1s}}
  web:
    image: python:3.11-slim
    command: [python3, /server.py]
    configs: [{{source: server, target: /server.py}}]
    ports: ["8000"]
    depends_on: [cache]
configs:
  server:
    content: {json.dumps(SERVER)}
"""
"""What ``web`` is sent by ``/remember`` it keeps in memory, by ``/write`` in a file."""

IMAGES = ("redis:7", "python:3.11-slim")


def visit(url: str) -> str:
    """Send a request and return the answer."""
    with urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())
