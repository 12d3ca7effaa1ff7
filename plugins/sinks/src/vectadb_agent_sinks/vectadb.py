"""The ``vectadb`` sink: batches of events to a VectaDB server, over HTTP."""

from __future__ import annotations

import re
import ssl
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx
import msgspec
from pydantic import ConfigDict, Field, SecretStr, field_validator

from vectadb_agent import AgentReport, Duration, Event, Figure, HeldRecord, Holding, Holdings, Result, Sink, SinkConfig
from vectadb_agent.errors import CheckError, RetryableError
from vectadb_agent_sinks import holdings, replies
from vectadb_agent_sinks.encoding import Encoded, encode_events, gzipped, takes_long
from vectadb_agent_sinks.replies import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from vectadb_agent import LogStream

BATCH_PATH = "/api/v1/events/batch"
DIGEST_PATH = "/api/v1/events/digest"
MISSING_PATH = "/api/v1/events/missing"
RECORDS_PATH = "/api/v1/events/records"
REPORTS_PATH = "/api/v1/agents/reports"
HEALTH_PATH = "/health"

COMPRESS_FROM = 1024
"""Bytes; a smaller body gains nothing from gzip."""

MAX_REPLY = 16 * 2**20
"""Bytes; the reply to the largest batch has about 1 MB, so that more than this is not VectaDB's."""

KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept: less than the 5 s after which uvicorn closes it, as a request sent into
a closing connection is lost."""

STARTED_WITHIN = 5.0
"""Seconds that a check waits for a server that does not answer yet: it may have been started a moment before."""

OUTCOMES = ("ok", "refused", "unavailable", "unanswered")
"""What may become of a request: 2xx; another status below 500; 429, 5xx; no whole reply."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\t]*")
_OWN_HEADERS = frozenset({"connection", "content-encoding", "content-length", "content-type", "host"})


class VectaDBConfig(SinkConfig):
    """Options of the ``vectadb`` sink."""

    model_config = ConfigDict(hide_input_in_errors=True)

    endpoint: str = "http://127.0.0.1:8080"
    """Address of the VectaDB server, with the path under which a proxy serves it if there is one."""
    api_key: SecretStr = SecretStr("")
    """API key, sent as ``Authorization: Bearer``; empty: none. Keep it in an environment variable."""
    timeout: Duration = Field(default=30.0, gt=0)
    """Longest time for one request, from connecting to the last byte of the reply."""
    compress: bool = True
    """Whether request bodies are compressed with gzip."""
    verify: bool = True
    """Whether the server's TLS certificate is verified. Prefer ``ca_file`` to switching this off."""
    ca_file: Path | None = None
    """Certificates (PEM) to trust instead of the public ones."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Further request headers, e.g. for a proxy."""
    auto_create_traces: bool | None = None
    """Whether the server finds a trace for events that name none; omitted: as the server has it."""
    generate_embeddings: bool | None = None
    """Whether the server makes the events searchable by meaning; omitted: as the server has it."""
    extract_relationships: bool | None = None
    """Whether the server links events to their causes; omitted: as the server has it."""

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, value: str) -> str:
        like = "should be like http://127.0.0.1:8080 or https://vectadb.example.com/prefix"
        try:
            parts = urlsplit(value)
            httpx.URL(value)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except (ValueError, httpx.InvalidURL) as error:
            raise ValueError(f"not a URL ({error}); {like}") from error
        if not usable or any(c.isspace() for c in value):
            raise ValueError(f"not an http or https URL with a host; {like}")
        if parts.username is not None or parts.password is not None:
            raise ValueError("leave credentials out of the URL: put them in 'api_key', or in 'headers' for a proxy")
        if "?" in value or "#" in value:
            raise ValueError(f"a query or fragment has no meaning here; {like}")
        path = parts.path.rstrip("/")
        if path.endswith(("/api/v1", "/api/v1/events", BATCH_PATH)):
            raise ValueError(f"leave off {path[path.rindex('/api/v1') :]!r}: the sink adds it; it {like}")
        return value.rstrip("/")

    @field_validator("api_key")
    @classmethod
    def _check_key(cls, value: SecretStr) -> SecretStr:
        key = value.get_secret_value().strip()
        if not _HEADER_VALUE.fullmatch(key) or any(c.isspace() for c in key):
            raise ValueError("an API key has no spaces, control characters or letters outside ASCII")
        return SecretStr(key)

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in value.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no header name")
            if name.lower() in _OWN_HEADERS:
                raise ValueError(f"the sink sets {name!r} itself")
            if name.lower() == "authorization":
                raise ValueError("put the key in 'api_key', which is sent as 'Authorization: Bearer'")
            if not _HEADER_VALUE.fullmatch(secret.get_secret_value()):
                raise ValueError(f"the value of {name!r} has control characters or letters outside ASCII")
        return value


