"""Hostile content: texts, values, times, and where they go."""

from __future__ import annotations

from typing import Any

NAME = 1024
"""Characters that a name may have."""

TEXTS: dict[str, str] = {
    "nul": "a\0b",
    "only nul": "\0",
    "lone high surrogate": "a\ud800b",
    "lone low surrogate": "\udfff",
    "reversed pair": "\udc00\ud800",
    "escape character": "a\x1ab",
    "looks escaped": "a\x1a0000b\x1ad800c\x1a001ad",
    "half escaped": "\x1ad8",
    "unit separators": "\x1f\x1f\x1f\x1f",
    "control": "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "ansi": "\x1b[2J\x1b[31mred\x1b]0;title\x07\x1b[0m",
    "bidi": "\u202egnp.exe\u2066\u200b\u200d\ufeff",
    "non-characters": "\ufffe\uffff\U0010ffff\ufdd0",
    "combining": "e" + "\u0301" * 300,
    "emoji": "👩‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "surreal end": "'; DELETE event; --",
    "surreal escaped": "\\'; REMOVE TABLE event; //",
    "surreal brackets": "⟩; DELETE event; ⟨",
    "surreal backtick": "`; INFO FOR DB; `",
    "surreal variable": "$the_trace",
    "surreal record": "event:⟨00000000-0000-0000-0000-000000000000⟩",
    "record": "record:1",
    "surreal none": "NONE",
    "surreal datetime": "d'2026-01-01T00:00:00Z'",
    "surreal uuid": "u'00000000-0000-0000-0000-000000000000'",
    "surreal future": "<future> { 1 }",
    "json end": '"}]}',
    "json": '{"events":[{"timestamp":"x"}]}',
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>&amp;",
    "path": "../../../../etc/passwd",
    "file": "file:///etc/passwd%00",
    "format": "%s%n{0.__class__}${jndi:ldap://x}{{7*7}}",
    "proto": "__proto__",
    "operator": "$ne",
    "number": "9223372036854775808",
    "infinity": "1e400",
    "nan": "NaN",
    "null": "null",
    "true": "true",
    "blank": " \t\n ",
    "newlines": "\r\n\r\n\u2028\u2029\u0085",
    "percent": "%00%ff%ED%A0%80",
    "longest": "x" * NAME,
    "longest wide": "\U0001f600" * NAME,
    "longest nul": "\0" * NAME,
    "empty": "",
}
TOO_LONG = "x" * (NAME + 1)

VALUES: dict[str, str] = {
    "2^63 - 1": str(2**63 - 1),
    "2^63": str(2**63),
    "-2^63": str(-(2**63)),
    "-2^63 - 1": str(-(2**63) - 1),
    "2^64": str(2**64),
    "2^70": str(2**70),
    "-2^70": str(-(2**70)),
    "5,000 digits": "9" * 5000,
    "100,000 digits": "-" + "9" * 100_000,
    "1e308": "1e308",
    "1e309": "1e309",
    "1e400": "1e400",
    "-1e400": "-1e400",
    "1e-400": "1e-400",
    "5e-324": "5e-324",
    "-0.0": "-0.0",
    "huge exponent": "1e99999999999999999999",
    "many decimals": "0." + "1234567890" * 500,
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "null": "null",
    "true": "true",
    "empty object": "{}",
    "empty array": "[]",
    "duplicate keys": '{"a":1,"a":2}',
    "duplicate nul keys": '{"\\u0000":1,"\\u001a0000":2}',
}
"""JSON texts of values; some are no strict JSON."""

BAD_VALUES = ("+1", "01", ".5", "1.", "0x10", "nan", "undefined", "'a'", "1_0", "--1", "1 2", "{,}", "[1,]", "")
"""No JSON of any kind."""

KEYS: tuple[str, ...] = (
    *(
        "__proto__",
        "constructor",
        "$ne",
        "$where",
        "id",
        "trace",
        "record:1",
        "type",
        "size",
        "head",
        "records",
        "body",
    ),
    *(
        "events",
        "properties.x",
        "a.b",
        "a[0]",
        "a b",
        "'",
        '"',
        "\\",
        "\n",
        "`",
        "⟨x⟩",
        "$",
        "@",
        "*",
        "..",
        "/",
        "NONE",
    ),
    *("message", "role", "level", "error", "usage", "path", "model", "span_id", "parent_span_id", "name", "input"),
)

TIMES: dict[str, bool] = {
    "1970-01-01T00:00:00Z": True,
    "1969-12-31T23:59:59.999999Z": False,
    "2200-12-31T23:59:59.999999Z": True,
    "2201-01-01T00:00:00Z": False,
    "0001-01-01T00:00:00Z": False,
    "0000-01-01T00:00:00Z": False,
    "9999-12-31T23:59:59Z": False,
    "9999-12-31T23:59:59.999999-23:59": False,
    "0001-01-01T00:00:00+23:59": False,
    "10000-01-01T00:00:00Z": False,
    "2016-12-31T23:59:60Z": True,
    "2016-12-31T23:59:60.999999999Z": True,
    "2016-12-31T23:59:61Z": False,
    "2026-03-01T12:00:00+14:00": True,
    "2026-03-01T12:00:00-12:00": True,
    "2026-03-01T12:00:00+23:59": True,
    "2026-03-01T12:00:00+24:00": False,
    "2026-03-01T12:00:00+99:99": False,
    "1970-01-01T00:00:00+14:00": False,
    "1969-12-31T23:00:00-02:00": True,
    "2201-01-01T00:00:00+14:00": True,
    "2200-12-31T23:59:59-14:00": False,
    "2026-02-29T12:00:00Z": False,
    "2024-02-29T12:00:00Z": True,
    "2026-03-01T24:00:00Z": False,
    "2026-03-01T12:00:00.0000000000000000000000001Z": True,
    "2026-03-01t12:00:00z": True,
    "2026-03-01 12:00:00": True,
    "2026-03-01T12:00:00,5Z": False,
    "２０２６-03-01T12:00:00Z": False,
    "2026-03-01T12:00:00Z\0": False,
    "2026-03-01T12:00:00\ud800Z": False,
    "2026-03-01T12:00:00Z; DELETE event": False,
    "2026-W09-7": False,
    "20260301T120000Z": False,
    "1e20": False,
    "1767225600": False,
    "now": False,
    "-1h": False,
    "": False,
    " ": False,
    "x" * 65: False,
    "9" * 10_000: False,
}
"""Times as text, and whether they are such as are taken."""

WRONG_TYPES: tuple[Any, ...] = (0, 1, -1, 1.5, True, False, [], {}, ["a"], {"a": "b"}, 10**20, 2**63)


def nested(depth: int, inner: str = "1", *, of: str = "[") -> str:
    """JSON text of ``depth`` arrays (or objects) in each other."""
    if of == "[":
        return "[" * depth + inner + "]" * depth
    return '{"a":' * depth + inner + "}" * depth
