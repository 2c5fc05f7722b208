"""A schema registry that knows what it is given, served over HTTP by a thread."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote


class SchemaRegistry:
    """Serves schemas of Avro by number; a context manager. Answers 503 to the first `fails` questions, and to
    those about numbers that are `away`.

    `references` are those of a number or a subject: subjects, of which `subjects` has the first versions.
    """

    def __init__(
        self,
        schemas: dict[int, Any],
        *,
        fails: int = 0,
        password: str | None = None,
        subjects: Mapping[str, Any] | None = None,
        references: Mapping[int | str, Sequence[str]] | None = None,
    ) -> None:
        known = {f"/schemas/ids/{number}": (number, schema) for number, schema in schemas.items()}
        known |= {
            f"/subjects/{quote(name, safe='')}/versions/1": (name, schema)
            for name, schema in (subjects or {}).items()
        }
        self.asked: list[str] = []
        wanted = password and "Basic " + base64.b64encode(password.encode()).decode()
        self.fails = fails
        self.away: set[int] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                if outer.fails:
                    outer.fails -= 1
                    self._answer(503, {})
                elif self.path in {f"/schemas/ids/{number}" for number in outer.away}:
                    self._answer(503, {})
                elif wanted and self.headers["Authorization"] != wanted:
                    self._answer(401, {})
                elif self.path not in known:
                    self._answer(404, {"error_code": 40403})
                else:
                    name, schema = known[self.path]
                    refers = [
                        {"name": each, "subject": each, "version": 1}
                        for each in (references or {}).get(name, ())
                    ]
                    more = {"references": refers} if refers else {}
                    self._answer(200, {"schema": json.dumps(schema), **more})

            def _answer(self, status: int, document: Any) -> None:
                data = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> SchemaRegistry:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
