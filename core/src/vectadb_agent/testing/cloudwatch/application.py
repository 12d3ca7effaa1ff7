"""The application that stands in for CloudWatch Logs: its requests, its moods, and how tests drive it."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, cast

import msgspec
from werkzeug.serving import WSGIRequestHandler, make_server

from vectadb_agent.testing.cloudwatch.faults import Arrival, Dice, Faults, Quota, fate
from vectadb_agent.testing.cloudwatch.operations import AwsError, Context, call
from vectadb_agent.testing.cloudwatch.store import Key, LogStore, Put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

_ACCESS_KEY = re.compile(r"Credential=([^/,\s]+)/")


class _PutRequest(msgspec.Struct):
    group: str
    stream: str
    events: list[Put]


class CloudWatch:
    """The application. Its methods may be called from any thread; what they say of times is in milliseconds."""

    def __init__(
        self,
        *,
        seed: int = 0,
        account: str = "123456789012",
        region: str = "us-east-1",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = LogStore(account, region)
        self.faults = Faults()
        self.arrivals: list[Arrival] = []
        self._dice = Dice(seed)
        self._quota = Quota()
        self.clock = clock
        self._lock = threading.Lock()
        self._closing = threading.Event()

    @property
    def now(self) -> int:
        """The present, milliseconds."""
        return int(self.clock() * 1000)

    def put(self, group: str, stream: str, events: Iterable[Put]) -> int:
        """Put events, which become visible after their lag; create group and stream where they lack."""
        with self._lock:
            there = self.store.groups.get(group) or self.store.create_group(group, self.now)
            return self.store.put(there, stream, events, self.now)

    def ledger(self, *groups: str) -> dict[Key, str]:
        """Every record ever put (into ``groups``, if any are named), with its message."""
        with self._lock:
            return self.store.ledger(*groups)

    def count(self, *groups: str) -> int:
        """How many records were ever put (into ``groups``, if any are named)."""
        with self._lock:
            return self.store.count(*groups)

    def all_visible(self) -> bool:
        """Whether all that was put is visible by now."""
        with self._lock:
            return all(group.visible(self.now) for group in self.store.groups.values())

    def close(self) -> None:
        """Let go of the requests that hang."""
        self._closing.set()

    def requests(self, operation: str, group: str | None = None) -> list[Arrival]:
        """The requests of one operation so far, of one group or of all."""
        return [
            arrival
            for arrival in list(self.arrivals)
            if arrival.operation == operation and group in (None, arrival.group)
        ]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one HTTP request.

        Raises:
            ConnectionAbortedError: on purpose: the connection has been cut.
        """
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        path = environ["PATH_INFO"]
        if path.startswith("/_rig/"):
            status, answer = self._control(environ["REQUEST_METHOD"], path.removeprefix("/_rig/"), body)
        else:
            operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
            status, answer = self._aws(operation, json.loads(body or b"{}"), environ)
        content = _encoded(answer)
        headers = [
            ("Content-Type", "application/x-amz-json-1.1"),
            ("Content-Length", str(len(content))),
        ]
        start_response(f"{status} {'OK' if status == 200 else 'Error'}", headers)
        return [content]

    def _aws(self, operation: str, request: dict[str, Any], environ: WSGIEnvironment) -> tuple[int, Any]:
        faults, group = self.faults, request.get("logGroupName") or ""
        arrival = Arrival(time.monotonic(), operation, group)
        with self._lock:
            self.arrivals.append(arrival)
            dice = self._dice.next(operation, group)
        falls = "hang" if group in faults.hanging else fate(faults, dice)
        if faults.delay:
            self._closing.wait(faults.delay)
        try:
            if falls == "hang":
                arrival.code = "hang"
                self._hang(faults)
            if falls in ("drop", "hang"):
                arrival.code = arrival.code or "drop"
                _cut(environ)
            self._admit(operation, environ, faults, arrival.at)
            if falls == "error":
                raise AwsError(*dice.choice(_OWN_FAULTS))
            with self._lock:
                answer = call(operation, request, Context(self.store, faults, dice, self.now))
            arrival.events = len(answer.get("events", ()))
        except AwsError as error:
            arrival.code = error.code
            return error.status, {"__type": error.code, "message": str(error)}
        if falls == "drop_after":
            arrival.code = "drop"
            _cut(environ)
        return 200, answer

    def _hang(self, faults: Faults) -> None:
        end = time.monotonic() + faults.hang_seconds
        while self.faults is faults and time.monotonic() < end and not self._closing.wait(0.05):
            pass

    def _admit(self, operation: str, environ: WSGIEnvironment, faults: Faults, now: float) -> None:
        found = _ACCESS_KEY.search(environ.get("HTTP_AUTHORIZATION", ""))
        key = found[1] if found else ""
        if key in faults.expired:
            raise AwsError("ExpiredTokenException", "The security token included in the request is expired")
        if faults.keys is not None and key not in faults.keys:
            raise AwsError("UnrecognizedClientException", "The security token included in the request is invalid.")
        limit = faults.quota.get(operation)
        if limit is not None:
            with self._lock:
                if self._quota.refuses(operation, limit, now):
                    raise AwsError("ThrottlingException", "Rate exceeded")

    def _control(self, method: str, what: str, body: bytes) -> tuple[int, Any]:
        try:
            match method, what:
                case "POST", "put":
                    asked = msgspec.convert(json.loads(body), _PutRequest)
                    return 200, {"put": self.put(asked.group, asked.stream, asked.events)}
                case "POST", "faults":
                    self.faults = msgspec.json.decode(body, type=Faults)
                    return 200, {}
                case "GET", "faults":
                    return 200, self.faults
                case "GET", "ledger":
                    return 200, [[*key, message] for key, message in self.ledger().items()]
                case "GET", "arrivals":
                    return 200, list(self.arrivals)
                case "GET", "visible":
                    return 200, self.all_visible()
        except (msgspec.ValidationError, ValueError) as error:
            return 422, {"message": str(error)}
        return 404, {"message": f"{method} /_rig/{what} is not among put, faults, ledger, arrivals, visible"}


_OWN_FAULTS = (
    ("InternalFailure", "An internal error occurred", 500),
    ("ServiceUnavailableException", "The service cannot complete the request.", 503),
)


def _cut(environ: WSGIEnvironment) -> None:
    """Cut the connection.

    Raises:
        ConnectionAbortedError: always, for werkzeug to give the request up.
    """
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError("cut on purpose")


def _encoded(answer: Any) -> bytes:
    try:
        return msgspec.json.encode(answer)
    except UnicodeEncodeError:  # half of a surrogate pair is legal for AWS, and not for msgspec
        return json.dumps(msgspec.to_builtins(answer)).encode()


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one piece: two would cost 40 ms, by Nagle's rule and delayed acknowledgements
    disable_nagle_algorithm = True

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The ``Date`` of each answer: the agent takes it for AWS's clock."""
        application = cast("CloudWatch", self.server.app)
        return formatdate(application.clock() + application.faults.clock_skew, usegmt=True)

    def log(self, *_: Any, **__: Any) -> None:
        """Keep quiet."""


@contextlib.contextmanager
def served(application: CloudWatch, port: int = 0) -> Iterator[str]:
    """Serve the application from a thread while the block lasts; yield its address."""
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=_Handler)
    server.daemon_threads = True  # type: ignore[attr-defined] # of socketserver.ThreadingMixIn
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        application.close()
        server.shutdown()
        thread.join()
        server.server_close()
