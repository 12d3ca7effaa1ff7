"""The ``vectadb`` sink against real HTTP: what it sends, and what it makes of every kind of answer."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import ssl
import threading
from email.utils import format_datetime

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from vectadb_agent import Block
from vectadb_agent.errors import CheckError, PermanentError, RetryableError, TooLargeError
from vectadb_agent_sinks.encoding import encode_events
from vectadb_agent_sinks.vectadb import VectaDBConfig, VectaDBSink

pytestmark = pytest.mark.anyio

SECRET = "sk-very-secret-0123456789"


def sink_for(peer, **options):
    return VectaDBSink(VectaDBConfig(**{"type": "vectadb", "endpoint": peer.url, **options}))


async def write(peer, events, **options):
    async with sink_for(peer, **options) as sink:
        return await sink.write(events)


async def error_of(peer, events, **options):
    with pytest.raises((RetryableError, PermanentError)) as caught:
        await write(peer, events, **options)
    return caught.value


# --- What is sent


async def test_a_batch_is_posted_as_the_api_takes_it(peer, make_event):
    events = [make_event(0), make_event(1, properties={"level": "INFO", "deep": {"a": [1, None]}})]
    result = await write(peer, events)
    (request,) = peer.requests
    assert (request.method, request.path) == ("POST", "/api/v1/events/batch")
    assert request.json == {"events": [event.wire() for event in events]}
    assert request.headers["content-type"] == "application/json"
    assert "authorization" not in request.headers
    assert (list(result.duplicate), list(result.expired), list(result.refused)) == ([], [], [])


async def test_options_that_are_set_are_sent_and_only_those(peer, make_event):
    await write(peer, [make_event()], generate_embeddings=False, auto_create_traces=True)
    assert peer.requests[0].json["options"] == {"auto_create_traces": True, "generate_embeddings": False}


async def test_key_and_headers_are_sent_and_a_path_prefix_is_kept(peer, make_event):
    endpoint = peer.url + "/tools/vectadb/"
    await write(peer, [make_event()], endpoint=endpoint, api_key=f" {SECRET}\n", headers={"X-Team": "agents"})
    request = peer.requests[0]
    assert request.path == "/tools/vectadb/api/v1/events/batch"
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.headers["x-team"] == "agents"


@pytest.mark.parametrize(
    ("text", "compress", "gzipped"), [("x" * 5000, True, True), ("x" * 5000, False, False), ("x", True, False)]
)
async def test_bodies_from_1_kib_are_gzipped(peer, make_event, text, compress, gzipped):
    await write(peer, [make_event(text=text)], compress=compress)
    request = peer.requests[0]
    assert ("content-encoding" in request.headers) == gzipped
    assert (len(request.raw) < 1024) == (gzipped or text == "x")
    assert request.json["events"][0]["raw"] == text


async def test_connections_are_kept_alive_and_reused(peer, make_event):
    async with sink_for(peer) as sink:
        for number in range(5):
            await sink.write([make_event(number)])
    assert [request.connection for request in peer.requests] == [1] * 5


async def test_concurrent_writes_each_get_their_own_answer(peer, make_event):
    results = {}

    async def one(sink, number):
        peer_reply = await sink.write([make_event(number)])
        results[number] = peer_reply

    async with sink_for(peer) as sink, anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(one, sink, number)
    assert len(results) == 20
    assert sorted(request.json["events"][0]["event_id"] for request in peer.requests) == sorted(
        f"id-{number}" for number in range(20)
    )


@pytest.mark.parametrize(("count", "in_loop"), [(5, True), (1500, False)])
async def test_a_long_batch_is_encoded_beside_the_event_loop(peer, make_event, monkeypatch, count, in_loop):
    threads = []

    def spy(events):
        threads.append(threading.get_ident())
        return encode_events(events)

    monkeypatch.setattr("vectadb_agent_sinks.vectadb.encode_events", spy)
    await write(peer, [make_event(number, text="y" * 1000) for number in range(count)])
    assert [event["event_id"] for event in peer.requests[0].json["events"]] == [f"id-{n}" for n in range(count)]
    assert [thread == threading.get_ident() for thread in threads] == [in_loop]


async def test_an_event_that_is_no_json_is_refused_without_its_batch(peer, make_event):
    deep = []
    for _ in range(5000):
        deep = [deep]
    bad = [
        make_event(1, properties={"a": "\ud800"}),
        make_event(2, properties={"a": deep}),
        make_event(4, timestamp=10**20),
    ]
    peer.says(200, {"ingested": 1, "duplicates": 1, "expired": 0, "failed": 0, "statuses": ["accepted", "duplicate"]})
    result = await write(peer, [make_event(0), bad[0], bad[1], make_event(3), bad[2]])
    assert [event["event_id"] for event in peer.requests[0].json["events"]] == ["id-0", "id-3"]
    assert [(event_id, retryable) for event_id, _, retryable in result.refused] == [
        ("id-1", False),
        ("id-2", False),
        ("id-4", False),
    ]
    assert "cannot be written as JSON" in result.refused[0][1]
    assert list(result.duplicate) == ["id-3"]


async def test_when_no_event_can_be_sent_nothing_is_asked(peer, make_event):
    result = await write(peer, [make_event(properties={"a": "\udfff"})])
    assert peer.requests == []
    assert len(result.refused) == 1


# --- What becomes of each event


async def test_statuses_say_what_became_of_each_event(peer, make_event):
    peer.says(
        200,
        {
            "ingested": 1, "duplicates": 1, "expired": 1, "failed": 3,
            "statuses": ["duplicate", "failed", "accepted", "expired", "failed", "failed"],
            "errors": [
                {"index": 5, "error": "conflict, try again", "retryable": True},
                {"index": 1, "error": "timestamp: not RFC 3339"},
            ],
        },
    )  # fmt: skip
    result = await write(peer, [make_event(number) for number in range(6)])
    assert list(result.duplicate) == ["id-0"]
    assert list(result.expired) == ["id-3"]
    assert list(result.refused) == [
        ("id-1", "timestamp: not RFC 3339", False),
        ("id-4", "the server gave no reason", False),
        ("id-5", "conflict, try again", True),
    ]


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("counts", [("ingested", "failed"), ("ingested_count", "failed_count")])
async def test_without_statuses_the_counts_and_errors_hold(peer, make_event, status, counts):
    ingested, failed = counts
    peer.says(status, {ingested: 1, "duplicates": 1, failed: 1, "errors": [{"index": 2, "error": "bad"}]})
    result = await write(peer, [make_event(number) for number in range(3)])
    assert list(result.refused) == [("id-2", "bad", False)]
    assert list(result.duplicate) == []


@pytest.mark.parametrize(
    ("error", "reason"), [("no object", "invalid: no object"), ("invalid: a", "invalid: a"), ("", "invalid")]
)
async def test_a_code_stands_before_its_reason(peer, make_event, error, reason):
    refusal = {"index": 0, "error": error, "code": "invalid"}
    peer.says(200, {"ingested": 0, "failed": 1, "errors": [refusal], "statuses": ["failed"]})
    result = await write(peer, [make_event()])
    assert list(result.refused) == [("id-0", reason, False)]


def block_of(make_event, number, records):
    event = make_event(number)
    (record,) = event.block.records
    event.block = Block((record,) * records, ("a line",) * records, ("0",) * records)
    return event


async def test_a_block_that_overlaps_others_comes_back_with_its_unclaimed_records(peer, make_event):
    refusal = {"index": 1, "error": "records are held", "code": "partial_overlap", "unclaimed": [0, 2]}
    peer.says(200, {"ingested": 1, "failed": 1, "errors": [refusal], "statuses": ["accepted", "failed"]})
    result = await write(peer, [make_event(0), block_of(make_event, 1, 3)])
    assert [(event_id, list(unclaimed)) for event_id, unclaimed in result.overlapping] == [("id-1", [0, 2])]
    assert list(result.refused) == []


@pytest.mark.parametrize("unclaimed", [[3], [-1], [0, 7]])
async def test_unclaimed_records_that_the_block_has_not_are_no_answer(peer, make_event, unclaimed):
    refusal = {"index": 0, "error": "records are held", "code": "partial_overlap", "unclaimed": unclaimed}
    peer.says(200, {"ingested": 0, "failed": 1, "errors": [refusal], "statuses": ["failed"]})
    assert isinstance(await error_of(peer, [block_of(make_event, 0, 3)]), RetryableError)


@pytest.mark.parametrize("unclaimed", [None, []])
async def test_an_overlap_that_names_no_record_is_refused(peer, make_event, unclaimed):
    refusal = {"index": 0, "error": "records are held", "code": "partial_overlap", "unclaimed": unclaimed}
    peer.says(200, {"ingested": 0, "failed": 1, "errors": [refusal], "statuses": ["failed"]})
    result = await write(peer, [block_of(make_event, 0, 3)])
    assert list(result.refused) == [("id-0", "partial_overlap: records are held", False)]
    assert list(result.overlapping) == []


NOT_A_BATCH_REPLY = [
    b"",
    b"<html>It works!</html>",
    b'{"ingested": 2, "fai',
    b"[]",
    b"\xff\xfe",
    {},
    {"ingested": 1},
    {"ingested": 3},
    {"ingested": "2"},
    {"ingested": 1, "failed": 1},
    {"ingested": 1, "failed": 1, "errors": [{"index": 2, "error": "bad"}]},
    {"ingested": 1, "failed": 1, "errors": [{"index": -1, "error": "bad"}]},
    {"ingested": 2, "statuses": ["accepted"]},
    {"ingested": 2, "statuses": ["accepted"] * 3},
    {"ingested": 2, "statuses": ["accepted", "taken"]},
    {"ingested": 2, "statuses": ["accepted", "duplicate"], "errors": [{"index": 1, "error": "bad"}]},
]


@pytest.mark.parametrize("body", NOT_A_BATCH_REPLY, ids=str)
async def test_a_reply_that_does_not_account_for_each_event_is_tried_again(peer, make_event, body):
    peer.says(200, body)
    error = await error_of(peer, [make_event(0), make_event(1)])
    assert isinstance(error, RetryableError)
    assert peer.url in str(error)


# --- Whole batches that are not taken


@pytest.mark.parametrize("status", [400, 422])
async def test_what_the_server_will_never_take_is_permanent(peer, make_event, status):
    peer.says(status, {"error": "bad_request", "message": "events: expected an array"})
    error = await error_of(peer, [make_event()])
    assert type(error) is PermanentError
    assert "events: expected an array" in str(error)


async def test_a_proxys_page_says_nothing_of_the_events(peer, make_event):
    peer.says(400, b"<html>Bad Gateway</html>", headers={"content-type": "text/html; charset=utf-8"})
    assert isinstance(await error_of(peer, [make_event()]), RetryableError)


async def test_too_large_is_told_apart(peer, make_event):
    peer.says(413, b"<html>too large</html>")
    assert isinstance(await error_of(peer, [make_event()]), TooLargeError)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 202, 204, 409, 418])
async def test_what_may_pass_is_tried_again(peer, make_event, status):
    peer.says(status, {"error": "x", "message": "not\nnow"} if status != 204 else b"")
    error = await error_of(peer, [make_event()])
    assert isinstance(error, RetryableError)
    assert str(status) in str(error)
    assert "not now" in str(error) or status == 204


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (401, {}, "api_key"),
        (403, {}, "api_key"),
        (404, {}, "'endpoint'"),
        (415, {}, "compress: false"),
        (301, {"location": "https://elsewhere.example/x"}, "https://elsewhere.example/x"),
        (307, {"location": "/api/v1/events/batch"}, "not followed"),
    ],
)
async def test_what_the_user_can_mend_is_tried_again_and_says_how(peer, make_event, status, headers, words):
    peer.says(status, {"error": "x", "message": "no"}, headers=headers)
    error = await error_of(peer, [make_event()], api_key=SECRET)
    assert isinstance(error, RetryableError)
    assert words in str(error)
    assert peer.url in str(error)
    assert len(peer.requests) == 1


NOW = datetime.datetime(2026, 1, 1, 12, 0, 0, tzinfo=datetime.UTC)


def http_date(seconds):
    return format_datetime(NOW + datetime.timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        (http_date(90), 90.0),
        (http_date(-90), 0.0),
        ("soon", None),
        ("-1", None),
        ("nan", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_honoured_in_both_its_forms(peer, make_event, status, value, seconds):
    peer.says(status, {"error": "x", "message": "wait"}, headers={"retry-after": value, "date": http_date(0)})
    error = await error_of(peer, [make_event()])
    assert error.retry_after == seconds


# --- Connections that fail


@pytest.mark.parametrize("send", [0, 10, 100], ids=["before the reply", "in its head", "in its body"])
async def test_a_cut_connection_is_tried_again_and_the_sink_goes_on(peer, make_event, send):
    whole = {"ingested": 1, "statuses": ["accepted"]}
    async with sink_for(peer) as sink:
        await sink.write([make_event(0)])
        peer.says(200, whole, send=send)
        with pytest.raises(RetryableError, match="broke"):
            await sink.write([make_event(1)])
        result = await sink.write([make_event(1)])
    assert list(result.refused) == []
    assert [request.connection for request in peer.requests] == [1, 1, 2]


async def test_a_whole_reply_counts_though_the_connection_is_cut_behind_it(peer, make_event):
    peer.says(200, {"ingested": 0, "duplicates": 1, "statuses": ["duplicate"]}, send=10_000)
    async with sink_for(peer) as sink:
        result = await sink.write([make_event()])
        await sink.write([make_event()])
    assert list(result.duplicate) == ["id-0"]


async def test_a_server_that_does_not_answer_is_left_after_the_timeout(peer, make_event):
    peer.says(200, hang=True)
    error = await error_of(peer, [make_event()], timeout="50ms")
    assert isinstance(error, RetryableError)
    assert "0.05 s" in str(error)


async def test_nobody_listening_is_tried_again(make_peer, make_event):
    async with make_peer().listening() as peer:
        pass
    error = await error_of(peer, [make_event()])
    assert isinstance(error, RetryableError)
    assert "cannot connect" in str(error)
    assert peer.url in str(error)


async def test_a_reply_without_end_is_not_read_to_it(peer, make_event, monkeypatch):
    monkeypatch.setattr("vectadb_agent_sinks.vectadb.MAX_REPLY", 100_000)
    peer.says(200, b" " * 200_000)
    assert isinstance(await error_of(peer, [make_event()]), RetryableError)


# --- TLS


@pytest.fixture
def certificate(tmp_path):
    """A certificate for 127.0.0.1 that only itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test peer")])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "peer.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
