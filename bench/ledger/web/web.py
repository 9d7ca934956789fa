"""Counts visits in the store's Redis; needs nothing but the standard library."""

import http.server
import os
import socket
from urllib.parse import urlsplit

CACHE = urlsplit(os.environ["LEDGER_CACHE"])


def ask(*words):
    """Send one command and return the simple answer."""
    with socket.create_connection((CACHE.hostname, CACHE.port or 6379)) as connected:
        lines = connected.makefile("rb")
        for command in (("AUTH", CACHE.password), words):
            parts = b"".join(b"$%d\r\n%b\r\n" % (len(each), each.encode()) for each in command)
            connected.sendall(b"*%d\r\n" % len(command) + parts)
            answer = lines.readline().strip()
        return answer.lstrip(b":+")


class Web(http.server.BaseHTTPRequestHandler):
    """Answers ``/visit`` with the number of visits."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Answer a request."""
        answer = ask("INCR", "visits") if self.path == "/visit" else ask("PING")
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Keep quiet."""


http.server.ThreadingHTTPServer(("", 8000), Web).serve_forever()
