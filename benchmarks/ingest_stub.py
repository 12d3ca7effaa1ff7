"""A stand-in for VectaDB that takes every event at once: what is measured against it is the agent, not the server.

``python -m benchmarks.ingest_stub`` writes its address as the first line of its output. ``GET /taken`` tells how many
events it has taken.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from isal import isal_zlib


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one piece: two would cost 40 ms, by Nagle's rule and delayed acknowledgements
    disable_nagle_algorithm = True
    taken = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = isal_zlib.decompress(body, wbits=31)
        # Each event names its id once; inside of texts the quotes are escaped.
        count = body.count(b'"event_id":"')
        _Handler.taken += count
        self._answer({"ingested": count, "duplicates": 0, "expired": 0, "failed": 0, "errors": [], "event_ids": []})

    def do_GET(self) -> None:
        self._answer({"status": "ok", "version": "stub", "taken": _Handler.taken})

    def _answer(self, reply: dict[str, object]) -> None:
        answer = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def main() -> None:
    """Serve until terminated."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