async def tls_peer(anyio_backend, make_peer, certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with make_peer().listening(context) as peer:
        yield peer


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tls_peer, make_event):
    error = await error_of(tls_peer, [make_event()])
    assert isinstance(error, RetryableError)
    assert "ca_file" in str(error)
    assert tls_peer.requests == []


async def test_ca_file_names_whom_to_trust(tls_peer, make_event, certificate):
    await write(tls_peer, [make_event()], ca_file=certificate)
    assert len(tls_peer.requests) == 1


async def test_verification_can_be_switched_off_and_check_warns_of_it(tls_peer, make_event):
    async with sink_for(tls_peer, verify=False) as sink:
        await sink.write([make_event()])
        assert "verify: false" in (await sink.check())[-1]


async def test_a_ca_file_that_is_none_is_said_at_once(peer, tmp_path):
    for path in (tmp_path / "absent.pem", tmp_path):
        sink = sink_for(peer, endpoint="https://127.0.0.1:1", ca_file=path)
        with pytest.raises(CheckError, match=r"ca_file.*PEM"):
            await sink.__aenter__()


# --- check()


async def check(peer, **options):
    async with sink_for(peer, **options) as sink:
        return await sink.check()


async def test_check_says_what_it_found(peer):
    lines = await check(peer, api_key=SECRET)
    assert lines == [f"{peer.url}: VectaDB 0.1.0, ok", "API key accepted"]
    assert [(request.method, request.path) for request in peer.requests] == [
        ("GET", "/health"),
        ("POST", "/api/v1/events/batch"),
    ]
    assert peer.requests[1].json == {"events": []}


