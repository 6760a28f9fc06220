# License: BSD-3-Clause
"""A server on this machine that answers as the Hugging Face Hub does."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REPO = "someone/models"
COMMIT = "c" * 40
TOKEN = "hf_of_nobody"


class Hub:
    """The few answers of the Hub that downloads and commits need."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut_after: int | None = None
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def do_POST(self) -> None:
                hub.take(self)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler, body: bool) -> None:
        self.requests.append(request.path)
        head, _, rest = request.path.partition("/resolve/")
        revision, _, path = rest.partition("/")
        error = None
        if head != f"/{REPO}":
            error = (401, "RepoNotFound")
        elif revision not in (COMMIT, "main", "v2"):
            error = (404, "RevisionNotFound")
        elif path not in self.files:
            error = (404, "EntryNotFound")
        content = b"" if error else self.files[path]
        request.send_response(error[0] if error else 200)
        if error:
            request.send_header("X-Error-Code", error[1])
        else:
            request.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            request.send_header("X-Repo-Commit", COMMIT)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if body:
            request.wfile.write(content[: self.cut_after])
            request.close_connection = True

    def take(self, request: BaseHTTPRequestHandler) -> None:
        """Answer what comes before a commit, and keep the files of the commit."""
        self.requests.append(request.path)
        content = request.rfile.read(int(request.headers["Content-Length"] or 0))
        answers: dict[str, object] = {"errors": [], "warnings": [], "url": f"{self.url}/{REPO}"}
        if "/preupload/" in request.path:
            answers["files"] = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(content)["files"]
            ]
        if "/commit/" in request.path:
            assert request.headers["Authorization"] == f"Bearer {TOKEN}"
            lines = [json.loads(line) for line in content.splitlines()]
            self.files |= {
                line["value"]["path"]: base64.b64decode(line["value"]["content"])
                for line in lines
                if line["key"] == "file"
            }
            answers |= {"commitUrl": f"{self.url}/{REPO}/commit/{COMMIT}", "commitOid": COMMIT}
        answer = json.dumps(answers).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
