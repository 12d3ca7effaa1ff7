"""The server's own traces: a real server, and a real receiver of OTLP over HTTP on loopback."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from vectadb_server import tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET = "vdb-secret-0123456789abcdef"
FAST = {"OTEL_BSP_SCHEDULE_DELAY": "50"}


class Receiver(ThreadingHTTPServer):
    """Keeps every span that is sent to it, with its resource."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[tuple[Any, dict[str, Any], dict[str, Any]]] = []
        self.raw = b""
        self.url = f"http://127.0.0.1:{self.server_port}"

    def named(self, name: str) -> list[tuple[Any, dict[str, Any]]]:
        return [(span, attributes) for span, attributes, _ in list(self.spans) if span.name == name]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.path == "/v1/traces"
        self.server.raw += body
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in group.scope_spans:
                for span in scope.spans:
                    self.server.spans.append((span, values(span.attributes), values(group.resource.attributes)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        thread = Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def event(**more: Any) -> dict[str, Any]:
    return {"event_id": str(uuid.uuid4()), "timestamp": "2026-01-31T12:00:00Z", "raw": "nightingale", **more}


def test_requests_and_what_they_lead_to_are_spans(
    serve: Callable[..., Any], receiver: Receiver, tmp_path: Path
) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_SERVICE_NAME": "mine", **FAST}
    with serve(tmp_path, VECTADB_BOOTSTRAP_KEY=SECRET, **settings) as server:
        headers = {"x-api-key": SECRET, "traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "r-1"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
            assert client.post("/api/v1/events/batch", json={"events": [event()]}).status_code == 200
            asked = {"query": "nightingale of the secret garden"}
            server.until(lambda: bool(client.post("/api/v1/search", json=asked).json().get("results")))
            assert client.get("/api/v1/traces/nobody").status_code == 404
            assert client.get("/nowhere").status_code == 404
        server.until(lambda: bool(receiver.named("GET")))
        server.popen.terminate()
        assert server.popen.wait(60) == 0

    [(batch, said)] = receiver.named("POST /api/v1/events/batch")
    assert (batch.trace_id.hex(), batch.parent_span_id.hex(), batch.kind) == (TRACE, PARENT, 2)
    assert said == {
        "http.request.method": "POST",
        "http.route": "/api/v1/events/batch",
        "http.response.status_code": 200,
        "url.path": "/api/v1/events/batch",
        "url.scheme": "http",
        "vectadb.request_id": "r-1",
    }
    commit = next(
        (span, each) for span, each in receiver.named("record commit") if span.parent_span_id == batch.span_id
    )
    assert commit[1]["db.operation.batch.size"] == 1
    assert commit[1]["db.namespace"] == "2026-01-31"
    searches = {span.span_id for span, _ in receiver.named("POST /api/v1/search")}
    assert any(span.parent_span_id in searches for span, _ in receiver.named("search index search"))
    for name in ("indexer outbox", "indexer traces", "indexer search"):
        span, each = receiver.named(name)[0]
        assert span.parent_span_id == b""  # No request waits for it.
        assert each
    rounds = {span.span_id for span, _ in receiver.named("indexer search")}
    assert any(span.parent_span_id in rounds for span, _ in receiver.named("search index upsert"))
    [(missing, said)] = receiver.named("GET /api/v1/traces/{trace_id}")
    assert (said["http.response.status_code"], missing.status.code) == (404, 0)
    assert [each["url.path"] for _, each in receiver.named("GET")] == ["/nowhere"]
    assert {each["service.name"] for _, _, each in receiver.spans} == {"mine"}
    for secret in (SECRET, "nightingale", "garden"):
        assert secret.encode() not in receiver.raw


def test_failures_are_marked(serve: Callable[..., Any], receiver: Receiver, tmp_path: Path) -> None:
    settings = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{receiver.url}/v1/traces", **FAST}
    with serve(
        tmp_path,
        VECTADB_EMBEDDER="openai",
        VECTADB_EMBEDDER_URL="http://127.0.0.1:9/v1",
        VECTADB_EMBEDDER_MODEL="m",
        VECTADB_EMBEDDER_DIMENSIONS="8",
        **settings,
    ) as server:
        asked = {"query": "x", "mode": "semantic"}
        assert httpx.post(f"{server.url}/api/v1/search", json=asked, timeout=60).status_code == 503
        server.until(lambda: bool(receiver.named("POST /api/v1/search")))
    span, said = receiver.named("POST /api/v1/search")[0]
    assert (span.status.code, span.status.message, said["error.type"]) == (2, "", "503")
    call, said = receiver.named("embeddings m")[0]
    assert (call.parent_span_id, call.status.code, said["error.type"]) == (span.span_id, 2, "ConnectError")
    assert {each["service.name"] for _, _, each in receiver.spans} == {"vectadb"}


def test_lines_carry_the_trace_of_their_span(serve: Callable[..., Any], receiver: Receiver, tmp_path: Path) -> None:
    with serve(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, **FAST) as server:
        httpx.get(f"{server.url}/nowhere")
        server.until(lambda: bool(receiver.named("GET")))
        server.popen.terminate()
        server.popen.wait(60)
        lines = [json.loads(line) for line in server.popen.stderr.read().splitlines()]
    [line] = [line for line in lines if line["message"] == "GET /nowhere: 404"]
    assert line["trace_id"] == receiver.named("GET")[0][0].trace_id.hex()


@pytest.mark.parametrize("answers", [False, True], ids=["nobody listens", "it never answers"])
def test_an_endpoint_that_is_away_harms_nobody(serve: Callable[..., Any], tmp_path: Path, answers: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        url = f"http://127.0.0.1:{hole.getsockname()[1]}" if answers else "http://127.0.0.1:9"
        # A stop that waited for what the exporter does would take ten minutes.
        with serve(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_TIMEOUT="600", **FAST) as server:
            for _ in range(30):
                assert server.post([event()]).status_code == 200
            server.until(lambda: server.get("/health/ready").json()["engines"]["indexer"].get("pending") == 0)
            server.popen.terminate()
            assert server.popen.wait(60) == 0
            lines = [json.loads(line) for line in server.popen.stderr.read().splitlines()]
    assert len([line for line in lines if line["logger"].startswith("opentelemetry")]) <= 1


def test_without_an_endpoint_nothing_of_it_is_imported(run: Callable[..., Any]) -> None:
    program = (
        "import os, sys; from vectadb_server import tracing\n"
        "with tracing.exporting(os.environ):\n"
        "    with tracing.span('x', {'a': 1}) as span: span.set_attribute('b', 2)\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')], tracing.enabled())"
    )
    for variables in (
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "TRUE"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
    ):
        assert run(program, **variables) == ("[] False\n", "")


def test_what_is_missing_is_named(run: Callable[..., Any]) -> None:
    program = (
        "import logging, os, sys; from vectadb_server import logs, tracing; logs.set_up('info')\n"
        "sys.modules['opentelemetry.sdk.trace'] = None\n"
        "with tracing.exporting(os.environ): print(tracing.enabled())"
    )
    out, said = run(program, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert out == "False\n"
    assert "pip install 'vectadb-server[otel]'" in json.loads(said)["message"]
    out, said = run(program, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert "http/protobuf" in json.loads(said)["message"]


@pytest.fixture
def run() -> Callable[..., tuple[str, str]]:
    def run_program(program: str, **variables: str) -> tuple[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        command = [sys.executable, "-c", program]
        ended = subprocess.run(command, env={**kept, **variables}, capture_output=True, text=True, check=True)
        return ended.stdout, ended.stderr

    return run_program


def test_a_span_that_is_off_is_always_the_same() -> None:
    assert tracing.span("a") is tracing.span("b", {"c": 1}, kind="client")
