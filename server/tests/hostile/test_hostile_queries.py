"""Hostile questions: query strings, cursors, paths, headers and search bodies. Answered or refused, never by 500."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from server.tests.hostile import contents
from server.tests.hostile.rule import BATCH, ONE, TIME, event

if TYPE_CHECKING:
    from server.tests.hostile.rule import Server

PARAMETERS = {
    ONE: (
        *("trace", "session", "agent", "type", "log_group", "log_stream", "since", "until", "limit", "cursor"),
        *("request_id", "level", "error", "tool", "model", "q", "fields", "format"),
    ),
    "/api/v1/traces": (
        *("status", "agent", "session", "basis", "since", "until", "limit", "cursor"),
        *("request_id", "tool", "model", "min_duration", "error", "q", "fields", "format"),
    ),
    "/api/v1/sessions": ("since", "until", "limit", "cursor", "fields", "format"),
    "/api/v1/agents": ("since", "until", "limit", "cursor", "fields", "format"),
    "/api/v1/stats": ("since", "until", "bucket"),
    "/api/v1/events/digest": ("log_group", "since", "until"),
}
NUMBERS = ("0", "-1", "1001", "1.0", "1e3", "1_0", "0x1", "٣", "9" * 5000, str(2**63), str(2**70), "NaN", "true", " 1")
BUCKETS = ("0s", "1s", "999999999w", "9" * 400 + "d", "1", "s", "-1h", "1h1h", "٣h")
WHENS = (
    *contents.TIMES,
    "-999999999w",
    "-0s",
    "-1",
    "--1h",
    "-1y",
    "-٣d",
    "now",
    "NOW",
    "-9999999999s",
    "T",
    "2026-03-01T12:00:00 02:00",
)


def percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("path", PARAMETERS)
def test_any_text_in_any_parameter(server: Server, path: str) -> None:
    server.take(event(session_id="s", agent_id="a", raw="something to find"))
    texts = (*contents.TEXTS.values(), contents.TOO_LONG, "x" * 20_000, *contents.KEYS, *NUMBERS)
    # Odd times and lengths of time only where such are read.
    more = {"bucket": BUCKETS, "min_duration": BUCKETS, "since": WHENS, "until": WHENS}
    for name in PARAMETERS[path]:
        for text in (*texts, *more.get(name, (BUCKETS[0], WHENS[0]))):
            server.ask("GET", f"{path}?{name}={percent(text)[:60_000]}")


@pytest.mark.parametrize("path", PARAMETERS)
def test_query_strings_that_are_none(server: Server, path: str) -> None:
    names = PARAMETERS[path]
    for query in (
        "&&&&",
        "=",
        "==",
        "a",
        "%",
        "%zz",
        "%00",
        "%ff=%fe",
        "?",
        ";",
        "+",
        "a[]=1",
        "limit",
        "limit=",
        "&".join(["since=-1h"] * 500),
    ):
        server.ask("GET", f"{path}?{query}")
    server.ask("GET", f"{path}?" + "&".join(f"x{n}=1" for n in range(3000)))
    for name in contents.TEXTS.values():
        assert server.ask("GET", f"{path}?{percent(name + 'x')[:60_000]}=1").status_code == 400
    for name in names:
        # Types and levels may be several; none of the others.
        several = path == ONE and name in ("type", "level")
        assert server.ask("GET", f"{path}?{name}=1&{name}=2").status_code == (200 if several else 400)
    if path == ONE:
        many = ",".join(map(str, range(5_000)))
        assert server.ask("GET", f"{path}?level={many}").status_code == 400


def cursor(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_forged_cursors(server: Server) -> None:
    server.take(*(event(raw=str(n), trace_id=f"cursor {n}") for n in range(3)))
    server.settle()
    for path in (ONE, "/api/v1/traces"):
        real = server.get(path, limit=1)["next_cursor"]
        assert real
        held = json.loads(base64.urlsafe_b64decode(real + "=" * (-len(real) % 4)))
        us, id_ = (held["us"], held["id"]) if isinstance(held, dict) else held
        odd = (0, -1, 2**62, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, -(2**63) - 1, 2**64, 2**70, -(2**70), 1.5, "1")
        forged: list[tuple[object, object]] = [(value, id_) for value in (*odd, None, True, [], {})]
        forged += [
            (us, value)
            for value in (*contents.TEXTS.values(), *contents.KEYS, None, 1, [], {}, "0" * 32, "f" * 36, "x" * 10_000)
        ]
        for us_, id__ in forged:
            value = {**held, "us": us_, "id": id__} if isinstance(held, dict) else [us_, id__]
            server.ask("GET", path, params={"cursor": cursor(value)})
        for value in ([], {}, [1], [1, "a", 2], "x", 1, None, [[1, "a"]], {"us": 1}):
            assert server.ask("GET", path, params={"cursor": cursor(value)}).status_code == 400
        for text in (
            *contents.TEXTS.values(),
            real[:-1],
            real + "A",
            real * 2,
            real.swapcase(),
            "=" * 50,
            "A" * 30_000,
        ):
            server.ask("GET", f"{path}?cursor={percent(text)[:60_000]}")
        for at in range(len(real)):
            server.ask("GET", path, params={"cursor": real[:at] + ("A" if real[at] != "A" else "B") + real[at + 1 :]})


def test_paths(server: Server) -> None:
    for text in (*contents.TEXTS.values(), *contents.KEYS, contents.TOO_LONG, "digest/", "x" * 30_000):
        for path in ("/", "/api/v1/", f"{ONE}/", "/api/v1/traces/", "/health/", "/schema/"):
            server.ask("GET", path + percent(text)[:50_000])
    for path in (
        "//",
        "/..",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api//v1/events",
        "/API/V1/EVENTS",
        f"{ONE}/",
    ):
        server.ask("GET", path)
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"):
        for path in (ONE, BATCH, "/api/v1/search", "/health"):
            reply = server.http.request(method, path)
            assert reply.status_code < 500


def test_headers(server: Server) -> None:
    body = event(raw="headers")
    # What a client library lets through at all.
    texts = [
        "",
        "x" * 60_000,
        "\x7f",
        "é",
        "null",
        "http://[",
        "http://]",
        "[::1",
        "::",
        "http://127.0.0.1:99999999999",
        "a b",
    ]
    names = (
        "origin",
        "x-request-id",
        "idempotency-key",
        "content-type",
        "content-encoding",
        "accept",
        "accept-encoding",
    )
    names += (
        "cookie",
        "authorization",
        "if-none-match",
        "range",
        "x-forwarded-for",
        "forwarded",
        "referer",
        "expect-ct",
        "host",
    )
    for name in names:
        for text in texts:
            for method, path, content in (("POST", ONE, body), ("GET", ONE, None), ("GET", "/", None)):
                reply = server.http.request(method, path, content=content, headers=[(name, text.encode("latin-1"))])
                assert reply.status_code < 500, (name, text[:50], reply.text)
    for key in contents.TEXTS.values():
        value = key.encode("utf-8", "surrogatepass")
        if value and not set(value) & {0, 10, 13}:
            server.http.post(BATCH, content=f'{{"events":[{body}]}}', headers=[(b"idempotency-key", value[:200])])


def test_searches(server: Server) -> None:
    server.judge(*(event(raw=text) for text in contents.TEXTS.values()))
    server.settle()
    for text in (
        *contents.TEXTS.values(),
        *contents.KEYS,
        "a " * 5_000,
        "é" * 10_000,
        "字" * 9_999,
        '- * ( ) " AND OR NOT ~ ^',
        "\u0301" * 10_000,
    ):
        for mode in ("hybrid", "semantic", "text"):
            reply = server.ask("POST", "/api/v1/search", content=json.dumps({"query": text, "mode": mode}))
            assert reply.status_code == 200 or not text.strip() or "\\ud" in json.dumps(text), (text[:50], reply.text)
            for result in reply.json().get("results", []):
                assert abs(result["score"]) < 1e6
    for name in ("trace", "session", "agent", "type", "log_group", "log_stream", "since", "until", "$ne", "", "limit"):
        for value in (*contents.TEXTS.values(), *contents.WRONG_TYPES, None, contents.TOO_LONG, "x" * 100_000):
            server.ask("POST", "/api/v1/search", content=json.dumps({"query": "a", "filters": {name: value}}))
    for name in ("query", "mode", "filters", "limit", "must", "__proto__"):
        for value in (
            *contents.VALUES.values(),
            *contents.BAD_VALUES,
            '"\\ud800"',
            '"\\u0000"',
            contents.nested(10_000),
        ):
            rest = "" if name == "query" else '"query":"a",'
            server.ask("POST", "/api/v1/search", content=f'{{{rest}"{name}":{value}}}')
    whole = json.dumps({"query": "walrus", "mode": "text", "filters": {"since": TIME}, "limit": 3}).encode()
    for at in range(len(whole)):
        assert server.ask("POST", "/api/v1/search", content=whole[:at]).status_code in (400, 422)
        server.ask("POST", "/api/v1/search", content=whole[:at] + b"\xff" + whole[at + 1 :])
    server.ask("POST", "/api/v1/search", content=b"\xef\xbb\xbf" + whole)
    server.ask("POST", "/api/v1/search", content=b"\x00" * 100_000)


def test_quotes_stay_quotes(server: Server) -> None:
    """No text of a query reaches the engine as anything but a value."""
    [event_id] = server.judge(event(session_id="of value", raw="still there"))
    for text in (
        "' OR true",
        "of value' OR ''='",
        "' ; DELETE event; '",
        "$session",
        "NONE",
        "of value\\",
        "/.*/",
        "of*",
        "%",
    ):
        for name in ("trace", "session", "agent", "type", "log_group", "log_stream"):
            assert server.get(ONE, **{name: text})["events"] == [], (name, text)
        assert server.get("/api/v1/traces", session=text)["traces"] == []
        assert server.get("/api/v1/events/digest", log_group=text, since="-360d")["hours"] == []
        assert server.ask("GET", f"/api/v1/traces/{quote(text, safe='')}").status_code == 404
    assert server.get(f"{ONE}/{event_id}")["raw"] == "still there"
