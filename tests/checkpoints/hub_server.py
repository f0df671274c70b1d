"""A Hugging Face hub on the loopback interface: what its client asks of it, and nothing else.

Repositories are folders, one for each revision. Large files are answered as the hub answers them: with a redirect to
another host that names their size and hash.
"""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


def commit_of(repository: str, revision: str) -> str:
    """Returns the commit that a revision stands for."""
    return hashlib.sha1(f"{repository}@{revision}".encode()).hexdigest()


@contextlib.contextmanager
def serve_hub(repositories: Mapping[str, Mapping[str, Path]], gated: set[str]) -> Iterator[tuple[str, list[str]]]:
    """Gives the endpoint of a hub, and a list that grows by every request.

    Args:
      repositories: folder by revision by repository; the revision ``main`` is there.
      gated: repositories that show their list of files, and no file.
    """
    requests: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(repositories, gated, requests))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(
    repositories: Mapping[str, Mapping[str, Path]], gated: set[str], requests: list[str]
) -> type[BaseHTTPRequestHandler]:
    broken: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        server: ThreadingHTTPServer
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            requests.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
            parts = path.strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                self._answer_api("/".join(parts[2:4]), parts[4:])
            elif parts[0] == "large":
                self._send_file(Path("/", *parts[1:]))
            elif parts[2:3] == ["resolve"]:
                self._answer_file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
            else:
                self._refuse(404, "EntryNotFound")

        def _answer_api(self, repository: str, rest: list[str]) -> None:
            found = self._find(repository, rest[1] if rest else "main")
            if found is None:
                return
            commit, folder = found
            if rest[:1] == ["tree"]:
                files = sorted(path for path in folder.rglob("*") if path.is_file())
                self._send_json([_entry(path, folder) for path in files])
            else:
                self._send_json({"_id": "1", "id": repository, "sha": commit, "private": False, "siblings": []})

        def _answer_file(self, repository: str, revision: str, name: str) -> None:
            found = self._find(repository, revision)
            if found is None:
                return
            commit, folder = found
            if repository in gated:
                self._refuse(403, "GatedRepo")
            elif not (folder / name).is_file():
                self._refuse(404, "EntryNotFound", **{"X-Repo-Commit": commit})
            elif _is_large(folder / name):
                content = (folder / name).read_bytes()
                # Another host, as that of the hub's large files is.
                place = f"http://localhost:{self.server.server_port}/large{folder / name}"
                linked = {
                    "X-Linked-Size": str(len(content)),
                    "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
                }
                self._send(302, b"", {"X-Repo-Commit": commit, "Location": place, **linked})
            else:
                self._send_file(folder / name, **{"X-Repo-Commit": commit})

        def _find(self, repository: str, revision: str) -> tuple[str, Path] | None:
            if repository not in repositories:
                self._refuse(404, "RepoNotFound")
                return None
            for name, folder in repositories[repository].items():
                commit = commit_of(repository, name)
                if revision in (name, commit):
                    return commit, folder
            self._refuse(404, "RevisionNotFound")
            return None

        def _send_file(self, path: Path, **headers: str) -> None:
            content = path.read_bytes()
            size, start = len(content), 0
            headers["ETag"] = f'"{_blob(content)}"'
            if self.headers.get("Range"):
                start = int(self.headers["Range"].removeprefix("bytes=").split("-")[0])
                headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
            if self.command == "GET" and "breaks" in path.name and path.name not in broken:
                # The connection is lost near the end, once.
                broken.add(path.name)
                self._send(200, content[: size - 100], headers | {"Content-Length": str(size)})
                self.close_connection = True
                return
            self._send(206 if start else 200, content[start:], headers)

        def _send_json(self, value: Any) -> None:
            self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _refuse(self, status: int, code: str, **headers: str) -> None:
            self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": "no", **headers})

        def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(content))} | dict(headers)).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

    return Handler


def _entry(path: Path, folder: Path) -> dict[str, Any]:
    content = path.read_bytes()
    entry: dict[str, Any] = {"type": "file", "path": str(path.relative_to(folder)), "size": len(content)}
    entry["oid"] = _blob(content)
    if _is_large(path):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry


def _is_large(path: Path) -> bool:
    return path.suffix == ".safetensors"


def _blob(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
