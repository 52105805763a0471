"""Shows each request as Python's http.server has it, and as WSGI makes variables of it."""

import base64
import http.server
import json
import os
import sys
import wsgiref.simple_server


def show(server, method, target, fields, body):
    def text(value):
        return base64.b64encode(value.encode("latin-1", "replace")).decode()

    seen = {
        "server": server,
        "method": method,
        "target": target,
        "fields": [[name, text(value)] for name, value in fields],
        "body": base64.b64encode(body).decode(),
    }
    line = json.dumps(seen) + "\n"
    with open(os.environ["SHOWN"], "a") as shown:
        shown.write(line)


class Plain(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        show("python", self.command, self.path, self.headers.items(), body)
        # What a handler that does not know chunks leaves would be the next request.
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_):
        pass


def application(environment, start_response):
    length = int(environment.get("CONTENT_LENGTH") or 0)
    body = environment["wsgi.input"].read(length)
    fields = [(name[5:], value) for name, value in environment.items() if name.startswith("HTTP_")]
    target = environment["PATH_INFO"]
    show("wsgi", environment["REQUEST_METHOD"], target, fields, body)
    start_response("200 OK", [("content-length", "0")])
    return [b""]


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_):
        pass


kind, port = sys.argv[1], int(sys.argv[2])
if kind == "plain":
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Plain).serve_forever()
else:
    wsgiref.simple_server.make_server(
        "127.0.0.1", port, application, handler_class=Quiet
    ).serve_forever()
