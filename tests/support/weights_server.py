"""A server on this machine that hands out files, and can misbehave: what the tests of downloads talk to."""

import contextlib
import http.server
import re
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers from `server.files`; `server.breaks_after` cuts the next answers short, `server.asked` keeps the log.

    `server.etag` names the version of the files, `server.resumes` is whether parts are given, `server.minds_if_range`
    whether a part of another version is not, `server.says_length` whether answers have a length, `server.shift` how far
    from the place that was asked for a part begins, and `server.headers` are sent with everything.
    """

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        server, content = self.server, self.server.files.get(self.path)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        server.asked.append((self.command, self.path, int(asked[1]) if asked else 0))
        if content is None:
            return self.reply(404, b"", body, {})
        same = not server.minds_if_range or self.headers.get("If-Range", server.etag) == server.etag
        asked = asked if same and server.resumes else None
        start = int(asked[1]) + server.shift if asked else 0
        if start > len(content) or (asked and start == len(content)):
            return self.reply(416, b"", body, {"Content-Range": f"bytes */{len(content)}", "ETag": server.etag})
        headers = {"ETag": server.etag, "X-Repo-Commit": "f" * 40, "Accept-Ranges": "bytes", **server.headers}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.reply(206 if start else 200, content[start:], body, headers)

    def reply(self, status, content, body, headers):
        self.send_response(status)
        length = {"Content-Length": str(len(content))} if self.server.says_length else {"Connection": "close"}
        for key, value in {**headers, **length}.items():
            self.send_header(key, value)
        self.end_headers()
        cut = self.server.breaks_after
        if body and cut is not None and self.command == "GET" and len(content) > cut:
            self.server.breaks_after = self.server.then.pop(0) if self.server.then else None
            self.wfile.write(content[:cut])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
        elif body:
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serve(files: dict):
    """Yields a running server; `files` is path -> bytes."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.asked, server.breaks_after, server.then = files, [], None, []
    server.etag, server.headers, server.shift = '"0123"', {}, 0
    server.resumes = server.minds_if_range = server.says_length = True
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    server.handle_error = lambda *arguments: None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
