from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import anyio
import boto3
import pytest
from hypothesis import HealthCheck, settings
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import run_wsgi_app

settings.register_profile(
    "cloudwatch", derandomize=True, max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("cloudwatch")

ACCOUNT = "123456789012"
REGION = "eu-west-1"

Forward = Callable[..., tuple[int, dict[str, Any]]]
Hook = Callable[[dict[str, Any], Forward], tuple[int, dict[str, Any]]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FaultyMoto:
    """moto's CloudWatch Logs behind a layer that does what the real one does and moto does not."""

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self.hooks: dict[str, Hook] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        hook = self.hooks.get(operation)
        if operation:
            self.calls.append((operation, json.loads(body)))

        def forward(request: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
            status, reply = self._forward(environ, body if request is None else json.dumps(request).encode())
            return status, json.loads(reply or b"{}")

        if hook is None:
            status, content = self._forward(environ, body)
        else:
            status, reply = hook(json.loads(body), forward)
            content = json.dumps(reply).encode()
        start_response(f"{status} X", [("Content-Type", "application/x-amz-json-1.1")])
        return [content]

    def _forward(self, environ: dict[str, Any], body: bytes) -> tuple[int, bytes]:
        from io import BytesIO

        inner = environ | {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        chunks, status, _ = run_wsgi_app(self._app, inner, buffered=True)
        return int(status.split()[0]), b"".join(chunks)

    def requests(self, operation: str) -> list[dict[str, Any]]:
        return [body for name, body in self.calls if name == operation]


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any, **__: Any) -> None:
        pass


class Aws:
    """A peer to read from, and a client to write to it with."""

    def __init__(self, faults: FaultyMoto, url: str) -> None:
        self.faults = faults
        self.client = boto3.client(
            "logs", region_name=REGION, endpoint_url=url, aws_access_key_id="k", aws_secret_access_key="s"
        )

    def group(self, name: str | None = None, *streams: str) -> str:
        name = name or f"/test/{uuid.uuid4().hex[:8]}"
        self.client.create_log_group(logGroupName=name)
        for stream in streams or ("s",):
            self.client.create_log_stream(logGroupName=name, logStreamName=stream)
        return name

    def put(self, group: str, *messages: str, stream: str = "s", age: float = 1.0, at: int | None = None) -> int:
        """Put messages dated ``age`` seconds ago, or ``at`` ms; all in one millisecond. Return that time in ms."""
        timestamp = now_ms() - int(age * 1000) if at is None else at
        events = [{"timestamp": timestamp, "message": message} for message in messages]
        reply = self.client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
        assert "rejectedLogEventsInfo" not in reply
        return timestamp


class Reports(logging.Handler):
    """What the source has logged; a test waits for it instead of for time to pass."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self._changed = anyio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def saying(self, words: str, log_group: str = "") -> logging.LogRecord:
        with anyio.fail_after(20):
            while True:
                for record in self.records:
                    if words in record.getMessage() and log_group in getattr(record, "log_group", ""):
                        return record
                await self._changed.wait()


@pytest.fixture
def reports() -> Iterator[Reports]:
    logger, handler = logging.getLogger("vectadb_agent.cloudwatch"), Reports()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(level)
    logger.removeHandler(handler)


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture(autouse=True)
def _own_quotas(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test shares a bucket with another, or with what else this user runs on the machine."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))


@pytest.fixture(scope="session")
def moto_server() -> Iterator[Aws]:
    faults = FaultyMoto()
    server = make_server("127.0.0.1", 0, faults, threaded=True, request_handler=_Quiet)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    peer = Aws(faults, f"http://127.0.0.1:{server.server_port}")
    yield peer
    peer.client.close()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def aws(moto_server: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    from moto.logs.models import logs_backends

    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    faults = moto_server.faults
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server.client.meta.endpoint_url)
    logs_backends.reset()
    faults.hooks.clear()
    faults.calls.clear()
    yield moto_server
    faults.hooks.clear()