@pytest.mark.parametrize("status", [400, 422])
async def test_check_is_content_when_an_empty_batch_is_refused(peer, status):
    peer.says(200, {"status": "ok", "version": "1"})
    peer.says(status, {"error": "x", "message": "no events"})
    assert (await check(peer))[1] == "no API key needed"


@pytest.mark.parametrize(
    ("replies", "fatal"),
    [
        ([(200, b"<html>hello</html>")], True),
        ([(200, {"hello": "world"})], True),
        ([(404, b"")], True),
        ([(302, b"")], True),
        ([(503, {"error": "x", "message": "starting"})], False),
        ([(429, b"")], False),
        ([None, (401, b"")], True),
        ([None, (404, b"")], True),
        ([None, (500, b"")], False),
    ],
)
async def test_check_tells_what_waiting_cannot_mend(peer, replies, fatal):
    for reply in replies:
        status, body = reply or (200, {"status": "ok", "version": "1"})
        peer.says(status, body)
    with pytest.raises(CheckError) as caught:
        await check(peer)
    assert caught.value.fatal is fatal
    assert peer.url in str(caught.value)


async def test_check_of_a_key_that_is_not_valid_is_not_fatal(peer):
    peer.says(200, {"status": "ok", "version": "1"})
    peer.says(401, {"error": "x", "message": "unknown key"})
    with pytest.raises(CheckError, match="api_key") as caught:
        await check(peer, api_key=SECRET)
    assert not caught.value.fatal


