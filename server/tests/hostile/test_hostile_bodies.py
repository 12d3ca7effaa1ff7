"""Hostile bodies: cut, not JSON, packed wrongly, of the wrong kind, in chunks, and blocks that contradict themselves."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from server.tests.hostile import contents
from server.tests.hostile.rule import BATCH, ONE, TIME, event, healthy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.tests.hostile.rule import Server

GZIP = {"content-encoding": "gzip"}
WHOLE = f'{{"events":[{event(raw="a", properties={"x": "é", "y": [1, {}]})},{event()}],"options":{{"auto_create_traces":true}}}}'.encode()


def test_a_body_that_is_cut_anywhere_is_refused_whole(server: Server) -> None:
    for at in range(len(WHOLE)):
        assert server.ask("POST", BATCH, content=WHOLE[:at]).status_code in (400, 422), at
    one = event(raw="cut").encode()
    for at in range(len(one)):
        assert server.ask("POST", ONE, content=one[:at]).status_code in (400, 422), at


def test_a_body_with_any_byte_changed(server: Server) -> None:
    for at in range(0, len(WHOLE), 2):
        for byte in b'\xff"],':
            server.ask("POST", BATCH, content=WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :])


def test_other_shapes(server: Server) -> None:
    shapes: list[Any] = [
        None,
        1,
        "x",
        [],
        {},
        [[]],
        {"events": None},
        {"events": {}},
        {"events": "x"},
        {"event": []},
        {"events": [], "options": []},
    ]
    for shape in shapes:
        assert server.ask("POST", BATCH, content=json.dumps(shape)).status_code == 422, shape
    for body in (
        b"",
        b" ",
        b"\0",
        b"\xff\xfe[\0]\0",
        b"\xef\xbb\xbf",
        b"{" * 200_000,
        b"[" * 200_000,
        b'{"events":[' * 10_000,
        b'{"events":[],"x":' + b"[" * 100_000,
    ):
        assert server.ask("POST", BATCH, content=body).status_code in (400, 422), body[:20]
    for body in (
        json.dumps({"events": [json.loads(event())]}).encode(encoding) for encoding in ("utf-16", "utf-32", "utf-16-le")
    ):
        assert server.ask("POST", BATCH, content=body).status_code == 400
    good = [json.loads(event())]
    for options in ({"auto_create_traces": 1}, {"auto_create_traces": "x"}, "x", {"generate_embeddings": []}):
        assert server.ask("POST", BATCH, content=json.dumps({"events": good, "options": options})).status_code == 422
    for options in ({}, None, {"unknown": 1, "": 2}, {"auto_create_traces": None}):
        assert server.ask("POST", BATCH, content=json.dumps({"events": good, "options": options})).status_code == 200
    for deep in (contents.nested(100_000), contents.nested(100_000, of="{")):
        server.ask("POST", BATCH, content=f'{{"events":[{event()}],"options":{deep}}}')
        server.ask("POST", BATCH, content=f'{{"unknown":{deep},"events":[{event()}]}}')


def test_a_bom_and_duplicate_keys(server: Server) -> None:
    body = b"\xef\xbb\xbf" + f'{{"events":[{event(raw="bom")}]}}'.encode()
    assert server.ask("POST", BATCH, content=body).json()["ingested"] == 1
    twice = f'{{"events":[{event()},{event()}],"events":[{event(raw="last")}]}}'
    assert server.ask("POST", BATCH, content=twice).json()["statuses"] == ["accepted"]
    first, last = server.take(
        f'{{"timestamp":"x","timestamp":"{TIME}","raw":"first","raw":"last","properties":{{"a":1,"a":2}}}}',
        f'{{"timestamp":"{TIME}","raw":"first","raw":"last","properties":{{"a":NaN,"a":2}}}}',
    )
    for event_id in (first, last):
        if event_id is not None:
            got = server.get(f"{ONE}/{event_id}")
            assert (got["raw"], got["properties"]) == ("last", {"a": 2})


def test_bytes_that_are_no_utf8_spoil_one_event(server: Server) -> None:
    for bad in (
        b"\xed\xa0\x80",
        b"\xff",
        b"\xc0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc3",
        b"\xe2\x82",
        b"\xf8\x88\x80\x80\x80",
    ):
        for field in ("raw", "agent_id", "timestamp"):
            odd = f'{{"timestamp":"{TIME}","{field}":"a'.encode() + bad + b'b"}'
            first, taken, last = server.take(healthy(), odd, healthy())
            assert (first is not None, taken, last is not None) == (True, None, True)
        odd = b'{"timestamp":"2026-03-01T12:00:00Z","properties":{"a' + bad + b'b":1}}'
        assert server.take(healthy(), odd, healthy())[1] is None


def test_kinds_of_content(server: Server) -> None:
    taken = (
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/x+json",
        "application/cloudevents+json;a=b",
    )
    for kind in taken:
        assert server.ask("POST", BATCH, content=WHOLE, headers={"content-type": kind}).status_code == 200, kind
    wrong = (
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "json",
        ";",
        "application/",
    )
    for kind in (*wrong, "x" * 10_000):
        for path in (BATCH, ONE, "/api/v1/search"):
            server.ask("POST", path, content=WHOLE, headers={"content-type": kind})
    for encoding in ("br", "zstd", "deflate", "gzip, gzip", "x", "\x01"):
        assert server.ask("POST", BATCH, content=WHOLE, headers={"content-encoding": encoding}).status_code in (
            400,
            415,
        )


def test_wrong_gzip(server: Server) -> None:
    packed = gzip.compress(WHOLE, mtime=0)
    assert server.ask("POST", BATCH, content=packed, headers=GZIP).status_code == 200
    for at in range(len(packed)):
        assert server.ask("POST", BATCH, content=packed[:at], headers=GZIP).status_code in (400, 422), at
        server.ask("POST", BATCH, content=packed[:at] + bytes([packed[at] ^ 0x55]) + packed[at + 1 :], headers=GZIP)
    for body in (
        WHOLE,
        b"",
        b"\x1f\x8b",
        packed + b"x",
        packed + b"\0" * 1000,
        zlib.compress(WHOLE),
        gzip.compress(packed),
    ):
        assert server.ask("POST", BATCH, content=body, headers=GZIP).status_code in (400, 422), body[:10]
    assert server.ask("POST", BATCH, content=packed).status_code == 400


def test_bombs(server: Server) -> None:
    for bomb in (gzip.compress(b"[" * 40_000_000, 6), gzip.compress(b" " * 10_000_000, 6) * 3):
        assert server.ask("POST", BATCH, content=bomb, headers=GZIP).status_code == 413
    nothing = gzip.compress(b"", mtime=0) * 1000

    def without_end() -> Iterator[bytes]:
        for _ in range(2_000):
            yield nothing

    # 40 MB that decompress to nothing: ended long before.
    try:
        reply = server.ask("POST", BATCH, content=without_end(), headers=GZIP)
    except httpx.WriteError:
        pass  # it had answered, and closed the connection
    else:
        assert reply.status_code == 413


def test_chunks(server: Server) -> None:
    def in_steps(body: bytes, step: int) -> Iterator[bytes]:
        for at in range(0, len(body), step):
            yield body[at : at + step]

    for step in (1, 7, 100_000):
        assert server.ask("POST", BATCH, content=in_steps(WHOLE, step)).status_code == 200
        assert server.ask("POST", BATCH, content=in_steps(gzip.compress(WHOLE), step), headers=GZIP).status_code == 200
    assert server.ask("POST", BATCH, content=in_steps(b" " * 20_000_000, 1_000_000)).status_code == 413


def test_a_text_without_an_end_takes_no_longer_than_its_length(server: Server) -> None:
    """It was looked for again from each quote in it: 80 KB held the server for 25 s."""
    for inner in (b'\\"', b"\\\\", b'"', b'"\\', b'{"', b'["",', b'\xff\\"'):
        for before in (b'{"events":["', b'{"events":[{"raw":"', b'{"x":"', b'"'):
            assert server.ask("POST", BATCH, content=before + inner * 150_000).status_code in (400, 413, 422)


def block(**source: Any) -> str:
    return event(source={"log_group": "blocks", "log_stream": "s", "timestamp": TIME, **source})


def test_blocks_of_thousands(server: Server) -> None:
    ids = [f"thousands {number}" for number in range(5_001)]
    [whole] = server.judge(block(log_id=ids[0], log_ids=ids[:5_000], timestamps=[TIME] * 5_000))
    assert whole
    assert server.judge(block(log_id=ids[0], log_ids=ids)) == [None]
    again = server.take(block(log_id=ids[0], log_ids=ids[:5_000], timestamps=[TIME] * 5_000))
    assert again == [whole]
    # Overlapping beyond: refused, whichever way, and each record that nobody holds may come by itself.
    assert server.judge(block(log_id=ids[4_999], log_ids=ids[4_999:])) == [None]
    assert server.judge(block(log_id=ids[5_000])) != [None]
    wide = ["\0" * 1024 + str(n) for n in range(100)]
    assert server.judge(block(log_id=wide[0], log_ids=wide)) == [None]
    wide = ["\0" * 1000 + str(n) for n in range(300)]
    assert server.judge(block(log_id=wide[0], log_ids=wide)) != [None]


def test_blocks_that_contradict_themselves(server: Server) -> None:
    refused = [
        {"log_id": "a", "log_ids": ["a", "a"]},
        {"log_id": "a", "log_ids": ["a"] * 5_000},
        {"log_id": "a", "log_ids": ["b", "a"]},
        {"log_ids": ["b", "c"]},
        {"log_id": "a", "log_ids": ["a", "b"], "parts": ["0"]},
        {"log_id": "a", "log_ids": ["a", "b"], "timestamps": [TIME]},
        {"log_id": "a", "log_ids": ["a", "b"], "timestamps": [TIME, "x"]},
        {"log_id": "a", "log_ids": ["a", "b"], "parts": ["1", "0"]},
        {"log_id": "a", "log_ids": ["a", 1]},
        {"log_id": "a", "log_ids": [None]},
        {"log_id": "a", "log_ids": ["a", ["b"]]},
        {"log_id": "a", "log_ids": {"0": "a"}},
        {"log_id": "a", "log_ids": "a"},
        {"log_id": "a", "log_ids": ["a", "a", "b"], "parts": ["0", "0", "0"]},
    ]
    assert server.judge(*(block(**source) for source in refused)) == [None] * len(refused)


@pytest.mark.parametrize(
    "part", ["-1", "0.0.0", "", "٣", "0.", ".0", ".", "1.2", "9" * 1000, "0x1", "\0", "0.\ud800", "NaN", " 0", "00"]
)
def test_odd_parts(server: Server, part: str) -> None:
    ids = [f"part {part} {number}" for number in range(3)]
    texts = [
        block(log_id=ids[0], part=part, event_type="tool_call", raw="first"),
        block(log_id=ids[0], part=part, raw="second"),
        block(log_id=ids[0], part="0", raw="whole"),
        block(log_id=ids[1], part=part, log_ids=ids[1:]),
        block(log_id=ids[1], part=part, log_ids=ids[1:], parts=[part, part]),
        block(log_id=ids[1], part=f"{part}.1", log_ids=ids[1:], parts=[part, part]),
    ]
    for text in texts:
        # What was taken first stays: so the second is a duplicate of the first, where that was taken.
        server.take(healthy(), text, healthy())
    server.take(*texts)
    for log_id in ids:
        server.take(block(log_id=log_id, raw="alone"))
    server.settle()
    page = server.get(ONE, log_group="blocks", limit=1000)["events"]
    for each in page:
        assert server.get(f"{ONE}/{each['event_id']}") == each