class _Health(msgspec.Struct):
    status: str
    version: str


class VectaDBSink(Sink):
    """Ships events to a VectaDB server, which knows events by id: a repeated batch changes nothing."""

    name = "vectadb"
    Config = VectaDBConfig
    idempotent = True
    tells = True
    config: VectaDBConfig

    def __init__(self, config: VectaDBConfig) -> None:
        super().__init__(config)
        if config.ca_file and not config.verify:
            raise ValueError("'ca_file' and 'verify: false' contradict each other: leave out one of them")
        names = ("auto_create_traces", "generate_embeddings", "extract_relationships")
        options = {name: value for name in names if (value := getattr(config, name)) is not None}
        self._tail = b'],"options":' + msgspec.json.encode(options) + b"}" if options else b"]}"
        secrets = [secret.get_secret_value().encode() for secret in (config.api_key, *config.headers.values())]
        # Shorter ones are no secrets, and blotting them out would make replies unreadable.
        self._secrets = [secret for secret in secrets if len(secret) >= 6]
        self._client: httpx.AsyncClient | None = None
        self._requests = Counter(dict.fromkeys(OUTCOMES, 0))
        self._sent_bytes = 0
        self._seconds = 0.0

    async def __aenter__(self) -> Self:
        """Make the connection pool; connections are made when they are needed.

        Raises:
            CheckError: ``ca_file`` cannot be read.
        """
        config = self.config
        headers = {
            # A reply is small beside its request, and mostly ids: not worth compressing.
            "accept-encoding": "identity",
            "accept": "application/json",
            "user-agent": f"vectadb-agent-sinks/{version('vectadb-agent-sinks')}",
            **{name: value.get_secret_value() for name, value in config.headers.items()},
        }
        if config.api_key.get_secret_value():
            headers["authorization"] = f"Bearer {config.api_key.get_secret_value()}"
        self._client = httpx.AsyncClient(
            headers=headers,
            verify=self._tls(),
            timeout=None,  # noqa: S113 - _request bounds the whole of each request instead of its steps
            follow_redirects=False,
            # How many connections there are is the pipeline's business: it bounds the writes under way.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEP_ALIVE),
        )
        return self

    def _tls(self) -> ssl.SSLContext | bool:
        config = self.config
        if config.endpoint.startswith("http:") or not config.verify:
            return False  # also spares plain HTTP the 20 ms of reading the public certificates
        if config.ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=str(config.ca_file.expanduser()))
        except (OSError, ssl.SSLError) as error:
            text = f"ca_file {config.ca_file}: cannot be used: {error}; it should hold certificates in PEM form"
            raise CheckError(text) from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def check(self) -> list[str]:
        """Ask the server for its health, and send it a batch of no events, which proves the path and the key.

        Raises:
            CheckError: fatal if what answers is no VectaDB or wants a key where there is none; else it may pass.
        """
        config = self.config
        lines = [await self._check_health(), await self._check_key()]
        host = urlsplit(config.endpoint).hostname or ""
        if config.endpoint.startswith("http:") and self._secrets and not _loopback(host):
            lines.append("warning: the API key travels unencrypted; use an https endpoint")
        if config.endpoint.startswith("https:") and not config.verify:
            lines.append("warning: 'verify: false': anyone in between can pose as the server; use 'ca_file'")
        return lines

    async def _check_health(self) -> str:
        place = self.config.endpoint
        answer = await self._awaited_health()
        said = replies.said_by(answer)
        if answer.status >= 500 or answer.status in (408, 425, 429):
            raise CheckError(f"{place}{HEALTH_PATH} answered {answer.status}: {said}", fatal=False)
        if answer.status != 200:
            raise CheckError(str(replies.failure(answer, place)))
        try:
            health = msgspec.json.decode(answer.body, type=_Health)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            text = f"{place}{HEALTH_PATH} answers, but is no VectaDB: it says {said}. Check the sink's 'endpoint'"
            raise CheckError(text) from error
        return f"{place}: VectaDB {replies.plain(health.version)}, {replies.plain(health.status)}"

    async def _awaited_health(self) -> Answer:
        """Ask for the server's health; for some seconds again, since servers are started a moment before agents."""
        end = anyio.current_time() + STARTED_WITHIN
        while True:
            try:
                return await self._request("GET", HEALTH_PATH)
            except RetryableError as error:
                if anyio.current_time() >= end:
                    raise CheckError(f"{error}. Is VectaDB running there?", fatal=False) from error
            await anyio.sleep(STARTED_WITHIN / 20)

    async def _check_key(self) -> str:
        place, has_key = self.config.endpoint, bool(self.config.api_key.get_secret_value())
        try:
            answer = await self._request("POST", BATCH_PATH, b'{"events":[]}', {"content-type": "application/json"})
        except RetryableError as error:
            raise CheckError(str(error), fatal=False) from error
        if answer.status in (401, 403) and not has_key:
            raise CheckError(f"{place} wants an API key ({answer.status}): put one in the sink's 'api_key'")
        # An empty batch may be a mistake to the server; then it has been authenticated and understood all the same.
        if answer.status not in (200, 201, 400, 422):
            raise CheckError(str(replies.failure(answer, place)), fatal=answer.status in (404, 405))
        return "API key accepted" if has_key else "no API key needed"

    async def write(self, events: Sequence[Event]) -> Result:
        """Send the events in one request; return what the server, after its durable commit, says of each.

        Raises:
            RetryableError: no answer, or one that waiting or the user can mend: 401, 403, 404, 429, 5xx.
            PermanentError: 400 or 422.
            TooLargeError: 413.
        """
        if takes_long(events):
            encoded, body, headers = await anyio.to_thread.run_sync(self._encode, events)
        else:
            encoded, body, headers = self._encode(events)
        if not encoded.events:
            return Result(refused=encoded.refused)
        answer = await self._request("POST", BATCH_PATH, body, headers)
        result = replies.batch_result(answer, encoded.events, self.config.endpoint)
        if encoded.refused:
            result.refused = [*encoded.refused, *result.refused]
        return result

    def _encode(self, events: Sequence[Event]) -> tuple[Encoded, bytes, dict[str, str]]:
        encoded = encode_events(events)
        body, headers = self._packed(b'{"events":[' + b",".join(encoded.lines) + self._tail)
        return encoded, body, headers

    def _packed(self, body: bytes) -> tuple[bytes, dict[str, str]]:
        headers = {"content-type": "application/json"}
        if self.config.compress and len(body) >= COMPRESS_FROM:
            body = gzipped(body)
            headers["content-encoding"] = "gzip"
        return body, headers

    async def holdings(self, origin: LogStream, since: int, until: int) -> Holdings:
        """Ask the server for the counts and digests of its hours.

        Raises:
            RetryableError: it did not tell, or is too old to.
        """
        hours: list[Holding] = []
        horizon: int | None = None
        for query in holdings.digest_queries(origin, since, until):
            answer = await self._request("GET", f"{DIGEST_PATH}?{httpx.QueryParams(query)}")
            some, horizon = holdings.read_digest(answer, origin, self.config.endpoint)
            hours += some
        return Holdings(hours, horizon)

    async def missing(self, records: Sequence[tuple[str, int]]) -> set[str]:
        """Ask the server which of the records it lacks.

        Raises:
            RetryableError: it did not tell, or is too old to.
        """
        if not records:
            return set()
        body, headers = await anyio.to_thread.run_sync(lambda: self._packed(holdings.missing_body(records)))
        answer = await self._request("POST", MISSING_PATH, body, headers)
        return holdings.read_missing(answer, records, self.config.endpoint)

    async def held(
        self, origin: LogStream, since: int, until: int, after: str | None = None
    ) -> tuple[Sequence[HeldRecord], str | None]:
        """Ask the server for a page of the records that it holds.

        Raises:
            RetryableError: it did not tell, or is too old to.
        """
        query = httpx.QueryParams(holdings.records_query(origin, since, until, after))
        answer = await self._request("GET", f"{RECORDS_PATH}?{query}")
        return holdings.read_records(answer, self.config.endpoint)

    async def report(self, told: AgentReport) -> None:
        """Tell the server, whose page shows it; one that is too old to know of reports is left alone.

        Raises:
            RetryableError: there was no answer, or it refuses.
        """
        body, headers = self._packed(msgspec.json.encode(told))
        answer = await self._request("POST", REPORTS_PATH, body, headers)
        if answer.status not in (200, 404, 405):
            raise RetryableError(str(replies.failure(answer, self.config.endpoint)))

    def figures(self) -> Iterable[Figure]:
        """How many requests were made, how they ended, how much was sent and how long they took."""
        for outcome in OUTCOMES:
            text = "Requests to VectaDB, by how they ended."
            labels = (("outcome", outcome),)
            yield Figure("sink_requests_total", text, self._requests[outcome], "counter", labels)
        text = "Size of the request bodies sent to VectaDB, as sent (compressed)."
        yield Figure("sink_sent_bytes_total", text, self._sent_bytes, "counter")
        text = "Time spent waiting for replies of VectaDB, summed over all requests."
        yield Figure("sink_request_seconds_total", text, self._seconds, "counter")

    async def _request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request, and count it.

        Raises:
            RetryableError: there was no whole reply within ``timeout``.
        """
        began, outcome = time.monotonic(), "unanswered"
        try:
            answer = await self._exchange(method, path, body, headers)
            busy = answer.status == 429 or answer.status >= 500
            outcome = "unavailable" if busy else "ok" if 200 <= answer.status < 300 else "refused"
        finally:
            self._requests[outcome] += 1
            self._sent_bytes += len(body)
            self._seconds += time.monotonic() - began
        return answer

    async def _exchange(self, method: str, path: str, body: bytes, headers: Mapping[str, str] | None) -> Answer:
        """Send one request and read the whole reply, in which secrets that the server repeated are blotted out."""
        assert self._client is not None, "the sink is used outside of 'async with'"
        url, place = self.config.endpoint + path, self.config.endpoint
        try:
            with anyio.fail_after(self.config.timeout):
                async with self._client.stream(method, url, content=body, headers=headers) as response:
                    reply = bytearray()
                    async for chunk in response.aiter_bytes():
                        reply += chunk
                        if len(reply) > MAX_REPLY:
                            raise RetryableError(f"{place} replied with over {MAX_REPLY >> 20} MiB: no VectaDB does")
        except TimeoutError as error:
            raise RetryableError(f"{place} gave no whole answer within {self.config.timeout:g} s") from error
        except httpx.ConnectError as error:
            hint = ""
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                hint = "; if its certificate is from an authority of your own, name that in 'ca_file'"
            raise RetryableError(f"cannot connect to {place}: {_words(error)}{hint}") from error
        except httpx.HTTPError as error:
            raise RetryableError(f"the connection to {place} broke: {_words(error)}") from error
        for secret in self._secrets:
            if secret in reply:
                reply = reply.replace(secret, b"***")
        # The names of httpx's headers are lower-case.
        return Answer(response.status_code, dict(response.headers), bytes(reply))


def _words(error: Exception) -> str:
    return replies.plain(str(error)) or type(error).__name__


def _loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
