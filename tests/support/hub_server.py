"""A small double of the Hugging Face hub on this machine, as far as uploading and downloading a model needs it."""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading

COMMIT = "c" * 40


class Handler(http.server.BaseHTTPRequestHandler):
    """Keeps one repository in `server.files` (path -> bytes); `server.status` refuses every request with that code."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def do_PUT(self):
        self.answer()

    def answer(self):
        server = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.asked.append((self.command, self.path, self.headers.get("Authorization")))
        path = self.path.partition("?")[0]
        if server.status:
            return self.reply({"error": "refused"}, server.status)
        if found := re.fullmatch(r"/[\w-]+/[\w-]+/resolve/[\w-]+/(.+)", path):
            return self.file(found[1])
        if path.startswith("/upload/"):
            server.large[path.rpartition("/")[2]] = body
            return self.reply({})
        for pattern, respond in ROUTES.items():
            if re.fullmatch(pattern, path):
                return self.reply(respond(server, body))
        return self.reply({"error": f"unknown path {path}"}, 404)

    def file(self, name):
        if name not in self.server.files:
            return self.reply({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        content = self.server.files[name]
        self.reply(content, headers={"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT})

    def reply(self, answer, status=200, headers=()):
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **dict(headers)}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


def preupload(server, body):
    files = json.loads(body)["files"]
    modes = {file["path"]: "lfs" if file["path"].endswith(".keras") else "regular" for file in files}
    return {"files": [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]}


def large_files(server, body):
    objects = json.loads(body)["objects"]
    places = {found["oid"]: {"upload": {"href": f"{server.address}/upload/{found['oid']}"}} for found in objects}
    return {"transfer": "basic", "objects": [found | {"actions": places[found["oid"]]} for found in objects]}


def commit(server, body):
    for line in body.splitlines():
        entry = json.loads(line)
        value = entry["value"]
        if entry["key"] == "file":
            server.files[value["path"]] = base64.b64decode(value["content"])
        elif entry["key"] == "lfsFile":
            server.files[value["path"]] = server.large[value["oid"]]
    return {"commitOid": COMMIT, "commitUrl": f"{server.address}/someone/digits/commit/{COMMIT}"}


def tree(server, body):
    return [
        {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
        for path, content in server.files.items()
    ]


ROUTES = {
    r"/api/repos/create": lambda server, body: {"url": f"{server.address}/someone/digits", "id": "someone/digits"},
    r"/api/validate-yaml": lambda server, body: {"errors": [], "warnings": []},
    r"/api/models/[\w-]+/[\w-]+/preupload/\w+": preupload,
    r"/[\w-]+/[\w-]+.git/info/lfs/objects/batch": large_files,
    r"/api/models/[\w-]+/[\w-]+/commit/\w+": commit,
    r"/api/models/[\w-]+/[\w-]+(/revision/\w+)?": lambda server, body: {
        "id": "someone/digits",
        "sha": COMMIT,
        "siblings": [{"rfilename": path} for path in server.files],
    },
    r"/api/models/[\w-]+/[\w-]+/tree/\w+": tree,
}


@contextlib.contextmanager
def serve():
    """Yields a running server with an empty repository."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.large, server.asked, server.status = {}, {}, [], None
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
