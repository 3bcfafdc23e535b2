"""A server of files on this machine, for the tests of downloads. It can misbehave."""

import contextlib
import http.server
import re
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers from the attributes of its server.

    Attributes of the server:
        files: path -> contents.
        asked: the requests so far: (method, path, first byte).
        breaks_after, then: after how many bytes the next answer breaks off, and the answers after it.
        etag: the version of the files.
        resumes: whether a request for a part of a file is answered with that part.
        minds_if_range: whether a request for a part of another version is answered with the whole file.
        says_length: whether answers have a length.
        shift: how far from the place that was asked for a part begins.
        headers: more headers of every answer.
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