async def test_check_waits_for_a_server_that_was_started_a_moment_before(peer):
    peer.says(200, send=0)  # a connection that ends without a reply
    assert (await check(peer))[0] == f"{peer.url}: VectaDB 0.1.0, ok"
    assert [request.path for request in peer.requests] == ["/health", "/health", "/api/v1/events/batch"]


async def test_check_of_a_server_that_is_not_there_is_not_fatal(make_peer, monkeypatch):
    monkeypatch.setattr("vectadb_agent_sinks.vectadb.STARTED_WITHIN", 0.05)
    async with make_peer().listening() as peer:
        pass
    with pytest.raises(CheckError, match="Is VectaDB running") as caught:
        await check(peer)
    assert not caught.value.fatal


async def test_check_warns_of_a_key_in_the_clear(peer, monkeypatch):
    monkeypatch.setattr("vectadb_agent_sinks.vectadb._loopback", lambda host: False)
    assert "unencrypted" in (await check(peer, api_key=SECRET))[-1]
    assert len(await check(peer)) == 2


# --- Secrets


async def test_secrets_are_in_no_repr_error_or_log(peer, make_event, caplog):
    caplog.set_level(logging.DEBUG)
    header = "another-secret-value"
    sink = sink_for(peer, api_key=SECRET, headers={"X-Proxy-Key": header})
    said = [repr(sink), repr(sink.config), str(sink.config), sink.config.model_dump_json()]
    echo = {"error": "x", "message": f"I got Bearer {SECRET} and {header}"}
    async with sink:
        await sink.write([make_event()])
        for status in (400, 401, 403, 404, 413, 500, 200):
            peer.says(status, echo)
            with pytest.raises((RetryableError, PermanentError)) as caught:
                await sink.write([make_event()])
            said.append(str(caught.value))
        peer.says(404, echo)
        with pytest.raises(CheckError) as failed:
            await sink.check()
        said.append(str(failed.value))
        said.append(repr(vars(sink)["_client"]))
    assert peer.requests[0].headers["x-proxy-key"] == header
    for text in (*said, caplog.text):
        assert SECRET not in text
        assert header not in text


