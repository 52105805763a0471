#!/usr/bin/env python3
"""A revocation feed for Gatepass, as small as it can be. For reading and trying out.

    python3 server.py [port]                   # on 127.0.0.1, 8090 by default
    curl localhost:8090/revocations            # what there is, and a cursor
    curl -d '{"sub": "alice", "issued_before": 1795864624}' localhost:8090/revocations

Whoever can reach it can revoke: in earnest, keep POST to those who may, and the log in
a database. A cursor is `<log>-<position>`. The log's name is new with each start, so a
cursor from before a restart is answered 410, and the gateway reads from the start.
"""

import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from urllib.parse import parse_qs, urlsplit

PATH = "/revocations"
PAGE = 500  # entries; a page must stay below limits.max_reply_bytes of the gateway
KEEP_ENDED = 600  # seconds: longer than the gateway's clock skew and its polls

log_name = secrets.token_hex(4)
entries = []  # in the order in which they came, never reordered
lock = Lock()


def page(since):
    """What comes after a cursor; None for a cursor of another log."""
    start = 0
    if since is not None:
        name, _, position = since.partition("-")
        if name != log_name or not position.isdigit() or int(position) > len(entries):
            return None
        start = int(position)
    end = min(start + PAGE, len(entries))
    new = [entry for entry in entries[start:end] if since is not None or not is_over(entry)]
    found = {"cursor": f"{log_name}-{end}", "entries": new}
    if end < len(entries):
        found["more"] = True
    return found


def is_over(entry):
    """Whether it ended so long ago that a reader who begins at the start need not see it."""
    return entry.get("until", time.time()) < time.time() - KEEP_ENDED


def add(entry):
    """Takes an entry in that names tokens in one way, with times in seconds."""
    names = [name for name in ("jti", "sub", "sid", "client_id", "claim") if name in entry]
    if len(names) != 1 or ("claim" in entry) != ("value" in entry):
        raise ValueError("one of jti, sub, sid, client_id, and claim with its value")
    for name in ("issued_before", "until"):
        if not isinstance(entry.get(name, 0), (int, float)) or abs(entry.get(name, 0)) > 1e11:
            raise ValueError(f"{name} in seconds")
    entries.append(entry)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        if url.path != PATH:
            return self.answer(404)
        with lock:
            found = page(parse_qs(url.query).get("since", [None])[0])
        self.answer(410 if found is None else 200, found)

    def do_POST(self):
        if self.path != PATH:
            return self.answer(404)
        try:
            entry = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
            with lock:
                add(entry)
        except (ValueError, AttributeError, TypeError) as error:
            return self.answer(400, {"error": str(error)})
        self.answer(204)

    def answer(self, status, body=None):
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("cache-control", "no-store")
        if status != 204:
            self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8090
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(f"http://127.0.0.1:{server.server_port}{PATH}", flush=True)
    server.serve_forever()