# --- Configuration


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"endpoint": "localhost:8080"}, "http://127.0.0.1:8080"),
        ({"endpoint": "ftp://host"}, "http://127.0.0.1:8080"),
        ({"endpoint": "http://"}, "with a host"),
        ({"endpoint": "http://host:99999"}, "not a URL"),
        ({"endpoint": "http://ho st"}, "http://127.0.0.1:8080"),
        ({"endpoint": f"http://user:{SECRET}@host"}, "api_key"),
        ({"endpoint": "http://host?x=1"}, "query"),
        ({"endpoint": "http://host/api/v1/"}, "leave off '/api/v1'"),
        ({"endpoint": "http://host/pre/api/v1/events/batch"}, "leave off '/api/v1/events/batch'"),
        ({"api_key": f"{SECRET} with spaces"}, "no spaces"),
        ({"api_key": f"{SECRET}\r\nX-Evil: 1"}, "no spaces"),
        ({"headers": {"a b": SECRET}}, "no header name"),
        ({"headers": {"X-A": f"{SECRET}\nX-B: c"}}, "control characters"),
        ({"headers": {"Content-Length": "1"}}, "itself"),
        ({"headers": {"Authorization": SECRET}}, "api_key"),
        ({"timeout": "0s"}, "greater than 0"),
        ({"flush": True}, "Extra inputs"),
    ],
)
def test_a_mistaken_option_is_refused_with_what_would_be_right(options, words):
    with pytest.raises(ValidationError) as caught:
        VectaDBConfig(type="vectadb", **options)
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_ca_file_without_verification_contradicts_itself(tmp_path):
    with pytest.raises(ValueError, match="contradict"):
        VectaDBSink(VectaDBConfig(type="vectadb", verify=False, ca_file=tmp_path / "ca.pem"))
